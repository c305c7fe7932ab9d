package notify

import (
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// ledger is an outbox that reports to the desk as the outbound queue does.
type ledger struct {
	*outbox
	desk *ticketing.Desk
}

func (l ledger) Submit(tx store.Tx, o message.Outbound) error {
	err := l.desk.Settled(tx, message.Report{Parcel: o.ID, Message: o.Message, MailID: o.MailID, Mail: o.Mail, Ticket: o.Ticket, Queue: o.Queue, Recipient: o.To, State: "queued", At: tx.Now()})
	if err != nil {
		return err
	}
	return l.outbox.Submit(tx, o)
}

// office is the real desk with a notifier, and its own programs for mail.
type office struct {
	*world
	d *ticketing.Desk
}

func newOffice(t *testing.T) *office {
	w := newWorld(t)
	w.agenda = agenda.New(w.db)
	var queues []ticketing.Queue
	for _, q := range w.desk.queues {
		q.CC = ticketing.CCPolicy{Allow: "all", Max: 48}
		q.TrustedForwarders = ticketing.ForwarderNetworks(netip.MustParsePrefix("192.0.2.0/24"))
		queues = append(queues, *q)
	}
	var agents []ticketing.Agent
	for _, a := range w.desk.agents {
		agents = append(agents, *a)
	}
	d, err := ticketing.Open(context.Background(), ticketing.Options{
		DB: w.db, Blobs: w.blobs, Journal: journal.New(w.db), Agenda: w.agenda, Queues: queues, Agents: agents, Random: rand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.n = New(Options{DB: w.db, Blobs: w.blobs, Agenda: w.agenda, Desk: d, Outbox: ledger{w.outbox, d}, Random: rand.Reader})
	return &office{w, d}
}

// receive takes a mail in, tells what it causes, and returns those mails.
func (o *office) receive(from string, to []string, raw string) []sent {
	o.t.Helper()
	o.clock.move(time.Minute)
	before := map[string]bool{}
	for _, s := range o.sent() {
		before[s.ID] = true
	}
	w := o.blobs.Create(context.Background())
	if _, err := w.Write([]byte(strings.ReplaceAll(raw, "\n", "\r\n"))); err != nil {
		o.t.Fatal(err)
	}
	sealed, err := w.Seal()
	if err != nil {
		o.t.Fatal(err)
	}
	_, err = o.d.Receive(context.Background(), ticketing.Arrival{
		Source: "smtp", EnvelopeFrom: from, Recipients: to, RemoteIP: netip.MustParseAddr("192.0.2.1"), Raw: sealed,
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.tell()
	return slices.DeleteFunc(o.sent(), func(s sent) bool { return before[s.ID] })
}

// answer is what a mail program makes of Reply-all to a mail of ours.
func answer(s sent, from, id, text string) (to []string, raw string) {
	to = []string{s.mail.Header.Addresses("Reply-To")[0].Addr}
	for _, name := range []string{"To", "Cc"} {
		for _, a := range s.mail.Header.Addresses(name) {
			if strings.HasSuffix(a.Addr, "@help.example") {
				to = append(to, a.Addr)
			}
		}
	}
	return to, "From: <" + from + ">\nTo: " + strings.Join(to, ", ") + "\nSubject: " + s.header("Subject") + "\nMessage-ID: " + id +
		"\nIn-Reply-To: " + s.header("Message-ID") + "\nDate: Mon, 2 Nov 2026 12:00:00 +0000\n\n" + text + "\n"
}

func pick(t *testing.T, list []sent, to string) sent {
	t.Helper()
	for _, s := range list {
		if s.To == to {
			return s
		}
	}
	t.Fatalf("no mail to %s, only to %v", to, recipients(list))
	return sent{}
}

// A conversation with the real desk: what we send leads back to its ticket in
// the right class, and each mail answers the last one its reader had.
func TestConversation(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := o.receive("anna@customer.example", []string{"support@help.example"},
		strings.Replace(annasMail, "To: support@help.example", "To: support@help.example\nCc: bo@customer.example", 1))
	if got := recipients(first); !slices.Equal(got, []string{"ada@staff.example", "anna@customer.example", "otto@staff.example"}) {
		t.Fatalf("a new ticket is told to %v", got)
	}
	if ack := pick(t, first, "anna@customer.example"); ack.Class != "autoack" || ack.header("In-Reply-To") != "<a1@customer.example>" {
		t.Errorf("Anna got a %s in reply to %s", ack.Class, ack.header("In-Reply-To"))
	}

	to, raw := answer(pick(t, first, "otto@staff.example"), "otto@staff.example", "<o1@staff.example>", "Please leave the building.")
	second := o.receive("otto@staff.example", to, raw)
	if got := recipients(second); !slices.Equal(got, []string{"anna@customer.example", "bo@customer.example"}) {
		t.Fatalf("Otto's Reply-all is told to %v", got)
	}
	toBo := pick(t, second, "bo@customer.example")

	to, raw = answer(toBo, "bo@customer.example", "<b1@customer.example>", "We are all outside.")
	third := o.receive("bo@customer.example", to, strings.Replace(raw, "To: ", "To: anna@customer.example, ", 1))
	if got := recipients(third); !slices.Equal(got, []string{"otto@staff.example"}) {
		t.Fatalf("Bo's answer, of which Anna has a copy, is told to %v", got)
	}
	toOtto := pick(t, third, "otto@staff.example")
	if got, want := toOtto.header("In-Reply-To"), "<o1@staff.example>"; got != want {
		t.Errorf("Otto's mail answers %s, want his own %s", got, want)
	}

	to, raw = answer(toOtto, "otto@staff.example", "<o2@staff.example>", "Good. Somebody is on the way.")
	fourth := o.receive("otto@staff.example", to, raw)
	toAnna := pick(t, fourth, "anna@customer.example")
	if got, want := toAnna.header("In-Reply-To"), pick(t, second, "anna@customer.example").header("Message-ID"); got != want {
		t.Errorf("Anna's mail answers %s, want our last one to her, %s", got, want)
	}
	if refs := toAnna.mail.Header.IDs("References"); len(refs) < 2 || refs[0] != "<a1@customer.example>" {
		t.Errorf("References are %v", refs)
	}
	if text := toAnna.mail.Text(); !strings.Contains(text, "Bo wrote") && !strings.Contains(text, "bo wrote") || !strings.Contains(text, "> We are all outside.") {
		t.Errorf("Anna's mail quotes:\n%s", text)
	}

	// Reply alone is a note, and a note is nobody's but the followers'.
	to, raw = answer(toOtto, "otto@staff.example", "<o3@staff.example>", "Order a new printer.")
	if fifth := o.receive("otto@staff.example", to[:1], strings.Replace(raw, strings.Join(to, ", "), to[0], 1)); len(fifth) != 0 {
		t.Errorf("Otto's note is told to %v", recipients(fifth))
	}
}

// A mail to a customer fails: staff hear of it once, and of the failure of that
// news never.
func TestFailureOfFailure(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := o.receive("anna@customer.example", []string{"support@help.example"}, annasMail)
	to, raw := answer(pick(t, first, "otto@staff.example"), "otto@staff.example", "<o1@staff.example>", "Please leave the building.")
	parcel := pick(t, o.receive("otto@staff.example", to, raw), "anna@customer.example")
	fail := func(s sent) []sent {
		before := len(o.sent())
		o.update(func(tx store.Tx) error {
			return o.d.Settled(tx, message.Report{
				Parcel: s.ID, Message: s.Message, Ticket: s.Ticket, Queue: s.Queue, Recipient: s.To, State: "failed", Code: 550, Text: "no such user", At: tx.Now(),
			})
		})
		o.tell()
		if len(o.sent()) == before {
			return nil
		}
		return slices.DeleteFunc(o.sent(), func(s sent) bool { return s.From != "" || s.Class != "notification" })
	}
	news := fail(parcel)
	if got := recipients(news); !slices.Equal(got, []string{"otto@staff.example"}) {
		t.Fatalf("the failure is told to %v", got)
	}
	if !strings.Contains(news[0].mail.Text(), "no such user") {
		t.Errorf("the news does not say why:\n%s", news[0].mail.Text())
	}
	if again := fail(news[0]); again != nil {
		t.Errorf("the failure of the news is told to %v", recipients(again))
	}
	if again := fail(parcel); again != nil {
		t.Errorf("the same failure is told again to %v", recipients(again))
	}
	deliveries, err := o.d.Deliveries(context.Background(), parcel.Message)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(deliveries, func(d ticketing.Delivery) bool { return d.Recipient == "otto@staff.example" }) {
		t.Errorf("the news counts as the message's delivery: %+v", deliveries)
	}
}

var _ Desk = (*ticketing.Desk)(nil)

// Uploads that a crash of another kind leaves are the blob store's to sweep; a
// notifier that was told to stop leaves none.
func TestStopLeavesNoUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	w.put("public_message", k, w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, withFile(200<<10)))
	before := chunks(w)
	ctx, stop := context.WithCancel(context.Background())
	letters := 0
	w.desk.onThread = func() {
		if letters++; letters == 2 {
			stop()
		}
	}
	_, _, _ = w.n.Step(ctx)
	w.desk.onThread = nil
	if after := chunks(w); after != before || len(w.sent()) != 0 {
		t.Errorf("%d uploads, were %d; sent to %v", after, before, recipients(w.sent()))
	}
	w.start()
	if _, err := w.agenda.Reclaim(context.Background(), ticketing.NoticeLane); err != nil {
		t.Fatal(err)
	}
	if w.tell(); len(w.sent()) != 2 {
		t.Errorf("after the restart told %v", recipients(w.sent()))
	}
}

func TestByTicket(t *testing.T) {
	t.Parallel()
	job := func(key, payload string) agenda.Job { return agenda.Job{Key: key, Payload: []byte(payload)} }
	var got []string
	for _, jobs := range byTicket([]agenda.Job{
		job("a1", `{"ticket":1}`), job("b1", `{"ticket":2}`), job("?", `{`), job("a2", `{"ticket":1}`), job("??", `{`), job("c1", `{"ticket":3}`), job("a3", `{"ticket":1}`),
	}) {
		var keys []string
		for _, j := range jobs {
			keys = append(keys, j.Key)
		}
		got = append(got, strings.Join(keys, " "))
	}
	if want := []string{"a1 a2 a3", "b1", "?", "??", "c1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
