package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/store"
)

// dest is a heading with due work, in memory while it has some. The queue's
// lock guards it.
type dest struct {
	heading
	due      [bands][2]bool // lanes with due work: new and tried
	claiming [bands][2]bool // a worker is claiming from the lane
	missed   [bands][2]bool // the lane was seen due while a worker claimed
	tried    [bands]bool    // it is the turn of those tried before
	queued   [bands]bool    // stands in the band's ring
	workers  int
	window   int // parcels claimed and not settled

	site    *site
	looked  time.Time // when the site was looked up
	looking bool
}

func (d *dest) hasWork(b band) bool { return d.due[b][0] || d.due[b][1] }

func (d *dest) idle() bool {
	return d.workers == 0 && !d.looking && d.queued == [bands]bool{}
}

// scheduler decides who is next. It holds the destinations with due work that
// it has room for; the store holds the rest.
type scheduler struct {
	dests   map[heading]*dest
	rings   [bands][]*dest
	credit  [bands]int // deficit round robin, in parcels
	workers int
	lookups int
	window  int // parcels claimed and not settled
	parks   []park
	frees   []string // lanes whose site came back
}

// park moves a lane's wake forward, so that it is not looked at before.
type park struct {
	lane   string
	until  time.Time
	reason string
}

// grant is a worker's leave to claim n parcels from a lane.
type grant struct {
	dest     *dest
	site     *site
	label    string // the site's provider, for metrics
	messages int    // the site's, as it was under the lock
	band     band
	tried    bool
	n        int
	paid     []budget
	lookup   bool // find out the site instead
}

func (g *grant) lane() string { return laneOf(g.dest.heading, g.band, g.tried) }

const (
	batchSize    = 16                        // parcels that one worker claims at once
	perDest      = 64                        // parcels of one destination in memory
	inMemory     = 8192                      // parcels in memory in all
	maxDests     = 2000                      // destinations in memory with due work
	maxLookups   = 64                        // look-ups of sites at once
	siteLife     = 5 * time.Minute           // of a look-up
	shortWait    = time.Second               // waits up to this are sat out in memory
	makeRoom     = 5 * time.Second           // how long a busy destination is set aside for others
	lanesPerLook = maxDests*2*int(bands) + 1 // shows more destinations than fit in
)

func slot(tried bool) int {
	if tried {
		return 1
	}
	return 0
}

// arrive notes that a lane has due work. It reports false if there is no room
// for its destination.
func (q *Queue) arrive(lane string) bool {
	h, b, tried, ok := readLane(lane)
	if !ok {
		return true
	}
	s := &q.sched
	d := s.dests[h]
	if d == nil {
		if len(s.dests) >= maxDests && !q.forget() {
			return false
		}
		d = &dest{heading: h}
		s.dests[h] = d
	}
	if d.claiming[b][slot(tried)] {
		d.missed[b][slot(tried)] = true
		return true
	}
	d.due[b][slot(tried)] = true
	q.enqueue(d, b)
	return true
}

// enqueue puts a destination at the end of a band's ring if it has work there.
func (q *Queue) enqueue(d *dest, b band) {
	if !d.queued[b] && d.hasWork(b) {
		d.queued[b] = true
		q.sched.rings[b] = append(q.sched.rings[b], d)
	}
}

// forget makes room: destinations without work go, and if there are none,
// those that cannot be served now are set aside for a while.
func (q *Queue) forget() bool {
	s := &q.sched
	for h, d := range s.dests {
		if d.idle() {
			delete(s.dests, h)
		}
	}
	if len(s.dests) < maxDests {
		return true
	}
	now := q.o.Now()
	for b := range bands {
		for _, d := range slices.Clone(s.rings[b]) {
			if d.workers == 0 && !d.looking {
				q.parkDest(d, now.Add(makeRoom), "waiting until others had their turn")
				delete(s.dests, d.heading)
			}
			if len(s.dests) < maxDests*3/4 {
				return true
			}
		}
	}
	return len(s.dests) < maxDests
}

