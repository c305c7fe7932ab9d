package ticketing

import (
	"slices"

	"ticketgate/ticketing/message"
)

// sight is what a message becomes.
type sight struct {
	kind       string // customer reply note third_party auto bounce
	visibility string
	flags      []string
}

// see decides whether a mail is public on its ticket. First that applies:
//
//	reports and automatic answers are internal
//	third parties are internal and flagged
//	answers to a mail that held internal text are internal
//	light agents, followers and whom the queue does not let are internal
//	an agent's #public and #note say so
//	agents are public if the requester is among To and Cc, by his own address
//	or by an alias of this ticket, else internal
//	the requester is public
//	a CC is public if the requester or all other visible CCs are addressed,
//	else internal and flagged
func (w *work) see(t *ticketRow, role string, in *incoming, u *unit, p *place) (sight, error) {
	internal := func(kind string, flags ...string) (sight, error) {
		return sight{kind: kind, visibility: "internal", flags: flags}, nil
	}
	public := func(kind string) (sight, error) { return sight{kind: kind, visibility: "public"}, nil }
	switch {
	case in.report():
		return internal("bounce")
	case in.auto.Class == "autoreply" || in.auto.Class == "feedback":
		return internal("auto")
	case role == "third_party":
		return internal("third_party", "third_party")
	case slices.ContainsFunc(p.answers, func(k message.Token) bool { return k.Internal }):
		if staffRole(role) {
			return internal("note", w.wantedPublic(t, in)...)
		}
		return internal("customer", "answers_internal")
	case staffRole(role) && !w.d.maySpeak(t, role, u.agent):
		return internal("note", w.wantedPublic(t, in)...)
	case staffRole(role) && p.wish == "internal":
		return internal("note")
	case p.wish == "internal": // an agent's who is a customer here
		return internal("customer")
	case staffRole(role) && (p.wish == "public" || w.addressesRequester(t, in)):
		return public("reply")
	case staffRole(role):
		return internal("note")
	case role == "requester":
		return public("customer")
	}
	if q := w.d.queues[t.Queue]; q != nil && q.CC.AlonePublic {
		return public("customer")
	}
	enough, err := w.addressesCircle(t, in, p)
	if err != nil || enough {
		return sight{kind: "customer", visibility: "public"}, err
	}
	return internal("customer", "cc_wrote_to_us_only")
}

// maySpeak reports whether a member of staff may answer customers by Reply-all:
// the assignee may, agents of the queue may unless it wants nobody else, and
// those who only follow may if it wants them to. Light agents may not.
func (d *Desk) maySpeak(t *ticketRow, role string, a *Agent) bool {
	q := d.queues[t.Queue]
	switch {
	case a == nil || a.Light || q == nil:
		return false
	case t.Assignee == a.Name:
		return true
	case role == "agent":
		return q.ReplyAll != "assignee"
	}
	return q.ReplyAll == "followers"
}

// wantedPublic flags an internal message whose author addressed the requester.
func (w *work) wantedPublic(t *ticketRow, in *incoming) []string {
	if w.addressesRequester(t, in) {
		return []string{"kept_internal"}
	}
	return nil
}

// addresses reports whether a person is among To and Cc, by his own address or
// by an alias of this ticket.
func (w *work) addresses(t *ticketRow, in *incoming, address string) bool {
	if address == "" {
		return false
	}
	if in.addressed[message.Fold(address)] {
		return true
	}
	hash := message.PersonHash(address)
	for _, a := range in.aliases {
		if a.token.Person != hash {
			continue
		}
		if held, err := w.follow(a.token.Ticket); err == nil && held == t {
			return true
		}
	}
	return false
}

func (w *work) addressesRequester(t *ticketRow, in *incoming) bool {
	return w.addresses(t, in, t.Requester.Address)
}

// addressesCircle reports whether a CC wrote to the others and not to us alone.
// The others are those who stood in the very mail he answers.
func (w *work) addressesCircle(t *ticketRow, in *incoming, p *place) (bool, error) {
	if w.addressesRequester(t, in) {
		return true, nil
	}
	shown, known, err := w.shownIn(t, p)
	if err != nil {
		return false, err
	}
	others := 0
	for _, c := range t.CCs {
		folded := message.Fold(c.Address)
		if folded == in.folded || known && !slices.Contains(shown, folded) {
			continue
		}
		if others++; !w.addresses(t, in, c.Address) {
			return false, nil
		}
	}
	return others > 0, nil
}

// shownIn returns who visibly stood in the mail of ours that is answered. If a
// mail answers several, only who stood in all of them counts. known is false
// if it answers none that is on record.
func (w *work) shownIn(t *ticketRow, p *place) (shown []string, known bool, err error) {
	for _, token := range p.answers {
		if token.Mail == 0 {
			continue
		}
		s, err := w.d.sent.Find(w.tx, sentKey(token.Ticket, token.Mail))
		if err != nil {
			return nil, false, err
		}
		if s == nil {
			continue
		}
		if !known {
			shown, known = s.Visible, true
			continue
		}
		shown = slices.DeleteFunc(slices.Clone(shown), func(x string) bool { return !slices.Contains(s.Visible, x) })
	}
	return shown, known, nil
}
