// Package courier promises to hand one mail to the mail servers of one
// destination, and to say for every recipient what became of it: accepted by a
// reply that was read, refused for good, or to be tried again. It speaks SMTP
// as a client (RFC 5321) with its own bounded reader: no reply, however long,
// slow or broken, costs more than a few kilobytes and a deadline.
//
// A transaction is tried on the mail exchangers in order until one of them
// talks business; from the final dot on there is never a second try. What a
// peer says comes back sanitised and at most [MaxText] bytes long.
//
// What TLS must be is decided for each exchanger in this order: the mail's own
// demand (REQUIRETLS, RFC 8689), the administrator's word, DANE (RFC 7672)
// where a validating resolver is on this machine, MTA-STS (RFC 8461). Where
// nobody asks for more, TLS is opportunistic (RFC 7435): used whenever it is
// offered, certificates are looked at but not required, and a host whose
// handshake fails is asked again once in clear and remembered for a while.
// What was asked for and what was had stands in every [Result].
//
// The package knows no queue and no store. Clock, randomness, resolver and
// dialer are arguments.
package courier

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/delivery/mtasts"
)

// Resolver is what the courier asks of DNS; *net.Resolver fits.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// SecureResolver also knows what DNSSEC has proved; *resolver.Resolver fits. A
// Resolver that is one and says that it is Trusted turns DANE on.
type SecureResolver interface {
	Trusted() bool
	SecureMX(ctx context.Context, name string) (mxs []*net.MX, secure bool, err error)
	SecureNetIP(ctx context.Context, host string) (ips []netip.Addr, canonical string, secure bool, err error)
	// LookupTLSA returns no records and no error if there are none, an error
	// if that cannot be told.
	LookupTLSA(ctx context.Context, host string, port int) (list []*dns.TLSA, secure bool, err error)
}

// Policies knows the MTA-STS policies of recipient domains; *mtasts.Policies
// fits. ok is false if a domain has none, or none that could be had.
type Policies interface {
	Policy(ctx context.Context, domain string) (p mtasts.Policy, ok bool)
}

// Options are a courier's dependencies and limits. Hostname, Resolver, Dial,
// Now and Random are required.
type Options struct {
	Hostname  string // what EHLO says: our public name
	Smarthost string // "host:port": everything goes there; "" = by MX
	Port      int    // of mail exchangers; 0 = 25

	// AllowPrivate lets mail exchangers have loopback and private addresses.
	// Without it a stranger's MX record could point our deliveries at our own
	// network. A smarthost is our own word and may be anywhere.
	AllowPrivate bool

	// Routes are ways out by name, QueueRoutes says which ticket queues take
	// which; the queue "" stands for all others. Without it they take
	// Smarthost, or go by MX.
	Routes       map[string]Route
	QueueRoutes  map[string]string
	SecureQueues map[string]bool // whose mail requires TLS to the end (RFC 8689)
	Destinations []Destination   // the administrator's word on the TLS of others
	Policies     Policies        // nil: no MTA-STS
	Broken       Memory          // of the hosts whose TLS is broken; nil: until the courier ends

	Resolver Resolver
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	// DialFrom is Dial with our end of the connection; needed for Route.Source.
	DialFrom func(ctx context.Context, from netip.Addr, network, addr string) (net.Conn, error)
	Now      func() time.Time
	Random   io.Reader      // shuffles exchangers of equal preference
	Roots    *x509.CertPool // for Result.TLS.Verified; nil = the system's

	Timeouts   Timeouts // zero fields take DefaultTimeouts
	Reuse      Reuse    // zero fields take DefaultReuse
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Timeouts bound every wait. Replies have one deadline for all their lines;
// Write is a deadline for each write of up to 32 KiB.
type Timeouts struct {
	DNS, Dial, TLS            time.Duration
	Greeting, Hello, StartTLS time.Duration
	Auth                      time.Duration
	Mail, Rcpt, Data, Dot     time.Duration
	Write, Quit               time.Duration
	Total                     time.Duration // one Carry, whatever happens
}

// DefaultTimeouts are those of RFC 5321 §4.5.3.2 where it has an opinion.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		DNS: 30 * time.Second, Dial: 30 * time.Second, TLS: time.Minute,
		Greeting: 5 * time.Minute, Hello: 5 * time.Minute, StartTLS: 2 * time.Minute,
		Auth: 2 * time.Minute,
		Mail: 5 * time.Minute, Rcpt: 5 * time.Minute, Data: 2 * time.Minute, Dot: 10 * time.Minute,
		Write: 3 * time.Minute, Quit: 5 * time.Second,
		Total: 45 * time.Minute,
	}
}

