package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// nowhere is the lane of recipients without a usable domain. They fail at
// their first attempt, on the record, like any other mail that cannot arrive.
const nowhere = "-"

// Submit puts a mail into the queue as part of tx and reports it as queued.
// Submitting an id again while it is in the queue changes nothing. It refuses
// a mail without id, content or recipient, of an unknown class, or without a
// signing domain unless its class is relay: those are the caller's mistakes,
// and the caller's transaction should not go through. It returns ErrBusy while
// the queue is full.
func (q *Queue) Submit(tx store.Tx, o message.Outbound) error {
	if err := check(&o); err != nil {
		return fmt.Errorf("delivery: submit %q: %w", o.ID, err)
	}
	key := parcelKey(o.ID)
	if err := q.parcels.Lock(tx, key); err != nil {
		return err
	}
	old, err := q.parcels.Find(tx, key)
	if err != nil || old != nil {
		return err
	}
	if err := q.admit(tx, &o); err != nil {
		return fmt.Errorf("delivery: submit %s: %w", o.ID, err)
	}
	now := tx.Now()
	p := &row{
		ID: o.ID, Class: o.Class, From: o.From, To: o.To, SHA256: o.SHA256, Size: o.Size,
		Domain: o.Domain, Queue: o.Queue, Ticket: o.Ticket, Message: o.Message, MailID: o.MailID, Mail: o.Mail,
		UTF8: o.UTF8, Bit8: o.Bit8, Route: o.Route, Secure: o.RequireTLS,
		Signature: o.Head, // what goes on top, whoever made it
		Created:   now, Since: now, Due: now, Up: q.uptime(),
	}
	p.Way = q.wayAsKnown(p)
	p.Lane = laneOf(heading{destination(o.To), p.Way}, bandOf(o.Class), false)
	if o.Due.After(now) {
		p.Due = o.Due.UTC().Truncate(time.Microsecond)
		p.Since = p.Due
	}
	if done, err := q.screen(tx, p); err != nil || done {
		if err != nil {
			err = fmt.Errorf("delivery: submit %s: %w", o.ID, err)
		}
		return err
	}
	if err := q.o.Ledger.Settled(tx, p.report("queued", now)); err != nil {
		return fmt.Errorf("delivery: submit %s: ledger: %w", o.ID, err)
	}
	if err := q.insert(tx, p); err != nil {
		return fmt.Errorf("delivery: submit %s: %w", o.ID, err)
	}
	if err := q.o.Agenda.Put(tx, agenda.Job{Lane: p.Lane, Key: p.ID, Due: p.Due}); err != nil {
		return fmt.Errorf("delivery: submit %s: %w", o.ID, err)
	}
	tx.OnCommit(func() { q.met.enqueued.WithLabelValues(o.Class).Inc() })
	return nil
}

// Room returns ErrBusy while Submit would.
func (q *Queue) Room(ctx context.Context) error {
	return q.o.DB.View(ctx, func(r store.Reader) error {
		n, err := count(r)
		if err == nil && n >= q.o.HardLimit {
			err = ErrBusy
		}
		return err
	})
}

// bulkPatience is how long bulk mail waits while the queue is long.
const bulkPatience = time.Hour

// admit keeps the queue from growing without end: bulk mail first waits, then
// nothing comes in.
func (q *Queue) admit(tx store.Tx, o *message.Outbound) error {
	n, err := count(tx)
	switch {
	case err != nil:
		return err
	case n >= q.o.HardLimit:
		return ErrBusy
	case n >= q.o.SoftLimit && bandOf(o.Class) == bandBulk:
		if wait := tx.Now().Add(bulkPatience); o.Due.Before(wait) {
			o.Due = wait
		}
	}
	return nil
}

// The counters of parcels that came and went. Counting both ways up keeps them
// right on every engine.
func cameKey() store.Key { return store.Key{}.Str("outbound.came") }
func wentKey() store.Key { return store.Key{}.Str("outbound.went") }

// count is how many parcels there are.
func count(r store.Reader) (int, error) {
	came, err := r.Counter(cameKey())
	if err != nil {
		return 0, err
	}
	went, err := r.Counter(wentKey())
	return int(came - went), err
}

// insert stores a new parcel.
func (q *Queue) insert(tx store.Tx, p *row) error {
	if _, err := tx.Count(cameKey(), 1); err != nil {
		return err
	}
	return q.parcels.Insert(tx, p)
}

// remove takes a parcel out of the queue.
func (q *Queue) remove(tx store.Tx, p *row) error {
	if _, err := tx.Count(wentKey(), 1); err != nil {
		return err
	}
	return q.parcels.Remove(tx, p)
}

func check(o *message.Outbound) error {
	switch {
	case o.ID == "" || len(o.ID) > 200:
		return errors.New("an id is required")
	case o.To == "" || len(o.To) > 1000 || len(o.From) > 1000:
		return errors.New("the addresses are missing or far too long")
	case o.SHA256 == "" || o.Size < 0:
		return errors.New("content is required")
	case !slices.Contains(classes(), o.Class):
		return fmt.Errorf("unknown class %q", o.Class)
	case len(o.Route) > maxRoute || !plain(o.Route):
		return errors.New("a route has a short name without control characters")
	case o.Domain == "" && o.Class != "relay":
		return errors.New("a signing domain is required")
	case len(o.Head) > 0 && (o.Domain != "" || len(o.Head) > maxSignature || !bytes.HasSuffix(o.Head, []byte("\r\n"))):
		return errors.New("fields on top are for mail that is relayed as it is, and bounded")
	}
	return nil
}

// destination is the domain of a recipient, in the form the courier looks up.
func destination(to string) string {
	domain, err := courier.WireDomain(to[strings.LastIndexByte(to, '@')+1:])
	if err != nil || !strings.Contains(to, "@") {
		return nowhere
	}
	return domain
}
