package message

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var updateCompose = flag.Bool("update-compose", false, "rewrite testdata/compose")

var composeDate = time.Date(2026, 11, 2, 9, 30, 0, 0, time.FixedZone("", 3600))

func composed(t testing.TB, d Draft) string {
	t.Helper()
	var b bytes.Buffer
	if err := Compose(&b, d, []byte("seed")); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func fileOf(content string) func() (io.Reader, error) {
	return func() (io.Reader, error) { return strings.NewReader(content), nil }
}

// composeCases are whole mails; testdata/compose/<name>.eml holds their bytes.
func composeCases() map[string]Draft {
	base := Draft{
		From:      Address{Name: "Support", Addr: "support@help.example"},
		To:        []Address{{Name: "Anna Kunde", Addr: "anna@customer.example"}},
		Subject:   "Re: [#1001] Printer on fire",
		Date:      composeDate,
		MessageID: "<aeb4q3hpvw6k4@help.example>",
		Text:      "Dear Anna,\n\nplease unplug it.\n",
	}
	plain := base

	full := base
	full.Sender = &Address{Addr: "gateway@help.example"}
	full.ReplyTo = []Address{{Name: "Support", Addr: "support+aeb4q3hpvw6k4aaaaaaaaaaaaaaaaaaa@help.example"}}
	full.Cc = []Address{
		{Name: "Müller, Jürgen", Addr: "j.mueller@customer.example"},
		{Name: `Smith "the boss", Joe`, Addr: "joe@customer.example"},
		{Addr: "someone.with.a.long.name@subdivision.customer.example"},
	}
	full.Subject = "Re: [#1001] Größenänderung der Übersetzung für die gesamte Niederlassung in Überlingen am Bodensee"
	full.InReplyTo = "<4f3c2d1e0b9a8877665544332211@mail.customer.example>"
	full.References = []string{
		"<first@customer.example>",
		"<aeb4q3hpvw6k4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@help.example>",
		"<" + strings.Repeat("very.long.id.", 10) + "@outlook.example>",
		"<4f3c2d1e0b9a8877665544332211@mail.customer.example>",
	}
	full.Extra = []Field{
		{Name: "Auto-Submitted", Value: "auto-generated"},
		{Name: "List-Id", Value: "Größe & Co <support.help.example>"},
		{Name: "List-Unsubscribe", Value: "<mailto:support+u@help.example>, <https://help.example/u/" + strings.Repeat("x", 80) + ">"},
	}

	alternative := base
	alternative.Text = "Grüße\nFrom here on =_ it is quoted-printable. \n.\n\ttab\t\n"
	alternative.HTML = "<p>Grüße</p>\n"

	related := alternative
	related.HTML = `<p><img src="cid:logo@x"> hello</p>`
	related.Attachments = []Attachment{
		{Filename: "logo.png", ContentType: "image/png", ContentID: "logo@x", Inline: true, Open: fileOf("\x89PNG\r\n\x1a\n")},
		{Filename: "Rechnung für März 2026 – vollständige Fassung mit allen Anhängen.pdf", ContentType: "application/pdf", Open: fileOf(strings.Repeat("%PDF", 40))},
		{Filename: "empty.txt", ContentType: "text/plain; charset=utf-8", Open: fileOf("")},
	}

	files := base
	files.Attachments = []Attachment{
		{Filename: "../a\\b\r\nX-Evil: 1.txt", ContentType: "text/plain\r\nX-Evil: 2", Open: fileOf("hi")},
		{Filename: "mail.eml", ContentType: "message/rfc822", Open: fileOf("Subject: x\r\n\r\n")},
		{Open: fileOf("nameless")},
	}
	return map[string]Draft{
		"plain": plain, "full-header": full, "alternative": alternative, "related": related, "files": files,
	}
}

func TestComposeGolden(t *testing.T) {
	for name, d := range composeCases() {
		t.Run(name, func(t *testing.T) {
			got := composed(t, d)
			path := filepath.Join("testdata", "compose", name+".eml")
			if *updateCompose {
				if err := os.WriteFile(path, []byte(strings.ReplaceAll(got, "\r\n", "\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != strings.ReplaceAll(string(want), "\n", "\r\n") {
				t.Errorf("%s differs; got\n%s", path, got)
			}
			checkWire(t, got)
			if again := composed(t, d); again != got {
				t.Error("the same draft and seed gave other bytes")
			}
		})
	}
}

// checkWire holds for everything we compose.
func checkWire(t interface {
	Helper()
	Errorf(string, ...any)
}, s string) {
	t.Helper()
	if !strings.HasSuffix(s, "\r\n") {
		t.Errorf("no CRLF at the end")
	}
	for line := range strings.SplitSeq(s, "\r\n") {
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("bare CR, LF or NUL in %q", line)
		}
		if len(line) > 998 {
			t.Errorf("line of %d octets", len(line))
		}
	}
	head, _, _ := strings.Cut(s, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if strings.TrimSpace(line) == "" {
			t.Errorf("blank line in the header")
		}
		if len(line) > 78 && !writableID(strings.TrimSpace(line)) && strings.Contains(strings.TrimSpace(line[1:]), " ") && !strings.Contains(line, `"`) {
			// One word beside its name may be longer, nothing else.
			name, value, ok := strings.Cut(line, ": ")
			if !ok || !fieldName(name) || strings.Contains(value, " ") && !writableID(value) {
				t.Errorf("line of %d octets could have been folded: %q", len(line), line)
			}
		}
	}
}

// fieldNames is a naive reader of headers: every line that does not begin with
// white space begins a field.
func fieldNames(t *rapid.T, head string) []string {
	var names []string
	for line := range strings.SplitSeq(head, "\r\n") {
		if line[0] == ' ' || line[0] == '\t' {
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("not a field: %q", line)
		}
		names = append(names, name)
	}
	return names
}

// nasty makes strings out of what breaks mailers.
func nasty() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{
			"\r\n", "\r", "\n", "\x00", "\r\nBcc: x@y", "\r\n\r\nbody", "\n\n", " ", "  ", "\t", "=?utf-8?q?=0D=0A?=", "?=", "=_", "--=_",
			"\"", "\\", "<", ">", ",", ";", ":", "(", ")", "@", "é", "日本語", "🙂", "\u2028", "\u0085", "\x7f", "\xff", "\xc3", "From ", ".", "word",
			strings.Repeat("x", 90), strings.Repeat("y", 1200), strings.Repeat("ü", 60), strings.Repeat(" ", 1100),
		}),
		rapid.String(),
	)
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "pieces"), "")
	})
}

