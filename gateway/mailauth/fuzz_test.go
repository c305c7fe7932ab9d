package mailauth

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing/message"
)

// echo answers every TXT question with one text.
type echo struct{ text string }

func (e echo) LookupTXT(context.Context, string) ([]string, error) { return []string{e.text}, nil }
func (e echo) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return []*net.MX{{Host: name}}, nil
}
func (e echo) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}
func (e echo) LookupAddr(context.Context, string) ([]string, error) { return []string{e.text}, nil }

// FuzzEvaluate: no mail and no record breaks the checks, and the field we write
// is always one field.
func FuzzEvaluate(f *testing.F) {
	f.Add("From: a@a.example\r\nDKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=k; h=from; bh=AAAA; b=AAAA\r\n\r\nx", "v=DKIM1; p=AAAA", "a@a.example")
	f.Add("From: a@a.example\r\n\r\n", "v=spf1 include:%{d} exists:%{ir}.%{L3r-+}.x.example mx/24 ptr redirect=%{h}.x.example", "\"a@b\"@a.example")
	f.Add("From: a@a.example\n\n", "v=DMARC1; p=reject; np=none; psd=y; t=y; rua=mailto:x@y", "")
	f.Add("\r\r\n\x00:", "v=spf1 a:/24 ip6:::/0 ip4:1.2.3.4/0", "@")
	f.Fuzz(func(t *testing.T, mail, record, from string) {
		c, err := New(Options{DNS: echo{record}, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		v, e := c.Evaluate(context.Background(), Input{RemoteIP: netip.MustParseAddr("192.0.2.1"), HELO: "h.example", EnvelopeFrom: from, Raw: strings.NewReader(mail), Size: int64(len(mail))})
		if v.SPF.Result == "" || v.DMARC.Result == "" || v.IPRev.Result == "" || v.Trust == "" || len(v.Reasons) == 0 {
			t.Errorf("an empty word: %+v", v)
		}
		field := AuthenticationResults("mx.example", e)
		if clean, n := message.StripForged([]byte(field), "mx.example"); n != 1 || len(clean) != 0 {
			t.Errorf("we do not know our own field: %q", field)
		}
	})
}

// FuzzRecords: parsers of what strangers publish.
func FuzzRecords(f *testing.F) {
	for _, s := range []string{
		"v=spf1 a -all", "v=spf1 %{i}", "v=spf1 exists:%{l1r+-/=}.a.example", "v=spf1 ip4:1.2.3.4/32 ip6:::1//", "v=DMARC1; p=none", "v = DMARC1;sp", "v=DKIM1; k=rsa; p=!", ";;=;", "v=spf1 redirect=a.b exp=%{p}.c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := parseSPF(s); err == nil {
			check := &spfCheck{dns: echo{s}, ip: netip.MustParseAddr("2001:db8::1"), local: "l", domain: "d.example", helo: "h"}
			for _, term := range r.terms {
				if n := len(check.expand(context.Background(), term.domain, "d.example")); n > 253 && strings.Contains(term.domain, ".") && n > len(s)*130 {
					t.Errorf("%q expands to %d octets", term.domain, n)
				}
			}
		}
		if r, ok := parseRecord(s); ok && r.bad == "" && r.p == "" {
			t.Errorf("%q: valid without a policy", s)
		}
		parseKey(s, &signature{algorithm: "rsa", domain: "d.example", identityDomain: "d.example"})
		parseSignature(field{"dkim-signature", "DKIM-Signature: " + s + "\r\n"}, &Signature{})
	})
}
