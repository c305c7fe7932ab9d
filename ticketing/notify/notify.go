// Package notify promises that every notice is told exactly once, to exactly
// the people it concerns: it takes due notices from the agenda, decides the
// audience, composes one mail per person, and hands all of them to the outbox
// in the transaction that ends the notice. A mail that cannot be composed
// delays its notice and nothing else.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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
	Keyring() *message.Keyring
	Ticket(ctx context.Context, number uint64) (*ticketing.Ticket, error)
	Message(ctx context.Context, id string) (*ticketing.Message, error)
	Messages(ctx context.Context, ticket uint64, after, limit int) ([]*ticketing.Message, error)
	Raw(ctx context.Context, m *ticketing.Message) (*blob.Reader, error)
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
	Random     io.Reader
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil = no metrics
	Limits     message.Limits
}

const (
	claimSize  = 16              // notices per claim
	claimLease = 5 * time.Minute // longer than composing claimSize mails with files takes
	retryMin   = time.Second
	retryMax   = 10 * time.Minute
	idleMax    = time.Minute // look at least this often, should a wake-up be lost
)

// Notifier tells notices.
type Notifier struct {
	o     Options
	acks  *store.Table[ackRow]
	total *prometheus.CounterVec
}

// New returns a Notifier.
func New(o Options) *Notifier {
	n := &Notifier{o: o, acks: ackTable(), total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ticketgate_notifications_total",
		Help: "Notifications decided, by event and result.",
	}, []string{"event", "result"})}
	for _, event := range events {
		for _, result := range []string{"queued", "excluded", "failed"} {
			n.total.WithLabelValues(event, result)
		}
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(n.total)
	}
	return n
}

