package pebble

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"ticketgate/ticketing/store"
)

// Scan yields rows as they are when the loop starts; what the loop's body
// writes does not change it. SkipLocked has nothing to skip here, but belongs
// into an Update as everywhere.
func (r *reader) Scan(s *store.Schema, q store.Query) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		if q.SkipLocked {
			yield(store.Row{}, fmt.Errorf("store: scan %s: SkipLocked outside Update", s.Name))
			return
		}
		r.scan(s, q, yield)
	}
}

// Scan: see reader.Scan.
func (t *tx) Scan(s *store.Schema, q store.Query) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) { t.scan(s, q, yield) }
}

func (r *reader) scan(s *store.Schema, q store.Query, yield func(store.Row, error) bool) {
	c, err := newCursor(r, s, q)
	if err != nil {
		yield(store.Row{}, err)
		return
	}
	if c == nil {
		return
	}
	defer c.close()
	ok := c.start()
	for n := 0; ok && (q.Limit <= 0 || n < q.Limit); n++ {
		row, err := c.row()
		if err != nil {
			yield(store.Row{}, err)
			return
		}
		if !yield(row, nil) {
			return
		}
		// The last row of a limit needs no step further.
		if q.Limit > 0 && n+1 == q.Limit {
			return
		}
		ok = c.step()
	}
	if err := c.it.Error(); err != nil {
		yield(store.Row{}, r.db.classify(opRead, err))
	}
}

// cursor walks the keys of a range and finds their rows.
type cursor struct {
	r       *reader
	s       *store.Schema
	index   int // -1 for the primary key
	reverse bool
	it      *pebble.Iterator
	rows    *pebble.Iterator // same state as it, over the rows; opened when needed
	key     []byte
}

// newCursor returns nil if the range is empty by its bounds.
func newCursor(r *reader, s *store.Schema, q store.Query) (*cursor, error) {
	index := -1
	if q.Index != "" {
		if index = indexOf(s, q.Index); index < 0 {
			return nil, fmt.Errorf("store: %s has no index %q", s.Name, q.Index)
		}
	}
	lower, upper := bounds([]byte{byte(s.Prefix), byte(index + 1)}, q)
	if bytes.Compare(lower, upper) >= 0 {
		return nil, nil
	}
	it, err := r.iterate(lower, upper)
	if err != nil {
		return nil, err
	}
	return &cursor{r: r, s: s, index: index, reverse: q.Reverse, it: it}, nil
}

func indexOf(s *store.Schema, name string) int {
	for i := range s.Indexes {
		if s.Indexes[i].Name == name {
			return i
		}
	}
	return -1
}

// bounds returns the keys at or after lower and before upper that q selects in
// a space (table prefix and index).
func bounds(space []byte, q store.Query) (lower, upper []byte) {
	in := func(k store.Key) []byte { return append(space[:len(space):len(space)], k...) }
	lower = in(q.Prefix)
	upper = store.Key(lower).PrefixEnd()
	raise := func(k []byte) {
		if bytes.Compare(k, lower) > 0 {
			lower = k
		}
	}
	reduce := func(k []byte) {
		if bytes.Compare(k, upper) < 0 {
			upper = k
		}
	}
	if q.From != nil {
		raise(in(q.From))
	}
	if q.To != nil {
		reduce(in(q.To))
	}
	if q.After != nil {
		if q.Reverse {
			reduce(in(q.After))
		} else {
			raise(append(in(q.After), 0x00)) // the next key there can be
		}
	}
	return lower, upper
}

func (c *cursor) start() bool {
	if c.reverse {
		return c.it.Last()
	}
	return c.it.First()
}

func (c *cursor) step() bool {
	if c.reverse {
		return c.it.Prev()
	}
	return c.it.Next()
}

func (c *cursor) close() {
	err := c.it.Close()
	if c.rows != nil {
		if rerr := c.rows.Close(); err == nil {
			err = rerr
		}
	}
	if err != nil {
		// What matters of it has been seen through Error already.
		_ = c.r.db.classify(opRead, err)
	}
}

// row returns the row at the cursor. Key and Pos may share memory, with no
// spare capacity.
func (c *cursor) row() (store.Row, error) {
	value, err := c.it.ValueAndErr()
	if err != nil {
		return store.Row{}, c.r.db.classify(opRead, err)
	}
	key := c.it.Key()[2:]
	if c.index < 0 {
		buf := make([]byte, len(key)+len(value))
		copy(buf, key)
		copy(buf[len(key):], value)
		pos := store.Key(buf[:len(key):len(key)])
		return store.Row{Key: pos, Pos: pos, Doc: buf[len(key):]}, nil
	}
	row := store.Row{Pos: append(make(store.Key, 0, len(key)), key...)}
	if c.s.Indexes[c.index].Unique {
		row.Key = append(make(store.Key, 0, len(value)), value...)
	} else if row.Key, err = splitPosition(row.Pos, value); err != nil {
		return store.Row{}, err
	}
	row.Doc, err = c.lookup(row.Key)
	return row, err
}

// lookup reads a row in the same state as the index entry that named it.
func (c *cursor) lookup(primary store.Key) ([]byte, error) {
	if c.rows == nil {
		rows, err := c.it.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{
			LowerBound: []byte{byte(c.s.Prefix), rowSpace},
			UpperBound: []byte{byte(c.s.Prefix), rowSpace + 1},
		}})
		if err != nil {
			return nil, c.r.db.classify(opRead, err)
		}
		c.rows = rows
	}
	c.key = appendRowKey(c.key[:0], c.s, primary)
	if !c.rows.SeekPrefixGE(c.key) {
		if err := c.rows.Error(); err != nil {
			return nil, c.r.db.classify(opRead, err)
		}
		return nil, fmt.Errorf("%w: index %s of %s names row %x, which is missing",
			store.ErrCorrupt, c.s.Indexes[c.index].Name, c.s.Name, []byte(primary))
	}
	value, err := c.rows.ValueAndErr()
	if err != nil {
		return nil, c.r.db.classify(opRead, err)
	}
	return append(make([]byte, 0, len(value)), value...), nil
}
