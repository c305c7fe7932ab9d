package agenda

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/store"
)

// Due returns up to n lanes whose name starts with prefix and that have
// claimable work now, longest waiting first, and the time of the next wake
// after now (zero if nothing is planned). Work put in or resumed meanwhile
// does not wait for that time: see Kick.
//
// The cost is that of the lanes returned, if prefix is a group ("mail/") or
// the beginning of a group's name; a longer prefix ("mail/example.") passes
// the other due lanes of its group too.
func (a *Agenda) Due(ctx context.Context, prefix string, n int) (lanes []string, next time.Time, err error) {
	var v dueView
	err = a.db.View(ctx, func(r store.Reader) error {
		v = dueView{prefix: prefix, n: n, now: r.Now()}
		return a.eachGroup(r, prefix, func(g string) error { return a.look(r, g, &v) })
	})
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("agenda: due %s: %w", prefix, err)
	}
	if err := a.tidy(ctx, v.spent); err != nil {
		return nil, time.Time{}, fmt.Errorf("agenda: due %s: %w", prefix, err)
	}
	slices.SortStableFunc(v.due, func(x, y *laneRow) int { return x.Wake.Compare(y.Wake) })
	for _, row := range v.due[:min(len(v.due), max(n, 0))] {
		lanes = append(lanes, row.Name)
	}
	return lanes, v.next, nil
}

type dueView struct {
	prefix string
	n      int
	now    time.Time
	due    []*laneRow
	spent  []string // pauses that ran out over an empty lane
	next   time.Time
}

// look collects one group's due lanes and the first wake after now.
func (a *Agenda) look(r store.Reader, g string, v *dueView) error {
	border := store.Key{}.Str(g).Time(after(v.now))
	found := 0
	for row, err := range a.lanes.Scan(r, store.Query{Index: byWake, Prefix: store.Key{}.Str(g), To: border}) {
		if err != nil {
			return err
		}
		if found >= v.n {
			break
		}
		switch {
		case !strings.HasPrefix(row.Name, v.prefix):
		case row.Empty:
			v.spent = append(v.spent, row.Name)
		default:
			v.due = append(v.due, row)
			found++
		}
	}
	for row, err := range a.lanes.Scan(r, store.Query{Index: byWake, Prefix: store.Key{}.Str(g), From: border}) {
		if err != nil {
			return err
		}
		if row.Empty || !strings.HasPrefix(row.Name, v.prefix) {
			continue
		}
		if v.next.IsZero() || row.Wake.Before(v.next) {
			v.next = row.Wake
		}
		break
	}
	return nil
}

// eachGroup calls fn for the groups that can hold lanes with this prefix. It
// seeks from group to group; a prefix with a slash names its group.
func (a *Agenda) eachGroup(r store.Reader, prefix string, fn func(group string) error) error {
	if g := group(prefix); strings.HasSuffix(g, "/") {
		return fn(g)
	}
	from := prefix
	for {
		row, err := a.lanes.First(r, store.Query{Index: byWake, From: store.Key{}.Str(from)})
		if err != nil || row == nil {
			return err
		}
		g := group(row.Name)
		if !strings.HasPrefix(g, prefix) {
			return nil
		}
		if err := fn(g); err != nil {
			return err
		}
		from = g + "\x01" // names have no control characters: the next possible group
	}
}

// tidy removes the rows of empty lanes whose pause is over.
func (a *Agenda) tidy(ctx context.Context, lanes []string) error {
	if len(lanes) == 0 {
		return nil
	}
	slices.Sort(lanes)
	return a.db.Update(ctx, func(tx store.Tx) error {
		for _, name := range lanes {
			row, err := a.lockLane(tx, name)
			if err != nil {
				return err
			}
			if row == nil || !row.Empty {
				continue
			}
			if err := a.saveLane(tx, row, row); err != nil {
				return err
			}
		}
		return nil
	})
}
