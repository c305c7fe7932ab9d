package ticketing

// right is what an actor wants to do to a ticket.
type right uint8

const (
	rightNote   right = iota // internal notes, tasks, working time, being present
	rightAnswer              // public messages
	rightChange              // fields, participants, links, merging and splitting
)

// standing is what an actor is to a ticket.
type standing uint8

const (
	nobody      standing = iota // customers by mail, and agents the ticket is nothing to
	followerOf                  // an agent who follows the ticket and does not serve its queue
	lightAgent                  // a light agent who serves the queue or is the assignee
	fullAgent                   // a full agent who serves the queue or is the assignee
	integration                 // an API token that speaks for itself, the administrator, a timer
)

// rights is the table of who may do what. What a token is good for is for the
// door to know; this is what the ticket allows.
var rights = map[standing]map[right]bool{
	followerOf:  {rightNote: true},
	lightAgent:  {rightNote: true},
	fullAgent:   {rightNote: true, rightAnswer: true, rightChange: true},
	integration: {rightNote: true, rightAnswer: true, rightChange: true},
}

func (d *Desk) standing(by Actor, t *ticketRow) standing {
	switch by.Kind {
	case "system", "token", "timer":
		if by.Agent == "" {
			return integration
		}
	case "agent":
	default:
		return nobody
	}
	a, q := d.agents[by.Agent], d.queues[t.Queue]
	switch {
	case a == nil:
		return nobody
	case t.Assignee == a.Name || q != nil && q.serves[a.Name]:
		if a.Light {
			return lightAgent
		}
		return fullAgent
	case t.followedBy(a.Name):
		return followerOf
	}
	return nobody
}

// permit refuses with Denied what an actor may not do to a ticket.
func (d *Desk) permit(by Actor, t *ticketRow, r right) error {
	s := d.standing(by, t)
	switch {
	case rights[s][r]:
		return nil
	case s == nobody && by.Agent == "":
		return &Error{Kind: Denied, Text: "this is for agents"}
	case s == nobody:
		return &Error{Kind: Denied, Text: "the ticket is in a queue you do not serve"}
	case s == followerOf:
		return &Error{Kind: Denied, Text: "followers write internal notes only"}
	}
	return &Error{Kind: Denied, Text: "light agents write internal notes only"}
}

// may is permit for changes of the ticket.
func (d *Desk) may(by Actor, t *ticketRow) error { return d.permit(by, t, rightChange) }
