package intake

import (
	"context"

	"ticketgate/gateway/mailauth"
	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
)

// Authenticator finds out who sent a mail; *mailauth.Checker fits. It never
// fails: what it could not find out is in its evidence.
type Authenticator interface {
	Evaluate(ctx context.Context, in mailauth.Input) (ticketing.Verdict, *mailauth.Evidence)
}

// authenticate gathers the evidence about a sender and the field that tells
// later readers of it. Without an Authenticator every peer is a stranger. Who
// has logged in is known already, and comes from an address that no SPF record
// could name; only a mail exchanger's client is the sender's own.
func (in *Intake) authenticate(ctx context.Context, env Envelope, raw *blob.Sealed) (ticketing.Verdict, string) {
	if in.o.Auth == nil || env.User != "" {
		return ticketing.Verdict{Trust: "T0", User: env.User}, ""
	}
	input := mailauth.Input{HELO: env.HELO, EnvelopeFrom: env.From, Raw: raw, Size: raw.Ref().Size}
	if env.Source == "smtp" {
		input.RemoteIP = env.RemoteIP
	}
	verdict, evidence := in.o.Auth.Evaluate(ctx, input)
	return verdict, mailauth.AuthenticationResults(in.o.Hostname, evidence)
}
