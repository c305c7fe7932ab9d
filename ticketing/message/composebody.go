package message

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"strings"
	"unicode/utf8"
)

const bodyWidth = 76 // of an encoded line (RFC 2045 §6.7, §6.8)

// canonicalText gives a text CRLF line ends, one at its end too, and leaves
// neither NUL nor damaged UTF-8 in it.
func canonicalText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if s == "" {
		return "\r\n"
	}
	var b strings.Builder
	b.Grow(len(s) + strings.Count(s, "\n") + 2)
	for s != "" {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		line = strings.TrimSuffix(line, "\r")
		if strings.ContainsAny(line, "\r\x00") {
			line = strings.ReplaceAll(strings.ReplaceAll(line, "\r", "\r\n"), "\x00", " ")
		}
		b.WriteString(line)
		b.WriteString("\r\n")
	}
	return b.String()
}

// plainLines reports whether a canonical text survives transport as it is: short
// lines of printable ASCII, no white space at a line's end, no "From " that a
// mailbox file would quote, no lone dot, no "=_" (see boundary).
func plainLines(s string) bool {
	if strings.Contains(s, "=_") {
		return false
	}
	for line := range strings.SplitSeq(s, "\r\n") {
		if len(line) > 78 || line == "." || strings.HasPrefix(line, "From ") ||
			strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") {
			return false
		}
		for i := 0; i < len(line); i++ {
			if c := line[i]; c > '~' || c < ' ' && c != '\t' {
				return false
			}
		}
	}
	return true
}

// writeQuotedPrintable encodes a canonical text. A character of several bytes
// is not split by a soft line break.
func writeQuotedPrintable(w *bufio.Writer, s string) error {
	var line []byte
	for text := range strings.SplitSeq(strings.TrimSuffix(s, "\r\n"), "\r\n") {
		line = line[:0]
		for text != "" {
			if n := plainRun(text, bodyWidth-1-len(line)); n > 0 && (len(line) > 0 || !transportMinds(text)) {
				line, text = append(line, text[:n]...), text[n:]
				continue
			}
			_, n := utf8.DecodeRuneInString(text)
			unit := quoted(text, n, len(line) == 0)
			// The last character of a text line may use the place of the "=".
			if len(line)+len(unit) > bodyWidth || len(line)+len(unit) == bodyWidth && n < len(text) {
				if _, err := w.Write(append(line, "=\r\n"...)); err != nil {
					return err
				}
				line = line[:0]
				unit = quoted(text, n, true)
			}
			line = append(line, unit...)
			text = text[n:]
		}
		if _, err := w.Write(append(line, "\r\n"...)); err != nil {
			return err
		}
	}
	return nil
}

// plainRun returns how many of the next room characters of a line stand for
// themselves.
func plainRun(text string, room int) int {
	for i := 0; i < len(text); i++ {
		if c := text[i]; i >= room || c > '~' || c <= ' ' && (c != ' ' || i == len(text)-1) || c == '=' {
			return i
		}
	}
	return len(text)
}

// transportMinds reports whether a line as sent would be stuffed or quoted.
func transportMinds(line string) bool { return line == "." || strings.HasPrefix(line, "From ") }

// quoted encodes the first character, of n bytes, of what is left of a line.
// start says that it begins a line as sent.
func quoted(text string, n int, start bool) string {
	c := text[0]
	space := c == ' ' || c == '\t'
	switch {
	case space && len(text) == 1: // would be stripped
	case start && transportMinds(text):
	case space, n == 1 && c > ' ' && c <= '~' && c != '=':
		return text[:1]
	}
	var b [3 * utf8.UTFMax]byte
	out := b[:0]
	for i := range n {
		out = append(out, '=', hexDigits[text[i]>>4], hexDigits[text[i]&15])
	}
	return string(out)
}

