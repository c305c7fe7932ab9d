package ticketing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ticketgate/ticketing/message"
)

// Screen says which mail a queue holds instead of putting it on a ticket. The
// zero value holds none for these reasons. What proven agents write, and reports
// that reach a return path of ours, is never screened.
type Screen struct {
	Blocked          []string // authors and envelope senders: an address, @domain, a glob
	Spam             bool     // what a trusted forwarder of the queue has marked as spam
	Recipients       int      // more people than this in To and Cc
	PartSize         int64    // a file of more octets than this, as it came
	Malformed        bool     // no From, or one that names nobody
	Unparsed         bool     // what could not be read as a mail at all
	UnverifiedAgents bool     // a new ticket by a mail that claims to be an agent's and is T0
	Strangers        bool     // mail to a ticket by somebody who has no part in it
}

// Reasons that a screen gives.
const (
	heldBlocked    = "blocklisted"
	heldSpam       = "spam"
	heldMalformed  = "malformed"
	heldUnparsed   = "unparsed"
	heldOversize   = "oversize_part"
	heldRecipients = "too_many_recipients"
	heldAgent      = "unverified_agent"
	heldStranger   = "unknown_user_update"
)

func (q *queue) checkScreen() error {
	for _, pattern := range q.Screen.Blocked {
		n, err := newNever(pattern)
		if err != nil {
			return fmt.Errorf("screen.blocked: %w", err)
		}
		q.blocked = append(q.blocked, n)
	}
	return nil
}

// screened says why the queue's screen keeps a mail from its tickets, by what
// the mail itself shows; "" if it does not.
func (in *incoming) screened(u *unit) (reason, detail string) {
	if u.agent != nil || in.arrival.User != "" {
		return "", ""
	}
	s := &u.queue.Screen
	if who := in.blockedBy(u.queue); who != "" {
		return heldBlocked, who
	}
	if s.Spam && u.forwarder {
		if mark := in.spamMark(); mark != "" {
			return heldSpam, mark
		}
	}
	machine := in.report() || in.complaint()
	switch {
	case s.Unparsed && in.mail.Unparsed:
		return heldUnparsed, ""
	case s.Malformed && in.doubtful && !machine:
		return heldMalformed, "from"
	case s.Recipients > 0 && (len(in.addressed) > s.Recipients || in.cutShort):
		return heldRecipients, strconv.Itoa(len(in.addressed))
	}
	if s.PartSize > 0 {
		for _, p := range in.mail.Attachments() {
			if size := p.End - p.Start; size > s.PartSize {
				return heldOversize, strconv.FormatInt(size, 10)
			}
		}
	}
	return "", ""
}

// blockedBy returns the address of a mail that its queue blocks, "" if none is.
func (in *incoming) blockedBy(q *queue) string {
	if len(q.blocked) == 0 {
		return ""
	}
	return in.sentBy(q.blocked)
}

// sentBy returns the author or the envelope sender if a list names him, "" if
// it names neither.
func (in *incoming) sentBy(list []never) string {
	envelope := ""
	if len(in.arrival.EnvelopeFrom) <= maxAddress {
		envelope = message.Fold(in.arrival.EnvelopeFrom)
	}
	for _, who := range []string{in.folded, envelope} {
		if who != "" && slices.ContainsFunc(list, func(n never) bool { return n.matches(who) }) {
			return clip(who, maxAddress)
		}
	}
	return ""
}

// spamMark is the field by which another mail server says that a mail is spam.
// Only hosts we trust are believed: anybody can write such a field, and leave
// it out.
func (in *incoming) spamMark() string {
	h := in.mail.Header
	for _, name := range []string{"X-Spam-Flag", "X-Spam-Status", "X-Spam"} {
		if word, _, _ := strings.Cut(strings.TrimSpace(h.Get(name)), ","); strings.EqualFold(word, "yes") {
			return name
		}
	}
	// Microsoft's score: 5 and 6 are spam, 9 is surely spam.
	const exchange = "X-MS-Exchange-Organization-SCL"
	if n, err := strconv.Atoi(strings.TrimSpace(h.Get(exchange))); err == nil && n >= 5 {
		return exchange
	}
	return ""
}

// doubted says why a mail is held although its ticket is known, or that it
// would open one; "" if it is not. What somebody released has been decided
// about.
func (w *work) doubted(in *incoming, u *unit, p *place) (reason, detail string) {
	s := &u.queue.Screen
	switch {
	case !in.receivedAt.IsZero() || u.rule != nil || u.agent != nil || in.arrival.User != "" || in.automatic():
	case s.UnverifiedAgents && p.ticket == nil && in.agent != nil && !proven(u.trust):
		return heldAgent, in.agent.Name
	case s.Strangers && p.ticket != nil && w.role(p.ticket, in, u) == "third_party":
		return heldStranger, "ticket " + strconv.FormatUint(p.ticket.Number, 10)
	}
	return "", ""
}
