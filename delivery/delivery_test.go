package delivery

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// A parcel exists with the transaction that submits it, or not at all.
func TestSubmitBelongsToItsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	boom := errors.New("the ticket was not written after all")
	err := b.db.Update(t.Context(), func(tx store.Tx) error {
		o, err := b.outbound(tx, "out_1", "anna@customer.example")
		if err != nil {
			return err
		}
		if err := b.q.Submit(tx, o); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	b.expect("rolled back", "out_1", "", "")
	b.work()
	b.submit("out_1", "anna@customer.example")
	b.expect("submitted", "out_1", "queued", Ready)
	b.submit("out_1", "somebody@else.example")
	b.expect("again", "out_1", "queued", Ready)
	if p := b.get("out_1"); p.Recipient != "anna@customer.example" {
		t.Errorf("a second submission changed the parcel: %+v", p)
	}
	b.sound("submitted")
	if n := testutil.ToFloat64(b.q.met.enqueued.WithLabelValues("reply")); n != 1 {
		t.Errorf("%v enqueued", n)
	}
}

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	for name, with := range map[string]func(*message.Outbound){
		"no id":              func(o *message.Outbound) { o.ID = "" },
		"no content":         func(o *message.Outbound) { o.SHA256 = "" },
		"no recipient":       func(o *message.Outbound) { o.To = "" },
		"endless recipient":  func(o *message.Outbound) { o.To = strings.Repeat("a", 2000) },
		"unknown class":      func(o *message.Outbound) { o.Class = "spam" },
		"nothing to sign by": func(o *message.Outbound) { o.Domain = "" },
		"signed with a head": func(o *message.Outbound) { o.Head = []byte("X: y\r\n") },
		"head without end":   func(o *message.Outbound) { o.Class, o.Domain, o.Head = "relay", "", []byte("X: y") },
		"endless head": func(o *message.Outbound) {
			o.Class, o.Domain, o.Head = "relay", "", []byte(strings.Repeat("X: y\r\n", 3000))
		},
	} {
		if err := b.db.Update(t.Context(), func(tx store.Tx) error {
			o, err := b.outbound(tx, "out_x", "anna@customer.example")
			if err != nil {
				return err
			}
			with(&o)
			return b.q.Submit(tx, o)
		}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	b.submit("out_relay", "anna@customer.example", func(o *message.Outbound) { o.Class, o.Domain = "relay", "" })
	b.work()
	b.expect("relay", "out_relay", "queued sent", "")
	if b.pen.n != 0 {
		t.Error("relayed mail was signed")
	}
}

// A relayed mail goes out as it is, with the fields on top that came with it,
// on the route it was given.
func TestRelayedMail(t *testing.T) {
	t.Parallel()
	var b *bench
	b = setup(t, carry(func(_ context.Context, tr courier.Transaction) courier.Result {
		if got, err := content(tr); got != "X-Original-To: support@help.example\r\n"+letterText || err != nil {
			t.Errorf("content %q, %v", got, err)
		}
		if tr.Route != "helpdesk" || tr.Queue != "support" || !tr.RequireTLS {
			t.Errorf("%+v", tr)
		}
		return accepted
	}))
	b.submit("out_1", "desk@other.example", func(o *message.Outbound) {
		o.Class, o.Domain, o.Route, o.RequireTLS = "relay", "", "helpdesk", true
		o.Head = []byte("X-Original-To: support@help.example\r\n")
	})
	b.work()
	b.expect("relay", "out_1", "queued sent", "")
}

// Before anything is dialled the attempt is counted, on disk, with the time of
// the next one; before the dot is sent, so is that, with the signature.
func TestAttemptIsWrittenDownFirst(t *testing.T) {
	t.Parallel()
	var b *bench
	calls := 0
	b = setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		calls++
		p := b.get("out_1")
		if p.State != Active || p.Attempts != 1 || !p.Next.After(b.clk.now()) {
			t.Errorf("at the dialling: %+v", p)
		}
		if err := tr.OnDot(ctx); err != nil {
			t.Error(err)
		}
		if p := b.get("out_1"); !strings.Contains(p.Why, "has sent the content") {
			t.Errorf("at the dot: %s", p.Why)
		}
		if got, err := content(tr); got != "DKIM-Signature: d=help.example; b=1\r\n"+letterText || err != nil {
			t.Errorf("content %q, %v", got, err)
		}
		if tr.Destination != "customer.example" || tr.From != "support@help.example" || tr.Size <= int64(len(letterText)) {
			t.Errorf("%+v", tr)
		}
		return accepted
	}))
	b.submit("out_1", "anna@Customer.Example")
	b.work()
	if calls != 1 {
		t.Fatalf("%d attempts", calls)
	}
	b.expect("sent", "out_1", "queued sent", "")
	r := b.ledger.of(t, b.db, "out_1")[1]
	want := message.Report{
		Parcel: "out_1", Message: "msg_1", Ticket: 1001, Queue: "support", Recipient: "anna@Customer.Example",
		State: "sent", Attempts: 1, Code: 250, Enhanced: "2.0.0", Text: "Ok", MX: "mx1.customer.example", At: start,
	}
	if r != want {
		t.Errorf("report %+v\nwant   %+v", r, want)
	}
	b.sound("sent")
}

