package delivery

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/store/storetest"
)

func noDial(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }

// inBubble runs fn with a queue in virtual time.
func inBubble(t *testing.T, c Carrier, with func(*Options), fn func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		clk := &clock{}
		b := setupOn(t, storetest.Open(t), clk, c, func(o *Options) {
			o.Now, o.Uptime, o.Workers = time.Now, nil, 0
			if with != nil {
				with(o)
			}
		})
		fn(t, b)
	})
}

// Run delivers what is submitted while it runs, retries on time, and ends when
// it is told to.
func TestRun(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	inBubble(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		if calls.Add(1) == 1 {
			return greylisted
		}
		return takes(accepted)(ctx, tr)
	}), nil, func(t *testing.T, b *bench) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.q.Run(ctx) }()
		synctest.Wait()
		b.submit("out_1", "anna@customer.example")
		synctest.Wait()
		b.expect("first attempt at once", "out_1", "queued deferred", Deferred)
		time.Sleep(72 * time.Second)
		synctest.Wait()
		b.expect("second attempt in time", "out_1", "queued deferred sent", "")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// When it stops, Run waits for answers in flight and starts nothing new; what
// was claimed and not begun is given back uncounted.
func TestDrainWaitsForAnswers(t *testing.T) {
	t.Parallel()
	inBubble(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		time.Sleep(10 * time.Second)
		return takes(accepted)(ctx, tr)
	}), func(o *Options) { o.PerDestination = 1 }, func(t *testing.T, b *bench) {
		for _, id := range []string{"a", "b", "c"} {
			b.submit(id, "anna@customer.example")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := b.q.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("stopped after %s", took)
		}
		b.expect("in flight", "a", "queued sent", "")
		for _, id := range []string{"b", "c"} {
			b.expect("not begun", id, "queued", Ready)
			if p := b.get(id); p.Attempts != 0 {
				t.Errorf("%s has %d attempts", id, p.Attempts)
			}
		}
		b.sound("drained")
	})
}

// An answer that does not come in time is given up, and the parcel flagged.
func TestDrainGivesUp(t *testing.T) {
	t.Parallel()
	inBubble(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		if err := tr.OnDot(ctx); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		return lostDot
	}), nil, func(t *testing.T, b *bench) {
		b.submit("out_1", "anna@customer.example")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := b.q.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 25*time.Second {
			t.Errorf("stopped after %s", took)
		}
		b.expect("given up", "out_1", "queued deferred", Deferred)
		if !b.get("out_1").Ambiguous {
			t.Error("not flagged")
		}
		b.sound("drained")
	})
}

// Limits: at most so many at once in all and per destination, and the others
// are not held up by a slow one.
func TestConcurrencyLimits(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now, most := map[string]int{}, map[string]int{}
	inBubble(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		mu.Lock()
		now[tr.Destination]++
		now["all"]++
		for k, n := range now {
			most[k] = max(most[k], n)
		}
		mu.Unlock()
		time.Sleep(time.Second)
		mu.Lock()
		now[tr.Destination]--
		now["all"]--
		mu.Unlock()
		return takes(accepted)(ctx, tr)
	}), func(o *Options) { o.Workers, o.PerDestination = 5, 2 }, func(t *testing.T, b *bench) {
		for _, d := range []string{"a.example", "b.example", "c.example", "d.example"} {
			for i := range 40 {
				b.submit(d+strings.Repeat("x", i), "x@"+d)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := b.q.Run(ctx); err != nil {
			t.Fatal(err)
		}
		left, _, err := b.q.List(t.Context(), Filter{})
		if err != nil || len(left) > 0 {
			t.Errorf("%d left, %v", len(left), err)
		}
		if most["all"] != 5 || most["a.example"] != 2 || most["d.example"] != 2 {
			t.Errorf("at most %v at once", most)
		}
	})
}

// A rate holds parcels back without counting attempts, and lets them go on
// time.
func TestRates(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		with func(*Options)
	}{
		{"destination", func(o *Options) { o.Rates = map[string]Rate{"domain": {Count: 6, Per: time.Minute, Burst: 2}} }},
		{"global", func(o *Options) { o.Rates = map[string]Rate{"global": {Count: 6, Per: time.Minute, Burst: 2}} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var sent []time.Time
			inBubble(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
				mu.Lock()
				sent = append(sent, time.Now())
				mu.Unlock()
				return takes(accepted)(ctx, tr)
			}), tc.with, func(t *testing.T, b *bench) {
				for i := range 6 {
					b.submit(strings.Repeat("x", i+1), "anna@customer.example")
				}
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				if err := b.q.Run(ctx); err != nil {
					t.Fatal(err)
				}
				want := []int{0, 0, 10, 20, 30, 40}
				for i, at := range sent {
					d := at.Sub(began)
					if i >= len(want) || d < time.Duration(want[i])*time.Second || d > time.Duration(want[i])*time.Second+100*time.Millisecond {
						t.Errorf("mail %d left after %s", i, d)
					}
				}
				for i := range 6 {
					id := strings.Repeat("x", i+1)
					if r := b.ledger.of(t, b.db, id); len(r) != 2 || r[1].Attempts != 1 {
						t.Errorf("%s: %+v", id, r)
					}
				}
				if n := testutil.ToFloat64(b.q.met.throttled.WithLabelValues("other", "rate")); n < 4 {
					t.Errorf("%v waits counted", n)
				}
			})
		})
	}
}

// If the store is gone Run says so.
func TestRunEndsWithTheStore(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	b.db.Close()
	if err := b.q.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

// Tokens reserved for a claim that finds less to do are given back.
func TestUnusedTokensAreGivenBack(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted), func(o *Options) {
		o.Rates = map[string]Rate{"domain": {Count: 10, Per: time.Hour}, "global": {Count: 10, Per: time.Hour}}
	})
	for i := range 12 {
		b.submit(strings.Repeat("x", i+1), "anna@customer.example")
		b.work() // one parcel each time, and batchSize tokens reserved
	}
	left, _, err := b.q.List(t.Context(), Filter{})
	if err != nil || len(left) != 2 {
		t.Errorf("%d parcels are waiting for the rate, want 2 (%v)", len(left), err)
	}
	b.clk.move(6 * time.Minute)
	b.work()
	if left, _, _ := b.q.List(t.Context(), Filter{}); len(left) != 1 {
		t.Errorf("%d parcels are waiting six minutes later, want 1", len(left))
	}
	b.clk.move(-24 * time.Hour) // a clock set back does not stop the mail for a day
	all := b.q.budget(nil, ScopeGlobal, "all")
	b.q.mu.Lock()
	_, next := b.q.spend(all, b.clk.now(), 1)
	b.q.mu.Unlock()
	if wait := next.Sub(b.clk.now()); wait > time.Hour {
		t.Errorf("the next mail may leave in %s", wait)
	}
}
