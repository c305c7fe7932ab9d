package ticketing_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// The people of the scenarios.
const (
	rAddr = "anna@customer.example"  // requester
	cAddr = "bo@customer.example"    // CC
	c2    = "carla@customer.example" // another CC
	dAddr = "dora@elsewhere.example" // somebody new
	xAddr = "xaver@stranger.example" // stranger
	otto  = "otto@staff.example"     // agent of support
	lena  = "lena@staff.example"     // agent of support
	luis  = "luis@staff.example"     // light agent of support
	fred  = "fred@staff.example"     // agent of nothing: a follower at most
	sara  = "sara@staff.example"     // agent of sales
	toCC  = "Cc: " + cAddr
	toUs  = "To: " + helpdsk
)

// desk with a ticket of R, with C as CC.
func openWithTicket(t *testing.T, extra ...string) (*bench, uint64) {
	t.Helper()
	b := open(t)
	if extra == nil {
		extra = []string{toUs, toCC}
	}
	o := b.take(mail{text: write(rAddr, "Printer", extra...)})
	if o.Outcome != "new_ticket" {
		t.Fatalf("outcome %+v", o)
	}
	return b, o.Ticket
}

func system() ticketing.Actor { return ticketing.Actor{Kind: "system"} }

func agent(name string) ticketing.Actor { return ticketing.Actor{Kind: "agent", Agent: name} }

// publish posts a public reply by otto and returns R's copy of it.
func (b *bench) publish(ticket uint64, text string) *ticketing.Message {
	b.t.Helper()
	m, err := b.desk.Post(context.Background(), agent("otto"), ticket, ticketing.NewMessage{Visibility: "public", Text: text})
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

func (b *bench) note(ticket uint64, text string) *ticketing.Message {
	b.t.Helper()
	m, err := b.desk.Post(context.Background(), agent("otto"), ticket, ticketing.NewMessage{Visibility: "internal", Text: text})
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// addresses of a ticket's CCs.
func (b *bench) ccs(ticket uint64) string {
	b.t.Helper()
	var out []string
	for _, c := range b.ticket(ticket).CCs {
		out = append(out, c.Address)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func (b *bench) want(o ticketing.Outcome, outcome string, ticket uint64) *ticketing.Message {
	b.t.Helper()
	if o.Outcome != outcome || ticket != 0 && o.Ticket != ticket {
		b.t.Fatalf("outcome %+v, want %s on ticket %d", o, outcome, ticket)
	}
	return b.message(o.Message)
}

func has(t *testing.T, what string, list []string, want string) {
	t.Helper()
	if !slices.Contains(list, want) {
		t.Errorf("%s %q without %q", what, list, want)
	}
}

func hasLink(t *testing.T, tk *ticketing.Ticket, number uint64, kind string) {
	t.Helper()
	if !slices.Contains(tk.Links, ticketing.Link{Number: number, Kind: kind}) {
		t.Errorf("ticket %d has links %+v, want %s %d", tk.Number, tk.Links, kind, number)
	}
}

func TestScenario01NumberGivesNothing(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	before := b.ticket(n)
	m := b.want(b.take(mail{text: write(xAddr, "[Support#1001] hi")}), "new_ticket", 0)
	if m.Ticket == n {
		t.Fatal("the number let a stranger in")
	}
	fresh := b.ticket(m.Ticket)
	hasLink(t, fresh, n, "claims")
	if fresh.Subject != "hi" {
		t.Errorf("subject %q", fresh.Subject)
	}
	if got := b.ticket(n); got.Version != before.Version {
		t.Errorf("the claimed ticket changed: %+v", got)
	}
}

func TestScenario02ForgedAgent(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	m := b.want(b.take(mail{to: []string{l.replyTo}, text: answer("Otto <"+otto+">", "Printer", l, "To: "+l.alias(rAddr)+", "+rAddr)}), "third_party", n)
	if m.Visibility != "internal" || m.Kind != "third_party" || m.Author.Agent != "" || m.Author.Role != "third_party" {
		t.Errorf("message %+v", m)
	}
	has(t, "flags", m.Flags, "third_party")
	has(t, "flags", m.Flags, "unverified_agent")
	tk := b.ticket(n)
	has(t, "ticket flags", tk.Flags, "third_party_pending")
	if tk.Assignee != "" || tk.Status != "new" {
		t.Errorf("ticket %+v", tk)
	}
	notice := b.lastNotice(n)
	if notice.Event != "third_party" {
		t.Fatalf("notice %+v", notice)
	}
	for _, r := range notice.Audience {
		if r.Agent == "" {
			t.Errorf("customer %+v hears of it", r)
		}
	}
}

func TestScenario03StrangerWithToken(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	m := b.want(b.take(mail{to: []string{l.replyTo}, text: answer(xAddr, "Printer", l, toUs, toCC)}), "third_party", n)
	if m.Visibility != "internal" || m.MatchedBy != "token" {
		t.Errorf("message %+v", m)
	}
	has(t, "flags", m.Flags, "third_party")
	has(t, "ticket flags", b.ticket(n).Flags, "third_party_pending")
	agents := 0
	for _, r := range b.lastNotice(n).Audience {
		if r.Agent != "" {
			agents++
		}
	}
	if agents == 0 {
		t.Error("no agent is told")
	}
}

func TestScenario04RequesterLeavesOutCC(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Is it plugged in?")
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l, "To: "+l.replyTo)}), "reply", n)
	if got := b.ccs(n); got != "" {
		t.Errorf("ccs %q, want none", got)
	}
	entries, err := b.log.Read(context.Background(), "support", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	last := entries[len(entries)-1]
	if !strings.Contains(string(last.Data), `"cc_removed":["`+cAddr+`"]`) || last.Actor != "contact:"+rAddr {
		t.Errorf("journal %+v %s", last, last.Data)
	}
}

func TestScenario05OlderMailRemovesNobody(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t, toUs)
	p := b.publish(n, "Is it plugged in?")
	if _, err := b.desk.AddCC(context.Background(), agent("otto"), n, message.Address{Addr: cAddr}); err != nil {
		t.Fatal(err)
	}
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l, "To: "+l.replyTo)}), "reply", n)
	if got := b.ccs(n); got != cAddr {
		t.Errorf("ccs %q, want %s", got, cAddr)
	}
}

