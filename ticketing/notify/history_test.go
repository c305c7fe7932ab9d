package notify

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

var _ HistoryDesk = (*ticketing.Desk)(nil)

func (d *fakeDesk) Deliveries(_ context.Context, id string) ([]ticketing.Delivery, error) {
	return d.deliveries[id], nil
}

// history reads what w's notifier wrote. What is in the outbox is in the
// outbound queue, unless it is in gone.
func (w *world) history(gone ...string) *History {
	return NewHistory(HistoryOptions{DB: w.db, Blobs: w.blobs, Desk: w.desk, Waiting: func(ctx context.Context, id string) (why string, ok bool, err error) {
		err = w.db.View(ctx, func(r store.Reader) error {
			p, err := w.outbox.parcels.Find(r, store.Key{}.Str(id))
			ok = p != nil && !slices.Contains(gone, id) && !slices.Contains(gone, "all")
			return err
		})
		return "waiting for its turn", ok, err
	}})
}

func (w *world) list(f HistoryFilter) []*Notification {
	w.t.Helper()
	page, next, err := w.history("all").List(context.Background(), f)
	if err != nil || next != "" {
		w.t.Fatal(next, err)
	}
	return page
}

func (w *world) why(h *History, ticket uint64, to, event string) *Verdict {
	w.t.Helper()
	v, err := h.Why(context.Background(), ticket, to, event)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// steps are the checks of a verdict as people see them.
func steps(v *Verdict) string {
	var b strings.Builder
	for _, c := range v.Checks {
		b.WriteString(map[bool]string{true: " ✓ ", false: " ✗ "}[c.OK] + c.Text)
	}
	return b.String()
}

// Every reason not to write to somebody is kept in its stable word and found
// again by whoever asks.
func TestHistoryOfEveryReason(t *testing.T) {
	t.Parallel()
	const anna, bo, otto, ada = "anna@customer.example", "bo@customer.example", "otto@staff.example", "ada@staff.example"
	writes := func(event string, change func(*ticketing.Message)) func(*world) uint64 {
		return func(w *world) uint64 {
			k, m := w.ticket(), ticketing.Message{}
			m.Author, m.Envelope.From = ticketing.Author{Address: anna, Role: "requester"}, anna
			if change != nil {
				change(&m)
			}
			w.put(event, k, w.add(k, m, annasMail))
			return k.Number
		}
	}
	answers := func(event string) func(*world) uint64 {
		return writes(event, func(m *ticketing.Message) {
			m.Author, m.Visibility = by("otto", "Otto", otto), map[string]string{"public_message": "public", "internal_message": "internal"}[event]
		})
	}
	// many has Anna write n mails about one ticket, told one by one.
	many := func(n int) func(*world) uint64 {
		return func(w *world) uint64 {
			k := w.ticket()
			for range n {
				w.clock.move(time.Second)
				w.put("public_message", k, w.add(k, ticketing.Message{}, annasMail))
				w.tell()
			}
			return k.Number
		}
	}
	// two has Anna, or somebody else at her domain, open two tickets.
	two := func(second string) func(*world) uint64 {
		return func(w *world) (number uint64) {
			for _, who := range []string{anna, second} {
				k := w.ticket()
				k.Requester.Address = who
				w.put("ticket_created", k, w.add(k, ticketing.Message{Author: ticketing.Author{Address: who}, Envelope: ticketing.Envelope{From: who}}, annasMail))
				w.tell()
				number = k.Number
			}
			return number
		}
	}
	then := func(do func(*world) uint64, change func(*world, *ticketing.Ticket)) func(*world) uint64 {
		return func(w *world) uint64 {
			number := do(w)
			change(w, w.desk.tickets[number])
			return number
		}
	}
	seen := map[string]bool{}
	for _, c := range []struct {
		reason string
		to     string
		acks   AckLimits
		do     func(*world) uint64 // returns the ticket
	}{
		{notCauser, anna, AckLimits{}, writes("public_message", nil)},
		{notCauser, "otto@home.example", AckLimits{}, answers("public_message")},
		{notConcerned, ada, AckLimits{}, answers("internal_message")},
		{notVouched, bo, AckLimits{}, writes("public_message", func(m *ticketing.Message) { m.Auth.Trust = "T0" })},
		{notWanted, bo, AckLimits{}, then(writes("public_message", nil), func(w *world, _ *ticketing.Ticket) { w.desk.optedOut = map[string]bool{bo: true} })},
		{notAgain, "Bo@Customer.example", AckLimits{}, writes("public_message", func(m *ticketing.Message) { m.Cc = []message.Address{{Addr: bo}} })},
		{notAnyMore, bo, AckLimits{}, then(writes("public_message", nil), func(_ *world, k *ticketing.Ticket) { k.CCs = nil })},
		{notAgent, ada, AckLimits{}, then(writes("public_message", nil), func(w *world, _ *ticketing.Ticket) { delete(w.desk.agents, "ada") })},
		{notWritable, "bo@", AckLimits{}, func(w *world) uint64 {
			k := w.ticket()
			k.CCs[0].Address = "bo@"
			w.put("public_message", k, w.add(k, ticketing.Message{}, annasMail))
			return k.Number
		}},
		{notSaid, bo, AckLimits{}, func(w *world) uint64 {
			k := w.ticket()
			w.put("backlog", k, nil, func(n *ticketing.Notice) { n.Audience = []ticketing.Recipient{{Role: "cc", Address: bo}} })
			return k.Number
		}},
		{noAck + ackOff, anna, AckLimits{}, then(writes("ticket_created", nil), func(w *world, _ *ticketing.Ticket) { w.desk.queues["support"].AutoAck = false })},
		{noAck + ackNoMail, anna, AckLimits{}, writes("ticket_created", func(m *ticketing.Message) { m.Direction = "out" })},
		{noAck + ackNull, anna, AckLimits{}, writes("ticket_created", func(m *ticketing.Message) { m.Envelope.From = "" })},
		{noAck + ackRobot + "autoreply", anna, AckLimits{}, writes("ticket_created", func(m *ticketing.Message) { m.Automatic.Class = "autoreply" })},
		{noAck + ackUnproven, anna, AckLimits{}, writes("ticket_created", func(m *ticketing.Message) { m.Auth.Trust = "T0" })},
		{noAck + notWanted, anna, AckLimits{}, then(writes("ticket_created", nil), func(w *world, _ *ticketing.Ticket) { w.desk.optedOut = map[string]bool{anna: true} })},
		{noAck + ackElsewhere, anna, AckLimits{}, func(w *world) uint64 {
			k := w.ticket()
			m := w.add(k, ticketing.Message{}, annasMail)
			w.put("ticket_created", k, m, func(n *ticketing.Notice) { n.NoAck = true })
			return k.Number
		}},
		{overLimit + scopeAddress, anna, AckLimits{}, two(anna)},
		{overLimit + scopeDomain, "zoe@customer.example", AckLimits{Domain: 1}, two("zoe@customer.example")},
		{overLimit + scopeTotal, "zoe@elsewhere.example", AckLimits{Total: 1}, two("zoe@elsewhere.example")},
		{overLimit + scopeRecipient, bo, AckLimits{Recipient: 1}, many(2)},
		{overLimit + scopeTicket, bo, AckLimits{Ticket: 1}, many(3)},
		{overLimit + scopeStaff, ada, AckLimits{Staff: 1}, many(3)},
		{overLimit + scopeAlert, "root@help-admin.example", AckLimits{}, func(w *world) uint64 {
			k := w.ticket()
			for i := range alertsDay + 1 {
				w.clock.move(time.Second)
				n := ticketing.Withheld(w.desk.admin, "support", k.Number, fmt.Sprintf("limit %d", i), w.clock.now())
				w.put(n.Event, k, nil, func(x *ticketing.Notice) { *x = n })
				w.tell()
			}
			return k.Number
		}},
	} {
		t.Run(c.reason+" "+c.to, func(t *testing.T) {
			w := newWorld(t)
			w.acks = c.acks
			w.start()
			ticket := c.do(w)
			w.tell()
			v := w.why(w.history("all"), ticket, c.to, "")
			state := StateSuppressed
			if c.reason == notWritable {
				state = StateFailed
			}
			last := v.Checks[len(v.Checks)-1]
			if v.Present || v.State != state || v.Reason != c.reason || last.OK || !strings.Contains(last.Text, explain(c.reason, "")) {
				t.Errorf("%s, %q by what holds now: %v:%s", v.State, v.Reason, v.Present, steps(v))
			}
			if text := explain(c.reason, ""); text == c.reason {
				t.Errorf("there is no sentence for %q", c.reason)
			}
			if _, err := w.history().Raw(context.Background(), v.Found); ticketing.KindOf(err) != ticketing.Unknown {
				t.Errorf("the mail that was not written: %v", err)
			}
		})
		seen[c.reason] = true
	}
	for _, elsewhere := range []string{
		notTwice, notConfigured, notPart, notDecided, // TestHistoryOfOnePerson, TestHistoryWithoutTicket, TestWhyByWhatHoldsNow
		endFailed, endBounced, endSuppressed, endCancelled, // TestHistoryOfEnds
	} {
		seen[elsewhere] = true
	}
	for reason := range rules() {
		if !seen[reason] {
			t.Errorf("%q is shown by no case", reason)
		}
	}
}

// What became of a mail is found out when somebody asks.
func TestHistoryOfEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	m := w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example")}, annasMail)
	w.put("public_message", k, m)
	w.tell()
	var parcel sent
	for _, s := range w.sent() {
		if s.To == "bo@customer.example" {
			parcel = s
		}
	}
	v := w.why(w.history(), k.Number, "bo@customer.example", "")
	if v.State != StateQueued || v.Reason != "waiting for its turn" || v.Found.Parcel != parcel.ID || v.Found.MailID != parcel.header("Message-ID") {
		t.Errorf("%+v:%s", v.Found, steps(v))
	}
	raw, err := w.history().Raw(context.Background(), v.Found)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(raw); err != nil || string(b) != parcel.raw {
		t.Errorf("the kept mail differs: %v", err)
	}
	desk := &reports{}
	ledger := NewUnsent(desk)
	settle := func(state string, code int, text string, unsure bool) {
		t.Helper()
		w.update(func(tx store.Tx) error {
			return ledger.Settled(tx, message.Report{Parcel: parcel.ID, State: state, Code: code, Enhanced: "5.0.0", Text: text, Unsure: unsure, At: tx.Now()})
		})
	}
	settle("sent", 250, "ok", false)
	settle("deferred", 450, "later", false)
	if v := w.why(w.history("all"), k.Number, "bo@customer.example", ""); v.State != StateSent || v.Reason != "" || !v.Checks[len(v.Checks)-1].OK {
		t.Errorf("%s %q:%s", v.State, v.Reason, steps(v))
	}
	w.desk.deliveries = map[string][]ticketing.Delivery{m.ID: {{Recipient: "bo@customer.example", Parcel: parcel.ID, State: "bounced", Enhanced: "5.1.1", Text: "no such user"}}}
	if v := w.why(w.history("all"), k.Number, "bo@customer.example", ""); v.State != StateFailed || v.Reason != "bounced: 5.1.1 no such user" {
		t.Errorf("%s %q:%s", v.State, v.Reason, steps(v))
	}
	for _, c := range []struct {
		state, word, want string
		shown             string
		unsure            bool
	}{
		{"failed", endFailed, StateFailed, "failed: 550 5.0.0 gone", false},
		{"suppressed", endSuppressed, StateSuppressed, "address suppressed: gone", false},
		{"cancelled", endCancelled, StateSuppressed, "cancelled: gone (an attempt may have delivered it)", true},
		{"bounced", endBounced, StateFailed, "bounced: 550 5.0.0 gone", false},
	} {
		settle(c.state, 550, "gone", c.unsure)
		v := w.why(w.history("all"), k.Number, "bo@customer.example", "")
		if v.State != c.want || v.Reason != c.shown || !strings.Contains(steps(v), " ✗ "+rules()[c.word]+": ") {
			t.Errorf("%s: %s %q:%s", c.state, v.State, v.Reason, steps(v))
		}
	}
	if desk.heard != 6 {
		t.Errorf("the desk heard %d of 6 reports", desk.heard)
	}
}