// parkDest sets every due lane of a destination aside.
func (q *Queue) parkDest(d *dest, until time.Time, reason string) {
	for b := range bands {
		for i, due := range d.due[b] {
			if due {
				d.due[b][i] = false
				p := park{laneOf(d.heading, b, i == 1), until, reason}
				q.sched.parks = append(q.sched.parks, p)
				if d.site != nil && d.site.failures > 0 {
					d.site.park(p.lane)
				}
			}
		}
		q.unqueue(d, b)
	}
}

func (q *Queue) unqueue(d *dest, b band) {
	if d.queued[b] && !d.hasWork(b) {
		d.queued[b] = false
		q.sched.rings[b] = slices.DeleteFunc(q.sched.rings[b], func(o *dest) bool { return o == d })
	}
}

// pick chooses the next grant, nil if nobody can be served now. at is when
// somebody can, if that is known.
func (q *Queue) pick(now time.Time) (g *grant, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := &q.sched
	for range 2 {
		ready := false
		for b := range bands {
			if s.workers >= q.o.Workers || s.window >= inMemory {
				return nil, at
			}
			if s.credit[b] <= 0 {
				ready = ready || len(s.rings[b]) > 0
				continue
			}
			g := q.pickFrom(b, now, &at)
			if g == nil {
				s.credit[b] = 0 // who has nothing to do saves nothing up
				continue
			}
			if !g.lookup {
				s.credit[b] -= g.n
			}
			return g, at
		}
		if !ready {
			return nil, at
		}
		for b := range bands {
			if len(s.rings[b]) > 0 {
				s.credit[b] = min(s.credit[b], 0) + b.weight()*batchSize
			}
		}
	}
	return nil, at
}

// pickFrom finds the first destination of a ring that can be served and moves
// it to the end.
func (q *Queue) pickFrom(b band, now time.Time, at *time.Time) *grant {
	s := &q.sched
	for i := 0; i < len(s.rings[b]); i++ {
		d := s.rings[b][i]
		g, wait, why := q.gate(d, b, now)
		if g != nil {
			s.rings[b] = append(slices.Delete(s.rings[b], i, i+1), d)
			if !g.lookup {
				q.take(g)
			}
			return g
		}
		if wait.IsZero() {
			continue
		}
		if wait.Sub(now) > shortWait {
			q.parkDest(d, wait, why)
			i-- // d is not in the ring any more
			continue
		}
		if at.IsZero() || wait.Before(*at) {
			*at = wait
		}
	}
	return nil
}

// gate asks whether a destination can be served. Otherwise wait is when to ask
// again and why, or zero if somebody's end of work will tell.
func (q *Queue) gate(d *dest, b band, now time.Time) (g *grant, wait time.Time, why string) {
	if d.looking {
		return nil, time.Time{}, ""
	}
	if q.locator == nil && d.site == nil {
		d.site = q.siteOf(courier.Site{}, d.domain, now)
	} else if since := now.Sub(d.looked).Abs(); q.locator != nil && (d.site == nil || since > siteLife && d.workers == 0 || since > 3*siteLife) {
		if q.sched.lookups >= maxLookups {
			return nil, time.Time{}, ""
		}
		d.looking = true
		q.sched.lookups++
		return &grant{dest: d, lookup: true}, time.Time{}, ""
	}
	s := d.site
	if wait := s.wait(now); !wait.IsZero() {
		q.throttled(s, "backoff", wait, now)
		return nil, wait, s.reason
	}
	room := s.room()
	if s.undialled.After(now) && s.active >= s.dialled {
		q.throttled(s, "connections", s.undialled, now)
		return nil, s.undialled, "waiting for leave to open another connection"
	}
	if s.active >= room || d.workers >= q.o.PerDestination || d.window >= perDest {
		q.throttled(s, "concurrency", time.Time{}, now)
		return nil, time.Time{}, ""
	}
	n := min(batchSize, perDest-d.window)
	if s.failures > 0 {
		n = 1 // a probe
	}
	paid := q.laneBudgets(d)
	n, next := q.spend(paid, now, n)
	if n == 0 {
		q.throttled(s, "rate", next, now)
		return nil, next, "waiting for a rate limit"
	}
	tried := d.tried[b]
	if !d.due[b][slot(tried)] {
		tried = !tried
	}
	return &grant{dest: d, site: s, label: s.provider, messages: s.messages, band: b, tried: tried, n: n, paid: paid}, time.Time{}, ""
}

