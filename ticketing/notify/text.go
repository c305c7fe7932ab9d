package notify

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// quotation is an earlier public message quoted under an answer.
type quotation struct {
	author string
	at     time.Time
	text   string
}

// maxQuote bounds a quotation in bytes; the thread itself has the rest.
const maxQuote = 32 << 10

func queueName(q *ticketing.Queue) string {
	if q.DisplayName != "" {
		return q.DisplayName
	}
	return q.Name
}

func displayName(a ticketing.Author) string {
	if a.Name != "" {
		return a.Name
	}
	if a.Agent != "" {
		return a.Agent // never an agent's own address
	}
	return a.Address
}

// sender is the display name in From: who wrote, via the queue.
func sender(a *affair, l letter) string {
	if l.ack || a.msg == nil {
		return queueName(a.queue)
	}
	return displayName(a.msg.Author) + " via " + queueName(a.queue)
}

var replyPrefix = regexp.MustCompile(`(?i)^\s*(?:(?:re|aw|sv|antw|odp|fwd?|wg)(?:\[\d+\])?\s*:\s*)+`)

// subject keeps one stable form for a ticket's whole thread.
func subject(a *affair, l letter) string {
	tag := fmt.Sprintf("[#%d]", a.ticket.Number)
	if l.ack && !l.echo {
		return tag + " We received your mail"
	}
	s := strings.TrimSpace(strings.ReplaceAll(a.ticket.Subject, tag, ""))
	s = replyPrefix.ReplaceAllString(s, "")
	if s == "" {
		s = "(no subject)"
	}
	return "Re: " + s + " " + tag
}

// body returns a letter's text and HTML.
func body(a *affair, l letter) (text, htmlBody string) {
	var paragraphs []string
	switch {
	case l.ack:
		paragraphs = []string{
			fmt.Sprintf("Thank you for your mail. %s has received it as ticket #%d.", queueName(a.queue), a.ticket.Number),
			"A person will answer you. To add something, simply reply to this mail.",
		}
	case l.staff():
		paragraphs = staffParagraphs(a)
	default:
		paragraphs = []string{messageText(a)}
	}
	text = strings.Join(paragraphs, "\n\n") + "\n"
	htmlBody = paragraphsHTML(paragraphs)
	if !l.staff() && !l.ack && a.answer != nil {
		intro := fmt.Sprintf("On %s, %s wrote:", a.answer.at.UTC().Format("2006-01-02 15:04 MST"), a.answer.author)
		quoted := clip(strings.TrimSpace(a.answer.text), maxQuote)
		text += "\n" + intro + "\n" + prefixLines(quoted, "> ") + "\n"
		htmlBody += "<p>" + html.EscapeString(intro) + "</p>\n<blockquote type=\"cite\">" + paragraphsHTML([]string{quoted}) + "</blockquote>\n"
	}
	return text, htmlBody
}

// staffParagraphs tell staff what happened, what was written, and what Reply
// and Reply-all will do.
func staffParagraphs(a *affair) []string {
	t := a.ticket
	var out []string
	switch {
	case a.notice.Event == "delivery_failed":
		out = append(out, fmt.Sprintf("A mail about ticket #%d could not be delivered.", t.Number))
		if a.notice.Detail != "" {
			out = append(out, a.notice.Detail)
		}
	case a.notice.Event == "third_party":
		out = append(out, fmt.Sprintf("%s is not part of ticket #%d and wrote to it. The message is internal until somebody accepts the sender.", authorLine(a.msg), t.Number))
	case a.msg != nil && a.msg.Visibility == "internal":
		out = append(out, fmt.Sprintf("%s added an internal message to ticket #%d:", authorLine(a.msg), t.Number))
	case a.notice.Event == "ticket_created":
		out = append(out, fmt.Sprintf("%s opened ticket #%d in %s:", authorLine(a.msg), t.Number, queueName(a.queue)))
	default:
		out = append(out, fmt.Sprintf("%s wrote on ticket #%d:", authorLine(a.msg), t.Number))
	}
	if a.msg != nil && a.notice.Event != "delivery_failed" {
		out = append(out, messageText(a))
	}
	assignee := "unassigned"
	if t.Assignee != "" {
		assignee = "assigned to " + t.Assignee
	}
	foot := fmt.Sprintf("-- \nTicket #%d: %s, %s priority, %s.", t.Number, t.Status, t.Priority, assignee)
	if a.msg != nil && a.msg.Visibility == "internal" {
		foot += "\nYour reply stays internal."
	} else {
		foot += "\nReply adds an internal note. Reply to all answers the customer."
	}
	return append(out, foot)
}

// authorLine names a message's author to staff: customers with their address,
// colleagues by name only.
func authorLine(m *ticketing.Message) string {
	switch {
	case m == nil:
		return "Somebody"
	case m.Author.Agent != "" || m.Author.Name == "" || m.Author.Name == m.Author.Address:
		return displayName(m.Author)
	}
	return m.Author.Name + " <" + m.Author.Address + ">"
}

// messageText is what the author newly wrote.
func messageText(a *affair) string {
	visible, _ := message.VisibleText(a.mail.Text())
	return strings.TrimSpace(visible)
}

func paragraphsHTML(paragraphs []string) string {
	var b strings.Builder
	for _, p := range paragraphs {
		b.WriteString("<p>")
		b.WriteString(strings.ReplaceAll(html.EscapeString(p), "\n", "<br>\n"))
		b.WriteString("</p>\n")
	}
	return b.String()
}

func prefixLines(s, prefix string) string {
	return prefix + strings.ReplaceAll(s, "\n", "\n"+prefix)
}

// clip cuts s to at most n bytes at a line end, and says so.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := strings.LastIndexByte(s[:n], '\n')
	if cut <= 0 {
		cut = strings.LastIndexByte(s[:n], ' ')
	}
	if cut <= 0 {
		cut = 0
	}
	return strings.TrimRight(s[:cut], "\n ") + "\n[…]"
}
