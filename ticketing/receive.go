package ticketing

import (
	"bytes"
	"context"

	"ticketgate/ticketing/store"
)

// Receive makes a mail durable and ticketed for every recipient, in one
// transaction, and returns the receipt. An arrival that was already stored
// gives outcome duplicate.
//
// Recipients that lead to one queue share one message; each queue has a ticket
// of its own. A mail is a duplicate if the queue holds one with the same
// Message-ID (the hash of its bytes stands in if it has none), author and body.
// Nothing has changed after an error; its Kind is Unknown if a recipient is not
// ours (any more), NoSpace or Internal otherwise.
func (d *Desk) Receive(ctx context.Context, a Arrival) (*Receipt, error) {
	in, err := d.read(a)
	if err != nil {
		return nil, failure(err)
	}
	var receipt *Receipt
	err = d.update(ctx, func(w *work) error {
		receipt = nil
		r, err := w.receive(in)
		if err != nil {
			return err
		}
		receipt = r
		return nil
	})
	if err != nil {
		return nil, err
	}
	return receipt, nil
}

// receive is Receive's transaction.
func (w *work) receive(in *incoming) (*Receipt, error) {
	id, err := store.NewID("rcpt_", w.now, bytes.NewReader(in.entropy[:]))
	if err != nil {
		return nil, err
	}
	r := &Receipt{ID: id, ReceivedAt: w.now, Source: in.template.Envelope.Source, EnvelopeFrom: in.template.Envelope.From, Raw: in.raw.Ref()}
	if err := in.arrival.Raw.Link(w.tx); err != nil {
		return nil, err
	}
	past, err := w.earlier(in)
	if len(past) == 0 {
		w.tally.tlsReport = in.provenTLSReport()
	}
	if err != nil {
		return nil, err
	}
	for _, u := range in.units {
		arrival, err := w.arrive(in, u, r.ID, &past)
		if err != nil {
			return nil, err
		}
		for _, recipient := range u.recipients {
			r.Outcomes = append(r.Outcomes, Outcome{
				Recipient: clip(recipient, maxAddress), Outcome: arrival.Outcome, Ticket: arrival.Ticket, Message: arrival.Message, Held: arrival.Held, Reason: arrival.reason, Rule: arrival.rule,
			})
		}
	}
	return r, w.putReceipt(r, &in.arrival)
}

// maxSameID is how many arrivals under one Message-ID are looked at before only
// those of the same mail are.
const maxSameID = 50

// earlier finds the arrivals of mails with the same Message-ID, and without
// fail those of the same mail: at most one per queue.
func (w *work) earlier(in *incoming) ([]*arrivalRow, error) {
	if err := w.d.arrivals.Lock(w.tx, arrivalKey(idKey(in.id), in.hash, "")); err != nil {
		return nil, err
	}
	id := store.Key{}.Str(idKey(in.id))
	past, err := w.arrivalsUnder(id, maxSameID)
	if err == nil && len(past) == maxSameID {
		// A device that numbers all its mails alike: look for this very mail.
		var same []*arrivalRow
		same, err = w.arrivalsUnder(id.Str(in.hash), 0)
		past = append(past, same...)
	}
	return past, err
}

func (w *work) arrivalsUnder(prefix store.Key, limit int) (past []*arrivalRow, err error) {
	for a, err := range w.d.arrivals.Scan(w.tx, store.Query{Prefix: prefix, Limit: limit}) {
		if err != nil {
			return nil, err
		}
		past = append(past, a)
	}
	return past, nil
}

// arrive settles a mail's business with one queue and records that.
func (w *work) arrive(in *incoming, u *unit, receipt string, past *[]*arrivalRow) (*arrivalRow, error) {
	for _, old := range *past {
		if old.Hash == in.hash && old.Queue == u.queue.Name {
			again := *old
			again.Outcome, again.reason = "duplicate", ""
			return &again, nil
		}
	}
	a := &arrivalRow{ID: idKey(in.id), Hash: in.hash, Queue: u.queue.Name, rule: u.rule.hit()}
	reason, detail, err := w.suspect(in, u)
	if err == nil && reason != "" {
		err = w.hold(in, u, receipt, reason, detail, a)
	} else if err == nil {
		if u.rule != nil {
			w.tally.rules = append(w.tally.rules, labels2{u.queue.Name, ruleAccept})
		}
		err = w.file(in, u, receipt, *past, a)
	}
	if err != nil {
		return nil, err
	}
	*past = append(*past, a)
	return a, w.d.arrivals.Put(w.tx, a)
}

// putReceipt stores a receipt in as many rows as its outcomes need.
func (w *work) putReceipt(r *Receipt, a *Arrival) error {
	rest := r.Outcomes
	for page := 0; page == 0 || len(rest) > 0; page++ {
		size, n := 0, 0
		for n < len(rest) && (n == 0 || size < maxReceiptBytes) {
			size += 2*len(rest[n].Recipient) + len(rest[n].Rule.Name) + 190
			n++
		}
		row := receiptRow{Receipt: *r, Page: page}
		row.Outcomes, rest = rest[:n], rest[n:]
		if page == 0 && len(a.Header)+len(a.Evidence) <= maxTrace {
			row.Header, row.Evidence = a.Header, a.Evidence
		}
		if err := w.d.receipts.Put(w.tx, &row); err != nil {
			return err
		}
	}
	return nil
}
