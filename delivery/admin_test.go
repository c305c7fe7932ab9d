package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Hold, release, retry and drop, each with its report.
func TestCommands(t *testing.T) {
	t.Parallel()
	answer := greylisted
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result { return takes(answer)(ctx, tr) }))
	ctx := t.Context()
	b.submit("out_1", "anna@customer.example")
	must := func(step string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", step, err, want)
		}
		b.sound(step)
	}
	must("hold", b.q.Hold(ctx, "out_1", "ada", "wrong\r\nattachment"), nil)
	b.expect("held", "out_1", "queued held", Kept)
	if p := b.get("out_1"); p.Next != nil || p.Why != "held by ada since 2026-05-04T12:00:00Z: wrong attachment" {
		t.Errorf("%+v", p)
	}
	if r := b.ledger.of(t, b.db, "out_1"); r[1].Text != "held by ada: wrong attachment" {
		t.Errorf("%+v", r[1])
	}
	b.work()
	b.clk.move(time.Hour)
	b.work()
	b.expect("held mail stays", "out_1", "queued held", Kept)
	must("hold twice", b.q.Hold(ctx, "out_1", "bob", ""), ErrState)
	must("retry while held", b.q.Retry(ctx, "out_1"), ErrState)
	must("release", b.q.Release(ctx, "out_1"), nil)
	must("release twice", b.q.Release(ctx, "out_1"), ErrState)
	b.work()
	b.expect("tried", "out_1", "queued held queued deferred", Deferred)
	must("retry", b.q.Retry(ctx, "out_1"), nil)
	b.expect("due", "out_1", "queued held queued deferred deferred", Ready)
	b.work()
	if p := b.get("out_1"); p.Attempts != 2 {
		t.Errorf("%d attempts", p.Attempts)
	}
	must("hold again", b.q.Hold(ctx, "out_1", "ada", "x"), nil)
	must("drop held", b.q.Drop(ctx, "out_1", "ada", "never mind"), nil)
	b.expect("dropped", "out_1", "queued held queued deferred deferred deferred held cancelled", "")
	all := b.ledger.of(t, b.db, "out_1")
	if last := all[len(all)-1]; last.Text != "dropped by ada: never mind" {
		t.Errorf("%+v", last)
	}
	b.submit("out_2", "anna@customer.example")
	must("drop waiting", b.q.Drop(ctx, "out_2", "ada", ""), nil)
	b.work()
	b.expect("dropped", "out_2", "queued cancelled", "")
	for name, err := range map[string]error{
		"hold": b.q.Hold(ctx, "out_9", "", ""), "release": b.q.Release(ctx, "out_9"), "retry": b.q.Retry(ctx, "out_9"), "drop": b.q.Drop(ctx, "out_9", "", ""),
	} {
		must(name+" of nothing", err, store.ErrNotFound)
	}
	if n := testutil.ToFloat64(b.q.met.attempts.WithLabelValues("reply", "other", "cancelled")); n != 2 {
		t.Errorf("%v cancelled", n)
	}
}

// While an attempt is under way nobody may take the parcel from under it.
func TestCommandsInFlight(t *testing.T) {
	t.Parallel()
	var b *bench
	b = setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		for name, err := range map[string]error{
			"hold": b.q.Hold(ctx, "out_1", "", ""), "retry": b.q.Retry(ctx, "out_1"), "drop": b.q.Drop(ctx, "out_1", "", ""), "release": b.q.Release(ctx, "out_1"),
		} {
			if !errors.Is(err, ErrInFlight) {
				t.Errorf("%s: %v", name, err)
			}
		}
		return takes(accepted)(ctx, tr)
	}))
	b.submit("out_1", "anna@customer.example")
	b.work()
	b.expect("delivered", "out_1", "queued sent", "")
}

// A refusal by the ledger undoes a command whole.
func TestCommandWithoutLedger(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	b.submit("out_1", "anna@customer.example")
	b.ledger.refuse = func(message.Report) error { return errors.New("no") }
	for name, err := range map[string]error{
		"hold": b.q.Hold(t.Context(), "out_1", "", ""), "drop": b.q.Drop(t.Context(), "out_1", "", ""), "retry": b.q.Retry(t.Context(), "out_1"),
	} {
		if err == nil {
			t.Error(name, "went through")
		}
	}
	b.expect("as before", "out_1", "queued", Ready)
	b.sound("as before")
}

