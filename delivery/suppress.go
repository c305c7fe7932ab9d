package delivery

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

const (
	// suppressFor is how long an address that proved to be wrong gets no mail.
	suppressFor = 30 * 24 * time.Hour
	// strikeWindow and maxStrikes: so many hard failures in so short a time
	// suppress an address that no server has plainly called unknown.
	strikeWindow = 7 * 24 * time.Hour
	maxStrikes   = 3
)

// Suppression is an address that gets no mail, and why.
type Suppression struct {
	Address string    `json:"address"` // folded
	Queue   string    `json:"queue"`   // only mail of this queue; "" = all mail
	By      string    `json:"by"`      // who entered it; "" = the address proved to be wrong
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero: until it is removed
}

// suppressRow is a suppression or, with Since zero, failures on the way to one.
type suppressRow struct {
	Suppression
	Strikes []time.Time `json:"strikes,omitempty"` // hard failures, oldest first
}

const byEnd = "end"

func suppressKey(queue, address string) store.Key {
	return store.Key{}.Str(message.Fold(address)).Str(queue)
}

func (r *suppressRow) inForce(now time.Time) bool {
	return !r.Since.IsZero() && (r.Until.IsZero() || r.Until.After(now))
}

// Suppressions are the addresses that get no mail. What makes one is narrow on
// purpose: a policy block (5.7.x) or a bare 550 says nothing about an address,
// and who suppresses on those loses good ones.
//
// Entries made by mail servers' answers end after 30 days, when mail to the
// address arrives after all, and when mail comes from it. Entries made by
// people end when they said, or when they remove them.
type Suppressions struct {
	db    store.DB
	table *store.Table[suppressRow]
}

// NewSuppressions returns what is suppressed in a store.
func NewSuppressions(db store.DB) *Suppressions {
	return &Suppressions{db: db, table: store.NewTable("suppression", store.PrefixSuppression, []string{"address", "queue"},
		func(r *suppressRow) store.Key { return suppressKey(r.Queue, r.Address) },
		store.Index[suppressRow]{Name: byEnd, Columns: []string{"end"}, Keys: func(r *suppressRow) []store.Key {
			switch {
			case r.Since.IsZero() && len(r.Strikes) > 0:
				return []store.Key{store.Key{}.Time(r.Strikes[len(r.Strikes)-1].Add(strikeWindow))}
			case r.Since.IsZero() || r.Until.IsZero():
				return nil
			}
			return []store.Key{store.Key{}.Time(r.Until)}
		}})}
}

// Find returns what keeps mail of a queue from an address, nil if nothing does.
func (s *Suppressions) Find(r store.Reader, queue, address string) (*Suppression, error) {
	scopes := []string{""}
	if queue != "" {
		scopes = append(scopes, queue)
	}
	for _, scope := range scopes {
		row, err := s.table.Find(r, suppressKey(scope, address))
		if err != nil {
			return nil, fmt.Errorf("delivery: suppression: %w", err)
		}
		if row != nil && row.inForce(r.Now()) {
			return &row.Suppression, nil
		}
	}
	return nil, nil
}

// Add suppresses an address on somebody's word; an entry that is there is
// replaced. until zero means until it is removed.
func (s *Suppressions) Add(ctx context.Context, n Suppression) (*Suppression, error) {
	n.Address = message.Fold(strings.TrimSpace(n.Address))
	if destination(n.Address) == nowhere || len(n.Address) > 254 || strings.ContainsFunc(n.Address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, fmt.Errorf("%w: %q is no address", ErrInvalid, n.Address)
	}
	n.By, n.Reason = clip(n.By), clip(n.Reason)
	err := s.db.Update(ctx, func(tx store.Tx) error {
		if !n.Until.IsZero() && !n.Until.After(tx.Now()) {
			return fmt.Errorf("%w: the end lies in the past", ErrInvalid)
		}
		if err := s.table.Lock(tx, suppressKey(n.Queue, n.Address)); err != nil {
			return err
		}
		n.Since, n.Until = tx.Now(), n.Until.UTC().Truncate(time.Microsecond)
		return s.table.Put(tx, &suppressRow{Suppression: n})
	})
	if err != nil {
		return nil, fmt.Errorf("delivery: suppress: %w", err)
	}
	return &n, nil
}

