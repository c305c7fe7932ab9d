package ticketing_test

import (
	"testing"

	"ticketgate/ticketing/message"
)

// An answer that the outbound queue keeps back, because its recipient's address
// proved to be wrong, is not silently lost: the agents hear of it. What an
// operator holds by hand he knows of.
func TestHeldAnswerIsTold(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Done.")
	report := message.Report{Parcel: "out_1", Message: p.ID, Ticket: n, Recipient: rAddr, State: "held", Text: "held by ada: wrong attachment"}
	b.settle(report)
	if got := b.events(n, "delivery_failed"); got != 0 {
		t.Errorf("a hold by hand was told %d times", got)
	}
	report.Text, report.Hold = "held by ticketgate: the address is suppressed: 550 5.1.1", "suppressed"
	b.settle(report)
	if got := b.events(n, "delivery_failed"); got != 1 {
		t.Errorf("told %d times", got)
	}
	if got := b.states(p.ID)[rAddr]; got != "held" {
		t.Errorf("state %s", got)
	}
	report.State, report.Hold, report.Text = "sent", "", ""
	b.settle(report)
	if got := b.states(p.ID)[rAddr]; got != "sent" || b.events(n, "delivery_failed") != 1 {
		t.Errorf("state %s", got)
	}
	b.checkAll()
}
