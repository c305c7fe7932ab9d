package notify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// rawMail is a mail as programs write it: what is new, and a quoted header that
// names whoever got the mail before.
func rawMail(from, text, quoted string) string {
	return "From: <" + from + ">\nTo: support@help.example\nSubject: Re: x\nThread-Topic: topic of " + text + "\n" +
		"Date: Mon, 2 Nov 2026 12:00:00 +0000\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" +
		text + "\n\n" + quoted
}

// story is a random ticket with random messages, all of whose events are told.
type story struct {
	*world
	t       *rapid.T
	k       *ticketing.Ticket
	written []*ticketing.Message
	events  map[string]ticketing.Notice // by message
}

func (s *story) draw() {
	t := s.t
	s.k = s.ticket()
	domain := fmt.Sprintf("c%d.example", s.k.Number)
	s.k.Requester = ticketing.Person{Address: "anna@" + domain, Name: rapid.SampledFrom([]string{"", "Anna", "Anna <x@y>, Ltd"}).Draw(t, "name")}
	s.k.CCs = nil
	for i := range rapid.IntRange(0, 4).Draw(t, "ccs") {
		s.k.CCs = append(s.k.CCs, ticketing.Person{Address: fmt.Sprintf("cc%d@%s", i, domain)})
	}
	if rapid.IntRange(0, 3).Draw(t, "otto at home") == 0 {
		s.k.CCs = append(s.k.CCs, ticketing.Person{Address: "otto@home.example"})
	}
	for _, name := range []string{"fred", "ada", "otto"} {
		if rapid.Bool().Draw(t, name+" follows") {
			s.k.Followers = append(s.k.Followers, ticketing.Follower{Agent: name, Address: s.desk.agents[name].Addresses[0]})
		}
	}
	s.k.Assignee = rapid.SampledFrom([]string{"", "otto", "ada", "fred"}).Draw(t, "assignee")
	for range rapid.IntRange(1, 5).Draw(t, "messages") {
		s.message()
	}
}

func (s *story) message() {
	t := s.t
	visibility := rapid.SampledFrom([]string{"public", "internal"}).Draw(t, "visibility")
	name := rapid.SampledFrom([]string{"", "otto", "ada", "fred"}).Draw(t, "agent")
	m := ticketing.Message{Visibility: visibility, Author: ticketing.Author{Address: s.k.Requester.Address, Name: s.k.Requester.Name, Role: "requester"}}
	if name != "" {
		addresses := s.desk.agents[name].Addresses
		address := rapid.SampledFrom(addresses).Draw(t, "address")
		m.Author = by(name, address, address)
		m.Direction = rapid.SampledFrom([]string{"in", "out"}).Draw(t, "direction")
	} else if n := len(s.k.CCs); n > 0 && rapid.Bool().Draw(t, "by a CC") {
		m.Author = ticketing.Author{Address: s.k.CCs[rapid.IntRange(0, n-1).Draw(t, "which")].Address, Role: "cc"}
	}
	m.Envelope.From = m.Author.Address
	m.Auth.Trust = rapid.SampledFrom([]string{"T0", "T1", "T2"}).Draw(t, "trust")
	m.Automatic.Class = rapid.SampledFrom([]string{"none", "none", "notification", "list"}).Draw(t, "class")
	if rapid.Bool().Draw(t, "to the requester") {
		m.To = []message.Address{{Addr: s.k.Requester.Address}}
	}
	text := fmt.Sprintf("PUBLIC-%d", len(s.written))
	if visibility == "internal" {
		text = fmt.Sprintf("SECRET-%d", len(s.written))
	}
	quoted := ""
	if name != "" { // his program quotes a mail to him, which the marker may hide or not
		quoted = rapid.SampledFrom([]string{"", "-----Original Message-----\n"}).Draw(t, "marker") +
			"To: OTTO@staff.example; ada@staff.example\n"
		if name == "fred" || s.k.Assignee == "fred" || len(s.k.Followers) > 0 && s.k.Followers[0].Agent == "fred" {
			quoted += "Cc: <fred@elsewhere.example>\n"
		}
	}
	event := "public_message"
	switch {
	case visibility == "internal":
		event = rapid.SampledFrom([]string{"internal_message", "third_party", "public_message"}).Draw(t, "event")
	case len(s.written) == 0 && name == "":
		event = "ticket_created"
	}
	stored := s.add(s.k, m, rawMail(m.Author.Address, text, quoted))
	s.written = append(s.written, stored)
	s.events[stored.ID] = s.put(event, s.k, stored)
	if rapid.IntRange(0, 4).Draw(t, "lost") == 0 {
		s.put("delivery_failed", s.k, stored, func(n *ticketing.Notice) { n.Actor, n.Mail = ticketing.Actor{Kind: "system"}, n.Mail+100 })
	}
}

