package message

import (
	"strings"
	"testing"
)

// threadText is an answer of some lines over a thread of the given length, as
// top-posting leaves it.
func threadText(mails int) string {
	var b strings.Builder
	b.WriteString("Hello,\n\nit is 4711, and the lamp is off.\n\nAnna\n")
	mark := ""
	for range mails {
		b.WriteString("\n" + mark + "On 2 Nov 2026 at 09:30, Support <support@help.example> wrote:\n")
		mark += ">"
		b.WriteString(mark + " " + strings.ReplaceAll(heldReply, "\n", "\n"+mark+" ") + "\n" + mark + " \n" + mark + " The line above is quoted with each mail once more.\n")
	}
	return b.String()
}

// threadPage is the same as HTML.
func threadPage(mails int) string {
	p := "<div dir=\"ltr\">Hello,<div><br></div><div>it is 4711, and the lamp is off.</div></div>"
	end := ""
	for range mails {
		p += `<br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Mon, Nov 2, 2026 at 9:30 AM Support &lt;<a href="mailto:support@help.example">support@help.example</a>&gt; wrote:<br></div><blockquote class="gmail_quote" style="margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex"><div style="font-family:arial,sans-serif;color:#222222">` +
			strings.ReplaceAll(heldReply, "\n", "<br>\n") + `<img src="https://x.example/logo.png" width="100" alt="logo"></div>`
		end += "</blockquote></div>"
	}
	return p + end
}

// What each message costs when somebody reads it: MB/s and allocations of the
// extraction, the text of a page, and the page itself.
func BenchmarkReply(b *testing.B) {
	text, page := threadText(40), threadPage(40)
	held := []string{heldReply, threadText(3), "Something else."}
	for name, run := range map[string]struct {
		size int
		f    func() int
	}{
		"text":           {len(text), func() int { v, _ := VisibleText(text); return len(v) }},
		"text with held": {len(text), func() int { v, _ := VisibleText(text, held...); return len(v) }},
		"html":           {len(page), func() int { v, _ := VisibleHTML(page); return len(v) }},
		"html to text":   {len(page), func() int { return len(HTMLToText(page)) }},
		"sanitise":       {len(page), func() int { return len(SanitizeHTML(page)) }},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(run.size))
			b.ReportAllocs()
			for b.Loop() {
				if run.f() == 0 {
					b.Fatal("nothing came out")
				}
			}
		})
	}
}
