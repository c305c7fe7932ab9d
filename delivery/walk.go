package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

const (
	walkPage  = 500
	walkPause = 200 * time.Millisecond // between two pages: a million parcels take some minutes
	walkEvery = time.Minute
	overdue   = 10 * time.Minute // from then on a parcel that waits for its turn is looked after
	maxTrials = 100              // findings that an audit lists
)

// walk goes through all parcels slowly, for ever: what waits for a destination
// that is left alone gets no attempt that could tell its ticket of the delay or
// give it up, and nothing else would notice a parcel that lost its job, or one
// that waits for servers which its way does not lead to any more.
func (q *Queue) walk(ctx context.Context) {
	var cursor store.Key
	for {
		next, err := q.walkOn(ctx, cursor)
		if err != nil && ctx.Err() == nil {
			q.o.Log.Error("the outbound queue cannot be looked after", "cause", err)
		}
		cursor = next
		rest := walkPause
		if cursor == nil || err != nil {
			cursor, rest = nil, walkEvery
		}
		timer := time.NewTimer(rest)
		select {
		case <-q.rewalk:
			cursor = nil
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// walkOn looks after one page of parcels.
func (q *Queue) walkOn(ctx context.Context, after store.Key) (next store.Key, err error) {
	var page []*row
	lost := map[string]bool{}
	err = q.o.DB.View(ctx, func(r store.Reader) error {
		var err error
		clear(lost)
		if page, next, err = q.parcels.Page(r, store.Query{After: after, Limit: walkPage}); err != nil {
			return err
		}
		for _, p := range page {
			if p.Held != nil || p.Phase != "" {
				continue
			}
			if _, err := q.o.Agenda.Job(r, p.Lane, p.ID); errors.Is(err, store.ErrNotFound) {
				lost[p.ID] = true
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := q.redirect(ctx, page); err != nil {
		return nil, err
	}
	for _, p := range page {
		now := q.o.Now()
		if p.Held != nil || p.Phase != "" || p.Unsettled != nil {
			continue
		}
		switch {
		case lost[p.ID]:
			err = q.tend(ctx, p.ID, q.restore)
		case now.Sub(p.Due) > overdue && q.expired(p, now) && q.inTheWay(ctx, p) == nil && !q.refused(ctx, p):
			err = q.tend(ctx, p.ID, q.giveUp)
		case p.news(now) > p.Told:
			err = q.tend(ctx, p.ID, q.tellDelay)
		}
		if err != nil {
			return nil, err
		}
	}
	return next, nil
}

// tend runs fn on a parcel that still waits for an attempt.
func (q *Queue) tend(ctx context.Context, id string, fn func(store.Tx, *row) error) error {
	return q.o.DB.Update(ctx, func(tx store.Tx) error {
		key := parcelKey(id)
		if err := q.parcels.Lock(tx, key); err != nil {
			return err
		}
		p, err := q.parcels.Find(tx, key)
		if err != nil || p == nil || p.Held != nil || p.Phase != "" || p.Unsettled != nil {
			return err
		}
		return fn(tx, p)
	})
}

// restore gives a parcel its job back.
func (q *Queue) restore(tx store.Tx, p *row) error {
	tx.OnCommit(func() { q.o.Log.Error("an outbound mail had lost its place in the queue", "parcel", p.ID) })
	return q.o.Agenda.Put(tx, agenda.Job{Lane: p.Lane, Key: p.ID, Due: p.Due})
}

// giveUp fails a parcel whose destination has not come back in its lifetime.
func (q *Queue) giveUp(tx store.Tx, p *row) error {
	now := tx.Now()
	if !q.expired(p, now) {
		return nil
	}
	r := p.report("failed", now)
	if p.Last == nil {
		lane, err := q.o.Agenda.Lane(tx, p.Lane)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		r.Enhanced, r.Text = "4.4.7", clip("not delivered in "+q.o.expireAfter(p.Class).String()+"; "+lane.Reason)
	}
	found, err := q.o.Agenda.Remove(tx, p.Lane, p.ID)
	if err != nil || !found {
		return err
	}
	if err := q.o.Ledger.Settled(tx, r); err != nil {
		return err
	}
	tx.OnCommit(func() {
		q.met.attempts.WithLabelValues(p.Class, otherProvider, "expired").Inc()
		q.o.Log.Info("outbound mail given up", "parcel", p.ID, "ticket", p.Ticket, "attempts", p.Attempts, "text", r.Text)
	})
	return q.remove(tx, p)
}

// tellDelay tells the ledger that a mail is late.
func (q *Queue) tellDelay(tx store.Tx, p *row) error {
	old := *p
	n := p.news(tx.Now())
	if n <= p.Told {
		return nil
	}
	p.Told = n
	r := p.report(p.waiting(), tx.Now())
	r.Next, r.Delayed = p.Due, delays[n-1]
	if err := q.o.Ledger.Settled(tx, r); err != nil {
		return err
	}
	return q.parcels.Replace(tx, &old, p)
}

// news is how many delays of a mail are worth a word by now.
func (p *row) news(now time.Time) int {
	if bandOf(p.Class) == bandBulk {
		return p.Told
	}
	return p.late(now)
}

// Audit is what Verify found. A sound queue has no findings.
type Audit struct {
	Parcels  int      `json:"parcels"`
	Jobs     int      `json:"jobs"`
	Counted  int      `json:"counted"` // parcels, by the counters
	Findings []string `json:"findings"`
}

func (a *Audit) find(format string, args ...any) {
	if len(a.Findings) < maxTrials {
		a.Findings = append(a.Findings, fmt.Sprintf(format, args...))
	}
}

// Verify walks through the whole queue and checks that every parcel has exactly
// its job, every job its parcel, every lane a wake time that is not too late,
// and that the counters are right. It changes nothing. While the queue is at
// work the counters may be off by what moved meanwhile.
func (q *Queue) Verify(ctx context.Context) (Audit, error) {
	a := Audit{Findings: []string{}}
	var cursor store.Key
	for {
		err := q.o.DB.View(ctx, func(r store.Reader) error {
			page, next, err := q.parcels.Page(r, store.Query{After: cursor, Limit: walkPage})
			for _, p := range page {
				if err := q.auditParcel(r, p, &a); err != nil {
					return err
				}
			}
			a.Parcels += len(page)
			cursor = next
			return err
		})
		if err != nil {
			return a, fmt.Errorf("delivery: verify: %w", err)
		}
		if cursor == nil {
			break
		}
	}
	lane := ""
	for {
		err := q.o.DB.View(ctx, func(r store.Reader) error {
			page, next, err := q.o.Agenda.Page(r, lanePrefix, cursor, walkPage)
			for i := range page {
				if err := q.auditJob(r, &page[i], &lane, &a); err != nil {
					return err
				}
			}
			a.Jobs += len(page)
			cursor = next
			return err
		})
		if err != nil {
			return a, fmt.Errorf("delivery: verify: %w", err)
		}
		if cursor == nil {
			break
		}
	}
	err := q.o.DB.View(ctx, func(r store.Reader) (err error) {
		a.Counted, err = count(r)
		return err
	})
	if err == nil && a.Counted != a.Parcels {
		a.find("%d parcels are counted, %d are there", a.Counted, a.Parcels)
	}
	return a, err
}

func (q *Queue) auditParcel(r store.Reader, p *row, a *Audit) error {
	j, err := q.o.Agenda.Job(r, p.Lane, p.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	switch {
	case p.Held != nil && j != nil:
		a.find("parcel %s is held and has a job", p.ID)
	case p.Held != nil && p.Phase != "":
		a.find("parcel %s is held in an attempt", p.ID)
	case p.Held != nil:
	case j == nil:
		a.find("parcel %s has no job in %s", p.ID, p.Lane)
	case p.Phase == "" && j.Lease != 0:
		a.find("parcel %s waits, its job is claimed", p.ID)
	case p.Phase == "" && !j.Due.Equal(p.Due):
		a.find("parcel %s is due at %s, its job at %s", p.ID, p.Due, j.Due)
	case p.Phase != "" && p.Lease != j.Lease:
		a.find("parcel %s is in flight for another claim than its job", p.ID)
	case p.Phase == "" && p.Lane != p.lane():
		a.find("parcel %s is in lane %s", p.ID, p.Lane)
	}
	there, err := q.o.Blobs.Has(r, p.SHA256)
	if err == nil && !there {
		a.find("parcel %s has no content", p.ID)
	}
	return err
}

func (q *Queue) auditJob(r store.Reader, j *agenda.Job, lane *string, a *Audit) error {
	p, err := q.parcels.Find(r, parcelKey(j.Key))
	if err != nil {
		return err
	}
	if p == nil || p.Lane != j.Lane {
		a.find("job %s in %s has no parcel", j.Key, j.Lane)
	}
	if *lane == j.Lane {
		return nil
	}
	*lane = j.Lane
	l, err := q.o.Agenda.Lane(r, j.Lane)
	if errors.Is(err, store.ErrNotFound) {
		a.find("lane %s has jobs and no wake time", j.Lane)
		return nil
	}
	if err != nil {
		return err
	}
	head, err := q.o.Agenda.Jobs(r, j.Lane, 1)
	if err != nil || len(head) == 0 {
		return err
	}
	at := head[0].Due
	if head[0].Lease != 0 {
		at = head[0].Until
	}
	if l.NotBefore.After(at) {
		at = l.NotBefore
	}
	if l.Wake.After(at) && l.Wake.After(r.Now()) { // a pause that ran out is tidied up by the next look
		a.find("lane %s wakes at %s, its head is due at %s", j.Lane, l.Wake, at)
	}
	return nil
}
