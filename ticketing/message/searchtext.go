package message

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// SearchText is what a message is found by: its words in one spelling, made by
// Normalize, in fields that an index can weigh differently. Each field is
// bounded; what is longer is cut at its end.
type SearchText struct {
	Subject string
	People  string // names and addresses, international domains in both forms
	Visible string // what the author newly wrote
	Quoted  string // the rest
	Files   string // names of attachments, and what is said about them
}

// Bounds of a SearchText's fields, in bytes.
const (
	maxSearchLine = 4 << 10
	maxSearchList = 64 << 10
	maxSearchBody = 1 << 20
)

// NewSearchText makes the search text of a message. It depends on nothing but
// its arguments, so an index can be made again at any time.
func NewSearchText(subject string, people []Address, visible, quoted string, files []string) SearchText {
	var names strings.Builder
	for _, a := range people {
		if names.Len() > maxSearchList {
			break
		}
		names.WriteString(a.Name + " " + a.Addr + " ")
		if f := Fold(a.Addr); f != a.Addr {
			names.WriteString(f + " ")
		}
	}
	var list strings.Builder
	for _, f := range files {
		if list.Len() > maxSearchList {
			break
		}
		list.WriteString(f + "\n")
	}
	return SearchText{
		Subject: Normalize(subject, maxSearchLine),
		People:  Normalize(names.String(), maxSearchList),
		Visible: Normalize(visible, maxSearchBody),
		Quoted:  Normalize(quoted, maxSearchBody),
		Files:   Normalize(list.String(), maxSearchList),
	}
}

// FoldText brings a text to the form in which texts are compared that differ in
// case or in how their letters are composed.
func FoldText(s string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(strings.ToValidUTF8(s, "\uFFFD"))))
}

// Normalize brings text to the spelling that search compares, at most limit
// bytes of it; a query is brought to the same before it is looked up.
//
//   - Compatibility forms are one (NFKC): "ﬁ" is "fi", "①" is "1", full width is
//     half width.
//   - Case is folded fully: "Straße" and "STRASSE" are "strasse".
//   - Diacritics go where people leave them out: in Latin ("Müller" is "muller",
//     "Łódź" is "lodz", "Ærø" is "aero"), Greek, Hebrew points, Arabic vowel signs,
//     and of Cyrillic the two dots and the stress ("ё" is "е"; "й" stays). Marks
//     that make another letter stay: Indic vowels, Thai tones, Japanese voicing.
//   - "ü" is not "ue": a spelling without umlauts is another word.
//   - Every run of white space is one blank; control characters, soft hyphens
//     and other invisible characters go.
//
// The result is stable: normalizing it again changes nothing. Time and memory
// are linear in limit.
func Normalize(s string, limit int) string {
	s = cutRunes(strings.ToValidUTF8(cutRunes(s, limit), " "), limit)
	s = cases.Fold().String(norm.NFKD.String(s))
	var out strings.Builder
	out.Grow(min(len(s), limit))
	var base rune
	blank := true // nothing yet, or a blank is out already
	for _, r := range norm.NFKD.String(s) {
		switch { // Cherokee folds to its capitals, as Unicode has it; the library swaps the two
		case r >= 0xAB70 && r <= 0xABBF:
			r -= 0xAB70 - 0x13A0
		case r >= 0x13F8 && r <= 0x13FD:
			r -= 8
		}
		switch {
		case unicode.IsSpace(r) || r == utf8.RuneError:
			if !blank {
				out.WriteByte(' ')
				blank = true
			}
			base = 0
			continue
		case r == 0x0640 || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
			continue // tatweel stretches a word, joiners change how letters look
		case unicode.Is(unicode.Mn, r):
			if optionalMark(base, r) {
				continue
			}
		default:
			base = r
		}
		if plain, ok := plainLetters[r]; ok {
			out.WriteString(plain)
		} else {
			out.WriteRune(r)
		}
		if blank = false; out.Len() >= limit {
			break
		}
	}
	return strings.TrimRight(cutRunes(norm.NFC.String(out.String()), limit), " ")
}

// plainLetters have no decomposition and are typed without their strokes.
var plainLetters = map[rune]string{
	'ø': "o", 'đ': "d", 'ð': "d", 'ħ': "h", 'ı': "i", 'ł': "l", 'ŧ': "t", 'æ': "ae", 'œ': "oe", 'þ': "th", 'ŋ': "ng", 'ĸ': "k", 'ɨ': "i", 'ƶ': "z",
}

// optionalMark reports whether a mark is left out by many who write the letter.
func optionalMark(base, mark rune) bool {
	switch {
	case base == 0 || base < 0x80:
		return true
	case unicode.In(base, unicode.Latin, unicode.Greek):
		return true
	case unicode.Is(unicode.Cyrillic, base):
		return mark == 0x0308 || mark == 0x0301 || mark == 0x0300
	case unicode.In(base, unicode.Hebrew):
		return mark >= 0x0591 && mark <= 0x05C7
	case unicode.In(base, unicode.Arabic):
		return mark >= 0x064B && mark <= 0x0652 || mark == 0x0670
	}
	return false
}
