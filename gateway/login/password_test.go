package login

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
)

func passwords(t *testing.T) *AppPasswords {
	t.Helper()
	_, _, db := setup(t)
	return NewAppPasswords(Options{DB: db, Random: rand.Reader})
}

// TestAppPasswordLife: made, used, listed, revoked; each agent has his own.
func TestAppPasswordLife(t *testing.T) {
	t.Parallel()
	p, ctx := passwords(t), context.Background()
	made, secret, err := p.Create(ctx, "otto", "laptop", "admin")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "tgp_") || len(secret) != 56 || !strings.HasPrefix(made.ID, "apw_") || made.CreatedBy != "admin" || made.CreatedAt.IsZero() {
		t.Errorf("%s %+v", secret, made)
	}
	other, second, err := p.Create(ctx, "ott", "phone", "")
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]string{secret: "otto", second: "ott"} {
		if agent, err := p.Verify(ctx, secret); err != nil || agent != want {
			t.Errorf("%s %v", agent, err)
		}
	}
	list, err := p.List(ctx, "ott")
	if err != nil || len(list) != 1 || list[0].ID != other.ID {
		t.Errorf("%v %v", list, err)
	}
	doc, err := json.Marshal(list)
	if err != nil || bytes.Contains(doc, []byte(second[4:])) {
		t.Error("the secret is kept", err)
	}
	if err := p.Revoke(ctx, "ott", made.ID); ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("another's: %v", err)
	}
	if err := p.Revoke(ctx, "otto", made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(ctx, secret); !errors.Is(err, ErrToken) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := p.Verify(ctx, second); err != nil {
		t.Errorf("the other: %v", err)
	}
	if err := p.Revoke(ctx, "otto", made.ID); ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("twice: %v", err)
	}
}

// TestAppPasswordRefuses: everything that is not exactly an app password, API
// tokens among it; and an app password is no token.
func TestAppPasswordRefuses(t *testing.T) {
	t.Parallel()
	tokens, _, db := setup(t)
	p, ctx := NewAppPasswords(Options{DB: db, Random: rand.Reader}), context.Background()
	_, secret, err := p.Create(ctx, "otto", "laptop", "")
	if err != nil {
		t.Fatal(err)
	}
	_, token, err := tokens.Create(ctx, NewToken{Name: "a", Scopes: []Scope{Admin}})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "tgp_", token, "tgp_" + token[4:], secret[:55], secret + "a", strings.ToUpper(secret), " " + secret, strings.Repeat("a", 1<<20)} {
		if agent, err := p.Verify(ctx, bad); !errors.Is(err, ErrToken) || agent != "" {
			t.Errorf("%.60q: %q %v", bad, agent, err)
		}
	}
	for _, bad := range []string{secret, "tgt_" + secret[4:]} {
		if _, err := tokens.Verify(ctx, bad); !errors.Is(err, ErrToken) {
			t.Errorf("a token: %v", err)
		}
	}
	for _, n := range [][2]string{{"", "x"}, {"otto", ""}, {"otto", " "}, {"otto", "a\nb"}, {"otto", strings.Repeat("a", 101)}} {
		if _, _, err := p.Create(ctx, n[0], n[1], ""); ticketing.KindOf(err) != ticketing.Invalid {
			t.Errorf("%q: %v", n, err)
		}
	}
	broken := NewAppPasswords(Options{DB: db, Random: io.LimitReader(rand.Reader, 5)})
	if _, _, err := broken.Create(ctx, "otto", "x", ""); err == nil {
		t.Error("a password without randomness")
	}
}

func TestMaxPasswords(t *testing.T) {
	t.Parallel()
	p, ctx := passwords(t), context.Background()
	err := p.db.Update(ctx, func(tx store.Tx) error {
		for i := range MaxPasswords {
			id := string(rune('a' + i))
			if err := p.table.Put(tx, &AppPassword{ID: id, Agent: "otto", Hash: []byte(id)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Create(ctx, "otto", "x", ""); ticketing.KindOf(err) != ticketing.Refused {
		t.Errorf("%v", err)
	}
	if _, _, err := p.Create(ctx, "ada", "x", ""); err != nil {
		t.Errorf("another agent: %v", err)
	}
}
