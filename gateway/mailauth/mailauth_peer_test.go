package mailauth_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/miekg/dns"

	"ticketgate/gateway/mailauth"
	"ticketgate/test/dnstest"
	"ticketgate/test/peers"
)

// peerCase is a generated case. why names the rule by which we may differ from
// the peers; "" means that we must not.
type peerCase struct {
	peers.Case
	spfWhy, dkimWhy, dmarcWhy string
	note                      string
}

// TestPeers compares our results with pyspf, dkimpy and authheaders on
// generated zones and mails. Every difference must have a rule in its case.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python; part of make test")
	}
	t.Parallel()
	h := newHouse(t)
	rnd := rand.New(rand.NewPCG(7208, 6376))
	cases := append(spfCases(h, rnd), dkimCases(t, h, rnd)...)
	cases = append(cases, dmarcCases(t, h, rnd)...)
	given := make([]peers.Case, len(cases))
	for i := range cases {
		given[i] = cases[i].Case
	}
	theirs := peers.Verdicts(t, h.Port(), given)
	tally := map[string]int{}
	compare := func(i int, method, ours, theirs, why string, e *mailauth.Evidence) {
		tally[method+" "+ours]++
		switch {
		case ours == theirs:
		case why != "":
			tally["differ: "+why]++
		default:
			t.Errorf("case %d (%s): %s: we say %s, they say %s\n%s", i, cases[i].note, method, ours, theirs, strings.Join(e.Lines(), "\n"))
		}
	}
	for i, c := range cases {
		_, e := h.check(t, c.IP, c.HELO, c.From, string(c.Mail))
		compare(i, "spf", string(e.SPF.Result), theirs[i].SPF, c.spfWhy, e)
		signature := "not-pass"
		if len(e.DKIM) > 0 && e.DKIM[0].Result == mailauth.Pass {
			signature = "pass"
		}
		compare(i, "dkim", signature, theirs[i].DKIM, c.dkimWhy, e)
		compare(i, "dmarc", string(e.DMARC.Result), theirs[i].DMARC, c.dmarcWhy, e)
	}
	t.Logf("%d cases: %v", len(cases), tally)
	if len(cases) < 400 {
		t.Errorf("only %d cases", len(cases))
	}
}

const plainMail = "From: anna@nobody.example\r\nSubject: x\r\n\r\nHello\r\n"

