package pebble

import "github.com/prometheus/client_golang/prometheus"

// Values of the label "op" of ticketgate_store_errors_total.
const (
	opOpen       = "open"
	opClose      = "close"
	opRead       = "read"
	opApply      = "apply"
	opSync       = "sync"
	opLog        = "log"
	opFatal      = "fatal"
	opBackground = "background"
	opCorruption = "corruption"
	opDiskFull   = "disk_full"
	opDiskSlow   = "disk_slow"
	opBallast    = "ballast"
)

// metrics is the store's collector.
type metrics struct {
	db     *DB // set before registration
	sync   prometheus.Histogram
	stalls prometheus.Counter
	errors *prometheus.CounterVec
	size   *prometheus.Desc
	free   *prometheus.Desc
	debt   *prometheus.Desc
}

func newMetrics() *metrics {
	m := &metrics{
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "ticketgate_store_sync_duration_seconds",
			Help:    "How long one sync of the write-ahead log took. Every accepted mail waits for one.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		stalls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ticketgate_store_write_stalls_total",
			Help: "How often the store held writers up because flushing or compaction was behind.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ticketgate_store_errors_total",
			Help: "Errors of the store by operation.",
		}, []string{"op"}),
		size: prometheus.NewDesc("ticketgate_store_size_bytes", "Disk space used by the store.", nil, nil),
		free: prometheus.NewDesc("ticketgate_store_free_bytes", "Free space on the store's disk.", nil, nil),
		debt: prometheus.NewDesc("ticketgate_store_compaction_debt_bytes", "Bytes that compaction still has to rewrite.", nil, nil),
	}
	for _, op := range []string{
		opOpen, opClose, opRead, opApply, opSync, opLog, opFatal, opBackground, opCorruption, opDiskFull, opDiskSlow, opBallast,
	} {
		m.errors.WithLabelValues(op)
	}
	return m
}

func (m *metrics) failed(op string) { m.errors.WithLabelValues(op).Inc() }

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.sync.Describe(ch)
	m.stalls.Describe(ch)
	m.errors.Describe(ch)
	ch <- m.size
	ch <- m.free
	ch <- m.debt
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.sync.Collect(ch)
	m.stalls.Collect(ch)
	m.errors.Collect(ch)
	if !m.db.life.enter() {
		return
	}
	defer m.db.life.leave()
	engine := m.db.db.Metrics()
	ch <- prometheus.MustNewConstMetric(m.size, prometheus.GaugeValue, float64(engine.DiskSpaceUsage()))
	ch <- prometheus.MustNewConstMetric(m.debt, prometheus.GaugeValue, float64(engine.Compact.EstimatedDebt))
	if free, ok := m.db.space.freeBytes(); ok {
		ch <- prometheus.MustNewConstMetric(m.free, prometheus.GaugeValue, float64(free))
	}
}
