package smtpd

import (
	"strings"
	"testing"

	"ticketgate/ticketing/message"
)

func TestMailbox(t *testing.T) {
	for in, want := range map[string]string{
		"a@b.example":                "a@b.example",
		"x> SIZE=1 <y@b.example":     `"x> SIZE=1 <y"@b.example`,
		`a"b\c@b.example`:            `"a\"b\\c"@b.example`,
		"a@b@c.example":              `"a@b"@c.example`,
		" @b.example":                `" "@b.example`,
		"jürgen@b.example":           "jürgen@b.example",
		"a@[192.0.2.7]":              "a@[192.0.2.7]",
		"a@[300.1.1.1]":              "",
		"a\r\nRCPT TO:<b>@c.example": "",
		"a@b.example> SIZE=1":        "",
		"":                           "",
		"@b.example":                 "",
	} {
		got, err := mailbox(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q (%v), not %q", in, got, err, want)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"anna@b.example": "a***@b.example", "": "<>", "postmaster": "***", "ünal@b.example": "***@b.example", `"a b"@c.example`: "***@c.example", "@b": "***",
	} {
		if got := redact(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}

// FuzzMailbox: what comes out can be written into a command as it is, and reads
// back as itself.
func FuzzMailbox(f *testing.F) {
	for _, s := range []string{"a@b.example", "x> SIZE=1 <y@z", `"\`, "a@b@c", "@x:y@z", "ü@ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, err := mailbox(in)
		if err != nil {
			return
		}
		if strings.ContainsAny(out, "\r\n\x00") {
			t.Fatalf("%q", out)
		}
		if again, err := message.ParsePath(out); err != nil || again != out {
			t.Fatalf("%q became %q, then %q: %v", in, out, again, err)
		}
		if !strings.HasPrefix(out, `"`) && strings.ContainsAny(out, " <>") {
			t.Fatalf("%q needs quotes", out)
		}
	})
}
