package message

import (
	"strings"
	"time"
)

// Field is one header field as received.
type Field struct {
	Name  string // as spelled
	Value string // unfolded (a fold and the blanks around it are one blank), otherwise untouched bytes
}

// Header is a list of fields in order. Names compare case-insensitively.
type Header []Field

// Get returns the first field's raw value, "" if there is none.
func (h Header) Get(name string) string {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return h[i].Value
		}
	}
	return ""
}

// Has reports whether there is a field with this name, even an empty one.
func (h Header) Has(name string) bool {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			return true
		}
	}
	return false
}

// All returns the raw values of every field with this name, in order.
func (h Header) All(name string) []string {
	var all []string
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			all = append(all, h[i].Value)
		}
	}
	return all
}

// Text returns the first field's value as text: RFC 2047 words decoded, raw
// 8-bit guessed, control characters removed, NFC.
func (h Header) Text(name string) string { return DecodeWords(h.Get(name)) }

// Addresses returns the mailboxes of every field with this name, at most as
// many as DefaultLimits().Addresses.
func (h Header) Addresses(name string) []Address {
	left := DefaultLimits().Addresses
	var all []Address
	for i := range h {
		if left > 0 && strings.EqualFold(h[i].Name, name) {
			list, _ := ParseAddressList(h[i].Value, left)
			all = append(all, list...)
			left -= len(list)
		}
	}
	return all
}

// maxIDs bounds what one mail may refer to; a longer chain keeps its two ends,
// which is where the root of a thread and its newest mails stand.
const maxIDs = 1000

// maxIDLen is a line of RFC 5322; no honest identifier is longer.
const maxIDLen = 998

// IDs returns the message identifiers in every field with this name, each with
// angle brackets, in order, without repeats; garbage between them is passed
// over. Of more than 1,000 it keeps the first and the last 500. A value without
// any bracket is taken as identifiers between blanks if they contain an @.
func (h Header) IDs(name string) []string {
	var ids []string
	seen := map[string]bool{}
	add := func(id string) {
		if len(id) > 2 && len(id) <= maxIDLen && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			scanIDs(h[i].Value, add)
		}
	}
	if n := len(ids); n > maxIDs {
		ids = append(ids[:maxIDs/2:maxIDs/2], ids[n-maxIDs/2:]...)
	}
	return ids
}

func scanIDs(v string, add func(string)) {
	if !strings.Contains(v, "<") {
		for _, w := range strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == ';' }) {
			if at := strings.IndexByte(w, '@'); at > 0 && at < len(w)-1 {
				add("<" + cleanID(strings.Trim(w, "\"'>")) + ">")
			}
		}
		return
	}
	for {
		open := strings.IndexByte(v, '<')
		if open < 0 {
			return
		}
		v = v[open+1:]
		end := strings.IndexAny(v, "<>")
		if end < 0 {
			return
		}
		if v[end] == '>' {
			add("<" + cleanID(v[:end]) + ">")
			end++
		}
		v = v[end:]
	}
}

// cleanID drops the blanks a folded identifier has inside, and control bytes.
func cleanID(id string) string {
	for i := 0; i < len(id); i++ {
		if id[i] <= ' ' || id[i] >= 0x7f {
			return strings.Map(func(r rune) rune {
				if r <= ' ' || r == 0x7f {
					return -1
				}
				return r
			}, strings.ToValidUTF8(id, "?"))
		}
	}
	return id
}

// Date returns the first Date field that can be read; ok is false if there is
// none. Years before 1900 and after 9998 count as unreadable.
func (h Header) Date() (t time.Time, ok bool) {
	for i := range h {
		if strings.EqualFold(h[i].Name, "Date") {
			if t, ok = ParseDate(h[i].Value); ok {
				return t, true
			}
		}
	}
	return time.Time{}, false
}
