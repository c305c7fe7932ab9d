// Package agenda keeps work that must happen later, in lanes. The cost of
// finding due work is the number of due lanes, not of jobs.
package agenda

import (
	"context"
	"time"

	"ticketgate/ticketing/store"
)

// Job is one piece of due work. Lane and Key name it.
type Job struct {
	Lane     string    `json:"lane"` // "notice", "mail/example.com", …
	Key      string    `json:"key"`
	Due      time.Time `json:"due"`
	Attempts int       `json:"attempts"`          // claims so far
	Payload  []byte    `json:"payload,omitempty"` // small: an id, not the thing
	Lease    uint64    `json:"lease,omitempty"`   // fencing number of the current claim, 0 = unclaimed
	Until    time.Time `json:"until,omitzero"`    // when the claim lapses
}

// Agenda puts and claims jobs.
type Agenda struct{}

// New returns an agenda on db.
func New(db store.DB) *Agenda { panic("contract") }

// Put stores the job in tx. A job with the same lane and key that is already
// there stays as it is (Put is idempotent).
func (a *Agenda) Put(tx store.Tx, j Job) error { panic("contract") }

// Claim leases up to n due jobs from one lane for lease and returns them. The
// lease is durable when Claim returns. If mark is not nil it runs inside the
// claiming transaction for each job, so that a caller can record its attempt
// in the same commit; an error from mark fails the whole claim.
// A lapsed lease makes the job claimable again: it is never lost.
func (a *Agenda) Claim(ctx context.Context, lane string, n int, lease time.Duration, mark func(store.Tx, *Job) error) ([]Job, error) {
	panic("contract")
}

// Done removes a claimed job in tx. ErrLost if the claim was lost meanwhile.
func (a *Agenda) Done(tx store.Tx, j Job) error { panic("contract") }

// Again makes a claimed job due at due in tx. ErrLost if the claim was lost.
func (a *Agenda) Again(tx store.Tx, j Job, due time.Time) error { panic("contract") }

// Reschedule moves an unclaimed job; Remove removes one. Both report whether
// there was one; a claimed job is left alone.
func (a *Agenda) Reschedule(tx store.Tx, lane, key string, due time.Time) (bool, error) {
	panic("contract")
}

// Remove: see Reschedule.
func (a *Agenda) Remove(tx store.Tx, lane, key string) (bool, error) { panic("contract") }

// Pause keeps a lane from being due before until, whatever its jobs say: one
// row is written. A zero until resumes it.
func (a *Agenda) Pause(tx store.Tx, lane string, until time.Time, reason string) error {
	panic("contract")
}

// Due returns up to n lanes with this prefix that have claimable work now,
// longest waiting first, and the time of the next wake after now (zero if
// nothing is planned).
func (a *Agenda) Due(ctx context.Context, prefix string, n int) (lanes []string, next time.Time, err error) {
	panic("contract")
}

// Lane is the state of one lane.
type Lane struct {
	Name      string    `json:"name"`
	Wake      time.Time `json:"wake"`
	NotBefore time.Time `json:"not_before,omitzero"`
	Reason    string    `json:"reason,omitempty"`
}

// Lane returns the state of a lane, or store.ErrNotFound if it has no work.
func (a *Agenda) Lane(r store.Reader, name string) (Lane, error) { panic("contract") }

// Jobs yields up to limit jobs of a lane, in due order.
func (a *Agenda) Jobs(r store.Reader, lane string, limit int) ([]Job, error) { panic("contract") }

// Kick returns a channel woken (capacity one, coalesced) when a commit made
// work due earlier in a lane with this prefix, and a stop function.
func (a *Agenda) Kick(prefix string) (wake <-chan struct{}, stop func()) { panic("contract") }

// ErrLost says that another worker owns the job now, or that it is gone.
var ErrLost = errLost{}

type errLost struct{}

func (errLost) Error() string { return "agenda: claim lost" }
