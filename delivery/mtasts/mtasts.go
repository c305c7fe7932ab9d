// Package mtasts promises the MTA-STS policy of a recipient domain (RFC 8461)
// as it stands now or, if that cannot be found out, as it stood when it could,
// for as long as the policy itself allowed. A domain that once asked for TLS is
// not talked out of it by an attacker who makes a look-up fail.
//
// A policy is announced by a TXT record and fetched over HTTPS from one fixed
// place: no redirects, at most 64 KiB, a minute in all, and a certificate that
// the system's authorities vouch for. It is kept in a [Cache] across restarts.
package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

// Resolver is what is asked of DNS. Errors are *net.DNSError.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Cache keeps policies across restarts. Load returns nil if there is nothing.
type Cache interface {
	Load(ctx context.Context, domain string) ([]byte, error)
	Save(ctx context.Context, domain string, value []byte) error
}

// Options are what Policies needs of the world. Resolver, Cache, Dial and Now
// are required.
type Options struct {
	Resolver   Resolver
	Cache      Cache
	Dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	Now        func() time.Time
	Allow      func(netip.Addr) bool // addresses that may be asked: a stranger's record must not lead into our network; nil = all
	Roots      *x509.CertPool        // for the web servers; nil = the system's
	Timeout    time.Duration         // of one fetch; 0 = a minute
	Port       string                // of the web servers; "" = 443
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const (
	retryAfter = 5 * time.Minute // after a fetch that failed (RFC 8461 §3.3)
	remember   = 2000            // domains in memory
	freshFor   = 24 * time.Hour  // then a policy is fetched again although its id is the same
)

// Policies knows policies. Its methods may be called from any goroutine.
type Policies struct {
	o       Options
	client  *http.Client
	flights singleflight.Group
	fetches *prometheus.CounterVec

	mu    sync.Mutex
	known map[string]*entry
}

// entry is a domain's policy as it is kept.
type entry struct {
	Policy  Policy    `json:"policy"`
	Fetched time.Time `json:"fetched"`
	tried   time.Time // the last fetch, failed or not
	id      string    // that was tried
}

func (e *entry) alive(now time.Time) bool {
	return e.Policy.ID != "" && now.Sub(e.Fetched) < e.Policy.MaxAge
}

// New returns a Policies.
func New(o Options) (*Policies, error) {
	if o.Resolver == nil || o.Cache == nil || o.Dial == nil || o.Now == nil {
		return nil, errors.New("mtasts: resolver, cache, dialer and clock are required")
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Port == "" {
		o.Port = "443"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Policies{o: o, known: map[string]*entry{}, fetches: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ticketgate_mta_sts_fetches_total",
		Help: "MTA-STS policies asked for over HTTPS, by result.",
	}, []string{"result"})}
	for _, r := range []string{"ok", "failed"} {
		p.fetches.WithLabelValues(r)
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(p.fetches); err != nil {
			return nil, fmt.Errorf("mtasts: %w", err)
		}
	}
	p.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            p.dial,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12, Time: o.Now},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 32 << 10,
		},
		// RFC 8461 §3.3: redirects are not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p, nil
}

// Policy returns a domain's policy; ok is false if it has none, has taken it
// back, or never told us one that is still alive. It does not fail: a policy
// that cannot be refreshed is used until it is too old.
func (p *Policies) Policy(ctx context.Context, domain string) (policy Policy, ok bool) {
	texts, err := p.o.Resolver.LookupTXT(ctx, "_mta-sts."+domain+".")
	id, rerr := parseRecord(texts)
	if err != nil || rerr != nil {
		// No record, a broken one or no answer: what is kept stays in force
		// (RFC 8461 §3.1, §10.2).
		id = ""
	}
	e := p.load(ctx, domain)
	now := p.o.Now()
	if id != "" && e.wants(id, now) {
		e = p.refresh(ctx, domain, id)
	}
	if e == nil || !e.alive(now) || e.Policy.Mode == None {
		return Policy{}, false
	}
	return e.Policy, true
}

