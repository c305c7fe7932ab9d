// Package mime measures reading a mail against another reader. It is a module
// of its own: the other reader is no dependency of the product.
//
//	make bench
package mime

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"ticketgate/ticketing/message"
)

// The two mails are both about 50 KiB: one is mostly a picture, the other
// mostly encoded text.
func mails(tb testing.TB) map[string][]byte {
	return map[string][]byte{
		"picture": multipart(tb, 4<<10, 8<<10, 27<<10),
		"text":    multipart(tb, 14<<10, 26<<10, 2<<10),
	}
}

// multipart builds mixed(alternative(quoted-printable UTF-8 text,
// quoted-printable latin1 HTML), base64 PNG) with contents of about the given
// sizes.
func multipart(tb testing.TB, text, html, png int) []byte {
	tb.Helper()
	qp := func(s string) string {
		var b strings.Builder
		w := quotedprintable.NewWriter(&b)
		if _, err := io.WriteString(w, s); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
		return b.String()
	}
	random := rand.New(rand.NewPCG(1, 2))
	picture := make([]byte, png)
	for i := range picture {
		picture[i] = byte(random.Uint32())
	}
	var b64 strings.Builder
	for s := base64.StdEncoding.EncodeToString(picture); len(s) > 0; {
		n := min(76, len(s))
		b64.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	plain := "Grüße aus Köln, der Drucker im zweiten Stock druckt wieder nur graue Seiten.\r\n"
	tagged := "<p>Gr\xfc\xdfe aus <b>K\xf6ln</b>, der Drucker im zweiten Stock druckt <i>wieder</i> nur graue Seiten.</p>\r\n"
	return []byte(strings.ReplaceAll(`Received: from mail.customer.example (mail.customer.example [192.0.2.7])
	by mx.help.example with ESMTPS; Thu, 5 Nov 2026 10:00:00 +0100
Return-Path: <anna@customer.example>
DKIM-Signature: v=1; a=rsa-sha256; d=customer.example; s=s1;
	h=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;
	b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR
From: =?utf-8?q?Anna_M=C3=BCller?= <anna@customer.example>
To: Support <support@help.example>, "Otto, Bo" <bo@customer.example>
Subject: =?utf-8?b?RHJ1Y2tlciBpbSB6d2VpdGVuIFN0b2NrIGRydWNrdCBncmF1ZSBTZWl0?= =?utf-8?q?en?=
Date: Thu, 5 Nov 2026 10:00:00 +0100
Message-ID: <1@customer.example>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="mixed_0001"

This is a multi-part message in MIME format.
--mixed_0001
Content-Type: multipart/alternative; boundary="alt_0002"

--alt_0002
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: quoted-printable

`, "\n", "\r\n") + qp(strings.Repeat(plain, text/len(plain)+1)) + strings.ReplaceAll(`
--alt_0002
Content-Type: text/html; charset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable

`, "\n", "\r\n") + qp(strings.Repeat(tagged, html/len(tagged)+1)) + strings.ReplaceAll(`
--alt_0002--

--mixed_0001
Content-Type: image/png; name="seite.png"
Content-Disposition: attachment; filename="seite.png"
Content-Transfer-Encoding: base64

`, "\n", "\r\n") + b64.String() + "--mixed_0001--\r\n")
}

// result is what a reader makes of a mail.
type result struct {
	subject, text, html string
	files               []string
}

// ours reads everything: the tree, both texts and every file's bytes.
func ours(raw []byte, buf *bytes.Buffer) (result, error) {
	m, err := message.Parse(bytes.NewReader(raw), int64(len(raw)), message.DefaultLimits())
	if err != nil {
		return result{}, err
	}
	r := result{subject: m.Header.Text("Subject"), text: m.Text(), html: m.HTML()}
	for _, p := range m.Attachments() {
		buf.Reset()
		if _, err := buf.ReadFrom(m.Open(p)); err != nil {
			return result{}, err
		}
		r.files = append(r.files, p.Filename)
	}
	return r, nil
}

// theirs reads as much; the other reader decodes every part by itself.
func theirs(raw []byte) (result, error) {
	e, err := enmime.ReadEnvelope(bytes.NewReader(raw))
	if err != nil {
		return result{}, err
	}
	r := result{subject: e.GetHeader("Subject"), text: e.Text, html: e.HTML}
	for _, p := range e.Attachments {
		r.files = append(r.files, p.FileName)
	}
	return r, nil
}

// TestSame makes sure that the two do the same work.
func TestSame(t *testing.T) {
	for name, raw := range mails(t) {
		var buf bytes.Buffer
		a, err := ours(raw, &buf)
		if err != nil {
			t.Fatal(err)
		}
		b, err := theirs(raw)
		if err != nil {
			t.Fatal(err)
		}
		lf := func(s string) string { return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n") }
		if a.subject != b.subject || lf(a.text) != lf(b.text) || lf(a.html) != lf(b.html) || fmt.Sprint(a.files) != fmt.Sprint(b.files) {
			t.Errorf("%s: ours %q %d %d %q, theirs %q %d %d %q", name, a.subject, len(a.text), len(a.html), a.files, b.subject, len(b.text), len(b.html), b.files)
		}
		t.Logf("%s: %d bytes", name, len(raw))
	}
}

// BenchmarkWalker prints MB/s and allocations of both and the ratio of their
// times, taken in turn. "tree" is what the way in pays for a mail: the tree
// and the headers, no content.
func BenchmarkWalker(b *testing.B) {
	for _, name := range []string{"picture", "text"} {
		raw := mails(b)[name]
		var buf bytes.Buffer
		tree := func() error {
			_, err := message.Parse(bytes.NewReader(raw), int64(len(raw)), message.DefaultLimits())
			return err
		}
		all := func() error { _, err := ours(raw, &buf); return err }
		other := func() error { _, err := theirs(raw); return err }
		for kind, f := range map[string]func() error{"tree": tree, "all": all, "enmime": other} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(name+"/ratio", func(b *testing.B) {
			for b.Loop() { // one round each whatever -benchtime says
			}
			t, o, e := spent(b, tree), spent(b, all), spent(b, other)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(e/o, "times-enmime")
			b.ReportMetric(e/t, "tree-times-enmime")
		})
	}
}

// spent returns the best of five rounds: the one that was disturbed least.
func spent(b *testing.B, f func() error) float64 {
	const times = 200
	best := 0.0
	for range 5 {
		start := time.Now()
		for range times {
			if err := f(); err != nil {
				b.Fatal(err)
			}
		}
		if d := time.Since(start).Seconds() / times; best == 0 || d < best {
			best = d
		}
	}
	return best
}
