package config

import (
	"fmt"
	"slices"
	"strings"
)

// From is what stands in From of a queue's mail.
type From struct {
	As      string  `toml:"as" enum:"author|assignee|queue" doc:"Whose name stands in From of what our side writes to customers, in front of \"via\" and the queue's name. author: whoever wrote. assignee: whoever the ticket is assigned to. queue: nobody's, only the queue's. What customers write is passed on in their name."`
	Name    string  `toml:"name" example:"Example Help" doc:"A fixed name instead."`
	Address Address `toml:"address" example:"help@help.example" doc:"The address in From instead of the queue's. Its domain must be one of ours: the mail is signed for it. Reply-To still leads to the queue; programs that ignore it answer to this address, so it should be an alias of the queue or be forwarded to it."`
}

// ReplyTo is where customers' answers go.
type ReplyTo struct {
	Address Address `toml:"address" example:"help@shop.example" doc:"The address in Reply-To of mail to customers instead of the queue's, for an address that is forwarded to the queue. Mail to staff keeps the queue's."`
	Plus    bool    `toml:"plus" doc:"Put the ticket's token behind its local part with a +, as with the queue's own address. With false for servers that do not know such addresses, answers find their ticket by the Message-IDs they refer to."`
}

// checkAppearance follows checkAddresses: who owns an address is known.
func (p *parser) checkAppearance(at path, q *Queue, owners map[string]string, domains []string) {
	if a := q.From.Address; a != "" {
		key := at.with("from", "address")
		switch owner := owners[a.fold()]; {
		case strings.HasPrefix(owner, "agent."):
			p.errorf(key, "", "from.address: %s belongs to [%s]; no address of staff stands in mail to customers", a, owner)
		case len(domains) > 0 && !slices.Contains(domains, a.Domain()):
			p.errorf(key, fmt.Sprintf("add  [domain.%q]", a.Domain()), "from.address: %s is outside the configured domains (%s); the mail could not be signed for it", a, strings.Join(domains, ", "))
		case strings.HasPrefix(owner, "queue.") && owner != at.String():
			p.errorf(key, "", "from.address: %s is the address of [%s]", a, owner)
		}
	}
	a := q.ReplyTo.Address
	if a == "" {
		return
	}
	key := at.with("reply_to", "address")
	switch owner := owners[a.fold()]; {
	case owner == "" && slices.Contains(domains, a.Domain()):
		p.errorf(key, "make it one of the queue's aliases", "reply_to.address: nobody takes mail for %s here", a)
	case owner != "" && owner != at.String():
		p.errorf(key, "", "reply_to.address: %s belongs to [%s]; answers would not come to this queue", a, owner)
	}
	if !q.ReplyTo.Plus {
		return
	}
	if n := len(a.Local()); n > maxQueueLocal {
		p.errorf(key, "set  plus = false", "reply_to.address: the part of %s before the @ has %d octets; at most %d leave room for a token", a, n, maxQueueLocal)
	}
	if strings.Contains(a.Local(), "+") {
		p.errorf(key, "set  plus = false", "reply_to.address: the part of %s before the @ has a +, which separates the token", a)
	}
}