// A paused destination keeps its mail and says why.
func TestPause(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	b.submit("out_1", "anna@customer.example")
	b.submit("out_2", "anna@other.example")
	if _, err := b.q.Pause(t.Context(), "Customer.Example", start.Add(time.Hour), "ada", "blocklist"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.q.Pause(t.Context(), "not a domain", start.Add(time.Hour), "ada", ""); err == nil {
		t.Error("paused nonsense")
	}
	b.work()
	b.expect("paused", "out_1", "queued", Ready)
	b.expect("not paused", "out_2", "queued sent", "")
	if p := b.get("out_1"); !strings.Contains(p.Why, "the destination is paused until 2026-05-04T13:00:00Z by ada: blocklist") {
		t.Error(p.Why)
	}
	if err := b.q.Resume(t.Context(), "customer.example"); err != nil {
		t.Fatal(err)
	}
	b.work()
	b.expect("resumed", "out_1", "queued sent", "")
}

// Filters select, pages join up, and a foreign cursor is refused.
func TestList(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(greylisted))
	for i := range 30 {
		b.submit(fmt.Sprintf("out_%02d", i), fmt.Sprintf("u%d@d%d.example", i, i%3), func(o *message.Outbound) {
			o.Class = []string{"reply", "notification"}[i%2]
			o.Ticket = uint64(1000 + i%5)
			if i%10 == 0 {
				o.Due = start.Add(time.Hour)
			}
		})
	}
	if err := b.q.Hold(t.Context(), "out_07", "ada", "x"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		f    Filter
		want int
	}{
		{Filter{}, 30},
		{Filter{State: Ready}, 26},
		{Filter{State: Scheduled}, 3},
		{Filter{State: Kept}, 1},
		{Filter{State: Active}, 0},
		{Filter{Class: "reply"}, 15},
		{Filter{To: "U4@d1.example"}, 1},
		{Filter{To: "@D1.example"}, 10},
		{Filter{Ticket: 1002}, 6},
		{Filter{Ticket: 1002, Class: "reply"}, 3},
		{Filter{Ticket: 9999}, 0},
	} {
		for _, limit := range []int{0, 1, 4, 5, 100, 5000} {
			var got []string
			f := tc.f
			f.Limit = limit
			for pages := 0; ; pages++ {
				page, next, err := b.q.List(t.Context(), f)
				if err != nil || pages > 40 {
					t.Fatalf("%+v: %v", f, err)
				}
				for _, p := range page {
					if len(got) > 0 && p.ID <= got[len(got)-1] {
						t.Errorf("%+v: %s after %s", f, p.ID, got[len(got)-1])
					}
					got = append(got, p.ID)
				}
				if next == "" {
					break
				}
				f.Cursor = next
			}
			if len(got) != tc.want {
				t.Errorf("%+v: %d parcels, want %d", f, len(got), tc.want)
			}
		}
	}
	for _, c := range []string{"AAAA", "____", "IAAA"} { // made up, and harmless
		for _, ticket := range []uint64{0, 1002} {
			if _, _, err := b.q.List(t.Context(), Filter{Cursor: c, Ticket: ticket}); err != nil {
				t.Errorf("cursor %q: %v", c, err)
			}
		}
	}
	for _, c := range []string{"?", strings.Repeat("A", 5000)} {
		if _, _, err := b.q.List(t.Context(), Filter{Cursor: c}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %.10q: %v", c, err)
		}
	}
}

// The gauges count what is there; names and help are as promtool likes them.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(greylisted))
	b.submit("out_1", "anna@customer.example")
	b.work()
	b.submit("out_2", "anna@other.example")
	b.submit("out_3", "anna@other.example", func(o *message.Outbound) { o.Due = start.Add(time.Hour) })
	b.submit("out_4", "anna@other.example")
	if err := b.q.Hold(t.Context(), "out_4", "ada", "x"); err != nil {
		t.Fatal(err)
	}
	b.clk.move(30 * time.Second)
	if err := testutil.GatherAndCompare(b.reg, strings.NewReader(`
# HELP ticketgate_outbound_messages Mails in the outbound queue, counted up to 200000.
# TYPE ticketgate_outbound_messages gauge
ticketgate_outbound_messages{state="active"} 0
ticketgate_outbound_messages{state="deferred"} 1
ticketgate_outbound_messages{state="held"} 1
ticketgate_outbound_messages{state="ready"} 1
ticketgate_outbound_messages{state="scheduled"} 1
# HELP ticketgate_outbound_oldest_age_seconds Age of the oldest mail in a state; for ready, how long it has been due.
# TYPE ticketgate_outbound_oldest_age_seconds gauge
ticketgate_outbound_oldest_age_seconds{state="active"} 0
ticketgate_outbound_oldest_age_seconds{state="deferred"} 30
ticketgate_outbound_oldest_age_seconds{state="held"} 30
ticketgate_outbound_oldest_age_seconds{state="ready"} 30
ticketgate_outbound_oldest_age_seconds{state="scheduled"} 0
# HELP ticketgate_outbound_responses_total Replies that decided an attempt, by class and subject of the status code.
# TYPE ticketgate_outbound_responses_total counter
ticketgate_outbound_responses_total{provider="other",status="4.7"} 1
# HELP ticketgate_dkim_signatures_total Mails signed, by result.
# TYPE ticketgate_dkim_signatures_total counter
ticketgate_dkim_signatures_total{result="failed"} 0
ticketgate_dkim_signatures_total{result="ok"} 1
`), "ticketgate_outbound_messages", "ticketgate_outbound_oldest_age_seconds", "ticketgate_outbound_responses_total", "ticketgate_dkim_signatures_total"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(b.reg)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if _, err := courier.New(courier.Options{
		Hostname: "mail.help.example", Resolver: noDNS{}, Dial: noDial, Now: time.Now, Random: strings.NewReader(""), Registerer: b.reg,
	}); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(b.reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]courier.Result{
		"2.0": {Code: 250, Enhanced: "2.0.0"}, "4.7": {Code: 451, Enhanced: "4.7.1"}, "5.0": {Code: 550},
		"5.1": {Code: 550, Enhanced: "5.1.1"},
	} {
		if got := status(r); got != want {
			t.Errorf("%+v is %s", r, got)
		}
	}
	if got := status(courier.Result{Code: 550, Enhanced: "5.99.1"}); got != "5.0" {
		t.Error(got)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := setup(t, takes(accepted)).q.o
	good.Registerer = nil
	for name, with := range map[string]func(*Options){
		"no store": func(o *Options) { o.DB = nil }, "no ledger": func(o *Options) { o.Ledger = nil },
		"no signer": func(o *Options) { o.Signer = nil }, "no carrier": func(o *Options) { o.Carrier = nil },
		"no clock": func(o *Options) { o.Now = nil }, "no randomness": func(o *Options) { o.Random = nil },
		"a wait of nothing": func(o *Options) { o.Retry = []time.Duration{0} },
	} {
		o := good
		with(&o)
		if _, err := New(o); err == nil {
			t.Error(name, "was accepted")
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}
