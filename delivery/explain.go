package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/store"
)

// What a parcel may wait for, in one word.
const (
	waitSchedule    = "schedule"    // the time it was written for
	waitRetry       = "retry"       // the next attempt after a failed one
	waitPause       = "pause"       // an operator's pause, or a destination that does not answer
	waitRate        = "rate"        // a limit of mails in a time
	waitConcurrency = "concurrency" // a free connection
	waitTurn        = "turn"        // nothing but its turn
	waitAnswer      = "answer"      // an attempt under way
	waitTicket      = "ticket"      // the outcome is known, the ticket has to be told
	waitOperator    = "operator"    // a person who holds it
)

// WaitWords returns every word a parcel's WaitsFor may be.
func WaitWords() []string {
	return []string{waitSchedule, waitRetry, waitPause, waitRate, waitConcurrency, waitTurn, waitAnswer, waitTicket,
		waitOperator, HeldSuppressed, HeldKey, HeldContent, HeldMeasure}
}

// obstacle is what keeps a parcel that is due, or will keep it then.
type obstacle struct {
	kind  string // pause rate concurrency
	words string
}

func (p *row) waitsFor(state string, o *obstacle) string {
	switch {
	case state == Kept:
		if p.Held.Kind == "" {
			return waitOperator
		}
		return p.Held.Kind
	case p.Unsettled != nil:
		return waitTicket
	case state == Active:
		return waitAnswer
	case o != nil && o.kind == waitPause:
		return waitPause // whatever its time is, it will not go before
	case state == Scheduled:
		return waitSchedule
	case state == Deferred:
		return waitRetry
	case o != nil:
		return o.kind
	}
	return waitTurn
}

// explainer finds obstacles for the parcels of one reading, each lane's once.
type explainer struct {
	q        *Queue
	r        store.Reader
	measures []Measure
	err      error
	lanes    map[string]*obstacle
}

func (q *Queue) explainer(ctx context.Context, r store.Reader) *explainer {
	x := &explainer{q: q, r: r, lanes: map[string]*obstacle{}}
	x.measures, x.err = q.Measures(ctx)
	return x
}

func (x *explainer) view(p *row) (*Parcel, error) {
	if x.err != nil {
		return nil, x.err
	}
	o, known := x.lanes[p.Lane]
	if !known {
		var err error
		if o, err = x.lane(p.Lane); err != nil {
			return nil, err
		}
		x.lanes[p.Lane] = o
	}
	v := p.view(x.r.Now(), x.measured(p, o))
	if v.State != Kept {
		v.Why += x.wayWords(p)
	}
	return v, nil
}

// wayWords says by which way a parcel goes, if that is not the usual one.
func (x *explainer) wayWords(p *row) string {
	for _, m := range slices.Backward(x.measures) {
		if p.Route == "" && m.Kind == MeasureRoute && m.fits(p) {
			return fmt.Sprintf("; it goes by route %s%s (%s)", m.Via, untilWords(m.Until), m.words())
		}
	}
	if p.Way != "" {
		return "; it goes by route " + p.Way
	}
	return ""
}

// measured lets an operator's measure speak before what the queue itself knows
// of a lane.
func (x *explainer) measured(p *row, lane *obstacle) *obstacle {
	for i := range x.measures {
		m := &x.measures[i]
		if m.Kind == MeasureRoute || !m.fits(p) || slices.Contains(p.Cleared, m.cleared()) {
			continue
		}
		what := "mail for " + m.Selection()
		if m.wholeLane() && m.Domain != "" {
			what = "the destination"
		}
		verb := map[string]string{MeasurePause: "is paused", MeasureHold: "is held"}[m.Kind]
		return &obstacle{kind: waitPause, words: fmt.Sprintf("%s %s%s by %s", what, verb, untilWords(m.Until), m.words())}
	}
	return lane
}

func untilWords(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + t.UTC().Format(time.RFC3339)
}

