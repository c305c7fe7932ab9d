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

// openQueues is open with changed queues.
func openQueues(t testing.TB, change func(q *ticketing.Queue)) *bench {
	t.Helper()
	b := open(t)
	list := queues()
	for i := range list {
		change(&list[i])
	}
	return openOn(t, b.db, b.clock, func(o *ticketing.Options) { o.Queues = list })
}

// marked is an answer whose program kept nothing of our mail but the quotation.
func marked(from, subject string, marker string) string {
	return "From: " + from + "\nTo: " + helpdsk + "\nCc: " + cAddr + "\nSubject: " + subject + "\nMessage-ID: <marked-" + from + ">\n\nYes.\n\nOn Monday, Help Support wrote:\n> Is it plugged in?\n>\n> " + marker + "\n"
}

func (b *bench) marker(ticket uint64, n uint32, person string, role message.Role, internal bool) string {
	return b.keys.BodyMarker(message.Token{Kind: message.KindReply, Ticket: ticket, Mail: n, Person: message.PersonHash(person), Role: role, Internal: internal})
}

// Step 7: a marker in the quotation leads to the ticket, as a Message-ID does.
func TestBodyMarker(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	m := b.want(b.take(mail{text: marked(rAddr, "something else", b.marker(n, 1, rAddr, message.RoleRequester, false))}), "reply", n)
	if m.MatchedBy != "body_token" || m.Author.Role != "requester" {
		t.Errorf("message %+v", m)
	}
	m = b.want(b.take(mail{text: marked(xAddr, "hello", b.marker(n, 1, rAddr, message.RoleRequester, false))}), "third_party", n)
	if m.Visibility != "internal" {
		t.Errorf("message %+v", m)
	}
	m = b.want(b.take(mail{text: marked(cAddr, "hello", b.marker(n, 2, otto, message.RoleAgent, true))}), "note", n)
	has(t, "flags", m.Flags, "answers_internal")
	// To another queue it leads nowhere, and a changed one neither.
	b.want(b.take(mail{to: []string{"sales@help.example"}, text: marked(rAddr, "hi", b.marker(n, 1, rAddr, message.RoleRequester, false))}), "new_ticket", 0)
	bad := strings.Replace(b.marker(n, 1, rAddr, message.RoleRequester, false), "ref:a", "ref:b", 1)
	b.want(b.take(mail{text: marked(dAddr, "hi", bad)}), "new_ticket", 0)
	// A Message-ID of ours says more.
	two := b.take(mail{text: write(rAddr, "Scanner")}).Ticket
	l := b.mailTo(two, 1, rAddr, message.RoleRequester, false)
	text := strings.Replace(marked(rAddr, "Re: Scanner", b.marker(n, 1, rAddr, message.RoleRequester, false)), "Message-ID: ", "In-Reply-To: "+l.id+"\nMessage-ID: <2>\nX: ", 1)
	b.want(b.take(mail{text: text}), "reply", two)
	b.checkAll()
}

