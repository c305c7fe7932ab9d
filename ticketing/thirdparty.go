package ticketing

import (
	"context"
	"slices"

	"ticketgate/ticketing/message"
)

// Flags around third parties.
const (
	flagThirdParty = "third_party"         // of a message: its author had no part in the ticket
	flagPending    = "third_party_pending" // of a ticket: somebody has to decide about such a message
	flagAccepted   = "accepted"            // of a message: its author was accepted
	flagRefused    = "refused"             // of a message: its author was refused
	flagSplitOff   = "split_off"           // of a message: it became a ticket of its own
)

// decision is what the journal says of one about a third party.
type decision struct {
	Message string   `json:"message"`
	Author  string   `json:"author"`
	Added   []string `json:"cc_added,omitempty"`
	Via     string   `json:"via"`
}

// AcceptParticipant lets a third party in: its message becomes public and is
// mailed to requester and CCs, its author becomes a CC and gets one mail with
// the public messages so far. Accepting what is accepted changes nothing.
// Light agents may not, and nobody becomes CC whom the queue forbids.
func (d *Desk) AcceptParticipant(ctx context.Context, by Actor, ticket uint64, id string) (*Ticket, error) {
	return d.decide(ctx, by, ticket, id, func(w *work, t *ticketRow, m *Message) error {
		if slices.Contains(m.Flags, flagAccepted) {
			return nil
		}
		a, err := d.outsider(message.Address{Name: m.Author.Name, Addr: m.Author.Address})
		if err != nil {
			return err
		}
		added, err := w.admit(t, a)
		if err != nil {
			return err
		}
		w.decided(t, m, flagAccepted)
		m.Kind, m.Visibility = "customer", "public"
		if message.Fold(t.Requester.Address) == message.Fold(a.Addr) {
			m.Author.Role = "requester"
		} else {
			m.Author.Role = "cc"
		}
		audience := slices.DeleteFunc(d.audience(t, eventPublic), func(r Recipient) bool {
			return r.Agent != "" || message.Fold(r.Address) == message.Fold(a.Addr)
		})
		m.Mail, err = w.notice(t, Notice{Event: eventPublic, Message: m.ID, Actor: by, NoAck: true, Audience: audience})
		if err != nil {
			return err
		}
		if len(added) > 0 {
			if err := w.owe(t, by, a, m.ID); err != nil {
				return err
			}
		}
		if err := d.messages.Put(w.tx, m); err != nil {
			return err
		}
		return w.record(t, "participant.accepted", by, decision{Message: m.ID, Author: a.Addr, Added: added, Via: by.Kind})
	})
}

// RefuseParticipant ends the question about a third party: its message stays
// as it is, internal. Refusing what is refused changes nothing; what has been
// accepted cannot be refused any more.
func (d *Desk) RefuseParticipant(ctx context.Context, by Actor, ticket uint64, id string) (*Ticket, error) {
	return d.decide(ctx, by, ticket, id, func(w *work, t *ticketRow, m *Message) error {
		switch {
		case slices.Contains(m.Flags, flagAccepted):
			return &Error{Kind: Conflict, Text: "the author has been accepted already"}
		case slices.Contains(m.Flags, flagRefused):
			return nil
		}
		w.decided(t, m, flagRefused)
		if err := d.messages.Put(w.tx, m); err != nil {
			return err
		}
		return w.record(t, "participant.refused", by, decision{Message: m.ID, Author: m.Author.Address, Via: by.Kind})
	})
}

// DetailStaffToken is the detail of a third_party notice whose mail answers one
// that we sent to staff: most likely an agent writes from an address that we do
// not know.
const DetailStaffToken = "staff_token"

// staffHeld reports whether a mail answers one that went to staff.
func (p *place) staffHeld() bool {
	return slices.ContainsFunc(p.answers, func(k message.Token) bool { return k.Role == message.RoleAgent || k.Role == message.RoleFollower })
}

