package mailauth

import (
	"strings"
)

// record is a DMARC policy record (RFC 9989 §4.7). Tags it does not say have
// their defaults; what is malformed is as if it were not there.
type record struct {
	text        string
	p, sp, np   string // "" = not said
	strictSPF   bool
	strictDKIM  bool
	psd         byte // y, n or u
	testing     bool
	bad         string // the tag that spoils the policy
	hasReporter bool   // rua= names at least one place
}

// parseRecord reads text; ok is false if it is not a DMARC record at all. The
// version must come first and is spelled in capitals.
func parseRecord(text string) (r record, ok bool) {
	tags := splitTags(text)
	if len(tags) == 0 || !strings.EqualFold(tags[0].name, "v") || tags[0].value != "DMARC1" {
		return r, false
	}
	r = record{text: printable(text), psd: 'u'}
	seen := map[string]bool{}
	for _, t := range tags[1:] {
		name, value := strings.ToLower(t.name), strings.ToLower(t.value)
		if seen[name] {
			continue
		}
		seen[name] = true
		switch name {
		case "p":
			r.p = r.policy(name, value)
		case "sp":
			r.sp = r.policy(name, value)
		case "np":
			r.np = r.policy(name, value)
		case "aspf":
			r.strictSPF = value == "s"
		case "adkim":
			r.strictDKIM = value == "s"
		case "t":
			r.testing = value == "y"
		case "psd":
			if value == "y" || value == "n" {
				r.psd = value[0]
			}
		case "rua":
			r.hasReporter = namesReporter(value)
		}
	}
	if r.p == "" && r.bad == "" {
		r.bad = "p"
	}
	if r.bad != "" && r.hasReporter { // RFC 9989 §4.10.1: reports are wanted
		r.p, r.sp, r.np, r.bad = "none", "", "", ""
	}
	return r, true
}

func (r *record) policy(tag, value string) string {
	switch value {
	case "none", "quarantine", "reject":
		return value
	}
	r.bad = tag
	return ""
}

func namesReporter(list string) bool {
	for uri := range strings.SplitSeq(list, ",") {
		scheme, rest, ok := strings.Cut(trim(uri), ":")
		if ok && tagName(strings.NewReplacer("+", "", "-", "", ".", "").Replace(scheme)) && rest != "" && (scheme != "mailto" || strings.Contains(rest, "@")) {
			return true
		}
	}
	return false
}

// applies picks the policy for a domain: the record's own, or one for
// subdomains, which may differ for those that do not exist.
func (r *record) applies(own, exists bool) (tag, policy string) {
	switch {
	case own:
		return "p", r.p
	case !exists && r.np != "":
		return "np", r.np
	case r.sp != "":
		return "sp", r.sp
	}
	return "p", r.p
}

// milder is what is asked for while a policy is being tested (t=y).
func milder(policy string) string {
	if policy == "reject" {
		return "quarantine"
	}
	return "none"
}
