package ticketing_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// hijack is an attempt to get onto a ticket, or to more than one's due there.
// The ticket has requester anna, CC bo and CC carla, follower fred; the first
// mail about it is number 1, an internal note was told in number 2.
type hijack struct {
	name    string
	ip      string
	from    string
	env     string
	text    func(b *bench, n uint64) []string // header lines after From and Subject
	subject string

	outcome    string // "unknown" if the recipient is refused
	onTicket   bool
	role       string
	visibility string
	flag       string
}

func TestHijack(t *testing.T) {
	t.Parallel()
	reply := func(b *bench, n uint64, who string, role message.Role) letter {
		return b.mailTo(n, 1, who, role, false)
	}
	tamper := func(s string, at int) string {
		c := byte('a')
		if s[at] == 'a' {
			c = 'b'
		}
		return s[:at] + string(c) + s[at+1:]
	}
	cases := []struct {
		hijack
		to func(b *bench, n uint64) string
	}{
		{hijack{name: "guessed number", from: xAddr, subject: "Re: [#1001] Printer", outcome: "new_ticket", role: "requester", visibility: "public"}, nil},
		{hijack{name: "guessed number in the name of the requester", from: rAddr, subject: "Re: [#1001] Printer", outcome: "new_ticket", role: "requester", visibility: "public"}, nil},
		{hijack{name: "number by the proven requester", ip: trusted, from: rAddr, subject: "Re: [Support #1001] Printer", outcome: "reply", onTicket: true, role: "requester", visibility: "public"}, nil},
		{hijack{name: "number by a proven stranger", ip: trusted, from: xAddr, subject: "Re: [#1001] Printer", outcome: "new_ticket", role: "requester", visibility: "public"}, nil},
		{hijack{name: "number of another queue's name", ip: trusted, from: rAddr, subject: "Re: [Sales #1001] Printer", outcome: "new_ticket", role: "requester", visibility: "public"}, nil},
		{hijack{name: "number to another queue", ip: trusted, from: rAddr, subject: "Re: [#1001] Printer", outcome: "new_ticket", role: "requester", visibility: "public"},
			func(*bench, uint64) string { return "sales@help.example" }},
		{hijack{name: "requester's token, stranger", from: xAddr, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal", flag: "third_party"},
			func(b *bench, n uint64) string { return reply(b, n, rAddr, message.RoleRequester).replyTo }},
		{hijack{name: "agent's token, stranger", from: xAddr, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal"},
			func(b *bench, n uint64) string { return reply(b, n, otto, message.RoleAgent).replyTo }},
		{hijack{name: "agent's token, requester", from: rAddr, outcome: "reply", onTicket: true, role: "requester", visibility: "public"},
			func(b *bench, n uint64) string { return reply(b, n, otto, message.RoleAgent).replyTo }},
		{hijack{name: "requester's token, CC alone", from: cAddr, outcome: "note", onTicket: true, role: "cc", visibility: "internal", flag: "cc_wrote_to_us_only"},
			func(b *bench, n uint64) string { return reply(b, n, rAddr, message.RoleRequester).replyTo }},
		{hijack{name: "CC's token, requester", from: rAddr, outcome: "reply", onTicket: true, role: "requester", visibility: "public"},
			func(b *bench, n uint64) string { return reply(b, n, cAddr, message.RoleCC).replyTo }},
		{hijack{name: "role in the token swapped by one bit", from: cAddr, outcome: "unknown"},
			func(b *bench, n uint64) string {
				a := reply(b, n, cAddr, message.RoleCC).replyTo
				return tamper(a, len("support+")+2)
			}},
		{hijack{name: "ticket in the token changed", from: rAddr, outcome: "unknown"},
			func(b *bench, n uint64) string {
				a := reply(b, n, rAddr, message.RoleRequester).replyTo
				return tamper(a, len("support+")+5)
			}},
		{hijack{name: "last letter of the MAC changed", from: rAddr, outcome: "unknown"},
			func(b *bench, n uint64) string {
				a := reply(b, n, rAddr, message.RoleRequester).replyTo
				return tamper(a, strings.IndexByte(a, '@')-1)
			}},
		{hijack{name: "token cut short", from: rAddr, outcome: "unknown"},
			func(b *bench, n uint64) string {
				a := reply(b, n, rAddr, message.RoleRequester).replyTo
				return strings.Replace(a, "@", "", 1)[:40] + "@help.example"
			}},
		{hijack{name: "token at another queue", from: rAddr, outcome: "unknown"},
			func(b *bench, n uint64) string {
				return strings.Replace(reply(b, n, rAddr, message.RoleRequester).replyTo, "support+", "sales+", 1)
			}},
		{hijack{name: "token at another alias of the queue", from: rAddr, outcome: "reply", onTicket: true, role: "requester", visibility: "public"},
			func(b *bench, n uint64) string {
				return strings.Replace(reply(b, n, rAddr, message.RoleRequester).replyTo, "support+", "hilfe+", 1)
			}},
		{hijack{name: "token of secrets that are not ours", from: rAddr, outcome: "unknown"},
			func(*bench, uint64) string {
				var s [32]byte
				k, err := message.NewKeyring([]message.Secret{{Epoch: 1, Key: s[:]}}, []message.Secret{{Epoch: 1, Key: s[:]}})
				if err != nil {
					panic(err)
				}
				return "support+" + k.AddressToken("support", message.Token{Kind: message.KindReply, Ticket: 1001}) + "@help.example"
			}},
		{hijack{name: "token of a ticket that does not exist", from: rAddr, subject: "Re: Printers", outcome: "new_ticket", role: "requester", visibility: "public"},
			func(b *bench, _ uint64) string {
				return "support+" + b.keys.AddressToken("support", message.Token{Kind: message.KindReply, Ticket: 99999, Mail: 1}) + "@help.example"
			}},
		{hijack{name: "a word as a tag", from: xAddr, outcome: "new_ticket", role: "requester", visibility: "public"},
			func(*bench, uint64) string { return "support+printer@help.example" }},
		{hijack{name: "forged agent at T0 with an agent's token", from: otto, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal", flag: "unverified_agent"},
			func(b *bench, n uint64) string { return reply(b, n, otto, message.RoleAgent).replyTo }},
		{hijack{name: "forged agent at T0 by Message-ID, requester addressed", from: otto, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal",
			text: func(b *bench, n uint64) []string {
				l := reply(b, n, otto, message.RoleAgent)
				return []string{"In-Reply-To: " + l.id, "To: " + l.alias(rAddr)}
			}}, nil},
		{hijack{name: "forged follower at T0", from: fred, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal"},
			func(b *bench, n uint64) string { return reply(b, n, fred, message.RoleFollower).replyTo }},
		{hijack{name: "proven agent of another queue", ip: trusted, from: sara, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal"},
			func(b *bench, n uint64) string { return reply(b, n, sara, message.RoleAgent).replyTo }},
		{hijack{name: "proven follower addresses the requester", ip: trusted, from: fred, outcome: "note", onTicket: true, role: "follower", visibility: "internal", flag: "kept_internal",
			text: func(b *bench, n uint64) []string { return []string{"To: " + rAddr} }},
			func(b *bench, n uint64) string { return reply(b, n, fred, message.RoleFollower).replyTo }},
		{hijack{name: "requester builds an answer to an internal mail", from: rAddr, outcome: "note", onTicket: true, role: "requester", visibility: "internal", flag: "answers_internal"},
			func(b *bench, n uint64) string { return b.mailTo(n, 2, otto, message.RoleAgent, true).replyTo }},
		{hijack{name: "class bit of the token flipped", from: rAddr, outcome: "unknown"},
			func(b *bench, n uint64) string {
				public, internal := b.mailTo(n, 1, rAddr, message.RoleRequester, false), b.mailTo(n, 1, rAddr, message.RoleRequester, true)
				p, i := strings.Split(public.replyTo, "@")[0], strings.Split(internal.replyTo, "@")[0]
				// the payload of one with the MAC of the other
				return i[:len(i)-16] + p[len(p)-16:] + "@help.example"
			}},
		{hijack{name: "token only in Cc", from: xAddr, outcome: "new_ticket", role: "requester", visibility: "public",
			text: func(b *bench, n uint64) []string {
				return []string{"Cc: " + reply(b, n, rAddr, message.RoleRequester).replyTo}
			}}, nil},
		{hijack{name: "stranger with our Message-ID", from: xAddr, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal",
			text: func(b *bench, n uint64) []string {
				return []string{"References: " + reply(b, n, rAddr, message.RoleRequester).id}
			}}, nil},
		{hijack{name: "stranger with a tampered Message-ID of ours", from: xAddr, outcome: "new_ticket", role: "requester", visibility: "public",
			text: func(b *bench, n uint64) []string {
				return []string{"In-Reply-To: " + tamper(reply(b, n, rAddr, message.RoleRequester).id, 4)}
			}}, nil},
		{hijack{name: "our Message-ID to another queue", from: rAddr, outcome: "new_ticket", role: "requester", visibility: "public",
			text: func(b *bench, n uint64) []string {
				return []string{"In-Reply-To: " + reply(b, n, rAddr, message.RoleRequester).id}
			}}, func(*bench, uint64) string { return "sales@help.example" }},
		{hijack{name: "stranger with the requester's Message-ID", from: xAddr, outcome: "new_ticket", role: "requester", visibility: "public",
			text: func(*bench, uint64) []string { return []string{"In-Reply-To: <first@customer.example>"} }}, nil},
		{hijack{name: "stranger takes the requester's Message-ID as his own", from: xAddr, outcome: "new_ticket", role: "requester", visibility: "public", flag: "message_id_reused",
			text: func(*bench, uint64) []string { return []string{"Message-ID: <first@customer.example>"} }}, nil},
		{hijack{name: "CC with the requester's Message-ID", from: c2, outcome: "reply", onTicket: true, role: "cc", visibility: "public",
			text: func(*bench, uint64) []string {
				return []string{"In-Reply-To: <first@customer.example>", "To: " + rAddr}
			}}, nil},
		{hijack{name: "two From lines", from: rAddr, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal", flag: "doubtful_from",
			text: func(*bench, uint64) []string { return []string{"From: " + xAddr} }},
			func(b *bench, n uint64) string { return reply(b, n, rAddr, message.RoleRequester).replyTo }},
		{hijack{name: "two addresses in From, an agent first, by a trusted forwarder", ip: trusted, env: xAddr, from: otto + ", " + xAddr, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal"},
			func(b *bench, n uint64) string { return reply(b, n, otto, message.RoleAgent).replyTo }},
		{hijack{name: "an agent's display name", from: `"otto@staff.example" <` + xAddr + ">", ip: trusted, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal"},
			func(b *bench, n uint64) string { return reply(b, n, otto, message.RoleAgent).replyTo }},
		{hijack{name: "Sender names an agent", from: xAddr, ip: trusted, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal",
			text: func(*bench, uint64) []string { return []string{"Sender: " + otto, "Reply-To: " + otto} }},
			func(b *bench, n uint64) string { return reply(b, n, otto, message.RoleAgent).replyTo }},
		{hijack{name: "the queue itself as author", from: helpdsk, outcome: "held"},
			func(b *bench, n uint64) string { return reply(b, n, rAddr, message.RoleRequester).replyTo }},
		{hijack{name: "the queue itself as author, by a trusted forwarder", from: helpdsk, ip: trusted, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal", flag: "from_our_address"},
			func(b *bench, n uint64) string { return reply(b, n, rAddr, message.RoleRequester).replyTo }},
		{hijack{name: "a person writes to the return path", from: xAddr, outcome: "third_party", onTicket: true, role: "third_party", visibility: "internal"},
			func(b *bench, n uint64) string { return reply(b, n, rAddr, message.RoleRequester).ret }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := open(t)
			first := "From: " + rAddr + "\nSubject: Printer\nMessage-ID: <first@customer.example>\nTo: " + helpdsk + "\nCc: " + cAddr + ", " + c2 + "\n\nhelp\n"
			n := b.take(mail{text: first}).Ticket
			if _, err := b.desk.Follow(context.Background(), system(), n, "fred"); err != nil {
				t.Fatal(err)
			}
			b.note(n, "internal")
			before := b.ticket(n)
			subject := c.subject
			if subject == "" {
				subject = "Re: Printer"
			}
			var extra []string
			if c.text != nil {
				extra = c.text(b, n)
			}
			text := "From: " + c.from + "\nSubject: " + subject + "\n" + strings.Join(extra, "\n")
			if !strings.Contains(text, "Message-ID:") {
				text += "\nMessage-ID: <hijack@test.example>"
			}
			text = strings.ReplaceAll(text, "\n\n", "\n") + "\n\nlet me in\n"
			to := helpdsk
			if c.to != nil {
				to = c.to(b, n)
			}
			r, err := b.desk.Receive(context.Background(), b.arrival(mail{ip: c.ip, from: c.env, to: []string{to}, text: text}))
			if c.outcome == "unknown" {
				if ticketing.KindOf(err) != ticketing.Unknown || err == nil {
					t.Fatalf("%+v, %v: want an unknown recipient", r, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			o := r.Outcomes[0]
			if o.Outcome != c.outcome || (o.Ticket == n) != c.onTicket {
				t.Fatalf("outcome %+v, want %s, on the ticket %v", o, c.outcome, c.onTicket)
			}
			if c.outcome == "held" {
				if after := b.ticket(n); o.Held == "" || o.Message != "" || after.Version != before.Version {
					t.Errorf("outcome %+v, version %d, was %d", o, after.Version, before.Version)
				}
				b.checkAll()
				return
			}
			m := b.message(o.Message)
			if m.Author.Role != c.role || m.Visibility != c.visibility {
				t.Errorf("role %s, visibility %s, want %s, %s", m.Author.Role, m.Visibility, c.role, c.visibility)
			}
			if c.flag != "" && !slices.Contains(m.Flags, c.flag) {
				t.Errorf("flags %q without %q", m.Flags, c.flag)
			}
			after := b.ticket(n)
			if after.Requester != before.Requester || after.Assignee != before.Assignee || fmt.Sprint(after.Followers) != fmt.Sprint(before.Followers) {
				t.Errorf("ticket %+v, was %+v", after, before)
			}
			if !c.onTicket && after.Version != before.Version {
				t.Error("the ticket changed")
			}
			b.checkAll()
		})
	}
}

// Tokens of two tickets make a new one that is linked to both.
func TestTwoTokens(t *testing.T) {
	t.Parallel()
	b, one := openWithTicket(t)
	two := b.take(mail{text: write(rAddr, "Scanner")}).Ticket
	l1, l2 := b.mailTo(one, 1, rAddr, message.RoleRequester, false), b.mailTo(two, 1, rAddr, message.RoleRequester, false)
	r := b.receive(mail{to: []string{l1.replyTo, l2.replyTo}, text: write(rAddr, "Both")})
	if len(r.Outcomes) != 2 || r.Outcomes[0].Message != r.Outcomes[1].Message || r.Outcomes[0].Outcome != "new_ticket" {
		t.Fatalf("outcomes %+v", r.Outcomes)
	}
	fresh := b.ticket(r.Outcomes[0].Ticket)
	hasLink(t, fresh, one, "related")
	hasLink(t, fresh, two, "related")
	hasLink(t, b.ticket(one), fresh.Number, "related")
	b.checkAll()
}

// Two recipients of one ticket in one queue are one message.
func TestTwoRecipientsOneTicket(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	r := b.receive(mail{to: []string{l.replyTo, helpdsk, "hilfe@help.example"}, text: answer(rAddr, "Printer", l, toUs, toCC)})
	if len(r.Outcomes) != 3 {
		t.Fatalf("outcomes %+v", r.Outcomes)
	}
	for _, o := range r.Outcomes {
		if o.Ticket != n || o.Message != r.Outcomes[0].Message || o.Outcome != "reply" {
			t.Errorf("outcome %+v", o)
		}
	}
	if got := b.ticket(n).MessageCount; got != 2 {
		t.Errorf("%d messages", got)
	}
}

// Scenario 28: tokens of a merged ticket lead to the one it was merged into.
func TestScenario28Merged(t *testing.T) {
	t.Parallel()
	b, five := openWithTicket(t)
	seven := b.take(mail{text: write(rAddr, "Printer again")}).Ticket
	l := b.mailTo(seven, 1, rAddr, message.RoleRequester, false)
	err := b.db.Update(context.Background(), func(tx store.Tx) error { return ticketing.Merge(b.desk, tx, seven, five) })
	if err != nil {
		t.Fatal(err)
	}
	b.want(b.take(mail{to: []string{l.replyTo}, text: write(rAddr, "Re: Printer again")}), "reply", five)
	b.want(b.take(mail{text: answer(rAddr, "Printer again", l)}), "reply", five)
	// A circle is damage, and damage is our fault: the mail is to be retried.
	err = b.db.Update(context.Background(), func(tx store.Tx) error { return ticketing.Merge(b.desk, tx, five, seven) })
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.desk.Receive(context.Background(), b.arrival(mail{to: []string{l.replyTo}, text: write(rAddr, "Re: x")}))
	if err == nil || ticketing.KindOf(err) != ticketing.Internal {
		t.Errorf("error %v", err)
	}
}
