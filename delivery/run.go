package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

const (
	longestNap = 10 * time.Second // a look costs one seek, and clocks get set
	saveEvery  = time.Second      // of budgets and pauses
)

// Run delivers until ctx ends. It then starts no new attempt, waits up to
// Options.Drain for answers in flight, breaks off what is left and returns nil.
// It returns an error if the store fails. It may be called once.
func (q *Queue) Run(ctx context.Context) error {
	carry, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	wake, stop := q.o.Agenda.Kick(lanePrefix)
	defer stop()
	if err := q.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var err error
	q.workers.Go(func() { q.walk(ctx) })
	q.workers.Go(func() { q.keep(ctx) })
	for ctx.Err() == nil && err == nil {
		started, next, lerr := q.schedule(ctx, carry)
		switch {
		case ctx.Err() != nil:
		case errors.Is(lerr, store.ErrFailed), errors.Is(lerr, store.ErrClosed):
			err = lerr
		case lerr != nil:
			q.o.Log.Error("outbound queue cannot look for work", "cause", lerr)
			err = q.nap(ctx, nil, time.Second)
		case !started:
			err = q.nap(ctx, wake, q.untilThen(next))
		}
	}
	q.drain(abort)
	if serr := q.save(context.WithoutCancel(ctx), true); serr != nil && err == nil {
		q.o.Log.Warn("rates and pauses were not saved", "cause", serr)
	}
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return nil
}

// open makes the queue ready for its first look.
func (q *Queue) open(ctx context.Context) error {
	if err := q.recover(ctx); err != nil {
		return err
	}
	if err := q.load(ctx); err != nil {
		return fmt.Errorf("delivery: load: %w", err)
	}
	if _, err := q.allMeasures(ctx); err != nil {
		return err
	}
	return nil
}

// keep saves what changes all the time, once a second, and watches the clock.
func (q *Queue) keep(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		q.watchClock(ctx)
		if err := q.save(ctx, false); err != nil && ctx.Err() == nil {
			q.o.Log.Warn("rates and pauses were not saved", "cause", err)
		}
	}
}

// nap waits for work, a free worker, the time or the end.
func (q *Queue) nap(ctx context.Context, wake <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-q.freed:
	case <-timer.C:
	case err := <-q.fatal:
		return err
	}
	return nil
}

func (q *Queue) untilThen(next time.Time) time.Duration {
	if next.IsZero() {
		return longestNap
	}
	return min(longestNap, max(time.Millisecond, next.Sub(q.o.Now())))
}

// drain waits for the workers, first patiently, then not.
func (q *Queue) drain(abort func()) {
	done := make(chan struct{})
	go func() {
		q.workers.Wait()
		close(done)
	}()
	timer := time.NewTimer(q.o.Drain)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		q.o.Log.Warn("outbound answers did not come in time, they will be tried again")
		abort()
		<-done
	}
}

// schedule takes in what has come due and starts workers for whoever has room
// and budget. It reports whether it started any, and when to look again if not
// earlier woken.
func (q *Queue) schedule(ctx, carry context.Context) (started bool, next time.Time, err error) {
	next, err = q.feed(ctx)
	if err != nil {
		return false, time.Time{}, err
	}
	for ctx.Err() == nil {
		g, at := q.pick(q.o.Now())
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
		if g == nil {
			break
		}
		started = true
		if g.lookup {
			q.workers.Go(func() { q.locate(ctx, g.dest) })
			continue
		}
		q.workers.Go(func() { q.serve(ctx, carry, g) })
	}
	return started, next, q.parkLanes(ctx)
}

