package notify

import (
	"cmp"
	"strings"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// fromAddress is what stands in From of a queue's mail. The mail is signed for
// its domain.
func fromAddress(q *ticketing.Queue) message.Address {
	return message.Address{Addr: cmp.Or(q.Appearance.Address, q.Address)}
}

// sender is the display name in From. Our side's mail to customers names whom
// the queue wants it to name; what others wrote, and what staff read, is named
// after its author.
func sender(a *affair, l letter) string {
	queue, as := queueName(a.queue), a.queue.Appearance
	ours := !l.staff() && (a.msg == nil || byUs(a.msg) || l.ack)
	if ours && as.Name != "" {
		return as.Name
	}
	if l.ack || !tellsMessage(a, l) || ours && as.As == "queue" {
		return queue
	}
	name := a.authorName(a.msg)
	if ours && as.As == "assignee" {
		name = queue
		if agent, ok := a.agents(a.ticket.Assignee); ok {
			name = staffName(agent)
		}
	}
	if name != queue {
		return name + " via " + queue
	}
	return queue
}

// replyTo is where answers to a letter go: to the queue with a token, or, of
// customers, where the queue wants them.
func (n *Notifier) replyTo(a *affair, l letter, t message.Token) message.Address {
	to := message.Address{Name: queueName(a.queue), Addr: n.tokenAddress(a, t)}
	own := a.queue.Appearance.ReplyTo
	if own == "" || a.readByStaff(l) {
		return to
	}
	if to.Addr = own; !a.queue.Appearance.WithoutToken {
		at := strings.LastIndexByte(own, '@')
		to.Addr = own[:at] + "+" + n.o.Desk.Keyring().AddressToken(a.queue.Name, t) + own[at:]
	}
	return to
}
