package ticketing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/storetest"
)

// judged is an arrival with the door's evidence.
func (b *bench) judged(m mail, change func(*ticketing.Arrival)) ticketing.Outcome {
	b.t.Helper()
	a := b.arrival(m)
	if change != nil {
		change(&a)
	}
	r, err := b.desk.Receive(context.Background(), a)
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Outcomes[0]
}

func dmarc(disposition, trust string) func(*ticketing.Arrival) {
	return func(a *ticketing.Arrival) {
		a.Verdict.DMARC = ticketing.AuthResult{Result: "fail", Domain: "customer.example", Policy: disposition, Disposition: disposition}
		a.Verdict.Trust = trust
	}
}

func (b *bench) item(id string) *ticketing.Held {
	b.t.Helper()
	h, err := b.desk.HeldItem(context.Background(), id)
	if err != nil {
		b.t.Fatalf("held mail %s: %v", id, err)
	}
	return h
}

func (b *bench) heldIDs(f ticketing.HeldFilter) []string {
	b.t.Helper()
	list, _, err := b.desk.Held(context.Background(), f)
	if err != nil {
		b.t.Fatal(err)
	}
	ids := []string{}
	for _, h := range list {
		ids = append(ids, h.ID)
	}
	return ids
}

// blankMail is a mail that says nothing.
func blankMail(n int) string {
	return fmt.Sprintf("From: %s\nMessage-ID: <blank%d@customer.example>\nTo: %s\n\n \n", rAddr, n, helpdsk)
}

// run does what has fallen due about held mail.
func (b *bench) run() {
	b.t.Helper()
	for range 100 {
		worked, _, err := b.desk.StepHeld(context.Background())
		if err != nil {
			b.t.Fatal(err)
		}
		if worked == 0 {
			return
		}
	}
	b.t.Fatal("there is no end to the work")
}

