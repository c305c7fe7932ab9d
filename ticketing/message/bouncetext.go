package message

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of reading a report in prose.
const (
	maxReportText  = 256 << 10
	maxReportLines = 4000
	maxDiagLines   = 60
	maxDiagLine    = 1000
	maxDiagBytes   = 4000
)

// textReport is what the prose of a report says.
type textReport struct {
	entries  []*textEntry
	byAddr   map[string]*textEntry
	cur      *textEntry // takes the lines that follow
	common   textEntry  // lines that belong to no recipient
	session  transcript
	lines    []string // the report
	joined   string   // the same, lower case, blanks collapsed
	returned []string // lines of the returned mail
}

// textEntry is one recipient in the prose.
type textEntry struct {
	addr   string
	kind   int
	lines  []string
	bytes  int
	seen   int  // lines that were looked at for what happened
	closed bool // a blank line ended what is said of it
}

// Kinds of entries, by how surely they name a recipient that failed.
const (
	inSession  = iota // in a transcript of the SMTP session
	inSentence        // after a key, or in a sentence that says what failed
	inList            // at the start of a line
)

// readText reads the prose of a report: lines that name a recipient, and what
// follows each of them. It looks at each line once.
func readText(text string) *textReport {
	t := &textReport{byAddr: map[string]*textEntry{}}
	text = strings.ReplaceAll(cutRunes(text, maxReportText), "’", "'")
	lines := strings.SplitN(text, "\n", maxReportLines+1)
	lines = lines[:min(len(lines), maxReportLines)]
	some := false
	for i, l := range lines {
		if some && startsReturned(l) {
			t.returned = lines[i:]
			lines = lines[:i]
			break
		}
		some = some || strings.TrimSpace(l) != ""
	}
	t.lines = lines
	for _, l := range lines {
		t.line(l)
	}
	t.joined = strings.ToLower(strings.Join(strings.Fields(strings.Join(lines, "\n")), " "))
	return t
}

// startsReturned tells whether a line opens the returned mail.
func startsReturned(l string) bool {
	if strings.HasPrefix(l, "Received: ") || strings.HasPrefix(l, "Received:from ") || strings.HasPrefix(l, "Return-Path: ") || strings.HasPrefix(l, "Return-path: ") || strings.HasPrefix(l, "DKIM-Signature: ") || strings.HasPrefix(l, "X-Received: ") || strings.HasPrefix(l, "ARC-Seal: ") {
		return true
	}
	if len(l) > 160 {
		return false
	}
	s := strings.ToLower(strings.Trim(l, "-=*#_>+~| \t\r"))
	s = strings.TrimPrefix(s, "the ")
	if rest, ok := strings.CutPrefix(s, "original message"); ok {
		rest = strings.TrimSpace(rest)
		for _, end := range originalEnds {
			if rest == end {
				return true
			}
		}
	}
	return hasAnyPrefix(s, dividers)
}

func (t *textReport) line(l string) {
	s := strings.TrimSpace(l)
	if s == "" {
		if e := t.cur; e != nil && e.seen < len(e.lines) {
			if e.closed = definite(strings.Join(e.lines[e.seen:], " ")); e.closed {
				t.cur = nil
			}
			e.seen = len(e.lines)
		}
		return
	}
	if t.session.line(s) {
		if t.cur != nil {
			t.cur.add(s) // the session is what is said of this recipient
		}
		return
	}
	if addr, rest, ok := listedAddress(s); ok {
		t.begin(addr, rest, inList)
		return
	}
	if addr, rest, ok := sentenceAddress(s); ok && t.byAddr[strings.ToLower(addr)] == nil {
		t.begin(addr, rest, inSentence)
		return
	}
	if t.cur != nil {
		t.cur.add(s)
		return
	}
	t.common.add(s)
}

func (e *textEntry) add(s string) {
	if s = strings.TrimSpace(cutRunes(s, maxDiagLine)); s != "" && len(e.lines) < maxDiagLines && e.bytes < maxDiagBytes && !slices.Contains(e.lines, s) {
		e.lines = append(e.lines, s)
		e.bytes += len(s)
	}
}

// text is what is said of a recipient, as one bounded line.
func (e *textEntry) text() string {
	if e == nil {
		return ""
	}
	return cutRunes(cleanLine(strings.Join(strings.Fields(strings.Join(e.lines, " ")), " ")), maxDiagnostic)
}

// begin opens the entry of a recipient; one that was named already goes on.
func (t *textReport) begin(addr, rest string, kind int) {
	key := strings.ToLower(addr)
	e := t.byAddr[key]
	if e == nil {
		if len(t.entries) == maxBounceRecipients {
			return
		}
		e = &textEntry{addr: addr, kind: kind}
		t.byAddr[key] = e
		t.entries = append(t.entries, e)
	}
	e.kind = max(e.kind, kind)
	if said := strings.Join(e.lines, " "); e.closed && (smtpCode(said) != 0 || enhancedCode(said) != "") {
		t.cur = nil // a second list repeats the first
		return
	}
	e.closed = false
	t.cur = e
	e.add(rest)
}

