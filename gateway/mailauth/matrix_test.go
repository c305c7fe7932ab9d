package mailauth_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"ticketgate/gateway/mailauth"
	"ticketgate/test/dnstest"
)

const peer = "192.0.2.25"

// spfStates are ways to send for a subdomain of the author's domain. other
// passes, but for somebody else's domain.
var spfStates = []string{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror", "other"}

var spfRecords = map[string]string{
	"neutral": "v=spf1 ?all", "pass": "v=spf1 +all", "fail": "v=spf1 -all", "softfail": "v=spf1 ~all", "permerror": "v=spf1 nonsense",
}

var dkimStates = []string{"none", "pass", "fail", "temperror", "permerror"}

// row is one case of the matrix.
type row struct {
	spf, dkim, policy  string
	strictSPF, strictD bool
}

// oracle says what DMARC must come to. Both identifiers are subdomains of the
// author's domain, so strict alignment never accepts them. It is written from
// RFC 9989 §4.4 and §5.3 in the plainest way, apart from the code under test.
func oracle(r row) (result, disposition, trust string) {
	spfCounts := !r.strictSPF && r.spf != "other"
	dkimCounts := !r.strictD
	if spfCounts && r.spf == "pass" || dkimCounts && r.dkim == "pass" {
		return "pass", "none", "T2"
	}
	if spfCounts && r.spf == "temperror" || dkimCounts && r.dkim == "temperror" {
		return "temperror", "none", "T0"
	}
	return "fail", r.policy, "T0"
}

func TestDMARCMatrix(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.TXT("other.example", "v=spf1 +all")
	key := signers()["ed25519"]
	rows := 0
	var wg sync.WaitGroup
	for _, policy := range []string{"none", "quarantine", "reject"} {
		for mode := range 4 {
			strictSPF, strictD := mode&1 != 0, mode&2 != 0
			domain := fmt.Sprintf("%s%d.example", policy, mode)
			letter := map[bool]string{true: "s", false: "r"}
			h.TXT("_dmarc."+domain, fmt.Sprintf("v=DMARC1; p=%s; aspf=%s; adkim=%s", policy, letter[strictSPF], letter[strictD]))
			for state, record := range spfRecords {
				h.TXT(state+"."+domain, record)
			}
			h.Fail("temperror."+domain, dns.TypeTXT, dnstest.ServFail)
			h.TXT("good._domainkey.mail."+domain, key.record)
			h.Fail("temp._domainkey.mail."+domain, dns.TypeTXT, dnstest.ServFail)
			mails := signedMails(t, domain)
			for _, spf := range spfStates {
				from := "bounce@" + spf + "." + domain
				if spf == "other" {
					from = "bounce@other.example"
				}
				for _, dkim := range dkimStates {
					r := row{spf, dkim, policy, strictSPF, strictD}
					rows++
					wg.Go(func() {
						v, e := h.check(t, peer, "mx.example", from, mails[dkim])
						check(t, r, v.DMARC.Result, v.DMARC.Disposition, v.Trust, e)
					})
				}
			}
			wg.Wait()
		}
	}
	t.Logf("DMARC matrix: %d rows", rows)
	if rows != 480 {
		t.Errorf("%d rows", rows)
	}
}

func signedMails(t *testing.T, domain string) map[string]string {
	t.Helper()
	plain := "From: Anna <anna@" + domain + ">\r\nSubject: matrix\r\n\r\nHello\r\n"
	key := signers()["ed25519"].key
	good := sign(t, key, "mail."+domain, "good", plain, nil)
	return map[string]string{
		"none": plain, "pass": good, "fail": good + "appended\r\n",
		"temperror": sign(t, key, "mail."+domain, "temp", plain, nil),
		"permerror": sign(t, key, "mail."+domain, "missing", plain, nil),
	}
}

func check(t *testing.T, r row, result, disposition, trust string, e *mailauth.Evidence) {
	t.Helper()
	wantSPF := r.spf
	if wantSPF == "other" {
		wantSPF = "pass"
	}
	dkim := "none"
	if len(e.DKIM) > 0 {
		dkim = string(e.DKIM[0].Result)
	}
	if string(e.SPF.Result) != wantSPF || dkim != r.dkim {
		t.Errorf("%+v: the inputs came out as spf=%s dkim=%s\n%s", r, e.SPF.Result, dkim, strings.Join(e.Lines(), "\n"))
		return
	}
	wr, wd, wt := oracle(r)
	if result != wr || disposition != wd || trust != wt {
		t.Errorf("%+v: %s, %s, %s; want %s, %s, %s\n%s", r, result, disposition, trust, wr, wd, wt, strings.Join(e.Lines(), "\n"))
	}
}
