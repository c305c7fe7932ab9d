package smtpd

import (
	"context"
	"crypto/tls"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/gateway/intake"
)

// Options are what a Server needs from the world. Hostname, Intake, Now and
// Random are required.
type Options struct {
	Hostname string
	Intake   *intake.Intake
	TLS      *tls.Config // nil = no STARTTLS; a copy is made
	// ClientCerts asks clients for a certificate. Any will do, as what counts is
	// that the client has its key; whom it belongs to is the desk's business.
	ClientCerts bool
	Auth        Authenticator // who may hand in mail; nil = no submission listeners
	// Domains are ours. A recipient elsewhere is refused as relaying (550 5.7.1),
	// an unknown one here as unknown (550 5.1.1). Empty makes no difference
	// between the two; neither is ever accepted.
	// They are written as A-labels.
	Domains []string
	// NullMX says whether a sender's domain declares that it has no mail
	// (RFC 7505): nobody could answer it. It is asked of strangers' senders, for
	// at most nullMXTime; what is not known by then is taken for false. nil asks
	// nobody.
	NullMX func(ctx context.Context, domain string) bool
	// Proxies are networks of load balancers of ours. A connection from there
	// must begin with a PROXY header (version 1 or 2), and counts as its
	// client's. A header from anywhere else ends the session.
	Proxies  []netip.Prefix
	Panicked func() // counts a panic that was recovered; nil counts none
	Limits   Limits
	Now      func() time.Time
	// Sleep waits, or returns early when ctx ends. nil waits by the clock.
	Sleep      func(ctx context.Context, d time.Duration)
	Random     io.Reader             // for ids in replies and logs
	Log        *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil keeps no metrics
	// Redact shortens addresses for the log; nil keeps a first letter and the
	// domain.
	Redact func(addr string) string
}

// Server runs SMTP sessions on any number of listeners.
type Server struct {
	o       Options
	intake  *intake.Intake
	metrics *metrics
	limiter *limiter
	guesses *guesses
	domains map[string]bool // ours, folded
	prefix  string
	serial  atomic.Uint64

	// ctx ends when draining begins: nobody is kept waiting then.
	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex
	draining  bool
	listeners map[net.Listener]bool
	guards    map[*guard]bool
	headers   int            // connections of proxies whose header has not come yet
	hurried   time.Time      // when idle sessions were last looked at
	work      sync.WaitGroup // guards and running Data calls
}

// New returns a server without listeners.
func New(o Options) (*Server, error) {
	if o.Hostname == "" || o.Intake == nil || o.Now == nil || o.Random == nil {
		return nil, errors.New("smtpd: Hostname, Intake, Now and Random are required")
	}
	o.Limits = o.Limits.withDefaults()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Panicked == nil {
		o.Panicked = func() {}
	}
	if o.Redact == nil {
		o.Redact = redact
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		if o.ClientCerts {
			o.TLS.ClientAuth = tls.RequestClientCert
		}
		// Outlook.com's senders fail on Go's TLS 1.3 session tickets.
		o.TLS.SessionTicketsDisabled = true
		o.TLS.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS12)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("smtpd: %w", err)
	}
	var seed [5]byte
	if _, err := io.ReadFull(o.Random, seed[:]); err != nil {
		return nil, fmt.Errorf("smtpd: random source: %w", err)
	}
	s := &Server{
		o: o, intake: o.Intake, metrics: m,
		prefix:    strings.ToLower(base32.StdEncoding.EncodeToString(seed[:])),
		listeners: map[net.Listener]bool{},
		guards:    map[*guard]bool{},
	}
	s.limiter = newLimiter(&s.o.Limits, o.Now)
	s.guesses = newGuesses(&s.o.Limits, o.Now)
	s.domains = make(map[string]bool, len(o.Domains))
	for _, d := range o.Domains {
		s.domains[strings.ToLower(d)] = true
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// id returns a name for a connection or a message that no other has, as long as
// two starts of the daemon draw different prefixes.
func (s *Server) id() string { return s.prefix + strconv.FormatUint(s.serial.Add(1), 36) }

// Serve accepts connections from l until l is closed or the server shuts down;
// then it returns nil. name is the kind of the listener.
func (s *Server) Serve(l net.Listener, name string) error {
	k, err := s.kindOf(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return l.Close()
	}
	s.listeners[l] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	var pause time.Duration
	for {
		c, err := l.Accept()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of descriptors, most likely: sessions that end will heal it.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.o.Log.Error("smtp accept", "listener", name, "err", err, "retry_in", pause)
			s.o.Sleep(s.ctx, pause)
			continue
		}
		pause = 0
		s.admit(c, k)
	}
}

// admit takes a new connection.
func (s *Server) admit(c net.Conn, k kind) {
	peer := peerOf(c)
	if !s.proxied(peer) {
		s.let(c, peer, k)
		return
	}
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		c.Close() // as for the headers that are being waited for
		return
	}
	if s.headers >= s.o.Limits.Total {
		s.mu.Unlock()
		s.turnAway(c, peer, k, full)
		return
	}
	s.headers++
	s.work.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.work.Done()
		s.unwrap(c, peer, k)
		s.mu.Lock()
		s.headers--
		s.mu.Unlock()
	}()
}

