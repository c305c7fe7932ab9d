package ticketing_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/pebble"
)

// BenchmarkReceive measures mails of 5 KiB on a real disk, 64 sessions at once
// sharing its syncs: from bytes in memory to a durable receipt.
func BenchmarkReceive(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		desk, blobs := benchDesk(b)
		run(b, desk, blobs, func(n int64) ([]string, string) {
			return []string{helpdsk}, fmt.Sprintf("From: Person <p%d@customer.example>\r\nTo: %s\r\nSubject: Question %[1]d\r\nMessage-ID: <n%[1]d@customer.example>\r\nDate: Mon, 02 Mar 2026 09:00:00 +0000\r\n", n, helpdsk)
		})
	})
	b.Run("reply", func(b *testing.B) {
		desk, blobs := benchDesk(b)
		const tickets = 200
		var replyTo [tickets]string
		for i := range replyTo {
			r := receiveBench(b, desk, blobs, []string{helpdsk}, fmt.Sprintf("From: <p%d@customer.example>\r\nSubject: x\r\nMessage-ID: <o%d@customer.example>\r\n", i, i))
			replyTo[i] = "support+" + desk.Keyring().AddressToken("support", message.Token{
				Kind: message.KindReply, Ticket: r.Outcomes[0].Ticket, Mail: 1, Person: message.PersonHash(fmt.Sprintf("p%d@customer.example", i)), Role: message.RoleRequester,
			}) + "@help.example"
		}
		run(b, desk, blobs, func(n int64) ([]string, string) {
			i := n % tickets
			return []string{replyTo[i]}, fmt.Sprintf("From: <p%d@customer.example>\r\nTo: %s\r\nSubject: Re: x\r\nMessage-ID: <r%d@customer.example>\r\nIn-Reply-To: <o%[1]d@customer.example>\r\n", i, replyTo[i], n)
		})
	})
}

func benchDesk(b *testing.B) (*ticketing.Desk, *blob.Store) {
	b.Helper()
	db, err := pebble.Open(b.TempDir(), pebble.Options{Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	blobs := blob.New(db, newRandom(1))
	desk, err := ticketing.Open(context.Background(), ticketing.Options{
		DB: db, Blobs: blobs, Journal: journal.New(db), Agenda: agenda.New(db), Queues: queues(), Agents: agents(), Random: newRandom(2),
	})
	if err != nil {
		b.Fatal(err)
	}
	return desk, blobs
}

func receiveBench(b *testing.B, desk *ticketing.Desk, blobs *blob.Store, to []string, header string) *ticketing.Receipt {
	w := blobs.Create(context.Background())
	body := strings.Repeat("An ordinary line of text as people write it.\r\n", 110)
	if _, err := io.WriteString(w, header+"\r\n"+header+body); err != nil {
		b.Fatal(err)
	}
	sealed, err := w.Seal()
	if err != nil {
		b.Fatal(err)
	}
	r, err := desk.Receive(context.Background(), ticketing.Arrival{
		Source: "smtp", EnvelopeFrom: "p@customer.example", Recipients: to, RemoteIP: netip.MustParseAddr(mx), Raw: sealed,
	})
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func run(b *testing.B, desk *ticketing.Desk, blobs *blob.Store, next func(int64) ([]string, string)) {
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			to, header := next(n.Add(1))
			receiveBench(b, desk, blobs, to, header)
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
}
