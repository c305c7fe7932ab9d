package ticketing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/storetest"
)

// reportOf is a delivery status notification about several recipients, given as
// "address action status".
func reportOf(id string, groups ...string) string {
	lines := []string{
		"From: MAILER-DAEMON@relay.example", "Subject: Delivery report", "Message-ID: <" + id + "@relay.example>", "MIME-Version: 1.0",
		`Content-Type: multipart/report; report-type=delivery-status; boundary="b"`, "",
		"--b", "Content-Type: text/plain", "", "Read below.",
		"--b", "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; relay.example", "",
	}
	for _, g := range groups {
		f := strings.Fields(g)
		lines = append(lines, "Final-Recipient: rfc822; "+f[0], "Action: "+f[1], "Status: "+f[2], "")
	}
	return strings.Join(append(lines, "--b--", ""), "\n")
}

// complaint is a feedback report that returns the mail with an id.
func complaint(kind, id string) string {
	return strings.Join([]string{
		"From: feedback@provider.example", "Subject: complaint", fmt.Sprintf("Message-ID: <fbl-%s-%d@provider.example>", kind, len(id)), "MIME-Version: 1.0",
		`Content-Type: multipart/report; report-type=feedback-report; boundary="b"`, "",
		"--b", "Content-Type: text/plain", "", "An abuse report.",
		"--b", "Content-Type: message/feedback-report", "", "Feedback-Type: " + kind, "User-Agent: Provider/1.0", "Version: 1", "",
		"--b", "Content-Type: message/rfc822", "", "From: support@help.example", "Subject: Re: Printer", "Message-ID: " + id, "", "Done.",
		"--b--", "",
	}, "\n")
}

// What a report says decides what shows on the message; delays and late
// successes are told to nobody (scenario 25).
func TestReportsToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steps []string // "groups → state"
		told  int
	}{
		{"delayed, then delivered", []string{rAddr + " delayed 4.4.1=deferred", rAddr + " delivered 2.0.0=sent"}, 0},
		{"relayed to where no reports come from", []string{rAddr + " delayed 4.4.1=deferred", rAddr + " relayed 2.0.0=sent"}, 0},
		{"sent on to several", []string{rAddr + " expanded 2.0.0=sent"}, 0},
		{"failed after a delay", []string{rAddr + " delayed 4.4.1=deferred", rAddr + " failed 5.1.1=bounced", rAddr + " delayed 4.4.1=bounced", rAddr + " delivered 2.0.0=bounced"}, 1},
		{"his address stands for others: the gravest counts", []string{"a@inside.example delivered 2.0.0,b@inside.example failed 5.1.1,c@inside.example delayed 4.0.0=bounced"}, 1},
		{"named among others", []string{"a@inside.example failed 5.1.1," + rAddr + " delivered 2.0.0=sent"}, 0},
	} {
		b, n := openWithTicket(t)
		p := b.publish(n, "Done.")
		for _, who := range []string{rAddr, cAddr} {
			b.settle(message.Report{Parcel: "out_" + who, Message: p.ID, Ticket: n, Recipient: who, State: "sent"})
		}
		l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
		for i, step := range c.steps {
			groups, want, _ := strings.Cut(step, "=")
			text := reportOf(fmt.Sprintf("r%d", i), strings.Split(groups, ",")...)
			m := b.want(b.take(mail{from: "<>", to: []string{l.ret}, text: text}), "bounce", n)
			if got := b.states(p.ID); got[rAddr] != want || got[cAddr] != "sent" {
				t.Errorf("%s, step %d: %v, want %s", c.name, i+1, got, want)
			}
			if m.Bounce == nil || len(m.Bounce.Recipients) != strings.Count(groups, ",")+1 {
				t.Errorf("%s, step %d: %+v", c.name, i+1, m.Bounce)
			}
		}
		if got := b.events(n, "delivery_failed"); got != c.told {
			t.Errorf("%s: told %d times, want %d", c.name, got, c.told)
		}
		b.checkAll()
	}
}

