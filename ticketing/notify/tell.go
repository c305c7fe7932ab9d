package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// affair is a notice with everything its letters are written from.
type affair struct {
	notice ticketing.Notice
	ticket *ticketing.Ticket
	queue  *ticketing.Queue
	agents func(name string) (*ticketing.Agent, bool)
	writer func(address string) (*ticketing.Agent, bool) // whose address it is

	optedOut map[string]bool    // customers of the audience, folded
	msg      *ticketing.Message // nil if the notice is about no message
	mail     *message.Mail      // its parsed bytes; nil if no letter repeats them
	text     string             // what its author newly wrote
	shown    string             // the same for customers
	url      string             // of the ticket; "" writes none
	answer   *quotation         // the public message before it, if msg answers customers

	backlog []earlier // what a new CC is told
	unsaid  int       // messages that do not fit into his mail
}

func readNotice(job agenda.Job) (notice ticketing.Notice, err error) {
	if err = json.Unmarshal(job.Payload, &notice); err != nil {
		err = fmt.Errorf("notify: unreadable notice: %w", err)
	}
	return notice, err
}

// tell composes a notice's mails and submits them as the notice ends. Until
// then nothing of it can be seen, and after a crash it begins anew.
func (n *Notifier) tell(ctx context.Context, job agenda.Job) error {
	notice, err := readNotice(job)
	if err != nil {
		return err
	}
	switch notice.Event {
	case ticketing.EventHeldDigest:
		return n.tellHeld(ctx, job, notice)
	case ticketing.EventWithheld:
		return n.tellWithheld(ctx, job, notice)
	}
	a, err := n.load(ctx, notice)
	if err != nil {
		return err
	}
	letters, skipped := plan(a)
	v := verdicts{skipped: skipped}
	var parcels []parcel
	defer func() {
		for _, p := range parcels {
			p.writer.Discard() // removes what was not linked
		}
	}()
	for _, l := range letters {
		p, unwritable, err := n.write(ctx, a, l)
		if err != nil {
			return fmt.Errorf("notify: compose for %s: %w", l.role, err)
		}
		if unwritable != nil {
			v.failed = append(v.failed, skip{l, unwritable.Error()})
			n.o.Log.Error("mail left out, it cannot be written", "notice", notice.ID, "ticket", notice.Ticket, "role", l.role, "to", l.to.Addr, "err", unwritable)
			continue
		}
		parcels = append(parcels, p)
	}
	// The outbound queue locks a lane per domain: in the order of their names.
	slices.SortStableFunc(parcels, func(x, y parcel) int { return strings.Compare(x.domain(), y.domain()) })
	err = n.o.DB.Update(ctx, func(tx store.Tx) (err error) {
		if err := n.unconcealed(tx, a, parcels); err != nil {
			return err
		}
		if v.sent, v.refused, err = n.allow(tx, parcels); err != nil {
			return err
		}
		for _, r := range v.refused {
			if r.alert {
				if err := n.alarm(tx, notice, r.says()); err != nil {
					return err
				}
			}
		}
		if err := n.submit(tx, job, v.sent); err != nil {
			return err
		}
		return n.record(tx, notice, v)
	})
	if err != nil {
		return err
	}
	n.account(notice, v)
	return nil
}

// submit hands parcels over and ends their notice.
func (n *Notifier) submit(tx store.Tx, job agenda.Job, parcels []parcel) error {
	for _, p := range parcels {
		if err := p.sealed.Link(tx); err != nil {
			return err
		}
		if err := n.o.Outbox.Submit(tx, p.outbound); err != nil {
			return err
		}
	}
	return n.o.Agenda.Done(tx, job)
}

// account tells metrics and log what became of a notice that has been told.
func (n *Notifier) account(notice ticketing.Notice, v verdicts) {
	event := eventLabel(notice.Event)
	n.total.WithLabelValues(event, "queued").Add(float64(len(v.sent)))
	n.total.WithLabelValues(event, "failed").Add(float64(len(v.failed)))
	n.total.WithLabelValues(event, "excluded").Add(float64(len(v.skipped) + len(v.refused)))
	for _, r := range v.refused {
		if r.scope != scopeAlert {
			n.withheld.WithLabelValues(r.scope).Inc()
		}
		if r.alert && r.scope != scopeAlert {
			n.o.Log.Warn("automatic mail is being withheld; mail that arrives is still stored", "limit", r.scope, "of", r.name, "ticket", notice.Ticket)
		}
	}
}

