package notify

import (
	"strings"
	"testing"
	"unicode/utf8"

	"ticketgate/ticketing"
)

func TestSubject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ ticket, want string }{
		{"Printer on fire", "Re: Printer on fire [#7]"},
		{"Re: Printer on fire", "Re: Printer on fire [#7]"},
		{"AW: Re[2]: WG:  Printer", "Re: Printer [#7]"},
		{"回复：打印机", "Re: 打印机 [#7]"},
		{"Printer [#7] on fire [#7]", "Re: Printer on fire [#7]"},
		{"Printer [#8]", "Re: Printer [#8] [#7]"},
		{"Report: quarter", "Re: Report: quarter [#7]"},
		{"Re: ", "Re: (no subject) [#7]"},
		{"", "Re: (no subject) [#7]"},
	} {
		a := &affair{ticket: &ticketing.Ticket{Number: 7, Subject: c.ticket}, queue: &ticketing.Queue{}}
		if got := subject(a, letter{}); got != c.want {
			t.Errorf("%q became %q, want %q", c.ticket, got, c.want)
		}
		if got := subject(a, letter{ack: true, echo: true}); got != c.want {
			t.Errorf("acknowledged as %q, want %q", got, c.want)
		}
		if got := subject(a, letter{ack: true}); got != "[#7] We received your mail" {
			t.Errorf("acknowledged to a stranger as %q", got)
		}
		a.queue.Appearance.WithoutSubject = true
		if got, want := subject(a, letter{}), strings.TrimSuffix(c.want, " [#7]"); got != want {
			t.Errorf("%q without the number became %q, want %q", c.ticket, got, want)
		}
		if got := subject(a, letter{ack: true}); got != "We received your mail" {
			t.Errorf("acknowledged without the number as %q", got)
		}
	}
}

func TestReplaceAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"otto@staff.example", "Otto"},
		{"To: OTTO@Staff.Example, x", "To: Otto, x"},
		{"<mailto:otto@staff.example>", "<mailto:Otto>"},
		{"Ask otto@staff.example.", "Ask Otto."},
		{"Ask otto@staff.example...", "Ask Otto..."},
		{"otto@staff.example.\notto@staff.example", "Otto.\nOtto"},
		{"botto@staff.example", "botto@staff.example"},
		{"x.otto@staff.example", "x.otto@staff.example"},
		{"otto@staff.example.org", "otto@staff.example.org"},
		{"otto@staff.examples", "otto@staff.examples"},
		{"otto@staffXexample", "otto@staffXexample"},
		{"", ""},
	} {
		if got := replaceAddress(c.text, "otto@staff.example", "Otto"); got != c.want {
			t.Errorf("%q became %q, want %q", c.text, got, c.want)
		}
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"short", 5, "short"},
		{"one\ntwo\nthree", 9, "one\ntwo\n[…]"},
		{"one two three", 9, "one two\n[…]"},
		{"unbroken", 4, "unbr\n[…]"},
		{"ääää", 5, "ää\n[…]"},
	} {
		got := clip(c.s, c.n)
		if got != c.want || !utf8.ValidString(got) {
			t.Errorf("%q cut at %d is %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func TestListID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, display, want string }{
		{"support", "", "support <support.help.example>"},
		{"support", "Example Support", "Example Support <support.help.example>"},
		{"support", "Example, Inc. <x>", "<support.help.example>"},
		{"Über uns", "Über  uns", "Über uns <-ber-uns.help.example>"},
	} {
		a := &affair{queue: &ticketing.Queue{Name: c.name, DisplayName: c.display, Address: "support@help.example"}}
		if got := listID(a); got != c.want {
			t.Errorf("%q is %q, want %q", c.display, got, c.want)
		}
	}
}

// What staff are told that Reply does is what the desk will do.
func TestWhatReplyDoes(t *testing.T) {
	t.Parallel()
	const note = "Your reply stays internal."
	for _, c := range []struct {
		name, event, agent string
		change             func(staged)
		internal           bool
	}{
		{"an agent of the queue", "public_message", "otto", nil, false},
		{"a follower from elsewhere", "public_message", "fred", nil, true},
		{"a follower who is assignee", "public_message", "fred", func(s staged) { s.ticket.Assignee = "fred" }, false},
		{"a light agent", "public_message", "ada", func(s staged) { s.agents["ada"].Light = true }, true},
		{"a note", "internal_message", "otto", nil, true},
		{"a stranger", "third_party", "otto", nil, true},
		{"lost mail", "delivery_failed", "otto", nil, true},
	} {
		s := stage(c.event, ticketing.Actor{Address: "anna@c"})
		if c.change != nil {
			c.change(s)
		}
		if got := s.whatReplyDoes(letter{agent: c.agent}); strings.Contains(got, note) != c.internal {
			t.Errorf("%s reads %q", c.name, got)
		}
	}
}
