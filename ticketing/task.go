package ticketing

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// Task is a piece of work under a ticket. No customer ever hears of it.
type Task struct {
	ID        string    `json:"id"` // tsk_…
	Ticket    uint64    `json:"ticket"`
	Subject   string    `json:"subject"`
	Text      string    `json:"text,omitempty"`
	Status    string    `json:"status"`             // open done
	Assignee  string    `json:"assignee,omitempty"` // agent's name, "" = nobody
	DueAt     time.Time `json:"due_at,omitzero"`
	Message   string    `json:"message,omitempty"` // the mail it came by
	CreatedBy string    `json:"created_by"`        // as the journal names actors
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	DoneAt    time.Time `json:"done_at,omitzero"`
}

// NewTask is a task to be made.
type NewTask struct {
	Subject, Text string
	Assignee      string
	DueAt         time.Time
}

// TaskChange is a partial change of a task; nil leaves a field alone.
type TaskChange struct {
	Subject, Text, Assignee, Status *string
	DueAt                           *time.Time // the zero time removes it
}

// TaskFilter selects tasks: those of a ticket in the order they were made, or
// those of an agent. One of the two must be given.
type TaskFilter struct {
	Ticket   uint64
	Assignee string
	Status   string // "" = any
	Limit    int    // ≤ 100, default 50
	Cursor   string
}

var taskStatuses = []string{"open", "done"}

const (
	byTicket    = "ticket"
	maxTaskText = 8000 // bytes
)

func taskTable() *store.Table[Task] {
	return store.NewTable("task", store.PrefixTask, []string{"id"},
		func(t *Task) store.Key { return store.Key{}.Str(t.ID) },
		store.Index[Task]{Name: byTicket, Columns: []string{"ticket", "id"},
			Keys: func(t *Task) []store.Key { return []store.Key{store.Key{}.Uint(t.Ticket).Str(t.ID)} }},
		store.Index[Task]{Name: byAssignee, Columns: []string{"assignee", "status", "id"},
			Keys: func(t *Task) []store.Key {
				if t.Assignee == "" {
					return nil
				}
				return []store.Key{store.Key{}.Str(t.Assignee).Str(t.Status).Str(t.ID)}
			}})
}

