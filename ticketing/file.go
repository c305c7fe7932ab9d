package ticketing

import "slices"

// file puts a mail on the ticket it belongs to, or on a new one, and hands it on
// if the queue does that.
func (w *work) file(in *incoming, u *unit, receipt string, past []*arrivalRow, a *arrivalRow) error {
	if err := w.place(in, u, receipt, past, a); err != nil {
		return err
	}
	return w.handOn(in, u, a)
}

func (w *work) place(in *incoming, u *unit, receipt string, past []*arrivalRow, a *arrivalRow) error {
	p, err := w.thread(in, u)
	if err != nil {
		return err
	}
	// Another queue of this mail may have led to the ticket a moment ago.
	if p.ticket != nil {
		for _, b := range past {
			if b.Hash == in.hash && b.Ticket == p.ticket.Number && b.Message != "" {
				a.Outcome, a.Ticket, a.Message = b.Outcome, b.Ticket, b.Message
				return nil
			}
		}
	}
	if err := w.followUp(in, u, p); err != nil {
		return err
	}
	if reason, detail := w.doubted(in, u, p); reason != "" {
		return w.hold(in, u, receipt, reason, detail, a)
	}
	id, err := u.messageID(w.now)
	if err != nil {
		return err
	}
	m := in.template
	m.ID, m.Receipt, m.MatchedBy, m.ReceivedAt = id, receipt, p.matchedBy, in.arrived(w.now)
	m.Flags = append(slices.Clone(m.Flags), p.flags...)
	m.Auth.Trust, m.Auth.Forwarder = u.trust, u.forwarder
	for _, b := range past {
		if b.Queue == u.queue.Name && b.Hash != in.hash {
			m.Flags = append(m.Flags, "message_id_reused")
			break
		}
	}
	w.tally.matched = append(w.tally.matched, p.matchedBy)
	if p.ticket == nil {
		err = w.fileNew(in, u, p, past, &m)
		a.Opened, a.Outcome = true, "new_ticket"
	} else {
		err = w.fileReply(in, u, p, &m)
		a.Outcome = outcomeOf(in, &m)
	}
	a.Ticket, a.Message = m.Ticket, m.ID
	return err
}

func outcomeOf(in *incoming, m *Message) string {
	switch {
	case m.Kind == "bounce":
		return "bounce"
	case m.Kind == "auto" && in.auto.Class == "feedback":
		return "feedback"
	case m.Kind == "auto":
		return "autoreply"
	case m.Kind == "third_party":
		return "third_party"
	case m.Visibility == "internal":
		return "note"
	}
	return "reply"
}

// followUp turns a customer's late answer to a closed ticket into a new ticket,
// or refuses it if the queue wants that. Only a mail for this one queue can be
// refused: its sender is still on the line, and one answer is for all of it.
func (w *work) followUp(in *incoming, u *unit, p *place) error {
	t := p.ticket
	if t == nil || in.automatic() || !w.tooLate(t, u.queue) || !customerRole(w.role(t, in, u)) {
		return nil
	}
	if u.queue.ClosedText != "" && len(in.units) == 1 && in.receivedAt.IsZero() && in.arrival.Source != "imap" {
		return &Error{Kind: Refused, Text: u.queue.ClosedText}
	}
	p.ticket, p.answers = nil, nil
	p.links = append(p.links, placeLink{t, "followup", true})
	return nil
}

