package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
)

// docVersion is the first byte of every stored document. Version 1 is JSON.
const docVersion = 1

// Index declares a secondary index of a Table.
type Index[T any] struct {
	Name    string
	Columns []string
	Unique  bool
	// Keys returns the record's entries in this index: none, one or many. It
	// looks only at what is stored, so that a record has the same entries
	// when it is read again; so does the function of the primary key.
	Keys func(*T) []Key
}

// Table is a declared table of records of type T, stored as versioned JSON.
// Its value is immutable and may be shared.
type Table[T any] struct {
	schema  Schema
	key     func(*T) Key
	indexes []Index[T]
}

// NewTable declares a table. columns names the elements of the primary key.
func NewTable[T any](name string, prefix Prefix, columns []string, key func(*T) Key, indexes ...Index[T]) *Table[T] {
	t := &Table[T]{
		schema:  Schema{Name: name, Prefix: prefix, Columns: columns},
		key:     key,
		indexes: indexes,
	}
	for _, x := range indexes {
		t.schema.Indexes = append(t.schema.Indexes, IndexSchema{Name: x.Name, Columns: x.Columns, Unique: x.Unique})
	}
	return t
}

// Schema returns the declaration engines see.
func (t *Table[T]) Schema() *Schema { return &t.schema }

// Get returns the record with this primary key, or ErrNotFound.
func (t *Table[T]) Get(r Reader, key Key) (*T, error) {
	doc, err := r.Get(&t.schema, key)
	if err != nil {
		return nil, err
	}
	return t.decode(doc)
}

// Find returns the record with this primary key, or nil if there is none.
func (t *Table[T]) Find(r Reader, key Key) (*T, error) {
	v, err := t.Get(r, key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// Scan yields the records of a range in order. The sequence ends after the
// first error.
func (t *Table[T]) Scan(r Reader, q Query) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for row, err := range r.Scan(&t.schema, q) {
			if err != nil {
				yield(nil, err)
				return
			}
			v, err := t.decode(row.Doc)
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// First returns the first record of a range, or nil if it is empty.
func (t *Table[T]) First(r Reader, q Query) (*T, error) {
	q.Limit = 1
	for v, err := range t.Scan(r, q) {
		return v, err
	}
	return nil, nil
}

// Page returns up to q.Limit records of a range and the cursor to continue
// after them (for q.After), nil at the end.
func (t *Table[T]) Page(r Reader, q Query) (page []*T, next Key, err error) {
	limit := q.Limit
	if limit > 0 {
		q.Limit = limit + 1
	}
	var last Key
	for row, err := range r.Scan(&t.schema, q) {
		if err != nil {
			return nil, nil, err
		}
		if limit > 0 && len(page) == limit {
			return page, last, nil
		}
		v, err := t.decode(row.Doc)
		if err != nil {
			return nil, nil, err
		}
		page, last = append(page, v), row.Pos
	}
	return page, nil, nil
}

// Lock holds the row with this primary key, existing or not, until the
// transaction ends.
func (t *Table[T]) Lock(tx Tx, key Key) error { return tx.Lock(&t.schema, key) }

// Put stores the record under its primary key and brings its index entries up
// to date. It fails with ErrExists if a unique index holds an entry of another
// record and with ErrTooLarge if the document is over MaxValue.
func (t *Table[T]) Put(tx Tx, v *T) error {
	if len(t.indexes) == 0 {
		return t.Replace(tx, nil, v)
	}
	old, err := t.Find(tx, t.key(v))
	if err != nil {
		return err
	}
	return t.Replace(tx, old, v)
}

// Insert is Put for a record whose primary key the table does not hold, and
// saves the look-up that would find out. It is for keys that were drawn at
// random or from a counter in this transaction, or that were looked up in it,
// under a lock, and not found. An old record under the key would leave its
// index entries behind.
func (t *Table[T]) Insert(tx Tx, v *T) error { return t.Replace(tx, nil, v) }

// Replace is Put for a record whose stored form the caller has at hand: old is
// what this transaction read or wrote last under the primary key of v, nil if
// the table holds none. Of old only the fields count that its keys are made of;
// a copy taken before v was changed in place will do.
func (t *Table[T]) Replace(tx Tx, old, v *T) error {
	doc, err := t.encode(v)
	if err != nil {
		return err
	}
	fresh := t.entries(v)
	var stale []IndexEntry
	if old != nil {
		stale = t.entries(old)
	}
	return tx.Put(&t.schema, t.key(v), doc, subtract(fresh, stale), subtract(stale, fresh))
}

// Delete removes the record with this primary key; removing nothing is no
// error.
func (t *Table[T]) Delete(tx Tx, key Key) error {
	old, err := t.Find(tx, key)
	if err != nil || old == nil {
		return err
	}
	return t.Remove(tx, old)
}

// Remove is Delete for a record whose stored form the caller has at hand, on
// the terms of Replace.
func (t *Table[T]) Remove(tx Tx, old *T) error {
	return tx.Delete(&t.schema, t.key(old), t.entries(old))
}

func (t *Table[T]) entries(v *T) []IndexEntry {
	var out []IndexEntry
	for i, x := range t.indexes {
		for _, k := range x.Keys(v) {
			out = append(out, IndexEntry{Index: i, Key: k})
		}
	}
	return out
}

// subtract returns the entries of a that are not in b, each once.
func subtract(a, b []IndexEntry) []IndexEntry {
	var out []IndexEntry
	for _, x := range a {
		if !hasEntry(b, x) && !hasEntry(out, x) {
			out = append(out, x)
		}
	}
	return out
}

func hasEntry(list []IndexEntry, e IndexEntry) bool {
	for _, x := range list {
		if x.Index == e.Index && bytes.Equal(x.Key, e.Key) {
			return true
		}
	}
	return false
}

func (t *Table[T]) encode(v *T) ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte(docVersion)
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("store: encode %s: %w", t.schema.Name, err)
	}
	if buf.Len() > MaxValue {
		return nil, fmt.Errorf("%w: %s of %d bytes", ErrTooLarge, t.schema.Name, buf.Len())
	}
	return buf.Bytes(), nil
}

func (t *Table[T]) decode(doc []byte) (*T, error) {
	if len(doc) == 0 || doc[0] != docVersion {
		return nil, fmt.Errorf("%w: %s: unknown document version", ErrCorrupt, t.schema.Name)
	}
	v := new(T)
	if err := json.Unmarshal(doc[1:], v); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", ErrCorrupt, t.schema.Name, err)
	}
	return v, nil
}