// wants reports whether a policy is to be fetched for the announced id.
func (e *entry) wants(id string, now time.Time) bool {
	if e == nil {
		return true
	}
	if e.id == id && now.Sub(e.tried).Abs() < retryAfter {
		return false
	}
	return e.Policy.ID != id || !e.alive(now) || now.Sub(e.Fetched) >= min(freshFor, e.Policy.MaxAge/2)
}

// load returns what is known of a domain. The disk is asked once for each
// domain, and without a record too: it may be the record that was taken away.
func (p *Policies) load(ctx context.Context, domain string) *entry {
	p.mu.Lock()
	e, ok := p.known[domain]
	p.mu.Unlock()
	if ok {
		return e
	}
	raw, err := p.o.Cache.Load(ctx, domain)
	if err == nil && raw != nil {
		e = &entry{}
		if json.Unmarshal(raw, e) != nil {
			e = nil
		}
	}
	if err != nil {
		p.o.Log.Warn("a kept MTA-STS policy cannot be read", "domain", domain, "cause", err)
		return nil
	}
	p.keep(domain, e)
	return e
}

func (p *Policies) keep(domain string, e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= remember {
		p.known = map[string]*entry{} // the disk has what matters
	}
	p.known[domain] = e
}

// refresh fetches a policy once for everybody who waits for it. If it cannot
// be had, the old one comes back.
func (p *Policies) refresh(ctx context.Context, domain, id string) *entry {
	done := p.flights.DoChan(domain, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.o.Timeout)
		defer cancel()
		e := &entry{id: id, tried: p.o.Now()}
		policy, err := p.fetch(ctx, domain)
		if err != nil {
			p.fetches.WithLabelValues("failed").Inc()
			p.o.Log.Warn("an MTA-STS policy cannot be fetched", "domain", domain, "cause", err)
			if old := p.load(ctx, domain); old != nil {
				e.Policy, e.Fetched = old.Policy, old.Fetched
			}
			p.keep(domain, e)
			return e, nil
		}
		p.fetches.WithLabelValues("ok").Inc()
		policy.ID = id
		e.Policy, e.Fetched = policy, p.o.Now().UTC()
		raw, err := json.Marshal(e)
		if err == nil {
			err = p.o.Cache.Save(ctx, domain, raw)
		}
		if err != nil {
			p.o.Log.Warn("an MTA-STS policy cannot be kept", "domain", domain, "cause", err)
		}
		p.keep(domain, e)
		return e, nil
	})
	select {
	case res := <-done:
		return res.Val.(*entry)
	case <-ctx.Done():
		return p.load(ctx, domain)
	}
}

// dial connects to the first of a web server's addresses that answers.
func (p *Policies) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, err := p.o.Resolver.LookupNetIP(ctx, "ip", host+".")
	if err != nil {
		return nil, err
	}
	err = errors.New("the web server has no address that may be asked")
	for _, ip := range ips[:min(len(ips), 4)] {
		if ip = ip.Unmap(); p.o.Allow != nil && !p.o.Allow(ip) {
			continue
		}
		var conn net.Conn
		if conn, err = p.o.Dial(ctx, network, net.JoinHostPort(ip.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// fetch gets the policy file of a domain.
func (p *Policies) fetch(ctx context.Context, domain string) (Policy, error) {
	host := "mta-sts." + domain
	url := "https://" + host
	if p.o.Port != "443" {
		url = "https://" + net.JoinHostPort(host, p.o.Port)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return Policy{}, err
	}
	req.Header.Set("User-Agent", "Ticketgate")
	res, err := p.client.Do(req)
	if err != nil {
		return Policy{}, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return Policy{}, fmt.Errorf("the web server says %d", res.StatusCode)
	}
	if media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || media != mediaTxt {
		return Policy{}, errors.New("the answer is not text/plain")
	}
	file, err := io.ReadAll(io.LimitReader(res.Body, maxFile+1))
	if err != nil {
		return Policy{}, err
	}
	if len(file) > maxFile {
		return Policy{}, fmt.Errorf("the policy has more than %d bytes", maxFile)
	}
	return parsePolicy(file)
}
