package message

import (
	"slices"
	"strings"
)

// origin says how surely a mail system wrote the mail.
type origin int

const (
	fromAnyone  origin = iota
	fromProgram        // the author is a program, maybe one that announces parcels
	fromSystem         // a null sender, or the author is a mail system
)

// originOf looks at the envelope and at the author.
func originOf(m *Mail, null bool) origin {
	h := m.Header
	if null || h.Has("X-Failed-Recipients") && h.Has("From") && systemAuthor(h) != fromAnyone {
		return fromSystem
	}
	for _, p := range h.All("Return-Path") {
		if p = strings.ToLower(strings.Trim(p, "<> \t")); p == "" || strings.HasPrefix(p, "mailer-daemon") {
			return fromSystem
		}
	}
	return systemAuthor(h)
}

func systemAuthor(h Header) origin {
	from := strings.ToLower(strings.TrimSpace(h.Text("From")))
	if from == "" && h.Has("From") || strings.HasSuffix(from, "<>") {
		return fromSystem
	}
	list, _ := ParseAddressList(h.Get("From"), 1)
	local := strings.Trim(from, "<>\" ")
	if len(list) == 1 {
		local, _, _ = strings.Cut(strings.ToLower(list[0].Addr), "@")
		from = strings.ToLower(list[0].Name)
	}
	switch {
	case hasAnyPrefix(local, systemLocals) || containsAny(from, systemNames):
		return fromSystem
	case hasAnyPrefix(local, weakLocals) || strings.HasSuffix(local, "-admin"):
		return fromProgram
	}
	return fromAnyone
}

// nullReturnPath tells whether the mail says of itself that its envelope sender
// was null.
func nullReturnPath(m *Mail) bool {
	return m.Header.Has("Return-Path") && strings.Trim(m.Header.Get("Return-Path"), "<> \t") == ""
}

// proseBounce reads a report that has no fields to go by; nil if the mail is no
// report. A person's mail is none, whatever it says.
func proseBounce(m *Mail, null bool) *Bounce {
	from := originOf(m, null)
	if from == fromAnyone {
		return nil
	}
	text := m.Text()
	t := readText(text)
	subject := subjectOfMTA(m.Header.Text("Subject"))
	opened := containsAny(t.joined, openers)
	if groups := fieldGroups(t); len(groups) > 0 && from == fromSystem {
		b := &Bounce{Recipients: groups, Returned: t.ids(m)}
		return b
	}
	t.settle(m)
	switch {
	case from == fromProgram && !(opened && len(t.entries) > 0 && (t.hasReturned(m) || m.Header.Has("X-Failed-Recipients"))):
		return nil
	case !opened && subject == "" && !m.Header.Has("X-Failed-Recipients") && len(t.session.said) == 0:
		return nil
	case len(t.entries) == 0 && (subject == "" || !null && !opened):
		return nil
	case subject == "" && systemAuthor(m.Header) == fromAnyone && !t.hasReturned(m):
		return nil // a person's vacation program uses the null sender, too
	}
	b := &Bounce{Recipients: []BounceRecipient{}, Returned: t.ids(m)}
	act := t.action(subject)
	for _, e := range t.entries {
		b.Recipients = append(b.Recipients, t.recipient(e, act))
	}
	return b
}

// fieldGroups reads delivery-status fields that stand in the text, where the
// MIME structure is broken or a provider writes them as prose.
func fieldGroups(t *textReport) []BounceRecipient {
	if !strings.Contains(t.joined, "final-recipient:") {
		return nil
	}
	var lines []string
	for _, l := range t.lines {
		if _, _, ok := splitField([]byte(l)); ok || strings.TrimSpace(l) == "" || len(lines) > 0 && (l[0] == ' ' || l[0] == '\t') {
			lines = append(lines, l)
		}
	}
	var found []BounceRecipient
	for _, g := range statusGroups(strings.Join(lines, "\n")) {
		if r, ok := g.recipient(); ok && g.Has("Final-Recipient") && len(found) < maxBounceRecipients {
			found = append(found, r)
		}
	}
	return found
}

// settle decides which of the addresses found are the recipients.
func (t *textReport) settle(m *Mail) {
	if len(t.entries) > 1 {
		senders := map[string]bool{}
		for _, a := range m.Header.Addresses("To") {
			senders[strings.ToLower(a.Addr)] = true
		}
		sure := slices.DeleteFunc(slices.Clone(t.entries), func(e *textEntry) bool { return e.bystander(senders) })
		if len(sure) > 0 {
			t.entries = sure
		}
	}
	for _, e := range t.entries {
		if s := t.session.byAddr[strings.ToLower(e.addr)]; s != nil && !findCode(strings.Join(e.lines, " ")) {
			e.lines = append(e.lines, s.lines...)
		}
	}
	if len(t.entries) == 0 {
		t.entries = t.session.said
	}
	if failed := failedRecipients(m); len(failed) > 0 && len(failed) >= len(t.entries) {
		t.adopt(failed)
	}
	if len(t.entries) == 0 {
		if a := t.returnedTo(m); a != "" {
			t.entries = []*textEntry{{addr: a}}
		}
	}
}

