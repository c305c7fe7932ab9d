package message

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// bombs are mails made to cost more than they are worth.
func bombs() map[string]string {
	var deep, tail strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	for i := 9999; i >= 0; i-- {
		fmt.Fprintf(&tail, "\n--b%d--", i)
	}
	parts := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 100_000) + "--b--\n"
	mails := strings.Repeat("Content-Type: message/rfc822\n\n", 10_000) + "Subject: inner\n\nhello\n"
	encoded := "Subject: core\n\nhello\n"
	for range 12 {
		encoded = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(encoded)) + "\n"
	}
	refs := &strings.Builder{}
	for i := range 10_000 {
		fmt.Fprintf(refs, " <%d@example.com>\n", i)
	}
	same := "Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", 250) + "\n\n" + strings.Repeat("--"+strings.Repeat("b", 249)+"\n", 5_000)
	return map[string]string{
		"depth 10k":               deep.String() + "\nhello" + tail.String(),
		"100k parts":              parts,
		"10k nested mails":        mails,
		"base64 mails in mails":   encoded,
		"1 MB header":             "Subject: " + strings.Repeat("x", 1<<20) + "\n\nhello\n",
		"3 MB header of lines":    strings.Repeat("X-A: bcdefgh\n", 250_000) + "\nhello\n",
		"1 MB line":               "Subject: x\n\n" + strings.Repeat("x", 1<<20),
		"100k To lines":           strings.Repeat("To: a@example.com\n", 100_000) + "\nhello\n",
		"100k addresses":          "To: " + strings.Repeat("a@example.com, ", 60_000) + "\n\nhello\n",
		"10k references":          "References:\n" + refs.String() + "Subject: x\n\nhello\n",
		"base64 junk":             "Content-Transfer-Encoding: base64\n\n" + strings.Repeat("=?!ab=", 200_000),
		"QP junk":                 "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("= =\t=3", 200_000),
		"QP blanks":               "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat(" ", 1<<20) + "x" + strings.Repeat("=", 1<<18),
		"long boundary":           "Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", 3000) + "\n\n--" + strings.Repeat("b", 3000) + "\n\nhello\n",
		"almost boundaries":       same,
		"unclosed multiparts":     strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 10_000),
		"adopted boundaries":      "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--x\nContent-Type: multipart/mixed; boundary=y\n\n", 10_000),
		"uuencode":                "Subject: x\n\n" + strings.Repeat("begin 644 a\n#0V%T\n`\nend\n", 50_000),
		"uuencode never ended":    "Subject: x\n\n" + strings.Repeat("begin 644 a\n#0V%T\n", 50_000),
		"unfinished words":        "Subject: " + strings.Repeat("=?utf-8?q?", 90_000) + "\n\nhello\n",
		"parameters":              "Content-Type: text/plain" + strings.Repeat("; a*1*=b", 100_000) + "\n\nhello\n",
		"comment parameters":      "Content-Type: text/plain" + strings.Repeat("; (((", 100_000) + "\n\nhello\n",
		"flowed":                  "Content-Type: text/plain; format=flowed\n\n" + strings.Repeat("x \n", 300_000),
		"html tags":               "Content-Type: text/html\n\n" + strings.Repeat("<a href=http://x><blockquote><div style=display:none>", 15_000) + "hello",
		"html lists":              "Content-Type: text/html\n\n" + strings.Repeat("<ul><li>x<blockquote>", 15_000),
		"html bare angle":         "Content-Type: text/html\n\n" + strings.Repeat("<", 200_000),
		"html attributes":         "Content-Type: text/html\n\n<p " + strings.Repeat("a=b ", 200_000) + ">hello",
		"quotes":                  "Subject: x\n\n" + strings.Repeat("> On 1.1.2020 a@b wrote:\n", 50_000),
		"attributions":            "Subject: x\n\n" + strings.Repeat("On 1.1.2020 10:00 a@b\n", 50_000) + "wrote:\n",
		"header blocks":           "Subject: x\n\n" + strings.Repeat("From: a\nx\n", 50_000),
		"wide utf-16":             "Content-Type: text/plain; charset=utf-16\n\n" + strings.Repeat("\x00a", 200_000),
		"unknown charset":         "Content-Type: text/plain; charset=x-none\n\n" + strings.Repeat("\xff\xfe\x80", 300_000),
		"garbage header":          strings.Repeat("--\n", 200_000),
		"header of blank lines":   strings.Repeat(" \n", 300_000) + "Subject: x\n\nhello",
		"status part":             "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n" + strings.Repeat("Final-Recipient: rfc822; a@b.c\nAction: failed\nStatus: 5.1.1\n\n", 20_000) + "--b--\n",
		"status of one big group": "Content-Type: message/delivery-status\n\n" + strings.Repeat("Original-Recipient: rfc822; +2B+2B\nDiagnostic-Code: 5.5.5\n", 20_000),
	}
}

