package message

import (
	"html"
	"io"
	"strings"
	"unicode"
)

// PartText returns a text part's content as UTF-8 with LF line ends and without
// control characters, at most Limits.Text bytes. Flowed text is joined
// (RFC 3676), uuencoded files are left out: they are attachments.
func (m *Mail) PartText(p *Part) string { return m.partText(p, m.limits().Text) }

func (m *Mail) limits() Limits { return m.lim.orDefaults() }

func (m *Mail) partText(p *Part, limit int) string {
	raw := m.bytesOf(p)
	if len(p.uu) > 0 {
		raw = m.withoutUU(p)
	}
	b, _ := io.ReadAll(io.LimitReader(decoder(raw, p), int64(limit)))
	charset := p.Params["charset"]
	if p.Type == "text/html" && (charset == "" || charsetName(charset) == "us-ascii") {
		if declared := metaCharset(b); declared != "" {
			charset = declared
		}
	}
	s := cleanText(toUTF8(b, charset))
	if strings.EqualFold(p.Params["format"], "flowed") && p.Type != "text/html" {
		s = unflow(s, strings.EqualFold(p.Params["delsp"], "yes"))
	}
	return cutRunes(s, limit)
}

func (m *Mail) withoutUU(p *Part) io.Reader {
	var rs []io.Reader
	at := p.Start
	for _, b := range p.uu {
		rs = append(rs, io.NewSectionReader(m.source(p), at, b.start-at))
		at = b.end
	}
	return io.MultiReader(append(rs, io.NewSectionReader(m.source(p), at, max(p.End-at, 0)))...)
}

// metaCharset finds the charset an HTML page declares near its top.
func metaCharset(b []byte) string {
	head := strings.ToLower(string(b[:min(len(b), 2048)]))
	if strings.HasPrefix(head, "\xff\xfe") || strings.HasPrefix(head, "\xfe\xff") {
		return "utf-16"
	}
	i := strings.Index(head, "charset=")
	if i < 0 || !strings.Contains(head[:i], "<meta") {
		return ""
	}
	v := strings.TrimLeft(head[i+len("charset="):], "\"' ")
	if end := strings.IndexAny(v, "\"' ;/>"); end >= 0 {
		v = v[:end]
	}
	if n := charsetName(v); strings.HasPrefix(n, "utf-16") || strings.HasPrefix(n, "utf-32") {
		return "" // the declaration was readable as ASCII, so it is wrong
	}
	return v
}

// bodies is what a mail shows and what it carries.
type bodies struct {
	text, html []*Part
	files      []*Part
	containers []*Part // TNEF, which may hold a text of the mail too
}

// choose sorts the parts as RFC 8621 §4.1.4 does: which of them a reader shows
// as text, which as HTML, and which are attachments.
func (m *Mail) choose() *bodies {
	if m.chosen != nil {
		return m.chosen
	}
	b := &bodies{}
	if m.Root != nil {
		b.collect([]*Part{m.Root}, "mixed", false, true, true)
	}
	return b
}

// collect adds the parts of one multipart. Within an alternative, a branch that
// turns out to be text no longer feeds the HTML list, and the other way round.
func (c *bodies) collect(list []*Part, kind string, inAlternative, toText, toHTML bool) {
	texts, htmls := len(c.text), len(c.html)
	root := 0
	if kind == "related" {
		root = relatedRoot(list)
	}
	for i, p := range list {
		if sub, ok := strings.CutPrefix(p.Type, "multipart/"); ok {
			if len(p.Parts) == 0 && p.End > p.Start {
				c.files = append(c.files, p) // too deep to be read, or broken: kept whole
			}
			c.collect(p.Parts, sub, inAlternative || sub == "alternative", toText, toHTML)
			continue
		}
		if len(p.Parts) > 0 && isTNEF(p) {
			c.containers = append(c.containers, p)
			c.container(p)
			continue
		}
		if len(p.Parts) > 0 && isPKCS7(p) {
			c.collect(p.Parts, "mixed", inAlternative, toText, toHTML)
			c.files = append(c.files, p)
			continue
		}
		switch shown := shownInline(p) && (i == root || kind != "related" && p.Filename == ""); {
		case !shown:
			c.files = append(c.files, p)
		case kind == "alternative":
			if p.Type == "text/html" {
				c.html = append(c.html, p)
			} else {
				c.text = append(c.text, p)
			}
		default:
			if inAlternative {
				toText, toHTML = toText && p.Type == "text/plain", toHTML && p.Type == "text/html"
			}
			if toText {
				c.text = append(c.text, p)
			}
			if toHTML {
				c.html = append(c.html, p)
			}
			if !toText && !toHTML {
				c.files = append(c.files, p)
			}
		}
		for _, b := range p.uu {
			c.files = append(c.files, b.part)
		}
	}
	if kind == "alternative" {
		newText, newHTML := len(c.text) > texts, len(c.html) > htmls
		if newHTML && !newText {
			c.text = append(c.text, c.html[htmls:]...)
		} else if newText && !newHTML {
			c.html = append(c.html, c.text[texts:]...)
		}
	}
}

// container adds the files of a TNEF container and of the mails inside it.
func (c *bodies) container(p *Part) {
	for _, f := range p.Parts {
		switch {
		case f.tnefBody:
		case len(f.Parts) > 0:
			c.container(f)
		default:
			c.files = append(c.files, f)
		}
	}
	if p.keepWhole {
		c.files = append(c.files, p)
	}
}

func shownInline(p *Part) bool {
	return p.Disposition != "attachment" && (p.Type == "text/plain" || p.Type == "text/html")
}

