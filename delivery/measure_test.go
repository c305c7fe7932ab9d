package delivery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/delivery/courier"
	"ticketgate/delivery/dkim"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

func (b *bench) tend() {
	b.t.Helper()
	if err := b.q.TendOnce(context.Background()); err != nil {
		b.t.Fatal(err)
	}
}

// A measure keeps back what it is about and nothing else, is shown beside each
// mail, and what it held goes when it ends.
func TestMeasures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		m       Measure
		stopped bool
		wait    string
	}{
		"its domain":         {Measure{Kind: MeasurePause, Domain: "Customer.example"}, true, "pause"},
		"another domain":     {Measure{Kind: MeasurePause, Domain: "other.example"}, false, ""},
		"its queue":          {Measure{Kind: MeasurePause, Queue: "support"}, true, "measure"},
		"another queue":      {Measure{Kind: MeasurePause, Queue: "sales"}, false, ""},
		"its class":          {Measure{Kind: MeasureHold, Class: "reply"}, true, "measure"},
		"another class":      {Measure{Kind: MeasureHold, Class: "bulk"}, false, ""},
		"its address":        {Measure{Kind: MeasureHold, To: "ANNA@customer.example"}, true, "measure"},
		"domain and queue":   {Measure{Kind: MeasurePause, Domain: "customer.example", Queue: "support"}, true, "measure"},
		"domain, not queue":  {Measure{Kind: MeasurePause, Domain: "customer.example", Queue: "sales"}, false, ""},
		"everything, paused": {Measure{Kind: MeasurePause, All: true}, true, "pause"},
		"everything, held":   {Measure{Kind: MeasureHold, All: true}, true, "measure"},
		"a route":            {Measure{Kind: MeasureRoute, All: true, Via: "relay"}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, takes(accepted))
			c.m.By, c.m.Reason = "ada", "blocklist"
			m, err := b.q.Decide(t.Context(), c.m)
			if err != nil {
				t.Fatal(err)
			}
			b.submit("out_1", "anna@customer.example")
			b.work()
			b.sound("worked")
			if !c.stopped {
				b.expect("not concerned", "out_1", "queued sent", "")
				return
			}
			p := b.get("out_1")
			if p == nil || p.WaitsFor != c.wait || !strings.Contains(p.Why, "blocklist") || !strings.Contains(p.Why, "ada") || p.Attempts != 0 {
				t.Fatalf("%+v", p)
			}
			if m.Kind == MeasurePause {
				if want := b.clk.now().Add(PauseFor); !m.Until.Equal(want) || !strings.Contains(p.Why, want.Format(time.RFC3339)) {
					t.Errorf("until %v; %s", m.Until, p.Why)
				}
				b.clk.move(PauseFor)
				b.tend()
			} else {
				b.clk.move(24 * time.Hour)
				b.tend()
				b.work()
				if b.get("out_1") == nil {
					t.Fatal("a hold ended by itself")
				}
				if err := b.q.TakeBack(t.Context(), m.ID); err != nil {
					t.Fatal(err)
				}
			}
			b.work()
			if got := states(b.ledger.of(t, b.db, "out_1")); b.get("out_1") != nil || !strings.HasSuffix(got, "sent") {
				t.Errorf("%s, %+v", got, b.get("out_1"))
			}
			if left, err := b.q.Measures(t.Context()); len(left) != 0 || err != nil {
				t.Errorf("%v, %v", left, err)
			}
		})
	}
}

