package ticketing

import (
	"slices"

	"ticketgate/ticketing/message"
)

// place says where a mail belongs in one queue.
type place struct {
	ticket    *ticketRow // nil: a new one is to be opened
	matchedBy string
	answers   []message.Token // verified tokens of this ticket: the mails of ours it answers
	reported  []message.Token // the mails of ours that a report proves to be about
	task      bool            // it came to a task address of the ticket
	wish      string          // public or internal, if its author said so
	flags     []string        // for the message
	links     []placeLink     // of the ticket, new or old
	weak      bool            // it only says that others' mails are referred to
}

// placeLink ties the mail's ticket to another. Both ways only where the author
// has a part in the other ticket: nobody writes on foreign tickets by
// mentioning them.
type placeLink struct {
	to   *ticketRow
	kind string
	both bool
}

// thread finds the ticket a mail belongs to. First that applies:
//
//	a report or automatic mail to a return-path token
//	a token in a recipient
//	one of our signed Message-IDs: In-Reply-To, References from the newest,
//	and for reports the ids in the returned part
//	a foreign Message-ID that was stored or referred to, for participants
//	the signed marker in the quotation of a mail of ours
//	a subject tag, for participants and agents that are proven
//	the subject of an answer that refers to nothing, for who takes part in
//	exactly one such ticket
func (w *work) thread(in *incoming, u *unit) (*place, error) {
	for _, step := range []func(*incoming, *unit) (*place, error){
		w.byReturnPath, w.byToken, w.bySignedID, w.byForeignID, w.byMarker, w.bySubject, w.byReplySubject,
	} {
		p, err := step(in, u)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		if p.ticket == nil && p.weak {
			// A marker of ours says more than an id that leads nowhere.
			if marked, err := w.byMarker(in, u); err != nil || marked != nil {
				return marked, err
			}
		}
		if p.ticket != nil {
			if err := w.mentions(in, u, p); err != nil {
				return nil, err
			}
		}
		return p, nil
	}
	return &place{matchedBy: "none"}, nil
}

// byReturnPath: the token proves which mail to whom is reported about.
func (w *work) byReturnPath(in *incoming, u *unit) (*place, error) {
	var p *place
	for _, token := range u.returns {
		t, err := w.follow(token.Ticket)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		if !in.report() && !in.complaint() {
			return &place{ticket: t, matchedBy: "token"}, nil
		}
		if p == nil {
			p = &place{ticket: t, matchedBy: "bounce"}
		}
		p.reported = append(p.reported, token)
	}
	return p, nil
}

