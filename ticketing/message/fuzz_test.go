package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"From: a@b.c\r\nSubject: =?utf-8?q?x?=\r\n\r\nhello\r\n",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nContent-Type: text/html\n\n<p>two\n--b--\n",
		"Content-Type: multipart/mixed\n\n--x\nContent-Type: multipart/alternative; boundary=\"y\"\n\n--y\n\n--y--\n--x--",
		"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogaW5uZXIKCmhlbGxvCg==",
		"Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\nSubject=3A x\n\n=\n",
		"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\none\n--b--",
		"From x\n\n \nX:\n y\n\tz\n  \nbegin 644 a\n#0V%T\n`\nend\n",
		"A: b\rC: d\r\rbody\r",
		"Content-Type: text/plain; charset=utf-16; format=flowed; delsp=yes\nContent-Disposition: attachment; filename*0*=utf-8''%41; filename*1=\"b\"\n\n> a \n-- \n",
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822;a@b.c\nAction: failed\nStatus: 5.1.1\n\n--b--\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := Parse(strings.NewReader(raw), int64(len(raw)), Limits{Depth: 6, Parts: 20, HeaderLines: 50, HeaderBytes: 4096})
		if err != nil {
			t.Fatal(err)
		}
		checkMail(t, "fuzz", m)
		Classify(m, "")
		ParseBounce(m)
		checkText(t, "sanitised", SanitizeHTML(m.HTML()))
	})
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{
		"Anna <a@b.c>", "Doe, John <a@b>", `"a \" b" <"x y"@b.c>, (c (d)) e@f`, "g: a@b, c@d; e@f", "=?utf-8?q?Anna_=3Ca=40b=2Ec=3E?=",
		"<@r,@s:a@b>", "a @ b . c", "'x@y' <x@y>", "a@[1.2.3.4]", "J\xfcrgen <j@b>", "<<a@b>>", "a@b c@d", "mailto:a@b?c", "ü@ü.example",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, _ := ParseAddressList(s, 50)
		if len(list) > 50 {
			t.Fatalf("%d addresses", len(list))
		}
		for _, a := range list {
			checkAddress(t, "fuzz", a)
			again, damaged := ParseAddressList(a.String(), 2)
			if len(again) != 1 || again[0].Addr != a.Addr {
				t.Errorf("%q came back as %v from %q (damaged %v)", a.Addr, again, a.String(), damaged)
			}
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"a@b.c", `"a b"@c`, "@r.example:a@b", "postmaster", "a@[IPv6:::1]", "ü@ü.example", `"\""@x`, "a@b@c", "a..b@c", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		if len(p) > maxPath || strings.ContainsAny(p, "\r\n\x00<>") && !strings.HasPrefix(p, `"`) || !utf8.ValidString(p) {
			t.Fatalf("%q", p)
		}
		if again, err := ParsePath(p); err != nil || again != p {
			t.Errorf("%q is not stable: %q, %v", p, again, err)
		}
		if fold := Fold(p); Fold(fold) != fold {
			t.Errorf("Fold(%q) = %q, then %q", p, fold, Fold(fold))
		}
	})
}

func FuzzDecodeWords(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?a_b?= =?utf-8?b?w7w=?=", "=?x?q?=ff?=", "=?utf-8?b?w?==?utf-8?b?7w=?=", "\xff\xfe", "=?gb2312?b?xOO6ww==?=", "=?iso-2022-jp?b?GyRCJCIbKEI=?=", "=?", "=?utf-7?q?+ADw-?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkLine(t, "fuzz", DecodeWords(s)) })
}

func FuzzVisibleText(f *testing.F) {
	for _, s := range []string{
		"hi\n\nOn 1 May 2026 10:00, A <a@b.c> wrote:\n> x\n", "> x\nanswer\n> y\n", "hi\n-- \nme", "From: a\nSent: b\nTo: c\nSubject: d\n\nx", "-----Original Message-----\nx", "Sent from my iPhone",
		"a\n___\nx mailing list\n", ">", "\n\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, q := VisibleText(s)
		if strings.TrimSpace(s) != "" && strings.TrimSpace(v) == "" {
			t.Errorf("nothing visible of %q", s)
		}
		// No line is lost: both halves together hold all words of the text.
		if words, got := len(strings.Fields(s)), len(strings.Fields(v))+len(strings.Fields(q)); words != got {
			t.Errorf("%d words became %d: %q %q", words, got, v, q)
		}
	})
}

func FuzzHTMLToText(f *testing.F) {
	for _, s := range []string{
		"<p>a<br>b</p><blockquote>c</blockquote>", "<table><tr><td>a<td>b</table>", "<ul><li>a<ol><li>b", "<a href='http://x'>x</a>", "<div style='display:none'>a", "<pre> a\n  b</pre>", "<!--[if mso]>x<![endif]-->&amp;&#0;&#xD800;",
		"<script>a</script><img alt=x src=cid:y>", "\x00<\x00p>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkText(t, "text", HTMLToText(s))
		safe := SanitizeHTML(s)
		low := strings.ToLower(safe)
		for _, bad := range []string{"<script", "<iframe", "<object", "<style", "<svg", "<form", "<input", "src=\"http"} {
			if strings.Contains(low, bad) {
				t.Errorf("%q in %q", bad, safe)
			}
		}
	})
}

func FuzzParseBounce(f *testing.F) {
	for _, p := range proseReports {
		f.Add("From: "+p.from+"\nSubject: "+p.subject+"\n\n"+p.text, "")
	}
	f.Add(crlf(report), "")
	f.Add("From: a@b.c\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Rcpt-To: <a@b.c>\nSource-IP: 192.0.2.1\nSource-Port: 99\n", "a@b.c")
	f.Add("X-Amz-Sns-Message-Id: 1\n\n{\"notificationType\":\"Bounce\",\"bounce\":{\"bouncedRecipients\":[{\"emailAddress\":\"a@b.c\",\"status\":\"5.1.1\"}]}}", "")
	f.Fuzz(func(t *testing.T, raw, from string) {
		m, err := Parse(strings.NewReader(raw), int64(len(raw)), Limits{Depth: 6, Parts: 20, HeaderLines: 50, HeaderBytes: 4096})
		if err != nil {
			t.Fatal(err)
		}
		b := ParseBounceFrom(m, from)
		checkBounce(t, "fuzz", b)
		class := Classify(m, from).Class
		if f := ParseFeedback(m); f != nil && (class != "feedback" && class != "bounce" || f.Type == "" || f.Incidents < 1) {
			t.Errorf("class %s of %+v", class, f)
		}
		if b != nil && b.FeedbackType == "" && class != "bounce" && class != "delayed" && len(statusParts(m.Root)) == 0 {
			t.Errorf("class %s of a report: %+v", class, b)
		}
	})
}
