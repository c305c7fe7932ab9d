package message

import "io"

// MarkersIn is FindMarkers for a mail: it reads the text parts as they are and
// the HTML, and makes no text out of HTML first. Most mails hold no marker, and
// a look at their bytes shows it without making text of them.
func (k *Keyring) MarkersIn(m *Mail) []Token {
	chosen := m.choose()
	some := false
	for _, p := range append(append([]*Part(nil), chosen.text...), chosen.html...) {
		some = some || m.mayHoldMarker(p)
	}
	if !some {
		return nil
	}
	var plain string
	for _, p := range chosen.text {
		if p.Type != "text/html" {
			plain += m.PartText(p) + "\n"
		}
		if len(plain) > m.limits().Text {
			break
		}
	}
	return k.FindMarkers(plain, m.HTML())
}

// mayHoldMarker looks for the letters of a marker's beginning among a part's
// bytes, whatever stands between them that programs put there. Where a letter
// may be more than one byte it says yes.
func (m *Mail) mayHoldMarker(p *Part) bool {
	switch charsetName(p.Params["charset"]) {
	case "", "us-ascii", "utf-8", "iso-8859-1", "iso-8859-2", "iso-8859-15", "windows-1250", "windows-1252":
	default:
		return true
	}
	const word = "ref"
	r, matched := io.LimitReader(m.Open(p), int64(m.limits().Text)), 0
	var buf [2048]byte
	for {
		n, err := r.Read(buf[:])
		for _, c := range buf[:n] {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			switch {
			case matched == len(word):
				if c == ':' || c == '&' || c >= 0x80 {
					return true
				}
				if !markerBlank(c) {
					matched = 0
				}
			case c == word[matched]:
				matched++
				continue
			case markerBlank(c):
				continue
			default:
				matched = 0
			}
			if matched == 0 && c == word[0] {
				matched = 1
			}
		}
		if err != nil {
			return false
		}
	}
}

// markerBlank reports whether programs put a byte between a marker's letters.
func markerBlank(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '\v', '\f', '>', '|', '=', '*', '_', '\\':
		return true
	}
	return c >= 0x80
}
