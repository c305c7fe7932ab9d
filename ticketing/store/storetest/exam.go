package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"ticketgate/ticketing/store"
)

// Exam is what every engine passes. open returns an empty store whose
// transactions take their time from now, and closes it when its test ends.
func Exam(t *testing.T, open func(t *testing.T, now func() time.Time) store.DB) {
	for name, questions := range map[string]map[string]func(*testing.T, *bench){
		"Transactions": transactionQuestions,
		"Rows":         rowQuestions,
		"Scans":        scanQuestions,
		"Chunks":       chunkQuestions,
		"Life":         lifeQuestions,
		"Model":        {"RandomOperations": modelTest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for name, question := range questions {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					clock := NewClock(time.Date(2026, 3, 29, 0, 59, 59, 999_999_999, time.FixedZone("east", 3600)))
					question(t, &bench{t: t, clock: clock, db: open(t, clock.Now)})
				})
			}
		})
	}
}

// Clock is a clock that moves when told to.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at start.
func NewClock(start time.Time) *Clock { return &Clock{now: start} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bench is a store under examination, with calls that fail the test.
type bench struct {
	t     *testing.T
	clock *Clock
	db    store.DB
}

func (b *bench) update(fn func(tx store.Tx) error) {
	b.t.Helper()
	if err := b.db.Update(context.Background(), fn); err != nil {
		b.t.Fatalf("Update: %v", err)
	}
}

func (b *bench) updateErr(want error, fn func(tx store.Tx) error) {
	b.t.Helper()
	if err := b.db.Update(context.Background(), fn); !errors.Is(err, want) {
		b.t.Fatalf("Update: got error %v, want %v", err, want)
	}
}

func (b *bench) view(fn func(r store.Reader) error) {
	b.t.Helper()
	if err := b.db.View(context.Background(), fn); err != nil {
		b.t.Fatalf("View: %v", err)
	}
}

func (b *bench) put(things ...*thing) {
	b.t.Helper()
	b.update(func(tx store.Tx) error { return putAll(tx, things...) })
}

func putAll(tx store.Tx, all ...*thing) error {
	for _, v := range all {
		if err := things.Put(tx, v); err != nil {
			return err
		}
	}
	return nil
}

// ids returns the ids of a scan, in its order.
func ids(t *testing.T, r store.Reader, q store.Query) []string {
	t.Helper()
	out := []string{}
	for v, err := range things.Scan(r, q) {
		if err != nil {
			t.Fatalf("Scan: %v", err)
		}
		out = append(out, v.ID)
	}
	return out
}

func (b *bench) ids(q store.Query) (out []string) {
	b.t.Helper()
	b.view(func(r store.Reader) error {
		out = ids(b.t, r, q)
		return nil
	})
	return out
}

// thing is the record of the exam: an ordered index over two columns, one of
// them a time; an index with any number of entries; a unique index.
type thing struct {
	ID    string    `json:"id"`
	Group string    `json:"group"`
	At    time.Time `json:"at"`
	Tags  []string  `json:"tags,omitempty"`
	Email string    `json:"email,omitempty"`
	N     uint64    `json:"n,omitempty"`
	Body  []byte    `json:"body,omitempty"`
}

// The exam's tables have prefixes of their own, far from the product's.
const (
	prefixThing  store.Prefix = 0xf0
	prefixLedger store.Prefix = 0xf1
	prefixPart   store.Prefix = 0xf2
)

var things = store.NewTable("exam_thing", prefixThing, []string{"id"},
	func(v *thing) store.Key { return str(v.ID) },
	store.Index[thing]{Name: "group", Columns: []string{"group", "at"}, Keys: func(v *thing) []store.Key {
		return []store.Key{str(v.Group).Time(v.At)}
	}},
	store.Index[thing]{Name: "tag", Columns: []string{"tag"}, Keys: func(v *thing) (out []store.Key) {
		for _, tag := range v.Tags {
			out = append(out, str(tag))
		}
		return out
	}},
	store.Index[thing]{Name: "email", Columns: []string{"email"}, Unique: true, Keys: func(v *thing) []store.Key {
		if v.Email == "" {
			return nil
		}
		return []store.Key{str(v.Email)}
	}},
)

func str(s string) store.Key { return store.Key{}.Str(s) }
