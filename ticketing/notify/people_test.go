package notify

import (
	"context"
	"slices"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

func (o *office) as(name string) ticketing.Actor { return ticketing.Actor{Kind: "agent", Agent: name} }

// do runs a command, tells what it causes, and returns those mails.
func (o *office) do(command func(ctx context.Context) error) []sent {
	o.t.Helper()
	before := map[string]bool{}
	for _, s := range o.sent() {
		before[s.ID] = true
	}
	if err := command(context.Background()); err != nil {
		o.t.Fatal(err)
	}
	o.tell()
	return slices.DeleteFunc(o.sent(), func(s sent) bool { return before[s.ID] })
}

func (o *office) post(ticket uint64, visibility, text string) (id string, told []sent) {
	o.t.Helper()
	told = o.do(func(ctx context.Context) error {
		m, err := o.d.Post(ctx, o.as("otto"), ticket, ticketing.NewMessage{Visibility: visibility, Text: text})
		if err == nil {
			id = m.ID
		}
		return err
	})
	return id, told
}

func (o *office) lastMessage(ticket uint64) *ticketing.Message {
	o.t.Helper()
	list, err := o.d.Messages(context.Background(), ticket, 0, 100)
	if err != nil {
		o.t.Fatal(err)
	}
	return list[len(list)-1]
}

// Scenario 8: three public messages, two internal ones and one that was
// withdrawn; the requester copies somebody in, who gets the three, once.
func TestScenario08Backlog(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const n = 1001
	o.receive("anna@customer.example", []string{"support@help.example"}, annasMail)
	o.post(n, "internal", "SECRET-ONE")
	_, second := o.post(n, "public", "PUBLIC-TWO")
	withdrawn, _ := o.post(n, "public", "WITHDRAWN")
	o.post(n, "internal", "SECRET-TWO")
	o.post(n, "public", "PUBLIC-THREE")
	var who []ticketing.Received
	if told := o.do(func(ctx context.Context) (err error) {
		_, who, err = o.d.SetVisibility(ctx, o.as("otto"), withdrawn, "internal")
		return err
	}); len(told) != 0 {
		t.Errorf("withdrawing is told to %v", recipients(told))
	}
	if len(who) != 1 || who[0].Address != "anna@customer.example" || who[0].How != "mailed" {
		t.Errorf("withdrawn, but read by %+v", who)
	}

	to, raw := answer(pick(t, second, "anna@customer.example"), "anna@customer.example", "<a8@customer.example>", "Dora helps me.")
	told := o.receive("anna@customer.example", to, strings.Replace(raw, "To: ", "Cc: dora@elsewhere.example\nTo: ", 1))
	backlog := pick(t, told, "dora@elsewhere.example")
	text := backlog.mail.Text() + backlog.mail.HTML()
	for _, want := range []string{"is on fire", "PUBLIC-TWO", "PUBLIC-THREE"} {
		if strings.Count(text, want) != 2 { // once in each part
			t.Errorf("the backlog has %q %d times:\n%s", want, strings.Count(text, want), text)
		}
	}
	for _, secret := range []string{"SECRET", "WITHDRAWN", "Dora helps me", "@staff.example"} {
		if strings.Contains(text, secret) {
			t.Errorf("the backlog has %q", secret)
		}
	}
	if n := len(slices.DeleteFunc(recipients(told), func(s string) bool { return s != "dora@elsewhere.example" })); n != 1 {
		t.Errorf("Dora gets %d mails", n)
	}
	if backlog.header("Auto-Submitted") == "" || backlog.Class != "notification" {
		t.Errorf("class %s, Auto-Submitted %q", backlog.Class, backlog.header("Auto-Submitted"))
	}
	// What she answers to it is an ordinary answer of a CC.
	to, raw = answer(backlog, "dora@elsewhere.example", "<d1@elsewhere.example>", "I am on it.")
	o.receive("dora@elsewhere.example", to, strings.Replace(raw, "To: ", "To: anna@customer.example, ", 1))
	if m := o.lastMessage(n); m.Author.Role != "cc" || m.Visibility != "public" || m.Ticket != n {
		t.Errorf("her answer is %+v", m)
	}
	// Who leaves and comes back has had it.
	again := o.do(func(ctx context.Context) error {
		if _, err := o.d.RemoveCC(ctx, o.as("otto"), n, "dora@elsewhere.example"); err != nil {
			return err
		}
		_, err := o.d.AddCC(ctx, o.as("otto"), n, message.Address{Addr: "dora@elsewhere.example"})
		return err
	})
	if len(again) != 0 {
		t.Errorf("a second backlog to %v", recipients(again))
	}
	// The backlog counts as having read.
	list, _ := o.d.Messages(context.Background(), n, 0, 1)
	_, who, err := o.d.SetVisibility(context.Background(), o.as("otto"), list[0].ID, "internal")
	if err != nil || !slices.ContainsFunc(who, func(r ticketing.Received) bool {
		return r.Address == "dora@elsewhere.example" && r.How == "backlog"
	}) {
		t.Errorf("who has the first message: %+v, %v", who, err)
	}
}

// Scenario 3: a stranger answers with the requester's token; one call lets him
// in, and he hears what was said.
func TestScenario03Accept(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	const n = 1001
	o.receive("anna@customer.example", []string{"support@help.example"},
		strings.Replace(annasMail, "To: support@help.example", "To: support@help.example\nCc: bo@customer.example", 1))
	_, told := o.post(n, "public", "Who sold it to you?")
	o.post(n, "internal", "SECRET")
	to, raw := answer(pick(t, told, "anna@customer.example"), "x@stranger.example", "<x1@stranger.example>", "I sold it.")
	if got := recipients(o.receive("x@stranger.example", to[:1], raw)); !slices.Equal(got, []string{"otto@staff.example"}) {
		t.Fatalf("a third party's mail is told to %v", got)
	}
	m := o.lastMessage(n)
	var tk *ticketing.Ticket
	accepted := o.do(func(ctx context.Context) (err error) {
		tk, err = o.d.AcceptParticipant(ctx, o.as("otto"), n, m.ID)
		return err
	})
	if got := recipients(accepted); !slices.Equal(got, []string{"anna@customer.example", "bo@customer.example", "x@stranger.example"}) {
		t.Fatalf("accepting is told to %v", got)
	}
	if len(tk.CCs) != 2 || slices.Contains(tk.Flags, "third_party_pending") {
		t.Errorf("ticket %+v", tk)
	}
	if m = o.lastMessage(n); m.Visibility != "public" || m.Author.Role != "cc" || m.Kind != "customer" || !slices.Contains(m.Flags, "accepted") {
		t.Errorf("message %+v", m)
	}
	if text := pick(t, accepted, "anna@customer.example").mail.Text(); !strings.Contains(text, "I sold it.") {
		t.Errorf("Anna reads:\n%s", text)
	}
	text := pick(t, accepted, "x@stranger.example").mail.Text()
	if !strings.Contains(text, "is on fire") || !strings.Contains(text, "Who sold it") || strings.Contains(text, "SECRET") || strings.Contains(text, "I sold it") {
		t.Errorf("the stranger reads:\n%s", text)
	}
	if again := o.do(func(ctx context.Context) error {
		_, err := o.d.AcceptParticipant(ctx, o.as("otto"), n, m.ID)
		return err
	}); len(again) != 0 {
		t.Errorf("accepting twice is told to %v", recipients(again))
	}
	if _, err := o.d.RefuseParticipant(context.Background(), o.as("otto"), n, m.ID); ticketing.KindOf(err) != ticketing.Conflict {
		t.Errorf("refusing whom we accepted: %v", err)
	}
}

// Scenario 47: an agent answers all in a plain mail program. The customers stand
// in his mail under our addresses, and each hears once, from us.
func TestScenario47ReplyAll(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := o.receive("anna@customer.example", []string{"support@help.example"},
		strings.Replace(annasMail, "To: support@help.example", "To: support@help.example\nCc: bo@customer.example", 1))
	to, raw := answer(pick(t, first, "otto@staff.example"), "otto@staff.example", "<o1@staff.example>", "Please leave the building.")
	for _, address := range to {
		if !strings.HasPrefix(address, "support+") {
			t.Errorf("the program would write to %s itself", address)
		}
	}
	told := o.receive("otto@staff.example", to, raw)
	if got := recipients(told); !slices.Equal(got, []string{"anna@customer.example", "bo@customer.example"}) {
		t.Fatalf("told %v", got)
	}
	for _, s := range told {
		if strings.Contains(s.raw, "otto@") || !strings.Contains(s.mail.Text(), "Please leave") {
			t.Errorf("%s gets:\n%s", s.To, s.raw)
		}
	}
	if m := o.lastMessage(1001); m.Visibility != "public" || m.Author.Agent != "otto" {
		t.Errorf("message %+v", m)
	}
}

// A mail that an agent passed on: staff read his remark, and customers who come
// later read their colleague's words only.
func TestForwardKeepsTheRemarkInside(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	told := o.receive("otto@staff.example", []string{"support@help.example"}, "From: <otto@staff.example>\nTo: support@help.example\nSubject: Fwd: Printer\nMessage-ID: <f1@staff.example>\n\n"+
		"REMARK: a difficult one.\n\n-------- Forwarded Message --------\nSubject: Printer\nDate: Mon, 2 Nov 2026 12:00:00 +0000\nFrom: Anna Kunde <anna@customer.example>\nTo: Otto <otto@staff.example>\n\nIt burns.\n")
	if got := recipients(told); !slices.Equal(got, []string{"ada@staff.example"}) {
		t.Fatalf("told %v", got)
	}
	if text := told[0].mail.Text(); !strings.Contains(text, "REMARK") || !strings.Contains(text, "It burns.") {
		t.Errorf("Ada reads:\n%s", text)
	}
	_, reply := o.post(1001, "public", "Please leave the building.")
	backlog := o.do(func(ctx context.Context) error {
		_, err := o.d.AddCC(ctx, o.as("otto"), 1001, message.Address{Addr: "bo@customer.example"})
		return err
	})
	for _, s := range append(reply, backlog...) {
		if text := s.mail.Text() + s.mail.HTML(); strings.Contains(text, "REMARK") || !strings.Contains(text, "It burns.") {
			t.Errorf("%s reads:\n%s", s.To, text)
		}
	}
	if len(reply) != 1 || len(backlog) != 1 {
		t.Errorf("%v, %v", recipients(reply), recipients(backlog))
	}
}
