package message

import (
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// checkMail holds for every mail whatever its bytes are.
func checkMail(t testing.TB, name string, m *Mail) {
	t.Helper()
	if m.Root == nil {
		t.Fatalf("%s: no root", name)
	}
	text := m.Text()
	checkText(t, name, text)
	checkText(t, name, m.HTML())
	size := m.Root.End - m.Root.Start
	if text == "" && size > 0 && m.hasContent() {
		t.Errorf("%s: no text for a mail with content", name)
	}
	parts := 0
	m.walk(m.Root, func(p *Part, depth int) {
		parts++
		if depth > m.lim.Depth {
			t.Fatalf("%s: depth %d", name, depth)
		}
		if p.Start < 0 || p.End < p.Start || p.src == nil && p.in == nil && p.End > m.Size {
			t.Fatalf("%s: part %s has range [%d,%d) in %d bytes", name, p.Type, p.Start, p.End, m.Size)
		}
		checkFilename(t, p.Filename)
		if p.Type != strings.ToLower(p.Type) || !strings.Contains(p.Type, "/") {
			t.Errorf("%s: type %q", name, p.Type)
		}
		if _, err := io.Copy(io.Discard, m.Open(p)); err != nil {
			t.Errorf("%s: %s cannot be read: %v", name, p.Type, err)
		}
	})
	if parts > m.lim.Parts {
		t.Errorf("%s: %d parts", name, parts)
	}
	for i, p := range m.Attachments() {
		if m.Attachment(p.ID) != p {
			t.Errorf("%s: attachment %d (%s) cannot be found by its ID %q", name, i, p.Type, p.ID)
		}
		if note := m.Note(p); len(note) > maxNote {
			t.Errorf("%s: a note of %d bytes", name, len(note))
		} else {
			checkText(t, name, note)
		}
	}
	m.Labels()
	checkLine(t, name, m.Header.Text("Subject"))
	for _, f := range []string{"From", "To", "Cc", "Reply-To"} {
		for _, a := range m.Header.Addresses(f) {
			checkAddress(t, name, a)
		}
	}
	m.Header.IDs("References")
	m.Header.Date()
}

func (m *Mail) hasContent() bool {
	some := false
	m.walk(m.Root, func(p *Part, _ int) {
		switch {
		case len(p.Parts) > 0:
		case p.Type == "text/html" || p.Type == "text/rtf" || p.Type == "text/enriched": // may be nothing but markup
		case strings.HasPrefix(p.Type, "text/"):
			some = some || strings.TrimSpace(m.PartText(p)) != ""
		default:
			some = some || p.End > p.Start
		}
	})
	return some
}

func (m *Mail) walk(p *Part, f func(p *Part, depth int)) {
	var down func(p *Part, depth int)
	down = func(p *Part, depth int) {
		f(p, depth)
		for _, b := range p.uu {
			f(b.part, depth)
		}
		for _, c := range p.Parts {
			down(c, depth+1)
		}
	}
	down(p, 1)
}

// checkFilename holds for every file name that we hand out.
func checkFilename(t testing.TB, name string) {
	t.Helper()
	checkLine(t, "file name", name)
	stem, _, _ := strings.Cut(strings.ToLower(name), ".")
	if strings.ContainsAny(name, `/\<>:"|?*`) || strings.Trim(name, ". ") != name || len(name) > maxFilename || reservedNames[strings.TrimRight(stem, " ")] || strings.ContainsFunc(name, isBidiControl) {
		t.Errorf("unsafe file name %q", name)
	}
}

// checkText holds for every text of several lines that we hand out.
func checkText(t testing.TB, name, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("%s: text is not UTF-8", name)
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			t.Errorf("%s: text has %U", name, r)
			return
		}
	}
}

// checkLine holds for every single line that we hand out.
func checkLine(t testing.TB, name, s string) {
	t.Helper()
	checkText(t, name, s)
	if strings.ContainsAny(s, "\n\t") {
		t.Errorf("%s: line break or tab in %q", name, s)
	}
}

// checkAddress holds for every address that we hand out.
func checkAddress(t testing.TB, name string, a Address) {
	t.Helper()
	checkLine(t, name, a.Name)
	checkLine(t, name, a.Addr)
	if at := strings.LastIndexByte(a.Addr, '@'); at < 1 || at == len(a.Addr)-1 || len(a.Addr) > maxAddr {
		t.Errorf("%s: address %q", name, a.Addr)
	}
	if strings.ContainsAny(a.Domain(), " <>()\",;@") {
		t.Errorf("%s: domain %q", name, a.Domain())
	}
	if f := Fold(a.Addr); Fold(f) != f {
		t.Errorf("%s: Fold(%q) = %q is not stable: %q", name, a.Addr, f, Fold(f))
	}
}
