package ticketing

import (
	"fmt"
	"slices"
	"strings"

	"ticketgate/ticketing/message"
)

// AcceptRule decides about mail for a queue before it becomes anything. All
// conditions that are set must hold; a rule with none holds for every mail and
// stands last. The first rule that holds decides, and no other is asked.
type AcceptRule struct {
	Name       string     // for the audit; at most 32 octets
	From       []string   // author or envelope sender: an address, @domain, a glob
	Header     HeaderTest // on a field of the header
	Subject    string     // stands in the decoded subject, in whatever case
	Auth       []string   // what was found about the sender, as in "spf=fail" or "trust=T0"; all of them
	LargerThan int64      // octets of the whole mail
	Action     string     // accept, hold, discard, reject
	Text       string     // what the client hears of a reject
}

// HeaderTest asks for a field, and for a text in it if Contains is not empty.
type HeaderTest struct{ Name, Contains string }

// What a rule does. accept spares a mail the queue's screen and nothing else;
// discard keeps it as a held mail that is discarded already; reject refuses it
// where a client is on the line who may hear it, and holds it elsewhere.
const (
	ruleAccept  = "accept"
	ruleHold    = "hold"
	ruleDiscard = "discard"
	ruleReject  = "reject"
)

var ruleActions = []string{ruleAccept, ruleHold, ruleDiscard, ruleReject}

// RuleHit is the accept rule that held for a mail, and what it asks for.
type RuleHit struct {
	Name   string `json:"name"`
	Action string `json:"action"`
}

const (
	maxAcceptRules = 200
	maxRuleName    = 32
)

// authMethods are the words that Auth knows, and their values.
var authMethods = map[string][]string{
	"spf":   {"none", "pass", "fail", "softfail", "neutral", "temperror", "permerror"},
	"dkim":  {"none", "pass", "fail", "neutral", "policy", "temperror", "permerror"},
	"dmarc": {"none", "pass", "fail", "temperror", "permerror"},
	"iprev": {"none", "pass", "fail", "temperror", "permerror"},
	"trust": {"T0", "T1", "T2"},
}

// acceptRule is a rule in the form in which it is asked.
type acceptRule struct {
	AcceptRule
	from              []never
	subject, contains string // folded
	auth              [][2]string
}

func (q *queue) checkAccept() error {
	if len(q.Accept) > maxAcceptRules {
		return fmt.Errorf("%d accept rules; at most %d are asked", len(q.Accept), maxAcceptRules)
	}
	for i, r := range q.Accept {
		c, err := newAcceptRule(r)
		if err == nil && c.unconditional() && i < len(q.Accept)-1 {
			err = fmt.Errorf("it holds for every mail, so it must be the last")
		}
		if err == nil && slices.ContainsFunc(q.rules, func(o acceptRule) bool { return o.Name == r.Name }) {
			err = fmt.Errorf("there are two of this name")
		}
		if err != nil {
			return fmt.Errorf("accept rule %q: %w", r.Name, err)
		}
		q.rules = append(q.rules, c)
		q.refuses = q.refuses || r.Action == ruleReject
	}
	return nil
}

func newAcceptRule(r AcceptRule) (acceptRule, error) {
	c := acceptRule{AcceptRule: r, subject: message.FoldText(r.Subject), contains: message.FoldText(r.Header.Contains)}
	switch {
	case r.Name == "" || len(r.Name) > maxRuleName:
		return c, fmt.Errorf("a name has 1 to %d octets", maxRuleName)
	case !slices.Contains(ruleActions, r.Action):
		return c, fmt.Errorf("action %q is none of %s", r.Action, strings.Join(ruleActions, ", "))
	case r.Header.Name == "" && r.Header.Contains != "":
		return c, fmt.Errorf("header has no name")
	case r.LargerThan < 0:
		return c, fmt.Errorf("larger_than is negative")
	}
	for _, pattern := range r.From {
		n, err := newNever(pattern)
		if err != nil {
			return c, fmt.Errorf("from: %w", err)
		}
		c.from = append(c.from, n)
	}
	for _, word := range r.Auth {
		method, value, _ := strings.Cut(word, "=")
		if !slices.Contains(authMethods[method], value) {
			return c, fmt.Errorf("auth: %q says nothing about a sender", word)
		}
		c.auth = append(c.auth, [2]string{method, value})
	}
	return c, nil
}

