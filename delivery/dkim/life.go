package dkim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ticketgate/ticketing/store"
)

// Phase is where a key stands in its life.
type Phase string

// Phases, in the order in which a key goes through them.
const (
	Prepared Phase = "prepared" // made; its record is to be published; it signs nothing
	Active   Phase = "active"   // signs
	Retiring Phase = "retiring" // replaced; its record must stay, for mail under way
	Retired  Phase = "retired"  // its private half is wiped; its record may go
)

var (
	// ErrDomain says that a domain has no keys here.
	ErrDomain = errors.New("dkim: no keys of this domain")
	// ErrNothing says that there is no key in the phase a command is about.
	ErrNothing = errors.New("dkim: nothing to do")
	// ErrUnpublished says that DNS does not show what it must show first.
	ErrUnpublished = errors.New("dkim: not published")
	// ErrNeeded says that a key's record is still needed.
	ErrNeeded = errors.New("dkim: still needed")
)

// Info is what may be said of a key.
type Info struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	Algorithm string    `json:"algorithm"` // rsa ed25519
	Phase     Phase     `json:"phase"`
	Created   time.Time `json:"created_at"`
	Seen      time.Time `json:"seen_at,omitzero"`
	Activated time.Time `json:"activated_at,omitzero"`
	Replaced  time.Time `json:"replaced_at,omitzero"`
	Retired   time.Time `json:"retired_at,omitzero"`
	Retirable time.Time `json:"retirable_at,omitzero"` // retiring: when the grace time ends
	Problem   string    `json:"problem,omitempty"`     // why the key cannot be used
	Record    *Record   `json:"record"`                // nil if the key cannot be read
}

// List returns the keys of a domain, or of all with "": by domain, those that
// sign first, RSA first, newer ones before older.
func (k *Keys) List(ctx context.Context, domain string) ([]Info, error) {
	rows, err := k.rows(ctx, domain)
	if err != nil {
		return nil, err
	}
	out := make([]Info, 0, len(rows))
	for _, r := range rows {
		out = append(out, k.info(r))
	}
	return out, nil
}

// rows reads keys in the order of List.
func (k *Keys) rows(ctx context.Context, domain string) ([]*row, error) {
	q := store.Query{}
	if domain != "" {
		name, err := normal(domain)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDomain, err)
		}
		q.Prefix = store.Key{}.Str(name)
	}
	var rows []*row
	err := k.db.View(ctx, func(r store.Reader) error {
		rows = nil
		for v, err := range k.table.Scan(r, q) {
			if err != nil {
				return err
			}
			rows = append(rows, v)
		}
		return nil
	})
	if errors.Is(err, store.ErrCorrupt) {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	if err != nil {
		return nil, fmt.Errorf("dkim: keys: %w", err)
	}
	order := []Phase{Active, Prepared, Retiring, Retired}
	slices.SortFunc(rows, func(a, b *row) int {
		return cmp.Or(
			cmp.Compare(a.Domain, b.Domain),
			cmp.Compare(slices.Index(order, a.phase()), slices.Index(order, b.phase())),
			cmp.Compare(generation(b.Selector), generation(a.Selector)),
			-cmp.Compare(a.Algorithm, b.Algorithm), // rsa before ed25519
		)
	})
	return rows, nil
}

func (k *Keys) info(r *row) Info {
	i := Info{
		Domain: r.Domain, Selector: r.Selector, Algorithm: string(r.Algorithm), Phase: r.phase(), Created: r.Created,
		Seen: r.Seen, Activated: r.Activated, Replaced: r.Replaced, Retired: r.Retired,
	}
	if i.Phase == Active && i.Activated.IsZero() {
		i.Activated = r.Created
	}
	if i.Phase == Retiring {
		i.Retirable = r.Replaced.Add(k.grace)
	}
	public := r.Public
	if i.Phase != Retired {
		key, err := r.parse()
		if err == nil {
			public, err = key.public()
		}
		if err != nil {
			i.Problem = err.Error()
			return i
		}
	}
	if len(public) > 0 {
		rec := record(r.Domain, r.Selector, r.Algorithm, public)
		i.Record = &rec
	}
	return i
}

// signing reports whether a domain's keys sign with both algorithms.
func signing(infos []Info) bool {
	has := map[string]bool{}
	for _, i := range infos {
		if i.Phase == Active {
			has[i.Algorithm] = true
		}
	}
	return len(has) == 2
}

// Usable tells why a domain cannot sign now; nil if it can.
func (k *Keys) Usable(ctx context.Context, domain string) error {
	_, err := k.pair(ctx, domain)
	return err
}

// fresh makes a key outside any transaction.
func (k *Keys) fresh(domain, selector string, alg algorithm) (*row, error) {
	private, err := generate(alg, k.random)
	if err != nil {
		return nil, fmt.Errorf("dkim: make %s key: %w", alg, err)
	}
	return &row{Domain: domain, Selector: selector, Algorithm: alg, Private: private, Created: k.now().UTC().Truncate(time.Microsecond)}, nil
}

// generation is the number in a selector of ours, 0 if there is none.
func generation(selector string) int {
	if len(selector) < 4 || !strings.HasPrefix(selector, "tg") {
		return 0
	}
	n, err := strconv.Atoi(selector[2 : len(selector)-1])
	if err != nil {
		return 0
	}
	return n
}

