package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Accept is a rule about mail for a queue, asked before it becomes a ticket.
type Accept struct {
	Name       string     `toml:"name" required:"yes" example:"newsletters" doc:"What the rule is called in receipts, held mail, the journal and ticketgate trace: lower-case letters, digits, - and _."`
	Action     string     `toml:"action" enum:"accept|hold|discard|reject" required:"yes" example:"reject" doc:"accept: take it; no later rule and no key of hold is asked. hold: it waits for somebody (reason policy). discard: nobody is asked, but the mail is kept for 30 days and can be found and released. reject: refuse it at the SMTP port with 550 5.7.1; hold it where a refusal would become a bounce."`
	From       []string   `toml:"from" max:"1000" example:"@news.example" doc:"Author or envelope sender is one of these: an address, @domain with everything below it, or a pattern with *."`
	Header     HeaderTest `toml:"header" doc:"A field of the header."`
	Subject    string     `toml:"subject" example:"unsubscribe" doc:"The decoded subject contains this, in whatever case."`
	Auth       []string   `toml:"auth" max:"10" example:"dmarc=fail" doc:"All of this was found about the sender: spf=, dkim=, dmarc= or iprev= with a result of RFC 8601, or trust=T0, T1 or T2 (docs/authentication.md). dkim=pass: at least one signature passes; dkim=none: there is none."`
	LargerThan Size       `toml:"larger_than" doc:"The whole mail has more octets. 0B asks nothing."`
	Everything bool       `toml:"everything" doc:"The rule holds for every mail. For the last rule only, instead of conditions."`
	Text       string     `toml:"text" example:"We take no mail from this address." doc:"What the other server is told by a reject: one line of ASCII."`
}

// HeaderTest asks about a field of the header.
type HeaderTest struct {
	Name     string `toml:"name" example:"List-Id" doc:"The mail has this field."`
	Contains string `toml:"contains" example:"news" doc:"And one of this name contains this when decoded, in whatever case."`
}

// maxCondition bounds the texts of a rule.
const maxCondition = 200

// authWords are what the key auth may say.
var authWords = map[string][]string{
	"spf":   {"none", "pass", "fail", "softfail", "neutral", "temperror", "permerror"},
	"dkim":  {"none", "pass", "fail", "neutral", "policy", "temperror", "permerror"},
	"dmarc": {"none", "pass", "fail", "temperror", "permerror"},
	"iprev": {"none", "pass", "fail", "temperror", "permerror"},
	"trust": {"T0", "T1", "T2"},
}

func (p *parser) checkAccept(at path, rules []Accept) {
	names := map[string]bool{}
	for i, r := range rules {
		here := at.with(strconv.Itoa(i))
		if err := checkID(r.Name); r.Name != "" && err != nil {
			p.errorf(here.with("name"), "", "%q cannot name a rule: %v", r.Name, err)
		}
		if names[r.Name] && r.Name != "" {
			p.errorf(here.with("name"), "", "there are two accept rules %q", r.Name)
		}
		names[r.Name] = true
		if !p.faulty(here) { // a key that was misspelt is not missing as well
			p.checkReach(here, &r, len(rules)-1-i)
		}
		p.checkConditions(here, &r)
		if r.Text != "" && r.Action != "reject" {
			p.errorf(here.with("text"), "", "text is only said by action \"reject\"")
		}
		if len(r.Text) > maxCondition || strings.ContainsFunc(r.Text, func(c rune) bool { return c < ' ' || c > '~' }) {
			p.errorf(here.with("text"), "", "text must be one line of at most %d ASCII characters", maxCondition)
		}
	}
}

// faulty reports whether something has been said about a key or what is below it.
func (p *parser) faulty(at path) bool {
	key := at.String()
	return slices.ContainsFunc(p.problems, func(x Problem) bool { return x.Key == key || strings.HasPrefix(x.Key, key+".") })
}

// checkReach: a rule without conditions says so, and no rule stands behind it.
func (p *parser) checkReach(at path, r *Accept, after int) {
	asks := len(r.From) > 0 || r.Header.Name != "" || r.Subject != "" || len(r.Auth) > 0 || r.LargerThan > 0
	switch {
	case r.Everything && asks:
		p.errorf(at.with("everything"), "", "a rule for everything has no conditions")
	case r.Everything && after > 0:
		p.errorf(at.with("everything"), "make it the last rule", "a rule for everything leaves nothing to the rules after it")
	case !r.Everything && !asks:
		p.errorf(at, "add a condition, or  everything = true", "accept rule %q has no condition", r.Name)
	}
}

func (p *parser) checkConditions(at path, r *Accept) {
	for i, pattern := range r.From {
		if !strings.Contains(pattern, "@") || pattern == "@" || strings.ContainsAny(pattern, " <>,;[\\") || len(pattern) > maxCondition {
			p.errorf(at.with("from", strconv.Itoa(i)), "", "from: %q is neither an address nor @domain nor a pattern such as \"*@news.example\"", pattern)
		}
	}
	// RFC 5322 §3.6.8: a field's name is printable ASCII without a colon.
	name := r.Header.Name
	if name == "" && r.Header.Contains != "" {
		p.errorf(at.with("header"), "", "header has no name")
	}
	if len(name) > 76 || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || c == ':' }) {
		p.errorf(at.with("header", "name"), "", "%q cannot be the name of a header field", name)
	}
	for _, x := range []struct {
		at   path
		text string
	}{{at.with("subject"), r.Subject}, {at.with("header", "contains"), r.Header.Contains}} {
		if len(x.text) > maxCondition {
			p.errorf(x.at, "", "%s is longer than %d octets", x.at[len(x.at)-1], maxCondition)
		}
	}
	for i, word := range r.Auth {
		p.checkAuth(at.with("auth", strconv.Itoa(i)), word)
	}
}

func (p *parser) checkAuth(at path, word string) {
	method, result, _ := strings.Cut(word, "=")
	switch values, known := authWords[method]; {
	case !known:
		near := didYouMean(method, []string{"spf", "dkim", "dmarc", "iprev", "trust"})
		p.errorf(at, near, "auth: %q is not about spf, dkim, dmarc, iprev or trust, as in \"spf=fail\"", word)
	case !slices.Contains(values, result):
		near := nearest(result, values)
		if near != "" {
			near = fmt.Sprintf("did you mean %q?", method+"="+near)
		}
		p.errorf(at, near, "auth: the result of %s is none of %s", method, strings.Join(values, ", "))
	}
}