// let lets a connection in or turns it away.
func (s *Server) let(c net.Conn, peer netip.Addr, k kind) {
	free := k.trusted || !peer.IsValid() || s.proxied(peer) || s.o.Limits.unlimited(peer)
	why := s.limiter.enter(peer, free)
	if why == "" {
		g := newGuard(s, c, peer, k)
		g.onClose = func() { s.forget(g, free) }
		s.mu.Lock()
		if !s.draining {
			s.guards[g] = true
			s.work.Add(1)
			s.mu.Unlock()
			s.metrics.connection(k.name, "accepted")
			s.metrics.open.WithLabelValues(k.name).Inc()
			go s.converse(g)
			return
		}
		s.mu.Unlock()
		s.limiter.leave(peer, free)
		why = "going down"
	}
	s.turnAway(c, peer, k, why)
	if why == full {
		s.hurry()
	}
}

// hurry ends sessions that have been idle for longer than there is patience for
// under stress. Those that pause later notice by themselves.
func (s *Server) hurry() {
	now := s.o.Now()
	s.mu.Lock()
	if now.Sub(s.hurried) < time.Second {
		s.mu.Unlock()
		return
	}
	s.hurried = now
	guards := slices.Collect(maps.Keys(s.guards))
	s.mu.Unlock()
	for _, g := range guards {
		g.hurry()
	}
}

func peerOf(c net.Conn) netip.Addr {
	if ap, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func (s *Server) forget(g *guard, free bool) {
	s.mu.Lock()
	delete(s.guards, g)
	s.mu.Unlock()
	s.limiter.leave(g.peer, free)
	s.metrics.open.WithLabelValues(g.kind.name).Dec()
	g.mu.Lock()
	reason := g.reason
	g.mu.Unlock()
	if reason != "" && reason != "closed by peer" {
		s.o.Log.Info("smtp session ended", "conn", g.trace, "listener", g.kind.name, "peer", g.peer, "why", reason)
	}
	s.work.Done()
}

// converse runs one session.
func (s *Server) converse(g *guard) {
	if early := s.silence(g); early {
		g.fail("554 5.5.0 "+s.o.Hostname+" You spoke before the greeting", "early_talker")
		g.Close()
		return
	}
	lib := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return s.open(g, c) }))
	lib.Domain = s.o.Hostname
	lib.TLSConfig = s.o.TLS
	lib.MaxRecipients = s.o.Limits.Recipients
	lib.MaxMessageBytes = s.intake.MaxSize() + 1 // the library's limit excludes itself
	lib.MaxLineLength = s.o.Limits.Line
	lib.EnableSMTPUTF8 = true
	lib.LMTP = g.kind.name == LMTP
	// Where nobody can authenticate the session offers no mechanism. Allowing it
	// in principle makes the answer an honest 504 instead of "TLS is required".
	lib.AllowInsecureAuth = !g.kind.auth
	lib.ErrorLog = &libraryLog{s.o.Log, g.trace}
	lib.Debug = tapped{g}
	var conn net.Conn = g
	if g.kind.implicit {
		if conn = s.handshake(g); conn == nil {
			return
		}
	}
	lib.Serve(&single{conn: conn})
}

// handshake begins TLS on a connection that has nothing else on it; nil if it
// failed, which ended the session.
func (s *Server) handshake(g *guard) net.Conn {
	conn := tls.Server(g, s.o.TLS)
	g.mu.Lock()
	g.tap.tls = true
	g.begin(handshake)
	g.mu.Unlock()
	if err := conn.Handshake(); err != nil {
		g.flush() // the alert
		g.failed("tls_failed")
		s.metrics.connection(g.kind.name, "tls_failed")
		s.o.Log.Debug("smtp handshake", "conn", g.trace, "peer", g.peer, "err", err)
		g.Close()
		return nil
	}
	g.secured(conn)
	return conn
}

// silence waits for the greeting's turn and reports whether the peer spoke
// first.
func (s *Server) silence(g *guard) bool {
	wait := s.o.Limits.PreGreet
	if wait <= 0 || g.kind.name != MX || !g.peer.IsValid() || g.peer.IsLoopback() || s.o.Limits.unlimited(g.peer) {
		return false
	}
	g.Conn.SetReadDeadline(s.o.Now().Add(wait))
	var one [1]byte
	n, _ := g.Conn.Read(one[:])
	return n > 0
}

// single is a listener with one connection, which go-smtp then serves in a
// goroutine of its own.
type single struct {
	conn net.Conn
}

func (l *single) Accept() (net.Conn, error) {
	c := l.conn
	l.conn = nil
	if c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *single) Close() error   { return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

// libraryLog receives what go-smtp has to say. Its panics are commands that were
// pipelined behind the end of a session, for which the library has no session
// any more: no news, since ours are recovered by the session itself.
type libraryLog struct {
	log  *slog.Logger
	conn string
}

func (l *libraryLog) Printf(format string, v ...any) {
	l.log.Debug("smtp library", "conn", l.conn, "text", oneLine(fmt.Sprintf(format, v...)))
}
func (l *libraryLog) Println(v ...any) {
	l.log.Debug("smtp library", "conn", l.conn, "text", oneLine(fmt.Sprintln(v...)))
}

// Shutdown stops accepting, ends idle sessions at once with 421, gives messages
// that are coming in Limits.Drain to arrive, and returns when every session has
// ended. A message that is complete is always answered; if ctx ends before that,
// Shutdown returns its error while those answers are still on their way, so ctx
// should allow Drain and Store together.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	s.cancel()
	s.poke(false)

	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	patience := time.NewTimer(s.o.Limits.Drain)
	defer patience.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	case <-patience.C:
	}
	s.poke(true)
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poke tells every session that the server is going down.
func (s *Server) poke(cut bool) {
	s.mu.Lock()
	guards := slices.Collect(maps.Keys(s.guards))
	s.mu.Unlock()
	for _, g := range guards {
		g.poke(cut)
	}
}
