package notify

import (
	"context"
	"fmt"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// A backlog tells a new CC what was said in public before him: all of it in one
// mail. What became internal meanwhile is left out, because each message is
// read when the mail is written.

const (
	maxBacklogText  = 1 << 20 // bytes of text in one mail
	maxBacklogFiles = 10 << 20
	backlogPage     = 100
)

// earlier is one message of a backlog.
type earlier struct {
	quotation
	mail *message.Mail
	msg  *ticketing.Message
}

// loadBacklog reads the public messages that the notice promises.
func (n *Notifier) loadBacklog(ctx context.Context, a *affair) error {
	size := 0
	for after := 0; after < a.notice.Upto; {
		list, err := n.o.Desk.Messages(ctx, a.ticket.Number, after, backlogPage)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		for _, m := range list {
			after = m.Seq
			if m.Seq > a.notice.Upto {
				break
			}
			if !public(m) || m.ID == a.notice.Except || m.Kind == "bounce" || m.Kind == "auto" {
				continue
			}
			mail, err := n.parse(ctx, m)
			if err != nil {
				return err
			}
			text, _, err := n.newlyWritten(ctx, m, mail)
			if err != nil {
				return err
			}
			text = a.forCustomers(m, text)
			if text == "" {
				text = noText
			}
			if size += len(text); size > maxBacklogText {
				a.unsaid++
				continue
			}
			a.backlog = append(a.backlog, earlier{quotation{author: a.authorName(m), at: m.ReceivedAt, text: text}, mail, m})
		}
	}
	return nil
}

// judgeBacklog says why a new CC gets no backlog, "" if he does.
func (a *affair) judgeBacklog() string {
	if len(a.backlog)+a.unsaid == 0 {
		return notSaid
	}
	return ""
}

func backlogParagraphs(a *affair) []string {
	out := []string{fmt.Sprintf("You have been added to this conversation with %s. This is what was said so far.", queueName(a.queue))}
	for _, e := range a.backlog {
		out = append(out, intro(&e.quotation), e.text)
	}
	switch {
	case a.unsaid == 1:
		out = append(out, "One more message is too long for this mail.")
	case a.unsaid > 1:
		out = append(out, fmt.Sprintf("%d more messages are too long for this mail.", a.unsaid))
	}
	return out
}

// intro introduces what somebody wrote.
func intro(q *quotation) string {
	return fmt.Sprintf("On %s, %s wrote:", q.at.UTC().Format("2006-01-02 15:04 MST"), q.author)
}

// backlogFiles are the files of the messages, as far as they fit.
func backlogFiles(a *affair) (out []message.Attachment, left int) {
	room := int64(maxBacklogFiles)
	for _, e := range a.backlog {
		if e.msg.ForwardedBy != nil {
			continue // an agent chose them for us
		}
		files, over := filesOf(e.mail, &room)
		out, left = append(out, files...), left+over
	}
	return out, left
}

// leftFiles says how many files stayed behind.
func leftFiles(left int, where string) string {
	if left == 1 {
		return "One more file is " + where + "."
	}
	return fmt.Sprintf("%d more files are %s.", left, where)
}

// isBacklog reports whether the affair tells earlier messages.
func (a *affair) isBacklog() bool { return a.notice.Event == ticketing.EventBacklog }
