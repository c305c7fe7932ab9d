package notify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// What people do. Each step is one deed of one of them.

var bg = context.Background()

func (w *town) system() ticketing.Actor { return ticketing.Actor{Kind: "system"} }

// someTicket is one of the newest tickets, and somebody who may act on it.
func (w *town) someTicket() (*ticketing.Ticket, ticketing.Actor) {
	list := w.open[max(0, len(w.open)-6):]
	t, err := w.desk.Ticket(bg, pickOne(w, list))
	if err != nil {
		w.fatal("ticket: %v", err)
	}
	for t.MergedInto != 0 {
		if t, err = w.desk.Ticket(bg, t.MergedInto); err != nil {
			w.fatal("ticket: %v", err)
		}
	}
	if w.chance(20) {
		return t, w.system()
	}
	a := pickOne(w, w.staff)
	if w.chance(60) { // somebody who serves both queues, or one of them
		a = w.staff[map[bool]int{true: 0, false: 1}[t.Queue == "sales" || w.chance(50)]]
	}
	return t, ticketing.Actor{Kind: "agent", Agent: a.agent, Address: a.address, Name: a.name}
}

// check accepts what the desk may answer to a deed: what is not allowed or not
// possible is refused with a class, and nothing else goes wrong.
func (w *town) check(err error) bool {
	if err != nil && (ticketing.KindOf(err) == ticketing.Internal || ticketing.KindOf(err) == ticketing.Busy) {
		w.fatal("%v", err)
	}
	return err == nil
}

// noted ties the marks of a mail to what it became. What a customer repeats he
// was told by somebody who might tell him; whom he tells is his affair. What an
// agent's program repeats must not go on.
func (w *town) noted(r *ticketing.Receipt, words ...string) {
	if r == nil {
		return
	}
	words = append(words, w.repeated...)
	for _, o := range r.Outcomes {
		if o.Message == "" || o.Outcome == "duplicate" {
			continue
		}
		m, err := w.desk.Message(bg, o.Message)
		if err != nil {
			w.fatal("%v", err)
		}
		w.latest = o.Ticket
		w.mustStayInside(m)
		if o.Outcome == "new_ticket" {
			for _, word := range markForm.FindAllString(m.Subject, -1) {
				w.marks[word].tickets = append(w.marks[word].tickets, o.Ticket)
			}
		}
		for _, word := range words {
			w.marks[word].messages = append(w.marks[word].messages, o.Message)
		}
		if o.Outcome == "new_ticket" && !slices.Contains(w.open, o.Ticket) {
			w.open = append(w.open, o.Ticket)
		}
	}
}

func (w *town) address(c *citizen) message.Address {
	return message.Address{Name: c.name, Addr: c.address}
}

// newMail: a customer writes to a queue, or to both, with others in copy.
func (w *town) newMail() {
	by := pickOne(w, w.people)
	word := w.newMark(by.address)
	title := w.newMark(by.address)
	m := writing{by: by, from: by.address, ip: townMX, subject: "Question " + title, text: "Hello, " + word + "\n"}
	m.to = []message.Address{{Addr: pickOne(w, []string{"support@help.example", "sales@shop.example"})}}
	if w.chance(10) {
		m.to = []message.Address{{Addr: "support@help.example"}, {Addr: "sales@shop.example"}}
	}
	for range w.rnd.IntN(4) {
		m.cc = append(m.cc, w.address(pickOne(w, w.people)))
	}
	if w.chance(15) {
		m.cc = append(m.cc, message.Address{Addr: pickOne(w, w.staff).address})
	}
	w.withFile(&m, word)
	w.did("%s writes to %v, copy to %v: %s", by.address, m.to, m.cc, word)
	w.noted(w.send(m), word, title)
}

func (w *town) withFile(m *writing, word string) {
	if w.chance(20) {
		m.file = "file of " + word
	}
}

