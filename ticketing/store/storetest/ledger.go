package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"ticketgate/ticketing/store"
)

// ledger is the work whose survival the crash and fault exams check. Each
// writer makes numbered changes, one after the other; change i
//
//   - streams a chunk outside the transaction,
//   - moves the writer's row from i-1 to i,
//   - adds parts of i, reachable by three indexes, with a body,
//   - takes the parts of an older change and its chunk away,
//   - puts a chunk of its own and counts one up.
//
// From the writer's row everything else can be told.
type ledger struct {
	writers []writerState
}

// writerState is what is known about one writer from outside.
type writerState struct {
	begun atomic.Uint64 // highest change that was begun
	acked atomic.Uint64 // highest change whose Update returned nil
}

const (
	ledgerWriters = 4
	ledgerParts   = 3
	ledgerKept    = 5 // changes whose parts are kept
)

type ledgerRow struct {
	Writer int    `json:"writer"`
	At     uint64 `json:"at"`
}

type ledgerPart struct {
	Writer int    `json:"writer"`
	Change uint64 `json:"change"`
	N      int    `json:"n"`
	Body   []byte `json:"body"`
}

var ledgerRows = store.NewTable("exam_ledger", prefixLedger, []string{"writer"},
	func(v *ledgerRow) store.Key { return store.Key{}.Uint(uint64(v.Writer)) },
	store.Index[ledgerRow]{Name: "at", Columns: []string{"at"}, Keys: func(v *ledgerRow) []store.Key {
		return []store.Key{store.Key{}.Uint(v.At)}
	}},
)

var ledgerPartRows = store.NewTable("exam_part", prefixPart, []string{"writer", "change", "n"},
	func(v *ledgerPart) store.Key {
		return store.Key{}.Uint(uint64(v.Writer)).Uint(v.Change).Uint(uint64(v.N))
	},
	store.Index[ledgerPart]{Name: "change", Columns: []string{"change"}, Keys: func(v *ledgerPart) []store.Key {
		return []store.Key{store.Key{}.Uint(v.Change)}
	}},
	store.Index[ledgerPart]{Name: "name", Columns: []string{"name"}, Unique: true, Keys: func(v *ledgerPart) []store.Key {
		return []store.Key{str(fmt.Sprintf("%d.%d.%d", v.N, v.Change, v.Writer))}
	}},
)

func newLedger() *ledger { return &ledger{writers: make([]writerState, ledgerWriters)} }

func streamedChunk(writer int, change uint64) store.Key {
	return str("streamed").Uint(uint64(writer)).Uint(change)
}

func ownChunk(writer int, change uint64) store.Key {
	return str("own").Uint(uint64(writer)).Uint(change)
}

func ledgerBody(writer int, change uint64, size int) []byte {
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(uint64(i*i+writer) + change*uint64(i|1))
	}
	return body
}

// change makes the next change of one writer. On an error it is not known
// whether it has happened.
func (l *ledger) change(ctx context.Context, db store.DB, writer int, hint func()) error {
	w := &l.writers[writer]
	i := w.acked.Load() + 1
	w.begun.Store(i)
	if err := db.PutChunk(ctx, streamedChunk(writer, i), 0, ledgerBody(writer, i, 900)); err != nil {
		return err
	}
	err := db.Update(ctx, func(tx store.Tx) error {
		row, err := ledgerRows.Find(tx, store.Key{}.Uint(uint64(writer)))
		if err != nil {
			return err
		}
		if row == nil {
			row = &ledgerRow{Writer: writer}
		}
		if row.At != i-1 {
			return fmt.Errorf("%w: writer %d is at %d before change %d", errLost, writer, row.At, i)
		}
		row.At = i
		if err := ledgerRows.Put(tx, row); err != nil {
			return err
		}
		for n := range ledgerParts {
			part := &ledgerPart{Writer: writer, Change: i, N: n, Body: ledgerBody(writer, i, 300)}
			if err := ledgerPartRows.Put(tx, part); err != nil {
				return err
			}
			if i <= ledgerKept {
				continue
			}
			part.Change = i - ledgerKept
			if err := ledgerPartRows.Delete(tx, store.Key{}.Uint(uint64(writer)).Uint(part.Change).Uint(uint64(n))); err != nil {
				return err
			}
		}
		if i > ledgerKept {
			if err := errors.Join(tx.DeleteChunks(streamedChunk(writer, i-ledgerKept)), tx.DeleteChunks(ownChunk(writer, i-ledgerKept))); err != nil {
				return err
			}
		}
		if err := tx.PutChunk(ownChunk(writer, i), 7, ledgerBody(writer, i, 100)); err != nil {
			return err
		}
		if hint != nil {
			tx.OnCommit(hint)
		}
		_, err = tx.Count(str("ledger"), 1)
		return err
	})
	if err == nil {
		w.acked.Store(i)
	}
	return err
}

