package notify

import (
	"io"
	"mime"
	"strconv"
	"strings"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// extraFields are the fields beyond a letter's identity.
func extraFields(a *affair, l letter, loopMark string) []message.Field {
	fields := []message.Field{
		{Name: "List-Id", Value: listID(a)},
		{Name: ticketing.LoopHeader, Value: loopMark},
		{Name: "X-Ticketgate-Ticket", Value: strconv.FormatUint(a.ticket.Number, 10)},
	}
	if word := autoSubmitted(a, l); word != "" {
		fields = append(fields,
			message.Field{Name: "Auto-Submitted", Value: word},
			message.Field{Name: "X-Auto-Response-Suppress", Value: "All"})
	}
	return append(fields, threadFields(a, l)...)
}

// unsubscribe offers to end the mails that an opt-out ends: those to customers
// that nobody wrote to them. One click is only for https (RFC 8058 §3.1).
func (n *Notifier) unsubscribe(a *affair, l letter) []message.Field {
	if n.o.UnsubscribeURL == "" || l.staff() || a.isBacklog() || a.msg != nil && byUs(a.msg) {
		return nil
	}
	link := n.o.UnsubscribeURL + n.o.Desk.Keyring().UnsubscribeToken(l.to.Addr, a.ticket.Number)
	fields := []message.Field{{Name: "List-Unsubscribe", Value: "<" + link + ">"}}
	if strings.HasPrefix(link, "https://") {
		fields = append(fields, message.Field{Name: "List-Unsubscribe-Post", Value: "List-Unsubscribe=One-Click"})
	}
	return fields
}

// autoSubmitted marks what no person typed (RFC 3834 §5): all mail to staff,
// and to customers what a machine wrote.
func autoSubmitted(a *affair, l letter) string {
	switch {
	case l.ack:
		return "auto-replied"
	case l.staff() || machineWrote(a) || a.isBacklog():
		return "auto-generated"
	}
	return ""
}

// threadFields carry through what some mail programs sort threads by. The topic
// of an agent's mail stays inside: it is the subject of whatever he answered.
func threadFields(a *affair, l letter) []message.Field {
	const most = 512
	if a.mail == nil || l.ack {
		return nil
	}
	var fields []message.Field
	_, byStaff := a.staffAt(a.msg.Author.Address) // proven or not
	if v := a.mail.Header.Text("Thread-Topic"); v != "" && len(v) <= most && (l.staff() || !byStaff && !byUs(a.msg)) {
		fields = append(fields, message.Field{Name: "Thread-Topic", Value: v})
	}
	if v := strings.Join(strings.Fields(a.mail.Header.Get("Thread-Index")), ""); v != "" && len(v) <= most && base64Only(v) {
		fields = append(fields, message.Field{Name: "Thread-Index", Value: v})
	}
	return fields
}

func base64Only(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '+' || r == '/' || r == '=')
	})
}

// listID names the queue (RFC 2919). The phrase before it is left out where it
// would have to be quoted.
func listID(a *affair) string {
	label := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(a.queue.Name))
	id := "<" + label + "." + queueDomain(a) + ">"
	name := strings.Join(strings.Fields(queueName(a.queue)), " ")
	if name == "" || strings.ContainsAny(name, `()<>[]:;@\,."`) {
		return id
	}
	return name + " " + id
}

// maxCopiedFiles bounds the files repeated in a mail to staff, in bytes as they
// came; the rest is in the ticket. Mail to customers carries every file.
const maxCopiedFiles = 20 << 20

// files lists the message's files for a letter, and how many did not fit. They
// travel as they came: what stands in a file was put there by its sender.
func files(a *affair, l letter) (out []message.Attachment, left int) {
	if !l.staff() {
		return filesOf(a.mail, nil)
	}
	room := int64(maxCopiedFiles)
	return filesOf(a.mail, &room)
}

// filesOf lists a mail's files as long as there is room, all if room is nil.
func filesOf(mail *message.Mail, room *int64) (out []message.Attachment, left int) {
	for i, p := range mail.Attachments() {
		if size := p.End - p.Start; room != nil {
			if size > *room {
				left++
				continue
			}
			*room -= size
		}
		// Our text refers to no image by its id, and some programs do not show
		// an image that nothing refers to: all files are plain attachments.
		out = append(out, message.Attachment{
			Filename:    fileName(p, i+1),
			ContentType: fileType(p),
			Open:        func() (io.Reader, error) { return mail.Open(p), nil },
		})
	}
	return out, left
}

// fileType is a part's type for a mail of ours: with the charset its bytes are
// in; nested mails and multiparts travel encoded, which only plain bytes may.
func fileType(p *message.Part) string {
	if strings.HasPrefix(p.Type, "message/") || strings.HasPrefix(p.Type, "multipart/") {
		return "application/octet-stream"
	}
	if charset := p.Params["charset"]; charset != "" {
		if s := mime.FormatMediaType(p.Type, map[string]string{"charset": charset}); s != "" {
			return s
		}
	}
	return p.Type
}

// fileName gives a file without a name one that opens.
func fileName(p *message.Part, number int) string {
	switch {
	case p.Filename != "":
		return p.Filename
	case p.Type == "message/rfc822" || p.Type == "message/global":
		return "mail-" + strconv.Itoa(number) + ".eml"
	case p.Type == "text/calendar":
		return "invitation-" + strconv.Itoa(number) + ".ics"
	case strings.HasPrefix(p.Type, "text/"):
		return "text-" + strconv.Itoa(number) + ".txt"
	}
	return "file-" + strconv.Itoa(number)
}
