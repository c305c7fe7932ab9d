package ticketing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/storetest"
)

func ptr[T any](v T) *T { return &v }

func TestPost(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	m, err := b.desk.Post(ctx, agent("otto"), n, ticketing.NewMessage{
		Visibility: "public", Text: "Please see the file.\n", HTML: "<p>Please <b>see</b> the file.</p><script>x</script>",
		Attachments: []ticketing.NewAttachment{{Filename: "log.txt", ContentType: "text/plain", Content: strings.NewReader("line\n")}},
		Status:      "pending",
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Direction != "out" || m.Kind != "reply" || m.Author.Agent != "otto" || m.Author.Role != "agent" || m.Seq != 2 || m.Mail != 2 {
		t.Errorf("message %+v", m)
	}
	if tk := b.ticket(n); tk.Status != "pending" || tk.Assignee != "otto" || tk.MessageCount != 2 {
		t.Errorf("ticket %+v", tk)
	}
	c, err := b.desk.Content(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(c.Text) != "Please see the file." || !strings.Contains(c.HTML, "<b>see</b>") {
		t.Errorf("content %+v", c)
	}
	if len(c.Attachments) != 1 || c.Attachments[0].Filename != "log.txt" || c.Attachments[0].Size != 5 {
		t.Fatalf("attachments %+v", c.Attachments)
	}
	found, err := b.desk.SearchText(ctx, m)
	if err != nil || found.Visible != "please see the file." || found.Files != "log.txt" || !strings.Contains(found.People, "otto") {
		t.Errorf("search text %+v, %v", found, err)
	}
	a, r, err := b.desk.OpenAttachment(ctx, c.Attachments[0].ID)
	if err != nil || *a != c.Attachments[0] || readAll(t, r) != "line\n" {
		t.Errorf("attachment %+v, %v", a, err)
	}
	for _, id := range []string{"", "att_", "att_x_0", c.Attachments[0].ID + "9", c.Attachments[0].ID + "_0", c.Attachments[0].ID[:strings.LastIndexByte(c.Attachments[0].ID, '_')] + "_99", c.Attachments[0].ID[:strings.LastIndexByte(c.Attachments[0].ID, '_')] + "_"} {
		if _, _, err := b.desk.OpenAttachment(ctx, id); ticketing.KindOf(err) != ticketing.Unknown || err == nil {
			t.Errorf("attachment %q: %v", id, err)
		}
	}
	b.checkAll()
}

func TestPostRefused(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	public := ticketing.NewMessage{Visibility: "public", Text: "x"}
	note := ticketing.NewMessage{Visibility: "internal", Text: "x"}
	for name, c := range map[string]struct {
		by     ticketing.Actor
		ticket uint64
		m      ticketing.NewMessage
		want   ticketing.Kind
	}{
		"no such ticket":          {agent("otto"), 99999, public, ticketing.Unknown},
		"agent of another queue":  {agent("sara"), n, public, ticketing.Denied},
		"nobody":                  {agent(""), n, public, ticketing.Denied},
		"agent nobody knows":      {agent("mallory"), n, public, ticketing.Denied},
		"token of an outsider":    {ticketing.Actor{Kind: "token", Agent: "sara"}, n, public, ticketing.Denied},
		"customer":                {ticketing.Actor{Kind: "contact", Address: rAddr}, n, public, ticketing.Denied},
		"zero actor":              {ticketing.Actor{}, n, public, ticketing.Denied},
		"light agent in public":   {agent("luis"), n, public, ticketing.Denied},
		"empty":                   {agent("otto"), n, ticketing.NewMessage{Visibility: "public", Text: " \n"}, ticketing.Invalid},
		"no visibility":           {agent("otto"), n, ticketing.NewMessage{Text: "x"}, ticketing.Invalid},
		"no such status":          {agent("otto"), n, ticketing.NewMessage{Visibility: "public", Text: "x", Status: "done"}, ticketing.Invalid},
		"after nothing":           {agent("otto"), n, ticketing.NewMessage{Visibility: "public", Text: "x", AfterMessage: "msg_x"}, ticketing.Invalid},
		"attachment without body": {agent("otto"), n, ticketing.NewMessage{Visibility: "public", Text: "x", Attachments: []ticketing.NewAttachment{{}}}, ticketing.Invalid},
	} {
		if _, err := b.desk.Post(context.Background(), c.by, c.ticket, c.m); err == nil || ticketing.KindOf(err) != c.want {
			t.Errorf("%s: %v of kind %d, want %d", name, err, ticketing.KindOf(err), c.want)
		}
	}
	if tk := b.ticket(n); tk.MessageCount != 1 || tk.Version != 1 {
		t.Errorf("ticket %+v", tk)
	}
	if _, err := b.desk.Post(context.Background(), agent("luis"), n, note); err != nil {
		t.Errorf("a light agent's note: %v", err)
	}
	if _, err := b.desk.Post(context.Background(), ticketing.Actor{Kind: "token", Name: "crm"}, n, note); err != nil {
		t.Errorf("an integration's note: %v", err)
	}
}

func TestPostConflict(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	seen := b.messages(n)[0]
	unseen := b.note(n, "wait")
	_, err := b.desk.Post(context.Background(), agent("lena"), n, ticketing.NewMessage{Visibility: "public", Text: "x", AfterMessage: seen.ID})
	var e *ticketing.Error
	if !errors.As(err, &e) || e.Kind != ticketing.Conflict || len(e.Newer) != 1 || e.Newer[0].ID != unseen.ID {
		t.Fatalf("error %+v", err)
	}
	if _, err := b.desk.Post(context.Background(), agent("lena"), n, ticketing.NewMessage{Visibility: "public", Text: "x", AfterMessage: unseen.ID}); err != nil {
		t.Error(err)
	}
}

// Messages posted at once all arrive, each under its own number.
func TestPostTogether(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := b.desk.Post(context.Background(), agent("otto"), n, ticketing.NewMessage{Visibility: "public", Text: "x"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for _, m := range b.messages(n) {
		ids[m.MessageID] = true
	}
	if len(ids) != 9 {
		t.Errorf("%d Message-IDs of 9 messages", len(ids))
	}
	b.checkAll()
}

// Tickets opened at once, by mail and by hand, have numbers of their own, none
// left out.
func TestNumbersTogether(t *testing.T) {
	t.Parallel()
	b := open(t)
	const workers, each = 12, 15
	numbers := make(chan uint64, workers*each)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if w%2 == 0 {
					tk, _, err := b.desk.Create(context.Background(), agent("otto"), ticketing.NewTicket{
						Queue: "support", Subject: "x", Requester: message.Address{Addr: rAddr}, Message: ticketing.NewMessage{Visibility: "internal", Text: "x"},
					})
					if err != nil {
						t.Error(err)
						return
					}
					numbers <- tk.Number
					continue
				}
				r, err := b.desk.Receive(context.Background(), b.arrival(mail{text: fmt.Sprintf("From: %s\nSubject: x\nMessage-ID: <%d-%d@customer.example>\n\nx\n", rAddr, w, i)}))
				if err != nil {
					t.Error(err)
					return
				}
				numbers <- r.Outcomes[0].Ticket
			}
		})
	}
	wg.Wait()
	close(numbers)
	var got []uint64
	for n := range numbers {
		got = append(got, n)
	}
	slices.Sort(got)
	for i, n := range got {
		if n != 1001+uint64(i) {
			t.Fatalf("ticket %d of %d has number %d", i+1, len(got), n)
		}
	}
	if len(got) != workers*each {
		t.Errorf("%d tickets", len(got))
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	tk, m, err := b.desk.Create(ctx, agent("otto"), ticketing.NewTicket{
		Queue: "support", Subject: "  Your order \n 7 ", Requester: message.Address{Name: "Anna", Addr: rAddr},
		CCs: []message.Address{{Addr: cAddr}, {Addr: strings.ToUpper(cAddr)}, {Addr: rAddr}, {Addr: fred}}, Priority: "high", Tags: []string{"VIP", "b", "vip"}, Assignee: "lena",
		Message: ticketing.NewMessage{Visibility: "public", Text: "It is late."},
	})
	if err != nil {
		t.Fatal(err)
	}
	if tk.Number != 1001 || tk.Subject != "Your order 7" || tk.Priority != "high" || strings.Join(tk.Tags, " ") != "b vip" || tk.Assignee != "lena" || tk.Status != "open" || b.ccs(1001) != cAddr {
		t.Errorf("ticket %+v", tk)
	}
	if len(tk.Followers) != 1 || tk.Followers[0].Agent != "fred" {
		t.Errorf("followers %+v", tk.Followers)
	}
	if m.Seq != 1 || m.Ticket != 1001 || m.Direction != "out" {
		t.Errorf("message %+v", m)
	}
	told := map[string]string{}
	for _, n := range b.notices(1001) {
		if !n.NoAck {
			t.Errorf("notice %+v would be acknowledged", n)
		}
		for _, r := range n.Audience {
			if r.Agent == "" {
				told[r.Address] += n.Event + " "
			}
		}
	}
	if told[rAddr] != "public_message " || told[cAddr] != "public_message " {
		t.Errorf("customers hear %v", told)
	}
	if token, err := b.keys.ParseMessageID(m.MessageID); err != nil || token.Ticket != 1001 || token.Mail != m.Mail {
		t.Errorf("Message-ID %s: %+v, %v; mail %d", m.MessageID, token, err, m.Mail)
	}
	good := ticketing.NewTicket{Queue: "support", Subject: "x", Requester: message.Address{Addr: rAddr}, Message: ticketing.NewMessage{Visibility: "public", Text: "x"}}
	for name, c := range map[string]struct {
		spoil func(*ticketing.NewTicket)
		by    ticketing.Actor
		want  ticketing.Kind
	}{
		"no such queue":    {func(n *ticketing.NewTicket) { n.Queue = "x" }, agent("otto"), ticketing.Invalid},
		"foreign queue":    {func(n *ticketing.NewTicket) { n.Queue = "sales" }, agent("otto"), ticketing.Denied},
		"no requester":     {func(n *ticketing.NewTicket) { n.Requester.Addr = "" }, agent("otto"), ticketing.Invalid},
		"requester is us":  {func(n *ticketing.NewTicket) { n.Requester.Addr = "Support+x@help.example" }, agent("otto"), ticketing.Refused},
		"CC is us":         {func(n *ticketing.NewTicket) { n.CCs = []message.Address{{Addr: "sales@help.example"}} }, agent("otto"), ticketing.Refused},
		"CC is never":      {func(n *ticketing.NewTicket) { n.CCs = []message.Address{{Addr: "boss@x.example"}} }, agent("otto"), ticketing.Refused},
		"no subject":       {func(n *ticketing.NewTicket) { n.Subject = " " }, agent("otto"), ticketing.Invalid},
		"foreign assignee": {func(n *ticketing.NewTicket) { n.Assignee = "sara" }, agent("otto"), ticketing.Invalid},
		"no such priority": {func(n *ticketing.NewTicket) { n.Priority = "huge" }, agent("otto"), ticketing.Invalid},
		"nothing to say":   {func(n *ticketing.NewTicket) { n.Message.Text = "" }, agent("otto"), ticketing.Invalid},
		"by a customer":    {func(*ticketing.NewTicket) {}, ticketing.Actor{Kind: "contact"}, ticketing.Denied},
		"too long a tag":   {func(n *ticketing.NewTicket) { n.Tags = []string{strings.Repeat("x", 65)} }, agent("otto"), ticketing.Invalid},
	} {
		n := good
		c.spoil(&n)
		if _, _, err := b.desk.Create(ctx, c.by, n); err == nil || ticketing.KindOf(err) != c.want {
			t.Errorf("%s: %v of kind %d, want %d", name, err, ticketing.KindOf(err), c.want)
		}
	}
	b.checkAll()
}

func TestChange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	tk, err := b.desk.Change(ctx, agent("otto"), n, ticketing.Change{
		Status: ptr("solved"), Priority: ptr("urgent"), Category: ptr("hardware"), Assignee: ptr("lena"), Subject: ptr("New\r\nsubject"), Tags: &[]string{"x"}, IfVersion: 1,
	})
	if err != nil || tk.Status != "solved" || tk.Priority != "urgent" || tk.Category != "hardware" || tk.Assignee != "lena" || tk.Subject != "New subject" || tk.SolvedAt.IsZero() || tk.Version != 2 {
		t.Fatalf("ticket %+v, %v", tk, err)
	}
	same, err := b.desk.Change(ctx, agent("otto"), n, ticketing.Change{Status: ptr("solved"), Assignee: ptr("lena"), Tags: &[]string{"X", "x"}})
	if err != nil || same.Version != 2 || !same.UpdatedAt.Equal(tk.UpdatedAt) {
		t.Errorf("the same again: %+v, %v", same, err)
	}
	open, err := b.desk.Change(ctx, agent("otto"), n, ticketing.Change{Status: ptr("open")})
	if err != nil || !open.SolvedAt.IsZero() {
		t.Errorf("reopened: %+v, %v", open, err)
	}
	moved, err := b.desk.Change(ctx, agent("otto"), n, ticketing.Change{Queue: ptr("sales")})
	if err != nil || moved.Queue != "sales" || moved.Assignee != "" {
		t.Errorf("moved: %+v, %v", moved, err)
	}
	for name, c := range map[string]struct {
		by   string
		c    ticketing.Change
		want ticketing.Kind
	}{
		"old version":      {"sara", ticketing.Change{Status: ptr("open"), IfVersion: 1}, ticketing.Conflict},
		"no such status":   {"sara", ticketing.Change{Status: ptr("x")}, ticketing.Invalid},
		"no such priority": {"sara", ticketing.Change{Priority: ptr("")}, ticketing.Invalid},
		"no such queue":    {"sara", ticketing.Change{Queue: ptr("x")}, ticketing.Invalid},
		"foreign assignee": {"sara", ticketing.Change{Assignee: ptr("otto")}, ticketing.Invalid},
		"empty subject":    {"sara", ticketing.Change{Subject: ptr(" ")}, ticketing.Invalid},
		"not his queue":    {"otto", ticketing.Change{Status: ptr("open")}, ticketing.Denied},
	} {
		if _, err := b.desk.Change(ctx, agent(c.by), n, c.c); err == nil || ticketing.KindOf(err) != c.want {
			t.Errorf("%s: %v of kind %d, want %d", name, err, ticketing.KindOf(err), c.want)
		}
	}
	if got := b.ticket(n); got.Version != moved.Version {
		t.Errorf("refused changes left %+v", got)
	}
	b.checkAll()
}

func TestParticipants(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t, toUs)
	add := func(address string) (*ticketing.Ticket, error) {
		return b.desk.AddCC(ctx, agent("otto"), n, message.Address{Name: "N", Addr: address})
	}
	tk, err := add(cAddr)
	if err != nil || len(tk.CCs) != 1 || tk.Version != 2 {
		t.Fatal(tk, err)
	}
	for _, again := range []string{strings.ToUpper(cAddr), rAddr} {
		if tk, err := add(again); err != nil || tk.Version != 2 {
			t.Errorf("%s: %+v, %v", again, tk, err)
		}
	}
	if tk, err := add(fred); err != nil || len(tk.CCs) != 1 || len(tk.Followers) != 1 {
		t.Errorf("an agent as CC: %+v, %v", tk, err)
	}
	for address, want := range map[string]ticketing.Kind{"boss@x.example": ticketing.Refused, helpdsk: ticketing.Refused, "support+abc@help.example": ticketing.Refused, "nonsense": ticketing.Invalid, "": ticketing.Invalid} {
		if _, err := add(address); err == nil || ticketing.KindOf(err) != want {
			t.Errorf("%q: %v", address, err)
		}
	}
	if tk, err := b.desk.RemoveCC(ctx, agent("otto"), n, strings.ToUpper(cAddr)); err != nil || len(tk.CCs) != 0 {
		t.Error(tk, err)
	}
	version := b.ticket(n).Version
	if tk, err := b.desk.RemoveCC(ctx, agent("otto"), n, cAddr); err != nil || tk.Version != version {
		t.Error(tk, err)
	}
	if tk, err := b.desk.Follow(ctx, agent("otto"), n, "fred"); err != nil || tk.Version != version {
		t.Error(tk, err)
	}
	if _, err := b.desk.Follow(ctx, agent("otto"), n, "mallory"); ticketing.KindOf(err) != ticketing.Unknown || err == nil {
		t.Error(err)
	}
	if tk, err := b.desk.Unfollow(ctx, agent("otto"), n, "fred"); err != nil || len(tk.Followers) != 0 {
		t.Error(tk, err)
	}
	if _, err := b.desk.AddCC(ctx, agent("sara"), n, message.Address{Addr: dAddr}); ticketing.KindOf(err) != ticketing.Denied || err == nil {
		t.Error(err)
	}
}

