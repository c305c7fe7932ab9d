package ticketing

import (
	"context"
	"slices"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// maxBack is how many messages of a ticket Thread looks at.
const maxBack = 50

// Thread returns what a mail about the ticket to this person should refer to:
// In-Reply-To (his last mail in the thread, ours or his own) and References
// (root and the last ten). Who has only mails of a ticket that was merged into
// this one goes on from there.
func (d *Desk) Thread(ctx context.Context, ticket uint64, person string) (inReplyTo string, references []string, err error) {
	var root string
	var list []threaded
	err = d.db.View(ctx, func(r store.Reader) error {
		root, list = "", nil
		t, err := d.tickets.Find(r, ticketKey(ticket))
		if err != nil {
			return err
		}
		if t == nil {
			return unknownTicket()
		}
		root, list, err = d.threadOf(r, t, person)
		if err != nil || len(list) > 0 {
			return err
		}
		for _, number := range slices.Backward(t.MergedFrom) {
			from, err := d.tickets.Find(r, ticketKey(number))
			if err != nil {
				return err
			}
			if from == nil {
				continue
			}
			was, earlier, err := d.threadOf(r, from, person)
			if err != nil {
				return err
			}
			if len(earlier) > 0 || was != "" && from.concerns(message.Fold(person)) {
				root, list = was, earlier
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return "", nil, failure(err)
	}
	slices.SortStableFunc(list, func(a, b threaded) int { return a.at.Compare(b.at) })
	for _, x := range list {
		if x.id != root {
			references = append(references, x.id)
		}
	}
	references = references[max(0, len(references)-10):]
	if len(list) > 0 {
		inReplyTo = list[len(list)-1].id
	}
	if root != "" {
		references = append([]string{root}, references...)
	}
	return inReplyTo, references, nil
}

// concerns reports whether a folded address is requester or CC.
func (t *ticketRow) concerns(folded string) bool {
	return message.Fold(t.Requester.Address) == folded || t.hasCC(folded)
}

type threaded struct {
	id string
	at time.Time
}

// threadOf lists the Message-IDs a person knows: of his own mails, and of ours
// to him, which follow from the mail's number. The root is the ticket's first
// mail if he may know of it.
func (d *Desk) threadOf(r store.Reader, t *ticketRow, person string) (root string, list []threaded, err error) {
	folded := message.Fold(person)
	first, err := d.messages.Find(r, messageKey(t.Number, 1))
	if err != nil {
		return "", nil, err
	}
	if first != nil && first.Direction == "in" && first.Visibility == "public" {
		root = first.MessageID
	}
	q := store.Query{Prefix: ticketKey(t.Number), Reverse: true, Limit: maxBack}
	for m, err := range d.messages.Scan(r, q) {
		if err != nil {
			return "", nil, err
		}
		if m.Direction == "in" && m.MessageID != "" && message.Fold(m.Author.Address) == folded {
			list = append(list, threaded{m.MessageID, m.ReceivedAt})
		}
		if m.Mail == 0 {
			continue
		}
		row, err := d.deliveries.Find(r, deliveryKey(m.ID, folded))
		if err != nil {
			return "", nil, err
		}
		if row != nil && row.State != "cancelled" {
			id := row.MailID
			if id == "" {
				id = d.mailID(t, m, folded)
			}
			list = append(list, threaded{id, m.ReceivedAt.Add(time.Microsecond)})
		}
	}
	slices.Reverse(list)
	return root, list, nil
}

// mailID is the Message-ID of our mail to a person that told a message, for
// deliveries that were not told it.
func (d *Desk) mailID(t *ticketRow, m *Message, folded string) string {
	role := message.RoleAgent
	switch {
	case message.Fold(t.Requester.Address) == folded:
		role = message.RoleRequester
	case t.hasCC(folded):
		role = message.RoleCC
	case slices.ContainsFunc(t.Followers, func(f Follower) bool { return message.Fold(f.Address) == folded }):
		role = message.RoleFollower
	}
	domain := ""
	if q := d.queues[t.Queue]; q != nil {
		domain = q.domain
	}
	return d.Keyring().MessageID(domain, message.Token{
		Kind: message.KindReply, Ticket: t.Number, Mail: m.Mail, Person: message.PersonHash(folded), Role: role,
		Internal: m.Visibility == "internal",
	})
}
