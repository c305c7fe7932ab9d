package ticketing_test

import (
	"context"
	"strings"
	"testing"

	"ticketgate/ticketing/message"
)

// Who has only mails of a ticket that was merged into another goes on from
// there; who has mails of the other one from those.
func TestThreadOfMerged(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	opened := func(from, id string, extra ...string) uint64 {
		return b.take(mail{text: strings.Join(append([]string{"From: " + from, "Subject: " + id, "Message-ID: <" + id + "@customer.example>"}, extra...), "\n") + "\n\n" + id + "\n"}).Ticket
	}
	into := opened(dAddr, "into")
	from := opened(rAddr, "from", "Cc: "+cAddr+", "+dAddr)
	early := opened("eve@customer.example", "early")
	p := b.publish(from, "Done.")
	mailed := func(n uint64, id string, seq uint32, person string, role message.Role) string {
		b.settle(message.Report{Parcel: "out_" + id + person, Message: id, Ticket: n, Recipient: person, State: "sent"})
		return b.mailTo(n, seq, person, role, false).id
	}
	toR := mailed(from, p.ID, p.Mail, rAddr, message.RoleRequester)
	for _, n := range []uint64{early, from} {
		if _, err := b.desk.Merge(ctx, agent("otto"), n, into); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when, person, answers, references string) {
		t.Helper()
		irt, refs, err := b.desk.Thread(ctx, into, person)
		if err != nil || irt != answers || strings.Join(refs, " ") != references {
			t.Errorf("%s %s: %s, %v, %v", when, person, irt, refs, err)
		}
	}
	const root, ofFrom, ofEarly = "<into@customer.example>", "<from@customer.example>", "<early@customer.example>"
	check("merged:", rAddr, toR, ofFrom+" "+toR)
	check("merged:", cAddr, "", ofFrom) // he stood in the first mail
	check("merged:", "eve@customer.example", ofEarly, ofEarly)
	check("merged:", dAddr, root, root)
	check("merged:", "new@customer.example", "", root)
	q := b.publish(into, "All of you.")
	id := mailed(into, q.ID, q.Mail, rAddr, message.RoleCC)
	check("answered:", rAddr, id, root+" "+id)
	// A mail that was taken back is none that he has.
	b.settle(message.Report{Parcel: "out_" + q.ID + rAddr, Message: q.ID, Ticket: into, Recipient: rAddr, State: "cancelled"})
	check("taken back:", rAddr, toR, ofFrom+" "+toR)
}