// agentMail: an agent writes to a queue like anybody, sometimes with commands,
// sometimes with a customer in copy.
func (w *town) agentMail() {
	by := pickOne(w, w.staff)
	word := w.newMark(by.address)
	commands := w.commandLines()
	title := w.newMark(by.address)
	m := writing{by: by, from: by.address, ip: townTrusted, quiet: true, subject: "From the house " + title, text: commands + "Please look, " + word + "\n" + signature(by, true)}
	m.to = []message.Address{{Addr: pickOne(w, []string{"support@help.example", "sales@shop.example"})}}
	if w.chance(50) {
		m.cc = append(m.cc, w.address(pickOne(w, w.people)))
	}
	w.did("agent %s writes to %v, copy to %v: %q", by.agent, m.to, m.cc, m.text)
	w.notedCommands(w.send(m), commands, word, title)
}

func signature(c *citizen, marked bool) string {
	s := "\n"
	if marked {
		s += "-- \n"
	}
	return s + c.name + "\n" + c.address + "\n"
}

// commandLines writes some commands, each with a word that only staff may see.
func (w *town) commandLines() string {
	if !w.chance(35) {
		return ""
	}
	var b strings.Builder
	for range 1 + w.rnd.IntN(3) {
		word := w.newMark("")
		switch w.rnd.IntN(12) {
		case 0:
			fmt.Fprintf(&b, "#tag +%s\n", word)
		case 1:
			fmt.Fprintf(&b, "#task %s\n", word)
		case 2:
			fmt.Fprintf(&b, "#status solved %s\n", word) // fails
		case 3:
			fmt.Fprintf(&b, "#T=0.25 #R=%s #S=%s\n", word, pickOne(w, []string{"Complete", "In Progress"}))
		case 4:
			fmt.Fprintf(&b, "#category %s\n", word)
		case 5:
			fmt.Fprintf(&b, "#assign %s\n", pickOne(w, w.staff).agent)
		case 6:
			fmt.Fprintf(&b, "#cc +%s -%s\n", pickOne(w, w.people).address, pickOne(w, w.people).address)
		case 7:
			fmt.Fprintf(&b, "#merge %d\n", pickOne(w, w.open))
		case 8:
			b.WriteString("#public\n")
		case 9:
			b.WriteString("#note\n")
		case 10:
			fmt.Fprintf(&b, "#queue %s\n", pickOne(w, []string{"sales", "support", word}))
		default:
			fmt.Fprintf(&b, "\n#priority %s\n", pickOne(w, []string{"high", word}))
		}
	}
	return b.String() + pickOne(w, []string{"", "\n"})
}

// notedCommands ties the marks of an agent's mail to what it became: the words
// of lines that were commands are secret, the others are its text's.
func (w *town) notedCommands(r *ticketing.Receipt, commands string, words ...string) {
	w.noted(r, words...)
	if r == nil {
		return
	}
	for _, o := range r.Outcomes {
		if o.Message == "" {
			continue
		}
		m, err := w.desk.Message(bg, o.Message)
		if err != nil {
			w.fatal("%v", err)
		}
		for _, other := range markForm.FindAllString(commands, -1) {
			if m.CommandLines > 0 {
				w.marks[other].secret = "it stands in a command"
			} else {
				w.marks[other].messages = append(w.marks[other].messages, m.ID)
			}
		}
	}
}

// quote is what a program puts under an answer.
func (w *town) quote(p *parcelMail) string {
	text := strings.TrimSpace(p.mail.Text())
	from := p.mail.Header.Addresses("From")[0]
	switch w.rnd.IntN(5) {
	case 0:
		return "\n-----Original Message-----\nFrom: " + from.Name + " <" + from.Addr + ">\nSent: Monday\nTo: " + p.To + "\nSubject: x\n\n" + text + "\n"
	case 1:
		return "\nAm 02.11.26 um 12:00 schrieb " + from.Name + ":\n" + quoteLines(text) + "\n"
	case 2, 3:
		return "\nOn Mon, 2 Nov 2026 at 12:00, " + from.Name + " <" + from.Addr + "> wrote:\n" + quoteLines(text) + "\n"
	}
	return ""
}

