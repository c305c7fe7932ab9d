package ticketing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/storetest"
)

// everyScreen holds for every reason there is.
func everyScreen() ticketing.Screen {
	return ticketing.Screen{
		Blocked: []string{"boss@x.example", "@never.example", "*@*.bad.example"}, Spam: true, Recipients: 3, PartSize: 400,
		Malformed: true, Unparsed: true, UnverifiedAgents: true, Strangers: true,
	}
}

func openScreened(t testing.TB) *bench {
	c := newClock()
	return openOn(t, twice{storetest.OpenAt(t, c.now)}, c, func(o *ticketing.Options) {
		for i := range o.Queues {
			if o.Queues[i].Name == "support" {
				o.Queues[i].Screen = everyScreen()
			}
		}
	})
}

func withFile(from string, octets int) string {
	return "From: " + from + "\nSubject: file\nMessage-ID: <file" + fmt.Sprint(octets) + "@test.example>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\nhere\n--b\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename=f.bin\n\n" +
		strings.Repeat("x", octets) + "\n--b--\n"
}

// Every reason of a queue's screen, and what it lets through.
func TestScreen(t *testing.T) {
	t.Parallel()
	crowd := "To: " + helpdsk + ", a@x.example, b@x.example, c@x.example"
	for _, c := range []struct {
		name   string
		mail   func(b *bench, l letter) mail
		change func(*ticketing.Arrival)
		want   string // reason/detail; "" is a ticket
	}{
		{"ordinary", func(*bench, letter) mail { return mail{text: write(rAddr, "x", toUs)} }, nil, ""},
		{"a blocked author", func(*bench, letter) mail { return mail{text: write("Boss@X.example", "x")} }, nil, "blocklisted/boss@x.example"},
		{"a blocked domain", func(*bench, letter) mail { return mail{text: write("a@sub.never.example", "x")} }, nil, "blocklisted/a@sub.never.example"},
		{"a blocked pattern", func(*bench, letter) mail { return mail{text: write("a@very.bad.example", "x")} }, nil, "blocklisted/a@very.bad.example"},
		{"a blocked envelope sender", func(*bench, letter) mail { return mail{from: "x@never.example", text: write(rAddr, "x")} }, nil, "blocklisted/x@never.example"},
		{"blocked, with a token", func(_ *bench, l letter) mail {
			return mail{to: []string{l.replyTo}, text: answer("boss@x.example", "Printer", l)}
		}, nil, "blocklisted/boss@x.example"},
		{"blocked, by a trusted forwarder", func(*bench, letter) mail { return mail{ip: trusted, text: write("boss@x.example", "x")} }, nil, "blocklisted/boss@x.example"},
		{"blocked elsewhere", func(*bench, letter) mail {
			return mail{to: []string{"sales@help.example"}, text: write("boss@x.example", "x")}
		}, nil, ""},

		{"a forwarder's spam flag", func(*bench, letter) mail { return mail{ip: trusted, text: write(rAddr, "x", "X-Spam-Flag: YES")} }, nil, "spam/X-Spam-Flag"},
		{"its spam status", func(*bench, letter) mail {
			return mail{ip: trusted, text: write(rAddr, "x", "X-Spam-Status: Yes, score=12.3 required=5.0")}
		}, nil, "spam/X-Spam-Status"},
		{"its scanner's word", func(*bench, letter) mail { return mail{ip: trusted, text: write(rAddr, "x", "X-Spam: yes")} }, nil, "spam/X-Spam"},
		{"its confidence level", func(*bench, letter) mail {
			return mail{ip: trusted, text: write(rAddr, "x", "X-MS-Exchange-Organization-SCL: 9")}
		}, nil, "spam/X-MS-Exchange-Organization-SCL"},
		{"no spam by its status", func(*bench, letter) mail {
			return mail{ip: trusted, text: write(rAddr, "x", "X-Spam-Status: No, score=1", "X-Spam-Flag: NO", "X-MS-Exchange-Organization-SCL: -1")}
		}, nil, ""},
		{"anybody's spam flag", func(*bench, letter) mail { return mail{text: write(rAddr, "x", "X-Spam-Flag: YES")} }, nil, ""},

		{"no From", func(*bench, letter) mail { return mail{from: rAddr, text: "Subject: x\nMessage-ID: <n@x>\n\nhi\n"} }, nil, "malformed/from"},
		{"a From of two", func(*bench, letter) mail { return mail{from: rAddr, text: write(rAddr+", "+xAddr, "x")} }, nil, "malformed/from"},
		{"a report without From", func(*bench, letter) mail {
			return mail{from: "<>", text: strings.Replace(report(dAddr, "failed", "5.1.1", "550"), "From: MAILER-DAEMON@relay.example\n", "", 1)}
		}, nil, ""},

		{"no mail at all", func(*bench, letter) mail { return mail{from: rAddr, text: "no header at all\n"} }, nil, "unparsed/"},

		{"a crowd", func(*bench, letter) mail { return mail{text: write(rAddr, "x", crowd)} }, nil, "too_many_recipients/4"},
		{"three of it", func(*bench, letter) mail { return mail{text: write(rAddr, "x", toUs, "Cc: a@x.example, b@x.example")} }, nil, ""},
		{"a crowd by an agent", func(*bench, letter) mail { return mail{ip: trusted, text: write(otto, "x", crowd)} }, nil, ""},

		{"a large file", func(*bench, letter) mail { return mail{text: withFile(rAddr, 401)} }, nil, "oversize_part/401"},
		{"a file of the size", func(*bench, letter) mail { return mail{text: withFile(rAddr, 400)} }, nil, ""},

		{"an agent's name, unproven", func(*bench, letter) mail { return mail{text: write(otto, "x", toUs)} }, nil, "unverified_agent/otto"},
		{"an agent at T1", func(*bench, letter) mail { return mail{text: write(otto, "x", toUs)} }, func(a *ticketing.Arrival) { a.Verdict.Trust = "T1" }, ""},
		{"an agent", func(*bench, letter) mail { return mail{ip: trusted, text: write(otto, "x", toUs)} }, nil, ""},
		{"an agent's robot", func(*bench, letter) mail { return mail{text: write(otto, "x", toUs, "Auto-Submitted: auto-replied")} }, nil, ""},

		{"a stranger with a token", func(_ *bench, l letter) mail {
			return mail{to: []string{l.replyTo}, text: answer(xAddr, "Printer", l)}
		}, nil, "unknown_user_update/ticket 1001"},
		{"the requester with it", func(_ *bench, l letter) mail {
			return mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l)}
		}, nil, ""},
		{"a stranger's robot with it", func(_ *bench, l letter) mail {
			return mail{to: []string{l.replyTo}, text: answer(xAddr, "Printer", l, "Auto-Submitted: auto-replied")}
		}, nil, ""},
	} {
		b := openScreened(t)
		n := b.take(mail{text: write(rAddr, "Printer", toUs)}).Ticket
		l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
		o := b.judged(c.mail(b, l), c.change)
		got := ""
		if o.Held != "" {
			h := b.item(o.Held)
			got = h.Reason + "/" + h.Detail
			if o.Outcome != "held" || o.Ticket != 0 || o.Reason != h.Reason {
				t.Errorf("%s: %+v", c.name, o)
			}
		} else if o.Message == "" {
			t.Errorf("%s: %+v leads nowhere", c.name, o)
		}
		if got != c.want {
			t.Errorf("%s: held %q, want %q", c.name, got, c.want)
		}
		if o.Held != "" {
			// Whoever releases it has decided: no screen looks again.
			h, err := b.desk.Release(context.Background(), system(), o.Held)
			if err != nil || h.Message == "" || h.State != "released" {
				t.Errorf("%s: released: %+v, %v", c.name, h, err)
			}
		}
		b.checkAll()
	}
}

// A pattern that cannot match is a mistake of the configuration.
func TestScreenPatterns(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "@", "[x@y"} {
		c := newClock()
		db := storetest.OpenAt(t, c.now)
		list := queues()
		list[0].Screen.Blocked = []string{bad}
		_, err := ticketing.Open(context.Background(), ticketing.Options{
			DB: db, Blobs: blob.New(db, newRandom(1)), Journal: journal.New(db), Agenda: agenda.New(db), Queues: list, Agents: agents(), Random: newRandom(2),
		})
		if err == nil || !strings.Contains(err.Error(), "screen.blocked") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
