package smtpd

import (
	"context"
	"crypto/tls"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/gateway/intake"
)

// MX is the kind of a listener that strangers deliver mail to: no relaying, no
// AUTH.
const MX = "mx"

// Options are what a Server needs from the world. Hostname, Intake, Now and
// Random are required.
type Options struct {
	Hostname string
	Intake   *intake.Intake
	TLS      *tls.Config // nil = no STARTTLS; a copy is made
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
	prefix  string
	serial  atomic.Uint64

	// ctx ends when draining begins: nobody is kept waiting then.
	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex
	draining  bool
	listeners map[net.Listener]bool
	guards    map[*guard]bool
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
	if o.Redact == nil {
		o.Redact = redact
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
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
// then it returns nil. kind is MX.
func (s *Server) Serve(l net.Listener, kind string) error {
	if kind != MX {
		return fmt.Errorf("smtpd: unknown kind of listener %q", kind)
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
			s.o.Log.Error("smtp accept", "listener", kind, "err", err, "retry_in", pause)
			s.o.Sleep(s.ctx, pause)
			continue
		}
		pause = 0
		s.admit(c, kind)
	}
}

// admit lets a connection in or turns it away.
func (s *Server) admit(c net.Conn, kind string) {
	peer := peerOf(c)
	why := s.limiter.enter(peer)
	if why == "" {
		g := newGuard(s, c, peer, kind, nil)
		g.onClose = func() { s.forget(g) }
		s.mu.Lock()
		if !s.draining {
			s.guards[g] = true
			s.work.Add(1)
			s.mu.Unlock()
			s.metrics.connection(kind, "accepted")
			s.metrics.open.WithLabelValues(kind).Inc()
			go s.converse(g)
			return
		}
		s.mu.Unlock()
		s.limiter.leave(peer)
		why = "going down"
	}
	s.metrics.connection(kind, "limited")
	s.metrics.rejected("rate")
	s.o.Log.Warn("smtp connection refused", "listener", kind, "peer", peer, "why", why)
	// A fresh socket takes one line without waiting; whoever arranges that it
	// does not is cut off.
	c.SetWriteDeadline(s.o.Now().Add(time.Second))
	fmt.Fprintf(c, "421 4.7.0 %s %s, try again later (%s)\r\n", s.o.Hostname, why, s.id())
	c.Close()
}

func peerOf(c net.Conn) netip.Addr {
	if ap, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func (s *Server) forget(g *guard) {
	s.mu.Lock()
	delete(s.guards, g)
	s.mu.Unlock()
	s.limiter.leave(g.peer)
	s.metrics.open.WithLabelValues(g.listener).Dec()
	g.mu.Lock()
	reason := g.reason
	g.mu.Unlock()
	if reason != "" && reason != "closed by peer" {
		s.o.Log.Info("smtp session ended", "conn", g.trace, "listener", g.listener, "peer", g.peer, "why", reason)
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
	// Nobody can authenticate here: the session offers no mechanism. Allowing it
	// in principle makes the answer an honest 504 instead of "TLS is required".
	lib.AllowInsecureAuth = true
	lib.ErrorLog = &libraryLog{s.o.Log, g.trace}
	lib.Debug = tapped{g}
	lib.Serve(&single{conn: g})
}

// silence waits for the greeting's turn and reports whether the peer spoke
// first.
func (s *Server) silence(g *guard) bool {
	wait := s.o.Limits.PreGreet
	if wait <= 0 || !g.peer.IsValid() || g.peer.IsLoopback() || s.o.Limits.unlimited(g.peer) {
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
	guards := make([]*guard, 0, len(s.guards))
	for g := range s.guards {
		guards = append(guards, g)
	}
	s.mu.Unlock()
	for _, g := range guards {
		g.poke(cut)
	}
}