// agentOf names the agent an address belongs to.
func (s *story) agentOf(address string) *ticketing.Agent {
	for _, a := range s.desk.agents {
		if a.Addresses[0] == address {
			return a
		}
	}
	return nil
}

// person is a customer's role in the ticket by the fingerprint in a token.
func (s *story) person(hash uint32) (role message.Role, ok bool) {
	if message.PersonHash(s.k.Requester.Address) == hash {
		return message.RoleRequester, true
	}
	for _, c := range s.k.CCs {
		if message.PersonHash(c.Address) == hash {
			return message.RoleCC, true
		}
	}
	return 0, false
}

func (s *story) token(address string, kind message.Kind) message.Token {
	local, _, _ := strings.Cut(address, "@")
	token, err := s.desk.keys.ParseAddressToken("support", strings.TrimPrefix(local, "support+"))
	if err != nil || token.Kind != kind || token.Ticket != s.k.Number {
		s.t.Fatalf("%s: token %+v, %v; want kind %d", address, token, err, kind)
	}
	if len(local) > 64 {
		s.t.Fatalf("%s: the local part has %d octets", address, len(local))
	}
	return token
}

// Whoever takes part and whatever is written: customers see nothing internal
// and no address of staff, nobody hears twice of one event or of his own doing,
// and every token leads where it should.
func TestLeaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mails, customers := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w.clock.move(25 * time.Hour)
		s := &story{world: w, t: t, events: map[string]ticketing.Notice{}}
		s.draw()
		w.tell()
		seen := map[string]bool{}
		list := w.sentAbout(s.k.Number)
		for _, p := range list {
			mails++
			key := p.To + p.Message + p.Class + p.header("Message-ID")
			if seen[key] {
				t.Fatalf("%s was told twice of %s", p.To, p.Message)
			}
			seen[key] = true
			if s.agentOf(p.To) == nil {
				customers++
				s.checkCustomer(p)
			} else {
				s.checkStaff(p)
			}
			s.checkTokens(p)
			s.checkParts(p)
			s.checkCauser(p)
		}
		s.checkOnce(list)
		if w.pending() != 0 {
			t.Fatalf("%d notices are still there: %s", w.pending(), w.log)
		}
	})
	if mails < 100 || customers < 50 {
		t.Errorf("%d mails, %d of them to customers: the test has lost its teeth", mails, customers)
	}
}

func (s *story) checkCustomer(p sent) {
	all := strings.ToLower(p.everything(s.world.t))
	all = strings.ReplaceAll(all, "otto@home.example", map[bool]string{true: "", false: "otto@home.example"}[p.To == "otto@home.example" || s.ottoIsCC()])
	if strings.Contains(all, "secret-") {
		s.t.Fatalf("internal text in a mail to %s:\n%s", p.To, p.raw)
	}
	for _, a := range s.desk.agents {
		for _, address := range a.Addresses {
			if strings.Contains(all, address) {
				s.t.Fatalf("%s stands in a mail to %s:\n%s", address, p.To, p.raw)
			}
		}
	}
}

// ottoIsCC: who takes part as a customer is seen as one.
func (s *story) ottoIsCC() bool {
	_, ok := s.person(message.PersonHash("otto@home.example"))
	return ok
}

