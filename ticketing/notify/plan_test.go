package notify

import (
	"slices"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// staged is one case of the table: the ordinary affair, changed.
type staged struct {
	*affair
	agents map[string]*ticketing.Agent
}

// Anna is requester, Bo CC, Otto and Ada serve the queue, Fred follows.
func stage(event string, by ticketing.Actor) staged {
	s := staged{agents: map[string]*ticketing.Agent{
		"otto": {Name: "otto", Addresses: []string{"otto@staff", "otto@home"}},
		"ada":  {Name: "ada", Addresses: []string{"ada@staff"}},
		"fred": {Name: "fred", Addresses: []string{"fred@staff"}},
	}}
	visibility := "public"
	if event == "internal_message" || event == "third_party" {
		visibility = "internal"
	}
	s.affair = &affair{
		notice: ticketing.Notice{Event: event, Actor: by, Audience: []ticketing.Recipient{
			{Role: "requester", Address: "anna@c"}, {Role: "cc", Address: "bo@c"}, {Role: "follower", Address: "fred@staff", Agent: "fred"},
			{Role: "agent", Address: "otto@staff", Agent: "otto"}, {Role: "agent", Address: "ada@staff", Agent: "ada"},
		}},
		ticket: &ticketing.Ticket{
			Number: 1, Requester: ticketing.Person{Address: "anna@c"}, CCs: []ticketing.Person{{Address: "bo@c"}},
			Followers: []ticketing.Follower{{Agent: "fred", Address: "fred@staff"}},
		},
		queue: &ticketing.Queue{Name: "q", Agents: []string{"otto", "ada"}, AutoAck: true},
		msg: &ticketing.Message{
			Direction: "in", Visibility: visibility, Envelope: ticketing.Envelope{From: by.Address}, Auth: ticketing.Verdict{Trust: "T1"},
			Automatic: message.Automatic{Class: "none"}, Author: ticketing.Author{Address: by.Address, Agent: by.Agent},
		},
	}
	s.affair.agents = func(name string) (*ticketing.Agent, bool) { a, ok := s.agents[name]; return a, ok }
	return s
}

func TestPlan(t *testing.T) {
	anna := ticketing.Actor{Kind: "contact", Address: "anna@c"}
	bo := ticketing.Actor{Kind: "contact", Address: "Bo@C"}
	otto := ticketing.Actor{Kind: "agent", Agent: "otto", Address: "otto@staff"}
	ottoHome := ticketing.Actor{Kind: "agent", Agent: "otto", Address: "otto@home"}
	fred := ticketing.Actor{Kind: "agent", Agent: "fred", Address: "fred@staff"}
	eve := ticketing.Actor{Kind: "contact", Address: "eve@x"}
	system := ticketing.Actor{Kind: "system"}
	token := ticketing.Actor{Kind: "token", Name: "crm"}

	assigned := func(s *staged) { s.ticket.Assignee = "otto" }
	trust := func(level string) func(*staged) { return func(s *staged) { s.msg.Auth.Trust = level } }
	class := func(name string) func(*staged) { return func(s *staged) { s.msg.Automatic.Class = name } }
	to := func(addresses ...string) func(*staged) {
		return func(s *staged) {
			for _, a := range addresses {
				s.msg.Cc = append(s.msg.Cc, message.Address{Addr: a})
			}
		}
	}
	hidden := func(s *staged) { s.msg.Visibility = "internal" }
	posted := func(s *staged) { s.msg.Direction, s.msg.Envelope.From = "out", "" }
	join := func(fs ...func(*staged)) func(*staged) {
		return func(s *staged) {
			for _, f := range fs {
				f(s)
			}
		}
	}
	alsoCustomer := func(s *staged) { // Otto asked something from home
		s.ticket.CCs[0].Address = "otto@home"
		s.notice.Audience[1].Address = "otto@home"
	}

	for _, c := range []struct {
		name   string
		event  string
		by     ticketing.Actor
		change func(*staged)
		want   string // letters: names in the audience's order; ack:, ack*: (with echo)
	}{
		// A new ticket.
		{"new ticket by a customer", "ticket_created", anna, nil, "ack*:anna@c bo@c fred otto ada"},
		{"its CC stood in it", "ticket_created", anna, to("bo@c"), "ack*:anna@c fred otto ada"},
		{"its CC stood in it, in another spelling", "ticket_created", anna, to("BO@c"), "ack*:anna@c fred otto ada"},
		{"and the queue copies always", "ticket_created", anna, join(to("bo@c"), func(s *staged) { s.queue.CopyAlways = true }), "ack*:anna@c bo@c fred otto ada"},
		{"staff in its Cc is told all the same", "ticket_created", anna, to("fred@staff"), "ack*:anna@c bo@c fred otto ada"},
		{"DMARC passed", "ticket_created", anna, trust("T2"), "ack*:anna@c bo@c fred otto ada"},
		{"nothing vouches for the sender: what he wrote reaches no customer", "ticket_created", anna, trust("T0"), "fred otto ada"},
		{"trust is not known", "ticket_created", anna, trust(""), "fred otto ada"},
		{"unproven, but known", "ticket_created", anna, join(trust("T0"), func(s *staged) { s.notice.KnownContact = true }), "ack:anna@c bo@c fred otto ada"},
		{"opted out", "ticket_created", anna, func(s *staged) { s.optedOut = map[string]bool{"anna@c": true} }, "bo@c fred otto ada"},
		{"acknowledgements are off", "ticket_created", anna, func(s *staged) { s.queue.AutoAck = false }, "bo@c fred otto ada"},
		{"another queue acknowledges", "ticket_created", anna, func(s *staged) { s.notice.NoAck = true }, "bo@c fred otto ada"},
		{"null return path", "ticket_created", anna, func(s *staged) { s.msg.Envelope.From = "" }, "bo@c fred otto ada"},
		{"automatic answer", "ticket_created", anna, join(class("autoreply"), hidden), "fred otto ada"},
		{"alarm of a machine", "ticket_created", anna, class("notification"), "bo@c fred otto ada"},
		{"mailing list", "ticket_created", anna, class("list"), "bo@c fred otto ada"},
		{"bulk mail", "ticket_created", anna, class("bulk"), "bo@c fred otto ada"},
		{"automatic by the notice's word", "ticket_created", anna, func(s *staged) { s.notice.Automatic = "notification" }, "bo@c fred otto ada"},
		{"a known contact's robot", "ticket_created", anna, join(class("autoreply"), func(s *staged) { s.notice.KnownContact = true }), "bo@c fred otto ada"},
		{"assigned at once", "ticket_created", anna, assigned, "ack*:anna@c bo@c fred otto ada"},
		{"opened by an agent for Anna", "ticket_created", otto, posted, "anna@c bo@c fred ada"},
		{"opened by an integration", "ticket_created", token, posted, "anna@c bo@c fred otto ada"},

		// Public messages.
		{"requester writes", "public_message", anna, nil, "bo@c fred otto ada"},
		{"an unproven requester's words reach no CC", "public_message", anna, trust("T0"), "fred otto ada"},
		{"unless he was met before", "public_message", anna, join(trust("T0"), func(s *staged) { s.notice.KnownContact = true }), "bo@c fred otto ada"},
		{"the CC opted out", "public_message", anna, func(s *staged) { s.optedOut = map[string]bool{"bo@c": true} }, "fred otto ada"},
		{"requester is never acknowledged twice", "public_message", anna, trust("T2"), "bo@c fred otto ada"},
		{"requester writes to the CC too", "public_message", anna, to("bo@c"), "fred otto ada"},
		{"requester writes, assigned", "public_message", anna, assigned, "bo@c fred otto"},
		{"CC writes", "public_message", bo, nil, "anna@c fred otto ada"},
		{"CC writes to the requester too", "public_message", bo, to("anna@c"), "fred otto ada"},
		{"agent answers", "public_message", otto, assigned, "anna@c bo@c fred"},
		{"another agent answers", "public_message", ticketing.Actor{Agent: "ada", Address: "ada@staff"}, assigned, "anna@c bo@c fred otto"},
		{"agent answers, nobody is assigned", "public_message", otto, nil, "anna@c bo@c fred"},
		{"agent answers from another address of his", "public_message", ottoHome, assigned, "anna@c bo@c fred"},
		{"agent wrote to Bo around us", "public_message", otto, to("bo@c"), "anna@c fred"},
		{"a posted mail went to nobody yet", "public_message", otto, join(posted, to("anna@c", "bo@c")), "anna@c bo@c fred"},
		{"follower answers", "public_message", fred, assigned, "anna@c bo@c otto"},
		{"integration answers", "public_message", token, posted, "anna@c bo@c fred otto ada"},
		{"turned internal meanwhile", "public_message", otto, join(assigned, hidden), "fred"},
		{"Bo was removed meanwhile", "public_message", otto, func(s *staged) { s.ticket.CCs = nil }, "anna@c fred"},
		{"the ticket is another's meanwhile", "public_message", otto, func(s *staged) { s.ticket.Requester.Address = "zoe@c" }, "bo@c fred"},
		{"Fred follows no more", "public_message", anna, func(s *staged) { s.ticket.Followers = nil }, "bo@c otto ada"},
		{"Ada has left", "public_message", anna, func(s *staged) { delete(s.agents, "ada") }, "bo@c fred otto"},
		{"Ada serves another queue now", "public_message", anna, func(s *staged) { s.queue.Agents = []string{"otto"} }, "bo@c fred otto"},
		{"Otto was assigned meanwhile", "public_message", bo, join(assigned, func(s *staged) { s.queue.Agents = nil }), "anna@c fred otto"},
		{"an agent is CC from home", "public_message", anna, alsoCustomer, "otto@home fred ada"},
		{"who had it from home hears as staff", "public_message", anna, join(alsoCustomer, to("otto@home")), "fred otto ada"},
		{"follower and agent at once", "public_message", anna, func(s *staged) {
			s.ticket.Assignee = "otto"
			s.ticket.Followers = append(s.ticket.Followers, ticketing.Follower{Agent: "ada"})
		}, "bo@c fred otto ada"},

		// Internal messages.
		{"note by an agent", "internal_message", otto, nil, "fred"},
		{"note by another than the assignee", "internal_message", ticketing.Actor{Agent: "ada", Address: "ada@staff"}, assigned, "fred otto"},
		{"note by the follower", "internal_message", fred, assigned, "otto"},
		{"note by the follower, nobody is assigned", "internal_message", fred, nil, ""},
		{"customer wrote to us only", "internal_message", bo, nil, "fred otto ada"},
		{"customer wrote to us only, assigned", "internal_message", bo, assigned, "fred otto"},

		// Third parties.
		{"stranger", "third_party", eve, nil, "fred otto ada"},
		{"stranger, assigned", "third_party", eve, assigned, "fred otto"},
		{"stranger in the requester's words", "third_party", anna, assigned, "fred otto"},
		{"somebody claims to be Otto", "third_party", ticketing.Actor{Kind: "contact", Address: "otto@staff"}, assigned, "fred otto"},

		// Lost mail.
		{"lost", "delivery_failed", system, nil, "fred otto ada"},
		{"lost, assigned", "delivery_failed", system, assigned, "fred otto"},
		{"lost, Ada wrote it", "delivery_failed", system, join(assigned, func(s *staged) { s.msg.Author.Agent = "ada" }), "fred otto ada"},

		// What this version does not know.
		{"an event of the future", "ticket_merged", system, nil, "fred"},
		{"an event of the future, assigned", "ticket_merged", system, assigned, "fred"},
		{"nobody is concerned", "public_message", anna, func(s *staged) { s.notice.Audience = nil }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stage(c.event, c.by)
			if c.change != nil {
				c.change(&s)
			}
			letters, skipped := plan(s.affair)
			var got []string
			for _, l := range letters {
				name := l.to.Addr
				if l.staff() {
					name = l.agent
				}
				if l.ack {
					name = "ack:" + name
				}
				if l.echo {
					name = strings.Replace(name, "ack:", "ack*:", 1)
				}
				got = append(got, name)
			}
			if g := strings.Join(got, " "); g != c.want {
				t.Errorf("letters to %q\n      want %q\nskipped %v", g, c.want, skipped)
			}
			if len(letters)+len(skipped) != len(s.notice.Audience) {
				t.Errorf("%d letters and %d reasons for %d people", len(letters), len(skipped), len(s.notice.Audience))
			}
			if slices.ContainsFunc(skipped, func(k skip) bool { return k.reason == "" }) {
				t.Errorf("somebody was left out without a reason: %v", skipped)
			}
		})
	}
}

// Mail to staff goes to where they are now, not to where they were.
func TestPlanUsesTodaysAddress(t *testing.T) {
	s := stage("third_party", ticketing.Actor{Kind: "contact", Address: "eve@x"})
	s.agents["ada"].Addresses = []string{"ada@new"}
	letters, _ := plan(s.affair)
	if got := letters[len(letters)-1].to.Addr; got != "ada@new" {
		t.Errorf("mail for Ada goes to %s", got)
	}
}
