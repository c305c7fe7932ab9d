package mailauth_test

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"ticketgate/gateway/mailauth"
	"ticketgate/test/dnstest"
)

// TestTreeWalk is a table of domains, what they publish, and what follows for a
// mail that passes SPF as sender.
func TestTreeWalk(t *testing.T) {
	t.Parallel()
	const (
		reject = "v=DMARC1; p=reject"
		none   = "v=DMARC1; p=none"
	)
	long := "a.b.c.d.e.f.g.h.i.j.mail.example"
	for _, c := range []struct {
		name         string
		zone         map[string]string // "domain" → record; records apart by |
		from, sender string
		want         string // result organisation record-domain tag=policy disposition trust
	}{
		{"own record, same domain", map[string]string{"a.example": reject}, "a.example", "a.example", "pass a.example a.example p=reject none T2"},
		{"own record, subdomain sends", map[string]string{"a.example": reject}, "a.example", "x.y.a.example", "pass a.example a.example p=reject none T2"},
		{"record of the organisation", map[string]string{"a.example": reject}, "www.a.example", "a.example", "pass a.example a.example p=reject none T2"},
		{"siblings", map[string]string{"a.example": reject}, "x.a.example", "y.a.example", "pass a.example a.example p=reject none T2"},
		{"stranger", map[string]string{"a.example": reject}, "a.example", "b.example", "fail a.example a.example p=reject reject T0"},
		{"name that only ends alike", map[string]string{"a.example": reject}, "a.example", "nota.example", "fail a.example a.example p=reject reject T0"},
		{"sp for a subdomain", map[string]string{"a.example": reject + "; sp=quarantine"}, "www.a.example", "b.example", "fail a.example a.example sp=quarantine quarantine T0"},
		{"sp is not for the domain itself", map[string]string{"a.example": reject + "; sp=none"}, "a.example", "b.example", "fail a.example a.example p=reject reject T0"},
		{"np for a subdomain that does not exist", map[string]string{"a.example": none + "; sp=quarantine; np=reject"}, "ghost.a.example", "b.example", "fail a.example a.example np=reject reject T0"},
		{"np not for one that exists", map[string]string{"a.example": none + "; sp=quarantine; np=reject"}, "www.a.example", "b.example", "fail a.example a.example sp=quarantine quarantine T0"},
		{"np falls back to sp, then p", map[string]string{"a.example": none + "; sp=reject"}, "ghost.a.example", "b.example", "fail a.example a.example sp=reject reject T0"},
		{"testing reject", map[string]string{"a.example": reject + "; t=y"}, "a.example", "b.example", "fail a.example a.example p=reject quarantine T0"},
		{"testing quarantine", map[string]string{"a.example": "v=DMARC1; p=quarantine; t=y"}, "a.example", "b.example", "fail a.example a.example p=quarantine none T0"},
		{"pct is history", map[string]string{"a.example": reject + "; pct=0"}, "a.example", "b.example", "fail a.example a.example p=reject reject T0"},
		{"psd=n ends the organisation", map[string]string{"dep.a.example": reject + "; psd=n", "a.example": none}, "dep.a.example", "a.example", "fail dep.a.example dep.a.example p=reject reject T0"},
		{"psd=n below takes its own", map[string]string{"dep.a.example": reject + "; psd=n", "a.example": none}, "x.dep.a.example", "dep.a.example", "pass dep.a.example dep.a.example p=reject none T2"},
		{"psd=n shuts the parent's subdomain out", map[string]string{"dep.a.example": none + "; psd=n", "a.example": reject}, "a.example", "dep.a.example", "fail a.example a.example p=reject reject T0"},
		{"psd=y: organisation is one below", map[string]string{"bank.example": reject + "; psd=y"}, "x.one.bank.example", "y.one.bank.example", "pass one.bank.example bank.example p=reject none T2"},
		{"psd=y: neighbours are strangers", map[string]string{"bank.example": reject + "; psd=y"}, "one.bank.example", "two.bank.example", "fail one.bank.example bank.example p=reject reject T0"},
		{"psd=y: the suffix's own mail", map[string]string{"bank.example": reject + "; psd=y"}, "bank.example", "bank.example", "pass bank.example bank.example p=reject none T2"},
		{"psd=y and a record below", map[string]string{"bank.example": reject + "; psd=y", "one.bank.example": none}, "x.one.bank.example", "one.bank.example", "pass one.bank.example one.bank.example p=none none T2"},
		{"fewest labels win", map[string]string{"x.y.a.example": none, "a.example": reject}, "x.y.a.example", "a.example", "pass a.example x.y.a.example p=none none T2"},
		{"a record in between is not used", map[string]string{"y.a.example": reject, "a.example": none}, "x.y.a.example", "b.example", "fail a.example a.example p=none none T0"},
		{"two records are none", map[string]string{"a.example": reject + "|" + none}, "a.example", "a.example", "none    T1"},
		{"two records, one of them foreign text", map[string]string{"a.example": reject + "|hello"}, "a.example", "b.example", "fail a.example a.example p=reject reject T0"},
		{"two records below, one above", map[string]string{"x.a.example": none + "|" + reject, "a.example": reject + "; sp=reject"}, "x.a.example", "b.example", "fail a.example a.example sp=reject reject T0"},
		{"long names skip to seven labels", map[string]string{"g.h.i.j.mail.example": reject, long: "nothing"}, long, "b.example", "fail g.h.i.j.mail.example g.h.i.j.mail.example p=reject reject T0"},
		{"long names skip what lies between", map[string]string{"d.e.f.g.h.i.j.mail.example": reject}, long, "b.example", "none    T0"},
		{"no record, same domain", nil, "a.example", "a.example", "none    T1"},
		{"no record, same owner by the suffix list", nil, "x.owner.co.uk", "y.owner.co.uk", "none    T1"},
		{"no record, neighbours under a suffix", nil, "one.co.uk", "two.co.uk", "none    T0"},
		{"no record, the suffix itself sends", nil, "one.co.uk", "co.uk", "none    T0"},
		{"record without a policy", map[string]string{"a.example": "v=DMARC1; adkim=s"}, "a.example", "a.example", "permerror a.example   T1"},
		{"no policy, but reports wanted", map[string]string{"a.example": "v=DMARC1; rua=mailto:r@a.example"}, "a.example", "b.example", "fail a.example a.example p=none none T0"},
		{"bad sp, reports wanted", map[string]string{"a.example": "v=DMARC1; p=reject; sp=what; rua=mailto:r@a.example"}, "a.example", "b.example", "fail a.example a.example p=none none T0"},
		{"bad sp", map[string]string{"a.example": "v=DMARC1; p=reject; sp=what"}, "a.example", "b.example", "permerror a.example   T0"},
		{"international author", map[string]string{"xn--bcher-kva.example": reject}, "bücher.example", "xn--bcher-kva.example", "pass xn--bcher-kva.example xn--bcher-kva.example p=reject none T2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			for domain, records := range c.zone {
				h.TXT("_dmarc."+domain, strings.Split(records, "|")...)
			}
			h.A("www.a.example", "192.0.2.80")
			h.TXT(c.sender, "v=spf1 +all")
			v, e := h.check(t, peer, "mx.example", "anna@"+c.sender, "From: anna@"+c.from+"\r\n\r\n")
			d := e.DMARC
			policy := ""
			if d.RecordDomain != "" {
				policy = d.Tag + "=" + d.Policy
			}
			got := strings.Join([]string{string(d.Result), d.Organization, d.RecordDomain, policy, d.Disposition, v.Trust}, " ")
			if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(c.want), " ") {
				t.Errorf("%s\nwant %s\n%s", got, c.want, strings.Join(e.Lines(), "\n"))
			}
			if len(d.Walk) > 8 {
				t.Errorf("%d questions", len(d.Walk))
			}
		})
	}
}

