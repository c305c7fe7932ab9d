package delivery

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ticketgate/delivery/courier"
)

// Locator tells where the mail for a destination goes; *courier.Courier fits.
// With a Carrier that is none, every domain is a site of its own.
type Locator interface {
	// Way names the way of a queue's mail, or of mail that must take a route:
	// "" if it is everybody's.
	Way(queue, route string) string
	// Site tells where a way leads for a destination. For none, it tells at
	// once of a smarthost alone.
	Site(ctx context.Context, destination, way string) courier.Site
}

// site is a set of mail servers that the mails for one or many domains go to,
// and what they have lately made of it. The queue's lock guards it.
type site struct {
	name     string
	provider string // metric label
	group    string // scope of its rate
	route    string // of a smarthost
	egress   string // our addresses, as scope of a rate
	limit    int    // most connections
	messages int    // most mails over one of them; 0 = the carrier's limit
	dials    budget // of new ones

	// The window grows by one connection for every window's worth of mails
	// taken, and shrinks by one for every window's worth of failures to reach
	// the site, so that a single mishap does not count like ten. A cohort is a
	// window's worth of failures without a success.
	window     int
	gain, pain float64
	cohorts    float64
	active     int // workers

	failures int       // pauses in a row
	until    time.Time // of a pause
	reason   string
	held     bool            // our account is refused: an operator is wanted
	parked   map[string]bool // lanes set aside until the pause ends
	dirty    bool
	blocked  time.Time // see throttled

	// When there was no leave for a new connection, there are as many as
	// workers at the site had one, until there will be.
	undialled time.Time
	dialled   int
}

// placeRoute begins the names of sites that are smarthosts.
const placeRoute = "route/"

// usualEgress is the name of the addresses that the system chooses.
const usualEgress = "default"

const (
	startWindow  = 2
	deadCohorts  = 3
	firstPause   = time.Minute    // or the first wait between attempts, if that is shorter
	longestPause = time.Hour      // or the last one
	heldPause    = time.Hour      // between two probes of a route that refuses us
	holdProven   = 24 * time.Hour // how long after the last probe's pause a sender counts as refused
	sitesKept    = 4096
	parkedKept   = 4096
)

// siteOf returns the state of a site; the lock is held.
func (q *Queue) siteOf(where courier.Site, domain string, now time.Time) *site {
	name := where.Name
	g := Provider{Name: domain}
	switch {
	case where.Route != "":
		name = placeRoute + where.Route
	case where.Name != "":
		g = providerOf(q.o.Providers, where.Name)
		if name = "mx/" + g.Name; where.Egress != "" {
			name += "@" + where.Egress // another address has another name to lose
		}
	default:
		name = "domain/" + domain
	}
	s := q.siteNamed(name)
	s.provider, s.group, s.route, s.limit = courier.Provider(where.Name), g.Name, where.Route, q.o.PerDestination
	s.messages, s.egress = g.Messages, cmp.Or(where.Egress, usualEgress)
	s.dials = budget{}
	if server, ok := strings.CutPrefix(name, "mx/"); ok {
		s.dials = budget{ScopeConnections + "/" + server, q.o.rate(ScopeConnections, server)}
	}
	if g.Connections > 0 {
		s.limit = min(s.limit, g.Connections)
	}
	s.window = max(1, min(s.window, s.limit))
	return s
}

// siteNamed returns the state of a site, as it was saved if it is new; the lock
// is held.
func (q *Queue) siteNamed(name string) *site {
	if s := q.sites[name]; s != nil {
		return s
	}
	if len(q.sites) >= sitesKept {
		for n, s := range q.sites {
			if s.active == 0 && s.failures == 0 && !s.dirty {
				delete(q.sites, n)
			}
		}
	}
	s := &site{name: name, window: startWindow, provider: otherProvider}
	if old, ok := q.paused[name]; ok {
		s.failures, s.until, s.reason, s.held = old.Failures, old.NotBefore, old.Reason, old.Held
		delete(q.paused, name)
	}
	q.sites[name] = s
	return s
}

// room is how many workers may be at the site: one while it is being probed.
func (s *site) room() int {
	if s.failures > 0 {
		return 1
	}
	return s.window
}

// wait is the end of the site's pause, zero if it has none. An end that no
// pause could have comes from a clock that was set back.
func (s *site) wait(now time.Time) time.Time {
	if !s.until.After(now) {
		return time.Time{}
	}
	if end := now.Add(longestWait + longestWait/5); s.until.After(end) {
		s.until, s.dirty = end, true
	}
	return s.until
}

