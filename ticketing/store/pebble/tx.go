package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"ticketgate/ticketing/store"
)

var errOver = errors.New("store: the transaction is over")

// reader reads one state: a snapshot, or a transaction's batch over the store.
type reader struct {
	db   *DB
	src  pebble.Reader
	now  time.Time
	over bool
	key  []byte // scratch
}

func (r *reader) Now() time.Time { return r.now }

// get returns a copy of the value of r.key, or store.ErrNotFound.
func (r *reader) get() ([]byte, error) {
	if r.over {
		return nil, errOver
	}
	v, closer, err := r.src.Get(r.key)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			return nil, store.ErrNotFound
		}
		return nil, r.db.classify(opRead, err)
	}
	out := append(make([]byte, 0, len(v)), v...)
	if err := closer.Close(); err != nil {
		return nil, r.db.classify(opRead, err)
	}
	return out, nil
}

func (r *reader) Get(s *store.Schema, key store.Key) ([]byte, error) {
	r.key = appendRowKey(r.key[:0], s, key)
	return r.get()
}

func (r *reader) Counter(name store.Key) (uint64, error) {
	r.key = appendCounterKey(r.key[:0], name)
	v, err := r.get()
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case len(v) != 8:
		return 0, fmt.Errorf("%w: counter %x is %x", store.ErrCorrupt, []byte(name), v)
	}
	return binary.BigEndian.Uint64(v), nil
}

func (r *reader) Chunk(id store.Key, n uint32) ([]byte, error) {
	r.key = appendChunkKey(r.key[:0], id, n)
	return r.get()
}

func (r *reader) ChunkIDs(from store.Key) iter.Seq2[store.Key, error] {
	return func(yield func(store.Key, error) bool) {
		lower := append([]byte{byte(store.PrefixChunk)}, from...)
		it, err := r.iterate(lower, []byte{byte(store.PrefixChunk) + 1})
		if err != nil {
			yield(nil, err)
			return
		}
		defer it.Close()
		var next []byte
		for ok := it.First(); ok; {
			key := it.Key()
			if len(key) < 1+chunkSuffix || key[len(key)-chunkSuffix] != separator {
				yield(nil, fmt.Errorf("%w: chunk key %x", store.ErrCorrupt, key))
				return
			}
			id := append(store.Key(nil), key[1:len(key)-chunkSuffix]...)
			// The chunks of one id can be many; one seek passes them all. It
			// is prepared first because id is the caller's from then on.
			next = append(append(next[:0], key[:len(key)-chunkSuffix]...), afterSeparator)
			if !yield(id, nil) {
				return
			}
			ok = it.SeekGE(next)
		}
		if err := it.Error(); err != nil {
			yield(nil, r.db.classify(opRead, err))
		}
	}
}

func (r *reader) iterate(lower, upper []byte) (*pebble.Iterator, error) {
	if r.over {
		return nil, errOver
	}
	it, err := r.src.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, r.db.classify(opRead, err)
	}
	return it, nil
}

// tx is a running Update. What it writes is in its batch only, and its reads
// look there first.
type tx struct {
	reader
	batch   *pebble.Batch
	hints   []func()
	counted []counted
}

// counted is a counter that the transaction has changed. Its value joins the
// batch at the end, however often it changed.
type counted struct {
	name  string
	value uint64
}

// Lock has nothing to do: one writer runs at a time.
func (t *tx) Lock(*store.Schema, store.Key) error {
	if t.over {
		return errOver
	}
	return nil
}

// room refuses writes after the end and beyond the size of a transaction.
func (t *tx) room(n int) error {
	if t.over {
		return errOver
	}
	if t.batch.Len()+n > maxTx {
		return fmt.Errorf("%w: transaction over %d bytes", store.ErrTooLarge, maxTx)
	}
	return nil
}

// Put checks everything before it writes anything, so that a closure may go on
// after store.ErrExists.
func (t *tx) Put(s *store.Schema, key store.Key, doc []byte, add, drop []store.IndexEntry) error {
	if len(doc) > store.MaxValue {
		return fmt.Errorf("%w: %s of %d bytes", store.ErrTooLarge, s.Name, len(doc))
	}
	if err := t.room(len(doc)); err != nil {
		return err
	}
	if err := checkEntries(s, add, drop); err != nil {
		return err
	}
	for _, e := range add {
		if err := t.checkUnique(s, e, key); err != nil {
			return err
		}
	}
	if err := t.dropEntries(s, key, drop); err != nil {
		return err
	}
	var length [binary.MaxVarintLen64]byte
	for _, e := range add {
		value := []byte(key)
		if !s.Indexes[e.Index].Unique {
			value = binary.AppendUvarint(length[:0], uint64(len(e.Key)))
		}
		t.key = appendIndexKey(t.key[:0], s, e, key)
		if err := t.batch.Set(t.key, value, nil); err != nil {
			return err
		}
	}
	t.key = appendRowKey(t.key[:0], s, key)
	return t.batch.Set(t.key, doc, nil)
}