// Step 9: an answer by its subject alone.
func TestReplySubject(t *testing.T) {
	t.Parallel()
	bare := func(from, subject string) string { return write(from, subject) }
	for name, c := range map[string]struct {
		from, subject string
		prepare       func(b *bench, n uint64)
		trust         string
		found         bool
		flag          string
	}{
		"the requester":         {from: rAddr, subject: "Re: Printer", trust: "T1", found: true},
		"the CC":                {from: cAddr, subject: "AW: printer", trust: "T1", found: true},
		"another language":      {from: rAddr, subject: "Odp: RE: Printer", trust: "T1", found: true},
		"with our tag":          {from: rAddr, subject: "Re: Printer [#1001]", trust: "T1", found: true},
		"nothing vouches":       {from: rAddr, subject: "Re: Printer", found: true, flag: "unproven_author"},
		"a stranger":            {from: xAddr, subject: "Re: Printer", trust: "T2"},
		"no prefix":             {from: rAddr, subject: "Printer", trust: "T1"},
		"a forward":             {from: rAddr, subject: "Fwd: Printer", trust: "T1"},
		"another subject":       {from: rAddr, subject: "Re: Printers", trust: "T1"},
		"a follower":            {from: fred, subject: "Re: Printer", trust: "T2", found: true},
		"a follower, unproven":  {from: fred, subject: "Re: Printer", trust: "T1"},
		"an agent of the queue": {from: lena, subject: "Re: Printer", trust: "T2"},
		"closed":                {from: rAddr, subject: "Re: Printer", trust: "T1", prepare: func(b *bench, n uint64) { b.set(n, "closed") }},
		"solved":                {from: rAddr, subject: "Re: Printer", trust: "T1", found: true, prepare: func(b *bench, n uint64) { b.set(n, "solved") }},
		"29 days": {from: rAddr, subject: "Re: Printer", trust: "T1", found: true,
			prepare: func(b *bench, _ uint64) { b.clock.advance(29 * 24 * time.Hour) }},
		"31 days": {from: rAddr, subject: "Re: Printer", trust: "T1",
			prepare: func(b *bench, _ uint64) { b.clock.advance(31 * 24 * time.Hour) }},
		"moved": {from: rAddr, subject: "Re: Printer", trust: "T1", prepare: func(b *bench, n uint64) {
			to := "sales"
			if _, err := b.desk.Change(context.Background(), system(), n, ticketing.Change{Queue: &to}); err != nil {
				b.t.Fatal(err)
			}
		}},
		"two candidates": {from: rAddr, subject: "Re: Printer", trust: "T1", prepare: func(b *bench, _ uint64) { b.take(mail{text: write(rAddr, "Printer")}) }},
		"one of two is closed": {from: rAddr, subject: "Re: Printer", trust: "T1", found: true, prepare: func(b *bench, _ uint64) {
			b.set(b.take(mail{text: write(rAddr, "Printer")}).Ticket, "closed")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, n := openWithTicket(t)
			if _, err := b.desk.Follow(context.Background(), system(), n, "fred"); err != nil {
				t.Fatal(err)
			}
			if c.prepare != nil {
				c.prepare(b, n)
			}
			o := b.take(mail{trust: c.trust, text: bare(c.from, c.subject)})
			if (o.Ticket == n) != c.found {
				t.Fatalf("outcome %+v", o)
			}
			m := b.message(o.Message)
			if c.found && m.MatchedBy != "subject" || !c.found && (m.MatchedBy != "none" || o.Outcome != "new_ticket") {
				t.Errorf("%s, matched by %s", o.Outcome, m.MatchedBy)
			}
			if c.flag != "" {
				has(t, "flags", m.Flags, c.flag)
			}
		})
	}
	// Any reference, known or not, is a better guess than a subject.
	b, n := openWithTicket(t)
	for _, field := range []string{"In-Reply-To: <unknown@else.example>", "References: <unknown@else.example>", "In-Reply-To: "} {
		if o := b.take(mail{trust: "T1", text: write(rAddr, "Re: Printer", field)}); o.Ticket == n {
			t.Errorf("%s: %+v", field, o)
		}
	}
}

// Scenario 31: an agent passes a customer's mail on; scenario 32: a customer does.
func TestScenario31Forward(t *testing.T) {
	t.Parallel()
	german := func(from string) string {
		return "From: " + from + "\nTo: " + helpdsk + "\nSubject: WG: Drucker kaputt\nMessage-ID: <f-" + from + ">\nContent-Type: text/plain; charset=utf-8\n\nBitte kümmern, der Kunde nervt.\n\n" +
			"Von: Anna Kunde <" + rAddr + ">\nGesendet: Montag, 2. März 2026 09:00\nAn: Otto <" + otto + ">\nBetreff: Drucker kaputt\n\nEr brennt.\n"
	}
	b := open(t)
	o := b.take(mail{ip: trusted, text: german(otto)})
	m := b.want(o, "new_ticket", 0)
	tk := b.ticket(o.Ticket)
	if tk.Requester.Address != rAddr || tk.Requester.Name != "Anna Kunde" || tk.Subject != "Drucker kaputt" || len(tk.Followers) != 1 || tk.Followers[0].Agent != "otto" {
		t.Errorf("ticket %+v", tk)
	}
	if m.Author.Address != rAddr || m.Author.Role != "requester" || m.ForwardedBy == nil || m.ForwardedBy.Agent != "otto" || m.Visibility != "public" {
		t.Errorf("message %+v", m)
	}
	has(t, "flags", m.Flags, "forwarded")
	c, err := b.desk.Content(context.Background(), m)
	if err != nil || strings.TrimSpace(c.VisibleText) != "Er brennt." || !strings.Contains(c.QuotedText, "nervt") || !strings.Contains(c.Text, "nervt") {
		t.Errorf("content %+v, %v", c, err)
	}
	for _, r := range b.lastNotice(o.Ticket).Audience {
		if r.Agent == "" {
			t.Errorf("%s is told", r.Address)
		}
	}
	// The customer answers what we say to her.
	p := b.publish(o.Ticket, "Is it plugged in?")
	l := b.mailTo(o.Ticket, p.Mail, rAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(rAddr, "Drucker", l, toUs)}), "reply", o.Ticket)

	// Forged, or by a customer (32), it is the sender's own.
	for from, ip := range map[string]string{lena: mx, dAddr: trusted} {
		o := b.take(mail{ip: ip, text: german(from)})
		tk, m := b.ticket(o.Ticket), b.message(o.Message)
		if tk.Requester.Address != from || m.ForwardedBy != nil || len(tk.Followers) != 0 {
			t.Errorf("%s: %+v", from, tk)
		}
	}
	b.checkAll()
}

