package message

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// HTMLToText renders HTML as plain text that keeps links, lists, table cells,
// line structure and quote marks: links as "text <url>", cells of a row apart
// by tabs, blockquotes with "> ". Scripts, styles and elements that the page
// hides are left out. It reads tags one by one and needs no tree: the time is
// linear and the nesting that counts is bounded.
func HTMLToText(src string) string {
	text, _ := htmlText(src)
	return text
}

// htmlText is HTMLToText with what the structure of the page says of each line;
// nil if the lines cannot be told apart.
func htmlText(src string) (string, []lineMark) {
	w := &textWriter{skipHidden: true}
	w.render(src)
	if w.hidden || strings.TrimSpace(w.out.String()) == "" {
		// A hidden element without an end would swallow the mail.
		w = &textWriter{}
		w.render(src)
	}
	w.settleRegions(len(w.marks))
	text := cleanText(w.text())
	if n := strings.Count(text, "\n") + 1; n <= len(w.marks) {
		return text, w.marks[:n]
	}
	return text, nil
}

// Depths beyond these are drawn like these: a million blockquotes must not make
// a million marks a line.
const (
	maxQuoteMarks = 12
	maxListDepth  = 8
	maxOpen       = 200 // elements whose end is known to end something
)

const unordered = -2

type textWriter struct {
	out    strings.Builder
	marks  []lineMark // of the lines in out
	line   []byte     // the current line without its quote marks
	drawn  int        // quote depth of the last line written
	breaks int        // line breaks owed before the next text
	space  bool
	cell   bool
	lists  []int  // item counters; unordered where items are not counted
	href   string // of the open link
	from   int    // length of line where its text begins; -1 when the line has ended since

	textState
	attrs      attributes
	open       []openText
	count      map[string]int // of open elements by name
	regions    []region
	skipHidden bool
	looks      int // elements looked at: what makes the time grow
}

// textState is what an element changes for as long as it is open.
type textState struct {
	quote  int // depth of blockquotes
	cited  int // of those that are quotations for sure
	pre    int
	nested int // length of lists
	hidden bool
	mark   lineMark
	region int // 1 + index of the innermost region, 0 = none
}

// openText is an open element and the state before it.
type openText struct {
	name   string
	before textState
}

func (w *textWriter) render(src string) {
	w.count = map[string]int{}
	z := html.NewTokenizer(strings.NewReader(src))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); err != io.EOF {
				w.word(fmt.Sprintf("[%v]", err))
			}
			w.flush()
			return
		case html.TextToken:
			if !w.hidden {
				w.chars(string(z.Text()))
			}
		case html.StartTagToken:
			w.tag(z, false)
		case html.SelfClosingTagToken:
			w.tag(z, true)
		case html.EndTagToken:
			name, _ := z.TagName()
			w.end(string(name))
		}
	}
}

func (w *textWriter) tag(z *html.Tokenizer, closed bool) {
	var name string
	name, w.attrs = tagOf(z, w.attrs[:0])
	attr := w.attrs
	w.implied(name)
	before := w.textState
	if !w.hidden {
		w.start(name, attr)
	}
	switch {
	case voidElements[name]:
		return
	case closed && skippedElements[name]:
		return
	case skippedElements[name] || w.skipHidden && hides(name, attr):
		w.hidden = true
	}
	if len(w.open) == maxOpen {
		w.textState = before // its end will not be seen
		return
	}
	w.open = append(w.open, openText{name, before})
	w.count[name]++
	if closed {
		w.end(name)
	}
}

// implied closes what a start tag closes without saying so.
func (w *textWriter) implied(name string) {
	switch {
	case name == "li":
		w.closeUpTo([]string{"li"}, "ul", "ol", "menu", "dir")
	case name == "tr":
		w.closeUpTo([]string{"tr", "td", "th"}, "table")
	case name == "td" || name == "th":
		w.closeUpTo([]string{"td", "th"}, "tr", "table")
	case name == "dt" || name == "dd":
		w.closeUpTo([]string{"dt", "dd"}, "dl")
	case blockElements[name]:
		if n := len(w.open); n > 0 && w.open[n-1].name == "p" {
			w.end("p")
		}
	}
}

