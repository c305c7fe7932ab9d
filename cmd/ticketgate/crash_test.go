package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ticketgate/test/peers"
)

// TestKillNine ends the daemon with SIGKILL at random moments while mail comes
// in and notifications go out, and then counts: every mail that was answered
// 250 is in exactly one ticket, every ticket was told to its agent, and a
// notification arrived twice only if the daemon died between the two copies,
// after the final dot of the first.
func TestKillNine(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 5
	}
	world, err := newDemoWorld()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(world.Close)
	d := newDaemon(t, `outbound = { smarthost = "`+world.sink.addr+`", retry = ["1s"], expire = "1h" }`, `
[queue.support]
address = "support@help.example"
agents = ["otto"]
auto_ack = { enabled = false }
`)
	load := &load{addr: d.smtp, accepted: map[string]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var senders sync.WaitGroup
	for i := range 4 {
		senders.Add(1)
		go func() { defer senders.Done(); load.send(ctx, i) }()
	}
	var deaths []time.Time
	random := rand.New(rand.NewPCG(1, 2)) // the moments vary with the machine anyway
	for range kills {
		d.start()
		// Somewhere in the first moments of a life full of work.
		timer := time.NewTimer(time.Duration(20+random.IntN(380)) * time.Millisecond)
		<-timer.C
		d.kill()
		deaths = append(deaths, time.Now())
	}
	between := len(load.ids())
	d.start()
	load.finish(t, 200) // some mail on a calm daemon, too
	stop()
	senders.Wait()

	receipts, tickets, messages := d.reconcile()
	accepted := load.ids()
	byID := ticketsByMessageID(d)
	for _, id := range accepted {
		if n := len(byID[id]); n != 1 {
			t.Errorf("mail %s was answered 250 and is in %d tickets %v", id, n, byID[id])
		}
	}
	waitOutboundEmpty(t, d)
	told, duplicates := countArrivals(world.sink.All())
	for id, list := range byID {
		if told[list[0]] == 0 {
			t.Errorf("ticket #%d (%s) was never told to its agent", list[0], id)
		}
	}
	for _, pair := range duplicates {
		if !pair.spans(deaths) {
			t.Errorf("a notification arrived twice although the daemon did not die in between: %v and %v", pair.first, pair.second)
		}
		if !pair.same {
			t.Errorf("the second copy of a notification differs from the first")
		}
	}
	t.Logf("%d kills: %d mails answered 250 (%d attempts), %d receipts, %d tickets, %d messages; %d notifications, %d of them twice",
		kills, len(accepted), load.attempts.Load(), receipts, tickets, messages, len(told), len(duplicates))
	if between < kills/5 {
		t.Errorf("only %d mails were accepted between the kills: the load was too thin to mean anything", between)
	}
}

// load sends numbered mails for ever, each again until it is answered 250, as
// a mail server does.
type load struct {
	addr     string
	attempts atomic.Int64
	mu       sync.Mutex
	accepted map[string]bool
}

func (l *load) send(ctx context.Context, worker int) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("<%d.%d@load.example>", worker, n)
		raw := mailText("load@load.example", desk, "", "load "+id, id, nil, strings.Repeat("some text\r\n", 50))
		for ctx.Err() == nil {
			l.attempts.Add(1)
			if _, err := sendMail(l.addr, "load@load.example", []string{desk}, raw); err == nil {
				l.mu.Lock()
				l.accepted[id] = true
				l.mu.Unlock()
				break
			}
			pause(ctx, 5*time.Millisecond)
		}
	}
}

// finish returns when n more mails have been accepted.
func (l *load) finish(t *testing.T, n int) {
	t.Helper()
	goal := len(l.ids()) + n
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for len(l.ids()) < goal {
		if ctx.Err() != nil {
			t.Fatalf("no progress: %d of %d mails accepted", len(l.ids()), goal)
		}
		pause(ctx, 10*time.Millisecond)
	}
}

func (l *load) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]string, 0, len(l.accepted))
	for id := range l.accepted {
		out = append(out, id)
	}
	return out
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// ticketsByMessageID maps every mail in the store to its tickets, by the
// subject the load gave it.
func ticketsByMessageID(d *daemon) map[string][]uint64 {
	d.t.Helper()
	out := map[string][]uint64{}
	for _, t := range list[ticketJSON](d, "/tickets", url.Values{}) {
		id := strings.TrimPrefix(t.Subject, "load ")
		for range t.Messages {
			out[id] = append(out[id], t.Number)
		}
	}
	return out
}

// waitOutboundEmpty waits until everybody has been written to and all of it has
// left.
func waitOutboundEmpty(t *testing.T, d *daemon) {
	t.Helper()
	peers.WaitFor(t, 5*time.Minute, "the outbound queue to drain", d.atRest)
}

// copies are two arrivals of one notification, by when each transaction began.
// A transaction begins while the daemon that sends it lives; its mail may be
// read after the daemon's death.
type copies struct {
	first, second time.Time
	same          bool
}

func (c copies) spans(deaths []time.Time) bool {
	for _, d := range deaths {
		if d.After(c.first) && d.Before(c.second) {
			return true
		}
	}
	return false
}

// countArrivals returns how many notifications reached the agent per ticket, and
// the pairs of copies of one notification.
func countArrivals(mails []sunkMail) (told map[uint64]int, duplicates []copies) {
	told = map[uint64]int{}
	first := map[string]int{}
	for i, m := range mails {
		h := header(m)
		id := h.Get("Message-ID")
		if j, again := first[id]; again {
			pair := copies{mails[j].began, m.began, bytes.Equal(mails[j].raw, m.raw)}
			if pair.second.Before(pair.first) {
				pair.first, pair.second = pair.second, pair.first
			}
			duplicates = append(duplicates, pair)
			continue
		}
		first[id] = i
		var n uint64
		fmt.Sscan(h.Get("X-Ticketgate-Ticket"), &n)
		told[n]++
	}
	return told, duplicates
}
