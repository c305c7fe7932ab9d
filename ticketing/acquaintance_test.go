package ticketing_test

import (
	"context"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// Who is a known contact: somebody met before, by proof or because one of our
// people wrote to him. What mails only claim changes nothing.
func TestKnownContacts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before func(b *bench)
		want   bool
	}{
		{"nobody has heard of him", func(*bench) {}, false},
		{"mails claimed to be his", func(b *bench) {
			for range 3 {
				b.take(mail{text: write(rAddr, "x", toUs)})
			}
		}, false},
		{"somebody named him", func(b *bench) { b.take(mail{ip: trusted, text: write(xAddr, "x", toUs, "Cc: "+rAddr)}) }, false},
		{"he stood among several senders of a proven mail", func(b *bench) { b.take(mail{ip: trusted, text: write(rAddr+", "+xAddr, "x", toUs)}) }, false},
		{"a proven mail was his", func(b *bench) { b.take(mail{ip: trusted, text: write(rAddr, "x", toUs)}) }, true},
		{"SPF or DKIM were his", func(b *bench) {
			b.judged(mail{text: write(rAddr, "x", toUs)}, func(a *ticketing.Arrival) { a.Verdict.Trust = "T1" })
		}, true},
		{"an agent answered him", func(b *bench) { b.publish(b.take(mail{text: write(rAddr, "x", toUs)}).Ticket, "Hello.") }, true},
		{"an agent answered him by mail", func(b *bench) {
			n := b.take(mail{text: write(rAddr, "x", toUs)}).Ticket
			l := b.mailTo(n, 1, otto, message.RoleAgent, false)
			b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: answer(otto, "x", l, "To: "+l.alias(rAddr))}), "reply", n)
		}, true},
		{"an agent wrote a note about him", func(b *bench) { b.note(b.take(mail{text: write(rAddr, "x", toUs)}).Ticket, "Hm.") }, false},
		{"an agent opened a ticket for him", func(b *bench) {
			_, _, err := b.desk.Create(context.Background(), agent("otto"), ticketing.NewTicket{Queue: "support", Subject: "x", Requester: message.Address{Addr: rAddr},
				Message: ticketing.NewMessage{Visibility: "public", Text: "Hello."}})
			if err != nil {
				b.t.Fatal(err)
			}
		}, true},
	} {
		b := open(t)
		c.before(b)
		o := b.take(mail{text: write("Anna <Anna@Customer.example>", "new", toUs)})
		if got := b.lastNotice(o.Ticket).KnownContact; got != c.want {
			t.Errorf("%s: known %v", c.name, got)
		}
	}
}