// errLost says that a change is missing although nothing has crashed.
var errLost = errors.New("lost a change")

// mark is a moment of the ledger: what was acknowledged before, or begun until.
type mark [ledgerWriters]uint64

func (l *ledger) acked() (m mark) {
	for i := range l.writers {
		m[i] = l.writers[i].acked.Load()
	}
	return m
}

func (l *ledger) begun() (m mark) {
	for i := range l.writers {
		m[i] = l.writers[i].begun.Load()
	}
	return m
}

// audit checks a store against the ledger: everything up to least is there,
// nothing beyond most, no change by half, and rows agree with indexes.
func audit(db store.DB, least, most mark) error {
	return db.View(context.Background(), func(r store.Reader) error {
		if err := errors.Join(ledgerRows.Verify(r), ledgerPartRows.Verify(r)); err != nil {
			return err
		}
		var at mark
		var total uint64
		for row, err := range ledgerRows.Scan(r, store.Query{}) {
			if err != nil {
				return err
			}
			at[row.Writer] = row.At
			total += row.At
		}
		for writer, n := range at {
			if n < least[writer] || n > most[writer] {
				return fmt.Errorf("writer %d is at %d; acknowledged %d, begun %d", writer, n, least[writer], most[writer])
			}
		}
		if n, err := r.Counter(str("ledger")); err != nil || n != total {
			return fmt.Errorf("%d changes counted, %d made (%v)", n, total, err)
		}
		return errors.Join(auditParts(r, at), auditChunks(r, at))
	})
}

// kept calls fn with every change whose parts and chunks should be there, in
// order.
func kept(at mark, fn func(writer int, change uint64) error) error {
	for writer, last := range at {
		for change := max(last, ledgerKept) - ledgerKept + 1; change <= last; change++ {
			if err := fn(writer, change); err != nil {
				return err
			}
		}
	}
	return nil
}

func auditParts(r store.Reader, at mark) error {
	next, stop := iter.Pull2(ledgerPartRows.Scan(r, store.Query{}))
	defer stop()
	err := kept(at, func(writer int, change uint64) error {
		body := string(ledgerBody(writer, change, 300))
		for n := range ledgerParts {
			v, err, _ := next()
			if err != nil {
				return err
			}
			if v == nil || v.Writer != writer || v.Change != change || v.N != n || string(v.Body) != body {
				return fmt.Errorf("writers at %v: part %d of change %d of writer %d expected, found %+v", at, n, change, writer, v)
			}
		}
		return nil
	})
	if v, verr, more := next(); err == nil && more {
		return fmt.Errorf("writers at %v: a part too many: %+v, %v", at, v, verr)
	}
	return err
}

func auditChunks(r store.Reader, at mark) error {
	surplus := map[string]bool{}
	for id, err := range r.ChunkIDs(str("own")) {
		if err != nil {
			return err
		}
		if bytes.HasPrefix(id, str("own")) {
			surplus[string(id)] = true
		}
	}
	err := kept(at, func(writer int, change uint64) error {
		delete(surplus, string(ownChunk(writer, change)))
		own, err := r.Chunk(ownChunk(writer, change), 7)
		if err != nil || string(own) != string(ledgerBody(writer, change, 100)) {
			return fmt.Errorf("writers at %v: own chunk of change %d of writer %d: %d bytes, %w", at, change, writer, len(own), err)
		}
		// A streamed chunk may be there without its change, but not the other
		// way round.
		streamed, err := r.Chunk(streamedChunk(writer, change), 0)
		if err != nil || string(streamed) != string(ledgerBody(writer, change, 900)) {
			return fmt.Errorf("writers at %v: streamed chunk of change %d of writer %d: %d bytes, %w", at, change, writer, len(streamed), err)
		}
		return nil
	})
	if err == nil && len(surplus) > 0 {
		return fmt.Errorf("writers at %v: %d chunks too many", at, len(surplus))
	}
	return err
}
