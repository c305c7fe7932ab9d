package mailauth

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// The evaluator is written here and not taken from a library because the one
// at hand looks at the terms of a record only until one matches, so that it
// takes malformed records for valid ones (RFC 7208 §4.6); it agrees with 174 of
// the 203 cases of the standard's test suite.

// spfRecord is an SPF record, parsed whole (RFC 7208 §12).
type spfRecord struct {
	terms    []spfTerm
	redirect string // "" = none
}

// spfTerm is a directive.
type spfTerm struct {
	text      string
	result    Result // if it matches
	mechanism string
	domain    string       // domain-spec, "" = the domain in question
	net       netip.Prefix // of ip4 and ip6
	bits4     int          // of a and mx
	bits6     int
}

// parseSPF reads a record that begins with v=spf1. One bad term spoils it.
func parseSPF(text string) (*spfRecord, error) {
	r := &spfRecord{}
	seen := map[string]bool{}
	for i, term := range strings.Split(text, " ") {
		if term == "" || i == 0 {
			continue
		}
		for j := range len(term) {
			if term[j] <= ' ' || term[j] > '~' {
				return nil, fmt.Errorf("term %s is not printable ASCII", term)
			}
		}
		name, value, ok := modifier(term)
		if !ok {
			t, err := parseTerm(term)
			if err != nil {
				return nil, err
			}
			r.terms = append(r.terms, t)
			continue
		}
		if name != "redirect" && name != "exp" {
			if !macroString(value) {
				return nil, fmt.Errorf("term %s holds a malformed macro", term)
			}
			continue
		}
		if seen[name] {
			return nil, fmt.Errorf("%s= stands twice", name)
		}
		seen[name] = true
		if !domainSpec(value) {
			return nil, fmt.Errorf("term %s names no domain", term)
		}
		if name == "redirect" {
			r.redirect = value
		}
	}
	return r, nil
}

// modifier splits name=value; a name holds no colon and no slash, which is
// what tells modifiers from mechanisms.
func modifier(term string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(term, "=")
	if !ok || name == "" || !letter(name[0]) {
		return "", "", false
	}
	for i := range len(name) {
		if c := name[i]; !letter(c) && !number(c) && c != '-' && c != '_' && c != '.' {
			return "", "", false
		}
	}
	return strings.ToLower(name), value, true
}

func letter(c byte) bool { c |= 0x20; return 'a' <= c && c <= 'z' }
func number(c byte) bool { return '0' <= c && c <= '9' }

func parseTerm(text string) (spfTerm, error) {
	t := spfTerm{text: text, result: Pass, bits4: 32, bits6: 128}
	rest := text
	switch rest[0] {
	case '+':
		rest = rest[1:]
	case '-':
		t.result, rest = Fail, rest[1:]
	case '~':
		t.result, rest = SoftFail, rest[1:]
	case '?':
		t.result, rest = Neutral, rest[1:]
	}
	end := strings.IndexAny(rest, ":/")
	if end < 0 {
		end = len(rest)
	}
	t.mechanism = strings.ToLower(rest[:end])
	if !t.arguments(rest[end:]) {
		return t, fmt.Errorf("term %s is malformed", text)
	}
	return t, nil
}

// arguments reads what follows a mechanism's name.
func (t *spfTerm) arguments(rest string) (ok bool) {
	value, given := strings.CutPrefix(rest, ":")
	switch t.mechanism {
	case "all":
		return rest == ""
	case "include", "exists":
		t.domain = value
		return given && domainSpec(value)
	case "ptr":
		t.domain = value
		return rest == "" || given && domainSpec(value)
	case "a", "mx":
		if rest, ok = t.lengths(rest); !ok {
			return false
		}
		t.domain, given = strings.CutPrefix(rest, ":")
		return rest == "" || given && domainSpec(t.domain)
	case "ip4", "ip6":
		return given && t.network(value)
	}
	return false
}

