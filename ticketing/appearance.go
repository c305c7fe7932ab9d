package ticketing

import (
	"fmt"

	"ticketgate/ticketing/message"
)

// Appearance is how a queue's mail names its sender, and where customers'
// answers go. The zero value is author's name, queue's address, token and tag.
type Appearance struct {
	As      string // whose name stands in From of what our side writes to customers: author (or ""), assignee, queue
	Name    string // a fixed name instead
	Address string // in From, "" for the queue's; on a domain that mail is signed for

	ReplyTo        string // in Reply-To of mail to customers, "" for the queue's
	WithoutToken   bool   // ReplyTo stands there as it is
	WithoutSubject bool   // no [#number] in subjects
}

// addAppearance checks how a queue appears. The addresses it shows are as much
// ours as its own: nobody takes part under one, and nothing is mailed to one.
func (s *staff) addAppearance(q *queue) error {
	p := &q.Appearance
	switch p.As {
	case "":
		p.As = "author"
	case "author", "assignee", "queue":
	default:
		return fmt.Errorf("from.as %q is none of author, assignee, queue", p.As)
	}
	for _, shown := range []*string{&p.Address, &p.ReplyTo} {
		if *shown == "" {
			continue
		}
		parsed, err := message.ParseAddress(*shown)
		if err != nil {
			return fmt.Errorf("%q is no mail address: %w", *shown, err)
		}
		*shown = parsed.Addr
		s.shown[message.Fold(parsed.Addr)] = q
	}
	if p.ReplyTo != "" && !p.WithoutToken && len(message.Address{Addr: p.ReplyTo}.Local()) > maxLocal {
		return fmt.Errorf("the local part of %s is longer than %d octets", p.ReplyTo, maxLocal)
	}
	return nil
}
