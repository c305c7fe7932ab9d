// Package notify promises that every notice is told exactly once, to exactly
// the people it concerns: it takes due notices from the agenda, decides the
// audience, composes one mail per person, and hands all of them to the outbox
// in the transaction that ends the notice.
//
// A store that cannot be read delays a notice and nothing else. A mail that can
// never be written, because its recipient's address is none, is left out with a
// reason, and the others go out.
//
// Customers read public messages only, under the queue's address. Staff read
// everything that concerns them, and see customers under addresses of the
// gateway. The address of a follower or agent stands in no mail but his own.
package notify

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Desk is what notify reads of the domain; *ticketing.Desk fits.
type Desk interface {
	Queue(name string) (*ticketing.Queue, bool)
	Agent(name string) (*ticketing.Agent, bool)
	Writer(address string) (*ticketing.Agent, bool)
	Keyring() *message.Keyring
	Ticket(ctx context.Context, number uint64) (*ticketing.Ticket, error)
	Message(ctx context.Context, id string) (*ticketing.Message, error)
	Messages(ctx context.Context, ticket uint64, after, limit int) ([]*ticketing.Message, error)
	OptedOut(ctx context.Context, addresses ...string) (map[string]bool, error)
	Admin() string
	Raw(ctx context.Context, m *ticketing.Message) (*blob.Reader, error)
	Reply(ctx context.Context, m *ticketing.Message, mail *message.Mail) (message.Reply, error)
	StillPublic(tx store.Tx, ticket uint64, ids []string) (bool, error)
	Thread(ctx context.Context, ticket uint64, person string) (inReplyTo string, references []string, err error)
}

// Outbox takes finished mails in a transaction; *delivery.Queue fits.
type Outbox interface {
	Submit(tx store.Tx, o message.Outbound) error
}

// Options are what a Notifier needs from the world.
type Options struct {
	DB         store.DB
	Blobs      *blob.Store
	Agenda     *agenda.Agenda
	Desk       Desk
	Outbox     Outbox
	Random     io.Reader             // safe for concurrent use
	Log        *slog.Logger          // nil drops what would be logged
	Registerer prometheus.Registerer // nil keeps the metrics private
	Limits     message.Limits
	Acks       AckLimits // zero fields take their defaults
	// UnsubscribeURL is the start of the links in List-Unsubscribe, to which a
	// token is added; "" writes none.
	UnsubscribeURL string
	// TicketURL is the start of the links to tickets in mails to staff, to
	// which the ticket's number is added; "" writes none.
	TicketURL string
}

const (
	claimSize  = 64               // notices per claim
	claimLease = 15 * time.Minute // longer than composing claimSize mails with files takes
	tellers    = 4                // tickets told at once, so that their transactions share a sync
	retryMin   = time.Second
	retryMax   = 10 * time.Minute
	breath     = 25 * time.Millisecond // between two claims, so that under load one claim takes many notices
)

// Notifier tells notices.
type Notifier struct {
	o        Options
	acks     *store.Table[ackRow]
	history  *store.Table[historyRow]
	had      *Acks
	total    *prometheus.CounterVec
	withheld *prometheus.CounterVec
}

// New returns a Notifier.
func New(o Options) *Notifier {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Acks = o.Acks.orDefaults()
	n := &Notifier{
		o: o, acks: ackTable(), history: historyTable(), had: NewAcks(),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ticketgate_notifications_total",
			Help: "Notifications decided, by event and result.",
		}, []string{"event", "result"}),
		withheld: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ticketgate_automatic_mail_withheld_total",
			Help: "Acknowledgements and copies not sent because of a limit, by the limit, where the desk asked for them.",
		}, []string{"limit"}),
	}
	for _, event := range events {
		for _, result := range []string{"queued", "excluded", "failed"} {
			n.total.WithLabelValues(event, result)
		}
	}
	for _, limit := range ackScopes {
		n.withheld.WithLabelValues(limit)
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(n.total, n.withheld, n.waitingGauge())
	}
	return n
}

