package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// Participants are decisions about who takes part in a ticket and who sees what.
type Participants interface {
	AcceptParticipant(ctx context.Context, by ticketing.Actor, ticket uint64, message string) (*ticketing.Ticket, error)
	RefuseParticipant(ctx context.Context, by ticketing.Actor, ticket uint64, message string) (*ticketing.Ticket, error)
	SetVisibility(ctx context.Context, by ticketing.Actor, message, visibility string) (*ticketing.Message, []ticketing.Received, error)
}

func (a *API) registerParticipants() {
	write, send := []login.Scope{login.TicketsWrite}, []login.Scope{login.MessagesSend}
	register(a, operation{huma.Operation{OperationID: "accept-participant", Method: http.MethodPost, Path: "/tickets/{number}/participants/accept", Tags: ticketTags,
		Summary:     "Let a third party in",
		Description: "The message becomes public and is mailed to requester and CCs; its author becomes a CC and gets one mail with the public messages so far. Needs the scope messages:send."}, send}, a.acceptParticipant)
	register(a, operation{huma.Operation{OperationID: "refuse-participant", Method: http.MethodPost, Path: "/tickets/{number}/participants/refuse", Tags: ticketTags,
		Summary: "Leave a third party outside; its message stays internal"}, write}, a.refuseParticipant)
	register(a, operation{huma.Operation{OperationID: "change-message", Method: http.MethodPatch, Path: "/messages/{id}", Tags: messageTags,
		Summary:     "Change who sees a message",
		Description: "A public message that becomes internal is left out of later mails, quotes and backlogs. Copies that wait to be sent are taken back. received_by lists who outside has it already. An internal message of a customer may become public and is mailed then."}, write}, a.changeMessage)
}

type participantInput struct {
	TicketNumber
	Body struct {
		Message string `json:"message" minLength:"1" maxLength:"100" doc:"the third party's message"`
	}
}

func (a *API) acceptParticipant(ctx context.Context, in *participantInput) (*ticketOutput, error) {
	return a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		return a.o.Desk.AcceptParticipant(ctx, by, in.Number, in.Body.Message)
	})
}

func (a *API) refuseParticipant(ctx context.Context, in *participantInput) (*ticketOutput, error) {
	return a.participant(ctx, in.Number, func(by ticketing.Actor) (*ticketing.Ticket, error) {
		return a.o.Desk.RefuseParticipant(ctx, by, in.Number, in.Body.Message)
	})
}

// Received says that somebody outside may have read a message.
type Received struct {
	Address string    `json:"address"`
	How     string    `json:"how" enum:"wrote,addressed,mailed,backlog"`
	State   *string   `json:"state" doc:"of a mailed copy: sent, bounced …; active while an attempt is under way. What waited was taken back and is not listed"`
	At      time.Time `json:"at"`
}

type changeMessageInput struct {
	ID   string `path:"id" maxLength:"100"`
	Body struct {
		Visibility string `json:"visibility" enum:"public,internal"`
	}
}

type changedMessage struct {
	Message
	ReceivedBy []Received `json:"received_by" nullable:"false" doc:"who outside has the message"`
}

func (a *API) changeMessage(ctx context.Context, in *changeMessageInput) (*struct{ Body changedMessage }, error) {
	who := asking(ctx).identity
	if err := maySend(who, in.Body.Visibility); err != nil {
		return nil, err
	}
	if _, err := a.reachMessage(ctx, in.ID); err != nil {
		return nil, err
	}
	m, received, err := a.o.Desk.SetVisibility(ctx, who.Actor, in.ID, in.Body.Visibility)
	if err != nil {
		return nil, err
	}
	shown, err := a.message(ctx, m)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body changedMessage }{changedMessage{Message: *shown, ReceivedBy: []Received{}}}
	for _, r := range received {
		out.Body.ReceivedBy = append(out.Body.ReceivedBy, Received{Address: r.Address, How: r.How, State: orNull(r.State), At: r.At.UTC()})
	}
	return out, nil
}
