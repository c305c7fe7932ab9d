package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"ticketgate/ticketing/store"
)

// Update runs fn as one transaction. A context that ends before fn starts, or
// while other writers have their turn, ends the call; once fn runs the
// transaction is finished either way, and Update waits for the disk.
//
// An Update that wrote nothing may still have read what another one has
// written and not yet synced. Its answer is as good as durable only if that
// other change is, so it waits for a sync too – unless everything in the log is
// known to be on disk already, which is the common case.
func (db *DB) Update(ctx context.Context, fn func(store.Tx) error) error {
	if !db.life.enter() {
		return store.ErrClosed
	}
	defer db.life.leave()
	hints, seq, err := db.change(ctx, fn)
	if err != nil {
		return err
	}
	if err := db.waitSynced(seq); err != nil {
		return err
	}
	for _, hint := range hints {
		hint()
	}
	return nil
}

// change is the part of an Update before its wait for the disk.
func (db *DB) change(ctx context.Context, fn func(store.Tx) error) (hints []func(), seq uint64, err error) {
	db.group.coming(1)
	defer db.group.coming(-1)
	if err := db.lockWriter(ctx); err != nil {
		return nil, 0, err
	}
	return db.turn(fn)
}

// lockWriter waits for the writer's turn. It never gives one to a context that
// has ended or a store that has failed.
func (db *DB) lockWriter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := db.failedError(); err != nil {
		return err
	}
	select {
	case db.writer <- struct{}{}:
	default:
		select {
		case db.writer <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-db.failed:
			return db.failedError()
		}
	}
	err := db.failedError()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		<-db.writer
	}
	return err
}

// turn runs fn and applies what it wrote, and gives the turn back however fn
// ends. seq is the change to wait for.
func (db *DB) turn(fn func(store.Tx) error) (hints []func(), seq uint64, err error) {
	defer func() { <-db.writer }()
	db.space.tick()
	t := &tx{reader: reader{db: db, now: db.txTime()}, batch: db.db.NewIndexedBatch()}
	t.src = t.batch
	inEngine := false
	defer func() {
		t.over = true
		if inEngine {
			return // the engine may still use it
		}
		if cerr := t.batch.Close(); cerr != nil {
			err = errors.Join(err, cerr)
		}
	}()
	if err := fn(t); err != nil {
		return nil, 0, err
	}
	if err := t.writeCounters(); err != nil {
		return nil, 0, err
	}
	if t.batch.Empty() {
		return t.hints, db.applied.Load(), nil
	}
	inEngine = true
	if err := db.applyBatch(t.batch); err != nil {
		return nil, 0, err
	}
	inEngine = false
	for _, c := range t.counted {
		db.keepCounter(c.name, c.value)
	}
	return t.hints, db.applied.Add(1), nil
}

// applyBatch hands the batch to the committer and waits for it, or for the
// failure of the store.
func (db *DB) applyBatch(b *pebble.Batch) error {
	select {
	case db.apply <- b:
	case <-db.failed:
		return db.failedError()
	}
	select {
	case <-db.done:
		return nil
	case <-db.failed:
		return db.failedError()
	}
}

// committer is the goroutine in which batches are applied. The engine reports
// some write errors by a panic that leaves its own locks held, or by a Fatalf
// that must not return; both end this goroutine and not the caller's, and
// callers see the store fail.
func (db *DB) committer() {
	clean := false
	defer db.engineEnd(opApply, &clean)
	for {
		select {
		case b := <-db.apply:
			if err := db.db.Apply(b, pebble.NoSync); err != nil {
				db.fail(opApply, err)
				return
			}
			db.done <- struct{}{}
		case <-db.stop:
			clean = true
			return
		}
	}
}

// group is everybody who waits for the next sync.
type group struct {
	mu   sync.Mutex
	next chan struct{} // closed when the next sync is done; nil if nobody waits
	wake chan struct{}

	changing atomic.Int64  // Updates that have not yet come to their wait
	calm     chan struct{} // receives when changing becomes 0
}

// gather is how long a sync waits for Updates that are under way to share it:
// less than a sync takes on most disks, and nothing if none are.
const gather = 500 * time.Microsecond

// coming counts the Updates under way.
func (g *group) coming(n int64) {
	if g.changing.Add(n) == 0 {
		select {
		case g.calm <- struct{}{}:
		default:
		}
	}
}

