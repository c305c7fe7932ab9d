package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ticketgate/delivery/courier"
	"ticketgate/gateway/mailauth"
	"ticketgate/resolver"
	"ticketgate/test/dnstest"
)

// world is a resolver in front of a test server, with a clock of its own.
type world struct {
	*dnstest.Server
	r   *resolver.Resolver
	now atomic.Int64
}

func newWorld(t *testing.T, change func(*resolver.Options)) *world {
	t.Helper()
	w := &world{Server: dnstest.Start(t)}
	o := resolver.Options{
		Server: w.Addr(), Dial: w.Dial,
		Now:     func() time.Time { return time.Unix(1_800_000_000+w.now.Load(), 0) },
		Timeout: time.Minute, // for a busy machine; silence is found at once
	}
	if change != nil {
		change(&o)
	}
	var err error
	if w.r, err = resolver.New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) pass(d time.Duration) { w.now.Add(int64(d / time.Second)) }

func TestOutcomes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.TXT("txt.example", "one", "two")
	w.A("host.example", "192.0.2.1", "2001:db8::1")
	for name, fault := range map[string]dnstest.Fault{
		"servfail.example": dnstest.ServFail, "refused.example": dnstest.Refused, "silent.example": dnstest.Silent,
		"garbage.example": dnstest.Garbage, "cut.example": dnstest.Truncate, "foreign.example": dnstest.Foreign,
	} {
		w.TXT(name, "here")
		w.Fail(name, dns.TypeTXT, fault)
	}
	for _, c := range []struct {
		name      string
		want      resolver.Outcome
		temporary bool
		notFound  bool
		records   int
	}{
		{"txt.example", resolver.Found, false, false, 2},
		{"TXT.Example.", resolver.Found, false, false, 2},
		{"host.example", resolver.NoData, false, true, 0},
		{"nobody.example", resolver.NoName, false, true, 0},
		{"servfail.example", resolver.Failed, true, false, 0},
		{"refused.example", resolver.Failed, true, false, 0},
		{"garbage.example", resolver.Failed, true, false, 0},
		{"silent.example", resolver.Timeout, true, false, 0},
		{"cut.example", resolver.Found, false, false, 1},
		{"foreign.example", resolver.Found, false, false, 1},
		{"a..example", resolver.BadName, false, true, 0},
		{strings.Repeat("a", 64) + ".example", resolver.BadName, false, true, 0},
		{strings.Repeat("abcdefgh.", 30) + "example", resolver.BadName, false, true, 0},
	} {
		for _, again := range []bool{false, true} {
			a := w.r.Query(t.Context(), c.name, dns.TypeTXT)
			if a.Outcome != c.want || len(a.Records) != c.records {
				t.Errorf("%s: %v, %d records, want %v, %d (%v)", c.name, a.Outcome, len(a.Records), c.want, c.records, a.Err)
			}
			if again && c.want != resolver.BadName && !a.Cached {
				t.Errorf("%s: asked twice", c.name)
			}
			_, err := w.r.LookupTXT(t.Context(), c.name)
			d, isDNS := err.(*net.DNSError)
			if err != nil && !isDNS {
				t.Errorf("%s: %T is not a bare DNS error", c.name, err)
			}
			if isDNS != (c.want != resolver.Found) || isDNS && (d.Temporary() != c.temporary || d.IsNotFound != c.notFound) {
				t.Errorf("%s: %#v", c.name, d)
			}
		}
	}
}

func TestTTL(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *resolver.Options) { o.MaxTTL, o.MaxNegative = time.Hour, 10*time.Minute })
	for _, c := range []struct {
		name           string
		ttl, negative  uint32
		exists, cached bool
		keeps          time.Duration
	}{
		{"short.example", 30, 0, true, true, 30 * time.Second},
		{"long.example", 1 << 30, 0, true, true, time.Hour},
		{"zero.example", 0, 0, true, false, 0},
		{"gone.example", 0, 60, false, true, time.Minute},
		{"longgone.example", 0, 86400, false, true, 10 * time.Minute},
		{"everanew.example", 0, 0, false, false, 0},
	} {
		w.TTL(c.ttl, c.negative)
		if c.exists {
			w.TXT(c.name, "x")
		}
		ask := func(want int, when string) {
			t.Helper()
			w.r.Query(t.Context(), c.name, dns.TypeTXT)
			if got := w.Asked(c.name, dns.TypeTXT); got != want {
				t.Errorf("%s, %s: asked %d times, want %d", c.name, when, got, want)
			}
		}
		ask(1, "at first")
		if !c.cached {
			ask(2, "at once again")
			continue
		}
		w.pass(c.keeps - time.Second)
		ask(1, "just before it expires")
		w.pass(time.Second)
		ask(2, "when it has expired")
	}
}

func TestFailureIsBrieflyBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.Fail("x.example", dns.TypeTXT, dnstest.ServFail)
	for range 3 {
		w.r.Query(t.Context(), "x.example", dns.TypeTXT)
	}
	if n := w.Asked("x.example", dns.TypeTXT); n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.Fail("x.example", dns.TypeTXT, dnstest.None)
	w.TXT("x.example", "back")
	w.pass(5 * time.Second)
	if a := w.r.Query(t.Context(), "x.example", dns.TypeTXT); a.Outcome != resolver.Found {
		t.Errorf("still %v after the failure's time", a.Outcome)
	}
}

func TestAliasesLiveAsLongAsTheirShortestLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.TTL(10, 60)
	w.CNAME("a.example", "b.example")
	w.TTL(1000, 60)
	w.CNAME("b.example", "c.example")
	w.A("c.example", "192.0.2.7")
	ips, err := w.r.LookupNetIP(t.Context(), "ip4", "a.example")
	if err != nil || len(ips) != 1 || ips[0] != netip.MustParseAddr("192.0.2.7") {
		t.Fatal(ips, err)
	}
	w.pass(11 * time.Second)
	w.r.LookupNetIP(t.Context(), "ip4", "a.example")
	if n := w.Asked("a.example", dns.TypeA); n != 2 {
		t.Errorf("asked %d times", n)
	}
	w.CNAME("loop.example", "loop.example")
	if a := w.r.Query(t.Context(), "loop.example", dns.TypeA); a.Outcome != resolver.NoData {
		t.Errorf("a loop of aliases: %v", a.Outcome)
	}
}

func TestOneFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.TXT("busy.example", "x")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if a := w.r.Query(t.Context(), "busy.example", dns.TypeTXT); a.Outcome != resolver.Found {
				t.Errorf("%v: %v", a.Outcome, a.Err)
			}
		})
	}
	wg.Wait()
	if n := w.Asked("busy.example", dns.TypeTXT); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestCallerLeaves: who loses patience gets his answer at once; the question
// goes on for the others.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	dialled, release := make(chan struct{}), make(chan struct{})
	w := newWorld(t, func(o *resolver.Options) {
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			close(dialled)
			<-release
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	w.TXT("slow.example", "x")
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan resolver.Answer)
	go func() { first <- w.r.Query(ctx, "slow.example", dns.TypeTXT) }()
	<-dialled
	cancel()
	if a := <-first; a.Outcome != resolver.Timeout || !errors.Is(a.Err, context.Canceled) {
		t.Errorf("%v: %v", a.Outcome, a.Err)
	}
	second := make(chan resolver.Answer)
	go func() { second <- w.r.Query(t.Context(), "slow.example", dns.TypeTXT) }()
	close(release)
	if a := <-second; a.Outcome != resolver.Found {
		t.Errorf("%v: %v", a.Outcome, a.Err)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		entries, bytes int
	}{{"entries", 10, 1 << 20}, {"bytes", 1000, 5000}} {
		w := newWorld(t, func(o *resolver.Options) { o.MaxEntries, o.MaxBytes = c.entries, c.bytes })
		ask := func(i int) bool {
			return w.r.Query(t.Context(), fmt.Sprintf("n%d.example", i), dns.TypeTXT).Cached
		}
		for i := range 30 {
			ask(i)
			ask(0)
		}
		if !ask(0) {
			t.Errorf("%s: what is used all the time was forgotten", c.name)
		}
		if !ask(29) || ask(1) {
			t.Errorf("%s: the oldest was not the one that went", c.name)
		}
	}
}

