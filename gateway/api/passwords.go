package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// AppPasswords keeps what agents' mail programs log in with;
// *login.AppPasswords fits.
type AppPasswords interface {
	Create(ctx context.Context, agent, name, by string) (*login.AppPassword, string, error)
	List(ctx context.Context, agent string) ([]*login.AppPassword, error)
	Revoke(ctx context.Context, agent, id string) error
}

func (a *API) registerAppPasswords() {
	tags, path := []string{"agents"}, "/agents/{agent}/app-passwords"
	register(a, operation{huma.Operation{OperationID: "create-app-password", Method: http.MethodPost, Path: path, Tags: tags,
		Summary: "Make a password for an agent's mail program; it is shown this once", DefaultStatus: http.StatusCreated}, nil}, a.createAppPassword)
	register(a, operation{huma.Operation{OperationID: "list-app-passwords", Method: http.MethodGet, Path: path, Tags: tags,
		Summary: "List an agent's app passwords"}, nil}, a.listAppPasswords)
	register(a, operation{huma.Operation{OperationID: "revoke-app-password", Method: http.MethodDelete, Path: path + "/{id}", Tags: tags,
		Summary: "Make an app password stop working"}, nil}, a.revokeAppPassword)
}

// AppPassword is what is known about an app password.
type AppPassword struct {
	ID        string    `json:"id"`
	Agent     string    `json:"agent" doc:"also the user name to log in with"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy *string   `json:"created_by"`
}

// NewAppPassword is an app password with its secret.
type NewAppPassword struct {
	Secret string `json:"password" doc:"keep it; it cannot be shown again"`
	AppPassword
}

func appPassword(p *login.AppPassword) AppPassword {
	return AppPassword{ID: p.ID, Agent: p.Agent, Name: p.Name, CreatedAt: p.CreatedAt.UTC(), CreatedBy: orNull(p.CreatedBy)}
}

type createAppPasswordInput struct {
	Agent string `path:"agent" maxLength:"100"`
	Body  struct {
		Name string `json:"name,omitempty" maxLength:"100" doc:"where it is used, for people"`
	}
}

func (a *API) createAppPassword(ctx context.Context, in *createAppPasswordInput) (*struct {
	Location string `header:"Location"`
	Body     NewAppPassword
}, error) {
	if _, ok := a.o.Desk.Agent(in.Agent); !ok {
		return nil, noAgent()
	}
	p, secret, err := a.o.AppPasswords.Create(ctx, in.Agent, or(in.Body.Name, "unnamed"), nameOf(asking(ctx).identity))
	if err != nil {
		return nil, err
	}
	return &struct {
		Location string `header:"Location"`
		Body     NewAppPassword
	}{Base + "/agents/" + in.Agent + "/app-passwords/" + p.ID, NewAppPassword{Secret: secret, AppPassword: appPassword(p)}}, nil
}

// listAppPasswords answers for agents who are no longer configured, too: what
// is left of them can be seen and revoked.
func (a *API) listAppPasswords(ctx context.Context, in *struct {
	Agent string `path:"agent" maxLength:"100"`
}) (*struct{ Body page[AppPassword] }, error) {
	passwords, err := a.o.AppPasswords.List(ctx, in.Agent)
	if err != nil {
		return nil, err
	}
	if _, ok := a.o.Desk.Agent(in.Agent); !ok && len(passwords) == 0 {
		return nil, noAgent()
	}
	out := &struct{ Body page[AppPassword] }{page[AppPassword]{Items: []AppPassword{}}}
	for _, p := range passwords {
		out.Body.Items = append(out.Body.Items, appPassword(p))
	}
	return out, nil
}

func (a *API) revokeAppPassword(ctx context.Context, in *struct {
	Agent string `path:"agent" maxLength:"100"`
	ID    string `path:"id" maxLength:"100"`
}) (*struct{}, error) {
	if err := a.o.AppPasswords.Revoke(ctx, in.Agent, in.ID); err != nil {
		return nil, err
	}
	return &struct{}{}, nil
}

func noAgent() error {
	return &ticketing.Error{Kind: ticketing.Unknown, Text: "there is no such agent"}
}
