package message

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// tnefWriter writes containers as Outlook does.
type tnefWriter struct {
	b    bytes.Buffer
	ends []int // of the attributes
}

func newTNEF() *tnefWriter {
	w := &tnefWriter{}
	w.num(tnefSignature, 4)
	w.num(1, 2)
	w.attribute(1, 0x00089006, le(0x00010000, 4)) // version
	w.attribute(1, 0x00060000|attOEMCodePage, append(le(1252, 4), le(0, 4)...))
	w.attribute(1, 0x00078008, []byte("IPM.Microsoft Mail.Note\x00"))
	return w
}

func le(n uint64, size int) []byte {
	b := make([]byte, 8)
	binary.LittleEndian.PutUint64(b, n)
	return b[:size]
}

func (w *tnefWriter) num(n uint64, size int) { w.b.Write(le(n, size)) }

func (w *tnefWriter) attribute(level byte, id uint64, data []byte) {
	w.b.WriteByte(level)
	w.num(id, 4)
	w.num(uint64(len(data)), 4)
	w.b.Write(data)
	sum := uint16(0)
	for _, c := range data {
		sum += uint16(c)
	}
	w.num(uint64(sum), 2)
	w.ends = append(w.ends, w.b.Len())
}

// prop is one MAPI property.
type prop struct {
	id, kind uint16
	value    []byte
	name     string // of a named property
}

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return append(b, 0, 0)
}

func props(list ...prop) []byte {
	b := le(uint64(len(list)), 4)
	pad := func(v []byte) []byte { return append(slices.Clone(v), make([]byte, -len(v)&3)...) }
	for _, p := range list {
		b = append(b, le(uint64(p.kind), 2)...)
		b = append(b, le(uint64(p.id), 2)...)
		if p.name != "" {
			b = append(append(b, make([]byte, 16)...), le(1, 4)...)
			n := wide(p.name)
			b = append(append(b, le(uint64(len(n)), 4)...), pad(n)...)
		}
		if fixedSize(p.kind&^typeMultiple) == 0 {
			b = append(append(b, le(1, 4)...), le(uint64(len(p.value)), 4)...)
		}
		b = append(b, pad(p.value)...)
	}
	return b
}

// file adds a file the way Outlook does: its bytes as an attribute, its names
// as properties.
func (w *tnefWriter) file(short, long string, content []byte) {
	w.attribute(2, 0x00060000|attAttachRender, make([]byte, 14))
	w.attribute(2, 0x00010000|attAttachTitle, []byte(short+"\x00"))
	w.attribute(2, 0x00060000|attAttachData, content)
	w.attribute(2, 0x00060000|attAttachment, props(
		prop{0x0E21, typeLong, le(7, 4), ""},
		prop{0x8001, typeUnicode, wide("odd"), "x-odd"},
		prop{propLongName, typeUnicode, wide(long), ""},
		prop{0x3007, typeTime, make([]byte, 8), ""},
	))
}