// spfCases makes domains whose records refer to each other.
func spfCases(h *house, rnd *rand.Rand) (cases []peerCase) {
	const domains = 260
	name := func() string { return fmt.Sprintf("d%d.spf.example", rnd.IntN(domains+10)) }
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
	h.A("both.spf.example", peer, "2001:db8::25")
	h.A("else.spf.example", "198.51.100.1", "2001:db8:ffff::1")
	h.A(dnsReverse(peer)+".rev.spf.example", "127.0.0.2")
	h.MX("mx.spf.example", 10, "both.spf.example")
	h.MX("far.spf.example", 10, "else.spf.example")
	h.PTR(peer, "both.spf.example")
	h.Fail("broken.spf.example", dns.TypeANY, dnstest.ServFail)
	term := func() string {
		q := pick("", "", "-", "~", "?")
		switch rnd.IntN(24) {
		case 0, 1:
			return q + "ip4:" + pick(peer, "192.0.2.0/24", "198.51.100.0/24", "0.0.0.0/0", "10.0.0.1/32")
		case 2, 3:
			return q + "ip6:" + pick("2001:db8::/32", "2001:db8::25", "fe80::/10")
		case 4, 5:
			return q + "a:" + pick("both.spf.example", "else.spf.example", "none.spf.example", "both.spf.example/28", "else.spf.example/0//0", "both.spf.example//64")
		case 6, 7:
			return q + "mx:" + pick("mx.spf.example", "far.spf.example", "mx.spf.example/24")
		case 8, 9, 10:
			return q + "include:" + name()
		case 11:
			return q + "exists:" + pick("%{ir}.rev.spf.example", "%{i}.no.spf.example", "both.spf.example", "%{l1r-}.%{d2}", "%{S}.x.spf.example")
		case 12:
			return q + pick("ptr", "ptr:spf.example", "ptr:example")
		case 13:
			return pick("a", "mx")
		case 14:
			return pick("redirect="+name(), "exp=e.spf.example", "unknown=%{d}", "moo.cow=x")
		case 15:
			return pick("ip4:300.1.2.3", "ip4:1.2.3.4/33", "a:/24", "all:x", "include:", "A:both.spf.example", "ALL", "exists:%{z}.example", "redirect=", "foo:bar", "-include", "ip6:1.2.3.4")
		case 16:
			return "a:broken.spf.example"
		}
		return q + "all"
	}
	for i := range domains {
		d := fmt.Sprintf("d%d.spf.example", i)
		record := "v=spf1"
		for range 1 + rnd.IntN(5) {
			record += " " + term()
		}
		h.TXT(d, record)
		if rnd.IntN(30) == 0 {
			h.TXT(d, "v=spf1 -all")
		}
		c := peerCase{note: record}
		c.IP, c.HELO, c.From, c.Author, c.Mail = pick(peer, "2001:db8::25"), "both.spf.example", "user-x@"+d, "nobody.example", []byte(plainMail)
		cases = append(cases, c)
	}
	h.MX("bare.spf.example", 10, "none.spf.example")
	h.TXT("void.spf.example", "v=spf1 mx:bare.spf.example mx:bare.spf.example mx:bare.spf.example -all")
	c := peerCase{note: "exchangers without addresses", spfWhy: "pyspf counts exchangers without an address as void lookups; RFC 7208 §4.6.4 counts terms, and these found exchangers"}
	c.IP, c.HELO, c.From, c.Author, c.Mail = peer, "both.spf.example", "u@void.spf.example", "nobody.example", []byte(plainMail)
	return append(cases, c)
}

func dnsReverse(ip string) string {
	name, _ := dns.ReverseAddr(ip)
	return strings.TrimSuffix(name, ".in-addr.arpa.")
}

