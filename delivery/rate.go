package delivery

import "time"

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
type bucket struct{ full time.Time }

// take takes up to n tokens and returns how many there were.
func (b *bucket) take(r Rate, now time.Time, n int) int {
	if r.unlimited() {
		return n
	}
	limit := now.Add(r.burst())
	if b.full.Before(now) {
		b.full = now
	}
	if b.full.After(limit) {
		b.full = limit // the clock was set back: wait one burst, not a day
	}
	got := min(n, int(limit.Sub(b.full)/r.every()))
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

// laneState is what the process knows of a destination while it is busy or
// throttled.
type laneState struct {
	active   int
	bucket   bucket
	provider string // of its latest result
	blocked  time.Time
}

// lanesKept is when idle lane states are swept.
const lanesKept = 4096

// lane returns the state of a lane; the lock is held.
func (q *Queue) lane(name string, now time.Time) *laneState {
	if s := q.lanes[name]; s != nil {
		return s
	}
	if len(q.lanes) >= lanesKept {
		for n, s := range q.lanes {
			if s.active == 0 && !s.bucket.full.After(now) {
				delete(q.lanes, n)
			}
		}
	}
	s := &laneState{}
	q.lanes[name] = s
	return s
}

// admit reserves a worker and up to batchSize tokens for a lane. With n zero
// nothing is reserved; next, if not zero, is when to ask again. A lane that
// waits for a worker needs no time: the end of one wakes the scheduler.
func (q *Queue) admit(name string, now time.Time) (n int, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.lane(name, now)
	if q.active >= q.o.Workers || s.active >= q.o.PerDestination {
		q.throttled(s, "concurrency", time.Time{}, now)
		return 0, time.Time{}
	}
	n = s.bucket.take(q.o.DestRate, now, batchSize)
	if n == 0 {
		next = s.bucket.next(q.o.DestRate)
		q.throttled(s, "rate", next, now)
		return 0, next
	}
	got := q.global.take(q.o.GlobalRate, now, n)
	s.bucket.give(q.o.DestRate, n-got)
	if got == 0 {
		next = q.global.next(q.o.GlobalRate)
		q.throttled(s, "rate", next, now)
		return 0, next
	}
	s.active++
	q.active++
	return got, time.Time{}
}

// throttled counts one wait, once however often it is looked at.
func (q *Queue) throttled(s *laneState, limit string, until, now time.Time) {
	if s.blocked.After(now) || limit == "concurrency" && !s.blocked.IsZero() {
		return
	}
	s.blocked = now
	provider := s.provider
	if provider == "" {
		provider = otherProvider
	}
	q.met.throttled.WithLabelValues(provider, limit).Inc()
	if until.After(now) {
		s.blocked = until
		q.met.throttleWait.WithLabelValues(provider, limit).Add(until.Sub(now).Seconds())
	}
}

// giveTokens returns tokens of parcels that were not tried.
func (q *Queue) giveTokens(name string, n int) {
	if n <= 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := q.lanes[name]; s != nil {
		s.bucket.give(q.o.DestRate, n)
	}
	q.global.give(q.o.GlobalRate, n)
}

// release gives the worker's place back and wakes the scheduler.
func (q *Queue) release(name string) {
	q.mu.Lock()
	if s := q.lanes[name]; s != nil {
		s.active--
		s.blocked = time.Time{}
	}
	q.active--
	q.mu.Unlock()
	select {
	case q.freed <- struct{}{}:
	default:
	}
}