// AddTask makes a task under a ticket. Its assignee may be any agent, and hears
// of it unless he made it himself.
func (d *Desk) AddTask(ctx context.Context, by Actor, ticket uint64, n NewTask) (*Task, error) {
	drawn, err := d.newSeeds()
	if err != nil {
		return nil, err
	}
	var out *Task
	err = d.update(ctx, func(w *work) error {
		s := drawn
		t, err := w.noted(by, ticket)
		if err != nil {
			return err
		}
		out, err = w.addTask(by, t, n, "", &s)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// noted returns a ticket that the actor may write notes on.
func (w *work) noted(by Actor, number uint64) (*ticketRow, error) {
	t, err := w.ticket(number)
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, unknownTicket()
	}
	if err := w.d.permit(by, t, rightNote); err != nil {
		return nil, err
	}
	if t.MergedInto != 0 {
		return nil, merged(t)
	}
	return t, nil
}

func (w *work) addTask(by Actor, t *ticketRow, n NewTask, message string, s *seeds) (*Task, error) {
	have, err := rowsOf(w.tx, w.d.tasks, t.Number) // under the ticket's lock, as every change of them
	if err != nil {
		return nil, err
	}
	if len(have) >= maxTasks {
		return nil, &Error{Kind: Refused, Text: "the ticket has all the tasks it may have"}
	}
	task := &Task{Ticket: t.Number, Status: "open", Message: message, CreatedBy: by.label(), CreatedAt: w.now, UpdatedAt: w.now}
	c := TaskChange{Subject: &n.Subject, Text: &n.Text, Assignee: &n.Assignee, DueAt: &n.DueAt}
	if _, err := w.applyTask(task, c); err != nil {
		return nil, err
	}
	if task.ID, err = s.id("tsk_", w.now); err != nil {
		return nil, err
	}
	if !task.DueAt.IsZero() {
		w.timer(taskKey(task.ID), task.DueAt)
	}
	w.touch(t)
	if err := w.tellTask(by, t, task); err != nil {
		return nil, err
	}
	if err := w.record(t, "task.created", by, taskRecord{Task: task.ID, Subject: task.Subject}); err != nil {
		return nil, err
	}
	return task, w.d.tasks.Insert(w.tx, task)
}

// rowsOf lists the tasks or time entries of a ticket, in the order they were
// made.
func rowsOf[T any](r store.Reader, table *store.Table[T], ticket uint64) (out []*T, err error) {
	for row, err := range table.Scan(r, store.Query{Index: byTicket, Prefix: store.Key{}.Uint(ticket)}) {
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

// taskRecord is the journal's data about a task.
type taskRecord struct {
	Task    string         `json:"task"`
	Subject string         `json:"subject,omitempty"`
	Fields  map[string]any `json:"changed,omitempty"`
}

// applyTask checks and sets fields and returns those that differ.
func (w *work) applyTask(t *Task, c TaskChange) (map[string]any, error) {
	fields := map[string]any{}
	invalid := func(text string) error { return &Error{Kind: Invalid, Text: text} }
	set := func(name string, field *string, value string, note any) {
		if *field != value {
			*field, fields[name] = value, note
		}
	}
	if c.Subject != nil {
		subject := clip(strings.Join(strings.Fields(*c.Subject), " "), maxTicketSubject)
		if subject == "" {
			return nil, invalid("a task needs a subject")
		}
		set("subject", &t.Subject, subject, subject)
	}
	if c.Text != nil {
		text := strings.ToValidUTF8(strings.TrimSpace(*c.Text), "\ufffd")
		if len(text) > maxTaskText {
			return nil, &Error{Kind: TooBig, Text: "the text of a task is too long"}
		}
		set("text", &t.Text, text, true)
	}
	if c.Assignee != nil {
		if *c.Assignee != "" && w.d.agents[*c.Assignee] == nil {
			return nil, invalid("there is no such agent")
		}
		set("assignee", &t.Assignee, *c.Assignee, *c.Assignee)
	}
	if c.Status != nil {
		if !slices.Contains(taskStatuses, *c.Status) {
			return nil, invalid("the status of a task is none of " + strings.Join(taskStatuses, ", "))
		}
		set("status", &t.Status, *c.Status, *c.Status)
		if t.DoneAt = (time.Time{}); t.Status == "done" {
			t.DoneAt = w.now
		}
	}
	if c.DueAt != nil && !t.DueAt.Equal(c.DueAt.Truncate(time.Second)) {
		at := c.DueAt.UTC().Truncate(time.Second)
		if !at.IsZero() && (at.Sub(w.now) > maxAhead || w.now.Sub(at) > maxAhead) {
			return nil, invalid("due_at is too far away")
		}
		t.DueAt, fields["due_at"] = at, moment(at)
	}
	return fields, nil
}

// moment is a time for the journal, nil if there is none.
func moment(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at
}

// ChangeTask changes a task. Setting what is set already changes nothing.
func (d *Desk) ChangeTask(ctx context.Context, by Actor, id string, c TaskChange) (*Task, error) {
	old, err := d.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	var out *Task
	err = d.update(ctx, func(w *work) error {
		t, err := w.follow(old.Ticket)
		if err != nil {
			return err
		}
		if t == nil {
			return unknownTask()
		}
		if out, err = d.tasks.Find(w.tx, store.Key{}.Str(id)); err != nil {
			return err
		}
		if out == nil {
			return unknownTask()
		}
		// Whoever has the task may work on it, wherever the ticket is.
		if by.Agent == "" || by.Agent != out.Assignee {
			if err := d.permit(by, t, rightNote); err != nil {
				return err
			}
		}
		return w.changeTask(by, t, out, c)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (w *work) changeTask(by Actor, t *ticketRow, task *Task, c TaskChange) error {
	done, had := task.DoneAt, task.Assignee
	fields, err := w.applyTask(task, c)
	if err != nil {
		return err
	}
	if len(fields) == 0 {
		task.DoneAt = done
		return nil
	}
	if _, ok := fields["status"]; !ok {
		task.DoneAt = done
	}
	if _, ok := fields["due_at"]; ok && !task.DueAt.IsZero() {
		w.timer(taskKey(task.ID), task.DueAt)
	}
	task.UpdatedAt = w.now
	w.touch(t)
	if task.Assignee != had {
		if err := w.tellTask(by, t, task); err != nil {
			return err
		}
	}
	if err := w.record(t, "task.updated", by, taskRecord{Task: task.ID, Fields: fields}); err != nil {
		return err
	}
	return w.d.tasks.Put(w.tx, task)
}

// tellTask owes a task's agent the news that he has it.
func (w *work) tellTask(by Actor, t *ticketRow, task *Task) error {
	a := w.d.agents[task.Assignee]
	if a == nil || a.Name == by.Agent {
		return nil
	}
	text := task.Subject
	if !task.DueAt.IsZero() {
		text += "\nDue on " + task.DueAt.Format(time.DateOnly)
	}
	if task.Text != "" {
		text += "\n\n" + task.Text
	}
	_, err := w.notice(t, Notice{Event: eventTask, Actor: by, NoAck: true, Detail: text,
		Audience: []Recipient{{Role: "task", Address: a.Addresses[0], Name: a.DisplayName, Agent: a.Name}}})
	return err
}

// taskDue reminds a task's agent on the day it is due.
func (w *work) taskDue(job agenda.Job, id string) error {
	found, err := w.d.tasks.Find(w.tx, store.Key{}.Str(id))
	if err != nil {
		return err
	}
	if found == nil {
		return w.d.agenda.Done(w.tx, job)
	}
	t, err := w.follow(found.Ticket) // the lock under which tasks change
	if err != nil {
		return err
	}
	task, err := w.d.tasks.Find(w.tx, store.Key{}.Str(id))
	if err != nil || t == nil || task == nil {
		return err
	}
	return w.fire(job, task.DueAt, func() error {
		if task.Status == "done" {
			return nil
		}
		n := Notice{Event: eventReminder, Actor: Actor{Kind: "timer"}, NoAck: true,
			Detail: fmt.Sprintf("The task %q is due on %s.", task.Subject, task.DueAt.Format(time.DateOnly))}
		if a := w.d.agents[task.Assignee]; a != nil {
			n.Event, n.Audience = eventTask, []Recipient{{Role: "task", Address: a.Addresses[0], Name: a.DisplayName, Agent: a.Name}}
		} else {
			n.Audience = w.d.audience(t, eventReminder)
		}
		_, err := w.notice(t, n)
		return err
	})
}

func unknownTask() error { return &Error{Kind: Unknown, Text: "there is no such task"} }

// Task returns one task.
func (d *Desk) Task(ctx context.Context, id string) (*Task, error) {
	var out *Task
	err := d.db.View(ctx, func(r store.Reader) (err error) {
		out, err = d.tasks.Find(r, store.Key{}.Str(clip(id, 100)))
		return err
	})
	if err == nil && out == nil {
		err = unknownTask()
	}
	return out, failure(err)
}

// Tasks lists tasks and returns the cursor of the next page, "" at the end. The
// number of a merged ticket stands for the one it was merged into.
func (d *Desk) Tasks(ctx context.Context, f TaskFilter) ([]*Task, string, error) {
	q := store.Query{Limit: pageSize(f.Limit)}
	switch {
	case f.Status != "" && !slices.Contains(taskStatuses, f.Status):
		return nil, "", &Error{Kind: Invalid, Text: "the status of a task is none of " + strings.Join(taskStatuses, ", ")}
	case f.Ticket != 0:
		number, err := d.redirected(ctx, f.Ticket)
		if err != nil {
			return nil, "", failure(err)
		}
		f.Ticket = number
		q.Index, q.Prefix = byTicket, store.Key{}.Uint(number)
	case f.Assignee != "":
		q.Index, q.Prefix = byAssignee, store.Key{}.Str(f.Assignee)
		if f.Status != "" {
			q.Prefix = q.Prefix.Str(f.Status)
		}
	default:
		return nil, "", &Error{Kind: Invalid, Text: "name a ticket or an agent whose tasks are to be listed"}
	}
	if f.Cursor != "" {
		after, err := base64.RawURLEncoding.DecodeString(f.Cursor)
		if err != nil || !strings.HasPrefix(string(after), string(q.Prefix)) {
			return nil, "", &Error{Kind: Invalid, Text: "the cursor is not one of this list"}
		}
		q.After = after
	}
	var out []*Task
	var next store.Key
	err := d.db.View(ctx, func(r store.Reader) error {
		out = nil
		page, n, err := d.tasks.Page(r, q)
		for _, t := range page {
			if (f.Status == "" || t.Status == f.Status) && (f.Assignee == "" || t.Assignee == f.Assignee) {
				out = append(out, t)
			}
		}
		next = n
		return err
	})
	if err != nil || next == nil {
		return out, "", failure(err)
	}
	return out, base64.RawURLEncoding.EncodeToString(next), nil
}

// moveWork takes tasks and time entries along when tickets are merged.
func (w *work) moveWork(from, into *ticketRow) error {
	tasks, err := rowsOf(w.tx, w.d.tasks, from.Number)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		t.Ticket = into.Number
		if err := w.d.tasks.Put(w.tx, t); err != nil {
			return err
		}
	}
	times, err := rowsOf(w.tx, w.d.times, from.Number)
	if err != nil {
		return err
	}
	for _, e := range times {
		e.Ticket = into.Number
		if err := w.d.times.Put(w.tx, e); err != nil {
			return err
		}
	}
	into.Minutes, from.Minutes = into.Minutes+from.Minutes, 0
	return nil
}
