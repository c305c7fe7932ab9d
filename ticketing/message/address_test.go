package message

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestParseAddressList: what people and programs write into To and From.
func TestParseAddressList(t *testing.T) {
	t.Parallel()
	tests := []struct {
		value   string
		want    string // addresses as name|addr, apart by blanks and a bar
		damaged bool
	}{
		{"", "", false},
		{"a@b.example", "|a@b.example", false},
		{"<a@b.example>", "|a@b.example", false},
		{"Anna Kunde <a@b.example>", "Anna Kunde|a@b.example", false},
		{`"Kunde, Anna" <a@b.example>`, "Kunde, Anna|a@b.example", false},
		{"Kunde, Anna <a@b.example>", "Kunde, Anna|a@b.example", true},
		{"a@b.example (Anna)", "Anna|a@b.example", false},
		{"Anna (the boss (really)) <a@b.example>", "Anna|a@b.example", false},
		{"a@b.example, c@d.example", "|a@b.example  |c@d.example", false},
		{"a@b.example; c@d.example;", "|a@b.example  |c@d.example", false},
		{"a@b.example, , c@d.example,", "|a@b.example  |c@d.example", false},
		{"a@b.example c@d.example", "|a@b.example  |c@d.example", true},
		{"<a@b.example> <c@d.example>", "|a@b.example  |c@d.example", true},
		{"undisclosed-recipients:;", "", false},
		{"Team: a@b.example, Carl <c@d.example>; e@f.example", "|a@b.example  Carl|c@d.example  |e@f.example", false},
		{"=?utf-8?q?Anna_K=C3=BChn?= <a@b.example>", "Anna Kühn|a@b.example", false},
		{"=?utf-8?q?K=C3=BChn,_Anna?= <a@b.example>", "Kühn, Anna|a@b.example", false},
		{`"=?utf-8?b?QW5uYQ==?=" <a@b.example>`, "Anna|a@b.example", false},
		{"=?utf-8?q?Anna_=3Ca=40b=2Eexample=3E?=", "Anna|a@b.example", true},
		{"=?utf-8?q?boss=40bank=2Eexample?= <a@evil.example>", "boss@bank.example|a@evil.example", false},
		{"boss@bank.example <a@evil.example>", "boss@bank.example|a@evil.example", false},
		{"=?utf-8?q?boss=40bank.example=3E=00?=@evil.example", "|=?utf-8?q?boss=40bank.example=3E=00?=@evil.example", false},
		{"J\xfcrgen <j@b.example>", "Jürgen|j@b.example", false},
		{"Jürgen <j@b.example>", "Jürgen|j@b.example", false},
		{"[Ticket] Anna <a@b.example>", "[Ticket] Anna|a@b.example", false},
		{"'Anna' <'a@b.example'>", "Anna|a@b.example", true},
		{"a..b@c.example", "|a..b@c.example", false},
		{"a.@c.example", "|a.@c.example", false},
		{`"a b"@c.example`, `|"a b"@c.example`, false},
		{`"ab"@c.example`, "|ab@c.example", false},
		{"<@relay.example,@two.example:a@b.example>", "|a@b.example", false},
		{"jdoe@test . example", "|jdoe@test.example", false},
		{"a (x) @ (y) b.example", "x|a@b.example", false},
		{"<mailto:a@b.example?subject=x>", "|a@b.example", true},
		{"<<a@b.example>>", "|a@b.example", true},
		{"Anna <a@b.example", "Anna|a@b.example", true},
		{`Anna "the boss <a@b.example>`, "Anna the boss|a@b.example", true},
		{"Anna (oops <a@b.example>", "Anna (oops|a@b.example", true},
		{"a@b.example.", "|a@b.example", true},
		{"a@[192.0.2.1]", "|a@[192.0.2.1]", false},
		{"a@[192.0.2.1", "", true},
		{"<>", "", true},
		{"nobody", "", true},
		{"a@b@c.example", "", true},
		{"@b.example", "", true},
		{"a@", "", true},
		{"a@b..example", "", true},
		{"a\x00b@c.example", "", true},
		{"jürgen@exämple.example", "|jürgen@exämple.example", false},
		{"Anna <a@b.example> (home), Carl <c@d.example>", "Anna|a@b.example  Carl|c@d.example", false},
	}
	for _, tt := range tests {
		list, damaged := ParseAddressList(tt.value, 100)
		var got []string
		for _, a := range list {
			got = append(got, a.Name+"|"+a.Addr)
		}
		if s := strings.Join(got, "  "); s != tt.want || damaged != tt.damaged {
			t.Errorf("%q: got %q damaged %v, want %q %v", tt.value, s, damaged, tt.want, tt.damaged)
		}
	}
}

