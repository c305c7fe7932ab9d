package message

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Reply is a mail's text in two: what its author newly wrote, and the rest.
type Reply struct {
	Text    string // the whole, as Mail.Text has it
	Visible string
	Quoted  string
}

// Reply splits the mail's text as VisibleText does. held are texts of earlier
// messages that the mail may quote, in any order. Of a mail that has HTML alone
// the structure of the page counts too. If the text shows no quotation but the
// HTML beside it does, the HTML is what is split.
func (m *Mail) Reply(held ...string) Reply {
	r := Reply{Text: m.Text()}
	b := m.choose()
	plain := false
	for _, p := range b.text {
		plain = plain || p.Type != "text/html"
	}
	parts := b.text
	if len(parts) == 0 {
		parts = b.html
	}
	if !plain && len(parts) == 1 && parts[0].Type == "text/html" {
		if text, marks := htmlText(m.partText(parts[0], m.limits().Text)); text == r.Text {
			r.Visible, r.Quoted = split(text, marks, held)
			return r
		}
	}
	r.Visible, r.Quoted = split(r.Text, nil, held)
	if plain && r.Quoted == "" {
		if html := m.HTML(); html != "" {
			if visible, quoted := VisibleHTML(html, held...); quoted != "" && sameStart(visible, r.Visible) {
				r.Visible, r.Quoted = visible, quoted
			}
		}
	}
	return r
}

// sameStart reports whether two texts begin with the same words: whether one is
// the beginning of what the other tells.
func sameStart(a, b string) bool {
	firstWords := func(s string) (words []uint64) {
		eachWord(s, func(h uint64) bool {
			words = append(words, h)
			return len(words) < 2*shingle
		})
		return words
	}
	wa, wb := firstWords(a), firstWords(b)
	n := min(len(wa), len(wb))
	return n > 0 && slices.Equal(wa[:n], wb[:n])
}

// VisibleText splits a text into what the author newly wrote and the rest: the
// quoted history, signatures after "-- ", lines such as "Sent from my phone",
// legal footers, our own body markers. In this order it goes by
//
//	our own marker: what stands above it in a quotation is a mail of ours
//	held: copies of messages we have, with or without quote marks
//	introductions, separators and headers of older mails, in any language
//
// Quotes that the author answered in between stay visible, because the answers
// mean nothing without them; but copies of held messages with quote marks fold,
// and answers between the lines of an older mail come out of it. A text that
// would be empty stays visible whole. Nothing is lost: every line is in one of
// the two. The time taken is linear in the length.
func VisibleText(text string, held ...string) (visible, quoted string) {
	return split(text, nil, held)
}

// VisibleHTML is VisibleText of HTMLToText of a page, and goes also by the
// structures that mail programs make: elements and classes of quotations, their
// introductions, signatures.
func VisibleHTML(html string, held ...string) (visible, quoted string) {
	text, marks := htmlText(html)
	return split(text, marks, held)
}

func split(text string, marks []lineMark, held []string) (visible, quoted string) {
	s := newSplitter(text, marks, held)
	s.classify()
	s.foldTail()
	return s.halves(text)
}

func newSplitter(text string, marks []lineMark, held []string) *splitter {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	s := &splitter{lines: strings.Split(text, "\n"), marks: marks}
	if len(marks) != len(s.lines) {
		s.marks = nil
	}
	if c := newCopies(held); c != nil {
		s.copied, s.heldWords = c.find(s.lines), c.words
	}
	s.findMarkers(text)
	return s
}

func (s *splitter) halves(text string) (visible, quoted string) {
	var vis, quo []string
	some := false
	for i, l := range s.lines {
		if s.folded[i] {
			quo = append(quo, l)
			continue
		}
		some = some || s.kind[i] == ownLine
		vis = append(vis, l)
	}
	if !some {
		return text, ""
	}
	return trimLines(vis), trimLines(quo)
}

// trimLines joins lines without the blank ones at both ends.
func trimLines(lines []string) string {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}

type lineKind uint8

