package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ticketgate/delivery"
	"ticketgate/delivery/courier"
	"ticketgate/delivery/dkim"
	"ticketgate/test/dnstest"
	"ticketgate/test/peers"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

// outboundMails is how many mails a round sends. TICKETGATE_BENCH_MAILS makes
// a quick look possible.
func outboundMails(b *testing.B, usual int) int {
	if s := os.Getenv("TICKETGATE_BENCH_MAILS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			b.Fatalf("TICKETGATE_BENCH_MAILS=%q", s)
		}
		return n
	}
	return usual
}

// BenchmarkOutbound queues mails of 5 KiB and delivers them to smtp-sink:
// signed against Postfix with OpenDKIM, and unsigned against plain Postfix. The
// clock runs from the first mail queued to the last one at the sink.
func BenchmarkOutbound(b *testing.B) {
	b.Run("signed", func(b *testing.B) { compareOutbound(b, true) })
	b.Run("unsigned", func(b *testing.B) { compareOutbound(b, false) })
}

func compareOutbound(b *testing.B, signed bool) {
	n := outboundMails(b, 20_000)
	sink := peers.StartSink(b)
	options := peers.PostfixOptions{Relay: sink.Addr}
	if signed {
		options.Main = peers.StartSigner(b, "help.example")
	}
	postfix := peers.StartPostfix(b, options)
	q := newOutbound(b, b.TempDir(), smarthost(b, sink.Addr))
	defer q.run()()
	relay := func(n int) float64 {
		before, started := sink.Mails(), time.Now()
		floodFrom(b, postfix.Addr, n, "support@help.example", "anna@customer.example")
		sink.Wait(b, 10*time.Minute, before+n)
		return float64(n) / time.Since(started).Seconds()
	}
	ours := func(n int) float64 {
		before, started := sink.Mails(), time.Now()
		q.submit(b, n, connections, func(i int) string { return fmt.Sprintf("anna%d@customer.example", i) }, signed)
		sink.Wait(b, 10*time.Minute, before+n)
		return float64(n) / time.Since(started).Seconds()
	}
	relay(n / 20)
	ours(n / 20)
	for b.Loop() {
		var mine, theirs, ratios []float64
		for r := range rounds {
			theirs = append(theirs, relay(n))
			mine = append(mine, ours(n))
			ratios = append(ratios, mine[r]/theirs[r])
		}
		b.ReportMetric(median(theirs), "postfix/s")
		b.ReportMetric(median(mine), "ours/s")
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(0, "ns/op")
		fmt.Printf("%s: postfix %.0f/s, ours %.0f/s, ratios %.2f\n", b.Name(), theirs, mine, ratios)
	}
}

// floodFrom is flood with its own envelope.
func floodFrom(b *testing.B, addr string, n int, from, to string) {
	b.Helper()
	out, err := exec.Command(peers.Tool(b, "smtp-source", "postfix"), "-d", "-s", fmt.Sprint(connections), "-m", fmt.Sprint(n),
		"-l", fmt.Sprint(size), "-f", from, "-t", to, addr).CombinedOutput()
	if err != nil {
		b.Fatalf("smtp-source: %v\n%s", err, out)
	}
}

// outbound is a queue on a disk, as the daemon has it.
type outbound struct {
	b     *testing.B
	db    store.DB
	blobs *blob.Store
	q     *delivery.Queue
	n     int
}

// deaf is a ledger without tickets.
type deaf struct{ settled func(message.Report) }

func (d deaf) Settled(_ store.Tx, r message.Report) error {
	if d.settled != nil {
		d.settled(r)
	}
	return nil
}

func smarthost(b *testing.B, addr string) delivery.Carrier {
	b.Helper()
	return newCourier(b, func(o *courier.Options) { o.Smarthost = addr })
}

func newCourier(b *testing.B, with func(*courier.Options)) *courier.Courier {
	b.Helper()
	o := courier.Options{
		Hostname: "mail.help.example", Resolver: net.DefaultResolver, Dial: (&net.Dialer{}).DialContext, Now: time.Now, Random: rand.Reader,
	}
	with(&o)
	c, err := courier.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(context.Background()) })
	return c
}

