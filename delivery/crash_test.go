package delivery

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// world is what is true outside of us: which mails the peers have got.
type world struct {
	mu      sync.Mutex
	got     map[string]int             // dots a peer has seen, by recipient
	bytes   map[string]map[string]bool // contents that came with them
	answers map[string]int             // attempts by recipient, to make some fail first
}

func newWorld() *world {
	return &world{got: map[string]int{}, bytes: map[string]map[string]bool{}, answers: map[string]int{}}
}

func (w *world) clone() *world {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &world{got: maps.Clone(w.got), bytes: map[string]map[string]bool{}, answers: maps.Clone(w.answers)}
	for k, v := range w.bytes {
		c.bytes[k] = maps.Clone(v)
	}
	return c
}

// peer returns a carrier into the world; step is called at every step that a
// power failure could come between.
func (w *world) peer(t *testing.T, step func()) carry {
	return func(ctx context.Context, tr courier.Transaction) courier.Result {
		step() // dialling
		to := tr.To[0]
		w.mu.Lock()
		w.answers[to]++
		first := w.answers[to] == 1
		w.mu.Unlock()
		if first && to[0] == 'g' {
			return greylisted
		}
		text, err := content(tr)
		if err != nil {
			t.Error(err)
		}
		step() // in the content
		if err := tr.OnDot(ctx); err != nil {
			return courier.Result{Phase: courier.PhaseBody, Err: err}
		}
		step() // between mark and dot
		w.mu.Lock()
		w.got[to]++
		if w.bytes[to] == nil {
			w.bytes[to] = map[string]bool{}
		}
		w.bytes[to][text] = true
		w.mu.Unlock()
		step() // between dot and answer
		return accepted
	}
}

// breaker calls step around and inside every transaction.
type breaker struct {
	store.DB
	step func()
}

func (b breaker) Update(ctx context.Context, fn func(store.Tx) error) error {
	err := b.DB.Update(ctx, func(tx store.Tx) error {
		err := fn(tx)
		b.step()
		return err
	})
	b.step()
	return err
}

type plug struct {
	disk  *vfs.MemFS
	acked []string // submissions answered
	world *world
}

// Power fails at every step of a small program of deliveries. On the next
// start no answered submission is lost: each ends as sent, reached its peer at
// least once and always with the same bytes, and more than once only if the
// peer had the dot before the failure.
func TestPowerFailure(t *testing.T) {
	t.Parallel()
	clk := &clock{t: start}
	c := storetest.OpenCrashable(t, clk.now)
	w := newWorld()
	var mu sync.Mutex
	var plugs []plug
	var acked []string
	seed := uint64(0)
	step := func() {
		mu.Lock()
		defer mu.Unlock()
		seed++
		// The world first: a dot that comes between is one more reason for a
		// duplicate, never one less.
		before := w.clone()
		plugs = append(plugs, plug{c.Disk([]int{0, 50, 100}[seed%3], seed), append([]string(nil), acked...), before})
	}
	b := setupOn(t, breaker{c.DB, step}, clk, w.peer(t, step), func(o *Options) { o.PerDestination = 1 })
	for i := range 6 {
		to := fmt.Sprintf("%c%d@d%d.example", "ag"[i%2], i, i%2)
		b.submit(to, to)
		mu.Lock()
		acked = append(acked, to)
		mu.Unlock()
		if i%2 == 1 {
			b.work()
			clk.move(30 * time.Second)
		}
	}
	clk.move(2 * time.Minute)
	b.work()
	if len(plugs) < 80 {
		t.Fatalf("only %d failures, the test has lost its teeth", len(plugs))
	}
	clk.move(time.Hour)
	twice, ambiguous := 0, 0
	for _, p := range plugs {
		d, a := afterwards(t, c.Reopen(p.disk).DB, clk, p)
		twice += d
		ambiguous += a
	}
	if twice == 0 || ambiguous < twice {
		t.Errorf("%d duplicates, %d ambiguous: the test has lost its teeth, or the queue its memory", twice, ambiguous)
	}
	t.Logf("%d failures, %d duplicates, %d ambiguous", len(plugs), twice, ambiguous)
}

