package message

import (
	"html"
	"strings"

	nethtml "golang.org/x/net/html"
)

// HideCommands returns a mail's whole text, the author's part of it and its
// HTML without the command lines that the author's part begins with. HTML in
// which the lines cannot be told apart is made anew from the text.
func HideCommands(text, visible, htmlBody string, lines int) (string, string, string) {
	skipped, rest := cutCommands(visible, lines)
	if len(skipped) == 0 {
		return text, visible, htmlBody
	}
	text = withoutLines(text, skipped)
	if htmlBody == "" {
		return text, rest, ""
	}
	shown, ok := htmlWithoutLines(htmlBody, skipped)
	if !ok {
		shown = "<p>" + strings.ReplaceAll(html.EscapeString(rest), "\n", "<br>\n") + "</p>\n"
	}
	return text, rest, shown
}

// withoutLines removes each line's first occurrence, in order.
func withoutLines(text string, lines []string) string {
	var out []string
	all := strings.Split(text, "\n")
	for i, line := range all {
		if len(lines) > 0 && strings.TrimSpace(line) == lines[0] {
			lines = lines[1:]
			continue
		}
		if len(lines) == 0 {
			return strings.TrimLeft(strings.Join(append(out, all[i:]...), "\n"), "\r\n")
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// lineBreakers are the elements that begin or end a line of text.
var lineBreakers = map[string]bool{
	"address": true, "article": true, "aside": true, "blockquote": true, "br": true, "center": true, "dd": true, "div": true, "dl": true, "dt": true,
	"footer": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true, "header": true, "hr": true, "li": true, "main": true,
	"ol": true, "p": true, "pre": true, "section": true, "table": true, "tbody": true, "td": true, "th": true, "thead": true, "tr": true, "ul": true,
}

// htmlWithoutLines removes the text of lines from HTML, where they are its
// first lines. It reports whether it found all of them.
func htmlWithoutLines(src string, lines []string) (string, bool) {
	z := nethtml.NewTokenizer(strings.NewReader(src))
	var out []string // raw tokens
	var line []int   // those of them that are text of the current line
	var text strings.Builder
	ended := func() bool { // false if the line is something else
		words := strings.Join(strings.Fields(text.String()), " ")
		text.Reset()
		if words == "" {
			line = line[:0]
			return true
		}
		if words != strings.Join(strings.Fields(lines[0]), " ") {
			return false
		}
		for _, i := range line {
			out[i] = ""
		}
		line, lines = line[:0], lines[1:]
		return true
	}
	for len(lines) > 0 {
		kind := z.Next()
		if kind == nethtml.ErrorToken {
			found := ended() && len(lines) == 0
			return strings.Join(out, ""), found
		}
		out = append(out, string(z.Raw()))
		switch kind {
		case nethtml.TextToken:
			line = append(line, len(out)-1)
			text.Write(z.Text())
		case nethtml.StartTagToken, nethtml.EndTagToken, nethtml.SelfClosingTagToken:
			if name, _ := z.TagName(); lineBreakers[string(name)] && !ended() {
				return "", false
			}
		}
	}
	for {
		kind := z.Next()
		if kind == nethtml.ErrorToken {
			return strings.Join(out, ""), true
		}
		out = append(out, string(z.Raw()))
	}
}
