package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// The model: random programs of submissions, attempts with any result, power
// failures at any step of them, clocks that are set, restarts with another
// configuration, holds, pauses and drops. After each step the queue must be
// sound; at the end everything that was accepted has arrived or has failed on
// the record, twice only if the answer to a dot was lost, and always with the
// same bytes.
func TestModel(t *testing.T) {
	t.Parallel()
	const seeds, lanes = 1000, 4
	for lane := range lanes {
		t.Run(fmt.Sprint(lane), func(t *testing.T) {
			t.Parallel()
			crashes, twice := 0, 0
			for seed := lane; seed < seeds; seed += lanes {
				m := newModel(t, uint64(seed))
				m.run()
				m.c.DB.Close()
				crashes += m.crashes
				twice += m.twice
				if t.Failed() {
					for _, line := range m.log {
						t.Log(line)
					}
					t.Fatalf("seed %d", seed)
				}
			}
			if crashes < 50 || twice == 0 {
				t.Errorf("%d crashes, %d duplicates: the test has lost its teeth", crashes, twice)
			}
			t.Logf("%d crashes, %d duplicates", crashes, twice)
		})
	}
}

// fate is what the oracle knows of a mail.
type fate struct {
	due      time.Time // not before
	hurried  bool      // an operator said: now
	held     bool
	ended    string // the last report, once it has left the queue
	queue    string
	route    string         // that it must take
	arrived  int            // dots a peer has accepted
	excuses  int            // of these, whose answer was lost
	bytes    map[string]int // contents that came with them
	dotAsked bool           // the dot of the running attempt was sent
}

type model struct {
	t       *testing.T
	rng     *rand.Rand
	c       *storetest.Crashable
	b       *bench
	clk     *clock
	fates   map[string]*fate
	kind    bool // peers take everything
	posts   signposts
	via     map[string]string // queue → route of a measure in force
	log     []string
	crashes int
	twice   int

	mu   sync.Mutex
	fuse int // steps until the power fails; 0 = it does not
	plug *modelPlug
}

// modelPlug is the disk and the outside world at a power failure.
type modelPlug struct {
	disk  *vfs.MemFS
	fates map[string]*fate
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rng: rand.New(&shared{src: rand.NewPCG(seed, 7)}), clk: &clock{t: start}, fates: map[string]*fate{}, via: map[string]string{}}
	m.c = storetest.OpenCrashable(t, m.clk.now)
	m.build(m.c.DB)
	return m
}

// build makes a queue on db with a configuration of the day.
func (m *model) build(db store.DB) {
	m.posts = signposts{m.peer, [...]map[string]string{
		{}, {"q0": "relay"}, {"q0": "relay", "q1": "address"}, {"": "relay", "q1": "address"}, {"": "gone"},
	}[m.rng.IntN(5)]}
	m.say("routes: %v", m.posts.routes)
	m.b = setupOn(m.t, breaker{db, m.step}, m.clk, m.posts, func(o *Options) {
		o.Registerer = nil
		o.Random = rand.NewChaCha8([32]byte{byte(m.rng.Uint32())})
		o.PerDestination = 1 + m.rng.IntN(3)
		o.Expire = 1e6 * time.Hour
		o.ExpireNotice, o.ExpireBulk = o.Expire, o.Expire
		o.Retry = [][]time.Duration{{time.Minute, time.Hour}, {time.Second}, DefaultRetry()}[m.rng.IntN(3)]
		if m.rng.IntN(3) == 0 {
			o.Rates = map[string]Rate{
				[]string{"global", "domain", "queue", "sender", "connections"}[m.rng.IntN(5)]: {Count: 2, Per: time.Minute, Burst: 1 + m.rng.IntN(2)},
			}
		}
	})
	m.b.pen.n = m.rng.IntN(1 << 30) // another signature would differ
	if err := m.b.q.open(context.Background()); err != nil {
		m.t.Errorf("open: %v", err)
	}
}

// shared draws for several goroutines: the scheduler's and the workers'.
type shared struct {
	mu  sync.Mutex
	src rand.Source
}

func (s *shared) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.src.Uint64()
}

