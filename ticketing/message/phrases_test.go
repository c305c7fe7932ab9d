package message

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A list of phrases finds what looking for one after the other finds.
func TestPhrases(t *testing.T) {
	t.Parallel()
	word := rapid.StringMatching(`[ab¶ü]{2,4}`)
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(word, 0, 8).Draw(t, "list")
		text := rapid.StringMatching(`[abc¶ü]{0,12}`).Draw(t, "text")
		p := newPhrases(list...)
		if got, want := p.in(text), containsAny(text, list); got != want {
			t.Fatalf("%q in %q: %t, want %t", list, text, got, want)
		}
		if got, want := p.begin(text), hasAnyPrefix(text, list); got != want {
			t.Fatalf("%q begins with one of %q: %t, want %t", text, list, got, want)
		}
	})
}

// A text that may hold no marker holds none, whatever stands between the letters.
func TestMayHoldMarker(t *testing.T) {
	t.Parallel()
	some := 0
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching("([ab:f\uff1a\u00a0>\n]|r>?e\u200b?f ?:){0,9}").Draw(t, "text") + strings.Repeat("a", minMarkerToken) + ":ref]"
		found := false
		f := markerFinder{endless: true, candidate: func([]byte, int, int) { found = true }}
		f.text(text)
		if found {
			some++
		}
		if found && !mayHoldMarker(text[:len(text)-len("ef]")]) {
			t.Fatalf("%q was passed over", text)
		}
	})
	if some == 0 {
		t.Error("no text held a marker")
	}
}
