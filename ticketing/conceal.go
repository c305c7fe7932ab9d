package ticketing

import (
	"context"
	"slices"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Received says that somebody outside may have read a message.
type Received struct {
	Address string    // folded
	How     string    // wrote (he is the author), addressed (he stood in the mail), mailed, backlog
	State   string    // of a mailed copy: sent, bounced …, active while an attempt is under way; "" otherwise
	At      time.Time // when he got it, or when that state was reached
}

// visibilityChange is the journal's data about a change of visibility.
type visibilityChange struct {
	Message    string   `json:"message"`
	Visibility string   `json:"visibility"`
	Received   []string `json:"received_by,omitempty"`
}

const flagMadeInternal = "made_internal"

// SetVisibility makes a public message internal, and returns who outside has it
// already: later mails, quotes and backlogs leave it out, and copies that still
// wait in the outbound queue are taken back, but what is sent is sent. An answer
// that waits and quotes the message, and a backlog that holds it, are written
// anew without it. It makes an internal message of a customer public again, and
// mails it; what agents noted can only be said anew, as a reply.
//
// Setting what is set changes nothing. Light agents may not.
func (d *Desk) SetVisibility(ctx context.Context, by Actor, id, visibility string) (*Message, []Received, error) {
	if visibility != "public" && visibility != "internal" {
		return nil, nil, &Error{Kind: Invalid, Text: "visibility must be public or internal"}
	}
	if err := d.full(by, "change what others see"); err != nil {
		return nil, nil, err
	}
	var out *Message
	var received []Received
	err := d.update(ctx, func(w *work) error {
		t, m, err := w.messageOf(by, 0, id)
		if err != nil {
			return err
		}
		out, received = m, nil
		concealed := false
		if visibility == "internal" && m.Visibility == "public" {
			m.Visibility, m.ConcealedAt = "internal", w.now
			if err := w.takeBack(m); err != nil {
				return err
			}
			concealed = true
		}
		if received, err = w.receivedBy(m); err != nil || m.Visibility == visibility && !concealed {
			return err
		}
		change := visibilityChange{Message: m.ID, Visibility: visibility}
		if concealed {
			if !slices.Contains(m.Flags, flagMadeInternal) {
				m.Flags = append(m.Flags, flagMadeInternal)
			}
			for _, r := range received[:min(len(received), maxCCs+1)] {
				change.Received = append(change.Received, r.Address)
			}
		} else if err := w.publish(t, by, m); err != nil {
			return err
		}
		w.touch(t)
		if err := d.messages.Put(w.tx, m); err != nil {
			return err
		}
		return w.record(t, "message.visibility", by, change)
	})
	if err != nil {
		return nil, nil, err
	}
	return out, received, nil
}

// publish makes a customer's message public and owes requester and CCs the news.
func (w *work) publish(t *ticketRow, by Actor, m *Message) error {
	if m.Kind != "customer" || !customerRole(m.Author.Role) {
		return &Error{Kind: Refused, Text: "only what a customer wrote can become public; say it anew in a reply"}
	}
	m.Visibility, m.ConcealedAt = "public", time.Time{}
	m.Flags = slices.DeleteFunc(m.Flags, func(f string) bool { return f == flagMadeInternal })
	audience := slices.DeleteFunc(w.d.audience(t, eventPublic), func(r Recipient) bool {
		return r.Agent != "" || message.Fold(r.Address) == message.Fold(m.Author.Address)
	})
	mail, err := w.notice(t, Notice{Event: eventPublic, Message: m.ID, Actor: by, NoAck: true, Audience: audience})
	m.Mail = mail
	return err
}

// receivedBy lists who outside staff may have a message, each address once:
// its author, who stood in the mail, who was mailed it, and who got it with a
// backlog.
func (w *work) receivedBy(m *Message) ([]Received, error) {
	var out []Received
	seen := map[string]bool{}
	add := func(r Received) {
		r.Address = message.Fold(r.Address)
		if r.Address == "" || seen[r.Address] || w.d.writer(r.Address) != nil || w.d.own(r.Address) != nil {
			return
		}
		seen[r.Address] = true
		out = append(out, r)
	}
	if m.Direction == "in" {
		if m.Author.Agent == "" {
			add(Received{Address: m.Author.Address, How: "wrote", At: m.ReceivedAt})
		}
		for _, a := range slices.Concat(m.To, m.Cc) {
			add(Received{Address: a.Addr, How: "addressed", At: m.ReceivedAt})
		}
	}
	for row, err := range w.d.deliveries.Scan(w.tx, store.Query{Prefix: store.Key{}.Str(m.ID)}) {
		if err != nil {
			return nil, err
		}
		if state, got := w.d.mayHaveGot(row.State, row.Unsure, m); got {
			add(Received{Address: row.Recipient, How: "mailed", State: state, At: row.At})
		}
	}
	for row, err := range w.d.sent.Scan(w.tx, store.Query{Prefix: ticketKey(m.Ticket)}) {
		if err != nil {
			return nil, err
		}
		if row.Backlog == "" || row.Upto < m.Seq || row.Except == m.ID || !m.ConcealedAt.IsZero() && !row.At.Before(m.ConcealedAt) {
			continue
		}
		if state, got := w.d.mayHaveGot(row.State, row.Unsure, m); got {
			add(Received{Address: row.Backlog, How: "backlog", State: state, At: row.At})
		}
	}
	return out, nil
}
