package delivery

import (
	"context"
	"testing"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// recall takes a mail back in a transaction of its own.
func (b *bench) recall(id string) (gone bool) {
	b.t.Helper()
	b.update(func(tx store.Tx) (err error) {
		gone, err = b.q.Recall(tx, id, "made internal")
		return err
	})
	return gone
}

// What waits is taken back, whatever it waits for, and nobody ever gets it.
func TestRecallWaiting(t *testing.T) {
	t.Parallel()
	later := func(o *message.Outbound) { o.Due = start.Add(time.Hour) }
	for name, c := range map[string]struct {
		with    func(*message.Outbound)
		before  func(*bench)
		gone    bool
		reports string
	}{
		"ready":     {gone: true, reports: "queued cancelled"},
		"scheduled": {with: later, gone: true, reports: "queued cancelled"},
		"held": {before: func(b *bench) {
			if err := b.q.Hold(context.Background(), "out_1", "ada", "wait"); err != nil {
				b.t.Fatal(err)
			}
		}, gone: true, reports: "queued held cancelled"},
		"deferred":  {before: func(b *bench) { b.work() }, gone: true, reports: "queued deferred cancelled"},
		"delivered": {before: func(b *bench) { b.work(); b.clk.move(2 * time.Minute); b.work() }, reports: "queued deferred sent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tries := 0
			b := setup(t, carry(func(context.Context, courier.Transaction) courier.Result {
				if tries++; tries == 1 {
					return greylisted
				}
				return accepted
			}))
			with := []func(*message.Outbound){}
			if c.with != nil {
				with = append(with, c.with)
			}
			b.submit("out_1", "anna@customer.example", with...)
			if c.before != nil {
				c.before(b)
			}
			made := tries
			if got := b.recall("out_1"); got != c.gone {
				t.Errorf("gone: %t, want %t", got, c.gone)
			}
			b.expect("recalled", "out_1", c.reports, "")
			b.clk.move(3 * time.Hour)
			b.work()
			if tries != made {
				t.Errorf("%d attempts after it was taken back", tries-made)
			}
			if b.recall("out_1") {
				t.Error("it was taken back twice")
			}
			b.sound(name)
		})
	}
}

// A mail that may have been delivered is taken back too, and says so.
func TestRecallUncertain(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(courier.Result{Class: courier.Temporary, Phase: courier.PhaseDot, Ambiguous: true}))
	b.submit("out_1", "anna@customer.example")
	b.work()
	if !b.recall("out_1") {
		t.Error("it is still there")
	}
	b.expect("recalled", "out_1", "queued deferred cancelled", "")
	if list := b.ledger.of(t, b.db, "out_1"); !list[len(list)-1].Unsure {
		t.Errorf("%+v", list)
	}
	b.sound("recalled")
}

// An attempt under way ends before the dot, or is the last; the second of two
// mails on one connection is not begun at all.
func TestRecallInFlight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dot     bool // sent before the recall
		result  courier.Result
		reports string
	}{
		"before the dot":            {reports: "queued cancelled"},
		"after it, accepted":        {dot: true, result: accepted, reports: "queued sent"},
		"after it, refused for now": {dot: true, result: greylisted, reports: "queued cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b *bench
			var begun []string
			b = setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
				begun = append(begun, tr.To[0])
				if c.dot {
					if err := tr.OnDot(ctx); err != nil {
						t.Error(err)
					}
				}
				if b.recall("out_1") || b.recall("out_2") {
					t.Error("what a worker has is gone")
				}
				if c.dot {
					return c.result
				}
				err := tr.OnDot(ctx)
				if err == nil {
					t.Error("the dot may be sent")
				}
				return courier.Result{Class: courier.Temporary, Phase: courier.PhaseBody, Err: err}
			}))
			b.submit("out_1", "anna@customer.example")
			b.submit("out_2", "bo@customer.example")
			b.work()
			b.clk.move(3 * time.Hour)
			b.work()
			if len(begun) != 1 {
				t.Errorf("attempts for %v", begun)
			}
			b.expect("first", "out_1", c.reports, "")
			b.expect("second", "out_2", "queued cancelled", "")
			b.sound(name)
		})
	}
}

// What was taken back while a worker had it stays so when the worker dies.
func TestRecallSurvivesACrash(t *testing.T) {
	t.Parallel()
	tries := 0
	b := setup(t, carry(func(context.Context, courier.Transaction) courier.Result { tries++; return accepted }))
	b.submit("out_1", "anna@customer.example")
	claims, err := b.q.claim(t.Context(), laneOf(heading{domain: "customer.example"}, bandReply, false), 1)
	if err != nil || len(claims) != 1 {
		t.Fatal(claims, err)
	}
	if b.recall("out_1") {
		t.Error("what a worker has is gone")
	}
	if err := b.q.recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.clk.move(time.Hour)
	b.work()
	if tries != 0 {
		t.Errorf("%d attempts", tries)
	}
	b.expect("recovered", "out_1", "queued cancelled", "")
	b.sound("recovered")
}
