package ticketing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"time"

	"ticketgate/ticketing/store"
)

// Reconciliation compares what was accepted with what is there.
type Reconciliation struct {
	Receipts  int       `json:"receipts"`
	Outcomes  int       `json:"outcomes"`
	Tickets   int       `json:"tickets"`
	Messages  int       `json:"messages"`
	Held      int       `json:"held"`
	Problems  []string  `json:"problems"` // each a sentence; empty when all is well
	CheckedAt time.Time `json:"checked_at"`
}

// maxProblems ends a reconciliation that finds nothing but trouble.
const maxProblems = 1000

// Reconcile walks the store: every outcome has its ticket and message or is held,
// every held mail has its receipt, every
// message its bytes (hash checked), every message its receipt, every ticket its
// messages and counts. It reads page by page, so that mail goes on meanwhile;
// what changes while it runs is judged as it was when its page was read.
func (d *Desk) Reconcile(ctx context.Context) (*Reconciliation, error) {
	rc := &reconciler{d: d, out: &Reconciliation{Problems: []string{}}}
	for _, step := range []func(context.Context) error{rc.begin, rc.allReceipts, rc.allTickets, rc.allHeld} {
		if err := step(ctx); err != nil {
			return nil, failure(err)
		}
	}
	return rc.out, nil
}

type reconciler struct {
	d   *Desk
	out *Reconciliation
}

func (rc *reconciler) problem(format string, args ...any) {
	if len(rc.out.Problems) < maxProblems {
		rc.out.Problems = append(rc.out.Problems, fmt.Sprintf(format, args...))
	}
}

func (rc *reconciler) begin(ctx context.Context) error {
	return rc.d.db.View(ctx, func(r store.Reader) error {
		rc.out.CheckedAt = r.Now()
		return nil
	})
}

