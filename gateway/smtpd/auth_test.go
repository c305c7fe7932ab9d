package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestGuessingFromOneNetwork: a guesser with many connections has the patience
// of one; others are not his hostages.
func TestGuessingFromOneNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: newBlobs(t), tls: serverTLS(), kind: Submissions})
		defer h.close()
		guess := func(peer, secret string) string {
			c := h.dial(peer)
			defer c.drop()
			if err := c.startTLS(); err != nil {
				t.Fatal(err)
			}
			c.reply()
			c.say("EHLO x")
			return c.say("AUTH PLAIN " + secret)
		}
		const right, wrong = "AG90dG8Ac2VjcmV0", "AG90dG8AeA=="
		start := time.Now()
		for i := range 10 {
			if r := guess(fmt.Sprintf("2001:db8::%d", i), wrong); !strings.HasPrefix(r, "535") {
				t.Error(i, r)
			}
		}
		if took := time.Since(start); took != (1+2+4+7*8)*time.Second {
			t.Errorf("ten failures took %v", took)
		}
		// Even the right secret is not tried any more: a guesser would learn it.
		if r := guess("2001:db8::ffff", right); !strings.HasPrefix(r, "421 4.7.0") {
			t.Error(r)
		}
		if r := guess("2001:db8:0:1::1", right); !strings.HasPrefix(r, "235") {
			t.Error("the neighbour:", r)
		}
		time.Sleep(10 * time.Minute)
		if r := guess("2001:db8::ffff", right); !strings.HasPrefix(r, "235") {
			t.Error("after a while:", r)
		}
		for result, want := range map[string]float64{"ok": 2, "failed": 10, "blocked": 1} {
			if got := testutil.ToFloat64(h.server.metrics.logins.WithLabelValues(result)); got != want {
				t.Errorf("%s: %v, not %v", result, got, want)
			}
		}
	})
}

// TestOwnHostsAreNotBanned: a webmail server of ours through which somebody
// guesses still serves the others.
func TestOwnHostsAreNotBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: newBlobs(t), tls: serverTLS(), kind: Submissions,
			limits: Limits{Unlimited: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}}})
		defer h.close()
		for i := range 20 {
			c := h.dial("192.0.2.7")
			if err := c.startTLS(); err != nil {
				t.Fatal(err)
			}
			c.reply()
			c.say("EHLO x")
			if r := c.say("AUTH PLAIN AG90dG8AeA=="); !strings.HasPrefix(r, "535") {
				t.Error(i, r)
			}
			if r := c.say("AUTH PLAIN AG90dG8Ac2VjcmV0"); !strings.HasPrefix(r, "235") {
				t.Error(i, r)
			}
			c.drop()
		}
	})
}

// TestGuessesInParallel: attempts that are under way count.
func TestGuessesInParallel(t *testing.T) {
	l := Limits{}.withDefaults()
	g := newGuesses(&l, func() time.Time { return time.Unix(1e9, 0) })
	peer := netip.MustParseAddr("192.0.2.7")
	var mu sync.Mutex
	var wg sync.WaitGroup
	let := 0
	for range 100 {
		wg.Go(func() {
			if _, ok := g.begin(peer); ok {
				mu.Lock()
				let++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if let != l.AuthFailures {
		t.Errorf("%d attempts were let through, not %d", let, l.AuthFailures)
	}
	for range let {
		g.forgive(peer)
	}
	if len(g.count) != 0 {
		t.Errorf("forgiven, but remembered: %v", g.count)
	}
}

// TestListenersThatCannotBe: a submission listener without TLS or accounts would
// be a trap for whoever relies on it.
func TestListenersThatCannotBe(t *testing.T) {
	h := newHouse(t, setting{blobs: newBlobs(t)})
	defer h.close()
	for _, kind := range []string{Submission, Submissions, "", "imap"} {
		if err := h.server.Serve(newDoor(), kind); err == nil {
			t.Errorf("%q is served", kind)
		}
	}
}
