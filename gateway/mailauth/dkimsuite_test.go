package mailauth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ticketgate/test/dnstest"
)

// stricter are the vectors where our rules are stricter than the source's, and
// what we say instead.
var stricter = map[string]string{
	"chasquid/09-limited_body.msg 1": "neutral", // l= leaves a part of the body unsigned
}

// TestDKIMVectors judges every mail of the corpus with the keys that came with
// it.
func TestDKIMVectors(t *testing.T) {
	t.Parallel()
	rows := strings.Split(strings.TrimSpace(read(t, corpora(t, "dkim", "expected.tsv"))), "\n")[1:]
	checked := 0
	for _, row := range rows {
		col := strings.Split(row, "\t")
		file, nth, domain, selector, want := col[0], col[1], col[2], col[3], col[5]
		h := houseAt(t, today, 100*time.Millisecond)
		if file == "mail-auth/005.txt" { // it carries an expiry
			h.now = time.Unix(1667843664, 0)
		}
		_, e := h.check(t, "", "", "", loadVector(t, h.Server, file))
		checked++
		n := int(nth[0] - '1')
		if nth == "0" {
			if len(e.DKIM) != 0 {
				t.Errorf("%s: %v", file, e.DKIM)
			}
			continue
		}
		if n >= 5 {
			if len(e.DKIM) != 5 || e.Ignored != 2 {
				t.Errorf("%s: judged %d signatures, ignored %d", file, len(e.DKIM), e.Ignored)
			}
			continue
		}
		if n >= len(e.DKIM) {
			t.Errorf("%s: no signature %s: %s", file, nth, e.Note)
			continue
		}
		s := e.DKIM[n]
		got := string(s.Result)
		if s.Domain != domain || s.Selector != selector {
			t.Errorf("%s %s: %s of %s", file, nth, s.Selector, s.Domain)
		}
		if say, ok := stricter[file+" "+nth]; ok {
			want = say
		}
		if want != "" && got != want && (want != "not-pass" || got == "pass") {
			t.Errorf("%s %s: %s (%s), want %s", file, nth, got, s.Reason, want)
		}
	}
	t.Logf("DKIM vectors: %d signatures", checked)
	if checked != 34 {
		t.Errorf("checked %d rows", checked)
	}
}

// loadVector serves a vector's keys and returns its mail with CRLF.
func loadVector(t *testing.T, s *dnstest.Server, file string) string {
	t.Helper()
	text := read(t, corpora(t, "dkim", filepath.FromSlash(file)))
	if strings.HasPrefix(file, "mail-auth/") {
		head, mail, _ := strings.Cut(text, "\n\n")
		for line := range strings.SplitSeq(head, "\n") {
			name, record, _ := strings.Cut(line, " ")
			s.TXT(name, strings.TrimSpace(record))
		}
		return crlf(mail)
	}
	zone, err := os.ReadFile(corpora(t, "dkim", strings.TrimSuffix(file, ".msg")+".dns"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.ReplaceAll(string(zone), "\\\n", ""), "\n") {
		name, record, ok := strings.Cut(line, ": ")
		switch record = strings.TrimSpace(record); {
		case !ok:
		case record == "TEMPERROR":
			s.Fail(name, dns.TypeTXT, dnstest.ServFail)
		case record == "PERMERROR":
		default:
			s.TXT(name, record)
		}
	}
	return crlf(text)
}

// TestSignatureReport: what the Authentication-Results field needs is there for
// good and bad signatures alike.
func TestSignatureReport(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, e := h.check(t, "", "", "", loadVector(t, h.Server, "chasquid/04-bad_dkim_signature_header.msg"))
	got := fmt.Sprint(e.DKIM[0].Domain, " ", e.DKIM[0].Selector, " ", e.DKIM[0].Algorithm, " ", len(e.DKIM[0].B), " ", e.DKIM[0].Result)
	if got != "football.example.com brisbane ed25519-sha256 8 permerror" {
		t.Error(got)
	}
}
