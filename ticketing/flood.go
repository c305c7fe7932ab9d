package ticketing

import (
	"fmt"
	"strings"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// FloodLimit is how many mails of one author a queue takes in a span of time;
// what comes beyond is held. The zero value is no limit.
type FloodLimit struct {
	Count int
	Per   time.Duration
}

func (l FloodLimit) off() bool { return l.Count <= 0 || l.Per <= 0 }

// String says the limit in words that fit a detail.
func (l FloodLimit) String() string {
	return fmt.Sprintf("more than %d in %s", l.Count, short(l.Per))
}

// short writes a duration without the zeros at its end.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// floodRow counts the mails of one author to one queue since a moment.
type floodRow struct {
	Queue  string    `json:"queue"`
	Author string    `json:"author"` // folded; "" for all who cannot be named
	Since  time.Time `json:"since"`
	Count  int       `json:"count"`
}

const bySince = "since"

func floodTable() *store.Table[floodRow] {
	return store.NewTable("flood", store.PrefixFlood, []string{"queue", "author"},
		func(f *floodRow) store.Key { return store.Key{}.Str(f.Queue).Str(f.Author) },
		store.Index[floodRow]{Name: bySince, Columns: []string{"since"},
			Keys: func(f *floodRow) []store.Key { return []store.Key{store.Key{}.Time(f.Since)} }})
}

// flooded counts a mail and reports whether it is one too many. Hosts that are
// trusted forwarders of the queue, and proven agents, are not counted.
func (w *work) flooded(in *incoming, u *unit) (bool, error) {
	limit := w.d.flood
	if limit.off() || u.forwarder || u.agent != nil || in.arrival.User != "" {
		return false, nil
	}
	author := in.folded
	if author == "" && len(in.arrival.EnvelopeFrom) <= maxAddress {
		author = message.Fold(in.arrival.EnvelopeFrom)
	}
	key := store.Key{}.Str(u.queue.Name).Str(author)
	if err := w.d.floods.Lock(w.tx, key); err != nil {
		return false, err
	}
	row, err := w.d.floods.Find(w.tx, key)
	if err != nil {
		return false, err
	}
	if row == nil {
		row = &floodRow{Queue: u.queue.Name, Author: author, Since: w.now}
		w.jobs = append(w.jobs, agenda.Job{Lane: HeldLane, Key: floodKey, Due: w.now.Add(limit.Per)})
	}
	if age := w.now.Sub(row.Since); age >= limit.Per || age < 0 {
		row.Since, row.Count = w.now, 0
	}
	if row.Count >= limit.Count {
		return true, nil
	}
	row.Count++
	return false, w.d.floods.Put(w.tx, row)
}

// floodKey is the job that forgets authors who have not written for a while.
const floodKey = "flood"

// maxForget is how many authors one transaction forgets.
const maxForget = 500

// forgetFloods removes counts that count for nothing any more, and asks to be
// run again while there are others.
func (d *Desk) forgetFloods(tx store.Tx, job agenda.Job) error {
	var old []*floodRow
	var next time.Time
	for row, err := range d.floods.Scan(tx, store.Query{Index: bySince, Limit: maxForget + 1}) {
		if err != nil {
			return err
		}
		if ends := row.Since.Add(d.flood.Per); len(old) == maxForget || ends.After(tx.Now()) {
			next = ends
			break
		}
		old = append(old, row)
	}
	for _, row := range old {
		key := store.Key{}.Str(row.Queue).Str(row.Author)
		if err := d.floods.Lock(tx, key); err != nil {
			return err
		}
		if err := d.floods.Delete(tx, key); err != nil {
			return err
		}
	}
	if next.IsZero() {
		return d.agenda.Done(tx, job)
	}
	return d.agenda.Again(tx, job, next)
}
