// Package certs keeps the certificate that peers are shown. It promises that
// there always is one: peers that say a strange server name or none, as mail
// servers do, get it as well; a handshake never waits for an authority or a
// disk; and whatever cannot be renewed stays in use and is told to the log.
//
// The certificate comes from one of three places. A self-signed one is made
// once and kept in a file. Files are read again when they change. An ACME
// authority (RFC 8555) is asked at start and in good time before the end; it
// proves us by TLS-ALPN-01 (RFC 8737) on any listener that uses [Certs.TLS] and
// is reachable as port 443, or by HTTP-01 on one that serves
// [Certs.Challenges] and is reachable as port 80. What it gives is kept in the
// store, so that all nodes share it.
package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"ticketgate/ticketing/store"
)

// Options are what a Certs needs from the world. Hostname and Now are required,
// and either Fallback or Files.
type Options struct {
	Hostname string
	// Fallback is shown while there is none from an authority.
	Fallback *tls.Certificate
	Files    *Files // nil = none
	ACME     *ACME  // nil = none
	// Poll is how often files are looked at; 30 s.
	Poll       time.Duration
	Now        func() time.Time
	Log        *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil keeps no metrics
}

// ACME says which authority to ask.
type ACME struct {
	Directory string // its URL
	Email     string // whom it warns; "" = nobody
	DB        store.DB
	Client    *http.Client // nil = a client with a time limit
}

// Certs holds the certificate. Safe for concurrent use.
type Certs struct {
	o        Options
	files    *files
	manager  *autocert.Manager // nil without ACME
	cache    *cache
	current  atomic.Pointer[tls.Certificate]
	ctx      context.Context // ends with Run
	cancel   context.CancelFunc
	expiry   *prometheus.GaugeVec
	orders   *prometheus.CounterVec
	failures int // in a row, at the authority
}

// How long to wait for the next look at what the authority gave us, after it
// gave something and after it did not. Authorities allow few failures an hour.
const (
	acmeLook     = time.Hour
	acmeRetry    = 5 * time.Minute
	acmeMaxRetry = 6 * time.Hour
)

// New returns a Certs that has a certificate. Files that cannot be read are an
// error; an authority is not asked before Run.
func New(o Options) (*Certs, error) {
	if o.Hostname == "" || o.Now == nil || o.Fallback == nil && o.Files == nil {
		return nil, errors.New("certs: Hostname, Now and one of Fallback and Files are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Poll <= 0 {
		o.Poll = 30 * time.Second
	}
	c := &Certs{o: o}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.metrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("certs: %w", err)
	}
	if o.Fallback != nil {
		c.show(o.Fallback)
	}
	if o.Files != nil {
		c.files = &files{Files: *o.Files}
		cert, err := c.files.load()
		if err != nil {
			return nil, fmt.Errorf("certs: %w", err)
		}
		c.show(cert)
	}
	if o.ACME != nil {
		c.cache = newCache(o.ACME.DB)
		c.manager = &autocert.Manager{
			Prompt:     autocert.AcceptTOS,
			Cache:      c.cache,
			HostPolicy: c.policy,
			Email:      o.ACME.Email,
			Client:     &acme.Client{DirectoryURL: o.ACME.Directory, HTTPClient: boundedClient(c.ctx, o.ACME.Client), UserAgent: "ticketgate"},
		}
	}
	return c, nil
}

func (c *Certs) metrics(reg prometheus.Registerer) error {
	c.expiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ticketgate_tls_certificate_expiry_timestamp_seconds",
		Help: "When the certificate that peers are shown ends."}, []string{"name"})
	c.orders = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ticketgate_acme_orders_total",
		Help: "Certificates asked for at the authority: ok, failed."}, []string{"result"})
	c.orders.WithLabelValues("ok")
	c.orders.WithLabelValues("failed")
	if reg == nil {
		return nil
	}
	return errors.Join(reg.Register(c.expiry), reg.Register(c.orders))
}

// show puts a certificate in use and reports whether it is another one.
func (c *Certs) show(cert *tls.Certificate) bool {
	before := c.current.Swap(cert)
	if before != nil && slices.EqualFunc(before.Certificate, cert.Certificate, slices.Equal) {
		return false
	}
	if cert.Leaf != nil {
		c.expiry.WithLabelValues(c.o.Hostname).Set(float64(cert.Leaf.NotAfter.Unix()))
	}
	return true
}

// TLS returns a server's configuration. It follows the certificate by itself.
func (c *Certs) TLS() *tls.Config {
	base := &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Some large senders break off when a session ticket follows the
		// handshake on port 25.
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
	if c.manager == nil {
		return base
	}
	proof := base.Clone()
	proof.NextProtos = []string{acme.ALPNProto}
	proof.GetCertificate = c.manager.GetCertificate
	base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		// Only the authority's own handshake is another one: a list of protocols
		// for everybody would turn away clients that offer others.
		if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
			return proof, nil
		}
		return nil, nil
	}
	return base
}

// Challenges answers the authority's questions of HTTP-01 and leaves the rest to
// next. Without ACME it is next.
func (c *Certs) Challenges(next http.Handler) http.Handler {
	if c.manager == nil {
		return next
	}
	return c.manager.HTTPHandler(next)
}

// Run keeps the certificate up to date until ctx ends, and then lets nothing
// touch the store any more. It may be called once.
func (c *Certs) Run(ctx context.Context) error {
	defer func() {
		c.cancel()
		if c.cache != nil {
			c.cache.close()
		}
	}()
	for {
		var wait time.Duration
		done := make(chan time.Duration, 1)
		// An order may wait for the authority's leave to ask again; the end of
		// the program does not wait for the order.
		go func() { done <- c.Refresh() }()
		select {
		case <-ctx.Done():
			return nil
		case wait = <-done:
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Refresh looks once for a newer certificate and returns when to look again.
func (c *Certs) Refresh() time.Duration {
	if c.files != nil {
		c.readFiles()
	}
	if c.manager != nil {
		return c.order()
	}
	return c.o.Poll
}

func (c *Certs) readFiles() {
	cert, err := c.files.changed()
	switch {
	case err != nil:
		c.o.Log.Error("certificate files cannot be used; the old certificate stays", "cert", c.files.Cert, "key", c.files.Key, "err", err)
	case cert != nil && c.show(cert):
		c.o.Log.Info("certificate files have changed", "cert", c.files.Cert, "not_after", cert.Leaf.NotAfter)
	}
}

// order makes sure that there is a certificate of the authority. Renewal is the
// manager's; its results are picked up here.
func (c *Certs) order() time.Duration {
	cert, err := c.manager.GetCertificate(modern(c.o.Hostname))
	if err != nil {
		if c.ctx.Err() != nil {
			return 0
		}
		c.failures++
		c.orders.WithLabelValues("failed").Inc()
		wait := min(acmeRetry<<min(c.failures-1, 10), acmeMaxRetry)
		c.o.Log.Error("no certificate from the authority", "name", c.o.Hostname, "directory", c.o.ACME.Directory, "err", err, "retry_in", wait)
		return wait
	}
	c.failures = 0
	if c.show(cert) {
		c.orders.WithLabelValues("ok").Inc()
		c.o.Log.Info("certificate of the authority in use", "name", c.o.Hostname, "not_after", cert.Leaf.NotAfter)
	}
	return acmeLook
}

// modern is how a client of today greets; the manager chooses the kind of key
// by it.
func modern(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
}
