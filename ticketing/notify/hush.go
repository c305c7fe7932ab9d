package notify

import (
	"context"
	"errors"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// hush ends, in one transaction, those of a claim's notices of which nothing
// but an acknowledgement could come, to an address that had one today, and
// returns the others. Under a flood of mail from one address these are nearly
// all, and a flood must not cost a look at each of its mails. After an error
// all are returned: whoever tells them meets it again.
func (n *Notifier) hush(ctx context.Context, jobs []agenda.Job) []agenda.Job {
	var loud []agenda.Job
	var acks, hushed []ackOnly
	for _, job := range jobs {
		if notice, err := readNotice(job); err == nil && onlyAck(&notice) {
			acks = append(acks, ackOnly{job, notice})
		} else {
			loud = append(loud, job)
		}
	}
	if len(acks) == 0 {
		return loud
	}
	var open []agenda.Job
	err := n.o.DB.Update(ctx, func(tx store.Tx) error {
		open, hushed = nil, hushed[:0]
		had := map[string]bool{}
		for _, a := range acks {
			address := message.Fold(a.notice.Audience[0].Address)
			refused, known := had[address]
			var err error
			if !known || refused {
				if refused, err = n.hadAck(tx, a.notice, address); err != nil {
					return err
				}
				had[address] = refused
			}
			if !refused {
				open = append(open, a.job)
				continue
			}
			switch err := n.o.Agenda.Done(tx, a.job); {
			case errors.Is(err, agenda.ErrLost): // somebody else's now
			case err != nil:
				return err
			default:
				hushed = append(hushed, a)
				if err := n.record(tx, a.notice, verdicts{refused: a.refused()}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		n.o.Log.Error("notices not ended together, will try each", "notices", len(acks), "err", err)
		return jobs
	}
	for _, a := range hushed {
		n.account(a.notice, verdicts{refused: a.refused()})
	}
	return append(open, loud...)
}

type ackOnly struct {
	job    agenda.Job
	notice ticketing.Notice
}

// refused is what became of the acknowledgement.
func (a ackOnly) refused() []refusal {
	r := a.notice.Audience[0]
	l := letter{role: r.Role, to: message.Address{Name: r.Name, Addr: r.Address}, folded: message.Fold(r.Address), ack: true}
	return []refusal{{limit: addressLimit(l.folded), letter: l}}
}

// onlyAck reports whether a notice concerns nobody but the customer who caused
// it by opening a ticket.
func onlyAck(n *ticketing.Notice) bool {
	if n.Event != "ticket_created" || len(n.Audience) != 1 {
		return false
	}
	r := n.Audience[0]
	return r.Agent == "" && r.Role == "requester" && n.Actor.Address != "" && message.Fold(r.Address) == message.Fold(n.Actor.Address)
}

// hadAck is Acks.Had in the transaction that ends the notice.
func (n *Notifier) hadAck(tx store.Tx, notice ticketing.Notice, address string) (bool, error) {
	had, alarm, err := n.had.Had(tx, address)
	if err == nil && alarm != "" {
		err = n.alarm(tx, notice, alarm)
	}
	return had, err
}
