package ticketing_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// told is an agent's mail with text of its own.
func told(from, subject, text string, l letter, extra ...string) string {
	head, _, _ := strings.Cut(answer(from, subject, l, extra...), "\n\n")
	return head + "\n\n" + text + "\n"
}

// errorsOf lists which commands of a message failed, by their words.
func errorsOf(m *ticketing.Message) string {
	var out []string
	for _, c := range m.Commands {
		if c.Error != "" {
			word, _, _ := strings.Cut(c.Line, " ")
			out = append(out, word)
		}
	}
	return strings.Join(out, " ")
}

func TestCommandsByMail(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	other := b.take(mail{text: write(xAddr, "Other")}).Ticket
	l := b.mailTo(n, 1, otto, message.RoleAgent, false)
	text := "#status on hold\n#assign lena\n#priority high\n#category Hardware\n#tag +vip\n#due 2026-12-01\n#snooze 3d\n" +
		"#time 25m\n#cc +" + dAddr + " -" + cAddr + "\n#task @sara order toner\n#link " + itoa(other) + "\n\nIt is on its way."
	m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: told(otto, "Printer", text, l, "To: "+l.replyTo+", "+l.alias(rAddr))}), "reply", n)
	if errorsOf(m) != "" || m.CommandLines != 11 || len(m.Commands) != 11 {
		t.Errorf("%d lines, results %+v", m.CommandLines, m.Commands)
	}
	tk := b.ticket(n)
	if tk.Status != "on_hold" || tk.Assignee != "lena" || tk.Priority != "high" || tk.Category != "Hardware" || strings.Join(tk.Tags, " ") != "vip" ||
		tk.DueAt.Format(time.DateOnly) != "2026-12-01" || tk.SnoozedUntil.IsZero() || tk.Minutes != 25 || b.ccs(n) != dAddr {
		t.Errorf("ticket %+v", tk)
	}
	hasLink(t, tk, other, "related")
	if tasks, _, err := b.desk.Tasks(ctx, ticketing.TaskFilter{Assignee: "sara"}); err != nil || len(tasks) != 1 || tasks[0].Subject != "order toner" || tasks[0].Message != m.ID {
		t.Errorf("tasks %+v, %v", tasks, err)
	}
	if times, err := b.desk.Times(ctx, n); err != nil || len(times) != 1 || times[0].Agent != "otto" || times[0].Message != m.ID {
		t.Errorf("times %+v, %v", times, err)
	}
	c, err := b.desk.Content(ctx, m)
	if err != nil || c.VisibleText != "It is on its way." || strings.Contains(c.Text, "#") {
		t.Errorf("content %+v, %v", c, err)
	}
	for _, e := range b.entries(n)[1:] {
		if !strings.HasSuffix(e, " agent:otto") {
			t.Errorf("journal entry %s", e)
		}
	}
	// Delivered again, nothing is done again.
	if got := b.ticket(n).Minutes; got != 25 {
		t.Errorf("%d minutes", got)
	}
	b.checkAll()
}

// Lines that fail are answered to their author alone, and all others are done.
func TestCommandsFail(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, otto, message.RoleAgent, false)
	text := "#assign sara\n#priority extreme\n#queue nowhere\n#merge 99\n#merge " + itoa(n) + "\n#cc +boss@x.example\n#cc -" + dAddr +
		"\n#tag +ok\n#task @nobody x\n#unheard of\nHello"
	m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: told(otto, "Printer", text, l, "To: "+l.replyTo+", "+l.alias(rAddr))}), "reply", n)
	if got := errorsOf(m); got != "#assign #priority #queue #cc #cc #task #merge #merge" {
		t.Errorf("failed %s", got)
	}
	if tk := b.ticket(n); strings.Join(tk.Tags, "") != "ok" || tk.Priority != "normal" || tk.MergedInto != 0 || b.ccs(n) != cAddr {
		t.Errorf("ticket %+v", tk)
	}
	var found []ticketing.Notice
	for _, x := range b.notices(n) {
		if x.Event == "commands_failed" {
			found = append(found, x)
		}
	}
	if len(found) != 1 || len(found[0].Audience) != 1 || found[0].Audience[0].Agent != "otto" || strings.Count(found[0].Detail, "#") < 8 ||
		!strings.Contains(found[0].Detail, "#priority extreme\n    a priority is one of") {
		t.Errorf("notices %+v", found)
	}
	c, err := b.desk.Content(context.Background(), m)
	if err != nil || c.VisibleText != "#unheard of\nHello" {
		t.Errorf("content %+v, %v", c, err)
	}
}