type reports struct{ heard int }

func (r *reports) Settled(store.Tx, message.Report) error { r.heard++; return nil }

// A mail that goes its way leaves nothing but the decision.
func TestUnsentKeepsNothingOfWhatIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ledger := NewUnsent(&reports{})
	w.update(func(tx store.Tx) error {
		for _, state := range []string{"queued", "deferred", "held", "sent"} {
			if err := ledger.Settled(tx, message.Report{Parcel: "out_1", State: state}); err != nil {
				return err
			}
		}
		row, err := unsentTable().First(tx, store.Query{})
		if row != nil {
			t.Errorf("kept %+v", row)
		}
		return err
	})
}

// An agent is one person, whichever address is asked for: the mail he got
// counts, not the one he did not get twice.
func TestHistoryOfOnePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	k.CCs[0].Address = "otto@home.example"
	w.put("public_message", k, w.add(k, ticketing.Message{}, annasMail))
	w.tell()
	var got []string
	for _, x := range w.list(HistoryFilter{To: "OTTO@staff.example"}) {
		got = append(got, x.Recipient+" "+x.Role+" "+x.State+" "+x.Reason)
	}
	slices.Sort(got)
	if want := []string{"otto@home.example cc sent ", "otto@staff.example agent suppressed " + notTwice}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, address := range []string{"otto@home.example", "otto@staff.example"} {
		if v := w.why(w.history("all"), k.Number, address, ""); v.State != StateSent || v.Found.Recipient != "otto@home.example" {
			t.Errorf("%s: %s", address, steps(v))
		}
	}
}

