package agenda

import (
	"fmt"
	"strings"
	"time"

	"ticketgate/ticketing/store"
)

// laneRow is a lane's one row. It exists while the lane has jobs or is paused.
//
// The head itself is not stored: Wake > NotBefore says that Wake is the head,
// Wake == NotBefore that the head is not after it. That saves a write whenever
// the head of a paused lane moves.
type laneRow struct {
	Name      string    `json:"name"`
	Wake      time.Time `json:"wake"` // max(head, NotBefore)
	NotBefore time.Time `json:"not_before,omitzero"`
	Reason    string    `json:"reason,omitempty"`
	Empty     bool      `json:"empty,omitempty"` // paused, and nothing to do
}

// floor is a position before which the lane certainly has no job; nil if that
// is not known. Scans start there and so step over no graves of jobs done.
func (l *laneRow) floor() store.Key {
	if l.Empty || !l.Wake.After(l.NotBefore) {
		return nil
	}
	return store.Key{}.Str(l.Name).Time(l.Wake)
}

// group is the part of a lane's name up to and with its first slash, or the
// whole name. Wake rows are ordered inside their group, so that looking for
// notices does not pass ten thousand waiting destinations.
func group(lane string) string {
	if i := strings.IndexByte(lane, '/'); i >= 0 {
		return lane[:i+1]
	}
	return lane
}

// Lane is the state of one lane.
type Lane struct {
	Name      string    `json:"name"`
	Wake      time.Time `json:"wake,omitzero"`       // when it has claimable work; zero if it has none
	NotBefore time.Time `json:"not_before,omitzero"` // end of a pause in force
	Reason    string    `json:"reason,omitempty"`    // of that pause
}

// Lane returns the state of a lane, or store.ErrNotFound if it has neither
// work nor a pause.
func (a *Agenda) Lane(r store.Reader, name string) (Lane, error) {
	row, err := a.lanes.Get(r, laneKey(name))
	if err != nil {
		return Lane{}, fmt.Errorf("agenda: lane %q: %w", name, err)
	}
	lane := Lane{Name: row.Name, Wake: row.Wake}
	if row.Empty {
		lane.Wake = time.Time{}
	}
	if row.NotBefore.After(r.Now()) {
		lane.NotBefore, lane.Reason = row.NotBefore, row.Reason
	} else if row.Empty {
		return Lane{}, fmt.Errorf("agenda: lane %q: %w", name, store.ErrNotFound)
	}
	return lane, nil
}

// maxReason bounds the words kept with a pause, which may come from a peer.
const maxReason = 500

// Pause keeps a lane from being due before until, whatever its jobs say: one
// row is written, however many jobs wait. It replaces an earlier pause; a zero
// or past until resumes the lane. A lane may be paused before it has work.
// Claims already given are not affected. The reason is cut to 500 bytes.
func (a *Agenda) Pause(tx store.Tx, lane string, until time.Time, reason string) error {
	if err := checkName("lane", lane); err != nil {
		return err
	}
	row, err := a.lockLane(tx, lane)
	if err != nil {
		return err
	}
	if until = whole(until); !until.After(tx.Now()) {
		until, reason = time.Time{}, ""
	}
	if row == nil {
		if until.IsZero() {
			return nil
		}
		row = &laneRow{Name: lane}
	}
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	next := *row
	next.NotBefore, next.Reason = until, strings.ToValidUTF8(reason, "")
	return a.rehead(tx, row, next, nil)
}

// lockLane holds the lane for the rest of the transaction and returns its row,
// nil if there is none. The lane's lock covers its jobs.
func (a *Agenda) lockLane(tx store.Tx, lane string) (*laneRow, error) {
	if err := a.lanes.Lock(tx, laneKey(lane)); err != nil {
		return nil, err
	}
	return a.lanes.Find(tx, laneKey(lane))
}

// came brings the lane's row up to date after a job arrived at a position.
func (a *Agenda) came(tx store.Tx, row *laneRow, name string, at time.Time) error {
	if row == nil {
		return a.saveLane(tx, nil, &laneRow{Name: name, Wake: at})
	}
	next := *row
	switch {
	case row.Empty:
		next.Empty, next.Wake = false, later(at, row.NotBefore)
	case at.Before(row.Wake):
		next.Wake = later(at, row.NotBefore)
	}
	return a.saveLane(tx, row, &next)
}

// went brings the lane's row up to date after a job left a position. Only the
// head can matter, and the head is never after Wake.
func (a *Agenda) went(tx store.Tx, row *laneRow, from time.Time) error {
	if row == nil {
		return fmt.Errorf("%w: agenda: a job without its lane", store.ErrCorrupt)
	}
	if from.After(row.Wake) {
		return nil
	}
	return a.rehead(tx, row, *row, row.floor())
}

// rehead looks up the lane's first job, from floor, and saves next with the
// wake time that follows from it.
func (a *Agenda) rehead(tx store.Tx, row *laneRow, next laneRow, floor store.Key) error {
	head, err := a.jobs.First(tx, store.Query{Index: byPosition, Prefix: laneKey(next.Name), From: floor})
	if err != nil {
		return fmt.Errorf("agenda: head of %s: %w", next.Name, err)
	}
	if next.Empty = head == nil; next.Empty {
		next.Wake = next.NotBefore
	} else {
		next.Wake = later(head.position(), next.NotBefore)
	}
	return a.saveLane(tx, row, &next)
}

// saveLane writes the row if it changed, removes it if it says nothing any
// more, and wakes the waiting if the lane is due earlier than before.
func (a *Agenda) saveLane(tx store.Tx, old, next *laneRow) error {
	if next.Empty && !next.NotBefore.After(tx.Now()) {
		if old == nil {
			return nil
		}
		return a.lanes.Remove(tx, old)
	}
	if old != nil && old.same(next) {
		return nil
	}
	if err := a.lanes.Replace(tx, old, next); err != nil {
		return fmt.Errorf("agenda: lane %s: %w", next.Name, err)
	}
	if !next.Empty && (old == nil || old.Empty || next.Wake.Before(old.Wake)) {
		tx.OnCommit(func() { a.kicks.wake(next.Name) })
	}
	return nil
}

func (l *laneRow) same(o *laneRow) bool {
	return l.Wake.Equal(o.Wake) && l.NotBefore.Equal(o.NotBefore) && l.Reason == o.Reason && l.Empty == o.Empty
}
