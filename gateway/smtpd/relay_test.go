package smtpd

import (
	"context"
	"log/slog"
	mrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"ticketgate/gateway/intake"
	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	changes "ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/pebble"
)

// relays are recipients by which somebody else's mail has been sent through
// servers that read them generously. The server is mail.help.example at
// 203.0.113.25 with the queue support@help.example; only a reply of 250 would
// take the mail, and only to that queue.
var relays = []struct {
	name, rcpt, want string
}{
	{"plain", "<victim@example.net>", "550 5.7.1"},
	{"no brackets", "victim@example.net", "550 5.7.1"},
	{"upper case", "<VICTIM@EXAMPLE.NET>", "550 5.7.1"},
	{"percent hack", "<victim%example.net@help.example>", "550 5.1.1"},
	{"percent hack over the queue", "<support%example.net@help.example>", "550 5.1.1"},
	{"percent hack over the host", "<victim%example.net@mail.help.example>", "550 5.7.1"},
	{"percent hack over our IP", "<victim%example.net@[203.0.113.25]>", "550 5.7.1"},
	{"percent hack over localhost", "<victim%example.net@localhost>", "550 5.7.1"},
	{"percent hack to us by others", "<support%help.example@example.net>", "550 5.7.1"},
	{"percent only", "<victim%example.net>", "501"},
	{"bang path", "<example.net!victim>", "501"},
	{"bang path over us", "<help.example!example.net!victim@help.example>", "550 5.1.1"},
	{"bang path by others", "<example.net!victim@example.net>", "550 5.7.1"},
	{"quoted local part", `<"victim@example.net"@help.example>`, "550 5.1.1"},
	{"quoted, our domain inside", `<"support@help.example"@example.net>`, "550 5.7.1"},
	{"quoted whole", `<"victim@example.net">`, "501"},
	{"quoted percent", `<"victim%example.net"@help.example>`, "550 5.1.1"},
	{"escaped at", `<victim\@example.net@help.example>`, "50"},
	{"two ats", "<victim@example.net@help.example>", "550 5.1.1"},
	{"two ats, ours first", "<support@help.example@example.net>", "550 5.7.1"},
	{"source route to others", "<@help.example:victim@example.net>", "550 5.7.1"},
	{"source route of two", "<@help.example,@mail.help.example:victim@example.net>", "550 5.7.1"},
	{"source route with a percent", "<@help.example:victim%example.net@help.example>", "550 5.1.1"},
	{"source route without a mailbox", "<@help.example>", "501"},
	{"their IP", "<victim@[192.0.2.25]>", "550 5.7.1"},
	{"our IP", "<support@[203.0.113.25]>", "550 5.7.1"},
	{"our IP without brackets", "<support@203.0.113.25>", "5"},
	{"IPv6", "<victim@[IPv6:2001:db8::25]>", "550 5.7.1"},
	{"loopback", "<root@[127.0.0.1]>", "550 5.7.1"},
	{"localhost", "<root@localhost>", "550 5.7.1"},
	{"localhost.localdomain", "<root@localhost.localdomain>", "550 5.7.1"},
	{"our host's name", "<support@mail.help.example>", "550 5.7.1"},
	{"subdomain", "<support@sub.help.example>", "550 5.7.1"},
	{"our domain as a prefix", "<support@help.example.example.net>", "550 5.7.1"},
	{"our domain as a suffix", "<support@nothelp.example>", "550 5.7.1"},
	{"trailing dot, theirs", "<victim@example.net.>", "5"},
	{"leading dot", "<victim@.help.example>", "5"},
	{"a space", "<victim@example.net @help.example>", "50"},
	{"a NUL", "<victim@example.net\x00@help.example>", "50"},
	{"a comma", "<support@help.example,victim@example.net>", "550 5.7.1"},
	{"a second address", "<support@help.example> <victim@example.net>", "5"},
	{"a group", "<list:support@help.example,victim@example.net;>", "50"},
	{"unknown plus tag", "<victim+support@help.example>", "550 5.1.1"},
	{"another's token", "<support+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@help.example>", "550 5.1.1"},
	{"no domain", "<victim>", "501"},
	{"empty", "<>", "501"},
	{"uucp domain", "<victim@example.net.uucp>", "550 5.7.1"},
	{"mixed", `<@help.example:"victim%example.net!x"@[203.0.113.25]>`, "550 5.7.1"},
	// What stays ours, however it is written.
	{"the queue", "<support@help.example>", "250"},
	{"the queue with a tag", "<support+victim@help.example>", "250"},
	{"the queue in capitals", "<SUPPORT@HELP.EXAMPLE>", "250"},
	{"the queue, quoted", `<"support"@help.example>`, "250"},
	{"the queue by a source route", "<@example.net:support@help.example>", "250"},
}

