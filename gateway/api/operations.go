package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// Operations join, part and tie tickets.
type Operations interface {
	Merge(ctx context.Context, by ticketing.Actor, from, into uint64) (*ticketing.Ticket, error)
	Split(ctx context.Context, by ticketing.Actor, ticket uint64, message string) (*ticketing.Ticket, *ticketing.Message, error)
	Link(ctx context.Context, by ticketing.Actor, ticket, other uint64) (*ticketing.Ticket, error)
	Unlink(ctx context.Context, by ticketing.Actor, ticket, other uint64) (*ticketing.Ticket, error)
}

func (a *API) registerOperations() {
	write := []login.Scope{login.TicketsWrite}
	register(a, operation{huma.Operation{OperationID: "merge-ticket", Method: http.MethodPost, Path: "/tickets/{number}/merge", Tags: ticketTags,
		Summary:     "Make a ticket part of another",
		Description: "Answers the other ticket. The number, tokens and Message-IDs of the merged one lead there for ever; whoever took part in it takes part there. Nobody outside is mailed. It cannot be undone."}, write}, a.mergeTicket)
	register(a, operation{huma.Operation{OperationID: "split-ticket", Method: http.MethodPost, Path: "/tickets/{number}/split", Tags: ticketTags,
		Summary:       "Open a ticket with a copy of a message",
		Description:   "The message's author, who must be somebody outside, becomes requester of the new ticket and is acknowledged. Splitting a message again answers the ticket that is there.",
		DefaultStatus: http.StatusCreated}, write}, a.splitTicket)
	register(a, operation{huma.Operation{OperationID: "link-tickets", Method: http.MethodPut, Path: "/tickets/{number}/links/{other}", Tags: ticketTags,
		Summary: "Tie two tickets as related; each shows the other"}, write}, a.linkTickets)
	register(a, operation{huma.Operation{OperationID: "unlink-tickets", Method: http.MethodDelete, Path: "/tickets/{number}/links/{other}", Tags: ticketTags,
		Summary: "End a tie of any kind between two tickets, on both sides"}, write}, a.unlinkTickets)
}

type mergeInput struct {
	TicketNumber
	Body struct {
		Into uint64 `json:"into" minimum:"1" doc:"the ticket that goes on"`
	}
}

func (a *API) mergeTicket(ctx context.Context, in *mergeInput) (*ticketOutput, error) {
	return a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		if _, err := a.reach(ctx, in.Body.Into); err != nil {
			return nil, err
		}
		return a.o.Desk.Merge(ctx, by, in.Number, in.Body.Into)
	})
}

type splitInput struct {
	TicketNumber
	Body struct {
		Message string `json:"message" minLength:"1" maxLength:"100"`
	}
}

func (a *API) splitTicket(ctx context.Context, in *splitInput) (*ticketOutput, error) {
	out, err := a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		t, _, err := a.o.Desk.Split(ctx, by, in.Number, in.Body.Message)
		return t, err
	})
	if err != nil {
		return nil, err
	}
	out.Location = Base + "/tickets/" + strconv.FormatUint(out.Body.Number, 10)
	return out, nil
}

type linkInput struct {
	TicketNumber
	Other uint64 `path:"other" minimum:"1"`
}

func (a *API) linkTickets(ctx context.Context, in *linkInput) (*ticketOutput, error) {
	return a.linked(ctx, in, a.o.Desk.Link)
}

func (a *API) unlinkTickets(ctx context.Context, in *linkInput) (*ticketOutput, error) {
	return a.linked(ctx, in, a.o.Desk.Unlink)
}

func (a *API) linked(ctx context.Context, in *linkInput, do func(context.Context, ticketing.Actor, uint64, uint64) (*ticketing.Ticket, error)) (*ticketOutput, error) {
	return a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		if _, err := a.reach(ctx, in.Other); err != nil {
			return nil, err
		}
		return do(ctx, by, in.Number, in.Other)
	})
}
