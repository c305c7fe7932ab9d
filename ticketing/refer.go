package ticketing

import (
	"slices"

	"ticketgate/ticketing/store"
)

// refer remembers the mail's own Message-ID and those it refers to, so that
// other mails of the thread find the ticket.
func (w *work) refer(in *incoming, u *unit, t *ticketRow) error {
	if in.foreign {
		if err := w.referTo(u.queue.Name, in.id, t.Number, true); err != nil {
			return err
		}
	}
	for _, r := range referred(in.answers) {
		if err := w.referTo(u.queue.Name, r.id, t.Number, false); err != nil {
			return err
		}
	}
	return nil
}

// refKey names an id as queues know it.
type refKey struct{ queue, id string }

// reference returns what is known of an id in a queue, nil if nothing, and
// holds it: a mail's ids are looked up to thread it and written down after it.
func (w *work) reference(queue, id string) (*referenceRow, error) {
	if row, ok := w.referred[refKey{queue, id}]; ok {
		return row, nil
	}
	key := store.Key{}.Str(queue).Str(idKey(id))
	if err := w.d.references.Lock(w.tx, key); err != nil {
		return nil, err
	}
	row, err := w.d.references.Find(w.tx, key)
	if err == nil {
		w.referred[refKey{queue, id}] = row
	}
	return row, err
}

func (w *work) referTo(queue, id string, ticket uint64, seen bool) error {
	row, err := w.reference(queue, id)
	if err != nil {
		return err
	}
	if row == nil {
		row = &referenceRow{Queue: queue, ID: idKey(id)}
		w.referred[refKey{queue, id}] = row
	}
	has := slices.Contains(row.Tickets, ticket)
	if has && (row.Seen || !seen) {
		return nil
	}
	row.Seen = row.Seen || seen
	if !has {
		row.Tickets = append(row.Tickets, ticket)
		row.Tickets = row.Tickets[max(0, len(row.Tickets)-maxReferenceTickets):]
	}
	return w.d.references.Put(w.tx, row)
}