// Failures for now are retried after the waits of the table, spread by a fifth,
// always with the same bytes; at the end of its life the parcel fails.
func TestRetriesAndExpiry(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		got, err := content(tr)
		if err != nil {
			t.Error(err)
		}
		seen[got]++
		return greylisted
	}))
	b.submit("out_1", "anna@customer.example")
	waits := []time.Duration{time.Minute, 5 * time.Minute, time.Hour, time.Hour}
	for i, wait := range waits {
		b.work()
		p := b.get("out_1")
		d := p.Next.Sub(b.clk.now())
		if p.State != Deferred || p.Attempts != i+1 || d < wait*8/10 || d > wait*12/10 {
			t.Fatalf("after attempt %d: %s in %s, want %s", p.Attempts, p.State, d, wait)
		}
		if !strings.Contains(p.Why, "451 4.7.1 greylisted (mx1.customer.example)") {
			t.Errorf("why: %s", p.Why)
		}
		last := b.ledger.of(t, b.db, "out_1")
		if r := last[len(last)-1]; r.State != "deferred" || !r.Next.Equal(*p.Next) || r.Code != 451 {
			t.Errorf("report %+v", r)
		}
		b.sound("deferred")
		b.clk.move(d - time.Microsecond)
		b.work()
		if b.get("out_1").Attempts != i+1 {
			t.Fatalf("attempt before its time")
		}
		b.clk.move(time.Microsecond)
	}
	for b.get("out_1") != nil {
		b.work()
		if p := b.get("out_1"); p != nil {
			if age := p.Next.Sub(start); age > 6*time.Hour {
				t.Fatalf("next attempt at an age of %s", age)
			}
			b.clk.move(p.Next.Sub(b.clk.now()))
		}
	}
	if age := b.clk.now().Sub(start); age != 6*time.Hour {
		t.Errorf("gave up at %s, want at the end of its life", age)
	}
	all := b.ledger.of(t, b.db, "out_1")
	if last := all[len(all)-1]; last.State != "failed" || last.Text != "greylisted" {
		t.Errorf("%+v", last)
	}
	if len(seen) != 1 || b.pen.n != 1 {
		t.Errorf("%d different contents, %d signatures", len(seen), b.pen.n)
	}
	if n := testutil.ToFloat64(b.q.met.attempts.WithLabelValues("reply", "other", "expired")); n != 1 {
		t.Errorf("%v expired", n)
	}
	b.sound("failed")
}

// A clock that jumps ahead by a month does not fail what was hardly tried.
func TestClockJumpDoesNotExpire(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(greylisted))
	b.submit("out_1", "anna@customer.example")
	b.clk.set(30 * 24 * time.Hour)
	b.work()
	b.expect("after the jump", "out_1", "queued deferred", Deferred)
}

func TestPermanentFailure(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(unknown))
	b.submit("out_1", "anna@customer.example")
	b.work()
	b.expect("refused", "out_1", "queued failed", "")
	b.sound("refused")
}

// A mail that cannot be signed waits; it never leaves unsigned.
func TestUnsignableMailWaits(t *testing.T) {
	t.Parallel()
	sent := 0
	b := setup(t, carry(func(context.Context, courier.Transaction) courier.Result { sent++; return accepted }))
	b.pen.err = errors.New("key file: permission denied")
	b.submit("out_1", "anna@customer.example")
	b.work()
	p := b.get("out_1")
	if sent != 0 || p.State != Deferred || !strings.Contains(p.Why, "cannot be signed for help.example") || strings.Contains(p.Why, "permission") {
		t.Fatalf("%d sent, %+v", sent, p)
	}
	b.pen.err = nil
	b.clk.move(2 * time.Minute)
	b.work()
	b.expect("key is back", "out_1", "queued deferred sent", "")
}

