package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// withSuppressions gives a queue a list of addresses that get no mail.
func withSuppressions(o *Options) { o.Suppressions = NewSuppressions(o.DB) }

func refuses(code int, enhanced string) courier.Result {
	return courier.Result{Class: courier.Permanent, Code: code, Enhanced: enhanced, Text: "no", Host: "mx.customer.example", Phase: courier.PhaseRcpt}
}

// Which answers suppress an address, and after how many.
func TestWhatSuppresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code     int
		enhanced string
		after    int // failures; 0 = never
	}{
		{550, "5.1.1", 1}, {550, "5.1.2", 1}, {553, "5.1.3", 1}, {550, "5.1.6", 1}, {550, "5.2.1", 1},
		{0, "5.1.2", 1},   // no such domain
		{550, "", 0},      // says nothing about the address
		{554, "", 0},      //
		{550, "5.7.1", 0}, // policy: the sender's or the message's fault
		{550, "5.7.26", 0},
		{554, "5.7.509", 0},
		{550, "5.0.0", 3}, {552, "5.2.3", 3}, {550, "5.4.1", 3}, {554, "5.6.0", 3}, {550, "5.1.10", 3}, {550, "5.1.0", 3},
	} {
		t.Run(fmt.Sprintf("%d %s", c.code, c.enhanced), func(t *testing.T) {
			t.Parallel()
			b := setup(t, takes(refuses(c.code, c.enhanced)), withSuppressions)
			for i := 1; i <= 4; i++ {
				b.submit(fmt.Sprint("out_", i), "Anna@Customer.example")
				b.work()
				want := c.after > 0 && i >= c.after
				if got := b.suppressed("", "anna@customer.example"); (got != nil) != want {
					t.Fatalf("after %d failures: %+v", i, got)
				}
				if want {
					s := b.suppressed("", "anna@customer.example")
					if s.By != "" || !s.Until.Equal(b.clk.now().Add(suppressFor)) || !strings.Contains(s.Reason, c.enhanced) {
						t.Errorf("%+v", s)
					}
					return
				}
				b.clk.move(time.Hour)
			}
		})
	}
}

// Three hard failures count only within a week.
func TestStrikesGetOld(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(refuses(550, "5.0.0")), withSuppressions)
	for i := range 6 {
		b.submit(fmt.Sprint("out_", i), "anna@customer.example")
		b.work()
		b.clk.move(3*24*time.Hour + 13*time.Hour)
	}
	if s := b.suppressed("", "anna@customer.example"); s != nil {
		t.Errorf("%+v", s)
	}
	if err := b.q.TendOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.clk.move(8 * 24 * time.Hour)
	if err := b.q.TendOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := b.q.o.Suppressions.sweep(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("%d old rows stayed, %v", n, err)
	}
}

