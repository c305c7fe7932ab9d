package message

import (
	"strings"

	"golang.org/x/net/html"
)

// HTMLOptions are what is decided each time a page is shown.
type HTMLOptions struct {
	// RemoteImages leaves the addresses of images elsewhere where a browser loads
	// them. Off, they are kept in data-src, so that a viewer can load them when
	// somebody asks for it, and showing a mail tells nobody that it was read.
	RemoteImages bool
	// Image returns where a browser gets the part with a Content-ID, "" if there
	// is none that may be shown. nil leaves cid: addresses as they are.
	Image func(contentID string) string
}

// SanitizeHTML is HTMLOptions{}.Sanitize.
func SanitizeHTML(page string) string { return HTMLOptions{}.Sanitize(page) }

// Sanitize returns HTML that is safe to show in a page of ours: elements,
// attributes and style properties of an allow-list and nothing else, so no
// script, style sheet, form, frame, foreign namespace, event, class or id.
// Links go to http, https, mailto and tel, open elsewhere and do not say where
// from. Images are parts of the mail (cid:), raster data: images, or remote ones
// (see HTMLOptions); the Content-ID stays in data-cid. Text that the mail hides,
// by any of the ways of mail (not displayed, of size zero, of the colour of its
// background), is shown and marked: it stands in a span with data-hidden.
//
// The tags are balanced and nested as HTML wants it, so the result cannot end an
// element of the page around it. Sanitising it again changes nothing. The time
// is linear and the depth bounded; no text is lost but that of scripts, style
// sheets, titles and drawings.
func (o HTMLOptions) Sanitize(page string) string {
	s := &sanitizer{o: o, count: map[string]int{}}
	s.state = hiding{color: black, back: white}
	s.run(strings.ToValidUTF8(page, "\uFFFD"))
	for len(s.open) > 0 {
		s.pop()
	}
	return s.out.String()
}

const (
	maxTags        = 250     // open elements
	maxAttributes  = 64      // of an element, that are looked at
	maxHiddenMarks = 2000    // spans around hidden text
	maxURL         = 8 << 10 // bytes
	maxDataImage   = 2 << 20
	maxTitle       = 1000
)

type sanitizer struct {
	o     HTMLOptions
	out   strings.Builder
	open  []openTag
	count map[string]int // of open elements by their name in the mail
	state hiding
	attrs attributes
	marks int // spans around hidden text
	looks int // elements looked at: what makes the time grow

	dropText bool // of the element that just began
	foreign  int  // open drawings and formulas
}

// openTag is an element that has begun in the output.
type openTag struct {
	name   string // in the mail
	as     string // in the output
	before hiding
}

