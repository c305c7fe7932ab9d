package courier

import (
	"context"
	"errors"
	"io"
	"time"
)

// MaxText is the most bytes of a peer's words that are kept.
const MaxText = 512

// Transaction is one mail for recipients of one destination.
type Transaction struct {
	Destination string   // domain, or an address literal in brackets
	From        string   // envelope sender; "" is the null return path
	To          []string // envelope recipients, at most a hundred or so
	Size        int64    // of the content, as announced with SIZE
	UTF8        bool     // needs SMTPUTF8, whatever the addresses
	Bit8        bool     // has 8-bit content: needs 8BITMIME
	Queue       string   // the ticket queue it is from, which may have a way out of its own
	Route       string   // the route it must take instead; "" = the queue's
	Messages    int      // the receiver wants no more over one connection; 0 = Reuse.Messages
	RequireTLS  bool     // RFC 8689: verified TLS to a server that promises the same, or not at all

	// Open returns the content from its beginning: CRLF line ends, no dot
	// stuffing. It may be called more than once. If the reader is an
	// io.Closer it is closed.
	Open func(ctx context.Context) (io.Reader, error)

	// Connect, if not nil, is asked before each new connection (not before the
	// second one that a failed TLS handshake takes). It returns 0, or how long
	// there must be none. Then the mail goes over a connection that is there,
	// or is Untried.
	Connect func() (wait time.Duration)

	// OnDot, if not nil, is called when everything but the final dot has been
	// handed to the connection. After an error the dot is not sent.
	OnDot func(ctx context.Context) error
}

// Class is what a result means for the future of the mail.
type Class uint8

const (
	Temporary    Class = iota // try again later
	Permanent                 // do not try again
	Success                   // the peer took the mail over
	SiteScoped                // the peer's servers refuse us for now, whatever the mail: leave them alone for a while
	SenderScoped              // our account or our domain is refused: ours to repair, and no reason to fail a mail
)

func (c Class) String() string {
	switch c {
	case Success:
		return "success"
	case Permanent:
		return "permanent"
	case SiteScoped:
		return "site"
	case SenderScoped:
		return "sender"
	}
	return "temporary"
}

// Phase is the step at which a result was decided.
type Phase string

const (
	PhaseLocal    Phase = "local"    // before any network: the addresses, the size
	PhaseRoute    Phase = "route"    // DNS
	PhaseDial     Phase = "dial"     // TCP
	PhaseGreeting Phase = "greeting" // the peer's 220
	PhaseHello    Phase = "hello"    // EHLO or HELO
	PhaseTLS      Phase = "tls"      // STARTTLS and handshake
	PhaseAuth     Phase = "auth"     // our login, to a smarthost
	PhaseMail     Phase = "mail"     // MAIL FROM
	PhaseRcpt     Phase = "rcpt"     // RCPT TO
	PhaseData     Phase = "data"     // DATA to 354
	PhaseBody     Phase = "body"     // content
	PhaseDot      Phase = "dot"      // the reply to the final dot
)

// Session reports whether the phase belongs to reaching the peer at all, so
// that its outcome says nothing about this mail.
func (p Phase) Session() bool {
	switch p {
	case PhaseRoute, PhaseDial, PhaseGreeting, PhaseHello, PhaseTLS, PhaseAuth:
		return true
	}
	return false
}

// TLSInfo describes the channel a mail went over.
type TLSInfo struct {
	Version  string `json:"version,omitempty"` // "TLS 1.3"; "" = in clear
	Cipher   string `json:"cipher,omitempty"`
	Policy   string `json:"policy,omitempty"`   // who asked for it: opportunistic, configured, requiretls, dane, mta-sts, "mta-sts testing"
	Verified bool   `json:"verified,omitempty"` // the server is who it should be, or would have stood up to a check
	Fallback bool   `json:"fallback,omitempty"` // in clear because the handshake fails there
}

// String is the channel in a few words: "TLS 1.3 TLS_AES_128_GCM_SHA256,
// verified (dane)"; "" if nobody was reached.
func (i TLSInfo) String() string {
	if i.Policy == "" {
		return ""
	}
	s := "in clear"
	if i.Version != "" {
		s = i.Version + " " + i.Cipher + ", not verified"
		if i.Verified {
			s = i.Version + " " + i.Cipher + ", verified"
		}
	}
	if i.Fallback {
		s += " after TLS failed"
	}
	return s + " (" + i.Policy + ")"
}

