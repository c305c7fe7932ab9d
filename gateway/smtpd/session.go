package smtpd

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"ticketgate/gateway/intake"
	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// session is one peer between EHLO and the end, or between EHLO and STARTTLS.
// go-smtp runs Data of a BDAT message in a goroutine of its own and calls Reset
// and Logout meanwhile; the transaction is therefore a value of its own that
// Data takes along and Reset only lets go of.
type session struct {
	s    *Server
	g    *guard
	helo string
	tls  *intake.TLS

	certificate string // of the client, as intake.Envelope wants it

	account  *Account // who has authenticated; nil = nobody
	refusals int      // failed logins

	mu     sync.Mutex
	tx     *transaction
	misses int // unknown recipients
	// spent: a message in chunks was left before its end. go-smtp delivers the
	// result of its goroutine through a field that the next message in chunks
	// replaces, unsynchronised; the late result of one could become the answer
	// to the other. So there is no next message in this session. Upstream, the
	// goroutine should hold its channel in a variable.
	spent bool
}

// transaction is what MAIL began. It does not change once Data has it.
type transaction struct {
	from       string
	utf8       bool
	recipients []string
}

// open is called at the first EHLO or HELO, and again after STARTTLS.
func (s *Server) open(g *guard, c *smtp.Conn) (sess smtp.Session, err error) {
	defer s.recover(g, &err)
	if g.gone() {
		return nil, errGone
	}
	p := &session{s: s, g: g, helo: c.Hostname()}
	if conn, ok := c.Conn().(*tls.Conn); ok {
		state := conn.ConnectionState()
		p.tls = &intake.TLS{Version: tlsVersion(state.Version), Cipher: tls.CipherSuiteName(state.CipherSuite)}
		if len(state.PeerCertificates) > 0 {
			key := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
			p.certificate = hex.EncodeToString(key[:])
		}
		g.secured(conn)
		s.metrics.tlsSessions.WithLabelValues("in", p.tls.Version).Inc()
	}
	return p, nil
}

// recover turns a panic of ours into a temporary error.
func (s *Server) recover(g *guard, err *error) {
	v := recover()
	if v == nil {
		return
	}
	id := s.id()
	s.o.Panicked()
	s.o.Log.Error("smtp panic", "conn", g.trace, "id", id, "panic", v, "stack", string(debug.Stack()))
	if err != nil {
		*err = say(451, 4, 3, 0, "temporary problem on our side ("+id+")", "internal").wire()
	}
}

// Reset lets go of the transaction.
func (p *session) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tx = nil
}

// Logout ends the session.
func (p *session) Logout() error {
	p.Reset()
	return nil
}

// refuse counts a refusal and returns it in go-smtp's form: it knows only bare
// *smtp.SMTPError values, everything else becomes a permanent error with our
// text in it.
func (p *session) refuse(r *reply) *smtp.SMTPError {
	p.s.metrics.rejected(r.reason)
	return r.wire()
}

// observe measures a command. The result is looked at when it is final.
func (p *session) observe(name string, start time.Time, err *error) {
	code := 250
	var e *smtp.SMTPError
	if errors.As(*err, &e) {
		code = e.Code
	}
	p.s.metrics.command(p.g.kind.name, name, code, p.s.o.Now().Sub(start))
}

// Mail begins a transaction.
func (p *session) Mail(from string, opts *smtp.MailOptions) (err error) {
	defer p.observe("mail", p.s.o.Now(), &err)
	defer p.s.recover(p.g, &err)
	if p.g.gone() {
		return errGone
	}
	p.mu.Lock()
	nested, spent := p.tx != nil, p.spent
	p.mu.Unlock()
	if spent {
		return p.g.fail("421 4.3.0 "+p.s.o.Hostname+" A message was left unfinished, please connect again", "protocol")
	}
	if nested {
		return p.refuse(say(503, 5, 5, 1, "Nested MAIL command, send RSET first", "protocol"))
	}
	if p.g.kind.auth && p.account == nil {
		return p.refuse(say(530, 5, 7, 0, "Authentication required", "auth"))
	}
	tx := &transaction{}
	if opts != nil {
		tx.utf8 = opts.UTF8
		if opts.Size > p.s.intake.MaxSize() {
			return p.refuse(say(552, 5, 3, 4, "Message larger than we take", "size"))
		}
	}
	if from != "" {
		if tx.from, err = p.address(from, tx.utf8, 553, 7); err != nil {
			return err
		}
	}
	if p.account != nil && !p.account.owns(tx.from) {
		return p.refuse(say(550, 5, 7, 1, "You may send only from your own addresses", "policy"))
	}
	if p.mailless(tx.from) {
		return p.refuse(say(550, 5, 7, 27, "The sender's domain takes no mail (RFC 7505)", "address"))
	}
	if err := p.s.intake.Space(); err != nil {
		return p.refused("no space for mail", err)
	}
	p.g.mu.Lock()
	p.g.refill()
	p.g.mu.Unlock()
	p.mu.Lock()
	p.tx = tx
	p.mu.Unlock()
	return nil
}

