package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

var ticketTags = []string{"tickets"}

func (a *API) registerTickets() {
	read, write := []login.Scope{login.TicketsRead}, []login.Scope{login.TicketsWrite}
	register(a, operation{huma.Operation{OperationID: "list-tickets", Method: http.MethodGet, Path: "/tickets", Tags: ticketTags,
		Summary: "List tickets, last changed first"}, read}, a.listTickets)
	register(a, operation{huma.Operation{OperationID: "get-ticket", Method: http.MethodGet, Path: "/tickets/{number}", Tags: ticketTags,
		Summary: "Read a ticket"}, read}, a.getTicket)
	register(a, operation{huma.Operation{OperationID: "create-ticket", Method: http.MethodPost, Path: "/tickets", Tags: ticketTags,
		Summary: "Open a ticket", DefaultStatus: http.StatusCreated, MaxBodyBytes: a.maxJSON(), BodyReadTimeout: bodyTimeout}, write}, a.createTicket)
	register(a, operation{huma.Operation{OperationID: "change-ticket", Method: http.MethodPatch, Path: "/tickets/{number}", Tags: ticketTags,
		Summary: "Change fields of a ticket (RFC 7396 merge patch)"}, write}, a.changeTicket)
	register(a, operation{huma.Operation{OperationID: "add-cc", Method: http.MethodPut, Path: "/tickets/{number}/ccs/{address}", Tags: ticketTags,
		Summary: "Make somebody a CC"}, write}, a.addCC)
	register(a, operation{huma.Operation{OperationID: "remove-cc", Method: http.MethodDelete, Path: "/tickets/{number}/ccs/{address}", Tags: ticketTags,
		Summary: "Remove a CC"}, write}, a.removeCC)
	register(a, operation{huma.Operation{OperationID: "follow", Method: http.MethodPut, Path: "/tickets/{number}/followers/{agent}", Tags: ticketTags,
		Summary: "Make an agent a follower"}, write}, a.follow)
	register(a, operation{huma.Operation{OperationID: "unfollow", Method: http.MethodDelete, Path: "/tickets/{number}/followers/{agent}", Tags: ticketTags,
		Summary: "Make an agent no follower any more"}, write}, a.unfollow)
}

// bodyTimeout is how long a large body may take.
const bodyTimeout = 2 * time.Minute

// TicketNumber is part of many paths. It is exported because the library reads
// embedded structs only then.
type TicketNumber struct {
	Number uint64 `path:"number" minimum:"1"`
}

type ticketOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     *Ticket
}

func (a *API) ticketOutput(t *ticketing.Ticket) *ticketOutput {
	return &ticketOutput{ETag: etag(t.Version), Body: a.ticket(t)}
}

func etag(version uint64) string { return `"` + strconv.FormatUint(version, 10) + `"` }

// reach returns a ticket the asker may know of. What is outside a token's
// queues does not exist for it.
func (a *API) reach(ctx context.Context, number uint64) (*ticketing.Ticket, error) {
	t, err := a.o.Desk.Ticket(ctx, number)
	if err != nil {
		return nil, err
	}
	if !asking(ctx).identity.Reaches(t.Queue) {
		return nil, notFound("ticket")
	}
	return t, nil
}