// answer: somebody answers a mail in his mailbox, to its sender or to all.
func (w *town) answer(by *citizen) {
	if len(by.mailbox) == 0 {
		return
	}
	p := pickOne(w, by.mailbox[max(0, len(by.mailbox)-8):])
	word := w.newMark(by.address)
	m := writing{by: by, from: by.address, ip: townMX, answers: p, subject: "Re: " + p.mail.Header.Text("Subject")}
	title := w.newMark(by.address)
	if w.chance(30) {
		m.subject = "Changed " + title
	}
	m.to = p.mail.Header.Addresses("Reply-To")
	if len(m.to) == 0 {
		m.to = p.mail.Header.Addresses("From")
	}
	all := w.chance(60)
	if all {
		for _, field := range []string{"To", "Cc"} {
			for _, a := range p.mail.Header.Addresses(field) {
				if message.Fold(a.Addr) != message.Fold(by.address) {
					m.cc = append(m.cc, a)
				}
			}
		}
	}
	m.text = "Well, " + word + pickOne(w, []string{"", "\nand more", " ünd"}) + "\n"
	commands := ""
	if by.agent != "" {
		commands = w.commandLines()
		w.asAgent(&m, commands)
	} else {
		if w.chance(15) { // he leaves one out, or takes one in
			m.cc = m.cc[:w.rnd.IntN(len(m.cc)+1)]
		}
		if w.chance(15) {
			m.cc = append(m.cc, w.address(pickOne(w, w.people)))
		}
		if w.chance(5) {
			m.text = "#status solved\n#public\n" + m.text
		}
	}
	m.text += w.quote(p)
	w.withFile(&m, word)
	w.did("%s answers a mail of ticket %d (message %s, all=%t) to %v, copy to %v: %s", by.address, p.Ticket, p.Message, all, m.to, m.cc, word)
	w.notedCommands(w.send(m), commands, word, title)
}

// asAgent makes an answer an agent's: from one of his addresses, proven or not,
// with commands and a signature. His program never writes to customers but by
// aliases, because it knows no other address of them.
func (w *town) asAgent(m *writing, commands string) {
	m.from, m.ip = pickOne(w, m.by.self.Addresses), townTrusted
	if w.chance(7) {
		m.ip = townMX
	}
	keep := func(a message.Address) bool { return ours(a.Addr) }
	m.to = slices.DeleteFunc(slices.Clone(m.to), func(a message.Address) bool { return !keep(a) })
	m.cc = slices.DeleteFunc(slices.Clone(m.cc), func(a message.Address) bool { return !keep(a) })
	if w.chance(10) {
		m.cc = append(m.cc, message.Address{Addr: pickOne(w, w.staff).address})
	}
	if commands != "" && w.chance(25) { // nothing but commands
		m.text = commands
		return
	}
	m.text = commands + m.text + signature(m.by, w.chance(60))
}

// stranger: a mail was passed on, and its new reader answers.
func (w *town) stranger() {
	from := pickOne(w, w.people)
	if len(from.mailbox) == 0 {
		return
	}
	p := pickOne(w, from.mailbox)
	by := pickOne(w, w.people)
	word := w.newMark(by.address)
	to := p.mail.Header.Addresses("Reply-To")
	if len(to) == 0 {
		return
	}
	m := writing{by: by, from: by.address, ip: townMX, answers: p, to: to, subject: "Re: " + word, text: "I was sent this. " + word + "\n"}
	w.did("%s answers what %s was sent about ticket %d: %s", by.address, from.address, p.Ticket, word)
	w.noted(w.send(m), word)
}

