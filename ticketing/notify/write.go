package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// parcel is a composed mail and the words for the outbox. The mail lies in a
// blob, so that however many letters a notice has, one chunk of each is in
// memory.
type parcel struct {
	writer   *blob.Writer
	sealed   *blob.Sealed
	outbound message.Outbound
	letter   letter
	open     bool    // it tells a customer what is public
	limits   []limit // those it must get past when it is handed over
}

func (p parcel) domain() string { return message.Address{Addr: p.outbound.To}.Domain() }

// write composes one letter into a blob. unwritable says that this letter can
// never be written; err, that it cannot be now.
func (n *Notifier) write(ctx context.Context, a *affair, l letter) (p parcel, unwritable, err error) {
	if from := fromAddress(a.queue); !from.Writable() {
		return parcel{}, nil, fmt.Errorf("the address %q of queue %s cannot be written", from.Addr, a.queue.Name)
	}
	if !l.to.Writable() {
		return parcel{}, errors.New(unwritableAddress(l.to)), nil
	}
	draft, returnPath, err := n.draft(ctx, a, l)
	if err != nil {
		return parcel{}, nil, err
	}
	id, err := n.newID(ctx)
	if err != nil {
		return parcel{}, nil, err
	}
	w := n.o.Blobs.Create(ctx)
	sealed, err := seal(w, draft)
	if err != nil {
		w.Discard()
		if errors.Is(err, message.ErrDraft) {
			return parcel{}, err, nil
		}
		return parcel{}, nil, err
	}
	p = parcel{writer: w, sealed: sealed, letter: l, open: !l.staff() && !l.ack, limits: n.limitsOf(a, l), outbound: message.Outbound{
		ID:     id,
		Class:  parcelClass(a, l),
		From:   returnPath,
		To:     l.to.Addr,
		SHA256: sealed.Ref().SHA256,
		Size:   sealed.Ref().Size,
		Domain: fromAddress(a.queue).Domain(),
		Queue:  a.queue.Name,
		Ticket: a.ticket.Number,
		UTF8:   draft.NeedsUTF8(),
	}}
	if tellsMessage(a, l) {
		p.outbound.Message, p.outbound.MailID = a.msg.ID, draft.MessageID
	}
	if a.isBacklog() {
		p.outbound.Mail = a.notice.Mail
	}
	return p, nil, nil
}

func seal(w *blob.Writer, draft message.Draft) (*blob.Sealed, error) {
	// The same notice composed again after a crash gives the same bytes.
	if err := message.Compose(w, draft, []byte(draft.MessageID)); err != nil {
		return nil, err
	}
	return w.Seal()
}

func (n *Notifier) newID(ctx context.Context) (id string, err error) {
	var now time.Time
	err = n.o.DB.View(ctx, func(r store.Reader) error {
		now = r.Now()
		return nil
	})
	if err != nil {
		return "", err
	}
	return store.NewID("out_", now, n.o.Random)
}

// tellsMessage reports whether a letter carries the message, so that its
// delivery is the message's. That of an acknowledgement is not, and the fate of
// the news that a mail failed is nobody's news: it could only fail again.
func tellsMessage(a *affair, l letter) bool {
	return a.msg != nil && !l.ack && !detailed(a.notice.Event)
}

func parcelClass(a *affair, l letter) string {
	switch {
	case l.ack:
		return "autoack"
	case !l.staff() && a.msg != nil && byUs(a.msg):
		return "reply"
	}
	return "notification"
}

// draft builds everything of a letter but its bytes.
func (n *Notifier) draft(ctx context.Context, a *affair, l letter) (d message.Draft, returnPath string, err error) {
	keys := n.o.Desk.Keyring()
	token := message.Token{
		Kind:     message.KindReply,
		Ticket:   a.ticket.Number,
		Mail:     a.notice.Mail,
		Person:   message.PersonHash(l.to.Addr),
		Role:     tokenRole(a, l),
		Internal: internal(a),
	}
	inReplyTo, references, err := n.o.Desk.Thread(ctx, a.ticket.Number, l.to.Addr)
	if err != nil {
		return d, "", err
	}
	id := keys.MessageID(queueDomain(a), token)
	d = message.Draft{
		From:       message.Address{Name: sender(a, l), Addr: fromAddress(a.queue).Addr},
		ReplyTo:    []message.Address{n.replyTo(a, l, token)},
		Subject:    subject(a, l),
		Date:       a.notice.At,
		MessageID:  id,
		InReplyTo:  inReplyTo,
		References: references,
		Extra:      append(extraFields(a, l, keys.LoopMark(id)), n.unsubscribe(a, l)...),
	}
	d.To, d.Cc = n.visible(a, l)
	var left int
	switch {
	case a.isBacklog():
		d.Attachments, left = backlogFiles(a)
	case tellsMessage(a, l):
		d.Attachments, left = files(a, l)
	}
	d.Text, d.HTML = body(a, l, left, keys.BodyMarker(token))
	if l.ack || a.notice.Event == "delivery_failed" {
		return d, "", nil // a report about it could only cause another
	}
	token.Kind = message.KindReturnPath
	return d, n.tokenAddress(a, token), nil
}

