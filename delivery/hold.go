package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/delivery/dkim"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// What holds a parcel, beside a person ("").
const (
	HeldSuppressed = "suppressed" // its recipient is; ref: the address
	HeldKey        = "dkim_key"   // its domain cannot sign; ref: the domain
	HeldContent    = "content"    // it can never be signed as it is
	HeldMeasure    = "measure"    // an operator's measure; ref: its id
)

// HoldKinds returns every kind of hold, that of a person as "operator".
func HoldKinds() []string {
	return []string{"operator", HeldSuppressed, HeldKey, HeldContent, HeldMeasure}
}

// ourselves is who holds what no person holds.
const ourselves = "ticketgate"

func holdKey(kind, ref string) store.Key { return store.Key{}.Str(kind).Str(ref) }

// unsignable is the hold of a mail that must not leave because it cannot leave
// signed, nil if the error is none of that sort. A store that cannot be read
// just now is no reason to hold; trying again is.
func unsignable(p *row, err error) *Held {
	switch {
	case errors.Is(err, dkim.ErrNoKey):
		return &Held{By: ourselves, Kind: HeldKey, Ref: p.Domain,
			Reason: "the DKIM keys of " + p.Domain + " cannot be used, and mail does not leave unsigned; see: ticketgate dkim list " + p.Domain}
	case errors.Is(err, dkim.ErrMessage):
		return &Held{By: ourselves, Kind: HeldContent,
			Reason: "its header cannot be signed so that the signature would hold: " + clip(err.Error())}
	}
	return nil
}

// setAside ends a claim by holding its parcel. What was begun is no attempt.
func (q *Queue) setAside(c *claim, h Held) {
	err := q.durably(c, func(tx store.Tx) error {
		h := h
		h.At = tx.Now()
		p := *c.row
		p.Held = &h
		r := p.report("held", tx.Now())
		r.Attempts = max(0, p.Attempts-1)
		r.Text = "held by " + h.By + ": " + h.Reason
		if h.Kind == HeldSuppressed {
			r.Hold = h.Kind
		}
		if err := q.o.Ledger.Settled(tx, r); err != nil {
			return err
		}
		if err := q.o.Agenda.Done(tx, c.job); err != nil {
			return err
		}
		mine, err := q.mine(tx, c)
		if err != nil {
			return err
		}
		mine.Phase, mine.Lease, mine.Paid, mine.Due, mine.Held = "", 0, time.Time{}, tx.Now(), &h
		mine.Attempts = max(0, mine.Attempts-1)
		return q.parcels.Put(tx, mine)
	})
	if err == nil {
		q.o.Log.Warn("outbound mail is held", "parcel", c.row.ID, "ticket", c.row.Ticket, "by", h.By, "kind", h.Kind, "ref", h.Ref, "reason", h.Reason)
	}
}

// stopped ends a claim on which no attempt may be made now: its address has been
// suppressed since it was submitted, or a measure of an operator stands in its
// way. It reports whether it did.
func (q *Queue) stopped(ctx context.Context, g *grant, c *claim) bool {
	if m := q.inTheWay(ctx, c.row); m != nil {
		if m.wholeLane() {
			q.giveBack(g, c, time.Time{})
			q.durably(c, func(tx store.Tx) error { return q.o.Agenda.Pause(tx, c.row.Lane, m.nap(tx.Now()), m.words()) })
			return true
		}
		q.setAside(c, Held{By: m.By, Reason: m.Reason, Kind: HeldMeasure, Ref: m.ID, Until: m.Until})
		return true
	}
	if q.o.Suppressions == nil {
		return false
	}
	var found *Suppression
	err := q.o.DB.View(ctx, func(r store.Reader) (err error) {
		found, err = q.suppression(r, c.row)
		return err
	})
	if err != nil || found == nil {
		return false // the attempt will meet a broken store itself
	}
	h := suppressedHold(found, q.o.Now())
	if c.row.Class == "reply" {
		q.setAside(c, *h)
		return true
	}
	r := c.row.report("suppressed", q.o.Now())
	r.Text = h.Reason
	q.met.attempts.WithLabelValues(c.row.Class, otherProvider, "suppressed").Inc()
	q.finish(c, outcome{report: r})
	return true
}

// letGo releases up to n parcels under one kind and ref of hold and returns how
// many it released.
func (q *Queue) letGo(ctx context.Context, kind, ref string, n int) (gone int, err error) {
	err = q.o.DB.Update(ctx, func(tx store.Tx) error {
		gone = 0
		page, _, err := q.parcels.Page(tx, store.Query{Index: byHold, Prefix: holdKey(kind, ref), Limit: n})
		if err != nil {
			return err
		}
		slices.SortFunc(page, func(a, b *row) int { return strings.Compare(a.Lane+"\x00"+a.ID, b.Lane+"\x00"+b.ID) })
		for _, p := range page {
			if err := q.parcels.Lock(tx, parcelKey(p.ID)); err != nil {
				return err
			}
			if p, err = q.parcels.Find(tx, parcelKey(p.ID)); err != nil {
				return err
			}
			if p == nil || p.Held == nil || p.Held.Kind != kind || p.Held.Ref != ref {
				continue
			}
			if err := q.unhold(tx, p); err != nil {
				return err
			}
			gone++
		}
		return nil
	})
	return gone, err
}

