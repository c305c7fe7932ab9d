package ticketing

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/store"
)

// HeldFilter selects held mail; empty fields match all, but for State, which is
// "held" then: what still waits for somebody.
type HeldFilter struct {
	Queue, Reason, State string
	Limit                int    // ≤ 100, default 50
	Cursor               string // opaque
}

func unknownHeld() error { return &Error{Kind: Unknown, Text: "there is no such held mail"} }

// Held lists held mail, newest first, and returns the cursor of the next page,
// "" at the end.
func (d *Desk) Held(ctx context.Context, f HeldFilter) ([]*Held, string, error) {
	if f.State == "" {
		f.State = heldWaiting
	}
	if !slices.Contains(heldStates, f.State) {
		return nil, "", &Error{Kind: Invalid, Text: "state is none of " + strings.Join(heldStates, ", ")}
	}
	if f.Reason != "" && !slices.Contains(heldReasons, f.Reason) {
		return nil, "", &Error{Kind: Invalid, Text: "reason is none of " + strings.Join(heldReasons, ", ")}
	}
	q := store.Query{Index: byFilter, Prefix: heldPrefix(f.Queue, f.Reason, f.State), Reverse: true, Limit: pageSize(f.Limit)}
	if f.Cursor != "" {
		after, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		if err != nil || !strings.HasPrefix(string(after), string(q.Prefix)) {
			return nil, "", &Error{Kind: Invalid, Text: "the cursor is not one of this list"}
		}
		q.After = after
	}
	var out []*Held
	var next store.Key
	err := d.db.View(ctx, func(r store.Reader) error {
		out = nil
		page, n, err := d.held.Page(r, q)
		for _, row := range page {
			out = append(out, &row.Held)
		}
		next = n
		return err
	})
	if err != nil {
		return nil, "", failure(err)
	}
	if next == nil {
		return out, "", nil
	}
	return out, base64.RawURLEncoding.EncodeToString(next), nil
}

// HeldItem returns one held mail, settled or not.
func (d *Desk) HeldItem(ctx context.Context, id string) (*Held, error) {
	row, err := d.lookHeld(ctx, id)
	if err != nil {
		return nil, failure(err)
	}
	return &row.Held, nil
}

// HeldRaw opens the exact bytes of a held mail.
func (d *Desk) HeldRaw(ctx context.Context, h *Held) (*blob.Reader, error) {
	r, err := d.blobs.Open(ctx, h.Raw.SHA256)
	if errors.Is(err, store.ErrNotFound) {
		return nil, failure(fmt.Errorf("held mail %s has lost its bytes: %w", h.ID, err))
	}
	return r, failure(err)
}

func (d *Desk) lookHeld(ctx context.Context, id string) (row *heldRow, err error) {
	err = d.db.View(ctx, func(r store.Reader) (err error) {
		row, err = d.held.Find(r, heldKey(id))
		return err
	})
	if err == nil && row == nil {
		err = unknownHeld()
	}
	return row, err
}

// Release files a held mail as if it had been taken now, with the time and the
// trust it arrived with: it opens a ticket or finds its own. Once only:
// releasing what is released changes nothing, and what is on a ticket already
// is refused with Conflict. A discarded mail can be released until it expires.
// For full agents of the mail's queue, integrations and the system; so are
// Attach and Discard.
func (d *Desk) Release(ctx context.Context, by Actor, id string) (*Held, error) {
	return d.settleHeld(ctx, by, id, heldReleased, func(w *work, h *heldRow, in *incoming, past []*arrivalRow, a *arrivalRow) error {
		return w.file(in, in.units[0], h.Receipt, past, a)
	})
}

// Attach puts a held mail on a ticket, internally and as a third party's. The
// actor must be allowed to act on that ticket too. Once only, as with Release:
// attaching to the same ticket again changes nothing.
func (d *Desk) Attach(ctx context.Context, by Actor, id string, ticket uint64) (*Held, error) {
	h, err := d.settleHeld(ctx, by, id, heldAttached, func(w *work, h *heldRow, in *incoming, _ []*arrivalRow, a *arrivalRow) error {
		t, err := w.follow(ticket)
		if err != nil {
			return err
		}
		if t == nil {
			return unknownTicket()
		}
		if err := w.d.may(by, t); err != nil {
			return err
		}
		return w.attach(by, t, h, in, a)
	})
	if err == nil && h.Ticket != ticket {
		// Settled before: on this ticket under an older number, or on another.
		t, err := d.redirected(ctx, ticket)
		if err != nil {
			return nil, failure(err)
		}
		if t != h.Ticket {
			return nil, &Error{Kind: Conflict, Text: fmt.Sprintf("the mail is attached to ticket %d already", h.Ticket)}
		}
	}
	return h, err
}

