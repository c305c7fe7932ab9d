package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// signposts is a carrier with ways: every domain has a server of its own, "relay"
// and "desk" are smarthosts, "address" leaves by MX from another address of ours.
// Whatever else is called a route is not configured.
type signposts struct {
	carry
	routes map[string]string // queue → route; "" = everybody's
}

func (s signposts) Way(queue, route string) string {
	way := cmp.Or(route, s.routes[queue])
	if way == s.routes[""] {
		return ""
	}
	return way
}

func (s signposts) Site(_ context.Context, destination, way string) courier.Site {
	switch way = cmp.Or(way, s.routes[""]); way {
	case "":
		return courier.Site{Name: "mx." + destination}
	case "address":
		return courier.Site{Name: "mx." + destination, Egress: "192.0.2.7"}
	case "relay", "desk":
		return courier.Site{Name: way + ".example", Route: way}
	}
	return courier.Site{Route: way}
}

// siteName is what the queue calls a place.
func siteName(where courier.Site, domain string) string {
	switch {
	case where.Route != "":
		return "route/" + where.Route
	case where.Egress != "":
		return "mx/" + where.Name + "@" + where.Egress
	case where.Name != "":
		return "mx/" + where.Name
	}
	return "domain/" + domain
}

// by submits a mail of a queue for a domain.
func (b *bench) by(id, queue string, with ...func(*message.Outbound)) {
	b.t.Helper()
	b.submit(id, id+"@customer.example", append(with, func(o *message.Outbound) { o.Queue = queue })...)
}

func relayClass(route string) func(*message.Outbound) {
	return func(o *message.Outbound) { o.Class, o.Domain, o.Route = "relay", "", route }
}

// What happens at one set of servers is nothing to the mail that takes another
// way to the same domain.
func TestWaysHaveTheirOwnPatience(t *testing.T) {
	t.Parallel()
	refused := courier.Result{Class: courier.SenderScoped, Code: 535, Enhanced: "5.7.8", Text: "who are you?", Phase: courier.PhaseAuth}
	listed := courier.Result{Class: courier.SiteScoped, Code: 554, Enhanced: "5.7.1", Text: "blocklisted", Phase: courier.PhaseGreeting}
	for name, tc := range map[string]struct {
		at   string // the way in trouble
		res  courier.Result
		site string
	}{
		"the exchanger is dead":              {"", unreachable, "mx/mx.customer.example"},
		"the exchanger refuses our address":  {"", listed, "mx/mx.customer.example"},
		"it refuses the other address":       {"address", listed, "mx/mx.customer.example@192.0.2.7"},
		"the smarthost is dead":              {"relay", unreachable, "route/relay"},
		"the smarthost refuses our account":  {"relay", refused, "route/relay"},
		"the helpdesk refuses our login":     {"desk", refused, "route/desk"},
		"the helpdesk is dead":               {"desk", unreachable, "route/desk"},
		"the route has gone from the config": {"gone", courier.Result{Class: courier.SenderScoped, Enhanced: "4.3.5", Phase: courier.PhaseRoute}, "route/gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ill := true
			tries := 0
			var posts signposts
			posts = signposts{func(ctx context.Context, tr courier.Transaction) courier.Result {
				way := posts.Way(tr.Queue, tr.Route)
				r := accepted
				if way == tc.at && ill {
					tries++
					r = tc.res
				}
				r.Route = posts.Site(ctx, tr.Destination, way).Route
				if r.Class != courier.Success {
					return r
				}
				return takes(r)(ctx, tr)
			}, map[string]string{"sales": "relay", "care": "address", "lost": "gone"}}
			b := setup(t, posts, func(o *Options) { o.Expire = 1e5 * time.Hour })
			ways := []string{"", "address", "relay", "desk", "gone"}
			const each = 18
			submit := func(round int) {
				for i := range each {
					for _, way := range ways {
						id := fmt.Sprintf("%d.%s.%d", round, cmp.Or(way, "mx"), i)
						if way == "desk" {
							b.by(id, "support", relayClass("desk"))
							continue
						}
						b.by(id, map[string]string{"": "support", "address": "care", "relay": "sales", "gone": "lost"}[way])
					}
				}
			}
			submit(0)
			b.work()
			submit(1)
			b.work()
			left := map[string]int{}
			if err := b.q.each(t.Context(), 1e6, func(p *row) { left[p.Way]++ }); err != nil {
				t.Fatal(err)
			}
			if len(left) != 1 || left[tc.at] != 2*each {
				t.Errorf("waiting: %v", left)
			}
			if tries == 0 || tries > 2*deadCohorts {
				t.Errorf("%d attempts", tries)
			}
			sites := b.q.Sites()
			if len(sites) != 1 || sites[0].Name != tc.site {
				t.Errorf("in trouble: %+v, want %s", sites, tc.site)
			}
			b.sound("trouble")
			ill = false
			b.clk.move(4 * time.Hour)
			b.work()
			if a, err := b.q.Verify(t.Context()); err != nil || a.Parcels != 0 {
				t.Errorf("after it: %+v, %v", a, err)
			}
		})
	}
}

