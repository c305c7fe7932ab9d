package delivery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Kinds of measure.
const (
	MeasurePause = "pause" // mail waits; ends by itself
	MeasureHold  = "hold"  // mail is held until the measure is taken back
	MeasureRoute = "route" // mail takes another way
)

const (
	// PauseFor is how long a pause lasts if nobody says otherwise: one that is
	// forgotten must not become an outage.
	PauseFor = 5 * time.Minute
	// maxMeasures bounds what every attempt is compared with.
	maxMeasures = 1000
)

// Measure is something an operator has decided about mail of a kind: who did,
// why and until when. Every field of the selection that is set must fit; an
// empty selection is refused unless All says that it is meant.
type Measure struct {
	ID     string    `json:"id"` // follows from kind and selection
	Kind   string    `json:"kind"`
	Domain string    `json:"domain,omitempty"` // of the recipient
	Queue  string    `json:"queue,omitempty"`
	Class  string    `json:"class,omitempty"`
	To     string    `json:"to,omitempty"` // recipient's address
	All    bool      `json:"all,omitempty"`
	Via    string    `json:"via,omitempty"` // route: the name of a configured route
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is taken back
}

// wholeLane reports whether the measure keeps back everything in a lane, so
// that one row does for all its parcels.
func (m *Measure) wholeLane() bool {
	return m.Kind == MeasurePause && (m.Domain != "" || m.All) && m.Queue == "" && m.Class == "" && m.To == ""
}

// laneNap bounds how long a lane sleeps on a measure's account before the
// measure is looked at again, so that taking it back needs no list of lanes.
const laneNap = 30 * time.Second

// nap is until when a lane sleeps on the measure's account.
func (m *Measure) nap(now time.Time) time.Time {
	if end := now.Add(laneNap); end.Before(m.Until) {
		return end
	}
	return m.Until
}

func (m *Measure) words() string { return m.By + ": " + m.Reason }

// cleared marks a parcel that a person has released from the measure.
func (m *Measure) cleared() string {
	return HeldMeasure + " " + m.ID + " " + m.At.Format(time.RFC3339Nano)
}

func (m *Measure) inForce(now time.Time) bool { return m.Until.IsZero() || m.Until.After(now) }

func (m *Measure) fits(p *row) bool {
	return (m.Queue == "" || m.Queue == p.Queue) && (m.Class == "" || m.Class == p.Class) &&
		(m.To == "" || m.To == message.Fold(p.To)) && (m.Domain == "" || m.Domain == destination(p.To))
}

// id follows from what the measure is about: deciding again about the same
// replaces the earlier decision.
func (m *Measure) id() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{m.Kind, m.Domain, m.Queue, m.Class, m.To}, "\x00")))
	return "msr_" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
}

// Selection says in words what a measure is about.
func (m *Measure) Selection() string {
	var parts []string
	for _, part := range []struct{ name, value string }{{"to", m.To}, {"domain", m.Domain}, {"queue", m.Queue}, {"class", m.Class}} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	if len(parts) == 0 {
		return "all mail"
	}
	return strings.Join(parts, ", ")
}

func (m *Measure) check(now time.Time) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
	if m.Domain != "" {
		d := destination("x@" + m.Domain)
		if d == nowhere {
			return wrong("%q is no domain", m.Domain)
		}
		m.Domain = d
	}
	m.To = message.Fold(m.To)
	if m.To != "" && destination(m.To) == nowhere {
		return wrong("%q is no address", m.To)
	}
	if m.Class != "" && !slices.Contains(classes(), m.Class) {
		return wrong("there is no class %q", m.Class)
	}
	if len(m.Queue) > 200 {
		return wrong("the queue's name is too long")
	}
	if empty := m.Domain == "" && m.Queue == "" && m.Class == "" && m.To == ""; empty != m.All {
		return wrong("say which mail is meant, or that all is")
	}
	switch m.Kind {
	case MeasurePause:
		if m.Until.IsZero() {
			m.Until = now.Add(PauseFor)
		}
	case MeasureHold:
	case MeasureRoute:
		if m.Via == "" || len(m.Via) > maxRoute || !plain(m.Via) {
			return wrong("a route needs the name of a configured route")
		}
	default:
		return wrong("a measure is one of pause, hold, route")
	}
	if m.Kind != MeasureRoute && m.Via != "" {
		return wrong("only a route goes another way")
	}
	m.Until = m.Until.UTC().Truncate(time.Microsecond)
	if !m.Until.IsZero() && !m.Until.After(now) {
		return wrong("the end lies in the past")
	}
	return nil
}

