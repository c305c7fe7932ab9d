// Package agenda promises that work put into it is done later: it survives a
// crash with the transaction that put it, is handed to one worker at a time,
// and comes back if that worker is never heard of again. Finding due work
// costs the number of due lanes, not the number of jobs.
//
// # Words
//
// A [Job] is a small row: a lane, a key that is unique in the lane, a due
// time and a few bytes of payload, usually an id. A lane is the queue of jobs
// that are worked off and held back together: "notice", "sla",
// "mail/example.org", "hook/7". What stands before the first slash is the
// lane's group. Every lane that has jobs has one row with its wake time: the
// position of its first job, or the end of its pause if that is later. A dead
// destination with a million parcels is one such row moved forward.
//
// # Putting
//
//	err := db.Update(ctx, func(tx store.Tx) error {
//		… write what happened …
//		return agenda.Put(tx, agenda.Job{Lane: "notice", Key: id, Due: tx.Now()})
//	})
//
// The work and its reason commit together. Put is idempotent by lane and key:
// an existing job stays as it is, with its due time and its claim. Every
// method that takes a Tx locks the lane until the transaction ends; call it
// late, and touch several lanes in the order of their names. On an engine with
// row locks a lane that every transaction puts into is better split, as
// "notice/0" to "notice/f"; Due and Kick with "notice/" serve them together.
//
// # Working
//
// A worker loop needs nothing but its context:
//
//	wake, stop := a.Kick("mail/")
//	defer stop()
//	for {
//		lanes, next, err := a.Due(ctx, "mail/", 100)
//		for _, lane := range lanes {
//			jobs, err := a.Claim(ctx, lane, 16, 10*time.Minute, countAttempt)
//			… work, and for each job in a transaction: Done or Again …
//		}
//		if len(lanes) == 0 {
//			… wait for wake, for next, or for ctx …
//		}
//	}
//
// Claim is a durable write: after it returns, the attempt has been counted
// whatever happens next, so it is made before dialling. The claim ends in one
// of three ways:
//
//   - Done removes the job, in the transaction of its consequence.
//   - Again gives it a new due time.
//   - Neither happens until the lease lapses: the job becomes claimable again,
//     at the position of the lease's end. It is never deleted. Choose a lease
//     well above the longest honest attempt.
//
// Every claim has a fencing number ([Job.Lease]) that is never given twice in
// a group. Done and Again fail with [ErrLost] if the job has another one by
// now, or is gone; the transaction must then be rolled back, because another
// worker owns the outcome. A worker that is late but was not overtaken still
// may finish.
//
// # Times
//
// All times are the store's ([store.Reader.Now]), UTC, whole microseconds. A
// clock set back delays work and loses none; a clock set forward lapses
// leases early, which fencing makes harmless inside the store.
//
// # Cost
//
// Rows written, beside the jobs' own: Put writes the lane's row only if the
// job comes before everything else in the lane; Claim writes it once and
// counts once per call; Done and Again only if the lane's head changes (all
// jobs of one Claim share one position, so the last of them does). Pause
// writes one row.
package agenda

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"ticketgate/ticketing/store"
)

// Limits of what a job may carry; beyond them Put fails.
const (
	MaxName    = 1 << 10  // bytes of a lane's name and of a key
	MaxPayload = 32 << 10 // bytes of payload
	MaxClaim   = 1000     // jobs of one Claim; more are cut to it
)

// ErrLost says that another worker owns the job now, or that it is gone.
var ErrLost = errors.New("agenda: claim lost")

// Job is one piece of due work. Lane and Key name it: valid UTF-8 without
// control characters, neither of them empty.
type Job struct {
	Lane     string    `json:"lane"` // "notice", "mail/example.com", …
	Key      string    `json:"key"`
	Due      time.Time `json:"due"`               // when it was last asked to be done
	Attempts int       `json:"attempts"`          // claims so far
	Payload  []byte    `json:"payload,omitempty"` // small: an id, not the thing
	Lease    uint64    `json:"lease,omitempty"`   // fencing number of the current claim, 0 = unclaimed
	Until    time.Time `json:"until,omitzero"`    // when the claim lapses
}

