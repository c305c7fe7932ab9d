package smtpd

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestEndlessLineAfterAChunk: a chunk lifts the library's limit on lines; what
// comes after the chunk is a command again and has a command's limit.
func TestEndlessLineAfterAChunk(t *testing.T) {
	blobs := newBlobs(t)
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: blobs})
		defer h.close()
		c := h.dial("192.0.2.7")
		defer c.drop()
		c.reply()
		c.say("EHLO x")
		c.say("MAIL FROM:<a@customer.example>")
		c.say("RCPT TO:<support@help.example>")
		c.say("BDAT 1\r\nx")
		piece, sent := strings.Repeat("x", 4096), 0
		for sent < 1<<30 && c.send(piece) == nil {
			sent += len(piece)
		}
		if sent > 64<<10 {
			t.Errorf("%d octets of one line were read", sent)
		}
		if r := c.line(); !strings.HasPrefix(r, "500 5.5.2") {
			t.Error(r)
		}
	})
}

// TestRefusedChunkIsBounded: a refused chunk is read so that the peer stays in
// step, but not for gigabytes.
func TestRefusedChunkIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: newBlobs(t), maxSize: 1 << 20})
		defer h.close()
		c := h.dial("192.0.2.7")
		defer c.drop()
		c.reply()
		c.say("EHLO x")
		if r := c.say("BDAT 4000000000 LAST"); !strings.HasPrefix(r, "502") {
			t.Fatal(r)
		}
		piece, sent := strings.Repeat("x", 64<<10), 0
		for sent < 1<<30 && c.send(piece) == nil {
			sent += len(piece)
		}
		if sent > 4<<20 {
			t.Errorf("%d octets of a refused chunk were read", sent)
		}
	})
}

// TestTrickle: a body that comes too slowly on the whole ends the session, even
// if it never pauses for long.
func TestTrickle(t *testing.T) {
	for _, c := range []struct {
		name  string
		head  string
		bytes int // every ten seconds
		after time.Duration
	}{
		{"below the rate", "", 10, 70 * time.Second},
		{"at the rate, but for ever", "Subject: x\r\n\r\n", 6000, 620 * time.Second},
		{"refused, and then for ever", "", 6000, 1110 * time.Second}, // its header is too large after 490 s
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, setting{blobs: newBlobs(t)})
				defer h.close()
				peer := h.dial("192.0.2.7")
				defer peer.drop()
				peer.reply()
				peer.say("EHLO x")
				peer.say("MAIL FROM:<a@customer.example>")
				peer.say("RCPT TO:<support@help.example>")
				peer.say("DATA")
				start := time.Now()
				peer.send(c.head)
				for peer.send(strings.Repeat("x", c.bytes-2)+"\r\n") == nil && time.Since(start) < time.Hour {
					time.Sleep(10 * time.Second)
				}
				if took := time.Since(start); took > c.after || took < c.after-30*time.Second {
					t.Errorf("ended after %v, not about %v", took, c.after)
				}
				if r := peer.line(); !strings.HasPrefix(r, "421 4.4.2") {
					t.Error(r)
				}
			})
		})
	}
}

// TestSlowButSteady: a slow line may take its time.
func TestSlowButSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: newBlobs(t)})
		defer h.close()
		c := h.dial("192.0.2.7")
		defer c.drop()
		c.reply()
		c.say("EHLO x")
		c.say("MAIL FROM:<a@customer.example>")
		c.say("RCPT TO:<support@help.example>")
		c.say("DATA")
		for range 10 {
			c.send(strings.Repeat("x", 24_998) + "\r\n")
			time.Sleep(50 * time.Second)
		}
		if r := c.say("."); !strings.HasPrefix(r, "250") {
			t.Error(r)
		}
	})
}

// TestResetDuringChunks runs what the library does beside a BDAT message; the
// race detector watches.
func TestResetDuringChunks(t *testing.T) {
	h := newHouse(t, setting{blobs: newBlobs(t)})
	defer h.close()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 25 {
				c := h.dial(fmt.Sprintf("192.0.2.%d", i+1))
				c.reply()
				c.say("EHLO x")
				c.say("MAIL FROM:<a@customer.example>")
				c.say("RCPT TO:<support@help.example>")
				c.send("BDAT 3\r\nabc")
				c.reply()
				switch n % 4 {
				case 0:
					if r := c.say("RSET"); !strings.HasPrefix(r, "250") {
						t.Error(r)
					}
					if r := c.say("MAIL FROM:<b@customer.example>"); !strings.HasPrefix(r, "421") {
						t.Error(r)
					}
					c.send("RCPT TO:<sales@help.example>\r\nBDAT 3 LAST\r\nxyz")
				case 1:
					c.say("EHLO y")
				case 2:
					c.say("QUIT")
				}
				c.drop()
			}
		})
	}
	wg.Wait()
	if mails := h.desk.all(); len(mails) != 0 {
		t.Errorf("%q was stored", mails[0].raw)
	}
}