// relatedRoot finds the part that the others of a multipart/related belong to:
// the first that can be shown.
func relatedRoot(list []*Part) int {
	for i, p := range list {
		if shownInline(p) || strings.HasPrefix(p.Type, "multipart/") {
			return i
		}
	}
	return 0
}

// Text returns what a person reads: the text part, or the text of the HTML
// part, or a sentence naming what the mail consists of. Text that only a TNEF
// container has follows. Never empty for a mail that has any content.
func (m *Mail) Text() string {
	b := m.choose()
	left := m.limits().Text
	s := m.joined(b.text, left)
	if strings.TrimSpace(s) == "" {
		s = m.joined(b.html, left)
	}
	for _, c := range b.containers {
		if t := m.containerText(c, left); !covers(s, t) {
			if strings.TrimSpace(s) == "" {
				s = t
			} else {
				s = cutRunes(strings.TrimRight(s, "\n")+"\n\n"+t, left)
			}
		}
	}
	if strings.TrimSpace(s) != "" {
		return s
	}
	for _, p := range b.files {
		if strings.HasPrefix(p.Type, "text/") && p.Disposition != "attachment" && p.Type != "text/rfc822-headers" {
			if s := m.shown(p, left); strings.TrimSpace(s) != "" {
				return s
			}
		}
	}
	return m.contents()
}

// containerText returns the text of the mail that a TNEF container has.
func (m *Mail) containerText(c *Part, limit int) string {
	for _, kind := range [...]string{"text/plain", "text/html", "text/rtf"} {
		for _, p := range c.Parts {
			if p.tnefBody && p.Type == kind {
				if s := m.shown(p, limit); strings.TrimSpace(s) != "" {
					return s
				}
			}
		}
	}
	return ""
}

// containerHTML returns the HTML page that a TNEF container has, "" if none.
func (m *Mail) containerHTML(c *Part, limit int) string {
	page := ""
	for _, p := range c.Parts {
		switch {
		case !p.tnefBody:
		case p.Type == "text/html":
			return m.partText(p, limit)
		case p.Type == "text/rtf":
			_, page = rtfText(m.content(p, limit), limit)
			page = cleanText(page)
		}
	}
	return page
}

// covers reports whether a text says what another one says: it has all of a
// few words, and nearly all of many, because programs render links and lists
// differently.
func covers(text, other string) bool {
	have := map[string]bool{}
	for _, w := range words(text) {
		have[w] = true
	}
	wanted, missing := 0, 0
	for _, w := range words(other) {
		if wanted++; !have[w] {
			missing++
		}
	}
	return missing*10 <= wanted && (missing == 0 || wanted > 20)
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
}

func (m *Mail) joined(parts []*Part, left int) string {
	var out strings.Builder
	for _, p := range parts {
		s := m.shown(p, left)
		if strings.TrimSpace(s) == "" {
			continue
		}
		if out.Len() > 0 && !strings.HasSuffix(out.String(), "\n") {
			out.WriteByte('\n')
		}
		out.WriteString(s)
		if left -= len(s); left <= 0 {
			break
		}
	}
	return out.String()
}

// shown returns a part as a person reads it.
func (m *Mail) shown(p *Part, limit int) string {
	switch p.Type {
	case "text/rtf", "text/x-rtf":
		b := m.content(p, limit)
		if !isRTF(b) {
			break
		}
		text, page := rtfText(b, limit)
		if page != "" {
			text = HTMLToText(cleanText(page))
		}
		return cutRunes(cleanText(text), limit)
	case "text/html":
		return cutRunes(HTMLToText(m.partText(p, limit)), limit)
	case "text/enriched", "text/richtext":
		return enrichedText(m.partText(p, limit), p.Type == "text/enriched")
	case "text/calendar":
		if s := m.invitation(p); s != "" {
			return s
		}
	}
	return m.partText(p, limit)
}

// content returns a part's decoded bytes, at most limit of them.
func (m *Mail) content(p *Part, limit int) []byte {
	b, _ := io.ReadAll(io.LimitReader(m.Open(p), int64(limit)))
	return b
}

// HTML returns the HTML alternative as received (not sanitised), "" if none.
// Text parts that stand between HTML parts are included, escaped, and so is
// what only a TNEF container says. A page in such a container counts if it says
// what the text says.
func (m *Mail) HTML() string {
	b := m.choose()
	left := m.limits().Text
	pages := false
	for _, p := range b.html {
		pages = pages || p.Type == "text/html"
	}
	if !pages {
		for _, c := range b.containers {
			if page := m.containerHTML(c, left); page != "" && covers(HTMLToText(page), m.joined(b.text, left)) {
				return page
			}
		}
		return ""
	}
	var out strings.Builder
	for _, p := range b.html {
		s := m.partText(p, left)
		if strings.TrimSpace(s) == "" {
			continue
		}
		if p.Type != "text/html" {
			s = escaped(s)
		}
		if left -= len(s); left < 0 && out.Len() > 0 {
			break
		}
		out.WriteString(s)
	}
	for _, c := range b.containers {
		if t := m.containerText(c, max(left, 0)); t != "" && !covers(m.joined(b.text, left), t) && !covers(HTMLToText(out.String()), t) {
			out.WriteString(escaped(t))
		}
	}
	return cutRunes(out.String(), m.limits().Text)
}

func escaped(text string) string {
	return `<div style="white-space:pre-wrap">` + html.EscapeString(text) + "</div>"
}

// Attachments returns every part that is not the displayed text or HTML, in
// order: attachments, inline images, nested mails, whole broken parts.
func (m *Mail) Attachments() []*Part { return m.choose().files }