// Whatever the values are, the header holds exactly the fields it should, the
// body is one body, and a strict reader agrees.
func TestComposeValuesStayInTheirFields(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := func(label, addr string) Address { return Address{Name: nasty().Draw(t, label), Addr: addr} }
		d := Draft{
			From:       name("from", "support@help.example"),
			ReplyTo:    []Address{name("reply-to", "support+x@help.example")},
			To:         []Address{name("to", "a@x.example"), name("to2", "b@x.example")},
			Subject:    nasty().Draw(t, "subject"),
			Date:       composeDate,
			MessageID:  "<id@help.example>",
			InReplyTo:  nasty().Draw(t, "in-reply-to"),
			References: []string{"<" + nasty().Draw(t, "ref") + ">", nasty().Draw(t, "ref2"), "<r@x>"},
			Extra:      []Field{{Name: "X-Extra", Value: nasty().Draw(t, "extra")}},
			Text:       nasty().Draw(t, "text"),
			HTML:       nasty().Draw(t, "html"),
			Attachments: []Attachment{{
				Filename: nasty().Draw(t, "filename"), ContentType: nasty().Draw(t, "type"), ContentID: nasty().Draw(t, "cid"),
				Open: fileOf(nasty().Draw(t, "content")),
			}},
		}
		var b bytes.Buffer
		if err := Compose(&b, d, nil); err != nil {
			t.Fatal(err)
		}
		checkWire(t, b.String())
		head, _, _ := strings.Cut(b.String(), "\r\n\r\n")

		var want []string
		add := func(present bool, name string) {
			if present {
				want = append(want, name)
			}
		}
		clean := func(s string) string { return strings.Join(strings.Fields(plainText(s)), " ") }
		add(true, "From")
		add(true, "Reply-To")
		add(true, "To")
		add(clean(d.Subject) != "", "Subject")
		add(true, "Date")
		add(true, "Message-ID")
		add(writableID(d.InReplyTo), "In-Reply-To")
		add(true, "References")
		add(clean(d.Extra[0].Value) != "", "X-Extra")
		add(true, "MIME-Version")
		add(true, "Content-Type")
		if got := fieldNames(t, head); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("fields %q, want %q in\n%s", got, want, head)
		}

		m, err := mail.ReadMessage(&b)
		if err != nil {
			t.Fatal(err)
		}
		dec := mime.WordDecoder{}
		if subject, err := dec.DecodeHeader(m.Header.Get("Subject")); err != nil || subject != clean(d.Subject) {
			t.Fatalf("subject %q (%v), want %q", subject, err, clean(d.Subject))
		}
		if extra, err := dec.DecodeHeader(m.Header.Get("X-Extra")); err != nil || extra != clean(d.Extra[0].Value) {
			t.Fatalf("extra %q (%v), want %q", extra, err, clean(d.Extra[0].Value))
		}
		to, err := m.Header.AddressList("To")
		if err != nil || len(to) != 2 || to[0].Address != "a@x.example" || to[1].Address != "b@x.example" {
			t.Fatalf("To: %v, %v in\n%s", to, err, head)
		}
		parts := readParts(t, m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
		content, _ := d.Attachments[0].Open()
		file, _ := io.ReadAll(content)
		if last := parts[len(parts)-1]; last != string(file) {
			t.Fatalf("attachment %q, want %q", last, file)
		}
		if d.Text != "" {
			if want := canonicalText(d.Text); parts[0]+"\r\n" != want && parts[0] != want {
				t.Fatalf("text %q, want %q", parts[0], want)
			}
		}
	})
}

