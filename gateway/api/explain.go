package api

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/netip"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/intake"
	"ticketgate/gateway/login"
	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

func (a *API) registerExplain() {
	register(a, operation{huma.Operation{OperationID: "explain-mail", Method: http.MethodPost, Path: "/policy/explain", Tags: intakeTags,
		Summary: "What would become of a mail", Description: "Runs the mail through every check and through the desk as it is just now, and keeps nothing.",
		RequestBody: &huma.RequestBody{Required: true, Description: "The mail, byte for byte",
			Content: map[string]*huma.MediaType{"message/rfc822": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}},
	}, nil}, a.explain)
	register(a, operation{huma.Operation{OperationID: "trace-mail", Method: http.MethodGet, Path: "/traces", Tags: intakeTags,
		Summary: "How a mail came to where it is"}, []login.Scope{login.TicketsRead}}, a.traces)
	register(a, operation{huma.Operation{OperationID: "get-delivered", Method: http.MethodGet, Path: "/messages/{id}/delivered", Tags: messageTags,
		Summary:     "Fetch the delivered copy of a mail",
		Description: "The exact bytes below the trace fields of this server, its Authentication-Results first; fields of that name that only claim to be ours are left out (RFC 8601 §5).",
		Responses:   fileResponse("message/rfc822")}, []login.Scope{login.TicketsRead}}, a.getDelivered)
}

// Trace is how a mail came to where it is, or what would become of it.
type Trace struct {
	Receipt  nullable[Receipt] `json:"receipt" doc:"null if it would be refused"`
	Decision string            `json:"decision" enum:"accept,refuse"`
	Reason   *string           `json:"reason" doc:"why it would be refused"`
	Findings []TraceFinding    `json:"findings" nullable:"false"`
	Header   string            `json:"header" doc:"trace fields on top of delivered copies"`
	Evidence json.RawMessage   `json:"evidence" doc:"what was found about the sender, in full; null if nothing was checked"`
}

// TraceFinding is one thing that was looked at. The name differs from that of
// the house's findings because both stand in one document.
type TraceFinding intake.Finding

func findingsShape(in []intake.Finding) []TraceFinding {
	out := make([]TraceFinding, len(in))
	for i, f := range in {
		out[i] = TraceFinding(f)
	}
	return out
}

func traceShape(t *ticketing.Trace, findings []intake.Finding) *Trace {
	out := &Trace{Receipt: some(*receiptShape(t.Receipt)), Decision: "accept", Findings: findingsShape(findings), Header: t.Header, Evidence: t.Evidence}
	if out.Evidence == nil {
		out.Evidence = json.RawMessage("null")
	}
	return out
}

type explainInput struct {
	To   []string `query:"to,explode" minItems:"1" maxItems:"100" required:"true" nullable:"false" doc:"envelope recipient; may be repeated"`
	From string   `query:"from" maxLength:"254" doc:"envelope sender; empty is the null sender, and without it the From field counts"`
	IP   string   `query:"ip" maxLength:"45" doc:"address of the client; without it SPF and iprev cannot be asked"`
	HELO string   `query:"helo" maxLength:"255" doc:"what the client called itself"`
}

type traceOutput struct{ Body *Trace }

func (a *API) explain(ctx context.Context, in *explainInput) (*traceOutput, error) {
	req := asking(ctx)
	if t, _, err := mime.ParseMediaType(req.http.Header.Get("Content-Type")); err != nil || t != "message/rfc822" {
		return nil, newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "send the mail as Content-Type: message/rfc822")
	}
	from, err := envelopeSender(in.From)
	if err != nil {
		return nil, err
	}
	m := Mail{From: from, NoFrom: !req.http.URL.Query().Has("from"), To: distinct(in.To), HELO: in.HELO, Body: req.http.Body}
	if in.IP != "" {
		ip, err := netip.ParseAddr(in.IP)
		if err != nil || ip.Zone() != "" {
			return nil, unprocessable("query.ip", "this is no IP address")
		}
		m.Peer = ip
	}
	x, err := a.o.Intake.Explain(ctx, m)
	if err != nil {
		return nil, err
	}
	return &traceOutput{Explained(x)}, nil
}

// Explained is the form in which an explanation is answered.
func Explained(x *intake.Explanation) *Trace {
	if x.Trace == nil {
		reason := intake.Reason(x.Err)
		return &Trace{Decision: "refuse", Reason: &reason, Findings: findingsShape(x.Findings), Evidence: json.RawMessage("null")}
	}
	return traceShape(x.Trace, x.Findings)
}

type tracesOutput struct {
	Body struct {
		Items []*Trace `json:"items" nullable:"false" doc:"newest first, at most 50"`
	}
}

func (a *API) traces(ctx context.Context, in *struct {
	ID string `query:"id" required:"true" minLength:"1" maxLength:"1000" doc:"id of a receipt, a message or a held item; a Message-ID; a ticket's number; or an address, of sender or recipient"`
}) (*tracesOutput, error) {
	found, err := a.o.Desk.Traces(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &tracesOutput{}
	out.Body.Items = []*Trace{}
	for _, t := range found {
		if a.reachesTrace(ctx, t) {
			out.Body.Items = append(out.Body.Items, traceShape(t, intake.Findings(t)))
		}
	}
	if len(out.Body.Items) == 0 {
		return nil, notFound("mail")
	}
	return out, nil
}

// reachesTrace reports whether the asker may know of all that became of a mail.
func (a *API) reachesTrace(ctx context.Context, t *ticketing.Trace) bool {
	if !asking(ctx).identity.Limited() {
		return true
	}
	for _, o := range t.Receipt.Outcomes {
		if !a.reachesRecipient(ctx, o.Recipient) {
			return false
		}
	}
	for _, m := range t.Messages {
		if _, err := a.reach(ctx, m.Ticket); err != nil {
			return false
		}
	}
	return true
}

func (a *API) getDelivered(ctx context.Context, in *messageID) (*huma.StreamResponse, error) {
	m, err := a.reachMessage(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if m.Raw.SHA256 == "" || m.Receipt == "" {
		return nil, newProblem(http.StatusNotFound, "not_found", "this entry did not come as a mail")
	}
	traces, err := a.o.Desk.Traces(ctx, m.Receipt)
	if err != nil {
		return nil, err
	}
	raw, err := a.o.Desk.Raw(ctx, m)
	if err != nil {
		return nil, err
	}
	copied, size, err := message.Delivered(traces[0].Header, a.o.Hostname, raw, raw.Size())
	if err != nil {
		return nil, err
	}
	return a.file(copied, size, "message/rfc822", m.ID+".eml"), nil
}
