package courier

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// What real servers say when they want us to come back later.
func TestHints(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text  string
		after time.Duration
		grey  bool
	}{
		{"Greylisted, see http://postgrey.schweikert.ch/help/customer.example.html", 0, true},
		{"Greylisting in action, please come back in 00:05:00", 5 * time.Minute, true},
		{"Recipient address rejected: Greylisted for 300 seconds", 5 * time.Minute, true},
		{"Please try again in 300 seconds", 5 * time.Minute, false},
		{"too many connections, try again in 15 minutes", 15 * time.Minute, false},
		{"Try again later (1 hour)", time.Hour, false},
		{"Temporarily deferred, retry after 90s", 90 * time.Second, false},
		{"You may send 42 mails in 10 minutes", 0, false},
		{"Please try again later", 0, false},
		{"try again in 999999 hours", 999999 * time.Hour, false},
		{"retry in 99999999999 seconds", 0, false},
	} {
		after, grey := hints(&reply{code: 451, text: tc.text})
		if after != tc.after || grey != tc.grey {
			t.Errorf("%q: %v, %v", tc.text, after, grey)
		}
	}
	if after, grey := hints(&reply{code: 550, text: "greylisted, try again in 5 minutes"}); after != 0 || grey {
		t.Error("a final refusal asks for nothing")
	}
}

type mxOnly struct {
	Resolver
	mxs []*net.MX
}

func (m mxOnly) LookupMX(context.Context, string) ([]*net.MX, error) { return m.mxs, nil }

// The name of a site does not depend on the order of equal exchangers.
func TestSite(t *testing.T) {
	t.Parallel()
	for range 5 {
		c, err := New(Options{
			Hostname: "mail.help.example", Now: time.Now, Random: chaos{},
			Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed },
			Resolver: mxOnly{mxs: []*net.MX{{Host: "MX2.customer.example.", Pref: 10}, {Host: "mx1.customer.example.", Pref: 10}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if s := c.Site(t.Context(), "customer.example", ""); s != (Site{Name: "mx1.customer.example"}) {
			t.Errorf("%+v", s)
		}
	}
	c, err := New(Options{
		Hostname: "mail.help.example", Now: time.Now, Random: chaos{}, Smarthost: "Relay.example:587",
		Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed },
		Resolver: mxOnly{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Site(t.Context(), "customer.example", ""); s != (Site{Name: "relay.example", Route: "Relay.example"}) {
		t.Errorf("%+v", s)
	}
}

// A site is that of the way which the mail takes, and of no other.
func TestSitesOfWays(t *testing.T) {
	t.Parallel()
	o := testOptions(mxOnly{mxs: []*net.MX{{Host: "mx1.customer.example.", Pref: 10}}})
	o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	o.DialFrom = func(context.Context, netip.Addr, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	o.Routes = map[string]Route{
		"relay": {Host: "relay.example:587"}, "desk": {Host: "unix:/run/lmtp.sock", LMTP: true},
		"both": {Source: []netip.Addr{netip.MustParseAddr("2001:db8:7::7"), netip.MustParseAddr("198.51.100.7")}}, "any": {},
	}
	direct := Site{Name: "mx1.customer.example"}
	relay := Site{Name: "relay.example", Route: "relay"}
	both := Site{Name: "mx1.customer.example", Egress: "198.51.100.7,2001:db8:7::7"}
	for _, tc := range []struct {
		routes            map[string]string
		queue, route, way string
		want              Site
	}{
		{nil, "support", "", "", direct},
		{nil, "support", "relay", "relay", relay},
		{nil, "support", "any", "any", direct},
		{nil, "support", "desk", "desk", Site{Name: "/run/lmtp.sock", Route: "desk"}},
		{map[string]string{"sales": "both"}, "sales", "", "both", both},
		{map[string]string{"sales": "both"}, "sales", "relay", "relay", relay},
		{map[string]string{"sales": "both"}, "support", "", "", direct},
		{map[string]string{"sales": "both", "": "relay"}, "support", "", "", relay},
		{map[string]string{"sales": "both", "": "relay"}, "support", "relay", "", relay},
		{map[string]string{"sales": "relay", "": "relay"}, "sales", "", "", relay},
		{map[string]string{"sales": "any", "": "relay"}, "sales", "", "any", direct},
		{nil, "support", "nowhere", "nowhere", Site{Route: "nowhere"}},
	} {
		o.QueueRoutes = tc.routes
		c := newCourier(t, o)
		way := c.Way(tc.queue, tc.route)
		asked := &names{}
		p := o
		p.Resolver = asked
		if got := newCourier(t, p).Site(t.Context(), "", way); got.Route != tc.want.Route || asked.asks > 0 {
			t.Errorf("way %q to nowhere: %+v with %d questions", way, got, asked.asks)
		}
		if got := c.Site(t.Context(), "customer.example", way); way != tc.way || got != tc.want {
			t.Errorf("%v, queue %s, route %q: way %q to %+v, want %q to %+v", tc.routes, tc.queue, tc.route, way, got, tc.way, tc.want)
		}
	}
}

// chaos is a source of randomness that differs from one test to the next.
type chaos struct{}

func (chaos) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(time.Now().UnixNano() >> (i % 8))
	}
	return len(p), nil
}
