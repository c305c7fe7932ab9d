package smtpd

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// guard is the connection as go-smtp sees it. It owns the deadlines (the
// library's are ignored), sends replies in as few packets as pipelining allows,
// counts octets, and once it has hung up nothing is read or sent any more: a
// read error can never turn the rest of a message into commands.
type guard struct {
	net.Conn
	srv     *Server
	kind    kind
	peer    netip.Addr
	closed  sync.Once
	onClose func()
	trace   string // id of this connection in logs

	mu       sync.Mutex
	tap      *tap
	out      []byte    // replies not sent yet
	urgent   bool      // the next reply is sent at once
	writing  bool      // go-smtp's last call was a Write: what the tap gets next are replies
	dead     bool      // hung up
	settled  bool      // nothing is read any more, the last reply is still to be sent
	reason   string    // why, for the log
	tls      *tls.Conn // over this guard, known from EHLO on
	greeted  bool
	draining bool // idle sessions end
	cut      bool // receiving sessions end, too

	phase    phase
	since    time.Time // when the phase began
	heard    time.Time // when octets last came
	received int64     // octets read in the phase
	budget   int64     // octets that may still be read before the next mail
	deadline time.Time // set on the connection
	sendBy   time.Time // write deadline set on the connection
}

// phase is what a session is at, for deadlines and for draining.
type phase uint8

const (
	commanding phase = iota
	handshake        // between 220 to STARTTLS and the EHLO after it
	receiving        // a message comes in
	storing          // it is complete; 250 is owed or an error is
)

func newGuard(s *Server, c net.Conn, peer netip.Addr, k kind) *guard {
	g := &guard{Conn: c, srv: s, kind: k, peer: peer, tap: newTap(k.limits), trace: s.id()}
	g.tap.lmtp = k.name == LMTP
	g.since = s.o.Now()
	g.heard = g.since
	g.refill()
	return g
}

// refill allows the octets of another mail, twice over: what is refused for its
// size still has to be read to its end, or the peer would not hear why.
func (g *guard) refill() { g.budget = 2*g.srv.intake.MaxSize() + 1<<20 }

// enter begins a phase.
func (g *guard) enter(p phase) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begin(p)
}

func (g *guard) begin(p phase) { g.phase, g.since, g.received = p, g.srv.o.Now(), 0 }

// progress is called when a mail was accepted. Its reply must not wait in the
// buffer for what the peer pipelined behind it.
func (g *guard) progress() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tap.accepted()
	g.refill()
	g.urgent = true
}

// secured tells the guard the TLS layer above it, so that a last reply can be
// sent through it.
func (g *guard) secured(c *tls.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tls = c
	if g.phase == handshake {
		g.begin(commanding)
	}
}

// gone reports whether the session has ended: commands that are still in the
// library's buffer must have no effect.
func (g *guard) gone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dead
}

// work registers work that the server must wait for, unless the session has
// ended.
func (g *guard) work() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return false
	}
	g.srv.work.Add(1)
	return true
}

// whole reports whether a message whose reader came to its end did so for the
// right reason.
func (g *guard) whole() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.dead && !g.tap.cut()
}

// limit returns the time by which the next octets must come. Must hold mu.
func (g *guard) limit(now time.Time) time.Time {
	l := g.kind.limits
	by := now.Add(l.Idle)
	switch {
	case g.tap.state == inDoubt:
		return now.Add(l.Settle)
	case g.phase == handshake:
		return g.since.Add(l.Handshake)
	case g.phase == receiving:
	case g.tap.content():
		// The rest of something refused: it is only read so that the peer stays
		// in step.
		by = now.Add(min(l.Idle, l.Discard))
	case g.srv.limiter.stressed():
		return now.Add(min(l.Idle, l.StressIdle))
	default:
		return by
	}
	// A peer may be slow at times, but not on the whole, and not for ever.
	return earliest(by, g.since.Add(l.MinRateGrace+time.Duration(g.received)*time.Second/time.Duration(l.MinRate)), g.since.Add(l.Message))
}

