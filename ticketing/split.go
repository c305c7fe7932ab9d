package ticketing

import (
	"context"
	"slices"

	"ticketgate/ticketing/message"
)

// splitRecord is the journal's data about a split.
type splitRecord struct {
	Message string `json:"message"`
	From    uint64 `json:"from"`
	Into    uint64 `json:"into"`
}

// Split opens a ticket with a copy of a message that came by mail. The
// message's author becomes its requester; both tickets are linked. The message
// stays where it was, and the old ticket's tokens keep leading to the old
// ticket. The author is acknowledged as for any new ticket. Splitting a message
// twice returns the ticket that is there already, and its first message.
//
// A third party's message that nobody decided about is decided by that: its
// author takes no part in the old ticket.
//
// Unknown if the message is not one of this ticket, Invalid if it was not
// written by somebody outside.
func (d *Desk) Split(ctx context.Context, by Actor, ticket uint64, messageID string) (*Ticket, *Message, error) {
	drawn, err := d.newSeeds()
	if err != nil {
		return nil, nil, err
	}
	var out *ticketRow
	var first *Message
	err = d.update(ctx, func(w *work) error {
		s := drawn
		t, m, err := w.messageOf(by, ticket, messageID)
		if err != nil {
			return err
		}
		out, first, err = w.split(by, t, m, &s)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return &out.Ticket, first, nil
}

// split is Split's transaction for a ticket and a message in hand.
func (w *work) split(by Actor, t *ticketRow, m *Message, s *seeds) (*ticketRow, *Message, error) {
	if m.SplitInto != 0 {
		row, err := w.follow(m.SplitInto)
		if err != nil || row == nil {
			return nil, nil, err
		}
		first, err := w.d.messages.Find(w.tx, messageKey(m.SplitInto, 1))
		return row, first, err
	}
	if !w.d.splittable(m) {
		return nil, nil, &Error{Kind: Invalid, Text: "only a message that somebody outside wrote can become a ticket of its own"}
	}
	q := w.d.queues[t.Queue]
	if q == nil {
		return nil, nil, &Error{Kind: Refused, Text: "the ticket's queue is not configured any more"}
	}
	row, err := w.newTicket(q, ticketSubject(m.Subject, q))
	if err != nil {
		return nil, nil, err
	}
	w.tally.created = append(w.tally.created, labels2{row.Queue, "split"})
	author := message.Address{Name: m.Author.Name, Addr: m.Author.Address}
	row.Requester = person(author)
	known, err := w.contact(author, mentioned)
	if err != nil {
		return nil, nil, err
	}
	c, err := w.copyOf(m, s)
	if err != nil {
		return nil, nil, err
	}
	if err := w.tellSplit(by, row, c, known); err != nil {
		return nil, nil, err
	}
	if err := w.addMessage(row, c); err != nil {
		return nil, nil, err
	}
	m.SplitInto = row.Number
	if slices.Contains(m.Flags, flagThirdParty) && !slices.ContainsFunc(m.Flags, settledThirdParty) {
		w.decided(t, m, flagSplitOff)
	}
	if err := w.d.messages.Put(w.tx, m); err != nil {
		return nil, nil, err
	}
	w.touch(t)
	if _, err := w.d.Keyring().ParseMessageID(m.MessageID); err != nil && m.MessageID != "" {
		if err := w.referTo(q.Name, m.MessageID, row.Number, true); err != nil {
			return nil, nil, err
		}
	}
	return row, c, w.recordSplit(by, t, row, m)
}

// splittable reports whether a message was written by a person outside, who can
// be named.
func (d *Desk) splittable(m *Message) bool {
	folded := message.Fold(m.Author.Address)
	return m.Direction == "in" && (m.Kind == "customer" || m.Kind == "third_party") && m.Author.Agent == "" &&
		folded != "" && d.own(folded) == nil && d.writer(folded) == nil && !slices.Contains(m.Flags, "doubtful_from")
}

// copyOf is a message as the first one of another ticket. What answered
// internal text may quote it, and stays internal; so does what somebody made
// internal, also in a copy of the copy.
func (w *work) copyOf(m *Message, s *seeds) (*Message, error) {
	id, err := s.id("msg_", w.now)
	if err != nil {
		return nil, err
	}
	c := *m
	c.ID, c.SplitFrom, c.SplitInto, c.Mail, c.MatchedBy = id, m.ID, 0, 0, "none"
	c.Kind, c.Visibility, c.Author.Role = "customer", "public", "requester"
	if slices.Contains(m.Flags, "answers_internal") || slices.Contains(m.Flags, flagMadeInternal) {
		c.Visibility = "internal"
	}
	c.Flags = slices.DeleteFunc(slices.Clone(m.Flags), func(f string) bool {
		return slices.Contains([]string{flagThirdParty, flagRefused, flagAccepted, "cc_wrote_to_us_only", "two_tokens"}, f)
	})
	return &c, nil
}

// tellSplit owes what a new ticket owes; who split it off knows already.
func (w *work) tellSplit(by Actor, t *ticketRow, m *Message, known bool) error {
	event := eventCreated
	if m.Visibility == "internal" {
		event = eventInternal
	}
	audience := slices.DeleteFunc(w.d.audience(t, event), func(r Recipient) bool { return r.Agent != "" && r.Agent == by.Agent })
	class := m.Automatic.Class
	if class == "none" {
		class = ""
	}
	mail, err := w.notice(t, Notice{
		Event: eventCreated, Message: m.ID, Actor: Actor{Kind: "contact", Address: m.Author.Address, Name: m.Author.Name},
		Automatic: class, Trust: m.Auth.Trust, KnownContact: known, NoAck: class != "", Audience: audience,
	})
	m.Mail = mail
	return err
}

func (w *work) recordSplit(by Actor, from, into *ticketRow, m *Message) error {
	r := splitRecord{Message: m.ID, From: from.Number, Into: into.Number}
	w.link(from, into, "related", true)
	if err := w.record(from, "ticket.split", by, r); err != nil {
		return err
	}
	return w.record(into, "ticket.created", by, r)
}
