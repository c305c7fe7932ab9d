package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ticketgate/ticketing/store"
)

var scanQuestions = map[string]func(*testing.T, *bench){
	"RangesOfTheKey":       rangesOfTheKey,
	"RangesOfAnIndex":      rangesOfAnIndex,
	"CursorsCoverAll":      cursorsCoverAll,
	"CursorsSurviveDelete": cursorsSurviveDelete,
	"TuplesBeforeKeys":     tuplesBeforeKeys,
	"DeleteWhileScanning":  deleteWhileScanning,
	"LoopsMayEndEarly":     loopsMayEndEarly,
	"SkipLocked":           skipLocked,
}

func rangesOfTheKey(t *testing.T, b *bench) {
	b.put(&thing{ID: "a"}, &thing{ID: "ab"}, &thing{ID: "b"}, &thing{ID: "c"}, &thing{ID: ""})
	all := []string{"", "a", "ab", "b", "c"}
	for _, c := range []struct {
		q    store.Query
		want []string
	}{
		{store.Query{}, all},
		{store.Query{Reverse: true}, reversed(all)},
		{store.Query{From: str("ab")}, []string{"ab", "b", "c"}},
		{store.Query{From: str("aa")}, []string{"ab", "b", "c"}},
		{store.Query{To: str("b")}, []string{"", "a", "ab"}},
		{store.Query{From: str("a"), To: str("b"), Reverse: true}, []string{"ab", "a"}},
		{store.Query{From: str("b"), To: str("a")}, nil},
		{store.Query{From: str("b"), To: str("b")}, nil},
		{store.Query{Prefix: str("a")}, []string{"a"}}, // elements, not letters
		{store.Query{Prefix: str("")}, []string{""}},
		{store.Query{Prefix: str("a"), From: str("b")}, nil},
		{store.Query{Prefix: str("b"), To: str("b")}, nil},
		{store.Query{After: str("a")}, []string{"ab", "b", "c"}},
		{store.Query{After: str("b"), Reverse: true}, []string{"ab", "a", ""}},
		{store.Query{After: str("a"), From: str("b")}, []string{"b", "c"}},
		{store.Query{After: str("b"), From: str("a")}, []string{"c"}},
		{store.Query{After: str("c")}, nil},
		{store.Query{Limit: 2}, []string{"", "a"}},
		{store.Query{Limit: 2, Reverse: true}, []string{"c", "b"}},
		{store.Query{Limit: 99}, all},
	} {
		if got := b.ids(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", describe(c.q), got, c.want)
		}
	}
}

func rangesOfAnIndex(t *testing.T, b *bench) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }
	b.put(
		&thing{ID: "1", Group: "a", At: day(3)}, &thing{ID: "2", Group: "a", At: day(1)},
		&thing{ID: "3", Group: "b", At: day(2)}, &thing{ID: "4", Group: "a", At: day(3)},
		&thing{ID: "5", Group: "ab", At: day(1)}, &thing{ID: "6", Group: "", At: day(1)},
	)
	for _, c := range []struct {
		q    store.Query
		want []string
	}{
		{store.Query{}, []string{"6", "2", "1", "4", "5", "3"}},
		{store.Query{Prefix: str("a")}, []string{"2", "1", "4"}},
		{store.Query{Prefix: str("a"), Reverse: true}, []string{"4", "1", "2"}},
		{store.Query{Prefix: str("a").Time(day(3))}, []string{"1", "4"}},
		{store.Query{Prefix: str("a"), From: str("a").Time(day(2))}, []string{"1", "4"}},
		{store.Query{Prefix: str("a"), To: str("a").Time(day(3))}, []string{"2"}},
		{store.Query{Prefix: str("a"), To: str("b"), Limit: 2}, []string{"2", "1"}},
		{store.Query{From: str("a"), To: str("b")}, []string{"2", "1", "4", "5"}},
		{store.Query{Prefix: str("nobody")}, nil},
	} {
		c.q.Index = "group"
		if got := b.ids(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", describe(c.q), got, c.want)
		}
	}
}

