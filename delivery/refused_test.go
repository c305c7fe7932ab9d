package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// authority is where tokens come from, or do not.
type authority struct {
	err   error
	asked int
}

func (a *authority) Token(context.Context) (string, error) {
	a.asked++
	return "token", a.err
}

func (a *authority) Reject(string) {}

// A smarthost for which there is no token is held, its mail waits however long
// that lasts, a person is told once, over restarts too, and everybody else's mail
// goes. When tokens are to be had again, so does the smarthost's.
func TestNoTokenForASmarthost(t *testing.T) {
	t.Parallel()
	tokens := &authority{err: errors.New("oauth: relay: refused by the authority: 400 invalid_grant")}
	c, err := courier.New(courier.Options{
		Hostname: "mail.help.example", Resolver: twoMX{}, Now: time.Now, Random: rand.NewChaCha8([32]byte{1}),
		Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			mine, theirs := net.Pipe()
			go doorman(theirs, "220 mx", "250-mx\r\n250 AUTH XOAUTH2")
			return mine, nil
		},
		Routes:      map[string]courier.Route{"relay": {Host: "127.0.0.1:587", Login: &courier.Login{User: "support@help.example", Tokens: tokens}}},
		QueueRoutes: map[string]string{"sales": "relay"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	b := setup(t, c, func(o *Options) { o.Retry, o.Expire, o.ExpireNotice, o.ExpireBulk = nil, 0, 0, 0 })
	send := func(round int) {
		for i, class := range []string{"reply", "notification", "bulk", "autoack"} {
			for _, queue := range []string{"sales", "support"} {
				id := fmt.Sprintf("%s%d.%d", queue, round, i)
				b.submit(id, "anna@customer.example", func(o *message.Outbound) { o.Queue, o.Class = queue, class })
			}
		}
	}
	alerts := 0.0
	for day := range 9 {
		if day < 3 {
			send(day)
		}
		for range 12 {
			b.work()
			b.clk.move(2 * time.Hour)
		}
		for after, first := store.Key(nil), true; first || after != nil; first = false {
			if after, err = b.q.walkOn(t.Context(), after); err != nil {
				t.Fatal(err)
			}
		}
		alerts += testutil.ToFloat64(b.q.met.alerts)
		if got := b.q.refusals(); got["route"] != 1 || got["sender"] != 0 {
			t.Errorf("day %d: %v", day, got)
		}
		if day%3 == 2 { // restarts
			if err := b.q.save(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			o := b.q.o
			o.Registerer = nil
			if b.q, err = New(o); err == nil {
				err = b.q.open(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		} else {
			alerts -= testutil.ToFloat64(b.q.met.alerts)
		}
	}
	if alerts += testutil.ToFloat64(b.q.met.alerts); alerts != 1 {
		t.Errorf("%v alerts", alerts)
	}
	if s := b.q.Sites(); len(s) != 1 || s[0].Name != "route/relay" || !s[0].Held || !strings.Contains(s[0].Reason, "invalid_grant") {
		t.Errorf("in trouble: %+v", s)
	}
	if tokens.asked > 9*24+30 {
		t.Errorf("asked for a token %d times", tokens.asked)
	}
	b.sound("held")
	tokens.err = nil
	b.clk.move(2 * time.Hour)
	b.work()
	b.clk.move(24 * time.Hour) // for those that were tried
	b.work()
	for round := range 3 {
		for i := range 4 {
			for _, queue := range []string{"sales", "support"} {
				id := fmt.Sprintf("%s%d.%d", queue, round, i)
				if got := states(b.ledger.of(t, b.db, id)); !strings.HasSuffix(got, " sent") || strings.Contains(got, "failed") {
					t.Errorf("%s: %s", id, got)
				}
			}
		}
	}
	if got := b.q.refusals(); got["route"] != 0 || len(b.q.Sites()) != 0 {
		t.Errorf("%v, %v", got, b.q.Sites())
	}
}

// What waits for our own repair is not given up by the walker; once it works
// again, time counts as ever.
func TestRefusedMailIsNotGivenUp(t *testing.T) {
	t.Parallel()
	dmarc := courier.Result{Class: courier.SenderScoped, Code: 550, Enhanced: "5.7.26", Text: "not aligned", Phase: courier.PhaseDot}
	login := courier.Result{Class: courier.SenderScoped, Code: 535, Enhanced: "5.7.8", Text: "no", Phase: courier.PhaseAuth, Route: "relay"}
	for name, r := range map[string]courier.Result{"sender": dmarc, "route": login} {
		b := setup(t, signposts{func(ctx context.Context, tr courier.Transaction) courier.Result { return r }, map[string]string{"": "relay"}},
			func(o *Options) { o.Retry, o.Expire = nil, 0 })
		for i := range 30 {
			b.by(fmt.Sprint("out_", i), "support")
		}
		for range 20 {
			b.work()
			b.clk.move(12 * time.Hour)
			if _, err := b.q.walkOn(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		b.sound(name)
		for i := range 30 {
			if got := states(b.ledger.of(t, b.db, fmt.Sprint("out_", i))); strings.Contains(got, "failed") {
				t.Errorf("%s: %s", name, got)
			}
		}
	}
}
