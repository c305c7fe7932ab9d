package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ticketgate/delivery/dkim"
	"ticketgate/gateway/api"
	"ticketgate/gateway/mailauth"
	"ticketgate/ticketing"
)

// nameServer is the part of the resolver that checks of what is published need.
type nameServer interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// dnsCheck compares DNS with what an installation needs.
type dnsCheck struct {
	dns      nameServer
	hostname string
	relayed  bool // mail leaves by somebody else's server
	keys     func(ctx context.Context, domain string) ([]dkim.Check, error)
	now      func() time.Time

	hosts   []netip.Addr // of hostname
	hostErr error
}

// check looks at the host, then at each domain.
func (c *dnsCheck) check(ctx context.Context, domains []string) []api.Diagnosis {
	c.hosts, c.hostErr = c.dns.LookupNetIP(ctx, "ip", c.hostname)
	out := c.host(ctx)
	for _, d := range domains {
		out = append(out, c.mx(ctx, d), c.spf(ctx, d))
		out = append(out, c.dkim(ctx, d)...)
		out = append(out, c.dmarc(ctx, d), c.mtaSTS(ctx, d), c.tlsReports(ctx, d))
	}
	return out
}

// diagnosis builds a result; expected, found and fix may be empty.
func diagnosis(subject, check, status, detail, expected, found, fix string) api.Diagnosis {
	return api.Diagnosis{Subject: subject, Check: check, Status: status, Detail: detail,
		Expected: stringOrNull(expected), Found: stringOrNull(found), Fix: stringOrNull(fix)}
}

// absent tells "there is none" from "nobody could say".
func absent(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

func unanswered(subject, check string, err error) api.Diagnosis {
	return diagnosis(subject, check, "skip", "DNS gave no answer: "+err.Error(), "", "", "try again; if it stays so, look at the resolver and at the domain's name servers")
}

// host checks the name we give in HELO: it has addresses, and they have it.
func (c *dnsCheck) host(ctx context.Context) []api.Diagnosis {
	switch {
	case c.hostErr != nil && !absent(c.hostErr):
		return []api.Diagnosis{unanswered(c.hostname, "address", c.hostErr)}
	case len(c.hosts) == 0:
		return []api.Diagnosis{diagnosis(c.hostname, "address", "fail", "the hostname has no address", "A or AAAA", "nothing",
			"publish the address that mail leaves from:  "+c.hostname+". IN A …")}
	}
	out := []api.Diagnosis{}
	for _, ip := range c.hosts {
		if ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
			out = append(out, diagnosis(c.hostname, "address", "warn", "the hostname leads to an address that others cannot reach", "a public address", ip.String(), "publish the public address"))
			continue
		}
		out = append(out, diagnosis(c.hostname, "address", "ok", "", "", ip.String(), ""), c.ptr(ctx, ip))
	}
	return out
}

// ptr wants the address's name to be ours: many servers refuse mail otherwise.
func (c *dnsCheck) ptr(ctx context.Context, ip netip.Addr) api.Diagnosis {
	names, err := c.dns.LookupAddr(ctx, ip.String())
	if err != nil && !absent(err) {
		return unanswered(ip.String(), "ptr", err)
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(strings.ToLower(n), ".")
	}
	if slices.Contains(names, c.hostname) {
		return diagnosis(ip.String(), "ptr", "ok", "", c.hostname, strings.Join(names, ", "), "")
	}
	status := "fail"
	if c.relayed {
		status = "warn" // what counts is the smarthost's
	}
	return diagnosis(ip.String(), "ptr", status, "the address is not called as we call ourselves", c.hostname, orWord(strings.Join(names, ", "), "nothing"),
		"ask whoever gave you the address to set its reverse name to "+c.hostname)
}

