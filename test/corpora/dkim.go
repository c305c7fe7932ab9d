package corpora

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ticketgate/test/dnstest"
)

// DKIMVector is a signed mail and what is known about its signatures.
type DKIMVector struct {
	File       string
	At         time.Time // when it has to be judged; zero = any time after it was signed
	Signatures []DKIMSignature
}

// DKIMSignature is one of them; Number 0 says that there is none.
type DKIMSignature struct {
	Number           int // 1 = the topmost
	Domain, Selector string
	Want             string // a result, not-pass, or "" if the source does not say
}

// DKIMVectors returns all vectors, each file once.
func DKIMVectors(t testing.TB) []DKIMVector {
	t.Helper()
	var out []DKIMVector
	for _, row := range strings.Split(strings.TrimSpace(Read(t, "dkim", "expected.tsv")), "\n")[1:] {
		col := strings.Split(row, "\t")
		n, err := strconv.Atoi(col[1])
		if err != nil {
			t.Fatalf("expected.tsv: %q: %v", row, err)
		}
		if len(out) == 0 || out[len(out)-1].File != col[0] {
			out = append(out, DKIMVector{File: col[0]})
		}
		v := &out[len(out)-1]
		if v.File == "mail-auth/005.txt" { // its signature has an expiry
			v.At = time.Unix(1667843664, 0)
		}
		v.Signatures = append(v.Signatures, DKIMSignature{n, col[2], col[3], col[5]})
	}
	return out
}

// Serve puts a vector's keys on a name server and returns its mail with CRLF.
func (v *DKIMVector) Serve(t testing.TB, s *dnstest.Server) string {
	t.Helper()
	text := Read(t, "dkim", filepath.FromSlash(v.File))
	if strings.HasPrefix(v.File, "mail-auth/") {
		head, mail, _ := strings.Cut(text, "\n\n")
		for line := range strings.SplitSeq(head, "\n") {
			name, record, _ := strings.Cut(line, " ")
			s.TXT(name, strings.TrimSpace(record))
		}
		return CRLF(mail)
	}
	zone, err := os.ReadFile(strings.TrimSuffix(Path(t, "dkim", filepath.FromSlash(v.File)), ".msg") + ".dns")
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
	return CRLF(text)
}