func TestParseAddressListStopsAtMax(t *testing.T) {
	t.Parallel()
	list, damaged := ParseAddressList("a@b.c, d@e.f, g@h.i", 2)
	if len(list) != 2 || !damaged {
		t.Errorf("got %v, damaged %v", list, damaged)
	}
	if list, damaged = ParseAddressList("a@b.c, d@e.f,", 2); len(list) != 2 || damaged {
		t.Errorf("got %v, damaged %v", list, damaged)
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a@b.example": "a@b.example", " Anna <a@b.example> ": "a@b.example", "<a@b.example>": "a@b.example", "a@ex_ample.example": "a@ex_ample.example",
		"": "", "a": "", "a@b, c@d": "", "a@b c": "", "a@-b.example": "", strings.Repeat("a", 65) + "@b.example": "", "postmaster": "", "a@b.example\r\nBcc: x@y": "",
	} {
		a, err := ParseAddress(in)
		if a.Addr != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", in, a.Addr, err)
		}
	}
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"a@b.example": "a@b.example", "A.B+c@B.Example": "A.B+c@B.Example", `"a b"@c.example`: `"a b"@c.example`, `"a\"b"@c.example`: `"a\"b"@c.example`, `"ab"@c.example`: "ab@c.example",
		`"a@b"@c.example`: `"a@b"@c.example`, "@r.example,@s.example:a@b.example": "a@b.example", "postmaster": "postmaster", "PostMaster": "postmaster", "a@[192.0.2.1]": "a@[192.0.2.1]",
		"a@[IPv6:2001:db8::1]": "a@[IPv6:2001:db8::1]", "jürgen@exämple.example": "jürgen@exämple.example", "a..b@c.example": "a..b@c.example", "a@localhost": "a@localhost",
		strings.Repeat("a", 64) + "@b.example": strings.Repeat("a", 64) + "@b.example", "a%b@c.example": "a%b@c.example", "a!b@c.example": "a!b@c.example",
	}
	for in, want := range good {
		if got, err := ParsePath(in); got != want || err != nil {
			t.Errorf("%q: got %q, %v", in, got, err)
		}
	}
	for _, bad := range []string{
		"", "a", "@b.example", "a@", "a b@c.example", "a@b c.example", "a@b.example ", "<a@b.example>", "a@b@c.example", `"a@b.example`, `"a"b@c.example`, "a@b..example", "a@.example", "a@example.",
		"a@-b.example", "a@b-.example", "a@[192.0.2.999]", "a@[IPv6:192.0.2.1]", "a@[x:y]", "a@[192.0.2.1", "a@b.exa\x00mple", "a\r\n@b.example", "a@b.example\nRCPT", "a\x7f@b.example", "\xff@b.example",
		strings.Repeat("a", 65) + "@b.example", "a@" + strings.Repeat("b.", 130) + "c", "a@" + strings.Repeat("b", 64) + ".example", "@r.example a@b.example", "@:a@b.example", "a,b@c.example", "(a)b@c.example", `""@b.example`, "a\u202eb@c.example",
	} {
		if got, err := ParsePath(bad); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

// What is taken for folded at a glance is what the general way makes of it.
func TestFoldAtAGlance(t *testing.T) {
	seen := 0
	rapid.Check(t, func(t *rapid.T) {
		addr := rapid.OneOf(
			rapid.StringMatching(`[a-zA-Z0-9._+'-]{1,6}@[a-z0-9-]{1,6}(\.[a-zA-Z0-9_-]{0,6}){0,3}`),
			rapid.StringMatching(`[a-z"@ .]{0,4}@(xn--)?[a-z0-9@.-]{0,9}`),
		).Draw(t, "addr")
		if !folded(addr) {
			return
		}
		seen++
		local, domain := halves(addr)
		if long := quoteLocal(foldCase(local)) + "@" + foldDomain(domain); long != addr {
			t.Fatalf("%q is folded, the long way makes it %q", addr, long)
		}
	})
	if seen == 0 {
		t.Error("nothing was taken for folded")
	}
}

func TestFold(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"anna@example.com", "Anna@Example.COM", `"anna"@example.com`, " anna@example.com "},
		{"jürgen@xn--exmple-cua.example", "JÜRGEN@exämple.example", "ju\u0308rgen@EXÄMPLE.example"},
		{`"a b"@c.example`, `"A B"@C.example`},
		{"a@b.example", "a@b.example."},
		{"postmaster", "Postmaster"},
	} {
		for _, s := range same {
			if got := Fold(s); got != same[0] {
				t.Errorf("Fold(%q) = %q, want %q", s, got, same[0])
			}
		}
	}
	if Fold("a@b.example") == Fold("a@c.example") {
		t.Error("two mailboxes became one")
	}
}

