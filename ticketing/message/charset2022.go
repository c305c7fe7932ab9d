package message

import (
	"bytes"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// The ISO 2022 family (RFC 1468, 1554, 1557, 1922): seven-bit text in which
// escape sequences switch between character sets. Each set is read through the
// eight-bit encoding that has it in its upper half.

// set2022 is one character set that an escape sequence can name.
type set2022 struct {
	escape string // after ESC
	shift  bool   // it is used between SO and SI, not at once
	size   int    // bytes per character
	before byte   // put before each character in the eight-bit form; 0 = nothing
	enc    encoding.Encoding
}

var sets2022 = []set2022{
	{"(B", false, 1, 0, nil},                        // US-ASCII
	{"(J", false, 1, 0, nil},                        // JIS X 0201 Roman: ASCII but for ¥ and ‾
	{"(H", false, 1, 0, nil},                        // an old slip for the same
	{"(I", false, 1, 0x8e, japanese.EUCJP},          // JIS X 0201 Katakana
	{"$@", false, 2, 0, japanese.EUCJP},             // JIS C 6226-1978
	{"$B", false, 2, 0, japanese.EUCJP},             // JIS X 0208
	{"$(@", false, 2, 0, japanese.EUCJP},            //
	{"$(B", false, 2, 0, japanese.EUCJP},            //
	{"$(O", false, 2, 0, japanese.EUCJP},            // JIS X 0213 plane 1, mostly the same
	{"$(Q", false, 2, 0, japanese.EUCJP},            //
	{"$(D", false, 2, 0x8f, japanese.EUCJP},         // JIS X 0212
	{"$A", false, 2, 0, simplifiedchinese.GB18030},  // GB 2312 in ISO-2022-JP-2
	{"$(A", false, 2, 0, simplifiedchinese.GB18030}, //
	{"$(C", false, 2, 0, korean.EUCKR},              // KS C 5601 in ISO-2022-JP-2
	{"$)C", true, 2, 0, korean.EUCKR},               // ISO-2022-KR
	{"$)A", true, 2, 0, simplifiedchinese.GB18030},  // ISO-2022-CN
}

const (
	escape   = 0x1b
	shiftOut = 0x0e
	shiftIn  = 0x0f
)

// decode2022 reads text of the family. It reports false for bytes that cannot
// be such text: any with the eighth bit set.
func decode2022(b []byte) (string, bool) {
	for _, c := range b {
		if c >= 0x80 {
			return "", false
		}
	}
	var out strings.Builder
	out.Grow(len(b))
	direct, shifted := sets2022[0], sets2022[0]
	in := direct
	for len(b) > 0 {
		switch c := b[0]; {
		case c == escape:
			if s, ok := escapeOf(b[1:]); ok {
				b = b[1+len(s.escape):]
				if s.shift {
					shifted = s
				} else {
					direct, in = s, s
				}
				continue
			}
			b = b[1:] // an unknown sequence is left as text
			continue
		case c == shiftOut:
			in, b = shifted, b[1:]
			continue
		case c == shiftIn:
			in, b = direct, b[1:]
			continue
		case c == '\n' || c == '\r': // a line begins in ASCII (RFC 1468)
			direct, in = sets2022[0], sets2022[0]
		}
		n := bytes.IndexAny(b, "\x1b\x0e\x0f\r\n")
		if n == 0 {
			n = 1
		} else if n < 0 {
			n = len(b)
		}
		in.write(&out, b[:n])
		b = b[n:]
	}
	return out.String(), true
}

func escapeOf(b []byte) (set2022, bool) {
	for _, s := range sets2022 {
		if len(b) >= len(s.escape) && string(b[:len(s.escape)]) == s.escape {
			return s, true
		}
	}
	return set2022{}, false
}

// write appends a run of characters of one set. Blanks and control characters
// are the same in all sets.
func (s *set2022) write(out *strings.Builder, run []byte) {
	if s.enc == nil {
		out.Write(run)
		return
	}
	high := make([]byte, 0, len(run)+len(run)/2)
	for i := 0; i < len(run); {
		if run[i] <= ' ' || run[i] == 0x7f || i+s.size > len(run) {
			high = append(high, run[i])
			i++
			continue
		}
		if s.before != 0 {
			high = append(high, s.before)
		}
		for range s.size {
			high = append(high, run[i]|0x80)
			i++
		}
	}
	text, err := s.enc.NewDecoder().Bytes(high)
	if err != nil {
		out.Write(run)
		return
	}
	out.Write(text)
}