// Pages of any size, in both directions, from positions or by Page, show every
// row once and in order.
func cursorsCoverAll(t *testing.T, b *bench) {
	const n = 23
	for i := range n {
		b.put(&thing{ID: fmt.Sprintf("%02d", i), Group: fmt.Sprint(i % 3), Tags: []string{"t", fmt.Sprint(i % 2)}, Email: fmt.Sprintf("%d@example.com", i*7%n)})
	}
	for _, q := range []store.Query{
		{}, {Index: "group"}, {Index: "tag"}, {Index: "email"}, {Index: "tag", Prefix: str("t")}, {Index: "group", Prefix: str("1")},
		{From: str("05"), To: str("17")},
	} {
		for _, q.Reverse = range []bool{false, true} {
			q.Limit, q.After = 0, nil
			want := b.ids(q)
			for _, q.Limit = range []int{1, 2, 7, n, 3 * n} {
				var pages, rows []string
				q.After = nil
				b.view(func(r store.Reader) error {
					for range 4 * n {
						page, next, err := things.Page(r, q)
						if err != nil {
							return err
						}
						for _, v := range page {
							pages = append(pages, v.ID)
						}
						if q.After = next; next == nil {
							break
						}
					}
					q.After = nil
					for range 4 * n {
						count := 0
						for row, err := range r.Scan(things.Schema(), q) {
							if err != nil {
								return err
							}
							count++
							q.After = row.Pos
							key, err := row.Key.Elements()
							if err != nil {
								return err
							}
							rows = append(rows, key[0].(string))
						}
						if count < q.Limit {
							break
						}
					}
					return nil
				})
				if !slices.Equal(pages, want) || !slices.Equal(rows, want) {
					t.Errorf("%s: pages %v, rows %v, want %v", describe(q), pages, rows, want)
				}
			}
		}
	}
}

// A cursor is a position, not a row: what it was taken from may be gone.
func cursorsSurviveDelete(t *testing.T, b *bench) {
	for i := range 6 {
		b.put(&thing{ID: fmt.Sprint(i), Tags: []string{"t"}})
	}
	var next store.Key
	b.view(func(r store.Reader) (err error) {
		_, next, err = things.Page(r, store.Query{Index: "tag", Limit: 3})
		return err
	})
	b.update(func(tx store.Tx) error { return things.Delete(tx, str("2")) })
	for _, c := range []struct {
		q    store.Query
		want []string
	}{
		{store.Query{Index: "tag", After: next}, []string{"3", "4", "5"}},
		{store.Query{Index: "tag", After: next, Reverse: true}, []string{"1", "0"}},
		{store.Query{Index: "tag", From: next}, []string{"3", "4", "5"}},
		{store.Query{Index: "tag", To: next}, []string{"0", "1"}},
	} {
		if got := b.ids(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", describe(c.q), got, c.want)
		}
	}
}

