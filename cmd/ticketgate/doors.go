package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"ticketgate/config"
	"ticketgate/gateway/api"
	"ticketgate/gateway/intake"
	"ticketgate/gateway/mailauth"
	"ticketgate/gateway/replay"
	"ticketgate/gateway/smtpd"
)

// openDoors opens the listeners, the SMTP one last: by then everything a mail
// needs is there.
func (p *program) openDoors(ctx context.Context) error {
	if err := p.openIntake(); err != nil {
		return err
	}
	if err := p.openCerts(); err != nil {
		return err
	}
	if err := p.openHTTP(ctx); err != nil {
		return err
	}
	if err := p.openSMTP(ctx); err != nil {
		return err
	}
	// Only now: an authority comes in by the doors to see who we are.
	p.background("certificates", p.certs.Run)
	return nil
}

// openIntake opens the one way in.
func (p *program) openIntake() error {
	checker, err := mailauth.New(mailauth.Options{DNS: p.world.resolver, Now: p.world.now})
	if err != nil {
		return err
	}
	p.intake, err = intake.New(intake.Options{
		Desk:       p.desk,
		Auth:       checker,
		Blobs:      p.blobs,
		Space:      p.db.Space,
		Hostname:   string(p.cfg.Hostname),
		Now:        p.world.now,
		Log:        p.world.log,
		Registerer: p.world.metrics,
		MaxSize:    int64(p.cfg.Limits.MessageSize),
	})
	return err
}

func (p *program) openSMTP(ctx context.Context) error {
	lmtpNetwork, lmtpAddress := p.cfg.Listen.LMTP.Split()
	doors := slices.DeleteFunc([]mailDoor{
		{"smtp", smtpd.MX, "tcp", string(p.cfg.Listen.SMTP)},
		{"submissions", smtpd.Submissions, "tcp", string(p.cfg.Listen.Submissions)},
		{"submission", smtpd.Submission, "tcp", string(p.cfg.Listen.Submission)},
		{"lmtp", smtpd.LMTP, lmtpNetwork, lmtpAddress},
	}, func(d mailDoor) bool { return d.address == "" })
	if len(doors) == 0 {
		return nil
	}
	perIP := p.cfg.Limits.PerIPConnections
	var err error
	p.smtp, err = smtpd.New(smtpd.Options{
		Hostname: string(p.cfg.Hostname),
		Intake:   p.intake,
		TLS:      p.certs.TLS(),

		ClientCerts: p.clientCerts(),
		Panicked:    p.panics.Inc,
		Auth:        newMailLogin(p.cfg, p.passwords),
		Domains:     p.domains(),
		NullMX:      p.nullMX,
		Proxies:     prefixes(p.cfg.Proxies),
		Limits: smtpd.Limits{
			Total:      p.cfg.Limits.Connections,
			PerIP:      perIP,
			PerNet:     3 * perIP,
			PerWide:    9 * perIP,
			Deny:       prefixes(p.cfg.Limits.Deny),
			Recipients: p.cfg.Limits.Recipients,
			PreGreet:   preGreet,
			Unlimited:  p.ownHosts(),
		},
		Now:        p.world.now,
		Random:     p.world.random,
		Log:        p.world.log,
		Registerer: p.world.metrics,
	})
	if err != nil {
		return err
	}
	// All are opened before any is served: one that cannot be opened ends the
	// start, and nobody has been let in by then.
	var open []net.Listener
	for _, d := range doors {
		l, err := p.openMailDoor(ctx, d)
		if err != nil {
			for _, l := range open {
				l.Close()
			}
			return err
		}
		open = append(open, l)
	}
	for i, d := range doors {
		p.background(d.name+" listener", func(context.Context) error { return p.smtp.Serve(open[i], d.kind) })
	}
	p.onStop("smtp sessions", p.smtp.Shutdown)
	return nil
}

// mailDoor is a place where mail comes in.
type mailDoor struct{ name, kind, network, address string }

