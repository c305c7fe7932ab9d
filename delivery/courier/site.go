package courier

import (
	"context"
	"strings"
)

// Site names the servers that the mail for a destination goes to at present.
// Destinations with the same name share them, and their patience.
type Site struct {
	Name  string // a mail exchanger, always the same of several, or the smarthost; in lower case
	Route string // the smarthost, as in Result; "" if by MX
}

// Site looks up where the mail for a destination would go. The answer is the
// zero Site if that cannot be told: Carry will then say why. Queues with a
// route of their own are not considered.
func (c *Courier) Site(ctx context.Context, destination string) Site {
	w, fail := c.wayOf(&Transaction{})
	if fail != nil {
		return Site{}
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
	}
	return s
}