func earliest(first time.Time, more ...time.Time) time.Time {
	for _, t := range more {
		if t.Before(first) {
			first = t
		}
	}
	return first
}

// slack is by how much a deadline on the connection may be late, which saves
// setting it on each of many reads.
const slack = time.Second

// Read sends what is owed and reads on. Errors are final.
func (g *guard) Read(p []byte) (int, error) {
	g.flush()
	g.mu.Lock()
	if g.dead {
		g.mu.Unlock()
		return 0, errGone
	}
	if g.settled {
		g.mu.Unlock()
		return 0, io.EOF
	}
	g.writing = false
	if g.draining && g.ending() {
		g.mu.Unlock()
		return 0, g.leave()
	}
	by := g.limit(g.srv.o.Now()).Add(slack)
	if off := by.Sub(g.deadline); g.deadline.IsZero() || off >= slack || off <= -slack {
		if err := g.Conn.SetReadDeadline(by); err != nil {
			g.mu.Unlock()
			return 0, g.lost(err)
		}
		g.deadline = by
	}
	g.mu.Unlock()

	n, err := g.Conn.Read(p)

	g.mu.Lock()
	if n > 0 {
		g.heard = g.srv.o.Now()
	}
	g.received += int64(n)
	g.budget -= int64(n)
	over, leaving := g.budget < 0, g.draining && g.ending()
	g.mu.Unlock()
	switch {
	case over:
		return 0, g.fail("552 5.3.4 Far more octets than any message may have", "size")
	case n > 0:
		return n, nil
	case err == nil:
		return 0, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		if g.settle() {
			return 0, errSettled
		}
		if leaving {
			return 0, g.leave()
		}
		return 0, g.fail("421 4.4.2 "+g.srv.o.Hostname+" Timeout, closing", "timeout")
	default:
		return 0, g.lost(err)
	}
}

// settle ends a message at a final dot that the library missed, after nothing
// followed it.
func (g *guard) settle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settled = g.tap.state == inDoubt && !g.cut
	return g.settled
}

// ending reports whether draining concerns this session now. Must hold mu.
func (g *guard) ending() bool {
	return g.phase == commanding && !g.tap.content() || g.phase == handshake || g.cut && g.phase != storing
}

func (g *guard) leave() error {
	return g.fail("421 4.3.2 "+g.srv.o.Hostname+" is going down, try again later", "shutdown")
}

// errGone is what a session reads after its end. It is an SMTP error, because
// go-smtp would send any other error's text to the peer, and no io.EOF, because
// that would end a BDAT message in good order. Nothing of it is sent.
var errGone = &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "Connection lost"}

// errSettled is read at the end of a message whose final dot, with the line end
// behind it, was taken for content.
var errSettled = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Message ended in doubt"}

// lost ends a session whose peer went away.
func (g *guard) lost(err error) error {
	g.mu.Lock()
	clean := err == io.EOF && g.phase == commanding && !g.tap.content()
	if !g.dead {
		g.dead, g.reason = true, "lost"
		if clean {
			g.reason = "closed by peer"
		}
	}
	g.mu.Unlock()
	if clean {
		return io.EOF
	}
	return errGone
}

// fail sends a last reply and hangs up. Must not hold mu.
func (g *guard) fail(text, reason string) error {
	g.mu.Lock()
	if g.dead {
		g.mu.Unlock()
		return errGone
	}
	g.reason = reason
	secure, encrypted := g.tls, g.tap.tls
	g.mu.Unlock()
	g.srv.metrics.rejected(reason)
	line := []byte(text + "\r\n")
	switch {
	case secure != nil:
		secure.Write(line) // comes back as ciphertext through Write
	case !encrypted:
		g.Write(line)
	}
	g.flush()
	g.mu.Lock()
	g.dead = true
	g.mu.Unlock()
	return errGone
}

// maxOut is how much is held back for the next packet.
const maxOut = 4 << 10