// lane says what keeps a lane, nil if nothing does.
func (x *explainer) lane(name string) (*obstacle, error) {
	l, err := x.q.o.Agenda.Lane(x.r, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil && !l.NotBefore.IsZero() {
		return &obstacle{waitPause, fmt.Sprintf("the destination is paused until %s: %s", l.NotBefore.UTC().Format(time.RFC3339), l.Reason)}, nil
	}
	return x.q.busy(name), nil
}

// busy says which of the queue's own limits keeps a lane now.
func (q *Queue) busy(lane string) *obstacle {
	h, _, _, _ := readLane(lane)
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	d := q.sched.dests[h]
	switch {
	case q.sched.workers >= q.o.Workers:
		return &obstacle{waitConcurrency, fmt.Sprintf("all %d workers are busy", q.o.Workers)}
	case d == nil || d.site == nil:
		return nil
	case !d.site.wait(now).IsZero():
		return &obstacle{waitPause, "its servers are left alone until " + d.site.until.UTC().Format(time.RFC3339) + ": " + d.site.reason}
	case d.site.active >= d.site.room():
		return &obstacle{waitConcurrency, fmt.Sprintf("%d deliveries to its servers are under way, which is the most", d.site.active)}
	case d.workers >= q.o.PerDestination || d.window >= perDest:
		return &obstacle{waitConcurrency, fmt.Sprintf("%d deliveries to the destination are under way, which is the most", d.workers)}
	case d.site.blocked.After(now):
		return &obstacle{waitRate, "a rate limit lets the next one go at " + d.site.blocked.UTC().Format(time.RFC3339)}
	}
	return nil
}

// clear ends a hold on a person's word: what held it does not hold it again.
// measures are those in force.
func (p *row) clear(measures []Measure) {
	switch p.Held.Kind {
	case HeldSuppressed:
		p.Cleared = append(p.Cleared, HeldSuppressed)
	case HeldMeasure:
		for i := range measures {
			if measures[i].ID == p.Held.Ref {
				p.Cleared = append(p.Cleared, measures[i].cleared())
			}
		}
	}
	const most = 20
	p.Cleared = p.Cleared[max(0, len(p.Cleared)-most):]
	p.Held = nil
}

// Group is a share of the queue, in one line of an overview.
type Group struct {
	Name    string         `json:"name"` // a domain, queue or class
	Count   int            `json:"count"`
	States  map[string]int `json:"states"`
	Size    int64          `json:"size"`
	Oldest  int64          `json:"oldest_age_seconds"`
	Example string         `json:"example"` // the latest answer, or why the oldest waits
}

// TopKeys are what Top can group by.
func TopKeys() []string { return []string{"destination", "queue", "class", "waits_for"} }

// Top groups the queue and returns the n largest groups, largest first. It
// looks at up to 200,000 parcels; partial tells that there are more.
func (q *Queue) Top(ctx context.Context, by string, n int) (out []Group, partial bool, err error) {
	if !slices.Contains(TopKeys(), by) {
		return nil, false, fmt.Errorf("%w: group by one of %s", ErrInvalid, strings.Join(TopKeys(), ", "))
	}
	groups, last, seen := map[string]*Group{}, map[string]time.Time{}, 0
	now := q.o.Now()
	measures, err := q.Measures(ctx)
	if err != nil {
		return nil, false, err
	}
	err = q.each(ctx, stockRows, func(p *row) {
		seen++
		state := p.state(now)
		name := map[string]string{"destination": destination(p.To), "queue": p.Queue, "class": p.Class}[by]
		if by == "waits_for" {
			x := &explainer{measures: measures}
			name = p.waitsFor(state, x.measured(p, nil))
		}
		g := groups[name]
		if g == nil {
			g = &Group{Name: name, States: map[string]int{}}
			groups[name] = g
		}
		g.Count++
		g.States[state]++
		g.Size += p.Size
		g.Oldest = max(g.Oldest, int64(p.age(now)/time.Second))
		if p.Last != nil && !p.Last.At.Before(last[name]) {
			g.Example, last[name] = p.Last.String(), p.Last.At
		} else if p.Held != nil && p.Last == nil && last[name].IsZero() {
			g.Example = "held by " + p.Held.By + ": " + p.Held.Reason
		}
	})
	if err != nil {
		return nil, false, fmt.Errorf("delivery: top: %w", err)
	}
	for _, g := range groups {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out[:min(len(out), max(n, 1))], seen >= stockRows, nil
}
