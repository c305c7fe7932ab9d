package notify

import (
	"context"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
)

// maxWaiting bounds what a look at the metrics costs.
const maxWaiting = 1000

// Waiting is how many notices are not told yet, counted up to 1000. A notice
// leaves in the transaction in which its mails come to the outbound queue: while
// there is none, nobody has still to be written to.
func (n *Notifier) Waiting(ctx context.Context) (count int, err error) {
	err = n.o.DB.View(ctx, func(r store.Reader) error {
		jobs, err := n.o.Agenda.Jobs(r, ticketing.NoticeLane, maxWaiting)
		count = len(jobs)
		return err
	})
	return count, err
}

func (n *Notifier) waitingGauge() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ticketgate_notices_waiting",
		Help: "Notices of which nobody has been told yet, counted up to 1000.",
	}, func() float64 {
		count, err := n.Waiting(context.Background())
		if err != nil {
			n.o.Log.Warn("notices: not counted", "err", err)
			return math.NaN()
		}
		return float64(count)
	})
}
