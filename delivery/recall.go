package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Recall takes a mail back as part of tx: no attempt begins from then on. What
// waits, or is held, leaves the queue and is reported as cancelled; gone is
// true. An attempt under way ends without the final dot if that is not sent
// yet, no other follows, and the ledger hears of sent or cancelled as it turns
// out. Of a mail that is not in the queue nothing is said.
func (q *Queue) Recall(tx store.Tx, id, reason string) (gone bool, err error) {
	if gone, err = q.recall(tx, id, clip(reason)); err != nil {
		return false, fmt.Errorf("delivery: recall %q: %w", id, err)
	}
	return gone, nil
}

func (q *Queue) recall(tx store.Tx, id, reason string) (gone bool, err error) {
	key := parcelKey(id)
	if err := q.parcels.Lock(tx, key); err != nil {
		return false, err
	}
	p, err := q.parcels.Find(tx, key)
	if err != nil || p == nil || p.Unsettled != nil {
		return false, err
	}
	old := *p
	p.Recalled = reason
	if p.Phase != "" {
		return false, q.parcels.Replace(tx, &old, p)
	}
	if p.Held == nil {
		if err := q.unclaimed(q.o.Agenda.Remove(tx, p.Lane, p.ID)); err != nil {
			return false, err
		}
	}
	return true, q.withdraw(tx, p)
}

// withdraw ends the life of a mail that was recalled and has no job any more.
func (q *Queue) withdraw(tx store.Tx, p *row) error {
	if err := q.o.Ledger.Settled(tx, p.withdrawn(tx.Now())); err != nil {
		return err
	}
	class := p.Class
	tx.OnCommit(func() { q.met.attempts.WithLabelValues(class, otherProvider, "cancelled").Inc() })
	return q.remove(tx, p)
}

// withdrawn is what the ledger hears of a mail that was recalled.
func (p *row) withdrawn(at time.Time) message.Report {
	r := p.report("cancelled", at)
	r.Code, r.Enhanced, r.MX, r.TLS = 0, "", "", ""
	r.Text = "taken back: " + p.Recalled
	return r
}

// takenBack ends a claim on a mail that was recalled since somebody claimed it:
// mails wait their turn on a connection. It reports whether it did.
func (q *Queue) takenBack(ctx context.Context, c *claim) bool {
	var p *row
	err := q.o.DB.View(ctx, func(r store.Reader) (err error) {
		p, err = q.parcels.Find(r, parcelKey(c.row.ID))
		return err
	})
	if err != nil || p == nil || p.Recalled == "" {
		return false // what comes later in this moment is stopped at the final dot
	}
	q.met.attempts.WithLabelValues(p.Class, otherProvider, "cancelled").Inc()
	q.finish(c, outcome{report: p.withdrawn(q.o.Now())})
	return true
}

// errRecalled keeps the final dot of a mail from being sent.
var errRecalled = errors.New("the mail has been taken back")
