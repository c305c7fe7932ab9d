package message

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// RFC 2047 §2.
const (
	maxWord   = 75 // an encoded word
	wordFrame = len("=?utf-8?q??=")
	minWord   = wordFrame + 12 // room for any one character as =XX=XX=XX=XX
)

const hexDigits = "0123456789ABCDEF"

// plainText makes a value fit for one header field: valid UTF-8 in which every
// control character and every line or paragraph separator is a space.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// needsEncoding reports whether a word of free text must be encoded: not ASCII,
// could be taken for an encoded word, or too long to stay unbroken.
func needsEncoding(w string) bool {
	return len(w) > maxAtom || !isASCII(w) || strings.Contains(w, "=?")
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// encodeWord encodes as much of s as fits into one encoded word of at most room
// octets (at least minWord), whole characters only, and returns the rest. It
// takes Q or B, whichever holds more.
func encodeWord(s string, room int) (word, rest string) {
	room -= wordFrame
	q, cost := 0, 0
	for i, r := range s {
		c := qCost(r)
		if cost+c > room {
			break
		}
		cost += c
		q = i + utf8.RuneLen(r)
	}
	b := 0
	for i, r := range s {
		end := i + utf8.RuneLen(r)
		if (end+2)/3*4 > room {
			break
		}
		b = end
	}
	if b > q {
		return "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(s[:b])) + "?=", s[b:]
	}
	var out strings.Builder
	out.WriteString("=?utf-8?q?")
	for i := 0; i < q; i++ {
		switch c := s[i]; {
		case c == ' ':
			out.WriteByte('_')
		case qPlain(c):
			out.WriteByte(c)
		default:
			out.Write([]byte{'=', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	out.WriteString("?=")
	return out.String(), s[q:]
}

// qPlain holds for what may stand for itself in a Q-encoded word anywhere, in a
// phrase too (RFC 2047 §5 (3)).
func qPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
}

func qCost(r rune) int {
	if r == ' ' || r < utf8.RuneSelf && qPlain(byte(r)) {
		return 1
	}
	return 3 * utf8.RuneLen(r)
}

// maxDisplay bounds a display name in a header, in octets. Nobody reads on.
const maxDisplay = 200

// formatAddress renders a mailbox, its domain as A-labels unless the local part
// needs SMTPUTF8 anyway. The display name is cleaned and cut.
func formatAddress(a Address) (string, error) {
	addr, err := writableAddr(a.Addr)
	if err != nil {
		return "", err
	}
	name := strings.Join(strings.Fields(plainText(a.Name)), " ")
	s := Address{Name: cut(name, maxDisplay), Addr: addr}.String()
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return "", fmt.Errorf("address %q cannot be written", a.Addr)
		}
	}
	return s, nil
}

// cut shortens s to at most n octets without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return strings.TrimRight(s[:n], " ")
}

// Writable reports whether the address can stand in a header that Compose
// writes.
func (a Address) Writable() bool {
	_, err := writableAddr(a.Addr)
	return err == nil
}

// writableAddr checks an addr-spec for use in a header: RFC 5322 §3.4.1 with
// RFC 6532, limits of RFC 5321 §4.5.3.1, and dots allowed anywhere in the local
// part, because such mailboxes exist.
func writableAddr(addr string) (string, error) {
	at := strings.LastIndexByte(addr, '@')
	if at < 1 || at == len(addr)-1 {
		return "", fmt.Errorf("%q is not an address", addr)
	}
	local, domain := addr[:at], addr[at+1:]
	if len(addr) > 254 || len(local) > 64 {
		return "", fmt.Errorf("address %q is too long", addr)
	}
	if !utf8.ValidString(addr) || !validLocal(local) {
		return "", fmt.Errorf("address %q has a bad local part", addr)
	}
	if isASCII(local) && !isASCII(domain) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", fmt.Errorf("address %q has a bad domain: %w", addr, err)
		}
		domain = ascii
	}
	if !validDomain(domain) {
		return "", fmt.Errorf("address %q has a bad domain", addr)
	}
	return local + "@" + domain, nil
}

func validLocal(s string) bool {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		in := s[1 : len(s)-1]
		for i := 0; i < len(in); i++ {
			switch c := in[i]; {
			case c < ' ' || c == 0x7f || c == '"':
				return false
			case c == '\\':
				if i++; i == len(in) || in[i] < ' ' || in[i] >= 0x7f {
					return false
				}
			}
		}
		return noControl(in)
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`()<>[]:;@\,"`, c) >= 0 {
			return false
		}
	}
	return noControl(s)
}

func validDomain(s string) bool {
	if s[0] == '[' && s[len(s)-1] == ']' {
		for _, c := range []byte(s[1 : len(s)-1]) {
			if c <= ' ' || c > '~' || c == '[' || c == ']' || c == '\\' {
				return false
			}
		}
		return len(s) > 2
	}
	for _, label := range strings.Split(s, ".") {
		if label == "" {
			return false
		}
		for _, c := range []byte(label) {
			if c < utf8.RuneSelf && c != '-' && c != '_' && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				return false
			}
		}
	}
	return noControl(s)
}

// noControl refuses what plainText would have replaced.
func noControl(s string) bool { return plainText(s) == s }

var errMessageID = errors.New(`its Message-ID must be "<", printable ASCII without angle brackets, ">"`)