// Entries come in the order of their tuple first and of the primary key second,
// whatever the number of elements in the tuple.
func tuplesBeforeKeys(t *testing.T, b *bench) {
	schema := things.Schema()
	b.update(func(tx store.Tx) error {
		for _, e := range []struct{ tuple, id store.Key }{
			{str("g").Str("a"), str("0")}, {str("g"), str("z")}, {str("g").Str("a"), str("1")}, {str("g").Bool(true), str("0")}, {nil, str("y")},
		} {
			doc := fmt.Appendf([]byte{1}, `{"id":%q}`, fmt.Sprintf("%x/%x", []byte(e.tuple), []byte(e.id)))
			if err := tx.Put(schema, e.id.Clip().Join(e.tuple), doc, []store.IndexEntry{{Index: 1, Key: e.tuple}}, nil); err != nil {
				return err
			}
		}
		return nil
	})
	var got []string
	b.view(func(r store.Reader) error {
		for row, err := range r.Scan(schema, store.Query{Index: "tag"}) {
			if err != nil {
				return err
			}
			elements, err := row.Key.Elements()
			if err != nil {
				return err
			}
			got = append(got, fmt.Sprint(elements))
		}
		return nil
	})
	if want := []string{"[y]", "[z g]", "[0 g a]", "[1 g a]", "[0 g true]"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

// A loop sees the rows that were there when it began, each once, whatever its
// body does to them.
func deleteWhileScanning(t *testing.T, b *bench) {
	for _, index := range []string{"", "tag", "group"} {
		for i := range 5 {
			b.put(&thing{ID: fmt.Sprint(i), Group: "g", Tags: []string{"t"}})
		}
		b.update(func(tx store.Tx) error {
			var seen []string
			for v, err := range things.Scan(tx, store.Query{Index: index}) {
				if err != nil {
					return err
				}
				seen = append(seen, v.ID)
				if err := things.Put(tx, &thing{ID: v.ID + "-copy", Group: "g", Tags: []string{"t"}}); err != nil {
					return err
				}
				for i := range 5 { // all of them, at once
					if err := things.Delete(tx, str(fmt.Sprint(i))); err != nil {
						return err
					}
				}
			}
			if want := []string{"0", "1", "2", "3", "4"}; !slices.Equal(seen, want) {
				t.Errorf("by %q: the loop saw %v, want %v", index, seen, want)
			}
			for i := range 5 {
				if err := things.Delete(tx, str(fmt.Sprintf("%d-copy", i))); err != nil {
					return err
				}
			}
			return nil
		})
		if got := b.ids(store.Query{}); len(got) != 0 {
			t.Errorf("by %q: left over %v", index, got)
		}
	}
}

// A loop that ends early holds nothing: the store can be closed (an engine
// that counts what is open says so when its test ends).
func loopsMayEndEarly(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", Tags: []string{"x"}}, &thing{ID: "b", Tags: []string{"x"}})
	b.update(func(tx store.Tx) error { return tx.PutChunk(str("c"), 0, []byte("c")) })
	look := func(r store.Reader) {
		for _, index := range []string{"", "tag"} {
			for range r.Scan(things.Schema(), store.Query{Index: index}) {
				break
			}
		}
		for range r.ChunkIDs(nil) {
			break
		}
		func() {
			defer func() { _ = recover() }()
			for range r.Scan(things.Schema(), store.Query{Index: "tag"}) {
				panic("in a loop")
			}
		}()
	}
	b.view(func(r store.Reader) error { look(r); return nil })
	b.update(func(tx store.Tx) error { look(tx); return things.Put(tx, &thing{ID: "d"}) })
	if err := b.db.Update(t.Context(), func(tx store.Tx) error { look(tx); return errOnPurpose }); err != errOnPurpose {
		t.Error(err)
	}
}

func skipLocked(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", Tags: []string{"x"}}, &thing{ID: "b", Tags: []string{"x"}})
	b.update(func(tx store.Tx) error {
		if got := ids(t, tx, store.Query{Index: "tag", SkipLocked: true}); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("rows nobody holds: %v", got)
		}
		return nil
	})
	b.view(func(r store.Reader) error {
		for _, err := range things.Scan(r, store.Query{SkipLocked: true}) {
			if err == nil {
				t.Error("SkipLocked was accepted in a View")
			}
		}
		return nil
	})
}

func reversed(list []string) []string {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

func describe(q store.Query) string {
	part := func(name string, k store.Key) string {
		if k == nil {
			return ""
		}
		elements, err := k.Elements()
		if err != nil {
			return fmt.Sprintf(" %s=%x", name, []byte(k))
		}
		return fmt.Sprintf(" %s=%q", name, elements)
	}
	return fmt.Sprintf("index %q%s%s%s%s limit %d reverse %v", q.Index, part("prefix", q.Prefix), part("from", q.From),
		part("to", q.To), part("after", q.After), q.Limit, q.Reverse)
}
