package ticketing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// The link in a mail opts its reader out, as often as he likes, and nobody else.
func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	ctx := context.Background()
	token := b.desk.Keyring().UnsubscribeToken("ANNA@customer.example", n)
	if address, err := b.desk.Unsubscribing(token); address != rAddr || err != nil || b.optedOut(rAddr) {
		t.Errorf("looking changed something: %q, %v", address, err)
	}
	for range 3 {
		if address, err := b.desk.Unsubscribe(ctx, token); address != rAddr || err != nil {
			t.Fatal(address, err)
		}
		b.clock.advance(1)
	}
	if !b.optedOut(rAddr) || b.optedOut(cAddr) {
		t.Error("not the right one opted out")
	}
	list, _, err := b.desk.OptOuts(ctx, 0, "")
	if err != nil || len(list) != 1 || list[0].Reason != ticketing.OptOutLink || list[0].Ticket != n || list[0].By != "contact:"+rAddr {
		t.Errorf("%+v %v", list[0], err)
	}
	// A ticket that is gone is no obstacle; a link that is not ours is.
	if _, err := b.desk.Unsubscribe(ctx, b.desk.Keyring().UnsubscribeToken(cAddr, 999999)); err != nil || !b.optedOut(cAddr) {
		t.Error(err)
	}
	for _, bad := range []string{"", "x", token[:len(token)-2], token + "A", strings.ToUpper(token)} {
		if _, err := b.desk.Unsubscribe(ctx, bad); ticketing.KindOf(err) != ticketing.Unknown {
			t.Errorf("%q: %v", bad, err)
		}
	}
	b.checkAll()
}

// Mail tells about addresses: who writes is there, and of whom a report says
// that his mail failed, may not be.
func TestAddressesAreToldOf(t *testing.T) {
	t.Parallel()
	var said []string
	c := newClock()
	plain := open(t)
	b := openOn(t, plain.db, c, func(o *ticketing.Options) {
		o.Heard = func(_ store.Tx, address string) error {
			said = append(said, "heard "+address)
			return nil
		}
		o.Bounced = func(_ store.Tx, address, status string, code int, _ string) error {
			said = append(said, fmt.Sprintf("bounced %s %s", address, status))
			return nil
		}
	})
	has := func(words string) bool { return strings.Contains(strings.Join(said, "\n"), words) }
	n := b.take(mail{text: write(rAddr, "Printer", toUs)}).Ticket
	if !has("heard " + rAddr) {
		t.Errorf("%q", said)
	}
	p := b.publish(n, "Done.")
	b.settle(message.Report{Parcel: "out_1", Message: p.ID, Ticket: n, Recipient: rAddr, State: "sent"})
	l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
	b.take(mail{from: "<>", to: []string{l.ret}, text: reportOf("r1", rAddr+" delayed 4.4.1")})
	if has("bounced") {
		t.Errorf("a delay is no bounce: %q", said)
	}
	b.take(mail{from: "<>", to: []string{l.ret}, text: reportOf("r2", rAddr+" failed 5.1.1")})
	if !has("bounced " + rAddr + " 5.1.1") {
		t.Errorf("%q", said)
	}
}
