package delivery

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// place is what is kept about a budget ("rate/…"), a site's pause ("site/…"),
// a sender's hold ("sender/…") or the clock.
type place struct {
	Key       string        `json:"key"`
	Full      time.Time     `json:"full,omitzero"`       // of a bucket
	NotBefore time.Time     `json:"not_before,omitzero"` // of a pause
	Since     time.Time     `json:"since,omitzero"`
	Failures  int           `json:"failures,omitempty"`
	Reason    string        `json:"reason,omitempty"`
	Held      bool          `json:"held,omitempty"`
	Uptime    time.Duration `json:"uptime,omitempty"` // of all runs together
	Wall      time.Time     `json:"wall,omitzero"`    // when that was written
}

const (
	placeRate   = "rate/"
	placeSite   = "site/"
	placeSender = "sender/"
	placeClock  = "clock"
	placesKept  = 100_000 // loaded at the start
	saveClock   = time.Hour
)

func newPlaceTable() *store.Table[place] {
	return store.NewTable("outbound_place", store.PrefixDestination, []string{"key"},
		func(p *place) store.Key { return store.Key{}.Str(p.Key) })
}

// clockwork compares the wall clock with the one that nobody sets.
type clockwork struct {
	mu    sync.Mutex
	base  time.Duration // uptime of earlier runs
	wall  time.Time     // when last compared
	up    time.Duration
	saved time.Duration // uptime at the last save
}

// uptime is how long the queue has been running, all runs together.
func (q *Queue) uptime() time.Duration {
	q.clock.mu.Lock()
	defer q.clock.mu.Unlock()
	return q.clock.base + q.o.Uptime()
}

const (
	jumpNoticed = 30 * time.Second
	jumpMended  = time.Minute
)

// watchClock notices that the wall clock was set. Forward, everything is due
// early, which does no harm: expiry does not believe the wall clock alone.
// Backward, everything would be late by as much, and is made due again.
func (q *Queue) watchClock(ctx context.Context) {
	c := &q.clock
	c.mu.Lock()
	now, up := q.o.Now(), q.o.Uptime()
	jump := now.Round(0).Sub(c.wall.Round(0)) - (up - c.up)
	c.wall, c.up = now, up
	c.mu.Unlock()
	if jump.Abs() <= jumpNoticed {
		return
	}
	q.met.jumps.Inc()
	q.o.Log.Warn("the clock was set", "by", jump)
	if jump < -jumpMended {
		q.shift(jump)
		if err := q.mend(ctx); err != nil && ctx.Err() == nil {
			q.o.Log.Error("mail may be late by as much as the clock was set back", "cause", err)
		}
	}
}

// shift moves the times that are kept in memory with the clock.
func (q *Queue) shift(by time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.sites {
		s.blocked, s.undialled = time.Time{}, time.Time{}
		if !s.until.IsZero() {
			s.until, s.dirty = s.until.Add(by), true
		}
	}
	for _, h := range q.senders {
		h.until, h.dirty = h.until.Add(by), true
	}
	for _, k := range q.buckets {
		k.full, k.dirty = k.full.Add(by), true
	}
}

