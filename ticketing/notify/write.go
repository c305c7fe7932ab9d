package notify

import (
	"context"
	"io"
	"strconv"
	"strings"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// maxCopiedFiles bounds the files repeated in a mail to staff; they can read
// the rest in the ticket. Mail to customers carries every file.
const maxCopiedFiles = 20 << 20

// parcel is a composed mail and the words for the outbox.
type parcel struct {
	sealed   *blob.Sealed
	writer   *blob.Writer
	outbound message.Outbound
	linked   bool
}

func (p parcel) discard() {
	if !p.linked {
		p.writer.Discard()
	}
}

// write composes one letter into a blob.
func (n *Notifier) write(ctx context.Context, a *affair, l letter) (parcel, error) {
	draft, returnPath, err := n.draft(ctx, a, l)
	if err != nil {
		return parcel{}, err
	}
	seed := []byte(draft.MessageID)
	w := n.o.Blobs.Create(ctx)
	if err := message.Compose(w, draft, seed); err != nil {
		w.Discard()
		return parcel{}, err
	}
	sealed, err := w.Seal()
	if err != nil {
		w.Discard()
		return parcel{}, err
	}
	p := parcel{sealed: sealed, writer: w}
	id, err := n.newID(ctx)
	if err != nil {
		p.discard()
		return parcel{}, err
	}
	p.outbound = message.Outbound{
		ID:     id,
		Class:  parcelClass(a, l),
		From:   returnPath,
		To:     l.to.Addr,
		SHA256: sealed.Ref().SHA256,
		Size:   sealed.Ref().Size,
		Domain: message.Address{Addr: a.queue.Address}.Domain(),
		Queue:  a.queue.Name,
		Ticket: a.ticket.Number,
		UTF8:   draft.NeedsUTF8() || !ascii(l.to.Addr),
	}
	if a.msg != nil && !l.ack {
		p.outbound.Message = a.msg.ID
	}
	return p, nil
}

func (n *Notifier) newID(ctx context.Context) (id string, err error) {
	viewErr := n.o.DB.View(ctx, func(r store.Reader) error {
		id, err = store.NewID("out_", r.Now(), n.o.Random)
		return err
	})
	return id, viewErr
}

func parcelClass(a *affair, l letter) string {
	switch {
	case l.ack:
		return "autoack"
	case !l.staff() && a.notice.Actor.Agent != "":
		return "reply"
	}
	return "notification"
}

// draft builds everything of a letter but its bytes.
func (n *Notifier) draft(ctx context.Context, a *affair, l letter) (message.Draft, string, error) {
	keys := n.o.Desk.Keyring()
	domain := message.Address{Addr: a.queue.Address}.Domain()
	token := message.Token{
		Kind:     message.KindReply,
		Ticket:   a.ticket.Number,
		Mail:     a.notice.Mail,
		Person:   message.PersonHash(l.to.Addr),
		Role:     tokenRole(l.role),
		Internal: a.msg != nil && a.msg.Visibility == "internal",
	}
	inReplyTo, references, err := n.o.Desk.Thread(ctx, a.ticket.Number, l.to.Addr)
	if err != nil {
		return message.Draft{}, "", err
	}
	id := keys.MessageID(domain, token)
	d := message.Draft{
		From:       message.Address{Name: sender(a, l), Addr: a.queue.Address},
		ReplyTo:    []message.Address{{Name: queueName(a.queue), Addr: n.tokenAddress(a.queue.Address, a.queue.Name, token)}},
		Subject:    subject(a, l),
		Date:       a.notice.At,
		MessageID:  id,
		InReplyTo:  inReplyTo,
		References: references,
		Extra:      extraFields(a, l, keys.LoopMark(id)),
	}
	d.To, d.Cc = n.visible(a, l)
	d.Text, d.HTML = body(a, l)
	if !l.ack {
		d.Attachments = files(a, l)
	}
	if l.ack {
		return d, "", nil // automatic mail leaves from the null return path
	}
	token.Kind = message.KindReturnPath
	return d, n.tokenAddress(a.queue.Address, a.queue.Name, token), nil
}

// tokenAddress puts a token into a queue's address.
func (n *Notifier) tokenAddress(address, queue string, t message.Token) string {
	local, domain, _ := strings.Cut(address, "@")
	return local + "+" + n.o.Desk.Keyring().AddressToken(queue, t) + "@" + domain
}

func tokenRole(role string) message.Role {
	switch role {
	case "requester":
		return message.RoleRequester
	case "cc":
		return message.RoleCC
	case "follower":
		return message.RoleFollower
	}
	return message.RoleAgent
}

// visible returns the To and Cc a letter shows. Customers see requester and
// CCs; staff see the same people under gateway addresses, so that Reply-all
// reaches them through the gateway and never around it.
func (n *Notifier) visible(a *affair, l letter) (to, cc []message.Address) {
	if l.ack {
		return []message.Address{l.to}, nil
	}
	show := func(addr, name string, role message.Role) message.Address {
		if !l.staff() {
			return message.Address{Name: name, Addr: addr}
		}
		if name == "" {
			name = addr
		}
		return message.Address{Name: name, Addr: n.tokenAddress(a.queue.Address, a.queue.Name, message.Token{
			Kind:   message.KindAlias,
			Ticket: a.ticket.Number,
			Mail:   a.notice.Mail,
			Person: message.PersonHash(addr),
			Role:   role,
		})}
	}
	if r := a.ticket.Requester; r.Address != "" {
		to = append(to, show(r.Address, r.Name, message.RoleRequester))
	}
	for _, c := range a.ticket.CCs {
		cc = append(cc, show(c.Address, c.Name, message.RoleCC))
	}
	return to, cc
}

// extraFields are the fields beyond a letter's identity (REQUIREMENTS §10).
func extraFields(a *affair, l letter, loopMark string) []message.Field {
	fields := []message.Field{
		{Name: "List-Id", Value: queueName(a.queue) + " <" + a.queue.Name + "." + message.Address{Addr: a.queue.Address}.Domain() + ">"},
		{Name: "X-Ticketgate-Loop", Value: loopMark},
		{Name: "X-Ticketgate-Ticket", Value: strconv.FormatUint(a.ticket.Number, 10)},
	}
	switch {
	case l.ack:
		fields = append(fields, message.Field{Name: "Auto-Submitted", Value: "auto-replied"})
	case l.staff():
		fields = append(fields, message.Field{Name: "Auto-Submitted", Value: "auto-generated"})
	}
	if l.ack || l.staff() {
		fields = append(fields, message.Field{Name: "X-Auto-Response-Suppress", Value: "All"})
	}
	if a.mail != nil && !l.ack {
		for _, name := range []string{"Thread-Topic", "Thread-Index"} {
			if v := a.mail.Header.Text(name); v != "" && len(v) < 512 {
				fields = append(fields, message.Field{Name: name, Value: v})
			}
		}
	}
	return fields
}

// files lists the message's files for a letter: all of them for customers,
// as many as fit for staff.
func files(a *affair, l letter) []message.Attachment {
	if a.mail == nil {
		return nil
	}
	var out []message.Attachment
	var total int64
	for _, p := range a.mail.Attachments() {
		total += p.End - p.Start
		if l.staff() && total > maxCopiedFiles {
			break
		}
		contentType := p.Type
		if strings.HasPrefix(contentType, "message/") || strings.HasPrefix(contentType, "multipart/") {
			contentType = "application/octet-stream" // its content travels encoded
		}
		out = append(out, message.Attachment{
			Filename:    p.Filename,
			ContentType: contentType,
			ContentID:   p.ContentID,
			Inline:      p.Disposition == "inline" && p.ContentID != "",
			Open:        func() (io.Reader, error) { return a.mail.Open(p), nil },
		})
	}
	return out
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