// Remove lets an address have mail again, in a scope ("" for all mail).
// store.ErrNotFound if it was not suppressed there.
func (s *Suppressions) Remove(ctx context.Context, queue, address string) error {
	err := s.db.Update(ctx, func(tx store.Tx) error {
		key := suppressKey(queue, address)
		if err := s.table.Lock(tx, key); err != nil {
			return err
		}
		row, err := s.table.Get(tx, key)
		if err != nil {
			return err
		}
		if !row.inForce(tx.Now()) {
			return store.ErrNotFound
		}
		return s.table.Remove(tx, row)
	})
	if err != nil {
		return fmt.Errorf("delivery: unsuppress %q: %w", address, err)
	}
	return nil
}

// SuppressionFilter selects suppressions; empty fields select all.
type SuppressionFilter struct {
	Address string // an address, or "@domain"
	Queue   string
	Limit   int    // 1 to 1000; 0 = 100
	Cursor  string // the next of an earlier page
}

// List returns suppressions in force by address, and the cursor of the next
// page, "" at the end.
func (s *Suppressions) List(ctx context.Context, f SuppressionFilter) (out []Suppression, next string, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	limit = min(limit, 1000)
	q := store.Query{Limit: 500}
	address := message.Fold(f.Address)
	if strings.HasPrefix(f.Address, "@") {
		address = strings.ToLower(f.Address)
	}
	if address != "" && !strings.HasPrefix(address, "@") {
		q.Prefix = store.Key{}.Str(address)
	}
	if f.Cursor != "" {
		if q.After, err = base64.RawURLEncoding.DecodeString(f.Cursor); err != nil || len(q.After) > 1<<10 {
			return nil, "", ErrCursor
		}
	}
	err = s.db.View(ctx, func(r store.Reader) error {
		out, next = nil, ""
		q := q
		for looked := 0; looked < listBudget; {
			rows, after, err := s.table.Page(r, q)
			if err != nil {
				return err
			}
			for i, row := range rows {
				if row.inForce(r.Now()) && (f.Queue == "" || f.Queue == row.Queue) && (!strings.HasPrefix(address, "@") || strings.HasSuffix(row.Address, address)) {
					out = append(out, row.Suppression)
					if len(out) == limit && (i+1 < len(rows) || after != nil) {
						next = base64.RawURLEncoding.EncodeToString(suppressKey(row.Queue, row.Address))
						return nil
					}
				}
			}
			looked += len(rows)
			if q.After = after; after == nil {
				return nil
			}
		}
		next = base64.RawURLEncoding.EncodeToString(q.After)
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("delivery: suppressions: %w", err)
	}
	return out, next, nil
}

// hopeless are the status codes that plainly say that there is no such mailbox.
var hopeless = []string{"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.2.1"}

// Failed takes note of a permanent failure with an address: an SMTP reply to
// us, or a report that came back.
func (s *Suppressions) Failed(tx store.Tx, address, status string, code int, text string) error {
	plain := slices.Contains(hopeless, status)
	if !plain && (status == "" || !strings.HasPrefix(status, "5.") || strings.HasPrefix(status, "5.7.")) {
		return nil
	}
	key := suppressKey("", address)
	if destination(address) == nowhere {
		return nil
	}
	if err := s.table.Lock(tx, key); err != nil {
		return err
	}
	row, err := s.table.Find(tx, key)
	if err != nil {
		return err
	}
	now := tx.Now()
	if row != nil && row.inForce(now) {
		return nil
	}
	if row == nil || !row.Since.IsZero() {
		row = &suppressRow{Suppression: Suppression{Address: message.Fold(address)}}
	}
	row.Strikes = slices.DeleteFunc(row.Strikes, func(t time.Time) bool { return now.Sub(t) >= strikeWindow })
	row.Strikes = append(row.Strikes, now)
	if plain || len(row.Strikes) >= maxStrikes {
		row.Reason = clip(strings.TrimSpace(fmt.Sprintf("%s %s", status, text)))
		if code != 0 {
			row.Reason = clip(fmt.Sprintf("%d %s", code, row.Reason))
		}
		if !plain {
			row.Reason = clip(fmt.Sprintf("%d hard failures in a week, the last: %s", maxStrikes, row.Reason))
		}
		row.Since, row.Until, row.Strikes = now, now.Add(suppressFor), nil
	}
	return s.table.Put(tx, row)
}

// Works takes note that an address is good: mail to it has arrived, or mail has
// come from it. What a person has suppressed stays.
func (s *Suppressions) Works(tx store.Tx, address string) error {
	key := suppressKey("", address)
	row, err := s.table.Find(tx, key)
	if err != nil || row == nil || row.By != "" {
		return err
	}
	if err := s.table.Lock(tx, key); err != nil {
		return err
	}
	if row, err = s.table.Find(tx, key); err != nil || row == nil || row.By != "" {
		return err
	}
	return s.table.Remove(tx, row)
}

// sweep removes up to n rows whose time is over and returns how many it did.
func (s *Suppressions) sweep(ctx context.Context, n int) (gone int, err error) {
	err = s.db.Update(ctx, func(tx store.Tx) error {
		gone = 0
		rows, _, err := s.table.Page(tx, store.Query{Index: byEnd, To: store.Key{}.Time(tx.Now()), Limit: n})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := s.table.Remove(tx, r); err != nil {
				return err
			}
			gone++
		}
		return nil
	})
	return gone, err
}

