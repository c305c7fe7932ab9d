package courier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// session is a connection on which EHLO has been answered.
type session struct {
	o     *Options
	wire  *wire
	key   string // the pool's: "ip:port"
	hop   hop
	esmtp bool
	ext   map[string]string // EHLO keywords in upper case → parameters
	tls   TLSInfo
	born  time.Time
	sent  int // transactions
	count func(delta float64)
}

// open dials addr and brings a session up: greeting, EHLO, TLS if offered.
// After a failed handshake it connects once more and stays in clear.
func (c *Courier) open(ctx context.Context, h hop, addr string) (*session, *failure) {
	clear := c.broken.has(h.host, c.o.Now())
	s, fail := c.connect(ctx, h, addr, !clear)
	if fail != nil && fail.shake && ctx.Err() == nil {
		c.broken.add(h.host, c.o.Now())
		c.met.fallbacks.Inc()
		c.o.Log.Warn("TLS handshake failed, going on in clear", "host", h.host, "addr", addr, "cause", fail.err)
		s, fail = c.connect(ctx, h, addr, false)
		clear = true
	}
	if s != nil && clear && s.tls.Version == "" {
		s.tls.Fallback = true
	}
	return s, fail
}

func (c *Courier) connect(ctx context.Context, h hop, addr string, secure bool) (*session, *failure) {
	t := &c.o.Timeouts
	dctx, cancel := context.WithTimeout(ctx, t.Dial)
	conn, err := c.o.Dial(dctx, "tcp", addr)
	cancel()
	if err != nil {
		return nil, &failure{phase: PhaseDial, err: err, host: h.host, remote: addr, relay: h.relay}
	}
	s := &session{
		o: &c.o, key: addr, hop: h, born: c.o.Now(),
		wire:  newWire(conn, c.o.Now, t.Write),
		count: c.met.open.WithLabelValues(Provider(h.host)).Add,
	}
	s.count(1)
	release := s.wire.watch(ctx)
	fail := s.greet(ctx, secure)
	if !release() && fail == nil {
		fail = s.fail(PhaseHello, context.Cause(ctx))
	}
	if fail != nil {
		s.drop()
		return nil, fail
	}
	return s, nil
}

// greet reads the greeting and negotiates.
func (s *session) greet(ctx context.Context, secure bool) *failure {
	rep, err := s.wire.read(s.o.Timeouts.Greeting)
	if err != nil {
		return s.fail(PhaseGreeting, err)
	}
	if rep.class() != 2 {
		return s.refused(PhaseGreeting, rep)
	}
	if fail := s.hello(); fail != nil {
		return fail
	}
	if _, offered := s.ext["STARTTLS"]; !offered || !secure {
		return nil
	}
	rep, err = s.wire.ask(s.o.Timeouts.StartTLS, "STARTTLS")
	switch {
	case err != nil:
		f := s.fail(PhaseTLS, err)
		f.shake = true // offered, and then the peer could not: the same as a bad handshake
		return f
	case rep.code == 421:
		return s.refused(PhaseTLS, rep)
	case rep.class() != 2:
		return nil // offered but not to be had now: opportunistic means in clear
	}
	if err := s.handshake(ctx); err != nil {
		f := s.fail(PhaseTLS, err)
		f.shake = true
		return f
	}
	return s.hello() // what was said before TLS counts for nothing
}

// hello says EHLO, or HELO to a server that does not know it.
func (s *session) hello() *failure {
	s.ext, s.esmtp = map[string]string{}, false
	rep, err := s.wire.ask(s.o.Timeouts.Hello, "EHLO %s", s.o.Hostname)
	if err != nil {
		return s.fail(PhaseHello, err)
	}
	if rep.class() == 5 {
		if rep, err = s.wire.ask(s.o.Timeouts.Hello, "HELO %s", s.o.Hostname); err != nil {
			return s.fail(PhaseHello, err)
		}
		if rep.class() != 2 {
			return s.refused(PhaseHello, rep)
		}
		return nil
	}
	if rep.class() != 2 {
		return s.refused(PhaseHello, rep)
	}
	s.esmtp = true
	for _, line := range rep.lines[1:] {
		word, param, _ := strings.Cut(line, " ")
		s.ext[strings.ToUpper(word)] = strings.TrimSpace(param)
	}
	return nil
}

// handshake changes to TLS. Nothing that came before it is read after it.
func (s *session) handshake(ctx context.Context) error {
	var verified bool
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12,
		Time:       s.o.Now,
		// Opportunistic TLS takes any certificate: the alternative is no TLS
		// at all (RFC 7435 §3). Whether it would have passed is recorded.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			verified = s.trustworthy(cs)
			return nil
		},
	}
	if _, err := netip.ParseAddr(s.hop.host); err != nil {
		conf.ServerName = s.hop.host
	}
	if err := s.wire.arm(net.Conn.SetDeadline, s.o.Timeouts.TLS); err != nil {
		return err
	}
	conn := tls.Client(s.wire.conn, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	state := conn.ConnectionState()
	s.tls = TLSInfo{
		Version:  tls.VersionName(state.Version),
		Cipher:   tls.CipherSuiteName(state.CipherSuite),
		Verified: verified,
	}
	s.wire.reset(conn)
	return nil
}

func (s *session) trustworthy(cs tls.ConnectionState) bool {
	if len(cs.PeerCertificates) == 0 {
		return false
	}
	opts := x509.VerifyOptions{DNSName: s.hop.host, Roots: s.o.Roots, CurrentTime: s.o.Now(), Intermediates: x509.NewCertPool()}
	for _, cert := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := cs.PeerCertificates[0].Verify(opts)
	return err == nil
}

func (s *session) has(keyword string) bool {
	_, ok := s.ext[keyword]
	return ok
}

// fail makes an error a verdict, with the session's particulars.
func (s *session) fail(p Phase, err error) *failure {
	return &failure{phase: p, err: s.wire.story(err), host: s.hop.host, remote: s.key, tls: s.tls, relay: s.hop.relay}
}

// refused makes a reply a verdict.
func (s *session) refused(p Phase, rep *reply) *failure {
	f := s.fail(p, nil)
	f.reply = rep
	return f
}

// verdict makes our own judgement one.
func (s *session) verdict(p Phase, enhanced, format string, args ...any) *failure {
	f := s.fail(p, nil)
	f.final, f.enhanced, f.text = true, enhanced, fmt.Sprintf(format, args...)
	return f
}

// drop closes without a word.
func (s *session) drop() {
	s.wire.close()
	s.count(-1)
}

// quit says goodbye and closes.
func (s *session) quit() {
	s.wire.write = s.o.Timeouts.Quit
	s.wire.ask(s.o.Timeouts.Quit, "QUIT")
	s.drop()
}

// stale reports bytes that nobody asked for: the peer has lost step, or said
// 421 while we were idle.
func (s *session) stale() bool { return s.wire.r.Buffered() > 0 }

var errUnasked = errors.New("the peer speaks unasked")
