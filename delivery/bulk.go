package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ticketgate/ticketing/store"
)

// ErrCount says that the parcels which a command would touch are not as many as
// its caller expects. Nothing was touched.
var ErrCount = errors.New("delivery: another number of mails than expected")

// Bulk is a command on all parcels that a filter selects.
type Bulk struct {
	Verb   string // hold release retry drop
	Filter Filter // must not be empty
	By     string
	Reason string
	Expect int  // how many the caller means; negative: however many there are
	DryRun bool // count only
}

// BulkResult says what became of a Bulk.
type BulkResult struct {
	Matched int `json:"matched"` // parcels the filter selects and the verb fits
	Done    int `json:"done"`
	Skipped int `json:"skipped"` // changed meanwhile, or an attempt was under way
}

const bulkBatch = 200

// Bulk runs a command on all parcels that a filter selects and whose state
// allows it. ErrInvalid for an empty filter or an unknown verb: nothing here
// means "all". ErrCount, with the true number in the result, if Expect is
// wrong. A command that fails half-way says how far it came; running it again
// does the rest.
func (q *Queue) Bulk(ctx context.Context, b Bulk) (BulkResult, error) {
	var res BulkResult
	do, fits, err := q.verb(ctx, b)
	if err != nil {
		return res, err
	}
	if b.Filter.Empty() {
		return res, fmt.Errorf("%w: an empty selection never means all mail", ErrInvalid)
	}
	ids := []string{}
	now := q.o.Now()
	err = q.each(ctx, int(^uint(0)>>1), func(p *row) {
		if b.Filter.matches(p, now) && fits(p) {
			ids = append(ids, p.ID)
		}
	})
	if err != nil {
		return res, fmt.Errorf("delivery: %s: %w", b.Verb, err)
	}
	res.Matched = len(ids)
	switch {
	case b.DryRun:
		return res, nil
	case b.Expect >= 0 && b.Expect != res.Matched:
		return res, fmt.Errorf("%w: %d were expected, there are %d", ErrCount, b.Expect, res.Matched)
	}
	for batch := range slices.Chunk(ids, bulkBatch) {
		done, err := q.bulkStep(ctx, batch, b.Filter, now, do)
		res.Done += done
		res.Skipped += len(batch) - done
		if err != nil {
			res.Skipped -= len(batch) - done
			return res, fmt.Errorf("delivery: %s: %d of %d done: %w", b.Verb, res.Done, res.Matched, err)
		}
	}
	return res, nil
}

// verb returns what a bulk command does to one parcel, and to which it can.
func (q *Queue) verb(ctx context.Context, b Bulk) (do step, fits func(*row) bool, err error) {
	held := func(p *row) bool { return p.Held != nil }
	waiting := func(p *row) bool { return p.Held == nil }
	switch b.Verb {
	case "hold":
		return q.hold(b.By, b.Reason), waiting, nil
	case "release":
		return q.letThrough(ctx), held, nil
	case "retry":
		return q.hurry(), waiting, nil
	case "drop":
		return q.drop(b.By, b.Reason), func(*row) bool { return true }, nil
	}
	return nil, nil, fmt.Errorf("%w: the verb is one of hold, release, retry, drop", ErrInvalid)
}

// bulkStep changes a batch in one transaction, in the order of lanes as the
// agenda wants it.
func (q *Queue) bulkStep(ctx context.Context, ids []string, f Filter, now time.Time, do step) (done int, err error) {
	err = q.o.DB.Update(ctx, func(tx store.Tx) error {
		done = 0
		rows := make([]*row, 0, len(ids))
		for _, id := range ids {
			p, err := q.parcels.Find(tx, parcelKey(id))
			if err != nil {
				return err
			}
			if p != nil && f.matches(p, now) {
				rows = append(rows, p)
			}
		}
		slices.SortFunc(rows, func(a, b *row) int { return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.ID, b.ID)) })
		for _, p := range rows {
			switch err := q.changeIn(tx, p.ID, do); {
			case errors.Is(err, ErrInFlight), errors.Is(err, ErrState), errors.Is(err, store.ErrNotFound):
			case err != nil:
				return err
			default:
				done++
			}
		}
		return nil
	})
	if err != nil {
		done = 0
	}
	return done, err
}
