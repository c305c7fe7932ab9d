package agenda_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"sync"
	"testing"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// counting counts, per table, the rows that pass through a store.
type counting struct {
	store.DB
	mu      sync.Mutex
	scanned map[string]int
	written map[string]int // puts and deletes
}

func (c *counting) add(m *map[string]int, table string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *m == nil {
		*m = map[string]int{}
	}
	(*m)[table]++
}

// during returns what was scanned and written while fn ran.
func (c *counting) during(fn func()) (scanned, written map[string]int) {
	c.mu.Lock()
	c.scanned, c.written = map[string]int{}, map[string]int{}
	c.mu.Unlock()
	fn()
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.scanned), maps.Clone(c.written)
}

func (c *counting) View(ctx context.Context, fn func(store.Reader) error) error {
	return c.DB.View(ctx, func(r store.Reader) error { return fn(countingReader{r, c}) })
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	return c.DB.Update(ctx, func(tx store.Tx) error { return fn(countingTx{tx, c}) })
}

type countingReader struct {
	store.Reader
	c *counting
}

func (r countingReader) Scan(s *store.Schema, q store.Query) iter.Seq2[store.Row, error] {
	return r.c.scan(s, r.Reader.Scan(s, q))
}

type countingTx struct {
	store.Tx
	c *counting
}

func (t countingTx) Scan(s *store.Schema, q store.Query) iter.Seq2[store.Row, error] {
	return t.c.scan(s, t.Tx.Scan(s, q))
}

func (t countingTx) Put(s *store.Schema, key store.Key, doc []byte, add, drop []store.IndexEntry) error {
	t.c.add(&t.c.written, s.Name)
	return t.Tx.Put(s, key, doc, add, drop)
}

func (t countingTx) Delete(s *store.Schema, key store.Key, drop []store.IndexEntry) error {
	t.c.add(&t.c.written, s.Name)
	return t.Tx.Delete(s, key, drop)
}

func (c *counting) scan(s *store.Schema, rows iter.Seq2[store.Row, error]) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		for row, err := range rows {
			c.add(&c.scanned, s.Name)
			if !yield(row, err) {
				return
			}
		}
	}
}

const (
	jobTable  = "agenda_job"
	laneTable = "agenda_lane"
)

func (b *bench) fill(lane string, total int) {
	b.t.Helper()
	for first := 0; first < total; first += 1000 {
		b.update(func(tx store.Tx) error {
			for i := first; i < min(first+1000, total); i++ {
				if err := b.a.Put(tx, agenda.Job{Lane: lane, Key: fmt.Sprintf("%06d", i)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// A dead destination with a backlog costs one lane row, to move and to pass.
func TestDeadLaneCostsOneRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill("mail/dead.example", 5_000)
	b.put("mail/alive.example", "1", 0)

	_, written := b.db.during(func() {
		b.update(func(tx store.Tx) error {
			return b.a.Pause(tx, "mail/dead.example", start.Add(time.Hour), "connection refused")
		})
	})
	if written[laneTable] != 1 || written[jobTable] != 0 {
		t.Errorf("pausing 5,000 jobs wrote %v, want one lane row", written)
	}
	var lanes string
	scanned, written := b.db.during(func() { lanes, _ = b.due("mail/") })
	if lanes != "mail/alive.example" || scanned[jobTable] != 0 || scanned[laneTable] != 2 || len(written) != 0 {
		t.Errorf("due = %q with %v scanned, %v written; want the other lane, two lane rows and no job", lanes, scanned, written)
	}
	_, written = b.db.during(func() {
		b.update(func(tx store.Tx) error { return b.a.Pause(tx, "mail/dead.example", time.Time{}, "") })
	})
	if written[laneTable] != 1 || written[jobTable] != 0 {
		t.Errorf("resuming wrote %v, want one lane row", written)
	}
	scanned, _ = b.db.during(func() { lanes, _ = b.due("mail/") })
	if lanes != "mail/dead.example mail/alive.example" && lanes != "mail/alive.example mail/dead.example" {
		t.Errorf("due after resuming = %q", lanes)
	}
	if scanned[jobTable] != 0 || scanned[laneTable] > 2 {
		t.Errorf("due over a backlog scanned %v", scanned)
	}
}

// The lane's row is written only when its head changes.
func TestRowsWrittenPerOperation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill("notice", 100)
	expect := func(step string, jobs, lanes int, fn func()) {
		t.Helper()
		if _, w := b.db.during(fn); w[jobTable] != jobs || w[laneTable] != lanes {
			t.Errorf("%s wrote %v, want %d jobs and %d lanes", step, w, jobs, lanes)
		}
	}
	expect("put into a waiting lane", 1, 0, func() { b.put("notice", "new", time.Second) })
	expect("put again", 0, 0, func() { b.put("notice", "new", 0) })
	var first, rest []agenda.Job
	b.clk.move(time.Second)
	expect("claim of a part", 10, 0, func() { first = b.claim("notice", 10, time.Minute) })
	expect("done while others wait", 1, 0, func() { _ = b.done(first[0]) })
	expect("again behind the head", 1, 0, func() {
		b.update(func(tx store.Tx) error { return b.a.Again(tx, first[1], start.Add(time.Hour)) })
	})
	expect("claim of the rest", 91, 1, func() { rest = b.claim("notice", 1000, 2*time.Minute) })
	expect("done of the first batch", 8, 1, func() {
		for _, j := range first[2:] {
			_ = b.done(j)
		}
	})
	expect("done of the rest", 91, 1, func() {
		for _, j := range rest {
			_ = b.done(j)
		}
	})
	if got := keys(b.jobs("notice")); got != first[1].Key {
		t.Errorf("left over: %q", got)
	}
}
