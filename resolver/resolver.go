// Package resolver promises DNS answers that are no older than their records
// allow, at a bounded price. It asks recursive name servers over UDP, and over
// TCP when an answer is truncated; it keeps what they say for the time the
// records live (RFC 1035 §3.2.1), that something does not exist for as long as
// its zone says (RFC 2308 §5; two seconds if it says nothing), and that nobody
// knew for a few seconds (RFC 9520 §3.2). The same question asked by many at
// once goes out once.
//
// [Resolver.Query] tells apart what the look-up methods of package net mix up:
// no such name, no such record, a server's failure and silence. It also passes
// on the AD bit (RFC 4035 §3.2.3), which means something only if the server and
// the way to it are trusted. The Lookup methods have the shapes of
// *net.Resolver and return bare *net.DNSError values.
//
// Names are always absolute: no search list is applied and no hosts file read,
// but for localhost (RFC 6761 §6.3). Addresses in figures need no question.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

// Options are a resolver's dependencies and limits. Dial and Now are required.
type Options struct {
	Server     string // "ip:port" of the one server to ask; "" = those of ResolvConf
	Trusted    bool   // believe the AD bit although a server is not on this machine
	ResolvConf string // default /etc/resolv.conf, read once; if missing, loopback is asked

	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Now  func() time.Time // ages answers; deadlines use the real clock

	Timeout  time.Duration // one server, one try; default 3 s. One that was silent five times in a row gets half a second until it answers
	Deadline time.Duration // one question, whatever happens; default 10 s
	Rounds   int           // how often each server is tried; default 2

	MaxEntries  int           // answers kept; default 20,000
	MaxBytes    int           // octets of them as they came; default 16 MiB
	MaxTTL      time.Duration // no answer is kept longer; default 24 h
	MaxNegative time.Duration // no absence is kept longer; default 15 min
	FailureTTL  time.Duration // how long a failure is believed; default 5 s
	MaxInFlight int           // questions under way; further ones wait; default 256

	Registerer prometheus.Registerer // nil keeps no metrics
}

// Outcome is what became of a question.
type Outcome uint8

const (
	Found   Outcome = iota // there are records
	NoData                 // the name exists, but has no such record
	NoName                 // there is no such name
	Failed                 // the servers failed, refused or talked nonsense
	Timeout                // nobody answered in time
	BadName                // not a domain name: nobody was asked
)

func (o Outcome) String() string {
	return [...]string{"found", "no data", "no such name", "server failure", "timeout", "not a domain name"}[o]
}

// Final reports whether the answer is final: the records, or that there are
// none. Other outcomes may be different next time.
func (o Outcome) Final() bool { return o != Failed && o != Timeout }

// Answer is what is known about a name and a type. It is shared: callers must
// not change its records.
type Answer struct {
	Outcome   Outcome
	Name      string   // as asked, absolute
	Records   []dns.RR // of the asked type only; aliases (CNAME) are followed
	Canonical string   // the name that owns the records, after all aliases
	Authentic bool     // the server set the AD bit
	Cached    bool     // nobody was asked for this call
	Until     time.Time
	Err       error // why, for the operator; nil for Found, NoData and NoName
}

// Resolver asks and remembers. Its methods may be called from any goroutine.
type Resolver struct {
	o       Options
	servers []*server
	trusted bool // the AD bit means something
	cache   cache
	flights singleflight.Group
	slots   chan struct{}
	metrics *metrics
}

// New returns a resolver. It fails if a required option is missing, Server is
// not "ip:port", or ResolvConf exists but cannot be read.
func New(o Options) (*Resolver, error) {
	if o.Dial == nil || o.Now == nil {
		return nil, errors.New("resolver: dialer and clock are required")
	}
	o.setDefaults()
	r := &Resolver{o: o, slots: make(chan struct{}, o.MaxInFlight)}
	r.cache.init(o.MaxEntries, o.MaxBytes)
	addresses, err := serversOf(o)
	if err != nil {
		return nil, err
	}
	for _, a := range addresses {
		r.servers = append(r.servers, &server{address: a})
	}
	r.trusted = o.Trusted || onLoopback(addresses)
	if r.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, fmt.Errorf("resolver: %w", err)
	}
	return r, nil
}