// What is held, what is not, and why. "" is a ticket.
func TestHeldReasons(t *testing.T) {
	t.Parallel()
	fromUs := "From: Web form <" + helpdsk + ">\nSubject: Form\nMessage-ID: <form@www.help.example>\n\nhello\n"
	for _, c := range []struct {
		name   string
		mail   func(b *bench, l letter) mail
		change func(*ticketing.Arrival)
		want   string
	}{
		{"ordinary", func(*bench, letter) mail { return mail{text: write(rAddr, "x")} }, nil, ""},
		{"our own mail", func(_ *bench, l letter) mail {
			return mail{text: "From: " + helpdsk + "\nSubject: Re: Printer\nMessage-ID: " + l.id + "\n\nhi\n"}
		}, nil, "loop"},
		{"our loop mark", func(b *bench, l letter) mail {
			return mail{text: write(helpdsk, "Printer", ticketing.LoopHeader+": "+b.keys.LoopMark(l.id))}
		}, nil, "loop"},
		{"p=quarantine", func(*bench, letter) mail { return mail{text: write(rAddr, "x")} }, dmarc("quarantine", "T0"), "failed_authentication"},
		{"p=quarantine to a token", func(_ *bench, l letter) mail {
			return mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l)}
		}, dmarc("quarantine", "T0"), "failed_authentication"},
		{"p=reject", func(*bench, letter) mail { return mail{text: write(rAddr, "x")} }, dmarc("reject", "T0"), "failed_authentication"},
		{"p=none", func(*bench, letter) mail { return mail{text: write(rAddr, "x")} }, dmarc("none", "T0"), ""},
		{"p=reject by a trusted forwarder", func(*bench, letter) mail { return mail{ip: trusted, text: write(rAddr, "x")} }, dmarc("reject", "T0"), ""},
		{"p=reject, submitted", func(*bench, letter) mail { return mail{text: write(otto, "x")} }, func(a *ticketing.Arrival) {
			dmarc("reject", "T0")(a)
			a.User = "otto"
		}, ""},
		{"our address", func(*bench, letter) mail { return mail{text: fromUs} }, nil, "from_our_address"},
		{"our address, proven", func(*bench, letter) mail { return mail{text: fromUs} }, func(a *ticketing.Arrival) { a.Verdict.Trust = "T1" }, ""},
		{"our address by a trusted forwarder", func(*bench, letter) mail { return mail{ip: trusted, text: fromUs} }, nil, ""},
		{"our postmaster", func(*bench, letter) mail { return mail{text: write("postmaster@help.example", "x")} }, nil, "from_our_address"},
		{"blank", func(*bench, letter) mail { return mail{text: blankMail(0)} }, nil, "blank"},
		{"blank but for the subject", func(*bench, letter) mail {
			return mail{text: "From: " + rAddr + "\nSubject: Call me\nMessage-ID: <s@x>\n\n"}
		}, nil, ""},
		{"nothing but a picture", func(*bench, letter) mail {
			return mail{text: "From: " + rAddr + "\nMessage-ID: <p@x>\nMIME-Version: 1.0\nContent-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n"}
		}, nil, ""},
		{"nothing but a linked picture", func(*bench, letter) mail {
			return mail{text: "From: " + rAddr + "\nMessage-ID: <q@x>\nMIME-Version: 1.0\nContent-Type: text/html\n\n<IMG src=\"https://x.example/a.png\">\n"}
		}, nil, ""},
		{"report to the return path", func(_ *bench, l letter) mail {
			return mail{from: "<>", to: []string{l.ret}, text: report(rAddr, "failed", "5.1.1", "550")}
		}, dmarc("reject", "T0"), ""},
		{"report to a reply token", func(_ *bench, l letter) mail {
			return mail{from: "<>", to: []string{l.replyTo}, text: report(rAddr, "failed", "5.1.1", "550")}
		}, nil, "backscatter"},
		{"report that returns our id", func(_ *bench, l letter) mail {
			return mail{from: "<>", text: strings.Replace(report(rAddr, "failed", "5.1.1", "550"), "\n--b--", "\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: "+l.id+"\nSubject: x\n\n--b--", 1)}
		}, nil, "backscatter"},
		{"report about nothing of ours", func(*bench, letter) mail {
			return mail{from: "<>", text: report("a@b.example", "failed", "5.1.1", "550")}
		}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, n := openWithTicket(t)
			l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
			m := c.mail(b, l)
			a := b.arrival(m)
			if c.change != nil {
				c.change(&a)
			}
			before := b.ticket(n)
			r, err := b.desk.Receive(context.Background(), a)
			if err != nil {
				t.Fatal(err)
			}
			o := r.Outcomes[0]
			if c.want == "" {
				if o.Held != "" || o.Message == "" || o.Ticket == 0 {
					t.Fatalf("outcome %+v, want it on a ticket", o)
				}
				b.checkAll()
				return
			}
			outcome := "held"
			if c.want == "loop" {
				outcome = "loop"
			}
			if o.Outcome != outcome || o.Held == "" || o.Reason == "" || o.Ticket != 0 || o.Message != "" || outcome == "held" && o.Reason != c.want {
				t.Fatalf("outcome %+v, want %s", o, c.want)
			}
			h := b.item(o.Held)
			if h.Reason != c.want || h.State != "held" || h.Queue != "support" || h.Recipient != m.to0() || h.Receipt != r.ID || h.Raw != r.Raw ||
				!h.ReceivedAt.Equal(r.ReceivedAt) || h.ExpiresAt.Sub(h.ReceivedAt) != 30*24*time.Hour || h.Envelope.RemoteIP == "" {
				t.Errorf("item %+v", h)
			}
			if after := b.ticket(n); after.Version != before.Version || len(b.heldIDs(ticketing.HeldFilter{Reason: c.want})) != 1 {
				t.Errorf("ticket %+v, items %v", after, b.heldIDs(ticketing.HeldFilter{}))
			}
			if again := b.judged(m, c.change); again.Outcome != "duplicate" || again.Held != o.Held {
				t.Errorf("again %+v", again)
			}
			b.checkAll()
		})
	}
}

func (m mail) to0() string {
	if len(m.to) == 0 {
		return helpdsk
	}
	return m.to[0]
}

