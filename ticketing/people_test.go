package ticketing_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// strangerOn puts a third party's message on a ticket.
func (b *bench) strangerOn(n uint64, from string) *ticketing.Message {
	b.t.Helper()
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	return b.want(b.take(mail{to: []string{l.replyTo}, text: answer(from, "Printer", l, "To: "+l.replyTo)}), "third_party", n)
}

func TestAcceptAndRefuse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	first, second := b.strangerOn(n, xAddr), b.strangerOn(n, dAddr)
	accept := func(by ticketing.Actor, ticket uint64, id string) error {
		_, err := b.desk.AcceptParticipant(ctx, by, ticket, id)
		return err
	}
	for name, c := range map[string]struct {
		err  error
		kind ticketing.Kind
	}{
		"a light agent":            {accept(agent("luis"), n, first.ID), ticketing.Denied},
		"an agent of other queues": {accept(agent("sara"), n, first.ID), ticketing.Denied},
		"a customer":               {accept(ticketing.Actor{Kind: "contact", Address: rAddr}, n, first.ID), ticketing.Denied},
		"no such message":          {accept(agent("otto"), n, "msg_none"), ticketing.Unknown},
		"no such ticket":           {accept(agent("otto"), 9, first.ID), ticketing.Unknown},
		"not a third party's":      {accept(agent("otto"), n, b.messages(n)[0].ID), ticketing.Conflict},
	} {
		if c.err == nil || ticketing.KindOf(c.err) != c.kind {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	other := b.take(mail{text: write(rAddr, "Scanner")}).Ticket
	if err := accept(agent("otto"), other, first.ID); ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("another ticket's message: %v", err)
	}

	tk, err := b.desk.RefuseParticipant(ctx, agent("otto"), n, second.ID)
	if err != nil || !slices.Contains(tk.Flags, "third_party_pending") {
		t.Fatalf("%+v, %v: one question is still open", tk, err)
	}
	if m := b.message(second.ID); m.Visibility != "internal" || m.Kind != "third_party" {
		t.Errorf("refused: %+v", m)
	}
	if err := accept(agent("otto"), n, first.ID); err != nil {
		t.Fatal(err)
	}
	tk = b.ticket(n)
	if slices.Contains(tk.Flags, "third_party_pending") || b.ccs(n) != cAddr+" "+xAddr {
		t.Errorf("ticket %+v", tk)
	}
	version := tk.Version
	if err := accept(agent("otto"), n, first.ID); err != nil || b.ticket(n).Version != version {
		t.Errorf("again: %v, version %d, was %d", err, b.ticket(n).Version, version)
	}
	// Whoever was refused may be accepted later.
	if err := accept(agent("otto"), n, second.ID); err != nil || !strings.Contains(b.ccs(n), dAddr) {
		t.Errorf("after all: %v, %s", err, b.ccs(n))
	}
	// Both are participants now.
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(xAddr, "Printer", l, "To: "+l.replyTo+", "+rAddr)}), "reply", n)
	entries, err := b.log.Read(ctx, "support", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		if e.Kind == "participant.accepted" && e.Actor == "agent:otto" {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d journal entries", found)
	}
	b.checkAll()
}

// Nobody becomes CC by being accepted whom the queue would not have.
func TestAcceptRefused(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	for _, from := range []string{"boss@x.example", otto} {
		m := b.strangerOn(n, from)
		if _, err := b.desk.AcceptParticipant(context.Background(), agent("otto"), n, m.ID); ticketing.KindOf(err) != ticketing.Refused || err == nil {
			t.Errorf("%s: %v", from, err)
		}
		if got := b.message(m.ID); got.Visibility != "internal" {
			t.Errorf("%s: %+v", from, got)
		}
	}
	if got := b.ccs(n); got != cAddr {
		t.Errorf("ccs %s", got)
	}
}