func (c *dnsCheck) mx(ctx context.Context, domain string) api.Diagnosis {
	expected := "10 " + c.hostname
	fix := "publish  " + domain + ". IN MX 10 " + c.hostname + "."
	list, err := c.dns.LookupMX(ctx, domain)
	if err != nil && !absent(err) {
		return unanswered(domain, "mx", err)
	}
	var found []string
	ours := false
	for _, m := range list {
		host := strings.TrimSuffix(strings.ToLower(m.Host), ".")
		ours = ours || host == c.hostname
		found = append(found, fmt.Sprintf("%d %s", m.Pref, orWord(host, ".")))
	}
	text := strings.Join(found, ", ")
	switch {
	case len(found) == 0:
		return diagnosis(domain, "mx", "fail", "the domain has no mail exchanger, so no mail comes", expected, "nothing", fix)
	case text == "0 .":
		return diagnosis(domain, "mx", "fail", "the domain says that it takes no mail (RFC 7505)", expected, text, fix)
	case !ours:
		return diagnosis(domain, "mx", "warn", "mail goes to another server, which must pass it on to us", expected, text, fix+"  unless that server forwards to this one")
	}
	return diagnosis(domain, "mx", "ok", "", "", text, "")
}

// texts returns the TXT records that begin with a version.
func (c *dnsCheck) texts(ctx context.Context, name, version string) ([]string, error) {
	list, err := c.dns.LookupTXT(ctx, name)
	if err != nil && !absent(err) {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(list), func(t string) bool {
		rest, ok := strings.CutPrefix(strings.ToLower(t), version)
		return !ok || rest != "" && !strings.ContainsAny(rest[:1], " ;")
	}), nil
}

func (c *dnsCheck) spf(ctx context.Context, domain string) api.Diagnosis {
	const wanted = "v=spf1 mx -all"
	found, err := c.texts(ctx, domain, "v=spf1")
	switch {
	case err != nil:
		return unanswered(domain, "spf", err)
	case len(found) == 0:
		return diagnosis(domain, "spf", "fail", "nothing says which servers may send for the domain", wanted, "nothing", `publish  `+domain+`. IN TXT "`+wanted+`"`)
	case len(found) > 1:
		return diagnosis(domain, "spf", "fail", fmt.Sprintf("%d records start with v=spf1; receivers treat this as permerror", len(found)), "one record", strings.Join(found, " | "), "merge them into one")
	case c.relayed:
		return diagnosis(domain, "spf", "ok", "mail leaves by a smarthost: make sure that the record allows it", "", found[0], "")
	case len(c.hosts) == 0:
		return diagnosis(domain, "spf", "skip", "our own address is not known, so the record cannot be tried", "", found[0], "")
	}
	checker, err := mailauth.New(mailauth.Options{DNS: c.dns, Now: c.now})
	if err != nil {
		return diagnosis(domain, "spf", "skip", err.Error(), "", found[0], "")
	}
	mail := "From: postmaster@" + domain + "\r\n\r\n"
	for _, ip := range c.hosts {
		v, _ := checker.Evaluate(ctx, mailauth.Input{RemoteIP: ip, HELO: c.hostname, EnvelopeFrom: "postmaster@" + domain, Raw: strings.NewReader(mail), Size: int64(len(mail))})
		if v.SPF.Result != "pass" {
			return diagnosis(domain, "spf", "fail", fmt.Sprintf("mail from %s gets %s%s", ip, v.SPF.Result, prefixed(": ", v.SPF.Reason)), wanted, found[0], "let the record name this host, for instance by mx or a:"+c.hostname)
		}
	}
	return diagnosis(domain, "spf", "ok", "", "", found[0], "")
}

func (c *dnsCheck) dkim(ctx context.Context, domain string) []api.Diagnosis {
	checks, err := c.keys(ctx, domain)
	if err != nil {
		return []api.Diagnosis{diagnosis(domain, "dkim", "fail", err.Error(), "", "", "see: ticketgate dkim list "+domain)}
	}
	var out []api.Diagnosis
	for _, k := range checks {
		status, expected := k.Status, ""
		if k.Status == dkim.Fail && k.Key.Phase == dkim.Prepared {
			status = "warn" // not in use yet
		}
		if k.Key.Record != nil && k.Status == dkim.Fail {
			expected = k.Key.Record.Text
		}
		detail := k.Detail
		if k.Status == dkim.OK {
			detail = ""
		}
		out = append(out, diagnosis(k.Key.Selector+"._domainkey."+domain, "dkim", status, strings.TrimSpace(fmt.Sprintf("%s key, %s%s", k.Key.Algorithm, k.Key.Phase, prefixed(": ", detail))),
			expected, strings.Join(k.Found, " | "), k.Fix))
	}
	return out
}

