package delivery

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// Filter selects parcels. Empty fields select all.
type Filter struct {
	State  string // one of States
	To     string // an address, or "@domain" for all of a domain
	Ticket uint64
	Class  string
	Queue  string
	Held   string        // one of HoldKinds: held by this
	Older  time.Duration // due for the first time at least this long ago
	Limit  int           // 1 to 1000; 0 = 100
	Cursor string        // the next of an earlier page
}

// Empty reports whether the filter selects everything.
func (f *Filter) Empty() bool {
	return f.State == "" && f.To == "" && f.Ticket == 0 && f.Class == "" && f.Queue == "" && f.Held == "" && f.Older <= 0
}

// ErrCursor says that a cursor is not one of List's.
var ErrCursor = errors.New("delivery: not a cursor")

// listBudget is how many parcels one page may look at. A page may come back
// short, even empty, with a cursor to go on.
const listBudget = 10_000

// List returns parcels in the order of their submission and the cursor of the
// next page, "" at the end.
func (q *Queue) List(ctx context.Context, f Filter) (page []*Parcel, next string, err error) {
	query, limit, err := f.query()
	if err != nil {
		return nil, "", err
	}
	err = q.o.DB.View(ctx, func(r store.Reader) error {
		page, next = nil, ""
		rows, after, err := q.scan(r, query, func(p *row) bool { return f.matches(p, r.Now()) }, limit)
		if err != nil {
			return err
		}
		x := q.explainer(ctx, r)
		for _, p := range rows {
			v, err := x.view(p)
			if err != nil {
				return err
			}
			page = append(page, v)
		}
		if after != nil {
			next = base64.RawURLEncoding.EncodeToString(after)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("delivery: list: %w", err)
	}
	return page, next, nil
}

func (f *Filter) query() (store.Query, int, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	query := store.Query{}
	if f.Ticket != 0 {
		query.Index, query.Prefix = byTicket, store.Key{}.Uint(f.Ticket)
	}
	if f.Cursor != "" {
		key, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		if err != nil || len(key) > 1<<10 {
			return query, 0, ErrCursor
		}
		query.After = key
	}
	return query, min(limit, 1000), nil
}

func (f *Filter) matches(p *row, now time.Time) bool {
	if f.Class != "" && f.Class != p.Class || f.State != "" && f.State != p.state(now) ||
		f.Queue != "" && f.Queue != p.Queue || f.Older > 0 && p.age(now) < f.Older || f.Ticket != 0 && f.Ticket != p.Ticket {
		return false
	}
	if f.Held != "" && (p.Held == nil || f.Held != p.Held.kind()) {
		return false
	}
	switch {
	case f.To == "":
		return true
	case strings.HasPrefix(f.To, "@"):
		return destination(p.To) == destination("x"+f.To)
	}
	return strings.EqualFold(f.To, p.To)
}

// scan collects up to limit matching rows within the budget. after is where to
// go on, nil at the end.
func (q *Queue) scan(r store.Reader, query store.Query, match func(*row) bool, limit int) (rows []*row, after store.Key, err error) {
	for looked := 0; looked < listBudget; {
		query.Limit = min(500, limit)
		page, next, err := q.parcels.Page(r, query)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range page {
			if match(p) {
				rows = append(rows, p)
			}
		}
		looked += len(page)
		query.After = next
		if next == nil || len(rows) >= limit {
			break
		}
	}
	return rows, query.After, nil
}

// Get returns one parcel, or store.ErrNotFound.
func (q *Queue) Get(ctx context.Context, id string) (*Parcel, error) {
	var v *Parcel
	err := q.o.DB.View(ctx, func(r store.Reader) error {
		p, err := q.parcels.Get(r, parcelKey(id))
		if err != nil {
			return err
		}
		v, err = q.explainer(ctx, r).view(p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("delivery: parcel %q: %w", id, err)
	}
	return v, nil
}

// Hold keeps a parcel back until it is released. ErrInFlight while an attempt
// is under way, ErrState if it is held already, store.ErrNotFound if there is
// none; the same for the commands below.
func (q *Queue) Hold(ctx context.Context, id, by, reason string) error {
	return q.change(ctx, "hold", id, q.hold(by, reason))
}

// step is a command on one parcel: it changes the parcel and the agenda and
// returns the state to report.
type step = func(store.Tx, *row) (state string, err error)

func (q *Queue) hold(by, reason string) step {
	return func(tx store.Tx, p *row) (string, error) {
		if p.Held != nil {
			return "", ErrState
		}
		if err := q.unclaimed(q.o.Agenda.Remove(tx, p.Lane, p.ID)); err != nil {
			return "", err
		}
		p.Held = &Held{By: by, Reason: reason, At: tx.Now()}
		return "held", nil
	}
}

// Release lets a held parcel go. It is due when it was before, at the earliest
// now.
func (q *Queue) Release(ctx context.Context, id string) error {
	return q.change(ctx, "release", id, q.letThrough(ctx))
}

func (q *Queue) letThrough(ctx context.Context) step {
	// Asked before the transaction: who changes measures waits for it while
	// nobody else may read them.
	all, err := q.Measures(ctx)
	return func(tx store.Tx, p *row) (string, error) {
		if err != nil {
			return "", err
		}
		if p.Held == nil {
			return "", ErrState
		}
		p.clear(all)
		p.Way = q.wayAsKnown(p)
		p.Lane = p.lane()
		return p.waiting(), q.o.Agenda.Put(tx, agenda.Job{Lane: p.Lane, Key: p.ID, Due: p.Due})
	}
}

// Retry makes a waiting parcel due now. ErrState if it is held.
func (q *Queue) Retry(ctx context.Context, id string) error {
	return q.change(ctx, "retry", id, q.hurry())
}

func (q *Queue) hurry() step {
	return func(tx store.Tx, p *row) (string, error) {
		if p.Held != nil {
			return "", ErrState
		}
		p.Due = tx.Now()
		return p.waiting(), q.unclaimed(q.o.Agenda.Reschedule(tx, p.Lane, p.ID, p.Due))
	}
}

// Drop takes a parcel out of the queue for good and reports it as cancelled.
func (q *Queue) Drop(ctx context.Context, id, by, reason string) error {
	return q.change(ctx, "drop", id, q.drop(by, reason))
}

func (q *Queue) drop(by, reason string) step {
	return func(tx store.Tx, p *row) (string, error) {
		if p.Held == nil {
			if err := q.unclaimed(q.o.Agenda.Remove(tx, p.Lane, p.ID)); err != nil {
				return "", err
			}
		}
		p.Last = &Last{Text: fmt.Sprintf("dropped by %s: %s", by, reason), At: tx.Now()}
		class := p.Class
		tx.OnCommit(func() { q.met.attempts.WithLabelValues(class, otherProvider, "cancelled").Inc() })
		return "cancelled", nil
	}
}

// maxWords bounds a reason kept with a parcel.
const maxWords = 500

// change runs fn on a parcel without an attempt under way, stores it (or
// removes it, if its new state is cancelled) and reports the new state. fn
// makes the change in the agenda, whose lane lock then keeps workers off.
func (q *Queue) change(ctx context.Context, what, id string, fn func(store.Tx, *row) (state string, err error)) error {
	err := q.o.DB.Update(ctx, func(tx store.Tx) error { return q.changeIn(tx, id, fn) })
	if err != nil {
		return fmt.Errorf("delivery: %s %q: %w", what, id, err)
	}
	return nil
}

func (q *Queue) changeIn(tx store.Tx, id string, fn func(store.Tx, *row) (state string, err error)) error {
	key := parcelKey(id)
	if err := q.parcels.Lock(tx, key); err != nil {
		return err
	}
	p, err := q.parcels.Get(tx, key)
	if err != nil {
		return err
	}
	if p.Phase != "" {
		return ErrInFlight
	}
	old := *p
	state, err := fn(tx, p)
	if err != nil {
		return err
	}
	if p.Held != nil {
		p.Held.Reason, p.Held.By = clip(p.Held.Reason), clip(p.Held.By)
	}
	if p.Last != nil {
		p.Last.Text = clip(p.Last.Text)
	}
	r := p.report(state, tx.Now())
	if state == "held" {
		r.Text = "held by " + p.Held.By + ": " + p.Held.Reason
	}
	if state == "deferred" || state == "queued" {
		r.Next = p.Due
	}
	if err := q.o.Ledger.Settled(tx, r); err != nil {
		return err
	}
	if state == "cancelled" {
		return q.remove(tx, &old)
	}
	return q.parcels.Replace(tx, &old, p)
}

// waiting is the reported state of a parcel that waits for an attempt.
func (p *row) waiting() string {
	if p.Attempts > 0 {
		return "deferred"
	}
	return "queued"
}

// unclaimed makes "no such unclaimed job" an error.
func (q *Queue) unclaimed(found bool, err error) error {
	if err == nil && !found {
		return ErrInFlight
	}
	return err
}

// clip makes words of people fit to be kept: one line, valid, bounded.
func clip(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if len(s) > maxWords {
		s = strings.ToValidUTF8(s[:maxWords], "")
	}
	return s
}
