package ticketing

import (
	"context"
	"slices"
	"strings"

	"ticketgate/ticketing/message"
)

// priorities of tickets.
var priorities = []string{"low", "normal", "high", "urgent"}

// changed names what a change did, for the journal.
type changed struct {
	Fields map[string]any `json:"changed"`
}

// Change changes a ticket's fields. Setting what is set already changes
// nothing, not even the version. It is refused with Conflict if IfVersion is
// not the ticket's version.
func (d *Desk) Change(ctx context.Context, by Actor, ticket uint64, c Change) (*Ticket, error) {
	return d.alter(ctx, by, ticket, func(w *work, t *ticketRow) (any, error) {
		if c.IfVersion != 0 && c.IfVersion != t.Version {
			return nil, &Error{Kind: Conflict, Text: "the ticket has changed meanwhile"}
		}
		fields, err := w.change(t, c)
		if err != nil || len(fields) == 0 {
			return nil, err
		}
		return changed{fields}, nil
	})
}

// change sets fields of a ticket in hand, with what hangs on them, and returns
// those that differ. After an error nothing is to be kept of t.
func (w *work) change(t *ticketRow, c Change) (map[string]any, error) {
	before := *t
	fields, err := w.d.apply(t, c)
	if err == nil {
		err = w.setTimes(t, c, fields)
	}
	if err != nil || len(fields) == 0 {
		*t = before // apply replaces what it sets, and changes no list in place
		return nil, err
	}
	if status := t.Status; status != before.Status {
		t.Status = before.Status
		w.setStatus(t, status)
	}
	w.touch(t)
	return fields, nil
}

