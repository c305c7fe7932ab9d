package message

import (
	"strconv"
	"strings"
)

// rtfText makes text of RTF: what stands in the document, without fonts,
// pictures and the like. If the RTF is only the wrapping of an HTML page
// (MS-OXRTFEX, as Outlook writes it), html is that page and text is empty. Time
// and memory are linear in the length; limit bounds the result in bytes.
func rtfText(src []byte, limit int) (text, html string) {
	r := &rtfReader{src: src, limit: limit, page: "windows-1252", fonts: map[int]string{}}
	r.state = rtfState{skipUnicode: 1, font: -1}
	r.read()
	r.flush()
	if r.fromHTML {
		return "", r.out.String()
	}
	return r.out.String(), ""
}

// isRTF goes by the first characters, which every reader of RTF demands.
func isRTF(b []byte) bool {
	return strings.HasPrefix(strings.TrimLeft(string(b[:min(len(b), 64)]), " \t\r\n\x00"), "{\\rtf")
}

// rtfState is what a group inherits and its end restores.
type rtfState struct {
	hidden      bool // in a destination that is no text
	tag         bool // in an \htmltag group: its text is markup
	suppressed  bool // between \htmlrtf and \htmlrtf0
	fontTable   bool
	instruction bool // in what a field is, such as HYPERLINK "…"
	result      bool // in what a field shows
	font        int
	skipUnicode int // characters that stand after \u for old readers
}

type rtfReader struct {
	src   []byte
	at    int
	limit int
	out   strings.Builder

	state    rtfState
	stack    []rtfState
	deep     int // groups beyond the limit of the stack
	star     bool
	skip     int // characters still to pass over after \u
	high     rune
	page     string
	fonts    map[int]string // charsets by font
	run      []byte         // 8-bit characters not yet converted
	runPage  string
	fromHTML bool

	instruction []byte
	resultAt    int // where the result began in out
}

const (
	maxRTFDepth = 500
	maxRTFFonts = 1000
)

func (r *rtfReader) read() {
	for r.at < len(r.src) && r.out.Len()+len(r.run) < r.limit {
		c := r.src[r.at]
		r.at++
		switch c {
		case '{':
			r.open()
		case '}':
			r.close()
		case '\\':
			r.control()
		case '\r', '\n', 0:
		default:
			r.char(c)
		}
	}
}

func (r *rtfReader) open() {
	r.star, r.skip = false, 0
	if len(r.stack) >= maxRTFDepth {
		r.deep++
		return
	}
	r.stack = append(r.stack, r.state)
}

func (r *rtfReader) close() {
	r.star, r.skip = false, 0
	if r.deep > 0 {
		r.deep--
		return
	}
	if n := len(r.stack); n > 0 {
		r.flush()
		was := r.state
		r.state, r.stack = r.stack[n-1], r.stack[:n-1]
		if was.result && !r.state.result {
			r.link()
		}
	}
}

// maxRTFField bounds what a field says about itself.
const maxRTFField = 4 << 10

// link writes the address that a field links to behind what it shows.
func (r *rtfReader) link() {
	_, rest, ok := strings.Cut(string(r.instruction), "HYPERLINK")
	r.instruction = r.instruction[:0]
	if !ok {
		return
	}
	_, url, _ := strings.Cut(rest, "\"")
	url, _, _ = strings.Cut(url, "\"")
	shown := strings.TrimSpace(r.out.String()[min(r.resultAt, r.out.Len()):])
	if url = cleanLine(url); url != "" && strings.TrimPrefix(url, "mailto:") != shown {
		r.text(" <" + url + ">")
	}
}

// control takes what follows a backslash.
func (r *rtfReader) control() {
	if r.at >= len(r.src) {
		return
	}
	c := r.src[r.at]
	if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
		r.at++
		r.symbol(c)
		return
	}
	start := r.at
	for r.at < len(r.src) && r.at-start < 32 && (r.src[r.at]|0x20 >= 'a' && r.src[r.at]|0x20 <= 'z') {
		r.at++
	}
	word := string(r.src[start:r.at])
	start = r.at
	if r.at < len(r.src) && r.src[r.at] == '-' {
		r.at++
	}
	for r.at < len(r.src) && r.at-start < 11 && r.src[r.at] >= '0' && r.src[r.at] <= '9' {
		r.at++
	}
	n, err := strconv.Atoi(string(r.src[start:r.at]))
	has := err == nil
	if r.at < len(r.src) && r.src[r.at] == ' ' {
		r.at++
	}
	r.word(word, n, has)
}

func (r *rtfReader) symbol(c byte) {
	switch c {
	case '\'':
		if r.at+2 <= len(r.src) && unhex(r.src[r.at]) >= 0 && unhex(r.src[r.at+1]) >= 0 {
			r.char(byte(unhex(r.src[r.at])<<4 | unhex(r.src[r.at+1])))
			r.at += 2
		}
	case '*':
		r.star = true
	case '~':
		r.text("\u00a0")
	case '_':
		r.text("-")
	case '\r', '\n':
		r.text("\n")
	case '\\', '{', '}':
		r.char(c)
	}
}