// fileNew opens a ticket. Its author becomes the requester, whatever he is.
func (w *work) fileNew(in *incoming, u *unit, p *place, past []*arrivalRow, m *Message) error {
	t, err := w.newTicket(u.queue, ticketSubject(in.subject, u.queue))
	if err != nil {
		return err
	}
	w.tally.created = append(w.tally.created, labels2{t.Queue, m.Envelope.Source})
	t.Requester = person(in.author)
	m.Kind, m.Visibility, m.Author.Role = "customer", "public", "requester"
	author := in.author
	forwarded := w.passedOn(t, in, u, m)
	if forwarded {
		author = in.forward.From
	} else if u.agent != nil {
		m.Author.Agent = u.agent.Name
	} else if in.agent != nil {
		m.Flags = append(m.Flags, "unverified_agent")
	}
	switch {
	case in.report():
		m.Kind, m.Visibility, m.Author.Role = "bounce", "internal", "system"
	case in.auto.Class == "autoreply" || in.auto.Class == "feedback":
		m.Kind, m.Visibility = "auto", "internal"
	}
	known := false
	if in.folded != "" && !in.ownFrom {
		how := in.acquaintance(u)
		if forwarded {
			how = mentioned // the agent says so
		}
		if known, err = w.contact(author, how); err != nil {
			return err
		}
		t.Requester.Contact = w.contactOf(author)
	}
	if err := w.owe(t, in.actor(m), author, ""); err != nil {
		return err
	}
	var change ccChange
	if m.Author.Role == "requester" && !in.ownFrom && !in.doubtful && (u.agent == nil || !u.agent.Light) {
		if err := w.participantsByMail(t, "requester", in, u, p, in.actor(m), &change); err != nil {
			return err
		}
	}
	sibling, err := w.linkSiblings(t, in, past)
	if err != nil {
		return err
	}
	w.linkPlaces(t, p)
	run := w.commandsOn(t, in, u, m)
	if m.Visibility == "public" && run.wish(p) == "internal" {
		m.Visibility = "internal"
	}
	if err := run.execute(p); err != nil {
		return err
	}
	n := Notice{
		Event: eventCreated, Message: m.ID, Actor: in.actor(m), Automatic: in.machine(), Trust: u.trust,
		KnownContact: known, NoAck: forwarded || sibling || in.ownFrom || in.doubtful || in.automatic() || in.auto.Class != "none", Audience: w.d.audience(t, eventCreated),
	}
	switch {
	case in.report() && in.bounce != nil:
		n.Audience = nil // forged mail in our name brings them by the thousand; the ticket is in the list
	case m.Visibility == "internal":
		n.Audience = w.d.audience(t, eventInternal)
	}
	if forwarded {
		n.Audience = forwardAudience(n.Audience)
	}
	if m.Mail, err = w.notice(t, n); err != nil {
		return err
	}
	if err := run.finish(); err != nil {
		return err
	}
	if err := w.addMessage(t, m); err != nil {
		return err
	}
	change.Message, change.Via = m.ID, "mail"
	if err := w.record(t, "ticket.created", in.actor(m), change); err != nil {
		return err
	}
	return w.refer(in, u, t)
}

// machine is the class of automatic mail, "" if a person wrote it.
func (in *incoming) machine() string {
	if in.auto.Class == "none" {
		return ""
	}
	return in.auto.Class
}

// linkSiblings ties the ticket to those that the same mail opened in other
// queues. One of them is acknowledged, the first.
func (w *work) linkSiblings(t *ticketRow, in *incoming, past []*arrivalRow) (sibling bool, err error) {
	for _, b := range past {
		if b.Hash != in.hash || !b.Opened {
			continue
		}
		other, err := w.ticket(b.Ticket)
		if err != nil {
			return false, err
		}
		if other != nil {
			w.link(t, other, "sibling", true)
			sibling = true
		}
	}
	return sibling, nil
}

func (w *work) linkPlaces(t *ticketRow, p *place) {
	for _, l := range p.links {
		w.link(t, l.to, l.kind, l.both)
	}
}

