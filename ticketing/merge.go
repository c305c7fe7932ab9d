package ticketing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ticketgate/ticketing/message"
)

// merged says that a ticket lives on in another one.
func merged(t *ticketRow) error {
	return &Error{Kind: Conflict, Text: fmt.Sprintf("ticket %d was merged into ticket %d", t.Number, t.MergedInto)}
}

// Merge makes one ticket part of another and returns that other one. The
// number, the tokens and the Message-IDs of the merged ticket lead to the other
// for ever. Its requester and CCs become CCs there, its followers and its
// assignee follow there, its tasks, time entries and links move there. Its
// messages stay where they are, and it is closed.
//
// Nobody outside is told; the staff of the other ticket is. Merging what is
// merged there already changes nothing. Conflict if the ticket was merged into
// yet another one; Invalid if the two are the same.
func (d *Desk) Merge(ctx context.Context, by Actor, from, into uint64) (*Ticket, error) {
	drawn, err := d.newSeeds()
	if err != nil {
		return nil, err
	}
	var out *Ticket
	err = d.update(ctx, func(w *work) error {
		s := drawn
		if _, err := w.ticket(min(from, into)); err != nil {
			return err
		}
		a, err := w.ticket(from)
		if err != nil {
			return err
		}
		b, err := w.follow(into)
		if err != nil {
			return err
		}
		if a == nil || b == nil {
			return unknownTicket()
		}
		out = &b.Ticket
		return w.merge(by, a, b, &s)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// mergeRecord is the journal's data about a merger.
type mergeRecord struct {
	From uint64   `json:"from"`
	Into uint64   `json:"into"`
	CCs  []string `json:"cc_added,omitempty"`
	Left []string `json:"cc_refused,omitempty"` // there was no room for them, or they may not be CC
}

func (w *work) merge(by Actor, from, into *ticketRow, s *seeds) error {
	if err := w.d.may(by, from); err != nil {
		return err
	}
	if err := w.d.may(by, into); err != nil {
		return err
	}
	switch {
	case from.MergedInto == into.Number:
		return nil
	case from.MergedInto != 0:
		return merged(from)
	case from == into:
		return &Error{Kind: Invalid, Text: "a ticket cannot be merged into itself"}
	case len(into.MergedFrom)+len(from.MergedFrom)+1 > maxMerged:
		return &Error{Kind: Refused, Text: "too many tickets were merged into that one"}
	}
	r := mergeRecord{From: from.Number, Into: into.Number}
	if err := w.unite(by, from, into, &r); err != nil {
		return err
	}
	if err := w.redirect(from, into); err != nil {
		return err
	}
	if err := w.moveWork(from, into); err != nil {
		return err
	}
	if from.Pending > 0 { // questions about third parties go along
		into.Pending += from.Pending
		w.flag(into, flagPending)
		from.Pending, from.Flags = 0, slices.DeleteFunc(slices.Clone(from.Flags), func(f string) bool { return f == flagPending })
	}
	w.setStatus(from, "closed")
	from.SnoozedUntil, from.DueAt = time.Time{}, time.Time{}
	w.touch(from)
	w.touch(into)
	if err := w.record(from, "ticket.merged", by, r); err != nil {
		return err
	}
	if err := w.record(into, "ticket.merged", by, r); err != nil {
		return err
	}
	who := from.Requester.Address
	if who == "" {
		who = "nobody"
	}
	_, err := w.event(by, into, fmt.Sprintf("Ticket #%d, %q of %s, was merged into this ticket.", from.Number, from.Subject, who), s)
	return err
}

// unite makes everybody who takes part in one ticket take part in the other.
func (w *work) unite(by Actor, from, into *ticketRow, r *mergeRecord) error {
	people := append([]Person{from.Requester}, from.CCs...)
	for i, p := range people {
		if p.Address == "" || w.d.own(message.Fold(p.Address)) != nil {
			continue
		}
		if i == 0 && into.Requester.Address == "" {
			into.Requester = p
			into.CCs = slices.DeleteFunc(slices.Clone(into.CCs), func(c Person) bool { return message.Fold(c.Address) == message.Fold(p.Address) })
			continue
		}
		had := len(into.CCs)
		_, err := w.join(by, into, message.Address{Name: p.Name, Addr: p.Address})
		switch {
		case err != nil && KindOf(err) != Refused:
			return err
		case err != nil:
			r.Left = append(r.Left, message.Fold(p.Address))
		case len(into.CCs) > had:
			r.CCs = append(r.CCs, message.Fold(p.Address))
		}
	}
	for _, f := range from.Followers {
		if a := w.d.agents[f.Agent]; a != nil {
			w.makeFollower(into, a)
		}
	}
	if a := w.d.agents[from.Assignee]; a != nil && from.Assignee != into.Assignee {
		if q := w.d.queues[into.Queue]; into.Assignee == "" && q != nil && q.serves[a.Name] {
			into.Assignee = a.Name
		} else {
			w.makeFollower(into, a)
		}
	}
	return nil
}

// redirect makes the merged ticket, and whatever was merged into it before,
// lead to the other one in one step.
func (w *work) redirect(from, into *ticketRow) error {
	for _, number := range from.MergedFrom {
		t, err := w.ticket(number)
		if err != nil {
			return err
		}
		if t != nil && t.MergedInto == from.Number {
			t.MergedInto = into.Number
			w.touch(t)
		}
	}
	into.MergedFrom = append(append(slices.Clone(into.MergedFrom), from.MergedFrom...), from.Number)
	from.MergedInto, from.MergedFrom = into.Number, nil
	// A mail to a queue that only the merged ticket was served in must go on
	// finding it.
	for _, q := range append(slices.Clone(from.Queues), from.Queue) {
		if q != into.Queue && !slices.Contains(into.Queues, q) {
			into.Queues = append(slices.Clone(into.Queues), q)
		}
	}
	into.Queues = into.Queues[max(0, len(into.Queues)-maxQueues):]
	for _, l := range from.Links {
		if l.Number != into.Number {
			w.linkOne(into, l.Number, l.Kind)
		}
	}
	into.Links = slices.DeleteFunc(slices.Clone(into.Links), func(l Link) bool { return l.Number == from.Number })
	return nil
}
