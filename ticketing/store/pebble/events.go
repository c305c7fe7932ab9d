package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"ticketgate/ticketing/store"
)

// classify turns an error of the engine into one of ours: a bad block is
// store.ErrCorrupt. Other read errors keep their story and count as temporary.
func (db *DB) classify(op string, err error) error {
	switch {
	case err == nil, errors.Is(err, store.ErrFailed):
		return err
	case pebble.IsCorruptionError(err):
		db.metrics.failed(opCorruption)
		return fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	db.metrics.failed(op)
	return fmt.Errorf("store: %s: %w", op, err)
}

// logger passes the engine's messages on. A failing flush is retried without
// pause and says so each time: of lines of one level at most burst per second
// get through, and the number of the rest is told with the next.
type logger struct {
	db  *DB
	mu  sync.Mutex
	out map[slog.Level]*budget
}

const burst = 20

type budget struct {
	second  int64
	used    int
	dropped int
}

func newLogger(db *DB) *logger {
	return &logger{db: db, out: map[slog.Level]*budget{slog.LevelDebug: {}, slog.LevelError: {}}}
}

func (l *logger) Infof(format string, args ...any)  { l.write(slog.LevelDebug, format, args) }
func (l *logger) Errorf(format string, args ...any) { l.write(slog.LevelError, format, args) }

// Fatalf is called where the engine cannot go on; it expects that the process
// ends. Instead the store is marked as failed and the goroutine ends: it is
// either one of the engine's, which then does no more work, or one that this
// package has made for the call.
func (l *logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.db.fail(opFatal, err)
	_ = l.db.fs.refuse(err)
	runtime.Goexit()
}

func (l *logger) write(level slog.Level, format string, args []any) {
	dropped, ok := l.admit(level)
	if !ok {
		return
	}
	attrs := []any{"component", "engine"}
	if dropped > 0 {
		attrs = append(attrs, "dropped", dropped)
	}
	l.db.log.Log(context.Background(), level, "store: "+fmt.Sprintf(format, args...), attrs...)
}

func (l *logger) admit(level slog.Level) (dropped int, ok bool) {
	second := l.db.now().Unix()
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.out[level]
	if b.second != second {
		b.second, b.used = second, 0
	}
	if b.used >= burst {
		b.dropped++
		return 0, false
	}
	b.used++
	dropped, b.dropped = b.dropped, 0
	return dropped, true
}

// listener counts what an operator should know of. The engine calls it with
// its locks held: nothing here may wait.
func (db *DB) listener() pebble.EventListener {
	log := newLogger(db)
	return pebble.EventListener{
		BackgroundError: func(err error) {
			db.metrics.failed(opBackground)
			log.Errorf("background work failed: %v", err)
		},
		// The default ends the process on one bad block. Whoever reads the
		// block gets an error; everything else is still good.
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			db.metrics.failed(opCorruption)
			log.Errorf("%s", info)
		},
		FlushEnd: func(info pebble.FlushInfo) {
			db.flushEnd(info.Err)
			db.endIfFailed()
		},
		CompactionEnd: func(pebble.CompactionInfo) { db.endIfFailed() },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			db.metrics.stalls.Inc()
			log.Errorf("%s", info)
		},
		WriteStallEnd: func() { log.Infof("write stall ended") },
	}
}

// endIfFailed ends the engine's goroutine that calls it once the store has
// failed: a flush that cannot succeed would be tried again without pause.
func (db *DB) endIfFailed() {
	if db.failedError() != nil {
		runtime.Goexit()
	}
}

// flushWatch knows since when flushing has been failing.
type flushWatch struct {
	limit time.Duration
	mu    sync.Mutex
	since time.Time
}

// flushEnd fails the store when flushing has been failing for too long: its
// writers would otherwise wait for ever. A full disk is different, since room
// can be made.
func (db *DB) flushEnd(err error) {
	w := &db.flush
	now := db.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil, errors.Is(err, syscall.ENOSPC):
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = now
	case now.Sub(w.since) >= w.limit:
		db.fail(opBackground, fmt.Errorf("flushing has been failing since %s: %w", w.since.UTC().Format(time.RFC3339), err))
	}
}
