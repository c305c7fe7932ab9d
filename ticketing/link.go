package ticketing

import (
	"context"
	"slices"
)

// linkChange is the journal's data about links.
type linkChange struct {
	Linked   uint64 `json:"linked,omitempty"`
	Unlinked uint64 `json:"unlinked,omitempty"`
}

// Link ties two tickets as related; each shows the other. Whoever links must be
// allowed to change both. Linking what is linked already, in whatever way,
// changes nothing.
func (d *Desk) Link(ctx context.Context, by Actor, ticket, other uint64) (*Ticket, error) {
	return d.both(ctx, by, ticket, other, func(w *work, a, b *ticketRow) error { return w.relate(by, a, b) })
}

// Unlink ends a tie of any kind on both sides: see Link.
func (d *Desk) Unlink(ctx context.Context, by Actor, ticket, other uint64) (*Ticket, error) {
	return d.both(ctx, by, ticket, other, func(w *work, a, b *ticketRow) error {
		gone := w.unlink(a, b)
		if w.unlink(b, a) {
			gone = true
			if err := w.record(b, "ticket.updated", by, linkChange{Unlinked: a.Number}); err != nil {
				return err
			}
		}
		if !gone {
			return nil
		}
		return w.record(a, "ticket.updated", by, linkChange{Unlinked: b.Number})
	})
}

// both runs a change of two tickets that the actor may change. Numbers of
// merged tickets stand for those they were merged into.
func (d *Desk) both(ctx context.Context, by Actor, ticket, other uint64, change func(w *work, a, b *ticketRow) error) (*Ticket, error) {
	var out *Ticket
	err := d.update(ctx, func(w *work) error {
		if _, err := w.ticket(min(ticket, other)); err != nil {
			return err
		}
		a, err := w.follow(ticket)
		if err != nil {
			return err
		}
		b, err := w.follow(other)
		if err != nil {
			return err
		}
		if a == nil || b == nil {
			return unknownTicket()
		}
		for _, t := range []*ticketRow{a, b} {
			if err := d.may(by, t); err != nil {
				return err
			}
		}
		if a == b {
			return &Error{Kind: Invalid, Text: "a ticket cannot be linked to itself"}
		}
		out = &a.Ticket
		return change(w, a, b)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func linkedTo(t *ticketRow, numbers ...uint64) bool {
	return slices.ContainsFunc(t.Links, func(l Link) bool { return slices.Contains(numbers, l.Number) })
}

// relate ties two tickets and notes it in both.
func (w *work) relate(by Actor, a, b *ticketRow) error {
	switch {
	case linkedTo(a, b.Number) && linkedTo(b, a.Number):
		return nil
	case !linkedTo(a, b.Number) && len(a.Links) >= maxLinks || !linkedTo(b, a.Number) && len(b.Links) >= maxLinks:
		return &Error{Kind: Refused, Text: "the ticket has all the links it may have"}
	}
	w.link(a, b, "related", true)
	if err := w.record(a, "ticket.updated", by, linkChange{Linked: b.Number}); err != nil {
		return err
	}
	return w.record(b, "ticket.updated", by, linkChange{Linked: a.Number})
}

// unlink removes a's links to b, by whatever number it was linked under.
func (w *work) unlink(a, b *ticketRow) bool {
	numbers := append(slices.Clone(b.MergedFrom), b.Number)
	if !linkedTo(a, numbers...) {
		return false
	}
	a.Links = slices.DeleteFunc(slices.Clone(a.Links), func(l Link) bool { return slices.Contains(numbers, l.Number) })
	w.touch(a)
	return true
}
