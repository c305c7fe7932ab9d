package delivery

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// The waits of each class, and when it is given up, without the spread: a table
// that a mail admin can compare with their own.
func TestSchedule(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"reply":        "1m 5m 10m 20m 40m 1h 2h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h 4h; failed after 96h0m0s",
		"notification": "1m 5m 10m 20m 40m 1h 2h 4h 4h 4h 4h; failed after 24h0m0s",
		"bulk":         "1m 5m 10m 20m 40m 1h 2h 4h; failed after 12h0m0s",
	}
	for class, golden := range want {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			b := setup(t, takes(busyNow), func(o *Options) {
				o.Retry, o.Expire, o.Random = nil, 0, strings.NewReader("") // no randomness, no spread
			})
			b.submit("out_1", "anna@customer.example", func(o *message.Outbound) { o.Class = class })
			var waits []string
			for {
				b.work()
				p := b.get("out_1")
				if p == nil {
					break
				}
				wait := p.Next.Sub(b.clk.now())
				b.clk.move(wait)
				if b.clk.now().Sub(start) < b.q.o.expireAfter(class) { // the last one is cut short by the end
					waits = append(waits, short(wait))
				}
			}
			got := strings.Join(waits, " ") + "; " + lastState(b, "out_1") + " after " + b.clk.now().Sub(start).String()
			if got != golden {
				t.Errorf("got  %s\nwant %s", got, golden)
			}
		})
	}
}

var busyNow = courier.Result{Class: courier.Temporary, Code: 450, Enhanced: "4.2.1", Text: "busy", Host: "mx1.customer.example", Phase: courier.PhaseRcpt}

func short(d time.Duration) string {
	s := d.String()
	for _, unit := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, unit) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func lastState(b *bench, id string) string {
	reports := b.ledger.of(b.t, b.db, id)
	return reports[len(reports)-1].State
}

// What peers wish for is done, within limits.
func TestWishes(t *testing.T) {
	t.Parallel()
	later := func(d time.Duration) courier.Result { r := busyNow; r.After = d; return r }
	grey := greylisted
	grey.Greylisted = true
	for _, tc := range []struct {
		name     string
		r        courier.Result
		min, max time.Duration
	}{
		{"in 20 minutes", later(20 * time.Minute), 20 * time.Minute, 21 * time.Minute},
		{"in a week", later(7 * 24 * time.Hour), 6 * time.Hour, 6*time.Hour + time.Minute},
		{"in a second", later(time.Second), 5 * time.Second, time.Minute},
		{"greylisted", grey, 5 * time.Minute, 5 * time.Minute},
	} {
		b := setup(t, takes(tc.r), func(o *Options) { o.Expire = 100 * time.Hour })
		b.submit("out_1", "anna@customer.example")
		b.work()
		if d := b.get("out_1").Next.Sub(b.clk.now()); d < tc.min || d > tc.max {
			t.Errorf("%s: next attempt in %s", tc.name, d)
		}
		if tc.name != "greylisted" {
			continue
		}
		b.clk.move(5 * time.Minute)
		b.work()
		if d := b.get("out_1").Next.Sub(b.clk.now()); d < 4*time.Minute || d > 6*time.Minute { // the table's second wait, not the hint again
			t.Errorf("%s again: next attempt in %s", tc.name, d)
		}
		b.clk.move(6 * time.Minute)
		b.work()
		if d := b.get("out_1").Next.Sub(b.clk.now()); d < 48*time.Minute {
			t.Errorf("%s a third time: next attempt in %s", tc.name, d)
		}
	}
}