// rtfSkipped are destinations that hold no text of the document.
var rtfSkipped = map[string]bool{
	"fonttbl": true, "colortbl": true, "stylesheet": true, "info": true, "pict": true, "objdata": true, "header": true, "footer": true,
	"headerl": true, "headerr": true, "headerf": true, "footerl": true, "footerr": true, "footerf": true, "themedata": true, "colorschememapping": true,
	"listtable": true, "listoverridetable": true, "revtbl": true, "rsidtbl": true, "generator": true, "datastore": true, "latentstyles": true,
	"xmlnstbl": true, "bkmkstart": true, "bkmkend": true, "filetbl": true, "nonshppict": true,
}

// rtfChars are control words that are a character.
var rtfChars = map[string]string{
	"par": "\n", "line": "\n", "sect": "\n", "page": "\n", "row": "\n", "tab": "\t", "cell": "\t", "nestcell": "\t", "nestrow": "\n",
	"emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ", "zwj": "\u200d", "zwnj": "\u200c",
}

func (r *rtfReader) word(word string, n int, has bool) {
	star := r.star
	r.star = false
	if s, ok := rtfChars[word]; ok {
		// Within markup line ends are written as \par too, but only there.
		if !(r.fromHTML && !r.state.tag && r.state.suppressed) {
			r.text(s)
		}
		return
	}
	switch word {
	case "u":
		r.unicode(n)
	case "uc":
		r.state.skipUnicode = min(max(n, 0), 64)
	case "bin":
		r.at = min(r.at+max(n, 0), len(r.src))
	case "ansicpg":
		if s := codePageName(strconv.Itoa(max(n, 0))); s != "" {
			r.page = s
		}
	case "pc", "pca":
		r.page = map[string]string{"pc": "cp437", "pca": "cp850"}[word]
	case "mac":
		r.page = "macintosh"
	case "f":
		r.state.font = n
	case "fcharset":
		if r.state.fontTable && len(r.fonts) < maxRTFFonts {
			r.fonts[r.state.font] = fontCharset(n)
		}
	case "plain":
		r.state.font = -1
	case "fromhtml":
		r.fromHTML = n == 1 || !has
	case "htmlrtf":
		r.flush()
		r.state.suppressed = !has || n != 0
	case "htmltag":
		r.flush()
		r.state.tag, r.state.hidden = true, !r.fromHTML
	case "mhtmltag":
		r.state.hidden = true
	case "fldinst":
		r.flush()
		r.state.instruction, r.instruction = true, r.instruction[:0]
	case "fldrslt":
		r.flush()
		r.state.result, r.resultAt = true, r.out.Len()
	case "fonttbl":
		r.state.fontTable, r.state.hidden = true, true
	default:
		if star || rtfSkipped[word] {
			r.flush()
			r.state.hidden = true
		}
	}
}

// unicode takes \uN. Characters beyond the first plane come as two halves.
func (r *rtfReader) unicode(n int) {
	c := rune(uint16(n))
	r.skip = r.state.skipUnicode
	switch {
	case c >= 0xD800 && c < 0xDC00:
		r.high = c
		return
	case c >= 0xDC00 && c < 0xE000 && r.high != 0:
		c = (r.high-0xD800)<<10 | (c - 0xDC00) + 0x10000
	}
	r.high = 0
	skip := r.skip
	r.skip = 0
	r.text(string(c))
	r.skip = skip
}

// char takes one 8-bit character.
func (r *rtfReader) char(c byte) {
	if r.skip > 0 {
		r.skip--
		return
	}
	if r.state.instruction {
		if len(r.instruction) < maxRTFField {
			r.instruction = append(r.instruction, c)
		}
		return
	}
	if !r.shown() {
		return
	}
	page := r.page
	if s := r.fonts[r.state.font]; s != "" && !r.state.tag {
		page = s
	}
	if page != r.runPage {
		r.flush()
		r.runPage = page
	}
	r.run = append(r.run, c)
}

// text takes converted text.
func (r *rtfReader) text(s string) {
	if r.skip > 0 {
		r.skip--
		return
	}
	if r.shown() {
		r.flush()
		r.out.WriteString(s)
	}
}

func (r *rtfReader) shown() bool {
	return !r.state.hidden && !r.state.instruction && !(r.fromHTML && r.state.suppressed)
}

func (r *rtfReader) flush() {
	if len(r.run) > 0 {
		r.out.WriteString(toUTF8(r.run, r.runPage))
		r.run = r.run[:0]
	}
}

// fontCharset turns a font's charset number (\fcharset) into a charset; ""
// means that of the document.
func fontCharset(n int) string {
	switch n {
	case 77:
		return "macintosh"
	case 128:
		return "shift_jis"
	case 129:
		return "cp949"
	case 134:
		return "gb18030"
	case 136:
		return "big5"
	case 161:
		return "windows-1253"
	case 162:
		return "windows-1254"
	case 163:
		return "windows-1258"
	case 177:
		return "windows-1255"
	case 178:
		return "windows-1256"
	case 186:
		return "windows-1257"
	case 204:
		return "windows-1251"
	case 222:
		return "windows-874"
	case 238:
		return "windows-1250"
	}
	return ""
}
