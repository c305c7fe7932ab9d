package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
)

var outboundTags = []string{"outbound"}

func (a *API) registerOutbound() {
	read, write := []login.Scope{login.OutboundRead, login.OutboundWrite}, []login.Scope{login.OutboundWrite}
	register(a, operation{huma.Operation{OperationID: "list-outbound", Method: http.MethodGet, Path: "/outbound", Tags: outboundTags,
		Summary: "List mail on its way out"}, read}, a.listOutbound)
	register(a, operation{huma.Operation{OperationID: "get-outbound", Method: http.MethodGet, Path: "/outbound/{id}", Tags: outboundTags,
		Summary: "Read one mail on its way out"}, read}, a.getOutbound)
	for verb, summary := range map[string]string{
		"hold": "Keep a mail back until it is released", "release": "Let a held mail go",
		"retry": "Try a mail now", "drop": "Take a mail out of the queue for good",
	} {
		op := huma.Operation{OperationID: verb + "-outbound", Method: http.MethodPost, Path: "/outbound/{id}/" + verb, Tags: outboundTags, Summary: summary}
		if verb == "drop" {
			op.DefaultStatus = http.StatusNoContent // nothing is left to show
		}
		register(a, operation{op, write}, a.outboundVerb(verb))
	}
}

// OutboundMail is one mail for one recipient on its way out.
type OutboundMail struct {
	ID         string         `json:"id"`
	Class      string         `json:"class" enum:"reply,notification,autoack,bulk,dsn,relay"`
	State      string         `json:"state" enum:"ready,active,deferred,scheduled,held"`
	From       string         `json:"from" doc:"envelope sender"`
	Recipient  string         `json:"recipient"`
	Queue      *string        `json:"queue"`
	Ticket     *uint64        `json:"ticket"`
	Message    *string        `json:"message"`
	Size       int64          `json:"size"`
	Attempts   int            `json:"attempts"`
	CreatedAt  time.Time      `json:"created_at"`
	NextAt     *time.Time     `json:"next_at" doc:"null while held"`
	AgeSeconds int64          `json:"age_seconds"`
	Last       nullable[Last] `json:"last" doc:"null before the first attempt"`
	WaitsFor   *string        `json:"waits_for" doc:"in one word: schedule, retry, pause, rate, concurrency, turn, answer, ticket, operator, suppressed, dkim_key, content or measure"`
	Why        *string        `json:"why" doc:"in plain words: why it is still here"`
	Ambiguous  bool           `json:"ambiguous" doc:"an earlier attempt may have delivered it: the answer was lost"`
	Held       nullable[Held] `json:"held" doc:"what keeps it back; null unless the state is held"`
}

func (a *API) parcel(p *Parcel) *OutboundMail {
	out := &OutboundMail{
		ID: p.ID, Class: p.Class, State: p.State, From: p.From, Recipient: p.Recipient, Queue: orNull(p.Queue),
		Ticket: orNull(p.Ticket), Message: orNull(p.Message), Size: p.Size, Attempts: p.Attempts,
		CreatedAt: p.CreatedAt.UTC(), NextAt: moment(p.NextAt), Why: orNull(p.Why),
		AgeSeconds: max(0, int64(a.o.Now().Sub(p.CreatedAt)/time.Second)),
	}
	out.WaitsFor, out.Ambiguous = orNull(p.WaitsFor), p.Ambiguous
	if h := p.Held; h != nil {
		out.Held = some(Held{Kind: h.Kind, Ref: orNull(h.Ref), By: h.By, Reason: h.Reason, At: h.At.UTC(), Until: moment(h.Until)})
	}
	if l := p.Last; l != nil {
		out.Last = some(Last{Code: l.Code, Enhanced: l.Enhanced, Text: l.Text, MX: l.MX, TLS: l.TLS, At: l.At.UTC()})
	}
	return out
}