// dkimCases signs mails in every way and damages some.
func dkimCases(t *testing.T, h *house, rnd *rand.Rand) (cases []peerCase) {
	bodies := []string{"", "\r\n", "\r\n\r\n\r\n", "Hello\r\n", "Hello \t  there\r\n\r\n \t\r\n\r\n", "no end", " \r\nx\r\n", "a\r\n\r\n\r\nb\r\n", strings.Repeat("long ", 20000) + "\r\n"}
	damage := []struct {
		name string
		do   func(string) string
		why  string
	}{
		{name: "intact", do: func(m string) string { return m }},
		{name: "intact", do: func(m string) string { return m }},
		{name: "trace field added", do: func(m string) string { return "Received: by x\r\n" + m }},
		{name: "body longer", do: func(m string) string { return m + "more\r\n" }},
		{name: "empty lines added", do: func(m string) string { return m + "\r\n\r\n" }},
		{name: "subject changed", do: func(m string) string { return strings.Replace(m, "ubject: te", "ubject: ta", 1) }},
		{name: "subject refolded", do: func(m string) string {
			return strings.Replace(m, "ubject: test  of", "ubject:  test\r\n\tof", 1)
		}},
		{name: "second subject", do: func(m string) string { return "Subject: evil\r\n" + m }},
		{name: "d= changed", do: func(m string) string { return strings.Replace(m, "d=s.dkim", "d=x.dkim", 1) }},
		{name: "name in capitals", do: func(m string) string { return strings.Replace(m, "\r\nSubject:", "\r\nSUBJECT:", 1) }},
	}
	for name, s := range signers() {
		h.TXT(name+"._domainkey.s.dkim.example", s.record)
		h.TXT(name+"-t._domainkey.s.dkim.example", s.record+"; t=y")
		h.TXT(name+"-h._domainkey.s.dkim.example", s.record+"; h=sha256; s=email; n=note")
		h.TXT(name+"-space._domainkey.s.dkim.example", strings.Replace(s.record, "; ", " ;  ", -1)+" ;")
		h.TXT(name+"-v._domainkey.s.dkim.example", strings.Replace(s.record, "DKIM1", "DKIM2", 1))
	}
	h.TXT("gone._domainkey.s.dkim.example", "v=DKIM1; p=")
	for _, key := range []string{"rsa1024", "rsa2048", "ed25519"} {
		for _, form := range []dkim.Canonicalization{dkim.CanonicalizationSimple, dkim.CanonicalizationRelaxed} {
			for _, bodyForm := range []dkim.Canonicalization{dkim.CanonicalizationSimple, dkim.CanonicalizationRelaxed} {
				for _, d := range damage {
					selector, why := key, d.why
					switch rnd.IntN(8) {
					case 0:
						selector, why = key+"-t", "a key being tested counts for nothing (RFC 6376 §3.6.1)"
					case 1:
						selector = key + "-h"
					case 2:
						selector = key + "-space"
					case 3:
						selector = key + []string{"-v", "-missing"}[rnd.IntN(2)]
					}
					mail := "From: Anna <anna@nobody.example>\r\nSubject: test  of\t signatures \r\nTo: b@c.example\r\n\r\n" + bodies[rnd.IntN(len(bodies))]
					signed := sign(t, signers()[key].key, "s.dkim.example", selector, mail, func(o *dkim.SignOptions) {
						o.HeaderCanonicalization, o.BodyCanonicalization = form, bodyForm
						o.HeaderKeys = [][]string{{"From", "Subject", "To"}, {"From"}, {"From", "From", "Subject", "Subject", "X-None"}}[rnd.IntN(3)]
						if rnd.IntN(3) == 0 {
							o.Identifier = "anna@sub.s.dkim.example"
						}
					})
					c := peerCase{dkimWhy: why, note: fmt.Sprintf("%s %s/%s %s", selector, form, bodyForm, d.name)}
					c.IP, c.HELO, c.From, c.Author, c.Mail = peer, "x", "a@none.example", "nobody.example", []byte(d.do(signed))
					cases = append(cases, c)
				}
			}
		}
	}
	return cases
}

// dmarcCases are authors and senders around organisations, with a policy at
// the organisation, at the author's domain, or nowhere.
func dmarcCases(t *testing.T, h *house, rnd *rand.Rand) (cases []peerCase) {
	key := signers()["ed25519"]
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
	h.TXT("other.example", "v=spf1 +all")
	for i := range 120 {
		org := fmt.Sprintf("o%d.org", i)
		record := "v=DMARC1; p=" + pick("none", "quarantine", "reject") + pick("", "; aspf=s", "; aspf=r") + pick("", "; adkim=s", ";adkim=r") + pick("", "; sp=none", "; rua=mailto:a@b.example", "; x=y", ";")
		switch rnd.IntN(6) {
		case 0:
		case 1:
			h.TXT("_dmarc.www."+org, record)
			h.TXT("_dmarc."+org, record)
		case 2:
			h.TXT("_dmarc."+org, record, "unrelated text")
		case 3:
			h.TXT("_dmarc."+org, record, record+";fo=1")
		default:
			h.TXT("_dmarc."+org, record)
		}
		host := func() string { return pick("", "www.", "mail.", "a.b.") + org }
		author, sender, signer := host(), host(), host()
		h.TXT(sender, "v=spf1 "+pick("+all", "+all", "-all", "~all"))
		if rnd.IntN(4) == 0 {
			sender = "other.example"
		}
		h.TXT("k._domainkey."+signer, key.record)
		mail := "From: Anna <anna@" + author + ">\r\nSubject: x\r\n\r\nHello\r\n"
		mail = sign(t, key.key, signer, "k", mail, nil) + pick("", "", "changed\r\n")
		c := peerCase{note: author + " from " + sender + " signed by " + signer + ": " + record}
		c.IP, c.HELO, c.From, c.Author, c.Mail = peer, "x", "bounce@"+sender, author, []byte(mail)
		cases = append(cases, c)
	}
	return cases
}
