package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

var heldTags = []string{"held"}

func (a *API) registerHeld() {
	read, write := []login.Scope{login.TicketsRead}, []login.Scope{login.TicketsWrite}
	register(a, operation{huma.Operation{OperationID: "list-held", Method: http.MethodGet, Path: "/held", Tags: heldTags,
		Summary: "List mail that was put on no ticket, newest first"}, read}, a.listHeld)
	register(a, operation{huma.Operation{OperationID: "get-held", Method: http.MethodGet, Path: "/held/{id}", Tags: heldTags,
		Summary: "Read one held mail"}, read}, a.getHeld)
	register(a, operation{huma.Operation{OperationID: "get-held-raw", Method: http.MethodGet, Path: "/held/{id}/raw", Tags: heldTags,
		Summary: "The exact bytes of a held mail", Responses: fileResponse("message/rfc822")}, read}, a.getHeldRaw)
	register(a, operation{huma.Operation{OperationID: "release-held", Method: http.MethodPost, Path: "/held/{id}/release", Tags: heldTags,
		Summary: "File a held mail as if it had just been accepted"}, write}, a.releaseHeld)
	register(a, operation{huma.Operation{OperationID: "attach-held", Method: http.MethodPost, Path: "/held/{id}/attach", Tags: heldTags,
		Summary: "Put a held mail on a ticket, internally, as a third party's"}, write}, a.attachHeld)
	register(a, operation{huma.Operation{OperationID: "discard-held", Method: http.MethodPost, Path: "/held/{id}/discard", Tags: heldTags,
		Summary: "Say that a held mail is of no use; it is gone when it expires"}, write}, a.discardHeld)
}

// HeldMail is a mail that was taken and put on no ticket.
type HeldMail struct {
	ID         string             `json:"id"`
	Reason     string             `json:"reason" enum:"spam,unverified_agent,failed_authentication,blocklisted,backscatter,loop,flood,blank,too_many_recipients,unknown_user_update,from_our_address,malformed,unparsed,oversize_part,policy"`
	Detail     *string            `json:"detail" doc:"more about the reason"`
	State      string             `json:"state" enum:"held,released,attached,discarded"`
	Queue      string             `json:"queue"`
	Recipient  string             `json:"recipient" doc:"the first that led to the queue"`
	Receipt    string             `json:"receipt"`
	From       string             `json:"from" doc:"the author's address; empty if nobody can be named"`
	FromName   string             `json:"from_name"`
	Subject    string             `json:"subject"`
	Envelope   nullable[Envelope] `json:"envelope"`
	Auth       Auth               `json:"auth"`
	RawSHA256  string             `json:"raw_sha256"`
	RawSize    int64              `json:"raw_size"`
	ReceivedAt time.Time          `json:"received_at"`
	ExpiresAt  time.Time          `json:"expires_at"`
	SettledAt  *time.Time         `json:"settled_at" doc:"when it was released, attached or discarded"`
	SettledBy  *string            `json:"settled_by"`
	Ticket     *uint64            `json:"ticket" doc:"where it went"`
	Message    *string            `json:"message"`
}

func heldShape(h *ticketing.Held) *HeldMail {
	out := &HeldMail{
		ID: h.ID, Reason: h.Reason, Detail: orNull(h.Detail), State: h.State, Queue: h.Queue, Recipient: h.Recipient, Receipt: h.Receipt,
		From: h.From, FromName: h.FromName, Subject: h.Subject, Auth: authShape(h.Auth), RawSHA256: h.Raw.SHA256, RawSize: h.Raw.Size,
		ReceivedAt: h.ReceivedAt.UTC(), ExpiresAt: h.ExpiresAt.UTC(), SettledAt: moment(h.SettledAt), SettledBy: orNull(h.SettledBy),
		Ticket: orNull(h.Ticket), Message: orNull(h.Message),
	}
	if e := h.Envelope; e.Source != "" {
		out.Envelope = some(Envelope{From: e.From, To: list(e.To), RemoteIP: orNull(e.RemoteIP), HELO: orNull(e.HELO), TLS: e.TLS, Source: e.Source})
	}
	return out
}