// TestAddressRoundTrip: what String writes, ParseAddressList reads.
func TestAddressRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a := Address{
			Name: strings.Join(strings.Fields(cleanLine(rapid.String().Draw(rt, "name"))), " "),
			Addr: quoteLocal(rapid.StringMatching(`[ -~]{1,30}`).Draw(rt, "local")) + "@" + rapid.StringMatching(`[a-z]{1,10}\.example`).Draw(rt, "domain"),
		}
		s := a.String()
		list, _ := ParseAddressList(s, 10)
		if len(list) != 1 || list[0].Addr != a.Addr {
			rt.Fatalf("%q: got %v from %q", a.Addr, list, s)
		}
		if name := strings.Trim(a.Name, `'"`); strings.Trim(list[0].Name, `'" `) != strings.TrimSpace(name) && !strings.ContainsAny(a.Name, `'"`) {
			rt.Fatalf("name %q became %q in %q", a.Name, list[0].Name, s)
		}
	})
}

// TestStringCannotBreakOut: no name or address begins a header line or a second
// recipient.
func TestStringCannotBreakOut(t *testing.T) {
	t.Parallel()
	for _, a := range []Address{
		{"x\r\nBcc: evil@example.com", "a@b.example"}, {"x\u2028y", "a@b.example"}, {`x" <evil@example.com>, "y`, "a@b.example"},
		{"", "a@b.example>, <evil@example.com"}, {"x", "a@b.example\r\nBcc: c@d"}, {"=?utf-8?q?x?=", "a@b.example"},
	} {
		s := a.String()
		if strings.ContainsAny(s, "\r\n") {
			t.Errorf("%q", s)
		}
		if list, _ := ParseAddressList(s, 10); len(list) > 1 {
			t.Errorf("%q reads as %v", s, list)
		}
	}
}

func ExampleAddress_String() {
	fmt.Println(Address{"Anna Kunde", "anna@example.com"})
	fmt.Println(Address{"Jürgen", "j@example.com"})
	fmt.Println(Address{"", "a@example.com"})
	// Output:
	// "Anna Kunde" <anna@example.com>
	// =?utf-8?q?J=C3=BCrgen?= <j@example.com>
	// <a@example.com>
}