// alter runs a change of one ticket. change returns what to note in the
// journal, nil if nothing changed.
func (d *Desk) alter(ctx context.Context, by Actor, ticket uint64, change func(*work, *ticketRow) (any, error)) (*Ticket, error) {
	var out *Ticket
	err := d.update(ctx, func(w *work) error {
		out = nil
		t, err := w.ticket(ticket)
		if err != nil {
			return err
		}
		if t == nil {
			return unknownTicket()
		}
		if err := d.may(by, t); err != nil {
			return err
		}
		if t.MergedInto != 0 {
			return merged(t)
		}
		data, err := change(w, t)
		if err != nil {
			return err
		}
		out = &t.Ticket
		if data == nil {
			return nil
		}
		return w.record(t, "ticket.updated", by, data)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// apply checks and sets fields and returns those that differ.
func (d *Desk) apply(t *ticketRow, c Change) (map[string]any, error) {
	fields := map[string]any{}
	invalid := func(text string) error { return &Error{Kind: Invalid, Text: text} }
	set := func(name string, field *string, value string) {
		if *field != value {
			*field, fields[name] = value, value
		}
	}
	if c.Queue != nil && *c.Queue != t.Queue {
		if d.queues[*c.Queue] == nil {
			return nil, invalid("there is no such queue")
		}
		d.move(t, *c.Queue)
		fields["queue"] = t.Queue
		if t.Assignee != "" && !d.queues[t.Queue].serves[t.Assignee] && c.Assignee == nil {
			set("assignee", &t.Assignee, "")
		}
	}
	if c.Status != nil {
		if !slices.Contains(statuses, *c.Status) {
			return nil, invalid("status is none of " + strings.Join(statuses, ", "))
		}
		set("status", &t.Status, *c.Status)
	}
	if c.Priority != nil {
		if !slices.Contains(priorities, *c.Priority) {
			return nil, invalid("priority is none of " + strings.Join(priorities, ", "))
		}
		set("priority", &t.Priority, *c.Priority)
	}
	if c.Category != nil {
		set("category", &t.Category, clip(strings.TrimSpace(*c.Category), maxName))
	}
	if c.Subject != nil {
		subject := clip(strings.Join(strings.Fields(*c.Subject), " "), maxTicketSubject)
		if subject == "" {
			return nil, invalid("a ticket needs a subject")
		}
		set("subject", &t.Subject, subject)
	}
	if c.Assignee != nil {
		if q := d.queues[t.Queue]; *c.Assignee != "" && (q == nil || !q.serves[*c.Assignee]) {
			return nil, invalid("the assignee must be an agent of the queue")
		}
		set("assignee", &t.Assignee, *c.Assignee)
	}
	if c.Tags != nil {
		tags, err := tidyTags(*c.Tags)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(tags, t.Tags) {
			t.Tags, fields["tags"] = tags, tags
		}
	}
	return fields, nil
}

// move puts a ticket into another queue and keeps the old one's addresses valid.
func (d *Desk) move(t *ticketRow, to string) {
	t.Queues = slices.DeleteFunc(slices.Clone(t.Queues), func(q string) bool { return q == to })
	if !slices.Contains(t.Queues, t.Queue) {
		t.Queues = append(t.Queues, t.Queue)
	}
	t.Queues = t.Queues[max(0, len(t.Queues)-maxQueues):]
	t.Queue = to
}

func tidyTags(in []string) ([]string, error) {
	var out []string
	for _, tag := range in {
		tag = strings.ToLower(strings.Join(strings.Fields(tag), "-"))
		switch {
		case tag == "" || slices.Contains(out, tag):
			continue
		case len(tag) > maxTag || clip(tag, maxTag) != tag:
			return nil, &Error{Kind: Invalid, Text: "a tag is too long or not plain text"}
		case len(out) == maxTags:
			return nil, &Error{Kind: Invalid, Text: "there are too many tags"}
		}
		out = append(out, tag)
	}
	slices.Sort(out)
	return out, nil
}

// AddCC, RemoveCC, Follow and Unfollow change participants; doing twice what
// is done already changes nothing. An agent's address makes the agent a
// follower, so that it never shows in mail to customers. The requester is never
// CC of his own ticket.
func (d *Desk) AddCC(ctx context.Context, by Actor, ticket uint64, a message.Address) (*Ticket, error) {
	a, err := d.outsider(a)
	if err != nil {
		return nil, err
	}
	return d.alter(ctx, by, ticket, func(w *work, t *ticketRow) (any, error) { return w.invite(by, t, a) })
}

// invite makes somebody a CC, who is told what was said so far, and staff a
// follower. It returns what to note in the journal, nil if he was in already.
func (w *work) invite(by Actor, t *ticketRow, a message.Address) (any, error) {
	change, err := w.join(by, t, a)
	if c, ok := change.(ccChange); err == nil && ok && len(c.Added) > 0 {
		err = w.owe(t, by, a, "")
	}
	return change, err
}

// join is invite without a word to whom it concerns.
func (w *work) join(by Actor, t *ticketRow, a message.Address) (any, error) {
	if q := w.d.queues[t.Queue]; q == nil || !q.CC.StaffAsCC {
		if staff := w.d.writer(message.Fold(a.Addr)); staff != nil {
			return w.followAs(t, staff)
		}
	}
	added, err := w.admit(t, a)
	if err != nil || len(added) == 0 {
		return nil, err
	}
	return ccChange{Added: added, Via: by.Kind}, nil
}

// RemoveCC: see AddCC.
func (d *Desk) RemoveCC(ctx context.Context, by Actor, ticket uint64, address string) (*Ticket, error) {
	folded := message.Fold(address)
	return d.alter(ctx, by, ticket, func(w *work, t *ticketRow) (any, error) {
		if !w.removeCC(t, folded) {
			return nil, nil
		}
		return ccChange{Removed: []string{folded}, Via: by.Kind}, nil
	})
}

// Follow: see AddCC. Any agent may be made a follower by who may act on the
// ticket.
func (d *Desk) Follow(ctx context.Context, by Actor, ticket uint64, agent string) (*Ticket, error) {
	a := d.agents[agent]
	if a == nil {
		return nil, &Error{Kind: Unknown, Text: "there is no such agent"}
	}
	return d.alter(ctx, by, ticket, func(w *work, t *ticketRow) (any, error) { return w.followAs(t, a) })
}

func (w *work) followAs(t *ticketRow, a *Agent) (any, error) {
	switch {
	case t.followedBy(a.Name):
		return nil, nil
	case !w.makeFollower(t, a):
		return nil, &Error{Kind: Refused, Text: "the ticket has all the followers it may have"}
	}
	return ccChange{Followed: []string{a.Name}, Via: "command"}, nil
}

// Unfollow: see AddCC.
func (d *Desk) Unfollow(ctx context.Context, by Actor, ticket uint64, agent string) (*Ticket, error) {
	return d.alter(ctx, by, ticket, func(w *work, t *ticketRow) (any, error) {
		if !t.followedBy(agent) {
			return nil, nil
		}
		t.Followers = slices.DeleteFunc(t.Followers, func(f Follower) bool { return f.Agent == agent })
		w.touch(t)
		return changed{map[string]any{"followers_removed": []string{agent}}}, nil
	})
}
