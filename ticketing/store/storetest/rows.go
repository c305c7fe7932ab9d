package storetest

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"ticketgate/ticketing/store"
)

var rowQuestions = map[string]func(*testing.T, *bench){
	"GetPutDelete":          getPutDelete,
	"UniqueIndex":           uniqueIndex,
	"UniqueLeavesNoTrace":   uniqueLeavesNoTrace,
	"UniqueChangesHands":    uniqueChangesHands,
	"ManyEntriesOfARow":     manyEntriesOfARow,
	"ValueTooLarge":         valueTooLarge,
	"SlicesBelongToCaller":  slicesBelongToCaller,
	"CountersAreApart":      countersAreApart,
	"UnknownIndexIsRefused": unknownIndexIsRefused,
}

func getPutDelete(t *testing.T, b *bench) {
	b.update(func(tx store.Tx) error {
		if v, err := things.Find(tx, str("a")); v != nil || err != nil {
			t.Errorf("absent row: %+v, %v", v, err)
		}
		return things.Delete(tx, str("a")) // deleting nothing is no error
	})
	want := &thing{ID: "a", Group: "g\x00h", At: b.clock.Now().UTC(), Tags: []string{""}, Email: "ä@example.com", N: 1 << 60, Body: []byte{0, 255}}
	b.put(want)
	b.view(func(r store.Reader) error {
		got, err := things.Get(r, str("a"))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		return err
	})
	b.update(func(tx store.Tx) error { return things.Delete(tx, str("a")) })
	for _, index := range []string{"", "group", "tag", "email"} {
		if got := b.ids(store.Query{Index: index}); len(got) != 0 {
			t.Errorf("by %q after the delete: %v", index, got)
		}
	}
}

func uniqueIndex(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", Email: "x@example.com"}, &thing{ID: "b"}, &thing{ID: "c"}) // no entry is no conflict
	b.updateErr(store.ErrExists, func(tx store.Tx) error { return things.Put(tx, &thing{ID: "b", Email: "x@example.com"}) })
	b.put(&thing{ID: "a", Email: "x@example.com", N: 2}) // its own entry is no conflict
	// In one transaction it is the same.
	b.updateErr(store.ErrExists, func(tx store.Tx) error {
		return putAll(tx, &thing{ID: "b", Email: "y@example.com"}, &thing{ID: "c", Email: "y@example.com"})
	})
	if got := b.ids(store.Query{Index: "email"}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("by email: %v", got)
	}
}

// A failed Put has written nothing, not even its index entries, so a closure
// may take another way and commit.
func uniqueLeavesNoTrace(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", Email: "x@example.com"}, &thing{ID: "b", Tags: []string{"old"}})
	b.update(func(tx store.Tx) error {
		err := things.Put(tx, &thing{ID: "b", Tags: []string{"new"}, Email: "x@example.com"})
		if !errors.Is(err, store.ErrExists) {
			t.Errorf("Put: %v", err)
		}
		return things.Put(tx, &thing{ID: "c"})
	})
	if got := b.ids(store.Query{}); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("rows: %v", got)
	}
	b.view(func(r store.Reader) error {
		var tags []string
		for v, err := range things.Scan(r, store.Query{Index: "tag"}) {
			if err != nil {
				return err
			}
			tags = append(tags, v.Tags...)
		}
		if !slices.Equal(tags, []string{"old"}) {
			t.Errorf("tags: %v", tags)
		}
		return nil
	})
}

func uniqueChangesHands(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", Email: "x@example.com"}, &thing{ID: "b", Email: "y@example.com"})
	b.update(func(tx store.Tx) error {
		return putAll(tx, &thing{ID: "a"}, &thing{ID: "b", Email: "x@example.com"}, &thing{ID: "a", Email: "y@example.com"})
	})
	if got := b.ids(store.Query{Index: "email"}); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("after the swap: %v", got)
	}
	b.update(func(tx store.Tx) error { return things.Delete(tx, str("b")) })
	b.put(&thing{ID: "c", Email: "x@example.com"})
	if got := b.ids(store.Query{Index: "email"}); !slices.Equal(got, []string{"c", "a"}) {
		t.Errorf("after the delete: %v", got)
	}
}

func manyEntriesOfARow(t *testing.T, b *bench) {
	for _, step := range []struct {
		tags []string
		want []string
	}{
		{[]string{"b", "a", "b"}, []string{"a", "b"}},
		{[]string{"c", "b"}, []string{"b", "c"}},
		{nil, []string{}},
		{[]string{"", "\x00", "\x00\x01", "\xff"}, []string{"", "\x00", "\x00\x01", "\xff"}},
	} {
		b.put(&thing{ID: "r", Tags: step.tags})
		for _, tag := range append(step.want, "zzz") {
			want := []string{}
			if slices.Contains(step.want, tag) {
				want = append(want, "r")
			}
			if got := b.ids(store.Query{Index: "tag", Prefix: str(tag)}); !slices.Equal(got, want) {
				t.Errorf("tags %q: entries under %q: %v, want %v", step.tags, tag, got, want)
			}
		}
		if got := len(b.ids(store.Query{Index: "tag"})); got != len(step.want) {
			t.Errorf("tags %q: %d entries in all, want %d", step.tags, got, len(step.want))
		}
	}
}

