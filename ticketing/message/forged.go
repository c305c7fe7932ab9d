package message

import (
	"bytes"
	"strings"
)

const resultsField = "authentication-results"

// Forged reports whether a header field, as received with its name, is an
// Authentication-Results field that claims to be ours: its authserv-id is
// hostname, however the name and the id are spelled, folded, quoted or
// commented. A field of that name whose id cannot be read counts as forged,
// because another reader might find our name in it.
func Forged(field, hostname string) bool {
	name, value, ok := strings.Cut(field, ":")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), resultsField) {
		return false
	}
	id, ok := authservID(value)
	return !ok || strings.EqualFold(strings.TrimSuffix(id, "."), strings.TrimSuffix(hostname, "."))
}

// authservID reads [CFWS] token-or-quoted-string [CFWS] up to the version or
// the first semicolon (RFC 8601 §2.2).
func authservID(s string) (id string, ok bool) {
	s, ok = skipCFWS(s)
	if !ok || s == "" {
		return "", false
	}
	rest := ""
	if s[0] == '"' {
		if id, rest, ok = quotedID(s); !ok {
			return "", false
		}
	} else {
		end := strings.IndexAny(s, " \t\r\n;(\"")
		if end < 0 {
			end = len(s)
		}
		id, rest = s[:end], s[end:]
	}
	if rest, ok = skipCFWS(rest); !ok {
		return "", false
	}
	rest = strings.TrimLeft(rest, "0123456789") // the version
	if rest, ok = skipCFWS(rest); !ok || rest != "" && rest[0] != ';' {
		return "", false
	}
	for i := range len(id) { // what is no token (RFC 2045 §5.1) is not readable
		if id[i] <= ' ' || id[i] > '~' || strings.IndexByte(`()<>@,;:\"/[]?=`, id[i]) >= 0 {
			return "", false
		}
	}
	return id, id != ""
}

// skipCFWS passes over white space and nested comments; ok is false if a
// comment does not end.
func skipCFWS(s string) (rest string, ok bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && depth > 0:
			i++
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0 && !strings.ContainsRune(" \t\r\n", rune(c)):
			return s[i:], true
		}
	}
	return "", depth == 0
}

func quotedID(s string) (text, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '\r', '\n':
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// StripForged returns a header section without the fields that Forged finds,
// and how many they were. Everything else keeps its octets. A field may begin
// after LF or after a bare CR, so that none is hidden from us that another
// reader might see. If nothing is removed, header itself is returned.
func StripForged(header []byte, hostname string) (clean []byte, removed int) {
	kept := make([]byte, 0, len(header))
	for start := 0; start < len(header); {
		end := fieldEnd(header, start)
		if field := header[start:end]; Forged(string(field), hostname) {
			removed++
		} else {
			kept = append(kept, field...)
		}
		start = end
	}
	if removed == 0 {
		return header, 0
	}
	return kept, removed
}

// fieldEnd finds where the field that begins at start ends: before the next
// line that does not begin with white space.
func fieldEnd(header []byte, start int) int {
	for at := start; ; {
		n := bytes.IndexAny(header[at:], "\r\n")
		if n < 0 {
			return len(header)
		}
		at += n + 1
		if header[at-1] == '\r' && at < len(header) && header[at] == '\n' {
			at++
		}
		if at == len(header) || header[at] != ' ' && header[at] != '\t' {
			return at
		}
	}
}