// A released mail is what it would have been: time, trust, ticket and all.
func TestRelease(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	m := mail{to: []string{helpdsk, "hilfe@help.example"}, text: write("Anna <"+rAddr+">", "Printer", "Cc: "+cAddr)}
	a := b.arrival(m)
	dmarc("quarantine", "T1")(&a)
	r, err := b.desk.Receive(ctx, a)
	if err != nil || len(r.Outcomes) != 2 || r.Outcomes[0].Held != r.Outcomes[1].Held {
		t.Fatalf("%+v, %v", r, err)
	}
	id := r.Outcomes[0].Held
	b.clock.advance(3 * time.Hour)
	h, err := b.desk.Release(ctx, agent("otto"), id)
	if err != nil {
		t.Fatal(err)
	}
	if h.State != "released" || h.Ticket != 1001 || h.Message == "" || h.SettledBy != "agent:otto" || h.SettledAt.Sub(h.ReceivedAt) < 3*time.Hour {
		t.Errorf("item %+v", h)
	}
	got := b.message(h.Message)
	if !got.ReceivedAt.Equal(r.ReceivedAt) || got.Auth.Trust != "T1" || got.Auth.DMARC.Disposition != "quarantine" || got.Receipt != r.ID || got.Raw != r.Raw ||
		got.Author.Role != "requester" || got.Visibility != "public" || len(got.Envelope.To) != 2 || !slices.Contains(got.Flags, "held_failed_authentication") {
		t.Errorf("message %+v", got)
	}
	tk := b.ticket(1001)
	if tk.Requester.Address != rAddr || len(tk.CCs) != 1 || tk.Queue != "support" {
		t.Errorf("ticket %+v", tk)
	}
	if n := b.lastNotice(1001); n.Event != "ticket_created" || n.NoAck {
		t.Errorf("notice %+v", n)
	}
	stored, err := b.desk.Receipt(ctx, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range stored.Outcomes {
		if o.Outcome != "new_ticket" || o.Ticket != 1001 || o.Message != h.Message || o.Held != id || o.Reason != "failed_authentication" {
			t.Errorf("outcome %+v", o)
		}
	}
	// Once is enough.
	again, err := b.desk.Release(ctx, agent("lena"), id)
	if err != nil || again.Message != h.Message || again.SettledBy != "agent:otto" || b.ticket(1001).MessageCount != 1 {
		t.Errorf("again %+v, %v", again, err)
	}
	if _, err := b.desk.Attach(ctx, system(), id, 1001); ticketing.KindOf(err) != ticketing.Conflict {
		t.Errorf("attach: %v", err)
	}
	if _, err := b.desk.Discard(ctx, system(), id); ticketing.KindOf(err) != ticketing.Conflict {
		t.Errorf("discard: %v", err)
	}
	if o := b.judged(m, dmarc("quarantine", "T1")); o.Outcome != "duplicate" || o.Message != h.Message || o.Ticket != 1001 {
		t.Errorf("redelivered: %+v", o)
	}
	b.checkAll()
}

// A released answer finds its ticket by the token it came to, and a forged
// agent becomes no agent by being released.
func TestReleaseAnswer(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	o := b.judged(mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l, toUs, toCC)}, dmarc("quarantine", "T0"))
	h, err := b.desk.Release(context.Background(), system(), o.Held)
	if err != nil || h.Ticket != n {
		t.Fatalf("%+v, %v", h, err)
	}
	if m := b.message(h.Message); m.MatchedBy != "token" || m.Author.Role != "requester" || m.Kind != "customer" {
		t.Errorf("message %+v", m)
	}
	o = b.judged(mail{to: []string{l.replyTo}, text: answer(otto, "Printer", l, toUs)}, dmarc("quarantine", "T0"))
	h, err = b.desk.Release(context.Background(), agent("otto"), o.Held)
	if err != nil || h.Ticket != n {
		t.Fatalf("%+v, %v", h, err)
	}
	if m := b.message(h.Message); m.Author.Role != "third_party" || m.Visibility != "internal" || m.Author.Agent != "" {
		t.Errorf("message %+v", m)
	}
	b.checkAll()
}

