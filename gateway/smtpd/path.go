package smtpd

import (
	"strings"

	"ticketgate/ticketing/message"
)

// mailbox turns a path as go-smtp hands it over into our own form. The library
// returns quoted local parts without their quotes, so `"x> SIZE=1 <y"@z` comes
// as `x> SIZE=1 <y@z`; used as it is, it would smuggle parameters to the next
// hop. What follows the last @ is the domain; the rest is quoted again where it
// needs to be, and the whole then has to pass message.ParsePath.
func mailbox(s string) (string, error) {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return message.ParsePath(s)
	}
	local, domain := s[:at], s[at+1:]
	if !dotString(local) {
		local = quote(local)
	}
	return message.ParsePath(local + "@" + domain)
}

// dotString reports whether a local part needs no quotes (RFC 5321 §4.1.2, with
// the additions of RFC 6531).
func dotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 0x80, 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// redact keeps of an address what a log needs to tell people apart without
// naming them.
func redact(addr string) string {
	at := strings.LastIndexByte(addr, '@')
	if at <= 0 {
		if addr == "" {
			return "<>"
		}
		return "***"
	}
	first := addr[:1]
	if addr[0] >= 0x80 || addr[0] == '"' {
		first = ""
	}
	return first + "***" + addr[at:]
}
