// Package dkim keeps the signing keys of our domains in the store and signs
// outgoing mail with them (RFC 6376, RFC 8463).
//
// Each domain has an RSA-2048 and an Ed25519 key, and every mail gets a
// signature from both, RSA on top: some receivers know only RSA, and some judge
// only the first signature they meet. A domain whose keys are missing or cannot
// be read is an error, never a mail that leaves unsigned. Private keys are in
// the store and in memory and in nothing this package prints.
//
// # The life of a key
//
// The first pair of a domain signs from the start ([Keys.Ensure]). A later one
// is made beside it ([Keys.Prepare]), published by people, looked for in DNS
// ([Keys.Check]) and only then put in the place of the old one
// ([Keys.Activate]), whose record has to stay until no mail signed with it can
// still be on its way ([Keys.Retire]). A selector is used once, ever.
package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"

	"ticketgate/ticketing/store"
)

// ErrNoKey says that a domain has no usable pair of signing keys: none was made,
// or what is stored cannot be read. The mail must wait.
var ErrNoKey = errors.New("dkim: no signing key")

// Options are what Keys needs of the world. All are required.
type Options struct {
	DB store.DB
	// Random feeds new keys. (RSA key generation takes its numbers from the
	// operating system whatever it is given; see crypto/rsa.)
	Random io.Reader
	// Now gives keys their age and signatures their t=.
	Now func() time.Time

	// LookupTXT asks DNS for what is published, as *net.Resolver does. Check
	// and Activate need it.
	LookupTXT func(ctx context.Context, name string) ([]string, error)
	// Used counts the mails that wait with a signature of a selector. Retire
	// needs it.
	Used func(ctx context.Context, domain, selector string) (int, error)
	// Grace is how long a replaced key's record has to stay published: mail
	// waits at other servers and is read later. 0 = seven days.
	Grace time.Duration
}

// Keys makes, keeps and uses signing keys. Its methods may be called from any
// goroutine.
type Keys struct {
	db     store.DB
	random io.Reader
	now    func() time.Time
	lookup func(ctx context.Context, name string) ([]string, error)
	used   func(ctx context.Context, domain, selector string) (int, error)
	grace  time.Duration
	table  *store.Table[row]

	mu      sync.Mutex
	changes int              // of which keys sign: what was read before one is not remembered after it
	pairs   map[string]*pair // by domain: parsed, since reading an RSA key costs more than a lookup
}

// New returns the keys kept in o.DB.
func New(o Options) *Keys {
	if o.Grace <= 0 {
		o.Grace = 7 * 24 * time.Hour
	}
	return &Keys{
		db: o.DB, random: o.Random, now: o.Now, lookup: o.LookupTXT, used: o.Used, grace: o.Grace,
		table: newTable(), pairs: map[string]*pair{},
	}
}

// algorithm is a kind of key, as it is called in k= of its record.
type algorithm string

const (
	algRSA     algorithm = "rsa"
	algEd25519 algorithm = "ed25519"
)

// Selectors of the first generation of keys.
const (
	selectorRSA     = "tg1r"
	selectorEd25519 = "tg1e"
)

// maxSelector is the length of the longest selector there will ever be.
const maxSelector = len("tg99999r")

const rsaBits = 2048 // 4096 does not fit the UDP answers of many name servers