// TestWalkThroughFailures: what a failing name server may and may not change.
func TestWalkThroughFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, fails, from, sender string
		want                      mailauth.Result
	}{
		{"the author's own record", "_dmarc.a.example", "a.example", "a.example", mailauth.TempError},
		{"above, sender is the author's domain", "_dmarc.example", "a.example", "a.example", mailauth.Pass},
		{"above, sender would have to be related", "_dmarc.example", "a.example", "x.a.example", mailauth.TempError},
		{"above, sender is a stranger", "_dmarc.example", "a.example", "b.test", mailauth.Fail},
		{"the sender's walk", "_dmarc.x.a.example", "a.example", "x.a.example", mailauth.TempError},
		{"elsewhere", "_dmarc.b.example", "a.example", "x.a.example", mailauth.Pass},
	} {
		h := newHouse(t)
		h.TXT("_dmarc.a.example", "v=DMARC1; p=reject")
		h.TXT(c.sender, "v=spf1 +all")
		h.Fail(c.fails, dns.TypeTXT, dnstest.ServFail)
		v, e := h.check(t, peer, "mx.example", "anna@"+c.sender, "From: anna@"+c.from+"\r\n\r\n")
		if e.DMARC.Result != c.want || (v.Trust == "T2") != (c.want == mailauth.Pass) {
			t.Errorf("%s: %s %s, want %s\n%s", c.name, e.DMARC.Result, v.Trust, c.want, strings.Join(e.Lines(), "\n"))
		}
		if c.want == mailauth.TempError && v.DMARC.Disposition == "reject" {
			t.Errorf("%s: a failure of DNS must not refuse mail", c.name)
		}
	}
}

