package ticketing

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"ticketgate/ticketing/store"
)

// Presence says that an agent looks at a ticket or writes on it just now, and
// what he has written so far. It is in memory: whoever is there says so again
// and again, and after a restart they all do.
type Presence struct {
	Agent   string
	Name    string
	Doing   string // viewing replying noting
	Draft   string // what he has written so far, for his colleagues to read
	Since   time.Time
	Seen    time.Time // when he last said so
	Written time.Time // when the draft last changed; zero without one
}

const (
	// PresenceLasts is how long somebody who says nothing more is still there.
	PresenceLasts = 60 * time.Second

	maxDraft          = 64 << 10 // bytes
	maxPresent        = 50       // on one ticket
	maxPresentTickets = 10000
)

var doings = []string{"viewing", "replying", "noting"}

// presences is who is where. Everything in it may be forgotten at any time.
type presences struct {
	mu      sync.Mutex
	tickets map[uint64]map[string]*Presence
}

// Appear says that an agent is at a ticket; draft is what he has written. It
// returns who is there, himself included. Only agents can be seen, and only on
// tickets they may write notes on; light agents and followers can.
func (d *Desk) Appear(ctx context.Context, by Actor, ticket uint64, doing, draft string) ([]Presence, error) {
	t, now, err := d.beside(ctx, by, ticket)
	if err != nil {
		return nil, failure(err)
	}
	switch {
	case d.agents[by.Agent] == nil:
		return nil, &Error{Kind: Denied, Text: "only agents can be present"}
	case !slices.Contains(doings, doing):
		return nil, &Error{Kind: Invalid, Text: "what somebody does is one of " + strings.Join(doings, ", ")}
	case len(draft) > maxDraft:
		return nil, &Error{Kind: TooBig, Text: "the draft is too long"}
	}
	p := &d.present
	p.mu.Lock()
	defer p.mu.Unlock()
	there := p.at(t.Number, now)
	me := there[by.Agent]
	if me == nil {
		if len(there) >= maxPresent || len(p.tickets) >= maxPresentTickets && !p.room(now) {
			return nil, &Error{Kind: Busy, Text: "too many are present; try again"}
		}
		me = &Presence{Agent: by.Agent, Name: d.agents[by.Agent].DisplayName, Since: now}
	}
	me.Doing, me.Seen = doing, now
	if draft = strings.ToValidUTF8(draft, "\ufffd"); draft != me.Draft {
		if me.Draft, me.Written = draft, now; draft == "" {
			me.Written = time.Time{}
		}
	}
	if there == nil {
		there = map[string]*Presence{}
		p.tickets[t.Number] = there
	}
	there[by.Agent] = me
	return list(there), nil
}

// Present lists who is at a ticket, in the order they came.
func (d *Desk) Present(ctx context.Context, by Actor, ticket uint64) ([]Presence, error) {
	t, now, err := d.beside(ctx, by, ticket)
	if err != nil {
		return nil, failure(err)
	}
	d.present.mu.Lock()
	defer d.present.mu.Unlock()
	return list(d.present.at(t.Number, now)), nil
}

// Leave says that an agent is gone, with his draft.
func (d *Desk) Leave(ctx context.Context, by Actor, ticket uint64) error {
	t, now, err := d.beside(ctx, by, ticket)
	if err != nil {
		return failure(err)
	}
	d.present.mu.Lock()
	defer d.present.mu.Unlock()
	if there := d.present.at(t.Number, now); there != nil {
		if delete(there, by.Agent); len(there) == 0 {
			delete(d.present.tickets, t.Number)
		}
	}
	return nil
}

// beside returns a ticket the actor may write notes on, and the time.
func (d *Desk) beside(ctx context.Context, by Actor, number uint64) (t *ticketRow, now time.Time, err error) {
	err = d.db.View(ctx, func(r store.Reader) (err error) {
		now = r.Now()
		t, err = d.tickets.Find(r, ticketKey(number))
		return err
	})
	if err == nil && t == nil {
		err = unknownTicket()
	}
	if err == nil {
		err = d.permit(by, t, rightNote)
	}
	return t, now, err
}

// at returns who is at a ticket, without those who have gone silent; nil if
// nobody is.
func (p *presences) at(ticket uint64, now time.Time) map[string]*Presence {
	if p.tickets == nil {
		p.tickets = map[uint64]map[string]*Presence{}
	}
	there := p.tickets[ticket]
	for name, one := range there {
		if now.Sub(one.Seen) >= PresenceLasts {
			delete(there, name)
		}
	}
	if there != nil && len(there) == 0 {
		delete(p.tickets, ticket)
		return nil
	}
	return there
}

// room forgets tickets where everybody has gone silent, and reports whether
// there is room for another one now.
func (p *presences) room(now time.Time) bool {
	for ticket := range p.tickets {
		p.at(ticket, now)
	}
	return len(p.tickets) < maxPresentTickets
}

func list(there map[string]*Presence) []Presence {
	out := make([]Presence, 0, len(there))
	for _, one := range there {
		out = append(out, *one)
	}
	slices.SortFunc(out, func(a, b Presence) int { return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Agent, b.Agent)) })
	return out
}
