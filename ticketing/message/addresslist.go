package message

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseAddressList reads a header value as the mail world writes it: groups,
// comments, encoded words around whole addresses, unquoted commas in names,
// raw 8-bit names, semicolons as separators, source routes. It returns at most
// max addresses and whether something had to be guessed or left out. The time
// taken is linear in the length of value whatever it holds.
//
// An address is never made from an encoded word next to a real address: what
// stands in a display name stays there.
func ParseAddressList(value string, max int) (list []Address, damaged bool) {
	p := addressParser{s: value, max: max, words: endFinder{s: value}}
	p.run()
	return p.list, p.damaged
}

type addressParser struct {
	s       string
	i       int
	max     int
	list    []Address
	damaged bool
	nested  bool // reading the inside of encoded words
	words   endFinder

	// Once an opening mark has no partner, later ones of its sort have none
	// either and are text: this keeps hostile input linear.
	noQuote, noComment, noLiteral bool

	raw     []byte // the current mailbox outside <> without comments, quotes kept
	at      bool   // raw has an @ outside quotes
	angle   string
	angled  bool
	comment string
	pending string // text before a comma that may belong to the next name
}

func (p *addressParser) run() {
	for p.i < len(p.s) {
		if len(p.list) >= p.max {
			if strings.TrimLeft(p.s[p.i:], " \t,;") != "" {
				p.damaged = true
			}
			return
		}
		p.step(p.s[p.i])
	}
	p.flush(0)
	if p.pending != "" {
		p.damaged = true
	}
}

// step takes the character at p.i and what belongs to it.
func (p *addressParser) step(c byte) {
	switch c {
	case '"':
		p.quote()
	case '(':
		p.skipComment()
	case '<':
		p.openAngle()
	case '>':
		p.damaged = true
		p.i++
	case ',', ';':
		p.flush(c)
		p.i++
	case ':':
		if !p.at && !p.angled && len(p.raw) > 0 {
			p.raw, p.comment, p.pending = p.raw[:0], "", "" // the name of a group
		} else {
			p.raw = append(p.raw, c)
		}
		p.i++
	case '@':
		p.at = true
		p.raw = append(p.raw, c)
		p.i++
		p.literal()
	case '=':
		p.word()
	default:
		p.raw = append(p.raw, c)
		p.i++
	}
}

func (p *addressParser) quote() {
	if !p.noQuote {
		if _, n, ok := quotedString(p.s[p.i:]); ok {
			p.raw = append(p.raw, p.s[p.i:p.i+n]...)
			p.i += n
			return
		}
		p.noQuote = true
	}
	p.damaged = true
	p.i++
}

// maxComment is how much of a comment is kept as a possible name.
const maxComment = 200

func (p *addressParser) skipComment() {
	if !p.noComment {
		depth := 0
		for j := p.i; j < len(p.s); j++ {
			switch p.s[j] {
			case '\\':
				j++
			case '(':
				depth++
			case ')':
				if depth--; depth > 0 {
					continue
				}
				if p.comment == "" {
					p.comment = p.s[p.i+1 : j]
				}
				if len(p.raw) > 0 && !p.at {
					p.raw = append(p.raw, ' ')
				}
				p.i = j + 1
				return
			}
		}
		p.noComment = true
	}
	p.damaged = true
	p.raw = append(p.raw, '(')
	p.i++
}

// word takes an encoded word whole: commas and the like inside it are no marks.
func (p *addressParser) word() {
	if strings.HasPrefix(p.s[p.i:], "=?") {
		if w, ok := p.words.word(p.i); ok && !strings.ContainsAny(w.text, " \t<>\"") {
			p.raw = append(p.raw, p.s[p.i:w.end]...)
			p.i = w.end
			return
		}
	}
	p.raw = append(p.raw, '=')
	p.i++
}

// literal takes a domain literal that follows an @.
func (p *addressParser) literal() {
	if p.noLiteral || p.i >= len(p.s) || p.s[p.i] != '[' {
		return
	}
	n := strings.IndexByte(p.s[p.i:], ']')
	if n < 0 {
		p.noLiteral = true
		return
	}
	p.raw = append(p.raw, p.s[p.i:p.i+n+1]...)
	p.i += n + 1
}

