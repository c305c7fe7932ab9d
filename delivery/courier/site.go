package courier

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
)

// Site names the servers that the mail for a destination goes to at present.
// Destinations with the same name share them, and their patience.
type Site struct {
	Name   string // a mail exchanger, always the same of several, or the smarthost; in lower case
	Route  string // the smarthost, as in Result; "" if by MX
	Egress string // by MX: the addresses of ours that the mail leaves from; "" if the system chooses
}

// Way names the way that mail of a queue takes, or mail that must take a route.
// Mails for one destination whose ways are the same go to the same servers. ""
// is the way of all mail that has neither.
func (c *Courier) Way(queue, route string) string {
	name := cmp.Or(route, c.o.QueueRoutes[queue])
	if name == c.o.QueueRoutes[""] {
		return ""
	}
	return name
}

// Site looks up where the mail for a destination would go by a way. The answer
// is the zero Site if that cannot be told: Carry will then say why. Of a route
// that is not configured only its name is known. Where a smarthost is, the
// destination does not matter, and nothing is looked up for "".
func (c *Courier) Site(ctx context.Context, destination, way string) Site {
	w, fail := c.wayOf(&Transaction{Route: way})
	if fail != nil {
		return Site{Route: way}
	}
	hops, fail := c.route(ctx, &w, destination)
	if fail != nil || len(hops) == 0 {
		return Site{}
	}
	first := hops[0].host
	for _, h := range hops { // equal preferences come in any order, names do not
		first = min(first, h.host)
	}
	s := Site{Name: strings.ToLower(strings.TrimSuffix(first, "."))}
	if hops[0].relay {
		s.Route = hops[0].route
	} else {
		s.Egress = Egress(w.Source)
	}
	return s
}

// Egress names a set of addresses of ours as Site does.
func Egress(source []netip.Addr) string {
	names := make([]string, 0, len(source))
	for _, ip := range source {
		names = append(names, ip.Unmap().String())
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}
