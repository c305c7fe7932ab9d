// Package oauth promises an access token that is good for a while yet, for one
// mail account (RFC 6749). Many who ask at once cost one question to the
// authority; a token is renewed when four fifths of its life are over, and
// given out until its end if the renewal fails. An authority that says no is
// asked again at growing intervals, not hammered, and the operator hears of it
// once.
//
// What the authority gives out is kept across restarts, sealed under a key that
// is derived from the configured credentials: the store alone gives nobody
// access, and other credentials in the configuration make what is kept void.
package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Account is what the authority is told. Presets fills in what is the same for
// everybody.
type Account struct {
	Name         string // for the log and the metrics
	TokenURL     string
	Scope        string
	ClientID     string
	ClientSecret string // "" for public clients
	RefreshToken string // "" = the client's own right (client_credentials)
}

// Preset returns the token address and scope of a well-known provider:
// "microsoft365" (tenant is the directory's id or domain) or "google". own says
// that the client acts in its own right, not for a person.
func Preset(name, tenant string, own bool) (tokenURL, scope string, err error) {
	switch name {
	case "microsoft365":
		if tenant == "" || strings.Trim(strings.ToLower(tenant), "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			return "", "", fmt.Errorf("oauth: %q is not a tenant", tenant)
		}
		scope = "https://outlook.office.com/SMTP.Send offline_access"
		if own {
			scope = "https://outlook.office365.com/.default"
		}
		return "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/token", scope, nil
	case "google":
		if own {
			return "", "", errors.New("oauth: google gives no mail access to a client in its own right; a refresh token is needed")
		}
		return "https://oauth2.googleapis.com/token", "https://mail.google.com/", nil
	}
	return "", "", fmt.Errorf("oauth: unknown preset %q", name)
}

// Cache keeps sealed tokens across restarts. Load returns nil if there is
// nothing.
type Cache interface {
	Load(ctx context.Context, name string) ([]byte, error)
	Save(ctx context.Context, name string, value []byte) error
}

// Options are what a Source needs of the world. Cache, Dial, Now and Random are
// required.
type Options struct {
	Account Account
	Cache   Cache
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Now     func() time.Time
	Random  io.Reader // safe for concurrent use
	Roots   *x509.CertPool
	Timeout time.Duration // of one question; 0 = 30 s
	Log     *slog.Logger
	Metrics *Metrics // nil keeps none
}

// Bounds of an answer, and how long the authority is left alone.
const (
	maxAnswer = 64 << 10
	maxToken  = 8 << 10
	firstWait = 30 * time.Second
	lastWait  = 15 * time.Minute
	minLife   = time.Minute
	maxLife   = 24 * time.Hour
)

// Source gives tokens of one account. Its methods may be called from any
// goroutine.
type Source struct {
	o       Options
	client  *http.Client
	flights singleflight.Group

	mu      sync.Mutex
	loaded  bool
	tokens  tokens
	failure error // the last answer, if it was no token
	wait    time.Duration
	until   time.Time // the authority is left alone
}

