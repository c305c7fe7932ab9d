package ticketing

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
)

// Events of notices.
const (
	eventCreated    = "ticket_created"
	eventPublic     = "public_message"
	eventInternal   = "internal_message"
	eventThirdParty = "third_party"
	eventFailed     = "delivery_failed"
	eventReminder   = "reminder"        // a snooze ended, or something is due
	eventTask       = "task_assigned"   // to the agent who has it now
	eventCommands   = "commands_failed" // to the agent whose mail held them
)

// LoopHeader is the header field of our mail that carries a loop mark
// (message.Keyring.LoopMark).
const LoopHeader = "X-Ticketgate-Loop"

// maxAudience keeps a notice's payload well below agenda.MaxPayload; a larger
// audience is told in several notices about the same mail.
const (
	maxAudience      = 60
	maxAudienceBytes = 20000
)

// notice owes the world a notice about a ticket. It numbers the mail that will
// tell it and records who will visibly stand in that mail. Without anybody to
// tell there is only the number.
func (w *work) notice(t *ticketRow, n Notice) (mail uint32, err error) {
	t.Mails++
	w.touch(t)
	if unheard, err := w.unheard(&n, t); err != nil || unheard {
		return t.Mails, err
	}
	n.Ticket, n.Queue, n.Mail, n.At = t.Number, t.Queue, t.Mails, w.now
	sent := Sent{Ticket: t.Number, Mail: n.Mail, Message: n.Message, Visible: []string{}, At: w.now}
	switch n.Event {
	case eventCreated, eventPublic:
		sent.Visible = visible(t)
	case EventBacklog:
		sent.Visible, sent.Backlog, sent.Upto, sent.Except = visible(t), message.Fold(n.Audience[0].Address), n.Upto, n.Except
		sent.State = stateOwed
	}
	if err := w.d.sent.Put(w.tx, &sent); err != nil {
		return 0, err
	}
	whole := n.Audience
	for part := 1; len(whole) > 0; part++ {
		n.Audience, whole = split(whole)
		n.ID = fmt.Sprintf("ntc_%d_%d", t.Number, n.Mail)
		if part > 1 {
			n.ID += "_" + strconv.Itoa(part)
		}
		payload, err := json.Marshal(n)
		if err != nil {
			return 0, fmt.Errorf("notice: %w", err)
		}
		w.jobs = append(w.jobs, agenda.Job{Lane: NoticeLane, Key: n.ID, Payload: payload})
	}
	return n.Mail, nil
}

// unheard reports whether nobody can come to hear of a notice: it has no
// audience but the customer who caused it, and he gets no acknowledgement.
// Notify decides the same; this saves writing down what it would throw away.
func (w *work) unheard(n *Notice, t *ticketRow) (bool, error) {
	if len(n.Audience) == 0 {
		return true, nil
	}
	r := n.Audience[0]
	if len(n.Audience) > 1 || r.Agent != "" || n.Actor.Address == "" || message.Fold(r.Address) != message.Fold(n.Actor.Address) {
		return false, nil
	}
	q := w.d.queues[t.Queue]
	if n.Event != eventCreated || n.NoAck || n.Automatic != "" || n.Trust == "T0" && !n.KnownContact || q != nil && !q.AutoAck {
		return true, nil
	}
	if w.d.acked == nil {
		return false, nil
	}
	had, alarm, err := w.d.acked(w.tx, r.Address)
	if err != nil || alarm == "" {
		return had, err
	}
	out := Withheld(w.d.Admin(), t.Queue, t.Number, alarm, w.now)
	if len(out.Audience) == 0 {
		return had, nil
	}
	payload, err := json.Marshal(out)
	if err != nil {
		return false, fmt.Errorf("notice: %w", err)
	}
	w.jobs = append(w.jobs, agenda.Job{Lane: NoticeLane, Key: out.ID, Payload: payload})
	return had, nil
}

// EventWithheld is the notice that tells the administrator that a limit keeps
// mail from being sent. It says in Detail which.
const EventWithheld = "mail_withheld"

// Withheld makes that notice; one a day for the same news. Without an
// administrator it has no audience.
func Withheld(admin, queue string, ticket uint64, what string, at time.Time) Notice {
	sum := sha256.Sum256([]byte(what))
	n := Notice{
		ID: "wht_" + at.UTC().Format("2006-01-02") + "_" + hex.EncodeToString(sum[:8]), Event: EventWithheld, Ticket: ticket, Queue: queue,
		Actor: Actor{Kind: "system"}, At: at, Detail: clip(what, maxDiagnostic), NoAck: true,
	}
	if admin != "" {
		n.Audience = []Recipient{{Role: "admin", Address: admin}}
	}
	return n
}

// Admin is the administrator's address, "" if there is none or if it is one of
// the desk's own: news about mail must not become mail to the desk.
func (d *Desk) Admin() string {
	if d.admin == "" || d.own(message.Fold(d.admin)) != nil {
		return ""
	}
	return d.admin
}

func split(list []Recipient) (head, rest []Recipient) {
	size := 0
	for i, r := range list {
		size += 2*(len(r.Address)+len(r.Name)+len(r.Agent)) + 60
		if i > 0 && (i == maxAudience || size > maxAudienceBytes) {
			return list[:i], list[i:]
		}
	}
	return list, nil
}

// visible lists the folded addresses of requester and CCs.
func visible(t *ticketRow) []string {
	out := []string{}
	if t.Requester.Address != "" {
		out = append(out, message.Fold(t.Requester.Address))
	}
	for _, c := range t.CCs {
		out = append(out, message.Fold(c.Address))
	}
	return out
}

// audience lists whom an event of a ticket may concern, each address once in
// its first role. Customers stand in it only if customers may hear of the
// event. Who caused the event stands in it too: notify needs to know him to
// acknowledge, and tells him nothing else.
func (d *Desk) audience(t *ticketRow, event string) []Recipient {
	var out []Recipient
	seen := map[string]bool{}
	add := func(r Recipient) {
		folded := message.Fold(r.Address)
		if r.Address == "" || seen[folded] || r.Agent == "" && d.own(folded) != nil {
			return
		}
		seen[folded] = true
		out = append(out, r)
	}
	staff := func(role, name string) {
		if a := d.agents[name]; a != nil {
			add(Recipient{Role: role, Address: a.Addresses[0], Name: a.DisplayName, Agent: name})
		}
	}
	if event == eventCreated || event == eventPublic {
		add(Recipient{Role: "requester", Address: t.Requester.Address, Name: t.Requester.Name})
		for _, c := range t.CCs {
			add(Recipient{Role: "cc", Address: c.Address, Name: c.Name})
		}
	}
	staff("assignee", t.Assignee)
	for _, f := range t.Followers {
		staff("follower", f.Agent)
	}
	if q := d.queues[t.Queue]; q != nil {
		for _, name := range q.Agents {
			staff("agent", name)
		}
	}
	return out
}