// redirected is the number a ticket has today.
func (d *Desk) redirected(ctx context.Context, number uint64) (uint64, error) {
	for range maxRedirects {
		t, _, err := d.look(ctx, number)
		if err != nil || t.MergedInto == 0 {
			return number, err
		}
		number = t.MergedInto
	}
	return number, nil
}

// Discard says that a held mail is of no use. It is gone when it expires; until
// then it can be looked at and even released.
func (d *Desk) Discard(ctx context.Context, by Actor, id string) (*Held, error) {
	row, err := d.lookHeld(ctx, id)
	if err != nil {
		return nil, failure(err)
	}
	if err := d.mayHeld(by, row.Queue); err != nil {
		return nil, err
	}
	var out *Held
	err = d.update(ctx, func(w *work) error {
		h, done, err := w.claimHeld(id, heldDiscarded)
		if err != nil {
			return err
		}
		if out = &h.Held; done {
			return nil
		}
		return w.settled(by, h, heldDiscarded)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// mayHeld reports whether an actor may settle held mail of a queue. Light
// agents may not: a released mail may be answered to its author.
func (d *Desk) mayHeld(by Actor, queue string) error {
	if (by.Kind == "system" || by.Kind == "token") && by.Agent == "" {
		return nil
	}
	q, a := d.queues[queue], d.agents[by.Agent]
	switch {
	case by.Kind != "agent" && by.Kind != "system" && by.Kind != "token" || a == nil:
		return &Error{Kind: Denied, Text: "this is for agents"}
	case q == nil || !q.serves[by.Agent]:
		return &Error{Kind: Denied, Text: "the mail is held for a queue you do not serve"}
	case a.Light:
		return &Error{Kind: Denied, Text: "light agents do not decide about held mail"}
	}
	return nil
}

// placing is how a mail gets from hold onto a ticket; it fills in the arrival.
type placing func(w *work, h *heldRow, in *incoming, past []*arrivalRow, a *arrivalRow) error

// settleHeld brings a held mail onto a ticket, in one transaction with the
// receipt's new outcome.
func (d *Desk) settleHeld(ctx context.Context, by Actor, id, state string, put placing) (*Held, error) {
	row, err := d.lookHeld(ctx, id)
	if err != nil {
		return nil, failure(err)
	}
	if err := d.mayHeld(by, row.Queue); err != nil {
		return nil, err
	}
	var in *incoming
	if row.State != state {
		if in, err = d.reread(ctx, row); err != nil {
			return nil, failure(err)
		}
	}
	var out *Held
	err = d.update(ctx, func(w *work) error {
		h, done, err := w.claimHeld(id, state)
		if err != nil {
			return err
		}
		if out = &h.Held; done {
			return nil
		}
		past, err := w.earlier(in)
		if err != nil {
			return err
		}
		a := &arrivalRow{ID: h.Arrival, Hash: h.Hash, Queue: h.Queue, Held: h.ID}
		past = slices.DeleteFunc(past, func(p *arrivalRow) bool { return p.ID == a.ID && p.Hash == a.Hash && p.Queue == a.Queue })
		if err := put(w, h, in, past, a); err != nil {
			return err
		}
		h.Ticket, h.Message = a.Ticket, a.Message
		if err := w.d.arrivals.Put(w.tx, a); err != nil {
			return err
		}
		if err := w.amend(h, a); err != nil {
			return err
		}
		return w.settled(by, h, state)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// claimHeld returns a held mail for change. done tells that it has the state
// already, so that whoever asks twice gets the same answer twice.
func (w *work) claimHeld(id, state string) (h *heldRow, done bool, err error) {
	if err := w.d.held.Lock(w.tx, heldKey(id)); err != nil {
		return nil, false, err
	}
	h, err = w.d.held.Find(w.tx, heldKey(id))
	switch {
	case err != nil:
		return nil, false, err
	case h == nil:
		return nil, false, unknownHeld()
	case h.State == state:
		return h, true, nil
	case h.State == heldReleased || h.State == heldAttached:
		return nil, false, &Error{Kind: Conflict, Text: fmt.Sprintf("the mail is on ticket %d already", h.Ticket)}
	}
	return h, false, nil
}

// settled gives a held mail its new state.
func (w *work) settled(by Actor, h *heldRow, state string) error {
	if h.State == heldWaiting {
		w.heldDelta--
	}
	h.State, h.SettledAt, h.SettledBy = state, w.now, clip(by.label(), maxAddress)
	if err := w.d.held.Put(w.tx, h); err != nil {
		return err
	}
	return w.recordHeld(&h.Held, "mail."+state, by)
}

// attach makes a held mail a third party's internal message.
func (w *work) attach(by Actor, t *ticketRow, h *heldRow, in *incoming, a *arrivalRow) error {
	u := in.units[0]
	id, err := u.messageID(w.now)
	if err != nil {
		return err
	}
	m := in.template
	m.ID, m.Receipt, m.MatchedBy, m.ReceivedAt = id, h.Receipt, "none", h.ReceivedAt
	m.Auth.Trust, m.Auth.Forwarder = u.trust, u.forwarder
	m.Kind, m.Visibility, m.Author.Role = "third_party", "internal", "third_party"
	m.Flags = append(slices.Clone(m.Flags), "third_party")
	w.flag(t, "third_party_pending")
	m.Mail, err = w.notice(t, Notice{
		Event: eventThirdParty, Message: m.ID, Actor: by, Automatic: in.machine(), Trust: u.trust, NoAck: true, Audience: w.d.audience(t, eventThirdParty),
	})
	if err != nil {
		return err
	}
	if err := w.addMessage(t, &m); err != nil {
		return err
	}
	a.Outcome, a.Ticket, a.Message = "third_party", m.Ticket, m.ID
	if err := w.record(t, "message.received", by, ccChange{Message: m.ID, Via: "held"}); err != nil {
		return err
	}
	return w.refer(in, u, t)
}

// storedMail is a mail that lies in the store.
type storedMail struct {
	io.ReaderAt
	ref blob.Ref
}

func (s storedMail) Ref() blob.Ref { return s.ref }

// reread parses a held mail as it arrived, for its queue alone.
func (d *Desk) reread(ctx context.Context, h *heldRow) (*incoming, error) {
	q := d.queues[h.Queue]
	if q == nil {
		return nil, &Error{Kind: Refused, Text: "the mail's queue is not configured any more"}
	}
	raw, err := d.HeldRaw(ctx, &h.Held)
	if err != nil {
		return nil, err
	}
	recipients, err := d.heldRecipients(ctx, h)
	if err != nil {
		return nil, err
	}
	a := Arrival{
		Source: h.Envelope.Source, EnvelopeFrom: h.Envelope.From, Recipients: recipients, HELO: h.Envelope.HELO, TLS: h.Envelope.TLS,
		User: h.Auth.User, Verdict: h.Auth,
	}
	if ip, err := netip.ParseAddr(h.Envelope.RemoteIP); err == nil {
		a.RemoteIP = ip
	}
	in, err := d.readMail(a, storedMail{raw, h.Raw})
	if err != nil {
		return nil, err
	}
	in.hash, in.receivedAt = h.Hash, h.ReceivedAt
	in.template.Envelope = h.Envelope
	in.template.Flags = append(in.template.Flags, "held_"+h.Reason)
	// What was proven then is what counts, whatever has been configured since.
	u := in.units[0]
	u.trust, u.forwarder, u.agent = h.Auth.Trust, h.Auth.Forwarder, nil
	if in.agent != nil && in.agent.Name == h.Agent {
		u.agent = in.agent
	}
	return in, nil
}

// heldRecipients are the recipients of a held mail that still lead to its
// queue: an alias may be gone, and a token too old. The queue itself stands in
// for them.
func (d *Desk) heldRecipients(ctx context.Context, h *heldRow) ([]string, error) {
	r, err := d.Receipt(ctx, h.Receipt)
	if err != nil {
		return nil, fmt.Errorf("receipt of held mail %s: %w", h.ID, err)
	}
	var out []string
	for _, o := range r.Outcomes {
		if t, err := d.target(o.Recipient); o.Held == h.ID && err == nil && t.queue.Name == h.Queue {
			out = append(out, o.Recipient)
		}
	}
	if len(out) == 0 {
		out = []string{d.queues[h.Queue].Address}
	}
	return out, nil
}