// Who is no proven agent of the ticket writes text.
func TestCommandsOfOthers(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		ip, from, text string
		priority       string
		failed         string
		lines          int
	}{
		"requester":            {trusted, rAddr, "#priority high\n#T=0.25\nHello", "normal", "", 0},
		"forged agent":         {mx, otto, "#priority high\nHello", "normal", "", 0},
		"agent of elsewhere":   {trusted, sara, "#priority high\nHello", "normal", "#priority", 1},
		"proven agent":         {trusted, otto, "#priority high\nHello", "high", "", 1},
		"not on top":           {trusted, otto, "Hello\n#priority high", "normal", "", 0},
		"light agent":          {trusted, luis, "#priority high\n#time 5m\nHello", "normal", "#priority", 2},
		"quoted":               {trusted, otto, "> #priority high\nHello", "normal", "", 0},
		"the whole line fails": {trusted, otto, "#T=0.25 #S=nonsense\nHello", "normal", "#T=0.25", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, n := openWithTicket(t)
			l := b.mailTo(n, 1, x.from, message.RoleAgent, false)
			m := b.message(b.take(mail{ip: x.ip, to: []string{l.replyTo}, text: told(x.from, "Printer", x.text, l)}).Message)
			tk := b.ticket(n)
			if tk.Priority != x.priority || m.CommandLines != x.lines || errorsOf(m) != x.failed {
				t.Errorf("priority %s, %d lines, failed %q", tk.Priority, m.CommandLines, errorsOf(m))
			}
			if c, err := b.desk.Content(context.Background(), m); err != nil || x.lines == 0 && c.VisibleText != strings.TrimPrefix(x.text, "> #priority high\n") || x.lines > 0 && c.VisibleText != "Hello" {
				t.Errorf("content %+v, %v", c, err)
			}
			if x.from == rAddr && tk.Minutes != 0 {
				t.Errorf("%d minutes", tk.Minutes)
			}
		})
	}
}

func TestCommandVisibility(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	all := func(l letter) string { return "To: " + l.replyTo + ", " + l.alias(rAddr) }
	pub := b.mailTo(n, 1, otto, message.RoleAgent, false)
	inside := b.mailTo(n, 1, otto, message.RoleAgent, true)
	for name, x := range map[string]struct {
		from, text string
		l          letter
		to         string
		outcome    string
		failed     string
	}{
		"note instead of reply-all":  {otto, "#note\nDo not tell", pub, all(pub), "note", ""},
		"note with its text":         {otto, "#note do not tell", pub, all(pub), "note", ""},
		"public instead of reply":    {otto, "#public\nHello", pub, "To: " + pub.replyTo, "reply", ""},
		"both: inside it stays":      {otto, "#public\n#note\nHm", pub, all(pub), "note", "#public"},
		"public answer to a note":    {otto, "#public\nHm", inside, all(inside), "note", "#public"},
		"public by a light agent":    {luis, "#public\nHm", pub, all(pub), "note", "#public"},
		"nothing but commands":       {otto, "#tag +x\n", pub, all(pub), "note", ""},
		"nothing but a public claim": {otto, "#public\n", pub, all(pub), "note", ""},
	} {
		m := b.want(b.take(mail{ip: trusted, to: []string{x.l.replyTo}, text: told(x.from, "Printer", x.text, x.l, x.to)}), x.outcome, n)
		if got := errorsOf(m); got != x.failed {
			t.Errorf("%s: failed %q", name, got)
		}
		if m.Mail != 0 && strings.HasPrefix(name, "nothing but") {
			t.Errorf("%s: somebody is told", name)
		}
		if x.failed == "" && x.outcome == "reply" != (m.Visibility == "public") {
			t.Errorf("%s: %s", name, m.Visibility)
		}
	}
}

// #merge puts the mail's own ticket into another; a new mail's commands are
// for the ticket it opens.
func TestCommandMergeAndNew(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	into := b.take(mail{text: write(xAddr, "Other")}).Ticket
	l := b.mailTo(n, 1, otto, message.RoleAgent, false)
	m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: told(otto, "Printer", "#merge "+itoa(into)+"\nOne and the same.", l, "To: "+l.replyTo+", "+l.alias(rAddr))}), "reply", n)
	if tk := b.ticket(n); errorsOf(m) != "" || tk.MergedInto != into || tk.MessageCount != 2 {
		t.Errorf("ticket %+v, results %+v", tk, m.Commands)
	}
	head, _, _ := strings.Cut(write(otto, "New phone"), "\n\n")
	o := b.take(mail{ip: trusted, text: head + "\n\n#priority urgent\n#assign me\nThe phone is broken.\n"})
	if tk := b.ticket(b.want(o, "new_ticket", 0).Ticket); tk.Priority != "urgent" || tk.Assignee != "otto" {
		t.Errorf("ticket %+v", tk)
	}
	b.checkAll()
}

