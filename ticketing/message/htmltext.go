package message

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// HTMLToText renders HTML as plain text that keeps links, lists, table cells,
// line structure and quote marks: links as "text <url>", cells of a row apart
// by tabs, blockquotes with "> ". Scripts, styles and elements that the page
// hides are left out. It reads tags one by one and needs no tree, so that no
// nesting is too deep and the time is linear.
func HTMLToText(src string) string {
	w := &textWriter{skipHidden: true}
	w.render(src)
	if w.hideName != "" || strings.TrimSpace(w.out.String()) == "" {
		// A hidden element without an end would swallow the mail.
		w = &textWriter{}
		w.render(src)
	}
	return cleanText(w.text())
}

// Depths beyond these are drawn like these: a million blockquotes must not make
// a million marks a line.
const (
	maxQuoteMarks = 12
	maxListDepth  = 8
)

type textWriter struct {
	out    strings.Builder
	line   []byte // the current line without its quote marks
	quote  int
	drawn  int // quote depth of the last line written
	breaks int // line breaks owed before the next text
	space  bool
	cell   bool
	pre    int
	lists  []int  // item counters; -1 in an unordered list
	href   string // of the open link
	from   int    // length of line where its text begins; -1 when the line has ended since

	skipHidden bool
	hideName   string // element being skipped
	hideDepth  int
}

func (w *textWriter) render(src string) {
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
			if w.hideName == "" {
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
	b, more := z.TagName()
	name := string(b)
	attr := map[string]string{}
	for more && len(attr) < 64 {
		var k, v []byte
		k, v, more = z.TagAttr()
		if _, dup := attr[string(k)]; !dup {
			attr[string(k)] = string(v)
		}
	}
	if w.hideName != "" {
		if name == w.hideName && !closed {
			w.hideDepth++
		}
		return
	}
	if !closed && !voidElements[name] && (skippedElements[name] || w.skipHidden && hides(name, attr)) {
		w.hideName, w.hideDepth = name, 1
		return
	}
	w.start(name, attr)
	if closed && !voidElements[name] {
		w.end(name)
	}
}

var voidElements = map[string]bool{"br": true, "hr": true, "img": true, "input": true, "meta": true, "link": true, "base": true, "col": true, "area": true, "wbr": true, "embed": true, "source": true}

// skippedElements hold no text of the author.
var skippedElements = map[string]bool{"script": true, "style": true, "title": true, "template": true, "noframes": true, "svg": true, "select": true}

// hides: preview lines of newsletters, and the like.
func hides(name string, attr map[string]string) bool {
	switch name {
	case "div", "span", "td", "table", "font":
		style := strings.ReplaceAll(strings.ToLower(attr["style"]), " ", "")
		return strings.Contains(style, "display:none") || strings.Contains(style, "mso-hide:all")
	}
	return false
}

func (w *textWriter) start(name string, attr map[string]string) {
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
		w.quote++
	case "ul", "ol", "menu", "dir":
		w.block(1)
		n := -1
		if name == "ol" {
			n = 0
		}
		w.lists = append(w.lists, n)
	case "li":
		w.item()
	case "td", "th":
		w.cell = len(w.line) > 0 && w.breaks == 0
	case "a":
		w.endLink() // links do not nest
		w.href, w.from = strings.TrimSpace(attr["href"]), len(w.line)
	case "img":
		if alt := cleanLine(attr["alt"]); alt != "" {
			w.word("[" + alt + "]")
		}
	}
}

func (w *textWriter) end(name string) {
	if w.hideName != "" {
		if name == w.hideName {
			if w.hideDepth--; w.hideDepth == 0 {
				w.hideName = ""
			}
		}
		return
	}
	switch name {
	case "p", "h1", "h2", "h3", "h4", "h5", "h6", "dl", "table", "fieldset", "figure":
		w.block(2)
	case "div", "tr", "section", "article", "header", "footer", "address", "center", "form", "dt", "dd", "caption", "main", "nav", "aside", "li":
		w.block(1)
	case "pre", "textarea", "xmp", "listing":
		if w.pre > 0 {
			w.pre--
		}
		w.block(2)
	case "blockquote":
		w.block(1)
		if w.quote > 0 {
			w.quote--
		}
	case "ul", "ol", "menu", "dir":
		if n := len(w.lists); n > 0 {
			w.lists = w.lists[:n-1]
		}
		w.block(1)
	case "a":
		w.endLink()
	}
}

func (w *textWriter) item() {
	w.block(1)
	depth := min(max(len(w.lists), 1), maxListDepth)
	mark := "- "
	if n := len(w.lists); n > 0 && w.lists[n-1] >= 0 {
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
	for _, r := range s {
		if r == '\u00a0' || r == '\u202f' {
			r = ' '
		}
		if unicode.Is(unicode.Cf, r) && r != '\u200d' && r != '\u200c' { // soft hyphens and invisible marks
			continue
		}
		w.line = append(w.line, string(r)...)
	}
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
	w.breaks = 0
}

func (w *textWriter) text() string { return strings.TrimRight(w.out.String(), "\n") }