// assemble waits a moment for the Updates that are under way. A sync costs the
// same for one as for twenty, and those who come too late wait for two.
func (g *group) assemble(timer *time.Timer) {
	select {
	case <-g.calm: // of an earlier moment
	default:
	}
	if g.changing.Load() == 0 {
		return
	}
	timer.Reset(gather)
	select {
	case <-g.calm:
		timer.Stop()
	case <-timer.C:
	}
}

func (g *group) join() <-chan struct{} {
	g.mu.Lock()
	if g.next == nil {
		g.next = make(chan struct{})
	}
	next := g.next
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return next
}

func (g *group) take() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := g.next
	g.next = nil
	return next
}

// waitSynced returns when change seq and everything before it is on disk.
// Chunks in flight are not counted yet but may have been read: then a sync is
// needed whatever the count says.
func (db *DB) waitSynced(seq uint64) error {
	if db.failedError() == nil && db.synced.Load() >= seq && db.inflight.Load() == 0 {
		return nil
	}
	done := db.group.join()
	select {
	case <-done:
		return nil
	case <-db.failed:
	}
	select {
	case <-done: // on disk before the failure
		return nil
	default:
		return db.failedError()
	}
}

// syncer is the goroutine that syncs the log for all who wait. An empty record
// written with sync makes everything before it durable.
func (db *DB) syncer() {
	clean := false
	defer db.engineEnd(opSync, &clean)
	defer close(db.ended)
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for {
		select {
		case <-db.group.wake:
		case <-db.stop:
			clean = true
			return
		}
		db.group.assemble(timer)
		done := db.group.take()
		if done == nil {
			continue
		}
		target := db.applied.Load()
		start := db.now()
		if err := db.db.LogData(nil, pebble.Sync); err != nil {
			db.fail(opSync, err)
			return
		}
		// The engine may have been told of a success that was none.
		if db.failedError() != nil {
			return
		}
		db.metrics.sync.Observe(db.now().Sub(start).Seconds())
		db.synced.Store(target)
		close(done)
	}
}

// PutChunk stores data as chunk n of id. The chunk becomes durable with the
// next Update that returns nil.
func (db *DB) PutChunk(ctx context.Context, id store.Key, n uint32, data []byte) error {
	if len(data) > store.MaxValue {
		return fmt.Errorf("%w: chunk of %d bytes", store.ErrTooLarge, len(data))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !db.life.enter() {
		return store.ErrClosed
	}
	defer db.life.leave()
	db.inflight.Add(1)
	defer db.inflight.Add(-1)
	// The batch belongs to this call even if the engine never answers and the
	// caller takes data back.
	b := db.db.NewBatch()
	if err := b.Set(appendChunkKey(nil, id, n), data, nil); err != nil {
		return errors.Join(err, b.Close())
	}
	if err := db.guard(opApply, func() error { return db.db.Apply(b, pebble.NoSync) }); err != nil {
		return err
	}
	db.applied.Add(1)
	return b.Close()
}

// guard runs a call into the engine in a goroutine of its own, for the reasons
// given at committer. An engine that neither answers nor fails keeps the
// caller waiting.
func (db *DB) guard(op string, call func() error) error {
	if err := db.failedError(); err != nil {
		return err
	}
	answer := make(chan error, 1)
	go func() {
		clean := false
		defer db.engineEnd(op, &clean)
		err := call()
		clean = true
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-db.failed:
	}
	select {
	case err := <-answer:
		return err
	default:
		return db.failedError()
	}
}

// engineEnd is deferred by every goroutine that calls the engine: ending any
// other way than by returning means that the engine has failed.
func (db *DB) engineEnd(op string, clean *bool) {
	if r := recover(); r != nil {
		db.fail(op, fmt.Errorf("%v", r))
	} else if !*clean {
		db.fail(op, errors.New("the engine gave up"))
	}
}

// fail marks the store as failed. The first reason is the one that is told.
func (db *DB) fail(op string, cause error) {
	db.metrics.failed(op)
	err := fmt.Errorf("%w: %s: %w", store.ErrFailed, op, cause)
	if !db.failure.CompareAndSwap(nil, &err) {
		return
	}
	close(db.failed)
	db.log.Error("store failed, no more writes are accepted", "op", op, "err", cause)
	if db.onFatal != nil {
		go db.onFatal(err)
	}
}

func (db *DB) failedError() error {
	if err := db.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// gate lets callers in until it is closed, and then waits for those inside.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{}
}

func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// close reports whether this call closed the gate.
func (g *gate) close() bool {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return false
	}
	g.closed = true
	g.empty = make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
	g.mu.Unlock()
	<-g.empty
	return true
}