// TestNoRelay tries them all on both doors, from several senders and with every
// trick of the sender's side; what is taken must be for the queue alone.
func TestNoRelay(t *testing.T) {
	senders := []string{"<a@customer.example>", "<>", "<victim@example.net>", "<support@help.example>", "<root@localhost>", "<root>", "<a@[203.0.113.25]>"}
	if len(relays) < 40 {
		t.Fatal("the matrix has shrunk")
	}
	db, err := pebble.OpenMem(pebble.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	random := mrand.NewChaCha8([32]byte{7})
	blobs := blob.New(db, random)
	desk, err := ticketing.Open(context.Background(), ticketing.Options{
		DB: db, Blobs: blobs, Journal: changes.New(db), Agenda: agenda.New(db), Random: random, Log: slog.New(slog.DiscardHandler),
		Queues: []ticketing.Queue{{Name: "support", Address: "support@help.example"}},
		Agents: []ticketing.Agent{{Name: "otto", Addresses: []string{"otto@help.example"}}},
		Admin:  "ada@help.example", Limits: message.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	in, err := intake.New(intake.Options{Desk: desk, Blobs: blobs, Hostname: "mail.help.example", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{MX, Submissions} {
		t.Run(kind, func(t *testing.T) {
			server, err := New(Options{Hostname: "mail.help.example", Intake: in, TLS: serverTLS(), Auth: accounts{}, Domains: []string{"help.example"},
				Now: time.Now, Random: mrand.NewChaCha8([32]byte{1}), Sleep: func(context.Context, time.Duration) {},
				Limits: Limits{PerIPRate: 1e6, PerNetRate: 1e6, PerWideRate: 1e6}})
			if err != nil {
				t.Fatal(err)
			}
			h := &house{t: t, server: server, door: newDoor(), served: make(chan error, 1)}
			go func() { h.served <- h.server.Serve(h.door, kind) }()
			defer h.close()
			from, asked := senders, 0
			if kind == Submissions {
				from = []string{"<otto@help.example>"}
			}
			for _, sender := range from {
				for _, r := range relays {
					asked++
					if got := h.recipient(t, kind, sender, r.rcpt); !strings.HasPrefix(got, r.want) {
						t.Errorf("%s: MAIL FROM:%s, RCPT TO:%s: %s, not %s", r.name, sender, r.rcpt, got, r.want)
					}
				}
			}
			t.Logf("%d recipients of %d kinds tried", asked, len(relays))
		})
	}
}

// recipient asks for one recipient in a session of its own. A sender that is
// refused ends the question just as well.
func (h *house) recipient(t *testing.T, kind, sender, rcpt string) string {
	t.Helper()
	c := h.dial("192.0.2.7")
	defer c.drop()
	if kind == Submissions {
		if err := c.startTLS(); err != nil {
			t.Fatal(err)
		}
	}
	c.reply()
	c.say("EHLO x")
	if kind == Submissions {
		if r := c.say("AUTH PLAIN AG90dG8Ac2VjcmV0"); !strings.HasPrefix(r, "235") {
			t.Fatal(r)
		}
	}
	if r := c.say("MAIL FROM:" + sender); !strings.HasPrefix(r, "250") && sender != "<root>" {
		t.Fatalf("MAIL FROM:%s: %s", sender, r)
	} else if sender == "<root>" {
		c.say("RSET")
		c.say("MAIL FROM:<root@customer.example>")
	}
	return c.say("RCPT TO:" + rcpt)
}
