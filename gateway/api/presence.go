package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// Present shows agents who of their colleagues is at a ticket, and what they
// write.
type Present interface {
	Appear(ctx context.Context, by ticketing.Actor, ticket uint64, doing, draft string) ([]ticketing.Presence, error)
	Present(ctx context.Context, by ticketing.Actor, ticket uint64) ([]ticketing.Presence, error)
	Leave(ctx context.Context, by ticketing.Actor, ticket uint64) error
}

func (a *API) registerPresence() {
	read, write := []login.Scope{login.TicketsRead}, []login.Scope{login.TicketsWrite}
	register(a, operation{huma.Operation{OperationID: "list-presence", Method: http.MethodGet, Path: "/tickets/{number}/presence", Tags: ticketTags,
		Summary: "See which agents are at a ticket, and what they are writing"}, read}, a.listPresence)
	register(a, operation{huma.Operation{OperationID: "appear", Method: http.MethodPut, Path: "/tickets/{number}/presence", Tags: ticketTags,
		Summary:     "Be seen at a ticket, with what is written so far",
		Description: "For agents. Say it again before 60 seconds are over: who says nothing more is gone, and his draft with him. The answer lists everybody who is there."}, write}, a.appear)
	register(a, operation{huma.Operation{OperationID: "leave", Method: http.MethodDelete, Path: "/tickets/{number}/presence", Tags: ticketTags,
		Summary: "Be seen at a ticket no more", DefaultStatus: http.StatusNoContent}, write}, a.leave)
}

// Presence is an agent at a ticket.
type Presence struct {
	Agent   string     `json:"agent"`
	Name    string     `json:"name"`
	Doing   string     `json:"doing" enum:"viewing,replying,noting"`
	Draft   *string    `json:"draft" doc:"what he has written so far"`
	Since   time.Time  `json:"since"`
	SeenAt  time.Time  `json:"seen_at"`
	DraftAt *time.Time `json:"draft_at" doc:"when the draft last changed"`
}

func presencePage(list []ticketing.Presence) *struct{ Body page[*Presence] } {
	out := &struct{ Body page[*Presence] }{page[*Presence]{Items: []*Presence{}}}
	for _, p := range list {
		out.Body.Items = append(out.Body.Items, &Presence{
			Agent: p.Agent, Name: p.Name, Doing: p.Doing, Draft: orNull(p.Draft), Since: p.Since.UTC(), SeenAt: p.Seen.UTC(), DraftAt: moment(p.Written),
		})
	}
	return out
}

func (a *API) listPresence(ctx context.Context, in *TicketNumber) (*struct{ Body page[*Presence] }, error) {
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	list, err := a.o.Desk.Present(ctx, asking(ctx).identity.Actor, in.Number)
	if err != nil {
		return nil, err
	}
	return presencePage(list), nil
}

type appearInput struct {
	TicketNumber
	Body struct {
		Doing string  `json:"doing" enum:"viewing,replying,noting"`
		Draft *string `json:"draft,omitempty" maxLength:"65536"`
	}
}

func (a *API) appear(ctx context.Context, in *appearInput) (*struct{ Body page[*Presence] }, error) {
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	list, err := a.o.Desk.Appear(ctx, asking(ctx).identity.Actor, in.Number, in.Body.Doing, orEmpty(in.Body.Draft))
	if err != nil {
		return nil, err
	}
	return presencePage(list), nil
}

func (a *API) leave(ctx context.Context, in *TicketNumber) (*struct{}, error) {
	if _, err := a.reach(ctx, in.Number); err != nil {
		return nil, err
	}
	return nil, a.o.Desk.Leave(ctx, asking(ctx).identity.Actor, in.Number)
}
