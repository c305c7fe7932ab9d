package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

const (
	lanesPerLook = 1000
	longestNap   = 10 * time.Second // a look costs one seek, and clocks get set
)

// Run delivers until ctx ends. It then starts no new attempt, waits up to
// Options.Drain for answers in flight, breaks off what is left and returns nil.
// It returns an error if the store fails. It may be called once.
func (q *Queue) Run(ctx context.Context) error {
	carry, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	wake, stop := q.o.Agenda.Kick(lanePrefix)
	defer stop()
	if err := q.recover(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var err error
	for ctx.Err() == nil && err == nil {
		again, next, lerr := q.schedule(ctx, carry)
		switch {
		case ctx.Err() != nil:
		case errors.Is(lerr, store.ErrFailed), errors.Is(lerr, store.ErrClosed):
			err = lerr
		case lerr != nil:
			q.o.Log.Error("outbound queue cannot look for work", "cause", lerr)
			err = q.nap(ctx, nil, time.Second)
		case !again:
			err = q.nap(ctx, wake, q.untilThen(next))
		}
	}
	q.drain(abort)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return nil
}

// nap waits for work, a free worker, the time or the end.
func (q *Queue) nap(ctx context.Context, wake <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-q.freed:
	case <-timer.C:
	case err := <-q.fatal:
		return err
	}
	return nil
}

func (q *Queue) untilThen(next time.Time) time.Duration {
	if next.IsZero() {
		return longestNap
	}
	return min(longestNap, max(time.Millisecond, next.Sub(q.o.Now())))
}

// drain waits for the workers, first patiently, then not.
func (q *Queue) drain(abort func()) {
	done := make(chan struct{})
	go func() {
		q.workers.Wait()
		close(done)
	}()
	timer := time.NewTimer(q.o.Drain)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		q.o.Log.Warn("outbound answers did not come in time, they will be tried again")
		abort()
		<-done
	}
}

// schedule starts a worker for every lane that is due, has room and budget. It
// reports whether it started any, and when to look again if not earlier woken.
func (q *Queue) schedule(ctx, carry context.Context) (started bool, next time.Time, err error) {
	lanes, next, err := q.o.Agenda.Due(ctx, lanePrefix, lanesPerLook)
	if err != nil {
		return false, time.Time{}, err
	}
	for _, lane := range lanes {
		if ctx.Err() != nil {
			return started, next, nil
		}
		n, wait := q.admit(lane, q.o.Now())
		if n == 0 {
			if !wait.IsZero() && (next.IsZero() || wait.Before(next)) {
				next = wait
			}
			continue
		}
		claims, err := q.claim(ctx, lane, n)
		q.giveTokens(lane, n-len(claims))
		if err != nil || len(claims) == 0 {
			q.release(lane)
			if err != nil {
				return started, next, err
			}
			continue
		}
		started = true
		q.workers.Go(func() {
			defer q.release(lane)
			q.work(ctx, carry, lane, claims)
		})
	}
	return started, next, nil
}

// claim is a parcel with an attempt counted. row is nil if the job has no
// parcel.
type claim struct {
	job agenda.Job
	row *row
	at  time.Time
}

// claim counts attempts, durably, and returns them.
func (q *Queue) claim(ctx context.Context, lane string, n int) ([]*claim, error) {
	spread := q.jitter(n)
	seen := map[string]*claim{}
	jobs, err := q.o.Agenda.Claim(ctx, lane, n, q.o.Lease, func(tx store.Tx, j *agenda.Job) error {
		c := &claim{at: tx.Now()}
		if err := q.parcels.Lock(tx, parcelKey(j.Key)); err != nil {
			return err
		}
		p, err := q.parcels.Find(tx, parcelKey(j.Key))
		if err != nil {
			return err
		}
		seen[j.Key], c.row = c, p
		if p == nil {
			return nil
		}
		if p.Phase == phaseDot { // a lease lapsed under a worker
			p.Ambiguous++
			tx.OnCommit(q.met.ambiguous.Inc)
		}
		if p.Unsettled == nil {
			p.Attempts++
		}
		p.Phase, p.Lease, p.Started = phaseAttempt, j.Lease, tx.Now()
		p.Due = tx.Now().Add(q.backoff(p.Attempts, spread[j.Lease%uint64(len(spread))]))
		return q.parcels.Put(tx, p)
	})
	if err != nil {
		return nil, err
	}
	claims := make([]*claim, 0, len(jobs))
	for _, j := range jobs {
		c := seen[j.Key]
		c.job = j
		claims = append(claims, c)
	}
	return claims, nil
}

// recover takes back what an earlier process had in flight: its workers are
// gone, so their leases need not be waited for.
func (q *Queue) recover(ctx context.Context) error {
	for {
		var page []*row
		err := q.o.DB.View(ctx, func(r store.Reader) error {
			var err error
			page, _, err = q.parcels.Page(r, store.Query{Index: byFlight, Limit: 100})
			return err
		})
		if err != nil {
			return fmt.Errorf("delivery: recover: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		if err := q.o.DB.Update(ctx, func(tx store.Tx) error { return q.takeBack(tx, page) }); err != nil {
			return fmt.Errorf("delivery: recover: %w", err)
		}
	}
}

func (q *Queue) takeBack(tx store.Tx, page []*row) error {
	slices.SortFunc(page, func(a, b *row) int { return strings.Compare(a.Lane, b.Lane) })
	for _, old := range page {
		job := agenda.Job{Lane: old.Lane, Key: old.ID, Lease: old.Lease, Due: old.Due}
		err := q.o.Agenda.Again(tx, job, old.Due)
		if errors.Is(err, agenda.ErrLost) {
			err = q.o.Agenda.Put(tx, job) // a parcel must never be without its job
		}
		if err != nil {
			return err
		}
		if err := q.parcels.Lock(tx, parcelKey(old.ID)); err != nil {
			return err
		}
		p, err := q.parcels.Find(tx, parcelKey(old.ID))
		if err != nil {
			return err
		}
		if p == nil || p.Phase == "" {
			continue
		}
		if p.Phase == phaseDot {
			p.Ambiguous++
			tx.OnCommit(func() {
				q.met.ambiguous.Inc()
				q.o.Log.Warn("a mail may have been delivered before the last stop; it will be sent again", "parcel", p.ID, "ticket", p.Ticket)
			})
		}
		p.Phase, p.Lease = "", 0
		if err := q.parcels.Put(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// backoff is the wait after the given attempt, spread by a fifth either way.
func (q *Queue) backoff(attempt int, spread float64) time.Duration {
	d := q.o.Retry[min(max(attempt, 1), len(q.o.Retry))-1]
	return (d + time.Duration((spread-0.5)*0.4*float64(d))).Truncate(time.Microsecond) // as times are stored
}

// jitter draws n numbers in [0, 1). Without randomness there is no spread.
func (q *Queue) jitter(n int) []float64 {
	buf := make([]byte, 8*n)
	q.random.Lock()
	_, err := io.ReadFull(q.o.Random, buf)
	q.random.Unlock()
	out := make([]float64, n)
	for i := range out {
		out[i] = 0.5
		if err == nil {
			out[i] = float64(binary.BigEndian.Uint64(buf[8*i:])>>11) / (1 << 53)
		}
	}
	return out
}
