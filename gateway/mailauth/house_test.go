package mailauth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"ticketgate/gateway/mailauth"
	"ticketgate/resolver"
	"ticketgate/test/dnstest"
	"ticketgate/ticketing"
)

// house is a checker that asks a test name server.
type house struct {
	*dnstest.Server
	c   *mailauth.Checker
	now time.Time
}

// today is later than any signature the tests make: the signer of the library
// dates them by the real clock.
var today = time.Date(2060, 5, 1, 12, 0, 0, 0, time.UTC)

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{Server: dnstest.Start(t), now: today}
	clock := func() time.Time { return h.now }
	r, err := resolver.New(resolver.Options{
		Server: h.Addr(), Dial: h.Dial, Now: clock, Timeout: time.Minute, Rounds: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.c, err = mailauth.New(mailauth.Options{DNS: r, Now: clock, Deadline: 3 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	return h
}

// check evaluates a mail sent by ip on behalf of from.
func (h *house) check(t interface{ Helper() }, ip, helo, from, mail string) (ticketing.Verdict, *mailauth.Evidence) {
	t.Helper()
	in := mailauth.Input{HELO: helo, EnvelopeFrom: from, Raw: strings.NewReader(mail), Size: int64(len(mail))}
	if ip != "" {
		in.RemoteIP = netip.MustParseAddr(ip)
	}
	return h.c.Evaluate(context.Background(), in)
}

// signer is a key and its record.
type signer struct {
	key    crypto.Signer
	record string
}

var signers = sync.OnceValue(func() map[string]signer {
	pub, priv, _ := ed25519.GenerateKey(deterministic{})
	out := map[string]signer{"ed25519": {priv, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub)}}
	for name, bits := range map[string]int{"rsa1024": 1024, "rsa2048": 2048} {
		k, err := rsa.GenerateKey(deterministic{}, bits)
		if err != nil {
			panic(err)
		}
		der, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
		out[name] = signer{k, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der)}
	}
	return out
})

// deterministic is no secret: keys of tests may be guessed.
type deterministic struct{}

func (deterministic) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i*7 + len(p))
	}
	return len(p), nil
}

// sign signs a mail with the library, our reference.
func sign(t testing.TB, key crypto.Signer, domain, selector, mail string, change func(*dkim.SignOptions)) string {
	t.Helper()
	o := &dkim.SignOptions{
		Domain: domain, Selector: selector, Signer: key, Hash: crypto.SHA256,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
		HeaderKeys: []string{"From", "Subject"},
	}
	if change != nil {
		change(o)
	}
	var out bytes.Buffer
	if err := dkim.Sign(&out, strings.NewReader(mail), o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
