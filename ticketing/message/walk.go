package message

import (
	"bytes"
	"io"
	"strings"
)

// walker reads a mail line by line and builds its tree of parts. It looks at
// every byte once; memory is one window and what it keeps: headers and parts.
type walker struct {
	m     *Mail
	lim   Limits
	s     *scanner
	src   io.ReaderAt // set on parts whose bytes are not in the raw mail itself
	depth int         // levels above this walk's root

	stack    []*frame
	cur      *Part // the part being read; nil in a preamble or epilogue
	inHeader bool
	h        headerReader
	full     bool // the limit of parts is reached
	prevEnd  int64
	adopt    []byte // preamble line that may be an unannounced boundary
	uu       uuFinder
	encoded  []encodedMail

	containers []*Part // TNEF
	sealed     []encodedMail
}

// encodedMail is a nested mail whose bytes have a transfer encoding.
type encodedMail struct {
	part  *Part
	depth int
}

// frame is an open multipart or message.
type frame struct {
	part     *Part
	boundary []byte // nil for a message
	closed   bool   // its last boundary was seen
	parts    bool   // its first boundary was seen
}

// run reads everything and returns the root of the tree.
func (w *walker) run() *Part {
	root := w.newPart("text/plain")
	w.m.parts++
	w.begin(root, true)
	for {
		keep := max(w.lim.Boundary+8, 512)
		if w.inHeader {
			keep = w.h.keep()
		}
		l, ok := w.s.next(keep)
		if !ok {
			break
		}
		w.line(l)
		w.prevEnd = l.end
		if w.full {
			break // the last part holds everything that is left
		}
	}
	size := w.s.end
	w.endHeader(size)
	w.close(0, size)
	w.openEncoded()
	for _, p := range w.containers {
		w.m.openTNEF(p)
	}
	w.openSigned()
	return root
}

func (w *walker) newPart(deflt string) *Part {
	return &Part{Type: deflt, src: w.src}
}

// begin starts reading a part's header.
func (w *walker) begin(p *Part, mail bool) {
	w.cur, w.inHeader = p, true
	w.h.reset(w.lim, mail)
}

func (w *walker) line(l line) {
	for {
		if i, final, ok := w.match(l); ok {
			w.boundary(i, final, l)
			return
		}
		if !w.inHeader {
			w.bodyLine(l)
			return
		}
		body, done := w.h.add(l)
		if !done {
			return
		}
		w.startBody(body)
		if body > l.start {
			return // the line was the end of the header
		}
		// The line belongs to the body (or to an inner header): look again.
	}
}

// match finds the open part whose boundary the line is: the innermost open one,
// else the innermost that was closed already. In a body, blanks before a
// boundary are forgiven; in a header they would be a fold.
func (w *walker) match(l line) (index int, final, ok bool) {
	head := l.head
	if len(w.stack) == 0 || l.cut || len(head) < 3 {
		return 0, false, false
	}
	if (head[0] == ' ' || head[0] == '\t') && !w.inHeader {
		head = bytes.TrimLeft(head, " \t")
	}
	if !bytes.HasPrefix(head, dashes) {
		return 0, false, false
	}
	rest := bytes.TrimRight(head[2:], " \t\r")
	late := -1
	for i := len(w.stack) - 1; i >= 0; i-- {
		f := w.stack[i]
		if len(f.boundary) == 0 || !bytes.HasPrefix(rest, f.boundary) {
			continue
		}
		tail := rest[len(f.boundary):]
		if len(tail) != 0 && string(tail) != "--" {
			continue
		}
		if f.closed {
			if late < 0 && len(tail) == 0 {
				late = i
			}
			continue
		}
		return i, len(tail) != 0, true
	}
	if late >= 0 {
		return late, false, true
	}
	return 0, false, false
}

// boundary ends what is open inside frame i and, unless it was the last
// boundary, begins the next part.
func (w *walker) boundary(i int, final bool, l line) {
	f := w.stack[i]
	if !final && w.m.parts >= w.lim.Parts {
		w.m.problem("more than %d parts; the last one holds the rest", w.lim.Parts)
		w.endHeader(l.start)
		w.full = true
		return
	}
	end := w.prevEnd
	w.endHeader(l.start)
	// endHeader may have pushed a multipart whose body is empty.
	w.close(i+1, end)
	if f.closed && !final {
		w.m.problem("a part follows the last boundary")
	}
	f.parts = true
	if final {
		f.closed = true
		return
	}
	f.closed = false
	p := w.newPart("text/plain")
	if f.part.Type == "multipart/digest" {
		p.Type = "message/rfc822"
	}
	f.part.Parts = append(f.part.Parts, p)
	w.m.parts++
	w.begin(p, false)
}

