package mailauth

import (
	"strings"

	"github.com/emersion/go-msgauth/authres"
)

// AuthenticationResults writes the evidence as an Authentication-Results field
// (RFC 8601) with its CRLF, folded at each method. The authserv-id is hostname.
// Text from the mail or from DNS that would need care to quote is masked or
// left out.
func AuthenticationResults(hostname string, e *Evidence) string {
	results := []authres.Result{
		result("spf", e.SPF.Result, e.SPF.Reason, "smtp."+e.spfProperty(), e.spfValue()),
	}
	for _, s := range e.DKIM {
		results = append(results, result("dkim", s.Result, s.Reason,
			"header.d", plain(s.Domain), "header.s", plain(s.Selector), "header.a", plain(s.Algorithm), "header.b", plain(s.B)))
	}
	if len(e.DKIM) == 0 {
		results = append(results, result("dkim", e.dkimNone(), e.Note))
	}
	d := e.DMARC
	policy := ""
	if d.RecordDomain != "" {
		policy = d.Policy
		if d.Testing {
			policy = milder(policy)
		}
	}
	results = append(results, result("dmarc", d.Result, d.Reason, "header.from", plain(d.Domain), "policy.dmarc", policy))
	if e.IPRev.IP.IsValid() {
		results = append(results, result("iprev", e.IPRev.Result, e.IPRev.Reason, "policy.iprev", e.IPRev.IP.String()))
	}
	text := authres.Format(plain(hostname), results)
	// clean leaves no semicolon in a value: each one ends a method.
	pieces := strings.Split(text, ";")
	for i, p := range pieces {
		pieces[i] = strings.TrimSpace(p)
	}
	return "Authentication-Results: " + strings.Join(pieces, ";\r\n\t") + "\r\n"
}

func result(method string, r Result, reason string, properties ...string) authres.Result {
	params := map[string]string{}
	if r != Pass && reason != "" {
		params["reason"] = clean(reason)
	}
	for i := 0; i+1 < len(properties); i += 2 {
		if properties[i+1] != "" {
			params[properties[i]] = properties[i+1]
		}
	}
	return &authres.GenericResult{Method: method, Value: authres.ResultValue(r), Params: params}
}

func (e *Evidence) spfProperty() string {
	if e.SPF.Identity == "helo" {
		return "helo"
	}
	return "mailfrom"
}

// spfValue is the address if it can stand unquoted, else its domain.
func (e *Evidence) spfValue() string {
	if e.SPF.Identity == "mailfrom" && plain(e.SPF.Sender) == e.SPF.Sender {
		return e.SPF.Sender
	}
	return plain(e.SPF.Domain)
}

// plain masks every octet that a header value would have to quote.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("@.-_+/~#%&'*^`{|}!$", r):
			return r
		}
		return '?'
	}, s)
	return s[:min(len(s), 320)]
}
