package ticketing

import "ticketgate/ticketing/store"

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
