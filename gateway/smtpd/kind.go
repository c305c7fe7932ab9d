package smtpd

import (
	"fmt"
	"math"
	"time"
)

// The kinds of listeners.
const (
	// MX is where strangers deliver mail to: no relaying, no AUTH.
	MX = "mx"
	// Submission is where agents' mail programs hand in mail: AUTH is required
	// and is offered only after STARTTLS (RFC 6409).
	Submission = "submission"
	// Submissions is Submission inside TLS from the first octet (RFC 8314).
	Submissions = "submissions"
	// LMTP is where our own mail server hands in mail and hears what became of
	// each recipient (RFC 2033). Whoever reaches it is trusted to be that
	// server: nothing of it is counted but its connections, all together.
	LMTP = "lmtp"
)

// kind is what a listener's name stands for.
type kind struct {
	name     string
	source   string // of intake.Envelope
	auth     bool   // nobody sends without authenticating
	implicit bool   // TLS from the first octet
	trusted  bool   // peers are ours: no rates, no tarpit, no count of their errors
	limits   *Limits
}

// kindOf returns what a name stands for, or says why it cannot be served.
func (s *Server) kindOf(name string) (kind, error) {
	k := kind{name: name, source: "smtp", limits: &s.o.Limits}
	switch name {
	case MX:
		return k, nil
	case Submission, Submissions:
		k.source, k.auth, k.implicit = "submission", true, name == Submissions
		if s.o.Auth == nil || s.o.TLS == nil {
			return kind{}, fmt.Errorf("smtpd: a %s listener needs Options.Auth and Options.TLS", name)
		}
		return k, nil
	case LMTP:
		k.source, k.trusted, k.limits = "lmtp", true, s.o.Limits.ofTrusted()
		return k, nil
	}
	return kind{}, fmt.Errorf("smtpd: unknown kind of listener %q", name)
}

// ofTrusted returns the limits for a peer of our own. Time and size still have
// theirs: a peer can hang without meaning to.
func (l Limits) ofTrusted() *Limits {
	l.Commands, l.Errors, l.Misses, l.TarpitAfter = math.MaxInt, math.MaxInt, math.MaxInt, math.MaxInt
	l.Idle = max(l.Idle, 5*time.Minute)
	l.StressIdle = l.Idle
	return &l
}