func (n *Notifier) load(ctx context.Context, notice ticketing.Notice) (*affair, error) {
	a := &affair{notice: notice, agents: n.o.Desk.Agent, writer: n.o.Desk.Writer}
	var err error
	if a.ticket, err = n.o.Desk.Ticket(ctx, notice.Ticket); err != nil {
		return nil, err
	}
	var ok bool
	if a.queue, ok = n.o.Desk.Queue(a.ticket.Queue); !ok {
		return nil, fmt.Errorf("notify: ticket %d is in queue %q, which is not configured", a.ticket.Number, a.ticket.Queue)
	}
	if n.o.TicketURL != "" {
		a.url = fmt.Sprintf("%s%d", n.o.TicketURL, a.ticket.Number)
	}
	if a.isBacklog() {
		return a, n.loadBacklog(ctx, a)
	}
	if notice.Message == "" {
		return a, nil
	}
	if a.msg, err = n.o.Desk.Message(ctx, notice.Message); err != nil {
		return nil, err
	}
	if a.optedOut, err = n.optedOut(ctx, a); err != nil {
		return nil, err
	}
	if detailed(notice.Event) {
		return a, nil // it names the message and does not repeat it
	}
	if a.mail, err = n.parse(ctx, a.msg); err != nil {
		return nil, err
	}
	var below string
	if a.text, below, err = n.newlyWritten(ctx, a.msg, a.mail); err != nil {
		return nil, err
	}
	if a.text == "" {
		a.text = noText
	}
	a.shown = a.forCustomers(a.msg, a.text)
	a.text = a.forStaff(below)
	if public(a.msg) && byUs(a.msg) {
		a.answer, err = n.lastPublic(ctx, a)
	}
	return a, err
}

// optedOut asks which customers want no mail that nobody wrote to them. What
// our people write goes to everybody.
func (n *Notifier) optedOut(ctx context.Context, a *affair) (map[string]bool, error) {
	if byUs(a.msg) {
		return nil, nil
	}
	var customers []string
	for _, r := range a.notice.Audience {
		if r.Agent == "" {
			customers = append(customers, r.Address)
		}
	}
	if len(customers) == 0 {
		return nil, nil
	}
	return n.o.Desk.OptedOut(ctx, customers...)
}

// public reports whether customers may read a message.
func public(m *ticketing.Message) bool { return m != nil && m.Visibility == "public" }

// byUs reports whether a message comes from our side: an agent's, or one that
// an integration posted.
func byUs(m *ticketing.Message) bool { return m.Author.Agent != "" || m.Direction == "out" }

func (n *Notifier) parse(ctx context.Context, m *ticketing.Message) (*message.Mail, error) {
	raw, err := n.o.Desk.Raw(ctx, m)
	if err != nil {
		return nil, err
	}
	return message.Parse(raw, raw.Size(), n.o.Limits)
}

// lastPublic finds the public message that a's follows, among the latest few.
func (n *Notifier) lastPublic(ctx context.Context, a *affair) (*quotation, error) {
	const window = 20
	list, err := n.o.Desk.Messages(ctx, a.msg.Ticket, max(0, a.msg.Seq-1-window), window)
	if err != nil {
		return nil, err
	}
	for i := len(list) - 1; i >= 0; i-- {
		prev := list[i]
		if prev.Seq >= a.msg.Seq || !public(prev) {
			continue
		}
		mail, err := n.parse(ctx, prev)
		if err != nil {
			return nil, err
		}
		text, _, err := n.newlyWritten(ctx, prev, mail)
		if err != nil {
			return nil, err
		}
		text = a.forCustomers(prev, text)
		return &quotation{id: prev.ID, author: a.authorName(prev), at: prev.ReceivedAt, text: text}, nil
	}
	return nil, nil
}
