package message

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

func TestForged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field string
		want  bool
	}{
		{"Authentication-Results: mx.help.example; spf=pass", true},
		{"authentication-RESULTS:MX.Help.Example;spf=pass", true},
		{"Authentication-Results : mx.help.example; dkim=pass", true},
		{"Authentication-Results:\r\n mx.help.example;\r\n spf=pass", true},
		{"Authentication-Results: (hi (there) \\) ) mx.help.example (x) ; spf=pass", true},
		{"Authentication-Results: mx.help.example 1; spf=pass", true},
		{"Authentication-Results: mx.help.example(v) 1 (w); spf=pass", true},
		{"Authentication-Results: \"mx.help.example\"; spf=pass", true},
		{"Authentication-Results: \"mx\\.help.example\"; spf=pass", true},
		{"Authentication-Results: mx.help.example.; spf=pass", true},
		{"Authentication-Results: mx.help.example", true},
		{"Authentication-Results: mx.help.example spf=pass", true}, // cannot be read: another reader may find us
		{"Authentication-Results: (never ends mx.help.example; spf=pass", true},
		{"Authentication-Results: =?utf-8?q?mx.help.example?=; spf=pass", true},
		{"Authentication-Results: mx.help.example/1; spf=pass", true},
		{"Authentication-Results: mx.help.example,other.example; spf=pass", true},
		{"Authentication-Results: <mx.help.example>; spf=pass", true},
		{"Authentication-Results: \"mx.help.example;x\"; spf=pass", true},
		{"Authentication-Results:", true},
		{"Authentication-Results: mx.other.example; spf=pass", false},
		{"Authentication-Results: x.mx.help.example; spf=pass", false},
		{"Authentication-Results: mx.other.example; spf=pass (mx.help.example)", false},
		{"ARC-Authentication-Results: i=1; mx.help.example; spf=pass", false},
		{"Subject: Authentication-Results: mx.help.example", false},
		{"X-Authentication-Results: mx.help.example; spf=pass", false},
	} {
		if got := Forged(c.field, "mx.help.example"); got != c.want {
			t.Errorf("%q: %v", c.field, got)
		}
	}
}

func TestStripForged(t *testing.T) {
	t.Parallel()
	forged := "Authentication-Results: (x)\r\n\tmx.help.example;\r\n spf=pass\r\n"
	keep := "Received: by x\r\n\tfor y\r\nSubject: folded\n text\nX: y\r"
	other := "Authentication-Results: other.example; spf=fail\r\n"
	for name, c := range map[string]struct {
		in, want string
		removed  int
	}{
		"nothing to do":    {keep + other, keep + other, 0},
		"first":            {forged + keep + other, keep + other, 1},
		"behind a bare CR": {keep + forged + other, keep + other, 1},
		"last, no end":     {other + strings.TrimSuffix(forged, "\r\n"), other, 1},
		"several":          {forged + other + forged + "\r\n", other + "\r\n", 2},
		"line feeds":       {strings.ReplaceAll(forged+other, "\r", ""), strings.ReplaceAll(other, "\r", ""), 1},
		"empty":            {"", "", 0},
	} {
		got, n := StripForged([]byte(c.in), "mx.help.example")
		if string(got) != c.want || n != c.removed {
			t.Errorf("%s: %q, %d", name, got, n)
		}
	}
}

// FuzzStrip: what is left holds nothing forged and nothing new.
func FuzzStrip(f *testing.F) {
	f.Add([]byte("Authentication-Results: mx.example; spf=pass\r\nSubject: x\r\n\r\n"))
	f.Add([]byte("A: b\rAuthentication-Results:\n (mx) \"mx.example\"\r\n;\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		clean, n := StripForged(header, "mx.example")
		if n == 0 && !bytes.Equal(clean, header) || len(clean) > len(header) {
			t.Errorf("%q became %q", header, clean)
		}
		if again, n := StripForged(clean, "mx.example"); n != 0 {
			t.Errorf("%q still holds forged fields, then %q", clean, again)
		}
	})
}

// TestDelivered: trace on top, forged fields gone, everything else as it was.
func TestDelivered(t *testing.T) {
	t.Parallel()
	const trace = "Authentication-Results: mx.help.example; spf=fail\r\nReturn-Path: <>\r\n"
	const forged = "Authentication-Results: MX.help.example;\r\n\tspf=pass\r\n"
	body := "\r\n" + forged + strings.Repeat("x", 100_000) + "\r\nno end"
	for name, c := range map[string]struct{ in, want string }{
		"forged":           {"Subject: x\r\n" + forged + "To: y\r\n" + body, "Subject: x\r\nTo: y\r\n" + body},
		"nothing forged":   {"Subject: x\r\n" + body, "Subject: x\r\n" + body},
		"line feeds":       {"Subject: x\n" + strings.ReplaceAll(forged, "\r", "") + "\nbody\n", "Subject: x\n\nbody\n"},
		"no header":        {body, body},
		"no body":          {"Subject: x\r\n" + forged, "Subject: x\r\n"},
		"a very long line": {"X: " + strings.Repeat("y", 300_000) + "\r\n" + forged + body, "X: " + strings.Repeat("y", 300_000) + "\r\n" + body},
		"empty":            {"", ""},
	} {
		r, n, err := Delivered(trace, "mx.help.example", strings.NewReader(c.in), int64(len(c.in)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != trace+c.want || n != int64(len(got)) {
			t.Errorf("%s: %d octets, %v; want %d", name, len(got), err, len(trace+c.want))
		}
	}
}