// A smarthost's account pays for what goes by it, and nothing else does; our
// other address pays for what leaves from it.
func TestBudgetsOfWays(t *testing.T) {
	t.Parallel()
	for key, paying := range map[string]string{
		"account/relay": "sales", "account/desk": "", "egress/192.0.2.7": "care", "egress/default": "support",
		"domain": "support care", "provider": "support care",
	} {
		b := setup(t, signposts{takes(accepted), map[string]string{"sales": "relay", "care": "address"}}, func(o *Options) {
			o.Rates = map[string]Rate{key: {Count: 2, Per: time.Hour}}
		})
		for i := range 10 {
			for _, queue := range []string{"support", "sales", "care"} {
				b.by(fmt.Sprint(queue, ".", i), queue)
			}
		}
		b.work()
		left := map[string]bool{}
		if err := b.q.each(t.Context(), 100, func(p *row) { left[p.Queue] = true }); err != nil {
			t.Fatal(err)
		}
		for _, queue := range []string{"support", "sales", "care"} {
			if left[queue] != strings.Contains(paying, queue) {
				t.Errorf("%s: mail of %s waits: %v", key, queue, left[queue])
			}
		}
	}
}

// Mail that waits for a dead server is sent another way as soon as that is
// decided, however much of it there is; mail that must take its own way stays.
func TestRerouteOfABacklog(t *testing.T) {
	t.Parallel()
	by := map[string]int{}
	b := setup(t, signposts{func(ctx context.Context, tr courier.Transaction) courier.Result {
		if by[tr.Route]++; tr.Route != "relay" {
			return unreachable
		}
		return takes(accepted)(ctx, tr)
	}, nil}, func(o *Options) { o.Expire = 1e5 * time.Hour })
	const n = 600 // more than a page of the walker
	for i := range n {
		b.by(fmt.Sprint("a", i), "support")
	}
	b.by("own", "support", relayClass("desk"))
	b.work()
	b.clk.move(10 * time.Second) // they are paused, by a server that is not theirs soon
	if _, err := b.q.Decide(t.Context(), Measure{Kind: MeasureRoute, Queue: "support", Via: "relay", By: "ada", Reason: "dead"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.q.rewalk:
	default:
		t.Error("the walker was not woken")
	}
	for after, first := store.Key(nil), true; first || after != nil; first = false {
		var err error
		if after, err = b.q.walkOn(t.Context(), after); err != nil {
			t.Fatal(err)
		}
	}
	b.sound("moved")
	if p := b.get("a7"); !strings.Contains(p.Why, "route relay") || p.WaitsFor == waitPause {
		t.Errorf("%s: %s", p.WaitsFor, p.Why)
	}
	b.clk.move(2 * time.Minute) // for those that were tried
	b.work()
	if a, err := b.q.Verify(t.Context()); err != nil || a.Parcels != 1 || by["relay"] != n || by["desk"] == 0 {
		t.Errorf("%+v, %v, %v", a, err, by)
	}
	b.sound("sent")
}

// With another configuration after a restart, mail takes the ways of that one,
// also mail that was stored before lanes knew any.
func TestRoutesChangeAtRestart(t *testing.T) {
	t.Parallel()
	var went []string
	peer := func(ctx context.Context, tr courier.Transaction) courier.Result {
		went = append(went, tr.Queue+" "+tr.Route)
		return takes(accepted)(ctx, tr)
	}
	b := setup(t, signposts{peer, map[string]string{"sales": "relay", "care": "address"}})
	later := func(o *message.Outbound) { o.Due = start.Add(time.Hour) }
	for _, queue := range []string{"support", "sales", "care"} {
		b.by(queue, queue, later)
	}
	b.by("desk", "support", later, relayClass("desk"))
	b.by("old", "support", later, relayClass("desk"))
	b.update(func(tx store.Tx) error { // as an earlier version has stored it
		p, err := b.q.parcels.Get(tx, parcelKey("old"))
		if err != nil {
			return err
		}
		old := *p
		if found, err := b.agenda.Remove(tx, p.Lane, p.ID); err != nil || !found {
			return errors.Join(err, store.ErrNotFound)
		}
		p.Way, p.Lane = "", laneOf(heading{domain: "customer.example"}, bandReply, false)
		if err := b.agenda.Put(tx, agenda.Job{Lane: p.Lane, Key: p.ID, Due: p.Due}); err != nil {
			return err
		}
		return b.q.parcels.Replace(tx, &old, p)
	})
	ways := func(step string, want map[string]string) {
		t.Helper()
		b.sound(step)
		for id, way := range want {
			if err := b.db.View(t.Context(), func(r store.Reader) error {
				p, err := b.q.parcels.Get(r, parcelKey(id))
				if err == nil && p.Way != way {
					t.Errorf("%s: %s takes %q, want %q", step, id, p.Way, way)
				}
				return err
			}); err != nil {
				t.Error(step, id, err)
			}
		}
	}
	ways("submitted", map[string]string{"support": "", "sales": "relay", "care": "address", "desk": "desk", "old": ""})
	o := b.q.o
	o.Registerer = nil
	o.Carrier = signposts{peer, map[string]string{"": "relay", "support": "address"}}
	var err error
	if b.q, err = New(o); err == nil {
		err = b.q.open(t.Context())
	}
	if err == nil {
		_, err = b.q.walkOn(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	ways("restarted", map[string]string{"support": "address", "sales": "", "care": "", "desk": "desk", "old": "desk"})
	b.clk.move(time.Hour)
	b.work()
	if len(went) != 5 {
		t.Errorf("went: %q", went)
	}
	b.sound("sent")
}

// A pause of a domain, and its end, is about all ways there.
func TestPauseIsAboutAllWays(t *testing.T) {
	t.Parallel()
	b := setup(t, signposts{takes(accepted), map[string]string{"sales": "relay"}})
	b.by("early", "sales")
	if _, err := b.q.Pause(t.Context(), "customer.example", start.Add(time.Hour), "ada", "x"); err != nil {
		t.Fatal(err)
	}
	b.by("late", "sales")
	b.by("direct", "support")
	b.work()
	for _, id := range []string{"early", "late", "direct"} {
		if p := b.get(id); p == nil || p.WaitsFor != waitPause || p.Attempts != 0 {
			t.Errorf("%s: %+v", id, p)
		}
	}
	if err := b.q.Resume(t.Context(), "customer.example"); err != nil {
		t.Fatal(err)
	}
	b.work()
	for _, id := range []string{"early", "late", "direct"} {
		b.expect(id, id, "queued sent", "")
	}
}

func TestLaneNames(t *testing.T) {
	t.Parallel()
	for _, h := range []heading{{"customer.example", ""}, {"customer.example", "relay"}, {"[ipv6:2001:db8::1]", "a/b"}, {nowhere, "again"}, {"x", "reply/again"}, {"x", "bulk"}} {
		for b := range bands {
			for _, tried := range []bool{false, true} {
				lane := laneOf(h, b, tried)
				if h2, b2, tried2, ok := readLane(lane); !ok || h2 != h || b2 != b || tried2 != tried {
					t.Errorf("%s: %+v %v %v %v", lane, h2, b2, tried2, ok)
				}
			}
		}
	}
	if want, got := "mail/customer.example/reply/again", laneOf(heading{domain: "customer.example"}, bandReply, true); got != want {
		t.Errorf("%s; lanes of stored mail are called %s", got, want)
	}
}