// winmail wraps a container into a mail with a text.
func winmail(text string, tnef []byte) string {
	var b64 strings.Builder
	for s := base64.StdEncoding.EncodeToString(tnef); s != ""; {
		n := min(76, len(s))
		b64.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	return "From: a@b.example\nSubject: x\nContent-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain; charset=utf-8\n\n" + text +
		"\n--m\nContent-Type: application/ms-tnef; name=\"winmail.dat\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"winmail.dat\"\n\n" + b64.String() + "--m--\n"
}

// described lists a mail's attachments with their contents.
func described(t testing.TB, m *Mail) (list []string) {
	t.Helper()
	for _, p := range m.Attachments() {
		b, err := io.ReadAll(m.Open(p))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %s %q %s", p.ID, p.Type, p.Filename, cutRunes(string(b), 40)))
		if at := m.Attachment(p.ID); at != p {
			t.Errorf("the ID %q finds %v", p.ID, at)
		}
	}
	return list
}

// helloRTF is "{\rtf1\ansi\ansicpg1252\pard hello world}" compressed, the example of MS-OXRTFCP §3.1.
const helloRTF = "\x2d\x00\x00\x00\x2b\x00\x00\x00\x4c\x5a\x46\x75\xf1\xc5\xc7\xa7\x03\x00\x0a\x00\x72\x63\x70\x67\x31\x32\x35\x42\x32\x0a\xf3\x20\x68\x65\x6c\x09\x00\x20\x62\x77\x05\xb0\x6c\x64\x7d\x0a\x80\x0f\xa0"

// TestWinmail is scenario 38: a container with RTF and two files, of which one
// has a hostile name.
func TestWinmail(t *testing.T) {
	t.Parallel()
	w := newTNEF()
	w.attribute(1, 0x00060000|attMAPIProps, props(prop{propSubject, typeString8, []byte("x\x00"), ""}, prop{propRTF, typeBinary, []byte(helloRTF), ""}))
	w.file("BERICHT.PDF", "Bericht für Köln.pdf", []byte("%PDF-1.4 report"))
	w.file("A.EXE", `..\..\a.exe`, []byte("MZ"))

	m := parseBytes(t, winmail("", w.b.Bytes()))
	want := []string{`2.tnef.2 application/octet-stream "Bericht für Köln.pdf" %PDF-1.4 report`, `2.tnef.3 application/octet-stream "a.exe" MZ`}
	if got := described(t, m); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if got := strings.TrimSpace(m.Text()); got != "hello world" {
		t.Errorf("text %q", got)
	}
	if len(m.Problems) != 0 {
		t.Errorf("problems %q", m.Problems)
	}
	// Text that the mail has itself is not said twice, other text is added.
	for text, want := range map[string]string{"Hello to the whole world, hello world!": "Hello to the whole world, hello world!", "-- a footer": "-- a footer\n\nhello world"} {
		m := parseBytes(t, winmail(text, w.b.Bytes()))
		if got := strings.TrimSpace(m.Text()); got != want && !strings.EqualFold(got, want) {
			t.Errorf("text %q, want %q", got, want)
		}
	}
}

// TestWinmailBodies: which of the bodies in a container are shown.
func TestWinmailBodies(t *testing.T) {
	t.Parallel()
	htmlRTF := `{\rtf1\ansi\ansicpg1252\fromhtml1 {\*\htmltag64 <p>}\htmlrtf \f0 \htmlrtf0 Gr\'fc\'dfe {\*\htmltag84 <b>}{\htmlrtf \b \htmlrtf0 K\u246?ln{\*\htmltag92 </b>}\htmlrtf }\htmlrtf0 {\*\htmltag72 </p>}\htmlrtf \par\htmlrtf0}`
	mela := append(append(append(le(uint64(len(htmlRTF)+12), 4), le(uint64(len(htmlRTF)), 4)...), le(melaMagic, 4)...), append(le(0, 4), htmlRTF...)...)
	for _, c := range []struct {
		name, text, wantText, wantHTML string
		atts                           []prop
	}{
		{"unicode text", "", "Grüße aus Köln", "", []prop{{propBody, typeUnicode, wide("Grüße aus Köln"), ""}}},
		{"8-bit text", "", "Grüße", "", []prop{{propBody, typeString8, []byte("Gr\xfc\xdfe\x00"), ""}}},
		{"page with a code page", "", "Žlutý", "<p>Žlutý</p>", []prop{{propInternetCPID, typeLong, le(28592, 4), ""}, {propHTML, typeBinary, []byte("<p>\xaelut\xfd</p>"), ""}}},
		{"code page behind the page", "", "Žlutý", "<p>Žlutý</p>", []prop{{propHTML, typeBinary, []byte("<p>\xaelut\xfd</p>"), ""}, {propInternetCPID, typeLong, le(28592, 4), ""}}},
		{"page in RTF", "", "Grüße Köln", "<p>Grüße <b>Köln</b></p>", []prop{{propRTF, typeBinary, mela, ""}}},
		{"page for the text of the mail", "Grüße Köln", "Grüße Köln", "<p>Grüße <b>Köln</b></p>", []prop{{propRTF, typeBinary, mela, ""}}},
		{"a body of another type", "hello", "hello", "", []prop{{propBody, typeLong, le(1, 4), ""}, {0x3FF1, typeLong, le(1031, 4), ""}}},
	} {
		w := newTNEF()
		w.attribute(1, 0x00060000|attMAPIProps, props(c.atts...))
		m := parseBytes(t, winmail(c.text, w.b.Bytes()))
		if got := strings.TrimSpace(m.Text()); got != c.wantText {
			t.Errorf("%s: text %q, want %q", c.name, got, c.wantText)
		}
		if got := strings.TrimSpace(strings.TrimRight(m.HTML(), "\x00")); got != c.wantHTML {
			t.Errorf("%s: html %q, want %q", c.name, got, c.wantHTML)
		}
	}
}

// TestWinmailObjects: mails and other objects inside a container.
func TestWinmailObjects(t *testing.T) {
	t.Parallel()
	inner := newTNEF()
	inner.attribute(1, 0x00060000|attMAPIProps, props(prop{propSubject, typeUnicode, wide("Inner: mail"), ""}, prop{propBody, typeUnicode, wide("inner text"), ""}))
	inner.file("I.TXT", "inner.txt", []byte("inner file"))
	w := newTNEF()
	w.attribute(1, 0x00028000|attBody, []byte("outer text\x00"))
	w.attribute(2, 0x00060000|attAttachRender, make([]byte, 14))
	w.attribute(2, 0x00060000|attAttachment, props(prop{propDisplayName, typeUnicode, wide("Inner: mail"), ""}, prop{propData, typeObject, append([]byte(iidMessage), inner.b.Bytes()...), ""}))
	w.attribute(2, 0x00060000|attAttachRender, make([]byte, 14))
	w.attribute(2, 0x00060000|attAttachment, props(
		prop{propData, typeObject, []byte("\x0b\x00\x00\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46an OLE object"), ""},
		prop{propMIMEType, typeString8, []byte("image/PNG\x00"), ""}, prop{propContentID, typeString8, []byte("<pic@x>\x00"), ""}))
	m := parseBytes(t, winmail("outer text", w.b.Bytes()))
	want := []string{
		`2.tnef.2.tnef.1 text/plain "Inner_ mail.txt" i` + "\x00n\x00n\x00e\x00r\x00 \x00t\x00e\x00x\x00t\x00\x00\x00", `2.tnef.2.tnef.2 application/octet-stream "inner.txt" inner file`,
		`2.tnef.3 image/png "" an OLE object`,
	}
	if got := described(t, m); !slices.Equal(got, want) {
		t.Errorf("files %q,\nwant %q", got, want)
	}
	if p := m.Attachments()[2]; p.ContentID != "pic@x" {
		t.Errorf("content id %q", p.ContentID)
	}
	if got := strings.TrimSpace(m.Text()); got != "outer text" {
		t.Errorf("text %q", got)
	}
}

// TestDamagedWinmail cuts a container at every byte and breaks every byte of
// it: what can be read is there, and what cannot be read whole is kept as it is.
func TestDamagedWinmail(t *testing.T) {
	t.Parallel()
	w := newTNEF()
	w.attribute(1, 0x00060000|attMAPIProps, props(prop{propRTF, typeBinary, []byte(helloRTF), ""}))
	w.file("A.TXT", "a.txt", []byte("first file"))
	w.file("B.TXT", "b.txt", []byte("second file"))
	whole := w.b.Bytes()
	kept := 0
	for i := range whole {
		m := parseBytes(t, winmail("hello", whole[:i]))
		checkMail(t, fmt.Sprintf("cut at %d", i), m)
		files := described(t, m)
		original := slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "winmail.dat") })
		complete := slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, `second file`) })
		if !original && !complete && !slices.Contains(w.ends, i) { // a cut between attributes shows nowhere
			t.Fatalf("cut at %d: %q", i, files)
		}
		if original {
			kept++
		}
		broken := bytes.Clone(whole)
		broken[i] ^= 0xff
		checkMail(t, fmt.Sprintf("broken at %d", i), parseBytes(t, winmail("hello", broken)))
	}
	if kept < len(whole)/2 {
		t.Errorf("only %d of %d cut containers are kept whole", kept, len(whole))
	}
}