// Run tells notices until ctx ends. Work in hand is finished or taken back at
// the next start; either way nothing is lost.
func (n *Notifier) Run(ctx context.Context) error {
	kick, stop := n.o.Agenda.Kick(ticketing.NoticeLane)
	defer stop()
	// Should another process work on the lane, its claims are fenced off: it
	// composes in vain, and nobody is told twice.
	if _, err := n.o.Agenda.Reclaim(ctx, ticketing.NoticeLane); err != nil && ctx.Err() == nil {
		n.o.Log.Error("notices: earlier claims are left to their leases", "err", err)
	}
	for ctx.Err() == nil {
		worked, next, err := n.Step(ctx)
		if err != nil && ctx.Err() == nil {
			n.o.Log.Error("notices: cannot read the agenda", "err", err)
		}
		switch {
		case worked == claimSize && err == nil:
		case worked > 0 && err == nil:
			wait(ctx, nil, breath)
		default:
			wait(ctx, kick, min(max(next, 10*time.Millisecond), agenda.Idle))
		}
	}
	return nil
}

// wait returns after d, or earlier if ctx ends or a wake-up comes.
func wait(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// Step claims and tells what is due now. It returns how many notices it
// handled and how long until the next is due.
func (n *Notifier) Step(ctx context.Context) (worked int, next time.Duration, err error) {
	jobs, err := n.o.Agenda.Claim(ctx, ticketing.NoticeLane, claimSize, claimLease, nil)
	if err != nil {
		return 0, retryMin, err
	}
	if len(jobs) == 0 {
		return 0, n.untilNext(ctx), nil
	}
	claimed := len(jobs)
	if jobs = n.hush(ctx, jobs); len(jobs) == 0 {
		return claimed, 0, nil
	}
	line := make(chan []agenda.Job)
	var wg sync.WaitGroup
	for range tellers {
		wg.Go(func() {
			for jobs := range line {
				n.tellAll(ctx, jobs)
			}
		})
	}
	for _, jobs := range byTicket(jobs) {
		line <- jobs
	}
	close(line)
	wg.Wait()
	return claimed, 0, nil
}

// byTicket keeps the notices of one ticket together and in order: a later mail
// refers to the earlier one.
func byTicket(jobs []agenda.Job) [][]agenda.Job {
	var out [][]agenda.Job
	at := map[uint64]int{}
	for _, job := range jobs {
		notice, err := readNotice(job)
		i, known := at[notice.Ticket]
		if err != nil || !known {
			i = len(out)
			out = append(out, nil)
		}
		if err == nil {
			at[notice.Ticket] = i
		}
		out[i] = append(out[i], job)
	}
	return out
}

func (n *Notifier) tellAll(ctx context.Context, jobs []agenda.Job) {
	for _, job := range jobs {
		if ctx.Err() != nil {
			return
		}
		err := n.tell(ctx, job)
		if errors.Is(err, errConcealed) { // written anew at once, and then like any other
			err = n.tell(ctx, job)
		}
		if err != nil {
			n.postpone(ctx, job, err)
		}
	}
}

func (n *Notifier) untilNext(ctx context.Context) time.Duration {
	next, err := n.o.Agenda.Until(ctx, ticketing.NoticeLane)
	if err != nil {
		return retryMin
	}
	return next
}

// postpone makes a notice due again later; the notice is kept for ever rather
// than lost, and the operator hears of it.
func (n *Notifier) postpone(ctx context.Context, job agenda.Job, cause error) {
	if errors.Is(cause, agenda.ErrLost) || ctx.Err() != nil {
		return
	}
	delay := min(retryMin<<min(max(job.Attempts-1, 0), 16), retryMax)
	n.o.Log.Error("notice not told, will try again", "notice", job.Key, "attempt", job.Attempts, "in", delay, "err", cause)
	err := n.o.DB.Update(ctx, func(tx store.Tx) error {
		return n.o.Agenda.Again(tx, job, tx.Now().Add(delay))
	})
	if err != nil && ctx.Err() == nil {
		n.o.Log.Error("notice left to its lease", "notice", job.Key, "err", err)
	}
}
