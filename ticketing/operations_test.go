package ticketing_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// entries returns the journal's kinds of a ticket with their actors.
func (b *bench) entries(ticket uint64) (out []string) {
	b.t.Helper()
	for _, q := range queues() {
		list, err := b.log.Read(context.Background(), q.Name, 0, 1000)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, e := range list {
			if e.Ticket == ticket {
				out = append(out, e.Kind+" "+e.Actor)
			}
		}
	}
	return out
}

func refused(t *testing.T, what string, err error, want ticketing.Kind) {
	t.Helper()
	if err == nil || ticketing.KindOf(err) != want {
		t.Errorf("%s: %v, want kind %d", what, err, want)
	}
}

// Scenario 28: after 7 was merged into 5, answers to mails of 7 are on 5, and
// everybody of 7 takes part in 5.
func TestScenario28Merge(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, five := openWithTicket(t)
	seven := b.take(mail{text: write(xAddr, "It burns", toUs, "Cc: "+dAddr+", boss@x.example")}).Ticket
	eight := b.take(mail{text: write(c2, "Smoke")}).Ticket
	for _, who := range []string{"fred", "luis"} {
		if _, err := b.desk.Follow(ctx, system(), seven, who); err != nil {
			t.Fatal(err)
		}
	}
	l := b.mailTo(seven, 1, xAddr, message.RoleRequester, false)
	if _, err := b.desk.Link(ctx, agent("otto"), seven, eight); err != nil {
		t.Fatal(err)
	}
	task, err := b.desk.AddTask(ctx, agent("otto"), seven, ticketing.NewTask{Subject: "Call the fire brigade"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.desk.AddTime(ctx, agent("otto"), seven, ticketing.NewTime{Minutes: 15}); err != nil {
		t.Fatal(err)
	}

	got, err := b.desk.Merge(ctx, agent("otto"), seven, five)
	if err != nil {
		t.Fatal(err)
	}
	if got.Number != five || !slices.Equal(got.MergedFrom, []uint64{seven}) || got.Requester.Address != rAddr || got.Minutes != 15 {
		t.Errorf("ticket %+v", got)
	}
	if ccs := b.ccs(five); ccs != strings.Join([]string{cAddr, dAddr, xAddr}, " ") {
		t.Errorf("CCs %s", ccs)
	}
	for _, f := range []string{"fred", "luis"} {
		if !slices.ContainsFunc(got.Followers, func(x ticketing.Follower) bool { return x.Agent == f }) {
			t.Errorf("%s does not follow: %+v", f, got.Followers)
		}
	}
	hasLink(t, got, eight, "related")
	old := b.ticket(seven)
	if old.MergedInto != five || old.Status != "closed" || old.MessageCount != 1 {
		t.Errorf("merged ticket %+v", old)
	}
	// The merger is written on the ticket, for staff only.
	last := b.messages(five)[len(b.messages(five))-1]
	if last.Kind != "event" || last.Visibility != "internal" || last.Author.Agent != "otto" {
		t.Errorf("event %+v", last)
	}
	for _, r := range b.lastNotice(five).Audience {
		if r.Agent == "" {
			t.Errorf("%s hears of the merger", r.Address)
		}
	}
	if list, _, err := b.desk.Tasks(ctx, ticketing.TaskFilter{Ticket: seven}); err != nil || len(list) != 1 || list[0].ID != task.ID || list[0].Ticket != five {
		t.Errorf("tasks %+v, %v", list, err)
	}

	m := b.want(b.take(mail{to: []string{l.replyTo}, text: write(xAddr, "Re: It burns")}), "note", five)
	if m.Author.Role != "cc" || m.Flags[0] != "cc_wrote_to_us_only" {
		t.Errorf("message %+v", m)
	}
	b.want(b.take(mail{text: answer(rAddr, "It burns", l, "Cc: "+xAddr+", "+dAddr)}), "reply", five)

	// What changes the old number is told where to go; merging again is done.
	_, err = b.desk.Change(ctx, agent("otto"), seven, ticketing.Change{Priority: ptr("high")})
	refused(t, "changing a merged ticket", err, ticketing.Conflict)
	_, err = b.desk.Post(ctx, agent("otto"), seven, ticketing.NewMessage{Visibility: "internal", Text: "x"})
	refused(t, "writing on a merged ticket", err, ticketing.Conflict)
	before := b.ticket(five).Version
	if again, err := b.desk.Merge(ctx, agent("otto"), seven, five); err != nil || again.Version != before {
		t.Errorf("merged twice: %+v, %v", again, err)
	}
	_, err = b.desk.Merge(ctx, agent("otto"), seven, eight)
	refused(t, "merging elsewhere", err, ticketing.Conflict)
	_, err = b.desk.Merge(ctx, agent("otto"), five, seven)
	refused(t, "merging into itself by its old number", err, ticketing.Invalid)
	_, err = b.desk.Merge(ctx, agent("otto"), five, 99)
	refused(t, "merging into nothing", err, ticketing.Unknown)

	// 5 goes on in 8: old tokens need one step only, and both numbers are known.
	if _, err := b.desk.Merge(ctx, system(), five, eight); err != nil {
		t.Fatal(err)
	}
	if got := b.ticket(seven).MergedInto; got != eight {
		t.Errorf("7 leads to %d", got)
	}
	if got := b.ticket(eight).MergedFrom; !slices.Equal(got, []uint64{seven, five}) {
		t.Errorf("8 knows %v", got)
	}
	b.want(b.take(mail{to: []string{l.replyTo}, text: write(xAddr, "Re: It burns")}), "note", eight)
	if got := b.entries(seven); !slices.Contains(got, "ticket.merged agent:otto") {
		t.Errorf("journal of 7: %v", got)
	}
	b.checkAll()
}

// A mail to the old queue of a merged ticket still finds it.
func TestMergeAcrossQueues(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, five := openWithTicket(t)
	seven := b.take(mail{to: []string{"sales@help.example"}, text: write(xAddr, "Offer")}).Ticket
	_, err := b.desk.Merge(ctx, agent("otto"), seven, five)
	refused(t, "a ticket of sales", err, ticketing.Denied)
	_, err = b.desk.Merge(ctx, agent("sara"), seven, five)
	refused(t, "into a ticket of support", err, ticketing.Denied)
	l := b.mailTo(seven, 1, xAddr, message.RoleRequester, false)
	if _, err := b.desk.Merge(ctx, system(), seven, five); err != nil {
		t.Fatal(err)
	}
	b.want(b.take(mail{to: []string{"sales@help.example"}, text: answer(xAddr, "Offer", l)}), "note", five)
	b.checkAll()
}

// Scenario 29: a message becomes a ticket of its own, whose acknowledgement
// leads to it and nowhere else.
func TestScenario29Split(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, five := openWithTicket(t)
	first := b.mailTo(five, 1, cAddr, message.RoleCC, false)
	m := b.want(b.take(mail{to: []string{first.replyTo}, text: answer(cAddr, "My own question", first, "To: "+rAddr)}), "reply", five)
	nt, c, err := b.desk.Split(ctx, agent("otto"), five, m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if nt.Number == five || nt.Requester.Address != cAddr || len(nt.CCs) != 0 || nt.Queue != "support" || nt.Status != "new" {
		t.Errorf("new ticket %+v", nt)
	}
	hasLink(t, nt, five, "related")
	hasLink(t, b.ticket(five), nt.Number, "related")
	if c.Raw != m.Raw || c.SplitFrom != m.ID || c.Visibility != "public" || c.Author.Role != "requester" || c.ID == m.ID {
		t.Errorf("copy %+v", c)
	}
	if b.ticket(five).MessageCount != 2 || b.message(m.ID).SplitInto != nt.Number {
		t.Error("the message did not stay where it was")
	}
	n := b.lastNotice(nt.Number)
	if n.Event != "ticket_created" || n.NoAck || n.Actor.Address != cAddr {
		t.Errorf("notice %+v", n)
	}
	for _, r := range n.Audience {
		if r.Agent == "otto" || r.Address == rAddr {
			t.Errorf("%+v hears of it", r)
		}
	}
	ack := b.mailTo(nt.Number, n.Mail, cAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{ack.replyTo}, text: answer(cAddr, "My own question", ack)}), "reply", nt.Number)
	b.want(b.take(mail{to: []string{first.replyTo}, text: answer(cAddr, "Printer", first, "To: "+rAddr)}), "reply", five)
	if again, _, err := b.desk.Split(ctx, agent("otto"), five, m.ID); err != nil || again.Number != nt.Number {
		t.Errorf("split twice: %+v, %v", again, err)
	}
	if got := b.ticket(five).MessageCount; got != 3 {
		t.Errorf("%d messages on the old ticket", got)
	}

	reply := b.publish(five, "Hello")
	_, _, err = b.desk.Split(ctx, agent("otto"), five, reply.ID)
	refused(t, "splitting off an agent's reply", err, ticketing.Invalid)
	_, _, err = b.desk.Split(ctx, agent("otto"), five, c.ID)
	refused(t, "a message of another ticket", err, ticketing.Unknown)
	_, _, err = b.desk.Split(ctx, agent("luis"), five, m.ID)
	refused(t, "a light agent", err, ticketing.Denied)
	b.checkAll()
}

func TestLinks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, one := openWithTicket(t)
	two := b.take(mail{text: write(xAddr, "Two")}).Ticket
	three := b.take(mail{text: write(xAddr, "Three")}).Ticket
	for _, pair := range [][2]uint64{{one, two}, {two, three}, {one, three}, {one, two}} {
		if _, err := b.desk.Link(ctx, agent("otto"), pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []uint64{one, two, three} {
		if got := b.ticket(n).Links; len(got) != 2 {
			t.Errorf("ticket %d has links %+v", n, got)
		}
	}
	if got, err := b.desk.Unlink(ctx, agent("otto"), two, one); err != nil || len(got.Links) != 1 || len(b.ticket(one).Links) != 1 {
		t.Errorf("unlinked %+v, %v", got, err)
	}
	_, err := b.desk.Link(ctx, agent("otto"), one, one)
	refused(t, "itself", err, ticketing.Invalid)
	_, err = b.desk.Link(ctx, agent("luis"), one, two)
	refused(t, "a light agent", err, ticketing.Denied)
	_, err = b.desk.Link(ctx, agent("otto"), one, 99)
	refused(t, "nothing", err, ticketing.Unknown)

	// A new ticket is linked as it opens; its requester is its own.
	n := ticketing.NewTicket{Queue: "support", Subject: "Follow-up", Requester: message.Address{Addr: dAddr}, LinkedTo: one,
		Message: ticketing.NewMessage{Visibility: "internal", Text: "x"}}
	made, _, err := b.desk.Create(ctx, agent("otto"), n)
	if err != nil || made.Requester.Address != dAddr {
		t.Fatalf("created %+v, %v", made, err)
	}
	hasLink(t, made, one, "related")
	hasLink(t, b.ticket(one), made.Number, "related")
	n.Requester, n.CopyRequester = message.Address{}, true
	if made, _, err = b.desk.Create(ctx, agent("otto"), n); err != nil || made.Requester.Address != rAddr {
		t.Errorf("created %+v, %v", made, err)
	}
	n.LinkedTo = 0
	_, _, err = b.desk.Create(ctx, agent("otto"), n)
	refused(t, "a requester of nobody", err, ticketing.Invalid)
	// By the number of a merged ticket a link is found too.
	if _, err := b.desk.Merge(ctx, system(), three, two); err != nil {
		t.Fatal(err)
	}
	if got, err := b.desk.Unlink(ctx, agent("otto"), one, two); err != nil || slices.ContainsFunc(got.Links, func(l ticketing.Link) bool { return l.Number == three }) {
		t.Errorf("unlinked %+v, %v", got, err)
	}
	b.checkAll()
}

func TestTasksAndTime(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	due := b.clock.now().Add(48 * time.Hour)
	task, err := b.desk.AddTask(ctx, agent("luis"), n, ticketing.NewTask{Subject: " Order \n toner ", Text: "Black.", Assignee: "sara", DueAt: due})
	if err != nil || task.Subject != "Order toner" || task.Status != "open" || task.CreatedBy != "agent:luis" {
		t.Fatalf("task %+v, %v", task, err)
	}
	if got := b.lastNotice(n); got.Event != "task_assigned" || len(got.Audience) != 1 || got.Audience[0].Agent != "sara" || !strings.Contains(got.Detail, "Order toner") {
		t.Errorf("notice %+v", got)
	}
	// Sara does not serve the queue, and may work on her task.
	if task, err = b.desk.ChangeTask(ctx, agent("sara"), task.ID, ticketing.TaskChange{Status: ptr("done")}); err != nil || task.DoneAt.IsZero() {
		t.Errorf("task %+v, %v", task, err)
	}
	if task, err = b.desk.ChangeTask(ctx, agent("sara"), task.ID, ticketing.TaskChange{Status: ptr("open"), Assignee: ptr("")}); err != nil || !task.DoneAt.IsZero() {
		t.Errorf("task %+v, %v", task, err)
	}
	_, err = b.desk.ChangeTask(ctx, agent("sara"), task.ID, ticketing.TaskChange{Status: ptr("done")})
	refused(t, "nobody's task, by sara", err, ticketing.Denied)
	_, err = b.desk.AddTask(ctx, agent("otto"), n, ticketing.NewTask{Subject: "x", Assignee: "nobody"})
	refused(t, "an unknown agent", err, ticketing.Invalid)
	_, err = b.desk.AddTask(ctx, agent("otto"), n, ticketing.NewTask{})
	refused(t, "no subject", err, ticketing.Invalid)
	_, err = b.desk.AddTask(ctx, agent("sara"), n, ticketing.NewTask{Subject: "x"})
	refused(t, "sara", err, ticketing.Denied)
	_, err = b.desk.ChangeTask(ctx, agent("otto"), "tsk_none", ticketing.TaskChange{})
	refused(t, "no task", err, ticketing.Unknown)

	// On its day, the task is told of once.
	b.clock.advance(47 * time.Hour)
	b.fire(0)
	b.clock.advance(2 * time.Hour)
	b.fire(1)
	b.fire(0)
	if got := b.lastNotice(n); got.Event != "reminder" {
		t.Errorf("notice %+v", got)
	}

	if _, err := b.desk.AddTime(ctx, agent("otto"), n, ticketing.NewTime{Minutes: 25, Note: "looked"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.desk.AddTime(ctx, system(), n, ticketing.NewTime{Agent: "lena", Minutes: 5}); err != nil {
		t.Fatal(err)
	}
	list, err := b.desk.Times(ctx, n)
	if err != nil || len(list) != 2 || list[0].Agent != "otto" || list[1].Agent != "lena" || b.ticket(n).Minutes != 30 {
		t.Errorf("times %+v, %v", list, err)
	}
	for what, x := range map[string]struct {
		by   ticketing.Actor
		n    ticketing.NewTime
		kind ticketing.Kind
	}{
		"nothing":             {agent("otto"), ticketing.NewTime{}, ticketing.Invalid},
		"more than a day":     {agent("otto"), ticketing.NewTime{Minutes: ticketing.MaxMinutes + 1}, ticketing.Invalid},
		"somebody else's":     {agent("otto"), ticketing.NewTime{Minutes: 1, Agent: "lena"}, ticketing.Denied},
		"nobody's":            {system(), ticketing.NewTime{Minutes: 1}, ticketing.Invalid},
		"a stranger's ticket": {agent("sara"), ticketing.NewTime{Minutes: 1}, ticketing.Denied},
	} {
		_, err := b.desk.AddTime(ctx, x.by, n, x.n)
		refused(t, what, err, x.kind)
	}
	b.checkAll()
}

// fire does what is due and checks how much it was.
func (b *bench) fire(want int) {
	b.t.Helper()
	n, _, err := b.desk.StepTimers(context.Background())
	if err != nil || n != want {
		b.t.Errorf("%d timers ran, want %d: %v", n, want, err)
	}
}

func TestSnooze(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	set := func(c ticketing.Change) *ticketing.Ticket {
		t.Helper()
		tk, err := b.desk.Change(ctx, agent("otto"), n, c)
		if err != nil {
			t.Fatal(err)
		}
		return tk
	}
	at := b.clock.now().Add(24 * time.Hour).Truncate(time.Second)
	if tk := set(ticketing.Change{SnoozedUntil: &at}); !tk.SnoozedUntil.Equal(at) {
		t.Errorf("ticket %+v", tk)
	}
	later := at.Add(24 * time.Hour)
	set(ticketing.Change{SnoozedUntil: &later})
	b.clock.advance(25 * time.Hour)
	b.fire(0) // the timer has moved with the snooze
	b.clock.advance(24 * time.Hour)
	before := len(b.notices(n))
	b.fire(1)
	b.fire(0)
	if tk := b.ticket(n); !tk.SnoozedUntil.IsZero() {
		t.Errorf("ticket %+v", tk)
	}
	if got := b.lastNotice(n); len(b.notices(n)) != before+1 || got.Event != "reminder" || got.Actor.Kind != "timer" {
		t.Errorf("notice %+v", got)
	}
	if got := b.entries(n); got[len(got)-1] != "ticket.updated timer" {
		t.Errorf("journal %v", got)
	}

	// Ended by hand or set back, the old timer does nothing.
	soon := b.clock.now().Add(time.Hour)
	set(ticketing.Change{SnoozedUntil: &soon})
	set(ticketing.Change{SnoozedUntil: &time.Time{}})
	b.clock.advance(2 * time.Hour)
	before = len(b.notices(n))
	b.fire(1)
	if got := len(b.notices(n)); got != before {
		t.Errorf("%d notices, want %d", got, before)
	}
	past := b.clock.now().Add(-time.Hour)
	_, err := b.desk.Change(ctx, agent("otto"), n, ticketing.Change{SnoozedUntil: &past})
	refused(t, "a snooze into the past", err, ticketing.Invalid)
	far := b.clock.now().AddDate(50, 0, 0)
	_, err = b.desk.Change(ctx, agent("otto"), n, ticketing.Change{DueAt: &far})
	refused(t, "due in fifty years", err, ticketing.Invalid)

	// A customer's mail ends it too; nobody needs a reminder then.
	soon = b.clock.now().Add(time.Hour)
	set(ticketing.Change{SnoozedUntil: &soon, Status: ptr("pending")})
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	b.take(mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l)})
	if tk := b.ticket(n); !tk.SnoozedUntil.IsZero() || tk.Status != "open" {
		t.Errorf("ticket %+v", tk)
	}

	due := b.clock.now().Add(time.Minute)
	set(ticketing.Change{DueAt: &due})
	b.clock.advance(2 * time.Hour)
	b.fire(2)
	if got := b.lastNotice(n); got.Event != "reminder" || !strings.Contains(got.Detail, "is due") {
		t.Errorf("notice %+v", got)
	}
}

// Who may do what, by the table.
func TestRights(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	if _, err := b.desk.Follow(ctx, system(), n, "fred"); err != nil {
		t.Fatal(err)
	}
	verbs := []struct {
		name string
		do   func(ticketing.Actor) error
	}{
		{"note", func(a ticketing.Actor) error {
			_, err := b.desk.Post(ctx, a, n, ticketing.NewMessage{Visibility: "internal", Text: "x"})
			return err
		}},
		{"task", func(a ticketing.Actor) error {
			_, err := b.desk.AddTask(ctx, a, n, ticketing.NewTask{Subject: "x"})
			return err
		}},
		{"reply", func(a ticketing.Actor) error {
			_, err := b.desk.Post(ctx, a, n, ticketing.NewMessage{Visibility: "public", Text: "x"})
			return err
		}},
		{"note with status", func(a ticketing.Actor) error {
			_, err := b.desk.Post(ctx, a, n, ticketing.NewMessage{Visibility: "internal", Text: "x", Status: "open"})
			return err
		}},
		{"change", func(a ticketing.Actor) error {
			_, err := b.desk.Change(ctx, a, n, ticketing.Change{Category: ptr("x")})
			return err
		}},
		{"cc", func(a ticketing.Actor) error {
			_, err := b.desk.AddCC(ctx, a, n, message.Address{Addr: dAddr})
			return err
		}},
	}
	for _, who := range []struct {
		name  string
		actor ticketing.Actor
		may   string
	}{
		{"full agent", agent("otto"), "note task reply note with status change cc"},
		{"light agent", agent("luis"), "note task"},
		{"follower", agent("fred"), "note task"},
		{"agent of another queue", agent("sara"), ""},
		{"nobody", agent("nobody"), ""},
		{"customer", ticketing.Actor{Kind: "contact", Address: rAddr}, ""},
		{"integration", ticketing.Actor{Kind: "token", Name: "crm"}, "note task reply note with status change cc"},
		{"integration of a light agent", ticketing.Actor{Kind: "token", Agent: "luis"}, "note task"},
	} {
		for _, v := range verbs {
			err := v.do(who.actor)
			allowed := strings.HasPrefix(who.may, v.name) || strings.Contains(who.may, " "+v.name)
			if allowed != (err == nil) || err != nil && ticketing.KindOf(err) != ticketing.Denied {
				t.Errorf("%s, %s: %v", who.name, v.name, err)
			}
		}
	}
}
