package message

import (
	"errors"
	"fmt"
	"strings"
)

// Widths of what we write, in octets without CRLF.
const (
	foldWidth = 76  // of a header line: RFC 2047 asks for 76 where RFC 5322 would allow 78
	maxAtom   = 500 // a word that is not broken; with the longest name still far below the 998 of RFC 5322
	maxField  = 76  // a field's name
	maxHeader = 256 << 10
)

const usualHeader = 2 << 10 // what the header of a mail we write rarely exceeds

var errHeaderSize = fmt.Errorf("its header is over %d KiB", maxHeader>>10)

// fieldWriter writes header fields. It is given words and decides only where
// lines break; no word may hold a control character, and every word it writes
// after the first of a field has a space before it, so that no value can begin
// a line. Its first error sticks.
type fieldWriter struct {
	b     []byte
	col   int  // octets in the current line
	fresh bool // nothing but the field's name is in it
	err   error
}

func (f *fieldWriter) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fieldWriter) begin(name string) {
	f.b = append(append(f.b, name...), ':')
	f.col = len(name) + 1
	f.fresh = true
}

// word appends one unbreakable word, on a new line if it would not fit. A first
// word stays beside the name even when it is too long: several mailers read a
// field that begins with an empty line as empty.
func (f *fieldWriter) word(s string) {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			f.fail(errors.New("a control character in a header word"))
			return
		}
	}
	if f.col+1+len(s) > foldWidth && !f.fresh {
		f.fold()
	}
	f.b = append(append(f.b, ' '), s...)
	f.col += 1 + len(s)
	f.fresh = false
}

func (f *fieldWriter) fold() {
	f.b = append(f.b, "\r\n"...)
	f.col, f.fresh = 0, false
}

func (f *fieldWriter) end() {
	f.b = append(f.b, "\r\n"...)
	f.col = 0
	if len(f.b) > maxHeader {
		f.fail(errHeaderSize)
		f.b = f.b[:0]
	}
}

// words writes a field of words separated by single spaces. No words, no field.
func (f *fieldWriter) words(name string, words ...string) {
	if len(words) == 0 {
		return
	}
	f.begin(name)
	for _, w := range words {
		f.word(w)
	}
	f.end()
}

// text writes free text: words as they are where that is possible, RFC 2047
// encoded words from the first to the last word that needs it.
func (f *fieldWriter) text(name, value string) {
	words := strings.Fields(plainText(value))
	if len(words) == 0 {
		return
	}
	from, to := len(words), 0
	for i, w := range words {
		if needsEncoding(w) {
			from, to = min(from, i), i+1
		}
	}
	f.begin(name)
	for _, w := range words[:min(from, len(words))] {
		f.word(w)
	}
	if from < to {
		f.encoded(strings.Join(words[from:to], " "))
		for _, w := range words[to:] {
			f.word(w)
		}
	}
	f.end()
}

// encoded writes s as encoded words, the first one cut to what is left of the
// line.
func (f *fieldWriter) encoded(s string) {
	room := foldWidth - f.col - 1
	if room < minWord {
		f.fold()
		room = foldWidth - 1
	}
	for s != "" {
		var w string
		w, s = encodeWord(s, min(room, maxWord))
		f.word(w)
		room = foldWidth - 1
	}
}

// addresses writes a list of mailboxes and folds between them; only a mailbox
// too long for a line is broken inside its display name.
func (f *fieldWriter) addresses(name string, list ...Address) {
	if len(list) == 0 {
		return
	}
	f.begin(name)
	for i, a := range list {
		s, err := formatAddress(a)
		if err != nil {
			f.fail(fmt.Errorf("%s: %w", name, err))
			return
		}
		if i < len(list)-1 {
			s += ","
		}
		if len(s) < foldWidth && (!f.fresh || f.col+1+len(s) <= foldWidth) {
			f.word(s)
			continue
		}
		for _, w := range splitMailbox(s) {
			f.word(w)
		}
	}
	f.end()
}

// splitMailbox cuts a mailbox at the single spaces of its display name.
func splitMailbox(s string) []string {
	var words []string
	start := 0
	for i := 1; i < len(s)-1 && s[i] != '<'; i++ {
		if s[i] == ' ' && s[i-1] != ' ' && s[i-1] != '\\' && s[i+1] != ' ' {
			words = append(words, s[start:i])
			start = i + 1
		}
	}
	return append(words, s[start:])
}

// ids writes message identifiers, one never broken. Identifiers that cannot
// stand in a header (foreign ones may be anything) are left out.
func (f *fieldWriter) ids(name string, ids ...string) {
	var words []string
	for _, id := range ids {
		if writableID(id) {
			words = append(words, id)
		}
	}
	f.words(name, words...)
}

// writableID reports whether id is "<", 1 to maxAtom printable ASCII
// characters without angle brackets, ">".
func writableID(id string) bool {
	if len(id) < 3 || len(id) > maxAtom || id[0] != '<' || id[len(id)-1] != '>' {
		return false
	}
	for i := 1; i < len(id)-1; i++ {
		if c := id[i]; c < ' ' || c > '~' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// fieldName reports whether name may be written as a field's name
// (RFC 5322 §2.2).
func fieldName(name string) bool {
	if name == "" || len(name) > maxField {
		return false
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c > '~' || c == ':' {
			return false
		}
	}
	return true
}
