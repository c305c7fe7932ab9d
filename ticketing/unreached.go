package ticketing

import (
	"crypto/sha256"
	"fmt"
	"time"

	"ticketgate/ticketing/message"
)

// A backlog tells no one message, so what becomes of its mail stands with the
// record of the mail (Sent).

// settleBacklog records what became of a backlog's mail.
func (w *work) settleBacklog(r *message.Report, at time.Time) error {
	s, err := w.backlogOf(r.Ticket, r.Mail)
	if err != nil || s == nil || s.State == "bounced" {
		return err
	}
	if s.Parcel != r.Parcel {
		s.Retell = false
	}
	was := *s
	s.State, s.Parcel, s.Unsure = r.State, clip(r.Parcel, 64), r.Unsure
	if err := w.d.sent.Put(w.tx, s); err != nil {
		return err
	}
	switch {
	case s.State == "cancelled" && s.Retell:
		err = w.oweAgain(s)
	case unreached(s.State) && !unreached(was.State):
		err = w.backlogFailed(s, r.Text, at)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return w.finish()
}

// bouncedBacklog is settleBacklog for a report that came by mail.
func (w *work) bouncedBacklog(s *Sent, about *message.BounceRecipient) error {
	s, err := w.backlogOf(s.Ticket, s.Mail)
	if err != nil || s == nil {
		return err
	}
	was := s.State
	switch about.Action {
	case "failed":
		s.State = "bounced"
		w.tally.bounces = append(w.tally.bounces, hardness(about))
	case "delayed":
		w.tally.bounces = append(w.tally.bounces, "delayed")
		return nil
	case "delivered", "relayed", "expanded":
		w.tally.bounces = append(w.tally.bounces, "delivered")
		return nil
	default:
		return nil
	}
	if err := w.d.sent.Put(w.tx, s); err != nil || unreached(was) {
		return err
	}
	if w.d.bounced != nil {
		if err := w.d.bounced(w.tx, s.Backlog, clip(about.Status, 20), about.SMTPCode, clip(about.Diagnostic, maxDiagnostic)); err != nil {
			return err
		}
	}
	return w.backlogFailed(s, about.Diagnostic, w.now)
}

// backlogOf returns the record of a backlog's mail for change, nil if the mail
// was none.
func (w *work) backlogOf(ticket uint64, mail uint32) (*Sent, error) {
	key := sentKey(ticket, mail)
	if err := w.d.sent.Lock(w.tx, key); err != nil {
		return nil, err
	}
	s, err := w.d.sent.Find(w.tx, key)
	if err != nil || s == nil || s.Backlog == "" {
		return nil, err
	}
	return s, nil
}

// unreached reports whether a state means that somebody does not get a mail.
func unreached(state string) bool { return lost(state) || state == "suppressed" }

// failedBacklog is the journal's data about a backlog that was lost.
type failedBacklog struct {
	Recipient string `json:"recipient"`
	State     string `json:"state"`
	Upto      int    `json:"upto"` // the last message it told
	Text      string `json:"text,omitempty"`
}

// backlogFailed writes into the ticket whom its earlier messages did not reach.
func (w *work) backlogFailed(s *Sent, why string, at time.Time) error {
	t, err := w.follow(s.Ticket)
	if err != nil || t == nil {
		return err
	}
	by := Actor{Kind: "system"}
	why = clip(why, maxDiagnostic)
	err = w.record(t, "backlog.failed", by, failedBacklog{Recipient: s.Backlog, State: s.State, Upto: s.Upto, Text: why})
	if err != nil || w.d.queues[t.Queue] == nil {
		return err
	}
	text := fmt.Sprintf("%s became CC, but the mail with what was said before did not arrive (%s).", s.Backlog, s.State)
	if why != "" {
		text += "\n" + why
	}
	key := sha256.Sum256([]byte(fmt.Sprintf("backlog %d %d %s %s", s.Ticket, s.Mail, s.State, at.UTC())))
	_, err = w.event(by, t, text, &seeds{key: key})
	return err
}
