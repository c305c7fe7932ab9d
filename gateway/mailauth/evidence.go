package mailauth

import (
	"fmt"
	"net/netip"
	"strings"

	"ticketgate/ticketing"
)

// Result is a word of RFC 8601 §2.7.
type Result string

// The words. Not every method uses all.
const (
	None      Result = "none"
	Pass      Result = "pass"
	Fail      Result = "fail"
	SoftFail  Result = "softfail"
	Neutral   Result = "neutral"
	Policy    Result = "policy" // valid, but not by our rules
	TempError Result = "temperror"
	PermError Result = "permerror"
)

// Evidence is everything that was found, for people and for the
// Authentication-Results field. Reasons and notes are plain English.
type Evidence struct {
	Author  Author      `json:"author"`
	Client  *Client     `json:"client,omitempty"` // who stood behind a trusted forwarder
	SPF     SPF         `json:"spf"`
	DKIM    []Signature `json:"dkim,omitempty"`
	Ignored int         `json:"ignored_signatures,omitempty"` // beyond the limit, not looked at
	Note    string      `json:"note,omitempty"`               // why no signature could be judged
	DMARC   DMARC       `json:"dmarc"`
	IPRev   IPRev       `json:"iprev"`
	Trust   string      `json:"trust"` // T0 T1 T2
	Reasons []string    `json:"reasons"`
}

// Author is the one whom the From field names.
type Author struct {
	Address string `json:"address,omitempty"`
	Domain  string `json:"domain,omitempty"`  // A-labels; "" if not exactly one author is named
	Problem string `json:"problem,omitempty"` // why Domain is empty
}

// SPF is the result for one identity.
type SPF struct {
	Result   Result `json:"result"`
	Identity string `json:"identity,omitempty"` // mailfrom or helo
	Sender   string `json:"sender,omitempty"`   // the address that was judged
	Domain   string `json:"domain,omitempty"`
	Aligned  bool   `json:"aligned,omitempty"`
	Unasked  bool   `json:"unasked,omitempty"` // nobody knows which client to judge
	Reason   string `json:"reason,omitempty"`
}

