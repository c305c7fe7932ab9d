package message

import "time"

// Field is one header field as received.
type Field struct {
	Name  string // as spelled
	Value string // unfolded, otherwise untouched bytes
}

// Header is a list of fields in order. Names compare case-insensitively.
type Header []Field

// Get returns the first field's raw value, "" if there is none.
func (h Header) Get(name string) string { panic("contract") }

// All returns the raw values of every field with this name, in order.
func (h Header) All(name string) []string { panic("contract") }

// Text returns the first field's value as text: RFC 2047 words decoded, raw
// 8-bit guessed, control characters removed, NFC.
func (h Header) Text(name string) string { panic("contract") }

// Addresses returns the mailboxes of every field with this name.
func (h Header) Addresses(name string) []Address { panic("contract") }

// IDs returns the message identifiers in every field with this name, each with
// angle brackets, in order, without repeats; garbage between them is passed over.
func (h Header) IDs(name string) []string { panic("contract") }

// Date returns the Date field; ok is false if it is missing or unreadable.
func (h Header) Date() (t time.Time, ok bool) { panic("contract") }

// DecodeWords decodes RFC 2047 encoded words in a raw value, tolerantly.
func DecodeWords(value string) string { panic("contract") }