func TestSetVisibility(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	set := func(by ticketing.Actor, id, visibility string) (*ticketing.Message, []ticketing.Received, error) {
		return b.desk.SetVisibility(ctx, by, id, visibility)
	}
	first, note := b.messages(n)[0], b.note(n, "hm")
	for name, c := range map[string]struct {
		by             ticketing.Actor
		id, visibility string
		kind           ticketing.Kind
	}{
		"nonsense":       {agent("otto"), first.ID, "secret", ticketing.Invalid},
		"a light agent":  {agent("luis"), first.ID, "internal", ticketing.Denied},
		"another's":      {agent("sara"), first.ID, "internal", ticketing.Denied},
		"no message":     {agent("otto"), "msg_none", "internal", ticketing.Unknown},
		"a note, public": {agent("otto"), note.ID, "public", ticketing.Refused},
	} {
		if _, _, err := set(c.by, c.id, c.visibility); err == nil || ticketing.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, who, err := set(agent("otto"), first.ID, "internal")
	if err != nil || m.Visibility != "internal" {
		t.Fatalf("%+v, %v", m, err)
	}
	has(t, "flags", m.Flags, "made_internal")
	if len(who) != 2 || who[0].Address != rAddr || who[0].How != "wrote" || who[1].Address != cAddr || who[1].How != "addressed" {
		t.Errorf("received by %+v", who)
	}
	version, notices := b.ticket(n).Version, len(b.notices(n))
	if _, again, err := set(agent("otto"), first.ID, "internal"); err != nil || len(again) != 2 || b.ticket(n).Version != version {
		t.Errorf("again: %+v, %v", again, err)
	}
	if m, _, err = set(agent("otto"), first.ID, "public"); err != nil || m.Visibility != "public" || slices.Contains(m.Flags, "made_internal") {
		t.Errorf("public again: %+v, %v", m, err)
	}
	if got := len(b.notices(n)); got != notices+1 {
		t.Errorf("%d notices of its publication", got-notices)
	}
	b.checkAll()
}

// A copy of what was concealed is concealed, and so is a copy of the copy.
func TestSplitConcealed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	id := b.messages(n)[0].ID
	if _, _, err := b.desk.SetVisibility(ctx, agent("otto"), id, "internal"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tk, c, err := b.desk.Split(ctx, agent("otto"), n, id)
		if err != nil || c.Visibility != "internal" {
			t.Fatalf("%+v, %v", c, err)
		}
		has(t, "flags", c.Flags, "made_internal")
		n, id = tk.Number, c.ID
	}
	if _, _, err := b.desk.SetVisibility(ctx, agent("otto"), id, "public"); err != nil {
		t.Fatal(err)
	}
	if _, c, err := b.desk.Split(ctx, agent("otto"), n, id); err != nil || c.Visibility != "public" {
		t.Errorf("shown again, its copy is %+v, %v", c, err)
	}
}

// What an unproven mail to a ticket says about others adds nobody: a forged one
// would have the whole conversation mailed to whom it likes.
func TestOnlyProvenMailAddsCCs(t *testing.T) {
	t.Parallel()
	for _, trust := range []string{"T0", "T1", "T2"} {
		b, n := openWithTicket(t)
		l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
		b.want(b.take(mail{trust: trust, to: []string{l.replyTo}, text: answer(rAddr, "Printer", l, toUs, toCC+", "+dAddr)}), "reply", n)
		want := cAddr + " " + dAddr
		if trust == "T0" {
			want = cAddr
		}
		if got := b.ccs(n); got != want {
			t.Errorf("%s: ccs %s", trust, got)
		}
	}
}

// A merger makes nobody CC whom the queue of the other ticket forbids.
func TestMergeForbidden(t *testing.T) {
	t.Parallel()
	b, into := openWithTicket(t)
	from := b.take(mail{to: []string{"sales@help.example"}, text: write(rAddr, "Order", "Cc: boss@x.example, "+dAddr)}).Ticket
	if got := b.ccs(from); got != "boss@x.example "+dAddr {
		t.Fatalf("ccs %s", got)
	}
	if _, err := b.desk.Merge(context.Background(), system(), from, into); err != nil {
		t.Fatal(err)
	}
	if got := b.ccs(into); got != cAddr+" "+dAddr {
		t.Errorf("ccs %s", got)
	}
}