// position is where the job stands in its lane: a claimed job stands at the
// end of its lease, so that lapsing needs no write and no second list.
func (j *Job) position() time.Time {
	if j.Lease != 0 {
		return j.Until
	}
	return j.Due
}

// Agenda puts and claims jobs. Its methods may be called from any goroutine.
type Agenda struct {
	db    store.DB
	jobs  *store.Table[Job]
	lanes *store.Table[laneRow]
	kicks kicks
}

// New returns an agenda on db. One per process: Kick hears only what was
// committed through the same Agenda.
func New(db store.DB) *Agenda {
	return &Agenda{
		db: db,
		jobs: store.NewTable("agenda_job", store.PrefixJob, []string{"lane", "key"},
			func(j *Job) store.Key { return jobKey(j.Lane, j.Key) },
			store.Index[Job]{
				Name: byPosition, Columns: []string{"lane", "position"},
				Keys: func(j *Job) []store.Key {
					return []store.Key{store.Key{}.Str(j.Lane).Time(j.position())}
				},
			}),
		lanes: store.NewTable("agenda_lane", store.PrefixLane, []string{"lane"},
			func(l *laneRow) store.Key { return laneKey(l.Name) },
			store.Index[laneRow]{
				Name: byWake, Columns: []string{"group", "wake"},
				Keys: func(l *laneRow) []store.Key {
					return []store.Key{store.Key{}.Str(group(l.Name)).Time(l.Wake)}
				},
			}),
	}
}

const (
	byPosition = "position"
	byWake     = "wake"
)

func jobKey(lane, key string) store.Key { return store.Key{}.Str(lane).Str(key) }
func laneKey(lane string) store.Key     { return store.Key{}.Str(lane) }

// Put stores the job in tx. A job with the same lane and key that is already
// there stays as it is (Put is idempotent). A zero Due means now; Attempts,
// Lease and Until are the agenda's own and are ignored.
func (a *Agenda) Put(tx store.Tx, j Job) error {
	if err := checkJob(&j); err != nil {
		return err
	}
	lane, err := a.lockLane(tx, j.Lane)
	if err != nil {
		return err
	}
	old, err := a.jobs.Find(tx, jobKey(j.Lane, j.Key))
	if err != nil || old != nil {
		return err
	}
	if j.Due.IsZero() {
		j.Due = tx.Now()
	}
	j.Due = whole(j.Due)
	j.Attempts, j.Lease, j.Until = 0, 0, time.Time{}
	if err := a.jobs.Insert(tx, &j); err != nil {
		return fmt.Errorf("agenda: put %s: %w", j.Lane, err)
	}
	return a.came(tx, lane, j.Lane, j.Due)
}

// Done removes a claimed job in tx. ErrLost if the claim was lost meanwhile.
func (a *Agenda) Done(tx store.Tx, j Job) error {
	lane, held, err := a.lockClaim(tx, j)
	if err != nil {
		return err
	}
	if err := a.jobs.Remove(tx, held); err != nil {
		return err
	}
	return a.went(tx, lane, held.position())
}

// Again makes a claimed job due at due in tx (zero means now) and ends the
// claim. Attempts and payload stay. ErrLost if the claim was lost.
func (a *Agenda) Again(tx store.Tx, j Job, due time.Time) error {
	lane, held, err := a.lockClaim(tx, j)
	if err != nil {
		return err
	}
	return a.move(tx, lane, held, due)
}

// Reschedule moves an unclaimed job to due (zero means now) and reports
// whether there was one; a claimed job is left alone. A job whose lease has
// lapsed counts as unclaimed, and its late worker has lost it.
func (a *Agenda) Reschedule(tx store.Tx, lane, key string, due time.Time) (bool, error) {
	row, j, err := a.lockFree(tx, lane, key)
	if err != nil || j == nil {
		return false, err
	}
	return true, a.move(tx, row, j, due)
}