// openAngle reads <…>.
func (p *addressParser) openAngle() {
	start := p.i + 1
	j := start
	for quoted := false; j < len(p.s); j++ {
		c := p.s[j]
		if quoted && c == '\\' {
			j++
			continue
		}
		if c == '"' {
			quoted = !quoted
		}
		if !quoted && (c == '>' || c == '<') {
			break
		}
	}
	j = min(j, len(p.s))
	closed := j < len(p.s) && p.s[j] == '>'
	if !closed {
		p.damaged = true
		if j >= len(p.s) { // no mark is left: the next comma must be the end
			if n := strings.IndexAny(p.s[start:], ",;"); n >= 0 {
				j = start + n
			}
		} else if strings.TrimSpace(p.s[start:j]) == "" { // "<<"
			p.i = j
			return
		}
	}
	if p.angled {
		p.damaged = true
		p.flush('<')
	}
	p.angle, p.angled = p.s[start:j], true
	p.i = j
	if closed {
		p.i++
	}
}

// flush ends a mailbox. end is the separator that was met.
func (p *addressParser) flush(end byte) {
	raw := string(p.raw)
	switch {
	case p.angled:
		p.mailbox(raw)
	case p.at:
		p.bare(raw)
	case strings.TrimSpace(raw) != "":
		p.noAddress(raw, end)
		p.reset()
		return
	}
	p.pending = ""
	p.reset()
}

func (p *addressParser) reset() {
	p.raw, p.at, p.angle, p.angled, p.comment = p.raw[:0], false, "", false, ""
}

// mailbox adds "phrase <addr>".
func (p *addressParser) mailbox(phrase string) {
	addr, clean, ok := readAddr(p.angle)
	if !ok {
		if !p.at || !p.bare(phrase) {
			p.damaged = true
		}
		return
	}
	name := phraseText(phrase)
	if name == "" {
		name = phraseText(p.commentText())
	}
	if p.pending != "" {
		name = strings.TrimSuffix(phraseText(p.pending)+", "+name, ", ")
	}
	p.damaged = p.damaged || !clean
	p.add(name, addr)
}

func (p *addressParser) commentText() string { return cutRunes(p.comment, maxComment) }

func (p *addressParser) add(name, addr string) {
	if len(p.list) < p.max {
		p.list = append(p.list, Address{Name: name, Addr: addr})
	} else {
		p.damaged = true
	}
}

// bare adds the addresses of a text without angle brackets. Words beside a
// single address are its name.
func (p *addressParser) bare(raw string) bool {
	var addrs, words []string
	for _, tok := range joinDots(raw) {
		if !tok.at {
			words = append(words, tok.text)
			continue
		}
		addr, clean, ok := readAddr(tok.text)
		if !ok {
			p.damaged = true
			continue
		}
		p.damaged = p.damaged || !clean
		addrs = append(addrs, addr)
	}
	if p.pending != "" || len(words) > 0 || len(addrs) != 1 {
		p.damaged = true
	}
	name := phraseText(p.commentText())
	if len(words) > 0 {
		name = phraseText(strings.Join(words, " "))
	}
	if len(addrs) > 1 {
		name = ""
	}
	for _, a := range addrs {
		p.add(name, a)
	}
	return len(addrs) > 0
}

// noAddress takes text that holds no address: perhaps encoded words hold one,
// perhaps it is the first half of an unquoted "Doe, John".
func (p *addressParser) noAddress(raw string, end byte) {
	p.damaged = true
	if !p.nested && strings.Contains(raw, "=?") {
		if text := DecodeWords(raw); strings.Contains(text, "@") {
			in := addressParser{s: text, max: p.max - len(p.list), nested: true, words: endFinder{s: text}}
			in.run()
			p.list = append(p.list, in.list...)
			p.pending = ""
			return
		}
	}
	if end == ',' && len(p.pending)+len(raw) < 1000 {
		if p.pending != "" {
			raw = p.pending + ", " + raw
		}
		p.pending = strings.TrimSpace(raw)
	}
}

type addrToken struct {
	text string
	at   bool // has an @ outside quotes
}

