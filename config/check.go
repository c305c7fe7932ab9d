package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxQueueLocal leaves room for token and separator in the 64 octets of a
// local part.
const maxQueueLocal = 24

// check looks for mistakes that no single value shows.
func (p *parser) check() {
	c := p.config
	p.checkServer(c)
	p.checkListeners(c.Listen)
	p.checkTLS(c.TLS)
	p.checkOutbound(c.Outbound)
	domains := p.checkDomains(c)
	for _, name := range slices.Sorted(maps.Keys(c.Agents)) {
		p.checkName(path{"agent", name})
		if c.Agents[name].Name == "" {
			c.Agents[name].Name = name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		p.checkName(path{"queue", name})
		p.checkQueue(name, c.Queues[name], domains)
	}
	p.checkWays(c)
	p.checkAddresses(c, domains)
}

func (p *parser) checkServer(c *Config) {
	if !c.Store.URL.IsZero() {
		p.errorf(path{"store", "url"}, `use  store = { dir = "…" }`, "store.url: PostgreSQL comes in a later version")
	}
	if c.Store.Dir == "" {
		p.errorf(path{"store", "dir"}, "", "dir is empty; mail has to be kept somewhere")
	}
	if !c.Metrics.Token.IsZero() && c.Metrics.TokenFile != "" {
		p.errorf(path{"metrics", "token_file"}, "keep one of them", "token and token_file are both set")
	}
	if c.Limits.MessageSize < 64<<10 {
		// RFC 5321 §4.5.3.1.7: a server must be able to take at least 64K octets.
		p.errorf(path{"limits", "message_size"}, "", "message_size = %s is below the 64KiB that RFC 5321 §4.5.3.1.7 asks for", c.Limits.MessageSize)
	}
	if c.PublicURL == "" && c.Hostname != "" {
		c.PublicURL = "https://" + string(c.Hostname)
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		p.errorf(path{"public_url"}, "", "public_url must be an address such as \"https://desk.help.example\"")
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
}

func (p *parser) checkListeners(l Listen) {
	used := map[string]string{}
	for _, x := range []struct {
		key    string
		addr   ListenAddr
		served bool
	}{
		{"smtp", l.SMTP, true}, {"submissions", l.Submissions, true}, {"submission", l.Submission, true},
		{"lmtp", ListenAddr(l.LMTP), true}, {"imap", l.IMAP, false},
		{"http", l.HTTP, true}, {"admin", l.Admin, true},
	} {
		at := path{"listen", x.key}
		if x.addr == "" {
			continue
		}
		if !x.served {
			p.warnf(at, "", "listen.%s is not served by this version", x.key)
		}
		_, port, err := net.SplitHostPort(string(x.addr))
		if err == nil && port == "0" {
			continue
		}
		if x.key == "lmtp" && port == "25" {
			p.errorf(at, `use  lmtp = "127.0.0.1:24"`, "listen.lmtp is on port 25, where other servers speak SMTP (RFC 2033 §5)")
		}
		for _, other := range slices.Sorted(maps.Keys(used)) {
			if overlap(string(x.addr), other) {
				p.errorf(at, "", "listen.%s has the same address as listen.%s (%s)", x.key, used[other], other)
				break
			}
		}
		used[string(x.addr)] = x.key
	}
	if l.SMTP == "" {
		p.warnf(path{"listen", "smtp"}, "", "listen.smtp is off; no mail comes in by SMTP")
	}
}

// overlap reports whether only one of two addresses can be listened on: every
// interface includes each single one.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB {
		return a == b
	}
	ipA, ipB := listenIP(hostA), listenIP(hostB)
	for _, x := range [...][2]netip.Addr{{ipA, ipB}, {ipB, ipA}} {
		if x[0].IsUnspecified() && (x[0].Is6() || x[1].Is4()) {
			return true
		}
	}
	return ipA == ipB
}

