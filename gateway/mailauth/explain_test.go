package mailauth_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"ticketgate/gateway/mailauth"
)

// TestLines is what an administrator reads when he asks why.
func TestLines(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.TXT("b.example", "v=spf1 ip4:192.0.2.0/24 -all")
	h.TXT("_dmarc.a.example", "v=DMARC1; p=reject; sp=quarantine")
	h.PTR("192.0.2.9", "mx.b.example")
	_, e := h.check(t, "192.0.2.9", "mx.b.example", "eve@b.example", "From: Anna <anna@www.a.example>\r\nDKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=k; h=from; bh=AAAA; b=QUJDREVGR0g=\r\n\r\n")
	want := `author  known     anna@www.a.example
spf     pass      mailfrom eve@b.example (ip4:192.0.2.0/24 of b.example)
dkim    permerror d=b.example s=k a=rsa-sha256 b=QUJDREVG (there is no key at k._domainkey.b.example)
iprev   fail      (no name of the address leads back to it)
walk    asked     _dmarc.www.a.example: no record
walk    asked     _dmarc.a.example: v=DMARC1; p=reject; sp=quarantine
walk    asked     _dmarc.example: no record
dmarc   fail      (nothing that passes belongs to www.a.example) record of a.example, organisation a.example, sp=quarantine, asks for: quarantine
trust   T0        DMARC fails: nothing that passes belongs to www.a.example; the peer's name and address do not confirm each other: no name of the address leads back to it`
	if got := strings.Join(e.Lines(), "\n"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	h := newHouse(b)
	key := signers()["rsa2048"]
	h.TXT("a.example", "v=spf1 ip4:"+peer+" -all")
	h.TXT("_dmarc.a.example", "v=DMARC1; p=reject")
	h.TXT("k._domainkey.a.example", key.record)
	mail := sign(b, key.key, "a.example", "k", letterMail+strings.Repeat("Some text of a mail.\r\n", 2000), nil)
	in := mailauth.Input{RemoteIP: netip.MustParseAddr(peer), HELO: "mx.a.example", EnvelopeFrom: "anna@a.example", Raw: strings.NewReader(mail), Size: int64(len(mail))}
	b.SetBytes(int64(len(mail)))
	for b.Loop() {
		if v, _ := h.c.Evaluate(context.Background(), in); v.Trust != "T2" {
			b.Fatal(v)
		}
	}
}
