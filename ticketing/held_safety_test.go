package ticketing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// Nothing dies unseen: whatever arrives and whatever is decided about it, each
// outcome leads to a message or to a held mail, and what is held can be found.
func TestNothingDiesUnseen(t *testing.T) {
	t.Parallel()
	ended := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		c := newClock()
		screened := rapid.Bool().Draw(rt, "screened")
		b := openOn(t, storetest.OpenAt(t, c.now), c, func(o *ticketing.Options) {
			o.SenderFlood = ticketing.FloodLimit{Count: 4, Per: 10 * time.Minute}
			if screened {
				for i := range o.Queues {
					o.Queues[i].Screen = everyScreen()
				}
			}
		})
		first := b.receive(mail{text: write(rAddr, "Printer")})
		n := first.Outcomes[0].Ticket
		l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
		froms := []string{rAddr, xAddr, otto, "boss@x.example", helpdsk, rAddr + ", " + xAddr}
		tos := [][]string{nil, {"sales@help.example"}, {helpdsk, "sales@help.example", "hilfe@help.example"}, {l.replyTo}, {l.ret, helpdsk}, {"postmaster@help.example"}}
		texts := []func(string) string{
			func(from string) string { return write(from, "new", toUs) },
			func(from string) string { return answer(from, "Printer", l) },
			func(from string) string { return "From: " + from + "\nMessage-ID: <same@x>\n\n" },
			func(from string) string { return "From: " + from + "\nMessage-ID: " + l.id + "\n\nagain\n" },
			func(string) string { return report(rAddr, "failed", "5.1.1", "550") },
			func(from string) string { return write(from, "Out", "Auto-Submitted: auto-replied") },
			func(string) string { return "no header at all\n" },
			func(from string) string { return withFile(from, 500) },
			func(from string) string {
				return write(from, "x", "X-Spam-Flag: YES", "To: a@x.example, b@x.example, c@x.example, d@x.example")
			},
			func(string) string { return complaint("abuse", l.id) },
			func(from string) string { return answer(from, "Printer", l, "List-Id: <l.example>") },
		}
		type arrived struct {
			receipt string
			at      time.Time
		}
		receipts := []arrived{{first.ID, first.ReceivedAt}}
		var items []string
		steps := rapid.IntRange(1, 14).Draw(rt, "steps")
		for range steps {
			pick := rapid.IntRange(0, 9).Draw(rt, "step")
			if pick > 6 && len(items) > 0 {
				id := rapid.SampledFrom(items).Draw(rt, "item")
				switch pick {
				case 7:
					b.desk.Release(context.Background(), system(), id)
				case 8:
					b.desk.Attach(context.Background(), system(), id, n)
				default:
					b.desk.Discard(context.Background(), system(), id)
				}
				continue
			}
			from := rapid.SampledFrom(froms).Draw(rt, "from")
			m := mail{from: rapid.SampledFrom([]string{xAddr, "<>"}).Draw(rt, "envelope"), to: rapid.SampledFrom(tos).Draw(rt, "to"),
				ip: rapid.SampledFrom([]string{mx, mx, trusted}).Draw(rt, "ip"), text: rapid.SampledFrom(texts).Draw(rt, "text")(from)}
			a := b.arrival(m)
			dmarc(rapid.SampledFrom([]string{"none", "quarantine", "reject", ""}).Draw(rt, "disposition"), rapid.SampledFrom([]string{"T0", "T1"}).Draw(rt, "trust"))(&a)
			r, err := b.desk.Receive(context.Background(), a)
			if err != nil {
				rt.Fatal(err)
			}
			receipts = append(receipts, arrived{r.ID, r.ReceivedAt})
			for _, o := range r.Outcomes {
				if o.Held != "" {
					items = append(items, o.Held)
				}
			}
			if len(r.Outcomes) != len(a.Recipients) {
				rt.Fatalf("%d outcomes for %d recipients", len(r.Outcomes), len(a.Recipients))
			}
		}
		waiting, messages := map[string]bool{}, map[string]bool{}
		for _, state := range []string{"held", "released", "attached", "discarded"} {
			for _, id := range b.heldIDs(ticketing.HeldFilter{State: state, Limit: 100}) {
				waiting[id] = true
			}
		}
		for _, x := range receipts {
			r, err := b.desk.Receipt(context.Background(), x.receipt)
			if err != nil {
				rt.Fatal(err)
			}
			for _, o := range r.Outcomes {
				ended[o.Outcome]++
				switch {
				case o.Message != "":
					if m := b.message(o.Message); m.Ticket != o.Ticket {
						rt.Fatalf("%+v: message %+v", o, m)
					}
					messages[o.Message] = true
				case o.Held == "" || !waiting[o.Held]:
					rt.Fatalf("%+v leads nowhere", o)
				}
				if onHold := o.Outcome == "held" || o.Outcome == "loop"; o.Outcome != "duplicate" && onHold != (o.Message == "") {
					rt.Fatalf("%+v is neither on a ticket nor held, or both", o)
				}
			}
		}
		rc, err := b.desk.Reconcile(context.Background())
		if err != nil || len(rc.Problems) != 0 {
			rt.Fatal(rc, err)
		}
		// And nothing else is there: each message and each held mail is what
		// became of one of these, once.
		if rc.Messages != len(messages) || rc.Held != len(waiting) {
			rt.Fatalf("%d messages and %d held mails, receipts know %d and %d", rc.Messages, rc.Held, len(messages), len(waiting))
		}
		b.clock.advance(31 * 24 * time.Hour)
		b.run()
		if rc, err = b.desk.Reconcile(context.Background()); err != nil || len(rc.Problems) != 0 || rc.Held != 0 {
			rt.Fatal(rc, err)
		}
	})
	t.Logf("outcomes: %v", ended)
}

