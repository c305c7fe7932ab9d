package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// outcome is what one attempt changes.
type outcome struct {
	report    message.Report
	next      time.Time // zero: the parcel leaves the queue
	last      *Last
	sig       []byte
	ambiguous bool
}

// minExpiry is how many attempts a parcel gets at least: a clock that jumps
// ahead by a week must not fail everything in the queue.
const minExpiry = 3

// settle turns a result into the parcel's fate.
func (q *Queue) settle(lane string, c *claim, res courier.Result, sig []byte, took time.Duration) {
	p, now := c.row, q.o.Now()
	p.Last = &Last{
		Code: res.Code, Enhanced: res.Enhanced, Text: res.Text, MX: res.Host,
		Remote: res.Remote, Phase: string(res.Phase), TLS: res.TLS, At: now.UTC(),
	}
	out := outcome{last: p.Last, sig: sig, ambiguous: res.Ambiguous}
	result := "delivered"
	switch {
	case res.Class == courier.Success:
		out.report = p.report("sent", now)
	case res.Class == courier.Permanent:
		out.report, result = p.report("failed", now), "bounced"
	case p.age(now) >= q.o.Expire && p.Attempts >= min(minExpiry, len(q.o.Retry)+1):
		out.report, result = p.report("failed", now), "expired"
	default:
		result = "deferred"
		out.report, out.next = p.report("deferred", now), q.nextAttempt(p, now)
		out.report.Next = out.next
	}
	q.observe(lane, p, res, result, now, took)
	q.finish(c, out)
}

// nextAttempt is the time set when the attempt began, or the end of the
// parcel's life if that is earlier: the last attempt is made then.
func (q *Queue) nextAttempt(p *row, now time.Time) time.Time {
	next := p.Due
	if end := p.Since.Add(q.o.Expire); end.Before(next) && end.After(now) {
		next = end
	}
	if floor := now.Add(q.o.Retry[0] / 2); next.Before(floor) {
		next = floor // a long attempt has used its wait up
	}
	return next.Truncate(time.Microsecond)
}

// observe counts and logs an attempt.
func (q *Queue) observe(lane string, p *row, res courier.Result, result string, now time.Time, took time.Duration) {
	provider := courier.Provider(res.Host)
	if res.Host != "" {
		q.mu.Lock()
		if s := q.lanes[lane]; s != nil {
			s.provider = provider
		}
		q.mu.Unlock()
	}
	q.met.attempts.WithLabelValues(p.Class, provider, result).Inc()
	if took > 0 {
		q.met.duration.WithLabelValues(provider).Observe(took.Seconds())
	}
	if res.Code != 0 {
		q.met.responses.WithLabelValues(provider, status(res)).Inc()
	}
	if res.Ambiguous {
		q.met.ambiguous.Inc()
	}
	if result == "delivered" {
		q.met.delay.WithLabelValues(p.Class).Observe(p.age(now).Seconds())
	}
	q.o.Log.Info("outbound attempt", "parcel", p.ID, "ticket", p.Ticket, "result", result, "attempt", p.Attempts,
		"code", res.Code, "enhanced", res.Enhanced, "text", res.Text, "mx", res.Host, "phase", res.Phase, "ambiguous", res.Ambiguous, "cause", res.Err)
}

// errLedger marks an error as the ledger's.
var errLedger = errors.New("ledger")

// finish commits an outcome. If the ledger will not have it, the outcome is
// kept with the parcel and offered again later: what has been delivered is not
// sent again because its ticket could not be written.
func (q *Queue) finish(c *claim, out outcome) {
	err := q.durably(c, func(tx store.Tx) error { return q.commit(tx, c, out) })
	if !errors.Is(err, errLedger) {
		return
	}
	wait := q.backoff(1, q.jitter(1)[0])
	q.durably(c, func(tx store.Tx) error {
		next := tx.Now().Add(wait)
		if out.next.After(next) {
			next = out.next
		}
		if err := q.o.Agenda.Again(tx, c.job, next); err != nil {
			return err
		}
		p, err := q.mine(tx, c)
		if err != nil {
			return err
		}
		q.rest(p, out, next)
		if out.next.IsZero() {
			p.Unsettled = &out.report
		}
		return q.parcels.Put(tx, p)
	})
}

func (q *Queue) commit(tx store.Tx, c *claim, out outcome) error {
	if err := q.o.Ledger.Settled(tx, out.report); err != nil {
		return fmt.Errorf("%w: %w", errLedger, err)
	}
	if err := q.learn(tx, c.row, out); err != nil {
		return err
	}
	if out.next.IsZero() {
		if err := q.o.Agenda.Done(tx, c.job); err != nil {
			return err
		}
		if _, err := q.mine(tx, c); err != nil {
			return err
		}
		return q.parcels.Delete(tx, parcelKey(c.row.ID))
	}
	if err := q.o.Agenda.Again(tx, c.job, out.next); err != nil {
		return err
	}
	p, err := q.mine(tx, c)
	if err != nil {
		return err
	}
	q.rest(p, out, out.next)
	return q.parcels.Put(tx, p)
}

// rest ends the attempt on a parcel that stays.
func (q *Queue) rest(p *row, out outcome, next time.Time) {
	p.Phase, p.Lease, p.Due = "", 0, next
	if out.last != nil {
		p.Last = out.last
	}
	if len(out.sig) > 0 {
		p.Signature = out.sig
	}
	if out.ambiguous {
		p.Ambiguous++
	}
}

// settleTries and settleTime bound how hard an outcome is written down. It is
// worth some effort: an outcome lost is a mail sent twice.
const (
	settleTries = 5
	ledgerTries = 2 // then the outcome is kept for later
	settleTime  = 30 * time.Second
)

// durably runs a transaction that ends a claim, several times if need be. It
// is not cut short by a shutdown. A claim that was lost meanwhile is somebody
// else's to end.
func (q *Queue) durably(c *claim, fn func(store.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	for try := 1; ; try++ {
		err := q.o.DB.Update(ctx, fn)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, agenda.ErrLost), errors.Is(err, errNotMine):
			q.o.Log.Warn("a claim was lost before its outcome was written", "parcel", c.job.Key, "cause", err)
			return err
		case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed):
			select {
			case q.fatal <- err:
			default:
			}
			return err
		case try == settleTries || errors.Is(err, errLedger) && try == ledgerTries || ctx.Err() != nil:
			q.o.Log.Error("the outcome of an attempt cannot be written", "parcel", c.job.Key, "cause", err)
			return err
		}
		pause := time.NewTimer(time.Duration(try*try) * 50 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}
