package message

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// shape draws a tree of parts: type, and the children in parentheses.
func shape(p *Part) string {
	var in []string
	for _, c := range p.Parts {
		in = append(in, shape(c))
	}
	if len(in) == 0 {
		return p.Type
	}
	return p.Type + "(" + strings.Join(in, " ") + ")"
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// TestParseDamaged: what broken mails give. Every case is read with LF and with
// CRLF line ends.
func TestParseDamaged(t *testing.T) {
	t.Parallel()
	const head = "From: a@example.com\n"
	tests := []struct {
		name, raw   string
		shape, text string
		subject     string
	}{
		{"plain", head + "Subject: hi\n\nhello\n", "text/plain", "hello\n", "hi"},
		{"mbox line", "From a@b Thu Jan  1\n" + head + "Subject: hi\n\nhello\n", "text/plain", "hello\n", "hi"},
		{"leading blank lines", "\n\n" + head + "Subject: hi\n\nhello\n", "text/plain", "hello\n", "hi"},
		{"leading blank before a header", " Subject: hi\n" + head + "\nhello\n", "text/plain", "hello\n", "hi"},
		{"blank before colon", head + "Subject : hi\n\nhello\n", "text/plain", "hello\n", "hi"},
		{"garbage in header", "!!! none\n" + head + "what is this\nand this\nSubject: hi\n\nhello\n", "text/plain", "hello\n", "hi"},
		{"folded", head + "Subject: hi\n\t \n   there\n\nhello\n", "text/plain", "hello\n", "hi there"},
		{"line of blanks ends the header", head + "Subject: hi\n  \nhello\nagain\n", "text/plain", "hello\nagain\n", "hi"},
		{"no blank line", head + "Subject: hi\nhello you\nthere\nis\nno\nblank\nline\n", "text/plain", "hello you\nthere\nis\nno\nblank\nline\n", "hi"},
		{"no blank line, short", head + "Subject: hi\nhello you\n", "text/plain", "hello you\n", "hi"},
		{"no header", "hello world, how\nare you\n", "text/plain", "hello world, how\nare you\n", ""},
		{"no body", head + "Subject: hi\n", "text/plain", "", "hi"},
		{"empty", "", "text/plain", "", ""},
		{"only line ends", "\n\n\n", "text/plain", "", ""},

		{"multipart", head + "Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b\nContent-Type: text/plain\n\ntwo\n--b--\npost\n",
			"multipart/mixed(text/plain text/plain)", "one\ntwo", ""},
		{"boundary is a prefix of another", head + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=bb\n\n--bb\n\none\n--bb--\n--b--\n",
			"multipart/mixed(multipart/alternative(text/plain))", "one", ""},
		{"same boundary twice", head + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n--b--\n",
			"multipart/mixed(multipart/mixed(text/plain) text/plain)", "one\ntwo", ""},
		{"not closed", head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n", "multipart/mixed(text/plain)", "one\n", ""},
		{"inner not closed", head + "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--o\n\ntwo\n--o--\n",
			"multipart/mixed(multipart/mixed(text/plain) text/plain)", "one\ntwo", ""},
		{"part after the last boundary", head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n--b--\n",
			"multipart/mixed(text/plain text/plain)", "one\ntwo", ""},
		{"boundary never seen", head + "Content-Type: multipart/mixed; boundary=b\n\nhello\n", "multipart/mixed(text/plain)", "hello\n", ""},
		{"no boundary named", head + "Content-Type: multipart/mixed\n\nhello\n", "multipart/mixed(text/plain)", "hello\n", ""},
		{"another boundary than named", head + "Content-Type: multipart/mixed; boundary=b\n\n--x\nContent-Type: text/plain\n\none\n--x\n\ntwo\n--x--\n",
			"multipart/mixed(text/plain text/plain)", "one\ntwo", ""},
		{"no blank line before the boundary", head + "Content-Type: multipart/mixed; boundary=b\n--b\nContent-Type: text/plain\n\none\n--b--\n",
			"multipart/mixed(text/plain)", "one", ""},
		{"part without blank line", head + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n--b\n\ntwo\n--b--\n",
			"multipart/mixed(text/plain text/plain)", "two", ""},
		{"blanks after the boundary", head + "Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--b-- \n", "multipart/mixed(text/plain)", "one", ""},
		{"digest", head + "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: inner\n\none\n--b--\n",
			"multipart/digest(message/rfc822(text/plain))", "This mail has no text. It contains: a mail \"inner\" (19 bytes).", ""},
		{"nested mail", head + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee below\n--b\nContent-Type: message/rfc822\n\nSubject: inner\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ninner\n--c--\n--b--\n",
			"multipart/mixed(text/plain message/rfc822(multipart/mixed(text/plain)))", "see below", ""},
		{"base64 mail", head + "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaW5uZXIKCmhlbGxvCg==\n", "message/rfc822(text/plain)", "", ""},
		{"mail that is not base64", head + "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nSubject: inner\n\nhello\n", "message/rfc822(text/plain)", "", ""},
	}
	for _, tt := range tests {
		for _, end := range []string{"LF", "CRLF"} {
			t.Run(tt.name+"/"+end, func(t *testing.T) {
				raw := tt.raw
				if end == "CRLF" {
					raw = crlf(raw)
				}
				m := parseBytes(t, raw)
				checkMail(t, tt.name, m)
				if got := shape(m.Root); got != tt.shape {
					t.Errorf("shape %s, want %s", got, tt.shape)
				}
				if got := m.Text(); got != tt.text && tt.text != "" && !(end == "CRLF" && strings.HasPrefix(tt.text, "This mail")) {
					t.Errorf("text %q, want %q", got, tt.text)
				}
				if got := m.Header.Text("Subject"); got != tt.subject {
					t.Errorf("subject %q, want %q", got, tt.subject)
				}
			})
		}
	}
}

// TestPartRanges: a part's range is its encoded body, without the line break
// that belongs to the boundary.
func TestPartRanges(t *testing.T) {
	t.Parallel()
	raw := crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n\n--b\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=x.bin\n\nAAEC\nAw==\n--b--\n")
	m := parseBytes(t, raw)
	one, file := m.Root.Parts[0], m.Root.Parts[1]
	if got := raw[one.Start:one.End]; got != "one\r\n" {
		t.Errorf("first part is %q", got)
	}
	if got := raw[file.Start:file.End]; got != "AAEC\r\nAw==" {
		t.Errorf("second part is %q", got)
	}
	b, err := io.ReadAll(m.Open(file))
	if err != nil || string(b) != "\x00\x01\x02\x03" {
		t.Errorf("content %x, %v", b, err)
	}
	if a := m.Attachments(); len(a) != 1 || a[0].Filename != "x.bin" {
		t.Errorf("attachments %v", a)
	}
}

// TestReadError: only the reader's own failure is an error.
func TestReadError(t *testing.T) {
	t.Parallel()
	_, err := Parse(badReader{}, 100, DefaultLimits())
	if err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("got %v", err)
	}
	// A mail shorter than promised is read as far as it goes.
	m, err := Parse(strings.NewReader("Subject: x\n\nhello"), 1000, DefaultLimits())
	if err != nil || m.Text() != "hello" {
		t.Errorf("short mail: %v %q", err, m.Text())
	}
}

type badReader struct{}

func (badReader) ReadAt([]byte, int64) (int, error) { return 0, fmt.Errorf("disk") }
