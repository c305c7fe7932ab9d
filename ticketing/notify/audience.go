package notify

import (
	"slices"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// events are the notices this package tells; others are counted as "other".
var events = []string{"ticket_created", "public_message", "internal_message", "third_party", "delivery_failed", "other"}

func eventLabel(event string) string {
	if slices.Contains(events, event) {
		return event
	}
	return "other"
}

// letter is one mail to one person.
type letter struct {
	role    string // requester cc follower assignee agent
	to      message.Address
	agent   string // set for staff
	ack     bool   // acknowledgement of receipt, not the message itself
	echo    bool   // an acknowledgement may repeat the subject
	contact string // folded address
}

func (l letter) staff() bool { return l.agent != "" }

// skip is a decision not to write, with its reason.
type skip struct{ role, reason string }

// plan decides who hears of an affair. It is a pure function of what was true
// when the notice was written (its audience) and of the ticket as it is now: a
// person must have been concerned then and may still be told now.
func plan(a *affair) (letters []letter, skipped []skip) {
	seen := map[string]bool{}
	refuse := func(role, reason string) { skipped = append(skipped, skip{role, reason}) }
	for _, r := range a.notice.Audience {
		l := letter{role: r.Role, to: message.Address{Name: r.Name, Addr: r.Address}, agent: r.Agent, contact: message.Fold(r.Address)}
		switch {
		case causer(a.notice.Actor, l):
			if l.role != "requester" || a.notice.Event != "ticket_created" {
				refuse(l.role, "caused it")
				continue
			}
			if reason := ackRefusal(a); reason != "" {
				refuse(l.role, "no acknowledgement: "+reason)
				continue
			}
			l.ack, l.echo = true, a.msg.Auth.Trust != "T0"
		case !concerns(a, l):
			refuse(l.role, "not concerned by this event")
			continue
		case l.staff() && !employed(a, l):
			refuse(l.role, "no longer an agent")
			continue
		case !l.staff() && !a.queue.CopyAlways && stoodIn(a.msg, l.contact):
			refuse(l.role, "stood in the mail that caused it")
			continue
		}
		if seen[l.contact] {
			refuse(l.role, "told already")
			continue
		}
		seen[l.contact] = true
		letters = append(letters, l)
	}
	return letters, skipped
}

// causer reports whether the letter would tell somebody of his own doing.
func causer(by ticketing.Actor, l letter) bool {
	if by.Agent != "" && by.Agent == l.agent {
		return true
	}
	return by.Address != "" && message.Fold(by.Address) == l.contact
}

// concerns is the table of events against roles.
func concerns(a *affair, l letter) bool {
	if !l.staff() {
		// Customers hear of public messages and of nothing else; the message's
		// visibility is read now, so a reply withdrawn meanwhile is not sent.
		told := a.notice.Event == "public_message" || a.notice.Event == "ticket_created"
		return told && a.msg != nil && a.msg.Visibility == "public" && (l.role == "requester" || l.role == "cc")
	}
	if l.role == "follower" {
		return true
	}
	byAgent := a.notice.Actor.Agent != ""
	switch a.notice.Event {
	case "ticket_created":
		return true
	case "public_message", "internal_message":
		if a.ticket.Assignee != "" {
			return l.agent == a.ticket.Assignee
		}
		return !byAgent
	case "third_party", "delivery_failed":
		return a.ticket.Assignee == "" || l.agent == a.ticket.Assignee
	}
	return false
}

func employed(a *affair, l letter) bool {
	_, ok := a.agents(l.agent)
	return ok
}

// stoodIn reports whether the address was visibly addressed by the very mail
// that caused the notice, so that its owner has it already.
func stoodIn(m *ticketing.Message, contact string) bool {
	if m == nil || m.Direction != "in" {
		return false
	}
	for _, list := range [][]message.Address{m.To, m.Cc} {
		for _, a := range list {
			if message.Fold(a.Addr) == contact {
				return true
			}
		}
	}
	return false
}
