package agenda_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// BenchmarkJob is the life of one job, one transaction for each step but the
// claim, which takes 16: put, claim, done. backlog is what else waits in the
// lane; the cost should not depend on it.
func BenchmarkJob(b *testing.B) {
	for _, backlog := range []int{0, 20_000} {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) { benchmarkJob(b, backlog) })
	}
}

func benchmarkJob(b *testing.B, backlog int) {
	ctx := context.Background()
	db := storetest.OpenAt(b, newClock().now)
	a := agenda.New(db)
	update := func(fn func(store.Tx) error) {
		if err := db.Update(ctx, fn); err != nil {
			b.Fatal(err)
		}
	}
	for n := 0; n < backlog; n += 1000 {
		update(func(tx store.Tx) error {
			for i := range 1000 {
				if err := a.Put(tx, agenda.Job{Lane: "notice", Key: fmt.Sprintf("b%d", n+i)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	n := 0
	for b.Loop() {
		update(func(tx store.Tx) error {
			return a.Put(tx, agenda.Job{Lane: "notice", Key: fmt.Sprintf("k%d", n)})
		})
		if n++; n%16 != 0 {
			continue
		}
		jobs, err := a.Claim(ctx, "notice", 16, time.Minute, nil)
		if err != nil {
			b.Fatal(err)
		}
		for _, j := range jobs {
			update(func(tx store.Tx) error { return a.Done(tx, j) })
		}
	}
}
