package ticketing_test

import (
	"context"
	"fmt"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// carriers are the ways in which a mail shows a token of ours.
var carriers = []string{"address", "in_reply_to", "body_token"}

// pair is a mail by somebody who holds somebody else's token.
type pair struct {
	sender   string
	trust    string
	holder   string
	role     message.Role
	internal bool
	carrier  string
}

// due is what the sender is by himself: what he may do with any token, or
// without one. The token only says which ticket.
func (p pair) due() (role, visibility string) {
	role = "third_party"
	switch p.sender {
	case rAddr:
		role = "requester"
	case cAddr:
		role = "cc"
	}
	if p.trust == "T2" {
		switch p.sender {
		case fred:
			role = "follower"
		case lena:
			role = "agent"
		case luis:
			role = "light_agent"
		}
	}
	if role == "requester" && !p.internal {
		return role, "public"
	}
	return role, "internal"
}

// mail writes the pair's mail to the queue alone, with a stranger in Cc whom
// nobody unproven may bring along.
func (p pair) mail(b *bench, ticket uint64, number int) mail {
	n := uint32(1)
	if p.internal {
		n = 2
	}
	l := b.mailTo(ticket, n, p.holder, p.role, p.internal)
	extra := []string{"To: " + helpdsk}
	if p.sender == rAddr {
		extra = append(extra, "Cc: "+cAddr) // else he would remove him
	}
	if p.trust == "T0" {
		extra = append(extra, "Cc: evil@attacker.example")
	}
	m := mail{trust: p.trust, to: []string{helpdsk}}
	text := ""
	switch p.carrier {
	case "address":
		m.to = []string{l.replyTo}
	case "in_reply_to":
		extra = append(extra, "In-Reply-To: "+l.id)
	default:
		text = "\n> " + b.marker(ticket, n, p.holder, p.role, p.internal) + "\n"
	}
	m.text = write(p.sender, fmt.Sprintf("attempt %d", number), extra...) + text
	return m
}

func allPairs() (out []pair) {
	holders := map[string]message.Role{rAddr: message.RoleRequester, cAddr: message.RoleCC, fred: message.RoleFollower, otto: message.RoleAgent}
	for _, sender := range []string{rAddr, cAddr, fred, lena, luis, sara, xAddr} {
		for _, trust := range []string{"T0", "T1", "T2"} {
			for _, holder := range []string{rAddr, cAddr, fred, otto} {
				for _, internal := range []bool{false, true} {
					for _, carrier := range carriers {
						out = append(out, pair{sender, trust, holder, holders[holder], internal, carrier})
					}
				}
			}
		}
	}
	return out
}

// Every pair of somebody and somebody's token, by every way a token travels and
// at every level of trust: a token finds the ticket and gives nothing else.
func TestHijackPairs(t *testing.T) {
	t.Parallel()
	b := openOn(t, open(t).db, newClock()) // one run per transaction: there are many
	first := "From: " + rAddr + "\nSubject: Printer\nMessage-ID: <first@customer.example>\nTo: " + helpdsk + "\nCc: " + cAddr + "\n\nhelp\n"
	n := b.take(mail{text: first}).Ticket
	if _, err := b.desk.Follow(context.Background(), system(), n, "fred"); err != nil {
		t.Fatal(err)
	}
	if note := b.note(n, "internal"); note.Mail != 2 {
		t.Fatalf("the note is mail %d", note.Mail)
	}
	before := b.ticket(n)
	list := allPairs()
	for i, p := range list {
		o := b.take(p.mail(b, n, i))
		name := fmt.Sprintf("%s at %s with the token of %s (internal %v) by %s", p.sender, p.trust, p.holder, p.internal, p.carrier)
		if o.Ticket != n {
			t.Errorf("%s: %+v", name, o)
			continue
		}
		m := b.message(o.Message)
		role, visibility := p.due()
		matched := p.carrier
		if matched == "address" {
			matched = "token"
		}
		if m.Author.Role != role || m.Visibility != visibility || m.MatchedBy != matched {
			t.Errorf("%s: %s, %s, matched by %s; want %s, %s", name, m.Author.Role, m.Visibility, m.MatchedBy, role, visibility)
		}
		if got := b.ccs(n); got != cAddr {
			t.Fatalf("%s: ccs %s", name, got)
		}
	}
	after := b.ticket(n)
	if after.Requester != before.Requester || after.Assignee != before.Assignee || fmt.Sprint(after.Followers) != fmt.Sprint(before.Followers) {
		t.Errorf("ticket %+v, was %+v", after, before)
	}
	t.Logf("%d pairs", len(list))
}

// The same tokens through another queue, of another epoch, and of an epoch that
// is revoked.
func TestHijackQueueAndEpoch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	tokens := map[string]message.Role{rAddr: message.RoleRequester, cAddr: message.RoleCC, fred: message.RoleFollower, otto: message.RoleAgent}
	type kept struct {
		l      letter
		marker string
	}
	old := map[string]kept{}
	for who, role := range tokens {
		old[who] = kept{b.mailTo(n, 1, who, role, false), b.marker(n, 1, who, role, false)}
	}
	try := func(what, to, from string, extra ...string) {
		t.Helper()
		version := b.ticket(n).Version
		r, err := b.desk.Receive(ctx, b.arrival(mail{trust: "T1", to: []string{to}, text: write(from, "attempt", extra...)}))
		if err != nil && ticketing.KindOf(err) != ticketing.Unknown {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil && (r.Outcomes[0].Outcome != "new_ticket" || r.Outcomes[0].Ticket == n) {
			t.Errorf("%s: %+v", what, r.Outcomes)
		}
		if got := b.ticket(n).Version; got != version {
			t.Errorf("%s: the ticket changed", what)
		}
	}
	wrongQueue := func(l letter) string { return "sales" + l.replyTo[len("support"):] }
	senders := []string{rAddr, cAddr, xAddr}
	rows := 0
	for who, k := range old {
		for _, from := range senders {
			try("token of "+who+" by "+from+" at another queue", wrongQueue(k.l), from)
			try("id of "+who+" by "+from+" at another queue", "sales@help.example", from, "In-Reply-To: "+k.l.id)
			try("marker of "+who+" by "+from+" at another queue", "sales@help.example", from, "\n"+k.marker)
			rows += 3
		}
	}
	b.rotate("address")
	b.rotate("id")
	for who, k := range old {
		if m := b.message(b.take(mail{text: write(xAddr, "old epoch of "+who, "In-Reply-To: "+k.l.id)}).Message); m.Ticket != n || m.Visibility != "internal" {
			t.Errorf("an old epoch's id of %s: %+v", who, m)
		}
		rows++
	}
	for _, sort := range []string{"address", "id"} {
		if _, err := b.desk.Revoke(ctx, system(), sort, 1); err != nil {
			t.Fatal(err)
		}
	}
	for who, k := range old {
		for _, from := range senders {
			try("revoked token of "+who+" by "+from, k.l.replyTo, from)
			try("revoked id of "+who+" by "+from, helpdsk, from, "In-Reply-To: "+k.l.id)
			try("revoked marker of "+who+" by "+from, helpdsk, from, "\n"+k.marker)
			rows += 3
		}
	}
	t.Logf("%d rows", rows)
}
