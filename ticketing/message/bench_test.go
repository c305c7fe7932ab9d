package message

import (
	"strings"
	"testing"
)

// BenchmarkParse reads a 50 kB mail: quoted-printable text, HTML and a picture.
func BenchmarkParse(b *testing.B) {
	raw := crlf("From: Anna <a@b.example>\nTo: help@x.example\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nMessage-ID: <1@b.example>\nContent-Type: multipart/mixed; boundary=m\n\n" +
		"--m\nContent-Type: multipart/alternative; boundary=a\n\n" +
		"--a\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("Gr=C3=BC=C3=9Fe aus K=C3=B6ln, es regnet.\n", 100) +
		"\n--a\nContent-Type: text/html; charset=utf-8\n\n" + strings.Repeat("<p>Grüße aus <b>Köln</b></p>\n", 100) + "\n--a--\n" +
		"--m\nContent-Type: image/png; name=x.png\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 550) + "\n--m--\n")
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := Parse(strings.NewReader(raw), int64(len(raw)), DefaultLimits())
		if err != nil || m.Text() == "" {
			b.Fatal(err)
		}
	}
}