// robot: an absent person's program answers, and now and then a report comes.
func (w *town) robot() {
	by := pickOne(w, w.people)
	if len(by.mailbox) == 0 {
		return
	}
	p := pickOne(w, by.mailbox)
	to := p.mail.Header.Addresses("Reply-To")
	if len(to) == 0 {
		return
	}
	word := w.newMark(by.address)
	m := writing{by: by, from: by.address, ip: townMX, answers: p, to: to, subject: "Out of office " + word, text: "I am away. " + word + "\n",
		extra: []string{"Auto-Submitted: auto-replied"}, envelope: "<>"}
	w.did("%s is away: %s", by.address, word)
	w.noted(w.send(m), word)
}

// post: staff write by the API.
func (w *town) posted() {
	t, by := w.someTicket()
	word := w.newMark(by.Address)
	n := ticketing.NewMessage{Visibility: pickOne(w, []string{"public", "internal"}), Text: "Posted " + word}
	if w.chance(30) {
		n.HTML = "<p>Posted <b>" + word + "</b></p>"
	}
	if by.Agent != "" && w.chance(30) {
		n.Text += "\n" + by.Name + ", " + by.Address
	}
	if w.chance(15) {
		n.Attachments = []ticketing.NewAttachment{{Filename: word + ".txt", ContentType: "text/plain", Content: strings.NewReader(word)}}
	}
	m, err := w.desk.Post(bg, by, t.Number, n)
	w.did("%s%s posts on %d, %s: %s (%v)", by.Kind, by.Agent, t.Number, n.Visibility, word, err)
	if w.check(err) {
		w.latest = t.Number
		w.marks[word].messages = append(w.marks[word].messages, m.ID)
	}
}

// mustStayInside knows better than the desk what may not be public, whoever
// decided it: strangers, machines, light agents, and answers to what was
// internal.
func (w *town) mustStayInside(m *ticketing.Message) {
	if m.Visibility != "public" {
		return
	}
	why := ""
	by, _ := w.desk.Writer(m.Author.Address)
	switch {
	case m.Author.Role == "third_party":
		why = "a stranger wrote it"
	case m.Automatic.Class == "autoreply":
		why = "a machine wrote it"
	case by != nil && by.Light && m.Author.Role != "requester" && m.Author.Role != "cc":
		why = "a light agent wrote it"
	case m.Author.Role == "follower" && by == nil:
		why = "a follower who is nobody wrote it"
	}
	for _, id := range append(slices.Clone(m.InReplyTo), m.References...) {
		if token, err := w.desk.Keyring().ParseMessageID(id); err == nil && token.Internal && slices.Contains(m.InReplyTo, id) && m.Seq > 1 {
			why = "it answers what is internal"
		}
	}
	if why != "" {
		w.fatal("message %s by %s is public: %s", m.ID, m.Author.Address, why)
	}
}

// someMessage is one of a ticket's last messages.
func (w *town) someMessage(t *ticketing.Ticket) *ticketing.Message {
	list, err := w.desk.Messages(bg, t.Number, max(0, t.MessageCount-5), 5)
	if err != nil {
		w.fatal("%v", err)
	}
	return pickOne(w, list)
}

// decided: third parties are accepted or refused, messages concealed or shown.
func (w *town) decided() {
	t, by := w.someTicket()
	m := w.someMessage(t)
	for range 4 { // a third party's, if there is one
		if !slices.Contains(m.Flags, "third_party") {
			m = w.someMessage(t)
		}
	}
	var err error
	what := pickOne(w, []string{"accept", "accept", "refuse", "internal", "internal", "public"})
	switch what {
	case "accept":
		_, err = w.desk.AcceptParticipant(bg, by, t.Number, m.ID)
	case "refuse":
		_, err = w.desk.RefuseParticipant(bg, by, t.Number, m.ID)
	default:
		_, _, err = w.desk.SetVisibility(bg, by, m.ID, what)
	}
	w.did("%s%s on %d: %s %s by %s (%v)", by.Kind, by.Agent, t.Number, what, m.ID, m.Author.Address, err)
	if err == nil && what != "refuse" {
		if what == "internal" {
			w.concealed[m.ID] = w.concealed[m.ID] || m.Visibility == "public"
		} else {
			w.concealed[m.ID], w.opened = false, m.ID
		}
	}
	if w.check(err) && (what == "accept" || what == "public") {
		w.seen[m.ID] = len(w.steps) // it is told anew
	}
}