// joinDots splits at blanks outside quotes, but not around @ and not at blanks
// beside the dots of a domain ("jdoe@test . example").
func joinDots(raw string) []addrToken {
	var toks []addrToken
	var cur []byte
	at, noQuote := false, false
	flush := func() {
		if len(cur) > 0 {
			toks = append(toks, addrToken{string(cur), at})
		}
		cur, at = cur[:0], false
	}
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"' && !noQuote:
			_, n, ok := quotedString(raw[i:])
			if !ok {
				n, noQuote = 1, true
			}
			cur = append(cur, raw[i:i+n]...)
			i += n
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\r' || raw[i] == '\n') {
				i++
			}
			glue := i < len(raw) && (raw[i] == '@' && !at || raw[i] == '.' && at)
			if n := len(cur); n > 0 && at && (cur[n-1] == '@' || cur[n-1] == '.') {
				glue = true
			}
			if !glue {
				flush()
			}
		default:
			at = at || c == '@'
			cur = append(cur, c)
			i++
		}
	}
	flush()
	return toks
}

// maxAddr is what a mailbox may have in octets; more than RFC 5321 grants,
// because bounce addresses of large senders do.
const maxAddr = 320

// readAddr reads an addr-spec or what people put where one belongs. clean is
// false if it had to be mended.
func readAddr(s string) (addr string, clean, ok bool) {
	if len(s) > 64<<10 {
		return "", false, false
	}
	clean = true
	if strings.Contains(s, "(") {
		s = dropComments(s)
	}
	s = strings.TrimSpace(s)
	if len(s) > 7 && strings.EqualFold(s[:7], "mailto:") {
		s, _, _ = strings.Cut(s[7:], "?")
		clean = false
	}
	if strings.HasPrefix(s, "@") {
		if _, rest, found := strings.Cut(s, ":"); found {
			s = rest
		}
	}
	if toks := joinDots(s); len(toks) == 1 {
		s = toks[0].text
	} else {
		clean = false
	}
	if len(s) > 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		s, clean = s[1:len(s)-1], false
	}
	var local, domain string
	if strings.HasPrefix(s, `"`) {
		in, n, found := quotedString(s)
		if !found || n >= len(s) || s[n] != '@' {
			return "", false, false
		}
		local, domain = in, s[n+1:]
	} else {
		at := strings.LastIndexByte(s, '@')
		if at < 1 || strings.IndexByte(s[:at], '@') >= 0 {
			return "", false, false
		}
		local, domain = s[:at], s[at+1:]
	}
	if !utf8.ValidString(s) {
		local, domain, clean = rawText(local), rawText(domain), false
	}
	if rest, cut := strings.CutSuffix(domain, "."); cut {
		domain, clean = rest, false
	}
	if local == "" || !lineSafe(local) || !plausibleDomain(domain) {
		return "", false, false
	}
	addr = quoteLocal(local) + "@" + domain
	return addr, clean, len(addr) <= maxAddr
}

func lineSafe(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) || isBidiControl(r) || r == utf8.RuneError || r == 0x2028 || r == 0x2029 {
			return false
		}
	}
	return true
}

// plausibleDomain is laxer than what we would send to, but refuses everything
// that could be more than a domain.
func plausibleDomain(d string) bool {
	if d == "" || len(d) > maxAddr {
		return false
	}
	if d[0] == '[' {
		return checkLiteral(d) == nil
	}
	for _, label := range strings.Split(d, ".") {
		if label == "" {
			return false
		}
	}
	for _, r := range d {
		if r < utf8.RuneSelf && !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.') {
			return false
		}
		if unicode.IsSpace(r) {
			return false
		}
	}
	return lineSafe(d)
}

// maxName is what of a display name is kept, in octets.
const maxName = 1000

// phraseText turns a raw phrase into a display name: quotes undone, encoded
// words decoded, blanks collapsed.
func phraseText(raw string) string {
	if len(raw) > 8*maxName {
		raw = raw[:8*maxName]
	}
	var out []byte
	noQuote := false
	for i := 0; i < len(raw); {
		if raw[i] == '"' && !noQuote {
			if in, n, ok := quotedString(raw[i:]); ok {
				out = append(out, in...)
				i += n
				continue
			}
			noQuote = true
		}
		if raw[i] == '\\' && i+1 < len(raw) && (raw[i+1] == '"' || raw[i+1] == '\\' || raw[i+1] == '(' || raw[i+1] == ')') {
			i++
		}
		out = append(out, raw[i])
		i++
	}
	name := strings.Join(strings.Fields(DecodeWords(string(out))), " ")
	if n := len(name); n > 1 && (name[0] == '\'' && name[n-1] == '\'' || name[0] == '"' && name[n-1] == '"') {
		name = strings.TrimSpace(name[1 : n-1])
	}
	return cutRunes(name, maxName)
}
