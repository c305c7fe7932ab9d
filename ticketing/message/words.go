package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// DecodeWords decodes RFC 2047 encoded words in a raw value, tolerantly: words
// inside quotes or glued to other text, characters split across words, unknown
// charsets, damaged base64 and quoted-printable all give what can be read. Raw
// 8-bit text is guessed. The result is valid UTF-8 in NFC without control
// characters. The time taken is linear in the length.
func DecodeWords(value string) string {
	return cleanLine(decodeWords(value))
}

func decodeWords(value string) string {
	if !strings.Contains(value, "=?") {
		return rawText(value)
	}
	var out strings.Builder
	var run []byte   // decoded bytes of adjacent words of one charset
	var runCS string // their charset
	flush := func() {
		if run != nil {
			out.WriteString(toUTF8(run, runCS))
			run = nil
		}
	}
	ends := endFinder{s: value}
	for plain := 0; plain < len(value); {
		i := strings.Index(value[plain:], "=?")
		if i < 0 {
			flush()
			out.WriteString(rawText(value[plain:]))
			break
		}
		i += plain
		w, ok := ends.word(i)
		if !ok {
			flush()
			out.WriteString(rawText(value[plain : i+2]))
			plain = i + 2
			continue
		}
		if between := value[plain:i]; run == nil || strings.Trim(between, " \t\r\n") != "" {
			flush()
			out.WriteString(rawText(between))
		}
		// A character may be split over two words of one charset (RFC 2047
		// forbids it, senders do it), so such words are joined as bytes.
		if run != nil && !strings.EqualFold(runCS, w.charset) {
			flush()
		}
		runCS = w.charset
		if run == nil {
			run = make([]byte, 0, len(w.text))
		}
		if w.enc == 'b' {
			run = appendBase64(run, w.text)
		} else {
			run = appendQ(run, w.text)
		}
		plain = w.end
		if plain >= len(value) {
			flush()
		}
	}
	flush()
	return out.String()
}

type encodedWord struct {
	charset, text string
	enc           byte // 'b' or 'q'
	end           int
}

// endFinder looks for encoded words and remembers where the next "?=" is, so
// that many unfinished words cost one search together.
type endFinder struct {
	s    string
	next int // index of a "?=" at or after every place asked for so far; -1 = none left
}

const maxCharsetName = 64

func (f *endFinder) word(i int) (encodedWord, bool) {
	s := f.s
	head := s[i+2 : min(len(s), i+2+maxCharsetName)]
	q := strings.IndexByte(head, '?')
	if q < 1 || strings.ContainsAny(head[:q], " \t\"(),") {
		return encodedWord{}, false
	}
	text := i + 2 + q + 3
	if text > len(s) || s[text-1] != '?' {
		return encodedWord{}, false
	}
	enc := s[text-2] | 0x20
	if enc != 'b' && enc != 'q' {
		return encodedWord{}, false
	}
	if f.next >= 0 && f.next < text {
		if at := strings.Index(s[text:], "?="); at >= 0 {
			f.next = text + at
		} else {
			f.next = -1
		}
	}
	if f.next < 0 {
		return encodedWord{}, false
	}
	w := encodedWord{charset: head[:q], enc: enc, text: s[text:f.next], end: f.next + 2}
	if strings.Contains(w.text, "=?") && strings.ContainsAny(w.text, " \t") {
		return encodedWord{}, false // the word was never finished; another begins inside it
	}
	return w, true
}

// appendBase64 decodes leniently: what is not in the alphabet is passed over,
// padding may be missing or stand in the middle.
func appendBase64(dst []byte, s string) []byte {
	var acc uint32
	n := 0
	end := func() {
		switch n {
		case 2:
			dst = append(dst, byte(acc>>4))
		case 3:
			dst = append(dst, byte(acc>>10), byte(acc>>2))
		}
		acc, n = 0, 0
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '=' {
			end()
			continue
		}
		v := base64Value[s[i]]
		if v < 0 {
			continue
		}
		acc = acc<<6 | uint32(v)
		if n++; n == 4 {
			dst = append(dst, byte(acc>>16), byte(acc>>8), byte(acc))
			acc, n = 0, 0
		}
	}
	end()
	return dst
}

var base64Value = func() (t [256]int8) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = -1
	}
	for i := 0; i < len(alphabet); i++ {
		t[alphabet[i]] = int8(i)
	}
	t['-'], t['_'] = 62, 63 // the URL alphabet
	return t
}()

// appendQ decodes the Q encoding. A literal blank is not legal in it; next to
// an encoded blank it is what is left of a fold and adds nothing.
func appendQ(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			dst = append(dst, ' ')
		case c == ' ' || c == '\t':
			if i+1 < len(s) && s[i+1] == '_' {
				continue
			}
			dst = append(dst, ' ')
		case c == '=' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			dst = append(dst, byte(unhex(s[i+1])<<4|unhex(s[i+2])))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

func rawText(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 || s[i] == 0x1b {
			return guessUTF8([]byte(s), false)
		}
	}
	return s
}

// cleanLine makes one line of safe text: line breaks and tabs become blanks,
// other control and invisible direction characters go, NFC.
func cleanLine(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return strings.Trim(s, " ")
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '\v' || r == '\f' || r == 0x85 || r == 0x2028 || r == 0x2029:
			return ' '
		case unicode.IsControl(r) || isBidiControl(r) || r == 0xFEFF:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Trim(norm.NFC.String(s), " ")
}

// isBidiControl: these turn displayed text around ("gpj.exe" reads "exe.jpg").
func isBidiControl(r rune) bool {
	return r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

// cleanText makes text of several lines safe: LF line ends, no control
// characters but LF and tab.
func cleanText(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	if !suspicious(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r' || r == '\v' || r == '\f' || r == 0x85 || r == 0x2028 || r == 0x2029:
			return '\n'
		case unicode.IsControl(r) || isBidiControl(r) || r == 0xFEFF:
			return -1
		}
		return r
	}, s)
}

// suspicious reports whether a text may have something that cleanText removes.
// Most texts have nothing, and looking is cheaper than rewriting.
func suspicious(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x20 && c < 0x7f || c == '\n' || c == '\t':
		case c < 0x80:
			return true
		case c == 0xc2 && i+1 < len(s) && s[i+1] < 0xa0: // U+0080 to U+009F
			return true
		case c == 0xe2 && i+1 < len(s) && (s[i+1] == 0x80 || s[i+1] == 0x81): // U+2000 to U+207F
			if i+2 >= len(s) || s[i+2] >= 0xa6 && s[i+2] <= 0xae {
				return true
			}
		case c == 0xef && i+1 < len(s) && s[i+1] == 0xbb: // U+FEFF
			return true
		}
	}
	return !utf8.ValidString(s)
}
