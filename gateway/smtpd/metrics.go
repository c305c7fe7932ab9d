package smtpd

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	open        *prometheus.GaugeVec
	connections *prometheus.CounterVec
	messages    *prometheus.CounterVec
	size        *prometheus.HistogramVec
	rejections  *prometheus.CounterVec
	commands    *prometheus.HistogramVec
	tlsSessions *prometheus.CounterVec
	logins      *prometheus.CounterVec
}

// The words of the labels. What is not among them is counted as the last one,
// so that no peer can make a label grow.
var (
	listenerNames = [...]string{MX, Submission, Submissions, LMTP}
	connResults   = [...]string{"accepted", "limited", "tls_failed"}
	mailResults   = [...]string{"accepted", "rejected", "tempfailed"}
	reasons       = [...]string{"unknown_recipient", "recipients", "address", "size", "malformed", "loop", "policy", "rate",
		"early_talker", "protocol", "auth", "relay", "timeout", "no_space", "outbound_full", "busy", "internal"}
	loginResults = [...]string{"ok", "failed", "blocked"}
	commandNames = [...]string{"mail", "rcpt", "data"}
	codeClasses  = [...]string{"2xx", "4xx", "5xx"}
	tlsVersions  = [...]string{"TLS1.2", "TLS1.3", "other"}
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ticketgate_smtp_" + name, Help: help}, labels)
	}
	m := &metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ticketgate_smtp_open_connections",
			Help: "SMTP connections open now."}, []string{"listener"}),
		connections: counter("connections_total", "SMTP connections: accepted, limited (refused by a limit), tls_failed (ended by a failed handshake).", "listener", "result"),
		messages:    counter("messages_total", "Messages by their final reply.", "listener", "result"),
		size: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ticketgate_smtp_message_size_bytes",
			Help: "Size of accepted messages.", Buckets: prometheus.ExponentialBuckets(1<<10, 4, 9)}, []string{"listener"}),
		rejections: counter("rejections_total", "Commands, messages and connections refused, by reason.", "reason"),
		commands: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ticketgate_smtp_command_duration_seconds",
			Help:    "Time the server took to answer a command; for data from the end of the message.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}}, []string{"listener", "command", "code_class"}),
		tlsSessions: counter("tls_sessions_total", "TLS sessions by direction and version.", "direction", "version"),
		logins:      counter("logins_total", "Logins: ok, failed, blocked (not tried after too many failures from one network).", "result"),
	}
	for _, l := range listenerNames {
		m.open.WithLabelValues(l)
		m.size.WithLabelValues(l)
		for _, r := range connResults {
			m.connections.WithLabelValues(l, r)
		}
		for _, r := range mailResults {
			m.messages.WithLabelValues(l, r)
		}
		for _, c := range commandNames {
			for _, k := range codeClasses {
				m.commands.WithLabelValues(l, c, k)
			}
		}
	}
	for _, r := range reasons {
		m.rejections.WithLabelValues(r)
	}
	for _, r := range loginResults {
		m.logins.WithLabelValues(r)
	}
	for _, v := range tlsVersions {
		m.tlsSessions.WithLabelValues("in", v)
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.open), reg.Register(m.connections), reg.Register(m.messages), reg.Register(m.size),
		reg.Register(m.rejections), reg.Register(m.commands), reg.Register(m.tlsSessions), reg.Register(m.logins))
}

func (m *metrics) connection(listener, result string) {
	m.connections.WithLabelValues(listener, result).Inc()
}

func (m *metrics) login(result string) { m.logins.WithLabelValues(result).Inc() }

func (m *metrics) rejected(reason string) {
	for _, r := range reasons {
		if r == reason {
			m.rejections.WithLabelValues(r).Inc()
			return
		}
	}
}

func (m *metrics) command(listener, name string, code int, took time.Duration) {
	m.commands.WithLabelValues(listener, name, class(code)).Observe(took.Seconds())
}

func class(code int) string {
	switch code / 100 {
	case 2:
		return "2xx"
	case 4:
		return "4xx"
	default:
		return "5xx"
	}
}

// message counts a message's final reply.
func (m *metrics) message(listener string, code int, size int64) {
	result := "rejected"
	switch code / 100 {
	case 2:
		result = "accepted"
		m.size.WithLabelValues(listener).Observe(float64(size))
	case 4:
		result = "tempfailed"
	}
	m.messages.WithLabelValues(listener, result).Inc()
}

func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS12:
		return "TLS1.2"
	case tls.VersionTLS13:
		return "TLS1.3"
	default:
		return "other"
	}
}
