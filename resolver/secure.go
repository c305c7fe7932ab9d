package resolver

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Trusted reports whether the AD bit of answers means something: every server
// asked is on this machine, or Options.Trusted says so (RFC 7672 §2.1.1).
func (r *Resolver) Trusted() bool { return r.trusted }

// SecureMX is LookupMX that also says whether the answer, or the absence of
// one, was validated with DNSSEC by a server we trust.
func (r *Resolver) SecureMX(ctx context.Context, name string) (mxs []*net.MX, secure bool, err error) {
	mxs, err = r.LookupMX(ctx, name)
	a := r.Query(ctx, name, dns.TypeMX) // in the cache by now
	return mxs, r.secure(&a) && a.Outcome.Final(), err
}

// SecureNetIP is LookupNetIP of both families that also returns the host's
// name after all aliases, and whether every answer was validated with DNSSEC by
// a server we trust.
func (r *Resolver) SecureNetIP(ctx context.Context, host string) (ips []netip.Addr, canonical string, secure bool, err error) {
	var four, six Answer
	var wg sync.WaitGroup
	wg.Go(func() { six = r.Query(ctx, host, dns.TypeAAAA) })
	four = r.Query(ctx, host, dns.TypeA)
	wg.Wait()
	ips = append(four.addresses(), six.addresses()...)
	canonical = host
	for _, a := range []*Answer{&four, &six} {
		if a.Outcome == Found {
			canonical = a.Canonical
		}
	}
	// A family that failed takes nothing from what the other one proved.
	secure = len(ips) > 0 && (four.Outcome != Found || r.secure(&four)) && (six.Outcome != Found || r.secure(&six))
	switch {
	case len(ips) > 0:
	case !six.Outcome.Final():
		err = six.netError()
	default:
		err = four.netError()
	}
	return ips, strings.TrimSuffix(canonical, "."), secure, err
}

// LookupTLSA returns the associations of a TCP service. No records and no
// error mean that there are none; an error means that nobody can tell, which
// must not be taken for none (RFC 7672 §2.1.2). The records are shared.
func (r *Resolver) LookupTLSA(ctx context.Context, host string, port int) (list []*dns.TLSA, secure bool, err error) {
	a := r.Query(ctx, "_"+strconv.Itoa(port)+"._tcp."+host, dns.TypeTLSA)
	for _, rr := range a.Records {
		if t, ok := rr.(*dns.TLSA); ok {
			list = append(list, t)
		}
	}
	if !a.Outcome.Final() {
		err = a.netError()
	}
	return list, r.secure(&a), err
}

func (r *Resolver) secure(a *Answer) bool { return a.Authentic && r.trusted }

func onLoopback(servers []string) bool {
	for _, s := range servers {
		at, err := netip.ParseAddrPort(s)
		if err != nil || !at.Addr().Unmap().IsLoopback() {
			return false
		}
	}
	return len(servers) > 0
}