// decide runs a decision about a third party's message.
func (d *Desk) decide(ctx context.Context, by Actor, ticket uint64, id string, do func(*work, *ticketRow, *Message) error) (*Ticket, error) {
	if err := d.full(by, "decide about third parties"); err != nil {
		return nil, err
	}
	var out *Ticket
	err := d.update(ctx, func(w *work) error {
		t, m, err := w.messageOf(by, ticket, id)
		if err != nil {
			return err
		}
		if !slices.Contains(m.Flags, flagThirdParty) {
			return &Error{Kind: Conflict, Text: "this is no message of a third party"}
		}
		out = &t.Ticket
		return do(w, t, m)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// full refuses light agents.
func (d *Desk) full(by Actor, what string) error {
	if a := d.agents[by.Agent]; a != nil && a.Light {
		return &Error{Kind: Denied, Text: "light agents cannot " + what}
	}
	return nil
}

// messageOf returns a message and the ticket it is on today; ticket is the
// number it was asked for under, 0 if under none.
func (w *work) messageOf(by Actor, ticket uint64, id string) (*ticketRow, *Message, error) {
	unknown := &Error{Kind: Unknown, Text: "there is no such message"}
	m, err := w.d.messageByID(w.tx, id)
	if err != nil {
		return nil, nil, err
	}
	if m == nil {
		return nil, nil, unknown
	}
	t, err := w.follow(m.Ticket)
	if err != nil {
		return nil, nil, err
	}
	if t == nil {
		return nil, nil, unknown
	}
	if ticket != 0 {
		asked, err := w.follow(ticket)
		if err != nil {
			return nil, nil, err
		}
		if asked == nil {
			return nil, nil, unknownTicket()
		}
		if asked != t {
			return nil, nil, unknown
		}
	}
	if err := w.d.may(by, t); err != nil {
		return nil, nil, err
	}
	// Read again under the ticket's lock.
	if m, err = w.d.messages.Find(w.tx, messageKey(m.Ticket, m.Seq)); err != nil || m == nil {
		return nil, nil, errOr(err, unknown)
	}
	return t, m, nil
}

func errOr(err error, otherwise *Error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// ask notes that somebody has to decide about a third party's message.
func (w *work) ask(t *ticketRow) {
	t.Pending++
	w.flag(t, flagPending)
	w.touch(t)
}

// decided flags a third party's message with what was decided about it, and
// takes the ticket's flag away after the last open question.
func (w *work) decided(t *ticketRow, m *Message, flag string) {
	open := !slices.ContainsFunc(m.Flags, settledThirdParty)
	m.Flags = append(slices.DeleteFunc(m.Flags, settledThirdParty), flag)
	w.touch(t)
	if open && t.Pending > 0 {
		t.Pending--
	}
	if t.Pending == 0 {
		t.Flags = slices.DeleteFunc(slices.Clone(t.Flags), func(f string) bool { return f == flagPending })
	}
}

func settledThirdParty(flag string) bool {
	return flag == flagAccepted || flag == flagRefused || flag == flagSplitOff
}

// admit makes an address a CC on somebody's word and says whom it added:
// nobody, if he takes part already.
func (w *work) admit(t *ticketRow, a message.Address) ([]string, error) {
	folded := message.Fold(a.Addr)
	q := w.d.queues[t.Queue]
	switch {
	case folded == message.Fold(t.Requester.Address) || t.hasCC(folded):
		return nil, nil
	case w.d.writer(folded) != nil && (q == nil || !q.CC.StaffAsCC):
		return nil, &Error{Kind: Refused, Text: a.Addr + " belongs to an agent; staff follow a ticket and are no CC"}
	case q == nil || q.forbidden(folded):
		return nil, &Error{Kind: Refused, Text: a.Addr + " may not be CC in this queue"}
	case len(t.CCs) >= q.CC.Max:
		return nil, &Error{Kind: Refused, Text: "the ticket has all the CCs it may have"}
	}
	if _, err := w.contact(a, mentioned); err != nil {
		return nil, err
	}
	w.addCC(t, a)
	return []string{folded}, nil
}