func TestAuthentic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.TXT("a.example", "x")
	w.TXT("b.example", "x")
	plain := w.r.Query(t.Context(), "a.example", dns.TypeTXT)
	w.Authentic(true)
	signed := w.r.Query(t.Context(), "b.example", dns.TypeTXT)
	if plain.Authentic || !signed.Authentic {
		t.Error(plain.Authentic, signed.Authentic)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for i, want := range []string{
		`v=spf1 "quoted" back\slash \065 end\`, "h\xc3\xa4\xff\x00\x7f", "", strings.Repeat("0123456789", 60), strings.Repeat("x", 5000),
	} {
		name := fmt.Sprintf("t%d.example", i)
		w.TXT(name, want)
		got, err := w.r.LookupTXT(t.Context(), name)
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%q came back as %q (%v)", want, got, err)
		}
	}
	w.TXTStrings("split.example", "v=spf1 ip4:192.0", ".2.0/24 -all")
	if got, _ := w.r.LookupTXT(t.Context(), "split.example"); len(got) != 1 || got[0] != "v=spf1 ip4:192.0.2.0/24 -all" {
		t.Errorf("split strings: %q", got)
	}
	w.TXT(`odd\name.example`, "x")
	w.r.Query(t.Context(), `od\d.example`, dns.TypeTXT)
	if n := w.Asked(`od\d.example`, dns.TypeTXT); n != 1 {
		t.Error("a backslash in a name was taken for an escape")
	}
}

func TestSetsHoldNothingTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.TXT("twice.example", "same", "same", "Same")
	if got, err := w.r.LookupTXT(t.Context(), "twice.example"); err != nil || len(got) != 2 {
		t.Error(got, err)
	}
}

// Those who ask declare what they need; the cache and the standard library both
// give it.
var (
	_ courier.Resolver  = (*resolver.Resolver)(nil)
	_ mailauth.Resolver = (*resolver.Resolver)(nil)
	_ mailauth.Resolver = (*net.Resolver)(nil)
)

func TestLookups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.MX("mail.example", 20, "b.mail.example")
	w.MX("mail.example", 10, "a.mail.example")
	w.MX("null.example", 0, ".")
	w.A("both.example", "192.0.2.1", "2001:db8::1")
	w.A("four.example", "192.0.2.2")
	w.Fail("four.example", dns.TypeAAAA, dnstest.ServFail)
	w.PTR("192.0.2.1", "both.example", "other.example")
	w.PTR("2001:db8::1", "both.example")
	ctx := t.Context()

	mxs, err := w.r.LookupMX(ctx, "mail.example.")
	if err != nil || len(mxs) != 2 || mxs[0].Host != "a.mail.example." || mxs[1].Pref != 20 {
		t.Error(mxs, err)
	}
	if mxs, err := w.r.LookupMX(ctx, "null.example"); err != nil || len(mxs) != 1 || mxs[0].Host != "." {
		t.Error(mxs, err)
	}
	for _, c := range []struct{ network, host, want string }{
		{"ip", "both.example", "[192.0.2.1 2001:db8::1]"},
		{"ip4", "both.example", "[192.0.2.1]"},
		{"ip6", "both.example", "[2001:db8::1]"},
		{"ip", "four.example", "[192.0.2.2]"},
		{"ip", "192.0.2.9", "[192.0.2.9]"},
		{"ip", "localhost", "[127.0.0.1 ::1]"},
		{"ip4", "localhost.", "[127.0.0.1]"},
	} {
		ips, err := w.r.LookupNetIP(ctx, c.network, c.host)
		if fmt.Sprint(ips) != c.want || err != nil {
			t.Errorf("%s %s: %v, %v", c.network, c.host, ips, err)
		}
	}
	if addrs, err := w.r.LookupIPAddr(ctx, "both.example"); err != nil || len(addrs) != 2 {
		t.Error(addrs, err)
	}
	for ip, want := range map[string]string{"192.0.2.1": "[both.example. other.example.]", "2001:db8::1": "[both.example.]"} {
		if names, err := w.r.LookupAddr(ctx, ip); fmt.Sprint(names) != want || err != nil {
			t.Error(ip, names, err)
		}
	}
	if _, err := w.r.LookupAddr(ctx, "nonsense"); err == nil {
		t.Error("nonsense has names")
	}
}

func TestSecondServerAnswers(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t)
	s.TXT("x.example", "found")
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 192.0.2.1\nnameserver 127.0.0.1\nsearch example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := resolver.New(resolver.Options{ResolvConf: conf, Now: time.Now, Timeout: time.Minute, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "127.0.0.1:53" {
			return nil, errors.New("unreachable")
		}
		return (&net.Dialer{}).DialContext(ctx, network, s.Addr())
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.LookupTXT(t.Context(), "x.example"); err != nil || len(got) != 1 {
		t.Error(got, err)
	}
	if a := r.Query(t.Context(), "x", dns.TypeTXT); a.Outcome != resolver.NoName {
		t.Errorf("the search list was applied: %v", a.Outcome)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	dial := (&net.Dialer{}).DialContext
	for name, o := range map[string]resolver.Options{
		"no dialer": {Now: time.Now}, "no clock": {Dial: dial},
		"a name":  {Dial: dial, Now: time.Now, Server: "dns.example:53"},
		"no port": {Dial: dial, Now: time.Now, Server: "192.0.2.1"},
	} {
		if _, err := resolver.New(o); err == nil {
			t.Error(name)
		}
	}
	if _, err := resolver.New(resolver.Options{Dial: dial, Now: time.Now, ResolvConf: filepath.Join(t.TempDir(), "none")}); err != nil {
		t.Error("without resolv.conf:", err)
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"a.example", "", ".", "a..b", `\`, `\065.b`, "a b", strings.Repeat("a.", 130), "\x00\xff"} {
		f.Add(s)
	}
	r, err := resolver.New(resolver.Options{Server: "127.0.0.1:1", Now: time.Now, Rounds: 1, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("off")
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if a := r.Query(t.Context(), name, dns.TypeA); a.Outcome != resolver.Failed && a.Outcome != resolver.BadName {
			t.Errorf("%q: %v", name, a.Outcome)
		}
	})
}