// definite tells whether a text states what happened in words or codes that
// leave no doubt.
func definite(s string) bool {
	if smtpCode(s) != 0 || enhancedCode(s) != "" {
		return true
	}
	low := wordsOf(s)
	for _, c := range reasonWords {
		if !c.wide && c.within == "" && containsAny(low, c.words) {
			return true
		}
	}
	return false
}

// findCode tells whether a text states what happened.
func findCode(s string) bool {
	return smtpCode(s) != 0 || enhancedCode(s) != "" || reasonInWords(s) != ""
}

// listedAddress reads an address at the start of a line, after bullets, and what
// follows it: "<a@b>:", "a@b: text", "* a@b", `"a@b":`, "a@b [text]".
func listedAddress(s string) (addr, rest string, ok bool) {
	s = strings.TrimLeft(s, "*•·-–>|+ \t")
	if len(s) > 2 && digit(s[0]) && (s[1] == '.' || s[1] == ')') && s[2] == ' ' {
		s = strings.TrimLeft(s[2:], " ")
	}
	switch {
	case s == "":
		return "", "", false
	case s[0] == '<':
		addr, rest, ok = strings.Cut(s[1:], ">")
	case s[0] == '"' || s[0] == '\'':
		addr, rest, ok = strings.Cut(s[1:], s[:1])
	default:
		end := strings.IndexAny(s, " \t:;,()[]<>\"")
		if end < 0 {
			end = len(s)
		}
		addr, rest, ok = strings.TrimSuffix(s[:end], "..."), s[end:], true
	}
	addr = strings.TrimPrefix(strings.TrimSpace(addr), "mailto:")
	if !ok || !bareAddress(addr) {
		return "", "", false
	}
	rest = strings.TrimSpace(rest)
	if rest == "" || strings.IndexByte(":([,;<", rest[0]) >= 0 || strings.HasPrefix(rest, "...") || onDay(rest) || findCode(rest) || containsAny(strings.ToLower(rest), openers) {
		return addr, strings.TrimLeft(rest, ":,; \t"), true
	}
	return "", "", false
}

// onDay tells "on Thu, 29 Apr 2010 …" and "am 29.04.2010" from a sentence.
func onDay(s string) bool {
	s, ok := cutAny(s, "on ", "am ", "le ", "el ", "il ", "em ", "op ")
	return ok && len(s) > 3 && (digit(s[0]) || isWeekday(strings.ToLower(s[:3])))
}

// sentenceAddress finds the one address of a line that names a recipient by its
// words.
func sentenceAddress(s string) (addr, rest string, ok bool) {
	low := strings.ToLower(s)
	keyed := hasAnyPrefix(low, keyedLines)
	if !keyed && (!containsAny(low, openers) || strings.Contains(low, "contact")) {
		return "", "", false
	}
	from := strings.IndexByte(s, '@')
	if from < 0 || !keyed && strings.IndexByte(s[from+1:], '@') >= 0 && strings.Count(s, "@") > 2 {
		return "", "", false
	}
	start := strings.LastIndexFunc(s[:from], outsideAddress)
	_, width := utf8.DecodeRuneInString(s[max(start, 0):])
	if start++; start > 0 {
		start += width - 1
	}
	end := strings.IndexFunc(s[from:], outsideAddress)
	if end < 0 {
		end = len(s) - from
	}
	end += from
	addr = strings.TrimRight(s[start:end], ".!?。")
	if !bareAddress(addr) {
		return "", "", false
	}
	if rest = strings.TrimLeft(s[end:], ">)]\"'.:;, \t"); !keyed || rest == "" && reasonInWords(s) != "" {
		rest = s // the sentence itself says what happened
	}
	return addr, rest, true
}

// outsideAddress tells characters that end an address in a sentence, in Latin
// and in wide writing.
func outsideAddress(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("<>()[]\"';,:", r) || r >= 0x80 && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

// bareAddress tells whether s is an address and nothing else.
func bareAddress(s string) bool {
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 || len(s) > maxAddr {
		return false
	}
	if strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 && outsideAddress(r) }) >= 0 {
		return false
	}
	for i := 0; i < at; i++ {
		if c := s[i]; c <= ' ' || c == 0x7f || strings.IndexByte("<>()[],;:\\\"@", c) >= 0 {
			return false
		}
	}
	domain := s[at+1:]
	if strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") || strings.Contains(domain, "..") {
		return false
	}
	for i := 0; i < len(domain); i++ {
		if c := domain[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) || c == '-' || c == '.' || c == '_' || c >= 0x80) {
			return false
		}
	}
	return true
}
