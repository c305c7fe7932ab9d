package ticketing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// queueOf is an outbound queue of which a test says what can be taken back.
type queueOf struct {
	desk   *ticketing.Desk
	parcel map[string]message.Report // that waits
	active map[string]bool           // with an attempt under way
}

func (q *queueOf) Recall(tx store.Tx, parcel, _ string) (bool, error) {
	r, waits := q.parcel[parcel]
	if !waits || q.active[parcel] {
		return false, nil
	}
	r.State = "cancelled"
	return true, q.desk.Settled(tx, r)
}

// openWithQueue is a desk whose mails wait in an outbound queue, and a ticket of
// R with C.
func openWithQueue(t *testing.T) (*bench, *queueOf, uint64) {
	t.Helper()
	q := &queueOf{parcel: map[string]message.Report{}, active: map[string]bool{}}
	b := openWith(t, func(o *ticketing.Options) { o.Recaller = q })
	b.db, q.desk = twice{b.db}, b.desk
	return b, q, b.take(mail{text: write(rAddr, "Printer", toUs, toCC)}).Ticket
}

// mailed puts a notice's mail to a person into the queue.
func (q *queueOf) mailed(b *bench, n ticketing.Notice, person string) string {
	b.t.Helper()
	r := message.Report{
		Parcel: fmt.Sprintf("out_%d_%s", n.Mail, person), Message: n.Message, MailID: fmt.Sprintf("<%d.%s>", n.Mail, person),
		Ticket: n.Ticket, Queue: n.Queue, Recipient: person, State: "queued",
	}
	if n.Event == ticketing.EventBacklog {
		r.Mail = n.Mail
	}
	b.settle(r)
	q.parcel[r.Parcel] = r
	return r.Parcel
}

func (q *queueOf) settled(b *bench, parcel, state string) {
	b.t.Helper()
	r := q.parcel[parcel]
	r.State = state
	delete(q.parcel, parcel)
	b.settle(r)
}

// newNotices are those about a ticket with a number above after, and whom they
// are for.
func (b *bench) newNotices(ticket uint64, after uint32) (out []string) {
	b.t.Helper()
	for _, n := range b.notices(ticket) {
		if n.Mail > after {
			var to []string
			for _, r := range n.Audience {
				to = append(to, r.Address)
			}
			out = append(out, fmt.Sprintf("%s %s to %s", n.Event, n.Message, strings.Join(to, ",")))
		}
	}
	return out
}

func (b *bench) conceal(id string) string {
	b.t.Helper()
	_, list, err := b.desk.SetVisibility(context.Background(), agent("otto"), id, "internal")
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, r := range list {
		out = append(out, strings.TrimSpace(r.Address+" "+r.How+" "+r.State))
	}
	return strings.Join(out, ", ")
}

// Copies that wait are taken back and their readers have nothing; what is under
// way or sent is listed as that.
func TestConcealTakesCopiesBack(t *testing.T) {
	t.Parallel()
	b, q, n := openWithQueue(t)
	if _, err := b.desk.AddCC(context.Background(), agent("otto"), n, message.Address{Addr: dAddr}); err != nil {
		t.Fatal(err)
	}
	m := b.publish(n, "The wrong one")
	told := b.lastNotice(n)
	q.mailed(b, told, rAddr)
	active := q.mailed(b, told, cAddr)
	q.active[active] = true
	q.settled(b, q.mailed(b, told, dAddr), "sent")
	q.mailed(b, told, "lena@staff.example")
	if got := b.conceal(m.ID); got != cAddr+" mailed active, "+dAddr+" mailed sent" {
		t.Errorf("listed: %s", got)
	}
	for person, want := range map[string]string{rAddr: "cancelled", dAddr: "sent", "lena@staff.example": "queued"} {
		if got := b.states(m.ID)[person]; got != want {
			t.Errorf("%s: %q, want %q", person, got, want)
		}
	}
	// The attempt ends without a dot: nobody else has it, and nothing is owed.
	mails := b.lastNotice(n).Mail
	q.settled(b, active, "cancelled")
	if got := b.conceal(m.ID); got != dAddr+" mailed sent" {
		t.Errorf("listed later: %s", got)
	}
	if got := b.newNotices(n, mails); got != nil {
		t.Errorf("owed: %q", got)
	}
	b.checkAll()
}

