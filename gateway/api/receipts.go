package api

import (
	"context"
	"mime"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

var intakeTags = []string{"intake"}

func (a *API) registerReceipts() {
	register(a, operation{huma.Operation{OperationID: "get-receipt", Method: http.MethodGet, Path: "/receipts/{id}", Tags: intakeTags,
		Summary: "What became of an accepted mail"}, []login.Scope{login.TicketsRead, login.Intake}}, a.getReceipt)
	register(a, operation{huma.Operation{OperationID: "intake", Method: http.MethodPost, Path: "/intake", Tags: intakeTags,
		Summary: "Hand in a raw mail", DefaultStatus: http.StatusCreated,
		RequestBody: &huma.RequestBody{Required: true, Description: "The mail, byte for byte",
			Content: map[string]*huma.MediaType{"message/rfc822": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}},
	}, []login.Scope{login.Intake}}, a.intake)
	register(a, operation{huma.Operation{OperationID: "reconcile", Method: http.MethodGet, Path: "/reconcile", Tags: intakeTags,
		Summary: "Compare what was accepted with what is there", Description: "Walks the whole store and may take minutes."}, nil}, a.reconcile)
}

type receiptOutput struct {
	Location string `header:"Location"`
	Body     *Receipt
}

func (a *API) getReceipt(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"100"`
}) (*receiptOutput, error) {
	r, err := a.o.Desk.Receipt(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if asking(ctx).identity.Limited() {
		for _, o := range r.Outcomes {
			if !a.reachesRecipient(ctx, o.Recipient) {
				return nil, notFound("receipt")
			}
		}
	}
	return &receiptOutput{Body: receiptShape(r)}, nil
}

func (a *API) reachesRecipient(ctx context.Context, recipient string) bool {
	route, err := a.o.Desk.Route(ctx, recipient)
	return err == nil && asking(ctx).identity.Reaches(route.Queue)
}

type intakeInput struct {
	To   []string `query:"to,explode" minItems:"1" maxItems:"100" required:"true" nullable:"false" doc:"envelope recipient; may be repeated"`
	From string   `query:"from" maxLength:"254" doc:"envelope sender; empty is the null sender, and without it the From field counts"`
}

// intake streams the body into the one path by which mail becomes durable. The
// answer leaves when its outcomes are on disk.
func (a *API) intake(ctx context.Context, in *intakeInput) (*receiptOutput, error) {
	req := asking(ctx)
	if t, _, err := mime.ParseMediaType(req.http.Header.Get("Content-Type")); err != nil || t != "message/rfc822" {
		return nil, newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "send the mail as Content-Type: message/rfc822")
	}
	for i, to := range in.To {
		route, err := a.o.Desk.Route(ctx, to)
		if ticketing.KindOf(err) == ticketing.Unknown && err != nil || err == nil && !req.identity.Reaches(route.Queue) {
			p := unprocessable("query.to", "no mail is taken for recipient number "+strconv.Itoa(i+1))
			p.Status, p.Title, p.Code = http.StatusNotFound, http.StatusText(http.StatusNotFound), "not_found"
			return nil, p
		}
		if err != nil {
			return nil, err
		}
	}
	from, err := envelopeSender(in.From)
	if err != nil {
		return nil, err
	}
	body, err := someBody(req.http.Body)
	if err != nil {
		return nil, err
	}
	r, err := a.o.Intake.Receive(ctx, Mail{From: from, NoFrom: !req.http.URL.Query().Has("from"), To: distinct(in.To), Peer: req.peer(), Token: req.identity.Token, Body: body})
	if err != nil {
		return nil, err
	}
	return &receiptOutput{Location: Base + "/receipts/" + r.ID, Body: receiptShape(r)}, nil
}

func (a *API) reconcile(ctx context.Context, _ *struct{}) (*struct{ Body *ticketing.Reconciliation }, error) {
	r, err := a.o.Desk.Reconcile(ctx)
	if err != nil {
		return nil, err
	}
	out := *r
	out.Problems = list(out.Problems)
	out.CheckedAt = out.CheckedAt.UTC()
	return &struct{ Body *ticketing.Reconciliation }{&out}, nil
}
