package journal_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// outage is a disk as a power failure left it, and what had been told by then.
type outage struct {
	disk  *vfs.MemFS
	acked map[uint64]uint64 // number → ticket, answered to the writer
	read  uint64            // highest number shown to a reader
}

// Power fails while writers append and a reader follows. Afterwards the
// numbers run from 1 without gap, every acknowledged entry stands under its
// number, nothing the reader was shown is missing, the order is the order of
// the commits, and counting goes on from there.
func TestPowerFailure(t *testing.T) {
	t.Parallel()
	c := storetest.OpenCrashable(t, fixed)
	j := journal.New(c.DB)
	const writers, each = 4, 12
	order := store.Key{}.Str("test.order") // counted in every commit, in order
	var (
		mu      sync.Mutex
		acked   = map[uint64]uint64{}
		shown   uint64
		outages []outage
	)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				var seq, ticket uint64
				err := c.DB.Update(context.Background(), func(tx store.Tx) (err error) {
					if ticket, err = tx.Count(order, 1); err != nil {
						return err
					}
					seq, err = j.Append(tx, journal.Entry{Queue: "support", Ticket: ticket})
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[seq] = ticket
				mu.Unlock()
				follow(t, j, &mu, &shown)
				mu.Lock()
				o := outage{acked: maps.Clone(acked), read: shown}
				mu.Unlock()
				o.disk = c.Disk([]int{0, 50, 100}[i%3], uint64(w*each+i))
				mu.Lock()
				outages = append(outages, o)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, o := range outages {
		check(t, c.Reopen(o.disk).DB, o)
	}
}

// follow reads what is there, as an event stream would.
func follow(t *testing.T, j *journal.Journal, mu *sync.Mutex, shown *uint64) {
	mu.Lock()
	after := *shown
	mu.Unlock()
	entries, err := j.Read(context.Background(), "support", after, 100)
	if err != nil {
		t.Error(err)
		return
	}
	mu.Lock()
	defer mu.Unlock()
	for _, e := range entries {
		*shown = max(*shown, e.Seq)
	}
}

func check(t *testing.T, db store.DB, o outage) {
	t.Helper()
	j := journal.New(db)
	entries := read(t, j, "support", 0, 1000)
	for i, e := range entries {
		if e.Seq != uint64(i)+1 {
			t.Fatalf("number %d at place %d", e.Seq, i+1)
		}
		if e.Ticket != e.Seq {
			t.Errorf("entry %d is of the commit number %d", e.Seq, e.Ticket)
		}
	}
	n := uint64(len(entries))
	for seq, ticket := range o.acked {
		if seq > n || entries[seq-1].Ticket != ticket {
			t.Errorf("acknowledged entry %d is missing or another's (%d left)", seq, n)
		}
	}
	if o.read > n {
		t.Errorf("a reader was shown number %d, of %d left", o.read, n)
	}
	if next := appendTo(t, db, j, "support", n+1); next != n+1 {
		t.Errorf("next number after %d is %d", n, next)
	}
}

// A reader that comes between a commit and its fsync waits: it is never shown
// a number that a power failure would give to another change.
func TestReadShowsOnlyWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	db := storetest.OpenAt(t, fixed)
	writer := journal.New(db)
	reader := journal.New(db) // has not heard of any commit
	appendTo(t, db, writer, "support", 1)
	spy := &barrier{DB: db}
	late := journal.New(spy)
	if got := seqs(read(t, late, "support", 0, 10)); got != "1" || spy.updates != 1 {
		t.Errorf("read %q after %d barriers, want one before the first entry is shown", got, spy.updates)
	}
	if got := seqs(read(t, late, "support", 0, 10)); got != "1" || spy.updates != 1 {
		t.Errorf("read %q after %d barriers, want none for what is known", got, spy.updates)
	}
	spy.err = fmt.Errorf("power is gone: %w", store.ErrFailed)
	appendTo(t, db, writer, "support", 2)
	if entries, err := late.Read(context.Background(), "support", 0, 10); err == nil {
		t.Errorf("showed %q though it could not be made durable", seqs(entries))
	}
	if got := seqs(read(t, reader, "support", 0, 10)); got != "1 2" {
		t.Errorf("read %q", got)
	}
}

// barrier counts the transactions of a reader, and can make them fail.
type barrier struct {
	store.DB
	updates int
	err     error
}

func (b *barrier) Update(ctx context.Context, fn func(store.Tx) error) error {
	b.updates++
	if b.err != nil {
		return b.err
	}
	return b.DB.Update(ctx, fn)
}
