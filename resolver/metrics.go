package resolver

import (
	"errors"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct { // nil fields keep none
	lookups  *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return &metrics{}, nil
	}
	m := &metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ticketgate_dns_lookups_total",
			Help: "DNS questions by record type and result; cached ones asked nobody.",
		}, []string{"type", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ticketgate_dns_lookup_duration_seconds",
			Help:    "Time until a question that was not in the cache had its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"type"}),
	}
	return m, errors.Join(reg.Register(m.lookups), reg.Register(m.duration))
}

// results are the outcomes as words of a label.
var results = [...]string{Found: "found", NoData: "no_data", NoName: "no_name", Failed: "failed", Timeout: "timeout", BadName: "bad_name"}

// typeWord keeps the label's values few.
func typeWord(qtype uint16) string {
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeMX, dns.TypeTXT, dns.TypePTR, dns.TypeTLSA:
		return dns.TypeToString[qtype]
	}
	return "other"
}

func (m *metrics) cached(qtype uint16) {
	if m.lookups != nil {
		m.lookups.WithLabelValues(typeWord(qtype), "cached").Inc()
	}
}

func (m *metrics) asked(qtype uint16, o Outcome, took time.Duration) {
	if m.lookups != nil {
		m.lookups.WithLabelValues(typeWord(qtype), results[o]).Inc()
		m.duration.WithLabelValues(typeWord(qtype)).Observe(took.Seconds())
	}
}
