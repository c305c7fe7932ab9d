package ticketing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// errMoved says that a ticket changed between composing and storing a message.
var errMoved = errors.New("the ticket changed meanwhile")

// maxCompose is how often a message is composed again because its ticket
// changed meanwhile.
const maxCompose = 20

// maxNewer is how many unseen messages a Conflict names.
const maxNewer = 20

// Post adds a message to a ticket: a public reply, mailed to requester and
// CCs, or an internal note, mailed to followers.
//
// An agent's public message moves a new ticket to open and makes him its owner
// if it has none; Status asks for another status. It is refused with Conflict
// if AfterMessage is not the ticket's last message.
func (d *Desk) Post(ctx context.Context, by Actor, ticket uint64, n NewMessage) (*Message, error) {
	post, err := d.prepare(ctx, by, n)
	if err != nil {
		return nil, failure(err)
	}
	for range maxCompose {
		m, err := d.tryPost(ctx, by, ticket, post)
		if isMoved(err) {
			continue
		}
		if len(newerOf(err)) > 0 {
			d.metrics.conflicts.Inc()
		}
		return m, err
	}
	return nil, &Error{Kind: Busy, Text: "the ticket is changing too fast; try again"}
}

func newerOf(err error) []*Message {
	var e *Error
	if errors.As(err, &e) {
		return e.Newer
	}
	return nil
}

// posting is a message to be posted, its files already in the store.
type posting struct {
	NewMessage
	files   []message.Attachment
	writers []*blob.Writer
	entropy [10]byte
	seed    [16]byte
}

