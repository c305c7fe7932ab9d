package courier

import (
	"strings"
	"testing"
)

func TestWireAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"anna@customer.example":                     "anna@customer.example",
		"Anna.B@Customer.Example":                   "Anna.B@customer.example",
		"anna@customer.example.":                    "anna@customer.example",
		"a@büro.example":                            "a@xn--bro-hoa.example",
		"jürgen@customer.example":                   "jürgen@customer.example",
		`"a b"@customer.example`:                    `"a b"@customer.example`,
		`"a\"b"@customer.example`:                   `"a\"b"@customer.example`,
		`"x> SIZE=1 <y"@customer.example`:           `"x> SIZE=1 <y"@customer.example`,
		"a@[192.0.2.1]":                             "a@[192.0.2.1]",
		"a@[IPv6:2001:db8::1]":                      "a@[ipv6:2001:db8::1]",
		"b+1f.2.abc@help.example":                   "b+1f.2.abc@help.example",
		"a@under_score.example":                     "a@under_score.example",
		"":                                          "",
		"anna":                                      "",
		"@customer.example":                         "",
		"anna@":                                     "",
		"anna@.example":                             "",
		"anna@a..b":                                 "",
		"anna@-a.example":                           "",
		"a..b@customer.example":                     "",
		".a@customer.example":                       "",
		"a b@customer.example":                      "",
		"a>@customer.example":                       "",
		"x> SIZE=1 <y@customer.example":             "",
		"a\r\nRCPT TO:<b@c>@customer.example":       "",
		"a@customer.example\r\nDATA":                "",
		"a@customer.example> SIZE=1":                "",
		`"a"b"@customer.example`:                    "",
		`"a\"@customer.example`:                     "",
		"\"a\r\n\"@customer.example":                "",
		"a@[300.1.1.1]":                             "",
		"a@[IPv6:192.0.2.1]":                        "",
		"a@[fe80::1%25eth0]":                        "",
		"a\u0085b@customer.example":                 "",
		"a\xff@customer.example":                    "",
		strings.Repeat("a", 65) + "@b.example":      "",
		"a@" + strings.Repeat("a", 64) + ".example": "",
		"a@" + strings.Repeat(strings.Repeat("a", 60)+".", 5) + "b": "",
	} {
		got, ascii, err := wireAddress(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q (%v), want %q", in, got, err, want)
		}
		if ascii != (want != "" && !strings.Contains(want, "ü")) {
			t.Errorf("%q: ascii is %v", in, ascii)
		}
	}
}

func FuzzWireAddress(f *testing.F) {
	f.Add("anna@customer.example")
	f.Add(`"a\"> b"@[IPv6:::1]`)
	f.Fuzz(func(t *testing.T, in string) {
		wire, _, err := wireAddress(in)
		if err != nil {
			return
		}
		if strings.ContainsAny(wire, "\r\n\x00") || len(wire) > maxPath {
			t.Fatalf("%q became %q", in, wire)
		}
		if out := outsideQuotes(wire); strings.ContainsAny(out, " <>") {
			t.Fatalf("%q leaves its brackets: %q", in, out)
		}
		again, _, err := wireAddress(wire)
		if err != nil || again != wire {
			t.Fatalf("%q became %q and then %q (%v)", in, wire, again, err)
		}
	})
}

func outsideQuotes(s string) string {
	var b strings.Builder
	in := false
	for i := 0; i < len(s); i++ {
		switch {
		case in && s[i] == '\\':
			i++
		case s[i] == '"':
			in = !in
		case !in:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
