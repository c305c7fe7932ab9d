package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// The bands share 8:3:1 while all of them have work, new mail and retries take
// turns inside a band, and so do destinations.
func TestFairShares(t *testing.T) {
	t.Parallel()
	var order []string
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		order = append(order, tr.To[0])
		return takes(accepted)(ctx, tr)
	}), func(o *Options) { o.PerDestination = 1 })
	for i := range 400 {
		for _, class := range []string{"bulk", "notification", "reply"} { // the worst order to come in
			b.submit(fmt.Sprintf("%s%03d", class, i), class+"@busy.example", func(o *message.Outbound) { o.Class = class })
		}
	}
	b.submit("small", "reply@small.example")
	b.work()
	count := map[string]int{}
	for i, to := range order {
		class, _, _ := strings.Cut(to, "@")
		count[class]++
		if i+1 == 12*batchSize {
			if count["reply"] < 8*batchSize-batchSize || count["bulk"] > 2*batchSize || count["notification"] < 2*batchSize {
				t.Errorf("of the first %d: %v", i+1, count)
			}
		}
		if to == "reply@small.example" && i > 2*batchSize {
			t.Errorf("the small destination had its turn after %d", i)
		}
	}
	if len(order) != 1201 {
		t.Errorf("%d delivered", len(order))
	}
}

func TestNewMailAndRetriesTakeTurns(t *testing.T) {
	t.Parallel()
	first := true
	var order []bool
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		if first {
			return busyNow
		}
		order = append(order, strings.HasPrefix(tr.To[0], "old"))
		return takes(accepted)(ctx, tr)
	}), func(o *Options) { o.PerDestination = 1 })
	for i := range 10 * batchSize {
		b.submit(fmt.Sprint("old", i), fmt.Sprintf("old%d@customer.example", i))
	}
	b.work()
	first = false
	b.clk.move(2 * time.Minute)
	for i := range 10 * batchSize {
		b.submit(fmt.Sprint("new", i), fmt.Sprintf("new%d@customer.example", i))
	}
	b.work()
	old := 0
	for _, o := range order[:8*batchSize] {
		if o {
			old++
		}
	}
	if old != 4*batchSize {
		t.Errorf("%d retries among the first %d", old, 8*batchSize)
	}
}

// A large backlog for a destination that hangs, and for one that is dead, does
// not delay the mail for another by more than a moment; and only a bounded part
// of it is in memory.
func TestBacklogDelaysNobody(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	delay := map[string]time.Duration{}
	due := map[string]time.Time{}
	inBubble(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		switch tr.Destination {
		case "hangs.example":
			select {
			case <-time.After(5 * time.Minute):
			case <-ctx.Done():
			}
			return courier.Result{Phase: courier.PhaseGreeting, Text: "timed out"}
		case "dead.example":
			return unreachable
		}
		mu.Lock()
		delay[tr.To[0]] = time.Since(due[tr.To[0]])
		mu.Unlock()
		return takes(accepted)(ctx, tr)
	}), func(o *Options) { o.Workers, o.Drain = 40, time.Second }, func(t *testing.T, b *bench) {
		b.update(func(tx store.Tx) error {
			for i := range 3000 {
				o, err := b.outbound(tx, fmt.Sprint("out_", i), fmt.Sprintf("x@%s.example", []string{"hangs", "dead"}[i%2]))
				if err != nil {
					return err
				}
				if err := b.q.Submit(tx, o); err != nil {
					return err
				}
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.q.Run(ctx) }()
		for i := range 60 {
			time.Sleep(time.Second)
			to := fmt.Sprintf("x%d@well%d.example", i, i%3)
			mu.Lock()
			due[to] = time.Now()
			mu.Unlock()
			b.submit(to, to, func(o *message.Outbound) { o.Class = "bulk" })
			b.q.mu.Lock()
			if n := b.q.sched.window; n > 2*perDest+3*batchSize {
				t.Errorf("%d parcels are in memory", n)
			}
			b.q.mu.Unlock()
		}
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		worst := time.Duration(0)
		for _, d := range delay {
			worst = max(worst, d)
		}
		if len(delay) != 60 || worst > time.Second {
			t.Errorf("%d of 60 delivered, the slowest after %s", len(delay), worst)
		}
	})
}