// feed takes in the lanes that have come due, and returns when the next one
// will. If many are due already, looking again takes a while, and so is not
// done all the time.
func (q *Queue) feed(ctx context.Context) (next time.Time, err error) {
	began := q.uptime()
	if wait := q.nextFeed - began; wait > 0 && wait < longestNap {
		return q.o.Now().Add(wait), nil
	}
	lanes, next, err := q.o.Agenda.Due(ctx, lanePrefix, lanesPerLook)
	if err != nil {
		return time.Time{}, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, lane := range lanes {
		if !q.arrive(lane) {
			break
		}
	}
	now := q.uptime()
	q.nextFeed = now + 5*(now-began)
	return next, nil
}

// serve is the life of a worker: claim, work, leave.
func (q *Queue) serve(run, carry context.Context, g *grant) {
	defer q.leave(g)
	claims, err := q.claim(run, g.lane(), g.n)
	if err != nil {
		q.claimed(g, 0, true)
		if run.Err() == nil {
			q.failing("outbound mail cannot be claimed", err)
			pause(run, time.Second)
		}
		return
	}
	q.claimed(g, len(claims), len(claims) == g.n)
	q.work(run, carry, g, claims)
}

// failing reports an error of the store, and ends Run if it is its last.
func (q *Queue) failing(msg string, err error) {
	q.o.Log.Error(msg, "cause", err)
	if errors.Is(err, store.ErrFailed) || errors.Is(err, store.ErrClosed) {
		select {
		case q.fatal <- err:
		default:
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// claim is a parcel with an attempt counted. row is nil if the job has no
// parcel.
type claim struct {
	job   agenda.Job
	row   *row
	route string // that the mail must take, "" if its queue decides
}

// claim counts attempts, durably, and returns them.
func (q *Queue) claim(ctx context.Context, lane string, n int) ([]*claim, error) {
	spread := q.jitter(n)
	seen := map[string]*claim{}
	jobs, err := q.o.Agenda.Claim(ctx, lane, n, q.o.Lease, func(tx store.Tx, j *agenda.Job) error {
		c := &claim{}
		seen[j.Key] = c
		key := parcelKey(j.Key)
		if err := q.parcels.Lock(tx, key); err != nil {
			return err
		}
		p, err := q.parcels.Find(tx, key)
		if p == nil || err != nil {
			return err
		}
		c.row = p
		old := *p
		if p.Phase == phaseDot { // a lease lapsed under a worker
			p.Ambiguous++
			tx.OnCommit(q.met.ambiguous.Inc)
		}
		if p.Unsettled == nil {
			p.Attempts++
		}
		p.Phase, p.Lease, p.Started = phaseAttempt, j.Lease, tx.Now()
		p.Due = tx.Now().Add(q.backoff(p.Attempts, spread[j.Lease%uint64(len(spread))]))
		return q.parcels.Replace(tx, &old, p)
	})
	if err != nil {
		return nil, err
	}
	claims := make([]*claim, 0, len(jobs))
	for _, j := range jobs {
		c := seen[j.Key]
		c.job = j
		claims = append(claims, c)
	}
	return claims, nil
}

// recover takes back what an earlier process had in flight: its workers are
// gone, so their leases need not be waited for.
func (q *Queue) recover(ctx context.Context) error {
	for {
		var page []*row
		err := q.o.DB.View(ctx, func(r store.Reader) error {
			var err error
			page, _, err = q.parcels.Page(r, store.Query{Index: byFlight, Limit: 100})
			return err
		})
		if err != nil {
			return fmt.Errorf("delivery: recover: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		if err := q.o.DB.Update(ctx, func(tx store.Tx) error { return q.takeBack(tx, page) }); err != nil {
			return fmt.Errorf("delivery: recover: %w", err)
		}
	}
}

func (q *Queue) takeBack(tx store.Tx, page []*row) error {
	slices.SortFunc(page, func(a, b *row) int { return strings.Compare(a.Lane, b.Lane) })
	for _, seen := range page {
		key := parcelKey(seen.ID)
		if err := q.parcels.Lock(tx, key); err != nil {
			return err
		}
		p, err := q.parcels.Find(tx, key)
		if err != nil {
			return err
		}
		if p == nil || p.Phase == "" {
			continue
		}
		old := *p
		if p.Phase == phaseDot {
			p.Ambiguous++
			tx.OnCommit(func() {
				q.met.ambiguous.Inc()
				q.o.Log.Warn("a mail may have been delivered before the last stop; it will be sent again", "parcel", p.ID, "ticket", p.Ticket)
			})
		}
		job := agenda.Job{Lane: p.Lane, Key: p.ID, Lease: p.Lease, Due: p.Due}
		err = q.reline(tx, p, job, p.Due)
		if errors.Is(err, agenda.ErrLost) {
			err = q.o.Agenda.Put(tx, job) // a parcel must never be without its job
		}
		if err != nil {
			return err
		}
		p.Phase, p.Lease = "", 0
		if err := q.parcels.Replace(tx, &old, p); err != nil {
			return err
		}
	}
	return nil
}

// reline ends the claim on a parcel's job and makes it due in the lane where
// the parcel belongs by now.
func (q *Queue) reline(tx store.Tx, p *row, job agenda.Job, due time.Time) error {
	p.Due = due
	if lane := p.lane(); lane != p.Lane {
		if err := q.o.Agenda.Done(tx, job); err != nil {
			return err
		}
		p.Lane = lane
		return q.o.Agenda.Put(tx, agenda.Job{Lane: lane, Key: p.ID, Due: due})
	}
	return q.o.Agenda.Again(tx, job, due)
}

// jitter draws n numbers in [0, 1). Without randomness there is no spread.
func (q *Queue) jitter(n int) []float64 {
	buf := make([]byte, 8*n)
	q.random.Lock()
	_, err := io.ReadFull(q.o.Random, buf)
	q.random.Unlock()
	out := make([]float64, n)
	for i := range out {
		out[i] = 0.5
		if err == nil {
			out[i] = float64(binary.BigEndian.Uint64(buf[8*i:])>>11) / (1 << 53)
		}
	}
	return out
}
