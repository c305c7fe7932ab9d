package courier

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxHops        = 10 // mail exchangers considered
	maxAddrs       = 4  // addresses of one of them
	routeLife      = time.Minute
	routesKept     = 2000
	nullMXText     = "the domain accepts no mail"
	noDomainText   = "the domain does not exist or has no mail server"
	privateText    = "the domain's mail servers have only private addresses"
	loopText       = "the domain's mail exchanger is this server"
	dnsText        = "the destination cannot be looked up now"
	noAddressText  = "the mail exchanger has no address"
	sourceText     = "none of our addresses is of the mail exchanger's family"
	badLiteralText = "mail to private addresses is not carried"
)

// hop is one host to try.
type hop struct {
	host   string // name, for the report; an IP address if there is no name
	port   string
	ip     netip.Addr // given with the destination; else the name is looked up
	relay  bool       // a host of our own choice, private or not
	route  string     // its name, or the relay's; "" if by MX
	lmtp   bool
	socket string // of an LMTP server on this machine
	domain string // the recipient's
	secure bool   // DNSSEC proves that it is the domain's exchanger

	// With its addresses a secure hop gets its TLSA records (RFC 7672).
	dane bool
	tlsa []*dns.TLSA
	base string // the name they stand under
}

// pair is the two ends of a connection.
type pair struct {
	addr string // "ip:port", or the path of a socket
	from netip.Addr
}

// route returns the hosts for a destination in the order in which they are to
// be tried (RFC 5321 §5.1, RFC 7505 for the null MX).
func (c *Courier) route(ctx context.Context, w *way, destination string) ([]hop, *failure) {
	if path, ok := strings.CutPrefix(w.Host, "unix:"); ok {
		return []hop{{host: path, socket: path, relay: true, lmtp: true, route: w.name}}, nil
	}
	if w.Host != "" {
		host, port, _ := net.SplitHostPort(w.Host)
		h := hop{host: host, port: port, relay: true, lmtp: w.LMTP, route: cmp.Or(w.name, host)}
		h.ip, _ = netip.ParseAddr(host)
		return []hop{h}, nil
	}
	port := strconv.Itoa(c.o.Port)
	domain, err := WireDomain(destination)
	if err != nil {
		return nil, &failure{phase: PhaseRoute, final: true, enhanced: "5.1.2", text: noDomainText, err: err}
	}
	if ip, ok := literal(domain); ok {
		if !c.o.AllowPrivate && !Public(ip) {
			return nil, &failure{phase: PhaseRoute, final: true, enhanced: "5.4.4", text: badLiteralText}
		}
		return []hop{{host: ip.String(), port: port, ip: ip}}, nil
	}
	if hops := c.routes.get(domain, c.o.Now()); hops != nil {
		return hops, nil
	}
	hops, fail := c.exchangers(ctx, domain, port)
	if fail == nil {
		c.routes.put(domain, hops, c.o.Now())
	}
	return hops, fail
}

func (c *Courier) exchangers(ctx context.Context, domain, port string) ([]hop, *failure) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeouts.DNS)
	defer cancel()
	mxs, secure, err := c.lookupMX(ctx, domain+".")
	if err != nil && len(mxs) == 0 {
		if !notFound(err) {
			return nil, &failure{phase: PhaseRoute, enhanced: "4.4.3", text: dnsText, err: err}
		}
		// No MX: the domain itself is the host. Its address is looked up here,
		// because its absence is a verdict on the domain.
		if _, err := c.o.Resolver.LookupNetIP(ctx, "ip", domain+"."); err != nil {
			if notFound(err) {
				return nil, &failure{phase: PhaseRoute, final: true, enhanced: "5.1.2", text: noDomainText, err: err}
			}
			return nil, &failure{phase: PhaseRoute, enhanced: "4.4.3", text: dnsText, err: err}
		}
		return []hop{{host: domain, port: port, domain: domain, secure: secure}}, nil
	}
	if len(mxs) == 1 && strings.TrimSuffix(mxs[0].Host, ".") == "" {
		return nil, &failure{phase: PhaseRoute, final: true, enhanced: "5.1.10", text: nullMXText}
	}
	hops, self := c.order(mxs, port)
	if len(hops) == 0 {
		if self {
			return nil, &failure{phase: PhaseRoute, final: true, enhanced: "5.4.6", text: loopText}
		}
		return nil, &failure{phase: PhaseRoute, enhanced: "4.4.4", text: noAddressText, err: errors.New("no usable MX record")}
	}
	for i := range hops {
		hops[i].domain, hops[i].secure = domain, secure
	}
	return hops, nil
}

func (c *Courier) lookupMX(ctx context.Context, name string) (mxs []*net.MX, secure bool, err error) {
	if c.secure != nil {
		return c.secure.SecureMX(ctx, name)
	}
	mxs, err = c.o.Resolver.LookupMX(ctx, name)
	return mxs, false, err
}

