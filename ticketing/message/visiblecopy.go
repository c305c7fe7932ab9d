package message

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Copies of held messages are found by shingles: runs of a few words that both
// texts have, whatever the quoting program did to line breaks, quote marks,
// punctuation and letter case.
const (
	shingle      = 4
	maxHeld      = 8
	maxHeldBytes = 64 << 10 // of each held text
	maxCopyWords = 1 << 18  // of the mail's text that are looked at
)

// copies is what is known of the held messages.
type copies struct {
	at    map[uint64]int // shingle to held message
	words []int          // of each held message
}

// newCopies returns nil if nothing is held.
func newCopies(held []string) *copies {
	var c *copies
	for i, text := range held {
		if i == maxHeld {
			break
		}
		var words []uint64
		eachWord(withoutLinks(cutRunes(text, maxHeldBytes)), func(h uint64) bool {
			words = append(words, h)
			return true
		})
		if len(words) < shingle {
			continue
		}
		if c == nil {
			c = &copies{at: map[uint64]int{}}
		}
		for j := 0; j+shingle <= len(words); j++ {
			c.at[shingleOf(words[j:])] = len(c.words)
		}
		c.words = append(c.words, len(words))
	}
	return c
}

func shingleOf(words []uint64) uint64 {
	var h uint64
	for _, w := range words[:shingle] {
		h = h*0x9e3779b97f4a7c15 + w
	}
	return h
}

// copyMark says how much of a line stands in a held message.
type copyMark struct {
	words, copied int32
	held          int32 // the message, if copied > 0
}

// whole reports whether a line is a copy, but for a word or two that a program
// may have changed. exact allows for none: without quote marks, a word that
// differs may be the author's correction.
func (m copyMark) whole() bool { return m.copied > 0 && m.copied*10 >= m.words*8 }
func (m copyMark) exact() bool { return m.copied > 0 && m.copied == m.words }

// find marks the lines of a text; nil if none is a copy.
func (c *copies) find(lines []string) []copyMark {
	if c == nil {
		return nil
	}
	marks := make([]copyMark, len(lines))
	var recent [shingle]uint64 // the newest words
	var where [shingle]int     // and their lines
	n, covered, some := 0, 0, false
	for i, l := range lines {
		eachWord(withoutLinks(l), func(h uint64) bool {
			copy(recent[:], recent[1:])
			copy(where[:], where[1:])
			recent[shingle-1], where[shingle-1] = h, i
			n++
			marks[i].words++
			if n < shingle {
				return true
			}
			held, ok := c.at[shingleOf(recent[:])]
			if !ok {
				return n < maxCopyWords
			}
			some = true
			for j := max(n-shingle, covered); j < n; j++ {
				m := &marks[where[j-n+shingle]]
				m.copied++
				m.held = int32(held)
			}
			covered = n
			return n < maxCopyWords
		})
		if n >= maxCopyWords {
			break
		}
	}
	if !some {
		return nil
	}
	return marks
}

// withoutLinks leaves out the addresses that stand behind linked words: one text
// has them, the other may not.
func withoutLinks(s string) string {
	i := strings.IndexByte(s, '<')
	if i < 0 {
		return s
	}
	var out strings.Builder
	for i >= 0 {
		end := strings.IndexAny(s[i:], ">\n")
		if end < 0 {
			break
		}
		out.WriteString(s[:i])
		if link := s[i : i+end]; !strings.Contains(link, "://") && !strings.Contains(link, "mailto:") {
			out.WriteString(link)
		}
		s = s[i+end:]
		i = strings.IndexByte(s, '<')
	}
	out.WriteString(s)
	return out.String()
}

// eachWord calls f with a hash of each word of a text until it returns false.
// Words are runs of letters and digits; in scripts without blanks each
// character is one.
func eachWord(s string, f func(hash uint64) bool) {
	const offset, prime = 14695981039346656037, 1099511628211
	h, in := uint64(offset), false
	for i := 0; i < len(s); {
		c := rune(s[i])
		size := 1
		letter, alone := false, false
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			letter = true
		case c >= 'A' && c <= 'Z':
			letter = true
			c += 'a' - 'A'
		case c >= utf8.RuneSelf:
			c, size = utf8.DecodeRuneInString(s[i:])
			if alone = ideograph(c); !alone {
				letter = unicode.IsLetter(c) || unicode.IsDigit(c)
				c = unicode.ToLower(c)
			}
		}
		i += size
		if letter {
			h, in = (h^uint64(c))*prime, true
			continue
		}
		if in {
			if !f(h) {
				return
			}
			h, in = offset, false
		}
		if alone && !f((offset^uint64(c))*prime) {
			return
		}
	}
	if in {
		f(h)
	}
}

