package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// SigningKeys are the DKIM keys of our domains. Errors carry a ticketing.Kind:
// Unknown for a domain that is not ours, Conflict for a step whose time has not
// come.
type SigningKeys interface {
	Keys(ctx context.Context, domain string) ([]SigningKey, error)
	Prepare(ctx context.Context, domain string) ([]SigningKey, error)
	Check(ctx context.Context, domain string) ([]KeyCheck, error)
	Activate(ctx context.Context, domain string) ([]KeyCheck, error)
	Retire(ctx context.Context, domain string, now bool) ([]SigningKey, error)
}

// SigningKey is what may be said of a DKIM key.
type SigningKey struct {
	Domain      string           `json:"domain"`
	Selector    string           `json:"selector"`
	Algorithm   string           `json:"algorithm" enum:"rsa,ed25519"`
	Phase       string           `json:"phase" enum:"prepared,active,retiring,retired"`
	CreatedAt   time.Time        `json:"created_at"`
	SeenAt      *time.Time       `json:"seen_at" doc:"when its record was last found as it should be"`
	ActivatedAt *time.Time       `json:"activated_at"`
	ReplacedAt  *time.Time       `json:"replaced_at"`
	RetirableAt *time.Time       `json:"retirable_at" doc:"retiring: when the grace time ends"`
	RetiredAt   *time.Time       `json:"retired_at"`
	Problem     *string          `json:"problem" doc:"why the key cannot be used; mail of the domain is held then"`
	Record      nullable[Record] `json:"record" doc:"what to publish; null if the key cannot be read"`
}

// KeyCheck compares DNS with what it should show for a key.
type KeyCheck struct {
	Key    SigningKey `json:"key"`
	Status string     `json:"status" enum:"ok,warn,fail"`
	Found  []string   `json:"found" nullable:"false"`
	Detail string     `json:"detail"`
	Fix    *string    `json:"fix"`
}

// SomeRecord makes the record of a SigningKey.
func SomeRecord(r Record) nullable[Record] { return some(r) }

func (a *API) registerKeys() {
	tags := []string{"dkim"}
	register(a, operation{huma.Operation{OperationID: "list-dkim-keys", Method: http.MethodGet, Path: "/dkim", Tags: tags,
		Summary: "The signing keys of our domains"}, nil}, a.listKeys)
	register(a, operation{huma.Operation{OperationID: "prepare-dkim-keys", Method: http.MethodPost, Path: "/dkim/{domain}/prepare", Tags: tags,
		Summary: "Make the pair of keys that is to sign next; publish its records then"}, nil}, a.prepareKeys)
	register(a, operation{huma.Operation{OperationID: "check-dkim-keys", Method: http.MethodPost, Path: "/dkim/{domain}/check", Tags: tags,
		Summary: "Look for the keys' records in DNS"}, nil}, a.checkKeys)
	register(a, operation{huma.Operation{OperationID: "activate-dkim-keys", Method: http.MethodPost, Path: "/dkim/{domain}/activate", Tags: tags,
		Summary: "Sign with the prepared pair from now on, if DNS shows it"}, nil}, a.activateKeys)
	register(a, operation{huma.Operation{OperationID: "retire-dkim-keys", Method: http.MethodPost, Path: "/dkim/{domain}/retire", Tags: tags,
		Summary: "Wipe replaced keys that no mail needs any more; remove their records then"}, nil}, a.retireKeys)
}

type keysOutput struct{ Body page[SigningKey] }
type checksOutput struct{ Body page[KeyCheck] }

func (a *API) listKeys(ctx context.Context, in *struct {
	Domain string `query:"domain" maxLength:"254"`
}) (*keysOutput, error) {
	keys, err := a.o.Keys.Keys(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return &keysOutput{page[SigningKey]{Items: list(keys)}}, nil
}

// DomainPath is part of several paths.
type DomainPath struct {
	Domain string `path:"domain" maxLength:"254"`
}

func (a *API) prepareKeys(ctx context.Context, in *DomainPath) (*keysOutput, error) {
	keys, err := a.o.Keys.Prepare(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return &keysOutput{page[SigningKey]{Items: list(keys)}}, nil
}

func (a *API) checkKeys(ctx context.Context, in *DomainPath) (*checksOutput, error) {
	checks, err := a.o.Keys.Check(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return &checksOutput{page[KeyCheck]{Items: list(checks)}}, nil
}

func (a *API) activateKeys(ctx context.Context, in *DomainPath) (*checksOutput, error) {
	checks, err := a.o.Keys.Activate(ctx, in.Domain)
	if err != nil {
		return nil, err
	}
	return &checksOutput{page[KeyCheck]{Items: list(checks)}}, nil
}

func (a *API) retireKeys(ctx context.Context, in *struct {
	DomainPath
	Body *struct {
		Now bool `json:"now,omitempty" doc:"do not wait for the grace time: for a key that others may have"`
	}
}) (*keysOutput, error) {
	keys, err := a.o.Keys.Retire(ctx, in.Domain, in.Body != nil && in.Body.Now)
	if err != nil {
		return nil, err
	}
	return &keysOutput{page[SigningKey]{Items: list(keys)}}, nil
}