// fileReply adds a mail to a ticket.
func (w *work) fileReply(in *incoming, u *unit, p *place, m *Message) error {
	t := p.ticket
	role := w.role(t, in, u)
	run := w.commandsOn(t, in, u, m)
	p.wish = run.wish(p)
	s, err := w.see(t, role, in, u, p)
	if err != nil {
		return err
	}
	m.Kind, m.Visibility, m.Author.Role = s.kind, s.visibility, role
	m.Flags = append(m.Flags, s.flags...)
	if u.agent != nil {
		m.Author.Agent = u.agent.Name
	} else if in.agent != nil {
		m.Flags = append(m.Flags, "unverified_agent")
	}
	var change ccChange
	if err := w.participantsByMail(t, role, in, u, p, in.actor(m), &change); err != nil {
		return err
	}
	w.linkPlaces(t, p)
	if err := w.advance(t, role, in, u, m); err != nil {
		return err
	}
	if err := run.execute(p); err != nil {
		return err
	}
	if role == "agent" && m.Visibility == "public" && !in.automatic() {
		if err := w.writeTo(t); err != nil {
			return err
		}
	}
	known := in.hasOwnToken(p)
	if in.folded != "" && !in.ownFrom && m.Kind != "bounce" && !in.complaint() {
		before, err := w.contact(in.author, in.acquaintance(u))
		if err != nil {
			return err
		}
		known = known || before
	}
	actor := in.actor(m)
	if actor.Agent == "" && customerRole(role) {
		actor.Address = w.partOf(t, in)
	}
	n := Notice{Message: m.ID, Actor: actor, Automatic: in.machine(), Trust: u.trust, KnownContact: known, NoAck: true, Event: eventOf(m)}
	if n.Event == eventThirdParty && p.staffHeld() {
		n.Detail = DetailStaffToken
	}
	if n.Event != "" && !run.silent() {
		n.Audience = w.d.audience(t, n.Event)
		if m.Mail, err = w.notice(t, n); err != nil {
			return err
		}
	}
	if err := run.finish(); err != nil {
		return err
	}
	if err := w.addMessage(t, m); err != nil {
		return err
	}
	if err := w.reported(t, in, p, m); err != nil {
		return err
	}
	change.Message, change.Via = m.ID, "mail"
	if err := w.record(t, "message.received", in.actor(m), change); err != nil {
		return err
	}
	return w.refer(in, u, t)
}

// eventOf says what a new message is to those who hear of it. Nobody hears of
// automatic answers and reports: two robots would talk for ever.
func eventOf(m *Message) string {
	switch {
	case m.Kind == "auto" || m.Kind == "bounce":
		return ""
	case m.Kind == "third_party":
		return eventThirdParty
	case m.Visibility == "public":
		return eventPublic
	}
	return eventInternal
}

// advance changes a ticket as a mail does, and notes what it changed.
func (w *work) advance(t *ticketRow, role string, in *incoming, u *unit, m *Message) error {
	status, assignee := t.Status, t.Assignee
	w.moveOn(t, role, in, u, m)
	if customerRole(role) && !in.automatic() {
		if err := w.wake(t, in.actor(m), false); err != nil {
			return err
		}
	}
	return w.recordMoved(t, in.actor(m), status, assignee)
}

// recordMoved notes a status and an owner that are not what they were.
func (w *work) recordMoved(t *ticketRow, by Actor, status, assignee string) error {
	fields := map[string]any{}
	if t.Status != status {
		fields["status"] = t.Status
	}
	if t.Assignee != assignee {
		fields["assignee"] = t.Assignee
	}
	if len(fields) == 0 {
		return nil
	}
	return w.record(t, "ticket.updated", by, changed{fields})
}

// moveOn changes status and owner as a mail does. A customer's answer brings a
// ticket back to open, unless it is still new; an agent's first public answer
// opens it and makes him its owner if it has none. An agent who wants another
// status says so. Third parties and machines change nothing.
func (w *work) moveOn(t *ticketRow, role string, in *incoming, u *unit, m *Message) {
	switch {
	case in.automatic():
	case m.Kind == "third_party":
		w.ask(t)
	case customerRole(role) && t.Status == "solved" && in.thanks && u.queue.KeepSolved:
	case customerRole(role) && t.Status != "new":
		w.setStatus(t, "open")
	case role == "agent" && m.Visibility == "public":
		w.answeredBy(t, m.Author.Agent)
	}
}

// answeredBy is what an agent's public message does to status and owner.
func (w *work) answeredBy(t *ticketRow, agent string) {
	if t.Status == "new" {
		w.setStatus(t, "open")
	}
	if q := w.d.queues[t.Queue]; t.Assignee == "" && agent != "" && q != nil && q.serves[agent] {
		t.Assignee = agent
		w.touch(t)
	}
}