const (
	ownLine lineKind = iota
	blankLine
	quoteLine   // begins with >, or stands in a quotation
	heldLine    // a copy of a message we have, marked as a quotation
	introLine   // "On … wrote:" above quoted lines
	sigLine     // "-- " and what follows it
	deviceLine  // "Sent from my iPhone"
	ruleLine    // a line of dashes or underscores
	footerLine  // legal text
	markerLine  // our body marker
	historyLine // of an older mail
)

type splitter struct {
	lines  []string
	marks  []lineMark // nil: a text without structure
	marker []bool     // lines of body markers; nil: there is none
	last   int        // the last of them, -1 if none
	kind   []lineKind
	folded []bool

	looks     int        // lines looked at out of turn: what makes the time grow
	copied    []copyMark // nil: nothing of a held message is here
	heldWords []int      // of each held message
}

func (s *splitter) mark(i int) lineMark {
	if s.marks == nil {
		return 0
	}
	return s.marks[i]
}

// findMarkers finds the lines that are body markers, wrapped ones too. text is
// that of the lines.
func (s *splitter) findMarkers(text string) {
	s.last = -1
	spans := markerSpans(text)
	if len(spans) == 0 {
		return
	}
	at := 0
	for i, l := range s.lines {
		end := at + len(l)
		for len(spans) > 0 && spans[0][1] <= at {
			spans = spans[1:]
		}
		if len(spans) > 0 && spans[0][0] < end {
			from, to := max(spans[0][0], at)-at, min(spans[0][1], end)-at
			if strings.Trim(l[:from]+l[to:], markerJunk+"[]()") == "" {
				if s.marker == nil {
					s.marker = make([]bool, len(s.lines))
				}
				s.marker[i], s.last = true, i
			}
		}
		at = end + 1
	}
}

// classify tells the lines apart from the top.
func (s *splitter) classify() {
	n := len(s.lines)
	s.kind, s.folded = make([]lineKind, n), make([]bool, n)
	own, sig := false, false
	for i := 0; i < n; i++ {
		trim := strings.TrimSpace(s.lines[i])
		low := lowLine(trim)
		mark := s.mark(i)
		switch {
		case s.marker != nil && s.marker[i]:
			s.kind[i], sig = markerLine, false
			continue
		case trim == "":
			s.kind[i] = blankLine
			continue
		case quoteMarked(trim):
			s.kind[i], sig = quoteLine, false
			if s.copied != nil && (s.copied[i].whole() || s.copied[i].words == 0 && i > 0 && s.kind[i-1] == heldLine) {
				s.kind[i] = heldLine
			}
			if mark&markWeak != 0 && !s.introduced(i) && s.kind[i] != heldLine {
				s.kind[i], own = ownLine, true
			}
			continue
		case s.wrapped(i):
			s.kind[i] = quoteLine
			continue
		case mark&markHistory != 0 || replyMarker(trim, low) || separator(trim, low) || s.headerBlock(i):
			i = s.history(i) - 1
			continue
		case mark&markQuoted != 0:
			s.kind[i], sig = quoteLine, false
			continue
		case mark&markIntro != 0:
			s.kind[i], sig = introLine, false
			continue
		case mark&markSig != 0 && own:
			s.kind[i] = sigLine
			continue
		}
		if k, sure := s.intro(i); k > 0 && !s.quoteFollows(i+k) && (sure || s.copyFollows(i+k)) || s.aboveOurs(i, trim) {
			i = s.history(i) - 1
			continue
		} else if k > 0 && s.quoteFollows(i+k) {
			for j := i; j < i+k; j++ {
				s.kind[j] = introLine
			}
			i, sig = i+k-1, false
			continue
		}
		switch {
		case (own || s.last >= 0 && s.last < i) && (trim == "--" || s.lines[i] == "-- " || s.listFooter(i, trim)):
			sig = true
			s.kind[i] = sigLine
		case sig:
			s.kind[i] = sigLine
		case rule(trim):
			s.kind[i] = ruleLine
		case device(trim, low):
			s.kind[i] = deviceLine
		default:
			own = true
		}
	}
	s.shortCopies()
	s.longSignatures()
	s.tailCopy()
	s.legalFooter()
}

