package agenda_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// books is what workers were told, and what they have begun without an answer.
type books struct {
	mu       sync.Mutex
	put      map[string]bool            // answered
	ending   map[string]bool            // Done was begun
	done     map[string]bool            // Done was answered
	attempts map[string]int             // claims answered
	numbers  map[string]map[uint64]bool // fencing numbers answered
	outages  []outage
}

// outage is a disk as a power failure left it, between two looks at the books.
type outage struct {
	disk      *vfs.MemFS
	put, done map[string]bool // answered before
	attempts  map[string]int
	numbers   map[string]map[uint64]bool
	ending    map[string]bool // begun before or during
}

func newBooks() *books {
	return &books{
		put: map[string]bool{}, ending: map[string]bool{}, done: map[string]bool{},
		attempts: map[string]int{}, numbers: map[string]map[uint64]bool{},
	}
}

func (b *books) note(m map[string]bool, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m[key] = true
}

func (b *books) claimed(t *testing.T, j agenda.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.numbers[j.Key] == nil {
		b.numbers[j.Key] = map[uint64]bool{}
	}
	if b.numbers[j.Key][j.Lease] {
		t.Errorf("job %s claimed twice at number %d", j.Key, j.Lease)
	}
	b.numbers[j.Key][j.Lease] = true
	b.attempts[j.Key] = max(b.attempts[j.Key], j.Attempts)
}

// pull pulls the plug on a copy of the disk.
func (b *books) pull(c *storetest.Crashable, seed uint64) {
	b.mu.Lock()
	o := outage{put: maps.Clone(b.put), done: maps.Clone(b.done), attempts: maps.Clone(b.attempts), numbers: map[string]map[uint64]bool{}}
	for key, n := range b.numbers {
		o.numbers[key] = maps.Clone(n)
	}
	b.mu.Unlock()
	o.disk = c.Disk([]int{0, 50, 100}[seed%3], seed)
	b.mu.Lock()
	defer b.mu.Unlock()
	o.ending = maps.Clone(b.ending)
	b.outages = append(b.outages, o)
}

const crashLease = time.Minute

// Power fails while workers put, claim, finish, defer and drop jobs. After a
// restart no answered job is lost, no finished one is back, attempts are
// counted, every job can be claimed once the leases have lapsed, and no
// fencing number that was answered is given again.
func TestPowerFailure(t *testing.T) {
	t.Parallel()
	clk := newClock()
	c := storetest.OpenCrashable(t, clk.now)
	a := agenda.New(c.DB)
	b := newBooks()
	var wg sync.WaitGroup
	for w := range uint64(4) {
		wg.Go(func() { work(t, c, a, b, clk, w) })
	}
	wg.Wait()
	if len(b.outages) < 20 {
		t.Fatalf("only %d outages, the test has lost its teeth", len(b.outages))
	}
	clk.move(time.Hour)
	for _, o := range b.outages {
		inspect(t, c.Reopen(o.disk).DB, o)
	}
}

func work(t *testing.T, c *storetest.Crashable, a *agenda.Agenda, b *books, clk *clock, w uint64) {
	rng := rand.New(rand.NewPCG(w, 3))
	ctx := context.Background()
	lanes := []string{"mail/a", "mail/b"}
	for i := range 30 {
		key := fmt.Sprintf("%d.%d", w, i)
		if err := c.DB.Update(ctx, func(tx store.Tx) error {
			return a.Put(tx, agenda.Job{Lane: lanes[rng.IntN(2)], Key: key})
		}); err != nil {
			t.Error(err)
			return
		}
		b.note(b.put, key)
		jobs, err := a.Claim(ctx, lanes[rng.IntN(2)], 2, crashLease, nil)
		if err != nil {
			t.Error(err)
			return
		}
		for _, j := range jobs {
			b.claimed(t, j)
			if rng.IntN(4) == 0 {
				continue // the worker is never heard of again
			}
			end(t, c.DB, a, b, j, rng.IntN(2) == 0)
		}
		if i%4 == 3 {
			b.pull(c, w*100+uint64(i))
		}
		clk.move(crashLease / 10)
	}
}

func end(t *testing.T, db store.DB, a *agenda.Agenda, b *books, j agenda.Job, again bool) {
	if again {
		err := db.Update(context.Background(), func(tx store.Tx) error { return a.Again(tx, j, tx.Now()) })
		if err != nil && !errors.Is(err, agenda.ErrLost) {
			t.Error(err)
		}
		return
	}
	b.note(b.ending, j.Key)
	switch err := db.Update(context.Background(), func(tx store.Tx) error { return a.Done(tx, j) }); {
	case err == nil:
		b.note(b.done, j.Key)
	case !errors.Is(err, agenda.ErrLost):
		t.Error(err)
	}
}

func inspect(t *testing.T, db store.DB, o outage) {
	t.Helper()
	a := agenda.New(db)
	ctx := context.Background()
	found := map[string]bool{}
	lanes, _, err := a.Due(ctx, "mail/", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, lane := range lanes {
		jobs, err := a.Claim(ctx, lane, agenda.MaxClaim, crashLease, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			if found[j.Key] {
				t.Errorf("job %s is there twice", j.Key)
			}
			found[j.Key] = true
			if o.done[j.Key] {
				t.Errorf("job %s is back after it was done", j.Key)
			}
			if j.Attempts <= o.attempts[j.Key] {
				t.Errorf("job %s is at attempt %d, after %d were answered", j.Key, j.Attempts, o.attempts[j.Key])
			}
			if o.numbers[j.Key][j.Lease] {
				t.Errorf("job %s: number %d given again", j.Key, j.Lease)
			}
		}
		if more, err := a.Claim(ctx, lane, 1, crashLease, nil); len(more) > 0 || err != nil {
			t.Errorf("claimed twice: %v, %v", more, err)
		}
	}
	for key := range o.put {
		if !found[key] && !o.ending[key] {
			t.Errorf("job %s is lost", key)
		}
	}
}