// One report to the return paths of several mails marks each of them, and
// nobody else: a return path speaks for its own mail only.
func TestReportToSeveralReturnPaths(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t, toUs, toCC+", "+dAddr)
	p := b.publish(n, "Done.")
	other := b.take(mail{text: write(xAddr, "Scanner", toUs)}).Ticket
	q := b.publish(other, "Done too.")
	for _, who := range []string{rAddr, cAddr, dAddr} {
		b.settle(message.Report{Message: p.ID, Ticket: n, Recipient: who, State: "sent"})
	}
	b.settle(message.Report{Message: q.ID, Ticket: other, Recipient: xAddr, State: "sent"})
	to := []string{
		b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false).ret, b.mailTo(n, p.Mail, cAddr, message.RoleCC, false).ret,
		b.mailTo(other, q.Mail, xAddr, message.RoleRequester, false).ret,
	}
	r := b.receive(mail{from: "mailer-daemon@relay.example", to: to, text: reportOf("many", rAddr+" failed 5.1.1", cAddr+" delayed 4.2.2", dAddr+" failed 5.1.1", xAddr+" failed 5.2.1")})
	for _, o := range r.Outcomes {
		if o.Outcome != "bounce" || o.Ticket != n {
			t.Errorf("outcome %+v", o)
		}
	}
	if got := b.states(p.ID); got[rAddr] != "bounced" || got[cAddr] != "deferred" || got[dAddr] != "sent" {
		t.Errorf("states %v", got)
	}
	if got := b.states(q.ID); got[xAddr] != "bounced" {
		t.Errorf("states %v", got)
	}
	if b.events(n, "delivery_failed") != 1 || b.events(other, "delivery_failed") != 1 {
		t.Error("each ticket's agents are told once")
	}
	b.checkAll()
}

func (b *bench) optedOut(address string) bool {
	b.t.Helper()
	out, err := b.desk.OptedOut(context.Background(), address)
	if err != nil {
		b.t.Fatal(err)
	}
	return out[message.Fold(address)]
}

// Whose complaint opts whom out.
func TestComplaints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		kind    string
		to      string // ret, reply, queue, other
		id      string // ours, foreign
		trust   string
		outcome string
		out     bool
	}{
		{"to the return path", "abuse", "ret", "foreign", "T0", "feedback", true},
		{"to the return path, of fraud", "fraud", "ret", "ours", "T0", "feedback", true},
		{"a proven reporter returns our mail", "abuse", "queue", "ours", "T1", "feedback", true},
		{"to another queue, as providers do", "abuse", "other", "ours", "T2", "feedback", true},
		{"nobody vouches for the reporter", "abuse", "queue", "ours", "T0", "held", false},
		{"a reply address is no proof", "abuse", "reply", "foreign", "T0", "held", false},
		{"nor is it with a proven sender", "abuse", "reply", "foreign", "T1", "held", false},
		{"about nothing of ours", "abuse", "queue", "foreign", "T1", "new_ticket", false},
		{"failed authentication is no complaint", "auth-failure", "ret", "ours", "T1", "feedback", false},
		{"nor is mail that was filtered by mistake", "not-spam", "queue", "ours", "T1", "feedback", false},
	} {
		b, n := openWithTicket(t)
		p := b.publish(n, "Done.")
		b.settle(message.Report{Message: p.ID, Ticket: n, Recipient: rAddr, State: "sent"})
		l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
		id := map[string]string{"ours": l.id, "foreign": "<somebody@else.example>"}[c.id]
		to := map[string]string{"ret": l.ret, "reply": l.replyTo, "queue": helpdsk, "other": "sales@help.example"}[c.to]
		o := b.judged(mail{from: "fbl@provider.example", to: []string{to}, text: complaint(c.kind, id)}, func(a *ticketing.Arrival) { a.Verdict.Trust = c.trust })
		if o.Outcome != c.outcome || c.outcome == "held" && o.Reason != "backscatter" || c.outcome == "feedback" && o.Ticket != n {
			t.Errorf("%s: %+v", c.name, o)
		}
		if got := b.optedOut("Anna@Customer.example"); got != c.out {
			t.Errorf("%s: opted out %v", c.name, got)
		}
		if b.optedOut(cAddr) || b.states(p.ID)[rAddr] != "sent" {
			t.Errorf("%s: more than that was changed", c.name)
		}
		if o.Message != "" {
			m := b.message(o.Message)
			if m.Visibility != "internal" || m.Kind != "auto" || m.Bounce == nil || m.Bounce.FeedbackType != c.kind {
				t.Errorf("%s: %s %s %+v", c.name, m.Kind, m.Visibility, m.Bounce)
			}
		}
		if tk := b.ticket(n); tk.Status != "open" {
			t.Errorf("%s: status %s", c.name, tk.Status)
		}
		b.checkAll()
	}
}