// endHeader ends a header that ran into a boundary or the end of the mail.
func (w *walker) endHeader(at int64) {
	for w.inHeader {
		if w.h.garbage >= 0 && w.h.garbage < at {
			at = w.h.garbage
		}
		w.startBody(at)
	}
}

// close ends the part being read and the frames from index i on.
func (w *walker) close(i int, end int64) {
	if w.cur != nil {
		w.uu.stop(w, end)
		w.cur.End = max(end, w.cur.Start)
		w.cur = nil
	}
	for j := len(w.stack) - 1; j >= i; j-- {
		f := w.stack[j]
		f.part.End = max(end, f.part.Start)
		if f.boundary != nil && !f.closed && f.parts {
			w.m.problem("a multipart ends without its last boundary")
		}
		w.never(f)
	}
	w.stack = w.stack[:i]
}

// never gives a multipart whose boundary did not occur its text as a part, so
// that it is read and not lost.
func (w *walker) never(f *frame) {
	if f.parts || f.boundary == nil || f.part.End <= f.part.Start {
		return
	}
	w.m.problem("the boundary of a multipart never occurs")
	if w.m.parts < w.lim.Parts {
		p := w.newPart("text/plain")
		p.Start, p.End, p.Encoding = f.part.Start, f.part.End, f.part.Encoding
		f.part.Parts = append(f.part.Parts, p)
		w.m.parts++
	}
}

// startBody ends the current part's header; its body begins at offset at.
func (w *walker) startBody(at int64) {
	w.h.flush()
	p := w.cur
	p.Header, p.Start = w.h.fields, at
	if w.h.over {
		w.m.problem("a header is over its limit of %d bytes or %d lines; the rest of it is not read", w.lim.HeaderBytes, w.lim.HeaderLines)
	}
	if w.h.damaged || w.h.garbage >= 0 && len(p.Header) > 0 {
		w.m.problem("a header has lines that are no header")
	}
	p.describe()
	w.inHeader = false
	level := w.depth + len(w.stack) + 1
	switch {
	case strings.HasPrefix(p.Type, "multipart/"):
		if level >= w.lim.Depth {
			w.m.problem("parts are nested deeper than %d", w.lim.Depth)
			break
		}
		w.stack = append(w.stack, &frame{part: p, boundary: w.boundaryOf(p)})
		w.cur = nil
	case isMessage(p.Type) && !encodedBody(p.Encoding):
		if level >= w.lim.Depth || w.m.parts >= w.lim.Parts {
			w.m.problem("mails are nested deeper than %d, or there are more than %d parts", w.lim.Depth, w.lim.Parts)
			break
		}
		inner := w.newPart("text/plain")
		p.Parts = []*Part{inner}
		w.m.parts++
		w.stack = append(w.stack, &frame{part: p})
		w.begin(inner, true)
	case isMessage(p.Type):
		w.encoded = append(w.encoded, encodedMail{p, level})
	case isTNEF(p):
		w.containers = append(w.containers, p)
	case isPKCS7(p):
		w.sealed = append(w.sealed, encodedMail{p, level})
	default:
		w.uu.watch(p)
	}
}

// boundaryOf returns a multipart's boundary; one that is missing or over the
// limit becomes a value that no line can have.
func (w *walker) boundaryOf(p *Part) []byte {
	b := strings.TrimRight(p.Params["boundary"], " \t")
	if b == "" {
		w.m.problem("a multipart names no boundary")
		return []byte("\n")
	}
	if len(b) > w.lim.Boundary {
		w.m.problem("a boundary is longer than %d octets", w.lim.Boundary)
		return []byte("\n")
	}
	return []byte(b)
}