func ideograph(r rune) bool {
	return r >= 0x3040 && r <= 0x30ff || r >= 0x3400 && r <= 0x9fff || r >= 0xac00 && r <= 0xd7a3 || r >= 0x20000 && r <= 0x3ffff || r >= 0xf900 && r <= 0xfaff || r >= 0x0e00 && r <= 0x0e7f
}

// answersBetween finds what the author wrote between the lines of the older mail
// in [from, to): lines that do not stand in the message we hold, above and below
// which there are lines that do.
func (s *splitter) answersBetween(from, to int) {
	if s.copied == nil {
		return
	}
	begin := from
	for i := from; i <= to; i++ {
		if i < to && (i == from || !s.beginsOlder(i)) {
			continue
		}
		s.answersIn(begin, i)
		begin = i
	}
}

// beginsOlder reports whether one more older mail begins at line i.
func (s *splitter) beginsOlder(i int) bool {
	trim := strings.TrimSpace(s.lines[i])
	if trim == "" || quoteMarked(trim) {
		return false
	}
	if separator(trim, lowLine(trim)) || s.headerBlock(i) {
		return true
	}
	k, _ := s.intro(i)
	return k > 0
}

// minCopied is how many words of a message make it sure that it is the one.
const minCopied = 8

func (s *splitter) answersIn(from, to int) {
	first, last, words := -1, -1, 0
	for i := from; i < to; i++ {
		if s.copied[i].whole() {
			if first < 0 {
				first = i
			}
			last = i
			words += int(s.copied[i].copied)
		}
	}
	if words < minCopied {
		return
	}
	for i := first + 1; i < last; i++ {
		m, trim := s.copied[i], strings.TrimSpace(s.lines[i])
		if s.kind[i] == historyLine && m.words > 0 && !m.exact() && !quoteMarked(trim) && !device(trim, lowLine(trim)) {
			s.kind[i] = ownLine
		}
	}
}

// shortCopies takes the lines of a quotation that are too short to be found for
// copies if the quoted line before or after is one.
func (s *splitter) shortCopies() {
	if s.copied == nil {
		return
	}
	near := func(i int, before lineKind) lineKind {
		switch {
		case s.kind[i] == heldLine:
			return heldLine
		case s.kind[i] != quoteLine:
			return before
		case before == heldLine && s.copied[i].words < shingle && quoteMarked(strings.TrimSpace(s.lines[i])):
			s.kind[i] = heldLine
			return heldLine
		}
		return quoteLine
	}
	kind := ownLine
	for i := range s.lines {
		kind = near(i, kind)
	}
	kind = ownLine
	for i := len(s.lines) - 1; i >= 0; i-- {
		kind = near(i, kind)
	}
}

// tailCopy finds a copy of a held message at the end of a text that has neither
// quote marks nor a header: it must be most of the message, or long. A line
// above it that ends in a colon and names a time or a person introduces it.
func (s *splitter) tailCopy() {
	if s.copied == nil {
		return
	}
	end := len(s.lines) - 1
	for end >= 0 && s.kind[end] != ownLine {
		end--
	}
	begin, all := end+1, 0
	by := map[int32]int{}
	for i := end; i >= 0; i-- {
		if s.kind[i] != ownLine {
			continue
		}
		m := s.copied[i]
		if !m.exact() && m.words > 0 {
			break
		}
		begin = i
		all += int(m.copied)
		by[m.held] += int(m.copied)
	}
	sure := all >= 5*minCopied
	for held, n := range by {
		sure = sure || n >= minCopied && 2*n >= s.heldWords[held]
	}
	if !sure {
		return
	}
	for i := begin; i <= end; i++ {
		if s.kind[i] == ownLine {
			s.kind[i] = quoteLine
		}
	}
	for i := begin - 1; i >= 0; i-- {
		if s.kind[i] == ownLine && looseIntro(strings.TrimSpace(s.lines[i])) {
			s.kind[i] = introLine
		}
		if s.kind[i] != blankLine {
			break
		}
	}
}
