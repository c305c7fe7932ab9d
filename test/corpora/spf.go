package corpora

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"ticketgate/test/dnstest"
)

// SPFScenario is a scenario of the RFC 7208 test suite.
type SPFScenario struct {
	Description string
	Cases       []SPFCase // in the order of their names
	zone        map[string][]any
}

// SPFCase is a mail's envelope and what SPF may say of it.
type SPFCase struct {
	Name, HELO, IP, From string
	Want                 []string
}

// SPFSuite returns the whole suite.
func SPFSuite(t testing.TB) []SPFScenario {
	t.Helper()
	var suites []struct {
		Description string
		Tests       map[string]struct {
			Helo, Host, MailFrom string
			Result               any
		}
		Zonedata map[string][]any
	}
	if err := json.Unmarshal([]byte(Read(t, "spf", "rfc7208-tests.json")), &suites); err != nil {
		t.Fatal(err)
	}
	var out []SPFScenario
	for _, s := range suites {
		scenario := SPFScenario{Description: s.Description, zone: s.Zonedata}
		for _, name := range slices.Sorted(maps.Keys(s.Tests)) {
			c := s.Tests[name]
			scenario.Cases = append(scenario.Cases, SPFCase{name, c.Helo, c.Host, c.MailFrom, words(c.Result)})
		}
		out = append(out, scenario)
	}
	return out
}

// Serve puts the scenario's zone data on a name server.
func (s *SPFScenario) Serve(t testing.TB, server *dnstest.Server) {
	t.Helper()
	serve(t, server, s.zone)
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

// serve reads zone data as the suite's README describes them.
func serve(t testing.TB, s *dnstest.Server, zone map[string][]any) {
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

func serveOne(t testing.TB, s *dnstest.Server, name, kind string, v any, hasTXT bool) uint16 {
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
