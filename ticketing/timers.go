package ticketing

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// TimerLane is the agenda lane of what tickets and tasks wait for: the end of a
// snooze, a day that something is due. There is at most one job of a kind for
// each of them; the row it names says when it is really due, so a job that
// comes too early is moved, and one that nobody waits for any more does nothing.
const TimerLane = "due" // sorts before NoticeLane: a timer ends first, then what it owes is put

func snoozeKey(ticket uint64) string { return "snooze/" + strconv.FormatUint(ticket, 10) }
func dueKey(ticket uint64) string    { return "due/" + strconv.FormatUint(ticket, 10) }
func taskKey(id string) string       { return "task/" + id }

// maxAhead is how far in the future a time may be set.
const maxAhead = 20 * 366 * 24 * time.Hour

// setTimes sets what has to do with time.
func (w *work) setTimes(t *ticketRow, c Change, fields map[string]any) error {
	set := func(name, key string, field *time.Time, to *time.Time, future bool) error {
		if to == nil || field.Equal(to.Truncate(time.Second)) {
			return nil
		}
		at := to.UTC().Truncate(time.Second)
		switch {
		case at.IsZero():
			*field, fields[name] = time.Time{}, nil
			return nil
		case future && !at.After(w.now):
			return &Error{Kind: Invalid, Text: name + " must be in the future"}
		case at.Sub(w.now) > maxAhead || w.now.Sub(at) > maxAhead:
			return &Error{Kind: Invalid, Text: name + " is too far away"}
		}
		*field, fields[name] = at, at
		w.timer(key, at)
		return nil
	}
	if err := set("snoozed_until", snoozeKey(t.Number), &t.SnoozedUntil, c.SnoozedUntil, true); err != nil {
		return err
	}
	return set("due_at", dueKey(t.Number), &t.DueAt, c.DueAt, false)
}

func (w *work) timer(key string, at time.Time) {
	w.jobs = append(w.jobs, agenda.Job{Lane: TimerLane, Key: key, Due: at})
}

// RunTimers does what falls due until ctx ends.
func (d *Desk) RunTimers(ctx context.Context) error { return d.timerWorker().Run(ctx) }

// StepTimers does what is due now, as agenda.Worker.Step.
func (d *Desk) StepTimers(ctx context.Context) (worked int, next time.Duration, err error) {
	return d.timerWorker().Step(ctx)
}

func (d *Desk) timerWorker() agenda.Worker {
	return d.worker(TimerLane, func(ctx context.Context, job agenda.Job) error {
		return d.update(ctx, func(w *work) error { return w.due(job) })
	})
}

// due does one timer's work and ends it, in one transaction.
func (w *work) due(job agenda.Job) error {
	kind, name, _ := strings.Cut(job.Key, "/")
	if kind == "task" {
		return w.taskDue(job, name)
	}
	number, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: timer %s", store.ErrCorrupt, job.Key)
	}
	t, err := w.ticket(number)
	if err != nil {
		return err
	}
	if t == nil {
		return w.d.agenda.Done(w.tx, job)
	}
	switch kind {
	case "snooze":
		return w.fire(job, t.SnoozedUntil, func() error { return w.wake(t, Actor{Kind: "timer"}, true) })
	case "due":
		return w.fire(job, t.DueAt, func() error {
			if over(t.Status) {
				return nil
			}
			return w.remind(t, "Ticket #"+name+" is due on "+t.DueAt.Format(time.DateOnly)+".")
		})
	}
	return fmt.Errorf("%w: timer %s", store.ErrCorrupt, job.Key)
}

// fire runs what is due, unless it is due later or not at all.
func (w *work) fire(job agenda.Job, at time.Time, run func() error) error {
	if at.After(w.now) {
		return w.d.agenda.Again(w.tx, job, at)
	}
	// The lane is locked after the ticket; what run owes comes after both.
	if err := w.d.agenda.Done(w.tx, job); err != nil || at.IsZero() {
		return err
	}
	return run()
}

// wake ends a ticket's snooze. Somebody hears of it if time did it; who writes
// to a ticket is heard of anyway.
func (w *work) wake(t *ticketRow, by Actor, tell bool) error {
	if t.SnoozedUntil.IsZero() {
		return nil
	}
	t.SnoozedUntil = time.Time{}
	w.touch(t)
	if err := w.record(t, "ticket.updated", by, changed{map[string]any{"snoozed_until": nil}}); err != nil || !tell {
		return err
	}
	return w.remind(t, "Ticket #"+strconv.FormatUint(t.Number, 10)+" was put aside until now.")
}

// remind owes the ticket's staff a reminder.
func (w *work) remind(t *ticketRow, text string) error {
	_, err := w.notice(t, Notice{Event: eventReminder, Actor: Actor{Kind: "timer"}, NoAck: true, Detail: text, Audience: w.d.audience(t, eventReminder)})
	return err
}
