package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/ticketing"
)

// toldAbout is how many mails an address got that are no acknowledgements.
func (w *world) toldAbout(address string) (n int) {
	w.t.Helper()
	for _, s := range w.sent() {
		if s.To == address && s.Class != "autoack" {
			n++
		}
	}
	return n
}

// talk has Anna write again on a ticket.
func (w *world) talk(k *ticketing.Ticket) {
	w.t.Helper()
	m := w.add(k, ticketing.Message{}, annasMail)
	w.put("public_message", k, m)
	w.tell()
}

// Two robots on one ticket that answer everything keep us copying for a while,
// not for ever.
func TestCopiesOfOneTicketAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.ticket()
	w.desk.queues["support"].Agents = []string{"otto"}
	for range 60 {
		w.talk(k)
	}
	got, staff := w.toldAbout("bo@customer.example"), w.toldAbout("otto@staff.example")
	// The first ten need no bucket; then comes a bucket of ten.
	if got != 20 || staff != 60 {
		t.Errorf("Bo has %d copies, want 20; Otto %d, want 60", got, staff)
	}
	if n := w.toldAbout(w.desk.admin); n != 1 {
		t.Errorf("the administrator was told %d times", n)
	}
	// A day of it: forty a customer, and for staff what a day refills.
	for range 24 * 4 {
		w.clock.move(15 * time.Minute)
		w.talk(k)
	}
	if got, staff = w.toldAbout("bo@customer.example"), w.toldAbout("otto@staff.example"); got > 2*40 || staff > 3*40 {
		t.Errorf("after a day Bo has %d copies and Otto %d", got, staff)
	}
	if w.pending() != 0 || len(w.desk.messages[k.Number]) != 60+24*4 {
		t.Errorf("%d notices wait, %d messages", w.pending(), len(w.desk.messages[k.Number]))
	}
	t.Logf("156 mails on one ticket in a day: %d copies to the CC, %d to the agent", got, staff)
	// What an agent writes goes out all the same.
	m := w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example"), Direction: "out"}, annasMail)
	w.put("public_message", k, m)
	w.tell()
	if w.toldAbout("bo@customer.example") != got+1 {
		t.Error("an agent's own words were withheld")
	}
}

// One address gets forty automatic mails a day, whatever they are about.
func TestRecipientBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desk.queues["support"].Agents = nil
	for range 60 {
		w.talk(w.ticket())
	}
	if got := w.toldAbout("bo@customer.example"); got != 40 {
		t.Errorf("%d copies, want 40", got)
	}
	if got := testutil.ToFloat64(w.n.withheld.WithLabelValues("recipient")); got != 20 {
		t.Errorf("%v counted as withheld, want 20", got)
	}
	w.clock.move(24 * time.Hour)
	w.talk(w.ticket())
	if again := w.toldAbout("bo@customer.example"); again != 41 {
		t.Error("a day later the bucket is full again")
	}
}

// Scenario 22: who asks for acknowledgements again and again gets one, and the
// administrator one mail that says so and repeats no word of his.
func TestWarningOfARobot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 200 {
		w.clock.move(time.Second)
		w.ask("robot@peer.example")
	}
	var warnings []sent
	acks := 0
	for _, s := range w.sent() {
		if s.Class == "autoack" {
			acks++
		}
		if s.To == w.desk.admin {
			warnings = append(warnings, s)
		}
	}
	if len(warnings) != 1 || acks != 1 {
		t.Fatalf("%d warnings and %d acknowledgements, want one each", len(warnings), acks)
	}
	s := warnings[0]
	if s.From != "" || s.Class != "notification" || s.header("Auto-Submitted") != "auto-generated" || !w.desk.keys.CheckLoopMark(s.header(ticketing.LoopHeader)) {
		t.Errorf("%+v", s.Outbound)
	}
	if text := s.mail.Text(); !strings.Contains(text, "robot@peer.example") || !strings.Contains(text, "one acknowledgement a day") {
		t.Errorf("text %s", text)
	}
	if n := strings.Count(w.log.String(), "level=WARN"); n != 0 {
		t.Errorf("%d warnings in the log: the notices were ended together", n)
	}
	// It goes on tomorrow: one acknowledgement, one warning a day.
	w.clock.move(24 * time.Hour)
	for range 50 {
		w.ask("robot@peer.example")
	}
	if got := w.toldAbout(w.desk.admin); got != 2 {
		t.Errorf("%d warnings in two days", got)
	}
	// Slower than the burst, but forty a day.
	for range 38 {
		w.clock.move(30 * time.Minute)
		w.ask("slow@peer2.example")
	}
	before := w.toldAbout(w.desk.admin)
	for range 6 {
		w.clock.move(30 * time.Minute)
		w.ask("slow@peer2.example")
	}
	if got := w.toldAbout(w.desk.admin); before != 2 || got != 3 {
		t.Errorf("%d warnings, then %d; want 2, then 3", before, got)
	}
}

// Many limits met on one day are no flood of warnings.
func TestWarningsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.acks = AckLimits{Domain: 1, Total: 10000}
	w.start()
	for i := range 30 {
		for j := range 2 {
			w.ask(fmt.Sprintf("x%d@d%d.example", j, i))
		}
	}
	if got := w.toldAbout(w.desk.admin); got != alertsDay {
		t.Errorf("%d warnings, want %d", got, alertsDay)
	}
	if got := strings.Count(w.log.String(), "level=WARN"); got != 30 || w.pending() != 0 {
		t.Errorf("%d warnings in the log, want 30; %d notices wait", got, w.pending())
	}
}

// Without an administrator, or one whose mail would come back to the desk, the
// log has to do.
func TestWarningToNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desk.admin = ""
	w.acks = AckLimits{Domain: 1}
	w.start()
	w.ask("a@peer.example")
	w.ask("b@peer.example")
	if got := len(w.sent()); got != 1 || w.pending() != 0 || !strings.Contains(w.log.String(), "withheld") {
		t.Errorf("%d mails, %d notices wait, log %s", got, w.pending(), w.log)
	}
}

// Who opted out gets no acknowledgement and no copies, and what agents write.
func TestOptedOutCustomers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desk.optedOut = map[string]bool{"anna@customer.example": true, "bo@customer.example": true}
	k := w.ticket()
	w.put("ticket_created", k, w.add(k, ticketing.Message{}, annasMail))
	w.put("public_message", k, w.add(k, ticketing.Message{}, annasMail))
	w.tell()
	for _, s := range w.sent() {
		if strings.HasSuffix(s.To, "@customer.example") {
			t.Errorf("%s got a mail of class %s", s.To, s.Class)
		}
	}
	w.put("public_message", k, w.add(k, ticketing.Message{Author: by("otto", "Otto", "otto@staff.example"), Direction: "out"}, annasMail))
	w.tell()
	if w.toldAbout("anna@customer.example") != 1 || w.toldAbout("bo@customer.example") != 1 {
		t.Error("an agent's answer did not reach those who opted out")
	}
}
