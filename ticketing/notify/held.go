package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"slices"
	"strings"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// tellHeld tells what a queue holds: one mail to its lead. What strangers wrote
// stands in it as text on one line, and nothing in it can be answered to them.
func (n *Notifier) tellHeld(ctx context.Context, job agenda.Job, notice ticketing.Notice) error {
	if notice.Held == nil {
		notice.Audience = nil
	}
	return n.report(ctx, job, notice, nil, func(q *ticketing.Queue) (subject, text string) {
		return heldSubject(notice.Held, q), heldText(notice.Held)
	})
}

// report tells people of ours something about a queue and no ticket: one mail
// each, with the null sender. A limit that has no token left ends the notice
// without a mail.
func (n *Notifier) report(ctx context.Context, job agenda.Job, notice ticketing.Notice, under *limit, say func(*ticketing.Queue) (subject, text string)) error {
	q, ok := n.o.Desk.Queue(notice.Queue)
	var parcels []parcel
	defer func() {
		for _, p := range parcels {
			p.writer.Discard()
		}
	}()
	var v verdicts
	for _, r := range notice.Audience {
		to, known := n.presently(r)
		l := letter{role: r.Role, to: to, agent: r.Agent, folded: message.Fold(to.Addr)}
		if !ok || !known {
			l.to, l.folded = message.Address{Name: r.Name, Addr: r.Address}, message.Fold(r.Address)
			v.skipped = append(v.skipped, skip{l, notConfigured})
			continue
		}
		if !to.Writable() {
			v.failed = append(v.failed, skip{l, unwritableAddress(to)})
			continue
		}
		subject, text := say(q)
		p, err := n.writeReport(ctx, notice, q, to, subject, text)
		if err != nil {
			return fmt.Errorf("notify: compose report: %w", err)
		}
		p.letter = l
		if under != nil {
			p.limits = []limit{*under}
		}
		parcels = append(parcels, p)
	}
	slices.SortStableFunc(parcels, func(x, y parcel) int { return strings.Compare(x.domain(), y.domain()) })
	err := n.o.DB.Update(ctx, func(tx store.Tx) (err error) {
		if v.sent, v.refused, err = n.allow(tx, parcels); err != nil {
			return err
		}
		if err := n.submit(tx, job, v.sent); err != nil {
			return err
		}
		return n.record(tx, notice, v)
	})
	if err == nil {
		n.account(notice, v)
	}
	return err
}

// presently is where a digest goes: to an agent's address of today, or to the
// administrator.
func (n *Notifier) presently(r ticketing.Recipient) (to message.Address, known bool) {
	if r.Agent == "" {
		return message.Address{Name: r.Name, Addr: r.Address}, true
	}
	agent, ok := n.o.Desk.Agent(r.Agent)
	if !ok || len(agent.Addresses) == 0 {
		return to, false
	}
	return message.Address{Name: agent.DisplayName, Addr: agent.Addresses[0]}, true
}

func (n *Notifier) writeReport(ctx context.Context, notice ticketing.Notice, q *ticketing.Queue, to message.Address, subject, text string) (parcel, error) {
	from := fromAddress(q)
	from.Name = queueName(q)
	domain := from.Domain()
	sum := sha256.Sum256([]byte(notice.ID + "\x00" + to.Addr))
	messageID := "<report." + hex.EncodeToString(sum[:16]) + "@" + domain + ">"
	draft := message.Draft{
		From: from, To: []message.Address{to},
		Subject: subject, Date: notice.At, MessageID: messageID,
		Text: text, HTML: "<pre>" + html.EscapeString(text) + "</pre>",
		Extra: []message.Field{
			{Name: ticketing.LoopHeader, Value: n.o.Desk.Keyring().LoopMark(messageID)},
			{Name: "Auto-Submitted", Value: "auto-generated"},
			{Name: "X-Auto-Response-Suppress", Value: "All"},
		},
	}
	id, err := n.newID(ctx)
	if err != nil {
		return parcel{}, err
	}
	w := n.o.Blobs.Create(ctx)
	sealed, err := seal(w, draft)
	if err != nil {
		w.Discard()
		return parcel{}, err
	}
	// The null sender: a report about this mail would only be held itself.
	return parcel{writer: w, sealed: sealed, outbound: message.Outbound{
		ID: id, Class: "notification", To: to.Addr, SHA256: sealed.Ref().SHA256, Size: sealed.Ref().Size,
		Domain: domain, Queue: q.Name, UTF8: draft.NeedsUTF8(),
	}}, nil
}

func heldSubject(d *ticketing.HeldDigest, q *ticketing.Queue) string {
	total := 0
	for _, c := range d.Counts {
		total += c.Count
	}
	if total == 1 {
		return "1 mail is held for " + queueName(q)
	}
	return fmt.Sprintf("%d mails are held for %s", total, queueName(q))
}

// heldText lists counts by reason, then the mails there is news of.
func heldText(d *ticketing.HeldDigest) string {
	var b strings.Builder
	b.WriteString("These mails were accepted and put on no ticket. Nobody has answered them.\n\n")
	for _, c := range d.Counts {
		fmt.Fprintf(&b, "  %6d  %s\n", c.Count, strings.ReplaceAll(c.Reason, "_", " "))
	}
	b.WriteString("\nNew, or about to expire:\n")
	for _, h := range d.Items {
		from, subject := oneLine(h.From), oneLine(h.Subject)
		if from == "" {
			from = "nobody named"
		}
		if subject == "" {
			subject = "(no subject)"
		}
		fmt.Fprintf(&b, "\n%s  %s\n  %s, received %s, expires %s\n  %s\n", h.ID, strings.ReplaceAll(h.Reason, "_", " "),
			from, h.ReceivedAt.UTC().Format("2006-01-02 15:04"), h.ExpiresAt.UTC().Format("2006-01-02"), subject)
	}
	if d.More > 0 {
		fmt.Fprintf(&b, "\nand %d more.\n", d.More)
	}
	b.WriteString("\nticketgate held show ID\nticketgate held release ID, attach ID TICKET, or discard ID\n")
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
