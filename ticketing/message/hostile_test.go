package message

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile is a mail made to confuse or to cost, and what must be true of it.
type hostile struct {
	name, raw string
	want      func(m *Mail) string // what is seen of it
	is        string
}

// runHostile reads every mail whole. Memory and time stay in proportion to its
// size; the worst of both are printed.
func runHostile(t *testing.T, group string, least int, cases []hostile) {
	t.Helper()
	var worstTime time.Duration
	var worstMemory uint64
	var slow, fat string
	for _, c := range cases {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		m := parseBytes(t, c.raw)
		checkMail(t, c.name, m)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		used := after.TotalAlloc - before.TotalAlloc
		if took > worstTime {
			worstTime, slow = took, c.name
		}
		if used > worstMemory {
			worstMemory, fat = used, c.name
		}
		if used > 64<<20+100*uint64(len(c.raw)) || took > time.Minute {
			t.Errorf("%s: %d bytes cost %d bytes of memory in all and %v", c.name, len(c.raw), used, took)
		}
		if c.want != nil {
			if got := c.want(m); got != c.is {
				t.Errorf("%s: %q, want %q", c.name, cutRunes(got, 300), c.is)
			}
		}
	}
	t.Logf("group %s: %d cases; slowest %q %v, most allocated in all %q %d KiB", group, len(cases), slow, worstTime.Round(time.Millisecond), fat, worstMemory>>10)
	if len(cases) < least {
		t.Errorf("group %s has %d cases, %d are asked for", group, len(cases), least)
	}
}

func seenText(m *Mail) string    { return strings.TrimSpace(m.Text()) }
func seenSubject(m *Mail) string { return m.Header.Text("Subject") }

func seenAddresses(field string) func(*Mail) string {
	return func(m *Mail) string {
		var list []string
		for _, a := range m.Header.Addresses(field) {
			list = append(list, a.Addr)
		}
		return strings.Join(list, " ")
	}
}

func seenCount(f func(*Mail) int) func(*Mail) string {
	return func(m *Mail) string { return fmt.Sprint(f(m)) }
}

func seenNames(m *Mail) string {
	var list []string
	for _, p := range m.Attachments() {
		list = append(list, p.Filename)
	}
	return strings.Join(list, " ")
}

func seenFirst(m *Mail) string {
	if len(m.Attachments()) == 0 {
		return "no attachment"
	}
	b, _ := io.ReadAll(m.Open(m.Attachments()[0]))
	return string(b)
}

func seenProblem(word string) func(*Mail) string {
	return func(m *Mail) string {
		if strings.Contains(strings.Join(m.Problems, "\n"), word) {
			return "said"
		}
		return strings.Join(m.Problems, "; ")
	}
}

