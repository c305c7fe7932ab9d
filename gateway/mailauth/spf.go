package mailauth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Limits of RFC 7208 §4.6.4.
const (
	maxLookups = 10 // terms that ask DNS
	maxVoid    = 2  // of them, how many may find nothing
	maxMX      = 10
	maxNames   = 10 // of an address
)

// spf judges the envelope sender, or the HELO name for the null sender (RFC
// 7208 §2.4).
func (c *Checker) spf(ctx context.Context, in Input) (s SPF) {
	local, domain := "postmaster", in.HELO
	s.Identity = "helo"
	if in.EnvelopeFrom != "" {
		s.Identity = "mailfrom"
		at := strings.LastIndexByte(in.EnvelopeFrom, '@')
		domain = in.EnvelopeFrom[at+1:]
		if at > 0 {
			local = in.EnvelopeFrom[:at]
		}
	}
	s.Domain = asciiDomain(domain)
	s.Sender = local + "@" + s.Domain
	switch {
	case !in.RemoteIP.IsValid():
		s.Result, s.Reason, s.Unasked = None, "the client's address is not known", true
		return s
	case !fullName(s.Domain):
		s.Result, s.Reason = None, "the sender has no full domain name"
		return s
	}
	check := &spfCheck{dns: c.o.DNS, ip: in.RemoteIP, local: local, domain: s.Domain, helo: in.HELO}
	var reason string
	s.Result, reason = check.host(ctx, s.Domain)
	s.Reason = clean(reason)
	return s
}

// spfCheck is one evaluation with its budgets.
type spfCheck struct {
	dns                 Resolver
	ip                  netip.Addr
	local, domain, helo string // of the sender
	lookups, void       int
	names               []string // of ip, those that lead back to it; nil = not looked up
}

// host is check_host() (RFC 7208 §4).
func (c *spfCheck) host(ctx context.Context, domain string) (Result, string) {
	texts, err := c.dns.LookupTXT(ctx, domain)
	if err != nil && !isAbsent(err) {
		return TempError, err.Error()
	}
	var found []string
	for _, t := range texts {
		if isSPF(t) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return None, domain + " has no SPF record"
	case 1:
	default:
		return PermError, fmt.Sprintf("%s has %d SPF records", domain, len(found))
	}
	record, err := parseSPF(found[0])
	if err != nil {
		return PermError, domain + ": " + err.Error()
	}
	for _, t := range record.terms {
		matched, stop := c.match(ctx, t, domain)
		if stop != nil {
			return stop.result, stop.reason
		}
		if matched {
			return t.result, t.text + " of " + domain
		}
	}
	if record.redirect == "" {
		return Neutral, "no term of " + domain + " matches"
	}
	if stop := c.count(); stop != nil {
		return stop.result, stop.reason
	}
	result, reason := c.host(ctx, c.expand(ctx, record.redirect, domain))
	if result == None {
		result = PermError
	}
	return result, reason
}

func isSPF(s string) bool {
	return len(s) >= 6 && strings.EqualFold(s[:6], "v=spf1") && (len(s) == 6 || s[6] == ' ')
}

func (c *spfCheck) count() *verdict {
	if c.lookups++; c.lookups > maxLookups {
		return ruling(PermError, "more than %d terms ask DNS", maxLookups)
	}
	return nil
}

// match reports whether a term matches; stop ends the evaluation.
func (c *spfCheck) match(ctx context.Context, t spfTerm, domain string) (matched bool, stop *verdict) {
	switch t.mechanism {
	case "all":
		return true, nil
	case "ip4", "ip6":
		return t.net.Contains(c.ip), nil
	}
	if stop := c.count(); stop != nil {
		return false, stop
	}
	target := domain
	if t.domain != "" {
		target = c.expand(ctx, t.domain, domain)
	}
	switch t.mechanism {
	case "include":
		switch result, reason := c.host(ctx, target); result {
		case Pass:
			return true, nil
		case TempError:
			return false, ruling(TempError, "%s", reason)
		case PermError, None:
			return false, ruling(PermError, "%s", reason)
		}
		return false, nil
	case "exists":
		ips, stop := c.addresses(ctx, "ip4", target, true)
		return len(ips) > 0, stop
	case "a":
		ips, stop := c.addresses(ctx, c.family(), target, true)
		return c.among(ips, t), stop
	case "mx":
		return c.matchMX(ctx, t, target)
	case "ptr":
		return c.matchPTR(ctx, target)
	}
	return false, nil
}

func (c *spfCheck) family() string {
	if c.ip.Is4() {
		return "ip4"
	}
	return "ip6"
}

// addresses looks up a name; void says whether finding nothing counts.
func (c *spfCheck) addresses(ctx context.Context, network, name string, void bool) ([]netip.Addr, *verdict) {
	ips, err := c.dns.LookupNetIP(ctx, network, strings.TrimSuffix(name, ".")+".")
	if err != nil && !isAbsent(err) {
		return nil, ruling(TempError, "%v", err)
	}
	if len(ips) == 0 && void {
		return nil, c.nothing()
	}
	return ips, nil
}

