// Package replay keeps the answers to requests that carried an idempotency key,
// so that a client that heard no answer may ask again: the same request under
// the same key gets the same answer and nothing is done twice.
//
// An answer is kept for a day ([Keep]). A request that is being worked on keeps
// others with its key out; should the process die over it, nobody can say
// whether it was done, and the key stays closed for the rest of the day.
package replay

import (
	"bytes"
	"context"
	"errors"
	"time"

	"ticketgate/ticketing/store"
)

const (
	// Keep is how long an answer is kept.
	Keep = 24 * time.Hour
	// MaxBody is the largest answer that is kept whole; of a larger one it is
	// kept that there was one.
	MaxBody = 4 << 20
	// MaxKey is the longest key, in bytes.
	MaxKey = 255

	working   = 10 * time.Minute // longer than any request may take
	pageSize  = 40 << 10         // of a body in one row; JSON makes it a third larger
	tidyUp    = 20               // expired rows removed with each new key
	byExpires = "expires"
)

// What may be wrong with a key.
var (
	ErrOther   = errors.New("replay: the key was used for another request")
	ErrWorking = errors.New("replay: the first request with this key is still being worked on")
	ErrUnknown = errors.New("replay: it is not known whether the first request with this key was carried out")
)

// Answer is what was answered.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte
	Cut    bool // the body was too large, or not to be kept
}

// row is a key's state, or a page of its answer's body.
type row struct {
	Who     string            `json:"who"`
	Key     string            `json:"key"`
	Page    int               `json:"page"` // 0 holds everything but the body
	Digest  []byte            `json:"digest,omitempty"`
	Since   time.Time         `json:"since,omitzero"`
	Expires time.Time         `json:"expires"`
	Status  int               `json:"status,omitempty"` // 0 while it is being worked on
	Header  map[string]string `json:"header,omitempty"`
	Cut     bool              `json:"cut,omitempty"`
	Body    []byte            `json:"body,omitempty"`
}

func rowKey(who, key string, page int) store.Key {
	return store.Key{}.Str(who).Str(key).Uint(uint64(page))
}

// Answers keeps answers in the store. Safe for concurrent use.
type Answers struct {
	db   store.DB
	rows *store.Table[row]
}

// New returns the answers kept in a store.
func New(db store.DB) *Answers {
	return &Answers{db: db, rows: store.NewTable("replay", store.PrefixReplay, []string{"who", "key", "page"},
		func(r *row) store.Key { return rowKey(r.Who, r.Key, r.Page) },
		store.Index[row]{Name: byExpires, Columns: []string{"expires", "who", "key", "page"},
			Keys: func(r *row) []store.Key {
				return []store.Key{store.Key{}.Time(r.Expires).Str(r.Who).Str(r.Key).Uint(uint64(r.Page))}
			}})}
}

// Begin takes a key for a request of somebody's. It returns the answer that was
// given to the same request before, nil if there was none: the caller then does
// the work and calls Finish or Abandon. digest stands for the request.
func (a *Answers) Begin(ctx context.Context, who, key string, digest []byte) (*Answer, error) {
	var out *Answer
	err := a.db.Update(ctx, func(tx store.Tx) error {
		out = nil
		if err := a.tidy(tx); err != nil {
			return err
		}
		if err := a.rows.Lock(tx, rowKey(who, key, 0)); err != nil {
			return err
		}
		r, err := a.rows.Find(tx, rowKey(who, key, 0))
		if err != nil {
			return err
		}
		now := tx.Now()
		switch {
		case r == nil || !r.Expires.After(now):
			if r != nil {
				if err := a.forget(tx, who, key); err != nil {
					return err
				}
			}
			return a.rows.Put(tx, &row{Who: who, Key: key, Digest: digest, Since: now, Expires: now.Add(Keep)})
		case !bytes.Equal(r.Digest, digest):
			return ErrOther
		case r.Status == 0 && now.Sub(r.Since) < working:
			return ErrWorking
		case r.Status == 0:
			return ErrUnknown
		}
		out, err = a.read(tx, r)
		return err
	})
	return out, err
}

func (a *Answers) read(r store.Reader, head *row) (*Answer, error) {
	out := &Answer{Status: head.Status, Header: head.Header, Cut: head.Cut}
	for page, err := range a.rows.Scan(r, store.Query{Prefix: store.Key{}.Str(head.Who).Str(head.Key)}) {
		if err != nil {
			return nil, err
		}
		out.Body = append(out.Body, page.Body...)
	}
	return out, nil
}

// Finish keeps the answer to a request that Begin let through.
func (a *Answers) Finish(ctx context.Context, who, key string, answer Answer) error {
	return a.db.Update(ctx, func(tx store.Tx) error {
		if err := a.rows.Lock(tx, rowKey(who, key, 0)); err != nil {
			return err
		}
		head, err := a.rows.Find(tx, rowKey(who, key, 0))
		if err != nil || head == nil {
			return err // it took longer than a day
		}
		head.Status, head.Header, head.Cut = answer.Status, answer.Header, answer.Cut || len(answer.Body) > MaxBody
		if err := a.rows.Put(tx, head); err != nil || head.Cut {
			return err
		}
		for page, rest := 1, answer.Body; len(rest) > 0; page++ {
			n := min(pageSize, len(rest))
			if err := a.rows.Put(tx, &row{Who: who, Key: key, Page: page, Expires: head.Expires, Body: rest[:n]}); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

// Abandon gives a key back whose request failed by our fault: it may be tried
// again.
func (a *Answers) Abandon(ctx context.Context, who, key string) error {
	return a.db.Update(ctx, func(tx store.Tx) error {
		if err := a.rows.Lock(tx, rowKey(who, key, 0)); err != nil {
			return err
		}
		return a.forget(tx, who, key)
	})
}

func (a *Answers) forget(tx store.Tx, who, key string) error {
	return a.removeAll(tx, store.Query{Prefix: store.Key{}.Str(who).Str(key)})
}

// tidy removes a few rows whose time is over. Each new key brings at most as
// many as it removes of old ones, so that they do not pile up.
func (a *Answers) tidy(tx store.Tx) error {
	return a.removeAll(tx, store.Query{Index: byExpires, To: store.Key{}.Time(tx.Now()), Limit: tidyUp})
}

func (a *Answers) removeAll(tx store.Tx, q store.Query) error {
	var gone []*row
	for r, err := range a.rows.Scan(tx, q) {
		if err != nil {
			return err
		}
		gone = append(gone, r)
	}
	for _, r := range gone {
		if err := a.rows.Lock(tx, rowKey(r.Who, r.Key, r.Page)); err != nil {
			return err
		}
		if err := a.rows.Delete(tx, rowKey(r.Who, r.Key, r.Page)); err != nil {
			return err
		}
	}
	return nil
}
