package message

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"
)

// TestCompressedRTF has the examples of MS-OXRTFCP §3, and damaged ones.
func TestCompressedRTF(t *testing.T) {
	t.Parallel()
	head := func(raw int, magic uint32) string {
		b := make([]byte, 16)
		binary.LittleEndian.PutUint32(b[4:], uint32(raw))
		binary.LittleEndian.PutUint32(b[8:], magic)
		return string(b)
	}
	for _, c := range []struct{ name, in, want string }{
		{"simple", helloRTF, "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"},
		{"reading from before writing", "\x1a\x00\x00\x00\x1c\x00\x00\x00\x4c\x5a\x46\x75\xe2\xd4\x4b\x51\x41\x00\x04\x20\x57\x58\x59\x5a\x0d\x6e\x7d\x01\x0e\xb0", "{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"},
		{"uncompressed", head(5, melaMagic) + "{\\rtf and more", "{\\rtf"},
		{"without a header", "{\\rtf1 hello there}", "{\\rtf1 hello there}"},
		{"short", "{}", "{}"},
		{"empty", "", ""},
		{"cut", helloRTF[:30], "{\\rtf1\\ansi\\ansicpg125"},
		{"header only", head(100, lzfuMagic), ""},
		{"a size that is too small", head(6, lzfuMagic) + helloRTF[16:], "{\\rtf1"},
	} {
		b, err := io.ReadAll(newLZFu(strings.NewReader(c.in)))
		if got := string(b); err != nil || !strings.HasPrefix(got, c.want) || len(got) > len(c.want)+8 {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	// A bomb: every item repeats what is there. It makes nine bytes of one.
	bomb := head(1<<31-1, lzfuMagic) + strings.Repeat("\xff"+strings.Repeat("\x00\x0f", 8), 60_000)
	n, err := io.Copy(io.Discard, newLZFu(strings.NewReader(bomb)))
	if err != nil || n > 9*int64(len(bomb)) {
		t.Errorf("%d bytes of %d, %v", n, len(bomb), err)
	}
}

// TestRTF: what a document says.
func TestRTF(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, text, html string }{
		{"text", `{\rtf1\ansi hello\par world}`, "hello\nworld", ""},
		{"characters", `{\rtf1\ansi\ansicpg1250 \'8elut\'fd \{k\\f9\}\tab x\~y\emdash z}`, "Žlutý {k\\f9}\tx\u00a0y—z", ""},
		{"unicode", `{\rtf1\ansi\uc1 K\u246?ln \uc2\u8364??5 \uc0\u-10179\u-8704 .}`, "Köln €5 😀.", ""},
		{"unicode with a hex stand-in", `{\rtf1 K\u246\'f6ln}`, "Köln", ""},
		{"font charsets", `{\rtf1\ansi{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial Cyr;}{\f2\fcharset128 Mincho;}}\f0 a\f1\'cf\'f0\'e8\f2\'82\'b1\f0 b}`, "aПриこb", ""},
		{"skipped", `{\rtf1{\colortbl;\red0;}{\stylesheet{\s0 Normal;}}{\info{\author Anna}}{\*\generator Word;}{\pict 0102}{\header top}text}`, "text", ""},
		{"binary", "{\\rtf1 a{\\pict\\bin4 }}}}}b}", "ab", ""},
		{"link", `{\rtf1 see {\field{\*\fldinst{HYPERLINK "http://x.example/a"}}{\fldrslt{\ul the page}}}.}`, "see the page <http://x.example/a>.", ""},
		{"link that shows its address", `{\rtf1 {\field{\*\fldinst HYPERLINK "http://x.example"}{\fldrslt http://x.example}}}`, "http://x.example", ""},
		{"table", `{\rtf1 a\cell b\cell\row c\cell\row}`, "a\tb\t\nc\t\n", ""},
		{"HTML", `{\rtf1\fromhtml1 {\*\htmltag19 <html>}{\*\htmltag64 <p>}\htmlrtf {\b bold for Word}\htmlrtf0 a {\*\htmltag84 &lt;}\htmlrtf <\htmlrtf0  b{\*\htmltag72 </p>}}`, "", "<html><p>a &lt; b</p>"},
		{"unbalanced", `{\rtf1 a}}}} b {\i c`, "a b c", ""},
		{"cut control", `{\rtf1 a\'4`, "a4", ""},
	} {
		text, html := rtfText([]byte(c.in), 1<<20)
		if strings.TrimSpace(text) != strings.TrimSpace(c.text) || strings.TrimSpace(html) != c.html {
			t.Errorf("%s: %q %q, want %q %q", c.name, text, html, c.text, c.html)
		}
	}
}

// TestRTFBombs: time and result stay in proportion.
func TestRTFBombs(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"groups":   "{\\rtf1 " + strings.Repeat("{", 1<<20),
		"fonts":    "{\\rtf1{\\fonttbl" + strings.Repeat("{\\f1\\fcharset204 a;}", 50_000) + "}" + strings.Repeat("\\f1\\'cf\\f0\\'cf", 50_000),
		"fields":   "{\\rtf1 " + strings.Repeat("{\\field{\\*\\fldinst HYPERLINK \"x\"}{\\fldrslt y}}", 30_000),
		"nested":   "{\\rtf1 " + strings.Repeat("{\\fldrslt y", 50_000) + strings.Repeat("}", 50_000),
		"escapes":  strings.Repeat("\\'", 500_000),
		"unicode":  "{\\rtf1\\uc64 " + strings.Repeat("\\u-1", 200_000),
		"binaries": strings.Repeat("\\bin9999999999 ", 50_000),
	} {
		start := time.Now()
		text, html := rtfText([]byte(in), 1<<20)
		took := time.Since(start)
		t.Logf("%s: %d bytes give %d, %v", name, len(in), len(text)+len(html), took.Round(time.Millisecond))
		if len(text)+len(html) > 2<<20 || took > time.Minute {
			t.Errorf("%s: %d bytes, %v", name, len(text)+len(html), took)
		}
	}
}
