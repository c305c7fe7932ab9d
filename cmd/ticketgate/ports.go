package main

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"ticketgate/delivery"
	"ticketgate/gateway/api"
	"ticketgate/gateway/intake"
	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
)

// outboundPort shows the outbound queue to the API, which does not know it.
type outboundPort struct{ q *delivery.Queue }

func (o outboundPort) List(ctx context.Context, f api.ParcelFilter) ([]*api.Parcel, string, error) {
	page, next, err := o.q.List(ctx, queueFilter(f))
	if err != nil {
		return nil, "", outboundError(err)
	}
	out := make([]*api.Parcel, len(page))
	for i, p := range page {
		out[i] = showParcel(p)
	}
	return out, next, nil
}

func (o outboundPort) Get(ctx context.Context, id string) (*api.Parcel, error) {
	p, err := o.q.Get(ctx, id)
	if err != nil {
		return nil, outboundError(err)
	}
	return showParcel(p), nil
}

func (o outboundPort) Hold(ctx context.Context, id, by, reason string) error {
	return outboundError(o.q.Hold(ctx, id, by, reason))
}

func (o outboundPort) Release(ctx context.Context, id string) error {
	return outboundError(o.q.Release(ctx, id))
}

func (o outboundPort) Retry(ctx context.Context, id string) error {
	return outboundError(o.q.Retry(ctx, id))
}

func (o outboundPort) Drop(ctx context.Context, id, by, reason string) error {
	return outboundError(o.q.Drop(ctx, id, by, reason))
}

func showParcel(p *delivery.Parcel) *api.Parcel {
	out := &api.Parcel{
		ID: p.ID, Class: p.Class, State: p.State, From: p.From, Recipient: p.Recipient, Queue: p.Queue,
		Message: p.Message, Size: p.Size, Attempts: p.Attempts, CreatedAt: p.Created, Why: p.Why, WaitsFor: p.WaitsFor, Ambiguous: p.Ambiguous,
	}
	if h := p.Held; h != nil {
		out.Held = &api.Hold{Kind: h.Kind, Ref: h.Ref, By: h.By, Reason: h.Reason, At: h.At, Until: h.Until}
		if h.Kind == "" {
			out.Held.Kind = "operator"
		}
	}
	if p.Ticket != nil {
		out.Ticket = *p.Ticket
	}
	if p.Next != nil {
		out.NextAt = *p.Next
	}
	if l := p.Last; l != nil {
		out.Last = &api.Attempt{Code: l.Code, Enhanced: l.Enhanced, Text: l.Text, MX: l.MX, TLS: l.TLS.String(), At: l.At}
	}
	return out
}

// outboundError gives the queue's errors the classes the API has words for.
func outboundError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return &ticketing.Error{Kind: ticketing.Unknown, Text: "there is no such mail in the outbound queue", Err: err}
	case errors.Is(err, delivery.ErrInFlight):
		return &ticketing.Error{Kind: ticketing.Conflict, Text: "an attempt to deliver this mail is under way", Err: err}
	case errors.Is(err, delivery.ErrState):
		return &ticketing.Error{Kind: ticketing.Conflict, Text: "the mail is not in a state for that", Err: err}
	case errors.Is(err, delivery.ErrCursor):
		return &ticketing.Error{Kind: ticketing.Invalid, Text: "this is no cursor of this list", Err: err}
	}
	return err
}

// intakePort hands mail that came over HTTP to the one intake.
type intakePort struct {
	in     *intake.Intake
	nullMX func(ctx context.Context, domain string) bool
	deny   []netip.Prefix
}

func (p *program) intakePort() intakePort {
	return intakePort{p.intake, p.nullMX, prefixes(p.cfg.Limits.Deny)}
}

// Explain looks at what the SMTP listener looks at before the mail, and then
// asks the intake.
func (i intakePort) Explain(ctx context.Context, m api.Mail) (*intake.Explanation, error) {
	var early []intake.Finding
	if m.Peer.IsValid() {
		f := intake.Finding{Stage: "connection", Check: "deny list", Result: "ok", Detail: m.Peer.String() + " is not on it"}
		if n := slices.IndexFunc(i.deny, func(p netip.Prefix) bool { return p.Contains(m.Peer.Unmap()) }); n >= 0 {
			f.Result, f.Detail = "refuse", m.Peer.String()+" is in "+i.deny[n].String()+": 421 at the door"
		}
		early = append(early, f)
	}
	if _, domain, ok := strings.Cut(m.From, "@"); ok {
		f := intake.Finding{Stage: "envelope", Check: "sender's MX", Result: "ok", Detail: domain + " does not say that it takes no mail"}
		if i.nullMX(ctx, domain) {
			f.Result, f.Detail = "refuse", domain+" takes no mail (RFC 7505): 550 5.7.27"
		}
		early = append(early, f)
	}
	x, err := i.in.Explain(ctx, intake.Envelope{Source: "smtp", From: m.From, NoFrom: m.NoFrom, Recipients: m.To, RemoteIP: m.Peer, HELO: m.HELO, ESMTP: true}, m.Body)
	if err != nil {
		return nil, err
	}
	for _, f := range early {
		if f.Result == "refuse" {
			x.Trace, x.Err = nil, errors.New(f.Detail)
		}
	}
	x.Findings = append(early, x.Findings...)
	return x, nil
}

func (i intakePort) Receive(ctx context.Context, m api.Mail) (*ticketing.Receipt, error) {
	source := "api"
	if m.Token == "" {
		source = "pipe"
	}
	return i.in.Receive(ctx, intake.Envelope{Source: source, From: m.From, NoFrom: m.NoFrom, Recipients: m.To, RemoteIP: m.Peer, Trace: m.Token}, m.Body)
}

func (p *program) domains() []string { return slices.Sorted(maps.Keys(p.cfg.Domains)) }

func trimmed(b []byte) string { return strings.TrimSpace(string(b)) }

// admit says whether mail can be taken that will have to leave again: there is
// room on the disk, by the one measure that the mail listeners have too, and in
// the outbound queue.
func (p *program) admit(ctx context.Context) error {
	if err := p.db.Space(); err != nil {
		return &ticketing.Error{Kind: ticketing.NoSpace, Text: "there is no room at the moment", Err: err}
	}
	return submitError(p.outbound.Room(ctx))
}

// submitError gives a full queue its class. Whatever else goes wrong with a
// submission is a fault of ours.
func submitError(err error) error {
	if errors.Is(err, delivery.ErrBusy) {
		return &ticketing.Error{Kind: ticketing.Full, Text: "too much mail is waiting to leave, try again later", Err: err}
	}
	return err
}
