package ticketing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

func (b *bench) settle(r message.Report) {
	b.t.Helper()
	if err := b.db.Update(context.Background(), func(tx store.Tx) error { return b.desk.Settled(tx, r) }); err != nil {
		b.t.Fatal(err)
	}
}

// states of a message's deliveries by recipient.
func (b *bench) states(id string) map[string]string {
	b.t.Helper()
	list, err := b.desk.Deliveries(context.Background(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range list {
		out[d.Recipient] = d.State
	}
	return out
}

func (b *bench) events(ticket uint64, event string) int {
	n := 0
	for _, x := range b.notices(ticket) {
		if x.Event == event {
			n++
		}
	}
	return n
}

func TestSettled(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Done.")
	r := message.Report{Parcel: "out_1", Message: p.ID, Ticket: n, Queue: "support", Recipient: rAddr, State: "queued"}
	for _, step := range []struct {
		state  string
		want   string
		failed int
	}{{"queued", "queued", 0}, {"deferred", "deferred", 0}, {"failed", "failed", 1}, {"failed", "failed", 1}, {"queued", "queued", 1}, {"sent", "sent", 1}, {"bounced", "bounced", 2}, {"sent", "bounced", 2}} {
		r.State, r.Attempts = step.state, r.Attempts+1
		b.settle(r)
		if got := b.states(p.ID)[rAddr]; got != step.want {
			t.Errorf("after %s: %s, want %s", step.state, got, step.want)
		}
		if got := b.events(n, "delivery_failed"); got != step.failed {
			t.Errorf("after %s: %d notices of failure, want %d", step.state, got, step.failed)
		}
	}
	for _, x := range b.notices(n) {
		for _, to := range x.Audience {
			if x.Event == "delivery_failed" && to.Agent == "" {
				t.Errorf("customer %+v hears of a failed delivery", to)
			}
		}
	}
	// Mail to staff that failed tells nobody.
	before := b.events(n, "delivery_failed")
	b.settle(message.Report{Message: p.ID, Ticket: n, Recipient: otto, State: "failed"})
	if got := b.events(n, "delivery_failed"); got != before {
		t.Error("a failed mail to staff was told")
	}
	if b.states(p.ID)[otto] != "failed" {
		t.Error("a failed mail to staff is not on record")
	}
	// What carries no message leaves nothing.
	b.settle(message.Report{Ticket: n, Recipient: rAddr, State: "failed"})
	b.settle(message.Report{Message: p.ID, Ticket: 99999, Recipient: dAddr, State: "failed"})
	b.checkAll()
}

// report is a delivery status notification.
func report(recipient, action, status, code string) string {
	return strings.Join([]string{
		"From: MAILER-DAEMON@relay.example", "To: somebody", "Subject: Undelivered Mail Returned to Sender",
		fmt.Sprintf("Message-ID: <dsn-%s-%s@relay.example>", action, recipient), "Auto-Submitted: auto-replied", "MIME-Version: 1.0",
		`Content-Type: multipart/report; report-type=delivery-status; boundary="b"`, "",
		"--b", "Content-Type: text/plain", "", "It did not work.",
		"--b", "Content-Type: message/delivery-status", "",
		"Reporting-MTA: dns; relay.example", "",
		"Final-Recipient: rfc822; " + recipient, "Action: " + action, "Status: " + status, "Diagnostic-Code: smtp; " + code + " no", "",
		"--b--", "",
	}, "\n")
}

func TestBounceByReturnPath(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Done.")
	b.set(n, "solved")
	for _, who := range []string{rAddr, cAddr} {
		b.settle(message.Report{Parcel: "out_" + who, Message: p.ID, Ticket: n, Recipient: who, State: "sent", Attempts: 1, MX: "mx.customer.example"})
	}
	l := b.mailTo(n, p.Mail, cAddr, message.RoleCC, false)
	m := b.want(b.take(mail{from: "<>", to: []string{l.ret}, text: report(cAddr, "delayed", "4.4.1", "451")}), "bounce", n)
	if got := b.states(p.ID); got[cAddr] != "deferred" || got[rAddr] != "sent" {
		t.Errorf("after a delay: %v", got)
	}
	if b.events(n, "delivery_failed") != 0 {
		t.Error("a delay was told as a failure")
	}
	if m.Kind != "bounce" || m.Visibility != "internal" || m.MatchedBy != "bounce" || m.Bounce == nil || m.Author.Role != "system" {
		t.Errorf("message %+v", m)
	}
	b.want(b.take(mail{from: "<>", to: []string{l.ret}, text: report(cAddr, "failed", "5.1.1", "550")}), "bounce", n)
	if got := b.states(p.ID); got[cAddr] != "bounced" || got[rAddr] != "sent" {
		t.Errorf("after a failure: %v", got)
	}
	list, err := b.desk.Deliveries(context.Background(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.Recipient == cAddr && (d.Code != 550 || d.Enhanced != "5.1.1" || d.Parcel != "out_"+cAddr) {
			t.Errorf("delivery %+v", d)
		}
	}
	if got := b.events(n, "delivery_failed"); got != 1 {
		t.Errorf("%d notices of failure", got)
	}
	tk := b.ticket(n)
	if tk.Status != "solved" || tk.MessageCount != 4 {
		t.Errorf("ticket %+v", tk)
	}
	b.checkAll()
}

// Scenario 24: without the return-path token a report changes no state, though
// it names our Message-ID; it is held.
func TestScenario24ForgedReport(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Done.")
	b.settle(message.Report{Parcel: "out_1", Message: p.ID, Ticket: n, Recipient: rAddr, State: "sent"})
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	forged := strings.Replace(report(rAddr, "failed", "5.1.1", "550"), "MIME-Version", "In-Reply-To: "+l.id+"\nMIME-Version", 1)
	version := b.ticket(n).Version
	for i, to := range []string{helpdsk, l.replyTo} {
		for j, from := range []string{"<>", "mailer-daemon@relay.example"} {
			o := b.take(mail{from: from, to: []string{to}, text: strings.Replace(forged, "dsn-", fmt.Sprintf("dsn-%d%d-", i, j), 1)})
			if o.Outcome != "held" || o.Reason != "backscatter" || o.Held == "" || o.Ticket != 0 || o.Message != "" {
				t.Errorf("from %s to %s: %+v", from, to, o)
			}
		}
	}
	if b.ticket(n).Version != version {
		t.Error("a forged report changed the ticket")
	}
	if got := b.states(p.ID)[rAddr]; got != "sent" {
		t.Errorf("state %s", got)
	}
	if b.events(n, "delivery_failed") != 0 {
		t.Error("a forged report was told")
	}
	// A report about nothing of ours is a ticket that nobody is told of.
	o := b.take(mail{from: "<>", text: report("foreign@x.example", "failed", "5.1.1", "550")})
	m := b.want(o, "new_ticket", 0)
	if m.Kind != "bounce" || m.Visibility != "internal" || len(b.notices(o.Ticket)) != 0 {
		t.Errorf("message %+v", m)
	}
}

func TestThread(t *testing.T) {
	t.Parallel()
	b := open(t)
	first := "From: " + rAddr + "\nSubject: x\nMessage-ID: <root@customer.example>\nCc: " + cAddr + "\n\nhelp\n"
	n := b.take(mail{text: first}).Ticket
	thread := func(person string) (string, []string) {
		irt, refs, err := b.desk.Thread(context.Background(), n, person)
		if err != nil {
			t.Fatal(err)
		}
		return irt, refs
	}
	if irt, refs := thread(rAddr); irt != "<root@customer.example>" || strings.Join(refs, " ") != irt {
		t.Errorf("requester: %s %v", irt, refs)
	}
	if irt, refs := thread(cAddr); irt != "" || strings.Join(refs, " ") != "<root@customer.example>" {
		t.Errorf("CC: %s %v", irt, refs)
	}
	p := b.publish(n, "Done.")
	b.settle(message.Report{Message: p.ID, Ticket: n, Recipient: strings.ToUpper(rAddr[:1]) + rAddr[1:], State: "sent"})
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	if irt, refs := thread(rAddr); irt != l.id || strings.Join(refs, " ") != "<root@customer.example> "+l.id {
		t.Errorf("requester: %s %v, want %s", irt, refs, l.id)
	}
	for range 15 {
		p := b.publish(n, "More.")
		b.settle(message.Report{Message: p.ID, Ticket: n, Recipient: cAddr, State: "sent"})
	}
	if irt, refs := thread(cAddr); len(refs) != 11 || refs[0] != "<root@customer.example>" || refs[10] != irt {
		t.Errorf("CC: %s, %d references", irt, len(refs))
	}
	if _, _, err := b.desk.Thread(context.Background(), 99999, rAddr); ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("error %v", err)
	}
	b.clock.advance(time.Hour)
}