// Whichever call into the store fails while something is decided, nothing has
// changed, and deciding again works.
func TestHeldAllOrNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := newClock()
	left := 0
	b := openOn(t, faulty{storetest.OpenAt(t, c.now), &left, errDisk}, c)
	n := b.take(mail{text: write(rAddr, "Printer", toUs)}).Ticket
	decide := []func(id string) error{
		func(id string) error { return errOf(b.desk.Release(ctx, system(), id)) },
		func(id string) error { return errOf(b.desk.Attach(ctx, system(), id, n)) },
		func(id string) error { return errOf(b.desk.Discard(ctx, system(), id)) },
	}
	for i, f := range decide {
		id := b.take(mail{text: blankMail(i)}).Held
		before, failed := b.image()+fmt.Sprint(*b.item(id)), 0
		for at := 1; ; at++ {
			left = at
			err := f(id)
			left = 0
			if err == nil {
				break
			}
			failed++
			if !errors.Is(err, errDisk) {
				t.Fatalf("call %d: %v", at, err)
			}
			if after := b.image() + fmt.Sprint(*b.item(id)); after != before {
				t.Fatalf("call %d failed and left something:\n%s\nwas\n%s", at, after, before)
			}
		}
		if failed < 3 {
			t.Errorf("decision %d: only %d calls could fail", i, failed)
		}
		b.checkAll()
	}
}

// After a power failure around a release the mail is either still held or on
// its ticket with everything that belongs to it; nothing in between, nothing
// twice.
func TestReleaseCrash(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := newClock()
	disk := storetest.OpenCrashable(t, c.now)
	b := openOn(t, disk.DB, c)
	for i := range 6 {
		id := b.take(mail{text: blankMail(i)}).Held
		for _, done := range []bool{false, true} {
			if done {
				if _, err := b.desk.Release(ctx, system(), id); err != nil {
					t.Fatal(err)
				}
			}
			for _, keep := range []int{0, 50, 100} {
				after := openOn(t, disk.Crash(keep).DB, c)
				h := after.item(id)
				if (h.State == "released") != done {
					t.Errorf("mail %d, %d %%: %+v", i, keep, h)
				}
				after.checkAll()
				again, err := after.desk.Release(ctx, system(), id)
				if err != nil || again.Message == "" || after.ticket(again.Ticket).MessageCount != 1 || done && again.Message != h.Message {
					t.Errorf("mail %d, %d %%: released again: %+v, %v", i, keep, again, err)
				}
				if o := after.take(mail{text: blankMail(i)}); o.Outcome != "duplicate" || o.Message != again.Message {
					t.Errorf("mail %d, %d %%: redelivered: %+v", i, keep, o)
				}
				after.checkAll()
			}
		}
	}
}

// Neither holding nor releasing makes a row too large to store, whatever the
// envelope, the header and the evidence.
func TestHeldHuge(t *testing.T) {
	t.Parallel()
	var largest int
	c := newClock()
	b := openOn(t, sized{storetest.OpenAt(t, c.now), &largest}, c)
	nasty := strings.Repeat(`\\\"`, 400)
	var to []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("support+%s%d@help.example", strings.Repeat("t-", 14), i))
	}
	a := b.arrival(mail{from: rAddr, to: to, text: write("\""+nasty+"\" <"+rAddr+">", nasty)})
	result := ticketing.AuthResult{Result: nasty, Domain: nasty, Selector: nasty, Policy: nasty, Reason: nasty}
	a.HELO, a.Verdict.SPF, a.Verdict.IPRev, a.Verdict.DMARC = nasty, result, result, result
	a.Verdict.DMARC.Disposition = "reject"
	for range 1000 {
		a.Verdict.DKIM, a.Verdict.Reasons = append(a.Verdict.DKIM, result), append(a.Verdict.Reasons, nasty)
	}
	r, err := b.desk.Receive(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	h, err := b.desk.Release(context.Background(), system(), r.Outcomes[0].Held)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := b.desk.Receipt(context.Background(), r.ID)
	if err != nil || len(stored.Outcomes) != 1000 || stored.Outcomes[999].Message != h.Message {
		t.Errorf("%d outcomes, %v", len(stored.Outcomes), err)
	}
	if m := b.message(h.Message); len(m.Auth.Reasons) == 0 || m.Auth.DMARC.Reason == "" {
		t.Errorf("the evidence is gone: %+v", m.Auth)
	}
	if largest > store.MaxValue*9/10 || largest < 15000 {
		t.Errorf("a document of %d bytes", largest)
	}
	b.checkAll()
}

// Reconcile notices held mail that is missing or does not fit.
func TestReconcileHeld(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		damage ticketing.Damage
		want   string
	}{{ticketing.DropHeld, "is missing"}, {ticketing.DropHeldReceipt, "is missing"}, {ticketing.MisplaceHeld, "does not know"}} {
		b := open(t)
		id := b.take(mail{text: blankMail(1)}).Held
		b.checkAll()
		err := b.db.Update(context.Background(), func(tx store.Tx) error { return ticketing.SpoilHeld(b.desk, tx, id, c.damage) })
		if err != nil {
			t.Fatal(err)
		}
		rc, err := b.desk.Reconcile(context.Background())
		if err != nil || !strings.Contains(strings.Join(rc.Problems, "\n"), c.want) {
			t.Errorf("damage %d: %+v, %v", c.damage, rc, err)
		}
	}
}