// nothing counts a lookup that found nothing.
func (c *spfCheck) nothing() *verdict {
	if c.void++; c.void > maxVoid {
		return ruling(PermError, "more than %d lookups find nothing", maxVoid)
	}
	return nil
}

func (c *spfCheck) among(ips []netip.Addr, t spfTerm) bool {
	bits := t.bits6
	if c.ip.Is4() {
		bits = t.bits4
	}
	for _, ip := range ips {
		if p, err := ip.Unmap().Prefix(bits); err == nil && p.Contains(c.ip) {
			return true
		}
	}
	return false
}

func (c *spfCheck) matchMX(ctx context.Context, t spfTerm, target string) (bool, *verdict) {
	mxs, err := c.dns.LookupMX(ctx, target)
	switch {
	case err != nil && !isAbsent(err) && len(mxs) == 0:
		return false, ruling(TempError, "%v", err)
	case len(mxs) == 0:
		return false, c.nothing()
	case len(mxs) > maxMX:
		return false, ruling(PermError, "%s has more than %d mail exchangers", target, maxMX)
	}
	for _, mx := range mxs {
		ips, stop := c.addresses(ctx, c.family(), mx.Host, false)
		if stop != nil || c.among(ips, t) {
			return stop == nil, stop
		}
	}
	return false, nil
}

func (c *spfCheck) matchPTR(ctx context.Context, target string) (bool, *verdict) {
	stop := c.findNames(ctx)
	for _, name := range c.names {
		if under(name, strings.ToLower(strings.TrimSuffix(target, "."))) {
			return true, nil
		}
	}
	return false, stop
}

// findNames looks up the names of the peer's address that lead back to it,
// once. A failure only means fewer names (RFC 7208 §5.5): the reverse zone is
// not the sender's.
func (c *spfCheck) findNames(ctx context.Context) *verdict {
	if c.names != nil {
		return nil
	}
	c.names = []string{}
	names, err := c.dns.LookupAddr(ctx, c.ip.String())
	if len(names) == 0 && (err == nil || isAbsent(err)) {
		return c.nothing()
	}
	for _, name := range names[:min(len(names), maxNames)] {
		ips, _ := c.addresses(ctx, c.family(), name, false)
		for _, ip := range ips {
			if ip.Unmap() == c.ip {
				c.names = append(c.names, strings.ToLower(strings.TrimSuffix(name, ".")))
				break
			}
		}
	}
	return nil
}

// expand replaces the macros of a domain-spec that parseSPF has accepted (RFC
// 7208 §7). A name that is too long loses labels from the left.
func (c *spfCheck) expand(ctx context.Context, spec, domain string) string {
	var b strings.Builder
	for {
		at := strings.IndexByte(spec, '%')
		if at < 0 {
			b.WriteString(spec)
			break
		}
		b.WriteString(spec[:at])
		m, rest, ok := cutMacro(spec[at:])
		if !ok {
			break
		}
		if m.letter == 0 {
			b.WriteString(m.literal)
		} else {
			b.WriteString(m.apply(c.value(ctx, m.letter|0x20, domain)))
		}
		spec = rest
	}
	name := strings.TrimSuffix(b.String(), ".")
	for len(name) > 253 {
		_, shorter, ok := strings.Cut(name, ".")
		if !ok {
			break
		}
		name = shorter
	}
	return name
}

func (c *spfCheck) value(ctx context.Context, letter byte, domain string) string {
	switch letter {
	case 's':
		return c.local + "@" + c.domain
	case 'l':
		return c.local
	case 'o':
		return c.domain
	case 'd':
		return domain
	case 'h':
		return c.helo
	case 'v':
		if c.ip.Is4() {
			return "in-addr"
		}
		return "ip6"
	case 'p':
		return c.peerName(ctx, domain)
	}
	if c.ip.Is4() {
		return c.ip.String()
	}
	var b strings.Builder
	for i, octet := range c.ip.As16() {
		if i > 0 {
			b.WriteByte('.')
		}
		fmt.Fprintf(&b, "%x.%x", octet>>4, octet&15)
	}
	return b.String()
}

// peerName prefers the domain itself, then a name below it (RFC 7208 §7.3).
func (c *spfCheck) peerName(ctx context.Context, domain string) string {
	c.findNames(ctx)
	best := "unknown"
	for i, name := range c.names {
		switch {
		case name == domain:
			return name
		case under(name, domain), i == 0:
			best = name
		}
	}
	return best
}

// apply cuts, turns round and escapes a macro's value.
func (m macro) apply(value string) string {
	delimiters := m.delimiters
	if delimiters == "" {
		delimiters = "."
	}
	var parts []string
	for {
		at := strings.IndexAny(value, delimiters)
		if at < 0 {
			break
		}
		parts, value = append(parts, value[:at]), value[at+1:]
	}
	parts = append(parts, value)
	if m.reverse {
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
	}
	if m.keep > 0 && m.keep < len(parts) {
		parts = parts[len(parts)-m.keep:]
	}
	out := strings.Join(parts, ".")
	if 'A' <= m.letter && m.letter <= 'Z' {
		out = escape(out)
	}
	return out
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; letter(c) || number(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
