// Package pebble keeps a store in one directory of one machine.
//
// It promises what [store.DB] promises: an Update that returned nil is on
// disk, whole; an Update whose closure failed or panicked left nothing; readers
// see one consistent state. It needs no server and no second process.
//
// How a change becomes durable: writers take turns, so each closure sees what
// all earlier ones did. Inside its turn a transaction is applied to the
// write-ahead log without waiting for the disk; after its turn it waits for a
// sync that began later, and all who wait at that moment share one. Because
// the log is sequential, that sync also covers every chunk written before it.
//
// How it fails: an error while reading or writing files that hold data never
// ends the process here. A block with a bad checksum is [store.ErrCorrupt] for
// whoever reads it and a count in the metrics. A write error of the engine
// marks the store as failed: the change whose sync failed, and everything
// after it, gets [store.ErrFailed] – whether that one change is found after a
// restart is not known – and Options.OnFatal is told once, so that the program
// can exit and be started again. Reads keep working until then.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing/store"
)

// formatMajor is the file format of the engine that we write. It is raised on
// purpose only: an older binary cannot open what a newer format has written.
const formatMajor = pebble.FormatValueSeparation

const (
	defaultMemTable   = 32 << 20
	defaultCache      = 128 << 20
	defaultStallLimit = 30 * time.Second
	walBytesPerSync   = 512 << 10
	bloomBitsPerKey   = 10
	indexBlockSize    = 256 << 10
	// memTables is how many there may be, the ones being flushed included,
	// before writers wait.
	memTables = 3
	// maxTx bounds what one transaction may write, and with it the memory a
	// closure that loops can take.
	maxTx = 64 << 20
	// slowDisk is how long a file operation may take before it is counted.
	slowDisk = 5 * time.Second
)

// Options configure Open. Now is required; the zero value of everything else
// is usable.
type Options struct {
	// FS holds the files; nil is the operating system's.
	FS vfs.FS
	// Now gives transactions their time.
	Now func() time.Time
	// Log receives the engine's messages, rate-limited; nil drops them.
	Log *slog.Logger
	// Registerer receives the metrics; nil keeps them private.
	Registerer prometheus.Registerer
	// MinFree is the free-space floor in bytes: below it Space reports
	// store.ErrNoSpace. 0 is no floor.
	MinFree uint64
	// MinFreePercent is the same as a share of the disk. The higher floor counts.
	MinFreePercent int
	// Ballast is the size in bytes of a file that is given up when the disk
	// is full, so that what is being written can be finished. It is made
	// again when there is room. 0 is none.
	Ballast uint64
	// DiskUsage reports on the disk that holds dir; nil asks FS.
	DiskUsage func(dir string) (vfs.DiskUsage, error)
	// CacheSize is what the block cache may use beside the memtables, in
	// bytes; 0 is 128 MiB. All in all the store takes about CacheSize and
	// three times MemTableSize.
	CacheSize int64
	// MemTableSize is the size in bytes at which recent writes are flushed
	// to a table file; 0 is 32 MiB.
	MemTableSize uint64
	// StallLimit is how long flushing may go on failing, for another reason
	// than a full disk, before the store counts as failed; 0 is 30 s. (A
	// full disk holds writers up and is over when there is room again.)
	StallLimit time.Duration
	// OnFatal is called once, from its own goroutine, when the engine could
	// not write. The program should stop and be started again.
	OnFatal func(error)
}

// DB is an open store. It implements store.DB.
type DB struct {
	db      *pebble.DB
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	reg     prometheus.Registerer
	onFatal func(error)
	space   *space
	fs      *guardedFS

	life   gate
	writer chan struct{} // holds the token of the running writer
	// counters are counters as they are in the store; whose turn it is to write
	// owns them.
	counters map[string]uint64
	apply    chan *pebble.Batch
	done     chan struct{} // answers apply
	group    group         // who waits for the next sync
	stop     chan struct{} // ends the engine goroutines
	ended    chan struct{} // closed by them: syncer

	applied  atomic.Uint64 // changes in the log
	synced   atomic.Uint64 // of these, known to be on disk
	inflight atomic.Int64  // chunks between their call and their count in applied

	failed  chan struct{}
	failure atomic.Pointer[error]

	flush flushWatch
}

var _ store.DB = (*DB)(nil)