// A03: an agent's mail to a ticket's task address is a task.
func TestTaskByMail(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	address := b.desk.TaskAddress(b.ticket(n))
	if r, err := b.desk.Route(ctx, address); err != nil || r.Kind != "task" || r.Queue != "support" {
		t.Fatalf("%s leads to %+v, %v", address, r, err)
	}
	if _, err := b.desk.Route(ctx, "task+"+strings.Repeat("a", 39)+"@help.example"); ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("a guessed task address: %v", err)
	}
	m := b.want(b.take(mail{ip: trusted, to: []string{address}, text: told(otto, "Fwd: Order toner", "#time 5m\nBlack, two of them.", letter{id: "<y@x.example>"}, "To: "+address+", "+rAddr)}), "note", n)
	tasks, _, err := b.desk.Tasks(ctx, ticketing.TaskFilter{Ticket: n})
	if err != nil || len(tasks) != 1 || tasks[0].Subject != "Order toner" && tasks[0].Subject != "Re: Fwd: Order toner" || tasks[0].Text != "Black, two of them." || tasks[0].Message != m.ID {
		t.Fatalf("tasks %+v, %v", tasks, err)
	}
	if b.ticket(n).Minutes != 5 || m.Visibility != "internal" {
		t.Errorf("message %+v", m)
	}
	// For everybody else the address is one of the ticket's.
	b.want(b.take(mail{to: []string{address}, text: write(rAddr, "Toner?")}), "reply", n)
	b.want(b.take(mail{to: []string{address}, text: write(otto, "Toner?")}), "third_party", n)
	if tasks, _, _ := b.desk.Tasks(ctx, ticketing.TaskFilter{Ticket: n}); len(tasks) != 1 {
		t.Errorf("%d tasks", len(tasks))
	}
	if _, err := b.desk.AddCC(ctx, agent("otto"), n, message.Address{Addr: address}); ticketing.KindOf(err) != ticketing.Refused {
		t.Errorf("a task address as CC: %v", err)
	}
	b.checkAll()
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// Programs that write HTML only, each in its own way of making lines: commands
// are carried out and leave nothing behind for customers, also in the HTML.
func TestCommandsInHTMLOnly(t *testing.T) {
	t.Parallel()
	for name, html := range map[string]string{
		"divisions":  "<html><body><div>#status pending</div><div>#tag +qsecret</div><div><br></div><div>On its way.</div></body></html>",
		"breaks":     "#status pending<br>\r\n#tag +qsecret<br><br>On its way.",
		"paragraphs": "<p class=MsoNormal>#status pending<o:p></o:p></p><p class=MsoNormal>#tag +qsecret</p><p class=MsoNormal>&nbsp;</p><p class=MsoNormal>On its way.</p>",
		"spans":      "<div><span>#status</span> <span>pending</span><br></div><div><span style=\"color:red\">#tag</span>&nbsp;+qsecret</div><div>On its way.</div>",
	} {
		b, n := openWithTicket(t)
		l := b.mailTo(n, 1, otto, message.RoleAgent, false)
		text := told(otto, "Printer", html, l, "To: "+l.replyTo+", "+l.alias(rAddr), "MIME-Version: 1.0", "Content-Type: text/html; charset=utf-8")
		m := b.want(b.take(mail{ip: trusted, to: []string{l.replyTo}, text: text}), "reply", n)
		if tk := b.ticket(n); errorsOf(m) != "" || len(m.Commands) != 2 || tk.Status != "pending" || strings.Join(tk.Tags, " ") != "qsecret" {
			t.Errorf("%s: %+v, ticket %s %v", name, m.Commands, tk.Status, tk.Tags)
		}
		c, err := b.desk.Content(context.Background(), m)
		if err != nil || strings.TrimSpace(c.VisibleText) != "On its way." || strings.Contains(c.Text+c.HTML, "qsecret") {
			t.Errorf("%s: %v, text %q, visible %q, HTML %q", name, err, c.Text, c.VisibleText, c.HTML)
		}
	}
}
