package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

var start = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
	up time.Duration
}

func (c *clock) uptime() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

// set changes the wall clock, as an administrator may; no time passes.
func (c *clock) set(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	c.up += d
}

// account is what the ledger keeps of a parcel, in the store, so that it rolls
// back and crashes together with the queue.
type account struct {
	ID      string
	Reports []message.Report
}

// ledger is a Ledger in the store; refuse, if set, may refuse a report.
type ledger struct {
	table  *store.Table[account]
	mu     sync.Mutex
	refuse func(message.Report) error
}

func newLedger() *ledger {
	return &ledger{table: store.NewTable("account", store.PrefixDelivery, []string{"id"},
		func(a *account) store.Key { return store.Key{}.Str(a.ID) })}
}

func (l *ledger) Settled(tx store.Tx, r message.Report) error {
	l.mu.Lock()
	refuse := l.refuse
	l.mu.Unlock()
	if refuse != nil {
		if err := refuse(r); err != nil {
			return err
		}
	}
	a, err := l.table.Find(tx, store.Key{}.Str(r.Parcel))
	if err != nil {
		return err
	}
	if a == nil {
		a = &account{ID: r.Parcel}
	}
	a.Reports = append(a.Reports, r)
	return l.table.Put(tx, a)
}

func (l *ledger) of(t testing.TB, db store.DB, id string) (reports []message.Report) {
	t.Helper()
	if err := db.View(context.Background(), func(r store.Reader) error {
		a, err := l.table.Find(r, store.Key{}.Str(id))
		if a != nil {
			reports = a.Reports
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return reports
}

// states are the words of the reports, in order.
func states(reports []message.Report) string {
	var out []string
	for _, r := range reports {
		out = append(out, r.State)
	}
	return strings.Join(out, " ")
}

// pen signs differently each time, so that a second signature shows.
type pen struct {
	mu  sync.Mutex
	n   int
	err error
}

func (s *pen) Sign(_ context.Context, domain string, mail io.Reader) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if _, err := io.Copy(io.Discard, mail); err != nil {
		return nil, err
	}
	s.n++
	return fmt.Appendf(nil, "DKIM-Signature: d=%s; b=%d\r\n", domain, s.n), nil
}

// carry is a Carrier of one function, which is called with the queue's
// transaction and returns the result for its recipient.
type carry func(ctx context.Context, t courier.Transaction) courier.Result

func (f carry) Carry(ctx context.Context, t courier.Transaction) []courier.Result {
	r := f(ctx, t)
	r.Recipient = t.To[0]
	return []courier.Result{r}
}

// hosted is a carrier to whom some domains' mail goes to Google's servers.
type hosted struct{ carry }

func (hosted) Way(string, string) string { return "" }

func (hosted) Site(_ context.Context, destination, _ string) courier.Site {
	if strings.HasPrefix(destination, "hosted") {
		return courier.Site{Name: "alt" + destination[6:7] + ".aspmx.l.google.com"}
	}
	return courier.Site{Name: "mx." + destination}
}

// relayed is a carrier with a smarthost.
type relayed struct{ carry }

func (relayed) Way(string, string) string { return "" }

func (relayed) Site(context.Context, string, string) courier.Site {
	return courier.Site{Name: "relay.example", Route: "relay.example"}
}

// content reads what would go over the wire.
func content(t courier.Transaction) (string, error) {
	r, err := t.Open(context.Background())
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), err
}

var (
	accepted    = courier.Result{Class: courier.Success, Code: 250, Enhanced: "2.0.0", Text: "Ok", Host: "mx1.customer.example", Phase: courier.PhaseDot}
	greylisted  = courier.Result{Class: courier.Temporary, Code: 451, Enhanced: "4.7.1", Text: "greylisted", Host: "mx1.customer.example", Phase: courier.PhaseRcpt}
	unknown     = courier.Result{Class: courier.Permanent, Code: 550, Enhanced: "5.1.1", Text: "who?", Host: "mx1.customer.example", Phase: courier.PhaseRcpt}
	unreachable = courier.Result{Class: courier.Temporary, Enhanced: "4.4.1", Text: "connecting timed out", Phase: courier.PhaseDial}
	lostDot     = courier.Result{Class: courier.Temporary, Enhanced: "4.4.2", Text: "lost", Phase: courier.PhaseDot, Ambiguous: true}
)

// takes is a carrier that sends the dot and then answers r.
func takes(r courier.Result) carry {
	return func(ctx context.Context, t courier.Transaction) courier.Result {
		if err := t.OnDot(ctx); err != nil {
			return courier.Result{Phase: courier.PhaseBody, Err: err}
		}
		return r
	}
}

// bench is a queue with everything around it.
type bench struct {
	t      testing.TB
	clk    *clock
	db     store.DB
	blobs  *blob.Store
	agenda *agenda.Agenda
	ledger *ledger
	pen    *pen
	reg    *prometheus.Registry
	q      *Queue
}

const letterText = "Subject: hi\r\n\r\n.Hello you\r\n"

func setup(t testing.TB, c Carrier, with ...func(*Options)) *bench {
	t.Helper()
	clk := &clock{t: start}
	return setupOn(t, storetest.OpenAt(t, clk.now), clk, c, with...)
}

func setupOn(t testing.TB, db store.DB, clk *clock, c Carrier, with ...func(*Options)) *bench {
	t.Helper()
	b := &bench{
		t: t, clk: clk, db: db, agenda: agenda.New(db), ledger: newLedger(), pen: &pen{}, reg: prometheus.NewRegistry(),
		blobs: blob.New(db, rand.NewChaCha8([32]byte{1})),
	}
	o := Options{
		DB: db, Blobs: b.blobs, Agenda: b.agenda, Ledger: b.ledger, Signer: b.pen, Carrier: c,
		Now: clk.now, Uptime: clk.uptime, Random: rand.NewChaCha8([32]byte{2}), Registerer: b.reg,
		Retry: []time.Duration{time.Minute, 5 * time.Minute, time.Hour}, Expire: 6 * time.Hour,
		Workers: 1, // one thing after the other, unless a test says otherwise
	}
	for _, f := range with {
		f(&o)
	}
	var err error
	if b.q, err = New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) update(fn func(store.Tx) error) {
	b.t.Helper()
	if err := b.db.Update(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

// outbound is a mail whose content has been stored in tx.
func (b *bench) outbound(tx store.Tx, id, to string) (message.Outbound, error) {
	ref, err := b.blobs.Put(tx, []byte(letterText))
	return message.Outbound{
		ID: id, Class: "reply", From: "support@help.example", To: to, SHA256: ref.SHA256, Size: ref.Size,
		Domain: "help.example", Queue: "support", Ticket: 1001, Message: "msg_1",
	}, err
}

func (b *bench) submit(id, to string, with ...func(*message.Outbound)) {
	b.t.Helper()
	if err := b.db.Update(context.Background(), func(tx store.Tx) error {
		o, err := b.outbound(tx, id, to)
		if err != nil {
			return err
		}
		for _, f := range with {
			f(&o)
		}
		return b.q.Submit(tx, o)
	}); err != nil {
		b.t.Fatal(err)
	}
}

// work makes every attempt that is due now.
func (b *bench) work() {
	b.t.Helper()
	ctx := context.Background()
	for {
		started, _, err := b.q.schedule(ctx, ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		b.q.workers.Wait()
		if !started {
			return
		}
	}
}

func (b *bench) get(id string) *Parcel {
	b.t.Helper()
	p, err := b.q.Get(context.Background(), id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// expect compares the reports of a parcel and its state, "" if it is gone.
func (b *bench) expect(step, id, reports, state string) {
	b.t.Helper()
	got := ""
	if p := b.get(id); p != nil {
		got = p.State
	}
	if s := states(b.ledger.of(b.t, b.db, id)); s != reports || got != state {
		b.t.Errorf("%s: reports %q and state %q, want %q and %q", step, s, got, reports, state)
	}
}

// sound checks what must hold between attempts.
func (b *bench) sound(step string) {
	b.t.Helper()
	a, err := b.q.Verify(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range a.Findings {
		b.t.Errorf("%s: %s", step, f)
	}
}