// writeFile streams an attachment as base64 lines.
func writeFile(w *bufio.Writer, a *Attachment) error {
	if a.Open == nil {
		return fmt.Errorf("message: attachment %q has no content", a.Filename)
	}
	r, err := a.Open()
	if err != nil {
		return fmt.Errorf("message: attachment %q: %w", a.Filename, err)
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	in := make([]byte, 3*bodyWidth/4*64)
	out := make([]byte, 0, (bodyWidth+2)*64)
	for empty := true; ; empty = false {
		n, err := io.ReadFull(r, in)
		out = out[:0]
		if n == 0 && empty {
			out = append(out, "\r\n"...) // no delimiter right after a header
		}
		for part := in[:n]; len(part) > 0; {
			k := min(len(part), 3*bodyWidth/4)
			out = append(base64.StdEncoding.AppendEncode(out, part[:k]), "\r\n"...)
			part = part[k:]
		}
		if _, werr := w.Write(out); werr != nil {
			return werr
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return fmt.Errorf("message: attachment %q: %w", a.Filename, err)
		}
	}
	return nil
}

// fileType returns the words of a Content-Type for a base64 part. Types that
// RFC 2045 §6.4 forbids to encode (multipart, message) and what is no type at
// all become application/octet-stream.
func fileType(s string) []string {
	typ, params, err := mime.ParseMediaType(s)
	major, minor, ok := strings.Cut(typ, "/")
	damaged := err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter)
	if damaged || !ok || !token(major) || !token(minor) || major == "multipart" || major == "message" {
		return []string{"application/octet-stream"}
	}
	if charset := params["charset"]; token(charset) {
		return []string{typ + ";", "charset=" + charset}
	}
	return []string{typ}
}

// token reports whether s is a short token of RFC 2045 §5.1.
func token(s string) bool {
	if s == "" || len(s) > 60 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`()<>@,;:\"/[]?=`, c) >= 0 {
			return false
		}
	}
	return true
}

// contentID returns an id in angle brackets, "" if it cannot be written.
func contentID(s string) string {
	if s == "" {
		return ""
	}
	id := "<" + strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">") + ">"
	if !writableID(id) || strings.Contains(id, " ") {
		return ""
	}
	return id
}

// Bounds of a file name, in octets.
const (
	maxSentName = 240
	maxFallback = 60
	paramRoom   = 40 // of one RFC 2231 section: foldWidth less `filename*99*=utf-8''`, with some air
)

// withFilename returns the words of a Content-Disposition: the name as a quoted
// string where that is enough, otherwise an ASCII likeness for old readers and
// the name itself after RFC 2231, in sections if it is long.
func withFilename(disposition, name string) []string {
	name = strings.Join(strings.Fields(plainText(name)), " ")
	name = strings.NewReplacer("/", "_", `\`, "_").Replace(name)
	name = shortName(name, maxSentName)
	if name == "" {
		return []string{disposition}
	}
	fallback := shortName(asciiName(name), maxFallback)
	words := []string{disposition + ";", `filename="` + fallback + `"`}
	if fallback == name {
		return words
	}
	sections := percentSections(name)
	for i, s := range sections {
		words[len(words)-1] += ";"
		switch {
		case len(sections) == 1:
			s = "filename*=utf-8''" + s
		case i == 0:
			s = "filename*0*=utf-8''" + s
		default:
			s = fmt.Sprintf("filename*%d*=%s", i, s)
		}
		words = append(words, s)
	}
	return words
}

// shortName cuts a name to n octets but keeps its extension.
func shortName(name string, n int) string {
	if len(name) <= n {
		return name
	}
	ext := path.Ext(name)
	if len(ext) > 12 {
		ext = ""
	}
	return cut(name, n-len(ext)) + ext
}

// asciiName also breaks up what some readers would decode as RFC 2047 words.
func asciiName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf || r == '"' || r == '?' {
			return '_'
		}
		return r
	}, name)
}

// percentSections encodes a name in pieces that keep characters whole.
func percentSections(name string) []string {
	var sections []string
	var b strings.Builder
	for _, r := range name {
		var unit strings.Builder
		for _, c := range []byte(string(r)) {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' {
				unit.WriteByte(c)
			} else {
				unit.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
			}
		}
		if b.Len()+unit.Len() > paramRoom {
			sections = append(sections, b.String())
			b.Reset()
		}
		b.WriteString(unit.String())
	}
	return append(sections, b.String())
}