// mend makes due again what a clock that was set back has put into the future,
// and wakes the lanes that the scheduler set aside by that clock. It walks
// through everything in steps, like all that may be long.
func (q *Queue) mend(ctx context.Context) error {
	var cursor store.Key
	for {
		var page []*row
		err := q.o.DB.View(ctx, func(r store.Reader) (err error) {
			page, cursor, err = q.parcels.Page(r, store.Query{After: cursor, Limit: 500})
			return err
		})
		if err != nil {
			return err
		}
		page = slices.DeleteFunc(page, func(p *row) bool { return !p.misdated(q.o.Now()) })
		slices.SortFunc(page, func(a, b *row) int { return strings.Compare(a.Lane, b.Lane) })
		if len(page) > 0 {
			err = q.o.DB.Update(ctx, func(tx store.Tx) error {
				for _, p := range page {
					if err := q.redate(tx, p.ID); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			return err
		}
		if cursor == nil {
			return q.wakeLanes(ctx)
		}
	}
}

// wakeLanes ends every pause that the scheduler has made. It makes them again
// where they are still called for.
func (q *Queue) wakeLanes(ctx context.Context) error {
	var cursor store.Key
	for {
		var page []agenda.Lane
		err := q.o.DB.View(ctx, func(r store.Reader) (err error) {
			page, cursor, err = q.o.Agenda.Lanes(r, lanePrefix, cursor, 200)
			return err
		})
		if err != nil {
			return err
		}
		err = q.o.DB.Update(ctx, func(tx store.Tx) error {
			for _, l := range page {
				if err := q.parkLane(tx, park{lane: l.Name}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || cursor == nil {
			return err
		}
	}
}

// misdated reports that a parcel's due time was reckoned from a time that has
// not come yet.
func (p *row) misdated(now time.Time) bool {
	if p.Held != nil || p.Phase != "" || !p.Due.After(now) {
		return false
	}
	if !p.Started.IsZero() { // it has been looked at: its due time follows from that
		return p.Started.After(now)
	}
	return p.Created.After(now) && !p.Since.After(p.Created) // not scheduled by its writer
}

func (q *Queue) redate(tx store.Tx, id string) error {
	key := parcelKey(id)
	if err := q.parcels.Lock(tx, key); err != nil {
		return err
	}
	p, err := q.parcels.Find(tx, key)
	if err != nil || p == nil || !p.misdated(tx.Now()) {
		return err
	}
	old, now := *p, tx.Now()
	if p.Due = now; !p.Started.IsZero() {
		p.Due = now.Add(max(0, old.Due.Sub(old.Started)))
		p.Started = now
	}
	if !p.Paid.IsZero() {
		p.Paid = p.Due
	}
	if p.Created.After(now) {
		p.Created = now
	}
	if p.Since.After(now) && !old.Since.After(old.Created) {
		p.Since = now
	}
	if _, err := q.o.Agenda.Reschedule(tx, p.Lane, p.ID, p.Due); err != nil {
		return err
	}
	return q.parcels.Replace(tx, &old, p)
}

// load reads what an earlier run saved.
func (q *Queue) load(ctx context.Context) error {
	var all []*place
	err := q.o.DB.View(ctx, func(r store.Reader) error {
		all = nil
		for p, err := range q.places.Scan(r, store.Query{Limit: placesKept}) {
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	now, back := q.o.Now(), false
	q.mu.Lock()
	for _, p := range all {
		kind, name, _ := strings.Cut(p.Key, "/")
		switch kind + "/" {
		case placeRate:
			q.buckets[name] = &bucket{full: p.Full, saved: true}
		case placeSite:
			q.paused[name] = *p
		case placeSender:
			q.senders[name] = &senderHold{since: p.Since, until: p.NotBefore, reason: p.Reason}
		case placeClock + "/":
			q.clock.mu.Lock()
			q.clock.base, q.clock.saved = p.Uptime, p.Uptime
			q.clock.mu.Unlock()
			back = now.Before(p.Wall.Add(-jumpMended))
		}
	}
	q.mu.Unlock()
	if back {
		q.met.jumps.Inc()
		q.o.Log.Warn("the clock was set back while we were not running")
		return q.mend(ctx)
	}
	return nil
}

// save writes what has changed: budgets that are not full, pauses, and the
// clock once an hour or at the end.
func (q *Queue) save(ctx context.Context, last bool) error {
	put, drop := q.changed()
	c := &q.clock
	up := q.uptime()
	c.mu.Lock()
	if last || up-c.saved >= saveClock || c.saved == 0 {
		put = append(put, place{Key: placeClock, Uptime: up, Wall: q.o.Now().UTC()})
		c.saved = up
	}
	c.mu.Unlock()
	for part := range slices.Chunk(put, 500) {
		if err := q.o.DB.Update(ctx, func(tx store.Tx) error {
			for i := range part {
				if err := q.places.Put(tx, &part[i]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(drop, 500) {
		if err := q.o.DB.Update(ctx, func(tx store.Tx) error {
			for _, key := range part {
				if err := q.places.Delete(tx, store.Key{}.Str(key)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// changed collects what differs from what is stored.
func (q *Queue) changed() (put []place, drop []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	for name, k := range q.buckets {
		switch full := k.full.After(now); {
		case full && k.dirty:
			k.saved = true
			put = append(put, place{Key: placeRate + name, Full: k.full.UTC()})
		case !full && k.saved:
			k.saved = false
			drop = append(drop, placeRate+name)
		}
		k.dirty = false
	}
	for name, s := range q.sites {
		if !s.dirty {
			continue
		}
		s.dirty = false
		if s.failures > 0 {
			put = append(put, place{Key: placeSite + name, NotBefore: s.until.UTC(), Failures: s.failures, Reason: s.reason, Held: s.held})
		} else {
			drop = append(drop, placeSite+name)
		}
	}
	for name, h := range q.senders {
		switch {
		case h.over:
			delete(q.senders, name)
			drop = append(drop, placeSender+name)
		case h.dirty:
			h.dirty = false
			put = append(put, place{Key: placeSender + name, NotBefore: h.until.UTC(), Since: h.since.UTC(), Reason: h.reason})
		}
	}
	slices.SortFunc(put, func(a, b place) int { return strings.Compare(a.Key, b.Key) })
	slices.Sort(drop)
	return put, drop
}

// SiteState is what the queue knows of a set of servers that it leaves alone,
// or of a sender that receivers refuse.
type SiteState struct {
	Name     string    `json:"name"` // route/…, mx/…, domain/…, sender/…
	Until    time.Time `json:"until"`
	Failures int       `json:"failures"`
	Held     bool      `json:"held"` // it refuses our account or domain: ours to repair
	Reason   string    `json:"reason"`
	Window   int       `json:"window"`
	Active   int       `json:"active"`
}

// Sites returns the sites and senders that are in trouble, by name.
func (q *Queue) Sites() []SiteState {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []SiteState
	for name, s := range q.sites {
		if s.failures > 0 {
			out = append(out, SiteState{name, s.until, s.failures, s.held, s.reason, s.room(), s.active})
		}
	}
	for name, p := range q.paused {
		out = append(out, SiteState{Name: name, Until: p.NotBefore, Failures: p.Failures, Held: p.Held, Reason: p.Reason})
	}
	for name, h := range q.senders {
		if !h.over {
			out = append(out, SiteState{Name: "sender/" + name, Until: h.until, Held: true, Reason: h.reason})
		}
	}
	slices.SortFunc(out, func(a, b SiteState) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Forgive ends the pause of a site, by its name in Sites, and reports whether
// there was one. What waits for it goes on within the hour, or at once where
// the lane is resumed too.
func (q *Queue) Forgive(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if sender, ok := strings.CutPrefix(name, "sender/"); ok {
		h := q.senders[sender]
		if h == nil || h.over {
			return false
		}
		h.over, h.until = true, time.Time{}
		return true
	}
	if _, ok := q.paused[name]; ok {
		q.siteNamed(name)
	}
	s := q.sites[name]
	if s == nil || s.failures == 0 {
		return false
	}
	for _, lane := range s.good(false) {
		q.sched.frees = append(q.sched.frees, lane)
	}
	q.nudge()
	return true
}

// forgive ends the pause of the servers of a destination, as far as they are
// known, whatever way leads there.
func (q *Queue) forgive(domain string) bool {
	q.mu.Lock()
	names := []string{"domain/" + domain}
	for h, d := range q.sched.dests {
		if h.domain == domain && d.site != nil {
			names = append(names, d.site.name)
		}
	}
	q.mu.Unlock()
	found := false
	for _, name := range names {
		found = q.Forgive(name) || found
	}
	return found
}