// step is called wherever the power may fail.
func (m *model) step() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fuse == 0 {
		return
	}
	if m.fuse--; m.fuse == 0 {
		fates := map[string]*fate{}
		for id, f := range m.fates {
			g := *f
			g.bytes = maps.Clone(f.bytes)
			fates[id] = &g
		}
		m.plug = &modelPlug{m.c.Disk([]int{0, 50, 100}[m.rng.IntN(3)], m.rng.Uint64()), fates}
	}
}

// peer is every other mail server.
func (m *model) peer(ctx context.Context, tr courier.Transaction) courier.Result {
	m.step()
	to := tr.To[0]
	f := m.fates[to]
	now := m.clk.now()
	m.checkWay(tr, f)
	if m.rng.IntN(2) == 0 { // no connection of an earlier mail serves
		if wait := tr.Connect(); wait > 0 {
			return courier.Result{Untried: true, After: wait}
		}
	}
	if f == nil || f.held || now.Before(f.due) && !f.hurried {
		m.t.Errorf("an attempt for %s at %s: %+v", to, now, f)
		return accepted
	}
	results := []courier.Result{
		accepted, accepted, greylisted, unknown, unreachable, lostDot,
		{Class: courier.SiteScoped, Code: 421, Enhanced: "4.7.0", Text: "too many", Host: "mx1.customer.example", Phase: courier.PhaseMail},
		{Class: courier.SenderScoped, Code: 550, Enhanced: "5.7.26", Text: "not aligned", Host: "mx1.customer.example", Phase: courier.PhaseDot},
		{Class: courier.Temporary, Code: 451, Enhanced: "4.7.1", Text: "greylisted", Phase: courier.PhaseRcpt, Greylisted: true, After: time.Duration(m.rng.IntN(400)) * time.Second},
	}
	r := results[m.rng.IntN(len(results))]
	if m.kind {
		r = accepted
	}
	r.Route = m.posts.Site(ctx, tr.Destination, m.posts.Way(tr.Queue, tr.Route)).Route
	text, err := content(tr)
	if err != nil {
		m.t.Error(err)
	}
	if r.Phase != courier.PhaseDot {
		return r
	}
	if err := tr.OnDot(ctx); err != nil {
		return courier.Result{Phase: courier.PhaseBody, Err: err}
	}
	m.step()
	m.receive(f, to, text, r)
	m.step()
	return r
}

// receive notes what came with a final dot, whole or not at all before the
// power fails elsewhere.
func (m *model) receive(f *fate, to, text string, r courier.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.bytes[text]++
	if len(f.bytes) > 1 {
		m.t.Errorf("%s was offered %d contents", to, len(f.bytes))
	}
	if r.Class == courier.Success || r.Ambiguous {
		if f.arrived++; f.arrived > 1 {
			m.twice++
			if f.arrived > 1+f.excuses {
				m.t.Errorf("%s arrived %d times with %d lost answers", to, f.arrived, f.excuses)
			}
		}
		if r.Ambiguous {
			f.excuses++
		}
	}
}

// checkWay: a mail takes the way it is to take, and the place it has is one of
// the servers it goes to.
func (m *model) checkWay(tr courier.Transaction, f *fate) {
	if f == nil {
		return
	}
	route := cmp.Or(f.route, m.via[f.queue])
	if tr.Route != route || tr.Queue != f.queue {
		m.t.Errorf("%s of %s goes by %q, want %q", tr.To[0], tr.Queue, tr.Route, route)
	}
	where := m.posts.Site(context.Background(), tr.Destination, m.posts.Way(tr.Queue, tr.Route))
	m.b.q.mu.Lock()
	defer m.b.q.mu.Unlock()
	site := siteName(where, tr.Destination)
	for name, s := range m.b.q.sites {
		if want := map[bool]int{true: 1}[name == site]; s.active != want {
			m.t.Errorf("%s goes to %s and takes %d places of %s", tr.To[0], site, s.active, name)
		}
	}
	if m.b.q.sites[site] == nil {
		m.t.Errorf("%s goes to %s, which nobody knows", tr.To[0], site)
	}
}

func (m *model) say(format string, args ...any) {
	m.log = append(m.log, m.clk.now().Format(time.DateTime)+" "+fmt.Sprintf(format, args...))
}

