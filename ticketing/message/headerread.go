package message

import (
	"bytes"
	"strings"
)

// headerReader collects one header block line by line.
type headerReader struct {
	lim     Limits
	lenient bool // the head of a mail: blank lines and an mbox line may come first
	fields  Header
	name    string
	value   []byte
	bytes   int
	lines   int
	over    bool
	garbage int64 // where a run of lines that are no header began; -1 = none
	run     int   // its length
	blank   int64 // where the line after a line of blanks begins; -1 = none
	damaged bool
}

// A run of this many lines that are no header means that the blank line before
// the body is missing.
const maxGarbage = 6

func (h *headerReader) reset(lim Limits, lenient bool) {
	*h = headerReader{lim: lim, lenient: lenient, garbage: -1, blank: -1, value: h.value[:0]}
}

// keep is how many bytes of the next line are of interest.
func (h *headerReader) keep() int { return max(h.lim.HeaderBytes-h.bytes+2, 512) }

// add takes a line. When the block is over it reports done and where the body
// begins, which may be before, at or after the line.
func (h *headerReader) add(l line) (body int64, done bool) {
	h.lines++
	h.bytes += len(l.head)
	if !h.over && (h.bytes > h.lim.HeaderBytes || h.lines > h.lim.HeaderLines) {
		h.over = true
		h.flush()
	}
	switch head := l.head; {
	case len(head) == 0:
		if h.lenient && len(h.fields) == 0 && h.name == "" && h.garbage < 0 {
			return 0, false
		}
		if h.garbage >= 0 {
			return h.garbage, true
		}
		return l.next, true
	case len(bytes.Trim(head, " \t\r")) == 0 && !l.cut:
		// A line of blanks is a fold by the letter and an end by intention; the
		// next line tells.
		if h.blank < 0 {
			h.blank = l.next
		}
		return 0, false
	case head[0] == ' ' || head[0] == '\t':
		h.blank = -1
		return h.folded(l)
	}
	if name, rest, ok := splitField(l.head); ok && (h.garbage < 0 || wellKnown(name)) {
		if h.garbage >= 0 {
			h.garbage, h.run, h.damaged = -1, 0, true
		}
		h.blank = -1
		h.start(name, rest)
		return 0, false
	}
	if h.blank >= 0 {
		return h.blank, true
	}
	if h.lenient && len(h.fields) == 0 && h.name == "" && h.garbage < 0 && mboxLine(l.head) {
		return 0, false
	}
	return h.noField(l)
}

func mboxLine(b []byte) bool {
	return bytes.HasPrefix(b, []byte("From ")) || bytes.HasPrefix(b, []byte(">From "))
}

// folded takes a continuation line.
func (h *headerReader) folded(l line) (int64, bool) {
	text := bytes.Trim(l.head, " \t\r")
	switch {
	case h.garbage >= 0:
		return h.noField(l)
	case h.name != "":
		if !h.over {
			if len(h.value) > 0 {
				h.value = append(h.value, ' ')
			}
			h.value = append(h.value, text...)
		}
		return 0, false
	}
	if name, rest, ok := splitField(text); ok {
		h.damaged = true
		h.start(name, rest)
		return 0, false
	}
	return h.noField(l)
}

// noField takes a line that is no header.
func (h *headerReader) noField(l line) (int64, bool) {
	if h.garbage < 0 {
		h.garbage = l.start
	}
	h.run++
	if h.run >= maxGarbage || bytes.HasPrefix(l.head, []byte("--")) && len(l.head) > 2 {
		return h.garbage, true
	}
	return 0, false
}

func (h *headerReader) start(name string, rest []byte) {
	h.flush()
	h.name = name
	if !h.over {
		h.value = append(h.value, bytes.Trim(rest, " \t\r")...)
	}
}

func (h *headerReader) flush() {
	if h.name != "" && len(h.fields) < h.lim.HeaderLines {
		v := bytes.TrimRight(h.value, " \t")
		if bytes.IndexByte(v, '\r') >= 0 {
			v = bytes.ReplaceAll(v, []byte("\r"), []byte(" "))
		}
		h.fields = append(h.fields, Field{Name: h.name, Value: string(v)})
	}
	h.name, h.value = "", h.value[:0]
	if h.over {
		h.lim.HeaderLines = 0 // later fields are not kept
	}
}

// splitField takes "Name: value" apart. Blanks before the colon are forgiven.
func splitField(b []byte) (name string, rest []byte, ok bool) {
	i := bytes.IndexByte(b[:min(len(b), 256)], ':')
	if i <= 0 {
		return "", nil, false
	}
	n := bytes.TrimRight(b[:i], " \t")
	if len(n) == 0 {
		return "", nil, false
	}
	for _, c := range n {
		if c <= ' ' || c >= 0x7f {
			return "", nil, false
		}
	}
	return string(n), b[i+1:], true
}

// wellKnown reports whether a name is one that mail headers have; only such a
// line shows that a header goes on after garbage.
func wellKnown(name string) bool {
	low := strings.ToLower(name)
	switch low {
	case "from", "to", "cc", "bcc", "subject", "date", "message-id", "received", "return-path", "mime-version",
		"reply-to", "in-reply-to", "references", "sender", "dkim-signature", "delivered-to", "auto-submitted",
		"precedence", "importance", "priority", "authentication-results", "user-agent", "organization", "status":
		return true
	}
	for _, p := range [...]string{"content-", "x-", "list-", "arc-", "resent-", "received-", "thread-"} {
		if strings.HasPrefix(low, p) {
			return true
		}
	}
	return false
}
