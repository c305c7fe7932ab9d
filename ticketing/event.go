package ticketing

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// seeds makes the ids of one transaction: the same ones each time its closure
// runs. A closure copies the seeds it was given and draws from its copy.
type seeds struct {
	key [32]byte
	n   byte
}

func (d *Desk) newSeeds() (s seeds, err error) {
	if _, err := io.ReadFull(d.random, s.key[:]); err != nil {
		return s, &Error{Kind: Internal, Text: "this cannot be done at the moment", Err: fmt.Errorf("random source: %w", err)}
	}
	return s, nil
}

func (s *seeds) id(prefix string, now time.Time) (string, error) {
	sum := sha256.Sum256(append(s.key[:], s.n))
	s.n++
	return store.NewID(prefix, now, bytes.NewReader(sum[:]))
}

// event writes what happened to a ticket into it, for staff, and tells those
// who follow it.
func (w *work) event(by Actor, t *ticketRow, text string, s *seeds) (*Message, error) {
	q := w.d.queues[t.Queue]
	if q == nil {
		return nil, &Error{Kind: Refused, Text: "the ticket's queue is not configured any more"}
	}
	id, err := s.id("msg_", w.now)
	if err != nil {
		return nil, err
	}
	draft := message.Draft{
		From: message.Address{Name: w.d.sender(by, q), Addr: q.Address}, Subject: t.Subject, Date: w.now, Text: text + "\n",
		MessageID: w.d.Keyring().MessageID(q.domain, message.Token{Ticket: t.Number, Mail: t.Mails + 1, Internal: true}),
		To:        []message.Address{{Name: q.DisplayName, Addr: q.Address}},
	}
	var raw bytes.Buffer
	if err := message.Compose(&raw, draft, []byte(id)); err != nil {
		return nil, fmt.Errorf("compose an event of ticket %d: %w", t.Number, err)
	}
	ref, err := w.d.blobs.Put(w.tx, raw.Bytes())
	if err != nil {
		return nil, err
	}
	m := &Message{
		ID: id, Direction: "none", Kind: "event", Visibility: "internal", Author: w.d.author(by), Subject: clip(t.Subject, maxSubject),
		MessageID: draft.MessageID, MatchedBy: "none", Raw: ref, Date: w.now, ReceivedAt: w.now,
		Automatic: message.Automatic{Class: "none"},
	}
	m.Mail, err = w.notice(t, Notice{Event: eventInternal, Message: id, Actor: by, NoAck: true, Audience: w.d.audience(t, eventInternal)})
	if err != nil {
		return nil, err
	}
	return m, w.addMessage(t, m)
}