func TestScenario06StrangerRemovesNobody(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Is it plugged in?")
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(xAddr, "Printer", l, "To: "+l.replyTo+", "+rAddr)}), "third_party", n)
	if got := b.ccs(n); got != cAddr {
		t.Errorf("ccs %q, want %s", got, cAddr)
	}
}

func TestScenario07CCRemovesCC(t *testing.T) {
	t.Parallel()
	for _, withR := range []bool{true, false} {
		b, n := openWithTicket(t, toUs, toCC+", "+c2)
		p := b.publish(n, "Is it plugged in?")
		l := b.mailTo(n, p.Mail, cAddr, message.RoleCC, false)
		to, want := "To: "+l.replyTo, cAddr+" "+c2
		if withR {
			to, want = to+", "+rAddr, cAddr
		}
		b.take(mail{to: []string{l.replyTo}, text: answer(cAddr, "Printer", l, to)})
		if got := b.ccs(n); got != want {
			t.Errorf("requester addressed %v: ccs %q, want %q", withR, got, want)
		}
	}
}

func TestScenario09NotesStayInside(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	if _, err := b.desk.Follow(context.Background(), agent("otto"), n, "fred"); err != nil {
		t.Fatal(err)
	}
	m := b.note(n, "The customer is difficult.")
	notice := b.lastNotice(n)
	if notice.Event != "internal_message" || notice.Message != m.ID {
		t.Fatalf("notice %+v", notice)
	}
	followers := 0
	for _, r := range notice.Audience {
		switch {
		case r.Role == "follower" && r.Agent == "fred":
			followers++
		case r.Agent == "":
			t.Errorf("customer %+v hears of a note", r)
		}
	}
	if followers != 1 {
		t.Errorf("audience %+v", notice.Audience)
	}
	sent, err := b.desk.Sent(context.Background(), n, notice.Mail)
	if err != nil || len(sent.Visible) != 0 {
		t.Errorf("sent %+v, %v", sent, err)
	}
	// The record of a public reply shows the customers and no agent.
	p := b.publish(n, "Is it plugged in?")
	raw, err := b.desk.Raw(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	text := readAll(t, raw)
	for _, secret := range []string{fred, otto, "difficult"} {
		if strings.Contains(text, secret) {
			t.Errorf("public reply holds %q:\n%s", secret, text)
		}
	}
	if !strings.Contains(text, "To: <"+rAddr+">") || !strings.Contains(text, "Cc: <"+cAddr+">") || !strings.Contains(text, "Otto via Help Support") {
		t.Errorf("public reply:\n%s", text)
	}
}

func TestScenario10AnswerToNoteStaysInside(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	if _, err := b.desk.Follow(context.Background(), agent("otto"), n, "fred"); err != nil {
		t.Fatal(err)
	}
	note := b.note(n, "Between us.")
	for _, from := range []string{fred, lena} {
		l := b.mailTo(n, note.Mail, from, message.RoleFollower, true)
		m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: answer(from, "Printer", l, "To: "+l.replyTo, "Cc: "+rAddr)}), "note", n)
		if m.Visibility != "internal" {
			t.Errorf("%s: %+v", from, m)
		}
		has(t, "flags", m.Flags, "kept_internal")
	}
}