// lengths takes the prefix lengths off the end: /n, //n or /n//n.
func (t *spfTerm) lengths(s string) (rest string, ok bool) {
	if at := strings.LastIndex(s, "//"); at >= 0 {
		if n, ok := prefixLength(s[at+2:], 128); ok {
			t.bits6, s = n, s[:at]
		} else if digits(s[at+2:]) {
			return "", false
		}
	}
	if at := strings.LastIndexByte(s, '/'); at >= 0 {
		if n, ok := prefixLength(s[at+1:], 32); ok {
			t.bits4, s = n, s[:at]
		} else if digits(s[at+1:]) {
			return "", false
		}
	}
	return s, true
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func prefixLength(s string, most int) (int, bool) {
	n, err := strconv.Atoi(s)
	ok := err == nil && n >= 0 && n <= most && s == strconv.Itoa(n)
	return n, ok
}

func (t *spfTerm) network(s string) bool {
	most := 128
	if t.mechanism == "ip4" {
		most = 32
	}
	text, length, given := strings.Cut(s, "/")
	bits, ok := most, true
	if given {
		bits, ok = prefixLength(length, most)
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || !ok || ip.Zone() != "" || ip.BitLen() != most {
		return false
	}
	t.net = netip.PrefixFrom(ip, bits)
	return true
}

// domainSpec checks a domain-spec: a macro string that ends in a macro or in a
// label that can be the last of a domain name.
func domainSpec(s string) bool {
	if !macroString(s) {
		return false
	}
	if end := strings.LastIndexByte(s, '%'); end >= 0 {
		if tail := s[end:]; strings.IndexByte(tail, '}') == len(tail)-1 && len(tail) > 1 && tail[1] == '{' || len(tail) == 2 {
			return true
		}
	}
	s = strings.TrimSuffix(s, ".")
	dot := strings.LastIndexByte(s, '.')
	return dot >= 0 && topLabel(s[dot+1:])
}

func topLabel(s string) bool {
	letters, hyphens := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case letter(c):
			letters++
		case c == '-':
			hyphens++
		case !number(c):
			return false
		}
	}
	return s != "" && letters+hyphens > 0 && s[0] != '-' && s[len(s)-1] != '-'
}

// macroString checks the macros of s without expanding them.
func macroString(s string) bool {
	for {
		at := strings.IndexByte(s, '%')
		if at < 0 {
			return true
		}
		_, rest, ok := cutMacro(s[at:])
		if !ok {
			return false
		}
		s = rest
	}
}

// macro is %{letter digits r delimiters}, or a literal.
type macro struct {
	literal    string
	letter     byte
	keep       int // labels, 0 = all
	reverse    bool
	delimiters string
}

// cutMacro reads the macro that s begins with. Those of explanations (c, r, t)
// are not allowed in names.
func cutMacro(s string) (m macro, rest string, ok bool) {
	if len(s) < 2 {
		return m, "", false
	}
	switch s[1] {
	case '%':
		return macro{literal: "%"}, s[2:], true
	case '_':
		return macro{literal: " "}, s[2:], true
	case '-':
		return macro{literal: "%20"}, s[2:], true
	case '{':
	default:
		return m, "", false
	}
	end := strings.IndexByte(s, '}')
	if end < 3 {
		return m, "", false
	}
	body, rest := s[3:end], s[end+1:]
	m.letter = s[2]
	if !strings.ContainsRune("slodiphv", rune(m.letter|0x20)) || !letter(m.letter) {
		return m, "", false
	}
	n := 0
	for n < len(body) && number(body[n]) {
		n++
	}
	if n > 0 {
		keep, err := strconv.Atoi(body[:n])
		if keep == 0 {
			return m, "", false
		}
		if m.keep = keep; err != nil {
			m.keep = 1 << 20
		}
	}
	body = body[n:]
	if body != "" && body[0]|0x20 == 'r' {
		m.reverse, body = true, body[1:]
	}
	m.delimiters = body
	return m, rest, strings.Trim(body, ".-+,/_=") == ""
}
