package login

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func setup(t *testing.T) (*Tokens, *clock, store.DB) {
	t.Helper()
	c := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	db := storetest.OpenAt(t, c.now)
	return New(Options{DB: db, Random: rand.Reader}), c, db
}

// TestLife: a token from its making to its end.
func TestLife(t *testing.T) {
	t.Parallel()
	tokens, clock, db := setup(t)
	ctx := context.Background()
	made, secret, err := tokens.Create(ctx, NewToken{
		Name: "crm", Scopes: []Scope{TicketsRead, MessagesSend}, Queues: []string{"support"},
		Agent: "otto", CreatedBy: "admin", ExpiresAt: clock.t.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "tgt_") || len(secret) != 56 || !strings.HasPrefix(made.ID, "tok_") {
		t.Errorf("%s %s", secret, made.ID)
	}
	who, err := tokens.Verify(ctx, secret)
	if err != nil {
		t.Fatal(err)
	}
	want := ticketing.Actor{Kind: "token", Agent: "otto", Name: "crm"}
	if who.Actor != want || who.Token != made.ID || !who.Limited() || !who.Reaches("support") || who.Reaches("sales") {
		t.Errorf("%+v", who)
	}
	if !who.Has(TicketsRead) || who.Has(TicketsWrite) || who.Has(Admin) || !who.Has(Intake, MessagesSend) {
		t.Errorf("scopes %v", who.Scopes)
	}
	// Nothing in the store gives the token away.
	err = db.View(ctx, func(r store.Reader) error {
		for token, err := range tokens.table.Scan(r, store.Query{}) {
			if err != nil {
				return err
			}
			doc, err := json.Marshal(token)
			if err != nil {
				return err
			}
			if bytes.Contains(doc, []byte(secret[4:])) {
				t.Error("the secret is in the store")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	clock.t = clock.t.Add(time.Hour)
	if _, err := tokens.Verify(ctx, secret); !errors.Is(err, ErrToken) {
		t.Errorf("expired: %v", err)
	}
	list, err := tokens.List(ctx)
	if err != nil || len(list) != 1 || !list[0].Expired(clock.t) {
		t.Errorf("%v %v", list, err)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	tokens, _, _ := setup(t)
	ctx := context.Background()
	made, secret, err := tokens.Create(ctx, NewToken{Name: "a", Scopes: []Scope{Admin}})
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := tokens.Create(ctx, NewToken{Name: "a", Scopes: []Scope{Intake}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tokens.Revoke(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Verify(ctx, secret); !errors.Is(err, ErrToken) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := tokens.Verify(ctx, other); err != nil {
		t.Errorf("the other: %v", err)
	}
	if err := tokens.Revoke(ctx, made.ID); ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("twice: %v", err)
	}
}

// TestVerifyRefuses: everything that is not exactly a token.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	tokens, _, _ := setup(t)
	ctx := context.Background()
	_, secret, err := tokens.Create(ctx, NewToken{Name: "a", Scopes: []Scope{Admin}})
	if err != nil {
		t.Fatal(err)
	}
	flip := []byte(secret)
	flip[len(flip)-20] ^= 1
	for _, bad := range []string{"", "tgt_", secret[:55], secret + "a", strings.ToUpper(secret), string(flip), "xxx_" + secret[4:], strings.Repeat("a", 1<<16)} {
		if _, err := tokens.Verify(ctx, bad); !errors.Is(err, ErrToken) {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	tokens, clock, _ := setup(t)
	for name, n := range map[string]NewToken{
		"no name":            {Scopes: []Scope{Admin}},
		"a newline":          {Name: "a\nb", Scopes: []Scope{Admin}},
		"a long name":        {Name: strings.Repeat("a", 101), Scopes: []Scope{Admin}},
		"no scope":           {Name: "a"},
		"an unknown scope":   {Name: "a", Scopes: []Scope{"root"}},
		"a scope twice":      {Name: "a", Scopes: []Scope{Intake, Intake}},
		"limited admin":      {Name: "a", Scopes: []Scope{Admin}, Queues: []string{"support"}},
		"a nameless queue":   {Name: "a", Scopes: []Scope{Intake}, Queues: []string{""}},
		"too many queues":    {Name: "a", Scopes: []Scope{Intake}, Queues: make([]string, 101)},
		"already expired":    {Name: "a", Scopes: []Scope{Intake}, ExpiresAt: clock.t},
		"more than we offer": {Name: "a", Scopes: append(Scopes(), Scopes()...)},
	} {
		if _, _, err := tokens.Create(context.Background(), n); ticketing.KindOf(err) != ticketing.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := tokens.List(context.Background()); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	broken := New(Options{DB: tokens.db, Random: io.LimitReader(rand.Reader, 5)})
	if _, _, err := broken.Create(context.Background(), NewToken{Name: "a", Scopes: []Scope{Admin}}); err == nil {
		t.Error("a token without randomness")
	}
}

func TestMaxTokens(t *testing.T) {
	t.Parallel()
	tokens, _, db := setup(t)
	ctx := context.Background()
	err := db.Update(ctx, func(tx store.Tx) error {
		for i := range MaxTokens {
			name := fmt.Sprintf("tok_%d", i)
			if err := tokens.table.Put(tx, &Token{ID: name, Hash: []byte(name)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tokens.Create(ctx, NewToken{Name: "a", Scopes: []Scope{Admin}}); ticketing.KindOf(err) != ticketing.Refused {
		t.Errorf("%v", err)
	}
	if err := tokens.Revoke(ctx, "tok_7"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tokens.Create(ctx, NewToken{Name: "a", Scopes: []Scope{Admin}}); err != nil {
		t.Errorf("%v", err)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	local := Local()
	for _, s := range Scopes() {
		if !local.Has(s) {
			t.Errorf("the local admin lacks %s", s)
		}
	}
	as := local.As(&ticketing.Agent{Name: "otto", DisplayName: "Otto", Addresses: []string{"otto@help.example", "o@x.example"}})
	if as.Actor != (ticketing.Actor{Kind: "agent", Agent: "otto", Name: "Otto", Address: "otto@help.example"}) || local.Actor.Kind != "system" {
		t.Errorf("%+v, %+v", as, local)
	}
	if slices.Contains(Scopes(), "") || local.Limited() {
		t.Error("the local admin is limited")
	}
}