// TestBombs: whatever the mail, what we keep is bounded by the limits. The time
// is printed; it fails the test only when it is out of all proportion.
func TestBombs(t *testing.T) {
	t.Parallel()
	for name, raw := range bombs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			m := parseBytes(t, raw)
			checkMail(t, name, m)
			lim := DefaultLimits()
			if n := len(m.Header); n > lim.HeaderLines {
				t.Errorf("%d fields", n)
			}
			size := 0
			for _, f := range m.Header {
				size += len(f.Name) + len(f.Value)
			}
			if size > lim.HeaderBytes {
				t.Errorf("header of %d bytes", size)
			}
			if n := len(m.Header.Addresses("To")); n > lim.Addresses {
				t.Errorf("%d addresses", n)
			}
			if n := len(m.Header.IDs("References")); n > maxIDs {
				t.Errorf("%d ids", n)
			}
			if n := len(m.Text()); n > lim.Text+1024 {
				t.Errorf("text of %d bytes", n)
			}
			if n := len(m.Problems); n > maxProblems {
				t.Errorf("%d problems", n)
			}
			VisibleText(m.Text())
			SanitizeHTML(cutRunes(m.HTML(), 100_000))
			Classify(m, "")
			if b := ParseBounce(m); b != nil && len(b.Recipients) > maxBounceRecipients {
				t.Errorf("%d bounce recipients", len(b.Recipients))
			}
			took := time.Since(start)
			t.Logf("%d bytes, %v", len(raw), took.Round(time.Millisecond))
			if took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestLimitsAreNamed: a mail over a limit says so.
func TestLimitsAreNamed(t *testing.T) {
	t.Parallel()
	all := bombs()
	for name, word := range map[string]string{
		"depth 10k": "nested deeper than 50", "100k parts": "more than 1000 parts", "10k nested mails": "nested deeper than 50",
		"1 MB header": "over its limit", "100k To lines": "over its limit", "long boundary": "longer than 256",
	} {
		m := parseBytes(t, all[name])
		if !strings.Contains(strings.Join(m.Problems, "\n"), word) {
			t.Errorf("%s: problems %q", name, m.Problems)
		}
	}
}

// TestPartsLimitKeepsTheRest: nothing is lost behind the last part.
func TestPartsLimitKeepsTheRest(t *testing.T) {
	t.Parallel()
	raw := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 10) + "--b\n\nthe end\n--b--\n"
	lim := DefaultLimits()
	lim.Parts = 4
	m, err := Parse(strings.NewReader(raw), int64(len(raw)), lim)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(m.Root.Parts); n != 3 {
		t.Errorf("%d parts", n)
	}
	if !strings.Contains(m.Text(), "the end") {
		t.Errorf("text %q", m.Text())
	}
}

// TestAddressBombs: the address parser is linear on hostile values.
func TestAddressBombs(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]string{
		"domain literal":    "a@[" + strings.Repeat("1", 256<<10),
		"literals":          strings.Repeat("a@[", 100_000),
		"nested comments":   strings.Repeat("(", 256<<10) + "a@example.com",
		"comments":          strings.Repeat("(a", 100_000) + strings.Repeat(")", 100_000) + " a@example.com",
		"phrase flood":      strings.Repeat("a ", 200_000) + "<a@example.com>",
		"quotes":            strings.Repeat(`"`, 300_001) + "a@example.com",
		"escaped quotes":    strings.Repeat(`"\`, 200_000),
		"angles":            strings.Repeat("<", 300_000) + "a@example.com",
		"open angles":       strings.Repeat("<a@b ", 100_000),
		"at signs":          strings.Repeat("@", 300_000),
		"dots":              "a@" + strings.Repeat("b.", 150_000) + "c",
		"blank dots":        "a@b" + strings.Repeat(" .", 150_000),
		"commas":            strings.Repeat(",", 300_000) + "a@example.com",
		"names":             strings.Repeat("Doe, ", 100_000) + "a@example.com",
		"groups":            strings.Repeat("g:", 150_000) + "a@example.com",
		"words":             strings.Repeat("=?utf-8?q?a@b", 50_000),
		"encoded addresses": strings.Repeat("=?utf-8?q?a=40b.c,?= ", 30_000),
		"puny":              "a@" + strings.Repeat("ü", 100_000) + ".example",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			list, _ := ParseAddressList(v, 1000)
			if len(list) > 1000 {
				t.Errorf("%d addresses", len(list))
			}
			for _, a := range list {
				checkAddress(t, name, a)
			}
			Fold(v)
			DecodeWords(v)
			ParsePath(v)
			took := time.Since(start)
			t.Logf("%d addresses, %v", len(list), took.Round(time.Millisecond))
			if took > time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}