// unhold puts a held parcel back into its lane.
func (q *Queue) unhold(tx store.Tx, p *row) error {
	p.Held, p.Way = nil, q.wayAsKnown(p)
	p.Lane = p.lane()
	if err := q.o.Ledger.Settled(tx, p.report(p.waiting(), tx.Now())); err != nil {
		return err
	}
	if err := q.o.Agenda.Put(tx, agenda.Job{Lane: p.Lane, Key: p.ID, Due: p.Due}); err != nil {
		return err
	}
	return q.parcels.Put(tx, p)
}

// letGoAll releases everything under one kind and ref of hold.
func (q *Queue) letGoAll(ctx context.Context, kind, ref string) error {
	const batch = 200
	for {
		n, err := q.letGo(ctx, kind, ref, batch)
		if err != nil || n < batch {
			return err
		}
	}
}

const (
	tendEvery = 15 * time.Second
	tendBatch = 1000
)

// Tend looks after what is held until ctx ends: it ends measures and
// suppressions whose time is over and releases what nothing holds any more.
func (q *Queue) Tend(ctx context.Context) error {
	timer := time.NewTicker(tendEvery)
	defer timer.Stop()
	for {
		if err := q.TendOnce(ctx); err != nil && ctx.Err() == nil {
			if errors.Is(err, store.ErrFailed) || errors.Is(err, store.ErrClosed) {
				return err
			}
			q.o.Log.Error("held outbound mail cannot be looked after", "cause", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
	}
}

// TendOnce is one round of Tend.
func (q *Queue) TendOnce(ctx context.Context) error {
	if err := q.endMeasures(ctx); err != nil {
		return err
	}
	if s := q.o.Suppressions; s != nil {
		for {
			n, err := s.sweep(ctx, tendBatch)
			if err != nil {
				return err
			}
			if n < tendBatch {
				break
			}
		}
	}
	for _, kind := range []string{HeldMeasure, HeldSuppressed, HeldKey} {
		if err := q.reconsider(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

// reconsider visits each ref of a kind of hold once, by skipping from one to
// the next, and releases its parcels if nothing holds them any more.
func (q *Queue) reconsider(ctx context.Context, kind string) error {
	var from store.Key
	for {
		var first *row
		err := q.o.DB.View(ctx, func(r store.Reader) (err error) {
			first, err = q.parcels.First(r, store.Query{Index: byHold, Prefix: store.Key{}.Str(kind), From: from})
			return err
		})
		if err != nil || first == nil {
			return err
		}
		free, err := q.free(ctx, first)
		if err != nil {
			return err
		}
		if free {
			if err := q.letGoAll(ctx, kind, first.Held.Ref); err != nil {
				return err
			}
		}
		from = holdKey(kind, first.Held.Ref+"\x00")
	}
}

// free reports whether what holds a parcel has gone.
func (q *Queue) free(ctx context.Context, p *row) (bool, error) {
	switch p.Held.Kind {
	case HeldMeasure:
		all, err := q.Measures(ctx)
		return err == nil && !slices.ContainsFunc(all, func(m Measure) bool { return m.ID == p.Held.Ref }), err
	case HeldSuppressed:
		var found *Suppression
		err := q.o.DB.View(ctx, func(r store.Reader) (err error) {
			found, err = q.suppression(r, p)
			return err
		})
		return err == nil && found == nil, err
	case HeldKey:
		// Whether the key works shows best by using it.
		_, err := q.sign(ctx, p, &body{q: q, p: p})
		return err == nil, nil
	}
	return false, nil
}

// HeldFor counts held parcels by what holds them, up to limit each.
func (q *Queue) HeldFor(ctx context.Context, limit int) (map[string]int, error) {
	out := map[string]int{}
	err := q.o.DB.View(ctx, func(r store.Reader) error {
		clear(out)
		for _, kind := range HoldKinds()[1:] {
			for _, err := range q.parcels.Scan(r, store.Query{Index: byHold, Prefix: store.Key{}.Str(kind), Limit: limit}) {
				if err != nil {
					return err
				}
				out[kind]++
			}
		}
		return nil
	})
	return out, err
}

// SignedWith counts the parcels that wait with a signature of a selector: while
// there are any, its record must stay published.
func (q *Queue) SignedWith(ctx context.Context, domain, selector string) (n int, err error) {
	mark := "; "
	err = q.each(ctx, int(^uint(0)>>1), func(p *row) {
		text := strings.Join(strings.Fields(string(p.Signature)), " ")
		if strings.Contains(text, " d="+domain+mark) && strings.Contains(text, " s="+selector+mark) {
			n++
		}
	})
	return n, err
}

// held collects the gauge of what is held for a reason people should look into.
type held struct{ q *Queue }

var heldDesc = prometheus.NewDesc("ticketgate_outbound_held", "Outbound mails held by something else than a person, by what holds them, counted up to 200000 each.", []string{"kind"}, nil)

func (h *held) Describe(ch chan<- *prometheus.Desc) { ch <- heldDesc }

func (h *held) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), stockTime)
	defer cancel()
	counts, err := h.q.HeldFor(ctx, stockRows)
	if err != nil {
		h.q.o.Log.Warn("held outbound mail not counted", "cause", err)
		return
	}
	for _, kind := range HoldKinds()[1:] {
		ch <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(counts[kind]), kind)
	}
}