// Write takes replies. They leave when go-smtp wants to read again, which is
// when it has seen all that was pipelined.
func (g *guard) Write(p []byte) (int, error) {
	g.mu.Lock()
	if g.dead {
		g.mu.Unlock()
		return len(p), nil
	}
	g.writing = true
	if g.tap.tls && len(p) > 0 && (p[0] < 20 || p[0] > 24) {
		// Not a TLS record: the handshake failed and go-smtp would go on in
		// plaintext.
		g.dead, g.reason = true, "tls_failed"
		g.mu.Unlock()
		g.srv.metrics.connection(g.kind.name, "tls_failed")
		return len(p), nil
	}
	g.out = append(g.out, p...)
	now := g.urgent || len(g.out) >= maxOut || g.phase == handshake
	g.mu.Unlock()
	if now {
		return len(p), g.flush()
	}
	return len(p), nil
}

// flush sends what is owed.
func (g *guard) flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.out) == 0 || g.dead {
		return nil
	}
	by := g.srv.o.Now().Add(g.kind.limits.Idle)
	if by.Sub(g.sendBy) >= slack {
		if err := g.Conn.SetWriteDeadline(by); err == nil {
			g.sendBy = by
		}
	}
	_, err := g.Conn.Write(g.out)
	g.out, g.urgent = g.out[:0], false
	if err != nil {
		g.dead, g.reason = true, "lost"
	}
	return err
}

// tapped is go-smtp's Debug writer: all octets of both directions, in
// plaintext. An error from it ends the reading.
type tapped struct{ g *guard }

func (w tapped) Write(p []byte) (int, error) {
	g := w.g
	g.mu.Lock()
	if g.dead {
		g.mu.Unlock()
		return 0, errGone
	}
	var v verdict
	if g.writing && isReply(p) {
		secure := g.tap.tls
		g.tap.strict = g.srv.limiter.stressed()
		v = g.tap.output(p)
		if g.tap.tls && !secure {
			g.begin(handshake)
			g.urgent = true
		}
	} else {
		before := g.tap.content()
		v = g.tap.input(p)
		if !before && g.tap.content() && g.phase == commanding {
			g.begin(commanding) // its time runs from here
		}
	}
	g.writing = false
	g.mu.Unlock()
	if v.text != "" {
		return 0, g.fail(v.text, v.reason)
	}
	return len(p), nil
}

// isReply tells replies from input that came out of the TLS layer right after
// the layer itself wrote something.
func isReply(p []byte) bool {
	return len(p) > 3 && '2' <= p[0] && p[0] <= '5' && '0' <= p[1] && p[1] <= '9' && '0' <= p[2] && p[2] <= '9' && (p[3] == ' ' || p[3] == '-')
}

// Nobody above sets deadlines. The TLS layer tries to when it closes, which
// would keep the last reply from leaving.
func (g *guard) SetReadDeadline(time.Time) error  { return nil }
func (g *guard) SetWriteDeadline(time.Time) error { return nil }
func (g *guard) SetDeadline(time.Time) error      { return nil }

// poke makes a blocked Read look again. Must not hold mu.
func (g *guard) poke(cut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
	g.cut = g.cut || cut
	if g.ending() {
		past := time.Unix(1, 0)
		g.deadline = past
		g.Conn.SetReadDeadline(past)
	}
}

// hurry shortens the patience with a peer that is silent between commands.
func (g *guard) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	by := g.heard.Add(g.kind.limits.StressIdle)
	if g.dead || g.phase != commanding || g.tap.content() || g.deadline.IsZero() || !by.Before(g.deadline) {
		return
	}
	g.deadline = by
	g.Conn.SetReadDeadline(by)
}

// failed ends a session without a word.
func (g *guard) failed(reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.dead || g.reason == "lost" {
		g.dead, g.reason = true, reason
	}
}

// Close sends what is owed and closes. After it nothing has any effect.
func (g *guard) Close() error {
	g.flush()
	g.mu.Lock()
	g.dead = true
	g.mu.Unlock()
	err := net.ErrClosed
	g.closed.Do(func() {
		err = g.Conn.Close()
		g.onClose()
	})
	return err
}