// laneBudgets are the budgets that all mail of a destination is paid from.
func (q *Queue) laneBudgets(d *dest) []budget {
	list := q.budget(nil, ScopeGlobal, "all")
	if d.site.route != "" {
		return q.budget(list, ScopeAccount, d.site.route)
	}
	list = q.budget(list, ScopeEgress, d.site.egress)
	list = q.budget(list, ScopeProvider, d.site.group)
	return q.budget(list, ScopeDomain, d.domain)
}

// take books a grant.
func (q *Queue) take(g *grant) {
	d, b, i := g.dest, g.band, slot(g.tried)
	d.due[b][i], d.claiming[b][i], d.missed[b][i] = false, true, false
	d.tried[b] = !g.tried
	d.workers++
	d.window += g.n
	g.site.active++
	g.site.blocked = time.Time{}
	q.sched.workers++
	q.sched.window += g.n
	q.unqueue(d, b)
}

// claimed ends the claim of a grant: got parcels came, and more says that the
// lane may have others.
func (q *Queue) claimed(g *grant, got int, more bool) {
	q.refund(g.paid, g.n-got)
	q.mu.Lock()
	defer q.mu.Unlock()
	d, b, i := g.dest, g.band, slot(g.tried)
	d.window -= g.n - got
	q.sched.window -= g.n - got
	q.sched.credit[b] += g.n - got
	g.n = got
	d.claiming[b][i] = false
	if more || d.missed[b][i] {
		d.due[b][i] = true
		q.enqueue(d, b)
	}
	q.nudge()
}

// settled notes that a parcel is not in memory any more.
func (q *Queue) settled(g *grant) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g.dest.window--
	q.sched.window--
}

// leave gives the worker's place back and wakes the scheduler.
func (q *Queue) leave(g *grant) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g.dest.workers--
	g.site.active--
	q.sched.workers--
	q.nudge()
}

func (q *Queue) nudge() {
	select {
	case q.freed <- struct{}{}:
	default:
	}
}

// locate finds out the site of a destination.
func (q *Queue) locate(ctx context.Context, d *dest) {
	where := q.locator.Site(ctx, d.domain, d.way)
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	d.site, d.looked, d.looking = q.siteOf(where, d.domain, now), now, false
	q.sched.lookups--
	q.nudge()
}

// parkLanes writes down what was set aside, and what may go on.
func (q *Queue) parkLanes(ctx context.Context) error {
	q.mu.Lock()
	parks := q.sched.parks
	for _, lane := range q.sched.frees {
		parks = append(parks, park{lane: lane})
	}
	q.sched.parks, q.sched.frees = nil, nil
	q.mu.Unlock()
	slices.SortStableFunc(parks, func(a, b park) int { return strings.Compare(a.lane, b.lane) })
	for part := range slices.Chunk(parks, 200) {
		err := q.o.DB.Update(ctx, func(tx store.Tx) error {
			for _, p := range part {
				if err := q.parkLane(tx, p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// parkLane pauses a lane, unless somebody wants it paused for longer. Only what
// the scheduler itself set aside is let go; the mark before the reason tells.
func (q *Queue) parkLane(tx store.Tx, p park) error {
	now, err := q.o.Agenda.Lane(tx, p.lane)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if p.until.IsZero() {
		if !strings.HasPrefix(now.Reason, parkMark) {
			return nil
		}
		return q.o.Agenda.Pause(tx, p.lane, time.Time{}, "")
	}
	if !now.NotBefore.Before(p.until) {
		return nil
	}
	return q.o.Agenda.Pause(tx, p.lane, p.until, parkMark+p.reason)
}

// parkMark begins the reason of a pause that the scheduler has made.
const parkMark = "by itself: "

// throttled counts one wait, once however often it is looked at.
func (q *Queue) throttled(s *site, limit string, until, now time.Time) {
	if s.blocked.After(now) || limit == "concurrency" && !s.blocked.IsZero() {
		return
	}
	s.blocked = now
	q.met.throttled.WithLabelValues(s.provider, limit).Inc()
	if until.After(now) {
		s.blocked = until
		q.met.throttleWait.WithLabelValues(s.provider, limit).Add(until.Sub(now).Seconds())
	}
}