// tokens are what is kept.
type tokens struct {
	Access  string    `json:"access"`
	Refresh string    `json:"refresh,omitempty"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
}

// String and GoString hide them.
func (t tokens) String() string   { return "(tokens)" }
func (t tokens) GoString() string { return "(tokens)" }

func (t *tokens) fresh(now time.Time) bool {
	return t.Access != "" && !now.Before(t.From) && now.Before(t.From.Add(t.To.Sub(t.From)/5*4))
}

func (t *tokens) alive(now time.Time) bool { return t.Access != "" && now.Before(t.To) }

// New returns a source.
func New(o Options) (*Source, error) {
	if o.Cache == nil || o.Dial == nil || o.Now == nil || o.Random == nil {
		return nil, errors.New("oauth: cache, dialer, clock and random source are required")
	}
	u, err := url.Parse(o.Account.TokenURL)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "":
		return nil, errors.New("oauth: the token address must be https")
	case o.Account.ClientID == "" || o.Account.ClientSecret == "" && o.Account.RefreshToken == "":
		return nil, errors.New("oauth: a client id and a secret or a refresh token are required")
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Source{o: o, client: &http.Client{
		Transport: &http.Transport{
			DialContext:            o.Dial,
			TLSClientConfig:        &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12, Time: o.Now},
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 32 << 10,
		},
		// A secret is for the address it was configured for.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	o.Metrics.watch(s)
	return s, nil
}

// Token returns an access token. An error says why there is none now.
func (s *Source) Token(ctx context.Context) (string, error) {
	s.load(ctx)
	now := s.o.Now()
	s.mu.Lock()
	t, failure, until := s.tokens, s.failure, s.until
	s.mu.Unlock()
	switch {
	case t.fresh(now):
		return t.Access, nil
	case now.Before(until) && t.alive(now):
		return t.Access, nil
	case now.Before(until) && until.Sub(now) <= lastWait:
		return "", fmt.Errorf("oauth: %s is asked again at %s: %w", s.o.Account.Name, until.UTC().Format(time.RFC3339), failure)
	}
	done := s.flights.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Timeout)
		defer cancel()
		return nil, s.renew(ctx)
	})
	var err error
	select {
	case res := <-done:
		err = res.Err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens.alive(s.o.Now()) {
		return s.tokens.Access, nil
	}
	if err == nil {
		err = errors.New("the new token has already been refused")
	}
	return "", fmt.Errorf("oauth: %s: %w", s.o.Account.Name, err)
}

// Reject says that a server would not have a token. It is not given out again.
func (s *Source) Reject(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tokens.Access != token {
		return
	}
	now := s.o.Now()
	if s.tokens.From.Add(firstWait).After(now) {
		// A new token that is refused at once will be followed by another:
		// leave the authority alone for a while.
		s.fail(errors.New("the mail server refuses the tokens it gives"), now)
	}
	s.tokens.Access = ""
}

// load takes up what was kept, once.
func (s *Source) load(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded {
		return
	}
	sealed, err := s.o.Cache.Load(ctx, s.o.Account.Name)
	if err != nil {
		s.o.Log.Warn("kept tokens cannot be read", "account", s.o.Account.Name, "cause", err)
		return
	}
	s.loaded = true
	var t tokens
	if sealed == nil {
		return
	}
	plain, err := s.o.Account.open(sealed)
	if err == nil {
		err = json.Unmarshal(plain, &t)
	}
	if err != nil {
		// Sealed under other credentials: the configuration has changed since.
		s.o.Log.Info("kept tokens belong to other credentials and are dropped", "account", s.o.Account.Name)
		return
	}
	s.tokens = t
}

// renew asks the authority and keeps what it gives.
func (s *Source) renew(ctx context.Context) error {
	s.mu.Lock()
	old := s.tokens
	s.mu.Unlock()
	fresh, err := s.ask(ctx, old.Refresh)
	if err != nil && old.Refresh != "" && old.Refresh != s.o.Account.RefreshToken && refusal(err) {
		fresh, err = s.ask(ctx, "") // the kept token is dead, the configured one may live
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.failure == nil {
			s.o.Log.Error("no OAuth token is to be had; mail through this account waits", "account", s.o.Account.Name, "cause", err)
		}
		s.fail(err, now)
		return err
	}
	if s.failure != nil {
		s.o.Log.Info("OAuth tokens are to be had again", "account", s.o.Account.Name)
	}
	if fresh.Refresh == "" {
		fresh.Refresh = old.Refresh
	}
	s.tokens, s.failure, s.wait, s.until = fresh, nil, 0, time.Time{}
	s.o.Metrics.count(s.o.Account.Name, "ok")
	plain, err := json.Marshal(fresh)
	if err == nil {
		var sealed []byte
		if sealed, err = s.o.Account.seal(s.o.Random, plain); err == nil {
			err = s.o.Cache.Save(ctx, s.o.Account.Name, sealed)
		}
	}
	if err != nil {
		s.o.Log.Warn("new tokens cannot be kept across a restart", "account", s.o.Account.Name, "cause", err)
	}
	return nil
}

// fail notes a failure and doubles the wait; the lock is held.
func (s *Source) fail(err error, now time.Time) {
	s.wait = min(max(2*s.wait, firstWait), lastWait)
	s.failure, s.until = err, now.Add(s.wait)
	s.o.Metrics.count(s.o.Account.Name, "failed")
}

// expires returns when the token in hand ends; ok is false if there is none.
func (s *Source) expires() (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens.To, s.tokens.Access != ""
}
