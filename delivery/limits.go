package delivery

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// Limits are the queue's limits and how near it is to them.
type Limits struct {
	Workers int // deliveries at once, at most
	Active  int // under way
	Limits  []Limit
}

// Limit is one limit in force. Name is empty for a rule that applies to each of
// its scope.
type Limit struct {
	Scope       string // global or destination
	Name        string
	Rate        Rate
	Connections int // at once, at most; 0 = no limit of its own
	Active      int
	Blocked     time.Time // when a rate lets the next mail go; zero: now
}

// maxBusy bounds how many destinations Limits names: the busiest.
const maxBusy = 50

// Limits returns what holds now: the rules, and the destinations that are busy
// or have to wait because of them.
func (q *Queue) Limits(context.Context) Limits {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	out := Limits{Workers: q.o.Workers, Active: q.active, Limits: []Limit{
		{Scope: "global", Rate: q.o.GlobalRate, Connections: q.o.Workers, Active: q.active},
		{Scope: "destination", Rate: q.o.DestRate, Connections: q.o.PerDestination},
	}}
	var busy []Limit
	for lane, s := range q.lanes {
		l := Limit{Scope: "destination", Name: strings.TrimPrefix(lane, lanePrefix), Rate: q.o.DestRate, Connections: q.o.PerDestination, Active: s.active}
		if s.blocked.After(now) {
			l.Blocked = s.blocked
		}
		if s.active > 0 || !l.Blocked.IsZero() {
			busy = append(busy, l)
		}
	}
	slices.SortFunc(busy, func(a, b Limit) int { return cmp.Or(cmp.Compare(b.Active, a.Active), strings.Compare(a.Name, b.Name)) })
	out.Limits = append(out.Limits, busy[:min(len(busy), maxBusy)]...)
	return out
}
