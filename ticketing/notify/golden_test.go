package notify

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ticketgate/ticketing"
)

var update = flag.Bool("update", false, "write the mails in testdata anew")

// Each kind of mail as it leaves, to be read and corrected in testdata.
func TestGolden(t *testing.T) {
	ottos := func(w *world) ticketing.Message {
		return ticketing.Message{Author: by("otto", "otto@staff.example", "otto@staff.example"), Envelope: ticketing.Envelope{From: "otto@staff.example"}, Auth: ticketing.Verdict{Trust: "T2"}}
	}
	for _, c := range []struct {
		name string
		to   string
		play func(*world, *ticketing.Ticket)
	}{
		{"acknowledgement", "anna@customer.example", func(w *world, k *ticketing.Ticket) {
			w.put("ticket_created", k, w.add(k, ticketing.Message{MessageID: "<a1@customer.example>"}, annasMail))
		}},
		{"acknowledgement_unproven", "anna@customer.example", func(w *world, k *ticketing.Ticket) {
			m := w.add(k, ticketing.Message{Auth: ticketing.Verdict{Trust: "T0"}}, annasMail)
			w.put("ticket_created", k, m, func(n *ticketing.Notice) { n.KnownContact = true })
		}},
		{"staff_new_ticket", "otto@staff.example", func(w *world, k *ticketing.Ticket) {
			w.put("ticket_created", k, w.add(k, ticketing.Message{}, annasMail))
		}},
		{"reply_to_customers", "bo@customer.example", func(w *world, k *ticketing.Ticket) {
			k.Status, k.Assignee = "open", "otto"
			w.add(k, ticketing.Message{MessageID: "<a1@customer.example>"}, annasMail)
			m := w.add(k, ottos(w), ottosMail)
			w.put("public_message", k, m)
		}},
		{"staff_internal_note", "fred@elsewhere.example", func(w *world, k *ticketing.Ticket) {
			k.Status, k.Assignee = "open", "otto"
			k.Followers = []ticketing.Follower{{Agent: "fred", Address: "fred@elsewhere.example"}}
			w.add(k, ticketing.Message{}, annasMail)
			note := ottos(w)
			note.Visibility, note.Kind = "internal", "note"
			w.put("internal_message", k, w.add(k, note, ottosMail))
		}},
		{"staff_third_party", "ada@staff.example", func(w *world, k *ticketing.Ticket) {
			w.add(k, ticketing.Message{}, annasMail)
			m := w.add(k, ticketing.Message{
				Visibility: "internal", Kind: "third_party",
				Author: ticketing.Author{Address: "eve@elsewhere.example", Name: "Eve", Role: "third_party"},
			}, strings.ReplaceAll(annasMail, "Anna Kunde <anna@customer.example>", "Eve <eve@elsewhere.example>"))
			w.put("third_party", k, m)
		}},
		{"staff_delivery_failed", "otto@staff.example", func(w *world, k *ticketing.Ticket) {
			k.Status, k.Assignee = "pending", "otto"
			m := w.add(k, ottos(w), ottosMail)
			w.put("delivery_failed", k, m, func(n *ticketing.Notice) {
				n.Actor = ticketing.Actor{Kind: "system"}
				n.Detail = "bo@customer.example: 550 5.1.1 no such user here"
			})
		}},
		{"files", "anna@customer.example", func(w *world, k *ticketing.Ticket) {
			m := ottos(w)
			w.put("public_message", k, w.add(k, m, mailWithFiles))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.play(w, w.ticket())
			w.tell()
			s := w.only(c.to)
			got := "# class " + s.Class + " · envelope from <" + s.From + "> to <" + s.To + "> · message " + strings.TrimSpace(s.Message+" ") + "\n" +
				strings.ReplaceAll(s.raw, "\r\n", "\n")
			file := filepath.Join("testdata", c.name+".eml")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs (go test -update writes it anew):\n%s", file, got)
			}
		})
	}
}

// Otto answers from Outlook, which puts his address into what it quotes.
const ottosMail = `From: "otto@staff.example" <otto@staff.example>
To: support@help.example
Subject: Re: Printer on fire [#1000]
Message-ID: <o1@laptop.staff.example>
Date: Mon, 2 Nov 2026 12:00:00 +0000
Thread-Topic: What Otto read inside
Thread-Index: AdrXyz0123456789+/==
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Please leave the building — now.
My line is otto@staff.example, if you must.

-----Original Message-----
From: Example Support
Sent: Monday, 2 November 2026 12:00
To: otto@staff.example
Subject: Re: Printer on fire [#1000]

Anna Kunde <anna@customer.example> opened ticket #1000
`

const mailWithFiles = `From: otto@staff.example
To: support@help.example
Subject: Re: Printer on fire [#1000]
Date: Mon, 2 Nov 2026 12:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/related; boundary=inner

--inner
Content-Type: text/html; charset=utf-8

<p>See the <img src="cid:pic@x"> and the files.</p>
--inner
Content-Type: image/png; name=pic.png
Content-ID: <pic@x>
Content-Disposition: inline; filename=pic.png
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--inner--
--outer
Content-Type: text/csv; charset=iso-8859-1; name=prices.csv
Content-Disposition: attachment; filename=prices.csv
Content-Transfer-Encoding: base64

ZuRyYmU7MTIK
--outer
Content-Type: message/rfc822

From: vendor@elsewhere.example
To: otto@staff.example
Subject: spare parts

In stock.
--outer
Content-Type: application/octet-stream
Content-Disposition: attachment

raw
--outer--
`
