package ticketing

import (
	"context"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Settled records what became of a parcel, in the transaction that changes the
// parcel (delivery's Ledger). A permanent failure, and a hold that only a person
// can end, is an event on the ticket and tells its agents, once; a long delay is
// an event only. A mail to staff that failed tells nobody: that news would fail
// the same way. Of parcels that carry no message, those of backlogs are kept:
// whom the earlier messages did not reach stands on the ticket.
func (d *Desk) Settled(tx store.Tx, r message.Report) error {
	if r.Recipient == "" || r.Message == "" && r.Mail == 0 {
		return nil
	}
	w := d.begin(tx)
	at := r.At
	if at.IsZero() {
		at = w.now
	}
	if r.Message == "" {
		return w.settleBacklog(&r, at)
	}
	row := deliveryRow{Message: r.Message, MailID: clip(r.MailID, maxID), Unsure: r.Unsure, Delivery: Delivery{
		Recipient: clip(r.Recipient, maxAddress), Parcel: clip(r.Parcel, 64), State: r.State, Attempts: r.Attempts,
		Code: r.Code, Enhanced: clip(r.Enhanced, 20), Text: clip(r.Text, maxDiagnostic), MX: clip(r.MX, maxAddress), TLS: clip(r.TLS, 120), At: at.UTC(),
	}}
	worse, err := w.deliver(&row)
	stuck := r.State == "held" && r.Hold != ""
	if err == nil && row.State == "cancelled" && row.Retell {
		if err := w.retell(row.Message, []string{message.Fold(row.Recipient)}); err != nil {
			return err
		}
		return w.finish()
	}
	if err != nil || !worse && !stuck && r.Delayed <= 0 {
		return err
	}
	t, err := w.follow(r.Ticket)
	if err != nil || t == nil {
		return err
	}
	if worse || stuck {
		err = w.deliveryFailed(t, &row)
	} else {
		err = w.deliveryLate(t, &row, r.Delayed)
	}
	if err != nil {
		return err
	}
	return w.finish()
}

// deliver stores a delivery state; worse tells that the mail has just failed
// for good. A bounce is the last word: the report of it may overtake our own
// note that the mail was handed over.
func (w *work) deliver(row *deliveryRow) (worse bool, err error) {
	key := deliveryKey(row.Message, row.Recipient)
	if err := w.d.deliveries.Lock(w.tx, key); err != nil {
		return false, err
	}
	old, err := w.d.deliveries.Find(w.tx, key)
	if err != nil {
		return false, err
	}
	if old != nil && old.State == "bounced" && row.State != "bounced" {
		return false, nil
	}
	if old != nil && row.Parcel == "" {
		row.Parcel, row.Attempts, row.MX, row.TLS = old.Parcel, old.Attempts, old.MX, old.TLS
	}
	if old != nil && row.MailID == "" {
		row.MailID = old.MailID
	}
	row.Retell = old != nil && old.Retell && old.Parcel == row.Parcel
	worse = lost(row.State) && (old == nil || !lost(old.State))
	return worse, w.d.deliveries.Put(w.tx, row)
}

// lost reports whether a state means that the mail will not arrive.
func lost(state string) bool { return state == "failed" || state == "bounced" }

// failedDelivery is the journal's data about a lost mail.
type failedDelivery struct {
	Message   string `json:"message"`
	Recipient string `json:"recipient"`
	State     string `json:"state"`
	Code      int    `json:"code,omitempty"`
	Enhanced  string `json:"enhanced,omitempty"`
	Text      string `json:"text,omitempty"`
}

// lateDelivery is the journal's data about a mail that still waits.
type lateDelivery struct {
	Message   string `json:"message"`
	Recipient string `json:"recipient"`
	Delay     int64  `json:"delay_seconds"`
	Code      int    `json:"code,omitempty"`
	Enhanced  string `json:"enhanced,omitempty"`
	Text      string `json:"text,omitempty"`
}

// deliveryLate records that a mail has been waiting for long. It is for people
// who look; nobody is told by mail.
func (w *work) deliveryLate(t *ticketRow, row *deliveryRow, delay time.Duration) error {
	return w.record(t, "message.delayed", Actor{Kind: "system"}, lateDelivery{
		Message: row.Message, Recipient: row.Recipient, Delay: int64(delay / time.Second), Code: row.Code, Enhanced: row.Enhanced, Text: row.Text,
	})
}

func (w *work) deliveryFailed(t *ticketRow, row *deliveryRow) error {
	system := Actor{Kind: "system"}
	event := "message.bounced"
	if row.State == "held" {
		event = "message.held"
	}
	err := w.record(t, event, system, failedDelivery{
		Message: row.Message, Recipient: row.Recipient, State: row.State, Code: row.Code, Enhanced: row.Enhanced, Text: row.Text,
	})
	if err != nil || w.d.writer(message.Fold(row.Recipient)) != nil {
		return err
	}
	_, err = w.notice(t, Notice{
		Event: eventFailed, Message: row.Message, Actor: system, NoAck: true,
		Detail: row.Recipient + ": " + row.Text, Audience: w.d.audience(t, eventFailed),
	})
	return err
}

// deliveryOf finds the delivery of a message to a person.
func (w *work) deliveryOf(id string, person uint32) (*deliveryRow, error) {
	for row, err := range w.d.deliveries.Scan(w.tx, store.Query{Prefix: store.Key{}.Str(id)}) {
		if err != nil {
			return nil, err
		}
		if message.PersonHash(row.Recipient) == person {
			return row, nil
		}
	}
	return nil, nil
}

// Deliveries returns the delivery states of a message, by recipient.
func (d *Desk) Deliveries(ctx context.Context, messageID string) ([]Delivery, error) {
	var out []Delivery
	err := d.db.View(ctx, func(r store.Reader) error {
		out = nil
		for row, err := range d.deliveries.Scan(r, store.Query{Prefix: store.Key{}.Str(messageID)}) {
			if err != nil {
				return err
			}
			out = append(out, row.Delivery)
		}
		return nil
	})
	return out, failure(err)
}

// Sent returns the record of mail number n of a ticket.
func (d *Desk) Sent(ctx context.Context, ticket uint64, mail uint32) (*Sent, error) {
	var out *Sent
	err := d.db.View(ctx, func(r store.Reader) (err error) {
		out, err = d.sent.Find(r, sentKey(ticket, mail))
		return err
	})
	if err == nil && out == nil {
		return nil, &Error{Kind: Unknown, Text: "there is no such mail"}
	}
	return out, failure(err)
}
