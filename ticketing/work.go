package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// work is one run of one transaction's closure. Tickets are read once and
// written once, at the end, followed by what the change owes and by the hot
// counters. A closure that runs again starts with a new work.
type work struct {
	d        *Desk
	tx       store.Tx
	now      time.Time
	held     map[uint64]*holding
	referred map[refKey]*referenceRow
	contacts map[string]*contactRow // by folded address; nil for those there are none of
	order    []uint64
	entries  []journal.Entry
	jobs     []agenda.Job
	tally    tally

	heldDelta int // mails held now, less those that are not any more
}

// holding is a ticket in hand.
type holding struct {
	row     *ticketRow
	stored  *ticketRow // a copy of the row as it was read; nil if it is fresh
	changed bool
}

// tally is what the metrics learn once the transaction is durable.
type tally struct {
	created  []labels2 // queue, source
	messages []labels2 // queue, kind
	matched  []string
	loops    []string
	solved   []string
	reopened []string
	held     []string  // reasons
	rules    []labels2 // queue, what was done
	expired  int

	bounces    []string // hard soft delayed delivered
	complaints int
	tlsReport  *message.TLSReport
}

type labels2 struct{ a, b string }

func (d *Desk) begin(tx store.Tx) *work {
	return &work{d: d, tx: tx, now: tx.Now(), held: map[uint64]*holding{}, referred: map[refKey]*referenceRow{}, contacts: map[string]*contactRow{}}
}

// ticket returns a ticket for change, nil if there is none.
func (w *work) ticket(number uint64) (*ticketRow, error) {
	if h := w.held[number]; h != nil {
		return h.row, nil
	}
	if err := w.d.tickets.Lock(w.tx, ticketKey(number)); err != nil {
		return nil, err
	}
	row, err := w.d.tickets.Find(w.tx, ticketKey(number))
	if err != nil || row == nil {
		return nil, err
	}
	stored := *row
	w.held[number] = &holding{row: row, stored: &stored}
	w.order = append(w.order, number)
	return row, nil
}

// follow returns the ticket that a number stands for today: mergers redirect.
func (w *work) follow(number uint64) (*ticketRow, error) {
	for range maxRedirects {
		t, err := w.ticket(number)
		if err != nil || t == nil || t.MergedInto == 0 {
			return t, err
		}
		number = t.MergedInto
	}
	return nil, fmt.Errorf("%w: ticket %d: mergers in a circle", store.ErrCorrupt, number)
}

// newTicket opens a ticket with the next number.
func (w *work) newTicket(q *queue, subject string) (*ticketRow, error) {
	n, err := w.tx.Count(ticketCounter(), 1)
	if err != nil {
		return nil, err
	}
	return w.numbered(firstTicket-1+n, q, subject), nil
}

// numbered opens a ticket whose number nobody else has.
func (w *work) numbered(number uint64, q *queue, subject string) *ticketRow {
	t := &ticketRow{Ticket: Ticket{
		Number: number, Queue: q.Name, Subject: subject, Status: "new", Priority: "normal",
		CreatedAt: w.now, UpdatedAt: w.now,
	}}
	w.held[t.Number] = &holding{row: t}
	w.order = append(w.order, t.Number)
	w.touch(t)
	return t
}

// touch marks a ticket as changed; however often, its version grows by one.
func (w *work) touch(t *ticketRow) {
	h := w.held[t.Number]
	if h.changed {
		return
	}
	h.changed = true
	t.Version++
	t.UpdatedAt = w.now
}

// link adds a link from one ticket to another and, if both, back.
func (w *work) link(from, to *ticketRow, kind string, both bool) {
	if from.Number == to.Number {
		return
	}
	w.linkOne(from, to.Number, kind)
	if both {
		w.linkOne(to, from.Number, kind)
	}
}

func (w *work) linkOne(t *ticketRow, number uint64, kind string) {
	has := slices.ContainsFunc(t.Links, func(l Link) bool { return l.Number == number })
	if has || len(t.Links) >= maxLinks {
		return
	}
	t.Links = append(t.Links, Link{Number: number, Kind: kind})
	w.touch(t)
}

// flag adds a flag to a ticket.
func (w *work) flag(t *ticketRow, flag string) {
	if slices.Contains(t.Flags, flag) || len(t.Flags) >= maxFlags {
		return
	}
	t.Flags = append(t.Flags, flag)
	w.touch(t)
}

