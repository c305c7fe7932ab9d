package notify

import (
	"slices"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// events are the notices this package tells; others are counted as "other".
var events = []string{"ticket_created", "public_message", "internal_message", "third_party", "delivery_failed", "held_digest", "backlog", "mail_withheld",
	"reminder", "task_assigned", "commands_failed", "other"}

func eventLabel(event string) string {
	if slices.Contains(events, event) {
		return event
	}
	return "other"
}

// letter is one mail to one person.
type letter struct {
	role   string // requester cc follower assignee agent
	to     message.Address
	folded string // to's address
	agent  string // set for staff
	ack    bool   // acknowledgement of receipt, not the message itself
	echo   bool   // an acknowledgement may repeat what the mail said
}

func (l letter) staff() bool { return l.agent != "" }

// skip is a decision not to write, with its reason.
type skip struct {
	letter
	reason string
}

// plan decides who hears of an affair, each person once. It is a pure function
// of what was true when the notice was written (its audience) and of the ticket
// as it is now: a person must have been concerned then and may still be told
// now.
//
//	the causer hears nothing, but for the acknowledgement of a new ticket
//	who is not concerned by the event, or not any more, hears nothing
//	customers who stood in the causing mail have it already
//	who has another address in the audience hears once
func plan(a *affair) (letters []letter, skipped []skip) {
	seen := map[string]bool{}
	for _, r := range a.notice.Audience {
		l := letter{role: r.Role, to: message.Address{Name: r.Name, Addr: r.Address}, agent: r.Agent, folded: message.Fold(r.Address)}
		reason := a.judge(&l)
		if reason == "" && seenBefore(a, l, seen) {
			reason = notTwice
		}
		if reason != "" {
			skipped = append(skipped, skip{l, reason})
			continue
		}
		letters = append(letters, l)
	}
	return letters, skipped
}

// judge says why a letter is not written, "" if it is, and completes it.
func (a *affair) judge(l *letter) string {
	if l.staff() {
		return a.judgeStaff(l)
	}
	switch {
	case !a.takesPart(l):
		return notAnyMore
	case a.isBacklog():
		return a.judgeBacklog()
	case !a.publicEvent() || !public(a.msg):
		return notConcerned
	case a.caused(l):
		return a.judgeAck(l)
	case !vouched(a):
		return notVouched
	case a.optedOut[l.folded]:
		return notWanted
	case !a.queue.CopyAlways && stoodIn(a.msg, l.folded):
		return notAgain
	}
	return ""
}

func (a *affair) judgeAck(l *letter) string {
	if l.role != "requester" || a.notice.Event != "ticket_created" {
		return notCauser
	}
	if reason := ackRefusal(a); reason != "" {
		return noAck + reason
	}
	l.ack, l.echo = true, proven(a)
	return ""
}

func (a *affair) judgeStaff(l *letter) string {
	agent, ok := a.agents(l.agent)
	if !ok || len(agent.Addresses) == 0 {
		return notAgent
	}
	// What was his address when it happened may be nobody's or another's now.
	l.to.Addr, l.folded = agent.Addresses[0], message.Fold(agent.Addresses[0])
	switch {
	case a.caused(l):
		return notCauser
	case !a.concerns(l):
		return notConcerned
	}
	return ""
}

// publicEvent: customers hear of public messages and of nothing else. The
// message's visibility is read when it is told, so what was withdrawn meanwhile
// is not sent.
func (a *affair) publicEvent() bool {
	return a.notice.Event == "public_message" || a.notice.Event == "ticket_created"
}

// takesPart reports whether a customer is still in the ticket.
func (a *affair) takesPart(l *letter) bool {
	same := func(p ticketing.Person) bool { return message.Fold(p.Address) == l.folded }
	switch l.role {
	case "requester":
		return same(a.ticket.Requester)
	case "cc":
		return slices.ContainsFunc(a.ticket.CCs, same)
	}
	return false
}

// caused reports whether the letter would tell somebody of his own doing. A
// third party is by definition not proven to be anybody, so an agent hears of
// mail that only claims to be his.
func (a *affair) caused(l *letter) bool {
	by := a.notice.Actor
	if a.notice.Event == "commands_failed" {
		return false // this answers him
	}
	if l.staff() && by.Agent != "" && by.Agent == l.agent {
		return true
	}
	if by.Address == "" || l.staff() && by.Agent == "" && a.notice.Event == "third_party" {
		return false
	}
	return message.Fold(by.Address) == l.folded
}

// concerns is the table of events against staff.
//
//	                  follower  assignee  agents, if nobody is assigned
//	ticket_created    told      told      told (also if somebody is)
//	public_message    told      told      told if a customer wrote
//	internal_message  told      told      told if a customer wrote
//	third_party       told      told      told
//	delivery_failed   told      told      told; so is the message's author
//	reminder          told      told      told
//	task_assigned, commands_failed: whom it is for, and nobody else
func (a *affair) concerns(l *letter) bool {
	if personal(a.notice.Event) {
		return true
	}
	if a.follows(l.agent) {
		return true
	}
	assigned := a.ticket.Assignee != ""
	if l.agent == a.ticket.Assignee {
		return slices.Contains(events, a.notice.Event)
	}
	if !slices.Contains(a.queue.Agents, l.agent) {
		return false // the ticket has moved on, or he has
	}
	switch a.notice.Event {
	case "ticket_created":
		return true
	case "public_message", "internal_message":
		return !assigned && a.notice.Actor.Agent == ""
	case "third_party", "reminder":
		return !assigned
	case "delivery_failed":
		return !assigned || a.msg != nil && a.msg.Author.Agent == l.agent
	}
	return false
}

// personal reports whether an event concerns one agent only, whoever else the
// ticket concerns.
func personal(event string) bool { return event == "task_assigned" || event == "commands_failed" }

func (a *affair) follows(agent string) bool {
	return slices.ContainsFunc(a.ticket.Followers, func(f ticketing.Follower) bool { return f.Agent == agent })
}

// seenBefore notes a letter's person by all his addresses and reports whether
// one of them has a letter already: an agent may be a customer too, under
// another address.
func seenBefore(a *affair, l letter, seen map[string]bool) bool {
	names := []string{l.folded}
	if agent, ok := a.agents(l.agent); ok && l.staff() {
		for _, address := range agent.Addresses {
			names = append(names, message.Fold(address))
		}
	}
	if slices.ContainsFunc(names, func(name string) bool { return seen[name] }) {
		return true
	}
	for _, name := range names {
		seen[name] = true
	}
	return false
}

// stoodIn reports whether the address was visibly addressed by the very mail
// that caused the notice, so that its owner has it already.
func stoodIn(m *ticketing.Message, folded string) bool {
	if m == nil || m.Direction != "in" {
		return false
	}
	return slices.ContainsFunc(slices.Concat(m.To, m.Cc), func(a message.Address) bool { return message.Fold(a.Addr) == folded })
}