// closeUpTo closes the outermost of the named elements that is nearer than any
// of the limits.
func (w *textWriter) closeUpTo(names []string, limits ...string) {
	some := false
	for _, n := range names {
		some = some || w.count[n] > 0
	}
	if !some {
		return
	}
	at := -1
	for i := len(w.open) - 1; i >= 0 && !slices.Contains(limits, w.open[i].name); i-- {
		w.looks++
		if slices.Contains(names, w.open[i].name) {
			at = i
		}
	}
	for at >= 0 && len(w.open) > at {
		w.pop()
	}
}

// end closes an element and what was left open in it. An end tag does not reach
// out of a table's cell.
func (w *textWriter) end(name string) {
	if w.count[name] == 0 {
		if name == "p" || name == "br" {
			w.start(name, nil)
		}
		return
	}
	barrier := name != "table" && name != "tr" && name != "td" && name != "th" && name != "tbody" && name != "body" && name != "html"
	for i := len(w.open) - 1; i >= 0; i-- {
		w.looks++
		if w.open[i].name == name {
			for len(w.open) > i {
				w.pop()
			}
			return
		}
		if barrier && (w.open[i].name == "td" || w.open[i].name == "th" || w.open[i].name == "table") {
			return
		}
	}
}

func (w *textWriter) pop() {
	e := w.open[len(w.open)-1]
	w.open = w.open[:len(w.open)-1]
	w.count[e.name]--
	if !w.hidden {
		w.finish(e.name)
	}
	if w.region != e.before.region {
		w.flush()
		w.endRegion(w.region)
	} else if w.mark != e.before.mark {
		w.flush()
	}
	w.textState = e.before
	w.lists = w.lists[:min(len(w.lists), w.nested)]
}

var voidElements = map[string]bool{"br": true, "hr": true, "img": true, "input": true, "meta": true, "link": true, "base": true, "col": true, "area": true, "wbr": true, "embed": true, "source": true, "param": true, "track": true, "keygen": true, "frame": true}

// skippedElements hold no text of the author.
var skippedElements = map[string]bool{"script": true, "style": true, "title": true, "template": true, "noframes": true, "svg": true, "select": true}

var blockElements = map[string]bool{"p": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true, "dl": true, "table": true, "fieldset": true, "figure": true, "div": true, "section": true, "article": true, "header": true, "footer": true,
	"address": true, "center": true, "form": true, "main": true, "nav": true, "aside": true, "pre": true, "blockquote": true, "ul": true, "ol": true, "hr": true}

// hides: preview lines of newsletters, and the like.
func hides(name string, attr attributes) bool {
	switch name {
	case "div", "span", "td", "table", "font", "p":
		style := strings.ReplaceAll(strings.ToLower(attr.value("style")), " ", "")
		return strings.Contains(style, "display:none") || strings.Contains(style, "mso-hide:all")
	}
	return false
}

func (w *textWriter) start(name string, attr attributes) {
	switch name {
	case "br":
		w.newline()
	case "hr":
		w.block(1)
		w.word("----------")
		w.block(1)
	case "p", "h1", "h2", "h3", "h4", "h5", "h6", "dl", "table", "fieldset", "figure":
		w.block(2)
	case "div", "tr", "section", "article", "header", "footer", "address", "center", "form", "dt", "dd", "caption", "main", "nav", "aside", "body", "html":
		w.block(1)
	case "pre", "textarea", "xmp", "listing":
		w.block(2)
		w.pre++
	case "blockquote":
		w.block(1)
	case "ul", "ol", "menu", "dir":
		w.block(1)
		n := unordered
		if name == "ol" {
			n = 0
			if first, err := strconv.ParseUint(attr.value("start"), 10, 16); err == nil {
				n = int(first) - 1
			}
		}
		if len(w.lists) < 1000 {
			w.lists = append(w.lists, n)
			w.nested = len(w.lists)
		}
	case "li":
		w.item()
	case "td", "th":
		w.cell = len(w.line) > 0 && w.breaks == 0
	case "a":
		w.endLink() // links do not nest
		w.href, w.from = strings.TrimSpace(attr.value("href")), len(w.line)
	case "img":
		if alt := cleanLine(attr.value("alt")); alt != "" {
			w.word("[" + alt + "]")
		}
	}
	w.structure(name, attr)
}

// finish is what the end of an element does to the text.
func (w *textWriter) finish(name string) {
	switch name {
	case "p", "h1", "h2", "h3", "h4", "h5", "h6", "dl", "table", "fieldset", "figure", "pre", "textarea", "xmp", "listing":
		w.block(2)
	case "div", "tr", "section", "article", "header", "footer", "address", "center", "form", "dt", "dd", "caption", "main", "nav", "aside", "li", "blockquote", "ul", "ol", "menu", "dir":
		w.block(1)
	case "a":
		w.endLink()
	}
}

