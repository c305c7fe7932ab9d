package courier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func mx(pref uint16, host string) *net.MX { return &net.MX{Host: host + ".", Pref: pref} }

// Where a destination's mail is tried, in order, or why it cannot be.
func TestRoutes(t *testing.T) {
	t.Parallel()
	many := make([]*net.MX, 500)
	dns := &names{mx: map[string][]*net.MX{}, ip: map[string][]string{}, fail: map[string]error{}}
	for i := range many {
		many[i] = mx(uint16(i), fmt.Sprintf("m%d.many.example", i))
		dns.ip[fmt.Sprintf("m%d.many.example", i)] = []string{"192.0.2.9"}
	}
	for domain, list := range map[string][]*net.MX{
		"two.example":      {mx(20, "b.two.example"), mx(10, "a.two.example")},
		"null.example":     {{Host: ".", Pref: 0}},
		"nullplus.example": {{Host: ".", Pref: 0}, mx(10, "a.two.example")},
		"local.example":    {mx(10, "localhost.example")},
		"private.example":  {mx(10, "ten.example"), mx(20, "a.two.example")},
		"self.example":     {mx(10, "mail.help.example"), mx(20, "a.two.example")},
		"backup.example":   {mx(10, "a.two.example"), mx(20, "mail.help.example"), mx(30, "b.two.example")},
		"ip.example":       {mx(10, "192.0.2.77")},
		"lost.example":     {mx(10, "nowhere.example"), mx(20, "a.two.example")},
		"broken.example":   {mx(10, "nowhere.example")},
		"six.example":      {mx(10, "six.two.example")},
		"many.example":     many,
	} {
		dns.mx[domain] = list
	}
	for host, ips := range map[string][]string{
		"a.two.example": {"192.0.2.1"}, "b.two.example": {"192.0.2.2"},
		"bare.example": {"192.0.2.3"}, "localhost.example": {"127.0.0.1", "::1"}, "ten.example": {"10.1.2.3", "100.64.0.1", "169.254.1.1", "0.0.0.0", "224.0.0.1", "::ffff:192.168.0.1", "fd00::1"},
		"six.two.example": {"192.0.2.5", "192.0.2.6", "2001:db8::5"},
	} {
		dns.ip[host] = ips
	}
	timeout := &net.DNSError{Err: "i/o timeout", IsTimeout: true, IsTemporary: true}
	servfail := &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	dns.fail["mx slow.example"], dns.fail["mx sick.example"], dns.fail["ip half.example"] = timeout, servfail, timeout
	for _, tc := range []struct{ destination, want string }{
		{"two.example", "192.0.2.1:25 192.0.2.2:25"},
		{"TWO.example.", "192.0.2.1:25 192.0.2.2:25"},
		{"bare.example", "192.0.2.3:25"},
		{"null.example", "permanent 5.1.10"},
		{"nullplus.example", "192.0.2.1:25"},
		{"gone.example", "permanent 5.1.2"},
		{"slow.example", "temporary 4.4.3"},
		{"sick.example", "temporary 4.4.3"},
		{"half.example", "temporary 4.4.3"},
		{"local.example", "temporary 4.4.4"},
		{"private.example", "192.0.2.1:25"},
		{"self.example", "permanent 5.4.6"},
		{"backup.example", "192.0.2.1:25"},
		{"ip.example", "192.0.2.77:25"},
		{"lost.example", "192.0.2.1:25"},
		{"broken.example", "temporary 4.4.4"},
		{"six.example", "[2001:db8::5]:25 192.0.2.5:25 192.0.2.6:25"},
		{"[192.0.2.8]", "192.0.2.8:25"},
		{"[127.0.0.1]", "permanent 5.4.4"},
		{"not a domain", "permanent 5.1.2"},
		{"-", "permanent 5.1.2"},
		{"", "permanent 5.1.2"},
	} {
		var dialled []string
		o := testOptions(dns)
		o.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			return nil, errors.New("refused")
		}
		l := letter("anna@customer.example")
		l.Destination = tc.destination
		r := newCourier(t, o).Carry(t.Context(), l)[0]
		got := strings.Join(dialled, " ")
		if len(dialled) == 0 {
			got = r.Class.String() + " " + r.Enhanced
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q (%v)", tc.destination, got, tc.want, r.Err)
		}
		if len(dialled) > 0 && (r.Class != Temporary || r.Enhanced != "4.4.1" || r.Phase != PhaseDial) {
			t.Errorf("%s: %s", tc.destination, short(r))
		}
	}

	tries := 0
	o := testOptions(dns)
	o.Dial = func(context.Context, string, string) (net.Conn, error) { tries++; return nil, errors.New("refused") }
	l := letter("anna@customer.example")
	l.Destination = "many.example"
	newCourier(t, o).Carry(t.Context(), l)
	if tries != maxTries {
		t.Errorf("%d tries for a domain with 500 exchangers, want %d", tries, maxTries)
	}
}

