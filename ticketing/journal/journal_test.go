package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func fixed() time.Time { return start }

func appendTo(t testing.TB, db store.DB, j *journal.Journal, queue string, ticket uint64) uint64 {
	t.Helper()
	var seq uint64
	err := db.Update(context.Background(), func(tx store.Tx) (err error) {
		seq, err = j.Append(tx, journal.Entry{Queue: queue, Kind: "ticket.created", Ticket: ticket, Actor: "mail"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func read(t testing.TB, j *journal.Journal, queue string, after uint64, limit int) []journal.Entry {
	t.Helper()
	entries, err := j.Read(context.Background(), queue, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func seqs(entries []journal.Entry) string {
	var out []string
	for _, e := range entries {
		out = append(out, fmt.Sprint(e.Seq))
	}
	return strings.Join(out, " ")
}

func TestEveryQueueCountsForItself(t *testing.T) {
	t.Parallel()
	db := storetest.OpenAt(t, fixed)
	j := journal.New(db)
	for i := range uint64(5) {
		if seq := appendTo(t, db, j, "support", i); seq != i+1 {
			t.Errorf("entry %d has number %d", i, seq)
		}
	}
	if seq := appendTo(t, db, j, "sales", 9); seq != 1 {
		t.Errorf("first entry of another queue has number %d", seq)
	}
	for _, tc := range []struct {
		queue string
		after uint64
		limit int
		want  string
	}{
		{"support", 0, 10, "1 2 3 4 5"},
		{"support", 0, 2, "1 2"},
		{"support", 2, 2, "3 4"},
		{"support", 5, 10, ""},
		{"support", math.MaxUint64, 10, ""},
		{"support", 0, 0, ""},
		{"sales", 0, 10, "1"},
		{"suppor", 0, 10, ""},
	} {
		if got := seqs(read(t, j, tc.queue, tc.after, tc.limit)); got != tc.want {
			t.Errorf("Read(%q, %d, %d) = %q, want %q", tc.queue, tc.after, tc.limit, got, tc.want)
		}
	}
	_ = db.View(context.Background(), func(r store.Reader) error {
		for queue, want := range map[string]uint64{"support": 5, "sales": 1, "none": 0} {
			if n, err := j.Last(r, queue); n != want || err != nil {
				t.Errorf("Last(%q) = %d, %v; want %d", queue, n, err, want)
			}
		}
		return nil
	})
}

func TestEntryComesBackAsItWas(t *testing.T) {
	t.Parallel()
	db := storetest.OpenAt(t, fixed)
	j := journal.New(db)
	in := journal.Entry{
		Queue: "support", Kind: "message.received", Ticket: 7, Actor: "eva@example.com",
		Data: json.RawMessage(`{"message":"msg_1","note":"<b>&"}`),
	}
	if err := db.Update(context.Background(), func(tx store.Tx) error {
		_, err := j.Append(tx, in)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	got := read(t, j, "support", 0, 1)[0]
	if got.Seq != 1 || !got.At.Equal(start) || got.Kind != in.Kind || got.Ticket != in.Ticket ||
		got.Actor != in.Actor || string(got.Data) != string(in.Data) {
		t.Errorf("entry = %+v, want %+v at %v", got, in, start)
	}
}

func TestBadEntriesAreRefusedAndLeaveNoGap(t *testing.T) {
	t.Parallel()
	db := storetest.OpenAt(t, fixed)
	j := journal.New(db)
	for name, e := range map[string]journal.Entry{
		"no queue":   {},
		"not UTF-8":  {Queue: "\xff"},
		"not JSON":   {Queue: "support", Data: json.RawMessage("{")},
		"over 64 KB": {Queue: "support", Actor: strings.Repeat("x", store.MaxValue)},
	} {
		err := db.Update(context.Background(), func(tx store.Tx) error {
			_, err := j.Append(tx, e)
			return err
		})
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if seq := appendTo(t, db, j, "support", 1); seq != 1 {
		t.Errorf("next number is %d, want 1", seq)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	db := storetest.OpenAt(t, fixed)
	j := journal.New(db)
	support, stopSupport := j.Watch("support")
	all, stopAll := j.Watch("")
	defer stopAll()
	woken := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	expect := func(step string, wantSupport, wantAll bool) {
		t.Helper()
		if s, a := woken(support), woken(all); s != wantSupport || a != wantAll {
			t.Errorf("%s: support %v, all %v; want %v, %v", step, s, a, wantSupport, wantAll)
		}
	}
	expect("nothing happened", false, false)
	appendTo(t, db, j, "support", 1)
	appendTo(t, db, j, "support", 2)
	expect("two commits, one wake-up", true, true)
	expect("nothing since", false, false)
	appendTo(t, db, j, "sales", 1)
	expect("another queue", false, true)
	_ = db.Update(context.Background(), func(tx store.Tx) error {
		if _, err := j.Append(tx, journal.Entry{Queue: "support"}); err != nil {
			t.Error(err)
		}
		return errors.New("rolled back")
	})
	expect("rolled back", false, false)
	stopSupport()
	appendTo(t, db, j, "support", 3)
	expect("after stop", false, true)
}

// With many writers the numbers are still without gap, each given once, and a
// follower who waits for wake-ups sees them all in order.
func TestFollowerSeesEveryCommitInOrder(t *testing.T) {
	t.Parallel()
	db := storetest.OpenAt(t, fixed)
	j := journal.New(db)
	const writers, each = 8, 25
	given := make([]bool, writers*each+1)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				seq := appendTo(t, db, j, "support", uint64(w))
				mu.Lock()
				if given[seq] {
					t.Errorf("number %d given twice", seq)
				}
				given[seq] = true
				mu.Unlock()
			}
		})
	}
	wake, stop := j.Watch("support")
	defer stop()
	var seen uint64
	for seen < writers*each {
		for _, e := range read(t, j, "support", seen, 7) {
			if e.Seq != seen+1 {
				t.Fatalf("number %d after %d", e.Seq, seen)
			}
			seen = e.Seq
		}
		if len(read(t, j, "support", seen, 1)) == 0 && seen < writers*each {
			<-wake
		}
	}
	wg.Wait()
}