func listenIP(host string) netip.Addr {
	switch host {
	case "":
		return netip.IPv6Unspecified() // and IPv4 with it
	case "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ip, _ := netip.ParseAddr(host)
	return ip
}

func (p *parser) checkTLS(t TLS) {
	p.checkACME(t)
	for _, x := range []struct {
		key string
		val Path
	}{{"cert", t.Cert}, {"key", t.Key}} {
		switch {
		case t.Mode == "files" && x.val == "":
			p.errorf(path{"tls", "mode"}, "", "tls.mode \"files\" needs tls.%s", x.key)
		case t.Mode != "files" && x.val != "":
			p.errorf(path{"tls", x.key}, `set  mode = "files"`, "tls.%s is only used with mode \"files\"", x.key)
		}
	}
}

func (p *parser) checkACME(t TLS) {
	u, err := url.Parse(t.ACMEDirectory)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		p.errorf(path{"tls", "acme_directory"}, fmt.Sprintf("use  acme_directory = %q", DefaultACME), "acme_directory must be an https:// address")
	}
	if t.Mode != "acme" {
		if t.ACMEDirectory != DefaultACME {
			p.errorf(path{"tls", "acme_directory"}, `set  mode = "acme"`, "tls.acme_directory is only used with mode \"acme\"")
		}
		if t.ACMEEmail != "" {
			p.errorf(path{"tls", "acme_email"}, `set  mode = "acme"`, "tls.acme_email is only used with mode \"acme\"")
		}
		return
	}
	l := p.config.Listen
	if l.HTTP == "" && l.Submissions == "" {
		p.errorf(path{"tls", "mode"}, "", "tls.mode \"acme\" needs listen.http (as port 80) or listen.submissions (as port 443): the authority has to reach us")
	}
}

func (p *parser) checkOutbound(o Outbound) {
	for i, d := range o.Retry {
		if d <= 0 {
			p.errorf(path{"outbound", "retry", strconv.Itoa(i)}, "", "retry: a waiting time must be longer than 0s")
		}
	}
	switch {
	case o.Expire <= 0:
		p.errorf(path{"outbound", "expire"}, "", "expire must be longer than 0s")
	case len(o.Retry) > 0 && o.Retry[0] > o.Expire:
		p.errorf(path{"outbound", "expire"}, "", "expire = %s is shorter than the first retry of %s; no mail would be tried twice", o.Expire, o.Retry[0])
	}
}

// checkDomains brings the names into one form and returns them.
func (p *parser) checkDomains(c *Config) []string {
	clean := map[string]*Domain{}
	for _, name := range slices.Sorted(maps.Keys(c.Domains)) {
		at := path{"domain", name}
		d, err := domainName(name)
		switch {
		case err != nil:
			p.errorf(at, "", "%q is not a domain name: %v", name, err)
			continue
		case clean[d] != nil:
			p.errorf(at, "", "domain %s stands here twice", d)
		}
		clean[d] = c.Domains[name]
	}
	if len(c.Domains) == 0 {
		p.errorf(path{"domain"}, `add  [domain."help.example"]`, "no domain is configured, so no mail is ours")
	}
	if len(c.Queues) == 0 {
		p.warnf(path{"queue"}, "", "no queue is configured, so every recipient will be refused")
	}
	c.Domains = clean
	return slices.Sorted(maps.Keys(clean))
}

func (p *parser) checkName(at path) {
	if err := checkID(at[1]); err != nil {
		p.errorf(at, "", "%q cannot name %s: %v", at[1], map[string]string{"agent": "an agent", "queue": "a queue", "route": "a route"}[at[0]], err)
	}
}

func (p *parser) checkQueue(name string, q *Queue, domains []string) {
	at := path{"queue", name}
	p.checkQueueAddress(at.with("address"), q.Address, domains)
	for i, a := range q.Aliases {
		p.checkQueueAddress(at.with("aliases", strconv.Itoa(i)), a, domains)
	}
	p.checkQueueAgents(at.with("agents"), q.Agents)
	for _, f := range q.TrustedForwarders {
		if f.Login != "" && p.config.Agents[f.Login] == nil {
			p.errorf(at.with("trusted_forwarders"), didYouMean(f.Login, slices.Sorted(maps.Keys(p.config.Agents))), "trusted_forwarders: there is no agent %q", f.Login)
		}
	}
	for i, pattern := range q.CC.Never {
		if !strings.Contains(pattern, "@") || strings.ContainsAny(pattern, " <>,;") {
			p.errorf(at.with("cc", "never", strconv.Itoa(i)), "", "never: %q is neither an address nor @domain nor a pattern such as \"*@lists.example\"", pattern)
		}
	}
	for i, pattern := range q.Hold.Blocked {
		if !strings.Contains(pattern, "@") || strings.ContainsAny(pattern, " <>,;") {
			p.errorf(at.with("hold", "blocked", strconv.Itoa(i)), "", "blocked: %q is neither an address nor @domain nor a pattern such as \"*@spam.example\"", pattern)
		}
	}
	p.checkAccept(at.with("accept"), q.Accept)
	if q.ReopenWindow < 0 {
		p.errorf(at.with("reopen_window"), "", "reopen_window cannot be negative")
	}
	if q.Language != "en" {
		p.warnf(at.with("language"), "", "language %q is not served by this version; texts will be English", q.Language)
	}
	if q.Name == "" {
		q.Name = name
	}
}