// TestAuthor: who cannot be named, cannot be trusted.
func TestAuthor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.TXT("a.example", "v=spf1 +all")
	h.TXT("_dmarc.a.example", "v=DMARC1; p=reject")
	for name, c := range map[string]struct {
		header string
		domain string
	}{
		"one":                    {"From: Anna <anna@a.example>\r\n", "a.example"},
		"capitals":               {"FROM : anna@A.Example.\r\n", "a.example"},
		"folded":                 {"From:\r\n Anna\r\n <anna@a.example>\r\n", "a.example"},
		"line feeds only":        {"From: anna@a.example\nSubject: x\n", "a.example"},
		"none":                   {"Subject: x\r\n", ""},
		"two fields":             {"From: anna@a.example\r\nFrom: anna@a.example\r\n", ""},
		"two mailboxes":          {"From: anna@a.example, bob@b.example\r\n", ""},
		"a group":                {"From: undisclosed:;\r\n", ""},
		"no domain":              {"From: anna\r\n", ""},
		"a literal":              {"From: anna@[192.0.2.1]\r\n", ""},
		"a second hidden by CR":  {"From: anna@a.example\r\nX: y\rFrom: eve@e.example\r\n", ""},
		"a second behind junk":   {"From: eve@e.example\r\njunk\r\nFrom: anna@a.example\r\n", ""},
		"NUL in a name":          {"From: anna@a.example\r\nFr\x00om: eve@e.example\r\n", ""},
		"continuation of naught": {" x\r\nFrom: anna@a.example\r\n", ""},
		"over the limit":         {"From: anna@a.example\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n", ""},
	} {
		v, e := h.check(t, peer, "mx.example", "anna@a.example", c.header+"\r\nbody\r\n")
		if e.Author.Domain != c.domain || (c.domain == "") != (e.Author.Problem != "") || (v.Trust == "T2") != (c.domain != "") {
			t.Errorf("%s: %+v %s", name, e.Author, v.Trust)
		}
	}
}

// TestNoSMTP: mail that came another way has no peer to judge.
func TestNoSMTP(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	v, _ := h.check(t, "", "", "anna@a.example", "From: anna@a.example\r\n\r\n")
	if v.SPF.Result != "none" || v.IPRev.Result != "none" || v.Trust != "T0" {
		t.Errorf("%+v", v)
	}
}
