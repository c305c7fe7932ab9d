package notify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Verdict says whether a person was told of a ticket's latest event, and why.
type Verdict struct {
	Ticket  uint64
	To      string
	Agent   string // whose address that is, "" if no agent's
	Event   string
	Message string // that the event is about, "" if none
	State   string
	Reason  string
	At      time.Time // when it was decided; of a present verdict, when the message came
	// Present tells that nothing was decided about this person: the checks are
	// made with what is true now.
	Present bool
	Checks  []Check
	Found   *Notification   // the decision, unless Present
	Earlier []*Notification // other decisions about him in this ticket, latest first
}

// Check is one step of a verdict. The last one that is not OK decides.
type Check struct {
	OK   bool
	Text string
}

const (
	whyRows    = 300 // a ticket's latest notices are looked at
	whyEarlier = 5
	whyWindow  = 20 // and its latest messages
)

// Why answers for the latest message of a ticket, or for a later event that
// somebody decided about; with an event, for the latest of that kind.
func (h *History) Why(ctx context.Context, ticket uint64, to, event string) (*Verdict, error) {
	t, err := h.o.Desk.Ticket(ctx, ticket)
	if err != nil {
		return nil, err
	}
	v := &Verdict{Ticket: t.Number, To: to, Event: event}
	if agent, is := h.o.Desk.Writer(to); is {
		v.Agent = agent.Name
	}
	m, err := h.latest(ctx, t)
	if err != nil {
		return nil, err
	}
	var about string // message of the event that is asked about
	if m != nil {
		about = m.ID
	}
	own, newest, err := h.decisions(ctx, t.Number, to, event)
	if err != nil {
		return nil, err
	}
	if event != "" && newest != nil {
		about = newest.Message
	}
	if i := slices.IndexFunc(own, func(x *Notification) bool { return event != "" && x.Message == about || event == "" && x.tells(m) }); i >= 0 {
		v.Found = own[i]
		own = slices.Delete(own, i, i+1)
	}
	v.Earlier = own[:min(len(own), whyEarlier)]
	if err := h.complete(ctx, append(slices.Clone(v.Earlier), v.found()...)); err != nil {
		return nil, err
	}
	if v.Found != nil {
		v.decided()
		return v, nil
	}
	if event != "" && newest == nil {
		v.present(StateSuppressed, notDecided, Check{false, fmt.Sprintf("there was no event %q in ticket %d that anybody was to hear of", event, ticket)})
		return v, nil
	}
	if m != nil && about != m.ID {
		if m = nil; about != "" {
			if m, err = h.o.Desk.Message(ctx, about); err != nil {
				return nil, err
			}
		}
	}
	return v, h.reason(ctx, v, t, m)
}

func (v *Verdict) found() []*Notification {
	if v.Found == nil {
		return nil
	}
	return []*Notification{v.Found}
}

// tells reports whether a decision is about a message, or is later news.
func (x *Notification) tells(m *ticketing.Message) bool {
	return m == nil || x.Message == m.ID || x.At.After(m.ReceivedAt)
}

// latest is the last message of a ticket that anybody may be told of.
func (h *History) latest(ctx context.Context, t *ticketing.Ticket) (*ticketing.Message, error) {
	list, err := h.o.Desk.Messages(ctx, t.Number, max(0, t.MessageCount-whyWindow), whyWindow)
	if err != nil {
		return nil, err
	}
	for _, m := range slices.Backward(list) {
		if m.Kind != "bounce" && m.Kind != "event" {
			return m, nil
		}
	}
	return nil, nil
}

