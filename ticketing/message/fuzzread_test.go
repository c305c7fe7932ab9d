package message

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzTNEF reads containers, with the mail's own text around them.
func FuzzTNEF(f *testing.F) {
	w := newTNEF()
	w.attribute(1, 0x00060000|attMAPIProps, props(prop{propSubject, typeUnicode, wide("x"), ""}, prop{propRTF, typeBinary, []byte(helloRTF), ""}, prop{propHTML, typeBinary, []byte("<p>x"), ""}, prop{0x8005, typeMultiple | typeLong, le(1, 4), "n"}))
	w.file("A.TXT", "a.txt", []byte("first file"))
	f.Add(w.b.Bytes())
	o := newTNEF()
	o.attribute(2, 0x00060000|attAttachment, props(prop{propData, typeObject, append([]byte(iidMessage), w.b.Bytes()...), ""}))
	f.Add(o.b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(strings.NewReader("Content-Type: application/ms-tnef\n\n"+string(b)), int64(len(b)+36), Limits{Depth: 6, Parts: 20})
		if err != nil {
			t.Fatal(err)
		}
		checkMail(t, "fuzz", m)
		for _, p := range m.Attachments() {
			if n, err := io.Copy(io.Discard, m.Open(p)); err != nil || p.Encoding != compressedRTF && n > int64(len(b)) {
				t.Errorf("%s: %d bytes of %d, %v", p.ID, n, len(b), err)
			}
		}
	})
}

func FuzzCompressedRTF(f *testing.F) {
	f.Add([]byte(helloRTF))
	f.Add([]byte("\x1a\x00\x00\x00\x1c\x00\x00\x00\x4c\x5a\x46\x75\xe2\xd4\x4b\x51\x41\x00\x04\x20\x57\x58\x59\x5a\x0d\x6e\x7d\x01\x0e\xb0"))
	f.Add([]byte("xxxx\x05\x00\x00\x00MELAyyyy{\\rtf"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := io.Copy(io.Discard, newLZFu(strings.NewReader(string(b))))
		if err != nil || n > 9*int64(len(b))+18 {
			t.Errorf("%d bytes of %d, %v", n, len(b), err)
		}
	})
}

func FuzzRTF(f *testing.F) {
	for _, s := range []string{
		`{\rtf1\ansi\ansicpg1250 \'8elut\'fd \{k\}\par\tab\u246?\uc2\u8364??}`, `{\rtf1{\fonttbl{\f1\fcharset128 x;}}\f1\'82\'b1{\pict\bin4 }}}}}`,
		`{\rtf1\fromhtml1 {\*\htmltag64 <p>}\htmlrtf \par\htmlrtf0 x}`, `{\rtf1{\field{\*\fldinst HYPERLINK "http://x"}{\fldrslt y}}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, html := rtfText([]byte(s), 1<<16)
		if len(text)+len(html) > 2<<16 {
			t.Errorf("%d bytes", len(text)+len(html))
		}
		checkText(t, "text", cleanText(text))
		checkText(t, "html", cleanText(html))
	})
}

func FuzzCalendar(f *testing.F) {
	for _, s := range []string{
		ical("REQUEST", "SUMMARY:x\\, y", "DTSTART;TZID=\"a:b\":20261105T100000", "DURATION:P1DT2H", "RRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20271231", "ORGANIZER;CN=\"A;B\":mailto:a@b", "LOCATION:r", " est"),
		ical("REPLY", "ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@b", "DTSTART;VALUE=DATE:20261105", "DTEND;VALUE=DATE:20261106"), "BEGIN:VTODO\nDUE:1\nEND:", "a.SUMMARY;x=\":\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := ParseCalendar(s)
		if c == nil {
			return
		}
		if len(c.Events) > maxEvents {
			t.Errorf("%d events", len(c.Events))
		}
		checkText(t, "calendar", c.String())
		for _, e := range c.Events {
			checkLine(t, "summary", e.Summary)
			checkLine(t, "organizer", e.Organizer)
			checkLine(t, "repeats", e.Repeats)
			checkText(t, "description", e.Description)
		}
	})
}

func FuzzUUEncode(f *testing.F) {
	f.Add("hello\nbegin 644 a.txt\n#0V%T\n`\nend\nbye\n")
	f.Add("begin 644 a\nbegin 644 b\n#0V%T\nend\nbegin 7777 c\n")
	f.Fuzz(func(t *testing.T, body string) {
		raw := "Subject: x\n\n" + body
		m, err := Parse(strings.NewReader(raw), int64(len(raw)), Limits{Parts: 20})
		if err != nil {
			t.Fatal(err)
		}
		checkMail(t, "fuzz", m)
		at := m.Root.Start
		for _, b := range m.Root.uu {
			if b.start < at || b.end <= b.start || b.part.Start < b.start || b.part.End > b.end {
				t.Errorf("block [%d,%d) with data [%d,%d) after %d", b.start, b.end, b.part.Start, b.part.End, at)
			}
			at = b.end
		}
		n, err := io.Copy(io.Discard, &uuReader{r: bufio.NewReaderSize(strings.NewReader(body), 4<<10)})
		if err != nil || n > 3*int64(len(body)) { // trailing blanks may be lost, which are data
			t.Errorf("%d bytes of %d, %v", n, len(body), err)
		}
	})
}

// FuzzParams reads parameters and the file names in them.
func FuzzParams(f *testing.F) {
	for _, s := range []string{
		`attachment; filename="a b.pdf"; filename*=utf-8''%e2%82%ac.pdf`, `x/y; name*0*=iso-8859-1'de'%fc; name*1="..\\..\\b"; name*1=c`, `attachment; filename=C:\a b; size=1`,
		"attachment; filename=\"=?utf-8?q?=2E=2E=2F?=a\u202egpj.exe\"", "a/b (c (d); e=f; g", "text/plain; charset=\"utf-8\"; format=flowed", "x; filename=con .txt; filename=\"nul\x00\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		main, params := parseParams(s)
		if !strings.Contains(mediaType(main, "text/plain"), "/") {
			t.Errorf("type %q", main)
		}
		for k, v := range params {
			if utf8.ValidString(s) {
				checkLine(t, k, v)
			}
			checkFilename(t, safeFilename(v))
		}
		checkFilename(t, safeFilename(s))
	})
}

