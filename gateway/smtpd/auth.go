package smtpd

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"ticketgate/ticketing/message"
)

// Account is who has authenticated.
type Account struct {
	User      string   // the agent's id
	Addresses []string // the only ones he sends from
	Anyone    bool     // a mail server of ours: it may name any sender
}

// owns says whether the account may send from an address.
func (a *Account) owns(addr string) bool {
	if a.Anyone {
		return true
	}
	for _, own := range a.Addresses {
		if message.Fold(own) == message.Fold(addr) {
			return true
		}
	}
	return false
}

// Authenticator knows accounts and their secrets. It must take the same time
// for an unknown user as for a wrong secret. ErrCredentials says that the two
// do not belong together; any other error is a fault of ours.
type Authenticator interface {
	Authenticate(ctx context.Context, user, secret string) (*Account, error)
}

// ErrCredentials refuses a login.
var ErrCredentials = errors.New("smtpd: user and secret do not belong together")

// loginTime bounds the look-up of an account.
const loginTime = 10 * time.Second

// AuthMechanisms says what EHLO offers: PLAIN and LOGIN, inside TLS, where
// agents hand in mail. Secrets are random tokens of which only a hash is kept,
// so SCRAM would add nothing but a second form of them; the library has none.
func (p *session) AuthMechanisms() []string {
	if !p.g.kind.auth || p.tls == nil {
		return nil
	}
	return []string{sasl.Plain, sasl.Login}
}

// Auth begins a login.
func (p *session) Auth(mechanism string) (sasl.Server, error) {
	if p.g.gone() {
		return nil, errGone
	}
	if len(p.AuthMechanisms()) == 0 {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	p.mu.Lock()
	busy := p.tx != nil
	p.mu.Unlock()
	if busy {
		return nil, p.refuse(say(503, 5, 5, 1, "No AUTH during a mail transaction", "protocol"))
	}
	switch mechanism {
	case sasl.Plain:
		return &mapped{p: p, server: sasl.NewPlainServer(func(identity, user, secret string) error {
			if identity != "" && identity != user {
				// Acting for somebody else is no right that any account has.
				return p.login("", "")
			}
			return p.login(user, secret)
		})}, nil
	case sasl.Login:
		return &mapped{p: p, server: &loginServer{login: p.login}}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// login tries a user and a secret. Failures cost time, and too many of them the
// connection, whoever else shares its address.
func (p *session) login(user, secret string) (err error) {
	defer p.s.recover(p.g, &err)
	l, peer := p.g.kind.limits, p.g.peer
	// A host of ours, such as a webmail server, speaks for many people: it is
	// never banned for one of them.
	own := l.unlimited(peer)
	failures, ok := p.refusals+1, true
	forgive := func() {}
	if !own {
		failures, ok = p.s.guesses.begin(peer)
		forgive = func() { p.s.guesses.forgive(peer) }
	}
	if !ok {
		p.s.metrics.login("blocked")
		return p.g.fail("421 4.7.0 "+p.s.o.Hostname+" Too many failed logins from your network, try again later", "auth")
	}
	ctx, cancel := context.WithTimeout(p.s.ctx, loginTime)
	defer cancel()
	account, err := p.s.o.Auth.Authenticate(ctx, user, secret)
	switch {
	case err == nil && account != nil:
		forgive()
		p.s.metrics.login("ok")
		p.s.o.Log.LogAttrs(ctx, slog.LevelInfo, "smtp login", slog.String("conn", p.g.trace), slog.Any("peer", peer), slog.String("user", account.User))
		p.account = account
		return nil
	case err == nil, errors.Is(err, ErrCredentials):
		p.refusals++
		p.s.metrics.login("failed")
		p.s.o.Log.LogAttrs(ctx, slog.LevelWarn, "smtp login failed", slog.String("conn", p.g.trace), slog.Any("peer", peer),
			slog.String("user", p.s.o.Redact(oneLine(user))), slog.Int("failures", failures))
		p.s.o.Sleep(p.s.ctx, l.Tarpit<<min(failures-1, 3))
		if p.refusals >= l.AuthErrors {
			return p.g.fail("421 4.7.0 "+p.s.o.Hostname+" Too many failed logins", "auth")
		}
		return p.refuse(say(535, 5, 7, 8, "User and password do not belong together", "auth"))
	default:
		forgive()
		id := p.s.id()
		p.s.o.Log.Error("smtp login", "conn", p.g.trace, "id", id, "err", err)
		return p.refuse(say(454, 4, 7, 0, "temporary problem on our side ("+id+")", "internal"))
	}
}

// mapped keeps the library's own words from the peer: it would send any error
// that is no SMTP reply as a temporary one.
type mapped struct {
	p      *session
	server sasl.Server
}

func (m *mapped) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := m.server.Next(response)
	var e *smtp.SMTPError
	switch {
	case err == nil:
		return challenge, done, nil
	case errors.As(err, &e):
		return nil, false, e
	}
	return nil, false, m.p.refuse(say(501, 5, 5, 2, "Malformed authentication response", "auth"))
}

// loginServer is the server's side of LOGIN, which the library lacks: the user
// is asked for, then the password. Old mail programs know nothing else.
type loginServer struct {
	login func(user, secret string) error
	user  string
	asked int
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	if l.asked == 0 {
		l.asked = 1
		if response == nil {
			return []byte("Username:"), false, nil
		}
	}
	switch l.asked {
	case 1:
		l.user, l.asked = string(response), 2
		return []byte("Password:"), false, nil
	case 2:
		l.asked = 3
		return nil, true, l.login(l.user, string(response))
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}

// guesses counts failed logins by network: an address, or a /64 of IPv6, which
// one host has to itself. An account is never locked, because then anybody
// could lock it; its secret has 256 random bits.
type guesses struct {
	l   *Limits
	now func() time.Time

	mu    sync.Mutex
	since time.Time
	count map[netip.Prefix]int
}

func newGuesses(l *Limits, now func() time.Time) *guesses { return &guesses{l: l, now: now} }

// begin counts an attempt as failed until forgive takes it back, so that
// parallel attempts do not slip through. It returns the failures so far with
// this one; false means that there were too many.
func (g *guesses) begin(peer netip.Addr) (int, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.now(); g.count == nil || now.Sub(g.since) >= g.l.AuthWindow || now.Before(g.since) || len(g.count) >= maxRated {
		g.since, g.count = now, map[netip.Prefix]int{}
	}
	key := host(peer)
	if g.count[key] >= g.l.AuthFailures {
		return g.count[key], false
	}
	g.count[key]++
	return g.count[key], true
}

func (g *guesses) forgive(peer netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := host(peer)
	if g.count[key]--; g.count[key] <= 0 {
		delete(g.count, key)
	}
}

// host is what is one machine as far as anybody can tell.
func host(peer netip.Addr) netip.Prefix {
	bits := 64
	if peer.Is4() {
		bits = 32
	}
	p, _ := peer.Prefix(bits)
	return p
}
