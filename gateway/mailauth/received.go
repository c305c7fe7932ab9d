package mailauth

import (
	"net/netip"
	"strings"
)

// maxHops is how many trace fields are walked: a mail with more is a loop and
// taken by no door.
const maxHops = 50

// Client is where a mail entered the hosts that are trusted to say so.
type Client struct {
	IP   netip.Addr `json:"ip,omitzero"` // not valid: the hosts do not say
	HELO string     `json:"helo,omitempty"`
	Hops int        `json:"hops"` // trusted hosts it went through
	Note string     `json:"note,omitempty"`
}

// client walks the trace from the top. The field on top was written by the
// peer, which is trusted; as long as the client that a field names is a trusted
// hop too, the next field is its own.
func (m *mail) client(hop func(netip.Addr) bool) *Client {
	c := &Client{Hops: 1}
	for _, f := range m.fields {
		if f.name != "received" {
			continue
		}
		ip, helo, ok := receivedFrom(f.raw)
		switch {
		case !ok:
			c.Note = "the trace of the last trusted hop names no client address"
			return c
		case !hop(ip) && !ip.IsLoopback():
			c.IP, c.HELO = ip, helo
			return c
		case c.Hops == maxHops:
			c.Note = "the trace is too long"
			return c
		}
		c.Hops++
	}
	c.Note = "the mail began at a trusted hop"
	return c
}

// receivedFrom reads the client out of a Received field (RFC 5321 §4.4): the
// name it gave and the address it came from. Servers write the from clause in
// many ways; common to all is that the first address in brackets or parentheses
// before the by clause is the one they saw.
//
//	from HELO (RDNS [192.0.2.1]) by …        Postfix, Sendmail, Gmail
//	from RDNS ([192.0.2.1] helo=HELO) by …   Exim
//	from [192.0.2.1] (helo=HELO) by …        Exim
//	from HELO (192.0.2.1) by …               Exchange
//	from unknown (HELO HELO) (192.0.2.1) by  qmail
func receivedFrom(field string) (ip netip.Addr, helo string, ok bool) {
	_, value, _ := strings.Cut(field, ":")
	words := strings.Fields(value)
	if len(words) < 2 || !strings.EqualFold(words[0], "from") {
		return netip.Addr{}, "", false
	}
	depth := 0
	for i, w := range words[1:] {
		if depth == 0 && i > 0 && strings.EqualFold(w, "by") {
			break
		}
		name, isHELO := "", i == 0
		for _, prefix := range [...]string{"helo=", "ehlo="} {
			if bare := strings.Trim(w, "()"); len(bare) > len(prefix) && strings.EqualFold(bare[:len(prefix)], prefix) {
				name, isHELO = bare[len(prefix):], true
			}
		}
		if previous := strings.Trim(words[i], "("); i > 0 && (strings.EqualFold(previous, "HELO") || strings.EqualFold(previous, "EHLO")) {
			isHELO = true
		}
		if isHELO {
			if name == "" {
				name = strings.Trim(w, "()")
			}
			helo = name
		}
		if !ip.IsValid() && strings.ContainsAny(w, "[(") || depth > 0 && !ip.IsValid() {
			ip = addressIn(w)
		}
		depth += strings.Count(w, "(") - strings.Count(w, ")")
	}
	return ip, helo, ip.IsValid()
}

// addressIn reads an IP address out of a word with its brackets.
func addressIn(word string) netip.Addr {
	if at := strings.IndexByte(word, '['); at >= 0 {
		inside, _, closed := strings.Cut(word[at+1:], "]")
		if !closed {
			return netip.Addr{}
		}
		word = inside
	}
	word = strings.Trim(word, "()[],;")
	if len(word) > 5 && strings.EqualFold(word[:5], "IPv6:") {
		word = word[5:]
	}
	ip, err := netip.ParseAddr(word)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}
