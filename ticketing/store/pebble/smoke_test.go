package pebble_test

import (
	"context"
	"testing"
	"time"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

type smoke struct {
	ID   string
	Tags []string
	Mail string
}

var smokes = store.NewTable("smoke", 0xf0, []string{"id"}, func(s *smoke) store.Key { return store.Key{}.Str(s.ID) },
	store.Index[smoke]{Name: "tag", Keys: func(s *smoke) (out []store.Key) {
		for _, t := range s.Tags {
			out = append(out, store.Key{}.Str(t))
		}
		return out
	}},
	store.Index[smoke]{Name: "mail", Unique: true, Keys: func(s *smoke) []store.Key { return []store.Key{store.Key{}.Str(s.Mail)} }},
)

func TestSmoke(t *testing.T) {
	c := storetest.OpenCrashable(t, time.Now)
	ctx := context.Background()
	err := c.DB.Update(ctx, func(tx store.Tx) error {
		for _, id := range []string{"a", "b", "c"} {
			if err := smokes.Put(tx, &smoke{ID: id, Tags: []string{"x", id}, Mail: id + "@"}); err != nil {
				return err
			}
		}
		n, err := tx.Count(store.Key{}.Str("n"), 2)
		if n != 2 {
			t.Error(n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, keep := range []int{0, 50, 100} {
		d := c.Crash(keep)
		err = d.DB.View(ctx, func(r store.Reader) error {
			for _, rev := range []bool{false, true} {
				page, next, err := smokes.Page(r, store.Query{Index: "tag", Prefix: store.Key{}.Str("x"), Limit: 2, Reverse: rev})
				if err != nil || len(page) != 2 || next == nil {
					t.Error(page, next, err)
				}
				page, next, err = smokes.Page(r, store.Query{Index: "tag", Prefix: store.Key{}.Str("x"), Limit: 2, Reverse: rev, After: next})
				if err != nil || len(page) != 1 || next != nil {
					t.Error(page, next, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
