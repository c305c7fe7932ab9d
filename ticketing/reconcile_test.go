package ticketing_test

import (
	"context"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
)

// Reconcile notices what is missing and what does not fit.
func TestReconcileNotices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		damage ticketing.Damage
		want   string
	}{
		{ticketing.DropTicket, "is missing"}, {ticketing.DropMessage, "is missing"}, {ticketing.DropReceipt, "receipt"},
		{ticketing.Miscount, "counts"}, {ticketing.EmptyReceipt, "has no outcome"}, {ticketing.LoseBytes, "lost its bytes"}, {ticketing.OtherTicket, "not on"},
	} {
		b, n := openWithTicket(t)
		b.publish(n, "x")
		b.checkAll()
		err := b.db.Update(context.Background(), func(tx store.Tx) error { return ticketing.Spoil(b.desk, tx, n, c.damage) })
		if err != nil {
			t.Fatal(err)
		}
		rc, err := b.desk.Reconcile(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(rc.Problems, "\n"), c.want) {
			t.Errorf("damage %d: problems %q, want one with %q", c.damage, rc.Problems, c.want)
		}
	}
}

func TestReconcileCounts(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	b.publish(n, "x")
	b.receive(mail{to: []string{helpdsk, "sales@help.example"}, text: write(xAddr, "y")})
	rc, err := b.desk.Reconcile(context.Background())
	if err != nil || rc.Receipts != 2 || rc.Outcomes != 3 || rc.Tickets != 3 || rc.Messages != 4 || len(rc.Problems) != 0 || rc.Problems == nil || rc.CheckedAt.IsZero() {
		t.Errorf("%+v, %v", rc, err)
	}
}
