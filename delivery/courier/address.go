package courier

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of RFC 5321 §4.5.3.1.
const (
	maxPath   = 254
	maxLocal  = 64
	maxDomain = 253
)

var (
	errAddress = errors.New("not a mail address")
	errDomain  = errors.New("not a domain")
)

// wireAddress returns an address as it is written between the brackets of MAIL
// and RCPT: the local part unchanged if it is a dot-atom or a quoted string,
// the domain as A-labels. ascii says whether it can be sent without SMTPUTF8.
// Anything else is an error, so that no address can end its command or add a
// parameter to it.
func wireAddress(addr string) (wire string, ascii bool, err error) {
	at := strings.LastIndexByte(addr, '@')
	if at < 1 || !utf8.ValidString(addr) {
		return "", false, errAddress
	}
	local := addr[:at]
	domain, err := WireDomain(addr[at+1:])
	if err != nil {
		return "", false, err
	}
	if len(local) > maxLocal || len(local)+1+len(domain) > maxPath || !dotAtom(local) && !quoted(local) {
		return "", false, errAddress
	}
	return local + "@" + domain, isASCII(local), nil
}

// WireDomain returns a recipient's domain as the courier looks it up: lower
// case A-labels without a trailing dot, or an address literal in brackets.
func WireDomain(domain string) (string, error) {
	if strings.HasPrefix(domain, "[") {
		if _, ok := literal(domain); !ok {
			return "", errDomain
		}
		return strings.ToLower(domain), nil
	}
	domain = strings.TrimSuffix(domain, ".")
	if !isASCII(domain) {
		var err error
		if domain, err = idna.Lookup.ToASCII(domain); err != nil {
			return "", errDomain
		}
	}
	domain = strings.ToLower(domain)
	if domain == "" || len(domain) > maxDomain {
		return "", errDomain
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", errDomain
		}
	}
	return domain, nil
}

// literal reads "[192.0.2.1]" and "[IPv6:2001:db8::1]".
func literal(domain string) (netip.Addr, bool) {
	in, ok := strings.CutPrefix(domain, "[")
	if !ok {
		return netip.Addr{}, false
	}
	in, ok = strings.CutSuffix(in, "]")
	if !ok {
		return netip.Addr{}, false
	}
	six := len(in) > 5 && strings.EqualFold(in[:5], "ipv6:")
	if six {
		in = in[5:]
	}
	a, err := netip.ParseAddr(in)
	if err != nil || a.Is4() == six || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a, true
}

// dotAtom is RFC 5321's Dot-string, with the non-ASCII of RFC 6531.
func dotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool {
			switch {
			case r >= 0x80:
				return r <= 0x9f || r == '\u2028' || r == '\u2029'
			case '0' <= r && r <= '9', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
				return false
			}
			return !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
		}) {
			return false
		}
	}
	return true
}

// quoted is RFC 5321's Quoted-string.
func quoted(s string) bool {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return false
	}
	in := s[1 : len(s)-1]
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case c == '"', c < ' ', c == 0x7f:
			return false
		case c == '\\':
			if i++; i == len(in) || in[i] < ' ' || in[i] >= 0x7f {
				return false
			}
		}
	}
	return true
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