// afterwards starts again on what is left and returns how many mails arrived
// twice, and how many the queue said might.
func afterwards(t *testing.T, db store.DB, clk *clock, p plug) (twice, ambiguous int) {
	t.Helper()
	w := p.world.clone()
	b := setupOn(t, db, clk, w.peer(t, func() {}), func(o *Options) { o.Expire = 1e6 * time.Hour })
	b.pen.n = 100 // a new signature would differ
	if err := b.q.recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.sound("recovered")
	left := 0
	if err := b.q.each(context.Background(), 1000, func(p *row) {
		left++
		if p.Phase != "" {
			t.Errorf("%s is still in flight", p.ID)
		}
		ambiguous += p.Ambiguous
	}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		b.work()
		clk.move(2 * time.Hour)
	}
	for _, to := range p.acked {
		reports := b.ledger.of(t, db, to)
		if len(reports) == 0 || reports[len(reports)-1].State != "sent" || b.get(to) != nil {
			t.Errorf("%s ended as %q", to, states(reports))
		}
		if w.got[to] == 0 {
			t.Errorf("%s never arrived", to)
		}
	}
	for to, n := range w.got {
		if n > 1 {
			twice++
			if p.world.got[to] == 0 {
				t.Errorf("%s arrived %d times, and had not before the failure", to, n)
			}
		}
		if n > 2 || len(w.bytes[to]) != 1 {
			t.Errorf("%s arrived %d times in %d versions", to, n, len(w.bytes[to]))
		}
	}
	return twice, ambiguous
}

// leave is a grant that the scheduler knows nothing of.
func leave(domain string) *grant {
	return &grant{dest: &dest{heading: heading{domain: domain}}, site: &site{name: "domain/" + domain, window: 1, limit: 1}, label: otherProvider, n: 1}
}

// A worker whose lease lapsed and was taken over cannot send its dot, and its
// outcome does not count.
func TestOvertakenWorker(t *testing.T) {
	t.Parallel()
	var b *bench
	depth, dots := 0, 0
	b = setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		depth++
		if depth == 1 {
			b.clk.move(2 * time.Hour) // longer than the lease
			claims, err := b.q.claim(ctx, "mail/customer.example/reply", 1)
			if err != nil || len(claims) != 1 {
				t.Fatal(claims, err)
			}
			b.q.work(ctx, ctx, leave("customer.example"), claims)
		}
		if err := tr.OnDot(ctx); err != nil {
			return courier.Result{Phase: courier.PhaseBody, Err: err}
		}
		dots++
		return accepted
	}))
	b.submit("out_1", "anna@customer.example")
	b.work()
	b.expect("delivered once", "out_1", "queued sent", "")
	if depth != 2 || dots != 1 {
		t.Errorf("%d workers, %d dots", depth, dots)
	}
	b.sound("delivered")
}

// While the other worker is still at it, the late one may neither send its dot
// nor write its outcome.
func TestLateWorkerIsFenced(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	b.submit("out_1", "anna@customer.example")
	ctx := t.Context()
	late, err := b.q.claim(ctx, "mail/customer.example/reply", 1)
	if err != nil || len(late) != 1 {
		t.Fatal(late, err)
	}
	b.clk.move(2 * time.Hour)
	mine, err := b.q.claim(ctx, "mail/customer.example/reply", 1)
	if err != nil || len(mine) != 1 {
		t.Fatal(mine, err)
	}
	if err := b.q.markDot(ctx, late[0], nil); err == nil {
		t.Error("the late worker may send its dot")
	}
	b.q.settle(leave("customer.example"), late[0], unknown, nil, 0)
	b.expect("the late outcome", "out_1", "queued", Active)
	b.q.settle(leave("customer.example"), mine[0], accepted, nil, 0)
	b.expect("the owner's outcome", "out_1", "queued sent", "")
}
