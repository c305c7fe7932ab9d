package courier

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/delivery/mtasts"
)

// secureNames is a small DNS that validates.
type secureNames struct {
	*names
	signedMX, signedIP bool
	alias              string // what the exchanger's name leads to
	tlsa               map[string][]*dns.TLSA
	tlsaInsecure       bool
	tlsaFails          bool
}

func (n *secureNames) Trusted() bool { return true }
func (n *secureNames) SecureMX(ctx context.Context, name string) ([]*net.MX, bool, error) {
	mxs, err := n.LookupMX(ctx, name)
	return mxs, n.signedMX, err
}
func (n *secureNames) SecureNetIP(ctx context.Context, host string) ([]netip.Addr, string, bool, error) {
	ips, err := n.LookupNetIP(ctx, "ip", host)
	canonical := strings.TrimSuffix(host, ".")
	if n.alias != "" {
		canonical = n.alias
	}
	return ips, canonical, n.signedIP, err
}
func (n *secureNames) LookupTLSA(_ context.Context, host string, port int) ([]*dns.TLSA, bool, error) {
	if port != 25 {
		return nil, false, errors.New("asked for another port")
	}
	if n.tlsaFails {
		return nil, false, &net.DNSError{Err: "server failure", IsTemporary: true}
	}
	return n.tlsa[host], !n.tlsaInsecure, nil
}

// fixed is an MTA-STS policy that does not change.
type fixed mtasts.Policy

func (f fixed) Policy(_ context.Context, domain string) (mtasts.Policy, bool) {
	return mtasts.Policy(f), domain == "customer.example"
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB, now time.Time) *authority {
	t.Helper()
	pair, pool := newCert(t, "An Authority", now.Add(-time.Hour))
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: pair.PrivateKey.(*ecdsa.PrivateKey), pool: pool}
}

