package notify

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
)

// flood has Anna open tickets in one claim's time, of which nothing is stored
// but the notices.
func (w *world) flood(n int) {
	w.t.Helper()
	for range n {
		k := w.ticket()
		k.CCs = nil
		w.desk.queues["support"].Agents = nil
		m := &ticketing.Message{ID: fmt.Sprintf("msg_%d_1", k.Number), Seq: 1, Author: ticketing.Author{Address: "Anna@customer.example"}}
		m.Auth.Trust = "T1"
		w.put("ticket_created", k, m)
		delete(w.desk.tickets, k.Number)
		w.desk.tickets[100000+k.Number] = k // numbers are counted by what is there
	}
}

// What can only end in an acknowledgement that is not due is ended without a
// look at ticket or mail, and a claim's notices together.
func TestFloodFromOneAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.write("anna@customer.example"); got != 1 {
		t.Fatalf("%d acknowledgements of the first mail", got)
	}
	w.flood(40)
	w.tell()
	if got := recipients(w.sent()); len(got) != 2 || got[0] != "anna@customer.example" || got[1] != w.desk.admin || w.pending() != 0 {
		t.Errorf("mails to %v were sent and %d notices wait, want an acknowledgement, a warning and none", got, w.pending())
	}
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("tickets were looked at: %s", w.log)
	}
	// A day later the first of them is looked at, and its ticket is missed.
	w.clock.move(25 * time.Hour)
	w.flood(3)
	if _, _, err := w.n.Step(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(w.log.String(), "notice not told"); n != 3 || w.pending() != 3 {
		t.Errorf("%d were looked at and %d wait, want 3: %s", n, w.pending(), w.log)
	}
}

// Whose claim was lost is another worker's; the others are ended.
func TestFloodWithLostClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("anna@customer.example")
	w.flood(2)
	ctx := context.Background()
	jobs, err := w.agenda.Claim(ctx, ticketing.NoticeLane, 10, time.Minute, nil)
	if err != nil || len(jobs) != 2 {
		t.Fatal(jobs, err)
	}
	w.update(func(tx store.Tx) error { return w.agenda.Done(tx, jobs[0]) })
	if rest := w.n.hush(ctx, jobs); len(rest) != 0 || w.pending() != 0 {
		t.Errorf("left to tell %v, %d wait", rest, w.pending())
	}
}

func TestOnlyAck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	m := w.add(k, ticketing.Message{}, annasMail)
	alone := []ticketing.Recipient{{Role: "requester", Address: "anna@customer.example"}}
	for _, c := range []struct {
		name   string
		change func(*ticketing.Notice)
		want   bool
	}{
		{"her own ticket", func(n *ticketing.Notice) {}, true},
		{"another wrote it", func(n *ticketing.Notice) { n.Actor.Address = "bo@customer.example" }, false},
		{"nobody known wrote it", func(n *ticketing.Notice) { n.Actor.Address = "" }, false},
		{"an answer", func(n *ticketing.Notice) { n.Event = "public_message" }, false},
		{"an agent hears of it", func(n *ticketing.Notice) {
			n.Audience = append(n.Audience, ticketing.Recipient{Role: "agent", Agent: "otto", Address: "otto@staff.example"})
		}, false},
		{"an agent wrote it", func(n *ticketing.Notice) { n.Audience[0].Agent = "otto" }, false},
	} {
		notice := ticketing.Notice{Event: "ticket_created", Message: m.ID, Audience: append([]ticketing.Recipient(nil), alone...), Actor: ticketing.Actor{Address: "ANNA@customer.example"}}
		c.change(&notice)
		if got := onlyAck(&notice); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if rest := w.n.hush(context.Background(), []agenda.Job{{Payload: []byte("{")}}); len(rest) != 1 {
		t.Error("an unreadable notice was dropped")
	}
}

// What the desk is told of the bucket is what the bucket does.
func TestAcksHad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	had := func(address string) (had bool) {
		t.Helper()
		w.update(func(tx store.Tx) (err error) {
			had, _, err = NewAcks().Had(tx, address)
			return err
		})
		return had
	}
	if had("anna@customer.example") {
		t.Error("she had one before she wrote")
	}
	w.write("anna@customer.example")
	if !had("Anna@CUSTOMER.example") || had("bo@customer.example") {
		t.Error("after her first mail she had one, and he had none")
	}
	w.clock.move(25 * time.Hour)
	if had("anna@customer.example") {
		t.Error("a day later the next is due")
	}
}
