package delivery

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// expected is what the model knows of a parcel.
type expected struct {
	held    bool
	over    string // last report, once it has left the queue
	lastDot string // bytes that a peer has seen
}

// Any sequence of submissions, attempts with any results, commands, restarts
// and time: each parcel is in the queue or has ended with a report, jobs and
// parcels agree, no bytes change, and nothing held is sent.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { runModel(t, rt) })
}

func runModel(t *testing.T, rt *rapid.T) {
	model := map[string]*expected{}
	outcomes := []courier.Result{accepted, greylisted, unknown, unreachable, lostDot}
	peer := carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		m := model[tr.To[0]]
		if m == nil || m.held || m.over != "" {
			rt.Fatalf("an attempt for %s: %+v", tr.To[0], m)
		}
		r := outcomes[rapid.IntRange(0, len(outcomes)-1).Draw(rt, "result")]
		text, err := content(tr)
		if err != nil {
			rt.Fatal(err)
		}
		if r.Phase == courier.PhaseDot {
			if err := tr.OnDot(ctx); err != nil {
				rt.Fatal(err)
			}
			if m.lastDot != "" && m.lastDot != text {
				rt.Fatalf("other bytes for %s", tr.To[0])
			}
			m.lastDot = text
		}
		switch r.Class {
		case courier.Success:
			m.over = "sent"
		case courier.Permanent:
			m.over = "failed"
		}
		return r
	})
	b := setup(t, peer, func(o *Options) { o.PerDestination, o.Workers, o.Expire, o.Registerer = 1, 1, 1e6*time.Hour, nil })
	pick := func() string {
		return fmt.Sprintf("p%d@d%d.example", rapid.IntRange(0, 7).Draw(rt, "parcel"), rapid.IntRange(0, 1).Draw(rt, "domain"))
	}
	check := func(what string, err error, legal bool) {
		if legal != (err == nil) {
			rt.Fatalf("%s: %v", what, err)
		}
	}
	ctx := context.Background()
	for range rapid.IntRange(1, 40).Draw(rt, "steps") {
		id := pick()
		m := model[id]
		there := m != nil && m.over == ""
		switch rapid.SampledFrom([]string{"submit", "submit", "work", "work", "time", "hold", "release", "retry", "drop", "restart"}).Draw(rt, "op") {
		case "submit":
			if m != nil {
				break
			}
			model[id] = &expected{}
			b.submit(id, id, func(o *message.Outbound) {
				o.Due = b.clk.now().Add(time.Duration(rapid.IntRange(0, 1).Draw(rt, "later")) * time.Hour)
			})
		case "work":
			b.work()
		case "time":
			b.clk.move(time.Duration(rapid.IntRange(1, 7200).Draw(rt, "seconds")) * time.Second)
		case "hold":
			check("hold", b.q.Hold(ctx, id, "ada", "x"), there && !m.held)
			if there {
				m.held = true
			}
		case "release":
			check("release", b.q.Release(ctx, id), there && m.held)
			if there {
				m.held = false
			}
		case "retry":
			check("retry", b.q.Retry(ctx, id), there && !m.held)
		case "drop":
			check("drop", b.q.Drop(ctx, id, "ada", "x"), there)
			if there {
				m.over = "cancelled"
			}
		case "restart":
			o := b.q.o
			var err error
			if b.q, err = New(o); err == nil {
				err = b.q.recover(ctx)
			}
			check("restart", err, true)
		}
	}
	b.sound("the end")
	for id, m := range model {
		_, err := b.q.Get(ctx, id)
		reports := b.ledger.of(t, b.db, id)
		last := reports[len(reports)-1].State
		switch {
		case m.over != "" && (!errors.Is(err, store.ErrNotFound) || last != m.over):
			rt.Fatalf("%s: %v, %q, want %q", id, err, last, m.over)
		case m.over == "" && (err != nil || m.held != (last == "held")):
			rt.Fatalf("%s: %v, %q", id, err, last)
		}
	}
}