func (p *program) openMailDoor(ctx context.Context, d mailDoor) (net.Listener, error) {
	if d.network != "unix" {
		return p.listen(ctx, d.name, d.address)
	}
	// The store's lock says that no other daemon of this store lives here.
	if info, err := os.Lstat(d.address); err == nil && info.Mode()&os.ModeSocket != 0 {
		if err := os.Remove(d.address); err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
	}
	l, err := p.world.listen(ctx, d.network, d.address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	if err := os.Chmod(d.address, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	p.addrs[d.name] = d.address
	return l, nil
}

// clientCerts reports whether a forwarder is told by its certificate. Nobody
// else is asked for one: some clients stumble over the question.
func (p *program) clientCerts() bool {
	for _, q := range p.cfg.Queues {
		if slices.ContainsFunc(q.TrustedForwarders, func(f config.Forwarder) bool { return f.Certificate != "" }) {
			return true
		}
	}
	return false
}

// nullMX reports whether a domain declares that it takes no mail (RFC 7505):
// its only mail exchanger is the root.
func (p *program) nullMX(ctx context.Context, domain string) bool {
	mx, err := p.world.resolver.LookupMX(ctx, domain)
	return err == nil && len(mx) == 1 && mx[0].Host == "."
}

// preGreet is how long strangers have to wait for the greeting; only bots
// speak first.
const preGreet = 500 * time.Millisecond

// ownHosts are peers that are not strangers: this machine, and the hosts that
// vouch for what they hand us.
func (p *program) ownHosts() []netip.Prefix {
	hosts := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, q := range p.cfg.Queues {
		for _, f := range q.TrustedForwarders {
			if f.Network.IsValid() {
				hosts = append(hosts, f.Network.Prefix)
			}
		}
	}
	return hosts
}

func (p *program) openHTTP(ctx context.Context) error {
	a, err := api.New(api.Options{
		Desk:     p.desk,
		Outbound: outboundPort{p.outbound},
		Intake:   p.intakePort(),
		Tokens:   p.tokens,

		AppPasswords: p.passwords,
		Control:      p.control(),
		Suppressions: p.control(),
		Keys:         keysPort{p.dkim, p.outbound},
		OptOuts:      p.desk,
		Admit:        p.admit,

		Notifications: p.history(),
		House:         house{p},
		Replays:       replay.New(p.db),
		Records:       p.dnsRecords,
		Panicked:      p.panics.Inc,
		Hostname:      string(p.cfg.Hostname),
		PublicURL:     p.publicURL(),
		MaxMessage:    int64(p.cfg.Limits.MessageSize),
		Version:       version,
		Now:           p.world.now,
		Random:        p.world.random,
		Log:           p.world.log,
		Registerer:    p.world.metrics,
	})
	if err != nil {
		return err
	}
	p.api = a
	if err := p.serveHTTP(ctx, "http", string(p.cfg.Listen.HTTP), p.certs.Challenges(a.Handler())); err != nil {
		return err
	}
	if err := p.serveSocket(ctx, a.LocalHandler()); err != nil {
		return err
	}
	admin, err := p.adminHandler()
	if err != nil {
		return err
	}
	return p.serveHTTP(ctx, "admin", string(p.cfg.Listen.Admin), admin)
}

func (p *program) adminHandler() (http.Handler, error) {
	o := api.AdminOptions{
		Live: []api.Check{{Name: "process", Func: func(context.Context) error { return nil }}},
		Ready: []api.Check{
			{Name: "running", Func: func(context.Context) error {
				if p.stopping.Load() {
					return errors.New("stopping")
				}
				return nil
			}},
			{Name: "listeners", Func: func(context.Context) error {
				if !p.open.Load() {
					return errors.New("still starting")
				}
				return nil
			}},
			{Name: "store", Func: func(context.Context) error { return p.db.Space() }},
		},
		Log: p.world.log,
	}
	if p.cfg.Metrics.Enabled {
		o.Gatherer = p.world.metrics
	}
	token, err := p.metricsToken()
	o.MetricsToken = token
	return api.AdminHandler(o), err
}

func (p *program) metricsToken() (string, error) {
	if f := p.cfg.Metrics.TokenFile; f != "" {
		b, err := os.ReadFile(string(f))
		return trimmed(b), err
	}
	if p.cfg.Metrics.Token.IsZero() {
		return "", nil
	}
	return p.cfg.Metrics.Token.Reveal(os.Getenv, os.ReadFile)
}

func (p *program) publicURL() string {
	if p.cfg.PublicURL != "" {
		return p.cfg.PublicURL
	}
	return "https://" + string(p.cfg.Hostname)
}

// listen opens a listener and remembers its address.
func (p *program) listen(ctx context.Context, name, address string) (net.Listener, error) {
	l, err := p.world.listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.addrs[name] = l.Addr().String()
	return l, nil
}

// serveHTTP serves a handler on an address; "" is off.
func (p *program) serveHTTP(ctx context.Context, name, address string, h http.Handler) error {
	if address == "" {
		return nil
	}
	l, err := p.listen(ctx, name, address)
	if err != nil {
		return err
	}
	p.runHTTP(name, l, h)
	return nil
}

// serveSocket serves local commands on a socket that only this user can open.
func (p *program) serveSocket(ctx context.Context, h http.Handler) error {
	path := socketPath(p.cfg)
	// The store's lock says that no other daemon lives here, so a socket that
	// is there belongs to one that died.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := p.world.listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return err
	}
	p.runHTTP("control socket", l, h)
	return nil
}

func (p *program) runHTTP(name string, l net.Listener, h http.Handler) {
	server := p.api.Server(h)
	p.background(name, func(context.Context) error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	p.onStop(name, server.Shutdown)
}

// dnsRecords are what the administrator publishes for our domains.
func (p *program) dnsRecords(ctx context.Context) ([]api.Record, error) {
	var out []api.Record
	for _, domain := range p.domains() {
		keys, err := p.dkim.Records(ctx, domain)
		if err != nil {
			return nil, err
		}
		out = append(out,
			api.Record{Domain: domain, Name: domain, Type: "MX", Value: "10 " + string(p.cfg.Hostname) + "."},
			api.Record{Domain: domain, Name: domain, Type: "TXT", Value: `"v=spf1 mx -all"`, Text: "v=spf1 mx -all"},
			api.Record{Domain: domain, Name: "_dmarc." + domain, Type: "TXT", Value: `"v=DMARC1; p=none"`, Text: "v=DMARC1; p=none"},
		)
		for _, k := range keys {
			out = append(out, api.Record{Domain: domain, Name: k.Name, Type: k.Type, Value: k.Value, Text: k.Text})
		}
	}
	return out, nil
}
