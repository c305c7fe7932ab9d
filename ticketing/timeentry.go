package ticketing

import (
	"context"
	"time"

	"ticketgate/ticketing/store"
)

// TimeEntry is working time that an agent spent on a ticket.
type TimeEntry struct {
	ID        string    `json:"id"` // tim_…
	Ticket    uint64    `json:"ticket"`
	Agent     string    `json:"agent"`
	Minutes   int       `json:"minutes"`
	Role      string    `json:"role,omitempty"` // in what capacity, in the desk's own words
	Note      string    `json:"note,omitempty"`
	Message   string    `json:"message,omitempty"` // the mail it came by
	CreatedBy string    `json:"created_by"`        // as the journal names actors
	CreatedAt time.Time `json:"created_at"`
}

// NewTime is working time to be noted.
type NewTime struct {
	Agent      string // "" = the actor
	Minutes    int    // 1 to MaxMinutes
	Role, Note string
}

// MaxMinutes is the most one entry may hold: a day.
const MaxMinutes = 24 * 60

func timeTable() *store.Table[TimeEntry] {
	return store.NewTable("time_entry", store.PrefixTimeEntry, []string{"id"},
		func(e *TimeEntry) store.Key { return store.Key{}.Str(e.ID) },
		store.Index[TimeEntry]{Name: byTicket, Columns: []string{"ticket", "id"},
			Keys: func(e *TimeEntry) []store.Key { return []store.Key{store.Key{}.Uint(e.Ticket).Str(e.ID)} }})
}

// AddTime notes working time on a ticket. An agent notes his own; integrations
// say whose it is.
func (d *Desk) AddTime(ctx context.Context, by Actor, ticket uint64, n NewTime) (*TimeEntry, error) {
	drawn, err := d.newSeeds()
	if err != nil {
		return nil, err
	}
	var out *TimeEntry
	err = d.update(ctx, func(w *work) error {
		s := drawn
		t, err := w.noted(by, ticket)
		if err != nil {
			return err
		}
		out, err = w.addTime(by, t, n, "", &s)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (w *work) addTime(by Actor, t *ticketRow, n NewTime, message string, s *seeds) (*TimeEntry, error) {
	if n.Agent == "" {
		n.Agent = by.Agent
	}
	switch {
	case n.Minutes < 1 || n.Minutes > MaxMinutes:
		return nil, &Error{Kind: Invalid, Text: "working time is one minute at least and a day at most"}
	case by.Agent != "" && n.Agent != by.Agent:
		return nil, &Error{Kind: Denied, Text: "agents note their own working time only"}
	case w.d.agents[n.Agent] == nil:
		return nil, &Error{Kind: Invalid, Text: "say which agent's working time it is"}
	}
	have, err := rowsOf(w.tx, w.d.times, t.Number)
	if err != nil {
		return nil, err
	}
	if len(have) >= maxTimes {
		return nil, &Error{Kind: Refused, Text: "the ticket has all the time entries it may have"}
	}
	e := &TimeEntry{
		Ticket: t.Number, Agent: n.Agent, Minutes: n.Minutes, Role: clip(n.Role, maxName), Note: clip(n.Note, maxTicketSubject),
		Message: message, CreatedBy: by.label(), CreatedAt: w.now,
	}
	if e.ID, err = s.id("tim_", w.now); err != nil {
		return nil, err
	}
	t.Minutes += e.Minutes
	w.touch(t)
	if err := w.record(t, "time.added", by, timeRecord{Time: e.ID, Agent: e.Agent, Minutes: e.Minutes}); err != nil {
		return nil, err
	}
	return e, w.d.times.Insert(w.tx, e)
}

// timeRecord is the journal's data about working time.
type timeRecord struct {
	Time    string `json:"time"`
	Agent   string `json:"agent"`
	Minutes int    `json:"minutes"`
}

// Times returns all time entries of a ticket, in the order they were noted;
// Ticket.Minutes is their sum. The number of a merged ticket stands for the one
// it was merged into.
func (d *Desk) Times(ctx context.Context, ticket uint64) ([]*TimeEntry, error) {
	number, err := d.redirected(ctx, ticket)
	if err != nil {
		return nil, failure(err)
	}
	var out []*TimeEntry
	err = d.db.View(ctx, func(r store.Reader) (err error) {
		out, err = rowsOf(r, d.times, number)
		return err
	})
	return out, failure(err)
}
