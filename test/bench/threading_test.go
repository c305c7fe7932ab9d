package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// BenchmarkThreading measures what it costs to find an answer's ticket and put
// it there, by each way of finding it, in a store of a million tickets with
// five messages each and in one of a thousand. Mails go to the desk directly,
// from one writer, so that a figure is the time of one mail.
// TICKETGATE_BENCH_TICKETS makes the large store smaller.
func BenchmarkThreading(b *testing.B) {
	tickets := 1_000_000
	if s := os.Getenv("TICKETGATE_BENCH_TICKETS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1000 {
			b.Fatalf("TICKETGATE_BENCH_TICKETS=%q is no number of at least 1000", s)
		}
		tickets = n
	}
	started := time.Now()
	full, empty := newThreads(b, "full", tickets), newThreads(b, "empty", 1000)
	fmt.Printf("threading: %d tickets with %d messages in %v\n", tickets, 5*tickets, time.Since(started).Round(time.Second))
	for b.Loop() {
		for _, way := range ways {
			few, many := costs(b, way, empty, full)
			fmt.Printf("threading by %-12s p50 %7v of %d, %7v of %d tickets: ratio %.2f\n", way.name, few, empty.tickets, many, full.tickets, many.Seconds()/few.Seconds())
			b.ReportMetric(many.Seconds()/few.Seconds(), way.name+"-ratio")
		}
		b.ReportMetric(0, "ns/op")
	}
}

// threads is a desk with tickets that have conversations.
type threads struct {
	desk    *ticketing.Desk
	blobs   *blob.Store
	db      store.DB
	agenda  *agenda.Agenda
	tickets int
	mails   int
}

func newThreads(b *testing.B, name string, tickets int) *threads {
	b.Helper()
	db, err := pebble.Open(filepath.Join(b.TempDir(), name), pebble.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	x := &threads{db: db, blobs: blob.New(db, rand.Reader), agenda: agenda.New(db), tickets: tickets}
	x.desk, err = ticketing.Open(context.Background(), ticketing.Options{
		DB: db, Blobs: x.blobs, Journal: journal.New(db), Agenda: x.agenda,
		Queues: []ticketing.Queue{{Name: "support", Address: "support@help.example", CC: ticketing.CCPolicy{Allow: "off"}}},
		Random: rand.Reader, Log: slog.New(slog.DiscardHandler), Limits: message.DefaultLimits(),
	})
	if err != nil {
		b.Fatal(err)
	}
	for round := range 5 {
		x.round(b, round)
	}
	endNotices(b, db, x.agenda)
	return x
}

// round gives every ticket one more message.
func (x *threads) round(b *testing.B, round int) {
	b.Helper()
	const workers = 32
	g, ctx := errgroup.WithContext(context.Background())
	for w := range workers {
		g.Go(func() error {
			for i := w; i < x.tickets; i += workers {
				head := ""
				if round > 0 {
					head = fmt.Sprintf("In-Reply-To: <%d-0@preload.example>\r\n", i)
				}
				if err := x.receive(ctx, i, round, "case "+strconv.Itoa(i), head, ""); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// receive takes a mail of the requester of conversation i.
func (x *threads) receive(ctx context.Context, i, n int, subject, head, body string) error {
	from := fmt.Sprintf("person%d@customer%d.example", i%50000, i%1000)
	out := x.blobs.Create(ctx)
	fmt.Fprintf(out, "From: <%s>\r\nTo: support@help.example\r\nSubject: %s\r\nMessage-ID: <%d-%d@preload.example>\r\n%s\r\nwords\r\n%s", from, subject, i, n, head, body)
	sealed, err := out.Seal()
	if err != nil {
		return err
	}
	_, err = x.desk.Receive(ctx, ticketing.Arrival{
		Source: "smtp", EnvelopeFrom: from, Recipients: []string{"support@help.example"}, Verdict: ticketing.Verdict{Trust: "T1"}, Raw: sealed,
	})
	return err
}

// way is how an answer finds its ticket.
type way struct {
	name string
	mail func(k *message.Keyring, i int, t message.Token) (subject, head, body string)
}

var ways = []way{
	{"message-id", func(k *message.Keyring, i int, t message.Token) (string, string, string) {
		return "Re: case", "In-Reply-To: " + k.MessageID("help.example", t) + "\r\n", ""
	}},
	{"foreign-id", func(_ *message.Keyring, i int, _ message.Token) (string, string, string) {
		return "Re: case", fmt.Sprintf("References: <%d-0@preload.example> <%d-3@preload.example>\r\n", i, i), ""
	}},
	{"marker", func(k *message.Keyring, i int, t message.Token) (string, string, string) {
		return "hello", "", "> words\r\n> " + k.BodyMarker(t) + "\r\n"
	}},
	{"subject-tag", func(_ *message.Keyring, i int, t message.Token) (string, string, string) {
		return fmt.Sprintf("Re: case [#%d]", t.Ticket), "", ""
	}},
	{"subject", func(_ *message.Keyring, i int, _ message.Token) (string, string, string) {
		return fmt.Sprintf("Re: case %d", i), "", ""
	}},
	{"nothing", func(_ *message.Keyring, i int, _ message.Token) (string, string, string) {
		return "something new", "", ""
	}},
}

// costs is the median time of a few hundred answers to conversations drawn at
// random, in either desk. The two take turns, so that whatever else the machine
// does falls on both.
func costs(b *testing.B, w way, few, many *threads) (time.Duration, time.Duration) {
	b.Helper()
	const warm, samples = 50, 500
	var took [2][]time.Duration
	for n := range warm + samples {
		for side, x := range []*threads{few, many} {
			d, err := x.answer(w)
			if err != nil {
				b.Fatal(err)
			}
			if n >= warm {
				took[side] = append(took[side], d)
			}
		}
	}
	median := func(d []time.Duration) time.Duration {
		slices.Sort(d)
		return d[len(d)/2].Round(time.Microsecond)
	}
	return median(took[0]), median(took[1])
}

// answer is the time of one answer to a conversation drawn at random.
func (x *threads) answer(w way) (time.Duration, error) {
	ctx := context.Background()
	draw, err := rand.Int(rand.Reader, big.NewInt(int64(x.tickets)))
	if err != nil {
		return 0, err
	}
	i := int(draw.Int64())
	number, err := x.numberOf(ctx, i)
	if err != nil {
		return 0, err
	}
	x.mails++
	subject, head, body := w.mail(x.desk.Keyring(), i, message.Token{Kind: message.KindReply, Ticket: number, Mail: 1, Role: message.RoleRequester})
	start := time.Now()
	err = x.receive(ctx, i, 100+x.mails, subject, head, body)
	return time.Since(start), err
}

// numberOf is the ticket of a conversation: workers took the numbers in no order.
func (x *threads) numberOf(ctx context.Context, i int) (uint64, error) {
	from := fmt.Sprintf("person%d@customer%d.example", i%50000, i%1000)
	cursor := ""
	for {
		list, next, err := x.desk.Tickets(ctx, ticketing.Filter{Requester: from, Limit: 100, Cursor: cursor})
		if err != nil {
			return 0, err
		}
		for _, t := range list {
			if strings.TrimPrefix(t.Subject, "case ") == strconv.Itoa(i) {
				return t.Number, nil
			}
		}
		if cursor = next; next == "" {
			return 0, fmt.Errorf("conversation %d has no ticket", i)
		}
	}
}