func (m *model) run() {
	for range 6 + m.rng.IntN(20) {
		m.op()
		m.check("a step")
		if m.t.Failed() {
			return
		}
	}
	m.finish()
}

// op is one random thing that happens.
func (m *model) op() {
	ctx := context.Background()
	id := fmt.Sprintf("p%d@d%d.example", m.rng.IntN(7), m.rng.IntN(2))
	f := m.fates[id]
	there := f != nil && f.ended == ""
	legal := func(what string, err error, want bool) {
		m.say("%s %s: %v", what, id, err)
		if want != (err == nil) {
			m.t.Errorf("%s %s: %v, want success %v", what, id, err, want)
		}
	}
	switch n := m.rng.IntN(22); {
	case n < 5:
		m.submit(id)
	case n < 8:
		m.work("work")
	case n < 10:
		m.mu.Lock()
		m.fuse = 1 + m.rng.IntN(25)
		m.mu.Unlock()
		m.work("work until the power fails")
		m.crash()
	case n < 13:
		m.clk.move(time.Duration(1+m.rng.IntN(7200)) * time.Second)
		m.say("time passes")
	case n == 13:
		d := []time.Duration{-24 * time.Hour, -time.Hour, -40 * time.Second, time.Hour, 24 * time.Hour, 5 * 24 * time.Hour}[m.rng.IntN(6)]
		m.setClock(d)
	case n == 14:
		legal("hold", m.b.q.Hold(ctx, id, "ada", "x"), there && !f.held)
		if there {
			f.held = true
		}
	case n == 15:
		legal("release", m.b.q.Release(ctx, id), there && f.held)
		if there {
			f.held = false
		}
	case n == 16:
		legal("retry", m.b.q.Retry(ctx, id), there && !f.held)
		if there && !f.held {
			f.hurried = true
		}
	case n == 17:
		legal("drop", m.b.q.Drop(ctx, id, "ada", "x"), there)
		if there {
			f.ended = "cancelled"
		}
	case n == 18:
		domain := destination(id)
		_, err := m.b.q.Pause(ctx, domain, m.clk.now().Add(time.Duration(1+m.rng.IntN(90))*time.Minute), "ada", "x")
		m.say("pause %s: %v", domain, err)
		if err != nil {
			m.t.Error(err)
		}
	case n == 19:
		m.reroute(fmt.Sprint("q", m.rng.IntN(2)))
	case n == 20:
		m.say("walk")
		for after, first := store.Key(nil), true; first || after != nil; first = false {
			var err error
			if after, err = m.b.q.walkOn(ctx, after); err != nil {
				m.t.Error(err)
			}
		}
	default:
		m.say("restart")
		if err := m.b.q.save(ctx, true); err != nil {
			m.t.Error(err)
		}
		m.build(m.c.DB)
	}
}

func (m *model) submit(id string) {
	if m.fates[id] != nil {
		return
	}
	due := m.clk.now().Add(time.Duration(max(0, m.rng.IntN(4)-2)) * time.Hour)
	class := classes()[m.rng.IntN(len(classes()))]
	f := &fate{due: due, bytes: map[string]int{}, queue: fmt.Sprint("q", m.rng.IntN(2))}
	if class == "relay" {
		f.route = []string{"", "relay", "desk"}[m.rng.IntN(3)]
	}
	m.fates[id] = f
	m.say("submit %s of %s as %s by %q for %s", id, f.queue, class, f.route, due.Format(time.TimeOnly))
	m.b.submit(id, id, func(o *message.Outbound) {
		o.Due, o.Class, o.Queue, o.Route = due, class, f.queue, f.route
		if class == "relay" {
			o.Domain = ""
		}
	})
	m.b.submit(id, id) // whoever is not sure asks twice
}

// reroute gives the mail of a queue another way, or takes that back.
func (m *model) reroute(queue string) {
	ctx := context.Background()
	measure := Measure{Kind: MeasureRoute, Queue: queue, By: "ada", Reason: "x"}
	if m.via[queue] != "" && m.rng.IntN(2) == 0 {
		m.say("no reroute of %s", queue)
		delete(m.via, queue)
		if err := m.b.q.TakeBack(ctx, measure.id()); err != nil {
			m.t.Error(err)
		}
		return
	}
	measure.Via = []string{"relay", "address", "gone"}[m.rng.IntN(3)]
	m.say("reroute %s to %s", queue, measure.Via)
	m.via[queue] = measure.Via
	if _, err := m.b.q.Decide(ctx, measure); err != nil {
		m.t.Error(err)
	}
}