// nullMXTime is how long MAIL waits for the DNS.
const nullMXTime = 2 * time.Second

// mailless reports whether nobody could ever answer a stranger's sender.
func (p *session) mailless(from string) bool {
	if p.s.o.NullMX == nil || p.g.kind.name != MX || from == "" {
		return false
	}
	folded := message.Fold(from)
	domain := folded[strings.LastIndexByte(folded, '@')+1:]
	if strings.HasPrefix(domain, "[") {
		return false
	}
	ctx, cancel := context.WithTimeout(p.s.ctx, nullMXTime)
	defer cancel()
	return p.s.o.NullMX(ctx, domain)
}

// address checks a path; detail is the last figure of its enhanced code.
func (p *session) address(path string, utf8 bool, code, detail int) (string, error) {
	addr, err := mailbox(path)
	if err != nil {
		p.s.o.Log.Debug("smtp address refused", "conn", p.g.trace, "err", err)
		return "", p.refuse(say(code, 5, 1, detail, "Not a mail address we can use", "address"))
	}
	if !utf8 && !ascii(addr) {
		return "", p.refuse(say(553, 5, 6, 7, "Non-ASCII address without SMTPUTF8", "address"))
	}
	return addr, nil
}

// refused maps an error of the house to a reply and tells the operator the
// story when the fault is ours.
func (p *session) refused(what string, err error) *smtp.SMTPError {
	id := p.s.id()
	r := replyTo(err, id)
	level := slog.LevelInfo
	if r.Code < 500 {
		level = slog.LevelError
	}
	p.s.o.Log.Log(context.Background(), level, "smtp "+what, "conn", p.g.trace, "id", id, "code", r.Code, "err", err)
	return p.refuse(r)
}

// Rcpt asks where a recipient leads.
func (p *session) Rcpt(to string, _ *smtp.RcptOptions) (err error) {
	defer p.observe("rcpt", p.s.o.Now(), &err)
	defer p.s.recover(p.g, &err)
	if p.g.gone() {
		return errGone
	}
	p.mu.Lock()
	tx := p.tx
	p.mu.Unlock()
	if tx == nil {
		return p.refuse(say(503, 5, 5, 1, "Send MAIL first", "protocol"))
	}
	// Bounces go to one address; a list of them under a null sender is spam.
	if tx.from == "" && len(tx.recipients) >= 1 {
		return p.refuse(say(452, 4, 5, 3, "One recipient at a time from the null sender", "recipients"))
	}
	addr, err := p.address(to, tx.utf8, 501, 3)
	if err != nil {
		return err
	}
	if !p.s.ours(addr) {
		return p.missed(addr, say(550, 5, 7, 1, "We do not relay", "relay"))
	}
	if _, err := p.s.intake.Route(context.Background(), addr); err != nil {
		if ticketing.KindOf(err) == ticketing.Unknown {
			return p.missed(addr, say(550, 5, 1, 1, "No such recipient here", "unknown_recipient"))
		}
		return p.refused("recipient", err)
	}
	if !slices.Contains(tx.recipients, addr) {
		tx.recipients = append(tx.recipients, addr)
	}
	return nil
}

// ours reports whether a recipient's domain is ours, or may be.
func (s *Server) ours(addr string) bool {
	folded := message.Fold(addr)
	return len(s.domains) == 0 || s.domains[folded[strings.LastIndexByte(folded, '@')+1:]]
}

