package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
)

var tokenTags = []string{"tokens"}

func (a *API) registerTokens() {
	register(a, operation{huma.Operation{OperationID: "create-token", Method: http.MethodPost, Path: "/tokens", Tags: tokenTags,
		Summary: "Make an API token; it is shown this once", DefaultStatus: http.StatusCreated}, nil}, a.createToken)
	register(a, operation{huma.Operation{OperationID: "list-tokens", Method: http.MethodGet, Path: "/tokens", Tags: tokenTags,
		Summary: "List API tokens"}, nil}, a.listTokens)
	register(a, operation{huma.Operation{OperationID: "revoke-token", Method: http.MethodDelete, Path: "/tokens/{id}", Tags: tokenTags,
		Summary: "Make a token stop working"}, nil}, a.revokeToken)
}

// Token is what is known about a token.
type Token struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Scopes    []login.Scope `json:"scopes" nullable:"false"`
	Queues    []string      `json:"queues" nullable:"false" doc:"empty: all"`
	Agent     *string       `json:"agent" doc:"whose commands it runs"`
	CreatedAt time.Time     `json:"created_at"`
	CreatedBy *string       `json:"created_by"`
	ExpiresAt *time.Time    `json:"expires_at" doc:"null: never"`
	Expired   bool          `json:"expired"`
}

// NewToken is a token with its secret.
type NewToken struct {
	Secret string `json:"token" doc:"keep it; it cannot be shown again"`
	Token
}

func (a *API) token(t *login.Token) Token {
	return Token{
		ID: t.ID, Name: t.Name, Scopes: list(t.Scopes), Queues: list(t.Queues), Agent: orNull(t.Agent),
		CreatedAt: t.CreatedAt.UTC(), CreatedBy: orNull(t.CreatedBy), ExpiresAt: moment(t.ExpiresAt), Expired: t.Expired(a.o.Now()),
	}
}

type createTokenInput struct {
	Body struct {
		Name    string   `json:"name,omitempty" maxLength:"100" doc:"whose it is, for people"`
		Scopes  []string `json:"scopes" minItems:"1" maxItems:"10" nullable:"false" enum:"tickets:read,tickets:write,messages:send,outbound:read,outbound:write,intake,admin"`
		Queues  []string `json:"queues,omitempty" maxItems:"100" doc:"only these; none means all"`
		Agent   string   `json:"agent,omitempty" maxLength:"100" doc:"run commands for this agent"`
		Expires string   `json:"expires,omitempty" maxLength:"40" doc:"a time (RFC 3339) or a span such as 90d, 12h or 30m"`
	}
}

func (a *API) createToken(ctx context.Context, in *createTokenInput) (*struct {
	Location string `header:"Location"`
	Body     NewToken
}, error) {
	b := &in.Body
	n := login.NewToken{Name: or(b.Name, "unnamed"), Queues: b.Queues, Agent: b.Agent, CreatedBy: nameOf(asking(ctx).identity)}
	for _, s := range b.Scopes {
		n.Scopes = append(n.Scopes, login.Scope(s))
	}
	for i, q := range b.Queues {
		if _, ok := a.o.Desk.Queue(q); !ok {
			return nil, unprocessable("/queues/"+strconv.Itoa(i), "there is no such queue")
		}
	}
	if _, ok := a.o.Desk.Agent(b.Agent); b.Agent != "" && !ok {
		return nil, unprocessable("/agent", "there is no such agent")
	}
	var err error
	if n.ExpiresAt, err = expiry(b.Expires, a.o.Now()); err != nil {
		return nil, err
	}
	t, secret, err := a.o.Tokens.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	return &struct {
		Location string `header:"Location"`
		Body     NewToken
	}{Base + "/tokens/" + t.ID, NewToken{Secret: secret, Token: a.token(t)}}, nil
}

// maxSpan keeps a span from overflowing time.Duration.
const maxSpan = 100 * 365 * 24 * time.Hour

// expiry reads a time or a span from now; "" is never.
func expiry(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	bad := unprocessable("/expires", "give a time such as 2030-01-31T12:00:00Z or a span such as 90d, 12h or 30m")
	unit, ok := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute}[s[len(s)-1]]
	n, err := strconv.ParseInt(strings.TrimSuffix(s, s[len(s)-1:]), 10, 64)
	if !ok || err != nil || n <= 0 || n > int64(maxSpan/unit) {
		return time.Time{}, bad
	}
	return now.Add(time.Duration(n) * unit).UTC(), nil
}

func (a *API) listTokens(ctx context.Context, _ *struct{}) (*struct{ Body page[Token] }, error) {
	tokens, err := a.o.Tokens.List(ctx)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body page[Token] }{page[Token]{Items: []Token{}}}
	for _, t := range tokens {
		out.Body.Items = append(out.Body.Items, a.token(t))
	}
	return out, nil
}

func (a *API) revokeToken(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"100"`
}) (*struct{}, error) {
	if err := a.o.Tokens.Revoke(ctx, in.ID); err != nil {
		return nil, err
	}
	return &struct{}{}, nil
}
