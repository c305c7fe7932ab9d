package message

import (
	"io"
	"time"
)

// Attachment is one file of a Draft.
type Attachment struct {
	Filename    string
	ContentType string // application/octet-stream when empty
	ContentID   string // set for an inline image the HTML refers to
	Inline      bool
	Open        func() (io.Reader, error)
}

// Draft is a mail to be composed.
type Draft struct {
	From        Address
	Sender      *Address
	ReplyTo     []Address
	To, Cc      []Address
	Subject     string
	Date        time.Time
	MessageID   string // with angle brackets
	InReplyTo   string
	References  []string
	Extra       []Field // Auto-Submitted, List-Id …: values are text and are encoded and folded
	Text        string
	HTML        string // "" = text only
	Attachments []Attachment
}

// Compose writes the mail with CRLF line ends, every line at most 998 octets
// (header lines folded at 78), text parts quoted-printable or 7bit, files
// base64. Values cannot break out of their field: CR, LF and NUL become
// spaces. seed makes boundaries: the same draft and seed give the same bytes.
// It fails if From or Date is missing, if an address cannot be written, or if
// w or an attachment does.
func Compose(w io.Writer, d Draft, seed []byte) error { panic("contract") }