func (s *sanitizer) run(page string) {
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		t := z.Next()
		drop := s.dropText
		s.dropText = false
		switch t {
		case html.ErrorToken:
			return
		case html.TextToken:
			if !drop && s.foreign == 0 {
				s.text(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			var name string
			name, s.attrs = tagOf(z, s.attrs[:0])
			s.start(name, s.attrs, t == html.SelfClosingTagToken)
		case html.EndTagToken:
			b, _ := z.TagName()
			s.end(string(b))
		}
	}
}

// tagOf reads a tag; the attributes are appended to a list that may be used
// again.
func tagOf(z *html.Tokenizer, attrs attributes) (string, attributes) {
	b, more := z.TagName()
	name := string(b)
	for n := 0; more && n < maxAttributes; n++ {
		var k, v []byte
		k, v, more = z.TagAttr()
		if _, twice := attrs.get(string(k)); !twice {
			attrs = append(attrs, attribute{string(k), string(v)})
		}
	}
	return name, attrs
}

type attribute struct{ name, value string }

type attributes []attribute

func (a attributes) get(name string) (string, bool) {
	for _, at := range a {
		if at.name == name {
			return at.value, true
		}
	}
	return "", false
}

// value is an attribute's value, "" if there is none.
func (a attributes) value(name string) string {
	v, _ := a.get(name)
	return v
}

func (s *sanitizer) start(name string, attrs attributes, closed bool) {
	if s.foreign > 0 {
		if (name == "svg" || name == "math") && !closed {
			s.foreign++
		}
		if !breaksOut[name] {
			s.dropText = dropped[name]
			return
		}
		s.foreign = 0 // as browsers do
	}
	switch {
	case name == "svg" || name == "math":
		if !closed {
			s.foreign = 1
		}
		return
	case dropped[name]:
		s.dropText = true
		return
	}
	as, known := allowedElements[name]
	if !known {
		return
	}
	if as, known = s.place(name, as); !known {
		return
	}
	s.element(name, as, attrs)
}

// place closes what an element closes by beginning, opens what it needs around
// it, and returns what it becomes; false if it may not stand here.
func (s *sanitizer) place(name, as string) (string, bool) {
	switch name {
	case "caption", "thead", "tbody", "tfoot", "tr", "td", "th":
		return as, s.tablePart(name)
	}
	s.cell()
	if endsParagraph[name] && s.count["p"] > 0 {
		s.closeNearest("p", scopeEnds)
	}
	switch name {
	case "li":
		s.closeNearest("li", listItemEnds)
		if !s.within("ul", "ol") {
			as = "div"
		}
	case "dd", "dt":
		s.closeNearest("dd", listItemEnds)
		s.closeNearest("dt", listItemEnds)
		if !s.within("dl") {
			as = "div"
		}
	case "a":
		s.closeNearest("a", scopeEnds)
	case "h1", "h2", "h3", "h4", "h5", "h6":
		if n := len(s.open); n > 0 && headings[s.open[n-1].as] {
			s.pop()
		}
	case "rp", "rt":
		if n := len(s.open); n > 0 && (s.open[n-1].as == "rp" || s.open[n-1].as == "rt") {
			s.pop()
		}
		if !s.within("ruby") {
			as = "span"
		}
	case "summary":
		if n := len(s.open); n == 0 || s.open[n-1].as != "details" {
			as = "div"
		}
	}
	return as, true
}

// tablePart makes way for a part of the innermost table; false if there is none.
func (s *sanitizer) tablePart(name string) bool {
	table := len(s.open) - 1
	for ; table >= 0 && s.open[table].as != "table"; table-- {
		s.looks++
	}
	if s.count["table"] == 0 || table < 0 {
		return false
	}
	keep := table + 1 // elements that stay open
	if name == "tr" || name == "td" || name == "th" {
		for keep < len(s.open) && (s.open[keep].as == "tbody" || s.open[keep].as == "thead" || s.open[keep].as == "tfoot") {
			keep++
		}
	}
	if (name == "td" || name == "th") && keep < len(s.open) && s.open[keep].as == "tr" {
		keep++
	}
	for len(s.open) > keep {
		s.pop()
	}
	if name == "td" || name == "th" {
		if s.open[len(s.open)-1].as != "tr" {
			return s.push("tr", "tr", nil)
		}
	}
	return true
}

// cell opens a cell for what stands in a table outside of one.
func (s *sanitizer) cell() {
	if len(s.open) == 0 {
		return
	}
	switch s.open[len(s.open)-1].as {
	case "table", "thead", "tbody", "tfoot":
		if s.push("tr", "tr", nil) {
			s.push("td", "td", nil)
		}
	case "tr":
		s.push("td", "td", nil)
	}
}

// closeNearest closes the nearest open element of a name, unless one of the ends
// is nearer.
func (s *sanitizer) closeNearest(name string, ends map[string]bool) {
	if s.count[name] == 0 {
		return
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		s.looks++
		if s.open[i].name == name {
			for len(s.open) > i {
				s.pop()
			}
			return
		}
		if ends[s.open[i].as] {
			return
		}
	}
}

// within reports whether the nearest element that holds items is one of these.
func (s *sanitizer) within(names ...string) bool {
	for i := len(s.open) - 1; i >= 0; i-- {
		s.looks++
		as := s.open[i].as
		for _, n := range names {
			if as == n {
				return true
			}
		}
		if listItemEnds[as] || scopeEnds[as] {
			return false
		}
	}
	return false
}

// push begins an element in the output; false if it would be too deep.
func (s *sanitizer) push(name, as string, shown []attribute) bool {
	if len(s.open) == maxTags {
		return false
	}
	s.open = append(s.open, openTag{name, as, s.state})
	s.count[name]++
	s.write(as, shown)
	return true
}

func (s *sanitizer) write(as string, shown []attribute) {
	s.out.WriteByte('<')
	s.out.WriteString(as)
	for _, a := range shown {
		s.out.WriteByte(' ')
		s.out.WriteString(a.name)
		s.out.WriteString(`="`)
		s.out.WriteString(html.EscapeString(a.value))
		s.out.WriteByte('"')
	}
	s.out.WriteByte('>')
}

func (s *sanitizer) pop() {
	e := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	s.count[e.name]--
	s.out.WriteString("</")
	s.out.WriteString(e.as)
	s.out.WriteByte('>')
	s.state = e.before
}

func (s *sanitizer) end(name string) {
	switch {
	case name == "svg" || name == "math":
		s.foreign = max(s.foreign-1, 0)
		return
	case s.foreign > 0:
		return
	case name == "br":
		s.cell()
		s.write("br", nil)
		return
	}
	switch name {
	case "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th":
		s.endTablePart(name)
	default:
		s.closeNearest(name, scopeEnds)
	}
}

// endTablePart ends a part of the innermost table only.
func (s *sanitizer) endTablePart(name string) {
	if s.count[name] == 0 {
		return
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		s.looks++
		if s.open[i].name == name {
			for len(s.open) > i {
				s.pop()
			}
			return
		}
		if s.open[i].as == "table" {
			return
		}
	}
}

// text writes text, marked if it is hidden.
func (s *sanitizer) text(t string) {
	t = cleanText(t)
	if strings.Trim(t, " \t\n") == "" {
		s.out.WriteString(t)
		return
	}
	s.cell()
	why := s.state.why()
	if why == "" || s.state.marked || s.marks == maxHiddenMarks {
		s.out.WriteString(escapeText(t))
		return
	}
	s.marks++
	s.write("span", []attribute{{"data-hidden", why}})
	s.out.WriteString(escapeText(t))
	s.out.WriteString("</span>")
}

// escapeText escapes what could be markup, and no more.
func escapeText(t string) string {
	if !strings.ContainsAny(t, "&<>") {
		return t
	}
	return textEscapes.Replace(t)
}

var textEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