// bodyLine looks at a line outside headers that is no boundary.
func (w *walker) bodyLine(l line) {
	if w.cur != nil {
		w.uu.line(w, l)
		return
	}
	if len(w.stack) == 0 {
		return
	}
	f := w.stack[len(w.stack)-1]
	if f.parts || f.boundary == nil {
		return
	}
	// In a preamble: "--x" followed by a Content- line is a boundary that the
	// header did not announce, or announced wrongly.
	if w.adopt != nil && hasFoldPrefix(l.head, "content-") {
		f.boundary, f.parts = w.adopt, true
		w.adopt = nil
		w.m.problem("a multipart uses another boundary than it names")
		if w.m.parts >= w.lim.Parts {
			w.full = true
			return
		}
		p := w.newPart("text/plain")
		f.part.Parts = append(f.part.Parts, p)
		w.m.parts++
		w.begin(p, false)
		w.h.add(l)
		return
	}
	w.adopt = nil
	if b := bytes.TrimRight(l.head, " \t\r"); !l.cut && len(b) > 2 && len(b) <= w.lim.Boundary+2 && b[0] == '-' && b[1] == '-' {
		w.adopt = bytes.Clone(b[2:])
	}
}

var dashes = []byte("--")

func hasFoldPrefix(b []byte, low string) bool {
	return len(b) >= len(low) && strings.EqualFold(string(b[:len(low)]), low)
}

// openEncoded reads the nested mails that are base64 or quoted-printable. RFC
// 2046 forbids such encodings and mailers use them.
func (w *walker) openEncoded() {
	for _, e := range w.encoded {
		p := e.part
		if !w.room(e.depth) {
			return
		}
		if beginsLikeMail(w.m.bytesOf(p)) {
			w.m.problem("a nested mail claims to be %s and is not", p.Encoding)
			p.Encoding = "8bit"
			inner := &walker{m: w.m, lim: w.lim, depth: e.depth, src: w.src, s: newScanner(w.m.source(p), p.Start, p.End)}
			p.Parts = []*Part{inner.run()}
			w.m.failed(inner.s.err)
		} else if b, ok := w.decode(p); ok {
			p.Parts = []*Part{w.inner(b, e.depth)}
		}
	}
}

// openSigned reads the mails inside opaque S/MIME signatures. Such a part stays
// a file too, so that its signature can be checked elsewhere.
func (w *walker) openSigned() {
	for _, e := range w.sealed {
		p := e.part
		p.keepWhole = true
		if !w.room(e.depth) {
			return
		}
		b, ok := w.decode(p)
		if !ok {
			continue
		}
		kind, content := cmsContent(b)
		p.sealed = kind
		if len(content) > 0 {
			p.Parts = []*Part{w.inner(content, e.depth)}
		}
	}
}

// room reports whether one more part may be opened at this depth.
func (w *walker) room(depth int) bool {
	if w.m.parts < w.lim.Parts && depth < w.lim.Depth {
		return true
	}
	w.m.problem("mails are nested deeper than %d, or there are more than %d parts", w.lim.Depth, w.lim.Parts)
	return false
}

// decode reads a part's content into memory, as far as the mail may use it.
func (w *walker) decode(p *Part) ([]byte, bool) {
	left := w.m.decodeBudget()
	b, err := io.ReadAll(io.LimitReader(w.m.Open(p), left+1))
	w.m.failed(err)
	if err != nil || int64(len(b)) > left {
		w.m.problem("an encoded nested mail is too large to be read")
		return nil, false
	}
	w.m.decoded += int64(len(b))
	return b, true
}

// inner reads a mail that is held in memory.
func (w *walker) inner(b []byte, depth int) *Part {
	src := bytes.NewReader(b)
	i := &walker{m: w.m, lim: w.lim, depth: depth, src: src, s: newScanner(src, 0, int64(len(b)))}
	return i.run()
}

// beginsLikeMail reports whether the first line that is not blank is a header.
func beginsLikeMail(r io.Reader) bool {
	head, _ := io.ReadAll(io.LimitReader(r, 1024))
	first, _, _ := bytes.Cut(bytes.TrimLeft(head, " \t\r\n"), []byte("\n"))
	_, _, ok := splitField(first)
	return ok
}

func isMessage(t string) bool { return t == "message/rfc822" || t == "message/global" }

func encodedBody(enc string) bool {
	return enc == "base64" || enc == "quoted-printable" || enc == "x-uuencode"
}