type listTicketsInput struct {
	Queue        string    `query:"queue" maxLength:"100"`
	Status       string    `query:"status" maxLength:"100" doc:"one status or several with commas" example:"open,pending"`
	Requester    string    `query:"requester" maxLength:"254" doc:"an address"`
	Assignee     string    `query:"assignee" maxLength:"100" doc:"an agent's id"`
	UpdatedSince time.Time `query:"updated_since" doc:"changed at or after"`
	Limit        int       `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor       string    `query:"cursor" maxLength:"1000"`
}

func (a *API) listTickets(ctx context.Context, in *listTicketsInput) (*struct{ Body page[*Ticket] }, error) {
	who := asking(ctx).identity
	if err := checkStatuses(in.Status); err != nil {
		return nil, err
	}
	f := ticketing.Filter{
		Queue: in.Queue, Status: in.Status, Requester: in.Requester, Assignee: in.Assignee,
		UpdatedSince: in.UpdatedSince, Limit: in.Limit, Cursor: in.Cursor,
	}
	out := &struct{ Body page[*Ticket] }{page[*Ticket]{Items: []*Ticket{}}}
	switch {
	case f.Queue != "" && !who.Reaches(f.Queue):
		return out, nil
	case f.Queue == "" && len(who.Queues) == 1:
		f.Queue = who.Queues[0]
	}
	tickets, next, err := a.o.Desk.Tickets(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, t := range tickets {
		// A token for several queues sees short pages rather than others' tickets.
		if who.Reaches(t.Queue) {
			out.Body.Items = append(out.Body.Items, a.ticket(t))
		}
	}
	out.Body.Next = orNull(next)
	return out, nil
}

var (
	statuses   = []string{"new", "open", "pending", "on_hold", "solved", "closed"}
	priorities = []string{"low", "normal", "high", "urgent"}
)

func checkStatuses(list string) error {
	for s := range strings.SplitSeq(list, ",") {
		if list != "" && !slices.Contains(statuses, s) {
			return unprocessable("query.status", "a status is one of "+strings.Join(statuses, ", "))
		}
	}
	return nil
}

func (a *API) getTicket(ctx context.Context, in *TicketNumber) (*ticketOutput, error) {
	t, err := a.reach(ctx, in.Number)
	if err != nil {
		return nil, err
	}
	return a.ticketOutput(t), nil
}

// newAddress is a mailbox a client names.
type newAddress struct {
	Address string `json:"address" maxLength:"254"`
	Name    string `json:"name,omitempty" maxLength:"200"`
}

func (n newAddress) parse(where string) (message.Address, error) {
	addr, err := message.ParseAddress(n.Address)
	if err != nil || addr.Name != "" {
		return message.Address{}, unprocessable(where, "this is not a mail address")
	}
	addr.Name = n.Name
	return addr, nil
}

type createTicketInput struct {
	Body struct {
		Queue     string       `json:"queue" maxLength:"100"`
		Subject   string       `json:"subject" minLength:"1" maxLength:"900"`
		Requester newAddress   `json:"requester,omitempty" doc:"needed unless copy_requester is true"`
		CCs       []newAddress `json:"ccs,omitempty" maxItems:"100"`
		Priority  string       `json:"priority,omitempty" enum:"low,normal,high,urgent"`
		Tags      []string     `json:"tags,omitempty" maxItems:"50"`
		Assignee  *string      `json:"assignee,omitempty"`
		Message   newMessage   `json:"message"`

		LinkedTo      *uint64 `json:"linked_to,omitempty" minimum:"1" doc:"a ticket to link the new one to; both show it"`
		CopyRequester bool    `json:"copy_requester,omitempty" doc:"take the requester of linked_to; leave requester out then"`
	}
}

func (a *API) createTicket(ctx context.Context, in *createTicketInput) (*ticketOutput, error) {
	who, b := asking(ctx).identity, &in.Body
	if _, ok := a.o.Desk.Queue(b.Queue); !ok || !who.Reaches(b.Queue) {
		return nil, unprocessable("/queue", "there is no such queue")
	}
	if err := a.admit(ctx, who, b.Message.Visibility); err != nil {
		return nil, err
	}
	var requester message.Address
	if !b.CopyRequester {
		var err error
		if requester, err = b.Requester.parse("/requester/address"); err != nil {
			return nil, err
		}
	} else if b.LinkedTo == nil || b.Requester.Address != "" {
		return nil, unprocessable("/copy_requester", "a requester is copied from linked_to, and named nowhere else then")
	}
	if b.LinkedTo != nil {
		if _, err := a.reach(ctx, *b.LinkedTo); err != nil {
			return nil, err
		}
	}
	n := ticketing.NewTicket{
		Queue: b.Queue, Subject: b.Subject, Requester: requester, Priority: b.Priority, Tags: b.Tags,
		Assignee: orEmpty(b.Assignee), Message: b.Message.toDesk(), CopyRequester: b.CopyRequester,
	}
	if b.LinkedTo != nil {
		n.LinkedTo = *b.LinkedTo
	}
	for i, cc := range b.CCs {
		addr, err := cc.parse("/ccs/" + strconv.Itoa(i) + "/address")
		if err != nil {
			return nil, err
		}
		n.CCs = append(n.CCs, addr)
	}
	t, _, err := a.o.Desk.Create(ctx, who.Actor, n)
	if err != nil {
		return nil, err
	}
	out := a.ticketOutput(t)
	out.Location = Base + "/tickets/" + strconv.FormatUint(t.Number, 10)
	return out, nil
}

// field is a member of a merge patch: absent, null or a value.
type field[T any] struct {
	set, null bool
	value     T
}

// UnmarshalJSON is only called for members that are there.
func (f *field[T]) UnmarshalJSON(b []byte) error {
	f.set = true
	if string(b) == "null" {
		f.null = true
		return nil
	}
	return json.Unmarshal(b, &f.value)
}

// Schema is the value's, or null.
func (field[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	s.Nullable = true
	return &s
}

type changeTicketInput struct {
	TicketNumber
	IfMatch string `header:"If-Match" doc:"the ETag of the ticket this change is based on"`
	Body    struct {
		Status   field[string]   `json:"status,omitempty"`
		Priority field[string]   `json:"priority,omitempty"`
		Subject  field[string]   `json:"subject,omitempty"`
		Category field[string]   `json:"category,omitempty"`
		Assignee field[string]   `json:"assignee,omitempty"`
		Tags     field[[]string] `json:"tags,omitempty"`

		Queue        field[string]    `json:"queue,omitempty" doc:"moves the ticket; mail to its old addresses still finds it"`
		SnoozedUntil field[time.Time] `json:"snoozed_until,omitempty" doc:"put aside until then; null ends it"`
		DueAt        field[time.Time] `json:"due_at,omitempty" doc:"null removes it"`
	} `contentType:"application/merge-patch+json"`
}

func (a *API) changeTicket(ctx context.Context, in *changeTicketInput) (*ticketOutput, error) {
	t, err := a.reach(ctx, in.Number)
	if err != nil {
		return nil, err
	}
	c, err := in.change()
	if err != nil {
		return nil, err
	}
	if c.Queue != nil {
		if _, ok := a.o.Desk.Queue(*c.Queue); !ok || !asking(ctx).identity.Reaches(*c.Queue) {
			return nil, unprocessable("/queue", "there is no such queue")
		}
	}
	if c.IfVersion, err = version(in.IfMatch, t); err != nil {
		return nil, err
	}
	t, err = a.o.Desk.Change(ctx, asking(ctx).identity.Actor, in.Number, c)
	if ticketing.KindOf(err) == ticketing.Conflict && c.IfVersion != 0 {
		return nil, stale()
	}
	if err != nil {
		return nil, err
	}
	return a.ticketOutput(t), nil
}

func (in *changeTicketInput) change() (c ticketing.Change, err error) {
	b := &in.Body
	for _, f := range []struct {
		name  string
		from  field[string]
		to    **string
		clear bool     // null removes the value
		words []string // what it may be
		max   int
	}{
		{"status", b.Status, &c.Status, false, statuses, 0},
		{"priority", b.Priority, &c.Priority, false, priorities, 0},
		{"subject", b.Subject, &c.Subject, false, nil, 900},
		{"category", b.Category, &c.Category, true, nil, 100},
		{"assignee", b.Assignee, &c.Assignee, true, nil, 100},
		{"queue", b.Queue, &c.Queue, false, nil, 100},
	} {
		if !f.from.set {
			continue
		}
		v := f.from.value
		switch {
		case !f.clear && (f.from.null || v == ""):
			return c, unprocessable("/"+f.name, f.name+" cannot be removed")
		case f.words != nil && !slices.Contains(f.words, v):
			return c, unprocessable("/"+f.name, f.name+" is one of "+strings.Join(f.words, ", "))
		case f.max > 0 && len(v) > f.max:
			return c, unprocessable("/"+f.name, f.name+" is longer than "+strconv.Itoa(f.max)+" octets")
		}
		*f.to = &v
	}
	if b.Tags.set {
		tags := list(b.Tags.value)
		if len(tags) > 50 {
			return c, unprocessable("/tags", "a ticket has at most 50 tags")
		}
		c.Tags = &tags
	}
	if b.SnoozedUntil.set {
		c.SnoozedUntil = &b.SnoozedUntil.value
	}
	if b.DueAt.set {
		c.DueAt = &b.DueAt.value
	}
	return c, nil
}

// version reads If-Match (RFC 9110 §13.1.1) for a ticket: 0 when any version
// will do.
func version(ifMatch string, t *ticketing.Ticket) (uint64, error) {
	if ifMatch == "" {
		return 0, nil
	}
	for tag := range strings.SplitSeq(ifMatch, ",") {
		switch strings.TrimSpace(tag) {
		case "*":
			return 0, nil
		case etag(t.Version):
			return t.Version, nil
		}
	}
	return 0, stale()
}

func stale() *Problem {
	return newProblem(http.StatusPreconditionFailed, "precondition_failed", "the ticket has changed since; read it again")
}

type ccInput struct {
	TicketNumber
	Address string `path:"address" maxLength:"254"`
}

func (in *ccInput) parse() (message.Address, error) {
	return newAddress{Address: in.Address}.parse("path.address")
}

func (a *API) addCC(ctx context.Context, in *ccInput) (*ticketOutput, error) {
	return a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		addr, err := in.parse()
		if err != nil {
			return nil, err
		}
		return a.o.Desk.AddCC(ctx, by, in.Number, addr)
	})
}

func (a *API) removeCC(ctx context.Context, in *ccInput) (*ticketOutput, error) {
	return a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		addr, err := in.parse()
		if err != nil {
			return nil, err
		}
		return a.o.Desk.RemoveCC(ctx, by, in.Number, addr.Addr)
	})
}

type followerInput struct {
	TicketNumber
	Agent string `path:"agent" maxLength:"100"`
}

func (a *API) follow(ctx context.Context, in *followerInput) (*ticketOutput, error) {
	return a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		if _, ok := a.o.Desk.Agent(in.Agent); !ok {
			return nil, notFound("agent")
		}
		return a.o.Desk.Follow(ctx, by, in.Number, in.Agent)
	})
}

func (a *API) unfollow(ctx context.Context, in *followerInput) (*ticketOutput, error) {
	return a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		return a.o.Desk.Unfollow(ctx, by, in.Number, in.Agent)
	})
}

// participant runs a command on a ticket the asker may know of.
func (a *API) participant(ctx context.Context, number uint64, do func(ticketing.Actor) (*ticketing.Ticket, error)) (*ticketOutput, error) {
	if _, err := a.reach(ctx, number); err != nil {
		return nil, err
	}
	t, err := do(asking(ctx).identity.Actor)
	if err != nil {
		return nil, err
	}
	return a.ticketOutput(t), nil
}
