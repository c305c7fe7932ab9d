package ticketing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
)

// Refusal is what Admit's error wraps if rules refused the mail: one of each
// queue it was for.
type Refusal struct {
	Rules []QueueRule

	change refusedChange
}

// QueueRule is a rule of a queue.
type QueueRule struct{ Queue, Rule string }

func (r *Refusal) Error() string {
	names := make([]string, len(r.Rules))
	for i, x := range r.Rules {
		names[i] = fmt.Sprintf("rule %s of queue %s", x.Rule, x.Queue)
	}
	return strings.Join(names, ", ")
}

// refusedChange is the journal's data about refused mail, of which nothing else
// is kept.
type refusedChange struct {
	Rule         string `json:"rule"`
	From         string `json:"from,omitempty"`
	EnvelopeFrom string `json:"envelope_from"`
	Subject      string `json:"subject,omitempty"`
	MessageID    string `json:"message_id,omitempty"`
	RemoteIP     string `json:"remote_ip,omitempty"`
	Size         int64  `json:"size"`
	SHA256       string `json:"sha256"`
}

// glance is how much of a mail is read to see whether a rule may refuse it.
const glance = 64 << 10

// refusal returns the error by which rules refuse a mail; nil unless those of
// all its queues do. First the beginning of the mail is asked: only what would
// be refused by it is read whole. What that misjudges is held later, not lost.
// Mail to a postmaster is taken (RFC 5321 §4.5.1).
func (d *Desk) refusal(a *Arrival) error {
	for _, r := range a.Recipients {
		if t, err := d.target(r); err != nil || !t.queue.refuses || t.kind == routePostmaster {
			return nil
		}
	}
	if a.Raw == nil || len(a.Recipients) == 0 {
		return nil
	}
	in, err := d.readHead(*a)
	if err != nil || slices.ContainsFunc(in.units, func(u *unit) bool { return u.queue.rule(in, u).hit().Action != ruleReject }) {
		return nil
	}
	if in, err = d.read(*a); err != nil || slices.ContainsFunc(in.units, func(u *unit) bool { return u.rule.hit().Action != ruleReject }) {
		return nil // what is wrong with it Receive says better
	}
	r := &Refusal{}
	for _, u := range in.units {
		r.Rules = append(r.Rules, QueueRule{u.queue.Name, u.rule.Name})
	}
	m := &in.template
	r.change = refusedChange{
		From: m.Author.Address, EnvelopeFrom: m.Envelope.From, Subject: clip(m.Subject, maxBrief), MessageID: m.MessageID,
		RemoteIP: m.Envelope.RemoteIP, Size: m.Raw.Size, SHA256: m.Raw.SHA256,
	}
	text := in.units[0].rule.Text
	if text == "" {
		text = "this queue does not take such mail"
	}
	return &Error{Kind: Refused, Text: text, Err: r}
}

// readHead reads as much of a mail as rules ask about, of its beginning.
func (d *Desk) readHead(a Arrival) (*incoming, error) {
	in := &incoming{arrival: a, raw: a.Raw}
	mail, err := message.Parse(in.raw, min(in.raw.Ref().Size, glance), d.limits)
	if err != nil {
		return nil, fmt.Errorf("parse: %w", err)
	}
	in.mail = mail
	if err := d.readRecipients(in); err != nil {
		return nil, err
	}
	d.readAuthor(in)
	d.unrewrite(in)
	in.readSubject()
	for _, u := range in.units {
		d.judge(in, u)
	}
	return in, nil
}

// Refused notes in the journals of its queues that rules have refused a mail;
// err is Admit's. It does nothing about other errors.
func (d *Desk) Refused(ctx context.Context, err error) error {
	var r *Refusal
	if !errors.As(err, &r) {
		return nil
	}
	return d.update(ctx, func(w *work) error {
		for _, x := range r.Rules {
			change := r.change
			change.Rule = x.Rule
			doc, err := json.Marshal(change)
			if err != nil {
				return fmt.Errorf("journal entry mail.refused: %w", err)
			}
			w.entries = append(w.entries, journal.Entry{Queue: x.Queue, At: w.now, Kind: "mail.refused", Actor: ruleActor(x.Rule).label(), Data: doc})
			w.tally.rules = append(w.tally.rules, labels2{x.Queue, ruleReject})
		}
		return nil
	})
}

// ruleActor is who did what a rule did.
func ruleActor(name string) Actor { return Actor{Kind: "rule", Name: name} }
