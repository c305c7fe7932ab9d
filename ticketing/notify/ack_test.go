package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/ticketing"
)

// write has somebody open a ticket and returns how many mails he has got so far.
func (w *world) write(address string) int {
	w.t.Helper()
	w.ask(address)
	got := 0
	for _, s := range w.sent() {
		if s.To == address {
			got++
		}
	}
	return got
}

// ask has somebody open a ticket.
func (w *world) ask(address string) {
	w.t.Helper()
	k := w.ticket()
	k.Requester, k.CCs = ticketing.Person{Address: address}, nil
	w.desk.queues["support"].Agents = nil
	m := w.add(k, ticketing.Message{Author: ticketing.Author{Address: address, Role: "requester"}, Envelope: ticketing.Envelope{From: address}}, annasMail)
	w.put("ticket_created", k, m, func(n *ticketing.Notice) { n.ID += fmt.Sprint(k.Number) })
	w.tell()
}

func TestOneAcknowledgementADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, step := range []struct {
		wait    time.Duration
		address string
		want    int
	}{
		{0, "anna@customer.example", 1},
		{time.Minute, "anna@customer.example", 1},
		{time.Minute, "bo@customer.example", 1},
		{23*time.Hour + 57*time.Minute, "anna@customer.example", 1},
		{time.Minute, "anna@customer.example", 2},
		{time.Minute, "anna@customer.example", 2},
	} {
		w.clock.move(step.wait)
		if got := w.write(step.address); got != step.want {
			t.Errorf("step %d: %s has %d acknowledgements, want %d", i, step.address, got, step.want)
		}
	}
	if w.pending() != 0 {
		t.Errorf("%d notices wait", w.pending())
	}
	if strings.Contains(w.log.String(), "level=WARN") {
		t.Errorf("one a day is no news: %s", w.log)
	}
}

// Whatever name is in another letter case is the same address.
func TestAcknowledgementFoldsAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("anna@customer.example")
	if got := w.write("Anna@CUSTOMER.example"); got != 0 {
		t.Error("another spelling was acknowledged again")
	}
}

// A robot that calls itself something new each time is answered ten times, and
// the operator hears of it once. The bucket is in the store: a restart does not
// fill it.
func TestDomainBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acked := 0
	for i := range 30 {
		if i == 15 {
			w.start()
		}
		acked += w.write(fmt.Sprintf("robot%d@peer.example", i))
	}
	if acked != 10 {
		t.Errorf("%d of 30 were acknowledged, want 10", acked)
	}
	if got := w.write("anna@customer.example"); got != 1 {
		t.Error("another domain suffers with it")
	}
	if n := strings.Count(w.log.String(), "level=WARN"); n != 1 || !strings.Contains(w.log.String(), "peer.example") {
		t.Errorf("the operator was warned %d times: %s", n, w.log)
	}
	if got := testutil.ToFloat64(w.n.withheld.WithLabelValues("domain")); got != 15 {
		t.Errorf("since the restart %v are counted as withheld, want 15", got)
	}
	if len(w.desk.tickets) != 31 || w.pending() != 0 {
		t.Errorf("%d notices wait", w.pending())
	}
	w.clock.move(time.Minute)
	if w.write("robot98@peer.example")+w.write("robot99@peer.example") != 1 {
		t.Error("a minute later one token is there, no more and no less")
	}
	w.clock.move(10 * time.Minute)
	acked = 0
	for i := range 12 {
		acked += w.write(fmt.Sprintf("later%d@peer.example", i))
	}
	if acked != 10 {
		t.Errorf("after ten quiet minutes %d were acknowledged, want 10", acked)
	}
}

// The bucket of all: many domains, too.
func TestTotalBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.acks = AckLimits{Domain: 2, Total: 5}
	w.start()
	acked := 0
	for i := range 9 {
		acked += w.write(fmt.Sprintf("x@d%d.example", i))
	}
	if acked != 5 {
		t.Errorf("%d of 9 were acknowledged, want 5", acked)
	}
	// What the total withholds costs a domain nothing.
	w.clock.move(2 * time.Minute)
	if w.write("y@d8.example") != 1 {
		t.Error("a token is there and was not given")
	}
	if got := testutil.ToFloat64(w.n.withheld.WithLabelValues("total")); got != 4 {
		t.Errorf("%v are counted as withheld, want 4", got)
	}
}
