package mailauth

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// asciiDomain spells a domain as DNS does: A-labels, lower case, no final dot.
// What cannot be converted is left as it is; DNS will not know it.
func asciiDomain(s string) string {
	s = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), "."))
	for i := range len(s) {
		if s[i] >= 0x80 {
			if a, err := idna.Lookup.ToASCII(s); err == nil {
				return a
			}
			break
		}
	}
	return s
}

// fullName reports whether s can be the name of a mail domain: at least two
// labels, none empty or too long, not an address in figures or brackets.
func fullName(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") || strings.ContainsAny(s, "[]:@ \t\"") {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// under reports whether name is parent or below it.
func under(name, parent string) bool {
	return name == parent || strings.HasSuffix(name, "."+parent)
}

// registrable is the organisational domain as the public suffix list sees it;
// "" if name is itself a suffix.
func registrable(name string) string {
	d, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return ""
	}
	return d
}

// clean makes foreign text fit for a header field and a terminal.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == ';' || r == '(' || r == ')' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 200)]
}

// printable is clean for text that is shown but never put into a header field.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 500)]
}