// issue makes a server's certificate; the chain ends with the authority's.
func (a *authority) issue(t testing.TB, name string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

// record is a TLSA record about a certificate in DER.
func record(t testing.TB, usage, selector, matching uint8, der []byte) *dns.TLSA {
	t.Helper()
	data := der
	if selector == 1 {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		data = cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return &dns.TLSA{Usage: usage, Selector: selector, MatchingType: matching, Certificate: hex.EncodeToString(data)}
}

// mailServer serves mail over TLS if it has a certificate, on any number of
// connections.
func mailServer(cert *tls.Certificate, with ...string) func(*peer) {
	return func(p *peer) {
		p.say("220 mx1")
		secure, data := false, false
		for {
			line := p.hear()
			switch verb, _, _ := strings.Cut(line, " "); {
			case line == gone:
				return
			case data && line == ".":
				data = false
				p.say("250 2.0.0 Ok")
			case data:
			case verb == "EHLO":
				p.say("250-mx1")
				for _, e := range with {
					p.say("250-" + e)
				}
				if cert != nil && !secure {
					p.say("250-STARTTLS")
				}
				p.say("250 HELP")
			case verb == "STARTTLS":
				p.say("220 go ahead")
				if !p.secure(&tls.Config{Certificates: []tls.Certificate{*cert}, Time: time.Now}) {
					return
				}
				secure = true
			case verb == "DATA":
				data = true
				p.say("354 go on")
			case verb == "QUIT":
				p.say("221 bye")
				return
			default:
				p.say("250 Ok")
			}
		}
	}
}

// Who decides about TLS, and what becomes of the mail. Each row is one mail to
// a domain with one exchanger.
func TestTLSPolicies(t *testing.T) {
	t.Parallel()
	const ok = "success 250 2.0.0 dot"
	for _, tc := range []struct {
		name  string
		with  func(*policyCase)
		want  string // class, code, enhanced, phase
		info  string // policy, verified
		conns int
	}{
		{"nobody asks", func(*policyCase) {}, ok, "opportunistic verified", 1},
		{"nobody asks, no TLS", func(c *policyCase) { c.cert = nil }, ok, "opportunistic clear", 1},
		{"nobody asks, wrong name", func(c *policyCase) { c.issue("other.example") }, ok, "opportunistic unverified", 1},

		{"configured none", func(c *policyCase) { c.config("customer.example", Clear) }, ok, "configured clear", 1},
		{"configured encrypted, wrong name", func(c *policyCase) {
			c.config("customer.example", Encrypted)
			c.issue("other.example")
		}, ok, "configured unverified", 1},
		{"configured encrypted, no TLS", func(c *policyCase) {
			c.config("customer.example", Encrypted)
			c.cert = nil
		}, "temporary 0 4.7.10 tls", "configured clear", 1},
		{"configured verified, wrong name", func(c *policyCase) {
			c.config("customer.example", Verified)
			c.issue("other.example")
		}, "temporary 0 4.7.5 tls", "configured clear", 1},
		{"configured by exchanger", func(c *policyCase) {
			c.config("*.customer.example", Verified)
			c.issue("other.example")
		}, "temporary 0 4.7.5 tls", "configured clear", 1},
		{"configured for others", func(c *policyCase) {
			c.config("*.other.example", Verified)
			c.config("other.example", Verified)
			c.cert = nil
		}, ok, "opportunistic clear", 1},
		{"configured with another exchanger", func(c *policyCase) {
			c.o.Destinations = []Destination{{Match: "customer.example", TLS: Verified, MX: []string{"mx9.customer.example"}}}
		}, "temporary 0 4.7.5 route", "", 0},
		{"configured beats DANE and MTA-STS", func(c *policyCase) {
			c.config("customer.example", Opportunistic)
			c.sts(mtasts.Enforce, "mx1.customer.example")
			c.dane(record(c.t, 3, 1, 1, newOther(c.t)))
			c.cert = nil
		}, ok, "configured clear", 1},

		{"MTA-STS", func(c *policyCase) { c.sts(mtasts.Enforce, "*.customer.example") }, ok, "mta-sts verified", 1},
		{"MTA-STS, no TLS", func(c *policyCase) {
			c.sts(mtasts.Enforce, "mx1.customer.example")
			c.cert = nil
		}, "temporary 0 4.7.10 tls", "mta-sts clear", 1},
		{"MTA-STS, wrong name", func(c *policyCase) {
			c.sts(mtasts.Enforce, "mx1.customer.example")
			c.issue("other.example")
		}, "temporary 0 4.7.5 tls", "mta-sts clear", 1},
		{"MTA-STS, unknown authority", func(c *policyCase) {
			c.sts(mtasts.Enforce, "mx1.customer.example")
			c.o.Roots = x509.NewCertPool()
		}, "temporary 0 4.7.5 tls", "mta-sts clear", 1},
		{"MTA-STS, expired", func(c *policyCase) {
			c.sts(mtasts.Enforce, "mx1.customer.example")
			cert := c.ca.issue(c.t, "mx1.customer.example", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
			c.cert = &cert
		}, "temporary 0 4.7.5 tls", "mta-sts clear", 1},
		{"MTA-STS, exchanger not named", func(c *policyCase) { c.sts(mtasts.Enforce, "*.deep.customer.example", "mx2.customer.example") },
			"temporary 0 4.7.5 route", "", 0},
		{"MTA-STS testing never stops a mail", func(c *policyCase) {
			c.sts(mtasts.Testing, "mx2.customer.example")
			c.cert = nil
			c.tests = 2
		}, ok, "mta-sts testing clear", 1},
		{"MTA-STS testing, wrong name", func(c *policyCase) {
			c.sts(mtasts.Testing, "mx1.customer.example")
			c.issue("other.example")
			c.tests = 1
		}, ok, "mta-sts testing unverified", 1},
		{"MTA-STS testing, all well", func(c *policyCase) { c.sts(mtasts.Testing, "mx1.customer.example") }, ok, "mta-sts testing verified", 1},

		{"DANE-EE key", func(c *policyCase) { c.dane(record(c.t, 3, 1, 1, c.cert.Certificate[0])) }, ok, "dane verified", 1},
		{"DANE-EE certificate, SHA-512", func(c *policyCase) { c.dane(record(c.t, 3, 0, 2, c.cert.Certificate[0])) }, ok, "dane verified", 1},
		{"DANE-EE needs neither name nor date", func(c *policyCase) {
			cert := c.ca.issue(c.t, "other.example", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
			c.cert = &cert
			c.dane(record(c.t, 3, 1, 1, cert.Certificate[0]))
		}, ok, "dane verified", 1},
		{"DANE-EE of another key", func(c *policyCase) { c.dane(record(c.t, 3, 1, 1, newOther(c.t))) }, "temporary 0 4.7.5 tls", "dane clear", 1},
		{"DANE-EE, one of two matches", func(c *policyCase) {
			c.dane(record(c.t, 3, 1, 1, newOther(c.t)), record(c.t, 3, 1, 1, c.cert.Certificate[0]))
		}, ok, "dane verified", 1},
		{"DANE, the weaker digest does not count", func(c *policyCase) {
			c.dane(record(c.t, 3, 1, 1, c.cert.Certificate[0]), record(c.t, 3, 1, 2, newOther(c.t)))
		}, "temporary 0 4.7.5 tls", "dane clear", 1},
		{"DANE-TA", func(c *policyCase) {
			c.o.Roots = x509.NewCertPool()
			c.dane(record(c.t, 2, 0, 1, c.ca.cert.Raw))
		}, ok, "dane verified", 1},
		{"DANE-TA, certificate in the record", func(c *policyCase) {
			c.cert.Certificate = c.cert.Certificate[:1]
			c.dane(record(c.t, 2, 0, 0, c.ca.cert.Raw))
		}, ok, "dane verified", 1},
		{"DANE-TA for the domain's name", func(c *policyCase) {
			c.issue("customer.example")
			c.dane(record(c.t, 2, 1, 1, c.ca.cert.Raw))
		}, ok, "dane verified", 1},
		{"DANE-TA needs the name", func(c *policyCase) {
			c.issue("other.example")
			c.dane(record(c.t, 2, 1, 1, c.ca.cert.Raw))
		}, "temporary 0 4.7.5 tls", "dane clear", 1},
		{"DANE-TA of somebody else", func(c *policyCase) { c.dane(record(c.t, 2, 0, 1, newOther(c.t))) }, "temporary 0 4.7.5 tls", "dane clear", 1},
		{"DANE, records nobody can use still want TLS", func(c *policyCase) {
			c.dane(record(c.t, 1, 1, 1, newOther(c.t)), record(c.t, 0, 0, 1, newOther(c.t)))
			c.cert = nil
		}, "temporary 0 4.7.10 tls", "dane clear", 1},
		{"DANE, records nobody can use take any certificate", func(c *policyCase) {
			c.issue("other.example")
			c.dane(record(c.t, 1, 1, 1, newOther(c.t)))
		}, ok, "dane unverified", 1},
		{"DANE under the alias's target", func(c *policyCase) {
			c.dane()
			c.dns.alias = "real.example"
			c.dns.tlsa = map[string][]*dns.TLSA{"real.example": {record(c.t, 3, 1, 1, newOther(c.t))}}
		}, "temporary 0 4.7.5 tls", "dane clear", 1},
		{"DANE beats MTA-STS", func(c *policyCase) {
			c.issue("other.example")
			c.sts(mtasts.Enforce, "mx9.customer.example")
			c.dane(record(c.t, 3, 1, 1, c.cert.Certificate[0]))
		}, ok, "dane verified", 1},
		{"TLSA look-up fails", func(c *policyCase) {
			c.dane()
			c.dns.tlsaFails = true
		}, "temporary 0 4.4.3 route", "", 0},
		{"MX not signed: no DANE", func(c *policyCase) {
			c.dane(record(c.t, 3, 1, 1, newOther(c.t)))
			c.dns.signedMX = false
		}, ok, "opportunistic verified", 1},
		{"address not signed: no DANE, TLSA not asked for", func(c *policyCase) {
			c.dane(record(c.t, 3, 1, 1, newOther(c.t)))
			c.dns.signedIP, c.dns.tlsaFails = false, true
		}, ok, "opportunistic verified", 1},
		{"TLSA not signed: no DANE", func(c *policyCase) {
			c.dane(record(c.t, 3, 1, 1, newOther(c.t)))
			c.dns.tlsaInsecure = true
		}, ok, "opportunistic verified", 1},

		{"REQUIRETLS to whom nothing proves", func(c *policyCase) { c.letter.RequireTLS = true }, "permanent 0 5.7.30 route", "", 0},
		{"REQUIRETLS by MTA-STS", func(c *policyCase) {
			c.require()
			c.sts(mtasts.Enforce, "mx1.customer.example")
		}, ok, "mta-sts verified", 1},
		{"REQUIRETLS by a testing MTA-STS is none", func(c *policyCase) {
			c.require()
			c.sts(mtasts.Testing, "mx1.customer.example")
		}, "permanent 0 5.7.30 route", "", 0},
		{"REQUIRETLS by DNSSEC", func(c *policyCase) {
			c.require()
			c.dane()
		}, ok, "requiretls verified", 1},
		{"REQUIRETLS by DNSSEC, wrong name", func(c *policyCase) {
			c.require()
			c.dane()
			c.issue("other.example")
		}, "temporary 0 4.7.5 tls", "requiretls clear", 1},
		{"REQUIRETLS by DANE", func(c *policyCase) {
			c.require()
			c.issue("other.example")
			c.dane(record(c.t, 3, 1, 1, c.cert.Certificate[0]))
		}, ok, "dane verified", 1},
		{"REQUIRETLS without the promise", func(c *policyCase) {
			c.letter.RequireTLS = true
			c.sts(mtasts.Enforce, "mx1.customer.example")
		}, "permanent 0 5.7.30 tls", "mta-sts verified", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newPolicyCase(t)
				tc.with(c)
				r, h, met := c.carry()
				if got := strings.TrimPrefix(short(r), "anna@customer.example "); got != tc.want {
					t.Errorf("got %q, want %q: %q %v", got, tc.want, r.Text, r.Err)
				}
				if tc.conns > 0 && infoOf(r.TLS) != tc.info {
					t.Errorf("recorded %q, want %q: %+v", infoOf(r.TLS), tc.info, r.TLS)
				}
				if len(h.dialled) != tc.conns {
					t.Errorf("%d connections, want %d", len(h.dialled), tc.conns)
				}
				if n := testutil.ToFloat64(met.testing); n != float64(c.tests) {
					t.Errorf("%v failures in testing mode counted, want %d", n, c.tests)
				}
			})
		})
	}
}

func infoOf(i TLSInfo) string {
	how := "verified"
	switch {
	case i.Version == "" || i.Version != "TLS 1.3":
		how = "clear"
	case !i.Verified:
		how = "unverified"
	}
	return i.Policy + " " + how
}

// policyCase is a mail to a domain whose exchanger has a good certificate.
type policyCase struct {
	t      *testing.T
	o      Options
	dns    *secureNames
	ca     *authority
	cert   *tls.Certificate
	ext    []string
	letter Transaction
	tests  int
}

func newPolicyCase(t *testing.T) *policyCase {
	c := &policyCase{t: t, dns: &secureNames{names: oneHost()}, ca: newAuthority(t, time.Now()), letter: letter("anna@customer.example")}
	c.issue("mx1.customer.example")
	c.o = testOptions(c.dns)
	c.o.Roots = c.ca.pool
	return c
}

func (c *policyCase) issue(name string) {
	cert := c.ca.issue(c.t, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	c.cert = &cert
}
func (c *policyCase) config(match string, s Security) {
	c.o.Destinations = append(c.o.Destinations, Destination{Match: match, TLS: s})
}
func (c *policyCase) sts(m mtasts.Mode, mx ...string) {
	c.o.Policies = fixed{ID: "1", Mode: m, MX: mx, MaxAge: time.Hour}
}
func (c *policyCase) dane(list ...*dns.TLSA) {
	c.dns.signedMX, c.dns.signedIP = true, true
	c.dns.tlsa = map[string][]*dns.TLSA{"mx1.customer.example": list}
}
func (c *policyCase) require() {
	c.letter.RequireTLS, c.ext = true, []string{"REQUIRETLS"}
}

func (c *policyCase) carry() (Result, *host, metrics) {
	h := &host{t: c.t}
	h.scripts = []func(*peer){mailServer(c.cert, c.ext...), mailServer(c.cert, c.ext...)}
	c.o.Dial = h.dial
	courier := newCourier(c.t, c.o)
	r := courier.Carry(c.t.Context(), c.letter)[0]
	courier.Close(c.t.Context())
	h.wg.Wait()
	return r, h, courier.met
}

// newOther is a certificate in DER that nobody shows.
func newOther(t testing.TB) []byte {
	pair, _ := newCert(t, "mx1.customer.example", time.Now().Add(-time.Hour))
	return pair.Certificate[0]
}

// A connection serves mails of two domains if its TLS is what each of them asks
// for; otherwise each gets its own.
func TestSharingBetweenPolicies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		first, second Security
		cert          string
		conns         int
	}{
		{"both verified", Verified, Verified, "mx1.customer.example", 1},
		{"by chance, then verified", Opportunistic, Verified, "mx1.customer.example", 1},
		{"in clear, then encrypted", Clear, Encrypted, "mx1.customer.example", 2},
		{"encrypted, then verified, wrong name", Encrypted, Verified, "other.example", 2},
		{"verified, then by chance", Verified, Opportunistic, "mx1.customer.example", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newPolicyCase(t)
				c.issue(tc.cert)
				c.dns.mx["second.example"] = c.dns.mx["customer.example"]
				c.config("customer.example", tc.first)
				c.config("second.example", tc.second)
				h := &host{t: t, scripts: []func(*peer){mailServer(c.cert), mailServer(c.cert), mailServer(c.cert)}}
				c.o.Dial = h.dial
				courier := newCourier(t, c.o)
				if r := courier.Carry(t.Context(), letter("anna@customer.example"))[0]; r.Class != Success {
					t.Errorf("first: %s %v", short(r), r.Err)
				}
				l := letter("bo@second.example")
				l.Destination = "second.example"
				r := courier.Carry(t.Context(), l)[0]
				want := Success
				if tc.second == Verified && tc.cert == "other.example" {
					want = Temporary
				}
				if r.Class != want || r.TLS.Policy != byConfig {
					t.Errorf("second: %s %+v %v", short(r), r.TLS, r.Err)
				}
				courier.Close(t.Context())
				h.wg.Wait()
				if len(h.dialled) != tc.conns {
					t.Errorf("%d connections, want %d", len(h.dialled), tc.conns)
				}
			})
		})
	}
}