func queueDomain(a *affair) string { return message.Address{Addr: a.queue.Address}.Domain() }

// tokenAddress puts a token into the queue's address.
func (n *Notifier) tokenAddress(a *affair, t message.Token) string {
	at := strings.LastIndexByte(a.queue.Address, '@')
	return a.queue.Address[:at] + "+" + n.o.Desk.Keyring().AddressToken(a.queue.Name, t) + a.queue.Address[at:]
}

// internal is the class of a letter: answers to it stay among staff.
func internal(a *affair) bool {
	return !a.isBacklog() && (!a.publicEvent() || !public(a.msg))
}

// tokenRole is the role in a letter's tokens. It is made as the desk makes it
// again when it looks for the mails a person had (Desk.Thread).
func tokenRole(a *affair, l letter) message.Role {
	switch {
	case l.role == "requester":
		return message.RoleRequester
	case l.role == "cc":
		return message.RoleCC
	case a.follows(l.agent):
		return message.RoleFollower
	}
	return message.RoleAgent
}

// visible returns the To and Cc a letter shows. Customers see requester and
// CCs. Staff see the same people under addresses of the gateway, so that
// Reply-all reaches them through it and never around it. What is internal shows
// nobody but its reader: nothing leads from it to a customer by a slip of the
// hand.
func (n *Notifier) visible(a *affair, l letter) (to, cc []message.Address) {
	if l.ack && !l.echo {
		return []message.Address{{Addr: l.to.Addr}}, nil // the name is the stranger's text too
	}
	if l.ack || internal(a) {
		return []message.Address{l.to}, nil
	}
	if r := a.ticket.Requester; (message.Address{Addr: r.Address}).Writable() {
		to = append(to, n.shown(a, l, r.Address, r.Name, message.RoleRequester))
	}
	for _, c := range a.ticket.CCs {
		if (message.Address{Addr: c.Address}).Writable() {
			cc = append(cc, n.shown(a, l, c.Address, c.Name, message.RoleCC))
		}
	}
	if len(to) == 0 {
		to = []message.Address{l.to}
		cc = slices.DeleteFunc(cc, func(c message.Address) bool { return message.Fold(c.Addr) == l.folded })
	}
	return to, cc
}

// shown is a customer as a letter's reader sees him. A customer whose address
// only SMTPUTF8 can carry is an alias for customers too whose own address does
// not say that their servers know it. Staff who take part like customers are
// aliases for everybody else, and see others as staff do.
func (n *Notifier) shown(a *affair, l letter, addr, name string, role message.Role) message.Address {
	agent, isStaff := a.staffAt(addr)
	if isStaff {
		name = staffName(agent)
	}
	if own := message.Fold(addr) == l.folded; own || !isStaff && !a.readByStaff(l) && (asciiLocal(addr) || !asciiLocal(l.to.Addr)) {
		return message.Address{Name: name, Addr: addr}
	}
	if name == "" || message.Fold(name) == message.Fold(addr) {
		// Not the address itself: a program that quotes badly would mail to it.
		name = strings.Replace(addr, "@", " at ", 1)
	}
	return message.Address{Name: name, Addr: n.tokenAddress(a, message.Token{
		Kind:   message.KindAlias,
		Ticket: a.ticket.Number,
		Mail:   a.notice.Mail,
		Person: message.PersonHash(addr),
		Role:   role,
	})}
}

// readByStaff reports whether a letter goes to staff, in whatever role.
func (a *affair) readByStaff(l letter) bool {
	_, is := a.staffAt(l.to.Addr)
	return l.staff() || is
}

func asciiLocal(addr string) bool {
	return !strings.ContainsFunc(message.Address{Addr: addr}.Local(), func(r rune) bool { return r >= 0x80 })
}