func checkEntries(s *store.Schema, lists ...[]store.IndexEntry) error {
	for _, list := range lists {
		for _, e := range list {
			if e.Index < 0 || e.Index >= len(s.Indexes) || e.Index >= maxIndexes {
				return fmt.Errorf("store: %s has no index %d", s.Name, e.Index)
			}
		}
	}
	return nil
}

func (t *tx) checkUnique(s *store.Schema, e store.IndexEntry, key store.Key) error {
	if !s.Indexes[e.Index].Unique {
		return nil
	}
	t.key = appendIndexKey(t.key[:0], s, e, key)
	holder, err := t.get()
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case string(holder) != string(key):
		return fmt.Errorf("%w: %s by %s", store.ErrExists, s.Name, s.Indexes[e.Index].Name)
	}
	return nil
}

func (t *tx) dropEntries(s *store.Schema, key store.Key, drop []store.IndexEntry) error {
	for _, e := range drop {
		t.key = appendIndexKey(t.key[:0], s, e, key)
		if err := t.batch.Delete(t.key, nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) Delete(s *store.Schema, key store.Key, drop []store.IndexEntry) error {
	if err := t.room(0); err != nil {
		return err
	}
	if err := checkEntries(s, drop); err != nil {
		return err
	}
	if err := t.dropEntries(s, key, drop); err != nil {
		return err
	}
	t.key = appendRowKey(t.key[:0], s, key)
	return t.batch.Delete(t.key, nil)
}

// Counter reads what the transaction has counted, then what the writers before
// it have: the counters of a busy store are few, and each change reads some.
func (t *tx) Counter(name store.Key) (uint64, error) {
	if t.over {
		return 0, errOver
	}
	for i := range t.counted {
		if t.counted[i].name == string(name) {
			return t.counted[i].value, nil
		}
	}
	if n, ok := t.db.counters[string(name)]; ok {
		return n, nil
	}
	n, err := t.reader.Counter(name)
	if err == nil {
		t.db.keepCounter(string(name), n)
	}
	return n, err
}

func (t *tx) Count(name store.Key, delta uint64) (uint64, error) {
	n, err := t.Counter(name)
	if err != nil {
		return 0, err
	}
	if err := t.room(len(t.counted) * counterRoom); err != nil {
		return 0, err
	}
	n += delta
	for i := range t.counted {
		if t.counted[i].name == string(name) {
			t.counted[i].value = n
			return n, nil
		}
	}
	t.counted = append(t.counted, counted{string(name), n})
	return n, nil
}

// counterRoom is what a counter takes of a batch, roughly.
const counterRoom = 64

// writeCounters puts the counted into the batch.
func (t *tx) writeCounters() error {
	var value [8]byte
	for _, c := range t.counted {
		t.key = appendCounterKey(t.key[:0], store.Key(c.name))
		binary.BigEndian.PutUint64(value[:], c.value)
		if err := t.batch.Set(t.key, value[:], nil); err != nil {
			return err
		}
	}
	return nil
}

// maxCounters is how many counters are kept in memory.
const maxCounters = 4096

// keepCounter remembers a counter as it is in the store. Must hold the writer's
// turn.
func (db *DB) keepCounter(name string, n uint64) {
	if len(db.counters) >= maxCounters {
		clear(db.counters)
	}
	db.counters[name] = n
}

func (t *tx) PutChunk(id store.Key, n uint32, data []byte) error {
	if len(data) > store.MaxValue {
		return fmt.Errorf("%w: chunk of %d bytes", store.ErrTooLarge, len(data))
	}
	if err := t.room(len(data)); err != nil {
		return err
	}
	t.key = appendChunkKey(t.key[:0], id, n)
	return t.batch.Set(t.key, data, nil)
}

// DeleteChunks deletes key by key: a mail has few chunks, and range tombstones
// would slow every later read of the batch.
func (t *tx) DeleteChunks(id store.Key) error {
	if err := t.room(0); err != nil {
		return err
	}
	lower := append(append([]byte{byte(store.PrefixChunk)}, id...), separator)
	upper := append(append([]byte{byte(store.PrefixChunk)}, id...), afterSeparator)
	it, err := t.iterate(lower, upper)
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = t.batch.Delete(it.Key(), nil)
	}
	err = errors.Join(err, it.Error(), it.Close())
	return t.db.classify(opRead, err)
}

func (t *tx) OnCommit(hint func()) { t.hints = append(t.hints, hint) }