// Equal preferences are shuffled; different ones never change places.
func TestEqualExchangersShareTheLoad(t *testing.T) {
	t.Parallel()
	dns := &names{mx: map[string][]*net.MX{"d.example": {mx(10, "a.example"), mx(10, "b.example"), mx(10, "c.example"), mx(20, "z.example")}}}
	c := newCourier(t, withDial(testOptions(dns)))
	first := map[string]int{}
	for range 60 {
		hops, fail := c.exchangers(t.Context(), "d.example", "25")
		if fail != nil || len(hops) != 4 || hops[3].host != "z.example" {
			t.Fatalf("%v %v", hops, fail)
		}
		first[hops[0].host]++
	}
	if len(first) != 3 {
		t.Errorf("first choices %v", first)
	}
}

func withDial(o Options) Options {
	o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	return o
}

// A route is remembered for a minute, and not across a clock set back.
func TestRouteMemory(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	dns := oneHost()
	o := withDial(testOptions(dns))
	o.Now = func() time.Time { return now }
	c := newCourier(t, o)
	for i, step := range []struct {
		move time.Duration
		asks int
	}{{0, 1}, {59 * time.Second, 1}, {2 * time.Second, 2}, {-time.Hour, 3}, {0, 3}} {
		now = now.Add(step.move)
		c.Carry(t.Context(), letter("anna@customer.example"))
		if dns.asks != step.asks {
			t.Errorf("step %d: asked %d times, want %d", i, dns.asks, step.asks)
		}
	}
}

// The smarthost may be anywhere; the demo may deliver to loopback.
func TestPrivateDestinations(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		smarthost string
		allow     bool
		want      string
	}{
		{"127.0.0.1:2526", false, "127.0.0.1:2526"},
		{"[::1]:2526", false, "[::1]:2526"},
		{"relay.lan:587", false, "10.0.0.1:587"},
		{"", true, "127.0.0.1:2525"},
		{"", false, ""},
	} {
		dns := &names{
			mx: map[string][]*net.MX{"customer.example": {mx(10, "mx.customer.example")}},
			ip: map[string][]string{"mx.customer.example": {"127.0.0.1"}, "relay.lan": {"10.0.0.1"}},
		}
		var dialled []string
		o := testOptions(dns)
		o.Smarthost, o.AllowPrivate, o.Port = tc.smarthost, tc.allow, 2525
		o.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			return nil, errors.New("refused")
		}
		newCourier(t, o).Carry(t.Context(), letter("anna@customer.example"))
		if got := strings.Join(dialled, " "); got != tc.want {
			t.Errorf("%+v: dialled %q", tc, got)
		}
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]bool{
		"192.0.2.1": true, "8.8.8.8": true, "2001:db8::1": true, "100.128.0.1": true,
		"127.0.0.1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "100.64.0.1": false,
		"169.254.0.1": false, "0.1.2.3": false, "255.255.255.255": false, "224.0.0.1": false,
		"::1": false, "fe80::1": false, "fd00::1": false, "ff02::1": false, "::": false, "::ffff:127.0.0.1": false,
	} {
		if got := Public(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"aspmx.l.google.com": "google", "help-example.mail.protection.outlook.com.": "microsoft",
		"MX01.GMX.NET": "gmx_web_de", "mx1.customer.example": "other", "notgoogle.com": "other", "": "other",
	} {
		if got := Provider(host); got != want {
			t.Errorf("%s is %s, want %s", host, got, want)
		}
	}
	if n := len(Providers()); n != 12 {
		t.Errorf("%d providers", n)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := withDial(testOptions(oneHost()))
	for name, with := range map[string]func(*Options){
		"no hostname":   func(o *Options) { o.Hostname = "" },
		"bad hostname":  func(o *Options) { o.Hostname = "a b\r\n" },
		"no resolver":   func(o *Options) { o.Resolver = nil },
		"no dialer":     func(o *Options) { o.Dial = nil },
		"no clock":      func(o *Options) { o.Now = nil },
		"no randomness": func(o *Options) { o.Random = nil },
		"bad smarthost": func(o *Options) { o.Smarthost = "relay" },
	} {
		o := good
		with(&o)
		if _, err := New(o); err == nil {
			t.Error(name, "was accepted")
		}
	}
}
