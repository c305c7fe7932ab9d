package courier

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Security is how much TLS a way asks for.
type Security string

// What a way may ask for, from little to much.
const (
	Opportunistic Security = ""           // TLS if offered, any certificate; in clear where it fails
	Clear         Security = "none"       // no TLS even if offered
	Encrypted     Security = "encrypted"  // TLS, any certificate
	Verified      Security = "verified"   // TLS, and a certificate for the host's name
	Implicit      Security = "implicit"   // the same, from the first octet (RFC 8314)
	ImplicitAny   Security = "unverified" // TLS from the first octet, any certificate
)

// Route is a way for mail to leave. The zero Route is by MX from any address.
type Route struct {
	// Host is the next hop for everything: "host:port", or "unix:/path" of an
	// LMTP socket; "" = by MX.
	Host   string
	LMTP   bool           // RFC 2033 instead of SMTP
	TLS    Security       // with Host; by MX the recipient's domain decides
	Roots  *x509.CertPool // for Host's certificate; nil = Options.Roots
	Login  *Login         // nil = none
	Source []netip.Addr   // our end of the connection, at most one per family; none = any
}

// Destination is the administrator's word on the TLS of other people's servers.
type Destination struct {
	// Match is a recipient domain, or "*." and the end of the names of mail
	// exchangers. A domain beats an exchanger; of exchangers the longest wins.
	Match string
	TLS   Security // not Implicit
	MX    []string // if not empty, exchangers that may be used: names, or "*." and a domain
}

// check refuses what could only fail at the first mail.
func (r *Route) check(o *Options) error {
	switch path, unix := strings.CutPrefix(r.Host, "unix:"); {
	case unix && (!r.LMTP || !strings.HasPrefix(path, "/")):
		return fmt.Errorf("%q: a socket needs an absolute path and LMTP", r.Host)
	case r.Host == "" && (r.LMTP || r.Login != nil || r.TLS != Opportunistic):
		return errors.New("LMTP, a login and TLS need a host")
	case r.Host != "" && !unix:
		if host, port, err := net.SplitHostPort(r.Host); err != nil || host == "" || port == "" {
			return fmt.Errorf("%q is not host:port", r.Host)
		}
	}
	if l := r.Login; l != nil {
		if err := l.check(); err != nil {
			return err
		}
		if (r.TLS == Opportunistic || r.TLS == Clear) && !loopbackHost(r.Host) {
			return errors.New("a login needs TLS, or the password could be read on the way")
		}
	}
	if len(r.Source) > 0 && o.DialFrom == nil {
		return errors.New("a source address needs a dialer that takes one")
	}
	seen := map[bool]bool{}
	for _, ip := range r.Source {
		if four := ip.Unmap().Is4(); !ip.IsValid() || seen[four] {
			return errors.New("at most one source address of each family")
		} else {
			seen[four] = true
		}
	}
	return nil
}

func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	ip, perr := netip.ParseAddr(host)
	return strings.HasPrefix(hostport, "unix:") || err == nil && (host == "localhost" || perr == nil && ip.IsLoopback())
}

// way is the route of one transaction, chosen when the attempt is made.
type way struct {
	name string
	Route
}

// wayOf chooses: the transaction's own route, its queue's, everybody's.
func (c *Courier) wayOf(t *Transaction) (way, *failure) {
	name := t.Route
	if name == "" {
		name = c.o.QueueRoutes[t.Queue]
	}
	if name == "" {
		name = c.o.QueueRoutes[""]
	}
	if name == "" {
		return way{Route: Route{Host: c.o.Smarthost}}, nil
	}
	r, ok := c.o.Routes[name]
	if !ok {
		// The configuration changed while the mail waited: a human can mend it.
		return way{}, &failure{phase: PhaseRoute, ours: true, route: name, enhanced: "4.3.5", text: "there is no route " + name + " any more"}
	}
	return way{name: name, Route: r}, nil
}

// source returns our end for a connection to ip; ok is false if the way has
// source addresses but none of ip's family.
func (w *way) source(ip netip.Addr) (from netip.Addr, ok bool) {
	for _, s := range w.Source {
		if s = s.Unmap(); s.Is4() == ip.Is4() {
			return s, true
		}
	}
	return netip.Addr{}, len(w.Source) == 0
}

// matchHost reports whether a name is one of the patterns: the name itself, or
// "*." and a domain, where the star is exactly one label (RFC 8461 §4.1).
func matchHost(patterns []string, host string) bool {
	for _, p := range patterns {
		p = strings.ToLower(strings.TrimSuffix(p, "."))
		if p == host {
			return true
		}
		if domain, ok := strings.CutPrefix(p, "*."); ok {
			if _, rest, ok := strings.Cut(host, "."); ok && rest == domain {
				return true
			}
		}
	}
	return false
}

// override returns the administrator's word on a recipient domain and one of
// its exchangers, or nil.
func (c *Courier) override(domain, host string) *Destination {
	var best *Destination
	for i := range c.o.Destinations {
		d := &c.o.Destinations[i]
		match := strings.ToLower(strings.TrimSuffix(d.Match, "."))
		if match == domain {
			return d
		}
		suffix, ok := strings.CutPrefix(match, "*")
		if ok && strings.HasSuffix(host, suffix) && (best == nil || len(d.Match) > len(best.Match)) {
			best = d
		}
	}
	return best
}