// Reuse bounds how long and how often a connection serves.
type Reuse struct {
	Messages      int           // per connection
	Age           time.Duration // of a connection
	Idle          time.Duration // between two mails, to a mail exchanger
	SmarthostIdle time.Duration // between two mails, to the smarthost
	Connections   int           // idle ones in all
}

// DefaultReuse is polite to strangers and patient with the smarthost.
func DefaultReuse() Reuse {
	return Reuse{Messages: 100, Age: 5 * time.Minute, Idle: 5 * time.Second, SmarthostIdle: time.Minute, Connections: 200}
}

// Courier carries mail. Its methods may be called from any goroutine.
type Courier struct {
	o      Options
	secure SecureResolver // nil: no DANE
	routes routeMemory
	broken brokenTLS
	pool   *pool
	met    metrics
	rand   sync.Mutex // Options.Random
}

// New returns a courier. It fails if a required option is missing or the
// smarthost is not "host:port".
func New(o Options) (*Courier, error) {
	switch {
	case o.Hostname == "" || !plainToken(o.Hostname):
		return nil, errors.New("courier: a hostname is required")
	case o.Resolver == nil || o.Dial == nil || o.Now == nil || o.Random == nil:
		return nil, errors.New("courier: resolver, dialer, clock and random source are required")
	}
	if o.Smarthost != "" {
		if host, port, err := net.SplitHostPort(o.Smarthost); err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("courier: smarthost %q is not host:port", o.Smarthost)
		}
	}
	for name, r := range o.Routes {
		if err := r.check(&o); err != nil {
			return nil, fmt.Errorf("courier: route %s: %w", name, err)
		}
	}
	for queue, name := range o.QueueRoutes {
		if _, ok := o.Routes[name]; !ok {
			return nil, fmt.Errorf("courier: queue %q has the unknown route %q", queue, name)
		}
	}
	if o.Port == 0 {
		o.Port = 25
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	fillZero(&o)
	c := &Courier{o: o, broken: brokenTLS{kept: o.Broken, log: o.Log}}
	c.met = newMetrics(o.Registerer)
	c.pool = newPool(&c.o)
	if r, ok := o.Resolver.(SecureResolver); ok && r.Trusted() {
		c.secure = r
	}
	return c, nil
}

func fillZero(o *Options) {
	d, t := DefaultTimeouts(), &o.Timeouts
	for _, p := range []struct{ v, def *time.Duration }{
		{&t.DNS, &d.DNS}, {&t.Dial, &d.Dial}, {&t.TLS, &d.TLS},
		{&t.Greeting, &d.Greeting}, {&t.Hello, &d.Hello}, {&t.StartTLS, &d.StartTLS}, {&t.Auth, &d.Auth},
		{&t.Mail, &d.Mail}, {&t.Rcpt, &d.Rcpt}, {&t.Data, &d.Data}, {&t.Dot, &d.Dot},
		{&t.Write, &d.Write}, {&t.Quit, &d.Quit}, {&t.Total, &d.Total},
	} {
		if *p.v <= 0 {
			*p.v = *p.def
		}
	}
	r, dr := &o.Reuse, DefaultReuse()
	if r.Messages <= 0 {
		r.Messages = dr.Messages
	}
	if r.Connections <= 0 {
		r.Connections = dr.Connections
	}
	if r.Age <= 0 {
		r.Age = dr.Age
	}
	if r.Idle <= 0 {
		r.Idle = dr.Idle
	}
	if r.SmarthostIdle <= 0 {
		r.SmarthostIdle = dr.SmarthostIdle
	}
}

// maxTries bounds the connections one Carry opens, fallbacks in clear aside.
const maxTries = 6

