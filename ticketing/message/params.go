package message

import (
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parseParams reads a structured value such as Content-Type: the part before
// the first semicolon without comments, in lower case, and the parameters with
// names in lower case, RFC 2231 continuations and charsets undone, encoded
// words decoded. Of a parameter that is given twice the RFC 2231 form wins,
// else the first. Missing semicolons, missing quotes around blanks and stray
// quotes are forgiven.
func parseParams(v string) (main string, params map[string]string) {
	p := paramReader{s: v}
	main = p.main()
	var names []string
	pieces := map[string][]paramPiece{}
	for n := 0; n < maxParams; n++ {
		name, val, ok := p.next()
		if !ok {
			break
		}
		base, piece := splitParamName(name)
		piece.value = val
		if base == "" {
			continue
		}
		if pieces[base] == nil {
			names = append(names, base)
		}
		pieces[base] = append(pieces[base], piece)
	}
	if len(names) == 0 {
		return main, nil
	}
	params = make(map[string]string, len(names))
	for _, n := range names {
		params[n] = joinPieces(pieces[n])
	}
	return main, params
}

// maxParams is far above anything honest and keeps hostile headers cheap.
const maxParams = 500

type paramReader struct {
	s string
	i int
	// A parenthesis without a partner means that later ones are text too; this
	// keeps hostile values linear.
	noComment bool
}

// main reads up to the first semicolon, or to the blank before "name=".
func (p *paramReader) main() string {
	end := len(p.s)
	var out []byte
	for p.i < end {
		c := p.s[p.i]
		switch {
		case c == ';':
			return strings.ToLower(string(out))
		case c == '(':
			p.comment()
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			if len(out) > 0 && startsParam(p.s[p.i+1:]) {
				return strings.ToLower(string(out))
			}
		default:
			out = append(out, c)
		}
		p.i++
	}
	return strings.ToLower(string(out))
}

// maxParamComment is how far the end of a comment is looked for.
const maxParamComment = 4096

// comment skips the comment that begins at the current place, or only its
// parenthesis if it has no end.
func (p *paramReader) comment() {
	s, depth := p.s, 0
	for j := p.i; j < len(s) && j < p.i+maxParamComment && !p.noComment; j++ {
		switch s[j] {
		case '\\':
			j++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				p.i = j + 1
				return
			}
		}
	}
	p.noComment = true
	p.i++
}

// startsParam reports whether s begins with a parameter: a short name and "=".
func startsParam(s string) bool {
	s = strings.TrimLeft(s[:min(len(s), 80)], " \t\r\n")
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '=' {
			return i > 1
		}
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '*' || c == '_') {
			return false
		}
	}
	return false
}

func (p *paramReader) next() (name, val string, ok bool) {
	s := p.s
	for {
		for p.i < len(s) && strings.IndexByte("; \t\r\n", s[p.i]) >= 0 {
			p.i++
		}
		if p.i >= len(s) {
			return "", "", false
		}
		if s[p.i] == '(' {
			p.comment()
			continue
		}
		start := p.i
		for p.i < len(s) && s[p.i] != '=' && s[p.i] != ';' {
			p.i++
		}
		name = strings.ToLower(strings.TrimSpace(s[start:p.i]))
		if p.i < len(s) && s[p.i] == '=' {
			p.i++
			return strings.ReplaceAll(name, " ", ""), p.value(name), true
		}
		// A word without a value says nothing.
	}
}

func (p *paramReader) value(name string) string {
	s := p.s
	for p.i < len(s) && (s[p.i] == ' ' || s[p.i] == '\t' || s[p.i] == '\r' || s[p.i] == '\n') {
		p.i++
	}
	if p.i < len(s) && s[p.i] == '"' {
		return p.quoted()
	}
	file := strings.HasPrefix(name, "name") || strings.HasPrefix(name, "filename")
	start := p.i
	for p.i < len(s) && s[p.i] != ';' {
		c := s[p.i]
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') && startsParam(s[p.i+1:]) || c == '(' && !file && p.i > start {
			break
		}
		p.i++
	}
	return strings.TrimRight(strings.TrimSpace(s[start:p.i]), "\"")
}

