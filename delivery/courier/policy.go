package courier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/dns"

	"ticketgate/delivery/mtasts"
)

// policy is what the TLS of one connection must be for one transaction.
type policy struct {
	security   Security
	source     string // who asks for it, for the record
	dane       bool   // tlsa decides instead of the certificate authorities
	tlsa       []*dns.TLSA
	names      []string // that a DANE-TA certificate may bear
	roots      *x509.CertPool
	requireTLS bool // the server must promise REQUIRETLS
	host       string
	testing    bool // an MTA-STS policy that is only tried out
}

// Sources of a policy, as recorded with each attempt.
const (
	byChance     = "opportunistic"
	byConfig     = "configured"
	byRequireTLS = "requiretls"
	byDANE       = "dane"
	bySTS        = "mta-sts"
	bySTSTesting = "mta-sts testing"
)

func (p *policy) mustEncrypt() bool {
	return p.security != Opportunistic && p.security != Clear
}

var (
	errNoTLS       = errors.New("TLS is required and not to be had")
	errCertificate = errors.New("the certificate does not stand up to the check")
	errPromise     = errors.New("the server does not promise REQUIRETLS")
)

// policyFor decides in the order of trust: the mail's own demand, our
// administrator's word, DANE, MTA-STS, and else whatever is to be had.
func (c *Courier) policyFor(t *Transaction, w *way, h *hop, found *mtasts.Policy) (policy, *failure) {
	p, fail := c.destinationPolicy(w, h, found)
	if fail != nil || !t.RequireTLS || h.socket != "" {
		return p, fail // over a socket mail does not leave this machine: nobody can read it on the way
	}
	p.requireTLS = true
	known := h.relay || h.secure || p.source == byConfig || p.source == bySTS && p.security == Verified
	if !known {
		// RFC 8689 §4.2.1: whoever can forge the MX record must not be able to
		// choose the server either.
		return p, &failure{phase: PhaseRoute, final: true, enhanced: "5.7.30", host: h.host,
			text: "the mail requires TLS, and the domain proves its mail exchangers neither by DNSSEC nor by MTA-STS"}
	}
	if p.security != Verified && p.security != Implicit && !p.dane {
		p.security, p.source = Verified, byRequireTLS
	}
	return p, nil
}

func (c *Courier) destinationPolicy(w *way, h *hop, found *mtasts.Policy) (policy, *failure) {
	p := policy{host: h.host, roots: c.o.Roots, source: byChance}
	if h.relay {
		if w.Roots != nil {
			p.roots = w.Roots
		}
		if p.security = w.TLS; p.security != Opportunistic {
			p.source = byConfig
		}
		return p, nil
	}
	if d := c.override(h.domain, h.host); d != nil {
		p.security, p.source = d.TLS, byConfig
		if len(d.MX) > 0 && !matchHost(d.MX, h.host) {
			return p, c.notNamed(h, "our configuration")
		}
		return p, nil
	}
	if h.dane {
		p.dane, p.tlsa, p.source, p.security = true, usable(h.tlsa), byDANE, Encrypted
		p.names = []string{h.base, h.host, h.domain}
		return p, nil
	}
	switch {
	case found == nil || found.Mode == mtasts.None:
	case found.Mode == mtasts.Testing:
		p.source, p.testing = bySTSTesting, true
		if !matchHost(found.MX, h.host) {
			c.tested(h.host, "its name is not in the policy of "+h.domain)
		}
	case matchHost(found.MX, h.host):
		p.security, p.source = Verified, bySTS
	default:
		return p, c.notNamed(h, "the domain's MTA-STS policy")
	}
	return p, nil
}

func (c *Courier) notNamed(h *hop, whose string) *failure {
	return &failure{phase: PhaseRoute, enhanced: "4.7.5", host: h.host, text: whose + " does not name the mail exchanger"}
}

// tested counts and logs what an MTA-STS policy would have stopped.
func (c *Courier) tested(host, why string) {
	c.met.testing.Inc()
	c.o.Log.Info("an MTA-STS policy in testing mode would have stopped a mail", "host", host, "why", why)
}

// satisfied reports whether a finished handshake, or the lack of one, is what
// the policy asks for, and whether the server is who it should be.
func (p *policy) satisfied(state *tls.ConnectionState, o *Options) (verified bool, err error) {
	if state == nil {
		if p.mustEncrypt() {
			return false, errNoTLS
		}
		return false, nil
	}
	now := o.Now()
	if p.dane {
		if len(p.tlsa) == 0 {
			return false, nil // RFC 7672 §2.2: records that nobody can use still promise TLS
		}
		if err := matchTLSA(p.tlsa, state.PeerCertificates, p.names, now); err != nil {
			return false, fmt.Errorf("%w: %w", errCertificate, err)
		}
		return true, nil
	}
	err = chain(state.PeerCertificates, p.host, p.roots, now)
	if p.security == Verified || p.security == Implicit {
		if err != nil {
			return false, fmt.Errorf("%w: %w", errCertificate, err)
		}
	}
	return err == nil, nil
}

// fits reports whether a session opened earlier, perhaps for another domain,
// is one that this policy would have accepted.
func (p *policy) fits(s *session) bool {
	if p.requireTLS && !s.has("REQUIRETLS") {
		return false
	}
	verified, err := p.satisfied(s.state, s.o)
	if err != nil {
		return false
	}
	s.tls.Policy, s.tls.Verified = p.source, verified
	return true
}

// lookupTLSA finds the certificate associations of an exchanger whose
// addresses are known to be authentic (RFC 7672 §2.2.2): under the name after
// all aliases first, then under the name of the MX record.
func (c *Courier) lookupTLSA(ctx context.Context, h *hop, canonical string, port int) *failure {
	for _, base := range slices.Compact([]string{canonical, h.host}) {
		list, secure, err := c.secure.LookupTLSA(ctx, base, port)
		if err != nil {
			// Whoever can make this question fail must not be able to switch
			// DANE off by it.
			return &failure{phase: PhaseRoute, enhanced: "4.4.3", text: "the TLSA records of the mail exchanger cannot be looked up", err: err, host: h.host}
		}
		if len(list) > 0 && secure {
			h.dane, h.tlsa, h.base = true, list, base
			return nil
		}
	}
	return nil
}
