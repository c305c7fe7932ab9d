package notify

import (
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// Who a queue's mail comes from, and where answers go, for each choice: seen by
// a customer of what an agent wrote, of what another customer wrote, as the
// acknowledgement, and by staff.
func TestAppearance(t *testing.T) {
	t.Parallel()
	const token = "+*@"
	for _, c := range []struct {
		name    string
		as      ticketing.Appearance
		reply   string // From of an agent's answer
		replyTo string // Reply-To of it
		copied  string // From of what a customer wrote, to another
		ack     string
		staff   string // From of what a customer wrote, to staff
		signed  string // domain
	}{
		{"as it comes", ticketing.Appearance{},
			"Otto via Example Support <support@help.example>", "support" + token + "help.example",
			"Anna Kunde via Example Support <support@help.example>", "Example Support <support@help.example>",
			"Anna Kunde via Example Support <support@help.example>", "help.example"},
		{"the queue", ticketing.Appearance{As: "queue"},
			"Example Support <support@help.example>", "support" + token + "help.example",
			"Anna Kunde via Example Support <support@help.example>", "Example Support <support@help.example>",
			"Anna Kunde via Example Support <support@help.example>", "help.example"},
		{"the assignee", ticketing.Appearance{As: "assignee"},
			"Ada via Example Support <support@help.example>", "support" + token + "help.example",
			"Anna Kunde via Example Support <support@help.example>", "Example Support <support@help.example>",
			"Anna Kunde via Example Support <support@help.example>", "help.example"},
		{"a fixed mailbox", ticketing.Appearance{Name: "The Shop", Address: "help@shop.example"},
			"The Shop <help@shop.example>", "support" + token + "help.example",
			"Anna Kunde via Example Support <help@shop.example>", "The Shop <help@shop.example>",
			"Anna Kunde via Example Support <help@shop.example>", "shop.example"},
		{"answers elsewhere", ticketing.Appearance{ReplyTo: "answers@shop.example"},
			"Otto via Example Support <support@help.example>", "answers" + token + "shop.example",
			"Anna Kunde via Example Support <support@help.example>", "Example Support <support@help.example>",
			"Anna Kunde via Example Support <support@help.example>", "help.example"},
		{"answers elsewhere without a token", ticketing.Appearance{ReplyTo: "answers@shop.example", WithoutToken: true},
			"Otto via Example Support <support@help.example>", "answers@shop.example",
			"Anna Kunde via Example Support <support@help.example>", "Example Support <support@help.example>",
			"Anna Kunde via Example Support <support@help.example>", "help.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.desk.queues["support"].Appearance = c.as
			k := w.ticket()
			k.Assignee = "ada"
			w.put("ticket_created", k, w.add(k, ticketing.Message{Auth: ticketing.Verdict{Trust: "T2"}}, annasMail))
			w.tell()
			check := func(s sent, from string) {
				t.Helper()
				a := s.mail.Header.Addresses("From")
				if len(a) != 1 || a[0].Name+" <"+a[0].Addr+">" != from {
					t.Errorf("mail to %s comes from %v, want %s", s.To, a, from)
				}
				if s.Domain != c.signed {
					t.Errorf("mail to %s is signed for %s, want %s", s.To, s.Domain, c.signed)
				}
			}
			replyTo := func(s sent, want string) {
				t.Helper()
				got := s.mail.Header.Addresses("Reply-To")[0].Addr
				if plus := strings.IndexByte(got, '+'); plus > 0 {
					tag, _, _ := strings.Cut(got[plus+1:], "@")
					if _, err := w.desk.keys.ParseAddressToken("support", tag); err != nil {
						t.Errorf("Reply-To %s: %v", got, err)
					}
					got = strings.Replace(got, tag, "*", 1)
				}
				if got != want {
					t.Errorf("answers of %s go to %s, want %s", s.To, got, want)
				}
			}
			check(w.only("anna@customer.example"), c.ack)
			replyTo(w.only("anna@customer.example"), c.replyTo)
			check(w.only("bo@customer.example"), c.copied)
			check(w.only("ada@staff.example"), c.staff)
			replyTo(w.only("ada@staff.example"), "support"+token+"help.example")

			w = newWorld(t)
			w.desk.queues["support"].Appearance = c.as
			k = w.ticket()
			k.Assignee = "ada"
			w.put("public_message", k, w.add(k, ticketing.Message{
				Author: by("otto", "otto@staff.example", "otto@staff.example"), Envelope: ticketing.Envelope{From: "otto@staff.example"}, Auth: ticketing.Verdict{Trust: "T2"},
			}, ottosMail))
			w.tell()
			check(w.only("bo@customer.example"), c.reply)
			replyTo(w.only("bo@customer.example"), c.replyTo)
			if d := (message.Address{Addr: w.only("bo@customer.example").From}).Domain(); d != "help.example" {
				t.Errorf("the return path is at %s, where nobody knows its token", d)
			}
		})
	}
}