// decisions returns what was decided about a person in a ticket, latest first
// and one of each notice, and the latest notice of the event, whoever it is
// about.
func (h *History) decisions(ctx context.Context, ticket uint64, to, event string) (own []*Notification, newest *historyRow, err error) {
	person, folded := h.person(to), message.Fold(to)
	err = h.o.DB.View(ctx, func(r store.Reader) error {
		own, newest = nil, nil
		for row, err := range h.rows.Scan(r, store.Query{Index: historyByTicket, Prefix: store.Key{}.Uint(ticket), Reverse: true, Limit: whyRows}) {
			if err != nil {
				return err
			}
			if event != "" && row.Event != event {
				continue
			}
			if newest == nil {
				newest = row
			}
			best := -1
			for n := range row.Decisions {
				d := &row.Decisions[n]
				if !d.of(person) {
					continue
				}
				// The mail to him counts; else what was said of this very address.
				if best < 0 || row.Decisions[best].Parcel == "" && (d.Parcel != "" || message.Fold(d.To) == folded) {
					best = n
				}
			}
			if best >= 0 {
				own = append(own, row.shown(best))
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("notify: why: %w", err)
	}
	return own, newest, nil
}

func (v *Verdict) say(ok bool, format string, args ...any) {
	v.Checks = append(v.Checks, Check{ok, fmt.Sprintf(format, args...)})
}

// decided makes the verdict of a decision.
func (v *Verdict) decided() {
	x := v.Found
	v.Event, v.Message, v.State, v.Reason, v.At = x.Event, x.Message, x.State, x.Reason, x.At
	who := x.Recipient
	if x.Agent != "" {
		who = x.Agent
	}
	switch x.word {
	case notAnyMore, notAgent:
		v.say(true, "%s was %s when it happened", who, x.Role)
	default:
		v.say(true, "%s is %s", who, x.Role)
	}
	v.say(true, "mail %q", x.Letter)
	if x.Parcel == "" {
		v.say(false, "%s: %s", x.State, explain(x.word, x.detail))
		return
	}
	v.say(true, "written to %s and queued as %s", x.Recipient, x.Parcel)
	switch x.State {
	case StateQueued:
		v.say(false, "in the outbound queue: %s", x.Reason)
	case StateSent:
		switch d := x.delivery; {
		case d != nil && d.State == "sent" && d.MX != "":
			v.say(true, "handed over to %s at %s: %s", d.MX, stamp(d.At), strings.TrimSpace(d.Text))
		default:
			v.say(true, "handed over; no failure is known")
		}
	default:
		v.say(false, "%s at %s", explain(x.word, x.detail), stamp(x.ended))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (v *Verdict) present(state, reason string, why Check) {
	v.Present, v.State, v.Reason = true, state, reason
	v.Checks = append(v.Checks, why)
}

// reason judges by what is true now, with the rules that decide when a notice is
// told.
func (h *History) reason(ctx context.Context, v *Verdict, t *ticketing.Ticket, m *ticketing.Message) error {
	a := &affair{ticket: t, msg: m, agents: h.o.Desk.Agent, writer: h.o.Desk.Writer}
	a.notice = ticketing.Notice{Event: v.Event, Ticket: t.Number, Actor: ticketing.Actor{Kind: "system"}}
	var ok bool
	if a.queue, ok = h.o.Desk.Queue(t.Queue); !ok {
		v.present(StateSuppressed, notConfigured, Check{false, explain(notConfigured, "")})
		return nil
	}
	if m != nil {
		v.Message, v.At = m.ID, m.ReceivedAt
		a.notice.Actor = ticketing.Actor{Kind: "contact", Address: m.Author.Address, Agent: m.Author.Agent}
		if m.Author.Agent != "" {
			a.notice.Actor.Kind = "agent"
		}
		if a.notice.Event == "" {
			a.notice.Event = eventOf(m)
		}
	}
	v.Event = a.notice.Event
	if v.Event == "" {
		v.present(StateSuppressed, notDecided, Check{false, fmt.Sprintf("nothing has happened in ticket %d that anybody is told of", t.Number)})
		return nil
	}
	var err error
	if a.optedOut, err = h.o.Desk.OptedOut(ctx, v.To); err != nil {
		return err
	}
	if m != nil && byUs(m) {
		a.optedOut = nil // it would be sent all the same
	}
	l, parts := h.partOf(a, v)
	if !parts {
		v.present(StateSuppressed, notPart, Check{false, fmt.Sprintf("%s takes no part in ticket %d: %s %s", v.To, t.Number, explain(notPart, ""), t.Queue)})
		return nil
	}
	who := v.To
	if v.Agent != "" {
		who = v.Agent
	}
	v.say(true, "%s is %s", who, l.role)
	reason := a.judge(&l)
	if reason == "" {
		if reason, err = h.standing(ctx, &l); err != nil {
			return err
		}
	}
	v.present(StateSuppressed, reason, Check{false, explain(reason, "")})
	return nil
}

// standing is why somebody against whom no rule speaks heard nothing.
func (h *History) standing(ctx context.Context, l *letter) (reason string, err error) {
	reason = notDecided
	if !l.ack {
		return reason, nil
	}
	limit := addressLimit(l.folded)
	err = h.o.DB.View(ctx, func(r store.Reader) error {
		row, err := h.acks.Find(r, ackKey(limit.scope, limit.name))
		if err == nil && row != nil && limit.refuses(row, r.Now()) {
			reason = overLimit + scopeAddress
		}
		return err
	})
	return reason, err
}

// eventOf is the event by which a message is told.
func eventOf(m *ticketing.Message) string {
	switch {
	case m.Kind == "third_party":
		return "third_party"
	case m.Seq == 1 && m.Direction == "in":
		return "ticket_created"
	case public(m):
		return "public_message"
	}
	return "internal_message"
}

// partOf is the part a person takes in a ticket now, in the role in which he
// hears most.
func (h *History) partOf(a *affair, v *Verdict) (letter, bool) {
	l := letter{to: message.Address{Addr: v.To}, folded: message.Fold(v.To)}
	same := func(p ticketing.Person) bool { return p.Address != "" && h.person(p.Address) == h.person(v.To) }
	customer := func(role string, p ticketing.Person) (letter, bool) {
		l.role, l.to.Addr, l.folded = role, p.Address, message.Fold(p.Address)
		return l, true
	}
	if v.Agent != "" {
		l.agent = v.Agent
		switch {
		case a.ticket.Assignee == v.Agent:
			l.role = "assignee"
		case a.follows(v.Agent):
			l.role = "follower"
		case slices.Contains(a.queue.Agents, v.Agent):
			l.role = "agent"
		}
		if l.role != "" {
			return l, true
		}
		l.agent = ""
	}
	if same(a.ticket.Requester) {
		return customer("requester", a.ticket.Requester)
	}
	if i := slices.IndexFunc(a.ticket.CCs, same); i >= 0 {
		return customer("cc", a.ticket.CCs[i])
	}
	return l, false
}