func TestScenario11ReplyAndReplyAll(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, otto, message.RoleAgent, false)
	m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: answer("Otto <"+otto+">", "Printer", l, "To: "+l.replyTo)}), "note", n)
	if m.Kind != "note" || m.Author.Role != "agent" || m.Author.Agent != "otto" || m.Auth.Trust != "T2" || !m.Auth.Forwarder {
		t.Errorf("reply: %+v", m)
	}
	all := []string{l.replyTo, l.alias(rAddr), l.alias(cAddr)}
	m = b.want(b.receive(mail{ip: trusted, to: all, text: answer(otto, "Printer", l, "To: "+l.replyTo+", \"Anna\" <"+l.alias(rAddr)+">", "Cc: "+l.alias(cAddr))}).Outcomes[0], "reply", n)
	if m.Kind != "reply" || m.Visibility != "public" {
		t.Errorf("reply-all: %+v", m)
	}
	tk := b.ticket(n)
	if tk.Status != "open" || tk.Assignee != "otto" || b.ccs(n) != cAddr || len(tk.Followers) != 0 {
		t.Errorf("ticket %+v", tk)
	}
	if notice := b.lastNotice(n); notice.Event != "public_message" || notice.Actor.Agent != "otto" {
		t.Errorf("notice %+v", notice)
	}
	b.checkAll()
}

func TestScenario12UnknownPhone(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, otto, message.RoleAgent, false)
	m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: answer("Otto <otto@phone.example>", "Printer", l, "To: "+l.replyTo)}), "third_party", n)
	has(t, "flags", m.Flags, "third_party")
	if n := b.lastNotice(n); n.Detail != ticketing.DetailStaffToken {
		t.Errorf("nobody hears how to add the address: %+v", n)
	}
}

func TestScenario13LightAgent(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, luis, message.RoleAgent, false)
	m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: answer(luis, "Printer", l, "To: "+l.replyTo+", "+l.alias(rAddr), "Cc: "+dAddr)}), "note", n)
	if m.Author.Role != "light_agent" || b.ccs(n) != cAddr {
		t.Errorf("message %+v, ccs %s", m, b.ccs(n))
	}
}

func TestScenario14NeverCC(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t, toUs, "Cc: boss@x.example, a@never.example, b@sub.never.example, c@very.bad.example, "+cAddr)
	if got := b.ccs(n); got != cAddr {
		t.Errorf("ccs %q", got)
	}
	entries, err := b.log.Read(context.Background(), "support", 0, 10)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	for _, refused := range []string{"boss@x.example", "a@never.example", "b@sub.never.example", "c@very.bad.example"} {
		if !strings.Contains(string(entries[0].Data), refused) {
			t.Errorf("journal %s does not say that %s was refused", entries[0].Data, refused)
		}
	}
	for _, r := range b.lastNotice(n).Audience {
		if r.Address == "boss@x.example" {
			t.Error("boss is told")
		}
	}
}

func TestScenario15TwoQueuesOneMail(t *testing.T) {
	t.Parallel()
	b := open(t)
	text := write(rAddr, "Order broken", toUs, "Cc: Sales <sales@help.example>")
	r := b.receive(mail{to: []string{helpdsk, "sales@help.example"}, text: text})
	if len(r.Outcomes) != 2 || r.Outcomes[0].Ticket == r.Outcomes[1].Ticket {
		t.Fatalf("outcomes %+v", r.Outcomes)
	}
	acks := 0
	for i, o := range r.Outcomes {
		tk := b.ticket(o.Ticket)
		hasLink(t, tk, r.Outcomes[1-i].Ticket, "sibling")
		if len(tk.CCs) != 0 {
			t.Errorf("a queue became CC: %+v", tk.CCs)
		}
		n := b.lastNotice(o.Ticket)
		if !n.NoAck {
			acks++
		}
		for _, to := range n.Audience {
			if strings.HasSuffix(to.Address, "@help.example") {
				t.Errorf("mail to our own address: %+v", to)
			}
		}
	}
	if acks != 1 {
		t.Errorf("%d acknowledgements", acks)
	}
	b.checkAll()
}