func valueTooLarge(t *testing.T, b *bench) {
	schema := things.Schema()
	full := make([]byte, store.MaxValue)
	over := make([]byte, store.MaxValue+1)
	b.update(func(tx store.Tx) error {
		if err := tx.Put(schema, str("row"), over, nil, nil); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("Put over the limit: %v", err)
		}
		if err := tx.PutChunk(str("c"), 0, over); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("Tx.PutChunk over the limit: %v", err)
		}
		if err := things.Put(tx, &thing{ID: "typed", Body: over}); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("Table.Put over the limit: %v", err)
		}
		return errors.Join(tx.Put(schema, str("row"), full, nil, nil), tx.PutChunk(str("c"), 0, full))
	})
	if err := b.db.PutChunk(t.Context(), str("c"), 1, over); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("DB.PutChunk over the limit: %v", err)
	}
	if err := b.db.PutChunk(t.Context(), str("c"), 1, full); err != nil {
		t.Errorf("DB.PutChunk at the limit: %v", err)
	}
	b.view(func(r store.Reader) error {
		doc, err := r.Get(schema, str("row"))
		if len(doc) != store.MaxValue {
			t.Errorf("row at the limit: %d bytes", len(doc))
		}
		return err
	})
}

func slicesBelongToCaller(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", Tags: []string{"x"}, Email: "a@example.com"}, &thing{ID: "b", Tags: []string{"x"}, Email: "b@example.com"})
	b.update(func(tx store.Tx) error { return tx.PutChunk(str("c"), 0, []byte("chunk")) })
	spoil := func(r store.Reader) error {
		for _, index := range []string{"", "tag", "email"} {
			for row, err := range r.Scan(things.Schema(), store.Query{Index: index}) {
				if err != nil {
					return err
				}
				_ = append(row.Key, 0xee)
				_ = append(row.Pos, 0xee)
				clear(row.Doc)
				clear(row.Pos)
				clear(row.Key)
			}
		}
		doc, err := r.Get(things.Schema(), str("a"))
		clear(doc)
		chunk, cerr := r.Chunk(str("c"), 0)
		clear(chunk)
		for id, err := range r.ChunkIDs(nil) {
			clear(id)
			if err != nil {
				return err
			}
		}
		return errors.Join(err, cerr)
	}
	check := func(r store.Reader) error {
		for _, index := range []string{"", "tag", "email"} {
			if got := ids(t, r, store.Query{Index: index}); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("by %q: %v", index, got)
			}
		}
		chunk, err := r.Chunk(str("c"), 0)
		if string(chunk) != "chunk" {
			t.Errorf("chunk %q", chunk)
		}
		return err
	}
	b.view(func(r store.Reader) error { return errors.Join(spoil(r), check(r)) })
	b.update(func(tx store.Tx) error {
		if err := putAll(tx, &thing{ID: "a", Tags: []string{"x"}, Email: "a@example.com", N: 1}); err != nil {
			return err
		}
		return errors.Join(spoil(tx), check(tx))
	})
	b.view(check)
	// What goes in is copied too.
	doc := []byte("before")
	b.update(func(tx store.Tx) error {
		err := tx.PutChunk(str("d"), 0, doc)
		copy(doc, "later!")
		return err
	})
	b.view(func(r store.Reader) error {
		got, err := r.Chunk(str("d"), 0)
		if string(got) != "before" {
			t.Errorf("chunk %q was changed after it was put", got)
		}
		return err
	})
}

func countersAreApart(t *testing.T, b *bench) {
	names := []store.Key{nil, str(""), str("a"), str("a").Uint(0), str("a").Str("b"), {0x00}}
	b.update(func(tx store.Tx) error {
		for i, name := range names {
			if _, err := tx.Count(name, uint64(i+1)); err != nil {
				return err
			}
		}
		return nil
	})
	b.view(func(r store.Reader) error {
		for i, name := range names {
			if n, err := r.Counter(name); n != uint64(i+1) || err != nil {
				t.Errorf("counter %x: %d, %v, want %d", []byte(name), n, err, i+1)
			}
		}
		return nil
	})
}

func unknownIndexIsRefused(t *testing.T, b *bench) {
	b.put(&thing{ID: "a"})
	b.view(func(r store.Reader) error {
		for _, err := range things.Scan(r, store.Query{Index: "nope"}) {
			if err == nil {
				t.Error("a row came from an index that does not exist")
			}
			return nil
		}
		t.Error("the scan of an index that does not exist was empty, not an error")
		return nil
	})
	b.update(func(tx store.Tx) error {
		for _, n := range []int{-1, 3} {
			entry := []store.IndexEntry{{Index: n, Key: str("k")}}
			if tx.Put(things.Schema(), str("x"), []byte{1}, entry, nil) == nil || tx.Delete(things.Schema(), str("x"), entry) == nil {
				t.Errorf("index %d was accepted", n)
			}
		}
		return nil
	})
}
