package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// Work is what has to be done for a ticket, and the time it took.
type Work interface {
	TaskAddress(t *ticketing.Ticket) string
	AddTask(ctx context.Context, by ticketing.Actor, ticket uint64, n ticketing.NewTask) (*ticketing.Task, error)
	ChangeTask(ctx context.Context, by ticketing.Actor, id string, c ticketing.TaskChange) (*ticketing.Task, error)
	Task(ctx context.Context, id string) (*ticketing.Task, error)
	Tasks(ctx context.Context, f ticketing.TaskFilter) ([]*ticketing.Task, string, error)
	AddTime(ctx context.Context, by ticketing.Actor, ticket uint64, n ticketing.NewTime) (*ticketing.TimeEntry, error)
	Times(ctx context.Context, ticket uint64) ([]*ticketing.TimeEntry, error)
}

var workTags = []string{"work"}

func (a *API) registerWork() {
	read, write := []login.Scope{login.TicketsRead}, []login.Scope{login.TicketsWrite}
	register(a, operation{huma.Operation{OperationID: "list-ticket-tasks", Method: http.MethodGet, Path: "/tickets/{number}/tasks", Tags: workTags,
		Summary: "List a ticket's tasks, oldest first"}, read}, a.listTicketTasks)
	register(a, operation{huma.Operation{OperationID: "list-tasks", Method: http.MethodGet, Path: "/tasks", Tags: workTags,
		Summary: "List an agent's tasks"}, read}, a.listTasks)
	register(a, operation{huma.Operation{OperationID: "create-task", Method: http.MethodPost, Path: "/tickets/{number}/tasks", Tags: workTags,
		Summary: "Make a task under a ticket", DefaultStatus: http.StatusCreated}, write}, a.createTask)
	register(a, operation{huma.Operation{OperationID: "get-task", Method: http.MethodGet, Path: "/tasks/{id}", Tags: workTags,
		Summary: "Read a task"}, read}, a.getTask)
	register(a, operation{huma.Operation{OperationID: "change-task", Method: http.MethodPatch, Path: "/tasks/{id}", Tags: workTags,
		Summary: "Change a task (RFC 7396 merge patch)"}, write}, a.changeTask)
	register(a, operation{huma.Operation{OperationID: "list-times", Method: http.MethodGet, Path: "/tickets/{number}/time", Tags: workTags,
		Summary: "List the working time noted on a ticket"}, read}, a.listTimes)
	register(a, operation{huma.Operation{OperationID: "add-time", Method: http.MethodPost, Path: "/tickets/{number}/time", Tags: workTags,
		Summary: "Note working time on a ticket", DefaultStatus: http.StatusCreated}, write}, a.addTime)
}

// Task is a piece of work under a ticket.
type Task struct {
	ID        string     `json:"id"`
	Ticket    uint64     `json:"ticket" doc:"the ticket it belongs to"`
	Subject   string     `json:"subject"`
	Text      string     `json:"text"`
	Status    string     `json:"status" enum:"open,done"`
	Assignee  *string    `json:"assignee" doc:"an agent's id"`
	DueAt     *time.Time `json:"due_at"`
	Message   *string    `json:"message" doc:"the mail it came by"`
	CreatedBy string     `json:"created_by"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	DoneAt    *time.Time `json:"done_at"`
}

func taskShape(t *ticketing.Task) *Task {
	return &Task{
		ID: t.ID, Ticket: t.Ticket, Subject: t.Subject, Text: t.Text, Status: t.Status, Assignee: orNull(t.Assignee), DueAt: moment(t.DueAt),
		Message: orNull(t.Message), CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(), DoneAt: moment(t.DoneAt),
	}
}

// TimeEntry is working time spent on a ticket.
type TimeEntry struct {
	ID        string    `json:"id"`
	Ticket    uint64    `json:"ticket"`
	Agent     string    `json:"agent"`
	Minutes   int       `json:"minutes"`
	Role      *string   `json:"role" doc:"in what capacity"`
	Note      *string   `json:"note"`
	Message   *string   `json:"message" doc:"the mail it came by"`
	CreatedBy string    `json:"created_by"`
	CreatedAt time.Time `json:"created_at"`
}

func timeShape(e *ticketing.TimeEntry) *TimeEntry {
	return &TimeEntry{
		ID: e.ID, Ticket: e.Ticket, Agent: e.Agent, Minutes: e.Minutes, Role: orNull(e.Role), Note: orNull(e.Note),
		Message: orNull(e.Message), CreatedBy: e.CreatedBy, CreatedAt: e.CreatedAt.UTC(),
	}
}

type listTicketTasksInput struct {
	TicketNumber
	Status string `query:"status" enum:"open,done"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor string `query:"cursor" maxLength:"1000"`
}

func (a *API) listTicketTasks(ctx context.Context, in *listTicketTasksInput) (*struct{ Body page[*Task] }, error) {
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	return a.tasks(ctx, ticketing.TaskFilter{Ticket: in.Number, Status: in.Status, Limit: in.Limit, Cursor: in.Cursor})
}

type listTasksInput struct {
	Assignee string `query:"assignee" required:"true" minLength:"1" maxLength:"100" doc:"an agent's id"`
	Status   string `query:"status" enum:"open,done"`
	Limit    int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor   string `query:"cursor" maxLength:"1000"`
}

func (a *API) listTasks(ctx context.Context, in *listTasksInput) (*struct{ Body page[*Task] }, error) {
	return a.tasks(ctx, ticketing.TaskFilter{Assignee: in.Assignee, Status: in.Status, Limit: in.Limit, Cursor: in.Cursor})
}