// readParts reads a mail with the standard library and returns its leaves.
func readParts(t *rapid.T, typ, encoding string, r io.Reader) []string {
	media, params, err := mime.ParseMediaType(typ)
	if err != nil {
		t.Fatalf("Content-Type %q: %v", typ, err)
	}
	if strings.HasPrefix(media, "multipart/") {
		var leaves []string
		mr := multipart.NewReader(r, params["boundary"])
		for {
			p, err := mr.NextRawPart()
			if err == io.EOF {
				return leaves
			}
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, readParts(t, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)...)
		}
	}
	switch encoding {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return []string{string(b)}
}

func TestComposeRefuses(t *testing.T) {
	t.Parallel()
	good := composeCases()["plain"]
	failing := errors.New("disk on fire")
	tests := []struct {
		name   string
		change func(*Draft)
		want   string
	}{
		{"no From", func(d *Draft) { d.From = Address{} }, "without From"},
		{"no Date", func(d *Draft) { d.Date = time.Time{} }, "without Date"},
		{"line break in an address", func(d *Draft) { d.To[0].Addr = "a@b\r\nBcc: c@d" }, "To:"},
		{"line break in a quoted local part", func(d *Draft) { d.To[0].Addr = "\"a\r\nBcc: c\"@d" }, "To:"},
		{"bracket in an address", func(d *Draft) { d.To[0].Addr = "a>, <b@c" }, "To:"},
		{"comma in a domain", func(d *Draft) { d.To[0].Addr = "a@c, d@e" }, "To:"},
		{"no domain", func(d *Draft) { d.To[0].Addr = "a@" }, "not an address"},
		{"empty local part", func(d *Draft) { d.To[0].Addr = "@x.example" }, "not an address"},
		{"long local part", func(d *Draft) { d.To[0].Addr = strings.Repeat("a", 65) + "@x.example" }, "too long"},
		{"Message-ID without brackets", func(d *Draft) { d.MessageID = "a@b" }, "Message-ID"},
		{"line break in the Message-ID", func(d *Draft) { d.MessageID = "<a@b\r\nBcc: c@d>" }, "Message-ID"},
		{"second From", func(d *Draft) { d.Extra = []Field{{Name: "from", Value: "x"}} }, "extra field"},
		{"own content type", func(d *Draft) { d.Extra = []Field{{Name: "Content-Type", Value: "x"}} }, "extra field"},
		{"colon in a name", func(d *Draft) { d.Extra = []Field{{Name: "X: y\r\nZ", Value: "x"}} }, "extra field"},
		{"huge header", func(d *Draft) { d.Subject = strings.Repeat("word ", 60_000) }, "256 KiB"},
		{"file without content", func(d *Draft) { d.Attachments = []Attachment{{Filename: "a"}} }, "no content"},
		{"file that does not open", func(d *Draft) {
			d.Attachments = []Attachment{{Filename: "a", Open: func() (io.Reader, error) { return nil, failing }}}
		}, "disk on fire"},
		{"file that breaks off", func(d *Draft) {
			d.Attachments = []Attachment{{Filename: "a", Open: func() (io.Reader, error) {
				return io.MultiReader(strings.NewReader("abc"), errReader{failing}), nil
			}}}
		}, "disk on fire"},
	}
	for _, tt := range tests {
		d := good
		d.To = append([]Address(nil), good.To...)
		tt.change(&d)
		err := Compose(io.Discard, d, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want it to say %q", tt.name, err, tt.want)
		}
	}
	if err := Compose(&shortWriter{n: 10}, good, nil); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a failing writer: %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

type shortWriter struct{ n int }

func (w *shortWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestComposeUTF8Addresses(t *testing.T) {
	t.Parallel()
	d := composeCases()["plain"]
	d.To = []Address{{Addr: "anna@kühlschrank.example"}}
	if d.NeedsUTF8() {
		t.Error("a non-ASCII domain does not need SMTPUTF8")
	}
	if s := composed(t, d); !strings.Contains(s, "anna@xn--khlschrank-9db.example") || !isASCII(s) {
		t.Errorf("domain is not in A-labels:\n%s", s)
	}
	d.To = []Address{{Addr: "jürgen@kühlschrank.example"}}
	if !d.NeedsUTF8() {
		t.Error("a non-ASCII local part needs SMTPUTF8")
	}
	if s := composed(t, d); !strings.Contains(s, "jürgen@kühlschrank.example") {
		t.Errorf("address is not written raw:\n%s", s)
	}
}

// Attachments are streamed: the writer sees the first bytes before the last
// were read, and a closer is closed.
func TestComposeStreamsFiles(t *testing.T) {
	t.Parallel()
	d := composeCases()["plain"]
	const size = 8 << 20
	f := &countingFile{left: size}
	d.Attachments = []Attachment{{Filename: "big", Open: func() (io.Reader, error) { return f, nil }}}
	var out countingWriter
	f.ahead = func() int64 { return f.read - out.n }
	if err := Compose(&out, d, nil); err != nil {
		t.Fatal(err)
	}
	if !f.closed {
		t.Error("file was not closed")
	}
	if f.maxAhead > 64<<10 {
		t.Errorf("%d bytes were held in memory", f.maxAhead)
	}
	if out.n < size*4/3 {
		t.Errorf("only %d bytes written", out.n)
	}
}

type countingFile struct {
	left, read, maxAhead int64
	ahead                func() int64
	closed               bool
}

func (f *countingFile) Read(p []byte) (int, error) {
	f.maxAhead = max(f.maxAhead, f.ahead())
	n := min(int64(len(p)), f.left)
	if n == 0 {
		return 0, io.EOF
	}
	f.left -= n
	f.read += n
	return int(n), nil
}

func (f *countingFile) Close() error { f.closed = true; return nil }

type countingWriter struct{ n int64 }

func (w *countingWriter) Write(p []byte) (int, error) { w.n += int64(len(p)); return len(p), nil }

func BenchmarkCompose(b *testing.B) {
	d := composeCases()["alternative"]
	d.Text = strings.Repeat(d.Text, 50)
	b.ReportAllocs()
	for b.Loop() {
		if err := Compose(io.Discard, d, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// Every kind of line end becomes CRLF, and there is one at the end.
func TestCanonicalText(t *testing.T) {
	t.Parallel()
	ends := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n", "\x00", " ")
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.SampledFrom([]rune("a\r\n\x00ü"))).Draw(t, "text")
		want := ends.Replace(s)
		if !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got := canonicalText(s); got != want {
			t.Fatalf("%q becomes %q, want %q", s, got, want)
		}
	})
}
