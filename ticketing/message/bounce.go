package message

import (
	"io"
	"strings"
)

// BounceRecipient is one recipient of a delivery report.
type BounceRecipient struct {
	Address    string `json:"address"`
	Action     string `json:"action"` // failed delayed delivered relayed expanded
	Status     string `json:"status"` // enhanced code (RFC 3463), the more exact of field and diagnostic
	SMTPCode   int    `json:"smtp_code"`
	Hard       bool   `json:"hard"`   // the address is dead; nothing else is hard
	Reason     string `json:"reason"` // user_unknown host_unknown mailbox_full …: see reasonOf
	Diagnostic string `json:"diagnostic"`
}

// Bounce is a parsed delivery status notification (RFC 3464).
type Bounce struct {
	Recipients []BounceRecipient `json:"recipients"`
	Returned   []string          `json:"-"` // Message-IDs found in the returned part
}

// Bounds of what one report can make us keep.
const (
	maxBounceRecipients = 1000
	maxDiagnostic       = 1000
	maxStatusBytes      = 1 << 20
)

// ParseBounce reads an RFC 3464 report; nil if the mail is none. A report
// inside an attached mail is not this mail's report. Recipients beyond 1,000
// are left out.
func ParseBounce(m *Mail) *Bounce {
	status := statusPart(m.Root)
	if status == nil {
		return nil
	}
	b := &Bounce{Recipients: []BounceRecipient{}}
	raw, _ := io.ReadAll(io.LimitReader(m.Open(status), maxStatusBytes))
	for _, g := range statusGroups(string(raw)) {
		if len(b.Recipients) == maxBounceRecipients {
			break
		}
		if r, ok := g.recipient(); ok {
			b.Recipients = append(b.Recipients, r)
		}
	}
	b.Returned = returnedIDs(m)
	return b
}

// statusGroups splits a delivery-status part into the groups of fields that
// speak of one recipient each. RFC 3464 separates them by blank lines; some
// mail systems forget those, others put one inside a group.
func statusGroups(raw string) []Header {
	raw = strings.ReplaceAll(raw, "\r\n", "\n")
	var groups []Header
	for _, block := range strings.Split(raw, "\n\n") {
		var cur Header
		for _, f := range fieldsOf(block) {
			if isField(f, "Final-Recipient") && cur.Has("Final-Recipient") ||
				isField(f, "Original-Recipient") && (cur.Has("Original-Recipient") || cur.Has("Final-Recipient") && cur.Has("Action") && cur.Has("Status")) {
				groups = append(groups, cur)
				cur = nil
			}
			cur = append(cur, f)
		}
		if len(cur) == 0 {
			continue
		}
		// A blank line inside a group: what names nobody belongs to whom the
		// last group named without saying what became of him.
		if n := len(groups); n > 0 && !names(cur) && names(groups[n-1]) && !groups[n-1].Has("Action") && !groups[n-1].Has("Status") {
			groups[n-1] = append(groups[n-1], cur...)
			continue
		}
		groups = append(groups, cur)
	}
	return groups
}

func isField(f Field, name string) bool { return strings.EqualFold(f.Name, name) }

func names(h Header) bool { return h.Has("Final-Recipient") || h.Has("Original-Recipient") }

// fieldsOf reads a block of fields; lines that are none are passed over.
func fieldsOf(block string) Header {
	h := headerReader{}
	h.reset(DefaultLimits(), true)
	at := int64(0)
	for len(block) > 0 {
		l, rest, _ := strings.Cut(block, "\n")
		block = rest
		l = strings.TrimRight(l, "\r")
		if l == "" || l[0] != ' ' && l[0] != '\t' {
			if _, _, ok := splitField([]byte(l)); !ok {
				continue
			}
		}
		next := at + int64(len(l)) + 1
		if _, done := h.add(line{start: at, end: next - 1, next: next, head: []byte(l)}); done {
			break
		}
		at = next
	}
	h.flush()
	return h.fields
}

// recipient reads one group.
func (h Header) recipient() (BounceRecipient, bool) {
	if !names(h) {
		return BounceRecipient{}, false
	}
	r := BounceRecipient{Address: reportedAddress(h.Get("Original-Recipient"))}
	if r.Address == "" {
		r.Address = reportedAddress(h.Get("Final-Recipient"))
	}
	diag := h.Get("Diagnostic-Code")
	if kind, text, ok := strings.Cut(diag, ";"); ok && len(kind) < 40 && !strings.ContainsAny(kind, " <") {
		diag = text
	}
	r.Diagnostic = cutRunes(strings.Join(strings.Fields(DecodeWords(cutRunes(diag, 4*maxDiagnostic))), " "), maxDiagnostic)
	r.SMTPCode = smtpCode(r.Diagnostic)
	if r.SMTPCode == 0 {
		r.SMTPCode = smtpCode(h.Get("Status"))
	}
	r.Status = exactStatus(enhancedCode(h.Get("Status")), enhancedCode(r.Diagnostic), r.SMTPCode)
	r.Action = action(h.Get("Action"), r.Status)
	r.Reason = reasonOf(r)
	r.Hard = r.Action == "failed" && hardReasons[r.Reason]
	return r, true
}

