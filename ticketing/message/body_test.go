package message

import (
	"io"
	"strings"
	"testing"
)

func part(head, body string) string { return head + "\n\n" + body }

// TestPartText: charsets, encodings and the like, as labelled and as they are.
func TestPartText(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, head, body, want string }{
		{"utf-8", "Content-Type: text/plain; charset=utf-8", "Grüße", "Grüße"},
		{"no charset", "Content-Type: text/plain", "Grüße", "Grüße"},
		{"latin-1 without charset", "Content-Type: text/plain", "Sch\xf6ne Gr\xfc\xdfe aus K\xf6ln", "Schöne Grüße aus Köln"},
		{"latin-1 labelled ascii", "Content-Type: text/plain; charset=us-ascii", "Gr\xfc\xdfe", "Grüße"},
		{"windows-1252 labelled latin-1", "Content-Type: text/plain; charset=iso-8859-1", "\x8412 \x80\x93", "„12 €“"},
		{"utf-8 labelled latin-1", "Content-Type: text/plain; charset=iso-8859-1", "Grüße", "Grüße"},
		{"latin-1 labelled utf-8", "Content-Type: text/plain; charset=utf-8", "Gr\xfc\xdfe", "Grüße"},
		{"damaged utf-8", "Content-Type: text/plain; charset=utf-8", "Grüße aus Köln \xc3", "Grüße aus Köln \uFFFD"},
		{"gb2312 with gbk characters", "Content-Type: text/plain; charset=gb2312", "\xe9F", "镕"},
		{"korean code page", "Content-Type: text/plain; charset=ks_c_5601-1987", "\x8cc", "똠"},
		{"koi8-r", "Content-Type: text/plain; charset=koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"},
		{"utf-16 without mark", "Content-Type: text/plain; charset=utf-16", "h\x00i\x00", "hi"},
		{"utf-7 stays", "Content-Type: text/plain; charset=utf-7", "+ADw-script+AD4-", "+ADw-script+AD4-"},
		{"unknown charset", "Content-Type: text/plain; charset=klingon", "Gr\xfc\xdfe", "Grüße"},
		{"quoted-printable", "Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=utf-8", "Gr=C3=BC=\nsse  \n=XY=3d=", "Grüsse\n=XY="},
		{"base64", "Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=utf-8", "R3L!DvMOf\r\nZQ==", "Grüße"},
		{"base64, two bodies", "Content-Transfer-Encoding: base64", "YQ==\nYg==\n", "ab"},
		{"base64, junk behind", "Content-Transfer-Encoding: base64", "YQ== junk\nYg==\n", "ab"},
		{"control characters", "Content-Type: text/plain", "a\x00b\x07c\x1b[1m\r\nd\x0c", "abc[1m\nd\n"},
		{"mark at the beginning", "Content-Type: text/plain; charset=utf-8", "\xef\xbb\xbfhi", "hi"},
		{"flowed", "Content-Type: text/plain; format=flowed", "one \ntwo\n> q \n> r\n >not\n-- \nme", "one two\n> q r\n>not\n-- \nme"},
		{"flowed, delsp", "Content-Type: text/plain; format=flowed; delsp=yes", "one \ntwo", "onetwo"},
		{"meta charset", "Content-Type: text/html", "<meta charset=koi8-r>\xf0\xd2", "<meta charset=koi8-r>Пр"},
	}
	for _, tt := range tests {
		m := parseBytes(t, part(tt.head, tt.body))
		if got := m.PartText(m.Root); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestUuencode(t *testing.T) {
	t.Parallel()
	m := parseBytes(t, "Subject: x\n\nbefore\nbegin 644 ../cat.txt\n#0V%T\n`\nend\nafter\nbegin 5 not a file\n")
	if got := m.Text(); got != "before\nafter\nbegin 5 not a file\n" {
		t.Errorf("text %q", got)
	}
	files := m.Attachments()
	if len(files) != 1 || files[0].Filename != "cat.txt" {
		t.Fatalf("attachments %v", files)
	}
	if b, err := io.ReadAll(m.Open(files[0])); string(b) != "Cat" || err != nil {
		t.Errorf("content %q, %v", b, err)
	}
	m = parseBytes(t, "Content-Type: application/octet-stream\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 cat.txt\n#0V%T\n`\nend\n")
	if b, _ := io.ReadAll(m.Open(m.Root)); string(b) != "Cat" {
		t.Errorf("whole part %q", b)
	}
}

// TestBodies: which parts are shown, and which are attachments.
func TestBodies(t *testing.T) {
	t.Parallel()
	multi := func(kind, b string, parts ...string) string {
		var out strings.Builder
		out.WriteString("Content-Type: multipart/" + kind + "; boundary=" + b + "\n\n")
		for _, p := range parts {
			out.WriteString("--" + b + "\n" + p + "\n")
		}
		return out.String() + "--" + b + "--"
	}
	text := part("Content-Type: text/plain", "hello")
	html := part("Content-Type: text/html", "<p>hello <b>html</b></p>")
	image := part("Content-Type: image/png\nContent-ID: <i@x>", "PNG")
	file := part("Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf", "PDF")
	textFile := part("Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt", "file")
	mail := part("Content-Type: message/rfc822", part("Subject: inner", "inner text"))
	tests := []struct{ name, raw, text, html, files string }{
		{"text", text, "hello", "", ""},
		{"html", html, "hello html", "<p>hello <b>html</b></p>", ""},
		{"alternative", multi("alternative", "a", text, html), "hello", "<p>hello <b>html</b></p>", ""},
		{"empty text beside html", multi("alternative", "a", part("Content-Type: text/plain", " "), html), "hello html", "<p>hello <b>html</b></p>", ""},
		{"related", multi("alternative", "a", text, multi("related", "r", html, image)), "hello", "<p>hello <b>html</b></p>", "image/png"},
		{"related, picture first", multi("related", "r", image, html), "hello html", "<p>hello <b>html</b></p>", "image/png"},
		{"mixed", multi("mixed", "m", multi("alternative", "a", text, multi("related", "r", html, image)), file, textFile), "hello", "<p>hello <b>html</b></p>", "image/png a.pdf a.txt"},
		{"two texts around a file", multi("mixed", "m", text, file, text), "hello\nhello", "", "a.pdf"},
		{"text and html one after the other", multi("mixed", "m", text, html), "hello\nhello html", `<div style="white-space:pre-wrap">hello</div><p>hello <b>html</b></p>`, ""},
		{"signed", multi("signed", "s", text, part("Content-Type: application/pgp-signature", "sig")), "hello", "", "application/pgp-signature"},
		{"nested mail", multi("mixed", "m", text, mail), "hello", "", "message/rfc822"},
		{"only a mail", mail, `This mail has no text. It contains: a mail "inner" (26 bytes).`, "", "message/rfc822"},
		{"only a file", file, `This mail has no text. It contains: "a.pdf" (application/pdf, 3 bytes).`, "", "a.pdf"},
		{"only other text", part("Content-Type: text/enriched", "<bold>hello</bold>"), "hello", "", "text/enriched"},
	}
	for _, tt := range tests {
		m := parseBytes(t, tt.raw)
		if got := m.Text(); got != tt.text {
			t.Errorf("%s: text %q, want %q", tt.name, got, tt.text)
		}
		if got := m.HTML(); got != tt.html {
			t.Errorf("%s: html %q, want %q", tt.name, got, tt.html)
		}
		var files []string
		for _, p := range m.Attachments() {
			name := p.Filename
			if name == "" {
				name = p.Type
			}
			files = append(files, name)
		}
		if got := strings.Join(files, " "); got != tt.files {
			t.Errorf("%s: attachments %q, want %q", tt.name, got, tt.files)
		}
	}
}

func TestHTMLToText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"<p>one</p><p>two<br>three</p>":                          "one\n\ntwo\nthree",
		"<div>one</div><div><br></div><div>two</div>":            "one\n\ntwo",
		"a\n  b&nbsp;c &lt;d&gt;":                                "a b c <d>",
		"<blockquote>a<blockquote>b</blockquote>c</blockquote>d": "> a\n>> b\n> c\nd",
		"<ul><li>a<li>b<ol><li>c</ol></ul>":                      "- a\n- b\n  1. c",
		"<ol start=3><li>a<li>b</ol><ol start=0><li>c</ol>":      "3. a\n4. b\n0. c",
		"<table><tr><td>a<td>b<tr><td>c<td>d</table>":            "a\tb\nc\td",
		`<a href="https://x.example/y">here</a>`:                 "here <https://x.example/y>",
		`<a href="https://x.example/">x.example</a>`:             "x.example",
		`<a href="mailto:a@b.example">a@b.example</a>`:           "a@b.example",
		`<a href="javascript:x">here</a>`:                        "here",
		`<img src=cid:x alt="a cat">`:                            "[a cat]",
		"<pre>a\n  b</pre>":                                      "a\n  b",
		"<style>p{}</style><script>x</script><title>t</title>a":  "a",
		`<div style="display:none">hidden</div>shown`:            "shown",
		`<div style="display: none">never closed`:                "never closed",
		"a<hr>b":                  "a\n----------\nb",
		"so\u00adft hy\u200bphen": "soft hyphen",
		"a\x00b":                  "ab",
	} {
		if got := HTMLToText(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
