package oauth

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of all accounts together.
type Metrics struct {
	now     func() time.Time
	expiry  *prometheus.Desc
	renewed *prometheus.CounterVec
	mu      sync.Mutex
	sources []*Source
}

// NewMetrics registers ticketgate_oauth_token_expiry_seconds, the time that
// each account's token has left (0 if there is none), and
// ticketgate_oauth_renewals_total.
func NewMetrics(reg prometheus.Registerer, now func() time.Time) (*Metrics, error) {
	m := &Metrics{
		now: now,
		expiry: prometheus.NewDesc("ticketgate_oauth_token_expiry_seconds",
			"Seconds that the account's OAuth token has left; 0 if there is none.", []string{"account"}, nil),
		renewed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ticketgate_oauth_renewals_total",
			Help: "OAuth tokens asked for, by account and result.",
		}, []string{"account", "result"}),
	}
	for _, c := range []prometheus.Collector{m, m.renewed} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("oauth: %w", err)
		}
	}
	return m, nil
}

// Describe and Collect make Metrics a prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.expiry }

// Collect reports what each token has left at this moment.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sources {
		left := 0.0
		if to, ok := s.expires(); ok {
			left = max(0, to.Sub(m.now()).Seconds())
		}
		ch <- prometheus.MustNewConstMetric(m.expiry, prometheus.GaugeValue, left, s.o.Account.Name)
	}
}

func (m *Metrics) watch(s *Source) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sources = append(m.sources, s)
	for _, result := range []string{"ok", "failed"} {
		m.renewed.WithLabelValues(s.o.Account.Name, result)
	}
}

func (m *Metrics) count(account, result string) {
	if m != nil {
		m.renewed.WithLabelValues(account, result).Inc()
	}
}