// Failures that are temporary until they have lasted too long.
func TestHopeless(t *testing.T) {
	t.Parallel()
	full := courier.Result{Class: courier.Temporary, Code: 552, Enhanced: "5.2.2", Text: "full", Phase: courier.PhaseRcpt}
	closed := courier.Result{Class: courier.Temporary, Code: 554, Text: "no", Host: "mx1.customer.example", Phase: courier.PhaseGreeting}
	b := setup(t, takes(full), func(o *Options) { o.Retry, o.Expire = nil, 0 })
	b.submit("out_1", "anna@customer.example")
	for b.get("out_1") != nil {
		b.work()
		b.clk.move(10 * time.Minute)
	}
	if age := b.clk.now().Sub(start); age < 24*time.Hour || age > 29*time.Hour {
		t.Errorf("a full mailbox was given up after %s", age)
	}
	b = setup(t, takes(closed), func(o *Options) { o.Retry, o.Expire = nil, 0 })
	b.submit("out_1", "anna@customer.example")
	for b.get("out_1") != nil {
		b.work()
		b.clk.move(time.Minute)
	}
	if r := b.ledger.of(t, b.db, "out_1"); states(r) != "queued deferred deferred deferred failed" {
		t.Errorf("a closed door: %s", states(r))
	}
}

// twoMX is a DNS in which every domain has two exchangers.
type twoMX struct{}

func (twoMX) LookupMX(context.Context, string) ([]*net.MX, error) {
	return []*net.MX{{Host: "mx1.customer.example.", Pref: 10}, {Host: "mx2.customer.example.", Pref: 20}}, nil
}

func (twoMX) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return []netip.Addr{map[string]netip.Addr{"mx1": netip.MustParseAddr("192.0.2.1"), "mx2": netip.MustParseAddr("192.0.2.2")}[host[:3]]}, nil
}

// doorman answers a greeting and EHLO, and says no from a step on.
func doorman(conn net.Conn, greeting, hello string) {
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n", greeting)
	in := bufio.NewScanner(conn)
	data := false
	for in.Scan() {
		answer := "250 Ok"
		switch verb, _, _ := strings.Cut(in.Text(), " "); {
		case data && verb != ".":
			continue
		case verb == "EHLO", verb == "HELO":
			answer = hello
		case verb == "DATA":
			data, answer = true, "354 go on"
		case verb == ".":
			data = false
		}
		fmt.Fprintf(conn, "%s\r\n", answer)
	}
}

