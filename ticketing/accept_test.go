package ticketing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

const sales = "sales@help.example"

// ruled is a desk whose queue support has these rules and every screen.
func ruled(t *testing.T, rules ...ticketing.AcceptRule) *bench {
	return openWith(t, func(o *ticketing.Options) {
		o.Queues[0].Accept, o.Queues[0].Screen = rules, everyScreen()
	})
}

func found(v ticketing.Verdict) func(*ticketing.Arrival) {
	return func(a *ticketing.Arrival) {
		if v.Trust == "" {
			v.Trust = "T0"
		}
		a.Verdict = v
	}
}

// Every condition, met and missed, with every action.
func TestAcceptConditions(t *testing.T) {
	t.Parallel()
	type rule = ticketing.AcceptRule
	plain := func() string { return write(rAddr, "Unsubscribe me", "List-Id: Weekly News <news.shop.example>") }
	res := func(r string) ticketing.AuthResult { return ticketing.AuthResult{Result: r} }
	for _, c := range []struct {
		name string
		rule rule
		text string // plain if empty
		from string // envelope
		auth ticketing.Verdict
		want bool
	}{
		{"the author", rule{From: []string{rAddr}}, "", "", ticketing.Verdict{}, true},
		{"the author in capitals", rule{From: []string{strings.ToUpper(rAddr)}}, "", "", ticketing.Verdict{}, true},
		{"one of several", rule{From: []string{"x@y.example", "@customer.example"}}, "", "", ticketing.Verdict{}, true},
		{"another author", rule{From: []string{"x@y.example"}}, "", "", ticketing.Verdict{}, false},
		{"a domain", rule{From: []string{"@customer.example"}}, write("a@sub.customer.example", "x"), "", ticketing.Verdict{}, true},
		{"no such domain", rule{From: []string{"@customer.example"}}, write("a@xcustomer.example", "x"), "", ticketing.Verdict{}, false},
		{"a domain in either form", rule{From: []string{"@bücher.example"}}, write("a@xn--bcher-kva.example", "x"), "", ticketing.Verdict{}, true},
		{"a pattern", rule{From: []string{"news-*@*.example"}}, write("news-1@shop.example", "x"), "", ticketing.Verdict{}, true},
		{"the envelope sender", rule{From: []string{"@bounces.example"}}, "", "x@bounces.example", ticketing.Verdict{}, true},

		{"a field", rule{Header: ticketing.HeaderTest{Name: "list-id"}}, "", "", ticketing.Verdict{}, true},
		{"a field and text", rule{Header: ticketing.HeaderTest{Name: "List-ID", Contains: "WEEKLY news"}}, "", "", ticketing.Verdict{}, true},
		{"another text", rule{Header: ticketing.HeaderTest{Name: "List-Id", Contains: "daily"}}, "", "", ticketing.Verdict{}, false},
		{"no such field", rule{Header: ticketing.HeaderTest{Name: "X-Mailer"}}, "", "", ticketing.Verdict{}, false},
		{"the second field of a name", rule{Header: ticketing.HeaderTest{Name: "X-Tag", Contains: "two"}}, write(rAddr, "x", "X-Tag: one", "X-Tag: two"), "", ticketing.Verdict{}, true},
		{"an encoded field", rule{Header: ticketing.HeaderTest{Name: "X-Tag", Contains: "grüße"}}, write(rAddr, "x", "X-Tag: =?utf-8?Q?GR=C3=9CSSE?="), "", ticketing.Verdict{}, true},

		{"the subject", rule{Subject: "unsubscribe"}, "", "", ticketing.Verdict{}, true},
		{"another subject", rule{Subject: "subscribe to"}, "", "", ticketing.Verdict{}, false},
		{"an encoded subject", rule{Subject: "straße"}, write(rAddr, "=?utf-8?B?RGllIFNUUkFTU0U=?="), "", ticketing.Verdict{}, true},
		{"a composed subject", rule{Subject: "M\u00fcller"}, write(rAddr, "=?utf-8?Q?Mu=CC=88LLER?="), "", ticketing.Verdict{}, true},
		{"an accent more", rule{Subject: "Müller"}, write(rAddr, "Muller"), "", ticketing.Verdict{}, false},

		{"spf", rule{Auth: []string{"spf=fail"}}, "", "", ticketing.Verdict{SPF: res("fail")}, true},
		{"spf, milder", rule{Auth: []string{"spf=fail"}}, "", "", ticketing.Verdict{SPF: res("softfail")}, false},
		{"spf, nothing found", rule{Auth: []string{"spf=none"}}, "", "", ticketing.Verdict{}, true},
		{"dkim", rule{Auth: []string{"dkim=pass"}}, "", "", ticketing.Verdict{DKIM: []ticketing.AuthResult{res("fail"), res("pass")}}, true},
		{"no dkim", rule{Auth: []string{"dkim=none"}}, "", "", ticketing.Verdict{}, true},
		{"some dkim", rule{Auth: []string{"dkim=none"}}, "", "", ticketing.Verdict{DKIM: []ticketing.AuthResult{res("fail")}}, false},
		{"dmarc", rule{Auth: []string{"dmarc=fail"}}, "", "", ticketing.Verdict{DMARC: res("fail")}, true},
		{"iprev", rule{Auth: []string{"iprev=fail"}}, "", "", ticketing.Verdict{IPRev: res("pass")}, false},
		{"trust", rule{Auth: []string{"trust=T1"}}, "", "", ticketing.Verdict{Trust: "T1"}, true},
		{"less trust", rule{Auth: []string{"trust=T1"}}, "", "", ticketing.Verdict{}, false},
		{"both words", rule{Auth: []string{"dkim=none", "spf=fail"}}, "", "", ticketing.Verdict{SPF: res("fail")}, true},
		{"one of both words", rule{Auth: []string{"dkim=none", "spf=fail"}}, "", "", ticketing.Verdict{SPF: res("pass")}, false},

		{"size", rule{LargerThan: 100}, "", "", ticketing.Verdict{}, true},
		{"less", rule{LargerThan: 100000}, "", "", ticketing.Verdict{}, false},
		{"all conditions", rule{From: []string{rAddr}, Subject: "me", Auth: []string{"trust=T0"}, LargerThan: 10}, "", "", ticketing.Verdict{}, true},
		{"all but one", rule{From: []string{rAddr}, Subject: "you", Auth: []string{"trust=T0"}, LargerThan: 10}, "", "", ticketing.Verdict{}, false},
		{"none", rule{}, "", "", ticketing.Verdict{}, true},
	} {
		for _, action := range []string{"accept", "hold", "discard", "reject"} {
			r := c.rule
			r.Name, r.Action = "the-rule", action
			text := c.text
			if text == "" {
				text = plain()
			}
			m := mail{from: c.from, text: text}
			b := ruled(t, r)
			a := b.arrival(m)
			found(c.auth)(&a)
			if err := b.desk.Admit(a); (err != nil) != (c.want && action == "reject") {
				t.Errorf("%s, %s: admitted: %v", c.name, action, err)
			}
			receipt, err := b.desk.Receive(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			b.checkHit(c.name+", "+action, receipt.Outcomes[0], ticketing.RuleHit{Name: "the-rule", Action: action}, c.want)
			b.checkAll()
		}
	}
}

// checkHit: an outcome, its held mail and the journal say which rule held.
func (b *bench) checkHit(name string, o ticketing.Outcome, hit ticketing.RuleHit, want bool) {
	b.t.Helper()
	if !want {
		if o.Rule != (ticketing.RuleHit{}) || o.Ticket == 0 {
			b.t.Errorf("%s: %+v", name, o)
		}
		return
	}
	if o.Rule != hit {
		b.t.Errorf("%s: rule %+v of %+v", name, o.Rule, o)
	}
	if hit.Action == "accept" {
		if o.Ticket == 0 {
			b.t.Errorf("%s: %+v", name, o)
		}
		return
	}
	h := b.item(o.Held)
	state, by := "held", ""
	if hit.Action == "discard" {
		state, by = "discarded", "rule:"+hit.Name
	}
	if o.Outcome != "held" || o.Reason != "policy" || h.Reason != "policy" || h.Detail != hit.Name || h.State != state || h.SettledBy != by || (by != "") != !h.SettledAt.IsZero() {
		b.t.Errorf("%s: %+v, held as %+v", name, o, h)
	}
	kind := "mail." + state + " rule:" + hit.Name
	if got := b.journalOf(o.Held); !slices.Equal(got, []string{kind}) {
		b.t.Errorf("%s: the journal says %q, not %q", name, got, kind)
	}
}

// journalOf lists what the queue support's journal tells of a held mail.
func (b *bench) journalOf(held string) (kinds []string) {
	b.t.Helper()
	entries, err := b.log.Read(context.Background(), "support", 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if held != "" && strings.Contains(string(e.Data), held) {
			kinds = append(kinds, e.Kind+" "+e.Actor)
		}
	}
	return kinds
}

// The first rule that holds decides, and what no rule decides about.
func TestAcceptReach(t *testing.T) {
	t.Parallel()
	type rule = ticketing.AcceptRule
	const boss = "boss@x.example" // blocked by the screen
	all := func(action string) rule { return rule{Name: "all", Action: action} }
	for _, c := range []struct {
		name  string
		rules []rule
		mail  func(b *bench, l letter) mail
		how   func(*ticketing.Arrival)
		want  string // rule's action, or reason it is held for; "" is a ticket
	}{
		{"the first", []rule{{Name: "a", From: []string{rAddr}, Action: "accept"}, all("discard")}, nil, nil, ""},
		{"the second", []rule{{Name: "a", From: []string{xAddr}, Action: "accept"}, all("discard")}, nil, nil, "policy discarded"},
		{"accepted in spite of the screen", []rule{all("accept")}, func(*bench, letter) mail { return mail{text: write(boss, "x")} }, nil, ""},
		{"no rule, the screen", []rule{{Name: "a", From: []string{xAddr}, Action: "accept"}}, func(*bench, letter) mail { return mail{text: write(boss, "x")} }, nil, "blocklisted held"},
		{"accepted, an agent's name unproven", []rule{all("accept")}, func(*bench, letter) mail { return mail{text: write(otto, "x", toUs)} }, nil, ""},
		{"accepted, a stranger on a ticket", []rule{all("accept")}, func(_ *bench, l letter) mail {
			return mail{to: []string{l.replyTo}, text: answer(xAddr, "Printer", l)}
		}, nil, ""},
		{"accepted, but forged", []rule{all("accept")}, nil, dmarc("quarantine", "T0"), "failed_authentication held"},
		{"accepted, but in our name", []rule{all("accept")}, func(*bench, letter) mail { return mail{text: write(helpdsk, "x")} }, nil, "from_our_address held"},
		{"accepted, but a loop", []rule{all("accept")}, func(_ *bench, l letter) mail {
			return mail{text: "From: " + helpdsk + "\nSubject: x\nMessage-ID: " + l.id + "\n\nhi\n"}
		}, nil, "loop held"},
		{"accepted, but backscatter", []rule{all("accept")}, func(_ *bench, l letter) mail {
			return mail{from: "<>", text: strings.Replace(report(dAddr, "failed", "5.1.1", "550"), "\n--b--", "\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: "+l.id+"\n\n--b--", 1)}
		}, nil, "backscatter held"},
		{"accepted, but blank", []rule{all("accept")}, func(*bench, letter) mail { return mail{text: blankMail(1)} }, nil, "blank held"},
		{"forged, and the rule is stricter", []rule{all("discard")}, nil, dmarc("quarantine", "T0"), "policy discarded"},
		{"our own mail", []rule{all("discard")}, func(_ *bench, l letter) mail {
			return mail{text: "From: " + helpdsk + "\nSubject: x\nMessage-ID: " + l.id + "\n\nhi\n"}
		}, nil, "loop held"},
		{"a report to a return path", []rule{all("discard")}, func(_ *bench, l letter) mail {
			return mail{from: "<>", to: []string{l.ret}, text: report(dAddr, "failed", "5.1.1", "550")}
		}, nil, ""},
		{"a report nobody can read, to a return path", []rule{all("discard")}, func(_ *bench, l letter) mail {
			return mail{from: "<>", to: []string{l.ret}, text: write("x@relay.example", "Nothing")}
		}, nil, ""},
		{"a proven agent", []rule{all("discard")}, func(*bench, letter) mail { return mail{ip: trusted, text: write(otto, "x")} }, nil, ""},
		{"an agent's name", []rule{all("discard")}, func(*bench, letter) mail { return mail{text: write(otto, "x")} }, nil, "policy discarded"},
		{"what a forwarder brings", []rule{all("discard")}, func(*bench, letter) mail { return mail{ip: trusted, text: write(rAddr, "x")} }, nil, "policy discarded"},
		{"an agent who logged in", []rule{all("discard")}, func(*bench, letter) mail { return mail{text: write(otto, "x")} }, func(a *ticketing.Arrival) { a.Source, a.User = "submission", "otto" }, ""},
		{"a login and no forwarder's", []rule{all("discard")}, nil, func(a *ticketing.Arrival) { a.Source, a.User = "submission", "lena" }, ""},
		{"an answer with a token", []rule{all("hold")}, func(_ *bench, l letter) mail {
			return mail{to: []string{l.replyTo}, text: answer(rAddr, "Printer", l)}
		}, nil, "policy held"},
		{"another queue", []rule{all("discard")}, func(*bench, letter) mail { return mail{to: []string{sales}, text: write(rAddr, "x")} }, nil, ""},
	} {
		b := ruled(t, c.rules...)
		n := b.take(mail{ip: trusted, text: write(otto, "Printer", toUs, "Cc: "+rAddr)}).Ticket
		l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
		m := mail{text: write(rAddr, "x", toUs)}
		if c.mail != nil {
			m = c.mail(b, l)
		}
		o := b.judged(m, c.how)
		got := ""
		if o.Held != "" {
			h := b.item(o.Held)
			got = h.Reason + " " + h.State
		} else if o.Message == "" {
			t.Errorf("%s: %+v leads nowhere", c.name, o)
		} else if m := b.message(o.Message); m.Author.Agent != "" && m.Auth.Trust == "T0" {
			t.Errorf("%s: a rule has made %+v of T0", c.name, m.Author)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q (%+v)", c.name, got, c.want, o)
		}
		b.checkAll()
	}
}

// A forwarder that logs in is no person: what it hands over is asked about.
func TestAcceptForwarderLogin(t *testing.T) {
	t.Parallel()
	b := openWith(t, func(o *ticketing.Options) {
		o.Queues[0].TrustedForwarders = []ticketing.Forwarder{{Login: "lena"}}
		o.Queues[0].Accept = []ticketing.AcceptRule{{Name: "all", Action: "reject"}}
	})
	login := func(a *ticketing.Arrival) { a.Source, a.User = "submission", "lena" }
	if o := b.judged(mail{text: write(rAddr, "x")}, login); o.Reason != "policy" {
		t.Errorf("%+v", o)
	}
	if o := b.judged(mail{text: write(otto, "x")}, login); o.Ticket == 0 {
		t.Errorf("an agent's by the forwarder: %+v", o)
	}
}

// Who hears a reject, and for whom it becomes a hold.
func TestAcceptReject(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	no := ticketing.AcceptRule{Name: "no-news", Subject: "news", Action: "reject", Text: "We read no news"}
	b := openWith(t, func(o *ticketing.Options) {
		o.Registerer = reg
		o.Queues[0].Accept = []ticketing.AcceptRule{no, {Name: "quiet", Subject: "quiet", Action: "discard"}}
		o.Queues[1].Accept = []ticketing.AcceptRule{{Name: "none", Header: ticketing.HeaderTest{Name: "X-News"}, Action: "reject"}}
	})
	n := b.take(mail{text: write(rAddr, "Printer")}).Ticket
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	news := func() string { return write(rAddr, "News", "X-News: yes") }
	refused := 0
	for _, c := range []struct {
		name string
		mail mail
		want string // the refusal's text; "" is taken
	}{
		{"refused", mail{text: news()}, "We read no news"},
		{"both queues refuse", mail{to: []string{helpdsk, sales}, text: news()}, "We read no news"},
		{"the other queue's words", mail{to: []string{sales}, text: news()}, "this queue does not take such mail"},
		{"one of two", mail{to: []string{helpdsk, sales}, text: write(rAddr, "News")}, ""},
		{"and one without rules", mail{to: []string{helpdsk, "quiet@other.example"}, text: news()}, ""},
		{"nothing to refuse", mail{text: write(rAddr, "x")}, ""},
		{"discarded", mail{text: write(rAddr, "quiet")}, ""},
		{"by a trusted forwarder", mail{ip: trusted, text: news()}, ""},
		{"to a return path", mail{from: "<>", to: []string{l.ret}, text: news()}, ""},
		{"to a postmaster", mail{to: []string{"postmaster@help.example"}, text: news()}, ""},
		{"a far field", mail{to: []string{sales}, text: write(rAddr, "x", "X-Long: "+strings.Repeat("a ", 40<<10), "X-News: late")}, ""},
	} {
		a := b.arrival(c.mail)
		err := b.desk.Admit(a)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if r, err := b.desk.Receive(t.Context(), a); err != nil || len(r.Outcomes) != len(a.Recipients) {
				t.Errorf("%s: %+v, %v", c.name, r, err)
			}
			if b.desk.Refused(t.Context(), err) != nil {
				t.Errorf("%s: what was not refused was noted", c.name)
			}
			continue
		}
		if e := new(ticketing.Error); ticketing.KindOf(err) != ticketing.Refused || !asError(err, e) || e.Text != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := b.desk.Refused(t.Context(), err); err != nil {
			t.Fatal(err)
		}
		refused++
	}
	b.checkAll()
	entries, err := b.log.Read(t.Context(), "support", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	noted := 0
	for _, e := range entries {
		if e.Kind != "mail.refused" {
			continue
		}
		noted++
		var data map[string]any
		if err := json.Unmarshal(e.Data, &data); err != nil || e.Actor != "rule:no-news" || data["rule"] != "no-news" || data["from"] != rAddr || data["subject"] != "News" || data["remote_ip"] != mx || len(data["sha256"].(string)) != 64 {
			t.Errorf("%s by %s: %s, %v", e.Kind, e.Actor, e.Data, err)
		}
	}
	if noted != 2 || refused != 3 {
		t.Errorf("%d of %d refusals are in the journal of one queue", noted, refused)
	}
	want := `# HELP ticketgate_accept_rules_total Mails that an accept rule decided about, by what was done.
# TYPE ticketgate_accept_rules_total counter
ticketgate_accept_rules_total{action="accept",queue="sales"} 0
ticketgate_accept_rules_total{action="accept",queue="support"} 0
ticketgate_accept_rules_total{action="discard",queue="sales"} 0
ticketgate_accept_rules_total{action="discard",queue="support"} 1
ticketgate_accept_rules_total{action="hold",queue="sales"} 1
ticketgate_accept_rules_total{action="hold",queue="support"} 4
ticketgate_accept_rules_total{action="reject",queue="sales"} 2
ticketgate_accept_rules_total{action="reject",queue="support"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ticketgate_accept_rules_total"); err != nil {
		t.Error(err)
	}
}

func asError(err error, into *ticketing.Error) bool {
	e, ok := err.(*ticketing.Error)
	if ok {
		*into = *e
	}
	return ok
}

// What a rule discarded can be released until it expires; nobody is told of it.
func TestAcceptDiscard(t *testing.T) {
	t.Parallel()
	b := ruled(t, ticketing.AcceptRule{Name: "no-news", Subject: "news", Action: "discard"})
	text := write(rAddr, "News", toUs)
	first, second := b.take(mail{text: text}), b.take(mail{text: write(rAddr, "News 2", toUs)})
	if again := b.take(mail{text: text}); again.Outcome != "duplicate" || again.Held != first.Held {
		t.Errorf("again: %+v", again)
	}
	if ids := b.heldIDs(ticketing.HeldFilter{}); len(ids) != 0 {
		t.Errorf("waiting: %v", ids)
	}
	if ids := b.heldIDs(ticketing.HeldFilter{State: "discarded", Reason: "policy"}); len(ids) != 2 {
		t.Errorf("discarded: %v", ids)
	}
	h, err := b.desk.Release(t.Context(), system(), first.Held)
	if err != nil || h.State != "released" || h.Ticket == 0 {
		t.Errorf("%+v, %v", h, err)
	}
	if m := b.message(h.Message); !slices.Contains(m.Flags, "held_policy") {
		t.Errorf("flags %v", m.Flags)
	}
	b.checkAll()
	b.clock.advance(31 * 24 * time.Hour)
	b.run()
	if len(b.digests()) != 0 {
		t.Error("somebody was told")
	}
	if _, err := b.desk.HeldItem(t.Context(), second.Held); ticketing.KindOf(err) != ticketing.Unknown {
		t.Errorf("expired: %v", err)
	}
	b.checkAll()
}

// Rules nobody can mean.
func TestAcceptMistakes(t *testing.T) {
	t.Parallel()
	type rule = ticketing.AcceptRule
	for want, rules := range map[string][]rule{
		"1 to 32 octets":        {{Action: "hold"}},
		"none of accept":        {{Name: "a", Action: "drop"}},
		"two of this name":      {{Name: "a", Action: "hold", Subject: "x"}, {Name: "a", Action: "hold"}},
		"must be the last":      {{Name: "a", Action: "hold"}, {Name: "b", Action: "hold"}},
		"an entry is empty":     {{Name: "a", Action: "hold", From: []string{"@"}}},
		"says nothing about":    {{Name: "a", Action: "hold", Auth: []string{"spf=maybe"}}},
		"header has no name":    {{Name: "a", Action: "hold", Header: ticketing.HeaderTest{Contains: "x"}}},
		"larger_than is":        {{Name: "a", Action: "hold", LargerThan: -1}},
		"at most 200 are asked": make([]rule, 201),
	} {
		list := queues()
		list[0].Accept = rules
		b := open(t)
		_, err := ticketing.Open(t.Context(), ticketing.Options{
			DB: b.db, Blobs: b.blobs, Journal: b.log, Agenda: b.agenda, Queues: list, Agents: agents(), Random: newRandom(2),
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// Published mails against a set of rules: each hit is what a plain look at the
// mail says, each stands in the receipt, and everything is still there.
func TestAcceptCorpus(t *testing.T) {
	t.Parallel()
	rules := []ticketing.AcceptRule{
		{Name: "large", LargerThan: 20 << 10, Action: "discard"},
		{Name: "lists", Header: ticketing.HeaderTest{Name: "List-Id"}, Action: "hold"},
		{Name: "test-domain", From: []string{"@example.com", "@example.org"}, Action: "accept"},
		{Name: "tests", Subject: "test", Action: "reject"},
		{Name: "gmail", From: []string{"*@gmail.com"}, Auth: []string{"dkim=none", "spf=none"}, Action: "discard"},
	}
	b := openWith(t, func(o *ticketing.Options) { o.Queues[0].Accept = rules })
	hits, n := map[string]int{}, 0
	for _, folder := range []string{"mime", "mails", "dkim"} {
		err := filepath.WalkDir(filepath.Join(corpora(t), folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !slices.Contains([]string{".eml", ".raw", ".msg"}, filepath.Ext(path)) {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			w := b.blobs.Create(t.Context())
			if _, err := w.Write(raw); err != nil {
				return err
			}
			sealed, err := w.Seal()
			if err != nil {
				return err
			}
			a := ticketing.Arrival{Source: "smtp", EnvelopeFrom: "sender@outside.example", Recipients: []string{helpdsk}, Raw: sealed, Verdict: ticketing.Verdict{Trust: "T0"}}
			refusal := b.desk.Admit(a)
			r, err := b.desk.Receive(t.Context(), a)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
			o := r.Outcomes[0]
			if o.Outcome == "duplicate" {
				return nil
			}
			n++
			hits[o.Rule.Name]++
			m, err := message.Parse(bytes.NewReader(raw), int64(len(raw)), message.Limits{})
			if err != nil {
				return err
			}
			if want := plainRule(m, int64(len(raw))); o.Rule.Name != want {
				t.Errorf("%s: rule %q, not %q", path, o.Rule.Name, want)
			}
			if (refusal != nil) != (o.Rule.Action == "reject") {
				t.Errorf("%s: %+v and %v at the door", path, o.Rule, refusal)
			}
			if o.Rule.Name != "" {
				b.checkHit(path, o, o.Rule, true)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d mails: %v", n, hits)
	for _, r := range rules {
		if hits[r.Name] == 0 {
			t.Errorf("rule %s never held", r.Name)
		}
	}
	if n < 240 {
		t.Errorf("only %d mails", n)
	}
	b.checkAll()
}

// plainRule says which rule of the corpus holds, as somebody reads the mail.
func plainRule(m *message.Mail, size int64) string {
	author := ""
	for _, field := range []string{"From", "Sender"} {
		if list := m.Header.Addresses(field); len(list) > 0 && author == "" {
			author = strings.ToLower(list[0].Addr)
		}
	}
	in := func(domain string) bool {
		return strings.HasSuffix(author, "@"+domain) || strings.HasSuffix(author, "."+domain)
	}
	switch {
	case size > 20<<10:
		return "large"
	case m.Header.Has("List-Id"):
		return "lists"
	case in("example.com") || in("example.org"):
		return "test-domain"
	case strings.Contains(strings.ToLower(m.Header.Text("Subject")), "test"):
		return "tests"
	case strings.HasSuffix(author, "@gmail.com"):
		return "gmail"
	}
	return ""
}