func (s *story) checkStaff(p sent) {
	header, _, _ := strings.Cut(p.raw, "\r\n\r\n")
	for _, c := range append([]ticketing.Person{s.k.Requester}, s.k.CCs...) {
		if strings.Contains(header, c.Address) {
			s.t.Fatalf("%s stands in the header of a mail to staff:\n%s", c.Address, header)
		}
	}
	for _, a := range s.desk.agents {
		if a.Addresses[0] != p.To && strings.Contains(header, a.Addresses[0]) {
			s.t.Fatalf("%s stands in a mail to %s:\n%s", a.Addresses[0], p.To, header)
		}
	}
	for _, name := range []string{"To", "Cc"} {
		for _, a := range p.mail.Header.Addresses(name) {
			if a.Addr == p.To {
				continue
			}
			token := s.token(a.Addr, message.KindAlias)
			if role, ok := s.person(token.Person); !ok || role != token.Role {
				s.t.Fatalf("%s: alias %q is %+v", name, a.Addr, token)
			}
		}
	}
	if got := p.header("Auto-Submitted"); got != "auto-generated" {
		s.t.Fatalf("mail to staff is %q", got)
	}
}

// checkParts: both parts of a mail say the same.
func (s *story) checkParts(p sent) {
	plain := func(text string) string { return words(strings.ReplaceAll(text, ">", " ")) }
	if text, html := plain(p.mail.Text()), plain(message.HTMLToText(p.mail.HTML())); text != html {
		s.t.Fatalf("the text of a mail to %s is\n%q\nand its HTML\n%q", p.To, text, html)
	}
}

func (s *story) checkTokens(p sent) {
	reply := s.token(p.mail.Header.Addresses("Reply-To")[0].Addr, message.KindReply)
	id, err := s.desk.keys.ParseMessageID(p.header("Message-ID"))
	if err != nil || id.Person != reply.Person || id.Role != reply.Role || id.Mail != reply.Mail || id.Internal != reply.Internal {
		s.t.Fatalf("Message-ID %+v, Reply-To %+v, %v", id, reply, err)
	}
	want := message.RoleAgent
	if agent := s.agentOf(p.To); agent == nil {
		want, _ = s.person(reply.Person)
	} else if slices.ContainsFunc(s.k.Followers, func(f ticketing.Follower) bool { return f.Agent == agent.Name }) {
		want = message.RoleFollower
	}
	if reply.Person != message.PersonHash(p.To) || reply.Role != want {
		s.t.Fatalf("the mail to %s has token %+v, want role %d", p.To, reply, want)
	}
	if !s.desk.keys.CheckLoopMark(p.header(ticketing.LoopHeader)) {
		s.t.Fatal("no loop mark")
	}
	if p.Message == "" {
		if p.From != "" {
			s.t.Fatalf("%s to %s has return path %s", p.Class, p.To, p.From)
		}
		return
	}
	back := s.token(p.From, message.KindReturnPath)
	if back.Person != reply.Person || back.Mail != reply.Mail {
		s.t.Fatalf("return path %+v, Reply-To %+v", back, reply)
	}
	for _, m := range s.written {
		if m.ID == p.Message && reply.Internal != (m.Visibility == "internal") {
			s.t.Fatalf("a %s message has class internal=%v", m.Visibility, reply.Internal)
		}
	}
}

func (s *story) checkCauser(p sent) {
	n, ok := s.events[p.Message]
	if !ok {
		return
	}
	agent := s.agentOf(p.To)
	if message.Fold(n.Actor.Address) == message.Fold(p.To) || agent != nil && agent.Name == n.Actor.Agent {
		s.t.Fatalf("%s is told of his own doing: %s", p.To, n.Event)
	}
}

// checkOnce: Otto at home and Otto at work are one.
func (s *story) checkOnce(list []sent) {
	got := map[string]int{}
	for _, p := range list {
		if p.Message != "" && strings.HasPrefix(p.To, "otto@") {
			got[p.Message]++
		}
	}
	for id, n := range got {
		if n > 1 {
			s.t.Fatalf("Otto was told %d times of %s", n, id)
		}
	}
}
