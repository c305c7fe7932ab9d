package delivery

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/ticketing/message"
)

// The clock is set, or the machine sleeps, while mail is due, scheduled, about
// to expire, in flight, paid for and paused. What matters is how late the mail
// is by a clock that nobody sets, and that nothing is lost or given up for it.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tc := range []struct {
		name  string
		by    time.Duration
		sleep bool // a suspended machine: the time has really passed
	}{
		{"a day back", -day, false}, {"an hour back", -time.Hour, false}, {"an hour ahead", time.Hour, false},
		{"a day ahead", day, false}, {"five days ahead", 5 * day, false}, {"asleep for a day", day, true},
	} {
		set := func(b *bench) {
			b.clk.set(tc.by)
			b.q.watchClock(t.Context())
			if n := testutil.ToFloat64(b.q.met.jumps); n != 1 {
				t.Errorf("%s: %v jumps counted", tc.name, n)
			}
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			t.Run("due", func(t *testing.T) {
				b := setup(t, takes(accepted))
				b.submit("new", "x@customer.example")
				set(b)
				b.work()
				b.expect("at once", "new", "queued sent", "")
			})
			t.Run("retry", func(t *testing.T) {
				b := setup(t, takes(busyNow), func(o *Options) { o.Retry, o.Expire = nil, 0 })
				b.submit("tried", "x@customer.example")
				b.work()
				set(b)
				b.clk.move(73 * time.Second)
				b.work()
				if p := b.get("tried"); p == nil || p.Attempts != 2 {
					t.Errorf("a minute later: %+v", p)
				}
				b.sound("retried")
			})
			t.Run("expiry", func(t *testing.T) {
				b := setup(t, takes(busyNow), func(o *Options) { o.Retry, o.Expire = nil, 0 })
				b.submit("tried", "x@customer.example")
				b.submit("note", "x@customer.example", func(o *message.Outbound) { o.Class = "notification" })
				b.work()
				set(b)
				for range 4 { // five minutes of attempts are no four days
					b.clk.move(73 * time.Second)
					b.work()
				}
				for _, id := range []string{"tried", "note"} {
					if p := b.get(id); p == nil {
						t.Errorf("%s was given up: %s", id, states(b.ledger.of(t, b.db, id)))
					}
				}
				for range 24 * 10 { // but once the time has really passed, it is
					b.clk.move(time.Hour)
					b.work()
				}
				if p := b.get("tried"); p != nil {
					t.Errorf("ten days later: %+v", p)
				}
			})
			t.Run("lease", func(t *testing.T) {
				b := setup(t, takes(accepted))
				b.submit("out_1", "x@customer.example")
				claims, err := b.q.claim(t.Context(), laneOf(heading{domain: "customer.example"}, bandReply, false), 1)
				if err != nil || len(claims) != 1 {
					t.Fatal(claims, err)
				}
				set(b)
				b.q.settle(leave("customer.example"), claims[0], accepted, nil, 0)
				b.expect("settled by whoever claimed it", "out_1", "queued sent", "")
				b.submit("out_2", "x@customer.example")
				if _, err := b.q.claim(t.Context(), laneOf(heading{domain: "customer.example"}, bandReply, false), 1); err != nil {
					t.Fatal(err)
				}
				b.clk.set(tc.by) // and a crash: nobody settles it
				if err := b.q.open(t.Context()); err != nil {
					t.Fatal(err)
				}
				b.clk.move(73 * time.Second)
				b.q.watchClock(t.Context())
				if tc.by < 0 {
					b.clk.move(longestWait) // redated as a retry, which it counts as by now
				}
				b.work()
				b.expect("taken back", "out_2", "queued sent", "")
			})
			t.Run("budgets", func(t *testing.T) {
				b := setup(t, takes(accepted), func(o *Options) {
					o.Rates = map[string]Rate{ScopeDomain: {Count: 60, Per: time.Hour, Burst: 1}, ScopeQueue: {Count: 60, Per: time.Hour, Burst: 1}}
				})
				b.submit("a", "x@customer.example")
				b.submit("b", "x@customer.example")
				b.work()
				set(b)
				b.clk.move(2 * time.Minute)
				b.work()
				b.clk.move(2 * time.Minute)
				b.work()
				b.expect("within minutes", "b", "queued sent", "")
			})
			t.Run("pauses", func(t *testing.T) {
				b := setup(t, takes(accepted))
				s := &site{name: "domain/customer.example", window: 1, limit: 1}
				b.q.sites[s.name] = s
				s.pause(b.clk.now(), 10*time.Minute, "x", 0)
				b.submit("out_1", "x@customer.example")
				set(b)
				for range 60 {
					b.work()
					b.clk.move(10 * time.Minute)
				}
				b.expect("within the longest pause", "out_1", "queued sent", "")
			})
			_ = tc.sleep
		})
	}
}
