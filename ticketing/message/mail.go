package message

import "io"

// Limits bound what one mail may cost to read.
type Limits struct {
	HeaderBytes int // of one header block
	HeaderLines int
	Addresses   int // per header
	Depth       int // nested multiparts and messages
	Parts       int
	Boundary    int // octets of a boundary
	Text        int // bytes of text returned by Text, HTML and the like
}

// DefaultLimits are the defaults of the gateway.
func DefaultLimits() Limits {
	return Limits{HeaderBytes: 1 << 20, HeaderLines: 10000, Addresses: 1000, Depth: 50, Parts: 1000, Boundary: 256, Text: 4 << 20}
}

// Mail is one parsed mail. Its parts are ranges of the raw bytes.
type Mail struct {
	Header   Header
	Root     *Part
	Size     int64
	Problems []string // what was damaged or over a limit, in words, for operators
	Unparsed bool     // nothing but the raw bytes could be made of it
}

// Part is one MIME part. Start and End delimit its encoded body in the raw mail.
type Part struct {
	Header      Header
	Type        string            // lower case, "text/plain" when absent or unreadable
	Params      map[string]string // of Content-Type, names in lower case, RFC 2231 decoded
	Disposition string            // inline, attachment or ""
	Filename    string            // decoded and made safe; "" if none
	ContentID   string            // without angle brackets
	Encoding    string            // base64, quoted-printable, x-uuencode, 7bit …
	Start, End  int64
	Parts       []*Part // of a multipart, or the one inner mail of message/rfc822
}

// Parse reads a mail in one pass. It returns an error only if r does; broken
// mail gives a Mail with Problems.
func Parse(r io.ReaderAt, size int64, lim Limits) (*Mail, error) { panic("contract") }

// Open returns the part's content with its transfer encoding undone; damaged
// encodings yield what can be read.
func (m *Mail) Open(p *Part) io.Reader { panic("contract") }

// PartText returns a text part's content as UTF-8, at most Limits.Text bytes.
func (m *Mail) PartText(p *Part) string { panic("contract") }

// Text returns what a person reads: the text part, or the text of the HTML
// part, or a sentence naming what the mail consists of. Never empty for a mail
// that has any content.
func (m *Mail) Text() string { panic("contract") }

// HTML returns the HTML alternative as received (not sanitised), "" if none.
func (m *Mail) HTML() string { panic("contract") }

// Attachments returns every part that is not the displayed text or HTML, in
// order: attachments, inline images, nested mails, whole broken parts.
func (m *Mail) Attachments() []*Part { panic("contract") }

// HTMLToText renders HTML as plain text that keeps links, lists, table cells,
// line structure and quote marks.
func HTMLToText(html string) string { panic("contract") }

// SanitizeHTML returns HTML that is safe to show under an allow-list.
func SanitizeHTML(html string) string { panic("contract") }

// VisibleText splits a text into what the author newly wrote and the rest.
// A text that would be empty stays visible whole.
func VisibleText(text string) (visible, quoted string) { panic("contract") }