// aboveOurs reports whether line i introduces, in no language we know, what is
// known to be a mail of ours.
func (s *splitter) aboveOurs(i int, trim string) bool {
	if s.last > i && looseIntro(trim) {
		return true
	}
	if s.last < i && s.copied == nil {
		return false
	}
	k := s.labels(i)
	return k > 0 && (s.last > i+k || s.copyFollows(i+k))
}

// quoteMarked reports whether a trimmed line begins as quoted ones do.
func quoteMarked(trim string) bool { return trim[0] == '>' }

// introduced reports whether the quotation that line i belongs to has an
// introduction.
func (s *splitter) introduced(i int) bool {
	for i--; i >= 0 && s.kind[i] == blankLine; i-- {
		s.looks++
	}
	return i >= 0 && (s.kind[i] == introLine || s.kind[i] == quoteLine || s.kind[i] == heldLine)
}

// wrapped reports whether line i is the end of the quoted line above, which a
// program has broken without a new mark: the line above has no room for its
// first word, does not end a sentence, and this one does not begin one.
func (s *splitter) wrapped(i int) bool {
	const narrowest, widest = 72, 80
	if i == 0 || s.marks != nil || s.kind[i-1] != quoteLine && s.kind[i-1] != heldLine {
		return false
	}
	above, l := strings.TrimRight(s.lines[i-1], " "), s.lines[i]
	first, _, _ := strings.Cut(l, " ")
	n := utf8.RuneCountInString(above)
	return l[0] >= 'a' && l[0] <= 'z' && !strings.ContainsAny(above[len(above)-1:], ".?!:;>") && n <= widest && n+1+utf8.RuneCountInString(first) > narrowest && n > narrowest-20
}

// history marks the older mail that begins at line i, and returns where it
// ends: at the end of the text, or behind our own marker if what is quoted is a
// mail of ours. Answers that stand between the lines of a message we hold stay
// the author's own.
func (s *splitter) history(i int) int {
	end := len(s.lines)
	if s.last >= i {
		end = s.last + 1
	}
	for j := i; j < end; j++ {
		s.looks++
		s.kind[j] = historyLine
		if s.marker != nil && s.marker[j] {
			s.kind[j] = markerLine
		}
	}
	s.answersBetween(i, end)
	return end
}

// foldTail folds what stands below the author's last own line, and signatures,
// copies and markers wherever they are.
func (s *splitter) foldTail() {
	i := len(s.lines) - 1
	for ; i >= 0 && s.kind[i] != ownLine; i-- {
		s.folded[i] = true
	}
	end := i
	below := ownLine // the next kind that is no blank and no introduction
	for ; i >= 0; i-- {
		switch s.kind[i] {
		case sigLine, heldLine, markerLine, historyLine, footerLine:
			s.folded[i] = true
		case introLine:
			s.folded[i] = below == heldLine
		}
		if s.kind[i] != introLine && s.kind[i] != blankLine {
			below = s.kind[i]
		}
	}
	s.foldHead(end)
}

// foldHead folds a quote that stands above everything the author wrote, unless
// other quotes follow: then it is the first of several that are answered in
// turn.
func (s *splitter) foldHead(end int) {
	head := 0
	for head <= end && (s.kind[head] == quoteLine || s.kind[head] == introLine || s.kind[head] == blankLine || s.folded[head]) {
		head++
	}
	for i := head; i <= end; i++ {
		if s.kind[i] == quoteLine {
			return
		}
	}
	for i := 0; i < head && head <= end; i++ {
		s.folded[i] = true
	}
}

// copyFollows reports whether the next line with text is a copy of a message we
// hold.
func (s *splitter) copyFollows(i int) bool {
	for ; s.copied != nil && i < len(s.lines); i++ {
		s.looks++
		if s.copied[i].words > 0 {
			return s.copied[i].whole()
		}
	}
	return false
}

// quoteFollows reports whether the next line with text is a quoted one.
func (s *splitter) quoteFollows(i int) bool {
	for ; i < len(s.lines); i++ {
		s.looks++
		if trim := strings.TrimSpace(s.lines[i]); trim != "" {
			return quoteMarked(trim) || s.mark(i)&markQuoted != 0
		}
	}
	return false
}