// suppressed returns what keeps mail of a queue from an address.
func (b *bench) suppressed(queue, address string) (s *Suppression) {
	b.t.Helper()
	if err := b.db.View(context.Background(), func(r store.Reader) (err error) {
		s, err = b.q.o.Suppressions.Find(r, queue, address)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// What happens to mail for a suppressed address, by its class; and that a person
// may send it all the same, which may prove the address good.
func TestMailToASuppressedAddress(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted), withSuppressions)
	ctx := t.Context()
	b.submit("out_0", "anna@customer.example")
	b.submit("out_00", "anna@customer.example", func(o *message.Outbound) { o.Class = "notification" })
	if _, err := b.q.o.Suppressions.Add(ctx, Suppression{Address: "Anna@customer.example", Queue: "support", By: "ada", Reason: "left the company"}); err != nil {
		t.Fatal(err)
	}
	// What was in the queue already is asked about before its attempt.
	b.work()
	b.expect("a reply from before", "out_0", "queued held", Kept)
	b.expect("a notification from before", "out_00", "queued suppressed", "")

	b.submit("out_1", "anna@Customer.example")
	b.expect("a reply", "out_1", "held", Kept)
	if p := b.get("out_1"); p.WaitsFor != HeldSuppressed || p.Held.By != "ada" || !strings.Contains(p.Why, "left the company") || p.Attempts != 0 {
		t.Errorf("%+v", p)
	}
	for _, class := range []string{"notification", "autoack", "bulk", "dsn"} {
		b.submit("out_"+class, "anna@customer.example", func(o *message.Outbound) { o.Class = class })
		b.expect(class, "out_"+class, "suppressed", "")
	}
	b.submit("out_relay", "anna@customer.example", func(o *message.Outbound) { o.Class, o.Domain = "relay", "" })
	b.submit("out_sales", "anna@customer.example", func(o *message.Outbound) { o.Queue = "sales" })
	b.submit("out_bo", "bo@customer.example")
	b.work()
	b.expect("passed on", "out_relay", "queued sent", "")
	b.expect("another queue", "out_sales", "queued sent", "")
	b.expect("another person", "out_bo", "queued sent", "")
	b.sound("held and gone")
	if err := testutil.GatherAndCompare(b.reg, strings.NewReader(`
# HELP ticketgate_outbound_held Outbound mails held by something else than a person, by what holds them, counted up to 200000 each.
# TYPE ticketgate_outbound_held gauge
ticketgate_outbound_held{kind="content"} 0
ticketgate_outbound_held{kind="dkim_key"} 0
ticketgate_outbound_held{kind="measure"} 0
ticketgate_outbound_held{kind="suppressed"} 2
`), "ticketgate_outbound_held"); err != nil {
		t.Error(err)
	}

	if err := b.q.Release(ctx, "out_1"); err != nil {
		t.Fatal(err)
	}
	b.work()
	b.expect("sent all the same", "out_1", "held queued sent", "")
	if b.suppressed("support", "anna@customer.example") == nil {
		t.Error("what a person suppressed was lifted by a machine")
	}
	b.clk.move(time.Hour)
	if err := b.q.TendOnce(ctx); err != nil {
		t.Fatal(err)
	}
	b.expect("still held", "out_0", "queued held", Kept)
	if err := b.q.o.Suppressions.Remove(ctx, "support", "ANNA@customer.example"); err != nil {
		t.Fatal(err)
	}
	if err := b.q.TendOnce(ctx); err != nil {
		t.Fatal(err)
	}
	b.work()
	b.expect("let go", "out_0", "queued held queued sent", "")
	if err := b.q.o.Suppressions.Remove(ctx, "support", "anna@customer.example"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// An address that proved wrong is taken off when it proves right.
func TestGoodAddressesComeBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	answer := refuses(550, "5.1.1")
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result { return takes(answer)(ctx, tr) }), withSuppressions)
	fail := func(id string) {
		b.submit(id, "anna@customer.example")
		b.work()
		if b.suppressed("support", "anna@customer.example") == nil {
			t.Fatal("not suppressed")
		}
	}
	fail("out_1")
	// Mail comes from it.
	if err := b.db.Update(ctx, func(tx store.Tx) error { return b.q.o.Suppressions.Works(tx, "ANNA@customer.example") }); err != nil {
		t.Fatal(err)
	}
	if b.suppressed("", "anna@customer.example") != nil {
		t.Error("mail from it did not help")
	}
	// A mail is released and arrives.
	fail("out_2")
	answer = accepted
	b.submit("out_3", "anna@customer.example")
	if err := b.q.Release(ctx, "out_3"); err != nil {
		t.Fatal(err)
	}
	b.work()
	b.expect("arrived", "out_3", "held queued sent", "")
	if b.suppressed("", "anna@customer.example") != nil {
		t.Error("arriving did not help")
	}
	// Time passes.
	answer = refuses(550, "5.1.1")
	fail("out_4")
	b.submit("out_5", "anna@customer.example")
	answer = accepted
	b.clk.move(suppressFor + time.Second)
	if b.suppressed("", "anna@customer.example") != nil {
		t.Error("30 days are over")
	}
	if err := b.q.TendOnce(ctx); err != nil {
		t.Fatal(err)
	}
	b.work()
	b.expect("held until then", "out_5", "held queued sent", "")
}