func newOutbound(b *testing.B, dir string, c delivery.Carrier, with ...func(*delivery.Options)) *outbound {
	b.Helper()
	db, err := pebble.Open(filepath.Join(dir, "data"), pebble.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	keys := dkim.New(dkim.Options{DB: db, Random: rand.Reader, Now: time.Now})
	if err := keys.Ensure(context.Background(), "help.example"); err != nil {
		b.Fatal(err)
	}
	q := &outbound{b: b, db: db, blobs: blob.New(db, rand.Reader)}
	o := delivery.Options{
		DB: db, Blobs: q.blobs, Agenda: agenda.New(db), Ledger: deaf{}, Signer: keys, Carrier: c,
		Now: time.Now, Random: rand.Reader, HardLimit: 10_000_000, SoftLimit: 10_000_000,
	}
	for _, f := range with {
		f(&o)
	}
	if q.q, err = delivery.New(o); err != nil {
		b.Fatal(err)
	}
	return q
}

// run starts the queue and returns what stops it.
func (q *outbound) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- q.q.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			q.b.Error(err)
		}
	}
}

// submit queues n mails, each in a transaction of its own, from several
// goroutines.
func (q *outbound) submit(b *testing.B, n, workers int, to func(i int) string, signed bool) {
	b.Helper()
	base := q.n
	q.n += n
	var g errgroup.Group
	for w := range workers {
		g.Go(func() error {
			for i := base + w; i < base+n; i += workers {
				if err := q.db.Update(context.Background(), func(tx store.Tx) error { return q.put(tx, i, to(i), signed) }); err != nil {
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

var line = strings.Repeat("0123456789 ", 6) + "\r\n"

func (q *outbound) put(tx store.Tx, i int, to string, signed bool) error {
	head := fmt.Sprintf("From: Support <support@help.example>\r\nTo: <%s>\r\nSubject: Re: case %d\r\nMessage-ID: <out.%d@help.example>\r\nDate: Mon, 04 May 2026 12:00:00 +0000\r\n\r\n", to, i, i)
	ref, err := q.blobs.Put(tx, []byte(head+strings.Repeat(line, (size-len(head))/len(line))))
	if err != nil {
		return err
	}
	o := message.Outbound{
		ID: fmt.Sprintf("out_%012d", i), Class: "relay", From: "support@help.example", To: to,
		SHA256: ref.SHA256, Size: ref.Size, Queue: "support", Ticket: uint64(i), Message: "msg_1",
	}
	if signed {
		o.Class, o.Domain = "reply", "help.example"
	}
	return q.q.Submit(tx, o)
}

// BenchmarkBacklog stores a million mails for a destination that is dead, and
// looks at what that costs the daemon's start, its memory, and the mail for
// another destination.
func BenchmarkBacklog(b *testing.B) {
	n := outboundMails(b, 1_000_000)
	for b.Loop() {
		dir := b.TempDir()
		started := time.Now()
		fill(b, dir, n)
		fmt.Printf("preload: %d mails in %v\n", n, time.Since(started).Round(time.Second))
		gate := newGate(b, dir)
		if err := os.WriteFile(filepath.Join(dir, "ticketgate.toml"), fmt.Appendf(nil, gateConfig+"\n[outbound]\nhard_limit = 10000000\nsmarthost = %q\n",
			gate.smtp, gate.admin, peers.FreeAddr(b)), 0o600); err != nil {
			b.Fatal(err)
		}
		gate.start()
		gate.stop() // what the preload left to merge is not the start's business
		ready := gate.start()
		time.Sleep(10 * time.Second)
		rss := gate.residentMiB()
		gate.stop()
		empty50, empty99 := latency(b, b.TempDir())
		full50, full99 := latency(b, dir)
		b.ReportMetric(ready.Seconds(), "start-s")
		b.ReportMetric(rss, "rss-MiB")
		b.ReportMetric(empty99.Seconds()*1000, "empty-p99-ms")
		b.ReportMetric(full99.Seconds()*1000, "full-p99-ms")
		b.ReportMetric(float64(full99)/float64(empty99), "ratio")
		b.ReportMetric(0, "ns/op")
		fmt.Printf("backlog of %d: start %v, %.0f MiB, another destination p50 %v p99 %v, without it %v %v\n",
			n, ready.Round(time.Millisecond), rss, full50, full99, empty50, empty99)
	}
}

// fill submits n mails for one dead destination.
func fill(b *testing.B, dir string, n int) {
	b.Helper()
	q := newOutbound(b, dir, nowhere{})
	const batch = 1000
	for i := 0; i < n; i += batch {
		if err := q.db.Update(context.Background(), func(tx store.Tx) error {
			for j := i; j < min(n, i+batch); j++ {
				content := fmt.Sprintf("From: Support <support@help.example>\r\nSubject: case %d\r\n\r\nNews.\r\n", j%1000)
				ref, err := q.blobs.Put(tx, []byte(content))
				if err != nil {
					return err
				}
				if err := q.q.Submit(tx, message.Outbound{
					ID: fmt.Sprintf("out_d%012d", j), Class: "bulk", From: "support@help.example", To: fmt.Sprintf("person%d@dead.example", j),
					SHA256: ref.SHA256, Size: ref.Size, Domain: "help.example", Queue: "support",
				}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	if err := q.db.Close(); err != nil {
		b.Fatal(err)
	}
}

// nowhere is a world in which dead.example never answers and everybody else
// always does.
type nowhere struct{}

func (nowhere) Carry(ctx context.Context, t courier.Transaction) []courier.Result {
	r := courier.Result{Recipient: t.To[0], Phase: courier.PhaseDial, Text: "connecting timed out", Err: errors.New("dead")}
	if t.Destination == "dead.example" {
		select {
		case <-time.After(30 * time.Second):
		case <-ctx.Done():
		}
		return []courier.Result{r}
	}
	if err := t.OnDot(ctx); err == nil {
		r = courier.Result{Recipient: t.To[0], Class: courier.Success, Code: 250, Phase: courier.PhaseDot}
	}
	return []courier.Result{r}
}

// latency is the time from the queueing of a mail to the settling of its
// delivery to a destination that is well, one mail at a time.
func latency(b *testing.B, dir string) (p50, p99 time.Duration) {
	b.Helper()
	var mu sync.Mutex
	sent := make(chan string, 1)
	q := newOutbound(b, dir, nowhere{}, func(o *delivery.Options) {
		o.Ledger = deaf{func(r message.Report) {
			if mu.Lock(); r.State == "sent" {
				select {
				case sent <- r.Parcel:
				default:
				}
			}
			mu.Unlock()
		}}
	})
	stop := q.run()
	var took []time.Duration
	for range 1000 {
		started := time.Now()
		q.submit(b, 1, 1, func(i int) string { return fmt.Sprintf("anna%d@well.example", i) }, true)
		<-sent
		took = append(took, time.Since(started))
		time.Sleep(2 * time.Millisecond)
	}
	stop()
	if err := q.db.Close(); err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
}

// BenchmarkRoundTrip compares mail in, ticket, signed notification out with
// Postfix accepting, signing and relaying.
func BenchmarkRoundTrip(b *testing.B) {
	n := outboundMails(b, 10_000)
	sink := peers.StartSink(b)
	postfix := peers.StartPostfix(b, peers.PostfixOptions{Relay: sink.Addr, Main: peers.StartSigner(b, "customer.example")})
	names := dnstest.Start(b) // Postfix asks nobody; we look the sender up, near by
	names.MX("customer.example", 10, "mx.customer.example")
	names.A("mx.customer.example", "127.0.0.1")
	dir := b.TempDir()
	gate := newGate(b, dir)
	if err := os.WriteFile(filepath.Join(dir, "ticketgate.toml"), fmt.Appendf(nil, "resolver = %q\n"+gateConfig+`agents = ["otto"]

[agent.otto]
name = "Otto"
addresses = ["otto@staff.example"]
role = "full"

[outbound]
smarthost = %q
rate = "unlimited"
`, names.Addr(), gate.smtp, gate.admin, sink.Addr), 0o600); err != nil {
		b.Fatal(err)
	}
	gate.start()
	through := func(addr string, n int, from string) float64 {
		before, started := sink.Mails(), time.Now()
		floodFrom(b, addr, n, from, "support@help.example")
		sink.Wait(b, 10*time.Minute, before+n)
		return float64(n) / time.Since(started).Seconds()
	}
	through(postfix.Addr, n/20, "warm@customer.example")
	through(gate.smtp, n/20, "warm@customer.example")
	for b.Loop() {
		var ours, theirs, ratios []float64
		for r := range rounds {
			from := fmt.Sprintf("sender%d@customer.example", r)
			time.Sleep(time.Second)
			theirs = append(theirs, through(postfix.Addr, n, from))
			time.Sleep(time.Second)
			ours = append(ours, through(gate.smtp, n, from))
			ratios = append(ratios, ours[r]/theirs[r])
		}
		b.ReportMetric(median(theirs), "postfix/s")
		b.ReportMetric(median(ours), "notified/s")
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(0, "ns/op")
		fmt.Printf("%s: postfix %.0f/s, notified %.0f/s, ratios %.2f\n", b.Name(), theirs, ours, ratios)
	}
}