func TestScenario32CustomerForwards(t *testing.T) {
	t.Parallel()
	b := open(t)
	text := write(rAddr, "Fwd: Offer", toUs) + "\n-----Original Message-----\nFrom: Xaver <" + xAddr + ">\nSent: Monday\nTo: Anna\nSubject: Offer\n\nBuy!\n"
	o := b.take(mail{ip: trusted, text: text})
	if tk := b.ticket(o.Ticket); tk.Requester.Address != rAddr {
		t.Errorf("ticket %+v", tk)
	}
}

// Scenario 33: a group rewrote From.
func TestScenario33Group(t *testing.T) {
	t.Parallel()
	const group = "helpers@groups.example"
	pass := ticketing.Verdict{Trust: "T2", DMARC: ticketing.AuthResult{Result: "pass", Domain: "groups.example"}}
	for name, c := range map[string]struct {
		listed, vouched bool
		verdict         ticketing.Verdict
		field           string
		author          string
		flag            string
	}{
		"listed":                  {true, true, pass, "X-Original-From: Anna <" + rAddr + ">", rAddr, ""},
		"listed, by Reply-To":     {true, true, pass, "Reply-To: " + rAddr, rAddr, ""},
		"not listed":              {false, true, pass, "X-Original-From: " + rAddr, group, "group_author"},
		"no trusted forwarder":    {true, false, pass, "X-Original-From: " + rAddr, group, "group_author"},
		"DMARC does not pass":     {true, true, ticketing.Verdict{Trust: "T1"}, "X-Original-From: " + rAddr, group, "group_author"},
		"Reply-To, not listed":    {false, true, pass, "Reply-To: " + rAddr, group, ""},
		"it names us":             {true, true, pass, "X-Original-From: " + helpdsk, group, "group_author"},
		"it names an agent":       {true, true, pass, "X-Original-From: " + otto, otto, "reply_to_agent"},
		"it names nobody":         {true, true, pass, "Subject: again", group, ""},
		"two original authors":    {true, true, pass, "X-Original-From: " + rAddr + ", " + xAddr, group, ""},
		"a Reply-To of the group": {true, true, pass, "Reply-To: " + group, group, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openQueues(t, func(q *ticketing.Queue) {
				if c.listed {
					q.Rewriters = []string{group}
				}
			})
			ip := mx
			if c.vouched {
				ip = trusted
			}
			text := write("'Anna' via Helpers <"+group+">", "Printer", c.field)
			if c.flag == "reply_to_agent" {
				text = strings.Replace(text, "\n\n", "\nReply-To: "+otto+"\n\n", 1)
			}
			a := b.arrival(mail{ip: ip, from: "bounce@groups.example", text: text})
			a.Verdict = c.verdict
			r, err := b.desk.Receive(context.Background(), a)
			if err != nil {
				t.Fatal(err)
			}
			m := b.message(r.Outcomes[0].Message)
			if m.Author.Address != c.author || m.Author.Agent != "" || b.ticket(m.Ticket).Requester.Address != c.author {
				t.Errorf("author %+v", m.Author)
			}
			if c.flag != "" {
				has(t, "flags", m.Flags, c.flag)
			}
			if m.From[0].Addr != group {
				t.Errorf("From %+v is not kept", m.From)
			}
		})
	}
}

