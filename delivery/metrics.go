package delivery

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/store"
)

const otherProvider = courier.OtherProvider

type metrics struct {
	enqueued, attempts, responses, throttled, throttleWait, signatures *prometheus.CounterVec
	duration, delay                                                    *prometheus.HistogramVec
	ambiguous, alerts, jumps                                           prometheus.Counter
}

// results of an attempt or a command that ends a parcel.
func results() []string {
	return []string{"delivered", "deferred", "bounced", "expired", "suppressed", "cancelled"}
}

func newMetrics(reg prometheus.Registerer, q *Queue) metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ticketgate_" + name, Help: help}, labels)
	}
	histogram := func(name, help, label string, buckets ...float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ticketgate_" + name, Help: help, Buckets: buckets}, []string{label})
	}
	m := metrics{
		enqueued:     counter("outbound_enqueued_total", "Mails put into the outbound queue.", "class"),
		attempts:     counter("outbound_attempts_total", "Delivery attempts by their result.", "class", "provider", "result"),
		responses:    counter("outbound_responses_total", "Replies that decided an attempt, by class and subject of the status code.", "provider", "status"),
		throttled:    counter("outbound_throttled_total", "Times that due mail had to wait for a limit.", "provider", "limit"),
		throttleWait: counter("outbound_throttle_wait_seconds_total", "Time that due mail had to wait for a limit.", "provider", "limit"),
		signatures:   counter("dkim_signatures_total", "Mails signed, by result.", "result"),
		ambiguous: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_outbound_ambiguous_total",
			Help: "Attempts whose answer to the final dot was lost: the mail may arrive twice.",
		}),
		alerts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_outbound_alerts_total",
			Help: "Times that mail was held because receivers or a smarthost refuse our account or domain: somebody has to repair it.",
		}),
		jumps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_outbound_clock_jumps_total",
			Help: "Times that the clock was set by more than 30 seconds.",
		}),
		duration: histogram("outbound_attempt_duration_seconds", "Time that attempts took.", "provider", .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
		delay:    histogram("outbound_delivery_delay_seconds", "Time from a mail's being due to its acceptance.", "class", .1, .5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400, 345600),
	}
	for _, c := range classes() {
		m.enqueued.WithLabelValues(c)
		m.delay.WithLabelValues(c)
		for _, r := range results() {
			m.attempts.WithLabelValues(c, otherProvider, r)
		}
	}
	for _, p := range courier.Providers() {
		m.duration.WithLabelValues(p)
		for _, l := range []string{"rate", "concurrency", "connections", "backoff"} {
			m.throttled.WithLabelValues(p, l)
			m.throttleWait.WithLabelValues(p, l)
		}
	}
	for _, r := range []string{"ok", "failed"} {
		m.signatures.WithLabelValues(r)
	}
	if reg != nil {
		reg.MustRegister(m.enqueued, m.attempts, m.responses, m.throttled, m.throttleWait,
			m.signatures, m.ambiguous, m.alerts, m.jumps, m.duration, m.delay, &stock{q: q}, &held{q: q})
	}
	return m
}

// status is the class and subject of a reply: "4.7". The set is 3 × 8.
func status(res courier.Result) string {
	class := byte('0' + res.Code/100)
	if class == '3' {
		class = '5'
	}
	subject := byte('0')
	if e := res.Enhanced; len(e) >= 5 && e[3] == '.' && e[2] >= '0' && e[2] <= '7' {
		subject = e[2]
	}
	return string([]byte{class, '.', subject})
}

// stock collects the gauges by reading the queue when it is scraped. Beyond
// stockRows it stops counting: by then the exact number matters less than the
// time it takes. A count that took long serves for a while.
type stock struct {
	q *Queue

	mu   sync.Mutex
	took time.Duration
	at   time.Duration // uptime of the last count
	last []prometheus.Metric
}

const (
	stockRows = 200_000
	stockPage = 1000
	stockTime = 5 * time.Second
)

