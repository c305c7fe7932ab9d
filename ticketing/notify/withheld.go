package notify

import (
	"context"
	"encoding/json"
	"fmt"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// alarm owes the administrator the news that a limit withholds mail, in the
// transaction that withholds it.
func (n *Notifier) alarm(tx store.Tx, notice ticketing.Notice, what string) error {
	out := ticketing.Withheld(n.o.Desk.Admin(), notice.Queue, notice.Ticket, what, tx.Now())
	if len(out.Audience) == 0 {
		return nil
	}
	payload, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("notify: notice of withheld mail: %w", err)
	}
	return n.o.Agenda.Put(tx, agenda.Job{Lane: ticketing.NoticeLane, Key: out.ID, Payload: payload})
}

// tellWithheld writes that news: one mail about no ticket, from nobody who can
// be answered. Many limits met on one day make no more than a few mails.
func (n *Notifier) tellWithheld(ctx context.Context, job agenda.Job, notice ticketing.Notice) error {
	limit := alertLimit()
	return n.report(ctx, job, notice, &limit, func(q *ticketing.Queue) (subject, text string) {
		text = "Automatic mail is being withheld:\n\n  " + oneLine(notice.Detail) + ".\n\n" +
			"Mail that arrives is still stored and shown. Only what the server sends of its own accord is withheld, until the limit allows it again. " +
			"You hear of each limit once a day.\n"
		if notice.Ticket != 0 {
			text += fmt.Sprintf("\nThe limit was met by ticket %d of queue %s.\n", notice.Ticket, q.Name)
		}
		return "Automatic mail of " + queueName(q) + " is withheld", text
	})
}
