package intake

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/gateway/mailauth"
	"ticketgate/ticketing"
)

type metrics struct {
	messages *prometheus.CounterVec
	duration *prometheus.HistogramVec
	auth     *prometheus.CounterVec
}

// The words of both labels; anything else counts as "other", so that a label
// never grows.
var (
	sources  = [...]string{"smtp", "submission", "lmtp", "api", "pipe", "imap"}
	outcomes = [...]string{"new_ticket", "reply", "note", "third_party", "autoreply", "bounce", "feedback",
		"duplicate", "loop", "held", "delivered_elsewhere", "refused", "failed"}
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ticketgate_intake_messages_total",
			Help: "Mails taken in by what became of them, counted once per recipient; refused and failed ones once per mail.",
		}, []string{"source", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ticketgate_intake_duration_seconds",
			Help:    "Time from the first octet of a mail until it was durable and ticketed.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"source"}),
	}
	m.auth = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ticketgate_message_auth_results_total",
		Help: "What the checks of senders found, by method; DKIM counts once per signature.",
	}, []string{"method", "result"})
	for _, method := range authMethods {
		for _, r := range authResults {
			m.auth.WithLabelValues(method, string(r))
		}
	}
	for _, s := range sources {
		for _, o := range outcomes {
			m.messages.WithLabelValues(s, o)
		}
		m.duration.WithLabelValues(s)
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.messages), reg.Register(m.duration), reg.Register(m.auth))
}

var (
	authMethods = [...]string{"spf", "dkim", "dmarc", "iprev"}
	authResults = [...]mailauth.Result{mailauth.None, mailauth.Pass, mailauth.Fail, mailauth.SoftFail, mailauth.Neutral, mailauth.Policy, mailauth.TempError, mailauth.PermError}
)

// judged counts what was found about a sender.
func (m *metrics) judged(e *mailauth.Evidence) {
	m.auth.WithLabelValues("spf", string(e.SPF.Result)).Inc()
	for _, s := range e.DKIM {
		m.auth.WithLabelValues("dkim", string(s.Result)).Inc()
	}
	if len(e.DKIM) == 0 {
		m.auth.WithLabelValues("dkim", string(mailauth.None)).Inc()
	}
	m.auth.WithLabelValues("dmarc", string(e.DMARC.Result)).Inc()
	m.auth.WithLabelValues("iprev", string(e.IPRev.Result)).Inc()
}

func (m *metrics) observe(source string, receipt *ticketing.Receipt, err error, took time.Duration) {
	source = word(sources[:], source)
	if err != nil {
		outcome := "failed"
		switch ticketing.KindOf(err) {
		case ticketing.Refused, ticketing.Invalid, ticketing.TooBig, ticketing.Unknown, ticketing.Denied:
			outcome = "refused"
		}
		if errors.Is(err, ErrLoop) {
			outcome = "loop"
		}
		m.messages.WithLabelValues(source, outcome).Inc()
		return
	}
	for _, o := range receipt.Outcomes {
		m.messages.WithLabelValues(source, word(outcomes[:], o.Outcome)).Inc()
	}
	m.duration.WithLabelValues(source).Observe(took.Seconds())
}

func word(known []string, w string) string {
	for _, k := range known {
		if k == w {
			return k
		}
	}
	return "other"
}
