package ticketing_test

import (
	"context"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

func (b *bench) rotate(sort string) uint8 {
	b.t.Helper()
	s, err := b.desk.Rotate(context.Background(), system(), sort)
	if err != nil {
		b.t.Fatal(err)
	}
	b.keys = b.desk.Keyring()
	return s.Epoch
}

// Mail to addresses and about Message-IDs of an old epoch finds its ticket until
// the epoch is revoked; then it is as if we had never made them.
func TestRotation(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	old := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	if e := b.rotate("address"); e != 2 {
		t.Fatalf("epoch %d", e)
	}
	b.rotate("id")
	fresh := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	if fresh.replyTo == old.replyTo || fresh.id == old.id {
		t.Fatal("the new secrets do not sign")
	}
	for _, l := range []letter{old, fresh} {
		b.want(b.take(mail{to: []string{l.replyTo}, text: write(rAddr, "Re: Printer")}), "reply", n)
		b.want(b.take(mail{text: answer(rAddr, "Printer", l)}), "reply", n)
	}
	ctx := context.Background()
	if _, err := b.desk.Revoke(ctx, system(), "address", 2); ticketing.KindOf(err) != ticketing.Conflict {
		t.Errorf("revoking what signs: %v", err)
	}
	if _, err := b.desk.Revoke(ctx, system(), "address", 9); ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("revoking nothing: %v", err)
	}
	if _, err := b.desk.Revoke(ctx, agent("otto"), "address", 1); ticketing.KindOf(err) != ticketing.Denied {
		t.Errorf("an agent revokes: %v", err)
	}
	if _, err := b.desk.Rotate(ctx, system(), "moon"); ticketing.KindOf(err) != ticketing.Invalid {
		t.Errorf("no such sort: %v", err)
	}
	for _, sort := range []string{"address", "id"} {
		if _, err := b.desk.Revoke(ctx, system(), sort, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.desk.Receive(ctx, b.arrival(mail{to: []string{old.replyTo}, text: write(rAddr, "Re: Printer")})); ticketing.KindOf(err) != ticketing.Unknown || err == nil {
		t.Errorf("a revoked address: %v", err)
	}
	if o := b.take(mail{text: "From: " + rAddr + "\nSubject: other words\nIn-Reply-To: " + old.id + "\nMessage-ID: <x1@test.example>\n\nhi\n"}); o.Outcome != "new_ticket" {
		t.Errorf("a revoked Message-ID: %+v", o)
	}
	b.want(b.take(mail{to: []string{fresh.replyTo}, text: write(rAddr, "Re: Printer")}), "reply", n)
	// The next process sees the same.
	again := openOn(t, b.db, b.clock)
	list, err := again.desk.Secrets(ctx)
	if err != nil || len(list) != 4 || list[0].Revoked.IsZero() || !list[1].Newest {
		t.Errorf("secrets %+v, %v", list, err)
	}
	again.want(again.take(mail{to: []string{fresh.replyTo}, text: write(rAddr, "Re: Printer")}), "reply", n)
}