// One mail held for two queues is two items; released, two linked tickets.
func TestReleaseTwoQueues(t *testing.T) {
	t.Parallel()
	b := open(t)
	r := b.receive(mail{to: []string{helpdsk, "sales@help.example"}, text: blankMail(1)})
	if r.Outcomes[0].Held == r.Outcomes[1].Held {
		t.Fatalf("outcomes %+v", r.Outcomes)
	}
	var tickets []uint64
	for _, o := range r.Outcomes {
		h, err := b.desk.Release(context.Background(), system(), o.Held)
		if err != nil {
			t.Fatal(err)
		}
		tickets = append(tickets, h.Ticket)
	}
	hasLink(t, b.ticket(tickets[0]), tickets[1], "sibling")
	if b.ticket(tickets[1]).Queue != "sales" {
		t.Errorf("ticket %+v", b.ticket(tickets[1]))
	}
	b.checkAll()
}

func TestAttach(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	other := b.take(mail{text: write(xAddr, "other")}).Ticket
	b.set(n, "solved")
	o := b.judged(mail{text: write(dAddr, "About the printer")}, dmarc("reject", "T0"))
	before := len(b.notices(n))
	if _, err := b.desk.Attach(ctx, system(), o.Held, 99999); ticketing.KindOf(err) != ticketing.Unknown || b.item(o.Held).State != "held" {
		t.Errorf("no such ticket: %v", err)
	}
	h, err := b.desk.Attach(ctx, agent("otto"), o.Held, n)
	if err != nil || h.State != "attached" || h.Ticket != n {
		t.Fatalf("%+v, %v", h, err)
	}
	m := b.message(h.Message)
	if m.Kind != "third_party" || m.Visibility != "internal" || m.Author.Role != "third_party" || m.Author.Address != dAddr || !m.ReceivedAt.Equal(h.ReceivedAt) ||
		!slices.Contains(m.Flags, "third_party") || m.Direction != "in" || m.Ticket != n {
		t.Errorf("message %+v", m)
	}
	tk := b.ticket(n)
	if tk.Status != "solved" || !slices.Contains(tk.Flags, "third_party_pending") {
		t.Errorf("ticket %+v", tk)
	}
	if last := b.lastNotice(n); len(b.notices(n)) != before+1 || last.Event != "third_party" || last.Actor.Agent != "otto" {
		t.Errorf("notice %+v", last)
	}
	if again, err := b.desk.Attach(ctx, system(), o.Held, n); err != nil || again.Message != h.Message || b.ticket(n).MessageCount != tk.MessageCount {
		t.Errorf("again %+v, %v", again, err)
	}
	if _, err := b.desk.Attach(ctx, system(), o.Held, other); ticketing.KindOf(err) != ticketing.Conflict {
		t.Errorf("to another ticket: %v", err)
	}
	b.checkAll()
}

// Discarded is not gone: until it expires it can be seen and released.
func TestDiscard(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	o := b.take(mail{text: blankMail(1)})
	for range 2 {
		if h, err := b.desk.Discard(ctx, agent("otto"), o.Held); err != nil || h.State != "discarded" || h.SettledBy != "agent:otto" {
			t.Fatalf("%+v, %v", h, err)
		}
	}
	if len(b.heldIDs(ticketing.HeldFilter{})) != 0 || len(b.heldIDs(ticketing.HeldFilter{State: "discarded", Reason: "blank", Queue: "support"})) != 1 {
		t.Error("the lists are wrong")
	}
	if again := b.take(mail{text: blankMail(1)}); again.Outcome != "duplicate" || again.Held != o.Held {
		t.Errorf("redelivered: %+v", again)
	}
	raw, err := b.desk.HeldRaw(ctx, b.item(o.Held))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(raw); err != nil || string(got) != strings.ReplaceAll(blankMail(1), "\n", "\r\n") {
		t.Errorf("raw %q, %v", got, err)
	}
	b.checkAll()
	if h, err := b.desk.Release(ctx, system(), o.Held); err != nil || h.Ticket != 1001 {
		t.Errorf("%+v, %v", h, err)
	}
	b.checkAll()
	var kinds []string
	entries, err := b.log.Read(ctx, "support", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		kinds = append(kinds, e.Kind+" "+e.Actor)
	}
	if got := strings.Join(kinds, ", "); got != "mail.held contact:"+rAddr+", mail.discarded agent:otto, mail.released system, ticket.created contact:"+rAddr &&
		got != "mail.held contact:"+rAddr+", mail.discarded agent:otto, ticket.created contact:"+rAddr+", mail.released system" {
		t.Errorf("journal: %s", got)
	}
}

