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
	Scope       string // one of Scopes, or connections: new ones to a set of mail servers, or site: such a set
	Name        string
	Rate        Rate
	Connections int // at once, at most; 0 = no limit of its own
	Active      int
	Blocked     time.Time // when the next mail may go; zero: now
	Reason      string    // of a site that is left alone until then
}

// maxBusy bounds how many members of a scope Limits names.
const maxBusy = 50

// Limits returns what holds now: the rules, then the members that have less
// than everything left, those that have to wait first.
func (q *Queue) Limits(context.Context) Limits {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	out := Limits{Workers: q.o.Workers, Active: q.sched.workers}
	out.Limits = append(out.Limits, q.rules()...)
	var busy []Limit
	for key, k := range q.buckets {
		scope, name, _ := strings.Cut(key, "/")
		rate := q.o.rate(scope, name)
		if rate.unlimited() || !k.full.After(now) {
			continue
		}
		l := Limit{Scope: scope, Name: name, Rate: rate}
		if next := k.next(rate); next.After(now) {
			l.Blocked = next
		}
		busy = append(busy, l)
	}
	for name, s := range q.sites {
		l := Limit{Scope: "site", Name: name, Connections: s.room(), Active: s.active, Blocked: s.wait(now)}
		if !l.Blocked.IsZero() {
			l.Reason = s.reason
		}
		if s.active > 0 || s.failures > 0 {
			busy = append(busy, l)
		}
	}
	slices.SortFunc(busy, func(a, b Limit) int {
		return cmp.Or(b.Blocked.Compare(a.Blocked), cmp.Compare(b.Active, a.Active), strings.Compare(a.Scope, b.Scope), strings.Compare(a.Name, b.Name))
	})
	out.Limits = append(out.Limits, busy[:min(len(busy), maxBusy)]...)
	return out
}

// rules are the limits as they are configured; the lock is held.
func (q *Queue) rules() []Limit {
	rules := []Limit{{Scope: ScopeGlobal, Rate: q.o.rate(ScopeGlobal, ""), Connections: q.o.Workers, Active: q.sched.workers}}
	for _, scope := range Scopes()[1:] {
		l := Limit{Scope: scope, Rate: q.o.Rates[scope]}
		if scope == ScopeDomain {
			l.Connections = q.o.PerDestination
		}
		if !l.Rate.unlimited() || l.Connections > 0 {
			rules = append(rules, l)
		}
	}
	if r := q.o.Rates[ScopeConnections]; !r.unlimited() {
		rules = append(rules, Limit{Scope: ScopeConnections, Rate: r})
	}
	var named []Limit
	for key, rate := range q.o.Rates {
		if scope, name, ok := strings.Cut(key, "/"); ok {
			named = append(named, Limit{Scope: scope, Name: name, Rate: rate})
		}
	}
	for i := range q.o.Providers {
		p := &q.o.Providers[i]
		if _, named := q.o.Rates[ScopeProvider+"/"+p.Name]; !named && (!p.Rate.unlimited() || p.Connections > 0) {
			rules = append(rules, Limit{Scope: ScopeProvider, Name: p.Name, Rate: p.Rate, Connections: p.Connections})
		}
		if _, named := q.o.Rates[ScopeConnections+"/"+p.Name]; !named && !p.Dials.unlimited() {
			rules = append(rules, Limit{Scope: ScopeConnections, Name: p.Name, Rate: p.Dials})
		}
	}
	slices.SortFunc(named, func(a, b Limit) int {
		return cmp.Or(strings.Compare(a.Scope, b.Scope), strings.Compare(a.Name, b.Name))
	})
	return append(rules, named...)
}
