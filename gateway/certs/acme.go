package certs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"ticketgate/ticketing/store"
)

// policy allows our own name alone: nobody makes us ask for another.
func (c *Certs) policy(_ context.Context, host string) error {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !strings.EqualFold(strings.TrimSuffix(host, "."), c.o.Hostname) {
		return fmt.Errorf("%q is not our name", host)
	}
	return nil
}

// entry is one thing the manager wants to find again: its account's key, a
// certificate with its key, an answer to a challenge.
type entry struct {
	Key  string `json:"key"`
	Data []byte `json:"data"`
}

// maxEntry is far over a certificate with its chain and key.
const maxEntry = 64 << 10

// cache is autocert.Cache on the store.
type cache struct {
	db    store.DB
	table *store.Table[entry]

	mu     sync.RWMutex
	closed bool
}

func newCache(db store.DB) *cache {
	return &cache{db: db, table: store.NewTable("certificates", store.PrefixCertificate, []string{"key"},
		func(e *entry) store.Key { return store.Key{}.Str(e.Key) })}
}

var errClosed = errors.New("certs: going down")

// during runs work on the store unless that has been closed to us.
func (c *cache) during(work func() error) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return errClosed
	}
	return work()
}

// close waits for work on the store and allows no more. The manager has timers
// of its own that outlive everything else.
func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// Get returns what is kept under a key, or autocert.ErrCacheMiss.
func (c *cache) Get(ctx context.Context, key string) (data []byte, err error) {
	err = c.during(func() error {
		return c.db.View(ctx, func(r store.Reader) error {
			e, err := c.table.Find(r, store.Key{}.Str(key))
			if err != nil {
				return err
			}
			if e == nil {
				return autocert.ErrCacheMiss
			}
			data = e.Data
			return nil
		})
	})
	return data, err
}

// Put keeps data under a key.
func (c *cache) Put(ctx context.Context, key string, data []byte) error {
	if len(data) > maxEntry {
		return fmt.Errorf("certs: %q has %d octets; at most %d are kept", key, len(data), maxEntry)
	}
	return c.during(func() error {
		return c.db.Update(ctx, func(tx store.Tx) error {
			if err := c.table.Lock(tx, store.Key{}.Str(key)); err != nil {
				return err
			}
			return c.table.Put(tx, &entry{key, data})
		})
	})
}

// Delete removes what is kept under a key, if anything is.
func (c *cache) Delete(ctx context.Context, key string) error {
	return c.during(func() error {
		return c.db.Update(ctx, func(tx store.Tx) error {
			k := store.Key{}.Str(key)
			if err := c.table.Lock(tx, k); err != nil {
				return err
			}
			e, err := c.table.Find(tx, k)
			if err != nil || e == nil {
				return err
			}
			return c.table.Delete(tx, k)
		})
	})
}

// boundedClient returns a client whose requests end with ctx: the manager gives
// its own five minutes.
func boundedClient(ctx context.Context, client *http.Client) *http.Client {
	bounded := http.Client{Timeout: 30 * time.Second}
	if client != nil {
		bounded = *client
	}
	if bounded.Transport == nil {
		bounded.Transport = http.DefaultTransport
	}
	bounded.Transport = &transport{bounded.Transport, ctx}
	return &bounded
}

type transport struct {
	next http.RoundTripper
	ctx  context.Context
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(t.ctx, cancel)
	end := func() { stop(); cancel() }
	res, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		end()
		return nil, err
	}
	res.Body = &body{res.Body, end}
	return res, nil
}

// body ends its request's context when it is closed.
type body struct {
	io.ReadCloser
	end func()
}

func (b *body) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}
