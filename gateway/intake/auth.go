package intake

import (
	"context"
	"encoding/json"

	"ticketgate/gateway/mailauth"
	"ticketgate/ticketing"
)

// Authenticator finds out who sent a mail; *mailauth.Checker fits. It never
// fails: what it could not find out is in its evidence.
type Authenticator interface {
	Evaluate(ctx context.Context, in mailauth.Input) (ticketing.Verdict, *mailauth.Evidence)
}

// authenticate adds the evidence about a sender to an arrival and returns the
// field that tells later readers of it. Without an Authenticator every peer is
// a stranger. An agent who has logged in is known already, and comes from an
// address that no SPF record could name. Only a mail exchanger's client is the
// sender's own; behind a trusted forwarder it is whom the forwarder names.
func (in *Intake) authenticate(ctx context.Context, a *ticketing.Arrival) string {
	hops := in.o.Desk.Hops(*a)
	if in.o.Auth == nil || a.User != "" && hops == nil {
		return ""
	}
	input := mailauth.Input{HELO: a.HELO, EnvelopeFrom: a.EnvelopeFrom, Raw: a.Raw, Size: a.Raw.Ref().Size, Hops: hops}
	if a.Source == "smtp" {
		input.RemoteIP = a.RemoteIP
	}
	verdict, evidence := in.o.Auth.Evaluate(ctx, input)
	verdict.User = a.User
	a.Verdict = verdict
	in.metrics.judged(evidence)
	// What cannot be written down is not worth refusing a mail for.
	a.Evidence, _ = json.Marshal(evidence)
	return mailauth.AuthenticationResults(in.o.Hostname, evidence)
}
