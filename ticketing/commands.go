package ticketing

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/message"
)

// commands are the leading lines of an agent's mail that tell the desk what to
// do, as far as they can be read without knowing the ticket.
type commands struct {
	list  []message.Command
	lines int
	rest  string // the author's text without them
	files bool   // the mail has files
}

// readCommands looks for commands. Only a proven agent's mail has any, and none
// that a machine wrote.
func (d *Desk) readCommands(in *incoming) {
	proven := slices.ContainsFunc(in.units, func(u *unit) bool { return u.agent != nil })
	if !proven || in.automatic() {
		return
	}
	visible := in.mail.Reply().Visible
	c := &in.commands
	c.list, c.lines, c.rest = message.Commands(visible)
	c.rest = strings.TrimSpace(c.rest)
	c.files = len(in.mail.Attachments()) > 0
}

// running is the commands of a mail on one ticket. Without commands it does
// nothing.
type running struct {
	w        *work
	t        *ticketRow
	m        *Message
	by       Actor
	worker   bool // who may write notes on the ticket
	commands commands
	task     string // subject of a task that the mail itself is
	failed   []CommandResult
	merge    []message.Command
	seeds    seeds
}

// commandsOn returns what a mail wants done with a ticket. The lines of a proven
// agent are commands wherever he writes, so that nobody outside reads them;
// where he may not do what they say, they fail.
func (w *work) commandsOn(t *ticketRow, in *incoming, u *unit, m *Message) *running {
	r := &running{w: w, t: t, m: m}
	if u.agent == nil || in.doubtful || in.automatic() {
		return r
	}
	r.by = Actor{Kind: "agent", Agent: u.agent.Name, Address: in.author.Addr, Name: u.agent.DisplayName}
	r.worker = w.d.permit(r.by, t, rightNote) == nil
	r.commands = in.commands
	r.task = ticketSubject(replySubject(in.subject), u.queue)
	r.seeds.key = sha256.Sum256(append([]byte("commands\x00"), u.entropy[:]...))
	return r
}

// replySubject is a subject without reply prefixes.
func replySubject(s string) string {
	for {
		head, rest, ok := strings.Cut(strings.TrimSpace(s), ":")
		if !ok || len(head) > 4 || strings.ContainsAny(head, " \t") || strings.TrimSpace(rest) == "" {
			return s
		}
		s = strings.TrimSpace(rest)
	}
}

// wish is the visibility that the author asked for, "" if he asked for none.
// What is to stay inside stays inside, whatever else was asked. A mail that is
// a task stays inside, and so does one of nothing but commands.
func (r *running) wish(p *place) string {
	wish := ""
	for _, c := range r.commands.list {
		if c.Word == "visibility" && c.Err == "" && wish != "internal" {
			wish = c.Value
		}
	}
	if r.worker && p.task || r.silent() {
		wish = "internal"
	}
	return wish
}

// silent reports whether a mail says nothing but commands.
func (r *running) silent() bool {
	return r.commands.lines > 0 && r.commands.rest == "" && !r.commands.files
}

// execute carries out what can be before the mail is told of.
func (r *running) execute(p *place) error {
	r.m.CommandLines = r.commands.lines
	if r.worker && p.task {
		n := NewTask{Subject: r.task, Text: cut(r.commands.rest, maxTaskText)}
		if _, err := r.w.addTask(r.by, r.t, n, r.m.ID, &r.seeds); err != nil {
			if err := r.note(message.Command{Line: "task: " + r.task}, err); err != nil {
				return err
			}
		}
	}
	for _, c := range r.commands.list {
		if c.Word == "merge" && c.Err == "" {
			r.merge = append(r.merge, c)
			continue
		}
		if err := r.note(c, r.one(c)); err != nil {
			return err
		}
	}
	return nil
}

// note keeps a command's result. An error of ours ends everything, so that the
// mail is tried again; any other is the author's to hear of.
func (r *running) note(c message.Command, err error) error {
	result := CommandResult{Line: clip(c.Line, 200)}
	if err != nil {
		var known *Error
		if !errors.As(err, &known) || known.Kind == Internal || known.Kind == NoSpace || known.Kind == Busy || known.Kind == Full {
			return err
		}
		result.Error = clip(known.Text, 200)
		r.failed = append(r.failed, result)
	}
	if len(r.m.Commands) < maxCommandResults {
		r.m.Commands = append(r.m.Commands, result)
	}
	return nil
}

const maxCommandResults = 20

// finish merges, if that was asked for, and answers the author if something
// failed. The mail has been told of by then, to the people of its own ticket.
func (r *running) finish() error {
	for _, c := range r.merge {
		if err := r.note(c, r.mergeInto(c.Ticket)); err != nil {
			return err
		}
	}
	if len(r.failed) == 0 {
		return nil
	}
	var lines []string
	for _, f := range r.failed[:min(len(r.failed), maxCommandResults)] {
		lines = append(lines, f.Line+"\n    "+f.Error)
	}
	a := r.w.d.agents[r.by.Agent]
	_, err := r.w.notice(r.t, Notice{Event: eventCommands, Message: r.m.ID, Actor: r.by, NoAck: true, Detail: strings.Join(lines, "\n"),
		Audience: []Recipient{{Role: "agent", Address: a.Addresses[0], Name: a.DisplayName, Agent: a.Name}}})
	return err
}

func (r *running) mergeInto(number uint64) error {
	into, err := r.w.follow(number)
	if err != nil {
		return err
	}
	if into == nil {
		return unknownTicket()
	}
	return r.w.merge(r.by, r.t, into, &r.seeds)
}

