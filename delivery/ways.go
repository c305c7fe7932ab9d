package delivery

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// maxRoute bounds the name of a route, which is part of a lane's.
const maxRoute = 200

// plain reports whether a name can be part of a lane's.
func plain(name string) bool {
	return utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// rerouted returns the route that a measure gives a parcel, "" if none does.
func rerouted(all []Measure, p *row, now time.Time) string {
	for _, m := range slices.Backward(all) { // the latest decision counts
		if m.Kind == MeasureRoute && m.inForce(now) && m.fits(p) {
			return m.Via
		}
	}
	return ""
}

// way returns the way that a parcel takes with these measures in force, and the
// route that it must be given for that.
func (q *Queue) way(p *row, all []Measure) (way, route string) {
	if route = p.Route; route == "" {
		route = rerouted(all, p, q.o.Now())
	}
	if q.locator != nil {
		way = q.locator.Way(p.Queue, route)
	}
	return way, route
}

// wayAsKnown is the way by the measures as they were read last. It waits for
// nobody and so can be asked in a transaction; who decides about measures waits
// for transactions. If it is wrong, whoever claims the parcel finds out.
func (q *Queue) wayAsKnown(p *row) string {
	var all []Measure
	if seen := q.measures.seen.Load(); seen != nil {
		all = *seen
	}
	way, _ := q.way(p, all)
	return way
}

// astray ends a claim on a parcel that stands in the lane of another way than
// it is to take, since the configuration or a measure has changed: its new lane
// knows the patience of the servers it goes to. It reports whether it did.
func (q *Queue) astray(ctx context.Context, g *grant, c *claim) bool {
	all, err := q.allMeasures(ctx)
	if seen := q.measures.seen.Load(); err != nil && seen != nil {
		all = *seen
	}
	way, route := q.way(c.row, all)
	if way == c.row.Way {
		c.route = route
		return false
	}
	c.row.Way = way
	q.giveBack(g, c, time.Time{})
	return true
}

// waysChanged makes the walker look for mail that stands in wrong lanes now: it
// may wait there for servers that it does not need.
func (q *Queue) waysChanged(ctx context.Context) {
	if _, err := q.allMeasures(ctx); err != nil {
		q.o.Log.Error("outbound measures cannot be read", "cause", err)
	}
	select {
	case q.rewalk <- struct{}{}:
	default:
	}
}

// movedAtOnce bounds a transaction that moves parcels.
const movedAtOnce = 100

// redirect moves parcels of a page that wait in the lanes of a way that is not
// theirs any more.
func (q *Queue) redirect(ctx context.Context, page []*row) error {
	var stray []*row
	for _, p := range page {
		if p.waits() && q.wayAsKnown(p) != p.Way {
			stray = append(stray, p)
		}
	}
	slices.SortFunc(stray, func(a, b *row) int { return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.ID, b.ID)) })
	for part := range slices.Chunk(stray, movedAtOnce) {
		err := q.o.DB.Update(ctx, func(tx store.Tx) error {
			for _, p := range part {
				if err := q.moveOver(tx, p.ID); err != nil {
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

// waits reports whether a parcel waits in its lane for an attempt.
func (p *row) waits() bool { return p.Held == nil && p.Phase == "" && p.Unsettled == nil }

// moveOver puts one parcel into the lane of the way that it takes now.
func (q *Queue) moveOver(tx store.Tx, id string) error {
	key := parcelKey(id)
	if err := q.parcels.Lock(tx, key); err != nil {
		return err
	}
	p, err := q.parcels.Find(tx, key)
	if err != nil || p == nil || !p.waits() {
		return err
	}
	old := *p
	if p.Way = q.wayAsKnown(p); p.Way == old.Way {
		return nil
	}
	found, err := q.o.Agenda.Remove(tx, p.Lane, p.ID)
	if err != nil || !found {
		return err
	}
	p.Lane = p.lane()
	if err := q.o.Agenda.Put(tx, agenda.Job{Lane: p.Lane, Key: p.ID, Due: p.Due}); err != nil {
		return err
	}
	return q.parcels.Replace(tx, &old, p)
}
