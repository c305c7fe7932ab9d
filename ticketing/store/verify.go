package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Verify reads the whole table and reports ErrCorrupt if its rows cannot be
// decoded or its indexes do not name exactly the rows they should, in order.
// It keeps the keys of one index in memory at a time.
func (t *Table[T]) Verify(r Reader) error {
	type entry struct{ tuple, key Key }
	for i := -1; i < len(t.indexes); i++ {
		var want []entry
		for row, err := range r.Scan(&t.schema, Query{}) {
			if err != nil {
				return err
			}
			v, err := t.decode(row.Doc)
			if err != nil {
				return err
			}
			if key := t.key(v); !bytes.Equal(key, row.Key) {
				return fmt.Errorf("%w: %s: the record under key %x says its key is %x", ErrCorrupt, t.schema.Name, []byte(row.Key), []byte(key))
			}
			for _, e := range subtract(t.entries(v), nil) {
				if e.Index == i {
					want = append(want, entry{e.Key, row.Key})
				}
			}
		}
		if i < 0 {
			continue
		}
		slices.SortFunc(want, func(a, b entry) int {
			return cmp.Or(bytes.Compare(a.tuple, b.tuple), bytes.Compare(a.key, b.key))
		})
		name := t.indexes[i].Name
		n := 0
		for row, err := range r.Scan(&t.schema, Query{Index: name}) {
			if err != nil {
				return err
			}
			if n >= len(want) || !bytes.Equal(row.Key, want[n].key) {
				return fmt.Errorf("%w: entry %d of index %s of %s names row %x, which should not be there", ErrCorrupt, n, name, t.schema.Name, []byte(row.Key))
			}
			n++
		}
		if n < len(want) {
			return fmt.Errorf("%w: index %s of %s lacks the entry of row %x", ErrCorrupt, name, t.schema.Name, []byte(want[n].key))
		}
	}
	return nil
}
