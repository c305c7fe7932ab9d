package ticketing

import (
	"slices"
	"strings"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// reported applies a report or a complaint to the mails of ours that it is
// proven to be about. Each token says which mail to whom that is; the report
// itself only says what happened to it, and nothing about anybody else.
func (w *work) reported(t *ticketRow, in *incoming, p *place, m *Message) error {
	for _, token := range p.reported {
		about := t
		if token.Ticket != t.Number {
			var err error
			if about, err = w.follow(token.Ticket); err != nil {
				return err
			}
			if about == nil {
				continue
			}
		}
		apply := w.bounced
		if in.complaint() {
			apply = w.complained
		}
		if err := apply(about, in, &token, m); err != nil {
			return err
		}
	}
	return nil
}

// gravity orders what can have happened to a mail. One that was sent on to
// several people failed if it failed for one of them.
var gravity = []string{"expanded", "delivered", "relayed", "delayed", "failed"}

// fate is what a report says of the mail to a person: the entry that names him,
// else the gravest. A report names others if his address stands for theirs.
func fate(b *message.Bounce, person uint32) *message.BounceRecipient {
	if b == nil {
		return nil
	}
	var worst *message.BounceRecipient
	for i := range b.Recipients {
		r := &b.Recipients[i]
		if message.PersonHash(r.Address) == person {
			return r
		}
		if worst == nil || slices.Index(gravity, r.Action) > slices.Index(gravity, worst.Action) {
			worst = r
		}
	}
	return worst
}

// bounced marks the delivery that a report is about. A delay and a late success
// are news for nobody: they only show on the message.
func (w *work) bounced(t *ticketRow, in *incoming, token *message.Token, _ *Message) error {
	sent, err := w.d.sent.Find(w.tx, sentKey(token.Ticket, token.Mail))
	if err != nil || sent == nil || sent.Message == "" && sent.Backlog == "" {
		return err
	}
	about := fate(in.bounce, token.Person)
	if about == nil {
		return nil // a report nobody can read changes nothing; it is on the ticket
	}
	if sent.Backlog != "" {
		return w.bouncedBacklog(sent, about)
	}
	row, err := w.deliveryOf(sent.Message, token.Person)
	if err != nil {
		return err
	}
	if row == nil {
		if message.PersonHash(about.Address) != token.Person {
			return nil
		}
		row = &deliveryRow{Message: sent.Message, Delivery: Delivery{Recipient: clip(about.Address, maxAddress)}}
	}
	next := deliveryRow{Message: row.Message, Delivery: Delivery{
		Recipient: row.Recipient, Code: about.SMTPCode, Enhanced: clip(about.Status, 20), Text: clip(about.Diagnostic, maxDiagnostic), At: w.now,
	}}
	switch about.Action {
	case "failed":
		next.State = "bounced"
		w.tally.bounces = append(w.tally.bounces, hardness(about))
	case "delayed":
		w.tally.bounces = append(w.tally.bounces, "delayed")
		if lost(row.State) {
			return nil
		}
		next.State = "deferred"
	case "delivered", "relayed", "expanded":
		w.tally.bounces = append(w.tally.bounces, "delivered")
		next.State = "sent"
	default:
		return nil
	}
	worse, err := w.deliver(&next)
	if err != nil || !worse {
		return err
	}
	if w.d.bounced != nil && next.State == "bounced" {
		if err := w.d.bounced(w.tx, next.Recipient, next.Enhanced, next.Code, next.Text); err != nil {
			return err
		}
	}
	return w.deliveryFailed(t, &next)
}

func hardness(r *message.BounceRecipient) string {
	if r.Hard {
		return "hard"
	}
	return "soft"
}

// mild are feedback reports that complain about nothing the person got: of
// failed authentication, and of mail that was filtered by mistake.
var mild = []string{"auth-failure", "not-spam"}

// complained opts the person out whose mail was complained about. Staff get
// what they are owed; they are told apart by their address.
func (w *work) complained(t *ticketRow, in *incoming, token *message.Token, m *Message) error {
	if in.bounce == nil || slices.Contains(mild, in.bounce.FeedbackType) {
		return nil
	}
	w.tally.complaints++
	address, err := w.personOf(t, in, token)
	if err != nil || address == "" || w.d.writer(message.Fold(address)) != nil {
		return err
	}
	return w.optOut(t, in.actor(m), OptOut{
		Address: message.Fold(address), Reason: OptOutComplaint, Detail: strings.TrimSpace(clip(in.bounce.FeedbackType, 40)), Ticket: t.Number, Message: m.ID,
	})
}

// personOf finds the address that a token's fingerprint is of, among those the
// mail can have gone to.
func (w *work) personOf(t *ticketRow, in *incoming, token *message.Token) (string, error) {
	candidates := []string{t.Requester.Address}
	for _, c := range t.CCs {
		candidates = append(candidates, c.Address)
	}
	sent, err := w.d.sent.Find(w.tx, sentKey(token.Ticket, token.Mail))
	if err != nil {
		return "", err
	}
	if sent != nil {
		candidates = append(candidates, sent.Visible...)
		for row, err := range w.d.deliveries.Scan(w.tx, store.Query{Prefix: store.Key{}.Str(sent.Message)}) {
			if err != nil {
				return "", err
			}
			candidates = append(candidates, row.Recipient)
		}
	}
	for _, r := range in.bounce.Recipients {
		candidates = append(candidates, clip(r.Address, maxAddress))
	}
	for _, c := range candidates {
		if c != "" && message.PersonHash(c) == token.Person {
			return c, nil
		}
	}
	return "", nil
}
