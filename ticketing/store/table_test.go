package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

type person struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Nicks []string `json:"nicks,omitempty"`
	Login string   `json:"login,omitempty"`
}

func words(list ...string) (out []store.Key) {
	for _, w := range list {
		if w != "" {
			out = append(out, store.Key{}.Str(w))
		}
	}
	return out
}

var people = store.NewTable("person", 0xf8, []string{"id"}, func(p *person) store.Key { return store.Key{}.Str(p.ID) },
	store.Index[person]{Name: "name", Columns: []string{"name"}, Keys: func(p *person) []store.Key { return words(p.Name) }},
	store.Index[person]{Name: "nick", Columns: []string{"nick"}, Keys: func(p *person) []store.Key { return words(p.Nicks...) }},
	store.Index[person]{Name: "login", Columns: []string{"login"}, Unique: true, Keys: func(p *person) []store.Key { return words(p.Login) }},
)

func update(t testing.TB, db store.DB, fn func(store.Tx) error) {
	t.Helper()
	if err := db.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func key(id string) store.Key { return store.Key{}.Str(id) }

// Whatever is put and deleted in whatever order, the indexes name exactly the
// rows they should. Among the words are some that are not UTF-8: they come back
// from the document as other strings, and must be found and removed all the
// same.
func TestTableKeepsItsIndexes(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	word := rapid.SampledFrom([]string{"", "a", "b", "\xff", "\xfe", "a\x00", "\ufffd"})
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			err := db.Update(context.Background(), func(tx store.Tx) error {
				p := &person{ID: word.Draw(rt, "id"), Name: word.Draw(rt, "name"), Nicks: rapid.SliceOfN(word, 0, 3).Draw(rt, "nicks"), Login: word.Draw(rt, "login")}
				switch rapid.IntRange(0, 7).Draw(rt, "delete") {
				case 0:
					return people.Delete(tx, key(p.ID))
				case 1:
					old, err := people.Find(tx, key(p.ID))
					if err != nil || old == nil {
						return err
					}
					return errors.Join(people.Remove(tx, old), people.Verify(tx))
				}
				if err := put(tx, p, rapid.Bool().Draw(rt, "read first")); err != nil && !errors.Is(err, store.ErrExists) {
					return err
				}
				return people.Verify(tx)
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		if err := db.View(context.Background(), func(r store.Reader) error { return people.Verify(r) }); err != nil {
			rt.Fatal(err)
		}
	})
}

// put stores a person in one of the ways there are.
func put(tx store.Tx, p *person, readFirst bool) error {
	if !readFirst {
		return people.Put(tx, p)
	}
	old, err := people.Find(tx, key(p.ID))
	switch {
	case err != nil:
		return err
	case old == nil:
		return people.Insert(tx, p)
	}
	// Changed in place, as callers do: a copy of what was read stands in for it.
	was := *old
	old.Name, old.Nicks, old.Login = p.Name, p.Nicks, p.Login
	return people.Replace(tx, &was, old)
}

func TestTableBadUTF8IsFound(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	update(t, db, func(tx store.Tx) error { return people.Put(tx, &person{ID: "id\xff", Login: "login\xff"}) })
	update(t, db, func(tx store.Tx) error {
		p, err := people.First(tx, store.Query{Index: "login", Prefix: key("login\xff")})
		if err != nil || p == nil {
			t.Fatalf("not found by its login: %v", err)
		}
		if p, err = people.Find(tx, key("id\xff")); err != nil || p == nil {
			t.Fatalf("not found by its key: %v", err)
		}
		p.Login = "other"
		return people.Put(tx, p)
	})
	update(t, db, func(tx store.Tx) error {
		if err := people.Put(tx, &person{ID: "second", Login: "login\xff"}); err != nil {
			t.Errorf("the old login is still taken: %v", err)
		}
		return people.Verify(tx)
	})
}

func TestTableReads(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	update(t, db, func(tx store.Tx) error {
		for i := range 5 {
			if err := people.Put(tx, &person{ID: fmt.Sprint(i), Nicks: []string{"x", "x"}}); err != nil {
				return err
			}
		}
		return nil
	})
	update(t, db, func(tx store.Tx) error {
		if _, err := people.Get(tx, key("none")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get: %v", err)
		}
		if p, err := people.Find(tx, key("none")); p != nil || err != nil {
			t.Errorf("Find: %v, %v", p, err)
		}
		if p, err := people.First(tx, store.Query{Index: "nick", Prefix: key("none")}); p != nil || err != nil {
			t.Errorf("First of nothing: %v, %v", p, err)
		}
		if p, err := people.First(tx, store.Query{Reverse: true, Limit: 3}); err != nil || p.ID != "4" {
			t.Errorf("First in reverse: %v, %v", p, err)
		}
		for limit, want := range map[int][]int{0: {5}, 2: {2, 2, 1}, 5: {5}, 6: {5}, 1: {1, 1, 1, 1, 1}} {
			var sizes []int
			q := store.Query{Index: "nick", Limit: limit}
			for range 9 {
				page, next, err := people.Page(tx, q)
				if err != nil {
					return err
				}
				sizes = append(sizes, len(page))
				if next == nil {
					break
				}
				q.After = next
			}
			if !slices.Equal(sizes, want) {
				t.Errorf("pages of %d: %v, want %v", limit, sizes, want)
			}
		}
		return nil
	})
}

func TestTableRefusesWhatItCannotStore(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	type odd struct{ C chan int }
	odds := store.NewTable("odd", 0xf9, nil, func(*odd) store.Key { return key("k") })
	update(t, db, func(tx store.Tx) error {
		if err := odds.Put(tx, &odd{C: make(chan int)}); err == nil {
			t.Error("a channel was stored")
		}
		if err := people.Put(tx, &person{ID: strings.Repeat("x", store.MaxValue)}); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("a record over the limit: %v", err)
		}
		return nil
	})
}

