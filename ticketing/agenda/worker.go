package agenda

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"ticketgate/ticketing/store"
)

// Worker does the jobs of one lane as they fall due. What fell due while nobody
// ran it is done late, once; what fails is tried again.
type Worker struct {
	Agenda *Agenda
	Lane   string
	Claim  int           // jobs claimed at once
	Lease  time.Duration // longer than doing them takes
	Retry  time.Duration // after an error
	Log    *slog.Logger
	// Do does one job and ends it in the transaction of its work, with Done or
	// Again.
	Do func(ctx context.Context, j Job) error
}

// Idle is how long a worker waits at most before it looks again, should a
// wake-up be lost.
const Idle = time.Minute

const shortestWait = 10 * time.Millisecond

// Run works until ctx ends. It takes an earlier process's claims back first.
func (w Worker) Run(ctx context.Context) error {
	kick, stop := w.Agenda.Kick(w.Lane)
	defer stop()
	if _, err := w.Agenda.Reclaim(ctx, w.Lane); err != nil && ctx.Err() == nil {
		w.Log.Error("earlier claims are left to their leases", "lane", w.Lane, "err", err)
	}
	for ctx.Err() == nil {
		worked, next, err := w.Step(ctx)
		if err != nil && ctx.Err() == nil {
			w.Log.Error("the agenda cannot be read", "lane", w.Lane, "err", err)
		}
		if worked > 0 && err == nil {
			continue
		}
		timer := time.NewTimer(min(max(next, shortestWait), Idle))
		select {
		case <-ctx.Done():
		case <-kick:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// Step does what is due now. It returns how many jobs it handled and how long
// until the next is due.
func (w Worker) Step(ctx context.Context) (worked int, next time.Duration, err error) {
	jobs, err := w.Agenda.Claim(ctx, w.Lane, w.Claim, w.Lease, nil)
	if err != nil {
		return 0, w.Retry, err
	}
	for _, j := range jobs {
		err := w.Do(ctx, j)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrLost) {
			continue
		}
		w.Log.Error("job not done, will try again", "lane", w.Lane, "job", j.Key, "attempt", j.Attempts, "err", err)
		err = w.Agenda.db.Update(ctx, func(tx store.Tx) error { return w.Agenda.Again(tx, j, tx.Now().Add(w.Retry)) })
		if err != nil && ctx.Err() == nil {
			w.Log.Error("job left to its lease", "lane", w.Lane, "job", j.Key, "err", err)
		}
	}
	if len(jobs) > 0 {
		return len(jobs), 0, nil
	}
	if next, err = w.Agenda.Until(ctx, w.Lane); err != nil {
		return 0, w.Retry, err
	}
	return 0, next, nil
}

// Until is how long until a lane has work, Idle if none is planned.
func (a *Agenda) Until(ctx context.Context, lane string) (time.Duration, error) {
	lanes, wake, err := a.Due(ctx, lane, 1)
	switch {
	case err != nil:
		return 0, err
	case slices.Contains(lanes, lane):
		return 0, nil // it came between a claim and this look
	case wake.IsZero():
		return Idle, nil
	}
	wait := Idle
	err = a.db.View(ctx, func(r store.Reader) error {
		wait = wake.Sub(r.Now())
		return nil
	})
	return wait, err
}