// Mail for the future waits for it, and its life begins then.
func TestScheduled(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	b.submit("out_1", "anna@customer.example", func(o *message.Outbound) { o.Due = start.Add(48 * time.Hour) })
	b.work()
	b.expect("before", "out_1", "queued", Scheduled)
	if p := b.get("out_1"); p.Age != 0 || p.Why != "scheduled for 2026-05-06T12:00:00Z" {
		t.Errorf("%+v", p)
	}
	b.clk.move(48 * time.Hour)
	b.work()
	b.expect("then", "out_1", "queued sent", "")
}

// A recipient that cannot be written fails on the record.
func TestImpossibleRecipient(t *testing.T) {
	t.Parallel()
	c, err := courier.New(courier.Options{
		Hostname: "mail.help.example", Resolver: noDNS{}, Dial: noDial, Now: time.Now, Random: strings.NewReader(""),
	})
	if err != nil {
		t.Fatal(err)
	}
	b := setup(t, c)
	for i, to := range []string{"nobody", "a b@customer.example", "x@-.-", "x@"} {
		id := string(rune('a' + i))
		b.submit(id, to)
		b.work()
		b.expect(to, id, "queued failed", "")
	}
}

// If the answer to the dot is lost the parcel is flagged and sent again with
// the same bytes.
func TestLostDot(t *testing.T) {
	t.Parallel()
	answers := []courier.Result{lostDot, accepted}
	var sent []string
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		got, _ := content(tr)
		sent = append(sent, got)
		r := answers[0]
		answers = answers[1:]
		return takes(r)(ctx, tr)
	}))
	b.submit("out_1", "anna@customer.example")
	b.work()
	if p := b.get("out_1"); !p.Ambiguous || !strings.Contains(p.Why, "an earlier attempt may have delivered it") {
		t.Errorf("%+v", p)
	}
	b.clk.move(2 * time.Minute)
	b.work()
	b.expect("again", "out_1", "queued deferred sent", "")
	if len(sent) != 2 || sent[0] != sent[1] {
		t.Errorf("sent %q", sent)
	}
	if n := testutil.ToFloat64(b.q.met.ambiguous); n != 1 {
		t.Errorf("%v ambiguous", n)
	}
}

// What cannot be reached is left alone after three failures in a row, and the
// rest of what waits for it is not touched. Another destination is.
func TestUnreachableDestination(t *testing.T) {
	t.Parallel()
	dials := map[string]int{}
	b := setup(t, carry(func(_ context.Context, tr courier.Transaction) courier.Result {
		dials[tr.Destination]++
		if tr.Destination == "dead.example" {
			return unreachable
		}
		return greylisted
	}), func(o *Options) { o.PerDestination = 1 })
	for i := range batchSize {
		b.submit(string(rune('a'+i)), "x@dead.example")
		b.submit(string(rune('A'+i)), "x@grey.example")
	}
	b.work()
	if dials["dead.example"] != deadCohorts || dials["grey.example"] != batchSize {
		t.Errorf("dialled %v", dials)
	}
	for i := range batchSize {
		id := string(rune('a' + i))
		if i < deadCohorts {
			b.expect("tried", id, "queued deferred", Deferred)
			continue
		}
		b.expect("spared", id, "queued", Ready)
		if p := b.get(id); p.Attempts != 0 || !strings.Contains(p.Why, "connecting timed out") {
			t.Errorf("%+v", p)
		}
	}
	b.sound("deferred")
}

// If the ledger will not take an outcome it is offered again later; the mail is
// not sent again.
func TestLedgerThatRefuses(t *testing.T) {
	t.Parallel()
	sent := 0
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		sent++
		return takes(accepted)(ctx, tr)
	}))
	b.submit("out_1", "anna@customer.example")
	b.ledger.refuse = func(message.Report) error { return errors.New("the ticket is locked") }
	b.work()
	b.expect("refused", "out_1", "queued", Deferred)
	if p := b.get("out_1"); !strings.HasPrefix(p.Why, "sent, but the ticket could not be told yet") || p.Attempts != 1 {
		t.Errorf("%+v", p)
	}
	b.sound("refused")
	b.ledger.refuse = nil
	b.clk.move(2 * time.Minute)
	b.work()
	b.expect("taken", "out_1", "queued sent", "")
	if sent != 1 {
		t.Errorf("sent %d times", sent)
	}
}

type noDNS struct{ courier.Resolver }

func (noDNS) LookupMX(context.Context, string) ([]*net.MX, error) { return nil, errors.New("no DNS") }