func TestHeldActors(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	sales := b.take(mail{to: []string{"sales@help.example"}, text: write(xAddr, "x")}).Ticket
	o := b.take(mail{text: blankMail(1)})
	for _, c := range []struct {
		by      ticketing.Actor
		allowed bool
	}{
		{system(), true}, {ticketing.Actor{Kind: "token", Name: "crm"}, true}, {agent("otto"), true}, {ticketing.Actor{Kind: "token", Agent: "otto"}, true},
		{agent("sara"), false}, {agent("luis"), false}, {agent("nobody"), false}, {ticketing.Actor{Kind: "token", Agent: "sara"}, false},
		{ticketing.Actor{Kind: "contact", Address: rAddr}, false}, {ticketing.Actor{}, false},
	} {
		_, err := b.desk.Discard(ctx, c.by, o.Held)
		if denied := ticketing.KindOf(err) == ticketing.Denied && err != nil; denied == c.allowed {
			t.Errorf("%+v: %v", c.by, err)
		}
		if c.allowed {
			continue
		}
		_, e1 := b.desk.Release(ctx, c.by, o.Held)
		_, e2 := b.desk.Attach(ctx, c.by, o.Held, n)
		if ticketing.KindOf(e1) != ticketing.Denied || ticketing.KindOf(e2) != ticketing.Denied {
			t.Errorf("%+v: %v, %v", c.by, e1, e2)
		}
	}
	// The ticket has to be one of the agent's too.
	if _, err := b.desk.Attach(ctx, agent("otto"), o.Held, sales); ticketing.KindOf(err) != ticketing.Denied {
		t.Errorf("to a foreign queue: %v", err)
	}
	for _, err := range []error{
		errOf(b.desk.Release(ctx, system(), "held_none")), errOf(b.desk.Discard(ctx, system(), "held_none")), errOf(b.desk.HeldItem(ctx, "held_none")),
		errOf(b.desk.Attach(ctx, system(), "held_none", n)),
	} {
		if ticketing.KindOf(err) != ticketing.Unknown || err == nil {
			t.Errorf("unknown: %v", err)
		}
	}
	b.checkAll()
}

func errOf(_ *ticketing.Held, err error) error { return err }

