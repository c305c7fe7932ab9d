package ticketing

import (
	"context"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// maxCreate is how often a new ticket is composed, because another one took its
// number meanwhile. The last time its number is taken beforehand: where much
// mail arrives, nobody would ever be fast enough.
const maxCreate = 4

// Create opens a ticket on behalf of an actor, with its first message. A public
// message is mailed to requester and CCs; there is no acknowledgement.
func (d *Desk) Create(ctx context.Context, by Actor, n NewTicket) (*Ticket, *Message, error) {
	if n.LinkedTo != 0 {
		other, err := d.linkable(ctx, by, n.LinkedTo)
		if err != nil {
			return nil, nil, failure(err)
		}
		n.LinkedTo, n.linkedRequester = other.Number, other.Requester
	} else if n.CopyRequester {
		return nil, nil, &Error{Kind: Invalid, Text: "there is no linked ticket to take the requester from"}
	}
	t, err := d.draftTicket(by, n)
	if err != nil {
		return nil, nil, failure(err)
	}
	p, err := d.prepare(ctx, by, n.Message)
	if err != nil {
		return nil, nil, failure(err)
	}
	for try := range maxCreate {
		number, now, err := d.nextNumber(ctx, try == maxCreate-1)
		if err != nil {
			return nil, nil, failure(err)
		}
		row, m, err := d.tryCreate(ctx, by, *t, p, n.LinkedTo, number, now)
		if isMoved(err) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		return &row.Ticket, m, nil
	}
	return nil, nil, &Error{Kind: Busy, Text: "tickets are being changed all the time; try again"}
}

// draftTicket checks what is asked for.
func (d *Desk) draftTicket(by Actor, n NewTicket) (*ticketRow, error) {
	invalid := func(text string) error { return &Error{Kind: Invalid, Text: text} }
	q := d.queues[n.Queue]
	if q == nil {
		return nil, invalid("there is no such queue")
	}
	t := &ticketRow{Ticket: Ticket{Queue: q.Name, Status: "new", Priority: "normal"}}
	if err := d.permit(by, t, rightNote); err != nil {
		return nil, err
	}
	var requester message.Address
	if n.CopyRequester {
		t.Requester = n.linkedRequester
		requester = message.Address{Name: t.Requester.Name, Addr: t.Requester.Address}
	} else {
		var err error
		if requester, err = d.outsider(n.Requester); err != nil {
			return nil, err
		}
		t.Requester = person(requester)
	}
	var err error
	if t.Subject = ticketSubject(clip(n.Subject, maxSubject), q); strings.TrimSpace(n.Subject) == "" {
		return nil, invalid("the ticket needs a subject")
	}
	for _, cc := range n.CCs {
		if cc, err = d.outsider(cc); err != nil {
			return nil, err
		}
		folded := message.Fold(cc.Addr)
		switch {
		case folded == message.Fold(requester.Addr) || t.hasCC(folded):
			continue
		case q.forbidden(folded):
			return nil, &Error{Kind: Refused, Text: cc.Addr + " may not be CC in this queue"}
		case len(t.CCs) >= q.CC.Max:
			return nil, &Error{Kind: Refused, Text: "there are too many CCs"}
		}
		if a := d.writer(folded); a != nil {
			t.Followers = append(t.Followers, Follower{Agent: a.Name, Address: a.Addresses[0]})
			continue
		}
		t.CCs = append(t.CCs, person(cc))
	}
	c := Change{Tags: &n.Tags}
	if n.Priority != "" {
		c.Priority = &n.Priority
	}
	if n.Assignee != "" {
		c.Assignee = &n.Assignee
	}
	_, err = d.apply(t, c)
	return t, err
}

// outsider checks an address that somebody wants to make a participant.
func (d *Desk) outsider(a message.Address) (message.Address, error) {
	parsed, err := message.ParseAddress(a.Addr)
	if err != nil {
		return a, &Error{Kind: Invalid, Text: "this is no mail address: " + clip(a.Addr, 100), Err: err}
	}
	parsed.Name = a.Name
	parsed, ok := clipAddress(parsed)
	if !ok {
		return a, &Error{Kind: Invalid, Text: "this is no mail address: " + clip(a.Addr, 100)}
	}
	if d.own(message.Fold(parsed.Addr)) != nil {
		return a, &Error{Kind: Refused, Text: parsed.Addr + " is an address of this desk"}
	}
	return parsed, nil
}

// ticketNumber is the number that a new ticket will have.
type ticketNumber struct {
	n     uint64
	taken bool // it is nobody else's; otherwise somebody may be faster
}

// tryCreate composes the first message under the number that the ticket will
// probably get, and stores both if it does get it.
func (d *Desk) tryCreate(ctx context.Context, by Actor, t ticketRow, p *posting, linkTo uint64, number ticketNumber, now time.Time) (*ticketRow, *Message, error) {
	t.Number = number.n
	c, err := d.compose(ctx, by, &t, p, 2, now)
	if err != nil {
		return nil, nil, failure(err)
	}
	defer c.writer.Discard()
	var row *ticketRow
	var m *Message
	err = d.update(ctx, func(w *work) error {
		var err error
		if number.taken {
			row = w.numbered(number.n, d.queues[t.Queue], t.Subject)
		} else if row, err = w.newTicket(d.queues[t.Queue], t.Subject); err != nil {
			return err
		}
		if row.Number != number.n {
			return errMoved
		}
		w.fill(row, &t)
		if err := w.linkTo(by, row, linkTo); err != nil {
			return err
		}
		m, err = w.firstMessage(by, row, p, c)
		return err
	})
	if isMoved(err) {
		return nil, nil, errMoved
	}
	return row, m, err
}

// linkable returns the ticket that a new one is to be linked to.
func (d *Desk) linkable(ctx context.Context, by Actor, number uint64) (*ticketRow, error) {
	number, err := d.redirected(ctx, number)
	if err != nil {
		return nil, err
	}
	t, _, err := d.look(ctx, number)
	if err != nil {
		return nil, err
	}
	return t, d.may(by, t)
}

// linkTo ties a new ticket to an older one, as both show.
func (w *work) linkTo(by Actor, t *ticketRow, number uint64) error {
	if number == 0 {
		return nil
	}
	other, err := w.follow(number)
	if err != nil {
		return err
	}
	if other == nil {
		return unknownTicket()
	}
	return w.relate(by, other, t)
}

// nextNumber looks which number is next, or takes it. A number that was taken
// for a ticket that then cannot be stored is left out.
func (d *Desk) nextNumber(ctx context.Context, take bool) (number ticketNumber, now time.Time, err error) {
	if take {
		err = d.db.Update(ctx, func(tx store.Tx) error {
			n, err := tx.Count(ticketCounter(), 1)
			number, now = ticketNumber{firstTicket - 1 + n, true}, tx.Now()
			return err
		})
		return number, now, err
	}
	err = d.db.View(ctx, func(r store.Reader) error {
		n, err := r.Counter(ticketCounter())
		number, now = ticketNumber{n: firstTicket + n}, r.Now()
		return err
	})
	return number, now, err
}

// fill copies what was asked for onto a new row.
func (w *work) fill(row, from *ticketRow) {
	row.Priority, row.Tags, row.Assignee = from.Priority, slices.Clone(from.Tags), from.Assignee
	row.Requester, row.CCs, row.Followers = from.Requester, slices.Clone(from.CCs), slices.Clone(from.Followers)
}

// firstMessage tells agents of the ticket, and everybody else of the message.
func (w *work) firstMessage(by Actor, t *ticketRow, p *posting, c *composed) (*Message, error) {
	w.tally.created = append(w.tally.created, labels2{t.Queue, "api"})
	for _, person := range append([]Person{t.Requester}, t.CCs...) {
		if _, err := w.contact(message.Address{Name: person.Name, Addr: person.Address}, mentioned); err != nil {
			return nil, err
		}
	}
	for _, c := range t.CCs {
		if err := w.owe(t, by, message.Address{Name: c.Name, Addr: c.Address}, ""); err != nil {
			return nil, err
		}
	}
	var agents []Recipient
	for _, r := range w.d.audience(t, eventInternal) {
		if r.Role == "agent" || r.Role == "assignee" {
			agents = append(agents, r)
		}
	}
	id, err := p.messageID(w.now)
	if err != nil {
		return nil, err
	}
	if _, err := w.notice(t, Notice{Event: eventCreated, Message: id, Actor: by, NoAck: true, Audience: agents}); err != nil {
		return nil, err
	}
	m, err := w.post(by, t, p, c)
	if err != nil {
		return nil, err
	}
	return m, w.record(t, "ticket.created", by, ccChange{Message: m.ID, Via: by.Kind})
}
