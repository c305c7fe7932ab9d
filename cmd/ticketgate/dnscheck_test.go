package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ticketgate/delivery/dkim"
	"ticketgate/gateway/api"
	"ticketgate/resolver"
	"ticketgate/test/dnstest"
)

// goodZone publishes everything an installation needs.
func goodZone(s *dnstest.Server) {
	s.A("mail.help.example", "203.0.113.7")
	s.PTR("203.0.113.7", "mail.help.example")
	s.MX("help.example", 10, "mail.help.example")
	s.TXT("help.example", "v=spf1 mx -all", "some other text")
	s.TXT("_dmarc.help.example", "v=DMARC1; p=reject")
}

// One thing is wrong at a time; the check names it and says what to do.
func TestDNSCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*dnstest.Server)
		relayed bool
		want    string // "check status words", all others are ok
	}{
		"all is well": {func(*dnstest.Server) {}, false, ""},
		"no MX":       {func(s *dnstest.Server) { s.Remove("help.example", dns.TypeMX); spfByName(s) }, false, "mx fail no mail exchanger"},
		"null MX": {func(s *dnstest.Server) {
			s.Remove("help.example", dns.TypeMX)
			s.MX("help.example", 0, ".")
			spfByName(s)
		}, false, "mx fail takes no mail"},
		"MX elsewhere": {func(s *dnstest.Server) {
			s.Remove("help.example", dns.TypeMX)
			s.MX("help.example", 5, "mx.other.example")
			spfByName(s)
		}, false, "mx warn another server"},
		"no SPF":  {func(s *dnstest.Server) { s.Remove("help.example", dns.TypeTXT) }, false, "spf fail nothing says"},
		"two SPF": {func(s *dnstest.Server) { s.TXT("help.example", "V=SPF1 ~all") }, false, "spf fail 2 records"},
		"SPF forgets us": {func(s *dnstest.Server) {
			s.Remove("help.example", dns.TypeTXT)
			s.TXT("help.example", "v=spf1 ip4:192.0.2.1 -all")
		}, false, "spf fail mail from 203.0.113.7 gets fail"},
		"SPF is broken": {func(s *dnstest.Server) {
			s.Remove("help.example", dns.TypeTXT)
			s.TXT("help.example", "v=spf1 mxx -all")
		}, false, "spf fail permerror"},
		"SPF by a smarthost": {func(s *dnstest.Server) {
			s.Remove("help.example", dns.TypeTXT)
			s.TXT("help.example", "v=spf1 ip4:192.0.2.1 -all")
		}, true, ""},
		"no DMARC":  {func(s *dnstest.Server) { s.Remove("_dmarc.help.example", dns.TypeTXT) }, false, "dmarc fail no policy"},
		"two DMARC": {func(s *dnstest.Server) { s.TXT("_dmarc.help.example", "v=DMARC1; p=none") }, false, "dmarc fail more than one"},
		"DMARC without p": {func(s *dnstest.Server) {
			s.Remove("_dmarc.help.example", dns.TypeTXT)
			s.TXT("_dmarc.help.example", "v=DMARC1; rua=mailto:a@b.example")
		}, false, "dmarc fail no usable p="},
		"no address": {func(s *dnstest.Server) { s.Remove("mail.help.example", dns.TypeA); spfByIP(s) }, false, "address fail no address;spf skip not known"},
		"a private address": {func(s *dnstest.Server) {
			s.Remove("mail.help.example", dns.TypeA)
			s.A("mail.help.example", "10.0.0.7")
		}, false, "address warn others cannot reach"},
		"no name for it": {func(s *dnstest.Server) { s.Remove("7.113.0.203.in-addr.arpa", dns.TypePTR) }, false, "ptr fail not called"},
		"another name for it": {func(s *dnstest.Server) {
			s.Remove("7.113.0.203.in-addr.arpa", dns.TypePTR)
			s.PTR("203.0.113.7", "host-7.isp.example")
		}, false, "ptr fail not called"},
		"its name does not matter behind a smarthost": {func(s *dnstest.Server) { s.Remove("7.113.0.203.in-addr.arpa", dns.TypePTR) }, true, "ptr warn not called"},
		"DNS fails":       {func(s *dnstest.Server) { s.Fail("_dmarc.help.example", dns.TypeTXT, dnstest.ServFail) }, false, "dmarc skip no answer"},
		"half an MTA-STS": {func(s *dnstest.Server) { s.TXT("_mta-sts.help.example", "v=STSv1; id=1") }, false, "mta-sts fail no address to fetch"},
		"a whole MTA-STS": {func(s *dnstest.Server) {
			s.TXT("_mta-sts.help.example", "v=STSv1; id=1")
			s.A("mta-sts.help.example", "203.0.113.7")
		}, false, ""},
		"MTA-STS without id":    {func(s *dnstest.Server) { s.TXT("_mta-sts.help.example", "v=STSv1") }, false, "mta-sts fail one record"},
		"TLS reports to nobody": {func(s *dnstest.Server) { s.TXT("_smtp._tls.help.example", "v=TLSRPTv1") }, false, "tls-rpt fail rua="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := dnstest.Start(t)
			goodZone(s)
			c.change(s)
			r, err := resolver.New(resolver.Options{Server: s.Addr(), Dial: s.Dial, Now: time.Now, Timeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			check := dnsCheck{dns: r, hostname: "mail.help.example", relayed: c.relayed, now: time.Now,
				keys: func(context.Context, string) ([]dkim.Check, error) {
					return []dkim.Check{{Key: dkim.Info{Selector: "tg1r", Phase: dkim.Active}, Status: dkim.OK}}, nil
				}}
			found := check.check(t.Context(), []string{"help.example"})
			wants, met := strings.Split(c.want, ";"), map[string]bool{"": true}
			for _, d := range found {
				want := ""
				for _, w := range wants {
					if strings.HasPrefix(w, d.Check+" ") {
						want = w
					}
				}
				met[want] = true
				if want == "" {
					if d.Status != "ok" {
						t.Errorf("%s: %+v", d.Check, words(d))
					}
					continue
				}
				_, rest, _ := strings.Cut(want, " ")
				status, says, _ := strings.Cut(rest, " ")
				if text := d.Detail + " " + deref(d.Fix) + " " + deref(d.Expected); d.Status != status || !strings.Contains(text, says) || status != "skip" && d.Fix == nil {
					t.Errorf("want %q: %s", want, words(d))
				}
			}
			if len(found) < 7 || len(met) < len(wants) || c.want != "" && len(met) != len(wants)+1 {
				t.Errorf("%d checks, met %v", len(found), met)
			}
		})
	}
}

