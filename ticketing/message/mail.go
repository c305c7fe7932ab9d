package message

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

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

// orDefaults replaces limits that are not set.
func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	for _, f := range [...]struct{ have, deflt *int }{
		{&l.HeaderBytes, &d.HeaderBytes}, {&l.HeaderLines, &d.HeaderLines}, {&l.Addresses, &d.Addresses},
		{&l.Depth, &d.Depth}, {&l.Parts, &d.Parts}, {&l.Boundary, &d.Boundary}, {&l.Text, &d.Text},
	} {
		if *f.have <= 0 {
			*f.have = *f.deflt
		}
	}
	return l
}

// Mail is one parsed mail. Its parts are ranges of the raw bytes, which are
// read again when a part is opened: the reader given to Parse must outlive it.
type Mail struct {
	Header   Header
	Root     *Part
	Size     int64
	Problems []string // what was damaged or over a limit, in words, for operators
	Unparsed bool     // nothing but the raw bytes could be made of it

	r       io.ReaderAt
	lim     Limits
	parts   int
	decoded int64 // bytes of nested mails held in memory
	chosen  *bodies
	err     error // of r
	spare   atomic.Pointer[cursor]
}

// Part is one MIME part. Start and End delimit its encoded body in the raw
// mail; of a part inside an encoded nested mail, a TNEF container or an opaque
// signed mail, in the decoded bytes of that. Nothing is copied: Open reads the
// raw mail again.
type Part struct {
	ID          string // where the part stands: "2.1", "2.tnef.1", "1.uu.2"; made of digits, letters and dots
	Header      Header
	Type        string            // lower case, "text/plain" when absent or unreadable
	Params      map[string]string // of Content-Type, names in lower case, RFC 2231 decoded
	Disposition string            // inline, attachment or ""
	Filename    string            // decoded and made safe; "" if none
	ContentID   string            // without angle brackets
	Encoding    string            // base64, quoted-printable, x-uuencode, 7bit …
	Start, End  int64
	Parts       []*Part // of a multipart or container, or the one inner mail of message/rfc822

	src       io.ReaderAt // nil: the raw mail
	in        *Part       // the container in whose decoded bytes the range lies
	uu        []uuBlock   // uuencoded files inside a text
	tnefBody  bool        // text of the mail, kept in a TNEF container
	keepWhole bool        // a container that is listed as a file beside what it carries
	sealed    string      // what an application/pkcs7-mime part holds, "" if it is none or unreadable
}

// Parse reads a mail in one pass, in time linear in its size. It returns an
// error only if r does; broken mail gives a Mail with Problems. Limits that are
// zero take their defaults.
func Parse(r io.ReaderAt, size int64, lim Limits) (*Mail, error) {
	lim = lim.orDefaults()
	m := &Mail{Size: size, r: r, lim: lim}
	w := &walker{m: m, lim: lim, s: newScanner(r, 0, size)}
	m.Root = w.run()
	if m.failed(w.s.err); m.err != nil {
		return nil, fmt.Errorf("message: reading the mail: %w", m.err)
	}
	m.Header = m.Root.Header
	if len(m.Header) == 0 {
		m.Unparsed = true
		m.problem("the mail has no header")
	}
	m.Root.number("", true)
	m.chosen = m.choose()
	return m, nil
}

// maxProblems keeps the list readable; a mail with more is damaged enough.
const maxProblems = 20

func (m *Mail) problem(format string, args ...any) {
	p := fmt.Sprintf(format, args...)
	if len(m.Problems) < maxProblems && !slices.Contains(m.Problems, p) {
		m.Problems = append(m.Problems, p)
	}
}

// failed keeps the first error of the bytes themselves.
func (m *Mail) failed(err error) {
	if m.err == nil {
		m.err = err
	}
}

// decodeBudget is what may still be held in memory of nested mails.
func (m *Mail) decodeBudget() int64 { return max(4*int64(m.lim.Text)-m.decoded, 0) }

func (m *Mail) source(p *Part) io.ReaderAt {
	if p.src != nil {
		return p.src
	}
	return m.r
}

func (m *Mail) bytesOf(p *Part) io.Reader {
	if p.in != nil {
		return m.inside(p)
	}
	return io.NewSectionReader(m.source(p), p.Start, max(p.End-p.Start, 0))
}

// number gives every part its ID, once the tree is whole. The parts of the
// mail are 1, 2, …, those of part 2 are 2.1, 2.2, …; a mail that is one part
// is part 1. Files in a container or in a text say so.
func (p *Part) number(id string, root bool) {
	prefix := ""
	switch {
	case root && len(p.Parts) > 0:
		id = "0"
	case root:
		id, prefix = "1", "1."
	default:
		prefix = id + "."
	}
	p.ID = id
	for i, b := range p.uu {
		b.part.ID = prefix + "uu." + strconv.Itoa(i+1)
	}
	if isTNEF(p) {
		prefix = strings.TrimSuffix(id, ".") + ".tnef."
	}
	for i, c := range p.Parts {
		c.number(prefix+strconv.Itoa(i+1), false)
	}
}

// Attachment returns the attachment with this ID, nil if there is none.
func (m *Mail) Attachment(id string) *Part {
	for _, p := range m.Attachments() {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// describe fills a part's fields from its header. Type holds the default on
// entry.
func (p *Part) describe() {
	if v := p.Header.Get("Content-Type"); v != "" {
		t, params := parseParams(v)
		p.Params = params
		p.Type = mediaType(t, p.Type)
	}
	disp, params := parseParams(p.Header.Get("Content-Disposition"))
	switch {
	case disp == "attachment" || disp == "inline":
		p.Disposition = disp
	case disp != "":
		p.Disposition = "attachment" // RFC 2183 §2.8: unknown means attachment
	}
	for _, name := range [...]string{params["filename"], p.Params["name"], params["name"], p.Params["filename"]} {
		if p.Filename = safeFilename(name); p.Filename != "" {
			break
		}
	}
	p.ContentID = strings.Trim(p.Header.Get("Content-ID"), " \t<>")
	p.Encoding = transferEncoding(p.Header.Get("Content-Transfer-Encoding"))
}

// mediaType completes what a Content-Type names: "text" alone is text/plain,
// nonsense is the default.
func mediaType(t, deflt string) string {
	major, minor, _ := strings.Cut(strings.Trim(t, "\"'"), "/")
	switch {
	case major == "" || strings.ContainsAny(t, "\"<>@=,:"):
		return deflt
	case minor != "":
		return major + "/" + minor
	case major == "text":
		return "text/plain"
	case major == "multipart":
		return "multipart/mixed"
	case major == "message":
		return "message/rfc822"
	case major == "html":
		return "text/html"
	case major == "image" || major == "audio" || major == "video" || major == "application":
		return "application/octet-stream"
	}
	return deflt
}

func transferEncoding(v string) string {
	t, _ := parseParams(v)
	t = strings.Trim(t, "\"'.,")
	switch t {
	case "":
		return "7bit"
	case "base-64", "x-base64", "b":
		return "base64"
	case "quoted_printable", "quotedprintable", "quoted-printeable", "qp", "q":
		return "quoted-printable"
	case "uuencode", "x-uu", "x-uue", "uue":
		return "x-uuencode"
	case "7-bit", "7bits", "ascii":
		return "7bit"
	case "8-bit", "8bits":
		return "8bit"
	}
	return t
}