// A measure survives a restart, is replaced by a later one about the same mail,
// and a mail that a person releases is not held by it again.
func TestMeasuresAreKept(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t, takes(accepted))
	first, err := b.q.Decide(ctx, Measure{Kind: MeasureHold, Queue: "support", By: "ada", Reason: "one"})
	if err != nil {
		t.Fatal(err)
	}
	b.clk.move(time.Second)
	second, err := b.q.Decide(ctx, Measure{Kind: MeasureHold, Queue: "support", By: "bob", Reason: "two"})
	if err != nil || second.ID != first.ID {
		t.Fatal(second, err)
	}
	o := b.q.o
	o.Registerer = nil
	if b.q, err = New(o); err != nil {
		t.Fatal(err)
	}
	all, err := b.q.Measures(ctx)
	if err != nil || len(all) != 1 || all[0].By != "bob" {
		t.Fatalf("%+v %v", all, err)
	}
	b.submit("out_1", "anna@customer.example")
	b.submit("out_2", "anna@customer.example")
	b.work()
	b.expect("held", "out_1", "queued held", Kept)
	if err := b.q.Release(ctx, "out_1"); err != nil {
		t.Fatal(err)
	}
	b.work()
	b.expect("a person decided", "out_1", "queued held queued sent", "")
	b.expect("the other one", "out_2", "queued held", Kept)
	if err := b.q.TakeBack(ctx, "msr_none"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestMeasuresRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	for name, m := range map[string]Measure{
		"nothing selected":  {Kind: MeasurePause},
		"all and something": {Kind: MeasurePause, All: true, Queue: "support"},
		"no kind":           {Domain: "customer.example"},
		"no domain":         {Kind: MeasurePause, Domain: "not a domain"},
		"no address":        {Kind: MeasureHold, To: "anna"},
		"no class":          {Kind: MeasureHold, Class: "spam"},
		"over already":      {Kind: MeasurePause, Domain: "customer.example", Until: b.clk.now()},
		"a route nowhere":   {Kind: MeasureRoute, Domain: "customer.example"},
		"a pause somewhere": {Kind: MeasurePause, Domain: "customer.example", Via: "relay"},
	} {
		if _, err := b.q.Decide(t.Context(), m); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A route measure sends mail another way, unless the mail has one of its own.
func TestRouteMeasure(t *testing.T) {
	t.Parallel()
	var took []string
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		took = append(took, tr.To[0]+" "+tr.Route)
		return takes(accepted)(ctx, tr)
	}))
	for _, m := range []Measure{{Kind: MeasureRoute, All: true, Via: "relay"}, {Kind: MeasureRoute, Domain: "customer.example", Via: "other"}} {
		if _, err := b.q.Decide(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		b.clk.move(time.Second)
	}
	b.submit("out_1", "anna@customer.example")
	if p := b.get("out_1"); !strings.Contains(p.Why, "it goes by route other") {
		t.Error(p.Why)
	}
	b.submit("out_2", "anna@else.example")
	b.submit("out_3", "bo@customer.example", func(o *message.Outbound) { o.Route = "own" })
	b.work()
	slices.Sort(took)
	if got := fmt.Sprint(took); got != "[anna@customer.example other anna@else.example relay bo@customer.example own]" {
		t.Error(got)
	}
}

// keyless is a signer whose key is gone until somebody puts it back.
type keyless struct {
	err error
	pen pen
}

func (k *keyless) Sign(ctx context.Context, domain string, mail io.Reader) ([]byte, error) {
	if k.err != nil {
		return nil, k.err
	}
	return k.pen.Sign(ctx, domain, mail)
}