// byToken: tokens of one ticket lead to it; tokens of several make a new
// ticket that is linked to all.
func (w *work) byToken(in *incoming, u *unit) (*place, error) {
	var found []*ticketRow
	p := &place{matchedBy: "token"}
	for _, token := range u.tokens {
		t, err := w.follow(token.Ticket)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		if !slices.Contains(found, t) {
			found = append(found, t)
		}
		p.task = p.task || token.Kind == message.KindTask
		if token.Kind == message.KindReply {
			p.answers = append(p.answers, token)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		p.ticket = found[0]
		return p, w.answered(in, p)
	}
	p = &place{matchedBy: "none", flags: []string{"two_tokens"}}
	for _, t := range found {
		p.links = append(p.links, placeLink{t, "related", w.participates(t, in, u)})
	}
	return p, nil
}

// answered adds the signed Message-IDs of the place's ticket to what the mail
// answers.
func (w *work) answered(in *incoming, p *place) error {
	for _, r := range in.answers {
		if r.token == nil {
			continue
		}
		t, err := w.follow(r.token.Ticket)
		if err != nil {
			return err
		}
		if t == p.ticket {
			p.answers = append(p.answers, *r.token)
			return nil // the newest one is what the mail answers
		}
	}
	return nil
}

// bySignedID: our own Message-IDs are not bound to a queue, so the ticket must
// be or have been one of the queue that the mail came to.
func (w *work) bySignedID(in *incoming, u *unit) (*place, error) {
	var strays []placeLink
	for _, r := range in.answers {
		if r.token == nil {
			continue
		}
		t, err := w.follow(r.token.Ticket)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		if !t.served(u.queue.Name) {
			strays = append(strays, placeLink{t, "related", false})
			continue
		}
		if in.complaint() {
			continue // what it answers is no proof; what it returns may be
		}
		p := &place{ticket: t, matchedBy: r.where, answers: []message.Token{*r.token}}
		if in.report() {
			p.matchedBy, p.flags = "bounce", []string{"unproven_report"}
		}
		return p, nil
	}
	if len(strays) > 0 {
		return &place{matchedBy: "none", links: strays[:min(len(strays), maxReferenceTickets)]}, nil
	}
	if in.bounce == nil {
		return nil, nil
	}
	for i, id := range in.bounce.Returned {
		if i == maxInReplyTo {
			break
		}
		token, err := w.d.Keyring().ParseMessageID(id)
		if err != nil {
			continue
		}
		t, err := w.follow(token.Ticket)
		if err != nil {
			return nil, err
		}
		switch {
		case t == nil:
		case in.complaint() && u.trust != "T0": // providers write to one address of ours, whatever the queue
			return &place{ticket: t, matchedBy: "bounce", reported: []message.Token{token}}, nil
		case t.served(u.queue.Name):
			return &place{ticket: t, matchedBy: "bounce", flags: []string{"unproven_report"}}, nil
		}
	}
	return nil, nil
}

// byForeignID: ids of others are no secret, so they only help who has a part
// in the ticket already. The mail's own id counts too: an answer may have
// overtaken it.
func (w *work) byForeignID(in *incoming, u *unit) (*place, error) {
	var others []placeLink
	look := func(id, where string) (*place, error) {
		row, err := w.reference(u.queue.Name, id)
		if err != nil || row == nil {
			return nil, err
		}
		for i := len(row.Tickets) - 1; i >= 0; i-- {
			t, err := w.follow(row.Tickets[i])
			if err != nil {
				return nil, err
			}
			if t == nil {
				continue
			}
			if w.participates(t, in, u) {
				if !row.Seen || where == "" {
					where = "sibling_reference"
				}
				return &place{ticket: t, matchedBy: where}, nil
			}
			others = append(others, placeLink{t, "related", false})
		}
		return nil, nil
	}
	for _, r := range referred(in.answers) {
		if p, err := look(r.id, r.where); err != nil || p != nil {
			return p, err
		}
	}
	if in.foreign {
		if p, err := look(in.id, ""); err != nil || p != nil {
			return p, err
		}
	}
	if len(others) > 0 {
		return &place{matchedBy: "none", weak: true, links: others[:min(len(others), maxReferenceTickets)]}, nil
	}
	return nil, nil
}

// referred picks the foreign ids of a mail that are looked up and stored: the
// newest, and the root of the thread.
func referred(answers []reference) []reference {
	var out []reference
	for _, r := range answers {
		if r.token == nil {
			out = append(out, r)
		}
	}
	if len(out) > maxReferred {
		out = append(out[:maxReferred-1:maxReferred-1], out[len(out)-1])
	}
	return out
}

// byMarker: as by our Message-IDs. The first marker is that of the newest mail
// quoted.
func (w *work) byMarker(in *incoming, u *unit) (*place, error) {
	for _, token := range in.markers {
		t, err := w.follow(token.Ticket)
		if err != nil {
			return nil, err
		}
		if t != nil && t.served(u.queue.Name) {
			return &place{ticket: t, matchedBy: "body_token", answers: []message.Token{token}}, nil
		}
	}
	return nil, nil
}

// readMarkers looks for markers where nothing else will do. Reports quote mails
// of ours too, and prove nothing.
func (d *Desk) readMarkers(in *incoming) {
	if in.report() || in.loop != "" || slices.ContainsFunc(in.answers, func(r reference) bool { return r.token != nil }) {
		return
	}
	for _, u := range in.units {
		if len(u.tokens) == 0 {
			in.markers = d.Keyring().MarkersIn(in.mail)
			return
		}
	}
}

// bySubject: a number is no secret at all.
func (w *work) bySubject(in *incoming, u *unit) (*place, error) {
	for _, tag := range in.tags {
		if !tag.of(u.queue) {
			continue
		}
		t, err := w.follow(tag.number)
		if err != nil {
			return nil, err
		}
		if t == nil || !t.served(u.queue.Name) {
			continue
		}
		if u.trust != "T0" && !in.report() && w.participates(t, in, u) {
			return &place{ticket: t, matchedBy: "subject"}, nil
		}
		return &place{matchedBy: "none", links: []placeLink{{t, "claims", false}}}, nil
	}
	return nil, nil
}

// mentions links a found ticket to the one that the subject names, if the
// author has a part in that one too.
func (w *work) mentions(in *incoming, u *unit, p *place) error {
	for _, tag := range in.tags {
		if !tag.of(u.queue) || tag.number == p.ticket.Number {
			continue
		}
		t, err := w.follow(tag.number)
		if err != nil {
			return err
		}
		if t != nil && t != p.ticket && t.served(u.queue.Name) && w.participates(t, in, u) {
			p.links = append(p.links, placeLink{t, "related", true})
		}
	}
	return nil
}

// participates reports whether the author has a part in a ticket.
func (w *work) participates(t *ticketRow, in *incoming, u *unit) bool {
	switch w.role(t, in, u) {
	case "requester", "cc", "follower", "agent", "light_agent":
		return true
	}
	return false
}

// report reports whether the mail is a machine's report on the delivery of
// another mail.
func (in *incoming) report() bool { return in.auto.Class == "bounce" || in.auto.Class == "delayed" }

// complaint reports whether the mail is a feedback report about another mail.
func (in *incoming) complaint() bool { return in.auto.Class == "feedback" }

// tooLate says whether an answer by a customer comes too late to go on with a
// closed ticket: within the queue's window after solving it reopens it, later
// it opens a follow-up.
func (w *work) tooLate(t *ticketRow, q *queue) bool {
	if t.Status != "closed" {
		return false
	}
	since := t.SolvedAt
	if since.IsZero() {
		since = t.UpdatedAt
	}
	return w.now.Sub(since) > q.ReopenWindow
}
