package ticketing

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// HeldLane is the agenda lane of what held mail brings with it: expiries, and a
// digest per queue.
const HeldLane = "held"

// EventHeldDigest is the notice that tells a queue's lead what is held. It
// concerns no ticket; Notice.Held says the rest.
const EventHeldDigest = "held_digest"

// HeldDigest is what a queue holds on one day.
type HeldDigest struct {
	Counts []HeldCount `json:"counts"` // of all that waits, by reason
	Items  []HeldBrief `json:"items"`  // what is new since the last digest, or will expire soon; newest first
	More   int         `json:"more"`   // such items beyond those listed
}

// HeldCount is how many mails a queue holds for a reason.
type HeldCount struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// HeldBrief is one held mail in a digest.
type HeldBrief struct {
	ID         string    `json:"id"`
	Reason     string    `json:"reason"`
	From       string    `json:"from"`
	Subject    string    `json:"subject"`
	ReceivedAt time.Time `json:"received_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

const (
	digestHour    = 6                  // UTC; digests are due at this hour
	digestWarning = 3 * 24 * time.Hour // what expires is told about once more, this long before
	maxDigest     = 25                 // items listed
	maxDigestRead = 5000               // held mails counted; a flood must not make the digest a burden
	maxBrief      = 100                // bytes of a subject in a digest
)

func digestKey(queue string) string { return "digest/" + queue }

// nextDigest is the first digest hour after a moment.
func nextDigest(now time.Time) time.Time {
	now = now.UTC()
	at := time.Date(now.Year(), now.Month(), now.Day(), digestHour, 0, 0, 0, time.UTC)
	if !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}

// RunHeld expires held mail and owes the digests until ctx ends. Both are rows
// of the store.
func (d *Desk) RunHeld(ctx context.Context) error { return d.heldWorker().Run(ctx) }

// StepHeld does what is due now, as agenda.Worker.Step.
func (d *Desk) StepHeld(ctx context.Context) (worked int, next time.Duration, err error) {
	return d.heldWorker().Step(ctx)
}

func (d *Desk) heldWorker() agenda.Worker { return d.worker(HeldLane, d.heldJob) }

// worker does the jobs of a lane of the desk's own.
func (d *Desk) worker(lane string, do func(context.Context, agenda.Job) error) agenda.Worker {
	return agenda.Worker{Agenda: d.agenda, Lane: lane, Claim: 50, Lease: 5 * time.Minute, Retry: time.Minute, Log: d.log, Do: do}
}

func (d *Desk) heldJob(ctx context.Context, job agenda.Job) error {
	if job.Key == floodKey {
		return d.db.Update(ctx, func(tx store.Tx) error { return d.forgetFloods(tx, job) })
	}
	return d.update(ctx, func(w *work) error {
		if queue, ok := strings.CutPrefix(job.Key, digestKey("")); ok {
			return w.digest(job, queue)
		}
		return w.expire(job)
	})
}

// expire ends a held mail's time. What nobody settled is forgotten, with a note
// in the journal; should it arrive again it is judged anew.
func (w *work) expire(job agenda.Job) error {
	key := heldKey(job.Key)
	if err := w.d.held.Lock(w.tx, key); err != nil {
		return err
	}
	h, err := w.d.held.Find(w.tx, key)
	if err != nil {
		return err
	}
	if h == nil {
		return w.d.agenda.Done(w.tx, job)
	}
	if h.ExpiresAt.After(w.now) {
		return w.d.agenda.Again(w.tx, job, h.ExpiresAt)
	}
	if h.Message == "" {
		at := arrivalKey(h.Arrival, h.Hash, h.Queue)
		if err := w.d.arrivals.Lock(w.tx, arrivalKey(h.Arrival, h.Hash, "")); err != nil {
			return err
		}
		if err := w.d.arrivals.Delete(w.tx, at); err != nil {
			return err
		}
	}
	if h.State == heldWaiting {
		w.heldDelta--
		w.tally.expired++
		if err := w.recordHeld(&h.Held, "mail.expired", Actor{Kind: "system"}); err != nil {
			return err
		}
	}
	if err := w.d.held.Delete(w.tx, key); err != nil {
		return err
	}
	return w.d.agenda.Done(w.tx, job)
}

// digestState is what a digest remembers of the one before.
type digestState struct {
	Since time.Time `json:"since,omitzero"`
}

// digest owes the queue's lead a list of what is held, if there is news in it,
// and asks for the next one while anything is held.
func (w *work) digest(job agenda.Job, queue string) error {
	var state digestState
	if len(job.Payload) > 0 {
		if err := json.Unmarshal(job.Payload, &state); err != nil {
			return fmt.Errorf("%w: digest of queue %s: %v", store.ErrCorrupt, queue, err)
		}
	}
	next := nextDigest(w.now)
	news, waiting, err := w.heldNews(queue, state.Since)
	if err != nil {
		return err
	}
	if err := w.d.agenda.Done(w.tx, job); err != nil || waiting == 0 {
		return err
	}
	payload, err := json.Marshal(digestState{Since: w.now})
	if err != nil {
		return err
	}
	w.jobs = append(w.jobs, agenda.Job{Lane: HeldLane, Key: job.Key, Due: next, Payload: payload})
	audience := w.d.leadOf(queue)
	if len(news.Items) == 0 || len(audience) == 0 {
		return nil
	}
	n := Notice{
		ID: "dig_" + queue + "_" + w.now.Format("2006-01-02"), Event: EventHeldDigest, Queue: queue,
		Actor: Actor{Kind: "system"}, Audience: audience, At: w.now, NoAck: true, Held: news,
	}
	if payload, err = json.Marshal(n); err != nil {
		return fmt.Errorf("notice: %w", err)
	}
	w.jobs = append(w.jobs, agenda.Job{Lane: NoticeLane, Key: n.ID, Payload: payload})
	return nil
}

// heldNews reads what waits in a queue, and what of it there is to tell. Every
// mail is told of twice: when it is new, and before it expires.
func (w *work) heldNews(queue string, since time.Time) (news *HeldDigest, waiting int, err error) {
	news = &HeldDigest{Items: []HeldBrief{}}
	counts := map[string]int{}
	q := store.Query{Index: byFilter, Prefix: heldPrefix(queue, "", heldWaiting), Reverse: true, Limit: maxDigestRead}
	for h, err := range w.d.held.Scan(w.tx, q) {
		if err != nil {
			return nil, 0, err
		}
		waiting++
		counts[h.Reason]++
		left := h.ExpiresAt.Add(-digestWarning)
		if !h.ReceivedAt.After(since) && (left.After(w.now) || !left.After(since)) {
			continue
		}
		if len(news.Items) == maxDigest {
			news.More++
			continue
		}
		news.Items = append(news.Items, HeldBrief{
			ID: h.ID, Reason: h.Reason, From: h.From, Subject: clip(h.Subject, maxBrief), ReceivedAt: h.ReceivedAt, ExpiresAt: h.ExpiresAt,
		})
	}
	for _, reason := range heldReasons {
		if n := counts[reason]; n > 0 {
			news.Counts = append(news.Counts, HeldCount{reason, n})
		}
	}
	return news, waiting, nil
}

// leadOf is who hears of a queue's held mail: the first of its agents who may
// decide about it; the administrator if there is none.
func (d *Desk) leadOf(queue string) []Recipient {
	q := d.queues[queue]
	if q == nil {
		return nil // nobody could release it either; it waits for the queue to come back
	}
	for _, name := range q.Agents {
		if a := d.agents[name]; a != nil && !a.Light {
			return []Recipient{{Role: "lead", Address: a.Addresses[0], Name: a.DisplayName, Agent: name}}
		}
	}
	if admin := d.Admin(); admin != "" {
		return []Recipient{{Role: "admin", Address: admin}}
	}
	return nil
}