// measures are kept in memory too, because every attempt asks for them.
type measures struct {
	table  *store.Table[Measure]
	mu     *sync.Mutex
	known  bool
	loaded []Measure
	seen   *atomic.Pointer[[]Measure] // as loaded last; for those who must not wait
}

func newMeasures() measures {
	return measures{mu: &sync.Mutex{}, seen: &atomic.Pointer[[]Measure]{}, table: store.NewTable("outbound_measure", store.PrefixMeasure, []string{"id"},
		func(m *Measure) store.Key { return store.Key{}.Str(m.ID) })}
}

// Measures returns the measures in force, oldest first.
func (q *Queue) Measures(ctx context.Context) ([]Measure, error) {
	all, err := q.allMeasures(ctx)
	now := q.o.Now()
	return slices.DeleteFunc(slices.Clone(all), func(m Measure) bool { return !m.inForce(now) }), err
}

// allMeasures includes those whose time is over and that were not swept yet.
func (q *Queue) allMeasures(ctx context.Context) ([]Measure, error) {
	q.measures.mu.Lock()
	defer q.measures.mu.Unlock()
	if q.measures.known {
		return q.measures.loaded, nil
	}
	var all []Measure
	err := q.o.DB.View(ctx, func(r store.Reader) error {
		all = nil
		for m, err := range q.measures.table.Scan(r, store.Query{}) {
			if err != nil {
				return err
			}
			all = append(all, *m)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("delivery: measures: %w", err)
	}
	slices.SortFunc(all, func(a, b Measure) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	q.measures.known, q.measures.loaded = true, all
	q.measures.seen.Store(&all)
	return all, nil
}

// changeMeasures runs a transaction that changes measures; nobody reads them
// from memory until it is over.
func (q *Queue) changeMeasures(ctx context.Context, fn func(store.Tx) error) error {
	q.measures.mu.Lock()
	defer q.measures.mu.Unlock()
	q.measures.known = false
	return q.o.DB.Update(ctx, fn)
}

// Decide puts a measure into force and returns it complete. One about the same
// mail is replaced. ErrInvalid says what is wrong with it.
func (q *Queue) Decide(ctx context.Context, m Measure) (*Measure, error) {
	m.By, m.Reason = clip(m.By), clip(m.Reason)
	m.At = q.o.Now().UTC().Truncate(time.Microsecond)
	if err := m.check(m.At); err != nil {
		return nil, err
	}
	m.ID = m.id()
	err := q.changeMeasures(ctx, func(tx store.Tx) error {
		key := store.Key{}.Str(m.ID)
		if err := q.measures.table.Lock(tx, key); err != nil {
			return err
		}
		old, err := q.measures.table.Find(tx, key)
		if err != nil {
			return err
		}
		if old == nil {
			page, _, err := q.measures.table.Page(tx, store.Query{Limit: maxMeasures})
			if err != nil {
				return err
			}
			if len(page) == maxMeasures {
				return fmt.Errorf("%w: there are %d measures already", ErrInvalid, maxMeasures)
			}
		}
		if err := q.measures.table.Put(tx, &m); err != nil {
			return err
		}
		if m.wholeLane() && m.Domain != "" {
			return q.pauseDomain(tx, m.Domain, m.Until, m.words())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("delivery: measure: %w", err)
	}
	if m.Kind == MeasureRoute {
		q.waysChanged(ctx)
	}
	q.o.Log.Info("outbound measure in force", "measure", m.ID, "kind", m.Kind, "about", m.Selection(), "by", m.By, "reason", m.Reason, "until", m.Until)
	return &m, nil
}

// TakeBack ends a measure and releases what it held. store.ErrNotFound if there
// is none.
func (q *Queue) TakeBack(ctx context.Context, id string) error {
	rerouted := false
	err := q.changeMeasures(ctx, func(tx store.Tx) error {
		key := store.Key{}.Str(id)
		if err := q.measures.table.Lock(tx, key); err != nil {
			return err
		}
		m, err := q.measures.table.Get(tx, key)
		if err != nil {
			return err
		}
		if m.wholeLane() && m.Domain != "" {
			if err := q.pauseDomain(tx, m.Domain, time.Time{}, ""); err != nil {
				return err
			}
		}
		rerouted = m.Kind == MeasureRoute
		return q.measures.table.Remove(tx, m)
	})
	if err != nil {
		return fmt.Errorf("delivery: measure %q: %w", id, err)
	}
	if rerouted {
		q.waysChanged(ctx)
	}
	return q.letGoAll(ctx, HeldMeasure, id)
}

// endMeasures takes back what has come to its end.
func (q *Queue) endMeasures(ctx context.Context) error {
	all, err := q.allMeasures(ctx)
	if err != nil {
		return err
	}
	now := q.o.Now()
	for _, m := range all {
		if m.inForce(now) {
			continue
		}
		if err := q.TakeBack(ctx, m.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// inTheWay returns a measure that keeps a parcel back now, nil if none does.
// Measures that cannot be read keep nothing back: they are a comfort of
// operators, and mail goes first.
func (q *Queue) inTheWay(ctx context.Context, p *row) *Measure {
	all, err := q.allMeasures(ctx)
	if err != nil {
		q.o.Log.Error("outbound measures cannot be read", "cause", err)
		return nil
	}
	now := q.o.Now()
	for i := range all {
		m := &all[i]
		if m.Kind != MeasureRoute && m.inForce(now) && m.fits(p) && !slices.Contains(p.Cleared, m.cleared()) {
			return m
		}
	}
	return nil
}

// Pause keeps all mail for a destination domain back until the given time;
// Resume ends that. Attempts under way go on.
func (q *Queue) Pause(ctx context.Context, domain string, until time.Time, by, reason string) (*Measure, error) {
	return q.Decide(ctx, Measure{Kind: MeasurePause, Domain: domain, Until: until, By: by, Reason: reason})
}

// Resume ends a destination's pause: an operator's, and the one the queue makes
// itself when a destination does not answer. store.ErrNotFound if there is none.
func (q *Queue) Resume(ctx context.Context, domain string) error {
	m := Measure{Kind: MeasurePause, Domain: destination("x@" + domain)}
	if m.Domain == nowhere {
		return fmt.Errorf("%w: %q is no domain", ErrInvalid, domain)
	}
	err := q.TakeBack(ctx, m.id())
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	found := q.forgive(m.Domain)
	err = q.o.DB.Update(ctx, func(tx store.Tx) error {
		lanes, err := q.lanesOf(tx, m.Domain)
		if err != nil {
			return err
		}
		for _, lane := range lanes {
			l, err := q.o.Agenda.Lane(tx, lane)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			found = found || !l.NotBefore.IsZero()
		}
		return q.pauseDomain(tx, m.Domain, time.Time{}, "")
	})
	if err == nil && !found {
		return store.ErrNotFound
	}
	return err
}

// pauseDomain pauses every lane of a destination, or resumes them.
func (q *Queue) pauseDomain(tx store.Tx, domain string, until time.Time, words string) error {
	lanes, err := q.lanesOf(tx, domain)
	if err != nil {
		return err
	}
	for _, lane := range lanes {
		if err := q.o.Agenda.Pause(tx, lane, until, words); err != nil {
			return err
		}
	}
	return nil
}
