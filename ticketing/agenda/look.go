package agenda

import (
	"fmt"

	"ticketgate/ticketing/store"
)

// Job returns one job, claimed or not, or store.ErrNotFound.
func (a *Agenda) Job(r store.Reader, lane, key string) (*Job, error) {
	j, err := a.jobs.Get(r, jobKey(lane, key))
	if err != nil {
		return nil, fmt.Errorf("agenda: job %q in %q: %w", key, lane, err)
	}
	return j, nil
}

// Page returns up to limit jobs of the group that prefix names ("mail/"), in
// the order of lanes and keys, and the cursor of the next page, nil at the end.
// It is for looking after what is there, not for finding work.
func (a *Agenda) Page(r store.Reader, prefix string, after store.Key, limit int) ([]Job, store.Key, error) {
	page, next, err := a.jobs.Page(r, store.Query{
		From: store.Key{}.Str(prefix), To: store.Key{}.Str(prefix + "\U0010FFFF"), // after every name in it
		After: after, Limit: limit,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("agenda: jobs of %s: %w", prefix, err)
	}
	out := make([]Job, len(page))
	for i, j := range page {
		out[i] = *j
	}
	return out, next, nil
}

// Lanes returns up to limit lanes of the group that prefix names, by name, and
// the cursor of the next page, nil at the end.
func (a *Agenda) Lanes(r store.Reader, prefix string, after store.Key, limit int) ([]Lane, store.Key, error) {
	page, next, err := a.lanes.Page(r, store.Query{
		From: store.Key{}.Str(prefix), To: store.Key{}.Str(prefix + "\U0010FFFF"), After: after, Limit: limit,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("agenda: lanes of %s: %w", prefix, err)
	}
	out := make([]Lane, len(page))
	for i, row := range page {
		out[i] = Lane{Name: row.Name, Wake: row.Wake, NotBefore: row.NotBefore, Reason: row.Reason}
		if row.Empty {
			out[i].Wake = out[i].NotBefore
		}
	}
	return out, next, nil
}
