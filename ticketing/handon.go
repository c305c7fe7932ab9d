package ticketing

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// DeliverTo says where the mails of a queue go besides their tickets, as they
// came. The zero value is nowhere.
type DeliverTo struct {
	Route   string // of the outbound queue
	Address string // envelope recipient there; "" = the queue's address
}

// Outbox takes mails in a transaction; *delivery.Queue fits.
type Outbox interface {
	Submit(tx store.Tx, o message.Outbound) error
}

// handOn gives a filed mail to the queue's other helpdesk: the stored bytes,
// not a copy, with trace fields on top. Reports about our own mails stay here. A
// mail that comes back is a duplicate and is not handed on again; one that was
// changed on the way is stopped by the limit on hops.
func (w *work) handOn(in *incoming, u *unit, a *arrivalRow) error {
	q := u.queue
	if q.DeliverTo.Route == "" || len(u.returns) > 0 || a.Ticket == 0 {
		return nil
	}
	to := q.DeliverTo.Address
	if to == "" {
		to = q.Address
	}
	from, err := w.handOnSender(in, q, a, to)
	if err != nil {
		return err
	}
	seed := sha256.Sum256(append([]byte("hand on "), u.entropy[:]...))
	id, err := store.NewID("out_", w.now, bytes.NewReader(seed[:]))
	if err != nil {
		return err
	}
	ref := in.raw.Ref()
	return w.d.outbox.Submit(w.tx, message.Outbound{
		ID: id, Class: "relay", From: from, To: to, SHA256: ref.SHA256, Size: ref.Size,
		Queue: q.Name, Ticket: a.Ticket, Message: a.Message, Route: q.DeliverTo.Route,
		UTF8: in.template.Envelope.UTF8 && in.utf8, Bit8: in.bit8,
		Head: in.traceFields(u.recipients, to),
	})
}

// handOnSender is the envelope sender: an address of ours that leads reports
// back to the ticket, so that SPF holds (the original sender's would not from
// here). A report is handed on as one: from nobody.
func (w *work) handOnSender(in *incoming, q *queue, a *arrivalRow, to string) (string, error) {
	if in.template.Envelope.From == "" || in.report() {
		return "", nil
	}
	t, err := w.follow(a.Ticket)
	if err != nil || t == nil {
		return "", err
	}
	t.Mails++
	w.touch(t)
	sent := Sent{Ticket: t.Number, Mail: t.Mails, Message: a.Message, Visible: []string{}, At: w.now}
	if err := w.d.sent.Put(w.tx, &sent); err != nil {
		return "", err
	}
	token := message.Token{Kind: message.KindReturnPath, Ticket: t.Number, Mail: t.Mails, Person: message.PersonHash(to), Internal: true}
	at := strings.LastIndexByte(q.Address, '@')
	return q.Address[:at] + "+" + w.d.Keyring().AddressToken(q.Name, token) + q.Address[at:], nil
}

// maxHandOnHead bounds the trace fields; the door's own are cut whole.
const maxHandOnHead = 12 << 10

// traceFields are put on top of a mail that is handed on.
func (in *incoming) traceFields(recipients []string, to string) []byte {
	var b strings.Builder
	field := func(name, value string) {
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(value) > maxAddress {
			return // an address that could end the line is not written
		}
		b.WriteString(name + ": " + value + "\r\n")
	}
	field("X-Forwarded-To", to)
	for _, r := range recipients[:min(len(recipients), 5)] {
		field("X-Original-To", r)
	}
	if h := in.arrival.Header; len(h) <= maxHandOnHead && strings.HasSuffix(h, "\r\n") {
		b.WriteString(h)
	}
	return []byte(b.String())
}

// readWidth finds out whether the mail has octets over 127, and whether the
// first stands in the header, if anybody wants to know. Many clients say
// SMTPUTF8 wherever it is offered: only with such a header is it needed.
func (in *incoming) readWidth() error {
	wanted := false
	for _, u := range in.units {
		wanted = wanted || u.queue.DeliverTo.Route != ""
	}
	if !wanted {
		return nil
	}
	r := io.NewSectionReader(in.raw, 0, in.raw.Ref().Size)
	buf := make([]byte, 32<<10)
	empty, body := true, false // the line so far, and whether the header is over
	for {
		n, err := r.Read(buf)
		for _, c := range buf[:n] {
			switch {
			case c >= 0x80:
				in.bit8, in.utf8 = true, !body
				return nil
			case c == '\n':
				empty, body = true, body || empty
			case c != '\r':
				empty = false
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