func words(d api.Diagnosis) string {
	return strings.Join([]string{d.Subject, d.Check, d.Status, d.Detail, deref(d.Expected), deref(d.Found), deref(d.Fix)}, " | ")
}

// spfByName lets SPF pass without the MX record, spfByIP without any name.
func spfByName(s *dnstest.Server) {
	s.Remove("help.example", dns.TypeTXT)
	s.TXT("help.example", "v=spf1 a:mail.help.example -all")
}

func spfByIP(s *dnstest.Server) {
	s.Remove("help.example", dns.TypeTXT)
	s.TXT("help.example", "v=spf1 ip4:203.0.113.7 -all")
}

// A domain whose keys are not published, or not usable, shows it.
func TestDNSCheckKeys(t *testing.T) {
	t.Parallel()
	c := dnsCheck{keys: func(context.Context, string) ([]dkim.Check, error) {
		return []dkim.Check{
			{Key: dkim.Info{Selector: "tg1r", Algorithm: "rsa", Phase: dkim.Active, Record: &dkim.Record{Text: "v=DKIM1; p=x"}}, Status: dkim.Fail, Detail: "there is no such record", Fix: "publish it"},
			{Key: dkim.Info{Selector: "tg2r", Algorithm: "rsa", Phase: dkim.Prepared}, Status: dkim.Fail, Detail: "there is no such record", Fix: "publish it"},
		}, nil
	}}
	got := c.dkim(t.Context(), "help.example")
	if len(got) != 2 || got[0].Status != "fail" || deref(got[0].Expected) != "v=DKIM1; p=x" || got[0].Subject != "tg1r._domainkey.help.example" || got[1].Status != "warn" {
		t.Errorf("%+v", got)
	}
	c.keys = func(context.Context, string) ([]dkim.Check, error) { return nil, dkim.ErrNoKey }
	if got := c.dkim(t.Context(), "help.example"); len(got) != 1 || got[0].Status != "fail" {
		t.Errorf("%+v", got)
	}
}
