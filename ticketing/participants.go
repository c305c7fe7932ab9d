package ticketing

import (
	"slices"
	"strings"

	"ticketgate/ticketing/message"
)

// ccChange is what a mail changed about a ticket's participants.
type ccChange struct {
	Added    []string `json:"cc_added,omitempty"`
	Removed  []string `json:"cc_removed,omitempty"`
	Followed []string `json:"followers_added,omitempty"`
	Refused  []string `json:"cc_refused,omitempty"`  // by the queue's list of addresses that are never CC
	Unproven []string `json:"cc_unproven,omitempty"` // named in a mail to a ticket that nothing vouches for
	Message  string   `json:"message"`
	Via      string   `json:"via"`
}

func (c *ccChange) empty() bool {
	return len(c.Added)+len(c.Removed)+len(c.Followed)+len(c.Refused)+len(c.Unproven) == 0
}

// participantsByMail adds and removes CCs as a mail's To and Cc say.
//
// Requester, CCs and full agents may add, if they are proven or the mail opens
// the ticket. Only requester and CCs may remove,
// only if the requester takes part in the mail, and only whom the very mail
// they answer named: an older mail says nothing about who came later.
func (w *work) participantsByMail(t *ticketRow, role string, in *incoming, u *unit, p *place, by Actor, c *ccChange) error {
	if in.automatic() || in.auto.Class == "list" || in.auto.Class == "bulk" {
		return nil
	}
	if p.ticket != nil && customerRole(role) && !in.cutShort {
		if err := w.removeByMail(t, role, in, p, c); err != nil {
			return err
		}
	}
	if customerRole(role) && p.ticket != nil && u.trust == "T0" {
		for _, a := range in.people[:min(len(in.people), maxCCs)] {
			if folded := message.Fold(a.Addr); folded != in.folded && folded != message.Fold(t.Requester.Address) && !t.hasCC(folded) {
				c.Unproven = append(c.Unproven, folded)
			}
		}
	}
	if mayAdd(role, u, p) {
		return w.addByMail(t, in, by, c)
	}
	return nil
}

// mayAdd reports whether a mail may make people CC. On a ticket there is
// something to be learned from, so its author must be proven; the mail that
// opens one tells those it names nothing but itself.
func mayAdd(role string, u *unit, p *place) bool {
	return (role == "agent" || customerRole(role)) && (p.ticket == nil || u.trust != "T0")
}

// automatic reports whether no person wrote the mail for this occasion. Such
// mail changes no status, owner or participant.
func (in *incoming) automatic() bool {
	switch in.auto.Class {
	case "none", "list", "bulk":
		return false
	}
	return true
}

func (w *work) removeByMail(t *ticketRow, role string, in *incoming, p *place, c *ccChange) error {
	if role != "requester" && !w.addressesRequester(t, in) {
		return nil
	}
	shown, known, err := w.shownIn(t, p)
	if err != nil || !known {
		return err
	}
	var gone []string
	for _, cc := range t.CCs {
		folded := message.Fold(cc.Address)
		if folded != in.folded && slices.Contains(shown, folded) && !w.addresses(t, in, cc.Address) {
			gone = append(gone, folded)
		}
	}
	for _, folded := range gone {
		w.removeCC(t, folded)
	}
	c.Removed = append(c.Removed, gone...)
	return nil
}

func (w *work) addByMail(t *ticketRow, in *incoming, by Actor, c *ccChange) error {
	q := w.d.queues[t.Queue]
	if q == nil {
		return nil
	}
	for _, a := range in.people {
		folded := message.Fold(a.Addr)
		if folded == in.folded || folded == message.Fold(t.Requester.Address) || t.hasCC(folded) {
			continue
		}
		if staff := w.d.writer(folded); staff != nil && !q.CC.StaffAsCC {
			if w.makeFollower(t, staff) {
				c.Followed = append(c.Followed, staff.Name)
			}
			continue
		}
		if q.forbidden(folded) {
			if len(c.Refused) < maxCCs {
				c.Refused = append(c.Refused, folded)
			}
			continue
		}
		if robot(folded) || len(t.CCs) >= q.CC.Max {
			continue
		}
		if ok, err := w.allows(q, t, folded); err != nil || !ok {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := w.contact(a, mentioned); err != nil {
			return err
		}
		w.addCC(t, a)
		if err := w.owe(t, by, a, ""); err != nil {
			return err
		}
		c.Added = append(c.Added, folded)
	}
	return nil
}

// forbidden reports whether the queue's list keeps an address from being CC.
func (q *queue) forbidden(folded string) bool {
	return slices.ContainsFunc(q.never, func(n never) bool { return n.matches(folded) })
}

// robots are local parts behind which nobody reads mail, or a list does.
var robots = []string{
	"noreply", "no-reply", "no_reply", "no.reply", "donotreply", "do-not-reply", "do_not_reply", "do.not.reply",
	"mailer-daemon", "bounce", "bounces", "listserv", "majordomo", "mailman", "autoreply", "auto-reply",
}

func robot(folded string) bool {
	local, _, _ := cutLast(folded, '@')
	base, _, _ := strings.Cut(local, "+")
	if slices.Contains(robots, base) {
		return true
	}
	for _, r := range robots[:8] {
		if strings.HasPrefix(base, r+"-") || strings.HasPrefix(base, r+".") || strings.HasSuffix(base, "-"+r) {
			return true
		}
	}
	return strings.HasSuffix(base, "-request") || strings.HasSuffix(base, "-bounces") || strings.HasPrefix(base, "owner-")
}

func (w *work) addCC(t *ticketRow, a message.Address) {
	p := person(a)
	p.Contact = w.contactOf(a)
	t.CCs = append(t.CCs, p)
	w.touch(t)
}

func (w *work) removeCC(t *ticketRow, folded string) bool {
	before := len(t.CCs)
	t.CCs = slices.DeleteFunc(t.CCs, func(p Person) bool { return message.Fold(p.Address) == folded })
	if len(t.CCs) == before {
		return false
	}
	w.touch(t)
	return true
}

// makeFollower makes an agent a follower, unless he is one or there are too many.
func (w *work) makeFollower(t *ticketRow, a *Agent) bool {
	if t.followedBy(a.Name) || len(t.Followers) >= maxFollowers {
		return false
	}
	t.Followers = append(t.Followers, Follower{Agent: a.Name, Address: a.Addresses[0]})
	w.touch(t)
	return true
}

func person(a message.Address) Person {
	return Person{Contact: contactID(message.Fold(a.Addr)), Address: a.Addr, Name: a.Name}
}
