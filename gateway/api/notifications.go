package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing/blob"
)

// Notifications are what was decided about whom to tell of what. A place where
// there is nothing is ticketing's Unknown, a wrong cursor its Invalid.
type Notifications interface {
	List(ctx context.Context, f NotificationFilter) ([]*Told, string, error)
	Get(ctx context.Context, id string) (*Told, error)
	Raw(ctx context.Context, id string) (*blob.Reader, error)
	Why(ctx context.Context, ticket uint64, to, event string) (*Verdict, error)
}

// NotificationFilter selects notifications; zero fields select all.
type NotificationFilter struct {
	Ticket    uint64
	To, Event string
	Limit     int
	Cursor    string
}

// Told is a decision about one person and what became of it.
type Told struct {
	ID, Event, Template, Recipient, Agent, Role, State, Reason string

	Ticket                              uint64 // 0 = none
	Queue, Message, MessageID, ParcelID string
	At                                  time.Time
}

// Verdict says why a person heard of a ticket's latest event or not.
type Verdict struct {
	Ticket                            uint64
	To, Event, Message, State, Reason string
	At                                time.Time // zero = unknown
	Present                           bool      // judged by what holds now
	Checks                            []VerdictCheck
	Found                             *Told
	Earlier                           []*Told
}

// VerdictCheck is one step of a verdict.
type VerdictCheck struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

var notificationTags = []string{"notifications"}

func (a *API) registerNotifications() {
	read := []login.Scope{login.TicketsRead}
	register(a, operation{huma.Operation{OperationID: "list-notifications", Method: http.MethodGet, Path: "/notifications", Tags: notificationTags,
		Summary: "Who was told of what, the latest first", Description: "One entry for each decision about one person, suppressed ones included. A page may be shorter than its limit and still have a next one."}, read}, a.listNotifications)
	register(a, operation{huma.Operation{OperationID: "get-notification-raw", Method: http.MethodGet, Path: "/notifications/{id}/raw", Tags: notificationTags,
		Summary: "Fetch the mail of a notification as it was composed, before it was signed", Responses: fileResponse("message/rfc822")}, read}, a.getNotificationRaw)
	register(a, operation{huma.Operation{OperationID: "why-notification", Method: http.MethodGet, Path: "/notifications/why", Tags: notificationTags,
		Summary: "Why somebody heard of a ticket's latest event, or did not"}, read}, a.whyNotification)
}

// Notification is what was decided about one person.
type Notification struct {
	ID        string    `json:"id"`
	Event     string    `json:"event"`
	Rule      *string   `json:"rule" doc:"null: decided by the built-in rules"`
	Template  string    `json:"template" doc:"kind of mail: acknowledgement, public-message, internal-message …"`
	Recipient string    `json:"recipient"`
	Agent     *string   `json:"agent" doc:"id of the agent whose address it is"`
	Role      string    `json:"role"`
	State     string    `json:"state" enum:"sent,queued,suppressed,digested,failed" doc:"sent: handed over, and no failure is known"`
	Reason    *string   `json:"reason" doc:"why not, or what it waits for"`
	At        time.Time `json:"at" doc:"when it was decided"`
	MessageID *string   `json:"message_id" doc:"Message-ID of the mail; null if none was written"`
	Ticket    *uint64   `json:"ticket"`
	Message   *string   `json:"message" doc:"id of the message it tells"`
	Outbound  *string   `json:"outbound" doc:"id of the mail in the outbound queue"`
}

func notificationShape(t *Told) *Notification {
	return &Notification{
		ID: t.ID, Event: t.Event, Template: t.Template, Recipient: t.Recipient, Agent: orNull(t.Agent), Role: t.Role,
		State: t.State, Reason: orNull(t.Reason), At: t.At.UTC(), MessageID: orNull(t.MessageID),
		Ticket: orNull(t.Ticket), Message: orNull(t.Message), Outbound: orNull(t.ParcelID),
	}
}

