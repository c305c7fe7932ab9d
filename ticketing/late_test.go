package ticketing_test

import (
	"testing"
	"time"

	"ticketgate/ticketing/message"
)

// A long delay is in the ticket's journal, once for each report, and tells
// nobody by mail.
func TestDelayIsAnEvent(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	p := b.publish(n, "Done.")
	before := len(b.notices(n))
	r := message.Report{Parcel: "out_1", Message: p.ID, Ticket: n, Queue: "support", Recipient: rAddr, State: "deferred", Attempts: 5, Code: 451}
	b.settle(r)
	r.Delayed = time.Hour
	b.settle(r)
	late := 0
	entries, err := b.log.Read(t.Context(), "support", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Kind == "message.delayed" {
			late++
		}
	}
	if late != 1 || len(b.notices(n)) != before || b.states(p.ID)[rAddr] != "deferred" {
		t.Errorf("%d events, %d notices more", late, len(b.notices(n))-before)
	}
}