func TestScenario16TwoTransactions(t *testing.T) {
	t.Parallel()
	b := open(t)
	text := write(rAddr, "Order broken", toUs)
	first := b.take(mail{text: text})
	second := b.take(mail{to: []string{"sales@help.example"}, text: "Received: by relay\n" + text})
	if first.Outcome != "new_ticket" || second.Outcome != "new_ticket" || first.Ticket == second.Ticket {
		t.Fatalf("%+v %+v", first, second)
	}
	hasLink(t, b.ticket(second.Ticket), first.Ticket, "sibling")
	if !b.lastNotice(second.Ticket).NoAck || b.lastNotice(first.Ticket).NoAck {
		t.Error("not exactly one acknowledgement")
	}
	for _, again := range []mail{{text: text}, {to: []string{"sales@help.example"}, text: text}} {
		if o := b.take(again); o.Outcome != "duplicate" || o.Message == "" {
			t.Errorf("again: %+v", o)
		}
	}
	if b.ticket(first.Ticket).MessageCount != 1 || b.ticket(second.Ticket).MessageCount != 1 {
		t.Error("a duplicate was stored")
	}
	b.checkAll()
}

func TestScenario17ReusedMessageID(t *testing.T) {
	t.Parallel()
	b := open(t)
	text := write(rAddr, "Alarm 1")
	first := b.take(mail{text: text})
	second := b.take(mail{text: text + "and another\n"})
	if first.Ticket == second.Ticket && b.ticket(first.Ticket).MessageCount != 2 || second.Message == first.Message || second.Outcome == "duplicate" {
		t.Fatalf("%+v %+v", first, second)
	}
	has(t, "flags", b.message(second.Message).Flags, "message_id_reused")
}

func TestScenario18BareMail(t *testing.T) {
	t.Parallel()
	b := open(t)
	text := "From: device@factory.example\n\nALARM\n"
	first := b.take(mail{text: text})
	m := b.want(first, "new_ticket", 0)
	if m.MessageID == "" || !m.Date.IsZero() || b.ticket(m.Ticket).Subject != "(no subject)" {
		t.Errorf("message %+v", m)
	}
	if again := b.take(mail{text: text}); again.Outcome != "duplicate" || again.Message != first.Message {
		t.Errorf("again %+v", again)
	}
	if other := b.take(mail{text: text + "ALARM\n"}); other.Outcome != "new_ticket" {
		t.Errorf("other %+v", other)
	}
}

func (b *bench) set(ticket uint64, status string) {
	b.t.Helper()
	if _, err := b.desk.Change(context.Background(), system(), ticket, ticketing.Change{Status: &status}); err != nil {
		b.t.Fatal(err)
	}
}

func TestScenario19ReopenWindow(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		status string
		after  time.Duration
		same   bool
	}{{"solved", 100 * day, true}, {"closed", 6 * day, true}, {"closed", 8 * day, false}} {
		b, n := openWithTicket(t)
		p := b.publish(n, "Done.")
		b.set(n, "solved")
		b.set(n, c.status)
		b.clock.advance(c.after)
		l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
		o := b.take(mail{to: []string{l.replyTo}, text: write(rAddr, "Re: [#1001] Printer", toUs, toCC, "In-Reply-To: "+l.id)})
		if c.same {
			b.want(o, "reply", n)
			if got := b.ticket(n); got.Status != "open" || !got.SolvedAt.IsZero() {
				t.Errorf("%s after %v: %+v", c.status, c.after, got)
			}
			continue
		}
		b.want(o, "new_ticket", 0)
		fresh := b.ticket(o.Ticket)
		hasLink(t, fresh, n, "followup")
		hasLink(t, b.ticket(n), o.Ticket, "followup")
		if fresh.Subject != "Re: Printer" || b.ticket(n).Status != "closed" || fresh.Requester.Address != rAddr {
			t.Errorf("follow-up %+v", fresh)
		}
	}
}

