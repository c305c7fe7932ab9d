package message

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Address is a mailbox: an optional display name and an addr-spec.
type Address struct {
	Name string `json:"name"`
	Addr string `json:"address"` // local@domain; the local part quoted only where RFC 5321 needs it
}

// Local and Domain return the two halves of Addr (domain in lower case). The
// domain is "" if there is no @.
func (a Address) Local() string {
	local, _ := halves(a.Addr)
	return local
}

// Domain: see Local.
func (a Address) Domain() string {
	_, domain := halves(a.Addr)
	return strings.ToLower(domain)
}

func halves(addr string) (local, domain string) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return addr, ""
	}
	return addr[:at], addr[at+1:]
}

// Fold returns the form under which two spellings of one mailbox are equal:
// Unicode lower case (local part too, as every large provider treats it), the
// domain as A-labels, no needless quotes.
func Fold(addr string) string {
	addr = strings.TrimSpace(addr)
	if folded(addr) {
		return addr // most are, and the general way is long
	}
	local, domain := halves(addr)
	if in, ok := unquoteLocal(local); ok {
		local = in
	}
	local = foldCase(local)
	if domain == "" {
		return local
	}
	return quoteLocal(local) + "@" + foldDomain(domain)
}

// folded reports whether an address is in the form that Fold gives, if that can
// be seen at once: lower-case ASCII atoms, one @, labels of letters and digits
// with hyphens inside.
func folded(addr string) bool {
	at := strings.IndexByte(addr, '@')
	if at < 1 || at == len(addr)-1 || len(addr)-at > maxDomain {
		return false
	}
	for i := range at {
		if c := addr[i]; c >= 0x80 || c >= 'A' && c <= 'Z' || !atomByte(c) {
			return false
		}
	}
	for label := range strings.SplitSeq(addr[at+1:], ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.HasPrefix(label, "xn--") {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
				return false
			}
		}
	}
	return true
}

func foldCase(s string) string {
	return norm.NFC.String(strings.ToLower(norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD"))))
}

// domainProfile maps as browsers do and lets through what DNS would: underscores
// and bad hyphens are not our business here.
var domainProfile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.BidiRule())

// maxDomain is far over the 255 octets of DNS; converting longer labels would
// take quadratic time.
const maxDomain = 1024

func foldDomain(domain string) string {
	// Lower case first: some letters have an A-label only so.
	domain = foldCase(strings.TrimSuffix(domain, "."))
	if len(domain) <= maxDomain && !strings.HasPrefix(domain, "[") {
		if ascii, err := domainProfile.ToASCII(domain); err == nil && ascii != "" {
			return ascii
		}
	}
	return domain
}

// atomByte holds for what may stand unquoted in a local part (RFC 5321 Atom,
// RFC 6531). Dots are allowed anywhere, because mailboxes like a..b@ exist.
func atomByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80 ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) >= 0
}

// quoteLocal quotes a local part if it needs quotes. Blanks beyond ASCII need
// them too: readers trim those at the ends.
func quoteLocal(local string) string {
	bare := local != "" && !strings.ContainsFunc(local, unicode.IsSpace)
	for i := 0; i < len(local); i++ {
		bare = bare && atomByte(local[i])
	}
	if bare {
		return local
	}
	return quoteString(local)
}

func quoteString(s string) string {
	out := make([]byte, 0, len(s)+2)
	out = append(out, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return string(append(out, '"'))
}

// unquoteLocal undoes a quoted string that is the whole of s.
func unquoteLocal(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' {
		return s, false
	}
	in, n, ok := quotedString(s)
	return in, ok && n == len(s)
}

// quotedString reads the quoted string s begins with and returns its content
// and its length.
func quotedString(s string) (content string, n int, ok bool) {
	out := make([]byte, 0, 32)
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return string(out), i + 1, true
		case '\\':
			if i++; i < len(s) {
				out = append(out, s[i])
			}
		default:
			out = append(out, s[i])
		}
	}
	return "", 0, false
}