func TestSuppressionLists(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t, takes(accepted), withSuppressions)
	s := b.q.o.Suppressions
	for i := range 25 {
		n := Suppression{Address: fmt.Sprintf("a%02d@d%d.example", i, i%2), By: "ada"}
		if i%5 == 0 {
			n.Queue = "support"
		}
		if _, err := s.Add(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		f    SuppressionFilter
		want int
	}{{SuppressionFilter{}, 25}, {SuppressionFilter{Queue: "support"}, 5}, {SuppressionFilter{Address: "@D1.example"}, 12}, {SuppressionFilter{Address: "A03@d1.example"}, 1}, {SuppressionFilter{Address: "nobody@d1.example"}, 0}} {
		for _, limit := range []int{1, 4, 25, 100} {
			got := map[string]bool{}
			c.f.Limit, c.f.Cursor = limit, ""
			for {
				page, next, err := s.List(ctx, c.f)
				if err != nil || len(page) > limit {
					t.Fatal(len(page), err)
				}
				for _, p := range page {
					got[p.Address] = true
				}
				if c.f.Cursor = next; next == "" {
					break
				}
			}
			if len(got) != c.want {
				t.Errorf("%+v: %d, want %d", c.f, len(got), c.want)
			}
		}
	}
	if _, _, err := s.List(ctx, SuppressionFilter{Cursor: "?"}); !errors.Is(err, ErrCursor) {
		t.Error(err)
	}
	for _, bad := range []Suppression{{Address: ""}, {Address: "anna"}, {Address: "a b@c.example"}, {Address: "a@"}, {Address: "anna@customer.example", Until: b.clk.now()}} {
		if _, err := s.Add(ctx, bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if n := testutil.CollectAndCount(s.Collector()); n != 1 {
		t.Errorf("%d series", n)
	}
}

// Whatever answers come in whatever order, an address is suppressed only by the
// rules, and never by policy answers alone.
func TestSuppressionProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := setup(t, takes(accepted), withSuppressions, func(o *Options) { o.Registerer = nil })
		var strikes []time.Time // what should count
		var until time.Time
		statuses := []string{"5.1.1", "5.2.1", "5.7.1", "", "5.0.0", "5.4.1", "4.2.2", "works", "time"}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			now := b.clk.now()
			if !until.IsZero() && !until.After(now) {
				until, strikes = time.Time{}, nil
			}
			status := rapid.SampledFrom(statuses).Draw(rt, "status")
			switch status {
			case "works":
				strikes, until = nil, time.Time{}
			case "time":
				b.clk.move(time.Duration(rapid.IntRange(1, 240).Draw(rt, "hours")) * time.Hour)
				continue
			case "5.1.1", "5.2.1":
				if until.IsZero() {
					until, strikes = now.Add(suppressFor), nil
				}
			case "5.0.0", "5.4.1":
				if until.IsZero() {
					var fresh []time.Time
					for _, s := range strikes {
						if now.Sub(s) < strikeWindow {
							fresh = append(fresh, s)
						}
					}
					if strikes = append(fresh, now); len(strikes) >= maxStrikes {
						until, strikes = now.Add(suppressFor), nil
					}
				}
			}
			err := b.db.Update(context.Background(), func(tx store.Tx) error {
				if status == "works" {
					return b.q.o.Suppressions.Works(tx, "anna@customer.example")
				}
				return b.q.o.Suppressions.Failed(tx, "anna@customer.example", status, 550, "no")
			})
			if err != nil {
				rt.Fatal(err)
			}
			if got := b.suppressed("", "anna@customer.example"); (got != nil) != !until.IsZero() || got != nil && !got.Until.Equal(until) {
				rt.Fatalf("after %q: %+v, want until %v", status, got, until)
			}
		}
	})
}