// TestConnectionLimits fills the house.
func TestConnectionLimits(t *testing.T) {
	now := time.Unix(1e9, 0)
	l := Limits{Total: 100, PerIP: 3, PerNet: 5, PerWide: 7, PerIPRate: 10, PerNetRate: 12, PerWideRate: 13, Unlimited: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	c := newLimiter(&l, func() time.Time { return now })
	ip := netip.MustParseAddr
	enter := func(peer string, want bool) {
		t.Helper()
		if why := c.enter(ip(peer), l.unlimited(ip(peer))); (why == "") != want {
			t.Errorf("%s: %q", peer, why)
		}
	}
	for range 3 {
		enter("192.0.2.1", true)
	}
	enter("192.0.2.1", false)
	enter("192.0.2.2", true)
	enter("192.0.2.2", true)
	enter("192.0.2.3", false) // the net is full
	enter("198.51.100.1", true)
	leave := func(peer string) { c.leave(ip(peer), l.unlimited(ip(peer))) }
	leave("192.0.2.1")
	enter("192.0.2.3", true)
	enter("192.0.3.1", true)
	enter("192.0.4.1", true)
	enter("192.0.5.1", false) // the wider net is full
	for range 5 {             // one net, many addresses of IPv6
		enter("2001:db8::1", c.nets[netip.MustParsePrefix("2001:db8::1/128")] < 3)
		enter(fmt.Sprintf("2001:db8::1:%d", c.open), c.nets[netip.MustParsePrefix("2001:db8::/64")] < 5)
	}
	for c.open < 100 {
		enter("127.0.0.1", true)
	}
	enter("127.0.0.1", false)
	enter("203.0.113.1", false)
	for range 50 {
		leave("127.0.0.1")
	}
	// The rate counts what came, not what stayed.
	leave("198.51.100.1")
	for range 9 {
		enter("198.51.100.1", true)
		leave("198.51.100.1")
	}
	enter("198.51.100.1", false)
	for range 2 {
		enter("198.51.100.2", true)
		leave("198.51.100.2")
	}
	enter("198.51.100.3", false)
	now = now.Add(time.Minute)
	enter("198.51.100.1", true)
	leave("198.51.100.1")
}

// TestLimiterForgets: nothing is remembered of those who left.
func TestLimiterForgets(t *testing.T) {
	l := Limits{}.withDefaults()
	c := newLimiter(&l, func() time.Time { return time.Unix(1e9, 0) })
	for i := range 1000 {
		peer := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		if why := c.enter(peer, false); why != "" {
			t.Fatal(why)
		}
		c.leave(peer, false)
	}
	if c.open != 0 || len(c.nets) != 0 {
		t.Errorf("%d open, %d nets", c.open, len(c.nets))
	}
}

// TestTooManyConnections: who is turned away hears why, and the place of who
// left is free again.
func TestTooManyConnections(t *testing.T) {
	blobs := newBlobs(t)
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: blobs, limits: Limits{PerIP: 2}})
		defer h.close()
		a, b := h.dial("192.0.2.7"), h.dial("192.0.2.7")
		a.reply()
		b.reply()
		c := h.dial("192.0.2.7")
		if r := c.line(); !strings.HasPrefix(r, "421 4.7.0") {
			t.Error(r)
		}
		if r := c.line(); r != "EOF" {
			t.Error(r)
		}
		a.drop()
		synctest.Wait()
		d := h.dial("192.0.2.7")
		if r := d.line(); !strings.HasPrefix(r, "220") {
			t.Error(r)
		}
		if n := testutil.ToFloat64(h.server.metrics.connections.WithLabelValues(MX, "limited")); n != 1 {
			t.Errorf("%v connections counted as limited", n)
		}
		if n := testutil.ToFloat64(h.server.metrics.open.WithLabelValues(MX)); n != 2 {
			t.Errorf("%v connections counted as open", n)
		}
		b.drop()
		c.drop()
		d.drop()
	})
}

// TestTarpit: the answer to the fourth unknown recipient takes a second, and
// nobody is kept waiting when we go down.
func TestTarpit(t *testing.T) {
	blobs := newBlobs(t)
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: blobs})
		c := h.dial("192.0.2.7")
		c.reply()
		c.say("EHLO x")
		c.say("MAIL FROM:<a@customer.example>")
		for n := range 5 {
			start := time.Now()
			c.say(fmt.Sprintf("RCPT TO:<x%d@help.example>", n))
			want := time.Duration(0)
			if n >= 3 {
				want = time.Second
			}
			if took := time.Since(start); took != want {
				t.Errorf("miss %d took %v", n+1, took)
			}
		}
		start := time.Now()
		c.send("RCPT TO:<x@help.example>\r\n")
		synctest.Wait()
		h.close()
		if took := time.Since(start); took != 0 {
			t.Errorf("shutdown waited %v", took)
		}
		c.drop()
	})
}

// TestShutdownEndsWithItsContext: a desk that hangs cannot hold the daemon.
func TestShutdownEndsWithItsContext(t *testing.T) {
	blobs := newBlobs(t)
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: blobs})
		c := h.dial("192.0.2.7")
		c.reply()
		c.say("EHLO x")
		c.say("MAIL FROM:<a@customer.example>")
		c.say("RCPT TO:<slow@help.example>")
		c.send("BDAT 0 LAST\r\n")
		<-h.desk.enter
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		if err := h.server.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		close(h.desk.block)
		if r := last(c.reply()); !strings.HasPrefix(r, "250 2.0.0 Ok: rcpt_1") {
			t.Error(r)
		}
		<-h.served
		c.drop()
	})
}

// TestMetricsAreClean holds the metrics against Prometheus' own rules.
func TestMetricsAreClean(t *testing.T) {
	h := newHouse(t, setting{blobs: newBlobs(t)})
	defer h.close()
	problems, err := testutil.GatherAndLint(h.reg)
	if err != nil || len(problems) != 0 {
		t.Error(problems, err)
	}
	if n, err := testutil.GatherAndCount(h.reg, "ticketgate_smtp_rejections_total"); err != nil || n != len(reasons) {
		t.Errorf("%d reasons are there from the start, not %d (%v)", n, len(reasons), err)
	}
}
