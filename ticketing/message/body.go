package message

import (
	"fmt"
	"html"
	"io"
	"strings"
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

// unflow joins the lines of format=flowed text (RFC 3676 §4): a line that ends
// with a blank goes on in the next one of the same quote depth.
func unflow(s string, delSP bool) string {
	var out strings.Builder
	out.Grow(len(s))
	open, depth := false, 0
	for len(s) > 0 {
		l, rest, nl := strings.Cut(s, "\n")
		s = rest
		d := 0
		for d < len(l) && l[d] == '>' {
			d++
		}
		l = strings.TrimPrefix(l[d:], " ") // space-stuffing
		sig := l == "-- "
		if open && (d != depth || sig) {
			out.WriteByte('\n')
			open = false
		}
		if !open && d > 0 {
			out.WriteString(strings.Repeat(">", d))
			out.WriteByte(' ')
		}
		soft := !sig && strings.HasSuffix(l, " ")
		if soft && delSP {
			l = l[:len(l)-1]
		}
		out.WriteString(l)
		open, depth = soft, d
		if !open && nl {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// bodies is what a mail shows and what it carries.
type bodies struct {
	text, html []*Part
	files      []*Part
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
// part, or a sentence naming what the mail consists of. Never empty for a mail
// that has any content.
func (m *Mail) Text() string {
	b := m.choose()
	left := m.limits().Text
	if s := m.joined(b.text, left); strings.TrimSpace(s) != "" {
		return s
	}
	if s := m.joined(b.html, left); strings.TrimSpace(s) != "" {
		return s
	}
	for _, p := range b.files {
		if strings.HasPrefix(p.Type, "text/") && p.Disposition != "attachment" && p.Type != "text/rfc822-headers" && p.Type != "text/calendar" {
			if s := m.shown(p, left); strings.TrimSpace(s) != "" {
				return s
			}
		}
	}
	return m.contents()
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
	s := m.partText(p, limit)
	if p.Type == "text/html" {
		return cutRunes(HTMLToText(s), limit)
	}
	return s
}

// contents names the parts of a mail that has no text. It is "" for a mail
// without any content.
func (m *Mail) contents() string {
	const most = 20
	var names []string
	for _, p := range m.choose().files {
		if p.End <= p.Start && p.Filename == "" && len(p.Parts) == 0 {
			continue
		}
		if len(names) == most {
			names = append(names, "more")
			break
		}
		names = append(names, p.label())
	}
	if len(names) == 0 {
		return ""
	}
	return "This mail has no text. It contains: " + strings.Join(names, ", ") + "."
}

func (p *Part) label() string {
	size := fmt.Sprintf("%d bytes", p.End-p.Start)
	if isMessage(p.Type) && len(p.Parts) == 1 {
		if s := p.Parts[0].Header.Text("Subject"); s != "" {
			return fmt.Sprintf("a mail %q (%s)", s, size)
		}
		return "a mail (" + size + ")"
	}
	if p.Filename != "" {
		return fmt.Sprintf("%q (%s, %s)", p.Filename, cleanLine(p.Type), size)
	}
	return fmt.Sprintf("%s (%s)", cleanLine(p.Type), size)
}

// HTML returns the HTML alternative as received (not sanitised), "" if none.
// Text parts that stand between HTML parts are included, escaped.
func (m *Mail) HTML() string {
	b := m.choose()
	any := false
	for _, p := range b.html {
		any = any || p.Type == "text/html"
	}
	if !any {
		return ""
	}
	var out strings.Builder
	left := m.limits().Text
	for _, p := range b.html {
		s := m.partText(p, left)
		if strings.TrimSpace(s) == "" {
			continue
		}
		if p.Type != "text/html" {
			s = `<div style="white-space:pre-wrap">` + html.EscapeString(s) + "</div>"
		}
		if left -= len(s); left < 0 && out.Len() > 0 {
			break
		}
		out.WriteString(s)
	}
	return cutRunes(out.String(), m.limits().Text)
}

// Attachments returns every part that is not the displayed text or HTML, in
// order: attachments, inline images, nested mails, whole broken parts.
func (m *Mail) Attachments() []*Part { return m.choose().files }
