// Package intake is the one path by which mail becomes durable. Every door
// (SMTP, HTTP, pipe, mailbox pull) asks it where a recipient leads and hands it
// the bytes; when Receive returns a receipt, the mail is on disk and ticketed,
// and when it returns an error nothing of it is kept.
//
// What it promises about the bytes: they are stored as the client sent them
// (after the door undid its own framing), including bare CR, bare LF, NUL and a
// missing last line end, because the raw mail is the evidence. That is safe
// because these bytes never travel on as they are: whatever leaves the house is
// composed anew with clean line ends, or has them made clean where it is handed
// on, so a bare line end cannot become an end-of-data mark at the next hop. A signature is judged over the same bytes
// that are stored, so what was verified is what is kept.
//
// What it refuses, each with a Kind of package ticketing: mail over the size
// limit and header sections over theirs (TooBig), more than MaxReceived hops
// (Refused, wrapping ErrLoop), a From that names senders of several domains
// (Invalid, wrapping ErrSender), and, on port 25, a From that is empty (the same)
// and what the author's domain asks to refuse (Refused, by the desk's Admit). Elsewhere such mail is taken and held: to
// refuse what a relay of ours has accepted would make it a bounce to whoever was
// forged. Mail with a missing or unreadable From is taken: it claims nobody's
// identity, and broken mail must become a ticket.
package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
)

// Desk is what intake needs of the ticket desk.
type Desk interface {
	Route(ctx context.Context, recipient string) (ticketing.Route, error)
	Receive(ctx context.Context, a ticketing.Arrival) (*ticketing.Receipt, error)
	// Admit refuses what may be refused while the sender is still on the line.
	Admit(a ticketing.Arrival) error
	// Refused notes what Admit refused by a rule.
	Refused(ctx context.Context, err error) error
	// Explain tells what Receive would do, without doing it.
	Explain(ctx context.Context, a ticketing.Arrival) (*ticketing.Trace, error)
	// Hops says whose trace fields may be believed; nil if the peer is a stranger.
	Hops(a ticketing.Arrival) func(netip.Addr) bool
}

// Options are what an Intake needs from the world. Desk, Blobs and Now are
// required.
type Options struct {
	Desk  Desk
	Blobs *blob.Store
	// Space reports an error while there is too little room to take mail; nil
	// means there is always room.
	Space      func() error
	Auth       Authenticator // nil: nobody is checked, and every stranger stays at T0
	Hostname   string        // names us in trace fields
	Now        func() time.Time
	Log        *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil keeps no metrics

	MaxSize     int64 // octets of one mail; default 35 MiB
	MaxHeader   int   // octets of the header section; default 256 KiB
	MaxLines    int   // lines of the header section; default 2000
	MaxReceived int   // hops before a mail counts as a loop; default 50
}

// Errors that a door may tell apart from others of their Kind.
var (
	ErrLoop    = errors.New("intake: too many Received fields")
	ErrSender  = errors.New("intake: ambiguous From")
	ErrForeign = errors.New("intake: From is not the authenticated sender's")
	ErrHeader  = errors.New("intake: header section too large")
)

// Intake takes mail in. Safe for concurrent use.
type Intake struct {
	o       Options
	metrics *metrics
	buffers sync.Pool // *[]byte of bufferSize
}

const bufferSize = 32 << 10