func (o *Options) setDefaults() {
	durations := []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&o.Timeout, 3 * time.Second}, {&o.Deadline, 10 * time.Second}, {&o.MaxTTL, 24 * time.Hour},
		{&o.MaxNegative, 15 * time.Minute}, {&o.FailureTTL, 5 * time.Second},
	}
	for _, d := range durations {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	counts := []struct {
		v   *int
		def int
	}{{&o.Rounds, 2}, {&o.MaxEntries, 20_000}, {&o.MaxBytes, 16 << 20}, {&o.MaxInFlight, 256}}
	for _, c := range counts {
		if *c.v <= 0 {
			*c.v = c.def
		}
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
}

// Query returns what is known about name's records of a type (dns.TypeTXT …).
// It waits until ctx ends or Options.Deadline has passed, whichever is first.
func (r *Resolver) Query(ctx context.Context, name string, qtype uint16) Answer {
	question, err := newQuestion(name, qtype)
	if err != nil {
		return Answer{Outcome: BadName, Name: name, Err: err}
	}
	key := question.key()
	if a, ok := r.cache.get(key, r.o.Now()); ok {
		r.metrics.cached(qtype)
		a.Cached = true
		return a
	}
	// The flight outlives the caller who began it: others may wait for it, and
	// its answer is worth keeping.
	done := r.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Deadline)
		defer cancel()
		start := r.o.Now()
		a, size := r.ask(ctx, question)
		r.metrics.asked(qtype, a.Outcome, r.o.Now().Sub(start))
		if a.Until.After(r.o.Now()) {
			r.cache.put(key, a, size)
		}
		return a, nil
	})
	select {
	case res := <-done:
		return res.Val.(Answer)
	case <-ctx.Done():
		return Answer{Outcome: Timeout, Name: question.name, Err: context.Cause(ctx)}
	}
}

// LookupTXT returns one string per TXT record of name.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]string, error) {
	a := r.Query(ctx, name, dns.TypeTXT)
	var texts []string
	for _, rr := range a.Records {
		if t, ok := rr.(*dns.TXT); ok {
			texts = append(texts, plainText(t.Txt))
		}
	}
	return texts, a.netError()
}

// LookupMX returns the mail exchangers of name, best first. A null MX (RFC
// 7505) is the host ".".
func (r *Resolver) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	a := r.Query(ctx, name, dns.TypeMX)
	var mxs []*net.MX
	for _, rr := range a.Records {
		if mx, ok := rr.(*dns.MX); ok {
			mxs = append(mxs, &net.MX{Host: mx.Mx, Pref: mx.Preference})
		}
	}
	sortMX(mxs)
	return mxs, a.netError()
}

// LookupNetIP returns the addresses of host; network is ip, ip4 or ip6. With
// ip it returns what it found even if one of the two families failed.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if ips, ok := literal(network, host); ok {
		return ips, nil
	}
	switch network {
	case "ip4":
		a := r.Query(ctx, host, dns.TypeA)
		return a.addresses(), a.netError()
	case "ip6":
		a := r.Query(ctx, host, dns.TypeAAAA)
		return a.addresses(), a.netError()
	case "ip":
	default:
		return nil, net.UnknownNetworkError(network)
	}
	var four, six Answer
	var wg sync.WaitGroup
	wg.Go(func() { six = r.Query(ctx, host, dns.TypeAAAA) })
	four = r.Query(ctx, host, dns.TypeA)
	wg.Wait()
	ips := append(four.addresses(), six.addresses()...)
	if len(ips) > 0 {
		return ips, nil
	}
	if !six.Outcome.Final() {
		return nil, six.netError()
	}
	return nil, four.netError()
}

// LookupIPAddr is LookupNetIP in an older shape.
func (r *Resolver) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	ips, err := r.LookupNetIP(ctx, "ip", host)
	var addrs []net.IPAddr
	for _, ip := range ips {
		addrs = append(addrs, net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()})
	}
	return addrs, err
}

// LookupAddr returns the names of an address (PTR), absolute.
func (r *Resolver) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		return nil, &net.DNSError{Err: "not an address", Name: addr, IsNotFound: true}
	}
	a := r.Query(ctx, name, dns.TypePTR)
	var names []string
	for _, rr := range a.Records {
		if ptr, ok := rr.(*dns.PTR); ok {
			names = append(names, ptr.Ptr)
		}
	}
	return names, a.netError()
}

func (a *Answer) addresses() (ips []netip.Addr) {
	for _, rr := range a.Records {
		var ip net.IP
		switch rr := rr.(type) {
		case *dns.A:
			ip = rr.A.To4()
		case *dns.AAAA:
			ip = rr.AAAA.To16()
		}
		if addr, ok := netip.AddrFromSlice(ip); ok {
			ips = append(ips, addr)
		}
	}
	return ips
}

// netError is nil or a bare *net.DNSError: libraries look at it by type
// assertion.
func (a *Answer) netError() error {
	if a.Outcome == Found {
		return nil
	}
	e := &net.DNSError{Err: a.Outcome.String(), Name: strings.TrimSuffix(a.Name, ".")}
	if a.Err != nil {
		e.Err += ": " + a.Err.Error()
	}
	switch a.Outcome {
	case Timeout:
		e.IsTimeout, e.IsTemporary = true, true
	case Failed:
		e.IsTemporary = true
	default:
		e.IsNotFound = true
	}
	return e
}

// literal answers for addresses in figures and for localhost.
func literal(network, host string) ([]netip.Addr, bool) {
	var all []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		all = []netip.Addr{ip}
	} else if h := strings.ToLower(strings.TrimSuffix(host, ".")); h == "localhost" || strings.HasSuffix(h, ".localhost") {
		all = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	var fit []netip.Addr
	for _, ip := range all {
		if network == "ip" || network == "ip4" && ip.Unmap().Is4() || network == "ip6" && !ip.Unmap().Is4() {
			fit = append(fit, ip)
		}
	}
	return fit, len(fit) > 0
}