// reportedAddress reads "rfc822; user@example.com" and its variants; "" if it
// holds no address.
func reportedAddress(v string) string {
	if kind, rest, ok := strings.Cut(v, ";"); ok {
		v = rest
		if k := strings.ToLower(strings.TrimSpace(kind)); strings.HasPrefix(k, "x-") && !strings.Contains(v, "@") {
			return ""
		}
	}
	list, _ := ParseAddressList(xtext(v), 1)
	if len(list) == 0 {
		return ""
	}
	return list[0].Addr
}

// xtext undoes the encoding of RFC 3461 §4 ("+2B" for "+") where it is used.
func xtext(s string) string {
	if !strings.Contains(s, "+") {
		return s
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '+' && i+2 < len(s) && upperHex(s[i+1]) && upperHex(s[i+2]) {
			if c := byte(unhex(s[i+1])<<4 | unhex(s[i+2])); c == '+' || c == '=' {
				out = append(out, c)
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func upperHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

// action brings the words that mail systems use to those of RFC 3464 §2.3.3.
func action(v, status string) string {
	w, _ := parseParams(v)
	switch {
	case strings.HasPrefix(w, "fail"), w == "expired", w == "undeliverable":
		return "failed"
	case strings.HasPrefix(w, "delay"), w == "deferred":
		return "delayed"
	case strings.HasPrefix(w, "deliver"):
		return "delivered"
	case strings.HasPrefix(w, "relay"):
		return "relayed"
	case strings.HasPrefix(w, "expand"):
		return "expanded"
	case strings.HasPrefix(status, "2"):
		return "delivered"
	case strings.HasPrefix(status, "4"):
		return "delayed"
	}
	return "failed"
}

// smtpCode finds the first reply code (4xx or 5xx) that stands alone.
func smtpCode(s string) int {
	for i := 0; i+3 <= len(s); i++ {
		if c := s[i]; c != '4' && c != '5' || i > 0 && (digit(s[i-1]) || s[i-1] == '.' || s[i-1] == '-') {
			continue
		}
		if digit(s[i+1]) && s[i+1] <= '5' && digit(s[i+2]) && (i+3 == len(s) || s[i+3] == ' ' || s[i+3] == '-' || s[i+3] == ')' || s[i+3] == ':' || s[i+3] == ',' || s[i+3] == '#') {
			return int(s[i]-'0')*100 + int(s[i+1]-'0')*10 + int(s[i+2]-'0')
		}
	}
	return 0
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// enhancedCode finds the first x.y.z with x of 2, 4 or 5 that is not part of a
// longer number (an IP address). One that says little yields to a later one: a
// relay's own code often stands before the remote system's.
func enhancedCode(s string) string {
	first := ""
	for i := 0; i < len(s); i++ {
		if s[i] != '2' && s[i] != '4' && s[i] != '5' || i > 0 && (digit(s[i-1]) || s[i-1] == '.') {
			continue
		}
		code := codeAt(s[i:])
		if code == "" {
			continue
		}
		if exactness(code) == 2 {
			return code
		}
		if first == "" {
			first = code
		}
		i += len(code)
	}
	return first
}

// codeAt returns the enhanced code that s begins with.
func codeAt(s string) string {
	j := 1
	for range 2 {
		k := j + 1
		for k < len(s) && k < j+4 && digit(s[k]) {
			k++
		}
		if j >= len(s) || s[j] != '.' || k == j+1 {
			return ""
		}
		j = k
	}
	if j < len(s) && (digit(s[j]) || s[j] == '.' && j+1 < len(s) && digit(s[j+1])) {
		return ""
	}
	return s[:j]
}

// exactStatus prefers what says more: x.0.0, x.1.0 and a missing status yield to the
// code in the diagnostic, and a reply code alone gives x.0.0.
func exactStatus(field, diag string, smtp int) string {
	switch {
	case field == "" && diag == "":
		switch smtp / 100 {
		case 4:
			return "4.0.0"
		case 5:
			return "5.0.0"
		}
		return ""
	case field == "" || diag != "" && exactness(diag) > exactness(field):
		return diag
	}
	return field
}

// exactness ranks codes: x.0.0 says nothing, x.1.0 only that it is the address.
func exactness(code string) int {
	switch {
	case strings.HasSuffix(code, ".0.0"):
		return 0
	case strings.HasSuffix(code, ".1.0"):
		return 1
	}
	return 2
}

// returnedIDs collects the Message-IDs of the mail that came back: from nested
// mails and header parts, and if there are none from text that looks like a
// header.
func returnedIDs(m *Mail) []string {
	var ids []string
	add := func(h Header) {
		for _, id := range h.IDs("Message-ID") {
			if len(ids) < maxReturned {
				ids = append(ids, id)
			}
		}
	}
	var down func(p *Part)
	down = func(p *Part) {
		switch {
		case isMessage(p.Type) && len(p.Parts) == 1:
			add(p.Parts[0].Header)
			return
		case p.Type == "text/rfc822-headers" || p.Type == "message/global-headers" || p.Type == "text/rfc822-header":
			b, _ := io.ReadAll(io.LimitReader(m.Open(p), maxStatusBytes))
			add(fieldsOf(strings.ReplaceAll(string(b), "\r\n", "\n")))
		}
		for _, c := range p.Parts {
			down(c)
		}
	}
	down(m.Root)
	return ids
}

// maxReturned bounds the list: one report returns one mail.
const maxReturned = 20