// Who asks for answers to an agent is flagged.
func TestReplyToAgentIsFlagged(t *testing.T) {
	t.Parallel()
	b := open(t)
	has(t, "flags", b.message(b.take(mail{text: write(rAddr, "x", "Reply-To: "+otto)}).Message).Flags, "reply_to_agent")
	if m := b.message(b.take(mail{ip: trusted, text: write(otto, "x", "Reply-To: otto@home.example")}).Message); slices.Contains(m.Flags, "reply_to_agent") {
		t.Errorf("his own other address: %q", m.Flags)
	}
}

// Mail that was redirected keeps its author, and finds the queue it was for.
func TestRedirect(t *testing.T) {
	t.Parallel()
	b := open(t)
	for _, field := range []string{"X-Original-To: sales@help.example", "Delivered-To: sales+x@help.example", "X-Forwarded-To: sales@help.example", "Resent-To: sales@help.example"} {
		o := b.take(mail{to: []string{"postmaster@help.example"}, text: write(rAddr, field, field, "Resent-From: "+xAddr)})
		m := b.message(o.Message)
		if tk := b.ticket(o.Ticket); tk.Queue != "sales" || tk.Requester.Address != rAddr || m.Author.Address != rAddr {
			t.Errorf("%s: %+v", field, tk)
		}
		has(t, "flags", m.Flags, "redirected")
	}
	if tk := b.ticket(b.take(mail{to: []string{"postmaster@help.example"}, text: write(rAddr, "x", "Delivered-To: nobody@help.example")}).Ticket); tk.Queue != "support" {
		t.Errorf("without a hint: %+v", tk)
	}
}

// A queue may refuse what comes too late, in words.
func TestClosedRefuses(t *testing.T) {
	t.Parallel()
	b := openQueues(t, func(q *ticketing.Queue) { q.ClosedText = "this case is closed; write a new mail" })
	n := b.take(mail{text: write(rAddr, "Printer")}).Ticket
	p := b.publish(n, "Done.")
	b.set(n, "closed")
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l)}), "reply", n)
	b.set(n, "closed")
	b.clock.advance(8 * 24 * time.Hour)
	before := b.ticket(n).Version
	_, err := b.desk.Receive(context.Background(), b.arrival(mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l)}))
	if err == nil || ticketing.KindOf(err) != ticketing.Refused || !strings.Contains(err.Error(), "this case is closed") || b.ticket(n).Version != before {
		t.Errorf("error %v", err)
	}
	// An out-of-office note is no answer, and a mail for two queues has two ends.
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(rAddr, "Away", l, "Auto-Submitted: auto-replied")}), "autoreply", n)
	if r := b.receive(mail{to: []string{l.replyTo, "sales@help.example"}, text: answer(rAddr, "Printer", l)}); r.Outcomes[0].Outcome != "new_ticket" {
		t.Errorf("outcomes %+v", r.Outcomes)
	}
}

// A queue may leave a ticket solved when its customer only says thank you.
func TestThanks(t *testing.T) {
	t.Parallel()
	for text, keeps := range map[string]bool{
		"Thanks a lot!":                       true,
		"Vielen Dank für die schnelle Hilfe!": true,
		"Dziękuję bardzo":                     true,
		"Thank you, but it still burns.":      false,
		"Thanks! Can you come again?":         false,
		"Thanks 2":                            false,
		"It works.":                           false,
		"Thanks\n\nOn Mon, 2 Mar 2026 at 09:00, Support wrote:\n> Done.": true,
	} {
		for _, on := range []bool{true, false} {
			b := openQueues(t, func(q *ticketing.Queue) { q.KeepSolved = on })
			n := b.take(mail{text: write(rAddr, "Printer")}).Ticket
			p := b.publish(n, "Done.")
			b.set(n, "solved")
			l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
			head, _, _ := strings.Cut(answer(rAddr, "Printer", l), "\n\n")
			b.want(b.take(mail{to: []string{l.replyTo}, text: head + "\n\n" + text + "\n"}), "reply", n)
			want := "open"
			if on && keeps {
				want = "solved"
			}
			if got := b.ticket(n).Status; got != want {
				t.Errorf("%q, option %v: %s", text, on, got)
			}
		}
	}
}

