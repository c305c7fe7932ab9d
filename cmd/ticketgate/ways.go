package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"ticketgate/config"
	"ticketgate/delivery/courier"
	"ticketgate/delivery/mtasts"
	"ticketgate/delivery/notes"
	"ticketgate/delivery/oauth"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// policyLife is how long a kept MTA-STS policy can matter: longer than any
// max_age (RFC 8461 §3.2).
const policyLife = 370 * 24 * time.Hour

// newCarrier makes the courier with the ways that are configured.
func (p *program) newCarrier() (*courier.Courier, error) {
	o := courier.Options{
		Hostname:     string(p.cfg.Hostname),
		Smarthost:    string(p.cfg.Outbound.Smarthost),
		AllowPrivate: p.world.loopbackMX,
		Resolver:     p.world.resolver,
		Dial:         p.world.dial,
		DialFrom:     p.world.dialFrom,
		Now:          p.world.now,
		Random:       p.world.random,
		Log:          p.world.log,
		Registerer:   p.world.metrics,
		Routes:       map[string]courier.Route{},
		QueueRoutes:  map[string]string{},
		SecureQueues: map[string]bool{},
	}
	if !p.cfg.Outbound.DANE {
		o.Resolver = struct{ courier.Resolver }{p.world.resolver} // one that proves nothing
	}
	for name, d := range p.cfg.Destinations {
		o.Destinations = append(o.Destinations, courier.Destination{Match: name, TLS: securityOf(d.TLS), MX: d.MX})
	}
	if p.cfg.Outbound.Route != "" {
		o.QueueRoutes[""] = p.cfg.Outbound.Route
	}
	for name, q := range p.cfg.Queues {
		if q.Route != "" {
			o.QueueRoutes[name] = q.Route
		}
		o.SecureQueues[name] = q.RequireTLS
	}
	if err := p.addRoutes(&o); err != nil {
		return nil, err
	}
	broken := notes.New(p.db, "broken_tls", courier.BrokenLife)
	o.Broken = broken
	p.background("hosts with broken TLS", func(ctx context.Context) error { return p.sweepNotes(ctx, broken) })
	if p.cfg.Outbound.MTASTS {
		if err := p.addPolicies(&o); err != nil {
			return nil, err
		}
	}
	return courier.New(o)
}

func (p *program) addPolicies(o *courier.Options) error {
	kept := notes.New(p.db, "mta_sts", policyLife)
	m := mtasts.Options{
		Resolver: p.world.resolver, Cache: kept, Dial: p.world.dial, Now: p.world.now,
		Log: p.world.log, Registerer: p.world.metrics,
	}
	if !p.world.loopbackMX {
		m.Allow = courier.Public
	}
	policies, err := mtasts.New(m)
	if err != nil {
		return err
	}
	o.Policies = policies
	p.background("kept policies", func(ctx context.Context) error { return p.sweepNotes(ctx, kept) })
	return nil
}

// sweepNotes removes notes that have no meaning any more.
func (p *program) sweepNotes(ctx context.Context, kept *notes.Notes) error {
	ticker := time.NewTicker(24 * time.Hour)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if _, err := kept.Sweep(ctx); err != nil && ctx.Err() == nil {
				p.world.log.Error("sweeping what delivery has noted", "err", err)
			}
		}
	}
}

// addRoutes makes the configured routes.
func (p *program) addRoutes(o *courier.Options) error {
	var met *oauth.Metrics
	for name, r := range p.cfg.Routes {
		way := courier.Route{Host: string(r.Host), LMTP: r.Protocol == "lmtp", TLS: routeSecurity(r), Source: sourceOf(r)}
		if r.CA != "" {
			roots, err := readRoots(string(r.CA))
			if err != nil {
				return fmt.Errorf("route %s: %w", name, err)
			}
			way.Roots = roots
		}
		if r.User != "" {
			if met == nil && r.OAuth.ClientID != "" {
				var err error
				if met, err = oauth.NewMetrics(p.world.metrics, p.world.now); err != nil {
					return err
				}
			}
			login, err := p.login(name, r, met)
			if err != nil {
				return fmt.Errorf("route %s: %w", name, err)
			}
			way.Login = login
		}
		o.Routes[name] = way
	}
	return nil
}

