package resolver_test

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ticketgate/resolver"
	"ticketgate/test/dnstest"
)

// What the AD bit is worth: nothing unless the server is on this machine or
// said to be trusted; and a question that fails is an error, never an absence.
func TestSecureAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if !w.r.Trusted() {
		t.Fatal("a server on loopback is not trusted")
	}
	w.Sign("signed.example")
	w.MX("signed.example", 10, "mx.signed.example")
	w.A("mx.signed.example", "192.0.2.1")
	w.TLSA("_25._tcp.mx.signed.example", 3, 1, 1, bytes.Repeat([]byte{7}, 32))
	w.MX("plain.example", 10, "mx.plain.example")
	w.A("mx.plain.example", "192.0.2.2")
	w.Fail("_25._tcp.mx.plain.example", dns.TypeTLSA, dnstest.ServFail)

	mxs, secure, err := w.r.SecureMX(t.Context(), "signed.example")
	if len(mxs) != 1 || !secure || err != nil {
		t.Errorf("%v %v %v", mxs, secure, err)
	}
	ips, name, secure, err := w.r.SecureNetIP(t.Context(), "mx.signed.example")
	if len(ips) != 1 || name != "mx.signed.example" || !secure || err != nil {
		t.Errorf("%v %q %v %v", ips, name, secure, err)
	}
	list, secure, err := w.r.LookupTLSA(t.Context(), "mx.signed.example", 25)
	if len(list) != 1 || !secure || err != nil || list[0].Usage != 3 || list[0].Selector != 1 || list[0].MatchingType != 1 || list[0].Certificate != strings.Repeat("07", 32) {
		t.Errorf("%+v %v %v", list, secure, err)
	}
	if _, secure, err := w.r.SecureMX(t.Context(), "plain.example"); secure || err != nil {
		t.Errorf("%v %v", secure, err)
	}
	if list, _, err := w.r.LookupTLSA(t.Context(), "mx.plain.example", 25); list != nil || err == nil {
		t.Errorf("a server failure was taken for %v, %v", list, err)
	}
	if list, _, err := w.r.LookupTLSA(t.Context(), "nobody.example", 25); list != nil || err != nil {
		t.Errorf("absence is %v, %v", list, err)
	}
}

// An alias is followed, and its target named: TLSA records live there.
func TestSecureAlias(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.CNAME("mx.alias.example", "mx.real.example")
	w.A("mx.real.example", "192.0.2.3")
	ips, name, secure, err := w.r.SecureNetIP(t.Context(), "mx.alias.example")
	if len(ips) != 1 || name != "mx.real.example" || secure || err != nil {
		t.Errorf("%v %q %v %v", ips, name, secure, err)
	}
}

func TestWhoIsTrusted(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]bool{
		"127.0.0.1:53": true, "[::1]:53": true, "127.0.0.53:5353": true,
		"192.0.2.53:53": false, "10.0.0.1:53": false, "[fe80::1]:53": false,
	} {
		for _, said := range []bool{false, true} {
			r, err := resolver.New(resolver.Options{Server: server, Trusted: said, Dial: (&net.Dialer{}).DialContext, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			if r.Trusted() != (want || said) {
				t.Errorf("%s, said to be trusted %v: %v", server, said, r.Trusted())
			}
		}
	}
}
