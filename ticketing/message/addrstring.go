package message

import "strings"

// String renders the address for a header: name encoded or quoted as needed.
// Line breaks and other control characters become blanks, so that no name
// begins a header line of its own. An address without a name is the addr-spec
// in angle brackets.
func (a Address) String() string {
	addr := a.Addr
	if same, _, ok := readAddr(addr); !ok || same != addr {
		addr = strings.Map(noBreak, addr) // not an addr-spec, so at least one token
	}
	name := strings.TrimSpace(plainText(a.Name))
	if name == "" {
		return "<" + addr + ">"
	}
	return encodePhrase(name) + " <" + addr + ">"
}

func noBreak(r rune) rune {
	if r < ' ' || r == 0x7f || r == '<' || r == '>' {
		return -1
	}
	return r
}

// encodePhrase writes a display name as an RFC 5322 phrase: quoted,
// or (not ASCII, or it could be taken for an encoded word) as RFC 2047 encoded
// words. Plain atoms are quoted too: no reader then has to know what an atom is.
func encodePhrase(name string) string {
	if name = plainText(name); !isASCII(name) || strings.Contains(name, "=?") {
		var words []string
		for name != "" {
			var w string
			w, name = encodeWord(name, maxWord)
			words = append(words, w)
		}
		return strings.Join(words, " ")
	}
	return quoteString(name)
}