// Carry tries to deliver t and returns one Result per recipient, in the order
// of t.To. It ends at the latest after Timeouts.Total or when ctx does; a
// result is then temporary, and Ambiguous if the final dot had been sent.
func (c *Courier) Carry(ctx context.Context, t Transaction) []Result {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeouts.Total)
	defer cancel()
	env, results := newEnvelope(&t)
	if len(env.to) == 0 {
		return results
	}
	t.RequireTLS = t.RequireTLS || c.o.SecureQueues[t.Queue]
	w, fail := c.wayOf(&t)
	if fail != nil {
		env.settle(results, fail)
		return results
	}
	hops, fail := c.route(ctx, &w, t.Destination)
	if fail != nil {
		env.settle(results, fail)
		return results
	}
	found := c.policyOf(ctx, hops)
	fail = nil
	tries := 0
	for _, h := range hops {
		pairs, pol, f := c.ready(ctx, &t, &w, &h, found)
		if f != nil {
			fail = worse(fail, f)
			continue
		}
		for _, p := range pairs {
			if tries == maxTries || ctx.Err() != nil {
				break
			}
			tries++
			out := c.try(ctx, &call{way: &w, hop: h, pair: p, policy: pol}, env)
			if out.fail == nil {
				env.merge(results, out.results)
				return results
			}
			if out.fail.wait > 0 {
				if fail == nil {
					fail = out.fail
				}
				env.settle(results, fail) // the next address would be one more connection
				return results
			}
			fail = worse(fail, out.fail)
			if out.fail.phase == PhaseAuth && out.fail.reply != nil && out.fail.reply.class() == 5 {
				// The same credentials at the next address are the same
				// mistake, and servers lock accounts for repeating it.
				env.settle(results, out.fail)
				return results
			}
		}
	}
	if fail == nil {
		fail = &failure{phase: PhaseDial, err: errors.New("no address could be tried")}
	}
	if err := ctx.Err(); err != nil && fail.err == nil && fail.reply == nil {
		fail.err = err
	}
	env.settle(results, fail)
	return results
}

// worse is what counts of two failures at different servers: the later one,
// unless it is final and the earlier one is not. One server that cannot take
// the mail is no verdict while another has not been heard.
func worse(old, f *failure) *failure {
	if old != nil && !old.final && f.final {
		return old
	}
	return f
}

// call is one connection to be had.
type call struct {
	way    *way
	hop    hop
	pair   pair
	policy policy
}

// key says which sessions may serve the same calls. TLS is not in it: whether a
// session's fits is asked of the policy.
func (k *call) key() string { return k.pair.addr + " " + k.pair.from.String() + " " + k.way.name }

// policyOf asks for the MTA-STS policy of the domain that the hops are for.
func (c *Courier) policyOf(ctx context.Context, hops []hop) *mtasts.Policy {
	if c.o.Policies == nil || hops[0].relay || hops[0].domain == "" {
		return nil
	}
	if p, ok := c.o.Policies.Policy(ctx, hops[0].domain); ok {
		return &p
	}
	return nil
}

// ready finds a hop's addresses and what its TLS must be.
func (c *Courier) ready(ctx context.Context, t *Transaction, w *way, h *hop, found *mtasts.Policy) ([]pair, policy, *failure) {
	pairs, fail := c.addresses(ctx, w, h)
	if fail != nil {
		return nil, policy{}, fail
	}
	pol, fail := c.policyFor(t, w, h, found)
	return pairs, pol, fail
}

// try uses an idle connection or opens one. An idle connection that turns out
// to be dead says nothing about the host: it is replaced.
func (c *Courier) try(ctx context.Context, k *call, env *envelope) outcome {
	for {
		s := c.pool.take(k.key(), k.policy.fits)
		if s == nil {
			break
		}
		if out := c.use(ctx, s, env); out.fail == nil {
			return out
		}
	}
	if connect := env.t.Connect; connect != nil {
		if wait := connect(); wait > 0 {
			return outcome{fail: &failure{phase: PhaseDial, wait: wait, enhanced: "4.4.5", text: "no more new connections just now"}}
		}
	}
	s, fail := c.open(ctx, k)
	if fail != nil {
		c.o.Log.Debug("no session", "host", k.hop.host, "addr", k.pair.addr, "phase", fail.phase, "cause", fail.err)
		return outcome{fail: fail}
	}
	return c.use(ctx, s, env)
}

func (c *Courier) use(ctx context.Context, s *session, env *envelope) outcome {
	release := s.wire.watch(ctx)
	out := s.transact(ctx, env)
	if !release() {
		out.reusable = false
	}
	s.sent++
	if out.reusable {
		c.pool.put(s, env.t.Messages)
	} else {
		c.pool.retire(s, out.polite)
	}
	return out
}

// Close says QUIT on every idle connection and waits for the answers, at most
// Timeouts.Quit or until ctx ends. Connections in use are closed by their Carry.
func (c *Courier) Close(ctx context.Context) error { return c.pool.close(ctx) }

func plainToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}