// A document that cannot be decoded is an error for whoever meets it, by every
// way of reading, and never an empty record.
func TestTableCorruptDocument(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{"empty": "", "version": "\x02{}", "json": "\x01{", "type": "\x01[]"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t)
			update(t, db, func(tx store.Tx) error {
				return tx.Put(people.Schema(), key("a"), []byte(doc), []store.IndexEntry{{Index: 0, Key: key("n")}}, nil)
			})
			update(t, db, func(tx store.Tx) error {
				_, getErr := people.Get(tx, key("a"))
				_, findErr := people.Find(tx, key("a"))
				_, firstErr := people.First(tx, store.Query{Index: "name"})
				_, _, pageErr := people.Page(tx, store.Query{})
				for what, err := range map[string]error{
					"Get": getErr, "Find": findErr, "First": firstErr, "Page": pageErr, "Verify": people.Verify(tx),
					"Put": people.Put(tx, &person{ID: "a"}), "Delete": people.Delete(tx, key("a")),
				} {
					if !errors.Is(err, store.ErrCorrupt) {
						t.Errorf("%s: %v", what, err)
					}
				}
				return nil
			})
		})
	}
}

// Verify notices each way in which rows and indexes can disagree.
func TestVerifyNotices(t *testing.T) {
	t.Parallel()
	doc := []byte("\x01" + `{"id":"a","name":"n"}`)
	for name, spoil := range map[string]func(tx store.Tx, s *store.Schema) error{
		"missing entry": func(tx store.Tx, s *store.Schema) error { return tx.Put(s, key("a"), doc, nil, nil) },
		"entry too many": func(tx store.Tx, s *store.Schema) error {
			return tx.Put(s, key("a"), doc, []store.IndexEntry{{Index: 0, Key: key("n")}, {Index: 0, Key: key("m")}}, nil)
		},
		"entry of another index": func(tx store.Tx, s *store.Schema) error {
			return tx.Put(s, key("a"), doc, []store.IndexEntry{{Index: 0, Key: key("n")}, {Index: 2, Key: key("n")}}, nil)
		},
		"entry without row": func(tx store.Tx, s *store.Schema) error {
			return errors.Join(tx.Put(s, key("a"), doc, []store.IndexEntry{{Index: 0, Key: key("n")}}, nil), tx.Delete(s, key("a"), nil))
		},
		"wrong key": func(tx store.Tx, s *store.Schema) error {
			return tx.Put(s, key("b"), doc, []store.IndexEntry{{Index: 0, Key: key("n")}}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.Open(t)
			update(t, db, func(tx store.Tx) error {
				if err := people.Verify(tx); err != nil {
					t.Errorf("an empty table: %v", err)
				}
				return spoil(tx, people.Schema())
			})
			err := db.View(context.Background(), func(r store.Reader) error { return people.Verify(r) })
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("Verify: %v", err)
			}
		})
	}
}

// Engines see what was declared.
func TestSchemaIsWhatWasDeclared(t *testing.T) {
	t.Parallel()
	s := people.Schema()
	if s.Name != "person" || s.Prefix != 0xf8 || len(s.Indexes) != 3 || !s.Indexes[2].Unique || s.Indexes[1].Unique || s.Indexes[1].Columns[0] != "nick" {
		t.Errorf("schema %+v", s)
	}
}