// ErrInvalid says that what was asked for makes no sense.
var ErrInvalid = errors.New("delivery: not valid")

// screen decides about a mail to a suppressed address when it is submitted.
// What an agent or integration wrote is held where people see it, with the
// reason; what a machine wrote ends here, on the record. Mail that is passed on
// for others is not ours to stop. done means that the caller has nothing left to
// do.
func (q *Queue) screen(tx store.Tx, p *row) (done bool, err error) {
	found, err := q.suppression(tx, p)
	if err != nil || found == nil {
		return false, err
	}
	h := suppressedHold(found, tx.Now())
	if p.Class != "reply" {
		r := p.report("suppressed", tx.Now())
		r.Text = h.Reason
		tx.OnCommit(func() { q.met.attempts.WithLabelValues(p.Class, otherProvider, "suppressed").Inc() })
		return true, q.o.Ledger.Settled(tx, r)
	}
	p.Held = h
	r := p.report("held", tx.Now())
	r.Text, r.Hold = "held by "+h.By+": "+h.Reason, HeldSuppressed
	if err := q.o.Ledger.Settled(tx, r); err != nil {
		return true, err
	}
	tx.OnCommit(func() { q.met.enqueued.WithLabelValues(p.Class).Inc() })
	return true, q.insert(tx, p)
}

func (q *Queue) suppression(r store.Reader, p *row) (*Suppression, error) {
	if q.o.Suppressions == nil || p.Class == "relay" || slices.Contains(p.Cleared, HeldSuppressed) {
		return nil, nil
	}
	return q.o.Suppressions.Find(r, p.Queue, p.To)
}

func suppressedHold(s *Suppression, now time.Time) *Held {
	by := s.By
	if by == "" {
		by = ourselves
	}
	return &Held{
		By: by, At: now, Kind: HeldSuppressed, Ref: s.Address, Until: s.Until,
		Reason: clip("the address is suppressed: " + s.Reason),
	}
}

// learn takes note of what an outcome says about an address.
func (q *Queue) learn(tx store.Tx, p *row, out outcome) error {
	if q.o.Suppressions == nil || !out.next.IsZero() || p.Class == "relay" {
		return nil
	}
	switch out.report.State {
	case "sent":
		return q.o.Suppressions.Works(tx, p.To)
	case "failed":
		if out.last != nil {
			return q.o.Suppressions.Failed(tx, p.To, out.last.Enhanced, out.last.Code, out.last.Text)
		}
	}
	return nil
}

// suppressed collects the gauge of how many addresses get no mail.
type suppressedGauge struct{ s *Suppressions }

var suppressedDesc = prometheus.NewDesc("ticketgate_suppressed_addresses", "Addresses that get no mail, counted up to 200000.", nil, nil)

// Collector returns the gauge of how many addresses are suppressed.
func (s *Suppressions) Collector() prometheus.Collector { return suppressedGauge{s} }

func (g suppressedGauge) Describe(ch chan<- *prometheus.Desc) { ch <- suppressedDesc }

func (g suppressedGauge) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), stockTime)
	defer cancel()
	n := 0
	err := g.s.db.View(ctx, func(r store.Reader) error {
		n = 0
		for row, err := range g.s.table.Scan(r, store.Query{Limit: stockRows}) {
			if err != nil {
				return err
			}
			if row.inForce(r.Now()) {
				n++
			}
		}
		return nil
	})
	if err == nil {
		ch <- prometheus.MustNewConstMetric(suppressedDesc, prometheus.GaugeValue, float64(n))
	}
}
