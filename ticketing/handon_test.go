package ticketing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// outbox keeps what a committed transaction submits.
type outbox struct {
	mails []message.Outbound
	err   error
}

func (o *outbox) Submit(tx store.Tx, m message.Outbound) error {
	tx.OnCommit(func() { o.mails = append(o.mails, m) })
	return o.err
}

func handsOn(o *outbox, address string) func(*ticketing.Options) {
	return func(opts *ticketing.Options) {
		opts.Outbox = o
		opts.Queues[0].DeliverTo = ticketing.DeliverTo{Route: "helpdesk", Address: address}
	}
}

// A mail to a queue with another helpdesk opens its ticket and goes there in
// one transaction: the bytes that are stored, under a sender of ours.
func TestHandOn(t *testing.T) {
	t.Parallel()
	out := &outbox{}
	b := openWith(t, handsOn(out, "inbox@desk.internal"))
	a := b.arrival(mail{text: write("anna@customer.example", "Drücker")})
	a.Header = "Authentication-Results: mail.help.example; none\r\nReceived: from mx.example\r\n\tby mail.help.example; now\r\n"
	a.UTF8 = true
	r, err := b.desk.Receive(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.mails) != 1 {
		t.Fatalf("%d mails handed on", len(out.mails))
	}
	m := out.mails[0]
	if m.Class != "relay" || m.Domain != "" || m.To != "inbox@desk.internal" || m.Route != "helpdesk" || m.Queue != "support" || m.Ticket != r.Outcomes[0].Ticket || m.Message != r.Outcomes[0].Message {
		t.Errorf("%+v", m)
	}
	if m.SHA256 != r.Raw.SHA256 || m.Size != r.Raw.Size || !m.UTF8 || !m.Bit8 || !strings.HasPrefix(m.ID, "out_") {
		t.Errorf("%+v", m)
	}
	want := "X-Forwarded-To: inbox@desk.internal\r\nX-Original-To: support@help.example\r\n" + a.Header
	if string(m.Head) != want {
		t.Errorf("on top:\n%s\nwant:\n%s", m.Head, want)
	}
	if !strings.HasPrefix(m.From, "support+") || !strings.HasSuffix(m.From, "@help.example") {
		t.Errorf("from %s", m.From)
	}

	// What the other helpdesk's server says comes back to the ticket.
	if err := b.db.Update(context.Background(), func(tx store.Tx) error {
		return b.desk.Settled(tx, message.Report{Parcel: m.ID, Message: m.Message, Ticket: m.Ticket, Queue: "support", Recipient: m.To, State: "sent"})
	}); err != nil {
		t.Fatal(err)
	}
	bounce := fmt.Sprintf("From: MAILER-DAEMON@desk.internal\nSubject: Undelivered\nMessage-ID: <b1@desk.internal>\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\nContent-Type: text/plain\n\nNo.\n--x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; desk.internal\n\nFinal-Recipient: rfc822; %s\nAction: failed\nStatus: 5.2.1\nDiagnostic-Code: smtp; 550 5.2.1 off\n\n--x--\n", m.To)
	if o := b.take(mail{from: "<>", to: []string{m.From}, text: bounce}); o.Ticket != m.Ticket || o.Outcome != "bounce" {
		t.Errorf("the report went to %+v", o)
	}
	if len(out.mails) != 1 {
		t.Error("a report about our own mail was handed on")
	}
	list, err := b.desk.Deliveries(t.Context(), m.Message)
	if err != nil || len(list) != 1 || list[0].State != "bounced" || list[0].Recipient != m.To {
		t.Errorf("deliveries %+v, %v", list, err)
	}
}

// What is needed to carry the mail unchanged is told; what comes back is not
// sent again; mail of other queues stays.
func TestHandOnSays(t *testing.T) {
	t.Parallel()
	out := &outbox{}
	b := openWith(t, handsOn(out, ""))
	text := write("anna@customer.example", "Printer") + "Grüße\n"
	for range 2 {
		a := b.arrival(mail{text: text})
		a.UTF8 = true // said, but not needed
		if _, err := b.desk.Receive(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	b.take(mail{to: []string{"sales@help.example"}, text: write("anna@customer.example", "Offer")})
	if len(out.mails) != 1 || !out.mails[0].Bit8 || out.mails[0].UTF8 || out.mails[0].To != helpdsk {
		t.Fatalf("%+v", out.mails)
	}
	b.take(mail{from: "<>", text: write("MAILER-DAEMON@customer.example", "Undelivered", "Auto-Submitted: auto-replied")})
	if len(out.mails) != 2 || out.mails[1].From != "" {
		t.Errorf("a report goes on from %q", out.mails[len(out.mails)-1].From)
	}
}

// A held mail goes nowhere until it is released.
func TestHandOnHeld(t *testing.T) {
	t.Parallel()
	out := &outbox{}
	b := openWith(t, handsOn(out, ""))
	a := b.arrival(mail{text: write("anna@customer.example", "Printer")})
	dmarc("quarantine", "T0")(&a)
	r, err := b.desk.Receive(t.Context(), a)
	if err != nil || r.Outcomes[0].Held == "" {
		t.Fatalf("nothing is held: %+v, %v", r, err)
	}
	o := r.Outcomes[0]
	before := len(out.mails)
	if _, err := b.desk.Release(t.Context(), ticketing.Actor{Kind: "system"}, o.Held); err != nil {
		t.Fatal(err)
	}
	if len(out.mails) != before+1 {
		t.Errorf("%d mails after the release, %d before", len(out.mails), before)
	}
}

// If the other way is closed, the mail is not taken: it must not be here and
// not there.
func TestHandOnFails(t *testing.T) {
	t.Parallel()
	out := &outbox{err: errors.New("the queue is full")}
	b := openWith(t, handsOn(out, ""))
	if _, err := b.desk.Receive(t.Context(), b.arrival(mail{text: write("anna@customer.example", "Printer")})); err == nil {
		t.Error("taken")
	}
	o := ticketing.Options{DB: b.db, Blobs: b.blobs, Journal: b.log, Agenda: b.agenda, Queues: queues(), Agents: agents(), Random: newRandom(3)}
	o.Queues[0].DeliverTo.Route = "helpdesk"
	if _, err := ticketing.Open(t.Context(), o); err == nil {
		t.Error("a desk without an outbox hands mail on")
	}
}
