package ticketing

import (
	"slices"

	"ticketgate/ticketing/message"
)

const flagForwarded = "forwarded" // an agent passed it on for its author

// readForward finds the customer's mail that an agent passes on. Whether he is
// proven to be that agent is found out later.
func (d *Desk) readForward(in *incoming) {
	if in.agent == nil || in.report() || in.auto.Class != "none" {
		return
	}
	f := message.Forward(in.mail)
	if f == nil {
		return
	}
	from, ok := clipAddress(f.From)
	folded := message.Fold(from.Addr)
	if !ok || folded == in.folded || d.writer(folded) != nil || d.own(folded) != nil {
		return
	}
	f.From = from
	f.Subject = clip(f.Subject, maxSubject)
	in.forward = f
}

// passedOn turns a new ticket's mail into that of the customer whose mail a
// proven agent passes on: the customer is the requester, the agent follows, and
// the message remembers who passed it on. It reports whether it did. A
// customer's forward stays his own.
func (w *work) passedOn(t *ticketRow, in *incoming, u *unit, m *Message) bool {
	if in.forward == nil || u.agent == nil {
		return false
	}
	f := in.forward
	by := Author{Address: in.author.Addr, Name: in.author.Name, Role: "agent", Agent: u.agent.Name}
	if u.agent.Light {
		by.Role = "light_agent"
	}
	m.ForwardedBy = &by
	m.Author = Author{Address: f.From.Addr, Name: f.From.Name, Role: "requester"}
	m.Flags = append(m.Flags, flagForwarded)
	t.Requester = person(f.From)
	subject := f.Subject
	if subject == "" {
		subject = message.TopicSubject(in.subject)
	}
	t.Subject = ticketSubject(subject, u.queue)
	w.makeFollower(t, u.agent)
	return true
}

// forwardAudience is staff: the customer wrote the mail, and the agent chose to
// pass it on without telling him.
func forwardAudience(list []Recipient) []Recipient {
	return slices.DeleteFunc(list, func(r Recipient) bool { return r.Agent == "" })
}
