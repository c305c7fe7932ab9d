package login

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
)

const (
	prefix = "tgt_" // makes a leaked token easy to find by scanners
	bits   = 256

	// MaxTokens bounds the table; nobody needs more, and a script that makes
	// one per run is stopped.
	MaxTokens = 1000
	maxName   = 100
	maxQueues = 100
)

// ErrToken says that a token is unknown, revoked or expired. The asker is told
// no more than that.
var ErrToken = errors.New("login: token is not valid")

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// hashIndex finds a token by what the asker shows. The entry is a hash of 256
// unguessable bits, so the time a lookup takes tells nothing about tokens.
const hashIndex = "hash"

func tokenTable() *store.Table[Token] {
	return store.NewTable("tokens", store.PrefixToken, []string{"id"},
		func(t *Token) store.Key { return store.Key{}.Str(t.ID) },
		store.Index[Token]{Name: hashIndex, Columns: []string{"hash"}, Unique: true,
			Keys: func(t *Token) []store.Key { return []store.Key{store.Key{}.Bytes(t.Hash)} }})
}

// Options are what Tokens needs from the world.
type Options struct {
	DB     store.DB
	Random io.Reader // cryptographically strong
}

// Tokens keeps API tokens in the store. Time is the store's. Safe for
// concurrent use.
type Tokens struct {
	db     store.DB
	random io.Reader
	table  *store.Table[Token]
}

// New returns the tokens kept in a store.
func New(o Options) *Tokens {
	return &Tokens{db: o.DB, random: o.Random, table: tokenTable()}
}

// NewToken describes a token to make.
type NewToken struct {
	Name      string
	Scopes    []Scope
	Queues    []string // empty: all
	Agent     string   // "" = the token speaks for itself
	CreatedBy string
	ExpiresAt time.Time // zero: never
}

// Create makes a token and returns it with its secret, which is shown this
// once. Invalid if the description is incomplete, Refused over MaxTokens.
func (t *Tokens) Create(ctx context.Context, n NewToken) (*Token, string, error) {
	if err := n.check(); err != nil {
		return nil, "", err
	}
	secret, err := newSecret(t.random, prefix)
	if err != nil {
		return nil, "", err
	}
	token := Token{
		Name: n.Name, Hash: hash(secret), Scopes: n.Scopes, Queues: n.Queues,
		Agent: n.Agent, CreatedBy: n.CreatedBy, ExpiresAt: n.ExpiresAt.UTC(),
	}
	err = t.db.Update(ctx, func(tx store.Tx) error {
		if token.Expired(tx.Now()) {
			return invalid("the token would already have expired")
		}
		if err := t.room(tx); err != nil {
			return err
		}
		id, err := store.NewID("tok_", tx.Now(), t.random)
		if err != nil {
			return err
		}
		token.ID, token.CreatedAt = id, tx.Now()
		return t.table.Put(tx, &token)
	})
	if err != nil {
		return nil, "", err
	}
	return &token, secret, nil
}

// room refuses a table that is full.
func (t *Tokens) room(tx store.Tx) error {
	n := 0
	for _, err := range t.table.Scan(tx, store.Query{Limit: MaxTokens}) {
		if err != nil {
			return err
		}
		n++
	}
	if n >= MaxTokens {
		return &ticketing.Error{Kind: ticketing.Refused, Text: fmt.Sprintf("there are already %d tokens; revoke those that are not used", n)}
	}
	return nil
}

func (n NewToken) check() error {
	switch {
	case strings.TrimSpace(n.Name) == "" || len(n.Name) > maxName || strings.ContainsFunc(n.Name, unicode.IsControl):
		return invalid(fmt.Sprintf("a token needs a name of at most %d octets", maxName))
	case len(n.Scopes) == 0:
		return invalid("a token needs at least one scope")
	case len(n.Scopes) > len(Scopes()):
		return invalid("a scope is given twice")
	case len(n.Queues) > maxQueues:
		return invalid(fmt.Sprintf("a token is limited to at most %d queues", maxQueues))
	case len(n.Queues) > 0 && slices.Contains(n.Scopes, Admin):
		return invalid("an admin token cannot be limited to queues")
	case slices.Contains(n.Queues, ""):
		return invalid("a queue has no name")
	}
	for i, s := range n.Scopes {
		if !slices.Contains(Scopes(), s) {
			return invalid(fmt.Sprintf("there is no scope %q", s))
		}
		if slices.Contains(n.Scopes[:i], s) {
			return invalid("a scope is given twice")
		}
	}
	return nil
}

func invalid(text string) error { return &ticketing.Error{Kind: ticketing.Invalid, Text: text} }

// Verify returns who shows a token. ErrToken if it is not valid; other errors
// are the store's.
func (t *Tokens) Verify(ctx context.Context, secret string) (*Identity, error) {
	if len(secret) != len(prefix)+encoding.EncodedLen(bits/8) || !strings.HasPrefix(secret, prefix) {
		return nil, ErrToken
	}
	sum := hash(secret)
	var identity Identity
	err := t.db.View(ctx, func(r store.Reader) error {
		token, err := t.table.First(r, store.Query{Index: hashIndex, Prefix: store.Key{}.Bytes(sum)})
		if err != nil {
			return err
		}
		if token == nil || subtle.ConstantTimeCompare(token.Hash, sum) != 1 || token.Expired(r.Now()) {
			return ErrToken
		}
		identity = token.identity()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &identity, nil
}

// List returns all tokens, oldest first, expired ones included.
func (t *Tokens) List(ctx context.Context) ([]*Token, error) {
	var list []*Token
	err := t.db.View(ctx, func(r store.Reader) error {
		list = nil
		for token, err := range t.table.Scan(r, store.Query{}) {
			if err != nil {
				return err
			}
			list = append(list, token)
		}
		return nil
	})
	return list, err
}

// Revoke removes a token by id; it stops working with the next request.
// Unknown if there is none.
func (t *Tokens) Revoke(ctx context.Context, id string) error {
	return t.db.Update(ctx, func(tx store.Tx) error {
		key := store.Key{}.Str(id)
		if err := t.table.Lock(tx, key); err != nil {
			return err
		}
		token, err := t.table.Find(tx, key)
		if err != nil {
			return err
		}
		if token == nil {
			return &ticketing.Error{Kind: ticketing.Unknown, Text: "there is no such token"}
		}
		return t.table.Delete(tx, key)
	})
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