// reachesTold reports whether the asker may know of a decision: if he may know
// of its ticket; of one about no ticket, if he may know of its queue.
func (a *API) reachesTold(ctx context.Context, t *Told) bool {
	if !asking(ctx).identity.Limited() {
		return true
	}
	if t.Ticket == 0 {
		return asking(ctx).identity.Reaches(t.Queue)
	}
	_, err := a.reach(ctx, t.Ticket)
	return err == nil
}

func (a *API) listNotifications(ctx context.Context, in *struct {
	Ticket uint64 `query:"ticket"`
	To     string `query:"to" maxLength:"254" doc:"an address; an agent's stands for all that are his"`
	Event  string `query:"event" maxLength:"40"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor string `query:"cursor" maxLength:"4000"`
}) (*struct{ Body page[*Notification] }, error) {
	list, next, err := a.o.Notifications.List(ctx, NotificationFilter{Ticket: in.Ticket, To: in.To, Event: in.Event, Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return nil, err
	}
	out := page[*Notification]{Items: []*Notification{}, Next: orNull(next)}
	for _, t := range list {
		if a.reachesTold(ctx, t) {
			out.Items = append(out.Items, notificationShape(t))
		}
	}
	return &struct{ Body page[*Notification] }{out}, nil
}

func (a *API) getNotificationRaw(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"300"`
}) (*huma.StreamResponse, error) {
	t, err := a.o.Notifications.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !a.reachesTold(ctx, t) {
		return nil, notFound("notification")
	}
	raw, err := a.o.Notifications.Raw(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.file(raw, raw.Size(), "message/rfc822", t.ID+".eml"), nil
}

// WhyNotification is a verdict.
type WhyNotification struct {
	Ticket       uint64                 `json:"ticket"`
	To           string                 `json:"to"`
	Event        *string                `json:"event" doc:"the latest the verdict could be about; null if there was none"`
	Message      *string                `json:"message"`
	State        string                 `json:"state" enum:"sent,queued,suppressed,digested,failed"`
	Reason       *string                `json:"reason"`
	At           *time.Time             `json:"at" doc:"when it was decided; with basis present, when the message came"`
	Basis        string                 `json:"basis" enum:"history,present" doc:"present: nothing was decided about this person, and the checks say what holds now"`
	Checks       []VerdictCheck         `json:"checks" nullable:"false" doc:"in order; the last one decides"`
	Notification nullable[Notification] `json:"notification" doc:"the decision; null with basis present"`
	Earlier      []*Notification        `json:"earlier" nullable:"false" doc:"other decisions about this person in this ticket, the latest first"`
}

func (a *API) whyNotification(ctx context.Context, in *struct {
	Ticket uint64 `query:"ticket" required:"true" minimum:"1"`
	To     string `query:"to" required:"true" minLength:"3" maxLength:"254" doc:"an address"`
	Event  string `query:"event" maxLength:"40" doc:"ask about the latest of this kind"`
}) (*struct{ Body WhyNotification }, error) {
	if _, err := a.reach(ctx, in.Ticket); err != nil {
		return nil, err
	}
	v, err := a.o.Notifications.Why(ctx, in.Ticket, in.To, in.Event)
	if err != nil {
		return nil, err
	}
	out := WhyNotification{
		Ticket: v.Ticket, To: v.To, Event: orNull(v.Event), Message: orNull(v.Message), State: v.State, Reason: orNull(v.Reason),
		At: moment(v.At), Basis: "history", Checks: list(v.Checks), Earlier: []*Notification{},
	}
	if v.Present {
		out.Basis = "present"
	}
	if v.Found != nil {
		out.Notification = some(*notificationShape(v.Found))
	}
	for _, t := range v.Earlier {
		out.Earlier = append(out.Earlier, notificationShape(t))
	}
	return &struct{ Body WhyNotification }{out}, nil
}