// order sorts by preference, shuffles equals, drops what is no host name, and
// drops ourselves with everything that is not better than us. self says that
// we were in the list.
func (c *Courier) order(mxs []*net.MX, port string) (hops []hop, self bool) {
	mxs = slices.Clone(mxs)
	c.shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b *net.MX) int { return cmp.Compare(a.Pref, b.Pref) })
	limit := -1
	for _, mx := range mxs {
		if limit < 0 && strings.EqualFold(strings.TrimSuffix(mx.Host, "."), c.o.Hostname) {
			limit = int(mx.Pref)
		}
	}
	for _, mx := range mxs {
		if limit >= 0 && int(mx.Pref) >= limit || len(hops) == maxHops {
			break
		}
		h := hop{host: strings.ToLower(strings.TrimSuffix(mx.Host, ".")), port: port}
		if ip, err := netip.ParseAddr(h.host); err == nil {
			h.ip = ip.Unmap() // forbidden, yet common, and its meaning is plain
		} else if h.host, err = WireDomain(h.host); err != nil {
			continue
		}
		if !slices.ContainsFunc(hops, func(o hop) bool { return o.host == h.host && o.ip == h.ip }) {
			hops = append(hops, h)
		}
	}
	return hops, limit >= 0
}

// addresses returns where a hop can be reached and from where, families
// alternating. Of a secure hop it also finds the TLSA records.
func (c *Courier) addresses(ctx context.Context, w *way, h *hop) ([]pair, *failure) {
	if h.socket != "" {
		return []pair{{addr: h.socket}}, nil
	}
	ips := []netip.Addr{h.ip}
	if !h.ip.IsValid() {
		ctx, cancel := context.WithTimeout(ctx, c.o.Timeouts.DNS)
		defer cancel()
		var fail *failure
		if ips, fail = c.lookupIPs(ctx, h); fail != nil {
			return nil, fail
		}
	}
	var six, four []netip.Addr
	for _, ip := range ips {
		ip = ip.Unmap()
		switch {
		case !h.relay && !c.o.AllowPrivate && !Public(ip):
		case ip.Is4():
			four = append(four, ip)
		default:
			six = append(six, ip)
		}
	}
	if len(six)+len(four) == 0 {
		// Temporary: the next exchanger may do, and a split-horizon mistake heals.
		return nil, &failure{phase: PhaseRoute, enhanced: "4.4.4", text: privateText, host: h.host,
			err: fmt.Errorf("%s has %d addresses, none usable", h.host, len(ips))}
	}
	var out []pair
	for i := 0; len(out) < maxAddrs && (i < len(six) || i < len(four)); i++ {
		for _, list := range [][]netip.Addr{six, four} {
			if i >= len(list) {
				continue
			}
			if from, ok := w.source(list[i]); ok {
				out = append(out, pair{addr: net.JoinHostPort(list[i].String(), h.port), from: from})
			}
		}
	}
	if len(out) == 0 {
		return nil, &failure{phase: PhaseRoute, enhanced: "4.4.4", text: sourceText, host: h.host}
	}
	return out, nil
}

func (c *Courier) lookupIPs(ctx context.Context, h *hop) ([]netip.Addr, *failure) {
	name := h.host
	if !h.relay {
		name += "."
	}
	var ips []netip.Addr
	var canonical string
	var secure bool
	var err error
	if c.secure != nil && h.secure {
		ips, canonical, secure, err = c.secure.SecureNetIP(ctx, name)
	} else {
		ips, err = c.o.Resolver.LookupNetIP(ctx, "ip", name)
	}
	if err != nil {
		f := &failure{phase: PhaseRoute, enhanced: "4.4.3", text: dnsText, err: err, host: h.host}
		if notFound(err) {
			f.enhanced, f.text = "4.4.4", noAddressText
		}
		return nil, f
	}
	if secure {
		port, _ := strconv.Atoi(h.port)
		if fail := c.lookupTLSA(ctx, h, strings.TrimSuffix(canonical, "."), port); fail != nil {
			return nil, fail
		}
	}
	return ips, nil
}

// Public reports whether an address can belong to somebody else's mail server.
func Public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	if ip.Is4() {
		b := ip.As4()
		return b[0] != 0 && !(b[0] == 100 && b[1]&0xc0 == 64) // "this network", carrier NAT
	}
	return true
}

func notFound(err error) bool {
	var d *net.DNSError
	return errors.As(err, &d) && d.IsNotFound
}

func (c *Courier) shuffle(n int, swap func(i, j int)) {
	if n < 2 {
		return
	}
	var seed [16]byte
	c.rand.Lock()
	_, err := io.ReadFull(c.o.Random, seed[:])
	c.rand.Unlock()
	if err != nil {
		return // the order of the answer is random enough to go on with
	}
	rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed[:8]), binary.BigEndian.Uint64(seed[8:]))).Shuffle(n, swap)
}

// routeMemory keeps routes for a minute, so that many mails for one
// destination in a row cost one look-up.
type routeMemory struct {
	mu sync.Mutex
	m  map[string]knownRoute
}

type knownRoute struct {
	hops  []hop
	until time.Time
}

func (r *routeMemory) get(domain string, now time.Time) []hop {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.m[domain]; ok && now.Before(k.until) && k.until.Sub(now) <= routeLife {
		return k.hops
	}
	return nil
}

func (r *routeMemory) put(domain string, hops []hop, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.m == nil || len(r.m) >= routesKept {
		r.m = map[string]knownRoute{} // a minute's memory is cheap to lose
	}
	r.m[domain] = knownRoute{hops: hops, until: now.Add(routeLife)}
}
