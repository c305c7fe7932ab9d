package ticketing

import (
	"slices"

	"ticketgate/ticketing/message"
)

// role returns the author's part in a ticket: requester cc follower agent
// light_agent third_party, or system for reports and complaints.
//
// Requester and CC are who they say they are, as far as an address can say it;
// agents and followers must be proven (unit.agent). An address that is an
// agent's but not proven to be his is a third party, unless it is requester or
// CC of the ticket: then it may do what those may, and no more.
func (w *work) role(t *ticketRow, in *incoming, u *unit) string {
	d := w.d
	if in.report() || in.complaint() {
		return "system"
	}
	if in.folded == "" || in.doubtful || in.ownFrom {
		return "third_party"
	}
	if message.Fold(t.Requester.Address) == in.folded {
		return "requester"
	}
	if a := u.agent; a != nil {
		q := d.queues[t.Queue]
		serves := t.Assignee == a.Name || q != nil && q.serves[a.Name]
		switch {
		case serves && a.Light:
			return "light_agent"
		case serves:
			return "agent"
		case t.followedBy(a.Name):
			return "follower"
		}
	}
	if t.hasCC(in.folded) {
		return "cc"
	}
	return w.roleElsewhere(t, in)
}

// roleElsewhere is the part of an author who takes part under another of his
// addresses.
func (w *work) roleElsewhere(t *ticketRow, in *incoming) string {
	role := "third_party"
	for _, other := range w.otherAddresses(in) {
		switch {
		case message.Fold(t.Requester.Address) == other:
			return "requester"
		case t.hasCC(other):
			role = "cc"
		}
	}
	return role
}

// partOf is the address under which the author of a mail takes part in a
// ticket: nobody is told of his own doing because he has two.
func (w *work) partOf(t *ticketRow, in *incoming) string {
	if message.Fold(t.Requester.Address) == in.folded || t.hasCC(in.folded) {
		return in.author.Addr
	}
	for _, other := range w.otherAddresses(in) {
		if message.Fold(t.Requester.Address) == other || t.hasCC(other) {
			return other
		}
	}
	return in.author.Addr
}

func (t *ticketRow) hasCC(folded string) bool {
	return slices.ContainsFunc(t.CCs, func(p Person) bool { return message.Fold(p.Address) == folded })
}

func (t *ticketRow) followedBy(agent string) bool {
	return slices.ContainsFunc(t.Followers, func(f Follower) bool { return f.Agent == agent })
}

// staffRole reports whether a role is one of staff.
func staffRole(role string) bool {
	return role == "agent" || role == "light_agent" || role == "follower"
}

// customerRole reports whether a role is one of customers.
func customerRole(role string) bool { return role == "requester" || role == "cc" }

// actor is the author of a mail as the causer of what follows.
func (in *incoming) actor(m *Message) Actor {
	if by := m.ForwardedBy; by != nil {
		return Actor{Kind: "agent", Agent: by.Agent, Address: by.Address, Name: by.Name}
	}
	a := Actor{Kind: "contact", Address: m.Author.Address, Name: m.Author.Name}
	if m.Author.Agent != "" {
		a.Kind, a.Agent = "agent", m.Author.Agent
	}
	return a
}
