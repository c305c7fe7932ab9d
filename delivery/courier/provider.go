package courier

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// providers are the large receivers, told apart by the names of their mail
// exchangers. Hosted domains share their host's limits and moods.
var providers = []struct{ suffix, name string }{
	{"google.com", "google"}, {"googlemail.com", "google"}, {"gmail.com", "google"},
	{"outlook.com", "microsoft"}, {"hotmail.com", "microsoft"}, {"office365.com", "microsoft"}, {"mx.microsoft", "microsoft"},
	{"yahoodns.net", "yahoo"}, {"yahoo.com", "yahoo"},
	{"icloud.com", "apple"}, {"apple.com", "apple"},
	{"gmx.net", "gmx_web_de"}, {"gmx.com", "gmx_web_de"}, {"web.de", "gmx_web_de"}, {"1and1.com", "gmx_web_de"},
	{"t-online.de", "t_online"}, {"ovh.net", "ovh"}, {"ovh.com", "ovh"},
	{"protonmail.ch", "protonmail"}, {"proton.me", "protonmail"},
	{"zoho.com", "zoho"}, {"zoho.eu", "zoho"}, {"zoho.in", "zoho"},
	{"mimecast.com", "mimecast"}, {"mimecast.co.za", "mimecast"},
	{"pphosted.com", "proofpoint"}, {"ppe-hosted.com", "proofpoint"},
}

// OtherProvider is the provider of every host that is not a known one's.
const OtherProvider = "other"

// Provider names the operator of a mail exchanger: one of Providers.
func Provider(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, p := range providers {
		if host == p.suffix || strings.HasSuffix(host, "."+p.suffix) {
			return p.name
		}
	}
	return OtherProvider
}

// Providers returns every value of Provider: a fixed, small set, fit for the
// label of a metric.
func Providers() []string {
	var out []string
	for _, p := range providers {
		if !slices.Contains(out, p.name) {
			out = append(out, p.name)
		}
	}
	return append(out, OtherProvider)
}

type metrics struct {
	open      *prometheus.GaugeVec
	fallbacks prometheus.Counter
	testing   prometheus.Counter
	sessions  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ticketgate_outbound_open_connections",
			Help: "Open SMTP connections to other mail servers, idle ones included.",
		}, []string{"provider"}),
		fallbacks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_outbound_tls_fallbacks_total",
			Help: "Deliveries that went on in clear because the TLS handshake failed.",
		}),
		testing: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_outbound_mta_sts_testing_failures_total",
			Help: "Connections that an MTA-STS policy would have stopped, were it not in testing mode.",
		}),
		sessions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ticketgate_outbound_tls_sessions_total",
			Help: "SMTP sessions to other servers by who asked for their TLS, its version (none = in clear) and whether the server was verified.",
		}, []string{"policy", "version", "verified"}),
	}
	for _, p := range Providers() {
		m.open.WithLabelValues(p)
	}
	if reg != nil {
		reg.MustRegister(m.open, m.fallbacks, m.testing, m.sessions)
	}
	return m
}