// Mail of a domain that cannot sign is held with the reason, never sent
// unsigned, and goes when the key is back.
func TestUnusableKeyHolds(t *testing.T) {
	t.Parallel()
	signer := &keyless{err: fmt.Errorf("reading: %w", dkim.ErrNoKey)}
	sent := 0
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		if text, err := content(tr); err != nil || !strings.HasPrefix(text, "DKIM-Signature:") {
			t.Errorf("left unsigned: %q, %v", text, err)
		}
		sent++
		return takes(accepted)(ctx, tr)
	}), func(o *Options) { o.Signer = signer })
	for i := range 3 {
		b.submit(fmt.Sprint("out_", i), "anna@customer.example")
	}
	b.work()
	for i := range 3 {
		b.expect("no key", fmt.Sprint("out_", i), "queued held", Kept)
	}
	if p := b.get("out_1"); p.WaitsFor != HeldKey || !strings.Contains(p.Why, "DKIM keys of help.example") || p.Attempts != 0 {
		t.Errorf("%+v", p)
	}
	b.tend()
	b.work()
	if n, _ := b.q.HeldFor(t.Context(), 10); sent != 0 || n[HeldKey] != 3 {
		t.Errorf("%d sent, held %v", sent, n)
	}
	signer.err = nil
	b.tend()
	b.work()
	if sent != 3 {
		t.Errorf("%d sent when the key was back", sent)
	}

	signer.err = fmt.Errorf("%w: two From fields", dkim.ErrMessage)
	b.submit("out_4", "anna@customer.example")
	b.work()
	if p := b.get("out_4"); p == nil || p.WaitsFor != HeldContent {
		t.Errorf("%+v", p)
	}
	signer.err = errors.New("the store is slow today")
	b.submit("out_5", "anna@customer.example")
	b.work()
	b.expect("a passing fault", "out_5", "queued deferred", Deferred)
	b.sound("the end")
}

// Bulk commands take a selection that says something, and the count that its
// author had in mind.
func TestBulk(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := setup(t, takes(accepted))
	for i := range 450 {
		b.submit(fmt.Sprintf("out_%03d", i), fmt.Sprintf("p%d@d%d.example", i, i%2))
	}
	if err := b.q.Hold(ctx, "out_001", "ada", "mine"); err != nil {
		t.Fatal(err)
	}
	run := func(verb string, f Filter, expect int, want BulkResult, wantErr error) {
		t.Helper()
		got, err := b.q.Bulk(ctx, Bulk{Verb: verb, Filter: f, By: "ada", Reason: "all of them", Expect: expect})
		if got != want || !errors.Is(err, wantErr) {
			t.Fatalf("%s %+v: %+v, %v", verb, f, got, err)
		}
	}
	run("drop", Filter{}, -1, BulkResult{}, ErrInvalid)
	run("drop", Filter{Limit: 5, Cursor: "x"}, -1, BulkResult{}, ErrInvalid)
	run("burn", Filter{To: "@d1.example"}, -1, BulkResult{}, ErrInvalid)
	run("hold", Filter{To: "@d1.example"}, 3, BulkResult{Matched: 224}, ErrCount)
	if res, err := b.q.Bulk(ctx, Bulk{Verb: "hold", Filter: Filter{To: "@d1.example"}, DryRun: true}); res.Matched != 224 || res.Done != 0 || err != nil {
		t.Errorf("%+v %v", res, err)
	}
	run("hold", Filter{To: "@d1.example"}, 224, BulkResult{Matched: 224, Done: 224}, nil)
	run("retry", Filter{To: "@d1.example"}, -1, BulkResult{}, nil) // all held
	run("release", Filter{Held: "operator", Queue: "support"}, 225, BulkResult{Matched: 225, Done: 225}, nil)
	run("drop", Filter{Older: time.Hour, Queue: "support"}, -1, BulkResult{}, nil)
	b.clk.move(2 * time.Hour)
	run("drop", Filter{Older: time.Hour, To: "@d0.example", Class: "reply", State: Ready, Ticket: 1001}, 225, BulkResult{Matched: 225, Done: 225}, nil)
	b.expect("dropped", "out_000", "queued cancelled", "")
	b.sound("held, released and dropped")

	top, partial, err := b.q.Top(ctx, "destination", 10)
	if err != nil || partial || len(top) != 1 || top[0].Name != "d1.example" || top[0].Count != 225 || top[0].States[Ready] != 225 || top[0].Oldest != 7200 {
		t.Errorf("%+v %v %v", top, partial, err)
	}
	if _, _, err := b.q.Top(ctx, "colour", 10); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	b.work()
	b.expect("the others went", "out_003", "queued held queued sent", "")
}