// setStatus changes a status and what hangs on it.
func (w *work) setStatus(t *ticketRow, status string) {
	if t.Status == status {
		return
	}
	wasOver, isOver := over(t.Status), over(status)
	t.Status = status
	switch {
	case isOver && !wasOver:
		t.SolvedAt = w.now
		w.tally.solved = append(w.tally.solved, t.Queue)
	case wasOver && !isOver:
		t.SolvedAt = time.Time{}
		w.tally.reopened = append(w.tally.reopened, t.Queue)
	}
	w.touch(t)
}

// over reports whether a status ends a ticket.
func over(status string) bool { return status == "solved" || status == "closed" }

// addMessage numbers and stores a message of a ticket.
func (w *work) addMessage(t *ticketRow, m *Message) error {
	t.MessageCount++
	w.touch(t)
	m.Ticket, m.Seq = t.Number, t.MessageCount
	w.tally.messages = append(w.tally.messages, labels2{t.Queue, m.Kind})
	return w.d.messages.Insert(w.tx, m) // its number was counted under the ticket's lock
}

// record notes a change for the journal.
func (w *work) record(t *ticketRow, kind string, by Actor, data any) error {
	doc, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("journal entry %s: %w", kind, err)
	}
	w.entries = append(w.entries, journal.Entry{
		Queue: t.Queue, At: w.now, Kind: kind, Ticket: t.Number, Actor: by.label(), Data: doc,
	})
	return nil
}

func (a Actor) label() string {
	switch {
	case a.Agent != "":
		return "agent:" + a.Agent
	case a.Kind == "token" && a.Name != "":
		return "token:" + a.Name
	case a.Kind == "rule":
		return "rule:" + a.Name
	case a.Address != "":
		return a.Kind + ":" + clip(a.Address, maxAddress)
	}
	return a.Kind
}

// finish writes what is in hand: tickets, then what they owe, then counters.
func (w *work) finish() error {
	for _, number := range w.order {
		if h := w.held[number]; h.changed {
			if err := w.d.tickets.Replace(w.tx, h.stored, h.row); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(w.jobs, func(a, b agenda.Job) int { return strings.Compare(a.Lane, b.Lane) })
	for _, j := range w.jobs {
		if j.Lane == TimerLane {
			// A timer that is set already moves.
			if moved, err := w.d.agenda.Reschedule(w.tx, j.Lane, j.Key, j.Due); err != nil || moved {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := w.d.agenda.Put(w.tx, j); err != nil {
			return err
		}
	}
	slices.SortStableFunc(w.entries, func(a, b journal.Entry) int {
		if a.Queue < b.Queue {
			return -1
		} else if a.Queue > b.Queue {
			return 1
		}
		return 0
	})
	for _, e := range w.entries {
		if _, err := w.d.journal.Append(w.tx, e); err != nil {
			return err
		}
	}
	return w.countStock()
}

// countStock moves the numbers of tickets per queue and status.
func (w *work) countStock() error {
	moved := map[labels2]int{}
	for _, number := range w.order {
		h := w.held[number]
		if !h.changed || h.stored != nil && h.stored.Queue == h.row.Queue && h.stored.Status == h.row.Status {
			continue
		}
		if h.stored != nil {
			moved[labels2{h.stored.Queue, h.stored.Status}]--
		}
		moved[labels2{h.row.Queue, h.row.Status}]++
	}
	names := make([]labels2, 0, len(moved))
	for name := range moved {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y labels2) int { return compareLabels(x, y) })
	for _, name := range names {
		if moved[name] == 0 {
			continue
		}
		// A negative number wraps, and so does the counter: the sum is right.
		if _, err := w.tx.Count(stockCounter(name.a, name.b), uint64(int64(moved[name]))); err != nil {
			return err
		}
	}
	if w.heldDelta == 0 {
		return nil
	}
	_, err := w.tx.Count(heldCounter(), uint64(int64(w.heldDelta)))
	return err
}

func compareLabels(x, y labels2) int {
	switch {
	case x == y:
		return 0
	case x.a < y.a || x.a == y.a && x.b < y.b:
		return -1
	}
	return 1
}

// update runs fn as one transaction and, once it is durable, counts it.
func (d *Desk) update(ctx context.Context, fn func(*work) error) error {
	var done tally
	err := d.db.Update(ctx, func(tx store.Tx) error {
		w := d.begin(tx)
		if err := fn(w); err != nil {
			return err
		}
		if err := w.finish(); err != nil {
			return err
		}
		done = w.tally
		return nil
	})
	if err != nil {
		return failure(err)
	}
	d.metrics.count(done)
	return nil
}
