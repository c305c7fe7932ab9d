package courier

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Login says who we are to a server that wants to know.
type Login struct {
	User      string
	Mechanism string // "plain", "login", "xoauth2", "oauthbearer"; "" = the best offered that fits
	Password  func() (string, error)
	Tokens    Tokens // instead of a password
}

// Tokens gives OAuth access tokens.
type Tokens interface {
	Token(ctx context.Context) (string, error)
	Reject(token string) // a server would not have it: do not give it again
}

func (l *Login) check() error {
	oauth := l.Mechanism == "xoauth2" || l.Mechanism == "oauthbearer"
	switch {
	case l.User == "" || strings.ContainsAny(l.User, "\x00\x01\r\n"):
		return errors.New("a login needs a user name")
	case (l.Password == nil) == (l.Tokens == nil):
		return errors.New("a login needs either a password or tokens")
	case !slices.Contains([]string{"", "plain", "login", "xoauth2", "oauthbearer"}, l.Mechanism):
		return fmt.Errorf("unknown login mechanism %q", l.Mechanism)
	case oauth && l.Tokens == nil, !oauth && l.Mechanism != "" && l.Password == nil:
		return fmt.Errorf("mechanism %s does not go with what the login has", l.Mechanism)
	}
	return nil
}

// mechanism chooses among what the server offers.
func (l *Login) mechanism(offered string) (string, error) {
	want := []string{"PLAIN", "LOGIN"}
	if l.Tokens != nil {
		want = []string{"XOAUTH2", "OAUTHBEARER"}
	}
	if l.Mechanism != "" {
		want = []string{strings.ToUpper(l.Mechanism)}
	}
	list := strings.Fields(strings.ToUpper(offered))
	for _, m := range want {
		if slices.Contains(list, m) {
			return m, nil
		}
	}
	return "", fmt.Errorf("the server offers %q, we can do %s", sanitise(offered), strings.Join(want, " and "))
}

// authenticate logs in. What it says is never logged: errors carry the peer's
// words only.
func (s *session) authenticate(ctx context.Context, l *Login, host string) *failure {
	m, err := l.mechanism(s.ext["AUTH"])
	if err != nil {
		f := s.fail(PhaseAuth, err)
		f.ours = true
		f.enhanced, f.text = "4.7.4", "the server offers no way to log in that we know"
		return f
	}
	secret, err := l.secret(ctx)
	if err != nil {
		f := s.fail(PhaseAuth, err)
		f.ours = true
		f.enhanced, f.text = "4.7.0", "our own credentials for the server are not to be had now"
		return f
	}
	rep, err := s.exchange(m, l, secret, host)
	if err != nil {
		return s.fail(PhaseAuth, err)
	}
	if rep.reply.class() == 2 {
		return nil
	}
	if l.Tokens != nil && rep.reply.class() == 5 {
		l.Tokens.Reject(secret)
	}
	f := s.refused(PhaseAuth, rep.reply)
	if rep.challenge != "" {
		f.err = fmt.Errorf("the server explains: %s", rep.challenge)
	}
	return f
}

func (l *Login) secret(ctx context.Context) (secret string, err error) {
	if l.Tokens != nil {
		secret, err = l.Tokens.Token(ctx)
	} else {
		secret, err = l.Password()
	}
	if err == nil && (secret == "" || strings.ContainsAny(secret, "\x00\x01\r\n")) {
		err = errors.New("the secret is empty or has a line end")
	}
	return secret, err
}

type authAnswer struct {
	reply     *reply
	challenge string // an error that came as a challenge, decoded
}

// exchange says what a mechanism asks for.
func (s *session) exchange(mechanism string, l *Login, secret, host string) (authAnswer, error) {
	t := s.o.Timeouts.Auth
	ask := func(verb, text string) (*reply, error) {
		return s.wire.ask(t, "%s", verb+base64.StdEncoding.EncodeToString([]byte(text)))
	}
	switch mechanism {
	case "PLAIN":
		rep, err := ask("AUTH PLAIN ", "\x00"+l.User+"\x00"+secret)
		return authAnswer{reply: rep}, err
	case "LOGIN":
		rep, err := s.wire.ask(t, "AUTH LOGIN")
		for _, word := range []string{l.User, secret} {
			if err == nil && rep.code == 334 {
				rep, err = ask("", word)
			}
		}
		return s.ended(rep, err, "*")
	case "OAUTHBEARER": // RFC 7628 §3.1
		name, port, ok := strings.Cut(host, ":")
		message := "n,a=" + l.User + ",\x01host=" + name
		if ok {
			message += "\x01port=" + port
		}
		rep, err := ask("AUTH OAUTHBEARER ", message+"\x01auth=Bearer "+secret+"\x01\x01")
		return s.ended(rep, err, "AQ==")
	default: // XOAUTH2, as Google and Microsoft describe it
		rep, err := ask("AUTH XOAUTH2 ", "user="+l.User+"\x01auth=Bearer "+secret+"\x01\x01")
		return s.ended(rep, err, "")
	}
}

// ended brings an exchange to its end: a challenge after our last word is the
// reason of a refusal, which comes when we have acknowledged it.
func (s *session) ended(rep *reply, err error, acknowledge string) (authAnswer, error) {
	if err != nil || rep.code != 334 {
		return authAnswer{reply: rep}, err
	}
	reason := rep.text
	if b, derr := base64.StdEncoding.DecodeString(rep.text); derr == nil {
		reason = sanitise(string(b))
	}
	rep, err = s.wire.ask(s.o.Timeouts.Auth, "%s", acknowledge)
	if err == nil && rep.class() < 4 {
		err = fmt.Errorf("%w: %d after a refused login", errReplyForm, rep.code)
	}
	return authAnswer{reply: rep, challenge: reason}, err
}