// Held is what keeps a mail back.
type Held struct {
	Kind   string     `json:"kind" enum:"operator,suppressed,dkim_key,content,measure"`
	Ref    *string    `json:"ref" doc:"the address, domain or measure that holds it"`
	By     string     `json:"by"`
	Reason string     `json:"reason"`
	At     time.Time  `json:"at"`
	Until  *time.Time `json:"until" doc:"when it lets go by itself; null: not by itself, or not known"`
}

type listOutboundInput struct {
	State  string `query:"state" enum:"ready,active,deferred,scheduled,held"`
	To     string `query:"to" maxLength:"254" doc:"an address, or @domain"`
	Ticket uint64 `query:"ticket"`
	Class  string `query:"class" enum:"reply,notification,autoack,bulk,dsn,relay"`
	Queue  string `query:"queue" maxLength:"100"`
	Held   string `query:"held" enum:"operator,suppressed,dkim_key,content,measure" doc:"held by this"`
	Older  string `query:"older" maxLength:"40" doc:"a span such as 2h: at least so old"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor string `query:"cursor" maxLength:"1000"`
}

func (a *API) listOutbound(ctx context.Context, in *listOutboundInput) (*struct{ Body page[*OutboundMail] }, error) {
	older, err := span("query.older", in.Older)
	if err != nil {
		return nil, err
	}
	parcels, next, err := a.o.Outbound.List(ctx, ParcelFilter{
		State: in.State, To: in.To, Ticket: in.Ticket, Class: in.Class, Queue: in.Queue, Held: in.Held, Older: older, Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := &struct{ Body page[*OutboundMail] }{page[*OutboundMail]{Items: []*OutboundMail{}, Next: orNull(next)}}
	for _, p := range parcels {
		if asking(ctx).identity.Reaches(p.Queue) {
			out.Body.Items = append(out.Body.Items, a.parcel(p))
		}
	}
	return out, nil
}

// OutboundID is part of several paths.
type OutboundID struct {
	ID string `path:"id" maxLength:"100"`
}

type outboundOutput struct {
	Status int
	Body   *OutboundMail
}

func (a *API) getOutbound(ctx context.Context, in *OutboundID) (*outboundOutput, error) {
	p, err := a.reachParcel(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &outboundOutput{http.StatusOK, a.parcel(p)}, nil
}

func (a *API) reachParcel(ctx context.Context, id string) (*Parcel, error) {
	p, err := a.o.Outbound.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if !asking(ctx).identity.Reaches(p.Queue) {
		return nil, notFound("outbound mail")
	}
	return p, nil
}

type outboundVerbInput struct {
	OutboundID
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"kept with the mail and shown to others (hold, drop)"`
	}
}

func (a *API) outboundVerb(verb string) func(context.Context, *outboundVerbInput) (*outboundOutput, error) {
	return func(ctx context.Context, in *outboundVerbInput) (*outboundOutput, error) {
		if _, err := a.reachParcel(ctx, in.ID); err != nil {
			return nil, err
		}
		by, reason := nameOf(asking(ctx).identity), ""
		if in.Body != nil {
			reason = in.Body.Reason
		}
		var err error
		switch verb {
		case "hold":
			err = a.o.Outbound.Hold(ctx, in.ID, by, reason)
		case "release":
			err = a.o.Outbound.Release(ctx, in.ID)
		case "retry":
			err = a.o.Outbound.Retry(ctx, in.ID)
		case "drop":
			if err := a.o.Outbound.Drop(ctx, in.ID, by, reason); err != nil {
				return nil, err
			}
			return &outboundOutput{Status: http.StatusNoContent}, nil
		}
		if err != nil {
			return nil, err
		}
		p, err := a.o.Outbound.Get(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return &outboundOutput{http.StatusOK, a.parcel(p)}, nil
	}
}

// nameOf says who did something, for those who read it later.
func nameOf(i login.Identity) string {
	return or(i.Actor.Agent, i.Actor.Name)
}