// Signature is the result for one DKIM-Signature field.
type Signature struct {
	Result    Result `json:"result"`
	Domain    string `json:"domain,omitempty"`   // d=
	Selector  string `json:"selector,omitempty"` // s=
	Algorithm string `json:"algorithm,omitempty"`
	Identity  string `json:"identity,omitempty"` // i=, if the signer gave one
	B         string `json:"b,omitempty"`        // first 8 octets of b=, tells signatures apart
	Testing   bool   `json:"testing,omitempty"`  // key flag t=y
	Aligned   bool   `json:"aligned,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// IPRev says whether the peer's address and its name confirm each other.
type IPRev struct {
	Result Result     `json:"result"`
	IP     netip.Addr `json:"ip,omitzero"`
	Name   string     `json:"name,omitempty"` // the confirmed one
	Reason string     `json:"reason,omitempty"`
}

// DMARC is the result for the author's domain.
type DMARC struct {
	Result       Result `json:"result"`
	Domain       string `json:"domain,omitempty"`        // of the author
	Organization string `json:"organization,omitempty"`  // organisational domain
	RecordDomain string `json:"record_domain,omitempty"` // whose record applies
	Record       string `json:"record,omitempty"`
	Tag          string `json:"tag,omitempty"`         // of the record that holds the policy: p sp np
	Policy       string `json:"policy,omitempty"`      // none quarantine reject, as published
	Disposition  string `json:"disposition,omitempty"` // what the domain asks to be done with this mail
	Testing      bool   `json:"testing,omitempty"`     // t=y: Disposition is one step milder than Policy
	Reason       string `json:"reason,omitempty"`
	Walk         []Step `json:"walk,omitempty"`
}

// Step is one name of a tree walk.
type Step struct {
	Name  string `json:"name"`
	Found string `json:"found"`
}

// Verdict is the short form that is stored with the message.
func (e *Evidence) Verdict() ticketing.Verdict {
	v := ticketing.Verdict{
		SPF:     ticketing.AuthResult{Result: string(e.SPF.Result), Domain: e.SPF.Domain, Reason: e.SPF.Reason},
		DMARC:   ticketing.AuthResult{Result: string(e.DMARC.Result), Domain: e.DMARC.Domain, Policy: e.DMARC.Policy, Disposition: e.DMARC.Disposition, Reason: e.DMARC.Reason},
		IPRev:   ticketing.AuthResult{Result: string(e.IPRev.Result), Domain: e.IPRev.Name, Reason: e.IPRev.Reason},
		Trust:   e.Trust,
		Reasons: e.Reasons,
	}
	if e.Client != nil && e.Client.IP.IsValid() {
		v.Client = e.Client.IP.String()
	}
	for _, s := range e.DKIM {
		v.DKIM = append(v.DKIM, ticketing.AuthResult{Result: string(s.Result), Domain: s.Domain, Selector: s.Selector, Reason: s.Reason})
	}
	return v
}

// trust draws the conclusion and says why.
func (e *Evidence) trust() {
	e.Trust = "T0"
	say := func(format string, args ...any) { e.Reasons = append(e.Reasons, fmt.Sprintf(format, args...)) }
	aligned := e.aligned()
	switch {
	case e.Author.Domain == "":
		say("the author is unknown: %s", e.Author.Problem)
	case e.DMARC.Result == Pass:
		e.Trust = "T2"
		say("%s is confirmed by %s, and %s publishes a DMARC policy", e.Author.Domain, aligned, e.DMARC.RecordDomain)
	case e.DMARC.Result == TempError:
		say("DMARC could not be concluded: %s", e.DMARC.Reason)
	case e.DMARC.Result == Fail:
		say("DMARC fails: %s", e.DMARC.Reason)
	case aligned != "":
		e.Trust = "T1"
		say("%s is confirmed by %s, but publishes no usable DMARC policy", e.Author.Domain, aligned)
	default:
		say("neither SPF nor DKIM speaks for %s", e.Author.Domain)
	}
	if e.IPRev.Result == Fail {
		say("the peer's name and address do not confirm each other: %s", e.IPRev.Reason)
	}
}

// aligned names the methods that pass for the author's domain.
func (e *Evidence) aligned() string {
	var by []string
	for _, s := range e.DKIM {
		if s.Aligned && s.Result == Pass {
			by = append(by, "the DKIM signature of "+s.Domain)
			break
		}
	}
	if e.SPF.Aligned && e.SPF.Result == Pass {
		by = append(by, "SPF of "+e.SPF.Domain)
	}
	return strings.Join(by, " and ")
}

// Finding is one result in the words of an operator.
type Finding struct {
	Check  string `json:"check"` // author client spf dkim iprev walk dmarc trust
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// Findings explains the evidence to a person, in the order in which one follows
// from the other.
func (e *Evidence) Findings() []Finding {
	var out []Finding
	add := func(check, result string, details ...string) {
		var said []string
		for _, d := range details {
			if d != "" {
				said = append(said, d)
			}
		}
		out = append(out, Finding{check, result, strings.Join(said, " ")})
	}
	note := func(s string) string {
		if s == "" {
			return ""
		}
		return "(" + s + ")"
	}
	if e.Author.Domain != "" {
		add("author", "known", e.Author.Address)
	} else {
		add("author", "unknown", note(e.Author.Problem))
	}
	if c := e.Client; c != nil && c.IP.IsValid() {
		add("client", "known", fmt.Sprintf("%s HELO %s, behind %d trusted", c.IP, clean(c.HELO), c.Hops))
	} else if c != nil {
		add("client", "unknown", note(c.Note))
	}
	add("spf", string(e.SPF.Result), e.SPF.Identity, e.SPF.Sender, note(e.SPF.Reason))
	for _, s := range e.DKIM {
		add("dkim", string(s.Result), fmt.Sprintf("d=%s s=%s a=%s b=%s", s.Domain, s.Selector, s.Algorithm, s.B), note(s.Reason))
	}
	if len(e.DKIM) == 0 {
		add("dkim", string(e.dkimNone()), note(e.Note))
	}
	if e.Ignored > 0 {
		add("dkim", "ignored", fmt.Sprintf("%d further signatures were not looked at", e.Ignored))
	}
	add("iprev", string(e.IPRev.Result), e.IPRev.Name, note(e.IPRev.Reason))
	for _, s := range e.DMARC.Walk {
		add("walk", "asked", s.Name+":", s.Found)
	}
	d := e.DMARC
	record := ""
	if d.RecordDomain != "" {
		record = fmt.Sprintf("record of %s, organisation %s, %s=%s, asks for: %s", d.RecordDomain, d.Organization, d.Tag, d.Policy, d.Disposition)
	}
	add("dmarc", string(d.Result), note(d.Reason), record)
	add("trust", e.Trust, strings.Join(e.Reasons, "; "))
	return out
}

// Lines are the findings as text, one a line.
func (e *Evidence) Lines() []string {
	var out []string
	for _, f := range e.Findings() {
		out = append(out, strings.TrimRight(fmt.Sprintf("%-7s %-9s %s", f.Check, f.Result, f.Detail), " "))
	}
	return out
}

// dkimNone is the word for a mail without a judged signature.
func (e *Evidence) dkimNone() Result {
	if e.Note != "" {
		return PermError
	}
	return None
}