// Open opens the store in dir, creating it if there is none, and takes the
// directory's lock: a second Open of the same directory fails until Close.
// What was durable before a crash is there; what was not may be missing.
func Open(dir string, o Options) (*DB, error) {
	if o.Now == nil {
		return nil, errors.New("store: Options.Now is missing")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	db := &DB{
		now:      o.Now,
		log:      o.Log,
		reg:      o.Registerer,
		writer:   make(chan struct{}, 1),
		counters: map[string]uint64{},
		apply:    make(chan *pebble.Batch),
		done:     make(chan struct{}),
		stop:     make(chan struct{}),
		ended:    make(chan struct{}),
		failed:   make(chan struct{}),
	}
	db.group.wake, db.group.calm = make(chan struct{}, 1), make(chan struct{}, 1)
	db.flush.limit = o.StallLimit
	if db.flush.limit == 0 {
		db.flush.limit = defaultStallLimit
	}
	db.metrics = newMetrics()

	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	db.space = newSpace(db, fs, dir, o)
	if err := db.openEngine(dir, o, fs); err != nil {
		return nil, fmt.Errorf("store: open %s: %w", dir, err)
	}
	if err := db.prepare(); err != nil {
		if cerr := db.closeEngine(); !errors.Is(err, store.ErrFailed) {
			err = errors.Join(err, cerr)
		}
		return nil, fmt.Errorf("store: open %s: %w", dir, err)
	}
	db.onFatal = o.OnFatal
	go db.committer()
	go db.syncer()
	return db, nil
}

// openEngine runs where the engine may end the goroutine (see Fatalf).
func (db *DB) openEngine(dir string, o Options, inner vfs.FS) error {
	opts := engineOptions(o)
	opts.Logger = newLogger(db)
	listener := db.listener()
	opts.EventListener = &listener

	opts.FS = inner
	if o.FS == nil {
		opts.FS, db.space.health = vfs.WithDiskHealthChecks(inner, slowDisk, nil, func(info vfs.DiskSlowInfo) {
			db.metrics.failed(opDiskSlow)
			opts.Logger.Errorf("%s", info)
		})
	}
	db.fs = &guardedFS{FS: vfs.OnDiskFull(opts.FS, db.space.diskFull), db: db}
	opts.FS = db.fs

	var opened *pebble.DB
	db.fs.opening.Store(true)
	err := db.guard(opOpen, func() (err error) {
		opened, err = pebble.Open(dir, opts)
		return err
	})
	if err == nil {
		err = db.failedError()
		db.fs.opening.Store(false)
	}
	if err != nil {
		db.space.closeHealth()
		return errors.Join(db.classify(opOpen, err), db.fs.unlock())
	}
	db.db = opened
	return nil
}

func engineOptions(o Options) *pebble.Options {
	opts := &pebble.Options{
		CacheSize:          o.CacheSize,
		FormatMajorVersion: formatMajor,
		// Most bytes are mails that nobody reads again soon: collecting more of
		// them before they are merged, and merging into a larger base level,
		// halves what a million stored tickets cost each new one. Look-ups of
		// absent keys pass the extra tables by their filters.
		L0CompactionThreshold:       8,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               256 << 20,
		MaxOpenFiles:                4096,
		MemTableSize:                o.MemTableSize,
		MemTableStopWritesThreshold: memTables,
		WALBytesPerSync:             walBytesPerSync,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	if opts.CacheSize == 0 {
		opts.CacheSize = defaultCache
	}
	if opts.MemTableSize == 0 {
		opts.MemTableSize = defaultMemTable
	}
	// The engine takes memtables out of the cache's budget: a cache no larger
	// than them would hold no block at all, and every lookup of a key that is
	// not there would read a filter from disk.
	opts.CacheSize += int64(opts.MemTableSize) * memTables
	for i := range opts.Levels {
		opts.Levels[i].IndexBlockSize = indexBlockSize
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
		opts.Levels[i].FilterType = pebble.TableFilter
	}
	return opts
}

// prepare checks the layout of the store, writes down ours if it is new, and
// starts what goes with an open store.
func (db *DB) prepare() error {
	if err := db.checkFormat(); err != nil {
		return err
	}
	db.space.check()
	if db.reg != nil {
		db.metrics.db = db
		if err := db.reg.Register(db.metrics); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

func (db *DB) checkFormat() error {
	v, closer, err := db.db.Get(formatKey())
	switch {
	case err == nil:
		version := append([]byte(nil), v...)
		if err := closer.Close(); err != nil {
			return err
		}
		if len(version) != 1 || version[0] != formatVersion {
			return fmt.Errorf("the store has layout version %x, this program knows version %d only", version, formatVersion)
		}
		return nil
	case !errors.Is(err, pebble.ErrNotFound):
		return db.classify(opRead, err)
	}
	if empty, err := db.empty(); err != nil {
		return db.classify(opRead, err)
	} else if !empty {
		return errors.New("the directory holds a database that is not a Ticketgate store")
	}
	return db.classify(opOpen, db.guard(opOpen, func() error {
		return db.db.Set(formatKey(), []byte{formatVersion}, pebble.Sync)
	}))
}

func (db *DB) empty() (bool, error) {
	it, err := db.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	found := it.First()
	return !found, errors.Join(it.Error(), it.Close())
}

// Close waits for running transactions and closes the store. After a write
// error the engine cannot be closed: what is left of it may not write, keeps
// its memory until the process ends, and Close returns store.ErrFailed.
func (db *DB) Close() error {
	if !db.life.close() {
		return store.ErrClosed
	}
	close(db.stop)
	select {
	case <-db.ended:
	case <-db.failed:
	}
	if db.reg != nil {
		db.reg.Unregister(db.metrics)
	}
	db.space.wait()
	return db.closeEngine()
}

func (db *DB) closeEngine() error {
	defer db.space.closeHealth()
	err := db.guard(opClose, func() error {
		if err := db.db.Close(); err != nil {
			return fmt.Errorf("%w: close: %w", store.ErrFailed, err)
		}
		return nil
	})
	if err == nil {
		err = db.failedError()
	}
	return errors.Join(err, db.fs.unlock())
}

// Space reports store.ErrNoSpace while the disk is below its floor. It is
// cheap: the disk is asked at most every few hundred milliseconds.
func (db *DB) Space() error {
	if err := db.failedError(); err != nil {
		return err
	}
	return db.space.report()
}

// View runs fn on a consistent snapshot.
func (db *DB) View(ctx context.Context, fn func(store.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if !db.life.enter() {
		return store.ErrClosed
	}
	defer db.life.leave()
	snap := db.db.NewSnapshot()
	r := &reader{db: db, src: snap, now: db.txTime()}
	defer func() {
		r.over = true
		if err := snap.Close(); err != nil {
			db.log.Error("store: close snapshot", "err", err)
		}
	}()
	return fn(r)
}

func (db *DB) txTime() time.Time { return db.now().UTC().Truncate(time.Microsecond) }