// What nobody decided about in 30 days is gone; what somebody did, stays where
// it went. The same mail is judged anew then.
func TestExpiry(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	lost, kept, thrown := b.take(mail{text: blankMail(1)}).Held, b.take(mail{text: blankMail(2)}).Held, b.take(mail{text: blankMail(3)}).Held
	if _, err := b.desk.Release(ctx, system(), kept); err != nil {
		t.Fatal(err)
	}
	if _, err := b.desk.Discard(ctx, system(), thrown); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(30*24*time.Hour - time.Minute)
	b.run()
	b.item(lost)
	b.clock.advance(2 * time.Minute)
	b.run()
	for _, id := range []string{lost, kept, thrown} {
		if _, err := b.desk.HeldItem(ctx, id); ticketing.KindOf(err) != ticketing.Unknown {
			t.Errorf("%s: %v", id, err)
		}
	}
	b.checkAll()
	entries, err := b.log.Read(ctx, "support", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	expired := 0
	for _, e := range entries {
		if e.Kind == "mail.expired" {
			expired++
		}
	}
	if expired != 1 {
		t.Errorf("%d expiries in the journal", expired)
	}
	if o := b.take(mail{text: blankMail(1)}); o.Outcome != "held" || o.Held == lost {
		t.Errorf("after expiry: %+v", o)
	}
	if o := b.take(mail{text: blankMail(2)}); o.Outcome != "duplicate" || o.Message == "" {
		t.Errorf("the released one: %+v", o)
	}
	b.checkAll()
}

// digests returns the digests owed so far.
func (b *bench) digests() (out []ticketing.Notice) {
	b.t.Helper()
	for _, n := range b.notices(0) {
		if n.Event == ticketing.EventHeldDigest {
			out = append(out, n)
		}
	}
	return out
}

func TestDigest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t) // at nine in the morning
	first := b.take(mail{text: blankMail(1)}).Held
	b.take(mail{text: write(helpdsk, "WIN $$$")})
	b.take(mail{to: []string{"sales@help.example"}, text: blankMail(2)})
	b.clock.advance(12 * time.Hour)
	b.run()
	if got := b.digests(); len(got) != 0 {
		t.Fatalf("too early: %+v", got)
	}
	day := func() {
		b.clock.advance(24 * time.Hour)
		b.run()
	}
	day()
	got := b.digests()
	if len(got) != 2 {
		t.Fatalf("digests %+v", got)
	}
	slices.SortFunc(got, func(x, y ticketing.Notice) int { return strings.Compare(x.Queue, y.Queue) })
	d := got[1]
	if len(d.Audience) != 1 || d.Audience[0].Agent != "otto" || d.Audience[0].Role != "lead" || got[0].Audience[0].Agent != "sara" || d.Ticket != 0 || d.Queue != "support" {
		t.Errorf("digest %+v", d)
	}
	if counts, _ := json.Marshal(d.Held.Counts); string(counts) != `[{"reason":"from_our_address","count":1},{"reason":"blank","count":1}]` {
		t.Errorf("counts %s", counts)
	}
	if len(d.Held.Items) != 2 || d.Held.Items[1].ID != first || d.Held.Items[0].Subject != "WIN $$$" || d.Held.More != 0 {
		t.Errorf("items %+v", d.Held.Items)
	}
	day()
	if got := b.digests(); len(got) != 2 {
		t.Errorf("no news, %d digests", len(got))
	}
	for i := range 30 {
		b.take(mail{text: blankMail(100 + i)})
	}
	day()
	got = b.digests()
	if len(got) != 3 || len(got[2].Held.Items) != 25 || got[2].Held.More != 5 || got[2].Held.Counts[1].Count != 31 {
		t.Errorf("%d digests, last %+v", len(got), got[len(got)-1].Held)
	}
	for b.clock.now().Before(b.item(first).ExpiresAt.Add(-48 * time.Hour)) {
		day()
	}
	if got := b.digests(); len(got) != 5 { // support and sales are told what is about to go
		t.Errorf("%d digests before the expiry", len(got))
	}
	if got := b.digests(); len(got) == 5 && got[4].Held.More == 0 && len(got[4].Held.Items) > 2 {
		t.Errorf("what was told before is told again: %+v", got[4].Held)
	}
	for range 6 {
		day()
	}
	if ids := b.heldIDs(ticketing.HeldFilter{}); len(ids) != 0 {
		t.Errorf("left: %v", ids)
	}
	before := len(b.digests())
	day()
	if _, next, err := b.desk.StepHeld(ctx); err != nil || next != time.Minute || len(b.digests()) != before {
		t.Errorf("something is left to do: %v, %v", next, err)
	}
	b.checkAll()
}

// A queue nobody may decide for has the administrator as its lead.
func TestDigestWithoutLead(t *testing.T) {
	t.Parallel()
	c := newClock()
	b := openOn(t, twice{storetest.OpenAt(t, c.now)}, c, func(o *ticketing.Options) {
		o.Admin = "ada@admin.example"
		o.Queues[1].Agents = []string{"luis"}
	})
	b.take(mail{to: []string{"sales@help.example"}, text: blankMail(1)})
	c.advance(24 * time.Hour)
	b.run()
	if got := b.digests(); len(got) != 1 || len(got[0].Audience) != 1 || got[0].Audience[0].Address != "ada@admin.example" || got[0].Audience[0].Role != "admin" {
		t.Errorf("digests %+v", got)
	}
}

