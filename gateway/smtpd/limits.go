package smtpd

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what one peer and all peers together may cost. A zero field takes
// its default.
type Limits struct {
	Total       int // connections at once; 500
	PerIP       int // from one address; 20
	PerNet      int // from one /24 or /64; 60
	PerIPRate   int // new ones a minute from one address; 120
	PerNetRate  int // new ones a minute from one /24 or /64; 360
	PerWide     int // from one /16 or /48; 180
	PerWideRate int // new ones a minute from one /16 or /48; 1080
	// Deny is turned away at the door.
	Deny []netip.Prefix
	// Unlimited peers (our own relays, the machine itself) count towards Total
	// only, are not kept waiting for the greeting and are never banned from
	// logging in.
	Unlimited []netip.Prefix

	Recipients  int // of one mail; 100
	CommandLine int // octets; 2048
	Line        int // octets of a line of a message; 1 MiB
	Commands    int // without an accepted mail; 500
	Errors      int // 4xx and 5xx without an accepted mail; 10
	Misses      int // unknown recipients before the session ends; 10
	TarpitAfter int // unknown recipients before answers slow down; 3

	AuthErrors   int           // failed logins before the session ends; 3
	AuthFailures int           // from one address or /64 in AuthWindow before logins are refused; 10
	AuthWindow   time.Duration // 10 min

	Tarpit   time.Duration // how much; 1 s; the 2nd, 3rd and later failed logins of an address wait 2, 4 and 8 times that
	PreGreet time.Duration // how long a stranger must keep silent before the greeting; 0 = not at all
	Idle     time.Duration // between packets; 60 s
	// StressIdle is Idle when nine of ten slots are taken; 10 s. A peer's second
	// error then ends its session.
	StressIdle   time.Duration
	Handshake    time.Duration // from STARTTLS to the next EHLO; 30 s
	Message      time.Duration // for the whole of a message; 10 min
	MinRate      int           // octets a second of a message on average; 500
	MinRateGrace time.Duration // before MinRate is asked for; 60 s
	Discard      time.Duration // between packets of something already refused; 10 s
	Settle       time.Duration // of silence that makes a doubtful final dot the end, see bodyState; 2 s
	Store        time.Duration // for storing and ticketing once the message is complete; 2 min
	Drain        time.Duration // for messages coming in when we go down; 30 s
}

func (l Limits) withDefaults() Limits {
	number := func(p *int, d int) {
		if *p <= 0 {
			*p = d
		}
	}
	span := func(p *time.Duration, d time.Duration) {
		if *p <= 0 {
			*p = d
		}
	}
	number(&l.Total, 500)
	number(&l.PerIP, 20)
	number(&l.PerNet, 60)
	number(&l.PerIPRate, 120)
	number(&l.PerNetRate, 360)
	number(&l.PerWide, 180)
	number(&l.PerWideRate, 1080)
	number(&l.AuthErrors, 3)
	number(&l.AuthFailures, 10)
	number(&l.Recipients, 100)
	number(&l.CommandLine, 2048)
	number(&l.Line, 1<<20)
	number(&l.Commands, 500)
	number(&l.Errors, 10)
	number(&l.Misses, 10)
	number(&l.TarpitAfter, 3)
	number(&l.MinRate, 500)
	span(&l.Tarpit, time.Second)
	span(&l.Idle, time.Minute)
	span(&l.StressIdle, 10*time.Second)
	span(&l.AuthWindow, 10*time.Minute)
	span(&l.Handshake, 30*time.Second)
	span(&l.Message, 10*time.Minute)
	span(&l.MinRateGrace, time.Minute)
	span(&l.Discard, 10*time.Second)
	span(&l.Settle, 2*time.Second)
	span(&l.Store, 2*time.Minute)
	span(&l.Drain, 30*time.Second)
	return l
}

func (l *Limits) unlimited(peer netip.Addr) bool {
	for _, p := range l.Unlimited {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// stressErrors is how many errors a peer may make while there are hardly any
// slots left.
const stressErrors = 1

// limiter counts connections. Its memory is bounded by Total and by one minute
// of new connections.
type limiter struct {
	l    *Limits
	now  func() time.Time
	busy atomic.Bool // hardly any slots are left

	mu     sync.Mutex
	open   int
	nets   map[netip.Prefix]int // open, by the networks of three sizes
	minute time.Time            // when the rate window began
	rates  map[netip.Prefix]int // new since then, by the same networks
}

func newLimiter(l *Limits, now func() time.Time) *limiter {
	return &limiter{l: l, now: now, nets: map[netip.Prefix]int{}}
}

// maxRated bounds the networks whose rate is remembered; a flood from more
// than that is Total's to stop.
const maxRated = 100_000

// full is why there is no room for anybody.
const full = "too many connections"

// enter counts a connection in, or says why not. A free peer counts towards
// Total only.
func (c *limiter) enter(peer netip.Addr, free bool) (why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.l.Total {
		return full
	}
	if !free {
		for _, p := range c.l.Deny {
			if p.Contains(peer) {
				return "connections from your network are not taken"
			}
		}
		if now := c.now(); c.rates == nil || now.Sub(c.minute) >= time.Minute || now.Before(c.minute) || len(c.rates) >= maxRated {
			c.minute, c.rates = now, map[netip.Prefix]int{}
		}
		nets := networks(peer)
		open := [...]int{c.l.PerIP, c.l.PerNet, c.l.PerWide}
		rate := [...]int{c.l.PerIPRate, c.l.PerNetRate, c.l.PerWideRate}
		for i, n := range nets {
			if c.nets[n] >= open[i] {
				return "too many connections from your network"
			}
			if c.rates[n] >= rate[i] {
				return "too many connections a minute from your network"
			}
		}
		for _, n := range nets {
			c.nets[n]++
			c.rates[n]++
		}
	}
	c.count(1)
	return ""
}

// leave counts a connection out that was let in.
func (c *limiter) leave(peer netip.Addr, free bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(-1)
	if free {
		return
	}
	for _, n := range networks(peer) {
		if c.nets[n]--; c.nets[n] <= 0 {
			delete(c.nets, n)
		}
	}
}

func (c *limiter) count(n int) {
	c.open += n
	c.busy.Store(c.open*10 >= c.l.Total*9)
}

// stressed reports whether hardly any slots are left.
func (c *limiter) stressed() bool { return c.busy.Load() }

// networks are the peer itself, what is usually in one hand, and what is
// usually one provider's. An address of one length is never a network of
// another, so one map serves all.
func networks(peer netip.Addr) [3]netip.Prefix {
	bits := [...]int{128, 64, 48}
	if peer.Is4() {
		bits = [...]int{32, 24, 16}
	}
	var out [3]netip.Prefix
	for i, n := range bits {
		out[i], _ = peer.Prefix(n)
	}
	return out
}