// Result says what became of the mail for one recipient.
type Result struct {
	Recipient string
	Class     Class
	Code      int    // SMTP reply; 0 if the verdict is our own
	Enhanced  string // RFC 3463, "" if the peer gave none
	Text      string // the peer's words or ours, plain text, at most MaxText bytes
	Host      string // the mail exchanger's name
	Remote    string // its address and port
	Phase     Phase
	TLS       TLSInfo
	Route     string // the route's name, or the smarthost it went by; "" if by MX
	Ambiguous bool   // the dot was sent and its reply never read: the mail may have arrived

	Untried    bool          // nothing was asked of anybody, because Transaction.Connect said to wait: After says how long
	After      time.Duration // the peer asked to come back after this long; 0 if it did not say
	Greylisted bool          // the peer says that it always refuses at first

	Err error // the story for the operator, if there is more than Text
}

// failure is a verdict on everything that has none yet.
type failure struct {
	phase    Phase
	reply    *reply // the peer's words, or
	err      error  // what happened instead
	enhanced string // our own verdict's code
	text     string // and words
	final    bool   // our own verdict is permanent
	host     string
	remote   string
	tls      TLSInfo
	ours     bool // our own verdict is that we have to mend something
	unsure   bool // after the dot
	relay    bool // at the smarthost
	route    string
	shake    bool          // the TLS handshake failed
	wait     time.Duration // there must be no new connection for this long
}

func (f *failure) result() Result {
	r := Result{
		Phase: f.phase, Enhanced: f.enhanced, Text: f.text, Err: f.err,
		Host: f.host, Remote: f.remote, TLS: f.tls, Ambiguous: f.unsure, Route: f.route,
	}
	switch {
	case f.reply != nil:
		r.Code, r.Enhanced, r.Text = f.reply.code, f.reply.enhanced, f.reply.text
		r.Class = classify(f.reply, f.phase, f.relay)
		if r.Class != Success {
			r.After, r.Greylisted = hints(f.reply)
		}
	case f.wait > 0:
		r.Untried, r.After = true, f.wait
	case f.final:
		r.Class = Permanent
	case f.ours:
		r.Class = SenderScoped
	}
	if r.Text == "" && f.err != nil {
		r.Text = describe(f.phase, f.err)
	}
	if r.Enhanced == "" && r.Code == 0 {
		r.Enhanced = "4.4.2"
		if f.phase == PhaseDial {
			r.Enhanced = "4.4.1"
		}
	}
	return r
}

// envelope is a transaction whose addresses are fit for the wire.
type envelope struct {
	t     *Transaction
	from  string
	to    []string
	index []int // of to in t.To
	utf8  bool
}

// newEnvelope checks the addresses. Recipients that cannot be written get
// their result at once; a sender that cannot refuses them all.
func newEnvelope(t *Transaction) (*envelope, []Result) {
	e := &envelope{t: t, utf8: t.UTF8}
	results := make([]Result, len(t.To))
	from, ascii, err := wireAddress(t.From)
	if t.From == "" {
		from, ascii, err = "", true, nil
	}
	if err != nil {
		f := &failure{phase: PhaseLocal, final: true, enhanced: "5.1.7", text: "the sender address cannot be written in SMTP", err: err}
		for i := range results {
			results[i] = f.result()
			results[i].Recipient = t.To[i]
		}
		return e, results
	}
	e.from, e.utf8 = from, e.utf8 || !ascii
	for i, to := range t.To {
		addr, ascii, err := wireAddress(to)
		if err != nil {
			f := &failure{phase: PhaseLocal, final: true, enhanced: "5.1.3", text: "the recipient address cannot be written in SMTP", err: err}
			results[i] = f.result()
			results[i].Recipient = to
			continue
		}
		e.utf8 = e.utf8 || !ascii
		e.to, e.index = append(e.to, addr), append(e.index, i)
	}
	return e, results
}

// settle gives every recipient of the envelope the same result.
func (e *envelope) settle(results []Result, f *failure) {
	for _, i := range e.index {
		results[i] = f.result()
		results[i].Recipient = e.t.To[i]
	}
}

func (e *envelope) merge(results, mine []Result) {
	for n, i := range e.index {
		results[i] = mine[n]
		results[i].Recipient = e.t.To[i]
	}
}

var errStopped = errors.New("stopped by us")