// Whose Reply-all is public is the queue's to say; a light agent's never is, not
// even if he is the assignee.
func TestReplyAllPolicy(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{"": "reply note note", "queue": "reply note note", "assignee": "note note note", "followers": "reply reply note"} {
		b := openQueues(t, func(q *ticketing.Queue) { q.ReplyAll = policy })
		n := b.take(mail{text: write(rAddr, "Printer")}).Ticket
		if _, err := b.desk.Follow(context.Background(), system(), n, "fred"); err != nil {
			t.Fatal(err)
		}
		light := "luis"
		if _, err := b.desk.Change(context.Background(), system(), n, ticketing.Change{Assignee: &light}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, from := range []string{lena, fred, "luis@staff.example"} {
			l := b.mailTo(n, 1, from, message.RoleAgent, false)
			o := b.take(mail{ip: trusted, to: []string{l.replyTo}, text: answer(from, "Printer", l, "To: "+l.replyTo+", "+l.alias(rAddr))})
			got = append(got, o.Outcome)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", policy, got, want)
		}
	}
}

// Scenario 29 for a third party: the question about him is answered by it.
func TestThirdPartyBecomesATicket(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	m := b.strangerOn(n, xAddr)
	fresh, copied, err := b.desk.Split(context.Background(), agent("otto"), n, m.ID)
	if err != nil || fresh.Requester.Address != xAddr || copied.Visibility != "public" {
		t.Fatalf("%+v %+v, %v", fresh, copied, err)
	}
	if tk := b.ticket(n); slices.Contains(tk.Flags, "third_party_pending") || b.ccs(n) != cAddr {
		t.Errorf("ticket %+v", tk)
	}
	if m = b.message(m.ID); m.Visibility != "internal" {
		t.Errorf("message %+v", m)
	}
}

// Scenario 36: answers between the quoted lines, and a footer in Polish.
func TestScenario36Interleaved(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Is it plugged in?\nWhich colour is it?")
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	head, _, _ := strings.Cut(answer(rAddr, "Printer", l, toUs, toCC, "Content-Type: text/plain; charset=utf-8"), "\n\n")
	text := head + "\n\n> Is it plugged in?\nYes, since Monday.\n> Which colour is it?\nBlack.\n\nPozdrawiam\nAnna\n\nW dniu 2.03.2026 o 09:00, Help Support pisze:\n> Is it plugged in?\n> Which colour is it?\n"
	m := b.want(b.take(mail{to: []string{l.replyTo}, text: text}), "reply", n)
	c, err := b.desk.Content(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Yes, since Monday.", "Black.", "Pozdrawiam"} {
		if !strings.Contains(c.VisibleText, line) {
			t.Errorf("visible text without %q:\n%s", line, c.VisibleText)
		}
	}
	if strings.Contains(c.VisibleText, "pisze") || !strings.Contains(c.QuotedText, "pisze") {
		t.Errorf("the footer is visible:\n%s", c.VisibleText)
	}
	raw, err := b.desk.Raw(context.Background(), m)
	if err != nil || readAll(t, raw) != strings.ReplaceAll(text, "\n", "\r\n") {
		t.Errorf("the raw mail has changed: %v", err)
	}
}

// Scenario 37: nothing but a quotation, and an image in it.
func TestScenario37OnlyQuote(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Is it plugged in?")
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	head, _, _ := strings.Cut(answer(rAddr, "Printer", l, toUs, toCC, "MIME-Version: 1.0", "Content-Type: multipart/related; boundary=b"), "\n\n")
	text := head + "\n\n--b\nContent-Type: text/html; charset=utf-8\n\n<img src=\"cid:shot\"><blockquote type=\"cite\">Is it plugged in?</blockquote>\n--b\n" +
		"Content-Type: image/png\nContent-ID: <shot>\nContent-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--b--\n"
	m := b.want(b.take(mail{to: []string{l.replyTo}, text: text}), "reply", n)
	c, err := b.desk.Content(context.Background(), m)
	if err != nil || len(c.Attachments) != 1 || c.Attachments[0].ContentType != "image/png" || m.Visibility != "public" {
		t.Errorf("content %+v, %v", c, err)
	}
}