// bystander tells whether an address is the sender of the mail that came back,
// to whom the report goes, or one to ask for help.
func (e *textEntry) bystander(senders map[string]bool) bool {
	if e.kind == inList && findCode(strings.Join(e.lines, " ")) {
		return false
	}
	key := strings.ToLower(e.addr)
	local, _, _ := strings.Cut(key, "@")
	switch local {
	case "postmaster", "mailer-daemon", "abuse", "support", "helpdesk":
		return true
	}
	return senders[key]
}

// failedRecipients reads X-Failed-Recipients, which Exim and Google write.
func failedRecipients(m *Mail) []string {
	var all []string
	for _, a := range m.Header.Addresses("X-Failed-Recipients") {
		if len(all) < maxBounceRecipients && !slices.ContainsFunc(all, func(b string) bool { return strings.EqualFold(a.Addr, b) }) {
			all = append(all, a.Addr)
		}
	}
	return all
}

// adopt takes the list of recipients from the header and what is said of each
// from the text.
func (t *textReport) adopt(failed []string) {
	var list []*textEntry
	for _, addr := range failed {
		e := t.byAddr[strings.ToLower(addr)]
		if e == nil {
			e = &textEntry{addr: addr}
			if len(failed) == 1 && len(t.entries) == 1 {
				e.lines = t.entries[0].lines
			}
		}
		list = append(list, e)
	}
	t.entries = list
}

// returnedTo is the recipient of the returned mail if it names only one.
func (t *textReport) returnedTo(m *Mail) string {
	for _, h := range t.returnedHeaders(m) {
		for _, name := range [...]string{"X-Envelope-To", "X-Original-To", "Delivered-To", "To"} {
			if list := h.Addresses(name); len(list) == 1 {
				return list[0].Addr
			}
		}
	}
	return ""
}

// action tells what became of the mail.
func (t *textReport) action(subject string) string {
	for _, p := range successPhrases {
		if strings.Contains(t.joined, p.phrase) && !strings.Contains(t.joined, "not "+p.phrase) && !containsAny(t.joined, gaveUpPhrases) {
			return p.action
		}
	}
	if (subject == "delayed" || containsAny(t.joined, delayPhrases)) && !containsAny(t.joined, gaveUpPhrases) {
		return "delayed"
	}
	return "failed"
}

// recipient makes the verdict on one recipient. If nothing definite is said of
// it, what the report says at large counts.
func (t *textReport) recipient(e *textEntry, act string) BounceRecipient {
	text := strings.Join(e.lines, " ")
	switch {
	case !findCode(text):
		text = strings.TrimSpace(text + " " + strings.Join(t.common.lines, " "))
	case len(t.entries) == 1 && smtpCode(text) == 0 && enhancedCode(text) == "":
		// The reply of the other system may stand in a paragraph of its own.
		i := slices.IndexFunc(t.common.lines, func(l string) bool { return smtpCode(l) != 0 && enhancedCode(l) != "" })
		if i >= 0 {
			text += " " + strings.Join(t.common.lines[i:], " ")
		}
	}
	r := BounceRecipient{Address: e.addr, Action: act, Diagnostic: cutRunes(cleanLine(strings.Join(strings.Fields(text), " ")), maxDiagnostic)}
	r.judge("", "")
	return r
}

// returnedHeaders are the headers of the mail that came back: of nested mails,
// of header parts, and of what follows the divider in the text.
func (t *textReport) returnedHeaders(m *Mail) []Header {
	all := returnedHeaders(m)
	if h := t.quotedHeader(); len(h) > 0 {
		all = append(all, h)
	}
	return all
}

// quotedHeader reads the fields after the divider, which some systems indent.
func (t *textReport) quotedHeader() Header {
	lines := t.returned
	for len(lines) > 0 {
		if _, _, ok := splitField([]byte(strings.TrimSpace(lines[0]))); ok {
			break
		}
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return nil
	}
	indent := lines[0][:len(lines[0])-len(strings.TrimLeft(lines[0], " \t"))]
	var block []string
	for _, l := range lines {
		l = strings.TrimPrefix(l, indent)
		if strings.TrimSpace(l) == "" && hasField(block, "message-id:", "to:") {
			break
		}
		block = append(block, l)
	}
	return fieldsOf(strings.Join(block, "\n"))
}

func hasField(lines []string, names ...string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return hasAnyPrefix(strings.ToLower(l), names) })
}

func (t *textReport) hasReturned(m *Mail) bool { return len(t.returnedHeaders(m)) > 0 }

func (t *textReport) ids(m *Mail) []string { return idsOf(t.returnedHeaders(m)) }
