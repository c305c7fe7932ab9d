package notify

import (
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// TestForStaff: what a ticket's first mail quotes or passes on is news to
// staff; later quotations are on the ticket already, and customers never see
// what somebody else passed on.
func TestForStaff(t *testing.T) {
	t.Parallel()
	mail, err := message.Parse(strings.NewReader("From: anna@customer.example\r\n\r\nx\r\n"), 36, message.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		seq       int
		direction string
		below     string
		want      string
	}{
		{"the first mail", 1, "in", "From: Bo\nIt burns.", "See below.\n\nFrom: Bo\nIt burns."},
		{"nothing below", 1, "in", "", "See below."},
		{"a later mail", 2, "in", "> It burns.", "See below."},
		{"one of ours", 1, "out", "> It burns.", "See below."},
	} {
		a := &affair{msg: &ticketing.Message{Seq: c.seq, Direction: c.direction}, mail: mail, text: "See below."}
		if got := a.forStaff(c.below); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
	a := &affair{msg: &ticketing.Message{Seq: 1, Direction: "in"}, mail: mail, text: "See below."}
	if got := a.forStaff(strings.Repeat("x ", maxQuote)); len(got) > maxQuote+200 {
		t.Errorf("%d octets", len(got))
	}
}
