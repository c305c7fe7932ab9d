package delivery

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/store/storetest"
)

// bestiary is a world of four receivers: one says nothing, one is slow, one
// speaks garbage without end, and one is well.
type bestiary struct{ courier.Resolver }

var beasts = map[string]func(net.Conn){
	"192.0.2.1": func(c net.Conn) { bufio.NewReader(c).ReadString(0) },
	"192.0.2.2": func(c net.Conn) { mailServer(c, time.Second) },
	"192.0.2.3": func(c net.Conn) {
		for _, err := fmt.Fprint(c, "220-"+strings.Repeat("x", 500)+"\r\n"); err == nil; {
			_, err = fmt.Fprint(c, "220-"+strings.Repeat("x", 500)+"\r\n\x00\xff")
			time.Sleep(10 * time.Millisecond)
		}
	},
	"192.0.2.4": func(c net.Conn) { mailServer(c, 0) },
}

func (bestiary) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return []*net.MX{{Host: "mx." + name, Pref: 10}}, nil
}

func (bestiary) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	for i, name := range []string{"hangs", "slow", "garbage", "well"} {
		if strings.HasPrefix(host, "mx."+name) {
			return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})}, nil
		}
	}
	return nil, &net.DNSError{IsNotFound: true}
}

// mailServer takes every mail, with a wait before each answer.
func mailServer(c net.Conn, wait time.Duration) {
	say := func(s string) bool {
		time.Sleep(wait)
		_, err := fmt.Fprint(c, s+"\r\n")
		return err == nil
	}
	in, data := bufio.NewReader(c), false
	for ok := say("220 mx ESMTP"); ok; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); {
		case data:
			if line == ".\r\n" {
				data, ok = false, say("250 2.0.0 Ok")
			}
		case verb == "DATA":
			data, ok = true, say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			ok = say("250 Ok")
		}
	}
}

// soak sends mail to all of them for d and compares goroutines and memory of
// its last half with its beginning.
func soak(t testing.TB, d time.Duration) {
	c, err := courier.New(courier.Options{
		Hostname: "mail.help.example", AllowPrivate: true, Resolver: bestiary{}, Now: time.Now, Random: rand.NewChaCha8([32]byte{3}),
		Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			host, _, _ := net.SplitHostPort(addr)
			go func() {
				defer theirs.Close()
				beasts[host](theirs)
			}()
			return ours, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := setupOn(t, storetest.Open(t), &clock{}, c, func(o *Options) {
		o.Now, o.Uptime, o.Workers, o.Registerer, o.Drain = time.Now, nil, 0, nil, time.Second
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.q.Run(ctx) }()
	var most, goroutines int
	var heap uint64
	began := time.Now()
	for i := 0; time.Since(began) < d; i++ {
		for _, name := range []string{"hangs", "slow", "garbage", "well"} {
			id := fmt.Sprintf("%s%d", name, i)
			b.submit(id, "x@"+name+".example")
		}
		time.Sleep(d / 200)
		n, size := runtime.NumGoroutine(), uint64(0)
		if i%20 == 19 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			size = m.HeapAlloc
		}
		b.q.mu.Lock()
		most = max(most, b.q.sched.window)
		b.q.mu.Unlock()
		if time.Since(began) < d/2 {
			goroutines, heap = max(goroutines, n), max(heap, size)
		} else if n > goroutines+20 || size > heap+(16<<20) {
			t.Errorf("after %s: %d goroutines and %d bytes, the first half had %d and %d", time.Since(began), n, size, goroutines, heap)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if most > 4*perDest {
		t.Errorf("%d parcels were in memory", most)
	}
	left := 0
	if err := b.q.each(context.Background(), 10_000, func(p *row) {
		if strings.HasPrefix(p.To, "x@well") {
			left++
		}
	}); err != nil || left > 1 {
		t.Errorf("%d mails for the receiver that is well are left, %v", left, err)
	}
	b.sound("after the soak")
}

// Ten minutes of virtual time with receivers that misbehave. Goroutines and
// memory are counted for the whole process: no other test may run beside it.
func TestSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { soak(t, 10*time.Minute) })
}

// BenchmarkSoak is the same in real time, for as long as TICKETGATE_SOAK says.
func BenchmarkSoak(b *testing.B) {
	d, err := time.ParseDuration(os.Getenv("TICKETGATE_SOAK"))
	if err != nil {
		b.Skip("TICKETGATE_SOAK=10m asks for it")
	}
	for range b.N {
		soak(b, d)
	}
}