// The window opens with every window's worth of mail taken, and closes again
// with failures; a dead site is probed by one worker at growing intervals.
func TestWindow(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	s := &site{name: "mx/x", window: startWindow, limit: 10, provider: otherProvider}
	taken := func(n int) {
		for range n {
			b.q.feedback(s, accepted, b.clk.now())
		}
	}
	for want, n := range map[int]int{2: 0, 3: 2, 4: 5, 10: 54} {
		s.window, s.gain = startWindow, 0
		if taken(n); s.window != want {
			t.Errorf("after %d mails the window is %d, want %d", n, s.window, want)
		}
	}
	s.window = 10
	b.q.feedback(s, unreachable, b.clk.now())
	if s.failures != 0 || s.window != 10 {
		t.Errorf("one failure of ten: %+v", s)
	}
	for range 60 {
		if s.failures == 0 {
			b.q.feedback(s, unreachable, b.clk.now())
		}
	}
	if s.failures != 1 || s.room() != 1 {
		t.Errorf("dead: %+v", s)
	}
	s.until = time.Time{}
	s.failures = 0
	var waits []time.Duration
	b.q.o.Retry = DefaultRetry()
	for range 8 {
		b.q.feedback(s, courier.Result{Class: courier.SiteScoped, Code: 421}, b.clk.now())
		b.q.feedback(s, courier.Result{Class: courier.SiteScoped, Code: 421}, b.clk.now()) // a second worker, the same pause
		waits = append(waits, s.until.Sub(b.clk.now()))
		b.clk.move(s.until.Sub(b.clk.now()))
	}
	for i, w := range waits {
		want := min(time.Hour, time.Minute<<i)
		if w < want*8/10 || w > want*12/10 {
			t.Errorf("pause %d lasts %s, want about %s", i+1, w, want)
		}
	}
	if taken(1); s.failures != 0 || !s.until.IsZero() || s.window != startWindow {
		t.Errorf("after a success: %+v", s)
	}
}

// Each scope's budget holds mail back without counting attempts, and is kept
// over a restart.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, scope := range append(Scopes(), "queue/support", "domain/customer.example", "provider/google") {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			var c Carrier = hosted{takes(accepted)}
			if scope == ScopeAccount {
				c = relayed{takes(accepted)}
			}
			domain := "customer.example"
			if strings.HasPrefix(scope, ScopeProvider) {
				domain = "hosted1.example"
			}
			b := setup(t, c, func(o *Options) { o.Rates = map[string]Rate{scope: {Count: 6, Per: time.Minute, Burst: 2}} })
			if strings.HasPrefix(scope, ScopeProvider) {
				if scope == ScopeProvider { // any other would do
					b.q.o.Providers = DefaultProviders()
				}
			}
			for i := range 5 {
				b.submit(fmt.Sprint("out_", i), fmt.Sprintf("x%d@%s", i, domain))
			}
			sent := func() (n int) {
				for i := range 5 {
					if lastState(b, fmt.Sprint("out_", i)) == "sent" {
						n++
					}
				}
				return n
			}
			b.work()
			if n := sent(); n != 2 {
				t.Fatalf("%d sent at once, want 2", n)
			}
			if err := b.q.save(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			q, err := New(func() Options { o := b.q.o; o.Registerer = nil; return o }())
			if err == nil {
				err = q.open(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			b.q = q
			b.work()
			if n := sent(); n != 2 {
				t.Errorf("%d sent after a restart, want 2", n)
			}
			for want := 3; want <= 5; want++ {
				b.clk.move(10 * time.Second)
				if b.work(); sent() != want {
					t.Errorf("%d sent, want %d", sent(), want)
				}
			}
			for i := range 5 {
				r := b.ledger.of(t, b.db, fmt.Sprint("out_", i))
				if states(r) != "queued sent" || r[1].Attempts != 1 {
					t.Errorf("%s after %d attempts", states(r), r[1].Attempts)
				}
			}
			b.sound("the end")
			b.clk.move(time.Hour)
			if _, drop := b.q.changed(); len(drop) == 0 {
				t.Error("a full budget is kept for ever")
			}
		})
	}
}

