package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStress: when hardly any slot is left, the idle go first and errors are
// not borne with; when there is room again, so is patience.
func TestStress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: newBlobs(t), limits: Limits{Total: 10}})
		defer h.close()
		greet := func(n int) *client {
			t.Helper()
			c := h.dial(fmt.Sprintf("192.0.2.%d", n))
			if r := last(c.reply()); !strings.HasPrefix(r, "220") {
				t.Fatal(n, r)
			}
			return c
		}
		var idle []*client
		for i := range 8 {
			idle = append(idle, greet(i+1))
			defer idle[i].drop()
		}
		time.Sleep(9 * time.Second)
		busy := greet(9)
		defer busy.drop()
		busy.say("EHLO x")
		// Nine of ten: the second error is one too many.
		if r := busy.say("NONSENSE"); !strings.HasPrefix(r, "50") {
			t.Error(r)
		}
		if r := busy.say("NONSENSE"); !strings.HasPrefix(r, "50") {
			t.Error(r)
		}
		if r := busy.line(); !strings.HasPrefix(r, "421 4.7.0") {
			t.Error(r)
		}
		busy.drop()
		synctest.Wait()
		nine, ten := greet(10), greet(11)
		defer nine.drop()
		defer ten.drop()
		turned := h.dial("198.51.100.1")
		if r := turned.line(); !strings.HasPrefix(r, "421 4.7.0 mail.help.example too many connections") {
			t.Error(r)
		}
		turned.drop()
		// That made the server look for the idle: eight have been so for nine
		// seconds, and have one more.
		start := time.Now()
		for i, c := range idle {
			if r := c.line(); !strings.HasPrefix(r, "421 4.4.2") {
				t.Error(i, r)
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the idle stayed for %v", took)
		}
		// Those who came later have what is left of their ten seconds; with
		// room again, a peer has its minute.
		time.Sleep(12 * time.Second)
		calm := greet(12)
		defer calm.drop()
		time.Sleep(50 * time.Second)
		if r := calm.say("EHLO x"); !strings.HasPrefix(r, "250") {
			t.Error(r)
		}
	})
}

// TestProxiedClientsAreCounted: the limit is each client's, never the proxy's;
// guessing through a proxy bans the guesser.
func TestProxiedClientsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: newBlobs(t), proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, limits: Limits{PerIP: 2}})
		defer h.close()
		through := func(client string) string {
			c := h.dial("10.0.0.1")
			t.Cleanup(c.drop)
			c.send("PROXY TCP4 " + client + " 10.0.0.1 5555 25\r\n")
			return last(c.reply())
		}
		for _, want := range []string{"220", "220", "421 4.7.0"} {
			if r := through("198.51.100.9"); !strings.HasPrefix(r, want) {
				t.Errorf("%s, not %s", r, want)
			}
		}
		for i := range 30 {
			if r := through(fmt.Sprintf("203.0.113.%d", i)); !strings.HasPrefix(r, "220") {
				t.Error(i, r)
			}
		}
	})
}