// quoted reads a quoted string. A backslash that quotes nothing special stays:
// it is part of a Windows path.
func (p *paramReader) quoted() string {
	s := p.s
	p.i++
	var out []byte
	for p.i < len(s) {
		c := s[p.i]
		p.i++
		switch {
		case c == '"':
			return string(out)
		case c == '\\' && p.i < len(s) && (s[p.i] == '"' || s[p.i] == '\\' || s[p.i] == '\''):
			out = append(out, s[p.i])
			p.i++
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

type paramPiece struct {
	index   int // -1: not a continuation
	encoded bool
	value   string
}

// splitParamName takes name*3* apart.
func splitParamName(name string) (string, paramPiece) {
	base, rest, star := strings.Cut(name, "*")
	if !star {
		return base, paramPiece{index: -1}
	}
	piece := paramPiece{index: -1}
	if strings.HasSuffix(rest, "*") || rest == "" {
		piece.encoded = true
		rest = strings.TrimRight(rest, "*")
	}
	if rest != "" {
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 || n > 9999 {
			n = 9999
		}
		piece.index = n
	}
	return base, piece
}

func joinPieces(all []paramPiece) string {
	var plain, whole *paramPiece
	var parts []paramPiece
	for i := range all {
		switch pc := &all[i]; {
		case pc.index >= 0:
			parts = append(parts, *pc)
		case pc.encoded && whole == nil:
			whole = pc
		case !pc.encoded && plain == nil:
			plain = pc
		}
	}
	switch {
	case whole != nil:
		charset, text := splitExtended(whole.value)
		return cleanLine(toUTF8(percentDecode(text), charset))
	case len(parts) > 0:
		sort.SliceStable(parts, func(i, j int) bool { return parts[i].index < parts[j].index })
		parts = slices.CompactFunc(parts, func(a, b paramPiece) bool { return a.index == b.index }) // of a piece given twice the first
		var b []byte
		charset, ext := "", false
		for i, pc := range parts {
			if !pc.encoded {
				b = append(b, pc.value...)
				continue
			}
			text := pc.value
			if i == 0 {
				charset, text = splitExtended(text)
			} else if c, t, ok := strings.Cut(text, "'"); ok && c != "" && strings.EqualFold(c, charset) {
				text = strings.TrimPrefix(t, "'") // some senders repeat the charset in every piece
			}
			ext = true
			b = append(b, percentDecode(text)...)
		}
		if ext {
			return cleanLine(toUTF8(b, charset))
		}
		return DecodeWords(string(b))
	case plain != nil:
		return DecodeWords(plain.value)
	}
	return ""
}

// splitExtended takes charset'language'text apart.
func splitExtended(v string) (charset, text string) {
	c, rest, ok := strings.Cut(v, "'")
	if !ok || len(c) > maxCharsetName {
		return "", v
	}
	_, t, ok := strings.Cut(rest, "'")
	if !ok {
		return c, rest
	}
	return c, t
}

func percentDecode(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0 {
			out = append(out, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
			continue
		}
		out = append(out, s[i])
	}
	return out
}

// maxFilename is what common file systems take.
const maxFilename = 255

// safeFilename keeps the last element of a path and makes it harmless to store,
// show and send: no control or direction characters, no leading or trailing
// dots, nothing that a file system reads as more than a name.
func safeFilename(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '\\':
			return '/'
		case unicode.IsControl(r) || isBidiControl(r) || invisible(r) || r == utf8.RuneError:
			return -1
		case strings.ContainsRune(`<>:"|?*`, r):
			return '_'
		}
		return r
	}, name)
	name = strings.TrimRight(name, "/ ")
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Trim(name, ". ")
	stem, _, _ := strings.Cut(name, ".")
	if reservedNames[strings.ToLower(strings.TrimRight(stem, " "))] {
		name = "_" + name
	}
	if len(name) > maxFilename {
		ext := path.Ext(name)
		if len(ext) > 32 {
			ext = ""
		}
		name = strings.TrimRight(cutRunes(name, maxFilename-len(ext)), ". ") + ext
	}
	return name
}

// invisible characters change what a name looks like and not what it is.
func invisible(r rune) bool {
	switch r {
	case 0x00AD, 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF:
		return true
	}
	return false
}

// reservedNames are devices on Windows whatever their extension.
var reservedNames = map[string]bool{
	"con": true, "prn": true, "aux": true, "nul": true, "conin$": true, "conout$": true, "clock$": true,
	"com¹": true, "com²": true, "com³": true, "lpt¹": true, "lpt²": true, "lpt³": true,
	"com1": true, "com2": true, "com3": true, "com4": true, "com5": true, "com6": true, "com7": true, "com8": true, "com9": true,
	"lpt1": true, "lpt2": true, "lpt3": true, "lpt4": true, "lpt5": true, "lpt6": true, "lpt7": true, "lpt8": true, "lpt9": true,
}

// cutRunes returns the longest prefix of at most n bytes that ends between
// characters.
func cutRunes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
