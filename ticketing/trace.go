package ticketing

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Trace is what is known about how a mail came to where it is.
type Trace struct {
	Receipt  *Receipt
	Header   string          // trace fields on top of delivered copies
	Evidence json.RawMessage // what the door's checks found, in its own words; nil if nothing was checked
	Messages []*Message      // what it became, in the order of the outcomes, each once
	Held     []*Held
}

// maxTraces is how many mails Traces returns at most.
const maxTraces = 50

// maxTrace is how much of the door's findings is kept with a receipt.
const maxTrace = 24 << 10

// errExplained takes back the transaction of Explain.
var errExplained = errors.New("ticketing: only explained")

// Explain returns what Receive would do with a mail just now, without doing it.
// Errors are those of Receive; numbers and ids are not used up.
func (d *Desk) Explain(ctx context.Context, a Arrival) (*Trace, error) {
	in, err := d.read(a)
	if err != nil {
		return nil, failure(err)
	}
	var out *Trace
	err = d.update(ctx, func(w *work) error {
		out = nil
		r, err := w.receive(in)
		if err != nil {
			return err
		}
		if out, err = d.trace(w.tx, r.ID); err != nil {
			return err
		}
		return errExplained
	})
	if !errors.Is(err, errExplained) {
		return nil, err
	}
	return out, nil
}

// Traces returns what is known about a mail by its receipt's id, by the id of a
// message or a held item it became, or by its Message-ID, with or without angle
// brackets; a ticket's number, with or without #, stands for all mails that came
// for it, and an address for those that came from it or to it. Newest first, at
// most 50. For an address it looks at what its owner wrote on the 50 of his
// tickets that changed last and at the 5000 mails that came last, whatever
// became of them. Unknown if there is none.
func (d *Desk) Traces(ctx context.Context, id string) ([]*Trace, error) {
	var out []*Trace
	err := d.db.View(ctx, func(r store.Reader) error {
		out = nil
		receipts, err := d.receiptsOf(r, strings.TrimSpace(id))
		if err != nil {
			return err
		}
		for _, receipt := range receipts {
			t, err := d.trace(r, receipt)
			if err != nil {
				return err
			}
			if t != nil {
				out = append(out, t)
			}
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		return nil, &Error{Kind: Unknown, Text: "no mail is known by this name"}
	}
	return out, failure(err)
}

// receiptsOf lists the receipts that an id of whatever kind leads to.
func (d *Desk) receiptsOf(r store.Reader, id string) (list []string, err error) {
	seen := map[string]bool{"": true}
	defer func() {
		slices.SortFunc(list, func(a, b string) int { return strings.Compare(b, a) }) // ids begin with the time
		list = list[:min(len(list), maxTraces)]
	}()
	add := func(receipt string) {
		if !seen[receipt] {
			seen[receipt] = true
			list = append(list, receipt)
		}
	}
	addMessage := func(id string) error {
		m, err := d.messageByID(r, id)
		if err == nil && m != nil {
			add(m.Receipt)
		}
		return err
	}
	number, err := strconv.ParseUint(strings.TrimPrefix(id, "#"), 10, 64)
	switch {
	case strings.HasPrefix(id, "rcpt_"):
		add(id)
	case strings.HasPrefix(id, "msg_"):
		err = addMessage(id)
		return list, err
	case strings.HasPrefix(id, "held_"):
		h, err := d.held.Find(r, heldKey(id))
		if err == nil && h != nil {
			add(h.Receipt)
		}
		return list, err
	case err == nil:
		for m, err := range d.messages.Scan(r, store.Query{Prefix: ticketKey(number), Reverse: true}) {
			if err != nil {
				return nil, err
			}
			if add(m.Receipt); len(list) == maxTraces {
				break
			}
		}
	default:
		bare := strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">")
		if err = d.receiptsUnder(r, "<"+bare+">", add, addMessage); err != nil || len(list) > 0 || bare != id {
			return list, err
		}
		if a, wrong := message.ParseAddress(id); wrong == nil {
			err = d.receiptsOfAddress(r, message.Fold(a.Addr), add)
		}
		return list, err
	}
	return list, nil
}

// receiptsUnder finds the mails of a Message-ID.
func (d *Desk) receiptsUnder(r store.Reader, id string, add func(string), addMessage func(string) error) error {
	for a, err := range d.arrivals.Scan(r, store.Query{Prefix: store.Key{}.Str(idKey(id)), Limit: maxTraces}) {
		if err != nil {
			return err
		}
		if err := addMessage(a.Message); err != nil {
			return err
		}
		if a.Held == "" {
			continue
		}
		h, err := d.held.Find(r, heldKey(a.Held))
		if err != nil {
			return err
		}
		if h != nil {
			add(h.Receipt)
		}
	}
	return nil
}

// How far receiptsOfAddress looks.
const (
	maxTracedTickets  = 50
	maxTracedMessages = 100 // of each
	maxTracedReceipts = 5000
)

// receiptsOfAddress finds mails from or to a folded address.
func (d *Desk) receiptsOfAddress(r store.Reader, folded string, add func(string)) error {
	q := store.Query{Index: byRequester, Prefix: store.Key{}.Str(folded), Reverse: true, Limit: maxTracedTickets}
	for t, err := range d.tickets.Scan(r, q) {
		if err != nil {
			return err
		}
		for m, err := range d.messages.Scan(r, store.Query{Prefix: ticketKey(t.Number), Reverse: true, Limit: maxTracedMessages}) {
			if err != nil {
				return err
			}
			if message.Fold(m.Author.Address) == folded {
				add(m.Receipt)
			}
		}
	}
	for row, err := range d.receipts.Scan(r, store.Query{Reverse: true, Limit: maxTracedReceipts}) {
		if err != nil {
			return err
		}
		to := func(o Outcome) bool { return message.Fold(o.Recipient) == folded }
		if message.Fold(row.EnvelopeFrom) == folded || slices.ContainsFunc(row.Outcomes, to) {
			add(row.ID)
		}
	}
	return nil
}

// trace puts together what belongs to a receipt; nil if there is no such.
func (d *Desk) trace(r store.Reader, id string) (*Trace, error) {
	receipt, err := d.receipt(r, id)
	if err != nil || receipt == nil {
		return nil, err
	}
	t := &Trace{Receipt: receipt}
	row, err := d.receipts.Find(r, store.Key{}.Str(id).Uint(0))
	if err != nil {
		return nil, err
	}
	if row != nil {
		t.Header, t.Evidence = row.Header, row.Evidence
	}
	seen := map[string]bool{"": true}
	for _, o := range receipt.Outcomes {
		if !seen[o.Message] {
			seen[o.Message] = true
			m, err := d.messageByID(r, o.Message)
			if err != nil {
				return nil, err
			}
			if m != nil {
				t.Messages = append(t.Messages, m)
			}
		}
		if !seen[o.Held] {
			seen[o.Held] = true
			h, err := d.held.Find(r, heldKey(o.Held))
			if err != nil {
				return nil, err
			}
			if h != nil {
				t.Held = append(t.Held, &h.Held)
			}
		}
	}
	return t, nil
}
