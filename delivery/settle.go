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
	refused   bool // 5xx before MAIL
	grey      bool
	told      int
}

// settle turns a result into the parcel's fate.
func (q *Queue) settle(g *grant, c *claim, res courier.Result, sig []byte, took time.Duration) {
	p, now := c.row, q.o.Now()
	p.Last = lastOf(res, now)
	refused := res.Code/100 == 5 && res.Phase.Session()
	if refused {
		p.Refused++
	}
	out := outcome{last: p.Last, sig: sig, ambiguous: res.Ambiguous, refused: refused, grey: res.Greylisted, told: p.Told}
	result := "delivered"
	switch {
	case res.Class == courier.Success:
		out.report = p.report("sent", now)
	case res.Class == courier.Permanent:
		out.report, result = p.report("failed", now), "bounced"
	case res.Class == courier.Temporary && p.hopeless(res, now):
		out.report, result = p.report("failed", now), "bounced"
	case res.Class != courier.SenderScoped && q.expired(p, now):
		out.report, result = p.report("failed", now), "expired"
	default:
		result = "deferred"
		out.report, out.next = p.report("deferred", now), q.nextAttempt(p, res, now)
		out.report.Next = out.next
		if n := p.news(now); n > p.Told {
			out.told, out.report.Delayed = n, delays[n-1]
		}
	}
	q.holdSender(p, res, now)
	q.feedback(g.site, res, now)
	q.observe(g, p, res, result, now, took)
	q.finish(c, out)
}

func lastOf(res courier.Result, now time.Time) *Last {
	return &Last{
		Code: res.Code, Enhanced: res.Enhanced, Text: res.Text, MX: res.Host,
		Remote: res.Remote, Phase: string(res.Phase), TLS: res.TLS, At: now.UTC(),
	}
}

// senderHold keeps the mail of one of our domains back: receivers refuse it
// for what it claims to be, which only its owner can repair.
type senderHold struct {
	since, until time.Time
	reason       string
	dirty, over  bool // see changed
}

// holdSender holds or releases a sender's domain after a result. A smarthost
// that refuses us is held as a site.
func (q *Queue) holdSender(p *row, res courier.Result, now time.Time) {
	name := p.sender()
	if res.Route != "" || name == "" {
		return
	}
	spread := q.jitter(1)[0]
	q.mu.Lock()
	defer q.mu.Unlock()
	h := q.senders[name]
	switch {
	case res.Class == courier.Success:
		if h != nil {
			h.over, h.until = true, time.Time{}
		}
	case res.Class != courier.SenderScoped:
	case h == nil || h.over:
		q.senders[name] = &senderHold{since: now, until: now.Add(spreadOut(heldPause, spread)), reason: words(res), dirty: true}
		q.alert("outbound mail of a domain held: a receiver refuses it as a sender", "domain", name, "code", res.Code, "enhanced", res.Enhanced, "text", res.Text, "mx", res.Host)
	default:
		h.until, h.reason, h.dirty = now.Add(spreadOut(heldPause, spread)), words(res), true
	}
}

// observe counts and logs an attempt.
func (q *Queue) observe(g *grant, p *row, res courier.Result, result string, now time.Time, took time.Duration) {
	provider := g.label
	if res.Host != "" {
		provider = courier.Provider(res.Host)
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
		"code", res.Code, "enhanced", res.Enhanced, "text", res.Text, "mx", res.Host, "tls", res.TLS.String(), "phase", res.Phase, "ambiguous", res.Ambiguous, "cause", res.Err)
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
		p, err := q.mine(tx, c)
		if err != nil {
			return err
		}
		old := *p
		if out.next.IsZero() {
			p.Unsettled = &out.report
		}
		if err := q.rest(tx, c, p, out, next); err != nil {
			return err
		}
		return q.parcels.Replace(tx, &old, p)
	})
}

func (q *Queue) commit(tx store.Tx, c *claim, out outcome) error {
	if !out.next.IsZero() {
		// It would be tried again, unless it was taken back meanwhile.
		p, err := q.mine(tx, c)
		if err != nil {
			return err
		}
		if p.Recalled != "" {
			out.report, out.next = p.withdrawn(tx.Now()), time.Time{}
			out.report.Unsure = out.report.Unsure || out.ambiguous
		}
	}
	if err := q.o.Ledger.Settled(tx, out.report); err != nil {
		return fmt.Errorf("%w: %w", errLedger, err)
	}
	if err := q.learn(tx, c.row, out); err != nil {
		return err
	}
	p, err := q.mine(tx, c)
	if err != nil {
		return err
	}
	if out.next.IsZero() {
		if err := q.o.Agenda.Done(tx, c.job); err != nil {
			return err
		}
		return q.remove(tx, p)
	}
	old := *p
	if err := q.rest(tx, c, p, out, out.next); err != nil {
		return err
	}
	return q.parcels.Replace(tx, &old, p)
}

// rest ends the attempt on a parcel that stays.
func (q *Queue) rest(tx store.Tx, c *claim, p *row, out outcome, next time.Time) error {
	p.Phase, p.Lease, p.Paid, p.Told = "", 0, time.Time{}, max(p.Told, out.told)
	if out.last != nil {
		p.Last = out.last
	}
	if len(out.sig) > 0 {
		p.Signature = out.sig
	}
	if out.ambiguous {
		p.Ambiguous++
	}
	if out.refused {
		p.Refused++
	}
	p.Grey = p.Grey || out.grey
	return q.reline(tx, p, c.job, next)
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
		err := q.group.update(fn)
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
