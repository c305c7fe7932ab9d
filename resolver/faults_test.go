package resolver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
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

// Names in every kind of trouble, and what a mail to them or from them comes
// to: the first time, and again while the answer is remembered. The table is
// testdata/dnsfaults.txt.
func TestDNSFaults(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/dnsfaults.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]map[string]string{}
	n := 0
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 4 || strings.HasPrefix(line, "#") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if rows[cells[1]] == nil {
			rows[cells[1]] = map[string]string{}
		}
		rows[cells[1]][cells[2]] = cells[3]
		n++
	}
	if n != 36 || len(rows) != 18 || len(troubles) != 18 {
		t.Fatalf("%d rows about %d of %d troubles, want 36 about 18", n, len(rows), len(troubles))
	}
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			var asked atomic.Int32
			now := time.Now() // and no later: what is remembered stays so
			o := resolver.Options{
				Server: w.Addr(), Now: func() time.Time { return now }, Timeout: time.Minute, Rounds: 1,
				Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					asked.Add(1)
					return w.Dial(ctx, network, addr)
				},
			}
			r, err := resolver.New(o)
			if err != nil {
				t.Fatal(err)
			}
			trouble.set(w.Server)
			for _, when := range []string{"first", "cached"} {
				asked.Store(0)
				got := trouble.ask(t, r)
				if when == "cached" && asked.Load() > 0 {
					got += ", asked again"
				}
				if got != rows[name][when] {
					t.Errorf("%s: got %q, want %q", when, got, rows[name][when])
				}
			}
		})
	}
}

type trouble struct {
	set func(*dnstest.Server)
	ask func(*testing.T, *resolver.Resolver) string
}

// Each trouble has its records and a way to ask.
var troubles = map[string]trouble{
	"NXDOMAIN": {func(*dnstest.Server) {}, mailTo},
	"NODATA":   {func(s *dnstest.Server) { s.TXT("x.example", "nothing else") }, mailTo},
	"SERVFAIL": {func(s *dnstest.Server) { s.Fail("x.example", dns.TypeANY, dnstest.ServFail) }, mailTo},
	"timeout":  {func(s *dnstest.Server) { s.Fail("x.example", dns.TypeANY, dnstest.Silent) }, mailTo},
	"null MX":  {func(s *dnstest.Server) { s.MX("x.example", 0, ".") }, mailTo},
	"null MX plus others": {func(s *dnstest.Server) {
		s.MX("x.example", 0, ".")
		s.MX("x.example", 10, "mx.x.example")
		s.A("mx.x.example", "192.0.2.1")
	}, mailTo},
	"MX to CNAME": {func(s *dnstest.Server) {
		s.MX("x.example", 10, "alias.x.example")
		s.CNAME("alias.x.example", "real.example")
		s.A("real.example", "192.0.2.2")
	}, mailTo},
	"MX to loopback, private and ourselves": {func(s *dnstest.Server) {
		s.MX("x.example", 10, "lo.x.example")
		s.MX("x.example", 20, "ten.x.example")
		s.MX("x.example", 30, "mail.help.example")
		s.A("lo.x.example", "127.0.0.1", "::1")
		s.A("ten.x.example", "10.0.0.1", "fd00::1")
		s.A("mail.help.example", "192.0.2.99")
	}, mailTo},
	"500 MX": {func(s *dnstest.Server) {
		for i := range 500 {
			s.MX("x.example", uint16(i), fmt.Sprintf("m%d.x.example", i))
			s.A(fmt.Sprintf("m%d.x.example", i), "192.0.2.3")
		}
	}, mailTo},
	"truncated UDP": {func(s *dnstest.Server) {
		s.MX("x.example", 10, "mx.x.example")
		s.A("mx.x.example", "192.0.2.4")
		s.Fail("x.example", dns.TypeMX, dnstest.Truncate)
	}, mailTo},
	"bogus DNSSEC": {func(s *dnstest.Server) { // which a validating server reports as SERVFAIL
		s.MX("x.example", 10, "mx.x.example")
		s.A("mx.x.example", "192.0.2.5")
		s.Fail("x.example", dns.TypeMX, dnstest.ServFail)
	}, mailTo},
	"TLSA SERVFAIL": {func(s *dnstest.Server) {
		s.Sign("x.example")
		s.MX("x.example", 10, "mx.x.example")
		s.A("mx.x.example", "192.0.2.6")
		s.Fail("_25._tcp.mx.x.example", dns.TypeTLSA, dnstest.ServFail)
	}, mailTo},
	"two SPF records": {func(s *dnstest.Server) { s.TXT("x.example", "v=spf1 ip4:192.0.2.0/24 -all", "v=spf1 -all") }, mailFrom},
	"SPF with more than ten look-ups": {func(s *dnstest.Server) {
		record := "v=spf1"
		for i := range 11 {
			record += fmt.Sprintf(" include:s%d.x.example", i)
			s.TXT(fmt.Sprintf("s%d.x.example", i), "v=spf1 ip4:198.51.100.1 -all")
		}
		s.TXT("x.example", record+" -all")
	}, mailFrom},
	"SPF with more than two void look-ups": {func(s *dnstest.Server) {
		s.TXT("x.example", "v=spf1 a:v1.x.example a:v2.x.example a:v3.x.example a:v4.x.example ip4:192.0.2.0/24 -all")
	}, mailFrom},
	"SPF in a circle": {func(s *dnstest.Server) {
		s.TXT("x.example", "v=spf1 include:y.example -all")
		s.TXT("y.example", "v=spf1 include:x.example -all")
	}, mailFrom},
	"two DMARC records": {func(s *dnstest.Server) {
		s.TXT("x.example", "v=spf1 ip4:198.51.100.1 -all")
		s.TXT("_dmarc.x.example", "v=DMARC1; p=reject", "v=DMARC1; p=none")
	}, mailFrom},
	"TXT in several strings": {func(s *dnstest.Server) { s.TXTStrings("x.example", "v=spf1 ip4:192.0", ".2.0/24 ", "-all") }, mailFrom},
}

// mailTo tries to deliver to x.example where every connection is refused.
func mailTo(t *testing.T, r *resolver.Resolver) string {
	t.Helper()
	var mu sync.Mutex
	var dialled []string
	c, err := courier.New(courier.Options{
		Hostname: "mail.help.example", Resolver: r, Now: time.Now, Random: bytes.NewReader(make([]byte, 1<<16)),
		Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dialled = append(dialled, strings.TrimSuffix(addr, ":25"))
			return nil, errors.New("refused")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	res := c.Carry(t.Context(), courier.Transaction{Destination: "x.example", From: "support@help.example", To: []string{"anna@x.example"}})[0]
	switch len(dialled) {
	case 0:
		return res.Class.String() + " " + res.Enhanced
	case 1:
		return "tries " + dialled[0]
	}
	return fmt.Sprintf("tries %d servers", len(dialled))
}

// mailFrom judges a mail from x.example.
func mailFrom(t *testing.T, r *resolver.Resolver) string {
	t.Helper()
	c, err := mailauth.New(mailauth.Options{DNS: r, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	raw := "From: anna@x.example\r\nSubject: hi\r\n\r\nhello\r\n"
	v, _ := c.Evaluate(t.Context(), mailauth.Input{
		RemoteIP: netip.MustParseAddr("192.0.2.7"), HELO: "mx.x.example", EnvelopeFrom: "anna@x.example",
		Raw: strings.NewReader(raw), Size: int64(len(raw)),
	})
	return "SPF " + v.SPF.Result + ", DMARC " + v.DMARC.Result
}
