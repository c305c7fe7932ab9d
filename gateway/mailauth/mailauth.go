// Package mailauth promises evidence about who sent a mail, never an opinion
// without its grounds and never an error: a name server that fails is evidence
// too (temperror).
//
// It checks side by side, under one deadline: SPF (RFC 7208) of the envelope
// sender, or of the HELO name if there is none; every DKIM signature up to a
// limit (RFC 6376, 8301, 8463); whether the peer's address and name confirm
// each other (iprev, RFC 8601 §3), which is a score and decides nothing; and,
// over these, DMARC (RFC 9989) with its tree walk. From this follows the trust
// level: T2 for a DMARC pass, T1 for an aligned pass at a domain without a
// policy, T0 otherwise. ARC is not evaluated: its seals say what a stranger
// claims to have seen, and the IETF is retiring it.
//
// The package decides nothing: it reports the disposition that the author's
// domain asks for, and the door's policy does with it what it will.
package mailauth

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"ticketgate/ticketing"
)

// Resolver is what the checks ask of DNS; *net.Resolver fits. Errors are bare
// *net.DNSError values; IsNotFound tells an absence from a failure.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// Options are a checker's dependencies and limits. DNS and Now are required.
type Options struct {
	DNS           Resolver
	Now           func() time.Time // judges t= and x= of signatures
	Deadline      time.Duration    // all checks of one mail; default 20 s
	MaxSignatures int              // DKIM signatures judged, from the top; default 5
	MaxHeader     int              // octets of header looked at; default 1 MiB
}

// Checker evaluates mails. Its methods may be called from any goroutine.
type Checker struct{ o Options }

// New returns a checker; it fails only if a required option is missing.
func New(o Options) (*Checker, error) {
	if o.DNS == nil || o.Now == nil {
		return nil, errors.New("mailauth: resolver and clock are required")
	}
	if o.Deadline <= 0 {
		o.Deadline = 20 * time.Second
	}
	if o.MaxSignatures <= 0 {
		o.MaxSignatures = 5
	}
	if o.MaxHeader <= 0 {
		o.MaxHeader = 1 << 20
	}
	return &Checker{o}, nil
}

// Input is a mail and how it came.
type Input struct {
	RemoteIP     netip.Addr // the SMTP client; zero = it did not come by SMTP: no SPF, no iprev
	HELO         string
	EnvelopeFrom string // "" = null sender
	// Hops is set if the client is a trusted forwarder: then SPF and iprev are
	// about the client that the forwarder's trace names, and none is known if it
	// names none. Hops knows the addresses whose trace is believed in turn.
	Hops func(netip.Addr) bool
	Raw  io.ReaderAt
	Size int64
}

// Evaluate checks a mail. It returns when all is known, ctx ends or the
// deadline has passed; what was not known by then is temperror. Memory does not
// grow with the mail, time only linearly.
func (c *Checker) Evaluate(ctx context.Context, in Input) (ticketing.Verdict, *Evidence) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Deadline)
	defer cancel()
	in.RemoteIP = in.RemoteIP.Unmap().WithZone("")
	m := readMail(io.NewSectionReader(in.Raw, 0, in.Size), c.o.MaxHeader)
	e := &Evidence{Author: m.author()}
	if in.Hops != nil {
		e.Client = m.client(in.Hops)
		in.RemoteIP, in.HELO = e.Client.IP, e.Client.HELO
	}
	var policy *treeWalk
	var wg sync.WaitGroup
	wg.Go(func() { e.SPF = c.spf(ctx, in) })
	wg.Go(func() { e.IPRev = c.iprev(ctx, in.RemoteIP) })
	wg.Go(func() { c.dkim(ctx, m, e) })
	wg.Go(func() {
		if e.Author.Domain != "" {
			policy = c.walk(ctx, e.Author.Domain)
		}
	})
	wg.Wait()
	c.dmarc(ctx, e, policy)
	e.trust()
	return e.Verdict(), e
}

// isAbsent tells "there is none" from "nobody could say".
func isAbsent(err error) bool {
	var d *net.DNSError
	return errors.As(err, &d) && d.IsNotFound
}
