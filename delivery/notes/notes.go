// Package notes promises that small things which delivery learns from others,
// such as MTA-STS policies and OAuth tokens, outlive a restart. Each kind has
// its own names; a note that is older than its life is as good as none, and is
// removed by Sweep.
package notes

import (
	"context"
	"fmt"
	"time"

	"ticketgate/ticketing/store"
)

// Notes are the notes of one kind. The methods may be called from any
// goroutine.
type Notes struct {
	db    store.DB
	kind  string
	life  time.Duration
	table *store.Table[row]
}

type row struct {
	Kind  string    `json:"kind"`
	Name  string    `json:"name"`
	Value []byte    `json:"value"`
	At    time.Time `json:"at"`
}

// String and GoString hide the value: it may be a secret.
func (r row) String() string   { return r.Kind + "/" + r.Name }
func (r row) GoString() string { return r.String() }

const (
	maxName  = 300
	maxValue = 40 << 10 // with what JSON adds, a row stays below store.MaxValue
)

// New returns the notes of a kind. They are forgotten after life; 0 = never.
func New(db store.DB, kind string, life time.Duration) *Notes {
	return &Notes{db: db, kind: kind, life: life, table: store.NewTable("note", store.PrefixNote, []string{"kind", "name"},
		func(r *row) store.Key { return store.Key{}.Str(r.Kind).Str(r.Name) })}
}

func (n *Notes) key(name string) store.Key { return store.Key{}.Str(n.kind).Str(name) }

// Load returns what was saved under name last, nil if nothing was or it is too
// old.
func (n *Notes) Load(ctx context.Context, name string) (value []byte, err error) {
	err = n.db.View(ctx, func(r store.Reader) error {
		found, err := n.table.Find(r, n.key(name))
		if err == nil && found != nil && !n.stale(found, r.Now()) {
			value = found.Value
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("notes: %s/%s: %w", n.kind, name, err)
	}
	return value, nil
}

func (n *Notes) stale(r *row, now time.Time) bool { return n.life > 0 && now.Sub(r.At) >= n.life }

// Save replaces the note of a name. It is on disk when Save returns nil.
func (n *Notes) Save(ctx context.Context, name string, value []byte) error {
	if name == "" || len(name) > maxName || len(value) > maxValue {
		return fmt.Errorf("notes: %s: a name of %d and a value of %d bytes are not kept", n.kind, len(name), len(value))
	}
	err := n.db.Update(ctx, func(tx store.Tx) error {
		return n.table.Put(tx, &row{Kind: n.kind, Name: name, Value: value, At: tx.Now()})
	})
	if err != nil {
		return fmt.Errorf("notes: %s/%s: %w", n.kind, name, err)
	}
	return nil
}

// All returns the names of up to limit notes that are not too old, and when each
// was saved last.
func (n *Notes) All(ctx context.Context, limit int) (names map[string]time.Time, err error) {
	err = n.db.View(ctx, func(r store.Reader) error {
		names = map[string]time.Time{}
		for found, err := range n.table.Scan(r, store.Query{Prefix: store.Key{}.Str(n.kind)}) {
			if err != nil {
				return err
			}
			if !n.stale(found, r.Now()) {
				names[found.Name] = found.At
			}
			if len(names) >= limit {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("notes: %s: %w", n.kind, err)
	}
	return names, nil
}

// Forget removes the note of a name, if there is one.
func (n *Notes) Forget(ctx context.Context, name string) error {
	err := n.db.Update(ctx, func(tx store.Tx) error { return n.table.Delete(tx, n.key(name)) })
	if err != nil {
		return fmt.Errorf("notes: %s/%s: %w", n.kind, name, err)
	}
	return nil
}

// sweepPage is how many notes one transaction of Sweep looks at.
const sweepPage = 500

// Sweep removes the notes that are too old and returns how many.
func (n *Notes) Sweep(ctx context.Context) (removed int, err error) {
	if n.life <= 0 {
		return 0, nil
	}
	q := store.Query{Prefix: store.Key{}.Str(n.kind), Limit: sweepPage}
	for more := true; more; {
		gone := 0
		err := n.db.Update(ctx, func(tx store.Tx) error {
			gone = 0
			page, next, err := n.table.Page(tx, q)
			if err != nil {
				return err
			}
			for _, r := range page {
				if n.stale(r, tx.Now()) {
					if err := n.table.Delete(tx, n.key(r.Name)); err != nil {
						return err
					}
					gone++
				}
			}
			q.After, more = next, next != nil
			return nil
		})
		if err != nil {
			return removed, fmt.Errorf("notes: sweeping %s: %w", n.kind, err)
		}
		removed += gone
	}
	return removed, nil
}
