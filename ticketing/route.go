package ticketing

import (
	"context"
	"strings"

	"ticketgate/ticketing/message"
)

// Kinds of Route.
const (
	routeQueue      = "queue"
	routeReply      = "reply"
	routeAlias      = "alias"
	routeReturnPath = "return_path"
	routePostmaster = "postmaster"
	routeTask       = "task"
)

// minToken is the length from which a plus-tag of nothing but base32 letters
// counts as a token. Shorter tags are people's own: support+printer@ is the
// queue.
const minToken = 24

// Route says where a recipient leads. Unknown for addresses that are not ours
// and for tokens that do not verify.
//
// A tag after "+" that looks like a token must verify with the secrets in force
// for this very queue; any other tag is ignored. postmaster@ and abuse@ of a
// queue's domain, and postmaster alone, lead to the first queue of the domain.
func (d *Desk) Route(_ context.Context, recipient string) (Route, error) {
	t, err := d.target(recipient)
	if err != nil {
		return Route{}, err
	}
	return Route{Queue: t.queue.Name, Token: t.tag, Kind: t.kind}, nil
}

// target is a resolved recipient.
type target struct {
	queue *queue
	kind  string
	tag   string        // the token as text, "" if there is none
	token message.Token // verified; zero if there is none
}

func (d *Desk) target(recipient string) (target, error) {
	unknown := &Error{Kind: Unknown, Text: "no such address here"}
	path, err := message.ParsePath(recipient)
	if err != nil {
		return target{}, &Error{Kind: Unknown, Text: unknown.Text, Err: err}
	}
	folded := message.Fold(path)
	if q := d.addresses[folded]; q != nil {
		return target{queue: q, kind: routeQueue}, nil
	}
	if q, tag := d.tagged(folded); q != nil {
		if !looksLikeToken(tag) {
			return target{queue: q, kind: routeQueue}, nil
		}
		token, err := d.Keyring().ParseAddressToken(q.Name, tag)
		if err != nil {
			return target{}, &Error{Kind: Unknown, Text: unknown.Text, Err: err}
		}
		return target{queue: q, kind: tokenKind(token), tag: tag, token: token}, nil
	}
	if q, tag, token := d.taskToken(folded); q != nil {
		return target{queue: q, kind: routeTask, tag: tag, token: token}, nil
	}
	if q := d.postmaster(folded); q != nil {
		return target{queue: q, kind: routePostmaster}, nil
	}
	return target{}, unknown
}

func tokenKind(t message.Token) string {
	switch t.Kind {
	case message.KindAlias:
		return routeAlias
	case message.KindReturnPath:
		return routeReturnPath
	}
	return routeReply
}

// taskLocal is the local part that makes tasks: task+token@ a queue's domain.
const taskLocal = "task"

// taskTag returns the tag of a task address on a domain of ours.
func (s *staff) taskTag(folded string) (tag, domain string, ok bool) {
	local, domain, _ := cutLast(folded, '@')
	tag, ok = strings.CutPrefix(local, taskLocal+"+")
	return tag, domain, ok && s.domains[domain] != nil
}

// taskToken verifies a task address. Tokens belong to a queue, and the address
// does not say which.
func (d *Desk) taskToken(folded string) (q *queue, tag string, token message.Token) {
	tag, domain, ok := d.taskTag(folded)
	if !ok || !looksLikeToken(tag) {
		return nil, "", message.Token{}
	}
	for _, q := range d.order {
		if domainOf(message.Fold(q.Address)) != domain {
			continue
		}
		if t, err := d.Keyring().ParseAddressToken(q.Name, tag); err == nil && t.Kind == message.KindTask {
			return q, tag, t
		}
	}
	return nil, "", message.Token{}
}

// TaskAddress is where agents send mail that is to be a task of a ticket; ""
// while its queue is not configured, or if a queue has that local part itself.
func (d *Desk) TaskAddress(t *Ticket) string {
	q := d.queues[t.Queue]
	if q == nil || d.addresses[taskLocal+"@"+q.domain] != nil {
		return ""
	}
	return taskLocal + "+" + d.Keyring().AddressToken(q.Name, message.Token{Kind: message.KindTask, Ticket: t.Number}) + "@" + q.domain
}

// tagged returns the queue of local+tag@domain, and the tag.
func (s *staff) tagged(folded string) (q *queue, tag string) {
	local, domain, ok := cutLast(folded, '@')
	if !ok {
		return nil, ""
	}
	for i := len(local) - 1; i > 0; i-- {
		if local[i] != '+' {
			continue
		}
		if q := s.addresses[local[:i]+"@"+domain]; q != nil {
			return q, local[i+1:]
		}
	}
	return nil, ""
}

func (s *staff) postmaster(folded string) *queue {
	local, domain, ok := cutLast(folded, '@')
	if base, _, tagged := strings.Cut(local, "+"); tagged {
		local = base
	}
	if local != "postmaster" && local != "abuse" {
		return nil
	}
	if ok {
		return s.domains[domain]
	}
	if local == "postmaster" && len(s.order) > 0 {
		return s.order[0]
	}
	return nil
}

// own returns the queue that a folded address leads to in any of its forms, nil
// if the address is not ours. Nobody with such an address becomes a
// participant, and nothing is mailed to one.
func (s *staff) own(folded string) *queue {
	if q := s.addresses[folded]; q != nil {
		return q
	}
	if q, _ := s.tagged(folded); q != nil {
		return q
	}
	if _, domain, ok := s.taskTag(folded); ok {
		return s.domains[domain]
	}
	if q := s.postmaster(folded); q != nil {
		return q
	}
	local, domain, _ := cutLast(folded, '@')
	base, _, _ := strings.Cut(local, "+")
	if q := s.shown[folded]; q != nil {
		return q
	}
	return s.shown[base+"@"+domain]
}

func looksLikeToken(tag string) bool {
	if len(tag) < minToken {
		return false
	}
	for i := 0; i < len(tag); i++ {
		c := tag[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}