var (
	stockMessages = prometheus.NewDesc("ticketgate_outbound_messages", "Mails in the outbound queue, counted up to 200000.", []string{"state"}, nil)
	stockAge      = prometheus.NewDesc("ticketgate_outbound_oldest_age_seconds", "Age of the oldest mail in a state; for ready, how long it has been due.", []string{"state"}, nil)
	stockBytes    = prometheus.NewDesc("ticketgate_outbound_stored_bytes", "Size of the mails in the outbound queue.", nil, nil)
	stockRefused  = prometheus.NewDesc("ticketgate_outbound_refused", "Routes and sender domains whose mail is held because we are refused, or have no credentials: a person has to mend it.", []string{"kind"}, nil)
	stockPaused   = prometheus.NewDesc("ticketgate_outbound_paused", "Sites that are left alone for a while, because they could not be reached or refuse us.", []string{"provider"}, nil)
)

func (s *stock) Describe(ch chan<- *prometheus.Desc) {
	ch <- stockMessages
	ch <- stockAge
	ch <- stockBytes
	ch <- stockPaused
	ch <- stockRefused
}

func (s *stock) Collect(ch chan<- prometheus.Metric) {
	for provider, n := range s.q.pausedSites() {
		ch <- prometheus.MustNewConstMetric(stockPaused, prometheus.GaugeValue, n, provider)
	}
	for kind, n := range s.q.refusals() {
		ch <- prometheus.MustNewConstMetric(stockRefused, prometheus.GaugeValue, n, kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if began := s.q.uptime(); s.last == nil || began-s.at >= 50*s.took {
		list, err := s.read()
		if err != nil {
			s.q.o.Log.Warn("outbound queue not counted", "cause", err)
			return
		}
		s.last, s.at = list, s.q.uptime()
		s.took = s.at - began
	}
	for _, m := range s.last {
		ch <- m
	}
}

func (s *stock) read() (list []prometheus.Metric, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), stockTime)
	defer cancel()
	count, age, bytes := map[string]float64{}, map[string]float64{}, 0.0
	now := s.q.o.Now()
	err = s.q.each(ctx, stockRows, func(p *row) {
		state := p.state(now)
		old := p.age(now)
		if state == Ready {
			old = now.Sub(p.Due)
		}
		count[state]++
		age[state] = max(age[state], old.Seconds())
		bytes += float64(p.Size)
	})
	for _, state := range States() {
		list = append(list,
			prometheus.MustNewConstMetric(stockMessages, prometheus.GaugeValue, count[state], state),
			prometheus.MustNewConstMetric(stockAge, prometheus.GaugeValue, age[state], state))
	}
	return append(list, prometheus.MustNewConstMetric(stockBytes, prometheus.GaugeValue, bytes)), err
}

// pausedSites counts the sites that are left alone, by provider; there is always
// one of no provider's.
func (q *Queue) pausedSites() map[string]float64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := map[string]float64{otherProvider: float64(len(q.paused))} // not met again since the start
	for _, s := range q.sites {
		if s.failures > 0 {
			n[s.provider]++
		}
	}
	return n
}

// refusals counts the routes and sender domains that are held.
func (q *Queue) refusals() map[string]float64 {
	n := map[string]float64{"route": 0, "sender": 0}
	for _, s := range q.Sites() {
		switch {
		case s.Held && strings.HasPrefix(s.Name, placeSender):
			n["sender"]++
		case s.Held:
			n["route"]++
		}
	}
	return n
}

// each calls fn for up to limit parcels, in short reads so that no snapshot is
// held for long.
func (q *Queue) each(ctx context.Context, limit int, fn func(*row)) error {
	var after store.Key
	for seen := 0; seen < limit; {
		var page []*row
		err := q.o.DB.View(ctx, func(r store.Reader) error {
			var err error
			page, after, err = q.parcels.Page(r, store.Query{After: after, Limit: stockPage})
			return err
		})
		if err != nil {
			return err
		}
		for _, p := range page {
			fn(p)
		}
		seen += len(page)
		if after == nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