// A full queue makes bulk mail wait, and then takes nothing more.
func TestAdmission(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted), func(o *Options) { o.SoftLimit, o.HardLimit = 2, 4 })
	bulk := func(o *message.Outbound) { o.Class = "bulk" }
	b.submit("a", "x@customer.example", bulk)
	b.submit("b", "x@customer.example", bulk)
	b.submit("c", "x@customer.example", bulk)
	b.submit("d", "x@customer.example")
	if p := b.get("c"); p.State != Scheduled || p.Next.Sub(start) != time.Hour {
		t.Errorf("bulk mail at the soft limit: %s, %s", p.State, p.Next)
	}
	b.expect("a reply at the soft limit", "d", "queued", Ready)
	err := b.db.Update(t.Context(), func(tx store.Tx) error {
		o, err := b.outbound(tx, "e", "x@customer.example")
		if err != nil {
			return err
		}
		return b.q.Submit(tx, o)
	})
	if !errors.Is(err, ErrBusy) {
		t.Errorf("at the hard limit: %v", err)
	}
	if err := b.q.Room(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("room at the hard limit: %v", err)
	}
	b.work()
	if err := b.q.Room(t.Context()); err != nil {
		t.Errorf("room below it: %v", err)
	}
	b.submit("e", "x@customer.example")
	b.clk.move(time.Hour)
	b.work()
	if a, err := b.q.Verify(t.Context()); err != nil || a.Parcels+a.Counted != 0 {
		t.Errorf("%+v, %v", a, err)
	}
}

// More destinations than fit into memory all get their turn, dead ones in
// between notwithstanding.
func TestManyDestinations(t *testing.T) {
	t.Parallel()
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		if strings.HasPrefix(tr.Destination, "dead") {
			return unreachable
		}
		return takes(accepted)(ctx, tr)
	}), func(o *Options) { o.Workers = 400 })
	const n = maxDests + 500
	b.update(func(tx store.Tx) error {
		for i := range n {
			o, err := b.outbound(tx, fmt.Sprint("out_", i), fmt.Sprintf("x@%s%d.example", []string{"dead", "well", "well"}[i%3], i))
			if err != nil {
				return err
			}
			if err := b.q.Submit(tx, o); err != nil {
				return err
			}
		}
		return nil
	})
	for range 4 {
		b.work()
		b.clk.move(10 * time.Second)
	}
	left := 0
	if err := b.q.each(t.Context(), 2*n, func(p *row) {
		if left++; strings.Contains(p.To, "well") || p.Attempts != 1 {
			t.Errorf("%s has %d attempts", p.To, p.Attempts)
		}
	}); err != nil || left != (n+2)/3 {
		t.Errorf("%d left, %v", left, err)
	}
	if len(b.q.sched.dests) > maxDests {
		t.Errorf("%d destinations in memory", len(b.q.sched.dests))
	}
	b.sound("the end")
}

// The carrier is told how many mails a provider wants over one connection; who
// is nobody's has no wish.
func TestMailsPerConnection(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told := map[string]int{}
	b := setup(t, hosted{func(ctx context.Context, t courier.Transaction) courier.Result {
		mu.Lock()
		told[t.Destination] = t.Messages
		mu.Unlock()
		return takes(accepted)(ctx, t)
	}}, func(o *Options) { o.Providers = DefaultProviders() })
	b.submit("out_1", "x@hosted1.example")
	b.submit("out_2", "x@customer.example")
	b.work()
	mu.Lock()
	defer mu.Unlock()
	if want := map[string]int{"hosted1.example": 50, "customer.example": 0}; !maps.Equal(told, want) {
		t.Errorf("%v, want %v", told, want)
	}
}

// A site that is left alone is counted until it takes mail again.
func TestPausedSites(t *testing.T) {
	t.Parallel()
	answer := courier.Result{Class: courier.SiteScoped, Code: 421, Phase: courier.PhaseGreeting}
	b := setup(t, hosted{func(ctx context.Context, t courier.Transaction) courier.Result {
		if answer.Class == courier.Success {
			return takes(answer)(ctx, t)
		}
		return answer
	}}, func(o *Options) { o.Providers = DefaultProviders() })
	b.submit("out_1", "x@hosted1.example")
	b.work()
	if n := b.q.pausedSites(); n["google"] != 1 {
		t.Errorf("refused: %v", n)
	}
	answer = accepted
	b.clk.move(2 * time.Hour)
	b.work()
	if n := b.q.pausedSites(); n["google"] != 0 {
		t.Errorf("accepted: %v, %s", n, lastState(b, "out_1"))
	}
}

