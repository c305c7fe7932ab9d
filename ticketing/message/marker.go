package message

import (
	htmlesc "html"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// OwnMailClass is the class of the element that holds all of a mail of ours. Mail
// programs keep it in quotations, some with a prefix.
const OwnMailClass = "ticketgate-mail"

// The body marker is a line that stands at the end of a mail of ours and
// survives in the quotation of an answer when the answering program keeps
// neither our Message-ID nor our address:
//
//	[ref:aeroqbybgz5ui57tzhhy64ixhy7q4fy:ref]
//
// The token between the colons is signed like a Message-ID, for a purpose of
// its own. Colons are its only marks that are not letters or digits, and it is
// read without regard to line breaks, blanks, quote marks, invisible characters,
// letter case and tags: programs add or change all of those.
const (
	markerOpen  = "[ref:"
	markerClose = ":ref]"
	markerStart = "ref:"
)

// Bounds of a search. A quotation holds a marker or two; who writes more than
// these into a mail only loses his own.
const (
	maxMarkers     = 8   // different ones returned
	maxMarkerTries = 256 // tokens whose MAC is computed, per body
	maxMarkerToken = 80  // letters collected before a candidate is given up
	minMarkerToken = 28
)

// BodyMarker returns the marker for a mail: one word of printable ASCII, shorter
// than 62 characters.
func (k *Keyring) BodyMarker(t Token) string {
	s := k.ids.newest()
	return markerOpen + tokenEncoding.EncodeToString(s.sign(purposeMarker, "", t)) + markerClose
}

// FindMarkers returns the verified tokens of the body markers in a mail's text
// and HTML, different ones in the order of their appearance, those of the text
// first. The first is the newest mail quoted, because programs quote the newest
// mail first. A marker finds a ticket, as a Message-ID does, and gives no rights.
// Either argument may be empty. The time is linear in the length.
func (k *Keyring) FindMarkers(text, html string) []Token {
	var found []Token
	f := markerFinder{candidate: func(token []byte, _, _ int) {
		if len(found) == maxMarkers {
			return
		}
		t, err := k.ids.open(purposeMarker, "", string(token))
		if err == nil && !slices.Contains(found, t) {
			found = append(found, t)
		}
	}}
	f.text(text)
	if len(found) == 0 && strings.IndexByte(text, '&') >= 0 {
		f.begin()
		f.text(htmlesc.UnescapeString(text)) // made from HTML by a careless program
	}
	f.begin()
	f.html(html)
	return found
}

// WithoutMarkers returns text without its body markers, verified or not: what is
// told to others must not lead their answers to where it came from.
func WithoutMarkers(text string) string {
	spans := markerSpans(text)
	if len(spans) == 0 {
		return text
	}
	var out strings.Builder
	at := 0
	for _, s := range spans {
		out.WriteString(text[at:s[0]])
		at = s[1]
	}
	out.WriteString(text[at:])
	return out.String()
}

// markerSpans returns where markers stand, brackets included.
func markerSpans(text string) (spans [][2]int) {
	if !mayHoldMarker(text) {
		return nil
	}
	end := 0
	f := markerFinder{endless: true, candidate: func(_ []byte, from, to int) {
		from = max(end, len(strings.TrimRight(text[:from], "[\\")))
		rest := strings.TrimLeft(text[to:], markerJunk)
		for _, c := range []string{"r", "e", "f"} {
			if !hasPrefixFold(rest, c) {
				return // the colon belongs to something else
			}
			rest = strings.TrimLeft(rest[1:], markerJunk)
		}
		if after, ok := strings.CutPrefix(rest, "]"); ok {
			rest = after
		} else {
			rest = text[len(strings.TrimRight(text[:len(text)-len(rest)], markerJunk)):]
		}
		end = len(text) - len(rest)
		spans = append(spans, [2]int{from, end})
	}}
	f.text(text)
	return spans
}

// mayHoldMarker reports whether a colon follows an f, but for what may stand
// between the letters of a marker. Most texts have none, and are read no further.
func mayHoldMarker(text string) bool {
	if strings.Contains(text, "\uff1a") {
		return true
	}
	for from := 0; ; {
		n := strings.IndexByte(text[from:], ':')
		if n < 0 {
			return false
		}
		before := from + n - 1
		for before >= from && strings.IndexByte(markerJunk, text[before]) >= 0 {
			before-- // a byte of a longer character is taken for junk: it may be
		}
		if before >= from && text[before]|0x20 == 'f' {
			return true
		}
		from += n + 1
	}
}

// markerJunk is what programs put between the letters of a marker.
const markerJunk = " \t\r\n\v\f>|=*_\\\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2028\u202f\u2060\ufeff"

// markerFinder reads text in pieces and forgets all of it but the last letters.
type markerFinder struct {
	candidate func(token []byte, from, to int) // may be a marker; positions are those of the piece
	endless   bool                             // candidates are cheap

	tries int
	match int // how much of markerStart the newest characters are
	begun int // where they begin
	token []byte
	from  int
	in    bool // between the colons
}

func (f *markerFinder) begin() {
	f.in, f.token, f.match, f.tries = false, f.token[:0], 0, 0
}

func (f *markerFinder) text(s string) {
	for i := 0; i < len(s); {
		at, c := i, s[i]
		if c < utf8.RuneSelf {
			i++
			f.char(c, at)
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r == '\uff1a':
			f.char(':', i-1)
		case r == utf8.RuneError || !strings.ContainsRune(markerJunk, r):
			f.char(0, at)
		}
	}
}

func (f *markerFinder) html(src string) {
	if src == "" {
		return
	}
	z := html.NewTokenizer(strings.NewReader(src))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.TextToken:
			f.text(string(z.Text()))
		}
	}
}

// char takes the next character; 0 stands for one outside ASCII.
func (f *markerFinder) char(c byte, at int) {
	switch c {
	case ' ', '\t', '\r', '\n', '>', '|', '=', '*', '_', '\\', '\v', '\f':
		return
	}
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	if f.in {
		switch {
		case c >= 'a' && c <= 'z' || c >= '2' && c <= '7':
			if f.token = append(f.token, c); len(f.token) > maxMarkerToken {
				f.in = false
			}
		default:
			f.in = false
			if c == ':' && len(f.token) >= minMarkerToken && (f.endless || f.tries < maxMarkerTries) {
				f.tries++
				f.candidate(f.token, f.from, at+1)
			}
		}
	}
	switch c {
	case markerStart[f.match]:
		if f.match == 0 {
			f.begun = at
		}
		f.match++
	case markerStart[0]:
		f.match, f.begun = 1, at
	default:
		f.match = 0
	}
	if f.match == len(markerStart) {
		f.match = 0
		if !f.in {
			f.in, f.token, f.from = true, f.token[:0], f.begun
		}
	}
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
