package resolver

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// TestPatience: while a server is silent, questions do not wait the full time
// each; its first answer is heard at once.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alive atomic.Bool
		r, err := New(Options{Server: "192.0.2.53:53", Now: time.Now, FailureTTL: time.Nanosecond,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go answer(theirs, &alive)
				return ours, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		ask := func() (Outcome, time.Duration) {
			start := time.Now()
			a := r.Query(t.Context(), "a.example", dns.TypeTXT)
			time.Sleep(time.Second) // past the memory of failures
			return a.Outcome, time.Since(start) - time.Second
		}
		// Two tries each; the fifth is the last that waits its full time.
		for i, want := range []time.Duration{6 * time.Second, 6 * time.Second, 3500 * time.Millisecond, time.Second, time.Second} {
			if outcome, took := ask(); outcome != Timeout || took != want {
				t.Errorf("question %d: %v after %v, want %v", i+1, outcome, took, want)
			}
		}
		alive.Store(true)
		if outcome, took := ask(); outcome != NoName || took != 0 {
			t.Errorf("%v after %v", outcome, took)
		}
		alive.Store(false)
		time.Sleep(time.Hour)
		if outcome, took := ask(); outcome != Timeout || took != 6*time.Second {
			t.Errorf("after an answer: %v after %v", outcome, took)
		}
	})
}

// answer says that there is no such name, if alive.
func answer(c net.Conn, alive *atomic.Bool) {
	defer c.Close()
	buf := make([]byte, 1500)
	n, err := c.Read(buf)
	if err != nil {
		return
	}
	var q dns.Msg
	if q.Unpack(buf[:n]) != nil {
		return
	}
	if !alive.Load() {
		io.Copy(io.Discard, c)
		return
	}
	reply, err := new(dns.Msg).SetRcode(&q, dns.RcodeNameError).Pack()
	if err == nil {
		c.Write(reply)
	}
}

// TestUnsaidAbsence: an absence without a zone's word is believed for two
// seconds.
func TestUnsaidAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var alive atomic.Bool
		alive.Store(true)
		asked := 0
		r, err := New(Options{Server: "192.0.2.53:53", Now: time.Now,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				asked++
				ours, theirs := net.Pipe()
				go answer(theirs, &alive)
				return ours, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{1, 1, 1, 2} {
			if a := r.Query(t.Context(), "a.example", dns.TypeTXT); a.Outcome != NoName || asked != want {
				t.Errorf("question %d: %v, asked %d times, want %d", i+1, a.Outcome, asked, want)
			}
			time.Sleep(900 * time.Millisecond)
		}
	})
}