// ParseAddress reads one mailbox in any form people type it
// (`a@b`, `<a@b>`, `Anna <a@b>`), strictly enough to be mailed to.
func ParseAddress(s string) (Address, error) {
	list, damaged := ParseAddressList(s, 2)
	switch {
	case len(list) == 0:
		return Address{}, fmt.Errorf("%q is not a mail address", clip(s))
	case len(list) > 1:
		return Address{}, fmt.Errorf("%q is more than one mail address", clip(s))
	case damaged && !strings.Contains(s, "<"):
		return Address{}, fmt.Errorf("%q is more than a mail address", clip(s))
	}
	path, err := ParsePath(list[0].Addr)
	if err != nil {
		return Address{}, fmt.Errorf("%q is not a mail address: %w", clip(s), err)
	}
	if !strings.Contains(path, "@") {
		return Address{}, fmt.Errorf("%q has no domain", clip(s))
	}
	return Address{Name: list[0].Name, Addr: path}, nil
}

func clip(s string) string { return cutRunes(s, 80) }

// Limits of RFC 5321 §4.5.3.1.
const (
	maxPath  = 254 // without the angle brackets
	maxLocal = 64
	maxLabel = 63
)

// ParsePath reads the inside of an SMTP MAIL or RCPT path (RFC 5321 §4.1.2,
// RFC 6531): quoted local parts, address literals, source routes dropped,
// `postmaster` without domain. It refuses control bytes, paths over 254 octets
// and local parts over 64. The null path is an error here: its meaning depends
// on the command. Beyond the grammar it takes dots anywhere in a local part and
// underscores in domains, because both are in use.
func ParsePath(s string) (string, error) {
	if len(s) > maxPath {
		return "", errors.New("path is longer than 254 octets")
	}
	if !utf8.ValidString(s) {
		return "", errors.New("path is not valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || isBidiControl(r) || r == 0x2028 || r == 0x2029 {
			return "", errors.New("path has a control character")
		}
	}
	if strings.HasPrefix(s, "@") {
		route, rest, ok := strings.Cut(s, ":")
		if !ok || !validRoute(route) {
			return "", errors.New("bad source route")
		}
		s = rest
	}
	if strings.EqualFold(s, "postmaster") {
		return "postmaster", nil
	}
	local, domain, err := splitPath(s)
	if err != nil {
		return "", err
	}
	if len(local) > maxLocal {
		return "", errors.New("local part is longer than 64 octets")
	}
	if err := checkDomain(domain); err != nil {
		return "", err
	}
	path := quoteLocal(local) + "@" + domain
	if len(path) > maxPath {
		return "", errors.New("path is longer than 254 octets")
	}
	return path, nil
}

// splitPath returns the local part without quotes, and the domain.
func splitPath(s string) (local, domain string, err error) {
	n := strings.LastIndexByte(s, '@')
	if strings.HasPrefix(s, `"`) {
		var ok bool
		if local, n, ok = quotedString(s); !ok || n >= len(s) || s[n] != '@' {
			return "", "", errors.New("bad quoted local part")
		}
	} else {
		if n < 0 {
			return "", "", errors.New("address has no domain")
		}
		local = s[:n]
		for i := 0; i < n; i++ {
			if !atomByte(s[i]) {
				return "", "", errors.New("local part has a character that needs quotes")
			}
		}
	}
	if local == "" {
		return "", "", errors.New("address has no local part")
	}
	return local, s[n+1:], nil
}

func validRoute(route string) bool {
	for _, hop := range strings.Split(route, ",") {
		if !strings.HasPrefix(hop, "@") || checkDomain(hop[1:]) != nil {
			return false
		}
	}
	return true
}

// checkDomain holds a domain or address literal to RFC 5321 §4.1.2 and §4.1.3.
func checkDomain(d string) error {
	if d == "" {
		return errors.New("address has no domain")
	}
	if d[0] == '[' {
		return checkLiteral(d)
	}
	for _, label := range strings.Split(d, ".") {
		if label == "" || len(label) > maxLabel && isASCIIOnly(label) || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("domain has a bad label")
		}
		for _, r := range label {
			if r < utf8.RuneSelf && !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') ||
				r >= utf8.RuneSelf && !(unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || unicode.IsSymbol(r) || r == 0x200C || r == 0x200D || r == 0xB7) {
				return errors.New("domain has a character that no domain can have")
			}
		}
	}
	return nil
}

func isASCIIOnly(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func checkLiteral(d string) error {
	in, ok := strings.CutSuffix(d[1:], "]")
	if !ok {
		return errors.New("bad address literal")
	}
	six := len(in) > 5 && strings.EqualFold(in[:5], "IPv6:")
	if six {
		in = in[5:]
	}
	ip, err := netip.ParseAddr(in)
	if err != nil || ip.Is4() == six || ip.Zone() != "" {
		return errors.New("bad address literal")
	}
	return nil
}
