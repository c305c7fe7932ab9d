package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// Suppressions are the addresses that get no mail. Errors carry a
// ticketing.Kind.
type Suppressions interface {
	Suppressed(ctx context.Context, f SuppressionFilter) (page []Suppression, next string, err error)
	Suppress(ctx context.Context, s Suppression) (*Suppression, error)
	Unsuppress(ctx context.Context, queue, address string) error
}

// SuppressionFilter selects suppressions; empty fields match all.
type SuppressionFilter struct {
	Address string // an address, or @domain
	Queue   string
	Limit   int
	Cursor  string
}

// Suppression is an address that gets no mail.
type Suppression struct {
	Address string     `json:"address"`
	Queue   *string    `json:"queue" doc:"null: mail of all queues"`
	By      *string    `json:"by" doc:"null: the address proved to be wrong"`
	Reason  string     `json:"reason"`
	Since   time.Time  `json:"since"`
	Until   *time.Time `json:"until" doc:"null: until it is removed"`
}

func (a *API) registerSuppressions() {
	read, write := []login.Scope{login.OutboundRead, login.OutboundWrite}, []login.Scope{login.OutboundWrite}
	tags := []string{"suppressions"}
	register(a, operation{huma.Operation{OperationID: "list-suppressions", Method: http.MethodGet, Path: "/suppressions", Tags: tags,
		Summary: "Addresses that get no mail"}, read}, a.listSuppressions)
	register(a, operation{huma.Operation{OperationID: "add-suppression", Method: http.MethodPost, Path: "/suppressions", Tags: tags,
		Summary: "Keep mail from an address", DefaultStatus: http.StatusCreated}, write}, a.addSuppression)
	register(a, operation{huma.Operation{OperationID: "remove-suppression", Method: http.MethodDelete, Path: "/suppressions/{address}", Tags: tags,
		Summary: "Let an address have mail again; what was held for it goes"}, write}, a.removeSuppression)
}

func (a *API) listSuppressions(ctx context.Context, in *struct {
	Address string `query:"address" maxLength:"254" doc:"an address, or @domain"`
	Queue   string `query:"queue" maxLength:"100"`
	Limit   int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor  string `query:"cursor" maxLength:"1000"`
}) (*struct{ Body page[Suppression] }, error) {
	list, next, err := a.o.Suppressions.Suppressed(ctx, SuppressionFilter(*in))
	if err != nil {
		return nil, err
	}
	out := page[Suppression]{Items: []Suppression{}, Next: orNull(next)}
	for _, s := range list {
		if s.Queue == nil || asking(ctx).identity.Reaches(*s.Queue) {
			out.Items = append(out.Items, s)
		}
	}
	return &struct{ Body page[Suppression] }{out}, nil
}

func (a *API) addSuppression(ctx context.Context, in *struct {
	Body struct {
		Address string `json:"address" minLength:"3" maxLength:"254"`
		Queue   string `json:"queue,omitempty" maxLength:"100" doc:"only mail of this queue"`
		Reason  string `json:"reason,omitempty" maxLength:"500"`
		For     string `json:"for,omitempty" maxLength:"40" doc:"a span such as 30d, or a time; not said: until it is removed"`
	}
}) (*struct{ Body *Suppression }, error) {
	b := &in.Body
	until, err := a.deadline("/for", b.For)
	if err != nil {
		return nil, err
	}
	if err := a.suppressionScope(ctx, b.Queue); err != nil {
		return nil, err
	}
	s, err := a.o.Suppressions.Suppress(ctx, Suppression{
		Address: b.Address, Queue: orNull(b.Queue), By: orNull(nameOf(asking(ctx).identity)), Reason: b.Reason, Until: moment(until),
	})
	if err != nil {
		return nil, err
	}
	return &struct{ Body *Suppression }{s}, nil
}

func (a *API) removeSuppression(ctx context.Context, in *struct {
	Address string `path:"address" maxLength:"254"`
	Queue   string `query:"queue" maxLength:"100" doc:"the entry for this queue only; not said: the one for all"`
}) (*struct{}, error) {
	if err := a.suppressionScope(ctx, in.Queue); err != nil {
		return nil, err
	}
	return nil, a.o.Suppressions.Unsuppress(ctx, in.Queue, in.Address)
}

// suppressionScope wants a queue that exists and that the asker reaches.
func (a *API) suppressionScope(ctx context.Context, queue string) error {
	if queue == "" {
		return wholeHouse(ctx)
	}
	if !asking(ctx).identity.Reaches(queue) {
		return notFound("queue")
	}
	if _, ok := a.o.Desk.Queue(queue); !ok {
		return &ticketing.Error{Kind: ticketing.Invalid, Text: "there is no such queue"}
	}
	return nil
}
