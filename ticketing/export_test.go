package ticketing

import (
	"strings"

	"ticketgate/ticketing/store"
)

// Merge redirects a ticket to another one, as merging will.
func Merge(d *Desk, tx store.Tx, from, into uint64) error {
	w := d.begin(tx)
	t, err := w.ticket(from)
	if err != nil {
		return err
	}
	t.MergedInto = into
	w.touch(t)
	return w.finish()
}

// Exported for tests of pure parts.
var (
	TicketSubject = ticketSubject
	Robot         = robot
)

// NeverMatches tests one entry of a list of addresses that are never CC.
func NeverMatches(pattern, folded string) (bool, error) {
	n, err := newNever(pattern)
	return n.matches(folded), err
}

// QueueNamed makes the queue that TicketSubject wants.
func QueueNamed(name, display string) *queue {
	return &queue{Queue: Queue{Name: name, DisplayName: display}}
}

// Damage is something that must never happen to a store.
type Damage int

// Kinds of damage to a ticket with one received message.
const (
	DropTicket Damage = iota
	DropMessage
	DropReceipt
	Miscount
	EmptyReceipt
	LoseBytes
	OtherTicket
)

// Spoil does damage.
func Spoil(d *Desk, tx store.Tx, ticket uint64, what Damage) error {
	t, err := d.tickets.Get(tx, ticketKey(ticket))
	if err != nil {
		return err
	}
	m, err := d.messages.Get(tx, messageKey(ticket, 1))
	if err != nil {
		return err
	}
	r, err := d.receipts.Get(tx, store.Key{}.Str(m.Receipt).Uint(0))
	if err != nil {
		return err
	}
	switch what {
	case DropTicket:
		return d.tickets.Delete(tx, ticketKey(ticket))
	case DropMessage:
		return d.messages.Delete(tx, messageKey(ticket, 1))
	case DropReceipt:
		return d.receipts.Delete(tx, store.Key{}.Str(m.Receipt).Uint(0))
	case Miscount:
		t.MessageCount++
		return d.tickets.Put(tx, t)
	case EmptyReceipt:
		r.Outcomes = nil
		return d.receipts.Put(tx, r)
	case LoseBytes:
		r.Raw.SHA256 = strings.Repeat("0", len(r.Raw.SHA256))
		return d.receipts.Put(tx, r)
	default:
		r.Outcomes[0].Ticket++
		return d.receipts.Put(tx, r)
	}
}

// Kinds of damage to held mail.
const (
	DropHeld Damage = iota + 100
	DropHeldReceipt
	MisplaceHeld
)

// SpoilHeld does damage to a held mail.
func SpoilHeld(d *Desk, tx store.Tx, id string, what Damage) error {
	h, err := d.held.Get(tx, heldKey(id))
	if err != nil {
		return err
	}
	switch what {
	case DropHeld:
		return d.held.Delete(tx, heldKey(id))
	case DropHeldReceipt:
		return d.receipts.Delete(tx, store.Key{}.Str(h.Receipt).Uint(0))
	default:
		h.Message = "msg_elsewhere"
		return d.held.Put(tx, h)
	}
}
