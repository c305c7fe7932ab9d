package intake

import (
	"bytes"
	"slices"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// header watches the header section go by. It sees what any later reader might
// take for a line: a field may begin after LF and after a bare CR, while only
// an empty line ended by LF ends the section. Erring to that side means that no
// second From can hide from it.
type header struct {
	maxBytes, maxLines int

	done     bool // the section has ended
	over     bool // a limit was passed
	bytes    int
	lines    int
	received int
	froms    [][]byte

	name    [10]byte // start of the line, lower case, up to its colon
	named   int
	content int  // octets of the line that are not CR
	field   kind // what the line is
	lastCR  bool
	filled  bool // there was something but CRs since the last LF
	begun   bool // a line with content was seen: empty lines before it do not end the section
	loose   bool // the mail began with an empty line: what follows may be a body, so its size says nothing
	kept    int  // octets in froms
}

type kind uint8

const (
	naming kind = iota // still reading a field name
	other
	from
)

// scan takes the next octets of the mail.
func (h *header) scan(p []byte) {
	if h.done || h.over {
		return
	}
	for i := 0; i < len(p); i++ {
		c := p[i]
		h.bytes++
		if h.bytes > h.maxBytes && !h.loose {
			h.over = true
			return
		}
		switch c {
		case '\n':
			if h.begun && !h.filled {
				h.done = true
				return
			}
			if !h.begun {
				h.loose = true
			}
			h.lines++
			if h.lines > h.maxLines && !h.loose {
				h.over = true
				return
			}
			h.filled = false
			h.newline()
		case '\r':
			h.lastCR = true
		default:
			h.begun, h.filled = true, true
			if h.lastCR {
				h.newline()
			}
			if h.field == other && h.content > 0 {
				// Nothing to learn before the line ends: skip to it.
				if n := bytes.IndexAny(p[i:], "\r\n"); n < 0 {
					h.bytes += len(p) - i - 1
					i = len(p) - 1
				} else if n > 0 {
					h.bytes += n - 1
					i += n - 1
				}
				continue
			}
			h.octet(c)
		}
	}
	if h.bytes > h.maxBytes && !h.loose {
		h.over = true
	}
}

func (h *header) newline() {
	h.named, h.content, h.lastCR = 0, 0, false
	if h.field != from {
		h.field = naming
	}
}

// octet takes one octet of a line's content.
func (h *header) octet(c byte) {
	first := h.content == 0
	h.content++
	if first {
		if c == ' ' || c == '\t' {
			if h.field == from { // folded
				h.keep(c)
			} else {
				h.field = other
			}
			return
		}
		h.field = naming
	}
	switch h.field {
	case from:
		h.keep(c)
	case naming:
		switch {
		case c == ':':
			h.field = other
			switch string(bytes.TrimRight(h.name[:h.named], " \t")) {
			case "from":
				h.field = from
				if len(h.froms) < 2 { // a second one is known to be too many
					h.froms = append(h.froms, nil)
				}
			case "received":
				h.received++
			}
		case h.named == len(h.name):
			h.field = other
		default:
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			h.name[h.named] = c
			h.named++
		}
	}
}

func (h *header) keep(c byte) {
	if h.kept++; h.kept > h.maxBytes {
		h.over = true
		return
	}
	last := len(h.froms) - 1
	h.froms[last] = append(h.froms[last], c)
}

// end is called after the last octet.
func (h *header) end() { h.done = true }

// checkFrom refuses a mail whose readers could disagree on who sent it: more
// than one From field, or one that names mailboxes of several domains. Strict
// also refuses a From field that is empty or an empty group. Words that are no
// address are let in: they name nobody, and devices write them. So are several
// mailboxes of one domain (RFC 5322 §3.6.2 has them): whoever reads which of
// them, the domain that answers for the mail is the same.
func (h *header) checkFrom(strict bool) error {
	refuse := func(text string) error {
		return &ticketing.Error{Kind: ticketing.Invalid, Text: text, Err: ErrSender}
	}
	if len(h.froms) > 1 {
		return refuse("message has more than one From field")
	}
	if len(h.froms) == 0 {
		return nil
	}
	list, _ := message.ParseAddressList(string(h.froms[0]), maxFrom)
	if strict && len(list) == 0 && nobody(h.froms[0]) {
		return refuse("message has a From field naming nobody")
	}
	for _, a := range list[min(1, len(list)):] {
		if a.Domain() != list[0].Domain() {
			return refuse("message has a From field naming several domains")
		}
	}
	return nil
}

// nobody reports whether a field's value is empty or a group without members.
func nobody(value []byte) bool {
	value = bytes.TrimSpace(value)
	return len(value) == 0 || value[len(value)-1] == ';'
}

// checkSenders refuses a mail from anybody but the addresses given; none given
// allows all.
func (h *header) checkSenders(own []string) error {
	if len(own) == 0 {
		return nil
	}
	foreign := &ticketing.Error{Kind: ticketing.Refused, Text: "the From field names another address than your own", Err: ErrForeign}
	if len(h.froms) != 1 {
		return foreign
	}
	list, _ := message.ParseAddressList(string(h.froms[0]), maxFrom+1)
	if len(list) == 0 || len(list) > maxFrom {
		return foreign
	}
	for _, a := range list {
		if !slices.ContainsFunc(own, func(o string) bool { return message.Fold(o) == message.Fold(a.Addr) }) {
			return foreign
		}
	}
	return nil
}

// maxFrom is how many mailboxes of a From are looked at.
const maxFrom = 100

// sender is the address of the From field, "" if there is none to be read.
func (h *header) sender() string {
	if len(h.froms) == 0 {
		return ""
	}
	list, _ := message.ParseAddressList(string(h.froms[0]), 1)
	if len(list) == 0 {
		return ""
	}
	return list[0].Addr
}