func TestScenario20OutOfOffice(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"open", "pending", "solved", "closed"} {
		b, n := openWithTicket(t)
		p := b.publish(n, "Done.")
		b.set(n, status)
		before := b.ticket(n)
		notices := len(b.notices(n))
		b.clock.advance(30 * 24 * time.Hour)
		l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
		for i, to := range []string{l.replyTo, l.ret} {
			from := []string{"", "<>"}[i]
			m := b.want(b.take(mail{from: from, to: []string{to}, text: answer(rAddr, "Out of office", l, "Auto-Submitted: auto-replied", toUs)}), "autoreply", n)
			if m.Kind != "auto" || m.Visibility != "internal" {
				t.Errorf("%s: message %+v", status, m)
			}
		}
		after := b.ticket(n)
		if after.Status != status || after.Assignee != before.Assignee || !after.SolvedAt.Equal(before.SolvedAt) || b.ccs(n) != cAddr {
			t.Errorf("%s: ticket %+v, was %+v", status, after, before)
		}
		if got := len(b.notices(n)); got != notices {
			t.Errorf("%s: %d notices about an automatic answer", status, got-notices)
		}
	}
}

func TestScenario21OurOwnMailComesBack(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	for _, text := range []string{
		"From: " + helpdsk + "\nSubject: Re: Printer\nMessage-ID: " + l.id + "\n\nhi\n",
		"From: " + helpdsk + "\nSubject: Re: Printer\nMessage-ID: <rewritten@relay.example>\n" + ticketing.LoopHeader + ": " + b.keys.LoopMark(l.id) + "\n\nhi\n",
	} {
		r := b.receive(mail{text: text})
		if o := r.Outcomes[0]; o.Outcome != "loop" || o.Ticket != 0 || o.Reason == "" || o.Held == "" {
			t.Errorf("outcome %+v", o)
		}
		if o := b.take(mail{text: text}); o.Outcome != "duplicate" {
			t.Errorf("again %+v", o)
		}
	}
	// The mark alone, under somebody else's From, is no loop: a customer's
	// mailer may copy our header.
	o := b.take(mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l, ticketing.LoopHeader+": "+b.keys.LoopMark(l.id))})
	b.want(o, "reply", n)
	b.checkAll()
}

func TestScenario34ReplyToGivesNothing(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: answer(rAddr, "Printer", l, "Reply-To: "+otto, toUs)}), "reply", n)
	if m.Author.Address != rAddr || m.Author.Role != "requester" || m.Author.Agent != "" {
		t.Errorf("author %+v", m.Author)
	}
}

func TestScenario35TokenBeatsSubject(t *testing.T) {
	t.Parallel()
	b, five := openWithTicket(t)
	nine := b.take(mail{text: write(rAddr, "Scanner")}).Ticket
	l := b.mailTo(nine, 1, rAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: write(rAddr, "Re: [#1001] both")}), "reply", nine)
	hasLink(t, b.ticket(nine), five, "related")
	// A stranger with the same two gets no link.
	other := b.take(mail{text: write(dAddr, "Fax")}).Ticket
	l = b.mailTo(other, 1, dAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: write(dAddr, "Re: [#1001] mine")}), "reply", other)
	if links := b.ticket(other).Links; len(links) != 0 {
		t.Errorf("links %+v", links)
	}
}

func TestScenario30MovedTicket(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	old := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	to := "sales"
	tk, err := b.desk.Change(context.Background(), agent("otto"), n, ticketing.Change{Queue: &to})
	if err != nil || tk.Queue != "sales" {
		t.Fatal(tk, err)
	}
	b.want(b.take(mail{to: []string{old.replyTo}, text: answer(rAddr, "Printer", old, toUs, toCC)}), "reply", n)
	// By our Message-ID alone, to the old queue and to the new one.
	for _, queue := range []string{helpdsk, "sales@help.example"} {
		m := b.want(b.take(mail{to: []string{queue}, text: answer(rAddr, "Printer", old, toUs, toCC)}), "reply", n)
		if m.MatchedBy != "in_reply_to" {
			t.Errorf("matched by %s", m.MatchedBy)
		}
	}
	if l := b.mailTo(n, 2, rAddr, message.RoleRequester, false); !strings.HasPrefix(l.replyTo, "sales+") {
		t.Errorf("answers go to %s", l.replyTo)
	}
	b.checkAll()
}

func TestScenario48WhoHasItAlready(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t, toUs, toCC+", "+c2)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	m := b.want(b.take(mail{to: []string{l.replyTo}, text: write(rAddr, "Re: Printer", "To: "+l.replyTo, toCC)}), "reply", n)
	// The notice names both; the message says who stood in the mail.
	roles := map[string]string{}
	for _, r := range b.lastNotice(n).Audience {
		roles[r.Address] = r.Role
	}
	if roles[cAddr] != "cc" {
		t.Errorf("audience %+v", roles)
	}
	if !slices.ContainsFunc(m.Cc, func(a message.Address) bool { return a.Addr == cAddr }) {
		t.Errorf("cc %+v", m.Cc)
	}
}
