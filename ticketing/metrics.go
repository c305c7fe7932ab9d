package ticketing

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing/store"
)

// metrics counts what happened, after it is durable.
type metrics struct {
	created   *prometheus.CounterVec
	messages  *prometheus.CounterVec
	matched   *prometheus.CounterVec
	loops     *prometheus.CounterVec
	solved    *prometheus.CounterVec
	reopened  *prometheus.CounterVec
	held      *prometheus.CounterVec
	rules     *prometheus.CounterVec
	expired   prometheus.Counter
	conflicts prometheus.Counter

	bounces    *prometheus.CounterVec
	complaints prometheus.Counter
	optOuts    *prometheus.CounterVec
	tls        tlsMetrics
}

func newMetrics(d *Desk, reg prometheus.Registerer) (*metrics, error) {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ticketgate_" + name, Help: help}, labels)
	}
	m := &metrics{
		created:  vec("tickets_created_total", "Tickets opened.", "queue", "source"),
		messages: vec("ticket_messages_total", "Messages added to tickets.", "queue", "kind"),
		matched:  vec("thread_match_total", "Mails by how their ticket was found.", "method"),
		loops:    vec("loop_protection_total", "Mails of our own that came back, and floods from one author.", "reason"),
		solved:   vec("tickets_solved_total", "Tickets solved or closed.", "queue"),
		reopened: vec("tickets_reopened_total", "Tickets that went on after they were over.", "queue"),
		held:     vec("held_total", "Mails held back from tickets.", "reason"),
		rules:    vec("accept_rules_total", "Mails that an accept rule decided about, by what was done.", "queue", "action"),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_held_expired_total", Help: "Held mails whose time ended before anybody decided about them.",
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_reply_conflicts_total", Help: "Replies refused because their author had not seen the newest message.",
		}),
		optOuts: vec("unsubscribes_total", "Addresses opted out of mail that nobody writes, by how it came about.", "method"),
		bounces: vec("bounces_received_total", "Reports about mails of ours, proven by their return path, one per recipient.", "class"),
		complaints: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_complaints_received_total", Help: "Proven complaints about mails of ours.",
		}),
	}
	m.tls = newTLSMetrics(d, vec)
	for _, reason := range heldReasons {
		m.held.WithLabelValues(reason)
	}
	for _, q := range d.order {
		for _, action := range ruleActions {
			if len(q.rules) > 0 {
				m.rules.WithLabelValues(q.Name, action)
			}
		}
	}
	for _, reason := range loopReasons {
		m.loops.WithLabelValues(reason)
	}
	for _, method := range []string{OptOutLink, OptOutComplaint, OptOutAsked} {
		m.optOuts.WithLabelValues(method)
	}
	for _, class := range []string{"hard", "soft", "delayed", "delivered"} {
		m.bounces.WithLabelValues(class)
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.created, m.messages, m.matched, m.loops, m.solved, m.reopened, m.held, m.rules, m.expired, m.conflicts, m.bounces, m.complaints, m.optOuts, m.tls.reports, m.tls.sessions, newStock(d)} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) count(t tally) {
	for _, l := range t.created {
		m.created.WithLabelValues(l.a, l.b).Inc()
	}
	for _, l := range t.messages {
		m.messages.WithLabelValues(l.a, l.b).Inc()
	}
	for _, l := range t.matched {
		m.matched.WithLabelValues(l).Inc()
	}
	for _, l := range t.loops {
		m.loops.WithLabelValues(l).Inc()
	}
	for _, l := range t.solved {
		m.solved.WithLabelValues(l).Inc()
	}
	for _, l := range t.reopened {
		m.reopened.WithLabelValues(l).Inc()
	}
	for _, l := range t.held {
		m.held.WithLabelValues(l).Inc()
	}
	for _, l := range t.rules {
		m.rules.WithLabelValues(l.a, l.b).Inc()
	}
	for _, l := range t.bounces {
		m.bounces.WithLabelValues(l).Inc()
	}
	m.complaints.Add(float64(t.complaints))
	m.expired.Add(float64(t.expired))
	m.tls.count(t.tlsReport)
}

// stock shows how many tickets there are. The numbers are counters in the
// store, so a scrape reads one row per queue and status.
type stock struct {
	d    *Desk
	desc *prometheus.Desc
	held *prometheus.Desc
}

func newStock(d *Desk) *stock {
	return &stock{
		d: d, desc: prometheus.NewDesc("ticketgate_tickets", "Tickets by queue and status.", []string{"queue", "status"}, nil),
		held: prometheus.NewDesc("ticketgate_suspended_messages", "Held mails that wait for somebody.", nil, nil),
	}
}

func (s *stock) Describe(ch chan<- *prometheus.Desc) {
	ch <- s.desc
	ch <- s.held
}

func (s *stock) Collect(ch chan<- prometheus.Metric) {
	type sample struct {
		queue, status string
		n             uint64
	}
	var samples []sample
	var held uint64
	err := s.d.db.View(context.Background(), func(r store.Reader) (err error) {
		samples = samples[:0]
		if held, err = r.Counter(heldCounter()); err != nil {
			return err
		}
		for _, q := range s.d.order {
			for _, status := range statuses {
				n, err := r.Counter(stockCounter(q.Name, status))
				if err != nil {
					return err
				}
				samples = append(samples, sample{q.Name, status, n})
			}
		}
		return nil
	})
	if err != nil {
		ch <- prometheus.NewInvalidMetric(s.desc, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(s.held, prometheus.GaugeValue, float64(held))
	for _, x := range samples {
		ch <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, float64(x.n), x.queue, x.status)
	}
}
