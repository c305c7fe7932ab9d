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

// Bounce is what a delivery status notification (RFC 3464), a mail system's
// report in prose, or a feedback report (RFC 5965) says.
type Bounce struct {
	FeedbackType string            `json:"feedback_type,omitempty"` // abuse, fraud … of a feedback report; see FeedbackReport
	Recipients   []BounceRecipient `json:"recipients"`
	Returned     []string          `json:"-"` // Message-IDs found in the returned part
}

// Bounds of what one report can make us keep.
const (
	maxBounceRecipients = 1000
	maxDiagnostic       = 1000
	maxStatusBytes      = 1 << 20
)

// ParseBounce reads a report: the fields of RFC 3464 first, also where broken
// MIME left them in the text, then the prose of mail systems that write none. A
// feedback report gives its kind and whom it concerns. It returns nil if the
// mail is none of these. Prose counts only in a mail whose header shows that a
// mail system wrote it. A report inside an
// attached mail is not this mail's report. Recipients beyond 1,000 are left out.
func ParseBounce(m *Mail) *Bounce { return readBounce(m, nullReturnPath(m)) }

// ParseBounceFrom is ParseBounce for a mail whose envelope sender is known; a
// null one ("") shows that a mail system wrote it.
func ParseBounceFrom(m *Mail, envelopeFrom string) *Bounce {
	return readBounce(m, nullSender(envelopeFrom) || nullReturnPath(m))
}

func nullSender(envelopeFrom string) bool { return strings.Trim(envelopeFrom, "<> ") == "" }

func readBounce(m *Mail, null bool) *Bounce {
	if f := ParseFeedback(m); f != nil {
		return f.bounce(m)
	}
	b := statusBounce(m)
	if b == nil {
		if b = noticeBounce(m); b == nil {
			b = proseBounce(m, null)
		}
		return b
	}
	t := readText(m.Text())
	if len(b.Recipients) == 0 {
		if p := proseBounce(m, true); p != nil {
			b.Recipients = p.Recipients
		}
	}
	for i := range b.Recipients {
		t.complete(&b.Recipients[i], len(b.Recipients) == 1)
	}
	if len(b.Returned) == 0 {
		b.Returned = t.ids(m)
	}
	return b
}

// statusBounce reads the delivery-status parts of a mail; nil if it has none.
func statusBounce(m *Mail) *Bounce {
	parts := statusParts(m.Root)
	if len(parts) == 0 {
		return nil
	}
	b := &Bounce{Recipients: []BounceRecipient{}}
	for _, status := range parts {
		raw, _ := io.ReadAll(io.LimitReader(m.Open(status), maxStatusBytes))
		for _, g := range statusGroups(string(raw)) {
			if len(b.Recipients) == maxBounceRecipients {
				break
			}
			if r, ok := g.recipient(); ok {
				b.Recipients = append(b.Recipients, r)
			}
		}
	}
	b.Returned = idsOf(returnedHeaders(m))
	return b
}

// complete adds what the prose of a report says where its fields say nothing:
// an address that cannot be read, or a diagnostic that is missing.
func (t *textReport) complete(r *BounceRecipient, only bool) {
	e := t.byAddr[strings.ToLower(r.Address)]
	if e == nil && only && len(t.entries) == 1 {
		e = t.entries[0]
		if r.Address == "" {
			r.Address = e.addr
		}
	}
	if r.Action != "failed" && r.Action != "delayed" {
		return
	}
	s := t.session.byAddr[strings.ToLower(r.Address)]
	if s != nil && (e == nil || !findCode(strings.Join(e.lines, " "))) {
		e = s
	}
	code, diagnostic := r.SMTPCode, r.Diagnostic
	said, phase := e.text(), phaseOf(e.text())
	if phase == "" && only {
		phase = phaseOf(t.joined)
	}
	if smtpCode(r.Diagnostic) == 0 {
		for _, text := range [...]string{said, s.text()} {
			if r.SMTPCode == 0 {
				r.SMTPCode = smtpCode(text)
			}
		}
		if r.Diagnostic == "" || !findCode(r.Diagnostic) && findCode(said) {
			r.Diagnostic = said
		}
	}
	if code != r.SMTPCode || diagnostic != r.Diagnostic || phase != "" {
		r.judge(r.Status, phase)
	}
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
	if r.SMTPCode = smtpCode(r.Diagnostic); r.SMTPCode == 0 {
		r.SMTPCode = smtpCode(h.Get("Status"))
	}
	status := exactStatus(enhancedCode(h.Get("Status")), enhancedCode(r.Diagnostic), r.SMTPCode)
	r.Action = action(h.Get("Action"), status)
	r.judge(status, "")
	if _, comment, ok := strings.Cut(h.Get("Status"), "("); ok && r.Reason == "user_unknown" && reasonInWords(comment) == "suspended" {
		r.Reason, r.Hard = "suspended", false // the reporter's reading of a code that says either
	}
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

// returnedHeaders are the headers of the mail that came back: of nested mails
// and of header parts.
func returnedHeaders(m *Mail) []Header {
	var all []Header
	var down func(p *Part)
	down = func(p *Part) {
		if len(all) == maxReturned {
			return
		}
		switch {
		case isMessage(p.Type) && len(p.Parts) == 1:
			all = append(all, p.Parts[0].Header)
			return
		case p.Type == "text/rfc822-headers" || p.Type == "message/global-headers" || p.Type == "text/rfc822-header":
			b, _ := io.ReadAll(io.LimitReader(m.Open(p), maxStatusBytes))
			all = append(all, fieldsOf(strings.ReplaceAll(string(b), "\r\n", "\n")))
		}
		for _, c := range p.Parts {
			down(c)
		}
	}
	if m.Root != nil && !isMessage(m.Root.Type) {
		down(m.Root)
	}
	return all
}

// idsOf collects the Message-IDs of returned headers.
func idsOf(headers []Header) []string {
	var ids []string
	for _, h := range headers {
		for _, id := range h.IDs("Message-ID") {
			if len(ids) < maxReturned {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// maxReturned bounds the list: one report returns one mail.
const maxReturned = 20