// row is a stored key.
type row struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	Algorithm algorithm `json:"algorithm"`
	Private   []byte    `json:"private"` // PKCS #8; wiped when retired
	Public    []byte    `json:"public,omitempty"`
	Created   time.Time `json:"created"`
	Phase     Phase     `json:"phase,omitempty"` // "" = active
	Seen      time.Time `json:"seen,omitzero"`   // when its record was last found as it should be
	Activated time.Time `json:"activated,omitzero"`
	Replaced  time.Time `json:"replaced,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
}

// phase is where a key stands. Keys of the first pair say nothing about it.
func (r *row) phase() Phase {
	if r.Phase == "" {
		return Active
	}
	return r.Phase
}

// String hides the key.
func (r row) String() string { return r.Selector + "._domainkey." + r.Domain }

// GoString hides the key from %#v too.
func (r row) GoString() string { return r.String() }

func newTable() *store.Table[row] {
	return store.NewTable("dkim_key", store.PrefixDKIMKey, []string{"domain", "selector"}, func(r *row) store.Key {
		return rowKey(r.Domain, r.Selector)
	})
}

func rowKey(domain, selector string) store.Key { return store.Key{}.Str(domain).Str(selector) }

// Ensure makes the keys a domain lacks. Keys that exist stay as they are, even
// if they cannot be read: replacing one would break what is published in DNS.
func (k *Keys) Ensure(ctx context.Context, domain string) error {
	domain, err := normal(domain)
	if err != nil {
		return err
	}
	missing := map[string]algorithm{selectorRSA: algRSA, selectorEd25519: algEd25519}
	err = k.db.View(ctx, func(r store.Reader) error {
		for selector := range missing {
			_, err := r.Get(k.table.Schema(), rowKey(domain, selector))
			switch {
			case err == nil, errors.Is(err, store.ErrCorrupt):
				delete(missing, selector)
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
		return nil
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	// A pair that has replaced the first one needs no first one.
	if infos, err := k.List(ctx, domain); err == nil && signing(infos) {
		return nil
	}
	// Made outside the transaction, which may run twice and should be short.
	var fresh []*row
	for _, selector := range []string{selectorEd25519, selectorRSA} { // in the order of their keys
		if alg, ok := missing[selector]; ok {
			r, err := k.fresh(domain, selector, alg)
			if err != nil {
				return err
			}
			fresh = append(fresh, r)
		}
	}
	return k.db.Update(ctx, func(tx store.Tx) error {
		for _, r := range fresh {
			key := rowKey(r.Domain, r.Selector)
			if err := k.table.Lock(tx, key); err != nil {
				return err
			}
			if _, err := tx.Get(k.table.Schema(), key); !errors.Is(err, store.ErrNotFound) {
				if err != nil {
					return err
				}
				continue // somebody else was faster
			}
			if err := k.table.Put(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func generate(alg algorithm, random io.Reader) ([]byte, error) {
	if alg == algRSA {
		key, err := rsa.GenerateKey(random, rsaBits)
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(key)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
}

// pair is a domain's keys in the order in which their signatures stand.
type pair struct {
	domain string
	keys   [2]signingKey
}

type signingKey struct {
	selector  string
	algorithm algorithm
	signer    crypto.Signer
}

// pair returns the domain's newest active key of each algorithm.
func (k *Keys) pair(ctx context.Context, domain string) (*pair, error) {
	domain, err := normal(domain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	k.mu.Lock()
	p, changes := k.pairs[domain], k.changes
	k.mu.Unlock()
	if p != nil {
		return p, nil
	}
	newest := map[algorithm]*row{}
	err = k.db.View(ctx, func(r store.Reader) error {
		clear(newest)
		for v, err := range k.table.Scan(r, store.Query{Prefix: store.Key{}.Str(domain)}) {
			if err != nil {
				return err
			}
			if old := newest[v.Algorithm]; v.phase() == Active && (old == nil || v.Created.After(old.Created)) {
				newest[v.Algorithm] = v
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrCorrupt) {
		return nil, fmt.Errorf("%w for %s: %w", ErrNoKey, domain, err)
	}
	if err != nil {
		return nil, fmt.Errorf("dkim: keys of %s: %w", domain, err)
	}
	p = &pair{domain: domain}
	for i, alg := range []algorithm{algRSA, algEd25519} {
		if newest[alg] == nil {
			return nil, fmt.Errorf("%w for %s: there is no %s key", ErrNoKey, domain, alg)
		}
		if p.keys[i], err = newest[alg].parse(); err != nil {
			return nil, fmt.Errorf("%w for %s: %v: %w", ErrNoKey, domain, newest[alg], err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changes == changes {
		k.pairs[domain] = p
	}
	return p, nil
}

// changed forgets which keys of a domain sign.
func (k *Keys) changed(domain string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	delete(k.pairs, domain)
}

func (r *row) parse() (signingKey, error) {
	private, err := x509.ParsePKCS8PrivateKey(r.Private)
	if err != nil {
		return signingKey{}, errors.New("the stored key cannot be read") // the cause might quote it
	}
	switch key := private.(type) {
	case *rsa.PrivateKey:
		if r.Algorithm == algRSA && key.N.BitLen() >= rsaBits {
			return signingKey{r.Selector, r.Algorithm, key}, nil
		}
	case ed25519.PrivateKey:
		if r.Algorithm == algEd25519 {
			return signingKey{r.Selector, r.Algorithm, key}, nil
		}
	}
	return signingKey{}, fmt.Errorf("the stored key is no %s key", r.Algorithm)
}

// domainProfile is idna.Lookup with the lengths of DNS enforced.
var domainProfile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

// normal returns a domain as it stands in d= and in DNS.
func normal(domain string) (string, error) {
	ascii, err := domainProfile.ToASCII(strings.TrimSuffix(domain, "."))
	if err != nil || ascii == "" || len(ascii) > 253-maxSelector-len("._domainkey.") {
		return "", fmt.Errorf("dkim: %q is not a domain", domain)
	}
	return strings.ToLower(ascii), nil
}