func (m *model) work(what string) {
	m.say("%s", what)
	m.b.work()
	m.learn()
}

// setClock sets the wall clock, as the queue notices it while it runs.
func (m *model) setClock(d time.Duration) {
	m.say("the clock is set by %s", d)
	m.clk.set(d)
	m.b.q.watchClock(context.Background())
	for _, f := range m.fates {
		if d < 0 && f.due.After(m.clk.now()) && f.due.Sub(m.clk.now()) <= -d {
			f.hurried = true // it was due by the old clock
		}
	}
}

// crash goes on with the disk as the power failure left it.
func (m *model) crash() {
	m.mu.Lock()
	plug := m.plug
	m.plug, m.fuse = nil, 0
	m.mu.Unlock()
	if plug == nil {
		return
	}
	m.crashes++
	m.c.DB.Close()
	m.c = m.c.Reopen(plug.disk)
	m.fates = plug.fates
	m.say("the power failed")
	for id, f := range m.fates {
		if f.arrived > 0 && !m.settled(id) {
			f.excuses++
		}
	}
	m.build(m.c.DB)
	m.learn()
}

// settled reports whether the ledger has heard that a mail was sent.
func (m *model) settled(id string) bool {
	var last string
	if err := m.c.DB.View(context.Background(), func(r store.Reader) error {
		a, err := newLedger().table.Find(r, store.Key{}.Str(id))
		if a != nil {
			last = a.Reports[len(a.Reports)-1].State
		}
		return err
	}); err != nil {
		m.t.Error(err)
	}
	return last == "sent"
}

// learn lets the oracle see how attempts ended, and judges that.
func (m *model) learn() {
	for id, f := range m.fates {
		if f.ended != "" {
			continue
		}
		reports := m.b.ledger.of(m.t, m.c.DB, id)
		if len(reports) == 0 {
			m.t.Errorf("%s was accepted and is unknown", id)
			continue
		}
		switch last := reports[len(reports)-1].State; last {
		case "sent":
			if f.ended = last; f.arrived == 0 {
				m.t.Errorf("%s is reported as sent and never arrived", id)
			}
		case "failed", "cancelled":
			f.ended = last
		}
	}
}

// check compares the queue with itself and with the oracle.
func (m *model) check(step string) {
	m.b.sound(step)
	for id, f := range m.fates {
		p, err := m.b.q.Get(context.Background(), id)
		switch {
		case f.ended != "" && !errors.Is(err, store.ErrNotFound):
			m.t.Errorf("%s ended as %s: %+v, %v", id, f.ended, p, err)
		case f.ended == "" && err != nil:
			m.t.Errorf("%s is lost: %v", id, err)
		case f.ended == "" && f.held != (p.State == Kept):
			m.t.Errorf("%s is held %v: %s", id, f.held, p.State)
		}
	}
}

func (m *model) left() (n int, err error) {
	err = m.c.DB.View(context.Background(), func(r store.Reader) error {
		n, err = count(r)
		return err
	})
	return n, err
}

// finish lets the world be kind, and everything must end.
func (m *model) finish() {
	ctx := context.Background()
	m.kind = true
	m.say("the world is kind")
	for id, f := range m.fates {
		if f.ended == "" && f.held {
			f.held = false
			if err := m.b.q.Release(ctx, id); err != nil {
				m.t.Errorf("release %s: %v", id, err)
			}
		}
	}
	for range 60 {
		m.work("work")
		if n, err := m.left(); err != nil || n == 0 {
			break
		}
		m.clk.move(2 * time.Hour)
	}
	for id, f := range m.fates {
		if f.ended == "" {
			m.t.Errorf("%s is still there: %s", id, m.b.get(id).Why)
		}
	}
	a, err := m.b.q.Verify(ctx)
	if err != nil || a.Parcels+a.Jobs+len(a.Findings) > 0 {
		m.t.Errorf("at the end: %+v, %v", a, err)
	}
}
