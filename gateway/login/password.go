package login

import (
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
)

const (
	passwordPrefix = "tgp_"

	// MaxPasswords is how many app passwords one agent has.
	MaxPasswords = 20
)

// AppPassword is what is known about an agent's password for a mail program;
// the password itself is not. It opens mail doors only, never the API.
type AppPassword struct {
	ID        string    `json:"id"` // apw_…
	Agent     string    `json:"agent"`
	Name      string    `json:"name"`
	Hash      []byte    `json:"hash"` // SHA-256 of the password
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by,omitempty"`
}

func passwordTable() *store.Table[AppPassword] {
	return store.NewTable("app_passwords", store.PrefixAppPassword, []string{"agent", "id"},
		func(p *AppPassword) store.Key { return store.Key{}.Str(p.Agent).Str(p.ID) },
		store.Index[AppPassword]{Name: hashIndex, Columns: []string{"hash"}, Unique: true,
			Keys: func(p *AppPassword) []store.Key { return []store.Key{store.Key{}.Bytes(p.Hash)} }})
}

// AppPasswords keeps what agents' mail programs authenticate with: 256 random
// bits each, of which only the SHA-256 is stored. Since nobody chooses them,
// neither a slow hash nor a salt would make them harder to guess. Safe for
// concurrent use.
type AppPasswords struct {
	db     store.DB
	random io.Reader
	table  *store.Table[AppPassword]
}

// NewAppPasswords returns the app passwords kept in a store.
func NewAppPasswords(o Options) *AppPasswords {
	return &AppPasswords{db: o.DB, random: o.Random, table: passwordTable()}
}

// Create makes a password for an agent and returns it with its secret, which is
// shown this once. The name says where it is used. Invalid without a name,
// Refused over MaxPasswords.
func (a *AppPasswords) Create(ctx context.Context, agent, name, by string) (*AppPassword, string, error) {
	switch {
	case agent == "":
		return nil, "", invalid("an app password belongs to an agent")
	case strings.TrimSpace(name) == "" || len(name) > maxName || strings.ContainsFunc(name, unicode.IsControl):
		return nil, "", invalid(fmt.Sprintf("an app password needs a name of at most %d octets", maxName))
	}
	secret, err := newSecret(a.random, passwordPrefix)
	if err != nil {
		return nil, "", err
	}
	made := AppPassword{Agent: agent, Name: name, Hash: hash(secret), CreatedBy: by}
	err = a.db.Update(ctx, func(tx store.Tx) error {
		n := 0
		for _, err := range a.table.Scan(tx, store.Query{Prefix: store.Key{}.Str(agent), Limit: MaxPasswords}) {
			if err != nil {
				return err
			}
			n++
		}
		if n >= MaxPasswords {
			return &ticketing.Error{Kind: ticketing.Refused, Text: fmt.Sprintf("%s already has %d app passwords; revoke those that are not used", agent, n)}
		}
		id, err := store.NewID("apw_", tx.Now(), a.random)
		if err != nil {
			return err
		}
		made.ID, made.CreatedAt = id, tx.Now()
		return a.table.Put(tx, &made)
	})
	if err != nil {
		return nil, "", err
	}
	return &made, secret, nil
}

// Verify returns the agent whose password is shown. ErrToken if it is nobody's;
// other errors are the store's. The time it takes tells nothing: what is looked
// up is a hash of 256 unguessable bits, and no user's name plays a part.
func (a *AppPasswords) Verify(ctx context.Context, secret string) (agent string, err error) {
	wellFormed := len(secret) == len(passwordPrefix)+encoding.EncodedLen(bits/8) && strings.HasPrefix(secret, passwordPrefix)
	if len(secret) > maxSecret {
		secret = ""
	}
	sum := hash(secret)
	err = a.db.View(ctx, func(r store.Reader) error {
		p, err := a.table.First(r, store.Query{Index: hashIndex, Prefix: store.Key{}.Bytes(sum)})
		if err != nil {
			return err
		}
		if p == nil || !wellFormed || subtle.ConstantTimeCompare(p.Hash, sum) != 1 {
			return ErrToken
		}
		agent = p.Agent
		return nil
	})
	return agent, err
}

// maxSecret is far over any secret of ours; what is longer is not hashed.
const maxSecret = 1 << 10

// List returns an agent's app passwords, oldest first.
func (a *AppPasswords) List(ctx context.Context, agent string) ([]*AppPassword, error) {
	var list []*AppPassword
	err := a.db.View(ctx, func(r store.Reader) error {
		list = nil
		for p, err := range a.table.Scan(r, store.Query{Prefix: store.Key{}.Str(agent)}) {
			if err != nil {
				return err
			}
			list = append(list, p)
		}
		return nil
	})
	return list, err
}

// Revoke removes an agent's app password by id; the next login with it fails.
// Unknown if there is none.
func (a *AppPasswords) Revoke(ctx context.Context, agent, id string) error {
	return a.db.Update(ctx, func(tx store.Tx) error {
		key := store.Key{}.Str(agent).Str(id)
		if err := a.table.Lock(tx, key); err != nil {
			return err
		}
		p, err := a.table.Find(tx, key)
		if err != nil {
			return err
		}
		if p == nil {
			return &ticketing.Error{Kind: ticketing.Unknown, Text: "there is no such app password"}
		}
		return a.table.Delete(tx, key)
	})
}

// newSecret returns 256 random bits as text behind a prefix.
func newSecret(random io.Reader, prefix string) (string, error) {
	var raw [bits / 8]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("login: random source: %w", err)
	}
	return prefix + encoding.EncodeToString(raw[:]), nil
}
