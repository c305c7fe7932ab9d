package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestNormalize is the decision about spellings, as a table.
func TestNormalize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Müller":                        "muller",
		"MU\u0308LLER":                  "muller",
		"Mueller":                       "mueller",
		"Straße STRASSE":                "strasse strasse",
		"Łódź":                          "lodz",
		"Ærø Þór":                       "aero thor",
		"İstanbul ISPARTA ılık":         "istanbul isparta ilik",
		"ﬁne ①  Ｆｕｌｌ":                   "fine 1 full",
		"ΆΛΦΑ ς":                        "αλφα σ",
		"Ёлка Мой":                      "елка мой",
		"שָׁלוֹם":                       "שלום",
		"كِتَاب كــتاب":                 "كتاب كتاب",
		"が か":                           "が か",
		"ｶﾞ":                            "ガ",
		"한국어":                           "한국어",
		"हिन्दी":                        "हिन्दी",
		"ที่":                           "ที่",
		"a\u00adb c\u200bd e\u202ef":    "ab cd ef",
		" a\n\n\tb\u00a0 ":              "a b",
		"x\x00y\x07":                    "xy",
		"\xff\xfe":                      "",
		"😀 ok":                          "😀 ok",
		"e\u0301\u0301\u0301\u0301mail": "email",
	} {
		if got := Normalize(in, 1000); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Normalize(strings.Repeat("ﷺ", 1000), 100); len(got) > 100 || !utf8.ValidString(got) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestSearchText(t *testing.T) {
	t.Parallel()
	got := NewSearchText("Re: Drucker", []Address{{Name: "Jürgen", Addr: "J@bücher.example"}, {Addr: "a@b.example"}}, "Grüße!", "> alt", []string{"Bericht für Köln.pdf", "Invitation: x"})
	want := SearchText{"re: drucker", "jurgen j@bucher.example j@xn--bcher-kva.example a@b.example", "grusse!", "> alt", "bericht fur koln.pdf invitation: x"}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	many := NewSearchText(strings.Repeat("x", 1<<20), make([]Address, 100_000), strings.Repeat("ü", 4<<20), "", []string{strings.Repeat("f ", 1<<20)})
	if len(many.Subject) > maxSearchLine || len(many.People) > maxSearchList || len(many.Visible) > maxSearchBody || len(many.Files) > maxSearchList {
		t.Errorf("%d %d %d %d bytes", len(many.Subject), len(many.People), len(many.Visible), len(many.Files))
	}
}
