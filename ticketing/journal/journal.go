// Package journal keeps one change log per ticket queue, numbered in commit
// order.
package journal

import (
	"context"
	"encoding/json"
	"time"

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

// Journal appends and reads entries.
type Journal struct{}

// New returns a journal.
func New(db store.DB) *Journal { panic("contract") }

// Append numbers and stores e in tx. Call it late in the transaction: it takes
// the queue's counter. After commit, watchers of the queue are woken.
func (j *Journal) Append(tx store.Tx, e Entry) (seq uint64, err error) { panic("contract") }

// Read returns up to limit entries of queue after seq, oldest first.
func (j *Journal) Read(ctx context.Context, queue string, after uint64, limit int) ([]Entry, error) {
	panic("contract")
}

// Watch returns a channel that receives a wake-up (capacity one, coalesced)
// after commits to queue ("" = all queues), and a stop function.
func (j *Journal) Watch(queue string) (wake <-chan struct{}, stop func()) { panic("contract") }