// An unknown 5xx before MAIL is the server's mistake three times, and a verdict
// the fourth time. In each attempt every other exchanger of the domain is asked
// before it counts, and one that takes the mail is enough.
func TestRefusedAtTheDoor(t *testing.T) {
	t.Parallel()
	const fine, ok = "220 mx", "250 mx"
	for _, tc := range []struct {
		name           string
		one, two       [2]string // greeting and answer to EHLO of the exchangers
		states         string
		dialled        string // per attempt
		heals, attempt int    // the door opens at that attempt
	}{
		{"both at the greeting", [2]string{"554 5.3.0 never"}, [2]string{"550 nobody"}, "queued deferred deferred deferred failed", "192.0.2.1:25 192.0.2.2:25", 0, 4},
		{"both at EHLO", [2]string{fine, "550 5.5.0 never"}, [2]string{fine, "550 5.5.0 never"}, "queued deferred deferred deferred failed", "192.0.2.1:25 192.0.2.2:25", 0, 4},
		{"only the first", [2]string{"554 5.3.0 never"}, [2]string{fine, ok}, "queued sent", "192.0.2.1:25 192.0.2.2:25", 0, 1},
		{"the third time was not the last", [2]string{"554 5.3.0 never"}, [2]string{"554 5.3.0 never"}, "queued deferred deferred deferred sent", "192.0.2.1:25 192.0.2.2:25", 4, 4},
		{"a 4xx counts for nothing", [2]string{"554 5.3.0 never"}, [2]string{"450 4.3.0 later"}, "queued deferred deferred deferred deferred deferred", "192.0.2.1:25 192.0.2.2:25", 0, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := (*bench)(nil)
			var dialled []string
			attempt := 1
			c, err := courier.New(courier.Options{
				Hostname: "mail.help.example", Resolver: twoMX{}, Now: time.Now, Random: rand.NewChaCha8([32]byte{1}),
				Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
					dialled = append(dialled, addr)
					says := map[string][2]string{"192.0.2.1:25": tc.one, "192.0.2.2:25": tc.two}[addr]
					if attempt == tc.heals {
						says = [2]string{fine, ok}
					}
					mine, theirs := net.Pipe()
					go doorman(theirs, says[0], says[1])
					return mine, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close(context.Background())
			b = setup(t, c, func(o *Options) { o.Retry, o.Expire = []time.Duration{time.Minute}, 1000*time.Hour })
			b.submit("out_1", "anna@customer.example")
			for ; attempt <= tc.attempt; attempt++ {
				dialled = nil
				b.work()
				want := tc.dialled
				if attempt == tc.heals {
					want = "192.0.2.1:25"
				}
				if got := strings.Join(dialled, " "); got != want {
					t.Errorf("attempt %d asked %q, want %q", attempt, got, want)
				}
				b.clk.move(10 * time.Minute)
			}
			if r := b.ledger.of(t, b.db, "out_1"); states(r) != tc.states {
				t.Errorf("%s, want %s", states(r), tc.states)
			}
		})
	}
}

// A site that refuses us is left alone, with everything for it, and so are
// other domains on the same servers; nobody else is.
func TestSiteIsPaused(t *testing.T) {
	t.Parallel()
	tries := map[string]int{}
	b := setup(t, hosted{carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		tries[tr.Destination]++
		if strings.HasPrefix(tr.Destination, "hosted") && tries["hosted1.example"] == 1 {
			return courier.Result{Class: courier.SiteScoped, Code: 421, Enhanced: "4.7.28", Text: "unusual rate", Host: "aspmx.l.google.com", Phase: courier.PhaseMail, After: 3 * time.Minute}
		}
		return takes(accepted)(ctx, tr)
	})})
	b.submit("a", "x@hosted1.example")
	b.work()
	b.submit("b", "x@hosted1.example")
	b.submit("c", "x@hosted2.example")
	b.submit("d", "x@other.example")
	b.work()
	b.expect("refused", "a", "queued deferred", Deferred)
	b.expect("spared", "b", "queued", Ready)
	b.expect("the same servers", "c", "queued", Ready)
	b.expect("others", "d", "queued sent", "")
	if p := b.get("c"); p.WaitsFor != waitPause || !strings.Contains(p.Why, "unusual rate") {
		t.Errorf("%s: %s", p.WaitsFor, p.Why)
	}
	if s := b.q.Sites(); len(s) != 1 || s[0].Name != "mx/google" || s[0].Failures != 1 || s[0].Held {
		t.Errorf("%+v", s)
	}
	b.clk.move(2 * time.Minute) // less than it asked for
	b.work()
	if tries["hosted1.example"]+tries["hosted2.example"] != 1 {
		t.Errorf("tried too early: %v", tries)
	}
	b.clk.move(90 * time.Second)
	tries["hosted1.example"] = 5
	b.work()
	for _, id := range []string{"a", "b", "c"} {
		if p := b.get(id); p != nil {
			t.Errorf("%s: %s", id, p.Why)
		}
	}
	if s := b.q.Sites(); len(s) != 0 {
		t.Errorf("%+v", s)
	}
	b.sound("the end")
}

// A smarthost that refuses our account is held with everything that goes by it:
// nothing fails, however long it lasts, and one alert is raised.
func TestRouteIsHeld(t *testing.T) {
	t.Parallel()
	fixed, tries := false, 0
	b := setup(t, relayed{carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		tries++
		if !fixed {
			return courier.Result{Class: courier.SenderScoped, Code: 535, Enhanced: "5.7.8", Text: "bad credentials", Host: "relay.example", Route: "relay.example", Phase: courier.PhaseHello}
		}
		return takes(accepted)(ctx, tr)
	})})
	for i := range 30 {
		b.submit(fmt.Sprint("out_", i), fmt.Sprintf("x@d%d.example", i))
	}
	for range 10 * 24 {
		b.work()
		b.clk.move(time.Hour)
	}
	if tries > 10*24+10 {
		t.Errorf("%d attempts in ten days", tries)
	}
	for i := range 30 {
		if r := b.ledger.of(t, b.db, fmt.Sprint("out_", i)); lastState(b, fmt.Sprint("out_", i)) == "failed" {
			t.Fatalf("failed for our own fault: %s", states(r))
		}
	}
	if n := testutil.ToFloat64(b.q.met.alerts); n != 1 {
		t.Errorf("%v alerts", n)
	}
	if s := b.q.Sites(); len(s) != 1 || !s[0].Held || s[0].Name != "route/relay.example" {
		t.Errorf("%+v", s)
	}
	fixed = true
	if !b.q.Forgive("route/relay.example") || b.q.Forgive("route/relay.example") {
		t.Error("forgiven once")
	}
	for range 4 {
		b.work()
		b.clk.move(2 * time.Hour)
	}
	if left, _, _ := b.q.List(t.Context(), Filter{}); len(left) > 0 {
		t.Errorf("%d left: %s", len(left), left[0].Why)
	}
	b.sound("the end")
}