func (w *textWriter) item() {
	w.block(1)
	depth := min(max(len(w.lists), 1), maxListDepth)
	mark := "- "
	if n := len(w.lists); n > 0 && w.lists[n-1] != unordered {
		w.lists[n-1]++
		mark = fmt.Sprintf("%d. ", w.lists[n-1])
	}
	w.begin()
	w.line = append(w.line, strings.Repeat("  ", depth-1)+mark...)
}

// endLink writes the address of a link behind its text, unless the text is the
// address.
func (w *textWriter) endLink() {
	url := w.href
	w.href = ""
	low := strings.ToLower(url)
	scheme, rest, _ := strings.Cut(low, ":")
	switch scheme {
	case "http", "https", "ftp", "mailto", "tel", "sms":
	default:
		return
	}
	text := ""
	if w.from >= 0 && w.from <= len(w.line) {
		text = strings.ToLower(strings.TrimSpace(string(w.line[w.from:])))
		if text == "" {
			return
		}
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(rest, "//"), "/")
	text = strings.TrimSuffix(text, "/")
	if text == bare || text == strings.TrimSuffix(low, "/") || strings.HasSuffix(bare, "."+text) && len(bare) == len(text)+4 {
		return
	}
	w.space = true
	w.word("<" + cleanLine(url) + ">")
}

// chars adds text of the page.
func (w *textWriter) chars(s string) {
	if w.pre > 0 {
		for i, l := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
			if i > 0 {
				w.newline()
			}
			if l != "" {
				w.word(l)
			}
		}
		return
	}
	for len(s) > 0 {
		i := strings.IndexFunc(s, htmlSpace)
		if i == 0 {
			w.space = true
			s = strings.TrimLeftFunc(s, htmlSpace)
			continue
		}
		if i < 0 {
			i = len(s)
		}
		w.word(s[:i])
		s = s[i:]
	}
}

func htmlSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' }

// word adds text as it is, after the blank, tab or line breaks that are owed.
func (w *textWriter) word(s string) {
	w.begin()
	if len(w.line) > 0 {
		switch {
		case w.cell:
			w.line = append(w.line, '\t')
		case w.space && w.line[len(w.line)-1] != ' ':
			w.line = append(w.line, ' ')
		}
	}
	w.cell, w.space = false, false
	if printable(s) {
		w.line = append(w.line, s...)
		return
	}
	for _, r := range s {
		switch r {
		case '\u00a0', '\u202f', '\v', '\f', '\u0085', '\u2028', '\u2029', '\n':
			r = ' '
		case '\r':
			continue
		}
		if unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c' { // soft hyphens and invisible marks
			continue
		}
		w.line = utf8.AppendRune(w.line, r)
	}
}

// printable reports whether a text is printable ASCII.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// newline is an explicit line break.
func (w *textWriter) newline() {
	w.flush()
	if w.breaks < 3 {
		w.breaks++
	}
}

// block asks for at least n line breaks before the next text.
func (w *textWriter) block(n int) {
	w.flush()
	w.breaks = max(w.breaks, n)
}

// begin pays the line breaks that are owed.
func (w *textWriter) begin() {
	if w.breaks == 0 {
		return
	}
	if w.out.Len() > 0 {
		marks := min(w.drawn, w.quote, maxQuoteMarks)
		for range w.breaks - 1 {
			w.out.WriteString(strings.Repeat(">", marks) + "\n")
			w.marks = append(w.marks, w.lineMark())
		}
	}
	w.breaks, w.space, w.cell = 0, false, false
}

// flush ends the current line.
func (w *textWriter) flush() {
	l := strings.TrimRight(string(w.line), " ")
	w.line = w.line[:0]
	w.from = -1
	w.space, w.cell = false, false
	if l == "" {
		return
	}
	if n := min(w.quote, maxQuoteMarks); n > 0 {
		w.out.WriteString(strings.Repeat(">", n) + " ")
	}
	w.drawn = w.quote
	w.out.WriteString(l)
	w.out.WriteByte('\n')
	w.marks = append(w.marks, w.lineMark())
	w.breaks = 0
}

func (w *textWriter) text() string { return strings.TrimRight(w.out.String(), "\n") }