// What a mail may do to the CCs, by the queue's policy and the author's part.
func TestCCPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, queue, cc, want string
		extra                 string
	}{
		{"all", helpdsk, dAddr, dAddr, ""},
		{"off", "quiet@other.example", cAddr, "", ""},
		{"participants: same domain", "firm@other.example", cAddr + ", " + dAddr, cAddr, ""},
		{"participants: cap", "firm@other.example", "a@customer.example, b@customer.example, c@customer.example", "a@customer.example b@customer.example", ""},
		{"robots and lists", helpdsk, "noreply@x.example, list-request@x.example, " + dAddr, dAddr, ""},
		{"our own addresses", helpdsk, "sales+x@help.example, hilfe@help.example, postmaster@help.example", "", ""},
		{"list mail", helpdsk, dAddr, "", "List-Id: <l.x.example>"},
		{"automatic mail", helpdsk, dAddr, "", "Auto-Submitted: auto-generated"},
		{"twice and himself", helpdsk, strings.ToUpper(dAddr) + ", " + dAddr + ", " + rAddr, strings.ToUpper(dAddr[:len("dora@")]) + strings.ToUpper(dAddr[len("dora@"):]), ""},
	} {
		b := open(t)
		extra := []string{"Cc: " + c.cc}
		if c.extra != "" {
			extra = append(extra, c.extra)
		}
		o := b.take(mail{to: []string{c.queue}, text: write(rAddr, "x", extra...)})
		if got := b.ccs(o.Ticket); !strings.EqualFold(got, c.want) {
			t.Errorf("%s: CCs %q, want %q", c.name, got, c.want)
		}
	}
	// An agent's address in Cc makes him a follower.
	b := open(t)
	o := b.take(mail{text: write(rAddr, "x", "Cc: "+otto)})
	if tk := b.ticket(o.Ticket); len(tk.CCs) != 0 || len(tk.Followers) != 1 || tk.Followers[0].Agent != "otto" {
		t.Errorf("ticket %+v", tk)
	}
}

