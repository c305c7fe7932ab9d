package agenda

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"ticketgate/ticketing/store"
)

// Claim leases up to n due jobs of one lane, longest waiting first, and
// returns them; none if the lane is not due or paused. The lease is durable
// when Claim returns. Each claim counts as an attempt.
//
// If mark is not nil it runs inside the claiming transaction for each job,
// after all of them are leased, so that a caller can record its attempt in the
// same commit; an error from mark fails the whole claim, and no job is leased.
// As part of a transaction mark may run again. What it changes in the job is
// returned but not stored.
//
// A lapsed lease makes the job claimable again: it is never lost.
func (a *Agenda) Claim(ctx context.Context, lane string, n int, lease time.Duration, mark func(store.Tx, *Job) error) ([]Job, error) {
	if lease <= 0 {
		return nil, errors.New("agenda: a claim needs a lease")
	}
	if n <= 0 {
		return nil, nil
	}
	n = min(n, MaxClaim)
	var out []Job
	err := a.db.Update(ctx, func(tx store.Tx) error {
		jobs, err := a.claim(tx, lane, n, lease)
		if err != nil {
			return err
		}
		for i := range jobs {
			if mark == nil {
				break
			}
			if err := mark(tx, &jobs[i]); err != nil {
				return err
			}
		}
		out = jobs
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("agenda: claim %s: %w", lane, err)
	}
	return out, nil
}

func (a *Agenda) claim(tx store.Tx, lane string, n int, lease time.Duration) ([]Job, error) {
	row, err := a.lockLane(tx, lane)
	if err != nil || row == nil || row.Wake.After(tx.Now()) {
		return nil, err
	}
	jobs, err := a.collect(tx, store.Query{
		Index: byPosition, Prefix: laneKey(lane), Limit: n,
		From: row.floor(), To: laneKey(lane).Time(after(tx.Now())),
	})
	if err != nil {
		return nil, err
	}
	if len(jobs) > 0 {
		last, err := tx.Count(leaseCounter(lane), uint64(len(jobs)))
		if err != nil {
			return nil, err
		}
		until := whole(tx.Now().Add(lease))
		for i := range jobs {
			j, old := &jobs[i], jobs[i]
			j.Attempts++
			j.Lease = last - uint64(len(jobs)-1-i)
			j.Until = until
			if err := a.jobs.Replace(tx, &old, j); err != nil {
				return nil, err
			}
		}
	}
	return jobs, a.rehead(tx, row, *row, row.floor())
}

// leaseCounter numbers the claims of a group. It outlives jobs and lanes, so
// that a job put again under an old key cannot meet its old worker's number;
// and there are only a handful of groups.
func leaseCounter(lane string) store.Key { return store.Key{}.Str("agenda.lease").Str(group(lane)) }

// after is the next moment there is; ranges end before their To.
func after(t time.Time) time.Time { return t.Add(time.Microsecond) }

// Reclaim ends the running claims on a lane's jobs and returns how many there
// were. It is for the start of the only process that works on the lane: whoever
// claimed them is gone, so their leases need not be waited for.
func (a *Agenda) Reclaim(ctx context.Context, lane string) (int, error) {
	total := 0
	from := store.Key(nil)
	for {
		var freed int
		var next store.Key
		err := a.db.Update(ctx, func(tx store.Tx) error {
			freed, next = 0, nil
			if _, err := a.lockLane(tx, lane); err != nil {
				return err
			}
			start := from
			if start == nil { // lapsed claims lie before now and are claimable as they are
				start = laneKey(lane).Time(tx.Now())
			}
			jobs, err := a.collect(tx, store.Query{Index: byPosition, Prefix: laneKey(lane), From: start, Limit: MaxClaim})
			if err != nil {
				return err
			}
			for i := range jobs {
				if jobs[i].Lease == 0 {
					continue
				}
				row, err := a.lockLane(tx, lane)
				if err != nil {
					return err
				}
				if err := a.move(tx, row, &jobs[i], jobs[i].Due); err != nil {
					return err
				}
				freed++
			}
			if len(jobs) == MaxClaim {
				next = laneKey(lane).Time(jobs[len(jobs)-1].position())
			}
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("agenda: reclaim %s: %w", lane, err)
		}
		total += freed
		if next == nil || (freed == 0 && bytes.Equal(next, from)) {
			return total, nil
		}
		from = next
	}
}
