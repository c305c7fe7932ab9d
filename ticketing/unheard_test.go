package ticketing_test

import (
	"context"
	"net/netip"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

// A new ticket in a queue without agents concerns nobody but its author. It is
// noticed if he can be acknowledged, and only then; its first mail is counted
// all the same.
func TestOnlyAcknowledgementsThatCanBe(t *testing.T) {
	t.Parallel()
	c := newClock()
	db, err := pebble.OpenMem(pebble.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	had := map[string]bool{"had@customer.example": true}
	b := &bench{t: t, db: db, clock: c, blobs: blob.New(db, newRandom(1)), agenda: agenda.New(db), log: journal.New(db)}
	forwarders := ticketing.ForwarderNetworks(netip.MustParsePrefix(trusted + "/32"))
	b.desk, err = ticketing.Open(context.Background(), ticketing.Options{
		DB: db, Blobs: b.blobs, Journal: b.log, Agenda: b.agenda, Random: newRandom(2),
		Agents: agents(),
		Queues: []ticketing.Queue{
			{Name: "lone", Address: "lone@help.example", AutoAck: true, TrustedForwarders: forwarders},
			{Name: "mute", Address: "mute@help.example", TrustedForwarders: forwarders},
			{Name: "staffed", Address: "staffed@help.example", Agents: []string{"otto"}, TrustedForwarders: forwarders},
		},
		Acked: func(_ store.Tx, address string) (bool, string, error) { return had[address], "", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, ip, from, to string
		extra              []string
		want               int
	}{
		{"a stranger nothing vouches for", mx, "anna@customer.example", "lone@help.example", nil, 0},
		{"the same again: writing twice makes nobody known", mx, "anna@customer.example", "lone@help.example", nil, 0},
		{"a proven stranger", trusted, "bo@customer.example", "lone@help.example", nil, 1},
		{"his name on a mail that nothing vouches for, now that he is known", mx, "bo@customer.example", "lone@help.example", nil, 1},
		{"a proven robot", trusted, "bo@customer.example", "lone@help.example", []string{"Auto-Submitted: auto-generated"}, 0},
		{"who had one today", trusted, "had@customer.example", "lone@help.example", nil, 0},
		{"a queue that acknowledges nothing", trusted, "bo@customer.example", "mute@help.example", nil, 0},
		{"agents hear of everything", mx, "had@customer.example", "staffed@help.example", nil, 1},
	} {
		o := b.take(mail{ip: step.ip, to: []string{step.to}, text: write(step.from, "Printer", step.extra...)})
		if o.Outcome != "new_ticket" {
			t.Fatalf("%s: outcome %s", step.name, o.Outcome)
		}
		if got := len(b.notices(o.Ticket)); got != step.want {
			t.Errorf("%s: %d notices, want %d", step.name, got, step.want)
		}
		if m := b.message(o.Message); m.Mail != 1 {
			t.Errorf("%s: the first mail about the ticket is number %d", step.name, m.Mail)
		}
	}
}
