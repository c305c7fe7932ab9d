package smtpd

import (
	"net/netip"
	"sync"
	"time"
)

// Limits bound what one peer and all peers together may cost. A zero field takes
// its default.
type Limits struct {
	Total      int // connections at once; 500
	PerIP      int // from one address; 20
	PerNet     int // from one /24 or /64; 60
	PerIPRate  int // new ones a minute from one address; 120
	PerNetRate int // new ones a minute from one /24 or /64; 360
	// Unlimited peers (our own relays, the machine itself) count towards Total
	// only and are not kept waiting for the greeting.
	Unlimited []netip.Prefix

	Recipients  int // of one mail; 100
	CommandLine int // octets; 2048
	Line        int // octets of a line of a message; 1 MiB
	Commands    int // without an accepted mail; 500
	Errors      int // 4xx and 5xx without an accepted mail; 10
	Misses      int // unknown recipients before the session ends; 10
	TarpitAfter int // unknown recipients before answers slow down; 3

	Tarpit       time.Duration // how much; 1 s
	PreGreet     time.Duration // how long a stranger must keep silent before the greeting; 0 = not at all
	Idle         time.Duration // between packets; 60 s
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

// limiter counts connections. Its memory is bounded by Total and by one minute
// of new connections.
type limiter struct {
	l   *Limits
	now func() time.Time

	mu     sync.Mutex
	open   int
	ip     map[netip.Addr]int
	net    map[netip.Prefix]int
	minute time.Time // when the rate window began
	ipRate map[netip.Addr]int
	nets   map[netip.Prefix]int
}

func newLimiter(l *Limits, now func() time.Time) *limiter {
	return &limiter{l: l, now: now, ip: map[netip.Addr]int{}, net: map[netip.Prefix]int{}}
}

// maxRated bounds the addresses whose rate is remembered; a flood from more
// addresses than that is Total's to stop.
const maxRated = 100_000

// enter counts a connection in, or says why not.
func (c *limiter) enter(peer netip.Addr) (why string) {
	free := !peer.IsValid() || c.l.unlimited(peer)
	net := network(peer)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open >= c.l.Total {
		return "too many connections"
	}
	if !free {
		if now := c.now(); c.ipRate == nil || now.Sub(c.minute) >= time.Minute || now.Before(c.minute) || len(c.ipRate) >= maxRated {
			c.minute, c.ipRate, c.nets = now, map[netip.Addr]int{}, map[netip.Prefix]int{}
		}
		switch {
		case c.ip[peer] >= c.l.PerIP, c.net[net] >= c.l.PerNet:
			return "too many connections from your network"
		case c.ipRate[peer] >= c.l.PerIPRate, c.nets[net] >= c.l.PerNetRate:
			return "too many connections a minute from your network"
		}
		c.ip[peer]++
		c.net[net]++
		c.ipRate[peer]++
		c.nets[net]++
	}
	c.open++
	return ""
}

// leave counts a connection out that was let in.
func (c *limiter) leave(peer netip.Addr) {
	net := network(peer)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if !peer.IsValid() || c.l.unlimited(peer) {
		return
	}
	if c.ip[peer]--; c.ip[peer] <= 0 {
		delete(c.ip, peer)
	}
	if c.net[net]--; c.net[net] <= 0 {
		delete(c.net, net)
	}
}

// network is what is usually in one hand: a /24 or a /64.
func network(peer netip.Addr) netip.Prefix {
	bits := 64
	if peer.Is4() {
		bits = 24
	}
	p, _ := peer.Prefix(bits)
	return p
}