// Remove removes an unclaimed job and reports whether there was one, on the
// terms of Reschedule.
func (a *Agenda) Remove(tx store.Tx, lane, key string) (bool, error) {
	row, j, err := a.lockFree(tx, lane, key)
	if err != nil || j == nil {
		return false, err
	}
	if err := a.jobs.Remove(tx, j); err != nil {
		return false, err
	}
	return true, a.went(tx, row, j.position())
}

// Jobs returns up to limit jobs of a lane, claimed ones included, in the order
// in which they would be claimed.
func (a *Agenda) Jobs(r store.Reader, lane string, limit int) ([]Job, error) {
	if limit <= 0 {
		return nil, nil
	}
	return a.collect(r, store.Query{Index: byPosition, Prefix: laneKey(lane), Limit: limit})
}

func (a *Agenda) collect(r store.Reader, q store.Query) ([]Job, error) {
	var out []Job
	for j, err := range a.jobs.Scan(r, q) {
		if err != nil {
			return nil, fmt.Errorf("agenda: jobs: %w", err)
		}
		out = append(out, *j)
	}
	return out, nil
}

// move gives a job a new due time and ends its claim, if it has one.
func (a *Agenda) move(tx store.Tx, lane *laneRow, j *Job, due time.Time) error {
	old, from := *j, j.position()
	if due.IsZero() {
		due = tx.Now()
	}
	j.Due, j.Lease, j.Until = whole(due), 0, time.Time{}
	if err := a.jobs.Replace(tx, &old, j); err != nil {
		return fmt.Errorf("agenda: move in %s: %w", j.Lane, err)
	}
	if lane != nil && lane.floor() != nil && j.Due.Before(lane.Wake) {
		return a.came(tx, lane, j.Lane, j.Due) // a new head, ahead of the floor
	}
	if lane == nil || !from.After(lane.Wake) {
		return a.went(tx, lane, from)
	}
	return a.came(tx, lane, j.Lane, j.Due)
}

// lockClaim returns the lane and the stored job if the claim still holds.
func (a *Agenda) lockClaim(tx store.Tx, j Job) (*laneRow, *Job, error) {
	lane, err := a.lockLane(tx, j.Lane)
	if err != nil {
		return nil, nil, err
	}
	held, err := a.jobs.Find(tx, jobKey(j.Lane, j.Key))
	if err != nil {
		return nil, nil, err
	}
	if held == nil || held.Lease == 0 || held.Lease != j.Lease {
		return nil, nil, ErrLost
	}
	return lane, held, nil
}

// lockFree returns the lane and the job if it is there and nobody holds it.
func (a *Agenda) lockFree(tx store.Tx, lane, key string) (*laneRow, *Job, error) {
	row, err := a.lockLane(tx, lane)
	if err != nil {
		return nil, nil, err
	}
	j, err := a.jobs.Find(tx, jobKey(lane, key))
	if err != nil || j == nil {
		return nil, nil, err
	}
	if j.Lease != 0 && j.Until.After(tx.Now()) {
		return nil, nil, nil
	}
	return row, j, nil
}

func checkJob(j *Job) error {
	if err := checkName("lane", j.Lane); err != nil {
		return err
	}
	if err := checkName("key", j.Key); err != nil {
		return err
	}
	if len(j.Payload) > MaxPayload {
		return fmt.Errorf("agenda: payload of %d bytes: %w", len(j.Payload), store.ErrTooLarge)
	}
	return nil
}

// checkName keeps out what the stored form would not give back as it was.
func checkName(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("agenda: empty %s", what)
	case len(s) > MaxName:
		return fmt.Errorf("agenda: %s of %d bytes: %w", what, len(s), store.ErrTooLarge)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, isControl):
		return fmt.Errorf("agenda: %s %q: not plain UTF-8 text", what, s)
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// whole is the precision of keys. Records keep the same, so that a row and its
// index entry never disagree.
func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