func TestJournalAndActors(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	b.publish(n, "x")
	b.set(n, "solved")
	entries, err := b.log.Read(context.Background(), "support", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, e := range entries {
		if e.Seq != uint64(i+1) || e.Ticket != n || !json.Valid(e.Data) {
			t.Errorf("entry %+v", e)
		}
		got = append(got, e.Kind+" "+e.Actor)
	}
	want := []string{"ticket.created contact:" + rAddr, "ticket.updated agent:otto", "message.sent agent:otto", "ticket.updated system"}
	if !slices.Equal(got, want) {
		t.Errorf("journal %q, want %q", got, want)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	c := newClock()
	db := storetest.OpenAt(t, c.now)
	reg := prometheus.NewPedanticRegistry()
	desk, err := ticketing.Open(context.Background(), ticketing.Options{
		DB: twice{db}, Blobs: blob.New(db, newRandom(1)), Journal: journal.New(db), Agenda: agenda.New(db), Queues: queues(), Agents: agents(), Random: newRandom(2), Registerer: reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, db: db, blobs: blob.New(db, newRandom(3)), desk: desk, clock: c, keys: desk.Keyring()}
	n := b.take(mail{text: write(rAddr, "x")}).Ticket
	b.take(mail{text: write(rAddr, "y")})
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	b.take(mail{to: []string{l.replyTo}, text: write(rAddr, "x")})
	b.set(n, "solved")
	b.take(mail{to: []string{l.replyTo}, text: write(rAddr, "x")})
	if _, err := desk.Change(context.Background(), system(), n, ticketing.Change{Queue: ptr("sales")}); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP ticketgate_thread_match_total Mails by how their ticket was found.
# TYPE ticketgate_thread_match_total counter
ticketgate_thread_match_total{method="none"} 2
ticketgate_thread_match_total{method="token"} 2
# HELP ticketgate_ticket_messages_total Messages added to tickets.
# TYPE ticketgate_ticket_messages_total counter
ticketgate_ticket_messages_total{kind="customer",queue="support"} 4
# HELP ticketgate_tickets_created_total Tickets opened.
# TYPE ticketgate_tickets_created_total counter
ticketgate_tickets_created_total{queue="support",source="smtp"} 2
# HELP ticketgate_tickets_reopened_total Tickets that went on after they were over.
# TYPE ticketgate_tickets_reopened_total counter
ticketgate_tickets_reopened_total{queue="support"} 1
# HELP ticketgate_tickets_solved_total Tickets solved or closed.
# TYPE ticketgate_tickets_solved_total counter
ticketgate_tickets_solved_total{queue="support"} 1
`
	err = testutil.GatherAndCompare(reg, bytes.NewBufferString(want), "ticketgate_thread_match_total", "ticketgate_ticket_messages_total",
		"ticketgate_tickets_created_total", "ticketgate_tickets_reopened_total", "ticketgate_tickets_solved_total")
	if err != nil {
		t.Error(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	stock := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "ticketgate_tickets" {
			continue
		}
		for _, m := range f.GetMetric() {
			stock[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetGauge().GetValue()
		}
	}
	if stock["support new"] != 1 || stock["support solved"] != 0 || stock["support open"] != 0 || stock["sales open"] != 1 || len(stock) != 24 {
		t.Errorf("stock %v", stock)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) != 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
