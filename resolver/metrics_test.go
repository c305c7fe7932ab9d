package resolver

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/test/dnstest"
)

// TestMetrics: questions by type and result, kept answers apart, and names
// Prometheus has nothing to say against.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := dnstest.Start(t)
	s.TXT("a.example", "x")
	s.Fail("broken.example", dns.TypeMX, dnstest.ServFail)
	reg := prometheus.NewRegistry()
	r, err := New(Options{Server: s.Addr(), Dial: (&net.Dialer{}).DialContext, Now: time.Now, Timeout: time.Minute, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.Query(t.Context(), "a.example", dns.TypeTXT)
	}
	r.Query(t.Context(), "none.example", dns.TypeA)
	r.Query(t.Context(), "broken.example", dns.TypeMX)
	r.Query(t.Context(), "a.example", dns.TypeCAA)
	for _, c := range []struct {
		qtype, result string
		want          float64
	}{{"TXT", "found", 1}, {"TXT", "cached", 2}, {"A", "no_name", 1}, {"MX", "failed", 1}, {"other", "no_data", 1}} {
		if got := testutil.ToFloat64(r.metrics.lookups.WithLabelValues(c.qtype, c.result)); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.qtype, c.result, got, c.want)
		}
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
