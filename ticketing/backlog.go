package ticketing

import (
	"slices"

	"ticketgate/ticketing/message"
)

// EventBacklog is the notice that tells a new CC, once, what was said in public
// before him: the messages up to Notice.Upto, but for Notice.Except.
const EventBacklog = "backlog"

// maxBacklogs is how many people a ticket remembers to have had a backlog.
const maxBacklogs = 1000

// owe owes a new CC the public messages so far, once: who leaves and comes back
// gets nothing a second time. except is a message he has already, "" if there
// is none. Whoever is there from the beginning has missed nothing.
func (w *work) owe(t *ticketRow, by Actor, a message.Address, except string) error {
	person := message.PersonHash(a.Addr)
	if slices.Contains(t.Backlogs, person) || len(t.Backlogs) >= maxBacklogs {
		return nil
	}
	t.Backlogs = append(t.Backlogs, person)
	w.touch(t)
	if t.MessageCount == 0 {
		return nil
	}
	_, err := w.notice(t, Notice{
		Event: EventBacklog, Except: except, Actor: by, NoAck: true, Upto: t.MessageCount,
		Audience: []Recipient{{Role: "cc", Address: a.Addr, Name: a.Name}},
	})
	return err
}
