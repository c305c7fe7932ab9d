package ticketing

import (
	"slices"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Recaller takes mails back that wait to be sent; *delivery.Queue fits.
type Recaller interface {
	// Recall keeps a parcel from being sent, as part of tx: no attempt begins
	// from then on. gone tells that it has left the queue, and that Settled has
	// heard of it as cancelled. A parcel with an attempt under way gets no
	// other; Settled hears later what came of it. A parcel that is not in the
	// queue is no error.
	Recall(tx store.Tx, parcel, reason string) (gone bool, err error)
}

// recallReason is what the outbound queue is told.
const recallReason = "a message in it was made internal"

// maxQuoting is how many messages after a public one may quote it: notify looks
// back no further.
const maxQuoting = 21

// takeBack keeps customers from getting mails with a message that has become
// internal: the mails that tell it, the answers that quote it, and the backlogs
// that hold it. Whoever loses an answer or a backlog by that is owed another
// one, without the message.
func (w *work) takeBack(m *Message) error {
	if w.d.recall == nil {
		return nil
	}
	if _, err := w.recallCopies(m.ID, false); err != nil {
		return err
	}
	later, err := w.d.messagesAfter(w.tx, m.Ticket, m.Seq, maxQuoting)
	if err != nil {
		return err
	}
	for _, answer := range later {
		if answer.Visibility != "public" || answer.Author.Agent == "" && answer.Direction != "out" {
			continue
		}
		lost, err := w.recallCopies(answer.ID, true)
		if err == nil {
			err = w.retell(answer.ID, lost)
		}
		if err != nil {
			return err
		}
	}
	return w.recallBacklogs(m)
}

// waits reports whether a mail is in the outbound queue.
func waits(state string) bool { return state == "queued" || state == "deferred" || state == "held" }

// recallCopies takes back the mails to customers that tell a message and returns
// whose have left the queue. With retell, those that cannot leave it just now
// are owed anew when they do.
func (w *work) recallCopies(id string, retell bool) (gone []string, err error) {
	var rows []*deliveryRow
	for row, err := range w.d.deliveries.Scan(w.tx, store.Query{Prefix: store.Key{}.Str(id)}) {
		if err != nil {
			return nil, err
		}
		// What is handed on as it came has no Message-ID of ours.
		if waits(row.State) && row.Parcel != "" && row.MailID != "" && w.d.writer(message.Fold(row.Recipient)) == nil {
			rows = append(rows, row)
		}
	}
	for _, row := range rows {
		left, err := w.d.recall.Recall(w.tx, row.Parcel, recallReason)
		if err != nil {
			return nil, err
		}
		if left {
			gone = append(gone, message.Fold(row.Recipient))
			continue
		}
		if row.Retell = retell; retell {
			if err := w.d.deliveries.Put(w.tx, row); err != nil {
				return nil, err
			}
		}
	}
	return gone, nil
}

// retell owes customers a message once more, as far as they take part still.
func (w *work) retell(id string, folded []string) error {
	if len(folded) == 0 {
		return nil
	}
	m, err := w.d.messageByID(w.tx, id)
	if err != nil || m == nil || m.Visibility != "public" {
		return err
	}
	t, err := w.ticket(m.Ticket)
	if err != nil || t == nil {
		return err
	}
	audience := slices.DeleteFunc(w.d.audience(t, eventPublic), func(r Recipient) bool {
		return r.Agent != "" || !slices.Contains(folded, message.Fold(r.Address))
	})
	_, err = w.notice(t, Notice{Event: eventPublic, Message: m.ID, Actor: Actor{Kind: "system"}, NoAck: true, Audience: audience})
	return err
}

// recallBacklogs takes back the backlogs that hold a message.
func (w *work) recallBacklogs(m *Message) error {
	var rows []*Sent
	for row, err := range w.d.sent.Scan(w.tx, store.Query{Prefix: ticketKey(m.Ticket)}) {
		if err != nil {
			return err
		}
		if row.Backlog != "" && row.Upto >= m.Seq && row.Except != m.ID && waits(row.State) && row.Parcel != "" && w.d.writer(row.Backlog) == nil {
			rows = append(rows, row)
		}
	}
	for _, row := range rows {
		left, err := w.d.recall.Recall(w.tx, row.Parcel, recallReason)
		if err == nil && left {
			err = w.oweAgain(row)
		} else if err == nil {
			row.Retell = true
			err = w.d.sent.Put(w.tx, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oweAgain owes a CC, if he still is one, the backlog that he did not get.
func (w *work) oweAgain(s *Sent) error {
	t, err := w.ticket(s.Ticket)
	if err != nil || t == nil {
		return err
	}
	i := slices.IndexFunc(t.CCs, func(p Person) bool { return message.Fold(p.Address) == s.Backlog })
	if i < 0 {
		return nil
	}
	_, err = w.notice(t, Notice{
		Event: EventBacklog, Except: s.Except, Actor: Actor{Kind: "system"}, NoAck: true, Upto: s.Upto,
		Audience: []Recipient{{Role: "cc", Address: t.CCs[i].Address, Name: t.CCs[i].Name}},
	})
	return err
}

// stateOwed is the state of a backlog that no mail was written for: not yet, or
// because it would have said nothing.
const stateOwed = "owed"

// mayHaveGot reports whether a mail in some state may be with its reader, and
// how that is said: what is internal and has not left the queue is on its way
// just now.
func (d *Desk) mayHaveGot(state string, unsure bool, m *Message) (string, bool) {
	switch {
	case state == stateOwed || state == "cancelled" && !unsure:
		return "", false
	case waits(state) && m.Visibility == "internal" && d.recall != nil:
		return "active", true
	}
	return state, true
}

// StillPublic reports whether all of some messages of a ticket are public, and
// keeps them so until tx ends. Notify asks it before it hands over what it wrote
// from them.
func (d *Desk) StillPublic(tx store.Tx, ticket uint64, ids []string) (bool, error) {
	if err := d.tickets.Lock(tx, ticketKey(ticket)); err != nil {
		return false, err
	}
	for _, id := range ids {
		m, err := d.messageByID(tx, id)
		if err != nil || m == nil || m.Visibility != "public" {
			return false, err
		}
	}
	return true, nil
}
