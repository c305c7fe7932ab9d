package courier

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
)

// The way of a mail: its own route, its queue's, everybody's; and our end of
// the connection.
func TestWays(t *testing.T) {
	t.Parallel()
	dns := oneHost()
	dns.ip["mx1.customer.example"] = []string{"192.0.2.1", "2001:db8::1"}
	dns.ip["relay.example"] = []string{"192.0.2.25"}
	four, six := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8:7::7")
	for _, tc := range []struct {
		name, queue, route string
		everybody          string
		want               string
	}{
		{"by MX", "support", "", "", "[2001:db8::1]:25 192.0.2.1:25"},
		{"everybody's", "other", "", "relay", "192.0.2.25:587"},
		{"the queue's", "sales", "", "relay", "192.0.2.1:25 from 198.51.100.7"},
		{"its own", "sales", "desk", "relay", "/run/lmtp.sock"},
		{"both families", "both", "", "", "[2001:db8::1]:25 from 2001:db8:7::7 192.0.2.1:25 from 198.51.100.7"},
		{"gone from the configuration", "support", "nowhere", "", "sender 4.3.5"},
	} {
		var dialled []string
		o := testOptions(dns)
		o.Routes = map[string]Route{
			"relay": {Host: "relay.example:587"}, "desk": {Host: "unix:/run/lmtp.sock", LMTP: true},
			"four": {Source: []netip.Addr{four}}, "both": {Source: []netip.Addr{four, six}},
		}
		o.QueueRoutes = map[string]string{"sales": "four", "both": "both"}
		if tc.everybody != "" {
			o.QueueRoutes[""] = tc.everybody
		}
		o.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			return nil, errors.New("refused")
		}
		o.DialFrom = func(_ context.Context, from netip.Addr, _, addr string) (net.Conn, error) {
			dialled = append(dialled, addr+" from "+from.String())
			return nil, errors.New("refused")
		}
		l := letter("anna@customer.example")
		l.Queue, l.Route = tc.queue, tc.route
		r := newCourier(t, o).Carry(t.Context(), l)[0]
		got := strings.Join(dialled, " ")
		if got == "" {
			got = r.Class.String() + " " + r.Enhanced
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// Connections from one address of ours, or under one account, serve nobody
// else.
func TestConnectionsAreNotShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mails []int
		h := friendly(t, 3, &mails)
		o := testOptions(oneHost())
		o.Dial = h.dial
		o.DialFrom = func(ctx context.Context, _ netip.Addr, network, addr string) (net.Conn, error) {
			return h.dial(ctx, network, addr)
		}
		o.Routes = map[string]Route{
			"a": {Source: []netip.Addr{netip.MustParseAddr("198.51.100.7")}}, "b": {Source: []netip.Addr{netip.MustParseAddr("198.51.100.8")}},
		}
		o.QueueRoutes = map[string]string{"a": "a", "b": "b"}
		c := newCourier(t, o)
		for _, queue := range []string{"a", "b", "", "b", "a", ""} {
			l := letter("anna@customer.example")
			l.Queue = queue
			if r := c.Carry(t.Context(), l)[0]; r.Class != Success {
				t.Error(short(r), r.Err)
			}
		}
		c.Close(t.Context())
		h.wg.Wait()
		if len(h.dialled) != 3 || mails[0] != 2 || mails[1] != 2 || mails[2] != 2 {
			t.Errorf("%d connections with %v mails, want three with two each", len(h.dialled), mails)
		}
	})
}

// Mail that requires TLS to the end may be handed to a mail store over a socket:
// that is the end. A store that is reached over the network has to promise.
func TestRequireTLSAtTheEnd(t *testing.T) {
	t.Parallel()
	for route, want := range map[string]string{"socket": "success 2.0.0", "network": "temporary 4.7.10"} {
		synctest.Test(t, func(t *testing.T) {
			var mails []int
			h := friendly(t, 1, &mails)
			o := testOptions(oneHost())
			o.Dial = h.dial
			o.Routes = map[string]Route{"socket": {Host: "unix:/run/lmtp.sock", LMTP: true}, "network": {Host: "192.0.2.24:24", LMTP: true}}
			o.SecureQueues = map[string]bool{"support": true}
			c := newCourier(t, o)
			l := letter("inbox@desk.internal")
			l.Queue, l.Route = "support", route
			r := c.Carry(t.Context(), l)[0]
			if got := r.Class.String() + " " + r.Enhanced; got != want {
				t.Errorf("%s: %s, want %s (%v)", route, got, want, r.Err)
			}
			c.Close(t.Context())
			h.wg.Wait()
			if taken := mails[0] == 1; taken != (r.Class == Success) {
				t.Errorf("%s: %d mails", route, mails[0])
			}
		})
	}
}

func TestRoutesRefused(t *testing.T) {
	t.Parallel()
	password := func() (string, error) { return "x", nil }
	for name, r := range map[string]Route{
		"no port":              {Host: "relay.example"},
		"socket without LMTP":  {Host: "unix:/run/x"},
		"relative socket":      {Host: "unix:run/x", LMTP: true},
		"LMTP by MX":           {LMTP: true},
		"TLS by MX":            {TLS: Verified},
		"password in clear":    {Host: "relay.example:25", Login: &Login{User: "u", Password: password}},
		"no user":              {Host: "relay.example:25", TLS: Verified, Login: &Login{Password: password}},
		"no secret":            {Host: "relay.example:25", TLS: Verified, Login: &Login{User: "u"}},
		"two secrets":          {Host: "relay.example:25", TLS: Verified, Login: &Login{User: "u", Password: password, Tokens: &oneToken{}}},
		"token for PLAIN":      {Host: "relay.example:25", TLS: Verified, Login: &Login{User: "u", Mechanism: "plain", Tokens: &oneToken{}}},
		"unknown mechanism":    {Host: "relay.example:25", TLS: Verified, Login: &Login{User: "u", Mechanism: "ntlm", Password: password}},
		"two of one family":    {Source: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}},
		"line end in the user": {Host: "relay.example:25", TLS: Verified, Login: &Login{User: "u\r\nMAIL", Password: password}},
	} {
		o := withDial(testOptions(oneHost()))
		o.DialFrom = func(context.Context, netip.Addr, string, string) (net.Conn, error) { return nil, errors.New("no") }
		o.Routes = map[string]Route{"x": r}
		if _, err := New(o); err == nil {
			t.Error(name, "was accepted")
		}
	}
	o := withDial(testOptions(oneHost()))
	o.QueueRoutes = map[string]string{"support": "nowhere"}
	if _, err := New(o); err == nil {
		t.Error("an unknown route was accepted")
	}
	o = withDial(testOptions(oneHost()))
	o.Routes = map[string]Route{"x": {Source: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}
	if _, err := New(o); err == nil {
		t.Error("a source without a dialer was accepted")
	}
}
