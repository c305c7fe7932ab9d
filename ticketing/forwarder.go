package ticketing

import (
	"crypto/subtle"
	"net/netip"
	"slices"
	"strings"
)

// Forwarder is a host or a service that vouches for the senders of what it
// hands to a queue. Exactly one field is set; a header never makes one.
type Forwarder struct {
	Network     netip.Prefix // the peer's address is in it
	Certificate string       // the peer's TLS certificate has this public key: lower-case hex SHA-256 of its SubjectPublicKeyInfo
	Login       string       // the agent's id that the peer has authenticated as
	Signer      string       // a DKIM signature of this domain, in lower-case A-labels, passes
}

// ForwarderNetworks makes forwarders of networks.
func ForwarderNetworks(networks ...netip.Prefix) []Forwarder {
	out := make([]Forwarder, len(networks))
	for i, n := range networks {
		out[i].Network = n
	}
	return out
}

// handed reports whether the forwarder is the peer that hands us the mail.
func (f *Forwarder) handed(a *Arrival) bool {
	switch {
	case f.Network.IsValid():
		return f.hop(a.RemoteIP)
	case f.Certificate != "":
		return subtle.ConstantTimeCompare([]byte(f.Certificate), []byte(a.Certificate)) == 1
	case f.Login != "":
		return f.Login == a.User
	}
	return false
}

// signed reports whether the forwarder's signature stands under the mail.
func (f *Forwarder) signed(a *Arrival) bool {
	return f.Signer != "" && slices.ContainsFunc(a.Verdict.DKIM, func(r AuthResult) bool {
		return r.Result == "pass" && strings.EqualFold(r.Domain, f.Signer)
	})
}

// hop reports whether an address is one of the forwarder's.
func (f *Forwarder) hop(ip netip.Addr) bool {
	return f.Network.IsValid() && ip.IsValid() && f.Network.Contains(ip.Unmap())
}

// vouched reports whether a forwarder of the queue brought the mail.
func (q *queue) vouched(a *Arrival) bool {
	return slices.ContainsFunc(q.TrustedForwarders, func(f Forwarder) bool { return f.handed(a) || f.signed(a) })
}

// Hops tells a door whose trace fields it may believe. It returns nil if the
// peer is a stranger to any queue the mail is for: then the peer is the client.
// Otherwise the peer's topmost Received field tells the truth about the hop
// before, and so does that of each hop whose address the function returned
// knows; the first other address is the mail's original client.
func (d *Desk) Hops(a Arrival) func(netip.Addr) bool {
	queues := d.addressed(&a)
	for _, q := range queues {
		if !slices.ContainsFunc(q.TrustedForwarders, func(f Forwarder) bool { return f.handed(&a) }) {
			return nil
		}
	}
	if len(queues) == 0 {
		return nil
	}
	return func(ip netip.Addr) bool {
		return !slices.ContainsFunc(queues, func(q *queue) bool {
			return !slices.ContainsFunc(q.TrustedForwarders, func(f Forwarder) bool { return f.hop(ip) })
		})
	}
}

// Admit is asked while the sender is still on the line. It returns an error of
// kind Refused if the author's domain asks that the mail be refused (DMARC,
// RFC 9989), or if rules of all its queues reject it (then the error wraps a
// *Refusal), and no trusted forwarder of any of its queues vouches for it. A
// report to a return path of ours is taken whoever signed it: its token proves
// it. Mail that was not refused then is held for those queues that nobody
// vouches to, or whose rules reject it, never dropped.
func (d *Desk) Admit(a Arrival) error {
	v := &a.Verdict
	if v.DMARC.Disposition != "reject" && !d.refuses || a.User != "" {
		return nil
	}
	if slices.ContainsFunc(d.addressed(&a), func(q *queue) bool { return q.vouched(&a) }) {
		return nil
	}
	if a.EnvelopeFrom == "" && slices.ContainsFunc(a.Recipients, d.returnPath) {
		return nil
	}
	if v.DMARC.Disposition != "reject" {
		return d.refusal(&a)
	}
	return &Error{Kind: Refused, Text: "the author's domain asks to refuse mail that it does not vouch for (DMARC of " + clip(v.DMARC.Domain, 100) + ")"}
}

func (d *Desk) returnPath(recipient string) bool {
	t, err := d.target(recipient)
	return err == nil && t.kind == routeReturnPath
}

// addressed lists the queues a mail is for, each once.
func (d *Desk) addressed(a *Arrival) []*queue {
	var queues []*queue
	for _, r := range a.Recipients {
		if t, err := d.target(r); err == nil && !slices.Contains(queues, t.queue) {
			queues = append(queues, t.queue)
		}
	}
	return queues
}
