package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// session is a connection on which EHLO has been answered.
type session struct {
	o     *Options
	wire  *wire
	key   string // the pool's
	addr  string // the peer's
	hop   hop
	esmtp bool
	ext   map[string]string // EHLO keywords in upper case → parameters
	state *tls.ConnectionState
	tls   TLSInfo
	born  time.Time
	sent  int // transactions
	count func(delta float64)
}

// open dials and brings a session up: greeting, EHLO, TLS as the policy wants
// it, login. Where TLS is only opportunistic, a failed handshake is followed by
// one more connection, in clear.
func (c *Courier) open(ctx context.Context, k *call) (*session, *failure) {
	chance := k.policy.security == Opportunistic
	clear := k.policy.security == Clear || chance && c.broken.has(ctx, k.hop.host, c.o.Now())
	s, fail := c.connect(ctx, k, !clear)
	if fail != nil && fail.shake && chance && ctx.Err() == nil {
		c.broken.add(ctx, k.hop.host, c.o.Now())
		c.met.fallbacks.Inc()
		c.o.Log.Warn("TLS handshake failed, going on in clear", "host", k.hop.host, "addr", k.pair.addr, "cause", fail.err)
		s, fail = c.connect(ctx, k, false)
		clear = true
	}
	if s != nil {
		s.tls.Fallback = chance && clear && s.state == nil
		version := "none"
		if s.state != nil {
			version = s.tls.Version
		}
		c.met.sessions.WithLabelValues(s.tls.Policy, version, strconv.FormatBool(s.tls.Verified)).Inc()
		if k.policy.testing && !s.tls.Verified {
			c.tested(k.hop.host, "TLS or its certificate is not what the policy asks for")
		}
	}
	return s, fail
}

func (c *Courier) connect(ctx context.Context, k *call, secure bool) (*session, *failure) {
	t := &c.o.Timeouts
	network := "tcp"
	if k.hop.socket != "" {
		network = "unix"
	}
	dctx, cancel := context.WithTimeout(ctx, t.Dial)
	var conn net.Conn
	var err error
	if k.pair.from.IsValid() {
		conn, err = c.o.DialFrom(dctx, k.pair.from, network, k.pair.addr)
	} else {
		conn, err = c.o.Dial(dctx, network, k.pair.addr)
	}
	cancel()
	if err != nil {
		return nil, &failure{phase: PhaseDial, err: err, host: k.hop.host, remote: k.pair.addr, relay: k.hop.relay, route: k.hop.route, tls: TLSInfo{Policy: k.policy.source}}
	}
	s := &session{
		o: &c.o, key: k.key(), addr: k.pair.addr, hop: k.hop, born: c.o.Now(), tls: TLSInfo{Policy: k.policy.source},
		wire:  newWire(conn, c.o.Now, t.Write),
		count: c.met.open.WithLabelValues(Provider(k.hop.host)).Add,
	}
	s.count(1)
	release := s.wire.watch(ctx)
	fail := s.greet(ctx, &k.policy, secure)
	if fail == nil && k.way.Login != nil {
		fail = s.authenticate(ctx, k.way.Login, k.way.Host)
	}
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
func (s *session) greet(ctx context.Context, pol *policy, secure bool) *failure {
	implicit := pol.security == Implicit || pol.security == ImplicitAny
	if implicit {
		if fail := s.handshake(ctx, pol); fail != nil {
			return fail
		}
	}
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
	if secure && !implicit {
		if fail := s.startTLS(ctx, pol); fail != nil {
			return fail
		}
	}
	if pol.requireTLS && !s.has("REQUIRETLS") {
		f := s.verdict(PhaseTLS, "5.7.30", "the mail requires TLS to the end, which the server does not promise")
		f.err = errPromise
		return f
	}
	return nil
}

// startTLS changes to TLS if the server offers it, and fails if it does not
// and the policy wants it.
func (s *session) startTLS(ctx context.Context, pol *policy) *failure {
	if !s.has("STARTTLS") {
		return s.withoutTLS(pol, nil)
	}
	rep, err := s.wire.ask(s.o.Timeouts.StartTLS, "STARTTLS")
	switch {
	case err != nil:
		f := s.fail(PhaseTLS, err)
		f.shake = true // offered, and then the peer could not: the same as a bad handshake
		return f
	case rep.code == 421:
		return s.refused(PhaseTLS, rep)
	case rep.class() != 2:
		return s.withoutTLS(pol, rep)
	}
	if fail := s.handshake(ctx, pol); fail != nil {
		return fail
	}
	return s.hello() // what was said before TLS counts for nothing
}

// withoutTLS is the end where TLS is a must. Opportunistic means in clear.
func (s *session) withoutTLS(pol *policy, rep *reply) *failure {
	if !pol.mustEncrypt() {
		return nil
	}
	f := s.fail(PhaseTLS, errNoTLS)
	f.reply = rep
	f.enhanced, f.text = "4.7.10", "TLS is required ("+pol.source+") and the server does not offer it"
	return f
}

// hello says EHLO, or HELO to a server that does not know it; to an LMTP
// server LHLO.
func (s *session) hello() *failure {
	s.ext, s.esmtp = map[string]string{}, false
	verb := "EHLO"
	if s.hop.lmtp {
		verb = "LHLO"
	}
	rep, err := s.wire.ask(s.o.Timeouts.Hello, verb+" %s", s.o.Hostname)
	if err != nil {
		return s.fail(PhaseHello, err)
	}
	if rep.class() == 5 && !s.hop.lmtp {
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
		if rest, old := strings.CutPrefix(line, "AUTH="); old {
			word, param = "AUTH", s.ext["AUTH"]+" "+rest // as servers spoke before RFC 2554
		}
		s.ext[strings.ToUpper(word)] = strings.TrimSpace(param)
	}
	return nil
}

// handshake changes to TLS. Nothing that came before it is read after it.
func (s *session) handshake(ctx context.Context, pol *policy) *failure {
	var verified bool
	var doubt error
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12,
		Time:       s.o.Now,
		// Opportunistic TLS takes any certificate: the alternative is no TLS
		// at all (RFC 7435 §3). Whether it would have passed is recorded; where
		// a policy asks for more, its check is the one below.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			verified, doubt = pol.satisfied(&cs, s.o)
			return doubt
		},
	}
	name := s.hop.host
	if pol.dane {
		name = s.hop.base // RFC 7672 §8.1
	}
	if _, err := netip.ParseAddr(name); err != nil && s.hop.socket == "" {
		conf.ServerName = name
	}
	err := s.wire.arm(net.Conn.SetDeadline, s.o.Timeouts.TLS)
	conn := tls.Client(s.wire.conn, conf)
	if err == nil {
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		f := s.fail(PhaseTLS, err)
		f.shake = true
		if doubt != nil {
			f.enhanced, f.text = "4.7.5", "the server's certificate does not stand up to the check ("+pol.source+")"
		}
		return f
	}
	state := conn.ConnectionState()
	s.state = &state
	s.tls.Version, s.tls.Cipher, s.tls.Verified = tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), verified
	s.wire.reset(conn)
	return nil
}

func (s *session) has(keyword string) bool {
	_, ok := s.ext[keyword]
	return ok
}

// fail makes an error a verdict, with the session's particulars.
func (s *session) fail(p Phase, err error) *failure {
	return &failure{phase: p, err: s.wire.story(err), host: s.hop.host, remote: s.addr, tls: s.tls, relay: s.hop.relay, route: s.hop.route}
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
