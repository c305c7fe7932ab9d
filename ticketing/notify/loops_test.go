package notify

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
)

// TestAutomaticMail: whatever kind of machine writes, by whatever door, its mail
// is stored, its author is not answered, and no copy of it reaches a customer.
// The author is proven and known, so that nothing but what the mail says of
// itself stands between him and an acknowledgement.
func TestAutomaticMail(t *testing.T) {
	t.Parallel()
	dsn := "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; gone@x.example\nAction: failed\nStatus: 5.1.1\n\n--b--"
	arf := "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\n--b--"
	rows, answered := 0, 0
	for _, c := range []struct{ name, header, class string }{
		{"RFC 3834", "Auto-Submitted: auto-replied", "autoreply"},
		{"an alarm", "AUTO-SUBMITTED: Auto-Generated", "notification"},
		{"X-Autoreply", "X-Autoreply: yes", "autoreply"},
		{"X-Autorespond and its kin", "X-Autoresponder: 1", "autoreply"},
		{"Exchange's rules", "X-MS-Exchange-Inbox-Rules-Loop: anna@customer.example", "autoreply"},
		{"Precedence auto_reply", "Precedence: auto_reply", "autoreply"},
		{"Precedence bulk", "Precedence: bulk", "bulk"},
		{"a list", "List-Id: <l.example>\nList-Post: <mailto:l@l.example>", "list"},
		{"a mailing", "List-Unsubscribe: <mailto:off@l.example>", "bulk"},
		{"a sender's own id for complaints", "Feedback-ID: 1:2:3:x", "notification"},
		{"a delivery report", dsn, "bounce"},
		{"a complaint", arf, "feedback"},
	} {
		o := newOffice(t)
		o.reopen(false)
		o.arrive(t, "smtp", "anna@customer.example", "Message-ID: <first@customer.example>")
		o.tell()
		met := len(o.sent())
		if met != 1 {
			t.Fatalf("Anna's own mail was acknowledged %d times", met)
		}
		o.clock.move(48 * time.Hour) // she may have the next
		for _, source := range []string{"smtp", "imap", "api"} {
			rows++
			out := o.arrive(t, source, "anna@customer.example", "Message-ID: <"+source+"@customer.example>\nCc: bo@customer.example\n"+c.header)
			o.tell()
			if out.Outcome != "new_ticket" || out.Message == "" {
				t.Errorf("%s by %s: %+v", c.name, source, out)
				continue
			}
			m, err := o.d.Message(context.Background(), out.Message)
			if err != nil {
				t.Fatal(err)
			}
			if m.Automatic.Class != c.class {
				t.Errorf("%s by %s: class %s, want %s", c.name, source, m.Automatic.Class, c.class)
			}
			if n := len(o.sent()) - met; n != 0 {
				answered += n
				met += n
				t.Errorf("%s by %s: %d mails were sent", c.name, source, n)
			}
		}
		// The same mail by a person, to show that he would have been answered.
		o.arrive(t, "smtp", "anna@customer.example", "Message-ID: <second@customer.example>\nAuto-Submitted: no")
		o.tell()
		if len(o.sent()) != met+1 {
			t.Errorf("%s: a person's mail was not acknowledged afterwards", c.name)
		}
	}
	t.Logf("%d rows, %d answers", rows, answered)
	if rows != 36 {
		t.Errorf("%d rows, want 36", rows)
	}
}

// arrive takes a proven mail of a person with a header.
func (o *office) arrive(t *testing.T, source, from, header string) ticketing.Outcome {
	t.Helper()
	raw := fmt.Sprintf("From: <%s>\nTo: support@help.example\nSubject: x\nMIME-Version: 1.0\n%s", from, header)
	if !strings.Contains(raw, "\n\n") {
		raw += "\n\ntext\n"
	}
	w := o.blobs.Create(context.Background())
	if _, err := w.Write([]byte(strings.ReplaceAll(raw, "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
	sealed, err := w.Seal()
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.d.Receive(context.Background(), ticketing.Arrival{
		Source: source, EnvelopeFrom: from, Recipients: []string{"support@help.example"}, RemoteIP: netip.MustParseAddr("198.51.100.1"), Raw: sealed,
		Verdict: ticketing.Verdict{Trust: "T2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Outcomes[0]
}

// A storm of delivery reports: each leaves one entry, the agents hear once of
// what failed, and nobody else hears of anything.
func TestReportStorm(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.reopen(true)
	first := o.arrive(t, "smtp", "anna@customer.example", "Message-ID: <first@customer.example>")
	o.tell()
	if _, err := o.d.Post(context.Background(), ticketing.Actor{Kind: "agent", Agent: "otto"}, first.Ticket, ticketing.NewMessage{Visibility: "public", Text: "Done."}); err != nil {
		t.Fatal(err)
	}
	o.tell()
	var ours sent
	before := len(o.sent())
	for _, s := range o.sent() {
		if s.Class == "reply" {
			ours = s
		}
	}
	outcomes := map[string]int{}
	const each = 100
	for i := range each {
		for _, c := range []struct{ to, action, irt string }{
			{ours.From, "failed", ""}, {ours.From, "delayed", ""}, {"support@help.example", "failed", ours.header("Message-ID")}, {"support@help.example", "failed", "<nobody@elsewhere.example>"},
		} {
			status := "5.1.1"
			if c.action == "delayed" {
				status = "4.4.1"
			}
			raw := fmt.Sprintf("From: <mailer-daemon@mx%d.example>\nSubject: Undelivered\nMessage-ID: <%d.%s.%s@mx.example>\nMIME-Version: 1.0\n"+
				"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"+
				"Final-Recipient: rfc822; anna@customer.example\nAction: %s\nStatus: %s\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: %s\n\n--b--\n",
				i, i, c.action, strings.Trim(c.irt, "<>"), c.action, status, c.irt)
			w := o.blobs.Create(context.Background())
			if _, err := w.Write([]byte(strings.ReplaceAll(raw, "\n", "\r\n"))); err != nil {
				t.Fatal(err)
			}
			sealed, err := w.Seal()
			if err != nil {
				t.Fatal(err)
			}
			r, err := o.d.Receive(context.Background(), ticketing.Arrival{
				Source: "smtp", Recipients: []string{c.to}, RemoteIP: netip.MustParseAddr("198.51.100.1"), Raw: sealed, Verdict: ticketing.Verdict{Trust: "T0"},
			})
			if err != nil {
				t.Fatal(err)
			}
			outcomes[r.Outcomes[0].Outcome]++
		}
	}
	o.tell()
	told := o.sent()
	t.Logf("%d reports: %v, %d mails", 4*each, outcomes, len(told)-before)
	if outcomes["bounce"] != 2*each || outcomes["held"] != each || outcomes["new_ticket"] != each {
		t.Errorf("outcomes %v", outcomes)
	}
	failures := 0
	for _, s := range told {
		if strings.Contains(s.mail.Text(), "could not be delivered") {
			failures++
			if s.To != "otto@staff.example" || s.From != "" {
				t.Errorf("%s hears of it, from <%s>", s.To, s.From)
			}
		}
	}
	if failures != 1 || len(told) != before+1 {
		t.Errorf("%d mails about failures, %d in all, want one", failures, len(told)-before)
	}
	rc, err := o.d.Reconcile(context.Background())
	if err != nil || len(rc.Problems) != 0 {
		t.Error(rc, err)
	}
}