// participants come and go by the API.
func (w *town) participants() {
	t, by := w.someTicket()
	who, agent := pickOne(w, w.people), pickOne(w, w.staff)
	var err error
	what := pickOne(w, []string{"cc", "cc", "no cc", "follow", "follow", "unfollow", "assign", "cc of staff"})
	switch what {
	case "cc":
		_, err = w.desk.AddCC(bg, by, t.Number, w.address(who))
	case "cc of staff":
		_, err = w.desk.AddCC(bg, by, t.Number, w.address(agent))
	case "no cc":
		_, err = w.desk.RemoveCC(bg, by, t.Number, who.address)
	case "follow":
		_, err = w.desk.Follow(bg, by, t.Number, agent.agent)
	case "unfollow":
		_, err = w.desk.Unfollow(bg, by, t.Number, agent.agent)
	default:
		_, err = w.desk.Change(bg, by, t.Number, ticketing.Change{Assignee: &agent.agent})
	}
	w.did("%s%s on %d: %s %s or %s (%v)", by.Kind, by.Agent, t.Number, what, who.address, agent.agent, err)
	w.check(err)
}

// moved: tickets are merged, split, moved, tied, put aside, closed.
func (w *town) moved() {
	t, by := w.someTicket()
	what := pickOne(w, []string{"merge", "split", "split", "move", "link", "snooze", "status", "task"})
	var err error
	switch what {
	case "merge":
		_, err = w.desk.Merge(bg, w.system(), t.Number, pickOne(w, w.open[max(0, len(w.open)-6):]))
	case "split":
		m := w.someMessage(t)
		var nt *ticketing.Ticket
		var c *ticketing.Message
		if nt, c, err = w.desk.Split(bg, by, t.Number, m.ID); err == nil && !slices.Contains(w.open, nt.Number) {
			w.open = append(w.open, nt.Number)
			w.concealed[c.ID] = w.concealed[m.ID]
			for word, mk := range w.marks {
				if slices.Contains(mk.messages, m.ID) {
					mk.messages = append(mk.messages, c.ID)
					if strings.Contains(c.Subject, word) {
						mk.tickets = append(mk.tickets, nt.Number)
					}
				}
			}
		}
	case "move":
		q := pickOne(w, []string{"support", "sales"})
		_, err = w.desk.Change(bg, by, t.Number, ticketing.Change{Queue: &q})
	case "link":
		_, err = w.desk.Link(bg, by, t.Number, pickOne(w, w.open))
	case "snooze":
		at := w.clock.now().Add(time.Duration(w.rnd.IntN(48)) * time.Hour)
		_, err = w.desk.Change(bg, by, t.Number, ticketing.Change{SnoozedUntil: &at})
	case "task":
		word := w.newMark("")
		w.marks[word].secret = "it stands in a task"
		_, err = w.desk.AddTask(bg, by, t.Number, ticketing.NewTask{Subject: word, Assignee: pickOne(w, w.staff).agent})
	default:
		s := pickOne(w, []string{"open", "pending", "solved", "closed"})
		_, err = w.desk.Change(bg, by, t.Number, ticketing.Change{Status: &s})
	}
	w.did("%s%s on %d: %s (%v)", by.Kind, by.Agent, t.Number, what, err)
	w.check(err)
}

// created: staff open a ticket for a customer.
func (w *town) created() {
	by := pickOne(w, w.staff)
	word := w.newMark(by.address)
	n := ticketing.NewTicket{Queue: pickOne(w, []string{"support", "sales"}), Subject: "Called us", Requester: w.address(pickOne(w, w.people)),
		Message: ticketing.NewMessage{Visibility: pickOne(w, []string{"public", "internal"}), Text: "As we said, " + word}}
	if w.chance(40) {
		n.CCs = []message.Address{w.address(pickOne(w, w.people)), w.address(pickOne(w, w.staff))}
	}
	t, m, err := w.desk.Create(bg, ticketing.Actor{Kind: "agent", Agent: by.agent, Address: by.address, Name: by.name}, n)
	w.did("%s opens a ticket in %s for %s, %s: %s (%v)", by.agent, n.Queue, n.Requester.Addr, n.Message.Visibility, word, err)
	if w.check(err) {
		w.open = append(w.open, t.Number)
		w.marks[word].messages = append(w.marks[word].messages, m.ID)
		w.marks[word].secret = ""
	}
}

