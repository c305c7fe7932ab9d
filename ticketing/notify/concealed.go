package notify

import (
	"errors"
	"slices"

	"ticketgate/ticketing/store"
)

// errConcealed says that what was written for customers is not all public any
// more: it is written anew.
var errConcealed = errors.New("notify: a message was made internal meanwhile")

// unconcealed checks, in the transaction that hands mails over, that customers
// may still read what they are sent. What becomes internal from then on is taken
// back from the outbound queue.
func (n *Notifier) unconcealed(tx store.Tx, a *affair, parcels []parcel) error {
	if !slices.ContainsFunc(parcels, func(p parcel) bool { return p.open }) {
		return nil
	}
	var ids []string
	if a.msg != nil {
		ids = append(ids, a.msg.ID)
	}
	if a.answer != nil {
		ids = append(ids, a.answer.id)
	}
	for _, e := range a.backlog {
		ids = append(ids, e.msg.ID)
	}
	ok, err := n.o.Desk.StillPublic(tx, a.ticket.Number, ids)
	if err == nil && !ok {
		err = errConcealed
	}
	return err
}