// commandRights is the table of who may use which word; what is missing is a
// change of the ticket.
var commandRights = map[string]right{"time": rightNote, "task": rightNote}

// one carries out one command.
func (r *running) one(c message.Command) error {
	if c.Err != "" {
		return &Error{Kind: Invalid, Text: c.Err}
	}
	want, ok := commandRights[c.Word]
	if !ok {
		want = rightChange
	}
	if c.Word == "visibility" {
		return r.seen(c.Value)
	}
	if err := r.w.d.permit(r.by, r.t, want); err != nil {
		return err
	}
	switch c.Word {
	case "status":
		return r.change(Change{Status: &c.Value})
	case "priority":
		return r.change(Change{Priority: &c.Value})
	case "category":
		return r.change(Change{Category: &c.Value})
	case "queue":
		return r.change(Change{Queue: r.queue(c.Value)})
	case "assign":
		return r.assign(c.Value)
	case "tag":
		tags := slices.DeleteFunc(slices.Clone(r.t.Tags), func(tag string) bool {
			return slices.ContainsFunc(c.Remove, func(gone string) bool { return strings.EqualFold(gone, tag) })
		})
		tags = append(tags, c.Add...)
		return r.change(Change{Tags: &tags})
	case "due":
		at := r.when(c)
		return r.change(Change{DueAt: &at})
	case "snooze":
		at := r.when(c)
		return r.change(Change{SnoozedUntil: &at})
	case "time":
		_, err := r.w.addTime(r.by, r.t, NewTime{Minutes: c.Minutes, Role: c.Role}, r.m.ID, &r.seeds)
		return err
	case "task":
		return r.addTask(c.Value)
	case "cc":
		return r.participants(c)
	case "link":
		return r.link(c.Ticket)
	}
	return &Error{Kind: Invalid, Text: "this cannot be done by mail"}
}

func (r *running) change(c Change) error {
	fields, err := r.w.change(r.t, c)
	if err != nil || len(fields) == 0 {
		return err
	}
	return r.w.record(r.t, "ticket.updated", r.by, changed{fields})
}

// seen says whether a wish came true.
func (r *running) seen(wish string) error {
	if wish == "public" && r.m.Visibility != "public" && !r.silent() {
		return &Error{Kind: Refused, Text: "the message stays internal: it answers an internal mail, or its author may not write to customers here, or #note was asked for too"}
	}
	return nil
}

// queue finds a queue by its name or the name people see, in any case.
func (r *running) queue(name string) *string {
	for _, q := range r.w.d.order {
		if strings.EqualFold(q.Name, name) || q.DisplayName != "" && strings.EqualFold(q.DisplayName, name) {
			return &q.Name
		}
	}
	return &name
}

func (r *running) assign(who string) error {
	name := strings.TrimPrefix(who, "@")
	switch strings.ToLower(name) {
	case "me":
		name = r.by.Agent
	case "nobody", "none", "-":
		name = ""
	default:
		if a := r.agent(name); a != nil {
			name = a.Name
		}
	}
	return r.change(Change{Assignee: &name})
}

// agent finds an agent by his id or one of his addresses.
func (r *running) agent(name string) *Agent {
	for _, a := range r.w.d.agents {
		if strings.EqualFold(a.Name, name) {
			return a
		}
	}
	return r.w.d.writer(message.Fold(name))
}

func (r *running) when(c message.Command) time.Time {
	if c.In > 0 {
		return r.w.now.Add(c.In)
	}
	return c.At
}

// addTask makes a task; "@otto" before it says whose it is.
func (r *running) addTask(subject string) error {
	n := NewTask{Subject: subject}
	if rest, ok := strings.CutPrefix(subject, "@"); ok {
		name, what, _ := strings.Cut(rest, " ")
		a := r.agent(strings.TrimSuffix(name, ":"))
		if a == nil {
			return &Error{Kind: Invalid, Text: "there is no such agent"}
		}
		n.Subject, n.Assignee = what, a.Name
	}
	_, err := r.w.addTask(r.by, r.t, n, r.m.ID, &r.seeds)
	return err
}

// participants adds and removes CCs. All addresses are looked at before any of
// them is; what a queue forbids still stops at the first that it forbids.
func (r *running) participants(c message.Command) error {
	var add []message.Address
	for _, address := range c.Add {
		a, err := r.w.d.outsider(message.Address{Addr: address})
		if err != nil {
			return err
		}
		add = append(add, a)
	}
	for _, address := range c.Remove {
		if !r.t.hasCC(message.Fold(address)) {
			return &Error{Kind: Unknown, Text: clip(address, 100) + " is no CC of the ticket"}
		}
	}
	for _, address := range c.Remove {
		folded := message.Fold(address)
		r.w.removeCC(r.t, folded)
		if err := r.w.record(r.t, "ticket.updated", r.by, ccChange{Removed: []string{folded}, Via: "mail"}); err != nil {
			return err
		}
	}
	for _, a := range add {
		data, err := r.w.invite(r.by, r.t, a)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		if err := r.w.record(r.t, "ticket.updated", r.by, data); err != nil {
			return err
		}
	}
	return nil
}

func (r *running) link(number uint64) error {
	other, err := r.w.follow(number)
	if err != nil {
		return err
	}
	switch {
	case other == nil:
		return unknownTicket()
	case other == r.t:
		return &Error{Kind: Invalid, Text: "a ticket cannot be linked to itself"}
	}
	if err := r.w.d.may(r.by, other); err != nil {
		return err
	}
	return r.w.relate(r.by, r.t, other)
}
