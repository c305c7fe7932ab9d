package agenda_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// A worker does what is due when it starts, what comes due later, and what is
// put in meanwhile; what fails comes again after a while, and holds nothing up.
func TestWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := storetest.OpenAt(t, time.Now)
		a := agenda.New(db)
		put := func(key string, in time.Duration) {
			t.Helper()
			if err := db.Update(t.Context(), func(tx store.Tx) error {
				return a.Put(tx, agenda.Job{Lane: "work", Key: key, Due: time.Now().Add(in)})
			}); err != nil {
				t.Fatal(err)
			}
		}
		put("late", -time.Hour)
		put("bad", 0)
		put("soon", 10*time.Second)
		if _, err := a.Claim(t.Context(), "work", 1, 24*time.Hour, nil); err != nil { // by a process that died
			t.Fatal(err)
		}

		began := time.Now()
		type done struct {
			key string
			at  time.Duration
		}
		var did []done
		w := agenda.Worker{
			Agenda: a, Lane: "work", Claim: 10, Lease: time.Minute, Retry: 30 * time.Second, Log: slog.New(slog.DiscardHandler),
			Do: func(ctx context.Context, j agenda.Job) error {
				if j.Key == "bad" && j.Attempts < 3 {
					return errors.New("not now")
				}
				did = append(did, done{j.Key, time.Since(began).Truncate(time.Second)})
				return db.Update(ctx, func(tx store.Tx) error { return a.Done(tx, j) })
			},
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		time.Sleep(5 * time.Second)
		put("now", 0)
		time.Sleep(2 * time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []done{{"late", 0}, {"now", 5 * time.Second}, {"soon", 10 * time.Second}, {"bad", time.Minute}}
		if !slices.Equal(did, want) {
			t.Errorf("done: %v, want %v", did, want)
		}
		if next, err := a.Until(t.Context(), "work"); err != nil || next != agenda.Idle {
			t.Errorf("an empty lane has work in %v, %v", next, err)
		}
	})
}