func (r *acceptRule) unconditional() bool {
	return len(r.from) == 0 && r.Header.Name == "" && r.Subject == "" && len(r.auth) == 0 && r.LargerThan == 0
}

func (r *acceptRule) hit() RuleHit {
	if r == nil {
		return RuleHit{}
	}
	return RuleHit{r.Name, r.Action}
}

// ruling returns the rule that decides about a mail for a queue, nil if none
// does. Our own mail that comes back is no mail, and proven reports about our
// mail are news for us: no rule decides about either.
func (d *Desk) ruling(in *incoming, u *unit) *acceptRule {
	switch {
	case len(u.queue.rules) == 0, in.loop != "":
		return nil
	case len(u.returns) > 0 && (in.arrival.EnvelopeFrom == "" || in.report() || in.complaint()), d.provenComplaint(in, u):
		return nil
	}
	return u.queue.rule(in, u)
}

// rule asks a queue's rules about a mail of which the header is known. What
// proven agents write and what people hand in who logged in is not asked about;
// a forwarder's login is no person.
func (q *queue) rule(in *incoming, u *unit) *acceptRule {
	if u.agent != nil || in.arrival.User != "" && !u.forwarder {
		return nil
	}
	f := ruleFacts{in: in, trust: u.trust}
	for i := range q.rules {
		if q.rules[i].holds(&f) {
			return &q.rules[i]
		}
	}
	return nil
}

// ruleFacts is what rules ask of one mail. Each text is brought into its form
// once, however many rules look at it.
type ruleFacts struct {
	in      *incoming
	trust   string
	subject *string
	fields  map[string][]string // folded, by lower-case name
}

func (r *acceptRule) holds(f *ruleFacts) bool {
	return (r.LargerThan == 0 || f.in.raw.Ref().Size > r.LargerThan) && f.proven(r.auth) && f.from(r.from) &&
		(r.Subject == "" || strings.Contains(f.title(), r.subject)) &&
		(r.Header.Name == "" || slices.ContainsFunc(f.field(r.Header.Name), func(v string) bool { return strings.Contains(v, r.contains) }))
}

func (f *ruleFacts) from(list []never) bool { return len(list) == 0 || f.in.sentBy(list) != "" }

func (f *ruleFacts) title() string {
	if f.subject == nil {
		s := message.FoldText(f.in.subject)
		f.subject = &s
	}
	return *f.subject
}

func (f *ruleFacts) field(name string) []string {
	name = strings.ToLower(name)
	values, known := f.fields[name]
	if known {
		return values
	}
	for _, v := range f.in.mail.Header.All(name) {
		values = append(values, message.FoldText(message.DecodeWords(v)))
	}
	if f.fields == nil {
		f.fields = map[string][]string{}
	}
	f.fields[name] = values
	return values
}

// proven reports whether everything a rule says about the sender was found.
func (f *ruleFacts) proven(words [][2]string) bool {
	v := &f.in.arrival.Verdict
	for _, w := range words {
		found := ""
		switch w[0] {
		case "spf":
			found = v.SPF.Result
		case "dmarc":
			found = v.DMARC.Result
		case "iprev":
			found = v.IPRev.Result
		case "trust":
			found = f.trust
		case "dkim":
			// One signature of several is enough.
			if slices.ContainsFunc(v.DKIM, func(r AuthResult) bool { return r.Result == w[1] }) {
				continue
			}
			if len(v.DKIM) > 0 {
				return false
			}
		}
		if found == "" {
			found = "none"
		}
		if found != w[1] {
			return false
		}
	}
	return true
}