type listHeldInput struct {
	Reason string `query:"reason" maxLength:"100" doc:"only mail held for this reason"`
	Queue  string `query:"queue" maxLength:"100"`
	State  string `query:"state" enum:"held,released,attached,discarded" default:"held" doc:"held is what still waits for a decision"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor string `query:"cursor" maxLength:"1000"`
}

func (a *API) listHeld(ctx context.Context, in *listHeldInput) (*struct{ Body page[*HeldMail] }, error) {
	who := asking(ctx).identity
	f := ticketing.HeldFilter{Queue: in.Queue, Reason: in.Reason, State: in.State, Limit: in.Limit, Cursor: in.Cursor}
	out := &struct{ Body page[*HeldMail] }{page[*HeldMail]{Items: []*HeldMail{}}}
	switch {
	case f.Queue != "" && !who.Reaches(f.Queue):
		return out, nil
	case f.Queue == "" && len(who.Queues) == 1:
		f.Queue = who.Queues[0]
	}
	items, next, err := a.o.Desk.Held(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, h := range items {
		if who.Reaches(h.Queue) {
			out.Body.Items = append(out.Body.Items, heldShape(h))
		}
	}
	out.Body.Next = orNull(next)
	return out, nil
}

// HeldID is part of several paths.
type HeldID struct {
	ID string `path:"id" maxLength:"100"`
}

type heldOutput struct{ Body *HeldMail }

func (a *API) reachHeld(ctx context.Context, id string) (*ticketing.Held, error) {
	h, err := a.o.Desk.HeldItem(ctx, id)
	if err != nil {
		return nil, err
	}
	if !asking(ctx).identity.Reaches(h.Queue) {
		return nil, notFound("held mail")
	}
	return h, nil
}

func (a *API) getHeld(ctx context.Context, in *HeldID) (*heldOutput, error) {
	h, err := a.reachHeld(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &heldOutput{heldShape(h)}, nil
}

func (a *API) getHeldRaw(ctx context.Context, in *HeldID) (*huma.StreamResponse, error) {
	h, err := a.reachHeld(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	raw, err := a.o.Desk.HeldRaw(ctx, h)
	if err != nil {
		return nil, err
	}
	return a.file(raw, raw.Size(), "message/rfc822", h.ID+".eml"), nil
}

func (a *API) releaseHeld(ctx context.Context, in *HeldID) (*heldOutput, error) {
	return a.decideHeld(ctx, in.ID, a.o.Desk.Release)
}

func (a *API) discardHeld(ctx context.Context, in *HeldID) (*heldOutput, error) {
	return a.decideHeld(ctx, in.ID, a.o.Desk.Discard)
}

type attachHeldInput struct {
	HeldID
	Body struct {
		Ticket uint64 `json:"ticket" minimum:"1" doc:"the ticket's number"`
	}
}

func (a *API) attachHeld(ctx context.Context, in *attachHeldInput) (*heldOutput, error) {
	return a.decideHeld(ctx, in.ID, func(ctx context.Context, by ticketing.Actor, id string) (*ticketing.Held, error) {
		if _, err := a.reach(ctx, in.Body.Ticket); err != nil {
			return nil, err
		}
		return a.o.Desk.Attach(ctx, by, id, in.Body.Ticket)
	})
}

// decideHeld runs a decision. Asking twice gives the same answer twice.
func (a *API) decideHeld(ctx context.Context, id string, decide func(context.Context, ticketing.Actor, string) (*ticketing.Held, error)) (*heldOutput, error) {
	if _, err := a.reachHeld(ctx, id); err != nil {
		return nil, err
	}
	h, err := decide(ctx, asking(ctx).identity.Actor, id)
	if err != nil {
		return nil, err
	}
	return &heldOutput{heldShape(h)}, nil
}
