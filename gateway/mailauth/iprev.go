package mailauth

import (
	"context"
	"net/netip"
	"strings"
)

// iprev looks for a name of ip that leads back to it (RFC 8601 §3).
func (c *Checker) iprev(ctx context.Context, ip netip.Addr) IPRev {
	if !ip.IsValid() {
		return IPRev{Result: None, Reason: "the mail did not come by SMTP"}
	}
	r := IPRev{IP: ip}
	names, err := c.o.DNS.LookupAddr(ctx, ip.String())
	switch {
	case err != nil && !isAbsent(err):
		r.Result, r.Reason = TempError, clean(err.Error())
		return r
	case len(names) == 0:
		r.Result, r.Reason = PermError, "the address has no name"
		return r
	}
	network := "ip6"
	if ip.Is4() {
		network = "ip4"
	}
	r.Result, r.Reason = Fail, "no name of the address leads back to it"
	for _, name := range names[:min(len(names), maxNames)] {
		back, err := c.o.DNS.LookupNetIP(ctx, network, name)
		if err != nil && !isAbsent(err) {
			r.Result, r.Reason = TempError, clean(err.Error())
			continue
		}
		for _, b := range back {
			if b.Unmap() == ip {
				return IPRev{Result: Pass, IP: ip, Name: clean(strings.ToLower(strings.TrimSuffix(name, ".")))}
			}
		}
	}
	return r
}