func (p *parser) checkQueueAddress(at path, a Address, domains []string) {
	if a == "" {
		return // already reported
	}
	if n := len(a.Local()); n > maxQueueLocal {
		p.errorf(at, "", "the part of %s before the @ has %d octets; at most %d leave room for reply addresses", a, n, maxQueueLocal)
	}
	if strings.Contains(a.Local(), "+") {
		p.errorf(at, "", "the part of %s before the @ has a +, which separates the token in reply addresses", a)
	}
	if len(domains) > 0 && !slices.Contains(domains, a.Domain()) {
		hint := fmt.Sprintf("add  [domain.%q]", a.Domain())
		if near := nearest(a.Domain(), domains); near != "" {
			hint = fmt.Sprintf("did you mean \"%s@%s\"?", a.Local(), near)
		}
		p.errorf(at, hint, "queue address %s is outside the configured domains (%s)", a, strings.Join(domains, ", "))
	}
}

func (p *parser) checkQueueAgents(at path, names []string) {
	seen := map[string]bool{}
	for i, name := range names {
		here := at.with(strconv.Itoa(i))
		if seen[name] {
			p.errorf(here, "", "agents: %q stands here twice", name)
		}
		seen[name] = true
		if p.config.Agents[name] != nil {
			continue
		}
		hint := didYouMean(name, slices.Sorted(maps.Keys(p.config.Agents)))
		if owner := p.agentWithAddress(name); owner != "" {
			hint = fmt.Sprintf("agents are listed by id; did you mean %q?", owner)
		} else if hint == "" && checkID(name) == nil {
			hint = fmt.Sprintf("add  [agent.%s]", name)
		}
		p.errorf(here, hint, "agents: there is no agent %q", name)
	}
}

func (p *parser) agentWithAddress(addr string) string {
	for _, name := range slices.Sorted(maps.Keys(p.config.Agents)) {
		for _, a := range p.config.Agents[name].Addresses {
			if strings.EqualFold(string(a), addr) {
				return name
			}
		}
	}
	return ""
}

// checkAddresses finds addresses that would belong to two owners, which would
// make a loop (an agent who is a queue) or an ambiguity.
func (p *parser) checkAddresses(c *Config, domains []string) {
	owners := map[string]string{}
	claim := func(at path, a Address, owner string) {
		if a == "" {
			return
		}
		other, taken := owners[a.fold()]
		switch {
		case !taken:
			owners[a.fold()] = owner
		case other == owner:
			p.errorf(at, "", "%s stands twice in [%s]", a, owner)
		case strings.HasPrefix(owner, "agent.") && strings.HasPrefix(other, "queue."):
			p.errorf(at, "", "%s is the address of [%s]; an agent with it would mail the queue to itself", a, other)
		default:
			p.errorf(at, "", "%s already belongs to [%s]", a, other)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		at, q := path{"queue", name}, c.Queues[name]
		claim(at.with("address"), q.Address, at.String())
		for i, a := range q.Aliases {
			claim(at.with("aliases", strconv.Itoa(i)), a, at.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Agents)) {
		at := path{"agent", name}
		for i, a := range c.Agents[name].Addresses {
			claim(at.with("addresses", strconv.Itoa(i)), a, at.String())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		p.checkAppearance(path{"queue", name}, c.Queues[name], owners, domains)
	}
}