// feedback lets a result speak about the site.
func (q *Queue) feedback(s *site, res courier.Result, now time.Time) {
	spread := q.jitter(1)[0]
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case res.Class == courier.SenderScoped && res.Route != "":
		reason, wait := words(res), min(heldPause, 2*slices.Max(q.o.Retry))
		what := "outbound route held: it refuses our account"
		if res.Code == 0 {
			// Nobody has refused us: we have no token, or no such route. Finding
			// out whether that has changed locks no account.
			reason, wait = unusable(res), q.nextPause(s)
			what = "outbound route held: it cannot be used"
		}
		if !s.held {
			s.held = true
			q.alert(what, "route", res.Route, "code", res.Code, "enhanced", res.Enhanced, "text", res.Text, "cause", res.Err)
		}
		s.pause(now, spreadOut(wait, spread), reason, 0)
	case res.Class == courier.SiteScoped:
		s.pause(now, spreadOut(q.nextPause(s), spread), words(res), min(res.After, longestWait))
	case res.Class == courier.Temporary && res.Phase.Session() && res.Phase != "":
		s.bad()
		if s.cohorts >= deadCohorts || s.failures > 0 {
			s.pause(now, spreadOut(q.nextPause(s), spread), words(res), 0)
		}
	case res.Class == courier.Success || res.Code != 0:
		if s.held {
			q.o.Log.Info("outbound route works again", "route", s.route)
		}
		q.sched.frees = append(q.sched.frees, s.good(res.Class == courier.Success)...)
	}
}

func (s *site) bad() {
	w := float64(s.window)
	s.cohorts += 1 / w
	s.gain = 0
	if s.pain += 1 / w; s.pain >= 1 {
		s.pain, s.window = 0, max(1, s.window-1)
	}
}

// good counts a word from the site; taken says that it was a yes. It returns
// the lanes that were set aside for the site's sake and may go on.
func (s *site) good(taken bool) (free []string) {
	s.cohorts, s.pain = 0, 0
	if s.failures > 0 || s.held {
		s.failures, s.until, s.reason, s.held, s.dirty = 0, time.Time{}, "", false, true
		s.window = max(1, min(startWindow, s.limit))
		for lane := range s.parked {
			free = append(free, lane)
		}
		s.parked = nil
	}
	if taken && s.window < s.limit {
		if s.gain += 1 / float64(s.window); s.gain >= 1 {
			s.gain, s.window = 0, s.window+1
		}
	}
	return free
}

// nextPause doubles from a minute to an hour.
func (q *Queue) nextPause(s *site) time.Duration {
	first, longest := min(firstPause, q.o.Retry[0]), min(longestPause, slices.Max(q.o.Retry))
	return min(longest, first<<min(s.failures, 10))
}

// connect takes a token for a new connection to a site, or says how long there
// is none.
func (q *Queue) connect(s *site) (wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.dials.rate.unlimited() {
		return 0
	}
	now := q.o.Now()
	if n, next := q.spend([]budget{s.dials}, now, 1); n == 0 {
		return max(next.Sub(now), time.Millisecond)
	}
	return 0
}

// unconnected notes that a worker got no leave for a connection. Those that have
// one go on; no other is sent before there is leave again.
func (q *Queue) unconnected(s *site, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.o.Now()
	if !s.undialled.After(now) {
		s.dialled = s.active
	}
	s.undialled, s.dialled = now.Add(wait), max(0, s.dialled-1)
}

// pause leaves the site alone for d, or for what it asked for if that is
// longer. Several workers that fail together make one pause.
func (s *site) pause(now time.Time, d time.Duration, reason string, asked time.Duration) {
	s.cohorts, s.gain, s.dirty = 0, 0, true
	end := now.Add(max(d, asked)).Truncate(time.Microsecond)
	if s.until.After(now) {
		if asked > 0 && end.After(s.until) {
			s.until, s.reason = end, reason
		}
		return
	}
	s.until, s.reason = end, reason
	s.failures++
}

// park remembers a lane that waits for the pause to end.
func (s *site) park(lane string) {
	if s.parked == nil {
		s.parked = map[string]bool{}
	}
	if len(s.parked) < parkedKept {
		s.parked[lane] = true
	}
}

// words tells a result in a line.
func words(res courier.Result) string {
	l := Last{Code: res.Code, Enhanced: res.Enhanced, Text: res.Text, MX: res.Host}
	return clip(l.String())
}

// unusable tells why a route is held that has not refused us, with the cause:
// only a person can mend it.
func unusable(res courier.Result) string {
	if res.Err == nil {
		return words(res)
	}
	return clip(words(res) + ": " + res.Err.Error())
}

// refused reports whether a parcel waits for something that only we can repair:
// its smarthost cannot be used by us, or receivers refuse its sender. No time is
// too long for that.
func (q *Queue) refused(ctx context.Context, p *row) bool {
	route := ""
	if q.locator != nil {
		route = q.locator.Site(ctx, "", p.Way).Route
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if h := q.senders[p.sender()]; h != nil && !h.over && h.until.Add(holdProven).After(q.o.Now()) {
		return true
	}
	name := placeRoute + route
	s := q.sites[name]
	return route != "" && (s != nil && s.held || s == nil && q.paused[name].Held)
}

// alert tells the operator of something only a person can repair. It is called
// once per trouble.
func (q *Queue) alert(msg string, args ...any) {
	q.met.alerts.Inc()
	q.o.Log.Error(msg, args...)
}