// A receiver that refuses our domain as a sender holds that domain's mail and
// nobody else's, and fails nothing.
func TestSenderIsHeld(t *testing.T) {
	t.Parallel()
	tries := map[string]int{}
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		tries[tr.From]++
		if tr.From == "a@broken.example" {
			return courier.Result{Class: courier.SenderScoped, Code: 550, Enhanced: "5.7.26", Text: "DMARC", Host: "mx1.customer.example", Phase: courier.PhaseDot}
		}
		return takes(accepted)(ctx, tr)
	}))
	for i := range 5 {
		b.submit(fmt.Sprint("bad", i), fmt.Sprintf("x@d%d.example", i), func(o *message.Outbound) { o.From, o.Domain = "a@broken.example", "broken.example" })
		b.submit(fmt.Sprint("good", i), fmt.Sprintf("x@d%d.example", i))
	}
	for range 24 {
		b.work()
		b.clk.move(time.Hour)
	}
	for i := range 5 {
		if state := lastState(b, fmt.Sprint("good", i)); state != "sent" {
			t.Errorf("good mail: %s", state)
		}
		if p := b.get(fmt.Sprint("bad", i)); p == nil {
			t.Error("bad mail has gone")
		}
	}
	if n := testutil.ToFloat64(b.q.met.alerts); n != 1 || tries["a@broken.example"] > 30 {
		t.Errorf("%v alerts, %d attempts", n, tries["a@broken.example"])
	}
	b.sound("held")
}

// What never gets its turn is told to its ticket after an hour and a day, and
// given up at the end of its life.
func TestNeverItsTurn(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(unreachable), func(o *Options) { o.Retry, o.Expire, o.PerDestination = nil, 0, 1 })
	for i := range 40 {
		b.submit(fmt.Sprintf("out_%02d", i), "x@dead.example")
	}
	last := "out_39"
	told := map[time.Duration]time.Duration{}
	for b.get(last) != nil && b.clk.now().Sub(start) < 120*time.Hour {
		b.work()
		if _, err := b.q.walkOn(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		b.clk.move(20 * time.Minute)
		for _, r := range b.ledger.of(t, b.db, last) {
			if r.Delayed > 0 && told[r.Delayed] == 0 {
				told[r.Delayed] = r.At.Sub(start)
			}
		}
	}
	if told[time.Hour] < time.Hour || told[time.Hour] > 2*time.Hour || told[24*time.Hour] < 24*time.Hour || told[24*time.Hour] > 25*time.Hour || len(told) != 2 {
		t.Errorf("told after %v", told)
	}
	reports := b.ledger.of(t, b.db, last)
	end := reports[len(reports)-1]
	if age := end.At.Sub(start); end.State != "failed" || age < 96*time.Hour || age > 97*time.Hour || !strings.Contains(end.Text, "timed out") {
		t.Errorf("after %s: %+v", age, end)
	}
	b.sound("given up")
}

// A parcel that has lost its job gets it back.
func TestLostJobComesBack(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	b.submit("out_1", "anna@customer.example")
	b.update(func(tx store.Tx) error {
		_, err := b.agenda.Remove(tx, laneOf(heading{domain: "customer.example"}, bandReply, false), "out_1")
		return err
	})
	if a, err := b.q.Verify(t.Context()); err != nil || len(a.Findings) != 1 || !strings.Contains(a.Findings[0], "has no job") {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := b.q.walkOn(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.work()
	b.expect("restored", "out_1", "queued sent", "")
}