// An answer that quotes what is concealed, and a backlog that holds it, are taken
// back and owed anew to those who lost them: once.
func TestConcealRetells(t *testing.T) {
	t.Parallel()
	b, q, n := openWithQueue(t)
	first := b.messages(n)[0]
	reply := b.publish(n, "An answer, which quotes")
	answer := b.lastNotice(n)
	q.mailed(b, answer, rAddr)
	active := q.mailed(b, answer, cAddr)
	q.active[active] = true
	if _, err := b.desk.AddCC(context.Background(), agent("otto"), n, message.Address{Addr: dAddr}); err != nil {
		t.Fatal(err)
	}
	backlog := b.lastNotice(n)
	history := q.mailed(b, backlog, dAddr)
	if got := b.conceal(first.ID); got != rAddr+" wrote, "+cAddr+" addressed" {
		t.Errorf("listed: %s", got)
	}
	want := []string{"public_message " + reply.ID + " to " + rAddr, "backlog  to " + dAddr}
	if got := b.newNotices(n, backlog.Mail); strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("owed: %q, want %q", got, want)
	}
	if got := b.states(reply.ID)[rAddr]; got != "cancelled" {
		t.Errorf("the answer is %s", got)
	}
	delete(q.parcel, history)
	// What was under way is owed when it turns out that it did not leave.
	mails := b.lastNotice(n).Mail
	q.settled(b, active, "cancelled")
	if got := b.newNotices(n, mails); strings.Join(got, "; ") != "public_message "+reply.ID+" to "+cAddr {
		t.Errorf("owed later: %q", got)
	}
	// An operator who drops the new one means it.
	mails = b.lastNotice(n).Mail
	q.settled(b, q.mailed(b, b.lastNotice(n), cAddr), "cancelled")
	if got := b.newNotices(n, mails); got != nil {
		t.Errorf("owed after a drop: %q", got)
	}
	if got := b.conceal(first.ID); got != rAddr+" wrote, "+cAddr+" addressed" {
		t.Errorf("listed again: %s", got)
	}
	b.checkAll()
}

// Whoever got the backlog is listed, as far as his mail got.
func TestConcealListsBacklogs(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]string{"": "", "queued": "", "sent": dAddr + " backlog sent", "bounced": dAddr + " backlog bounced"} {
		b, q, n := openWithQueue(t)
		m := b.publish(n, "The wrong one")
		if _, err := b.desk.AddCC(context.Background(), agent("otto"), n, message.Address{Addr: dAddr}); err != nil {
			t.Fatal(err)
		}
		if state != "" {
			if p := q.mailed(b, b.lastNotice(n), dAddr); state != "queued" {
				q.settled(b, p, state)
			}
		}
		if got := b.conceal(m.ID); got != want {
			t.Errorf("%q: listed %q, want %q", state, got, want)
		}
	}
}

// The ticket says whom the earlier messages did not reach, once, however that
// became known.
func TestBacklogUnreached(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*bench, *queueOf, string, letter){
		"given up": func(b *bench, q *queueOf, parcel string, _ letter) { q.settled(b, parcel, "failed") },
		"bounced": func(b *bench, q *queueOf, parcel string, l letter) {
			q.settled(b, parcel, "sent")
			b.take(mail{from: "<>", to: []string{l.ret}, text: report(dAddr, "failed", "5.1.1", "550")})
		},
		"both": func(b *bench, q *queueOf, parcel string, l letter) {
			q.settled(b, parcel, "failed")
			b.take(mail{from: "<>", to: []string{l.ret}, text: report(dAddr, "failed", "5.1.1", "550")})
		},
		"suppressed": func(b *bench, q *queueOf, parcel string, _ letter) { q.settled(b, parcel, "suppressed") },
	} {
		b, q, n := openWithQueue(t)
		if _, err := b.desk.AddCC(context.Background(), agent("otto"), n, message.Address{Addr: dAddr}); err != nil {
			t.Fatal(err)
		}
		notice := b.lastNotice(n)
		lose(b, q, q.mailed(b, notice, dAddr), b.mailTo(n, notice.Mail, dAddr, message.RoleCC, false))
		events := 0
		for _, m := range b.messages(n) {
			c, err := b.desk.Content(context.Background(), m)
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == "event" && m.Visibility == "internal" && strings.Contains(c.Text, dAddr+" became CC, but the mail with what was said before did not arrive") {
				events++
			}
		}
		if events != 1 {
			t.Errorf("%s: %d events on the ticket", name, events)
		}
		entries, err := b.log.Read(context.Background(), "support", 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, e := range entries {
			if e.Kind == "backlog.failed" && strings.Contains(string(e.Data), dAddr) {
				told++
			}
		}
		if told != 1 {
			t.Errorf("%s: %d entries in the journal", name, told)
		}
		b.checkAll()
	}
	// What arrived is no news.
	b, q, n := openWithQueue(t)
	if _, err := b.desk.AddCC(context.Background(), agent("otto"), n, message.Address{Addr: dAddr}); err != nil {
		t.Fatal(err)
	}
	count := len(b.messages(n))
	q.settled(b, q.mailed(b, b.lastNotice(n), dAddr), "sent")
	if got := len(b.messages(n)); got != count {
		t.Errorf("%d messages after it was sent, %d before", got, count)
	}
}