// missed answers a recipient we do not have: later ones slower, too many not at
// all.
func (p *session) missed(addr string, r *reply) error {
	p.misses++
	p.s.o.Log.Info("smtp unknown recipient", "conn", p.g.trace, "peer", p.g.peer, "to", p.s.o.Redact(addr), "misses", p.misses)
	l := p.g.kind.limits
	if p.misses > l.TarpitAfter {
		p.s.o.Sleep(p.s.ctx, l.Tarpit)
	}
	if p.misses > l.Misses {
		return p.g.fail("421 4.7.0 "+p.s.o.Hostname+" Too many unknown recipients", "rate")
	}
	return p.refuse(r)
}

// Data takes one message, from DATA or BDAT alike.
func (p *session) Data(r io.Reader) (err error) {
	// A BDAT message runs beside its connection and may outlive it.
	if !p.g.work() {
		return errGone
	}
	defer p.s.work.Done()
	defer p.s.recover(p.g, &err)
	p.mu.Lock()
	tx := p.tx
	_, chunked := r.(*io.PipeReader)
	p.spent = chunked
	p.mu.Unlock()
	if tx == nil || len(tx.recipients) == 0 {
		return p.refuse(say(503, 5, 5, 1, "Send MAIL and RCPT first", "protocol"))
	}
	p.g.enter(receiving)
	defer p.g.enter(commanding)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	trace := p.s.id()
	body := &body{r: r, p: p, cancel: cancel, began: p.s.o.Now()}
	defer body.stop()
	if !chunked {
		body.held = make([]byte, 0, len(unseen))
	}
	env := intake.Envelope{
		Source:     p.g.kind.source,
		From:       tx.from,
		Recipients: tx.recipients,
		RemoteIP:   p.g.peer,
		HELO:       p.helo,
		ESMTP:      true,
		TLS:        p.tls,
		UTF8:       tx.utf8,

		Certificate: p.certificate,
		Trace:       trace,
	}
	if p.account != nil {
		env.User = p.account.User
		if !p.account.Anyone {
			env.Senders = p.account.Addresses
		}
	}
	receipt, err := p.s.intake.Receive(ctx, env, body)
	if err != nil && chunked && p.g.kind.name == LMTP {
		// Refused before its last chunk was read, the message would get one reply
		// from the library where LMTP owes one to each recipient.
		_, _ = io.Copy(io.Discard, body)
	}
	return p.conclude(tx, body, trace, receipt, err)
}

// conclude turns what became of a message into its reply, its log line and its
// counts.
func (p *session) conclude(tx *transaction, b *body, trace string, receipt *ticketing.Receipt, err error) error {
	now := p.s.o.Now()
	var answer *smtp.SMTPError
	outcome, level := "accepted", slog.LevelInfo
	switch {
	case err == nil:
		answer = &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Ok: " + receipt.ID}
		p.g.progress()
	case p.g.gone() || errors.Is(err, errCut):
		answer, outcome = errGone, "aborted"
	default:
		r := replyTo(err, trace)
		answer, outcome = p.refuse(r), r.reason
		if r.Code < 500 {
			level = slog.LevelError
		}
	}
	if outcome != "aborted" {
		p.s.metrics.message(p.g.kind.name, answer.Code, b.size)
		if !b.ended.IsZero() {
			p.s.metrics.command(p.g.kind.name, "data", answer.Code, now.Sub(b.ended))
		}
	}
	attrs := []slog.Attr{
		slog.String("trace", trace), slog.String("conn", p.g.trace), slog.String("listener", p.g.kind.name),
		slog.Any("peer", p.g.peer), slog.Bool("tls", p.tls != nil), slog.String("from", p.s.o.Redact(tx.from)),
		slog.Int("rcpts", len(tx.recipients)), slog.String("to", p.s.o.Redact(tx.recipients[0])),
		slog.Int64("size", b.size), slog.String("outcome", outcome), slog.Int64("ms", now.Sub(b.began).Milliseconds()),
	}
	if err != nil {
		attrs = append(attrs, slog.Int("code", answer.Code), slog.Any("err", err))
	} else {
		attrs = append(attrs, slog.String("receipt", receipt.ID))
	}
	p.s.o.Log.LogAttrs(context.Background(), level, "smtp message", attrs...)
	return answer
}