func (a *API) tasks(ctx context.Context, f ticketing.TaskFilter) (*struct{ Body page[*Task] }, error) {
	tasks, next, err := a.o.Desk.Tasks(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body page[*Task] }{page[*Task]{Items: []*Task{}, Next: orNull(next)}}
	for _, t := range tasks {
		// What is outside a token's queues does not exist for it.
		if f.Ticket == 0 && asking(ctx).identity.Limited() {
			if _, err := a.reach(ctx, t.Ticket); err != nil {
				continue
			}
		}
		out.Body.Items = append(out.Body.Items, taskShape(t))
	}
	return out, nil
}

type createTaskInput struct {
	TicketNumber
	Body struct {
		Subject  string     `json:"subject" minLength:"1" maxLength:"900"`
		Text     string     `json:"text,omitempty" maxLength:"8000"`
		Assignee *string    `json:"assignee,omitempty" maxLength:"100" doc:"an agent's id"`
		DueAt    *time.Time `json:"due_at,omitempty"`
	}
}

type taskOutput struct {
	Location string `header:"Location"`
	Body     *Task
}

func (a *API) createTask(ctx context.Context, in *createTaskInput) (*taskOutput, error) {
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	b := &in.Body
	n := ticketing.NewTask{Subject: b.Subject, Text: b.Text, Assignee: orEmpty(b.Assignee)}
	if b.DueAt != nil {
		n.DueAt = *b.DueAt
	}
	t, err := a.o.Desk.AddTask(ctx, asking(ctx).identity.Actor, in.Number, n)
	if err != nil {
		return nil, err
	}
	return &taskOutput{Location: Base + "/tasks/" + t.ID, Body: taskShape(t)}, nil
}

type taskID struct {
	ID string `path:"id" maxLength:"100"`
}

// reachTask returns a task the asker may know of.
func (a *API) reachTask(ctx context.Context, id string) (*ticketing.Task, error) {
	t, err := a.o.Desk.Task(ctx, id)
	if err != nil {
		return nil, err
	}
	if asking(ctx).identity.Limited() {
		if _, err := a.reach(ctx, t.Ticket); err != nil {
			return nil, notFound("task")
		}
	}
	return t, nil
}

func (a *API) getTask(ctx context.Context, in *taskID) (*taskOutput, error) {
	t, err := a.reachTask(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &taskOutput{Body: taskShape(t)}, nil
}

type changeTaskInput struct {
	ID   string `path:"id" maxLength:"100"`
	Body struct {
		Subject  field[string]    `json:"subject,omitempty"`
		Text     field[string]    `json:"text,omitempty"`
		Status   field[string]    `json:"status,omitempty"`
		Assignee field[string]    `json:"assignee,omitempty"`
		DueAt    field[time.Time] `json:"due_at,omitempty"`
	} `contentType:"application/merge-patch+json"`
}

func (a *API) changeTask(ctx context.Context, in *changeTaskInput) (*taskOutput, error) {
	if _, err := a.reachTask(ctx, in.ID); err != nil {
		return nil, err
	}
	var c ticketing.TaskChange
	for _, f := range []struct {
		from *field[string]
		to   **string
	}{{&in.Body.Subject, &c.Subject}, {&in.Body.Text, &c.Text}, {&in.Body.Status, &c.Status}, {&in.Body.Assignee, &c.Assignee}} {
		if f.from.set {
			*f.to = &f.from.value
		}
	}
	if in.Body.DueAt.set {
		c.DueAt = &in.Body.DueAt.value
	}
	t, err := a.o.Desk.ChangeTask(ctx, asking(ctx).identity.Actor, in.ID, c)
	if err != nil {
		return nil, err
	}
	return &taskOutput{Body: taskShape(t)}, nil
}

// timesBody is a ticket's working time: a list that is never cut, and its sum.
type timesBody struct {
	page[*TimeEntry]
	Minutes int `json:"minutes" doc:"the sum"`
}

func (a *API) listTimes(ctx context.Context, in *TicketNumber) (*struct{ Body timesBody }, error) {
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	list, err := a.o.Desk.Times(ctx, in.Number)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body timesBody }{timesBody{page: page[*TimeEntry]{Items: []*TimeEntry{}}}}
	for _, e := range list {
		out.Body.Items = append(out.Body.Items, timeShape(e))
		out.Body.Minutes += e.Minutes
	}
	return out, nil
}

type addTimeInput struct {
	TicketNumber
	Body struct {
		Minutes int     `json:"minutes" minimum:"1" maximum:"1440"`
		Agent   *string `json:"agent,omitempty" maxLength:"100" doc:"whose time; an agent notes his own"`
		Role    *string `json:"role,omitempty" maxLength:"100"`
		Note    *string `json:"note,omitempty" maxLength:"400"`
	}
}

func (a *API) addTime(ctx context.Context, in *addTimeInput) (*struct{ Body *TimeEntry }, error) {
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	b := &in.Body
	e, err := a.o.Desk.AddTime(ctx, asking(ctx).identity.Actor, in.Number,
		ticketing.NewTime{Agent: orEmpty(b.Agent), Minutes: b.Minutes, Role: orEmpty(b.Role), Note: orEmpty(b.Note)})
	if err != nil {
		return nil, err
	}
	return &struct{ Body *TimeEntry }{timeShape(e)}, nil
}
