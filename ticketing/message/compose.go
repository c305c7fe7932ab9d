package message

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Attachment is one file of a Draft.
type Attachment struct {
	Filename    string
	ContentType string // application/octet-stream when empty
	ContentID   string // set for an inline image the HTML refers to
	Inline      bool
	Open        func() (io.Reader, error) // a reader that is an io.Closer is closed
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
	Text        string  // "" = made from HTML
	HTML        string  // "" = text only
	Attachments []Attachment
}

// NeedsUTF8 reports whether the composed header holds an address with a
// non-ASCII local part, so that only SMTPUTF8 can carry the mail. A non-ASCII
// domain alone is written as A-labels. Everything else is always 7bit.
func (d *Draft) NeedsUTF8() bool {
	all := append(append(append([]Address{d.From}, d.ReplyTo...), d.To...), d.Cc...)
	if d.Sender != nil {
		all = append(all, *d.Sender)
	}
	for _, a := range all {
		if addr, err := writableAddr(a.Addr); err == nil && !isASCII(addr) {
			return true
		}
	}
	return false
}

// ErrDraft says that the fault is the draft's own: composing it again will fail
// again, wherever it is written to.
var ErrDraft = errors.New("message: the draft cannot be written")

// Compose writes the mail with CRLF line ends, every line at most 998 octets
// (header lines folded at 76), text parts quoted-printable or 7bit, files
// base64. Values cannot break out of their field: control characters become
// spaces and runs of white space one; identifiers of other mails that cannot
// be written are left out. seed makes boundaries: the same draft and seed give
// the same bytes.
//
// It fails with an ErrDraft if From or Date is missing, if an address or the
// Message-ID cannot be written, if Extra has a malformed name or one that
// Compose writes itself, or if the header is over 256 KiB; and with their error
// if w or an attachment does. What was written by then is not a mail.
func Compose(w io.Writer, d Draft, seed []byte) error {
	bw := bufio.NewWriter(w)
	c := composer{w: bw, seed: seed}
	c.header(&d)
	c.entity(d.structure())
	if c.err != nil {
		return c.err
	}
	return bw.Flush()
}

// composer writes one mail. Its first error sticks and stops the rest.
type composer struct {
	w          *bufio.Writer
	seed       []byte
	boundaries uint8
	err        error
}

func (c *composer) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *composer) write(s string) {
	if c.err == nil {
		_, c.err = c.w.WriteString(s)
	}
}

// header writes the fields of the mail itself; those of its outermost entity
// follow.
func (c *composer) header(d *Draft) {
	f := fieldWriter{b: make([]byte, 0, usualHeader)}
	switch {
	case d.From.Addr == "":
		f.fail(errors.New("without From"))
	case d.Date.IsZero():
		f.fail(errors.New("without Date"))
	case d.MessageID != "" && !writableID(d.MessageID):
		f.fail(errMessageID)
	}
	f.addresses("From", d.From)
	if d.Sender != nil {
		f.addresses("Sender", *d.Sender)
	}
	f.addresses("Reply-To", d.ReplyTo...)
	f.addresses("To", d.To...)
	f.addresses("Cc", d.Cc...)
	f.text("Subject", d.Subject)
	f.words("Date", strings.Fields(d.Date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))...)
	f.ids("Message-ID", d.MessageID)
	f.ids("In-Reply-To", d.InReplyTo)
	f.ids("References", d.References...)
	for _, x := range d.Extra {
		if !fieldName(x.Name) || ownField(x.Name) {
			f.fail(fmt.Errorf("with an extra field %q", x.Name))
			break
		}
		f.text(x.Name, x.Value)
	}
	f.words("MIME-Version", "1.0")
	c.fields(&f)
}

func (c *composer) fields(f *fieldWriter) {
	if f.err != nil {
		c.fail(fmt.Errorf("%w: %w", ErrDraft, f.err))
	}
	if c.err == nil {
		_, c.err = c.w.Write(f.b)
	}
}