// Notices about no ticket are kept too.
func TestHistoryWithoutTicket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := &ticketing.Ticket{Queue: "support"}
	w.put(ticketing.EventHeldDigest, k, nil, func(n *ticketing.Notice) {
		n.Held = &ticketing.HeldDigest{Counts: []ticketing.HeldCount{{Reason: "unproven", Count: 1}}}
		n.Audience = []ticketing.Recipient{{Role: "lead", Agent: "ada", Address: "ada@staff.example"}, {Role: "lead", Agent: "gone", Address: "gone@staff.example"}}
	})
	w.tell()
	list := w.list(HistoryFilter{Event: ticketing.EventHeldDigest})
	if len(list) != 2 || list[0].Letter != "held-digest" || list[0].State != StateSent || list[0].Ticket != 0 || list[0].Queue != "support" || list[1].Reason != notConfigured {
		t.Fatalf("%+v", list)
	}
	one, err := w.history("all").Get(context.Background(), list[1].ID)
	if err != nil || one.Recipient != "gone@staff.example" {
		t.Errorf("%+v %v", one, err)
	}
	for _, id := range []string{"", "ntf_", "ntf_0_x.1", "ntf_zzzzzzzzzzzzzzzzzzz_x.1", list[0].ID + "9", strings.TrimSuffix(list[0].ID, "1") + "0", strings.TrimSuffix(list[0].ID, "1") + "-1"} {
		if _, err := w.history().Get(context.Background(), id); ticketing.KindOf(err) != ticketing.Unknown {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// Who stands in no row is judged by what holds now, and told so.
func TestWhyByWhatHoldsNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	ask := func(to, event, reason, words string) {
		t.Helper()
		v := w.why(w.history("all"), k.Number, to, event)
		if !v.Present || v.Found != nil || v.State != StateSuppressed || v.Reason != reason || !strings.Contains(steps(v), words) {
			t.Errorf("%s: present %v, %q:%s", to, v.Present, v.Reason, steps(v))
		}
	}
	ask("anna@customer.example", "", notDecided, "nothing has happened in ticket 1000")
	k.MessageCount = 1
	w.add(k, ticketing.Message{}, annasMail)
	ask("eve@x.example", "", notPart, "eve@x.example takes no part in ticket 1000")
	ask("fred@elsewhere.example", "", notPart, "takes no part")
	ask("otto@home.example", "", notDecided, "✓ otto is agent ✗ nothing that holds now stands against him")
	ask("bo@customer.example", "reminder", notDecided, `no event "reminder"`)
	w.desk.optedOut = map[string]bool{"bo@customer.example": true}
	ask("bo@customer.example", "", notWanted, "✓ bo@customer.example is cc ✗ he has opted out")
	k.MessageCount = 2
	w.add(k, ticketing.Message{}, annasMail)
	ask("anna@customer.example", "", notCauser, "✓ anna@customer.example is requester ✗ he caused this himself")
	k.MessageCount = 3
	w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example"), Visibility: "internal", Direction: "none", Kind: "note"}, annasMail)
	ask("anna@customer.example", "", notConcerned, "customers hear of public messages")
	ask("otto@staff.example", "", notCauser, "✓ otto is agent")
	if _, err := w.history().Why(context.Background(), 4711, "anna@customer.example", ""); err == nil {
		t.Error("a verdict about no ticket")
	}
	// Who asked for an acknowledgement too many, of which no notice was written.
	if w.write("zoe@customer.example") != 1 {
		t.Fatal("Zoe was not acknowledged")
	}
	k = w.ticket()
	k.Requester.Address, k.MessageCount = "zoe@customer.example", 1
	w.add(k, ticketing.Message{Author: ticketing.Author{Address: "zoe@customer.example"}, Envelope: ticketing.Envelope{From: "zoe@customer.example"}}, annasMail)
	ask("zoe@customer.example", "", overLimit+scopeAddress, "one a day for an address")
}

// Pages of any size make the same list, with and without a filter, and what
// comes in between does not shift them.
func TestHistoryPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 30 {
		w.clock.move(time.Second)
		k := w.ticket()
		w.put("public_message", k, w.add(k, ticketing.Message{}, annasMail))
		w.tell()
	}
	for _, f := range []HistoryFilter{{}, {To: "bo@customer.example"}, {To: "otto@home.example"}, {Ticket: 1007}, {Event: "public_message"}, {Event: "none"}, {Ticket: 1007, To: "ada@staff.example"}} {
		f.Limit = 1000
		var want []string
		for _, x := range w.list(f) {
			want = append(want, x.ID)
		}
		for _, f.Limit = range []int{1, 3, 7, 50} {
			var got []string
			f.Cursor = ""
			for pages := 0; ; pages++ {
				page, next, err := w.history("all").List(context.Background(), f)
				if err != nil || len(page) > f.Limit || pages > len(want)+1 {
					t.Fatal(err, len(page), pages)
				}
				for _, x := range page {
					got = append(got, x.ID)
				}
				if f.Cursor = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: %d of %d", f, len(got), len(want))
			}
		}
	}
	first, next, err := w.history("all").List(context.Background(), HistoryFilter{Limit: 2})
	if err != nil || len(first) != 2 {
		t.Fatal(first, err)
	}
	w.clock.move(time.Second)
	k := w.ticket()
	w.put("public_message", k, w.add(k, ticketing.Message{}, annasMail))
	w.tell()
	second, _, err := w.history("all").List(context.Background(), HistoryFilter{Limit: 2, Cursor: next})
	if err != nil || second[0].Ticket != first[0].Ticket || second[0].ID == first[0].ID || second[0].ID == first[1].ID {
		t.Errorf("after %s %s came %+v %v", first[0].ID, first[1].ID, second, err)
	}
	for _, cursor := range []string{"!", "AA==", strings.Repeat("A", 5000)} {
		if _, _, err := w.history().List(context.Background(), HistoryFilter{Cursor: cursor}); err != ErrHistoryCursor {
			t.Errorf("cursor %.10q: %v", cursor, err)
		}
	}
}

// historyAgrees checks that each mail in the outbox is in exactly one decision,
// and that no notice has two rows.
func historyAgrees(t *testing.T, w *world) {
	t.Helper()
	parcels, notices := map[string]int{}, map[string]int{}
	err := w.db.View(context.Background(), func(r store.Reader) error {
		for row, err := range historyTable().Scan(r, store.Query{}) {
			if err != nil {
				return err
			}
			notices[row.ID]++
			for _, d := range row.Decisions {
				if d.Parcel != "" {
					parcels[d.Parcel]++
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for _, s := range w.sent() {
		want[s.ID] = 1
	}
	if !maps.Equal(parcels, want) {
		t.Errorf("the history has mails %v, the outbox %v", parcels, want)
	}
	for notice, rows := range notices {
		if rows != 1 {
			t.Errorf("notice %s has %d rows", notice, rows)
		}
	}
	if len(notices) == 0 {
		t.Error("the history is empty")
	}
}
