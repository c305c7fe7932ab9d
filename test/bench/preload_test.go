package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

// preload stores n tickets of one 2 KiB mail each, through the desk and
// without the network, and ends their notices as a running daemon would have.
func preload(b *testing.B, dir string, n int) {
	b.Helper()
	db, err := pebble.Open(dir, pebble.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	blobs, due := blob.New(db, rand.Reader), agenda.New(db)
	desk, err := ticketing.Open(context.Background(), ticketing.Options{
		DB: db, Blobs: blobs, Journal: journal.New(db), Agenda: due,
		Queues: []ticketing.Queue{{Name: "support", Address: "support@help.example", CC: ticketing.CCPolicy{Allow: "off"}}},
		Random: rand.Reader, Log: slog.New(slog.DiscardHandler), Limits: message.DefaultLimits(),
	})
	if err != nil {
		b.Fatal(err)
	}
	const workers = 32
	body := strings.Repeat("words words words words words words words words words words\r\n", 30)
	g, ctx := errgroup.WithContext(context.Background())
	for w := range workers {
		g.Go(func() error {
			for i := w; i < n; i += workers {
				out := blobs.Create(ctx)
				fmt.Fprintf(out, "From: <person%d@customer%d.example>\r\nTo: support@help.example\r\nSubject: case %d\r\nMessage-ID: <%d@preload.example>\r\n\r\n%s", i%50000, i%1000, i, i, body)
				sealed, err := out.Seal()
				if err != nil {
					return err
				}
				if _, err := desk.Receive(ctx, ticketing.Arrival{
					Source: "smtp", EnvelopeFrom: fmt.Sprintf("person%d@customer%d.example", i%50000, i%1000),
					Recipients: []string{"support@help.example"}, Verdict: ticketing.Verdict{Trust: "T0"}, Raw: sealed,
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	endNotices(b, db, due)
}

func endNotices(b *testing.B, db store.DB, due *agenda.Agenda) {
	b.Helper()
	ctx := context.Background()
	for {
		jobs, err := due.Claim(ctx, ticketing.NoticeLane, 1000, time.Hour, nil)
		if err != nil {
			b.Fatal(err)
		}
		if len(jobs) == 0 {
			return
		}
		if err := db.Update(ctx, func(tx store.Tx) error {
			for _, j := range jobs {
				if err := due.Done(tx, j); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}
