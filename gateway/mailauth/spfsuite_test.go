package mailauth_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ticketgate/test/dnstest"
)

// suite is a scenario of the RFC 7208 test suite.
type suite struct {
	Description string
	Tests       map[string]struct {
		Helo, Host, MailFrom string
		Result               any
	}
	Zonedata map[string][]any
}

// differ are the tests of the suite that we do not agree with, and why.
var differ = map[string]string{}

func TestSPFSuite(t *testing.T) {
	t.Parallel()
	var suites []suite
	if err := json.Unmarshal([]byte(read(t, corpora(t, "spf", "rfc7208-tests.json"))), &suites); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	good, all := 0, 0
	var scenarios sync.WaitGroup
	for _, s := range suites {
		scenarios.Go(func() {
			h := houseAt(t, today, 150*time.Millisecond)
			serve(t, h.Server, s.Zonedata)
			for name, c := range s.Tests {
				_, e := h.check(t, c.Host, c.Helo, c.MailFrom, "")
				want := words(c.Result)
				mu.Lock()
				all++
				switch why, known := differ[name]; {
				case slices.Contains(want, string(e.SPF.Result)):
					good++
					if known {
						t.Errorf("%s is right now: take it off the list", name)
					}
				case known:
					t.Logf("%s: %s instead of %v: %s", name, e.SPF.Result, want, why)
				default:
					t.Errorf("%s/%s: %s (%s), want %v", s.Description, name, e.SPF.Result, e.SPF.Reason, want)
				}
				mu.Unlock()
			}
		})
	}
	scenarios.Wait()
	t.Logf("SPF suite: %d of %d", good, all)
	if good < 200 || all != 203 {
		t.Errorf("score %d of %d", good, all)
	}
}

func words(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, w := range v {
			out = append(out, w.(string))
		}
	}
	return out
}

// serve puts the suite's zone data, as its README describes them, on a server.
func serve(t *testing.T, s *dnstest.Server, zone map[string][]any) {
	t.Helper()
	for name, entries := range zone {
		if !servable(name) {
			continue
		}
		hasTXT := false
		for _, e := range entries {
			if m, ok := e.(map[string]any); ok && m["TXT"] != nil {
				hasTXT = true
			}
		}
		have := map[uint16]bool{}
		for _, e := range entries {
			if e == "TIMEOUT" {
				for _, q := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypePTR} {
					if !have[q] {
						s.Fail(name, q, dnstest.Silent)
					}
				}
				continue
			}
			for kind, v := range e.(map[string]any) {
				have[serveOne(t, s, name, kind, v, hasTXT)] = true
			}
		}
	}
}

func serveOne(t *testing.T, s *dnstest.Server, name, kind string, v any, hasTXT bool) uint16 {
	t.Helper()
	switch kind {
	case "SPF", "TXT":
		if kind == "SPF" && hasTXT || v == "NONE" {
			return dns.TypeNone
		}
		parts := words(v)
		for i, p := range parts { // the JSON holds octets as characters
			parts[i] = latin1(p)
		}
		s.TXTStrings(name, parts...)
		return dns.TypeTXT
	case "A", "AAAA":
		s.A(name, v.(string))
		if kind == "A" {
			return dns.TypeA
		}
		return dns.TypeAAAA
	case "MX":
		mx := v.([]any)
		s.MX(name, uint16(mx[0].(float64)), mx[1].(string))
		return dns.TypeMX
	case "PTR":
		s.PTRName(name, v.(string))
		return dns.TypePTR
	case "CNAME":
		s.CNAME(name, v.(string))
		return dns.TypeCNAME
	}
	t.Fatalf("%s: kind %s", name, kind)
	return 0
}

func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

func servable(name string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}