// New returns an intake; it fails only if a required option is missing or its
// metrics cannot be registered.
func New(o Options) (*Intake, error) {
	if o.Desk == nil || o.Blobs == nil || o.Now == nil {
		return nil, errors.New("intake: Desk, Blobs and Now are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxSize <= 0 {
		o.MaxSize = 35 << 20
	}
	if o.MaxHeader <= 0 {
		o.MaxHeader = 256 << 10
	}
	if o.MaxLines <= 0 {
		o.MaxLines = 2000
	}
	if o.MaxReceived <= 0 {
		o.MaxReceived = 50
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("intake: %w", err)
	}
	in := &Intake{o: o, metrics: m}
	in.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	return in, nil
}

// MaxSize returns the largest mail that is taken, in octets.
func (in *Intake) MaxSize() int64 { return in.o.MaxSize }

// Space returns nil, or a NoSpace error while there is no room for mail.
func (in *Intake) Space() error {
	if in.o.Space == nil {
		return nil
	}
	if err := in.o.Space(); err != nil {
		return &ticketing.Error{Kind: ticketing.NoSpace, Text: "not enough room for mail just now", Err: err}
	}
	return nil
}

// Route says where a recipient leads; Unknown if the address is not ours.
func (in *Intake) Route(ctx context.Context, recipient string) (ticketing.Route, error) {
	return in.o.Desk.Route(ctx, recipient)
}

// Envelope is what a door knows about a mail besides its bytes.
type Envelope struct {
	Source     string   // smtp submission lmtp api pipe imap
	From       string   // "" = null sender
	NoFrom     bool     // the door knows no envelope sender: the From field stands in for it
	Recipients []string // each accepted by Route
	RemoteIP   netip.Addr
	HELO       string // as the client said it
	ESMTP      bool   // it said EHLO
	TLS        *TLS   // nil = plaintext
	UTF8       bool   // it said SMTPUTF8
	User       string // authenticated agent

	Certificate string   // of the TLS client: hex SHA-256 of its public key; "" = none shown
	Senders     []string // if not empty, who From may name (Refused, wrapping ErrForeign)
	Trace       string   // the door's id of this transfer, for Received and logs
}

// TLS names what protected the transfer.
type TLS struct {
	Version string // "TLS1.3"
	Cipher  string
}

// Receive reads one mail from r to its end and makes it durable and ticketed.
// Memory stays constant however large the mail is. The returned error carries a
// ticketing.Kind; an error of r itself is returned wrapped, as Internal.
func (in *Intake) Receive(ctx context.Context, env Envelope, r io.Reader) (*ticketing.Receipt, error) {
	start := in.o.Now()
	receipt, err := in.receive(ctx, env, r, start)
	in.metrics.observe(env.Source, receipt, err, in.o.Now().Sub(start))
	return receipt, err
}

func (in *Intake) receive(ctx context.Context, env Envelope, r io.Reader, start time.Time) (*ticketing.Receipt, error) {
	w, arrival, err := in.take(ctx, env, r, start)
	if err != nil {
		if fault := in.o.Desk.Refused(ctx, err); fault != nil {
			in.o.Log.Error("intake: a refusal could not be noted", "refusal", err, "err", fault)
		}
		return nil, err
	}
	receipt, err := in.o.Desk.Receive(ctx, arrival)
	if err == nil && receipt == nil {
		err = &ticketing.Error{Kind: ticketing.Internal, Text: "temporary problem", Err: errors.New("the desk returned no receipt")}
	}
	if err != nil {
		w.Discard()
		return nil, err
	}
	return receipt, nil
}

// take stores a mail's bytes and checks all that may refuse it. After an error
// nothing of it is kept; otherwise the caller discards the writer if the bytes
// are not to stay.
func (in *Intake) take(ctx context.Context, env Envelope, r io.Reader, start time.Time) (*blob.Writer, ticketing.Arrival, error) {
	if len(env.Recipients) == 0 {
		return nil, ticketing.Arrival{}, &ticketing.Error{Kind: ticketing.Invalid, Text: "no recipient"}
	}
	if err := in.Space(); err != nil {
		return nil, ticketing.Arrival{}, err
	}
	w := in.o.Blobs.Create(ctx)
	sealed, head, err := in.store(w, r, &env)
	if err == nil {
		err = head.checkSenders(env.Senders)
	}
	if err != nil {
		w.Discard()
		return nil, ticketing.Arrival{}, err
	}
	if env.NoFrom {
		env.From = head.sender()
	}
	arrival := in.arrive(ctx, env, sealed, start)
	if env.Source == "smtp" {
		if err := in.o.Desk.Admit(arrival); err != nil {
			w.Discard()
			return nil, arrival, err
		}
	}
	return w, arrival, nil
}

// arrive puts together what is known about a mail: what the door saw, and what
// the checks of its sender found.
func (in *Intake) arrive(ctx context.Context, env Envelope, sealed *blob.Sealed, start time.Time) ticketing.Arrival {
	a := ticketing.Arrival{
		Source:       env.Source,
		EnvelopeFrom: env.From,
		Recipients:   env.Recipients,
		RemoteIP:     env.RemoteIP,
		HELO:         env.HELO,
		TLS:          env.TLS != nil,
		UTF8:         env.UTF8,
		User:         env.User,
		Certificate:  env.Certificate,
		Verdict:      ticketing.Verdict{Trust: "T0", User: env.User},
		Raw:          sealed,
	}
	results := in.authenticate(ctx, &a)
	a.Header = results + trace(in.o.Hostname, env, start)
	return a
}

// store streams r into w while it inspects the header section.
func (in *Intake) store(w *blob.Writer, r io.Reader, env *Envelope) (*blob.Sealed, *header, error) {
	pooled := in.buffers.Get().(*[]byte)
	defer in.buffers.Put(pooled)
	buf := *pooled

	head := header{maxBytes: in.o.MaxHeader, maxLines: in.o.MaxLines}
	var size int64
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if size += int64(n); size > in.o.MaxSize {
				return nil, nil, &ticketing.Error{Kind: ticketing.TooBig, Text: fmt.Sprintf("message larger than %d octets", in.o.MaxSize)}
			}
			head.scan(buf[:n])
			// Each check runs while the mail is still arriving: what would be
			// refused in the end must not fill the disk first.
			if head.over {
				return nil, nil, &ticketing.Error{Kind: ticketing.TooBig, Text: "message header too large", Err: ErrHeader}
			}
			if head.received > in.o.MaxReceived {
				return nil, nil, &ticketing.Error{Kind: ticketing.Refused, Text: "too many hops, this looks like a mail loop", Err: ErrLoop}
			}
			if _, werr := w.Write(buf[:n]); werr != nil {
				return nil, nil, fmt.Errorf("intake: storing: %w", werr)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("intake: reading: %w", err)
		}
	}
	head.end()
	// Reports, which have the null sender, often lack a usable From.
	if env.From != "" || env.NoFrom {
		if err := head.checkFrom(env.Source == "smtp"); err != nil {
			return nil, nil, err
		}
	}
	sealed, err := w.Seal()
	if err != nil {
		return nil, nil, fmt.Errorf("intake: sealing: %w", err)
	}
	return sealed, &head, nil
}
