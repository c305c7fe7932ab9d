package resolver

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	queries *prometheus.CounterVec // nil keeps none
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return &metrics{}, nil
	}
	m := &metrics{queries: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ticketgate_dns_queries_total",
		Help: "DNS questions by outcome, and whether the cache answered.",
	}, []string{"outcome", "cached"})}
	return m, reg.Register(m.queries)
}

func (m *metrics) count(o Outcome, cached bool) {
	if m.queries == nil {
		return
	}
	word := "no"
	if cached {
		word = "yes"
	}
	m.queries.WithLabelValues(o.String(), word).Inc()
}