// New connections to a set of servers have a budget of their own. Mail for which
// there is none is not tried and waits; mail over a connection that is there
// goes on, and so does mail for other servers and smarthosts.
func TestNewConnections(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	dialled, idle := map[string]int{}, map[string]int{}
	b := setup(t, signposts{func(ctx context.Context, tr courier.Transaction) courier.Result {
		mu.Lock()
		defer mu.Unlock()
		server := tr.Destination + tr.Route
		if idle[server] == 0 {
			if wait := tr.Connect(); wait > 0 {
				return courier.Result{Untried: true, After: wait, Phase: courier.PhaseDial}
			}
			dialled[server]++
		} else {
			idle[server]--
		}
		return takes(accepted)(ctx, tr)
	}, nil}, func(o *Options) {
		o.Rates = map[string]Rate{
			ScopeConnections: {Count: 6, Per: time.Minute, Burst: 3}, ScopeConnections + "/mx.few.example": {Count: 1, Per: time.Minute},
			ScopeSender: {Count: 40, Per: time.Hour}, // paid once, however often a mail waits
		}
	})
	send := func(domain string, n int, with ...func(*message.Outbound)) {
		for i := range n {
			id := fmt.Sprintf("%s%d", domain, i)
			b.submit(id, "x@"+domain, with...)
		}
	}
	send("customer.example", 8)
	send("few.example", 2)
	send("reused.example", 9)
	send("desk.example", 8, relayClass("desk"))
	idle["reused.example"] = 9
	expect := func(step string, customer, few int) {
		t.Helper()
		b.work()
		b.sound(step)
		mu.Lock()
		defer mu.Unlock()
		if dialled["customer.example"] != customer || dialled["few.example"] != few || dialled["reused.example"] != 0 || dialled["desk.exampledesk"] != 8 {
			t.Errorf("%s: %v, want %d and %d", step, dialled, customer, few)
		}
	}
	expect("at once", 3, 1)
	p := b.get("customer.example7")
	if p.Attempts != 0 || len(b.ledger.of(t, b.db, p.ID)) != 1 || p.WaitsFor != waitPause && p.WaitsFor != waitRate || !strings.Contains(p.Why, "connection") && !strings.Contains(p.Why, "rate limit") {
		t.Errorf("%+v", p)
	}
	b.clk.move(9 * time.Second)
	expect("too early", 3, 1)
	b.clk.move(time.Second)
	expect("one more", 4, 1)
	if err := b.q.save(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	o := b.q.o
	o.Registerer = nil
	q, err := New(o)
	if err == nil {
		err = q.open(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	b.q = q
	expect("restarted", 4, 1)
	mu.Lock()
	idle["customer.example"] = 2
	mu.Unlock()
	b.clk.move(10 * time.Second) // the look at which it turns out that nobody has to dial
	expect("two went over connections that were there", 5, 1)
	b.clk.move(time.Minute)
	expect("the rest", 6, 2)
	if a, err := b.q.Verify(t.Context()); err != nil || a.Parcels != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if n := b.pen.n; n != 8+2+9 {
		t.Errorf("%d signatures for %d mails", n, 8+2+9)
	}
}

// While new connections have to wait, those that are there are used by as many
// workers as had one.
func TestWorkersWithoutConnections(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	s := &site{name: "mx/x", window: 8, limit: 10, active: 5}
	for want := 4; want >= 2; want-- {
		b.q.unconnected(s, 10*time.Second)
		if s.dialled != want {
			t.Errorf("%d may go on, want %d", s.dialled, want)
		}
		s.active--
	}
	d := &dest{heading: heading{domain: "customer.example"}, site: s}
	d.due[bandReply][0] = true
	gate := func() bool {
		g, _, _ := b.q.gate(d, bandReply, b.clk.now())
		return g != nil
	}
	if gate() {
		t.Error("a third worker is let in with two connections")
	}
	s.active--
	if !gate() {
		t.Error("nobody may use a connection that is there")
	}
	s.active++
	b.clk.move(11 * time.Second)
	if !gate() {
		t.Error("nobody may dial again")
	}
}

func TestConnectionRates(t *testing.T) {
	t.Parallel()
	per := func(n int) Rate { return Rate{Count: n, Per: time.Minute} }
	o := Options{Rates: map[string]Rate{ScopeConnections: per(100), ScopeConnections + "/google": per(7)}, Providers: DefaultProviders()}
	for name, want := range map[string]Rate{
		"google": per(7), "google@192.0.2.7": per(7), "orange": per(20), "yahoo": per(100), "mx.customer.example": per(100), "mx.customer.example@2001:db8::1": per(100),
	} {
		if got := o.rate(ScopeConnections, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
