// Package journal keeps one change log per ticket queue and promises that its
// numbers are 1, 2, 3 … in the order of the commits, without gaps.
//
// An entry is written in the transaction of the change it tells of, so the two
// exist together or not at all. The number serves as IMAP MODSEQ, as id in the
// event stream and as cursor of webhooks and of the search index: whoever
// remembers the last number seen can go on from there after any interruption.
//
//	wake, stop := j.Watch("support")
//	defer stop()
//	for {
//		entries, err := j.Read(ctx, "support", seen, 100)
//		… use them, remember the last number …
//		if len(entries) < 100 {
//			… wait for wake or ctx …
//		}
//	}
//
// What Read returns is durable: no power failure takes a number back that
// somebody was told.
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"ticketgate/ticketing/store"
)

// Entry is one recorded change.
type Entry struct {
	Queue  string          `json:"queue"`
	Seq    uint64          `json:"seq"` // 1, 2, 3 … per queue, without gaps
	At     time.Time       `json:"at"`
	Kind   string          `json:"kind"` // e.g. ticket.created, message.received
	Ticket uint64          `json:"ticket"`
	Actor  string          `json:"actor"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// Journal appends and reads entries. Its methods may be called from any
// goroutine.
type Journal struct {
	db      store.DB
	entries *store.Table[Entry]

	mu       sync.Mutex
	durable  map[string]uint64 // highest number known to be on disk, per queue
	watchers map[*watcher]struct{}
}

// New returns a journal on db. One per process: Watch hears only what was
// committed through the same Journal.
func New(db store.DB) *Journal {
	return &Journal{
		db: db,
		entries: store.NewTable("journal", store.PrefixJournal, []string{"queue", "seq"},
			func(e *Entry) store.Key { return store.Key{}.Str(e.Queue).Uint(e.Seq) }),
		durable:  map[string]uint64{},
		watchers: map[*watcher]struct{}{},
	}
}

func counter(queue string) store.Key { return store.Key{}.Str("journal").Str(queue) }

// Append numbers and stores e in tx and returns its number. Call it late in
// the transaction: it takes the queue's counter, which every other change of
// the queue waits for. A zero At becomes the transaction's time. After commit,
// watchers of the queue are woken. It fails with store.ErrTooLarge if the
// entry is over 64 KiB: Data holds names and ids, not texts.
func (j *Journal) Append(tx store.Tx, e Entry) (seq uint64, err error) {
	if e.Queue == "" || !utf8.ValidString(e.Queue) {
		return 0, fmt.Errorf("journal: append: bad queue name %q", e.Queue)
	}
	if len(e.Data) > 0 && !json.Valid(e.Data) {
		return 0, errors.New("journal: append: data is not JSON")
	}
	if e.At.IsZero() {
		e.At = tx.Now()
	}
	e.At = e.At.UTC()
	if e.Seq, err = tx.Count(counter(e.Queue), 1); err != nil {
		return 0, fmt.Errorf("journal: number in %s: %w", e.Queue, err)
	}
	if err := j.entries.Put(tx, &e); err != nil {
		return 0, fmt.Errorf("journal: append to %s: %w", e.Queue, err)
	}
	tx.OnCommit(func() { j.committed(e.Queue, e.Seq) })
	return e.Seq, nil
}

// Read returns up to limit entries of queue after number after, oldest first.
// An unknown queue has none.
func (j *Journal) Read(ctx context.Context, queue string, after uint64, limit int) ([]Entry, error) {
	if limit <= 0 || after+1 == 0 {
		return nil, nil
	}
	var out []Entry
	err := j.db.View(ctx, func(r store.Reader) error {
		out = nil
		for e, err := range j.entries.Scan(r, store.Query{
			Prefix: store.Key{}.Str(queue),
			From:   store.Key{}.Str(queue).Uint(after + 1),
			Limit:  limit,
		}) {
			if err != nil {
				return err
			}
			out = append(out, *e)
		}
		return nil
	})
	if err == nil && len(out) > 0 {
		err = j.settle(ctx, queue, out[len(out)-1].Seq)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: read %s: %w", queue, err)
	}
	return out, nil
}

// Last returns the number of the queue's newest entry, 0 if it has none, as r
// sees it: a View may see one that is not on disk yet.
func (j *Journal) Last(r store.Reader, queue string) (uint64, error) {
	return r.Counter(counter(queue))
}

// settle returns when everything up to seq is durable. A view may see a commit
// a moment before its sync, and numbers that were shown must never be given to
// another change. The answer is nearly always known; otherwise an Update that
// comes after what was seen, and waits for the disk, brings it about.
func (j *Journal) settle(ctx context.Context, queue string, seq uint64) error {
	j.mu.Lock()
	known := j.durable[queue]
	j.mu.Unlock()
	if seq <= known {
		return nil
	}
	err := j.db.Update(ctx, func(tx store.Tx) error {
		_, err := j.Last(tx, queue)
		return err
	})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.durable[queue] = max(j.durable[queue], seq)
	return nil
}

// Watch returns a channel that receives a wake-up (capacity one, coalesced)
// after commits to queue ("" = all queues), and a stop function. A wake-up is
// a hint that there is something to Read; take the channel before reading, and
// nothing is missed.
func (j *Journal) Watch(queue string) (wake <-chan struct{}, stop func()) {
	w := &watcher{queue: queue, ch: make(chan struct{}, 1)}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.watchers[w] = struct{}{}
	return w.ch, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.watchers, w)
	}
}

type watcher struct {
	queue string
	ch    chan struct{}
}

// committed notes that an entry is on disk, with all before it: the counter
// puts the commits of a queue in order.
func (j *Journal) committed(queue string, seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.durable[queue] = max(j.durable[queue], seq)
	for w := range j.watchers {
		if w.queue != "" && w.queue != queue {
			continue
		}
		select {
		case w.ch <- struct{}{}:
		default:
		}
	}
}
