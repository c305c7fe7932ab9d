package pebble_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

// The shape of what one mail writes: a chunk, then a transaction of about 25
// entries over eight tables.
type record struct {
	ID      uint64    `json:"id"`
	Queue   string    `json:"queue"`
	Subject string    `json:"subject"`
	Address string    `json:"address"`
	Unique  string    `json:"unique"`
	State   string    `json:"state"`
	At      time.Time `json:"at"`
	Text    string    `json:"text,omitempty"`
}

func ingestTable(n byte, indexes ...store.Index[record]) *store.Table[record] {
	return store.NewTable(fmt.Sprintf("bench%d", n), store.Prefix(0xe0+n), []string{"queue", "id"},
		func(r *record) store.Key { return store.Key{}.Str(r.Queue).Uint(r.ID) }, indexes...)
}

var (
	byState = store.Index[record]{Name: "state", Columns: []string{"state", "at"}, Keys: func(r *record) []store.Key {
		return []store.Key{store.Key{}.Str(r.State).Time(r.At)}
	}}
	byAddress = store.Index[record]{Name: "address", Columns: []string{"address"}, Keys: func(r *record) []store.Key {
		return []store.Key{store.Key{}.Str(r.Address)}
	}}
	byUnique = store.Index[record]{Name: "unique", Columns: []string{"unique"}, Unique: true, Keys: func(r *record) []store.Key {
		return []store.Key{store.Key{}.Str(r.Unique)}
	}}
	ingestTables = []*store.Table[record]{
		ingestTable(0, byState, byAddress, byUnique), ingestTable(1, byState), ingestTable(2, byAddress),
		ingestTable(3, byAddress), ingestTable(4, byUnique), ingestTable(5), ingestTable(6, byState), ingestTable(7),
	}
)

func ingest(ctx context.Context, db store.DB, n uint64, mail []byte) error {
	chunks := store.Key{}.Uint(n * 0x9e3779b97f4a7c15)
	if err := db.PutChunk(ctx, chunks, 0, mail); err != nil {
		return err
	}
	return db.Update(ctx, func(tx store.Tx) error {
		id, err := tx.Count(store.Key{}.Str("ticket"), 1)
		if err != nil {
			return err
		}
		for i, table := range ingestTables {
			rec := record{
				ID: id, Queue: "support", Subject: "Re: the printer on the third floor is on fire again",
				Address: fmt.Sprintf("customer%d@example.com", n%10_000), Unique: fmt.Sprintf("<%d.%d@mail.example.com>", n, i),
				State: "open", At: tx.Now(), Text: string(mail[:200]),
			}
			if err := table.Put(tx, &rec); err != nil {
				return err
			}
			if i == 2 || i == 4 { // participants, references
				rec.ID, rec.Unique = id|1<<40, rec.Unique+"x"
				if err := table.Put(tx, &rec); err != nil {
					return err
				}
			}
		}
		_, err = tx.Count(store.Key{}.Str("journal/support"), 1)
		return err
	})
}

// BenchmarkIngest reports transactions a second with 1, 8 and 64 sessions on
// a real directory.
func BenchmarkIngest(b *testing.B) {
	for _, sessions := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), pebble.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			mail := make([]byte, 5<<10)
			for i := range mail {
				mail[i] = byte('a' + rand.IntN(26))
			}
			var n atomic.Uint64
			var wg sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range sessions {
				wg.Go(func() {
					for {
						i := n.Add(1)
						if i > uint64(b.N) {
							return
						}
						if err := ingest(b.Context(), db, i, mail); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
		})
	}
}
