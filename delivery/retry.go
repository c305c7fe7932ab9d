package delivery

import (
	"slices"
	"time"

	"ticketgate/delivery/courier"
)

// DefaultRetry are the waits between attempts.
func DefaultRetry() []time.Duration {
	return []time.Duration{
		time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour,
	}
}

const (
	longestWait  = 6 * time.Hour    // that a peer may ask for
	greyWait     = 5 * time.Minute  // what nearly every greylist is content with
	fullMailbox  = 24 * time.Hour   // how long a full mailbox may be emptied
	sessionTries = 3                // refusals before MAIL are the server's mistake; another one is not
	paidHorizon  = 10 * time.Minute // how far ahead a budget is spent
)

// expireAfter is how long a mail of this class is tried.
func (o *Options) expireAfter(class string) time.Duration {
	switch bandOf(class) {
	case bandNotice:
		return o.ExpireNotice
	case bandBulk:
		return o.ExpireBulk
	}
	return o.Expire
}

// expired reports that a mail has been tried for long enough. The wall clock
// may have jumped, so it is believed only if enough attempts were made or the
// program ran long enough since.
func (q *Queue) expired(p *row, now time.Time) bool {
	life := q.o.expireAfter(p.Class)
	if p.age(now) < life {
		return false
	}
	return p.Attempts >= min(8, len(q.o.Retry)) || q.uptime()-p.Up >= life/4
}

// backoff is the wait after the given attempt, spread by a fifth either way.
func (q *Queue) backoff(attempt int, spread float64) time.Duration {
	d := q.o.Retry[min(max(attempt, 1), len(q.o.Retry))-1]
	return spreadOut(d, spread)
}

// spreadOut changes d by up to a fifth; spread is in [0, 1). The result is as
// times are stored.
func spreadOut(d time.Duration, spread float64) time.Duration {
	return (d + time.Duration((spread-0.5)*0.4*float64(d))).Truncate(time.Microsecond)
}

// nextAttempt is when a mail is tried again after res: when the peer wants to
// see it again, else the time that was set when the attempt began. The last
// attempt is made at the end of the mail's life.
func (q *Queue) nextAttempt(p *row, res courier.Result, now time.Time) time.Time {
	next := p.Due
	switch {
	case res.After > 0:
		next = now.Add(min(res.After, longestWait) + q.o.Retry[0]/10)
	case res.Greylisted && !p.Grey:
		next = now.Add(min(greyWait, slices.Max(q.o.Retry)))
	}
	if end := p.Since.Add(q.o.expireAfter(p.Class)); end.Before(next) && end.After(now) {
		next = end
	}
	if floor := now.Add(q.o.Retry[0] / 2); next.Before(floor) {
		next = floor // a long attempt has used its wait up
	}
	return next.Truncate(time.Microsecond)
}

// hopeless reports that a failure which is temporary by its nature has lasted
// too long to be.
func (p *row) hopeless(res courier.Result, now time.Time) bool {
	switch {
	case res.Code/100 != 5:
		return false
	case res.Phase.Session():
		return p.Refused > sessionTries
	case res.Enhanced == "5.2.2" || res.Code == 552:
		return p.age(now) >= fullMailbox
	}
	return false
}

// Times at which a mail that is still waiting is worth a word on its ticket.
var delays = [...]time.Duration{time.Hour, 24 * time.Hour}

// late returns how many of the delays a mail has passed.
func (p *row) late(now time.Time) (n int) {
	for _, d := range delays {
		if p.age(now) >= d {
			n++
		}
	}
	return n
}
