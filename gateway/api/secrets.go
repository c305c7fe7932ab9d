package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// Secrets are the epochs of what signs addresses and Message-IDs.
type Secrets interface {
	Secrets(ctx context.Context) ([]ticketing.Secret, error)
	Rotate(ctx context.Context, by ticketing.Actor, sort string) (*ticketing.Secret, error)
	Revoke(ctx context.Context, by ticketing.Actor, sort string, epoch uint8) (*ticketing.Secret, error)
}

var secretTags = []string{"secrets"}

func (a *API) registerSecrets() {
	admin := []login.Scope{login.Admin}
	register(a, operation{huma.Operation{OperationID: "list-secrets", Method: http.MethodGet, Path: "/secrets", Tags: secretTags,
		Summary: "List the epochs of the secrets that sign reply addresses and Message-IDs; keys are never shown"}, admin}, a.listSecrets)
	register(a, operation{huma.Operation{OperationID: "rotate-secret", Method: http.MethodPost, Path: "/secrets/{sort}/rotate", Tags: secretTags,
		Summary: "Begin a new epoch; what earlier ones signed stays readable", DefaultStatus: http.StatusCreated}, admin}, a.rotateSecret)
	register(a, operation{huma.Operation{OperationID: "revoke-secret", Method: http.MethodDelete, Path: "/secrets/{sort}/{epoch}", Tags: secretTags,
		Summary: "End an epoch: nothing it signed is believed any more", DefaultStatus: http.StatusOK}, admin}, a.revokeSecret)
}

// Secret is one epoch, without its key.
type Secret struct {
	Sort      string     `json:"sort" enum:"address,id"`
	Epoch     uint8      `json:"epoch"`
	CreatedAt time.Time  `json:"created_at"`
	RevokedAt *time.Time `json:"revoked_at"`
	Signs     bool       `json:"signs" doc:"what is sent now"`
}

func secretShape(s *ticketing.Secret) *Secret {
	return &Secret{Sort: s.Sort, Epoch: s.Epoch, CreatedAt: s.Created.UTC(), RevokedAt: moment(s.Revoked), Signs: s.Newest}
}

func (a *API) listSecrets(ctx context.Context, _ *struct{}) (*struct{ Body page[*Secret] }, error) {
	secrets, err := a.o.Desk.Secrets(ctx)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body page[*Secret] }{page[*Secret]{Items: []*Secret{}}}
	for i := range secrets {
		out.Body.Items = append(out.Body.Items, secretShape(&secrets[i]))
	}
	return out, nil
}

type secretInput struct {
	Sort string `path:"sort" enum:"address,id"`
}

func (a *API) rotateSecret(ctx context.Context, in *secretInput) (*struct{ Body *Secret }, error) {
	s, err := a.o.Desk.Rotate(ctx, asking(ctx).identity.Actor, in.Sort)
	if err != nil {
		return nil, err
	}
	return &struct{ Body *Secret }{secretShape(s)}, nil
}

type revokeSecretInput struct {
	Sort  string `path:"sort" enum:"address,id"`
	Epoch uint8  `path:"epoch"`
}

func (a *API) revokeSecret(ctx context.Context, in *revokeSecretInput) (*struct{ Body *Secret }, error) {
	s, err := a.o.Desk.Revoke(ctx, asking(ctx).identity.Actor, in.Sort, in.Epoch)
	if err != nil {
		return nil, err
	}
	return &struct{ Body *Secret }{secretShape(s)}, nil
}