// Run tells notices until ctx ends. Work in hand is finished or left to its
// lease; either way nothing is lost.
func (n *Notifier) Run(ctx context.Context) error {
	kick, stop := n.o.Agenda.Kick(ticketing.NoticeLane)
	defer stop()
	for ctx.Err() == nil {
		worked, next, err := n.Step(ctx)
		if err != nil && ctx.Err() == nil {
			n.o.Log.Error("notices: cannot read the agenda", "err", err)
		}
		if worked > 0 && err == nil {
			continue
		}
		timer := time.NewTimer(min(max(next, 10*time.Millisecond), idleMax))
		select {
		case <-ctx.Done():
		case <-kick:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// Step claims and tells what is due now. It returns how many notices it
// handled and how long until the next is due.
func (n *Notifier) Step(ctx context.Context) (worked int, next time.Duration, err error) {
	jobs, err := n.o.Agenda.Claim(ctx, ticketing.NoticeLane, claimSize, claimLease, nil)
	if err != nil {
		return 0, retryMin, err
	}
	for _, job := range jobs {
		if err := n.tell(ctx, job); err != nil {
			n.postpone(ctx, job, err)
		}
	}
	if len(jobs) > 0 {
		return len(jobs), 0, nil
	}
	return 0, n.untilNext(ctx), nil
}

func (n *Notifier) untilNext(ctx context.Context) time.Duration {
	_, wake, err := n.o.Agenda.Due(ctx, ticketing.NoticeLane, 1)
	if err != nil || wake.IsZero() {
		return idleMax
	}
	wait := idleMax
	_ = n.o.DB.View(ctx, func(r store.Reader) error {
		wait = wake.Sub(r.Now())
		return nil
	})
	return wait
}

// postpone makes a notice due again later; the notice is kept for ever rather
// than lost, and the operator hears of it.
func (n *Notifier) postpone(ctx context.Context, job agenda.Job, cause error) {
	if errors.Is(cause, agenda.ErrLost) || ctx.Err() != nil {
		return
	}
	delay := min(retryMin<<min(job.Attempts, 16), retryMax)
	n.o.Log.Error("notice not told, will try again", "notice", job.Key, "attempt", job.Attempts, "in", delay, "err", cause)
	err := n.o.DB.Update(ctx, func(tx store.Tx) error {
		return n.o.Agenda.Again(tx, job, tx.Now().Add(delay))
	})
	if err != nil && ctx.Err() == nil {
		n.o.Log.Error("notice left to its lease", "notice", job.Key, "err", err)
	}
}

// tell composes a notice's mails and submits them as the notice ends.
func (n *Notifier) tell(ctx context.Context, job agenda.Job) error {
	var notice ticketing.Notice
	if err := json.Unmarshal(job.Payload, &notice); err != nil {
		return fmt.Errorf("notify: unreadable notice: %w", err)
	}
	affair, err := n.load(ctx, notice)
	if err != nil {
		return err
	}
	letters, skipped := plan(affair)
	letters, err = n.dropAcknowledged(ctx, letters, &skipped)
	if err != nil {
		return err
	}
	parcels := make([]parcel, 0, len(letters))
	defer func() {
		for _, p := range parcels {
			p.discard()
		}
	}()
	for _, l := range letters {
		p, err := n.write(ctx, affair, l)
		if err != nil {
			n.total.WithLabelValues(eventLabel(notice.Event), "failed").Inc()
			return fmt.Errorf("notify: compose for %s: %w", l.role, err)
		}
		parcels = append(parcels, p)
	}
	err = n.o.DB.Update(ctx, func(tx store.Tx) error {
		if err := n.o.Agenda.Done(tx, job); err != nil {
			return err
		}
		for _, p := range parcels {
			if err := p.sealed.Link(tx); err != nil {
				return err
			}
			if err := n.o.Outbox.Submit(tx, p.outbound); err != nil {
				return err
			}
		}
		return n.recordAcks(tx, letters)
	})
	if err != nil {
		return err
	}
	for i := range parcels {
		parcels[i].linked = true
	}
	n.total.WithLabelValues(eventLabel(notice.Event), "queued").Add(float64(len(parcels)))
	n.total.WithLabelValues(eventLabel(notice.Event), "excluded").Add(float64(len(skipped)))
	for _, s := range skipped {
		n.o.Log.Debug("not notified", "notice", notice.ID, "ticket", notice.Ticket, "role", s.role, "reason", s.reason)
	}
	return nil
}

// affair is a notice with everything its letters are written from.
type affair struct {
	notice ticketing.Notice
	ticket *ticketing.Ticket
	queue  *ticketing.Queue
	agents func(name string) (*ticketing.Agent, bool)
	msg    *ticketing.Message // nil if the notice is about no message
	mail   *message.Mail      // its parsed bytes
	answer *quotation         // the last public message before it, for customers
}

func (n *Notifier) load(ctx context.Context, notice ticketing.Notice) (*affair, error) {
	a := &affair{notice: notice, agents: n.o.Desk.Agent}
	var err error
	if a.ticket, err = n.o.Desk.Ticket(ctx, notice.Ticket); err != nil {
		return nil, err
	}
	var ok bool
	if a.queue, ok = n.o.Desk.Queue(a.ticket.Queue); !ok {
		return nil, fmt.Errorf("notify: ticket %d is in queue %q, which is not configured", a.ticket.Number, a.ticket.Queue)
	}
	if notice.Message == "" {
		return a, nil
	}
	if a.msg, err = n.o.Desk.Message(ctx, notice.Message); err != nil {
		return nil, err
	}
	if a.mail, err = n.parse(ctx, a.msg); err != nil {
		return nil, err
	}
	if a.msg.Visibility == "public" && a.msg.Author.Agent != "" {
		a.answer, err = n.lastPublic(ctx, a.msg)
	}
	return a, err
}

func (n *Notifier) parse(ctx context.Context, m *ticketing.Message) (*message.Mail, error) {
	raw, err := n.o.Desk.Raw(ctx, m)
	if err != nil {
		return nil, err
	}
	return message.Parse(raw, raw.Size(), n.o.Limits)
}

// lastPublic finds the public message that m follows, among the latest few.
func (n *Notifier) lastPublic(ctx context.Context, m *ticketing.Message) (*quotation, error) {
	const window = 20
	list, err := n.o.Desk.Messages(ctx, m.Ticket, max(0, m.Seq-1-window), window)
	if err != nil {
		return nil, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		prev := list[i]
		if prev.Seq >= m.Seq || prev.Visibility != "public" {
			continue
		}
		mail, err := n.parse(ctx, prev)
		if err != nil {
			return nil, err
		}
		visible, _ := message.VisibleText(mail.Text())
		return &quotation{author: displayName(prev.Author), at: prev.ReceivedAt, text: visible}, nil
	}
	return nil, nil
}