func (d *Desk) prepare(ctx context.Context, by Actor, n NewMessage) (*posting, error) {
	switch {
	case n.Visibility != "public" && n.Visibility != "internal":
		return nil, &Error{Kind: Invalid, Text: "visibility must be public or internal"}
	case strings.TrimSpace(n.Text) == "" && strings.TrimSpace(n.HTML) == "" && len(n.Attachments) == 0:
		return nil, &Error{Kind: Invalid, Text: "the message is empty"}
	case n.Status != "" && !slices.Contains(statuses, n.Status):
		return nil, &Error{Kind: Invalid, Text: "status is none of " + strings.Join(statuses, ", ")}
	case len(n.Text) > d.limits.Text || len(n.HTML) > d.limits.Text:
		return nil, &Error{Kind: TooBig, Text: "the text is too long"}
	}
	if by.Kind == "agent" && d.agents[by.Agent] != nil && d.agents[by.Agent].Light && n.Visibility == "public" {
		return nil, &Error{Kind: Denied, Text: "light agents write internal notes only"}
	}
	p := &posting{NewMessage: n}
	if strings.TrimSpace(p.Text) == "" && p.HTML != "" {
		p.Text = message.HTMLToText(p.HTML)
	}
	if _, err := io.ReadFull(d.random, p.entropy[:]); err != nil {
		return nil, fmt.Errorf("random source: %w", err)
	}
	if _, err := io.ReadFull(d.random, p.seed[:]); err != nil {
		return nil, fmt.Errorf("random source: %w", err)
	}
	for _, a := range n.Attachments {
		if err := d.takeFile(ctx, p, a); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// takeFile streams a file into the store, so that the message can be composed
// more than once. Nothing refers to it there; the sweep removes it.
func (d *Desk) takeFile(ctx context.Context, p *posting, a NewAttachment) error {
	if a.Content == nil {
		return &Error{Kind: Invalid, Text: "an attachment has no content"}
	}
	w := d.blobs.Create(ctx)
	p.writers = append(p.writers, w)
	if _, err := io.Copy(w, a.Content); err != nil {
		w.Discard()
		return fmt.Errorf("attachment %q: %w", a.Filename, err)
	}
	sealed, err := w.Seal()
	if err != nil {
		return err
	}
	p.files = append(p.files, message.Attachment{
		Filename: a.Filename, ContentType: a.ContentType,
		Open: func() (io.Reader, error) { return io.NewSectionReader(sealed, 0, sealed.Ref().Size), nil },
	})
	return nil
}

// tryPost composes the message for the ticket as it is and stores it if the
// ticket is still that.
func (d *Desk) tryPost(ctx context.Context, by Actor, ticket uint64, p *posting) (*Message, error) {
	t, now, err := d.look(ctx, ticket)
	if err != nil {
		return nil, failure(err)
	}
	if err := d.mayPost(by, t, p); err != nil {
		return nil, err
	}
	c, err := d.compose(ctx, by, t, p, t.Mails+1, now)
	if err != nil {
		return nil, failure(err)
	}
	defer c.writer.Discard()
	var out *Message
	err = d.update(ctx, func(w *work) error {
		row, err := w.ticket(ticket)
		if err != nil {
			return err
		}
		if row == nil {
			return unknownTicket()
		}
		if err := w.unseen(row, p.AfterMessage); err != nil {
			return err
		}
		if row.Version != t.Version {
			return errMoved
		}
		if out, err = w.post(by, row, p, c); err != nil {
			return err
		}
		return w.record(row, "message.sent", by, ccChange{Message: out.ID, Via: by.Kind})
	})
	if isMoved(err) {
		return nil, errMoved
	}
	return out, err
}

func (d *Desk) mayPost(by Actor, t *ticketRow, p *posting) error {
	want := rightAnswer
	if p.Visibility == "internal" {
		want = rightNote
	}
	if err := d.permit(by, t, want); err != nil {
		return err
	}
	if t.MergedInto != 0 {
		return merged(t)
	}
	if p.Status != "" {
		return d.permit(by, t, rightChange)
	}
	return nil
}

func (d *Desk) look(ctx context.Context, ticket uint64) (t *ticketRow, now time.Time, err error) {
	err = d.db.View(ctx, func(r store.Reader) (err error) {
		now = r.Now()
		t, err = d.tickets.Find(r, ticketKey(ticket))
		return err
	})
	if err == nil && t == nil {
		err = unknownTicket()
	}
	return t, now, err
}

// unseen refuses if there are messages after the one the author saw last.
func (w *work) unseen(t *ticketRow, after string) error {
	if after == "" {
		return nil
	}
	m, err := w.d.messageByID(w.tx, after)
	if err != nil {
		return err
	}
	if m == nil || m.Ticket != t.Number {
		return &Error{Kind: Invalid, Text: "after_message is no message of this ticket"}
	}
	newer, err := w.d.messagesAfter(w.tx, t.Number, m.Seq, maxNewer)
	if err != nil || len(newer) == 0 {
		return err
	}
	return &Error{Kind: Conflict, Text: "there are newer messages", Newer: newer}
}

// composed is a message as mail bytes.
type composed struct {
	writer *blob.Writer
	sealed *blob.Sealed
	draft  message.Draft
}

// compose writes the record of a message: what requester and CCs see of it, in
// one mail. What is mailed to each of them is written by notify.
func (d *Desk) compose(ctx context.Context, by Actor, t *ticketRow, p *posting, mail uint32, now time.Time) (*composed, error) {
	q := d.queues[t.Queue]
	if q == nil {
		return nil, &Error{Kind: Refused, Text: "the ticket's queue is not configured any more"}
	}
	internal := p.Visibility == "internal"
	draft := message.Draft{
		From: message.Address{Name: d.sender(by, q), Addr: q.Address}, Subject: t.Subject, Date: now, Text: p.Text, HTML: p.HTML, Attachments: p.files,
		MessageID: d.Keyring().MessageID(q.domain, message.Token{Ticket: t.Number, Mail: mail, Internal: internal}),
		To:        []message.Address{{Name: q.DisplayName, Addr: q.Address}},
	}
	if !internal {
		if t.Requester.Address != "" {
			draft.To = []message.Address{{Name: t.Requester.Name, Addr: t.Requester.Address}}
		}
		for _, c := range t.CCs {
			draft.Cc = append(draft.Cc, message.Address{Name: c.Name, Addr: c.Address})
		}
	}
	w := d.blobs.Create(ctx)
	if err := message.Compose(w, draft, p.seed[:]); err != nil {
		w.Discard()
		return nil, &Error{Kind: Invalid, Text: "the message cannot be written as a mail", Err: err}
	}
	sealed, err := w.Seal()
	if err != nil {
		w.Discard()
		return nil, err
	}
	return &composed{writer: w, sealed: sealed, draft: draft}, nil
}

// sender is the name under which a queue speaks for somebody.
func (d *Desk) sender(by Actor, q *queue) string {
	name := q.DisplayName
	if name == "" {
		name = q.Name
	}
	if a := d.agents[by.Agent]; a != nil && a.DisplayName != "" {
		return a.DisplayName + " via " + name
	}
	return name
}

// post stores a composed message and what it owes.
func (w *work) post(by Actor, t *ticketRow, p *posting, c *composed) (*Message, error) {
	id, err := p.messageID(w.now)
	if err != nil {
		return nil, err
	}
	if err := c.sealed.Link(w.tx); err != nil {
		return nil, err
	}
	m := &Message{
		ID: id, Direction: "out", Kind: "reply", Visibility: p.Visibility, Author: w.d.author(by),
		Subject: clip(c.draft.Subject, maxSubject), MessageID: c.draft.MessageID, MatchedBy: "none",
		Raw: c.sealed.Ref(), Date: c.draft.Date, ReceivedAt: w.now, Automatic: message.Automatic{Class: "none"},
	}
	event := eventPublic
	if p.Visibility == "internal" {
		m.Direction, m.Kind, event = "none", "note", eventInternal
	}
	budget := maxShownBytes
	m.From, _ = clipAddresses([]message.Address{c.draft.From}, 1, &budget)
	m.To, _ = clipAddresses(c.draft.To, maxShown, &budget)
	m.Cc, _ = clipAddresses(c.draft.Cc, maxShown, &budget)
	status, assignee := t.Status, t.Assignee
	if event == eventPublic {
		w.answeredBy(t, by.Agent)
		if err := w.writeTo(t); err != nil {
			return nil, err
		}
	}
	if p.Status != "" {
		w.setStatus(t, p.Status)
	}
	if err := w.recordMoved(t, by, status, assignee); err != nil {
		return nil, err
	}
	m.Mail, err = w.notice(t, Notice{Event: event, Message: m.ID, Actor: by, NoAck: true, Audience: w.d.audience(t, event)})
	if err != nil {
		return nil, err
	}
	return m, w.addMessage(t, m)
}

// messageID is the same for all runs of a transaction.
func (p *posting) messageID(now time.Time) (string, error) {
	return store.NewID("msg_", now, bytes.NewReader(p.entropy[:]))
}

func isMoved(err error) bool { return errors.Is(err, errMoved) }

func (d *Desk) author(by Actor) Author {
	if a := d.agents[by.Agent]; a != nil {
		role := "agent"
		if a.Light {
			role = "light_agent"
		}
		return Author{Address: a.Addresses[0], Name: a.DisplayName, Role: role, Agent: a.Name}
	}
	return Author{Address: clip(by.Address, maxAddress), Name: clip(by.Name, maxName), Role: "system"}
}