// Mails in the queue are counted by the selector they are signed with.
func TestSignedWith(t *testing.T) {
	t.Parallel()
	const fields = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d=help.example;\r\n s=tg1r; t=1;\r\n h=From;\r\n b=x\r\n"
	b := setup(t, takes(greylisted), func(o *Options) { o.Signer = stamp(fields) })
	b.submit("out_1", "anna@customer.example")
	b.submit("out_2", "bo@customer.example")
	b.work()
	for selector, want := range map[string]int{"tg1r": 2, "tg1": 0, "tg2r": 0} {
		if n, err := b.q.SignedWith(t.Context(), "help.example", selector); n != want || err != nil {
			t.Errorf("%s: %d, %v", selector, n, err)
		}
	}
	if n, _ := b.q.SignedWith(t.Context(), "elp.example", "tg1r"); n != 0 {
		t.Errorf("%d", n)
	}
}

// stamp is a signer that always writes the same.
type stamp string

func (s stamp) Sign(context.Context, string, io.Reader) ([]byte, error) { return []byte(s), nil }

// Deciding about measures and releasing mail at the same time do not wait for
// each other for ever.
func TestMeasuresAndReleasesAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	ctx := t.Context()
	for i := range 40 {
		b.submit(fmt.Sprint("out_", i), "anna@customer.example")
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 40 {
			m, err := b.q.Decide(ctx, Measure{Kind: MeasureHold, Queue: "support", By: "ada"})
			if err == nil {
				err = b.q.TakeBack(ctx, m.ID)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for i := range 40 {
			id := fmt.Sprint("out_", i)
			if err := b.q.Hold(ctx, id, "bob", ""); err != nil {
				t.Error(err)
			}
			if err := b.q.Release(ctx, id); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	b.sound("the end")
}

// A pause of everything over a long lane costs a look now and then, not one per
// mail.
func TestPauseOfALongLane(t *testing.T) {
	t.Parallel()
	b := setup(t, takes(accepted))
	for i := range 100 {
		b.submit(fmt.Sprint("out_", i), "anna@customer.example")
	}
	m, err := b.q.Decide(t.Context(), Measure{Kind: MeasurePause, All: true, By: "ada", Until: b.clk.now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	b.work() // comes to an end
	b.sound("paused")
	if p := b.get("out_99"); p.State != Ready || p.Attempts != 0 || p.WaitsFor != "pause" {
		t.Errorf("%+v", p)
	}
	if err := b.q.TakeBack(t.Context(), m.ID); err != nil {
		t.Fatal(err)
	}
	b.clk.move(laneNap)
	b.work()
	if b.get("out_99") != nil || b.get("out_0") != nil {
		t.Error("not everything went")
	}
}

// A domain without keys sends nothing, with the real keys; made, they sign what
// was held.
func TestRealKeysHold(t *testing.T) {
	t.Parallel()
	var keys *dkim.Keys
	sent := 0
	b := setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
		if text, err := content(tr); err != nil || strings.Count(text, "DKIM-Signature: v=1;") != 2 {
			t.Errorf("left unsigned: %q, %v", text, err)
		}
		sent++
		return takes(accepted)(ctx, tr)
	}), func(o *Options) {
		keys = dkim.New(dkim.Options{DB: o.DB, Random: rand.Reader, Now: o.Now})
		o.Signer = keys
	})
	b.submitText("out_1", "anna@customer.example", "From: support@help.example\r\nSubject: hi\r\n\r\nHello\r\n")
	b.work()
	b.expect("no keys", "out_1", "queued held", Kept)
	if err := keys.Ensure(t.Context(), "help.example"); err != nil {
		t.Fatal(err)
	}
	b.tend()
	b.work()
	if sent != 1 {
		t.Errorf("%d sent", sent)
	}
}

// submitText submits a mail with a content of its own.
func (b *bench) submitText(id, to, text string) {
	b.t.Helper()
	var ref blob.Ref
	if err := b.db.Update(context.Background(), func(tx store.Tx) (err error) {
		ref, err = b.blobs.Put(tx, []byte(text))
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
	b.submit(id, to, func(o *message.Outbound) { o.SHA256, o.Size = ref.SHA256, ref.Size })
}

// Whatever operators decide in whatever order: no mail that a measure in force
// is about is attempted, and when all measures have ended, every mail goes.
func TestMeasureProperty(t *testing.T) {
	t.Parallel()
	queues, domains := []string{"support", "sales"}, []string{"a.example", "b.example"}
	rapid.Check(t, func(rt *rapid.T) {
		var b *bench
		open := map[string]Measure{} // what should be in force, by id
		inForce := func(m Measure) bool { return m.Until.IsZero() || m.Until.After(b.clk.now()) }
		sent := map[string]bool{}
		queueOf := map[string]string{}
		b = setup(t, carry(func(ctx context.Context, tr courier.Transaction) courier.Result {
			_, domain, _ := strings.Cut(tr.To[0], "@")
			for _, m := range open {
				if inForce(m) && (m.All || (m.Domain == "" || m.Domain == domain) && (m.Queue == "" || m.Queue == queueOf[tr.To[0]])) {
					rt.Fatalf("%s was attempted against %+v", tr.To[0], m)
				}
			}
			sent[tr.To[0]] = true
			return takes(accepted)(ctx, tr)
		}), func(o *Options) { o.Registerer, o.Expire = nil, 1e6*time.Hour })
		ctx := context.Background()
		n := 0
		for range rapid.IntRange(1, 16).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"submit", "submit", "work", "decide", "take back", "time", "tend", "restart"}).Draw(rt, "op") {
			case "submit":
				n++
				to := fmt.Sprintf("p%d@%s", n, rapid.SampledFrom(domains).Draw(rt, "domain"))
				queueOf[to] = rapid.SampledFrom(queues).Draw(rt, "queue")
				b.submit(fmt.Sprint("out_", n), to, func(o *message.Outbound) { o.Queue = queueOf[to] })
			case "work":
				b.work()
			case "decide":
				m := Measure{Kind: rapid.SampledFrom([]string{MeasurePause, MeasureHold}).Draw(rt, "kind"), By: "ada"}
				switch rapid.IntRange(0, 3).Draw(rt, "about") {
				case 0:
					m.All = true
				case 1:
					m.Queue = rapid.SampledFrom(queues).Draw(rt, "queue")
				case 2:
					m.Domain = rapid.SampledFrom(domains).Draw(rt, "domain")
				case 3:
					m.Queue, m.Domain = rapid.SampledFrom(queues).Draw(rt, "queue"), rapid.SampledFrom(domains).Draw(rt, "domain")
				}
				made, err := b.q.Decide(ctx, m)
				if err != nil {
					rt.Fatal(err)
				}
				open[made.ID] = *made
			case "take back":
				for id, m := range open {
					if err := b.q.TakeBack(ctx, id); err != nil && inForce(m) {
						rt.Fatal(err)
					}
					delete(open, id)
					break
				}
			case "time":
				b.clk.move(time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds")) * time.Second)
			case "tend":
				if err := b.q.TendOnce(ctx); err != nil {
					rt.Fatal(err)
				}
			case "restart":
				var err error
				if b.q, err = New(b.q.o); err != nil {
					rt.Fatal(err)
				}
			}
		}
		for id := range open {
			if err := b.q.TakeBack(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
				rt.Fatal(err)
			}
		}
		clear(open)
		b.clk.move(time.Hour)
		if err := b.q.TendOnce(ctx); err != nil {
			rt.Fatal(err)
		}
		b.work()
		b.sound("the end")
		if len(sent) != n {
			rt.Fatalf("%d of %d were sent", len(sent), n)
		}
	})
}
