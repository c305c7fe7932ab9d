package message

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestBodyMarkerSurvives: what mail programs do to a line of text.
func TestBodyMarkerSurvives(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 3)
	want := sampleToken
	want.Epoch = 3
	m := k.BodyMarker(sampleToken)
	half := len(m) / 2
	for name, tt := range map[string]struct{ text, html string }{
		"alone":                   {text: m},
		"in a text":               {text: "Yes.\n\nOn Monday Bob wrote:\n> old\n> " + m + "\n"},
		"deeper":                  {text: ">>> | > " + m},
		"upper case":              {text: strings.ToUpper(m)},
		"wrapped":                 {text: "> > " + m[:half] + "\n> > " + m[half:]},
		"wrapped, CRLF":           {text: m[:half] + "\r\n\t" + m[half:]},
		"wrapped in the mark":     {text: m[:3] + "\n" + m[3:]},
		"wrapped anywhere":        {text: strings.Join(strings.Split(m, ""), "\n> ")},
		"soft break left":         {text: m[:half] + "=\r\n" + m[half:]},
		"zero width blanks":       {text: strings.Join(strings.Split(m, ""), "\u200b")},
		"soft hyphen":             {text: m[:half] + "\u00ad" + m[half:]},
		"bold":                    {text: "*" + m + "*"},
		"brackets lost":           {text: strings.Trim(m, "[]")},
		"brackets escaped":        {text: `\` + m[:len(m)-1] + `\]`},
		"full-width colons":       {text: strings.ReplaceAll(m, ":", "：")},
		"entities in text":        {text: strings.ReplaceAll(m, ":", "&#58;")},
		"after another":           {text: "ref: your order of May. ref:" + strings.Repeat("a", 40) + ":ref] " + m},
		"begun twice":             {text: "[ref:abcdefgh" + m},
		"html":                    {html: "<p>yes</p><blockquote><p>" + m + "</p></blockquote>"},
		"html, hidden":            {html: `<div style="display:none">` + m + "</div>"},
		"html, entities":          {html: "&#91;ref&colon;" + entities(m[5:])},
		"html, hex entities":      {html: strings.ReplaceAll(m, ":", "&#x3A;")},
		"html, tags in between":   {html: "<span>" + m[:half] + "</span><wbr><b class=x>" + m[half:] + "</b>"},
		"html, line break":        {html: m[:half] + "<br>\r\n&gt; &nbsp;" + m[half:]},
		"html, unfinished":        {html: "<p>" + m + "<p"},
		"html, nobody's comment":  {html: "<!-- x --><table><tr><td>" + m},
		"html, text has none":     {text: "nothing here", html: m},
		"html, text was mangled":  {text: "> [ref:" + m[9:], html: m},
		"both, the same":          {text: m, html: "<i>" + m},
		"in a sentence":           {text: "your ticket (" + m + "), please"},
		"quoted-printable colons": {text: m[:half] + "=\n" + m[half:]},
	} {
		got := k.FindMarkers(tt.text, tt.html)
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v", name, got)
		}
		if left := WithoutMarkers(tt.text); tt.html == "" && len(k.FindMarkers(left, "")) > 0 && name != "entities in text" {
			t.Errorf("%s: %q still holds the marker", name, left)
		}
	}
}

func entities(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteString("&#" + strings.TrimLeft(string([]byte{'0' + byte(r/100), '0' + byte(r/10%10), '0' + byte(r%10)}), "0") + ";")
	}
	return b.String()
}

// TestBodyMarkerForged: what only looks like one, and what was signed for
// another use.
func TestBodyMarkerForged(t *testing.T) {
	t.Parallel()
	k, other := tokenRing(t, 3), tokenRing(t, 4)
	m := k.BodyMarker(sampleToken)
	id := k.MessageID("x", sampleToken)
	for name, text := range map[string]string{
		"none":            "ref: 12 is my order. pref:abc:ref",
		"one letter off":  strings.Replace(m, m[12:13], string('a'+(m[12]-'a'+1)%26), 1),
		"cut":             m[:len(m)-8] + ":ref]",
		"of a Message-ID": "[ref:" + id[1:strings.IndexByte(id, '@')] + ":ref]",
		"of an address":   "[ref:" + k.AddressToken("support", sampleToken) + ":ref]",
		"other secret":    other.BodyMarker(sampleToken),
		"very long":       "[ref:" + strings.Repeat("a", 500) + ":ref]",
	} {
		if got := k.FindMarkers(text, text); len(got) != 0 {
			t.Errorf("%s: %+v from %q", name, got, text)
		}
	}
	local := strings.TrimSuffix(strings.TrimPrefix(m, "[ref:"), ":ref]")
	if _, err := k.ParseMessageID("<" + local + "@x>"); err == nil {
		t.Error("a marker is valid as a Message-ID")
	}
}

func TestBodyMarkers(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 1, 2)
	rapid.Check(t, func(t *rapid.T) {
		var want []Token
		var text strings.Builder
		for range rapid.IntRange(0, maxMarkers).Draw(t, "n") {
			token := genToken().Draw(t, "token")
			m := k.BodyMarker(token)
			if len(m) >= 62 {
				t.Fatalf("%q has %d characters", m, len(m))
			}
			token.Epoch = 2
			if !slices.Contains(want, token) {
				want = append(want, token)
			}
			text.WriteString(rapid.StringMatching(`[a-z >\n]{0,20}`).Draw(t, "before") + "\n> " + m + "\n")
		}
		if left := WithoutMarkers(text.String()); strings.Contains(left, "ref:") {
			t.Fatalf("a marker is left: %q", left)
		}
		if got := k.FindMarkers(text.String(), ""); !slices.Equal(got, want) {
			t.Fatalf("got %+v, want %+v from %q", got, want, text.String())
		}
	})
}

// TestBodyMarkerBounded: a mail made of markers costs a bounded number of MACs.
func TestBodyMarkerBounded(t *testing.T) {
	k := tokenRing(t, 1)
	m := k.BodyMarker(sampleToken)
	fake := strings.Replace(m, m[20:22], "zz", 1)
	for _, n := range []int{maxMarkerTries - 1, 100 * maxMarkerTries} {
		tries, last := 0, ""
		f := markerFinder{candidate: func(token []byte, _, _ int) { tries, last = tries+1, string(token) }}
		f.text(strings.Repeat(fake, n) + m)
		if tries > maxMarkerTries || (n < maxMarkerTries) != (strings.Contains(m, last)) {
			t.Errorf("%d fakes: %d tries, the last is %s", n, tries, last)
		}
	}
	per := testing.AllocsPerRun(2, func() { k.FindMarkers(strings.Repeat("a line of text ref: x\n", 5000), "") })
	if per > 8 {
		t.Errorf("%v allocations for a text without markers", per)
	}
}

func FuzzFindMarkers(f *testing.F) {
	k := tokenRing(f, 1)
	m := k.BodyMarker(sampleToken)
	for _, s := range []string{m, "> " + m, m[:20] + "\n" + m[20:], "[ref:ref:ref:", "&#58;", "ref:" + strings.Repeat("a", 90), "<b>" + m, "\xff" + m} {
		f.Add(s, s)
	}
	want := sampleToken
	want.Epoch = 1
	f.Fuzz(func(t *testing.T, text, html string) {
		if got := k.FindMarkers(text, html); len(got) > maxMarkers {
			t.Fatalf("%d markers", len(got))
		}
		if got := k.FindMarkers(text+"\n\x00\n"+m, ""); len(got) < maxMarkers && !slices.Contains(got, want) && strings.Count(strings.ToLower(text), ":") < maxMarkerTries {
			t.Errorf("not found behind %q", text)
		}
	})
}
