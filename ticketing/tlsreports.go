package ticketing

import (
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing/message"
)

// tlsMetrics count what other servers report about the TLS of mail to our
// domains (RFC 8460). The reports themselves are mails like others.
type tlsMetrics struct {
	d        *Desk
	reports  *prometheus.CounterVec
	sessions *prometheus.CounterVec
}

func newTLSMetrics(d *Desk, vec func(name, help string, labels ...string) *prometheus.CounterVec) tlsMetrics {
	m := tlsMetrics{
		d:        d,
		reports:  vec("tls_reports_received_total", "Signed TLS reports about domains of ours, by policy type.", "policy"),
		sessions: vec("tls_reported_sessions_total", "SMTP sessions to domains of ours in TLS reports, by policy type and result (success, or why TLS failed).", "policy", "result"),
	}
	for _, policy := range message.TLSPolicyTypes() {
		m.reports.WithLabelValues(policy)
	}
	return m
}

func (m *tlsMetrics) count(r *message.TLSReport) {
	if r == nil {
		return
	}
	for _, p := range r.Policies {
		if m.d.domains[p.Domain] == nil {
			continue
		}
		m.reports.WithLabelValues(p.Type).Inc()
		m.sessions.WithLabelValues(p.Type, "success").Add(float64(p.Sessions))
		left := p.Failed
		for result, n := range p.Failures {
			n = min(n, left) // the summary is the sum: details beyond it are made up
			left -= n
			m.sessions.WithLabelValues(p.Type, result).Add(float64(n))
		}
		m.sessions.WithLabelValues(p.Type, "other").Add(float64(left))
	}
}

// provenTLSReport returns the mail's report if it is signed, as RFC 8460 §3
// asks: anybody can send numbers.
func (in *incoming) provenTLSReport() *message.TLSReport {
	for _, d := range in.arrival.Verdict.DKIM {
		if d.Result == "pass" {
			return in.tlsReport
		}
	}
	return nil
}
