package mailauth_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/authres"
	"pgregory.net/rapid"

	"ticketgate/gateway/mailauth"
)

const ourName = "mx.help.example"

func TestAuthenticationResults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	key := signers()["ed25519"]
	h.TXT("a.example", "v=spf1 ip4:"+peer+" -all")
	h.TXT("_dmarc.a.example", "v=DMARC1; p=reject")
	h.TXT("k._domainkey.a.example", key.record)
	h.PTR(peer, "mx.a.example")
	h.A("mx.a.example", peer)
	mail := sign(t, key.key, "a.example", "k", letterMail, nil)
	_, e := h.check(t, peer, "mx.a.example", "anna@a.example", mail)
	got := mailauth.AuthenticationResults(ourName, e)
	want := "Authentication-Results: mx.help.example;\r\n" +
		"\tspf=pass smtp.mailfrom=anna@a.example;\r\n" +
		"\tdkim=pass header.a=ed25519-sha256 header.b=" + e.DKIM[0].B + " header.d=a.example header.s=k;\r\n" +
		"\tdmarc=pass header.from=a.example policy.dmarc=reject;\r\n" +
		"\tiprev=pass policy.iprev=" + peer + "\r\n"
	if masked(got) != masked(want) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	_, results, err := authres.Parse(strings.TrimPrefix(strings.ReplaceAll(got, "\r\n\t", " "), "Authentication-Results: "))
	if err != nil || len(results) != 4 {
		t.Errorf("does not parse: %v, %d results", err, len(results))
	}
	_, e = h.check(t, "192.0.2.99", "helo.a.example", "", "From: eve@a.example\r\n\r\n")
	got = mailauth.AuthenticationResults(ourName, e)
	for _, part := range []string{
		"spf=none", "smtp.helo=helo.a.example", ";\r\n\tdkim=none;\r\n", "dmarc=fail reason=\"nothing that passes belongs to a.example\"", "iprev=permerror",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in\n%s", part, got)
		}
	}
}

func masked(s string) string { return strings.ReplaceAll(s, "?", "+") }

// TestResultsCannotBeInjected: whatever a mail or a record says, the field is
// one field with the results we meant.
func TestResultsCannotBeInjected(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching("[a;=@\"\\\\() \r\n\tä\x00]{0,20}")
		e := &mailauth.Evidence{
			Author: mailauth.Author{Domain: text.Draw(r, "author")},
			SPF:    mailauth.SPF{Result: "fail", Identity: "mailfrom", Sender: text.Draw(r, "sender"), Domain: text.Draw(r, "domain"), Reason: text.Draw(r, "why")},
			DKIM:   []mailauth.Signature{{Result: "fail", Domain: text.Draw(r, "d"), Selector: text.Draw(r, "s"), Algorithm: text.Draw(r, "a"), B: text.Draw(r, "b"), Reason: text.Draw(r, "because")}},
			DMARC:  mailauth.DMARC{Result: "fail", Domain: text.Draw(r, "from"), Reason: text.Draw(r, "dmarc")},
			IPRev:  mailauth.IPRev{Result: "fail", IP: netip.MustParseAddr(peer), Reason: text.Draw(r, "iprev")},
		}
		got := mailauth.AuthenticationResults(ourName, e)
		lines := strings.Split(strings.TrimSuffix(got, "\r\n"), "\r\n\t")
		if len(lines) != 5 {
			r.Fatalf("%d lines: %q", len(lines), got)
		}
		for i, start := range []string{"Authentication-Results: " + ourName + ";", "spf=fail", "dkim=fail", "dmarc=fail", "iprev=fail"} {
			if !strings.HasPrefix(lines[i], start) || strings.ContainsAny(lines[i], "\r\n\x00") || strings.Count(lines[i], "\"")%2 != 0 {
				r.Fatalf("line %d: %q", i, lines[i])
			}
		}
	})
}