func TestFlood(t *testing.T) {
	t.Parallel()
	c := newClock()
	reg := prometheus.NewPedanticRegistry()
	b := openOn(t, twice{storetest.OpenAt(t, c.now)}, c, func(o *ticketing.Options) {
		o.SenderFlood, o.Registerer = ticketing.FloodLimit{Count: 3, Per: 10 * time.Minute}, reg
	})
	send := func(from, to, ip string) string {
		o := b.take(mail{ip: ip, to: []string{to}, text: write(from, "x")})
		if o.Outcome == "held" {
			if h := b.item(o.Held); h.Reason != "flood" || h.Detail != "more than 3 in 10m" {
				t.Errorf("item %+v", h)
			}
		}
		return o.Outcome
	}
	for i := range 6 {
		want := "new_ticket"
		if i >= 3 {
			want = "held"
		}
		if got := send(xAddr, helpdsk, mx); got != want {
			t.Errorf("mail %d: %s", i, got)
		}
	}
	// Others, other queues, and who is vouched for, are not concerned.
	if got := send(rAddr, helpdsk, mx) + send(xAddr, "sales@help.example", mx); got != "new_ticketnew_ticket" {
		t.Error(got)
	}
	for range 5 {
		if got := send(dAddr, helpdsk, trusted) + send(otto, helpdsk, trusted); got != "new_ticketnew_ticket" {
			t.Error(got)
		}
	}
	// A mail that comes again is no further mail.
	m := mail{text: write(cAddr, "same")}
	for range 5 {
		b.take(m)
	}
	if got := send(cAddr, helpdsk, mx); got != "new_ticket" {
		t.Errorf("after repetitions: %s", got)
	}
	want := `# HELP ticketgate_suspended_messages Held mails that wait for somebody.
# TYPE ticketgate_suspended_messages gauge
ticketgate_suspended_messages 3
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ticketgate_suspended_messages"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg, "ticketgate_held_total"); err != nil || n != 15 {
		t.Errorf("%d reasons, %v", n, err)
	}
	c.advance(11 * time.Minute)
	b.run()
	if got := send(xAddr, helpdsk, mx); got != "new_ticket" {
		t.Errorf("later: %s", got)
	}
	b.checkAll()
}

func TestHeldLists(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	var all []string
	for i := range 7 {
		all = append(all, b.take(mail{text: blankMail(i)}).Held)
	}
	all = append(all, b.take(mail{to: []string{"sales@help.example"}, text: write(helpdsk, "x")}).Held)
	slices.Reverse(all)
	var got []string
	f := ticketing.HeldFilter{Limit: 3}
	for {
		page, next, err := b.desk.Held(ctx, f)
		if err != nil || len(page) > 3 {
			t.Fatal(page, err)
		}
		for _, h := range page {
			got = append(got, h.ID)
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	if !slices.Equal(got, all) {
		t.Errorf("%v, want %v", got, all)
	}
	if got := b.heldIDs(ticketing.HeldFilter{Reason: "blank"}); !slices.Equal(got, all[1:]) {
		t.Errorf("blank: %v", got)
	}
	if got := b.heldIDs(ticketing.HeldFilter{Queue: "sales"}); !slices.Equal(got, all[:1]) {
		t.Errorf("sales: %v", got)
	}
	_, cursor, err := b.desk.Held(ctx, ticketing.HeldFilter{Limit: 1})
	if err != nil || cursor == "" {
		t.Fatal(cursor, err)
	}
	for _, f := range []ticketing.HeldFilter{{Reason: "dislike"}, {State: "gone"}, {Cursor: "!"}, {Cursor: "AAAA"}, {Queue: "support", Cursor: cursor}} {
		if _, _, err := b.desk.Held(ctx, f); ticketing.KindOf(err) != ticketing.Invalid || err == nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// Many decide at once: one wins, the mail is on one ticket once or on none.
func TestHeldRaces(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	for round := range 8 {
		id := b.take(mail{text: blankMail(round)}).Held
		before := b.ticket(n).MessageCount
		var wg sync.WaitGroup
		for i := range 9 {
			wg.Go(func() {
				switch i % 3 {
				case 0:
					b.desk.Release(ctx, agent("otto"), id)
				case 1:
					b.desk.Attach(ctx, agent("lena"), id, n)
				default:
					b.desk.Discard(ctx, system(), id)
				}
			})
		}
		wg.Wait()
		h := b.item(id)
		attached := b.ticket(n).MessageCount - before
		switch {
		case h.State == "attached" && (attached != 1 || h.Ticket != n):
			t.Errorf("%d messages on the ticket, item %+v", attached, h)
		case h.State == "released" && (attached != 0 || b.ticket(h.Ticket).MessageCount != 1):
			t.Errorf("%d messages on the ticket, item %+v", attached, h)
		case h.State != "attached" && h.State != "released":
			t.Errorf("item %+v", h) // a discarded mail can be released, so somebody must have won
		}
	}
	b.checkAll()
}