// TestHostileHeaders is group H: headers that readers disagree about.
func TestHostileHeaders(t *testing.T) {
	from, ids, dates := seenAddresses("From"), seenCount(func(m *Mail) int { return len(m.Header.IDs("Message-ID")) }), func(m *Mail) string {
		d, ok := m.Header.Date()
		return fmt.Sprint(d.Year(), ok)
	}
	var cases []hostile
	add := func(name, header string, want func(*Mail) string, is string) {
		cases = append(cases, hostile{name, header + "\r\n\r\nhello\r\n", want, is})
	}
	for n, is := range []string{"", "a@x.example", "a@x.example a@x.example", "a@x.example a@x.example a@x.example"} {
		add(fmt.Sprintf("%d From", n), "Subject: x"+strings.Repeat("\r\nFrom: a@x.example", n), from, is)
	}
	for name, c := range map[string][2]string{
		"empty group":                     {"undisclosed:;", ""},
		"group":                           {"us: a@x.example, b@x.example;", "a@x.example b@x.example"},
		"nothing":                         {"", ""},
		"blanks":                          {" \t ", ""},
		"only a name":                     {"Anna", ""},
		"encoded at sign":                 {"=?utf-8?q?boss=40bank.example?= <a@x.example>", "a@x.example"},
		"encoded address before":          {"=?utf-8?q?=3Cboss=40bank.example=3E?= <a@x.example>", "a@x.example"},
		"quoted address before":           {`"boss@bank.example" <a@x.example>`, "a@x.example"},
		"address in a comment":            {"(boss@bank.example) a@x.example", "a@x.example"},
		"comment in the domain":           {"a@x.example(bank.example)", "a@x.example"},
		"nested comments":                 {"((((boss@bank.example)))) a@x.example", "a@x.example"},
		"comment never closed":            {"a@x.example (boss@bank.example", "a@x.example"},
		"route":                           {"<@bank.example:a@x.example>", "a@x.example"},
		"a line break as a word":          {"=?utf-8?q?A=0D=0ABcc:_b=40y.example?= <a@x.example>", "a@x.example"},
		"direction override":              {"\u202eelpmaxe.knab\u202c <a@x.example>", "a@x.example"},
		"upper case":                      {"<A@X.EXAMPLE>", "A@X.EXAMPLE"},
		"two in angles":                   {"<a@x.example> <b@y.example>", "a@x.example b@y.example"},
		"commas only":                     {",,,,", ""},
		"semicolons":                      {"a@x.example; b@y.example", "a@x.example b@y.example"},
		"a name that looks like a header": {`"To: b@y.example" <a@x.example>`, "a@x.example"},
	} {
		add("From: "+name, "From: "+c[0], from, c[1])
	}
	// One address or none, whichever.
	add("From: two at signs", "From: <a@x.example@bank.example>", nil, "")
	add("From: NUL", "From: <a\x00@x.example>", nil, "")
	for name, c := range map[string][2]string{
		"line break in an encoded word": {"=?utf-8?q?a=0D=0ABcc:_b=40y.example?=", "a  Bcc: b@y.example"},
		"line break in base64":          {"=?utf-8?b?YQ0KQmNjOiBi?=", "a  Bcc: b"},
		"NUL and bell":                  {"=?utf-8?q?a=00b=07c?=", "abc"},
		"direction override":            {"=?utf-8?q?a=E2=80=AEb?=", "ab"},
		"a character in two words":      {"=?utf-8?b?w7w=?= =?utf-8?b?w7w=?=", "üü"},
		"half a character in each word": {"=?utf-8?b?ww==?= =?utf-8?b?vA==?=", "ü"},
		"word in a word":                {"=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=", "=?utf-8?q?x?="},
		"unknown charset":               {"=?x-none?q?abc?=", "abc"},
		"UTF-7":                         {"=?utf-7?q?+ADw-script+AD4-?=", "+ADw-script+AD4-"},
		"unfinished word":               {"=?utf-8?q?abc", "=?utf-8?q?abc"},
		"raw 8-bit":                     {"Gr\xfc\xdfe", "Grüße"},
		"folded in a word":              {"=?utf-8?q?a\r\n b?=", "a b"},
		"folds of blanks":               {"a\r\n \r\n \r\n b", "a b"},
		"a bare CR":                     {"a\rBcc: b", "a Bcc: b"},
	} {
		add("Subject: "+name, "Subject: "+c[0], func(m *Mail) string {
			if strings.ContainsAny(seenSubject(m), "\r\n\x00") || m.Header.Has("Bcc") {
				return "a header of its own"
			}
			return seenSubject(m)
		}, c[1])
	}
	add("no Message-ID", "Subject: x", ids, "0")
	add("two Message-IDs", "Message-ID: <1@x>\r\nMessage-ID: <2@x>", ids, "2")
	add("the same Message-ID twice", "Message-ID: <1@x>\r\nMessage-ID: <1@x>", ids, "1")
	add("folded Message-ID", "Message-ID:\r\n <1@x\r\n .example>", func(m *Mail) string { return m.Header.IDs("Message-ID")[0] }, "<1@x.example>")
	add("Message-ID of 10 kB", "Message-ID: <"+strings.Repeat("x", 10_000)+"@x>", ids, "0")
	add("10k references", "References: "+strings.Repeat("<1@x> <2@x> ", 5000)+strings.Join(strings.SplitAfter(strings.Repeat("<12@x>\r\n ", 10_000), " "), ""), seenCount(func(m *Mail) int { return len(m.Header.IDs("References")) }), "3")
	for year, is := range map[int]string{1899: "1 false", 1900: "1900 true", 1970: "1970 true", 2038: "2038 true", 9998: "9998 true", 9999: "1 false"} {
		add(fmt.Sprintf("year %d", year), fmt.Sprintf("Date: Mon, 2 Nov %d 10:00:00 +0000", year), dates, is)
	}
	add("a date that is none", "Date: yesterday at noon", dates, "1 false")
	for _, n := range []int{99, 100, 101} {
		add(fmt.Sprintf("%d Received", n), strings.Repeat("Received: from a by b; Mon, 2 Nov 2026 10:00:00 +0000\r\n", n)+"Subject: x", seenCount(func(m *Mail) int { return len(m.Header.All("Received")) }), fmt.Sprint(n))
	}
	add("1 MB of one header", "Subject: "+strings.Repeat("x", 1<<20), seenProblem("over its limit"), "said")
	add("1 MB of folds", "Subject: x"+strings.Repeat("\r\n "+strings.Repeat("x", 60), 17_000), seenProblem("over its limit"), "said")
	add("100k To lines", strings.Repeat("To: a@x.example\r\n", 100_000)+"Subject: x", seenCount(func(m *Mail) int { return len(m.Header.Addresses("To")) }), "1000")
	add("100k addresses in one line", "To: "+strings.Repeat("a@x.example,", 80_000), seenCount(func(m *Mail) int { return len(m.Header.Addresses("To")) }), "1000")
	add("a colon first", ": x\r\nSubject: y", seenSubject, "y")
	cases = append(cases,
		hostile{"no blank line", "Subject: x\r\nhello there\r\nand more\r\nand more\r\nand more\r\nand more\r\nand more\r\n", func(m *Mail) string { return fmt.Sprint(strings.Contains(m.Text(), "hello there")) }, "true"},
		hostile{"no body", "Subject: x\r\n", seenText, ""},
		hostile{"nothing at all", "", seenText, ""},
		hostile{"only line ends", "\r\n\r\n\r\n", seenText, ""},
		hostile{"no header", "hello\r\n", func(m *Mail) string { return fmt.Sprint(m.Unparsed, strings.TrimSpace(m.Text())) }, "truehello"},
	)
	runHostile(t, "H", 60, cases)
}
