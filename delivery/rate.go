package delivery

import (
	"strings"
	"time"
)

// Rate is a budget: Count per Per, with at most Burst at once (Count if zero).
// The zero Rate is no limit.
type Rate struct {
	Count int
	Per   time.Duration
	Burst int
}

func (r Rate) unlimited() bool { return r.Count <= 0 || r.Per <= 0 }

func (r Rate) every() time.Duration { return max(1, r.Per/time.Duration(r.Count)) }

func (r Rate) burst() time.Duration {
	n := r.Burst
	if n <= 0 {
		n = r.Count
	}
	return time.Duration(n) * r.every()
}

// bucket is a token bucket as GCRA keeps it: one time, that at which it would
// be full again.
type bucket struct {
	full  time.Time
	dirty bool // since it was last saved
	saved bool // there is a row of it
}

// take takes up to n tokens and returns how many there were.
func (b *bucket) take(r Rate, now time.Time, n int) int {
	if r.unlimited() {
		return n
	}
	limit := now.Add(r.burst())
	if b.full.Before(now) {
		b.full = now
	}
	if b.full.After(limit.Add(2 * paidHorizon)) {
		b.full = limit // the clock was set back: wait one burst, not a day
	}
	got := max(0, min(n, int(limit.Sub(b.full)/r.every())))
	b.full = b.full.Add(time.Duration(got) * r.every())
	return got
}

// give returns tokens that were not needed.
func (b *bucket) give(r Rate, n int) {
	if !r.unlimited() {
		b.full = b.full.Add(-time.Duration(n) * r.every())
	}
}

// next is the earliest time at which a token can be had.
func (b *bucket) next(r Rate) time.Time {
	if r.unlimited() {
		return time.Time{}
	}
	return b.full.Add(r.every() - r.burst())
}

// reserve takes the next token, of the future if need be, and returns when it
// can be used. It does not reach further ahead than horizon: then ok is false
// and nothing was taken.
func (b *bucket) reserve(r Rate, now time.Time, horizon time.Duration) (at time.Time, ok bool) {
	if b.take(r, now, 1) == 1 {
		return now, true
	}
	at = b.next(r)
	if at.Sub(now) > horizon {
		return at, false
	}
	b.full = b.full.Add(r.every())
	return at, true
}

// Scopes of Options.Rates. A key is a scope, for everybody in it alike, or
// scope/name for one of them.
const (
	ScopeGlobal   = "global"   // everything
	ScopeEgress   = "egress"   // one of our own addresses
	ScopeAccount  = "account"  // a smarthost, by its host name
	ScopeProvider = "provider" // a Provider of mail exchangers, by its name
	ScopeDomain   = "domain"   // a recipient domain
	ScopeQueue    = "queue"    // one of our ticket queues
	ScopeSender   = "sender"   // an envelope sender
)

// ScopeConnections is a scope of Options.Rates too, but not of mails: it counts
// new connections to the exchangers of a Provider, or to an exchanger of nobody's.
const ScopeConnections = "connections"

// Scopes returns every scope of Options.Rates that counts mails.
func Scopes() []string {
	return []string{ScopeGlobal, ScopeEgress, ScopeAccount, ScopeProvider, ScopeDomain, ScopeQueue, ScopeSender}
}

// rate finds the rate for a scope's member.
func (o *Options) rate(scope, name string) Rate {
	if scope == ScopeConnections {
		name, _, _ = strings.Cut(name, "@") // each address of ours may make as many
	}
	if r, ok := o.Rates[scope+"/"+name]; ok {
		return r
	}
	for i := range o.Providers {
		if p := &o.Providers[i]; scope == ScopeConnections && p.Name == name && !p.Dials.unlimited() {
			return p.Dials
		}
	}
	if r, ok := o.Rates[scope]; ok {
		return r
	}
	if scope == ScopeProvider {
		for i := range o.Providers {
			if o.Providers[i].Name == name {
				return o.Providers[i].Rate
			}
		}
	}
	return Rate{}
}

// budget is one bucket that a mail is paid from.
type budget struct {
	key  string // scope/name
	rate Rate
}

func (q *Queue) budget(list []budget, scope, name string) []budget {
	if r := q.o.rate(scope, name); !r.unlimited() {
		list = append(list, budget{strings.ToLower(scope + "/" + name), r})
	}
	return list
}

// bucketsKept is when buckets that are full again are swept.
const bucketsKept = 4096

// bucket returns the state of a budget; the lock is held.
func (q *Queue) bucket(b budget, now time.Time) *bucket {
	if k := q.buckets[b.key]; k != nil {
		return k
	}
	if len(q.buckets) >= bucketsKept {
		for key, k := range q.buckets {
			if !k.full.After(now) && !k.saved {
				delete(q.buckets, key)
			}
		}
	}
	k := &bucket{}
	q.buckets[b.key] = k
	return k
}

// spend takes up to n tokens from every budget and returns how many all of
// them had; if none, next is when to ask again. The lock is held.
func (q *Queue) spend(list []budget, now time.Time, n int) (got int, next time.Time) {
	got = n
	for i, b := range list {
		k := q.bucket(b, now)
		had := k.take(b.rate, now, got)
		k.dirty = true
		for _, before := range list[:i] {
			q.bucket(before, now).give(before.rate, got-had)
		}
		if got = had; got == 0 {
			return 0, k.next(b.rate)
		}
	}
	return got, time.Time{}
}

// refund returns n tokens of parcels that were not tried.
func (q *Queue) refund(list []budget, n int) {
	if n <= 0 || len(list) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range list {
		k := q.bucket(b, q.o.Now())
		k.give(b.rate, n)
		k.dirty = true
	}
}
