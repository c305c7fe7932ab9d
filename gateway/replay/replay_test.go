package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

func open(t *testing.T) (*Answers, *time.Time) {
	t.Helper()
	now := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	db, err := pebble.OpenMem(pebble.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return New(db), &now
}

func (a *Answers) count(t *testing.T) (n int) {
	t.Helper()
	err := a.db.View(context.Background(), func(r store.Reader) error {
		n = 0
		for _, err := range a.rows.Scan(r, store.Query{}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	a, now := open(t)
	ctx := context.Background()
	begin := func(who, key, digest string) (*Answer, error) { return a.Begin(ctx, who, key, []byte(digest)) }
	if got, err := begin("w", "k", "d"); got != nil || err != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, x := range []struct {
		who, key, digest string
		want             error
	}{{"w", "k", "d", ErrWorking}, {"w", "k", "other", ErrOther}, {"w2", "k", "other", nil}, {"w", "k2", "other", nil}} {
		if _, err := begin(x.who, x.key, x.digest); !errors.Is(err, x.want) {
			t.Errorf("%+v: %v", x, err)
		}
	}
	body := bytes.Repeat([]byte("0123456789"), 20000) // several pages
	want := Answer{Status: 201, Header: map[string]string{"Location": "/x"}, Body: body}
	if err := a.Finish(ctx, "w", "k", want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := begin("w", "k", "d")
		if err != nil || fmt.Sprint(*got) != fmt.Sprint(want) {
			t.Fatalf("status %d, %d bytes, %v", got.Status, len(got.Body), err)
		}
	}
	// A given-back key is free.
	if err := a.Abandon(ctx, "w", "k2"); err != nil {
		t.Fatal(err)
	}
	if got, err := begin("w", "k2", "new"); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	// Nobody knows what became of a request whose process died.
	*now = now.Add(working)
	if _, err := begin("w", "k2", "new"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	// What is too large is cut, and says so.
	if _, err := begin("w", "big", "d"); err != nil {
		t.Fatal(err)
	}
	if err := a.Finish(ctx, "w", "big", Answer{Status: 200, Body: make([]byte, MaxBody+1)}); err != nil {
		t.Fatal(err)
	}
	if got, err := begin("w", "big", "d"); err != nil || !got.Cut || got.Body != nil {
		t.Errorf("%+v, %v", got, err)
	}
	// After a day a key is new, and old rows are gone.
	*now = now.Add(Keep)
	if got, err := begin("w", "k", "other"); got != nil || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if n := a.count(t); n != 2 { // the new one, and the large one's, which came later
		t.Errorf("%d rows are left", n)
	}
}