// pages walks a table in small views.
func pages[T any](ctx context.Context, db store.DB, t *store.Table[T], visit func(store.Reader, *T) error) error {
	for after := store.Key(nil); ; {
		var next store.Key
		err := db.View(ctx, func(r store.Reader) error {
			page, n, err := t.Page(r, store.Query{Limit: 200, After: after})
			if err != nil {
				return err
			}
			next = n
			for _, row := range page {
				if err := visit(r, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || next == nil {
			return err
		}
		after = next
	}
}

func (rc *reconciler) allReceipts(ctx context.Context) error {
	return pages(ctx, rc.d.db, rc.d.receipts, func(r store.Reader, row *receiptRow) error {
		if row.Page == 0 {
			rc.out.Receipts++
			if len(row.Outcomes) == 0 {
				rc.problem("receipt %s has no outcome", row.ID)
			}
			if err := rc.bytes(ctx, "receipt "+row.ID, row.Raw.SHA256, row.Raw.Size); err != nil {
				return err
			}
		}
		for _, o := range row.Outcomes {
			rc.out.Outcomes++
			if err := rc.outcome(r, row, o); err != nil {
				return err
			}
		}
		return nil
	})
}

func (rc *reconciler) outcome(r store.Reader, row *receiptRow, o Outcome) error {
	if o.Message == "" {
		return rc.withoutMessage(r, row, o)
	}
	m, err := rc.d.messageByID(r, o.Message)
	if err != nil {
		return err
	}
	switch {
	case m == nil:
		rc.problem("receipt %s: message %s is missing", row.ID, o.Message)
		return nil
	case m.Ticket != o.Ticket:
		rc.problem("receipt %s: message %s is on ticket %d, not on %d", row.ID, m.ID, m.Ticket, o.Ticket)
	}
	t, err := rc.d.tickets.Find(r, ticketKey(o.Ticket))
	if err == nil && t == nil {
		rc.problem("receipt %s: ticket %d is missing", row.ID, o.Ticket)
	}
	return err
}

// withoutMessage: a mail that is on no ticket is held, for as long as held mail
// is kept. A duplicate says what became of another receipt's mail.
func (rc *reconciler) withoutMessage(r store.Reader, row *receiptRow, o Outcome) error {
	if o.Outcome == "duplicate" {
		return nil
	}
	if o.Outcome != "loop" && o.Outcome != "held" || o.Held == "" {
		rc.problem("receipt %s: %s for %s without a message", row.ID, o.Outcome, o.Recipient)
		return nil
	}
	h, err := rc.d.held.Find(r, heldKey(o.Held))
	switch {
	case err != nil:
		return err
	case h == nil && row.ReceivedAt.Add(holdTime).After(rc.out.CheckedAt):
		rc.problem("receipt %s: held mail %s is missing", row.ID, o.Held)
	case h != nil && h.Receipt != row.ID:
		rc.problem("receipt %s: held mail %s is of receipt %s", row.ID, o.Held, h.Receipt)
	}
	return nil
}

func (rc *reconciler) allHeld(ctx context.Context) error {
	return pages(ctx, rc.d.db, rc.d.held, func(r store.Reader, h *heldRow) error {
		rc.out.Held++
		receipt, err := rc.d.receipt(r, h.Receipt)
		if err != nil {
			return err
		}
		if receipt == nil {
			rc.problem("held mail %s: receipt %s is missing", h.ID, h.Receipt)
			return rc.bytes(ctx, "held mail "+h.ID, h.Raw.SHA256, h.Raw.Size)
		}
		if receipt.Raw != h.Raw { // else the bytes were checked with the receipt
			rc.problem("held mail %s has other bytes than its receipt %s", h.ID, h.Receipt)
		}
		if !slices.ContainsFunc(receipt.Outcomes, func(o Outcome) bool { return o.Held == h.ID && o.Message == h.Message }) {
			rc.problem("receipt %s does not know what became of held mail %s", h.Receipt, h.ID)
		}
		return nil
	})
}

func (rc *reconciler) allTickets(ctx context.Context) error {
	return pages(ctx, rc.d.db, rc.d.tickets, func(r store.Reader, t *ticketRow) error {
		rc.out.Tickets++
		n := 0
		for m, err := range rc.d.messages.Scan(r, store.Query{Prefix: ticketKey(t.Number)}) {
			if err != nil {
				return err
			}
			n++
			rc.out.Messages++
			if m.Seq != n {
				rc.problem("ticket %d: message %d where %d was expected", t.Number, m.Seq, n)
				n = m.Seq
			}
			if err := rc.message(ctx, r, m); err != nil {
				return err
			}
		}
		if n != t.MessageCount || n == 0 {
			rc.problem("ticket %d has %d messages and counts %d", t.Number, n, t.MessageCount)
		}
		return nil
	})
}

func (rc *reconciler) message(ctx context.Context, r store.Reader, m *Message) error {
	if m.SplitFrom != "" {
		from, err := rc.d.messageByID(r, m.SplitFrom)
		if err != nil {
			return err
		}
		if from == nil || from.Raw != m.Raw || from.SplitInto != m.Ticket {
			rc.problem("message %s is no copy of message %s", m.ID, m.SplitFrom)
		}
		return nil
	}
	if m.Receipt == "" {
		if m.Direction == "in" {
			rc.problem("message %s came in without a receipt", m.ID)
		}
		return rc.bytes(ctx, "message "+m.ID, m.Raw.SHA256, m.Raw.Size)
	}
	receipt, err := rc.d.receipt(r, m.Receipt)
	if err != nil {
		return err
	}
	if receipt == nil {
		rc.problem("message %s: receipt %s is missing", m.ID, m.Receipt)
		return rc.bytes(ctx, "message "+m.ID, m.Raw.SHA256, m.Raw.Size)
	}
	if receipt.Raw != m.Raw { // else the bytes were checked with the receipt
		rc.problem("message %s has other bytes than its receipt %s", m.ID, m.Receipt)
	}
	if !slices.ContainsFunc(receipt.Outcomes, func(o Outcome) bool { return o.Message == m.ID }) {
		rc.problem("receipt %s does not know message %s", m.Receipt, m.ID)
	}
	return nil
}

// bytes reads content whole and compares it with its name.
func (rc *reconciler) bytes(ctx context.Context, what, sum string, size int64) error {
	content, err := rc.d.blobs.Open(ctx, sum)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rc.problem("%s has lost its bytes: %v", what, err)
		return nil
	}
	h := sha256.New()
	n, err := io.Copy(h, content)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		rc.problem("%s: its bytes cannot be read: %v", what, err)
	case n != size || hex.EncodeToString(h.Sum(nil)) != sum:
		rc.problem("%s: its bytes have changed", what)
	}
	return nil
}