// FuzzCharset converts bytes under any label.
func FuzzCharset(f *testing.F) {
	for _, cs := range []string{"utf-8", "iso-2022-jp", "iso-2022-kr", "gb18030", "big5", "shift_jis", "euc-kr", "utf-16", "utf-32", "utf-7", "windows-1251", "hz-gb-2312", "", "x-none", "cp1361"} {
		f.Add("\x1b$B$3$s\x1b(B \xc4\xe3\xba\xc3 \x0e>H\x0f a\x00", cs)
	}
	f.Fuzz(func(t *testing.T, s, charset string) {
		out := toUTF8([]byte(s), charset)
		if !utf8.ValidString(out) || len(out) > 8*len(s)+16 {
			t.Errorf("%q as %q gives %q", s, charset, out)
		}
		checkText(t, "text", cleanText(out))
		checkLine(t, "line", cleanLine(out))
	})
}

func FuzzFlowed(f *testing.F) {
	f.Add("a \nb\n> c \n>> d \n-- \nx", true)
	f.Fuzz(func(t *testing.T, s string, delSP bool) {
		// Every word survives the joining of lines.
		if out := unflow(s, delSP); !delSP && noMarks(out) != noMarks(s) {
			t.Errorf("%q became %q", s, out)
		}
		if out := enrichedText(s, delSP); len(out) > len(s) {
			t.Errorf("%q became %q", s, out)
		}
	})
}

func noMarks(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '>' || r == ' ' || r == '\n' {
			return -1
		}
		return r
	}, s)
}

func FuzzCMS(f *testing.F) {
	for _, file := range []string{"opaque-der", "opaque-ber", "encrypted"} {
		m := parseFile(f, "testdata/smime/"+file+".eml")
		f.Add(m.content(m.Root, 1<<16))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if kind, content := cmsContent(b); len(content) > len(b) || kind == "" && len(content) > 0 {
			t.Errorf("%q with %d bytes of %d", kind, len(content), len(b))
		}
	})
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"Müller", "Straße", "İı", "שָׁלוֹם", "ｶﾞ", "हिन्दी", "ﷺ", "a\u0301\u0327", "\u0345", "ẞﬀ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := Normalize(s, 200)
		checkLine(t, "normal", out)
		if len(out) > 200 {
			t.Errorf("%d bytes", len(out))
		}
		if again := Normalize(out, 1000); again != out {
			t.Errorf("%q is not stable: %q, then %q", s, out, again)
		}
	})
}
