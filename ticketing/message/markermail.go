package message

// MarkersIn is FindMarkers for a mail: it reads the text parts as they are and
// the HTML, and makes no text out of HTML first.
func (k *Keyring) MarkersIn(m *Mail) []Token {
	var plain string
	for _, p := range m.choose().text {
		if p.Type != "text/html" {
			plain += m.PartText(p) + "\n"
		}
		if len(plain) > m.limits().Text {
			break
		}
	}
	return k.FindMarkers(plain, m.HTML())
}