// ownField reports whether Compose writes this field itself: a second one would
// let two readers of a mail see different things.
func ownField(name string) bool {
	switch lowerASCII(name) {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id",
		"in-reply-to", "references", "mime-version":
		return true
	}
	return strings.HasPrefix(lowerASCII(name), "content-")
}

// entity is a node of the tree of parts: a multipart, a text or a file.
type entity struct {
	multipart string // subtype, "" for a leaf
	parts     []entity
	subtype   string // of text
	text      string
	file      *Attachment
	related   bool // file is shown inside the HTML
}

// structure arranges a draft's parts:
//
//	mixed( alternative( text, related( html, images ) ), files )
//
// leaving out every level that would hold one thing only.
func (d *Draft) structure() entity {
	body := entity{subtype: "plain", text: d.Text}
	var files []entity
	html := entity{multipart: "related", parts: []entity{{subtype: "html", text: d.HTML}}}
	for i := range d.Attachments {
		a := &d.Attachments[i]
		if d.HTML != "" && contentID(a.ContentID) != "" {
			html.parts = append(html.parts, entity{file: a, related: true})
		} else {
			files = append(files, entity{file: a})
		}
	}
	if d.HTML != "" {
		if len(html.parts) == 1 {
			html = html.parts[0]
		}
		if body.text == "" {
			body.text = HTMLToText(d.HTML)
		}
		body = entity{multipart: "alternative", parts: []entity{body, html}}
	}
	if len(files) == 0 {
		return body
	}
	return entity{multipart: "mixed", parts: append([]entity{body}, files...)}
}

// entity writes a node: its fields, an empty line, its content.
func (c *composer) entity(e entity) {
	switch {
	case c.err != nil:
	case e.multipart != "":
		c.multi(e)
	case e.file != nil:
		c.file(e.file, e.related)
	default:
		c.text(e)
	}
}

func (c *composer) multi(e entity) {
	boundary := c.boundary()
	f := fieldWriter{}
	words := []string{"multipart/" + e.multipart + ";"}
	if e.multipart == "related" {
		words = append(words, `type="text/html";`)
	}
	f.words("Content-Type", append(words, `boundary="`+boundary+`"`)...)
	c.fields(&f)
	c.write("\r\n")
	for _, p := range e.parts {
		c.write("--" + boundary + "\r\n")
		c.entity(p)
	}
	c.write("--" + boundary + "--\r\n")
}

// boundary begins with "=_", which can occur in no content we write:
// quoted-printable encodes every "=", base64 has no "_", and a text with "=_"
// in it is never sent as 7bit.
func (c *composer) boundary() string {
	c.boundaries++
	h := hmac.New(sha256.New, c.seed)
	h.Write([]byte{'b', c.boundaries})
	return "=_" + hex.EncodeToString(h.Sum(nil)[:18])
}

func (c *composer) text(e entity) {
	text := canonicalText(e.text)
	encoding := "quoted-printable"
	if plainLines(text) {
		encoding = "7bit"
	}
	f := fieldWriter{}
	f.words("Content-Type", "text/"+e.subtype+";", "charset=utf-8")
	f.words("Content-Transfer-Encoding", encoding)
	c.fields(&f)
	c.write("\r\n")
	if encoding == "7bit" {
		c.write(text)
		return
	}
	if c.err == nil {
		c.err = writeQuotedPrintable(c.w, text)
	}
}

func (c *composer) file(a *Attachment, related bool) {
	f := fieldWriter{}
	f.words("Content-Type", fileType(a.ContentType)...)
	f.words("Content-Transfer-Encoding", "base64")
	disposition := "attachment"
	if related || a.Inline {
		disposition = "inline"
	}
	f.words("Content-Disposition", withFilename(disposition, a.Filename)...)
	if id := contentID(a.ContentID); id != "" {
		f.words("Content-ID", id)
	}
	c.fields(&f)
	c.write("\r\n")
	if c.err == nil {
		c.err = writeFile(c.w, a)
	}
}