// Prepare makes the pair that is to sign next, under selectors that were never
// used, and returns it. While there is such a pair it makes no other: asking
// again gives the same. ErrDomain if the domain has no keys at all.
func (k *Keys) Prepare(ctx context.Context, domain string) ([]Info, error) {
	rows, err := k.rows(ctx, domain)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ErrDomain
	}
	next := 0
	for _, r := range rows {
		if r.phase() == Prepared {
			return k.phase(ctx, domain, Prepared)
		}
		next = max(next, generation(r.Selector))
	}
	next++
	var made []*row
	for _, k2 := range []struct {
		suffix string
		alg    algorithm
	}{{"e", algEd25519}, {"r", algRSA}} { // in the order of their keys
		r, err := k.fresh(rows[0].Domain, "tg"+strconv.Itoa(next)+k2.suffix, k2.alg)
		if err != nil {
			return nil, err
		}
		r.Phase = Prepared
		made = append(made, r)
	}
	err = k.db.Update(ctx, func(tx store.Tx) error {
		for _, r := range made {
			key := rowKey(r.Domain, r.Selector)
			if err := k.table.Lock(tx, key); err != nil {
				return err
			}
			switch old, err := k.table.Find(tx, key); {
			case err != nil:
				return err
			case old != nil:
				return nil // somebody else was faster; his pair is as good
			}
			if err := k.table.Put(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("dkim: prepare: %w", err)
	}
	return k.phase(ctx, domain, Prepared)
}

// phase lists a domain's keys in one phase.
func (k *Keys) phase(ctx context.Context, domain string, p Phase) ([]Info, error) {
	infos, err := k.List(ctx, domain)
	return slices.DeleteFunc(infos, func(i Info) bool { return i.Phase != p }), err
}

// Activate lets the prepared pair sign from now on, and the one that signed
// retire, if DNS shows both prepared records right now. Otherwise nothing
// changes: ErrUnpublished, and the checks say what is wrong. ErrNothing if no
// pair is prepared.
func (k *Keys) Activate(ctx context.Context, domain string) ([]Check, error) {
	checks, err := k.Check(ctx, domain)
	if err != nil {
		return nil, err
	}
	checks = slices.DeleteFunc(checks, func(c Check) bool { return c.Key.Phase != Prepared })
	if len(checks) == 0 {
		return nil, fmt.Errorf("%w: %s has no prepared keys", ErrNothing, domain)
	}
	for _, c := range checks {
		if c.Status != OK {
			return checks, fmt.Errorf("%w: %s: %s", ErrUnpublished, c.Key.Record.Name, c.Detail)
		}
	}
	err = k.transit(ctx, domain, func(r *row, now time.Time) bool {
		switch r.phase() {
		case Prepared:
			r.Phase, r.Activated = Active, now
		case Active:
			r.Phase, r.Replaced = Retiring, now
		default:
			return false
		}
		return true
	})
	return checks, err
}

// Retire wipes the private halves of the replaced keys of a domain and returns
// them: their records may be removed then. ErrNeeded while mail waits with a
// signature of theirs or, unless now is set, before the grace time is over;
// ErrNothing if none is replaced.
func (k *Keys) Retire(ctx context.Context, domain string, now bool) ([]Info, error) {
	infos, err := k.phase(ctx, domain, Retiring)
	if err != nil {
		return nil, err
	}
	if len(infos) == 0 {
		return nil, fmt.Errorf("%w: %s has no replaced keys", ErrNothing, domain)
	}
	gone := map[string]bool{}
	for _, i := range infos {
		if wait := i.Retirable.Sub(k.now()); wait > 0 && !now {
			return nil, fmt.Errorf("%w: the record of %s has to stay until %s", ErrNeeded, i.Selector, i.Retirable.UTC().Format(time.RFC3339))
		}
		n, err := k.used(ctx, i.Domain, i.Selector)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			return nil, fmt.Errorf("%w: %d mails wait with a signature of %s", ErrNeeded, n, i.Selector)
		}
		gone[i.Selector] = true
	}
	err = k.transit(ctx, domain, func(r *row, at time.Time) bool {
		if !gone[r.Selector] || r.phase() != Retiring {
			return false
		}
		if key, err := r.parse(); err == nil {
			r.Public, _ = key.public() // kept so that one can see what to remove
		}
		r.Phase, r.Retired, r.Private = Retired, at, nil
		return true
	})
	if err != nil {
		return nil, err
	}
	infos, err = k.phase(ctx, domain, Retired)
	return slices.DeleteFunc(infos, func(i Info) bool { return !gone[i.Selector] }), err
}

// transit changes a domain's keys in one transaction; step reports whether it
// changed one.
func (k *Keys) transit(ctx context.Context, domain string, step func(r *row, now time.Time) bool) error {
	domain, err := normal(domain)
	if err != nil {
		return err
	}
	defer k.changed(domain)
	now := k.now().UTC().Truncate(time.Microsecond)
	err = k.db.Update(ctx, func(tx store.Tx) error {
		var rows []*row
		for v, err := range k.table.Scan(tx, store.Query{Prefix: store.Key{}.Str(domain)}) {
			if err != nil {
				return err
			}
			rows = append(rows, v)
		}
		for _, v := range rows {
			if err := k.table.Lock(tx, rowKey(v.Domain, v.Selector)); err != nil {
				return err
			}
			v, err := k.table.Get(tx, rowKey(v.Domain, v.Selector))
			if err != nil {
				return err
			}
			if step(v, now) {
				if err := k.table.Put(tx, v); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("dkim: %s: %w", domain, err)
	}
	return nil
}