func (c *dnsCheck) dmarc(ctx context.Context, domain string) api.Diagnosis {
	name := "_dmarc." + domain
	found, err := c.texts(ctx, name, "v=dmarc1")
	switch {
	case err != nil:
		return unanswered(name, "dmarc", err)
	case len(found) == 0:
		return diagnosis(name, "dmarc", "fail", "there is no policy; large receivers want one, if only p=none", "v=DMARC1; p=none", "nothing", `publish  `+name+`. IN TXT "v=DMARC1; p=none"`)
	case len(found) > 1:
		return diagnosis(name, "dmarc", "fail", "more than one record: receivers use none of them (RFC 9989)", "one record", strings.Join(found, " | "), "leave one")
	}
	tags := map[string]string{}
	for part := range strings.SplitSeq(found[0], ";") {
		k, v, _ := strings.Cut(part, "=")
		tags[strings.ToLower(strings.TrimSpace(k))] = strings.ToLower(strings.TrimSpace(v))
	}
	switch tags["p"] {
	case "reject", "quarantine":
		return diagnosis(name, "dmarc", "ok", "", "", found[0], "")
	case "none":
		return diagnosis(name, "dmarc", "ok", "p=none only watches: raise it to quarantine, then reject, when reports show no mail of yours failing", "", found[0], "")
	}
	return diagnosis(name, "dmarc", "fail", "the record has no usable p=", "p=none, quarantine or reject", found[0], "correct p=")
}

// mtaSTS and tlsReports are not needed; if something is there, it must be right.
func (c *dnsCheck) mtaSTS(ctx context.Context, domain string) api.Diagnosis {
	name := "_mta-sts." + domain
	found, err := c.texts(ctx, name, "v=stsv1")
	switch {
	case err != nil:
		return unanswered(name, "mta-sts", err)
	case len(found) == 0:
		return diagnosis(name, "mta-sts", "ok", "not used: others may send to you without checking our certificate (RFC 8461)", "", "", "")
	case len(found) > 1 || !strings.Contains(found[0], "id="):
		return diagnosis(name, "mta-sts", "fail", "there must be one record, with an id", "v=STSv1; id=…", strings.Join(found, " | "), "leave one record and give it an id")
	}
	host := "mta-sts." + domain
	if ips, err := c.dns.LookupNetIP(ctx, "ip", host); len(ips) == 0 && absent(err) {
		return diagnosis(name, "mta-sts", "fail", "a policy is announced, but "+host+" has no address to fetch it from", "an address of "+host, found[0], "publish the address, or remove the record")
	}
	return diagnosis(name, "mta-sts", "ok", "", "", found[0], "")
}

func (c *dnsCheck) tlsReports(ctx context.Context, domain string) api.Diagnosis {
	name := "_smtp._tls." + domain
	found, err := c.texts(ctx, name, "v=tlsrptv1")
	switch {
	case err != nil:
		return unanswered(name, "tls-rpt", err)
	case len(found) == 0:
		return diagnosis(name, "tls-rpt", "ok", "not used: nobody tells you when TLS to us fails (RFC 8460)", "", "", "")
	case len(found) > 1 || !strings.Contains(found[0], "rua="):
		return diagnosis(name, "tls-rpt", "fail", "there must be one record, with rua=", "v=TLSRPTv1; rua=mailto:…", strings.Join(found, " | "), "leave one record and say where reports go")
	}
	return diagnosis(name, "tls-rpt", "ok", "", "", found[0], "")
}

// house knows how the installation is doing.
type house struct{ p *program }

// dnsTime bounds one round of checks.
const dnsTime = 60 * time.Second

// CheckDNS implements api.House.
func (h house) CheckDNS(ctx context.Context, domain string) ([]api.Diagnosis, error) {
	domains := h.p.domains()
	if domain != "" {
		domain = strings.TrimSuffix(strings.ToLower(domain), ".")
		if !slices.Contains(domains, domain) {
			return nil, &ticketing.Error{Kind: ticketing.Unknown, Text: "this is no domain of ours"}
		}
		domains = []string{domain}
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTime)
	defer cancel()
	c := dnsCheck{
		dns: h.p.fresh, hostname: string(h.p.cfg.Hostname), keys: h.p.dkim.Check, now: h.p.world.now,
		relayed: h.p.cfg.Outbound.Smarthost != "" || h.p.cfg.Outbound.Route != "",
	}
	found := c.check(ctx, domains)
	h.p.dnsOK.note(found, domains)
	return found, nil
}