func sourceOf(r *config.Route) (out []netip.Addr) {
	for _, ip := range r.Source {
		out = append(out, ip.Addr)
	}
	return out
}

// login makes the credentials of a route. A password is looked up for each
// login, so that it can be changed without a restart.
func (p *program) login(name string, r *config.Route, met *oauth.Metrics) (*courier.Login, error) {
	l := &courier.Login{User: r.User}
	if r.Auth != "auto" {
		l.Mechanism = r.Auth
	}
	if r.OAuth.ClientID == "" {
		l.Password = func() (string, error) { return reveal(r.Password, r.PasswordFile) }
		return l, nil
	}
	a := oauth.Account{Name: name, TokenURL: r.OAuth.TokenURL, Scope: r.OAuth.Scope, ClientID: r.OAuth.ClientID}
	var err error
	if a.ClientSecret, err = reveal(r.OAuth.ClientSecret, r.OAuth.ClientSecretFile); err != nil {
		return nil, fmt.Errorf("client secret: %w", err)
	}
	if a.RefreshToken, err = reveal(r.OAuth.RefreshToken, r.OAuth.RefreshTokenFile); err != nil {
		return nil, fmt.Errorf("refresh token: %w", err)
	}
	if r.OAuth.Preset != "none" {
		url, scope, err := oauth.Preset(r.OAuth.Preset, r.OAuth.Tenant, a.RefreshToken == "")
		if err != nil {
			return nil, err
		}
		a.TokenURL = url
		if a.Scope == "" {
			a.Scope = scope
		}
	}
	l.Tokens, err = oauth.New(oauth.Options{
		Account: a, Cache: notes.New(p.db, "oauth", 0), Dial: p.world.dial, Now: p.world.now,
		Random: p.world.random, Log: p.world.log, Metrics: met,
	})
	return l, err
}

// reveal returns a secret from where the configuration says it is; "" if it
// says nothing.
func reveal(s config.Secret, file config.Path) (string, error) {
	if file != "" {
		b, err := os.ReadFile(string(file))
		return trimmed(b), err
	}
	if s.IsZero() {
		return "", nil
	}
	return s.Reveal(os.Getenv, os.ReadFile)
}

func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return roots, nil
}

func routeSecurity(r *config.Route) courier.Security {
	switch r.TLS {
	case "starttls":
		return courier.Verified
	case "starttls-unverified":
		return courier.Encrypted
	case "implicit":
		return courier.Implicit
	case "implicit-unverified":
		return courier.ImplicitAny
	case "none":
		return courier.Clear
	case "auto":
		if ap, err := netip.ParseAddrPort(string(r.Host)); r.User != "" && (err != nil || !ap.Addr().IsLoopback()) {
			return courier.Verified
		}
	}
	return courier.Opportunistic
}

func securityOf(tls string) courier.Security {
	return map[string]courier.Security{
		"none": courier.Clear, "encrypted": courier.Encrypted, "verified": courier.Verified,
	}[tls]
}

// lateOutbox is the outbound queue for the desk, which is built before it: the
// queue reports to the desk. No mail is taken in before both are there.
type lateOutbox struct{ p *program }

func (l lateOutbox) Submit(tx store.Tx, o message.Outbound) error {
	if l.p.outbound == nil {
		return errors.New("the outbound queue is not open yet")
	}
	return submitError(l.p.outbound.Submit(tx, o))
}

// Recall: see Submit.
func (l lateOutbox) Recall(tx store.Tx, parcel, reason string) (gone bool, err error) {
	if l.p.outbound == nil {
		return false, errors.New("the outbound queue is not open yet")
	}
	return l.p.outbound.Recall(tx, parcel, reason)
}