// meddle does something to what the notifier has not told yet: the last public
// message becomes internal, or somebody who was to hear of it leaves.
func (w *town) meddle() {
	t, err := w.desk.Ticket(bg, w.latest)
	if err != nil {
		w.fatal("%v", err)
	}
	list, err := w.desk.Messages(bg, t.Number, max(0, t.MessageCount-1), 1)
	if err != nil {
		w.fatal("%v", err)
	}
	switch {
	case w.chance(50) && len(list) > 0:
		var received []ticketing.Received
		_, received, err = w.desk.SetVisibility(bg, w.system(), list[0].ID, "internal")
		if err == nil {
			w.checkReceived(list[0].ID, received)
		}
		w.concealed[list[0].ID] = w.concealed[list[0].ID] || err == nil && list[0].Visibility == "public"
		w.did("system on %d: internal %s, before it is told (%v)", t.Number, list[0].ID, err)
	case len(t.CCs) > 0:
		gone := pickOne(w, t.CCs).Address
		_, err = w.desk.RemoveCC(bg, w.system(), t.Number, gone)
		w.did("system on %d: no cc %s, before it is told (%v)", t.Number, gone, err)
	}
	w.check(err)
}

// regret makes something internal that stands in a mail which has not left yet:
// the message it tells, one it quotes, or one of the backlog.
func (w *town) regret(p *parcelMail) {
	words := markForm.FindAllString(p.everything(), -1)
	if len(words) == 0 {
		return
	}
	word := pickOne(w, words)
	for _, id := range w.marks[word].messages {
		m, err := w.desk.Message(bg, id)
		if err != nil {
			w.fatal("%v", err)
		}
		if m.Visibility != "public" || m.Ticket != p.Ticket {
			continue
		}
		_, list, err := w.desk.SetVisibility(bg, w.system(), id, "internal")
		w.did("system on %d: internal %s, which is on its way to %s (%v)", m.Ticket, id, p.To, err)
		if w.check(err) {
			w.concealed[id] = true
			w.checkReceived(id, list)
		}
	}
}

// step is one deed.
func (w *town) step() {
	if len(w.open) == 0 {
		w.newMail()
		return
	}
	if w.late && w.latest != 0 && w.chance(50) {
		w.meddle()
		return
	}
	toCustomers := slices.DeleteFunc(slices.Clone(w.waiting), func(p *parcelMail) bool { return w.citizenAt(p.To).agent != "" })
	if len(toCustomers) > 0 && w.chance(25) {
		w.regret(pickOne(w, toCustomers))
		return
	}
	switch n := w.rnd.IntN(100); {
	case n < 7:
		w.newMail()
	case n < 10:
		w.agentMail()
	case n < 32:
		w.answer(pickOne(w, w.people))
	case n < 56:
		w.answer(pickOne(w, append(slices.Clone(w.staff), w.staff[0], w.staff[0], w.staff[1], w.staff[1])))
	case n < 61:
		w.stranger()
	case n < 63:
		w.robot()
	case n < 73:
		w.posted()
	case n < 81:
		w.decided()
	case n < 90:
		w.participants()
	case n < 98:
		w.moved()
	default:
		w.created()
	}
	if w.chance(10) {
		w.clock.move(time.Duration(w.rnd.IntN(30)) * time.Hour)
		if _, _, err := w.desk.StepTimers(bg); err != nil {
			w.fatal("%v", err)
		}
	} else {
		w.clock.move(time.Minute)
	}
}
