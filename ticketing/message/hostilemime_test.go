package message

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// nestedParts wraps a text into so many multiparts.
func nestedParts(depth int) string {
	var head, tail strings.Builder
	for i := range depth {
		fmt.Fprintf(&head, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
		fmt.Fprintf(&tail, "\n--b%d--", depth-1-i)
	}
	return head.String() + "\nhello" + tail.String() + "\n"
}

// mixed is a mail of the given parts.
func mixed(parts ...string) string {
	return "Content-Type: multipart/mixed; boundary=b\n\n--b\n" + strings.Join(parts, "\n--b\n") + "\n--b--\n"
}

// attached is a file with a header of its own.
func attached(header, content string) string {
	return mixed("\nhello", "Content-Type: application/octet-stream\n"+header+"\n\n"+content)
}

func zipOf(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHostileMIME is group I: trees, encodings and files.
func TestHostileMIME(t *testing.T) {
	attachments := seenCount(func(m *Mail) int { return len(m.Attachments()) })
	parts := seenCount(func(m *Mail) int { return m.parts })
	var cases []hostile
	add := func(name, raw string, want func(*Mail) string, is string) {
		cases = append(cases, hostile{name, raw, want, is})
	}
	// Depth and number.
	for _, n := range []int{10, 48} {
		add(fmt.Sprintf("depth %d", n), nestedParts(n), seenText, "hello")
	}
	for _, n := range []int{50, 99, 100, 101, 10_000} {
		add(fmt.Sprintf("depth %d", n), nestedParts(n), seenProblem("nested deeper than 50"), "said")
	}
	for n, is := range map[int]string{998: "1000", 1000: "1000", 10_000: "1000", 100_000: "1000"} {
		add(fmt.Sprintf("%d parts", n), mixed(append([]string{"\nhello"}, strings.Split(strings.Repeat("\nx\n--b\n", n-1)+"\nlast", "\n--b\n")[:n]...)...), parts, is)
	}
	for n, is := range map[int]string{10: "inner", 10_000: "said"} {
		want := seenProblem("nested deeper than 50")
		if n == 10 {
			want = func(m *Mail) string { return m.Attachments()[0].Parts[0].Header.Text("Subject") }
			add("a chain of 1 mail", "Content-Type: message/rfc822\n\nSubject: inner\n\nhello\n", want, is)
			continue
		}
		add(fmt.Sprintf("a chain of %d mails", n), strings.Repeat("Content-Type: message/rfc822\n\n", n)+"Subject: inner\n\nhello\n", want, is)
	}
	encoded := "Subject: core\n\nhello\n"
	for i := range 12 {
		encoded = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(encoded)) + "\n"
		if i == 2 || i == 11 {
			add(fmt.Sprintf("%d mails in base64 in each other", i+1), encoded, attachments, "1")
		}
	}
	self := "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n"
	add("mails with one boundary", strings.Repeat(self, 40)+"hello\n--b--\n", nil, "")
	// Boundaries.
	for n, is := range map[int]string{1: "hello", 70: "hello", 256: "hello"} {
		b := strings.Repeat("x", n)
		add(fmt.Sprintf("boundary of %d", n), "Content-Type: multipart/mixed; boundary="+b+"\n\n--"+b+"\n\nhello\n--"+b+"--\n", seenText, is)
	}
	for _, n := range []int{257, 2048, 3000} {
		b := strings.Repeat("x", n)
		add(fmt.Sprintf("boundary of %d", n), "Content-Type: multipart/mixed; boundary="+b+"\n\n--"+b+"\n\nhello\n--"+b+"--\n", seenProblem("longer than 256"), "said")
	}
	nested := func(outer, inner string) string {
		return "Content-Type: multipart/mixed; boundary=\"" + outer + "\"\n\n--" + outer + "\nContent-Type: multipart/mixed; boundary=\"" + inner + "\"\n\n--" + inner + "\n\none\n--" + inner + "\n\ntwo\n--" + inner + "--\n--" + outer + "\n\nthree\n--" + outer + "--\n"
	}
	for name, b := range map[string][2]string{"the inner one longer": {"b", "bb"}, "the outer one longer": {"bb", "b"}, "with dashes": {"b", "b-"}, "with letters that mean something": {"a.*(b)", "a?b+"}, "with a blank": {"a b", "a b c"}} {
		add("two boundaries, "+name, nested(b[0], b[1]), seenText, "one\ntwo\nthree")
	}
	add("one boundary twice", nested("b", "b"), nil, "")
	add("a boundary that ends like the last", "Content-Type: multipart/mixed; boundary=\"b--\"\n\n--b--\n\nhello\n--b----\n", seenText, "hello")
	add("never closed", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n", seenText, "hello")
	add("only closed", "Content-Type: multipart/mixed; boundary=b\n\nhello\n--b--\n", seenProblem("nothing"), "")
	add("never seen", "Content-Type: multipart/mixed; boundary=b\n\nhello\n", seenText, "hello")
	add("not named", "Content-Type: multipart/mixed\n\n--b\nContent-Type: text/plain\n\nhello\n--b--\n", seenText, "hello")
	add("empty", "Content-Type: multipart/mixed; boundary=\"\"\n\nhello\n", seenText, "hello")
	add("behind blanks", "Content-Type: multipart/mixed; boundary=b\n\n  --b\n\nhello\n --b--\n", seenText, "hello")
	add("parts after the end", mixed("\nhello")+"--b\n\nmore\n--b--\n", seenText, "hello\nmore")
	add("a part without a blank line", mixed("hello there\nand more\nand more\nand more\nand more\nand more\nand more"), func(m *Mail) string { return fmt.Sprint(strings.Contains(m.Text(), "hello there")) }, "true")
	add("a part of nothing", mixed("", "\nhello", ""), seenText, "hello")
	// Encodings.
	for name, c := range map[string][3]string{
		"base64 with rubbish":            {"base64", "aGV*sb\x00 G\n8=!!", "hello"},
		"base64 with = in it":            {"base64", "aGVs=bG8=", "hellX"},
		"base64 cut":                     {"base64", "aGVsbG", "hell"},
		"base64 of the URL alphabet":     {"base64", "_-_-", "\xff\xef\xfe"},
		"base64 of =":                    {"base64", strings.Repeat("=", 100_000), ""},
		"base64 with text behind":        {"base64", "aGVsbG8=\n-- \nscanned by", ""},
		"base64 in a line of 1 MB":       {"base64", strings.Repeat("QUJD", 1<<18), ""},
		"quoted-printable of =":          {"quoted-printable", strings.Repeat("=", 1<<19), ""},
		"quoted-printable soft breaks":   {"quoted-printable", strings.Repeat("=\n", 1<<18), ""},
		"quoted-printable blanks":        {"quoted-printable", strings.Repeat(" ", 1<<20), ""},
		"quoted-printable that is wrong": {"quoted-printable", "h=65llo=ZZ=6", "hello=ZZ=6"},
		"quoted-printable in lower case": {"quoted-printable", "h=c3=b6", "hö"},
		"an encoding nobody knows":       {"x-rot13", "uryyb", "uryyb"},
		"uuencoded":                      {"x-uuencode", "begin 644 a\n%:&5L;&\\ \n`\nend", "hello"},
	} {
		want := func(m *Mail) string { return strings.TrimRight(seenFirst(m), "\r\n") }
		if c[2] == "" || c[2] == "hellX" {
			want, c[2] = nil, ""
		}
		add(name, attached("Content-Transfer-Encoding: "+c[0], c[1]), want, c[2])
	}
	// File names.
	for header, is := range map[string]string{
		"filename=\"a\x00.exe\"":                                "a.exe",
		`filename="../../etc/passwd"`:                           "passwd",
		`filename="..\\..\\a.exe"`:                              "a.exe",
		"filename=\"a\u202egpj.exe\"":                           "agpj.exe",
		"filename=CON.txt":                                      "_CON.txt",
		"filename=\"nul .a\"":                                   "_nul .a",
		"filename=\"...\"":                                      "",
		"filename=\"/\"":                                        "",
		"filename=\"=?utf-8?q?a=0D=0AX:b?=\":x":                 "a  X_b",
		`filename*0="a"; filename*1="b"; filename*2=".exe"`:     "ab.exe",
		`filename*1="b.exe"; filename*0="a"`:                    "ab.exe",
		`filename*0*=utf-8''%2e%2e%5c; filename*1*=%61.exe`:     "a.exe",
		`filename*0*=utf-8''a; filename*2*=.exe`:                "a.exe",
		`filename="safe.txt"; filename*=utf-8''evil.exe`:        "evil.exe",
		`filename="first.txt"; filename="second.exe"`:           "first.txt",
		`filename*=x-none''%ff.exe`:                             "ÿ.exe",
		"filename=\"" + strings.Repeat("x", 10_000) + ".exe\"":  strings.Repeat("x", 251) + ".exe",
		"filename=" + strings.Repeat("a/", 50_000) + "b":        "b",
		"filename=a" + strings.Repeat("; filename*1=b", 50_000): "b",
	} {
		add("name "+cutRunes(header, 40), attached("Content-Disposition: attachment; "+header, "x"), seenNames, is)
	}
	add("two dispositions", attached("Content-Disposition: attachment; filename=a.txt\nContent-Disposition: attachment; filename=b.exe", "x"), seenNames, "a.txt")
	add("two names", attached("Content-Disposition: attachment; filename=a.txt\nContent-Type: x/y; name=b.exe", "x"), seenNames, "a.txt")
	// Archives are never opened.
	bomb := zipOf(t, "zeros", make([]byte, 10<<20))
	for name, file := range map[string][]byte{"zip of 1000:1": bomb, "zip in a zip": zipOf(t, "inner.zip", bomb)} {
		add(name, attached("Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=a.zip", base64.StdEncoding.EncodeToString(file)), func(m *Mail) string { return fmt.Sprint(seenFirst(m) == string(file)) }, "true")
	}
	// Charsets, flowed text, protection, calendars.
	for name, c := range map[string][2]string{
		"UTF-7":                    {"text/plain; charset=utf-7\n\n+ADw-script+AD4-", "+ADw-script+AD4-"},
		"a charset nobody knows":   {"text/plain; charset=x-none\n\nhello", "hello"},
		"UTF-16 cut in the middle": {"text/plain; charset=utf-16le\n\nh\x00i\x00!", "hi\uFFFD"},
		"flowed":                   {"text/plain; format=flowed\n\nhel \nlo", "hel lo"},
		"flowed, blanks deleted":   {"text/plain; format=flowed; delsp=yes\n\nhel \nlo", "hello"},
		"flowed quotes":            {"text/plain; format=flowed\n\n> a \n> b\n>> c", "> a b\n>> c"},
		"1000 events":              {"text/calendar\n\n" + strings.Repeat("BEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\n", 1000), ""},
		"an event of 1 MB":         {"text/calendar\n\nBEGIN:VEVENT\nSUMMARY:" + strings.Repeat("x\n ", 300_000), ""},
		"calendar in calendars":    {"text/calendar\n\n" + strings.Repeat("BEGIN:VCALENDAR\nBEGIN:VEVENT\n", 50_000), ""},
	} {
		want := seenText
		if c[1] == "" {
			want = nil
		}
		add(name, "Content-Type: "+c[0], want, c[1])
	}
	add("S/MIME of open lengths", "Content-Type: application/pkcs7-mime\n\n"+strings.Repeat("\x30\x80", 200_000), attachments, "1")
	add("S/MIME in pieces", "Content-Type: application/pkcs7-mime\n\n\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80\x06\x01\x01\xa0\x80\x24\x80"+strings.Repeat("\x04\x01x", 100_000), attachments, "1")
	// TNEF.
	whole := newTNEF()
	whole.file("A.TXT", "a.txt", []byte("hello"))
	add("winmail.dat", winmail("hello", whole.b.Bytes()), seenNames, "a.txt")
	add("winmail.dat that is none", winmail("hello", []byte("MZ")), seenNames, "winmail.dat")
	add("winmail.dat cut", winmail("hello", whole.b.Bytes()[:whole.b.Len()-20]), seenNames, "A.TXT winmail.dat")
	huge := newTNEF()
	huge.b.Write(append([]byte{2}, append(le(0x00060000|attAttachData, 4), le(0xffffffff, 4)...)...))
	add("a file of 4 GiB in winmail.dat", winmail("hello", huge.b.Bytes()), seenProblem("damaged"), "said")
	many := newTNEF()
	for range 3000 {
		many.file("A.TXT", "a.txt", []byte("hello"))
	}
	add("3000 files in winmail.dat", winmail("hello", many.b.Bytes()), parts, "1000")
	inner := whole.b.Bytes()
	for range 20 {
		w := newTNEF()
		w.attribute(2, 0x00060000|attAttachment, props(prop{propData, typeObject, append([]byte(iidMessage), inner...), ""}))
		inner = w.b.Bytes()
	}
	add("containers in containers", winmail("hello", inner), seenProblem("is not read"), "said")
	rtfBomb := append(append(le(1<<20, 4), le(1<<31-1, 4)...), append(le(lzfuMagic, 4), append(le(0, 4), strings.Repeat("\xff"+strings.Repeat("\x00\x0f", 8), 60_000)...)...)...)
	w := newTNEF()
	w.attribute(1, 0x00060000|attMAPIProps, props(prop{propRTF, typeBinary, rtfBomb, ""}))
	add("RTF that grows in winmail.dat", winmail("", w.b.Bytes()), nil, "")
	p := newTNEF()
	p.attribute(1, 0x00060000|attMAPIProps, append(le(0xffffffff, 4), bytes.Repeat([]byte{3, 0, 1, 0, 0, 0, 0, 0}, 60_000)...))
	add("properties without end in winmail.dat", winmail("hello", p.b.Bytes()), seenText, "hello")
	runHostile(t, "I", 80, cases)
}