// Opt-outs are listed, entered and taken back by those who may.
func TestOptOuts(t *testing.T) {
	t.Parallel()
	b := open(t)
	ctx := context.Background()
	for _, a := range []string{"zoe@x.example", "Anna@Customer.example", "anna@customer.example"} {
		if o, err := b.desk.AddOptOut(ctx, system(), a); err != nil || o.Reason != "asked" || o.By != "system" {
			t.Fatal(o, err)
		}
	}
	first, next, err := b.desk.OptOuts(ctx, 1, "")
	if err != nil || len(first) != 1 || first[0].Address != "anna@customer.example" || next == "" {
		t.Fatal(first, next, err)
	}
	second, next, err := b.desk.OptOuts(ctx, 1, next)
	if err != nil || len(second) != 1 || second[0].Address != "zoe@x.example" {
		t.Fatal(second, next, err)
	}
	for _, by := range []ticketing.Actor{agent("luis"), {Kind: "contact", Address: rAddr}} {
		if _, err := b.desk.AddOptOut(ctx, by, cAddr); ticketing.KindOf(err) != ticketing.Denied {
			t.Errorf("%+v: %v", by, err)
		}
	}
	if _, err := b.desk.AddOptOut(ctx, system(), "nobody"); ticketing.KindOf(err) != ticketing.Invalid {
		t.Error(err)
	}
	if err := b.desk.RemoveOptOut(ctx, agent("otto"), "ANNA@customer.example"); err != nil || b.optedOut(rAddr) || !b.optedOut("zoe@x.example") {
		t.Error("not taken back", err)
	}
	if err := b.desk.RemoveOptOut(ctx, system(), rAddr); ticketing.KindOf(err) != ticketing.Unknown {
		t.Error(err)
	}
}

// Reports and complaints are counted once they are proven.
func TestReportMetrics(t *testing.T) {
	t.Parallel()
	c := newClock()
	reg := prometheus.NewRegistry()
	b := openOn(t, storetest.OpenAt(t, c.now), c, func(o *ticketing.Options) { o.Registerer = reg })
	n := b.take(mail{text: write(rAddr, "Printer", toUs)}).Ticket
	p := b.publish(n, "Done.")
	b.settle(message.Report{Message: p.ID, Ticket: n, Recipient: rAddr, State: "sent"})
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	for i, g := range []string{"delayed 4.4.1", "failed 5.1.1", "failed 5.2.2", "delivered 2.0.0"} {
		b.take(mail{from: "<>", to: []string{l.ret}, text: reportOf(fmt.Sprint("m", i), rAddr+" "+g)})
	}
	b.take(mail{from: "<>", text: reportOf("foreign", rAddr+" failed 5.1.1")})
	b.take(mail{from: "<>", to: []string{l.ret}, text: complaint("abuse", l.id)})
	want := `
# HELP ticketgate_bounces_received_total Reports about mails of ours, proven by their return path, one per recipient.
# TYPE ticketgate_bounces_received_total counter
ticketgate_bounces_received_total{class="delayed"} 1
ticketgate_bounces_received_total{class="delivered"} 1
ticketgate_bounces_received_total{class="hard"} 1
ticketgate_bounces_received_total{class="soft"} 1
# HELP ticketgate_complaints_received_total Proven complaints about mails of ours.
# TYPE ticketgate_complaints_received_total counter
ticketgate_complaints_received_total 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ticketgate_bounces_received_total", "ticketgate_complaints_received_total"); err != nil {
		t.Error(err)
	}
}
