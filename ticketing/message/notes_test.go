package message

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestProtectedMails is scenario 39: what is signed can be read and stays as it
// came, what is encrypted says so. The mails were written by OpenSSL.
func TestProtectedMails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, text string
		labels     []string
		files      string
		notes      string
	}{
		{"opaque-der", "The signed text, Grüße.", []string{LabelSMIMESigned}, "a.csv smime.p7m", "a mail signed with S/MIME; the signature is not checked"},
		{"opaque-ber", "The signed text, Grüße.", []string{LabelSMIMESigned}, "a.csv smime.p7m", "a mail signed with S/MIME; the signature is not checked"},
		{"detached", "The signed text, Grüße.", []string{LabelSMIMESigned}, "a.csv smime.p7s", "an S/MIME signature, not checked"},
		{"encrypted", "This mail has no text. It contains: a mail encrypted with S/MIME; only its recipient's key opens it (924 bytes).", []string{LabelSMIMEEncrypted}, "smime.p7m",
			"a mail encrypted with S/MIME; only its recipient's key opens it"},
	} {
		raw, err := os.ReadFile(filepath.Join("testdata", "smime", c.file+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		m := parseBytes(t, string(raw))
		checkMail(t, c.file, m)
		if got := strings.TrimSpace(m.Text()); got != c.text {
			t.Errorf("%s: text %q, want %q", c.file, got, c.text)
		}
		if got := m.Labels(); !slices.Equal(got, c.labels) {
			t.Errorf("%s: labels %q, want %q", c.file, got, c.labels)
		}
		var names []string
		notes := ""
		for _, p := range m.Attachments() {
			names = append(names, p.Filename)
			notes += m.Note(p)
		}
		if got := strings.Join(names, " "); got != c.files {
			t.Errorf("%s: files %q, want %q", c.file, got, c.files)
		}
		if notes != c.notes {
			t.Errorf("%s: notes %q, want %q", c.file, notes, c.notes)
		}
		if len(m.Problems) > 0 {
			t.Errorf("%s: problems %q", c.file, m.Problems)
		}
	}
}

// TestDamagedCMS: no byte that is wrong or missing does harm.
func TestDamagedCMS(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"opaque-der", "opaque-ber"} {
		m := parseFile(t, filepath.Join("testdata", "smime", file+".eml"))
		whole := m.content(m.Root, 1<<20)
		if kind, content := cmsContent(whole); kind != smimeSigned || !strings.Contains(string(content), "signed text") {
			t.Fatalf("%s: %q %q", file, kind, content)
		}
		for i := range whole[:600] {
			cmsContent(whole[:i])
			broken := slices.Clone(whole)
			broken[i] ^= 0xff
			if _, content := cmsContent(broken); len(content) > len(whole) {
				t.Fatalf("%s: byte %d: %d bytes of content", file, i, len(content))
			}
		}
	}
	deep := strings.Repeat("\x24\x80", 100_000)
	cmsContent([]byte("\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80" + deep))
}

// TestNotes: what is said about parts whose name and type say too little.
func TestNotes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, raw, note, label string }{
		{"nested mail", "Content-Type: message/rfc822\n\nFrom: =?utf-8?q?J=C3=BCrgen?= <j@b.example>\nSubject: inner\nDate: Mon, 2 Nov 2026 10:00:00 +0100\n\nhi\n", "From: Jürgen <j@b.example>\nDate: Mon, 2 Nov 2026 10:00:00 +0100\nSubject: inner", ""},
		{"nested mail in base64", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaW5uZXIKCmhlbGxvCg==\n", "Subject: inner", ""},
		{"a piece", "Content-Type: message/partial; number=2; total=3; id=\"x@y\"\n\nrest of it\n", "piece 2 of 3 of a mail that was sent in pieces", LabelPartial},
		{"a piece of unknown many", "Content-Type: message/partial; number=2; id=x\n\nrest\n", "piece 2 of a mail that was sent in pieces", LabelPartial},
		{"elsewhere", "Content-Type: message/external-body; access-type=URL;\n url=\"http://x.example/\n a.pdf\"\n\nContent-Type: application/pdf\n\n", "a content that is not in the mail, to be had by URL from http://x.example/a.pdf", ""},
		{"elsewhere by ftp", "Content-Type: message/external-body; access-type=anon-ftp; site=ftp.x.example; directory=pub; name=\"a.txt\"\n\n\n\n", "a content that is not in the mail, to be had by anon-ftp from ftp.x.example/pub/a.txt", ""},
		{"armoured", "\n-----BEGIN PGP MESSAGE-----\n\nabc\n", "", LabelPGPEncrypted},
		{"clear-signed", "Content-Type: text/plain\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nhello\n", "", LabelPGPSigned},
		{"PGP/MIME encrypted", "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\n\n--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--b\nContent-Type: application/octet-stream; name=encrypted.asc\n\n-----BEGIN PGP MESSAGE-----\n--b--\n", "a mark that the mail is encrypted with OpenPGP", LabelPGPEncrypted},
		{"PGP/MIME signed", "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n", "an OpenPGP signature, not checked", LabelPGPSigned},
		{"a file", "Content-Type: application/pdf; name=a.pdf\n\nx\n", "", ""},
	} {
		m := parseBytes(t, "MIME-Version: 1.0\n"+c.raw)
		note := ""
		if files := m.Attachments(); len(files) > 0 {
			note = m.Note(files[0])
		}
		if note != c.note {
			t.Errorf("%s: note %q, want %q", c.name, note, c.note)
		}
		if got := strings.Join(m.Labels(), " "); got != c.label {
			t.Errorf("%s: labels %q, want %q", c.name, got, c.label)
		}
	}
}

// TestPartIDs: where a part stands can be said in a word.
func TestPartIDs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, raw, want string }{
		{"one part", "Content-Type: application/pdf\n\nx\n", "1"},
		{"flat", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\nContent-Type: a/b\n\n1\n--b\nContent-Type: a/c\n\n2\n--b--\n", "2 3"},
		{"nested", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: a/b\n\n1\n--c--\n--b--\n", "1.1"},
		{"uuencoded", "Subject: x\n\nhello\nbegin 644 a\n#0V%T\n`\nend\nbegin 644 b\n#0V%T\n`\nend\n", "1.uu.1 1.uu.2"},
		{"a mail", "Content-Type: message/rfc822\n\nSubject: x\n\nx\n", "0"},
	} {
		var ids []string
		m := parseBytes(t, c.raw)
		for _, p := range m.Attachments() {
			ids = append(ids, p.ID)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if p := m.Attachment("9.9"); p != nil {
			t.Errorf("%s: a part 9.9: %v", c.name, p)
		}
	}
}
