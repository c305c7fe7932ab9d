package notify

import (
	"context"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// quotation is an earlier public message quoted under an answer.
type quotation struct {
	id     string // of the message
	author string
	at     time.Time
	text   string
}

// maxQuote bounds a quotation in bytes; the thread itself has the rest.
const maxQuote = 32 << 10

// noText stands for the text of a message that has none.
const noText = "(no text)"

func queueName(q *ticketing.Queue) string {
	if q.DisplayName != "" {
		return q.DisplayName
	}
	return q.Name
}

var replyPrefix = regexp.MustCompile(`(?i)^\s*(?:(?:re|aw|sv|vs|rv|odp|antw|tr|enc|fwd?|wg|回复|答复|转发)(?:\[\d+\])?\s*[:：]\s*)+`)

// subject keeps one form for a ticket's whole thread. A stranger's words are
// not repeated to an address that may not be his.
func subject(a *affair, l letter) string {
	number := fmt.Sprintf("[#%d]", a.ticket.Number)
	tag := number
	if a.queue.Appearance.WithoutSubject {
		tag = ""
	}
	if l.ack && !l.echo {
		return strings.TrimSpace(tag + " We received your mail")
	}
	s := replyPrefix.ReplaceAllString(strings.ReplaceAll(a.ticket.Subject, number, ""), "")
	if s = strings.Join(strings.Fields(s), " "); s == "" {
		s = "(no subject)"
	}
	return strings.TrimSpace("Re: " + s + " " + tag)
}

// body returns a letter's text and HTML, which say the same. left is the number
// of files that did not fit. marker stands at the end, so that an answer that
// kept nothing but a quotation finds its ticket; in mail to staff above the
// footer, which mail programs cut off as a signature.
func body(a *affair, l letter, left int, marker string) (text, htmlBody string) {
	var paragraphs []string
	switch {
	case l.ack:
		paragraphs = []string{
			fmt.Sprintf("Thank you for your mail. %s has received it as ticket #%d.", queueName(a.queue), a.ticket.Number),
			"A person will answer you. To add something, simply reply to this mail.",
		}
	case a.isBacklog():
		paragraphs = backlogParagraphs(a)
		if left > 0 {
			paragraphs = append(paragraphs, leftFiles(left, "too large for this mail"))
		}
	case l.staff():
		paragraphs = staffParagraphs(a, l, left)
		footer := staffFooter(a, l)
		return strings.Join(append(paragraphs, marker, footer), "\n\n") + "\n",
			mailHTML(paragraphsHTML(paragraphs) + markerHTML(marker) + paragraphsHTML([]string{footer}))
	default:
		paragraphs = []string{a.shown}
	}
	text = strings.Join(paragraphs, "\n\n") + "\n"
	htmlBody = paragraphsHTML(paragraphs)
	if l.ack || a.answer == nil {
		return text + "\n" + marker + "\n", mailHTML(htmlBody + markerHTML(marker))
	}
	intro := intro(a.answer)
	quoted := clip(strings.TrimSpace(a.answer.text), maxQuote)
	text += "\n" + intro + "\n" + quoteLines(quoted) + "\n"
	htmlBody += paragraphsHTML([]string{intro}) + "<blockquote type=\"cite\">" + paragraphsHTML([]string{quoted}) + "</blockquote>\n"
	return text + "\n" + marker + "\n", mailHTML(htmlBody + markerHTML(marker))
}

// mailHTML wraps a mail's HTML, so that it can be told from an answer around it.
func mailHTML(body string) string {
	return `<div class="` + message.OwnMailClass + `">` + "\n" + body + "</div>\n"
}

// markerHTML is small and pale, but not hidden: what hides text looks like spam.
func markerHTML(marker string) string {
	return `<p style="color:#999999;font-size:10px">` + "\n" + marker + "</p>\n"
}

// staffParagraphs tell staff what happened and what was written.
func staffParagraphs(a *affair, l letter, left int) []string {
	out := []string{headline(a)}
	if detailed(a.notice.Event) {
		if detail := strings.TrimSpace(clip(a.notice.Detail, maxQuote)); detail != "" {
			out = append(out, detail)
		}
	} else if a.msg != nil {
		out = append(out, a.text)
	}
	if a.notice.Event == "third_party" && a.notice.Detail == ticketing.DetailStaffToken {
		out = append(out, "It answers a mail that we sent to one of our own people. If that is you, writing from another address, ask the administrator to add "+
			"the address to yours (agent.<id>.addresses): then you will be known.")
	}
	if left > 0 {
		out = append(out, leftFiles(left, "in the ticket"))
	}
	return out
}

// staffFooter tells staff how the ticket stands, and what Reply and Reply-all
// will do.
func staffFooter(a *affair, l letter) string {
	t := a.ticket
	assignee := "unassigned"
	if t.Assignee != "" {
		assignee = "assigned to " + t.Assignee
	}
	footer := fmt.Sprintf("-- \nTicket #%d: %s, %s priority, %s.\n", t.Number, t.Status, t.Priority, assignee)
	if a.url != "" {
		footer += a.url + "\n"
	}
	return footer + a.whatReplyDoes(l)
}

// detailed reports whether a mail about an event says Notice.Detail instead of
// a message.
func detailed(event string) bool {
	return event == "delivery_failed" || event == "reminder" || personal(event)
}

func headline(a *affair) string {
	number := a.ticket.Number
	switch {
	case a.notice.Event == "reminder":
		return fmt.Sprintf("A reminder about ticket #%d, %s:", number, strings.Join(strings.Fields(a.ticket.Subject), " "))
	case a.notice.Event == "task_assigned":
		return fmt.Sprintf("You have a task under ticket #%d, %s:", number, strings.Join(strings.Fields(a.ticket.Subject), " "))
	case a.notice.Event == "commands_failed":
		return fmt.Sprintf("Your mail is on ticket #%d. These lines of it could not be carried out; nobody outside has seen them:", number)
	case a.notice.Event == "delivery_failed":
		return fmt.Sprintf("A mail about ticket #%d could not be delivered.", number)
	case a.notice.Event == "third_party":
		return fmt.Sprintf("%s is not part of ticket #%d and wrote to it. The message is internal until somebody accepts the sender.", a.authorLine(), number)
	case a.notice.Event == "ticket_created":
		return fmt.Sprintf("%s opened ticket #%d in %s:", a.authorLine(), number, queueName(a.queue))
	case a.msg != nil && !public(a.msg):
		return fmt.Sprintf("%s added an internal message to ticket #%d:", a.authorLine(), number)
	}
	return fmt.Sprintf("%s wrote on ticket #%d:", a.authorLine(), number)
}

// whatReplyDoes says it as the desk will do it.
func (a *affair) whatReplyDoes(l letter) string {
	agent, ok := a.agents(l.agent)
	serves := l.agent == a.ticket.Assignee || slices.Contains(a.queue.Agents, l.agent)
	if internal(a) || !serves || !ok || agent.Light {
		return "Your reply stays internal."
	}
	return "Reply adds an internal note. Reply to all answers the customer."
}

// authorName names a message's author to anybody: staff by the name we gave
// them, never by what their mail program says; customers by theirs, or by what
// stands before the @.
func (a *affair) authorName(m *ticketing.Message) string {
	if m.Author.Agent != "" {
		if agent, ok := a.agents(m.Author.Agent); ok {
			return staffName(agent)
		}
		return m.Author.Agent
	}
	if agent, ok := a.staffAt(m.Author.Address); ok {
		return staffName(agent)
	}
	if name := strings.TrimSpace(m.Author.Name); name != "" && !strings.Contains(name, "@") {
		return name
	}
	if local := (message.Address{Addr: m.Author.Address}).Local(); local != "" && m.Direction == "in" {
		return local
	}
	return queueName(a.queue)
}

// staffName is never an address, not even if an agent's name was made of one.
func staffName(agent *ticketing.Agent) string {
	if agent.DisplayName != "" && !strings.Contains(agent.DisplayName, "@") {
		return agent.DisplayName
	}
	return agent.Name
}

// authorLine names the author to staff: customers with their address,
// colleagues by name only.
func (a *affair) authorLine() string {
	switch {
	case a.msg == nil:
		return "Somebody"
	case byUs(a.msg) || a.msg.Author.Address == "":
		return a.authorName(a.msg)
	case a.msg.Author.Name == "" || a.msg.Author.Name == a.msg.Author.Address:
		return a.msg.Author.Address
	}
	return a.msg.Author.Name + " <" + a.msg.Author.Address + ">"
}

// forCustomers is a message's text as customers read it. Where staff wrote it,
// under whatever name, no address of staff is left; a customer's words are his.
func (a *affair) forCustomers(m *ticketing.Message, text string) string {
	if _, staff := a.staffAt(m.Author.Address); byUs(m) || staff {
		return a.withoutStaff(m, text)
	}
	return text
}

// withoutStaff replaces the addresses of staff in what an agent's mail program
// left of them, in the header of a quoted mail for instance. Customers know our
// people by name, and write to the queue.
func (a *affair) withoutStaff(m *ticketing.Message, text string) string {
	for _, name := range append(a.staffNames(), m.Author.Agent) {
		agent, ok := a.agents(name)
		if !ok {
			continue
		}
		for _, address := range agent.Addresses {
			text = replaceAddress(text, address, staffName(agent))
		}
	}
	// Colleagues whom the ticket is nothing to may stand in it too.
	return addressForm.ReplaceAllStringFunc(text, func(found string) string {
		address := strings.Trim(found, "._-+")
		if agent, ok := a.staffAt(address); ok {
			return strings.Replace(found, address, staffName(agent), 1)
		}
		return found
	})
}

// addressForm finds what may be an address in a text.
var addressForm = regexp.MustCompile(`[\pL\pN._+-]+@[\pL\pN.-]+`)

// staffAt returns the agent an address belongs to.
func (a *affair) staffAt(address string) (*ticketing.Agent, bool) {
	if a.writer == nil || a.queue != nil && a.queue.CC.StaffAsCC {
		return nil, false
	}
	return a.writer(address)
}

// staffNames are the agents a ticket has to do with.
func (a *affair) staffNames() []string {
	names := append(slices.Clone(a.queue.Agents), a.ticket.Assignee)
	for _, f := range a.ticket.Followers {
		names = append(names, f.Agent)
	}
	for _, r := range a.notice.Audience {
		names = append(names, r.Agent)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// replaceAddress replaces an address wherever it stands whole, in any case.
func replaceAddress(text, address, by string) string {
	if address == "" {
		return text
	}
	found := regexp.MustCompile(`(?i)` + regexp.QuoteMeta(address))
	var out strings.Builder
	at := 0
	for _, m := range found.FindAllStringIndex(text, -1) {
		if m[0] > 0 && addressByte(text[m[0]-1]) || continues(text[m[1]:]) {
			continue // a part of somebody else's
		}
		out.WriteString(text[at:m[0]])
		out.WriteString(by)
		at = m[1]
	}
	out.WriteString(text[at:])
	return out.String()
}

func addressByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '+' || c >= 0x80
}

// continues reports whether rest goes on with the domain before it.
func continues(rest string) bool {
	rest, dot := strings.CutPrefix(rest, ".")
	return rest != "" && addressByte(rest[0]) && (!dot || rest[0] != '.')
}

// newlyWritten is what a message's author newly wrote, as the desk tells it
// apart, and what stands below it. Markers of our mails are taken out of both:
// each reader's mail has its own.
func (n *Notifier) newlyWritten(ctx context.Context, m *ticketing.Message, mail *message.Mail) (text, below string, err error) {
	if text, _, ok := passedOn(m, mail); ok {
		return strings.TrimSpace(message.WithoutMarkers(text)), "", nil
	}
	r, err := n.o.Desk.Reply(ctx, m, mail)
	text = r.Visible
	if m.Direction == "in" {
		text = message.SkipCommands(text, m.CommandLines)
	}
	return strings.TrimSpace(message.WithoutMarkers(text)), strings.TrimSpace(message.WithoutMarkers(r.Quoted)), err
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

func quoteLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight("> "+line, " ")
	}
	return strings.Join(lines, "\n")
}

// clip cuts s to at most n bytes, at a line's or a word's end if there is one,
// and says so.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := strings.LastIndexByte(s[:n], '\n')
	if cut <= 0 {
		cut = strings.LastIndexByte(s[:n], ' ')
	}
	if cut <= 0 {
		for cut = n; cut > 0 && !utf8.RuneStart(s[cut]); {
			cut--
		}
	}
	return strings.TrimRight(s[:cut], "\n ") + "\n[…]"
}
