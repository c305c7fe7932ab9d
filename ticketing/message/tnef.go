package message

import (
	"bufio"
	"encoding/binary"
	"io"
	"strconv"
	"strings"
)

// TNEF, the format Outlook puts into winmail.dat (MS-OXTNEF): a list of
// attributes, of which some hold lists of MAPI properties. What it carries
// becomes parts whose ranges lie in the container's decoded bytes, so nothing
// is copied; memory is what names and small values need.

// openTNEF gives a container what it carries as Parts, bodies first. A part
// that is no TNEF whatever its name says stays an ordinary file.
func (m *Mail) openTNEF(p *Part) {
	r := &tnefReader{r: bufio.NewReaderSize(m.Open(p), 32<<10), end: 1 << 62}
	if r.u32() != tnefSignature || r.err != nil {
		return
	}
	t := &tnef{m: m, r: r, container: p, self: p}
	t.read()
	if r.err != nil && r.err != io.EOF && r.err != io.ErrUnexpectedEOF {
		m.failed(r.err)
	}
	if t.broken || len(p.Parts) == 0 {
		m.problem("a TNEF container is damaged or empty; it is kept as a file")
		p.keepWhole = true
	}
}

// isTNEF goes by the type, or by the name that Outlook gives.
func isTNEF(p *Part) bool {
	if p.Type == "application/ms-tnef" || p.Type == "application/vnd.ms-tnef" {
		return true
	}
	return strings.HasPrefix(p.Type, "application/") && (strings.EqualFold(p.Filename, "winmail.dat") || strings.EqualFold(p.Filename, "win.dat"))
}

const (
	tnefSignature = 0x223E9F78

	attBody         = 0x800C
	attAttachData   = 0x800F
	attAttachTitle  = 0x8010
	attAttachRender = 0x9002
	attMAPIProps    = 0x9003
	attAttachment   = 0x9005
	attOEMCodePage  = 0x9007

	tnefName    = 4 << 10 // bytes of a name or another short value
	maxTNEFDeep = 4       // mails in mails in one container
	maxTNEFAtts = 100_000 // attributes and properties read
)

// tnef reads one mail of a container.
type tnef struct {
	m         *Mail
	r         *tnefReader
	container *Part // whose decoded bytes the ranges lie in
	self      *Part // which gets the parts
	deep      int
	count     *int
	oem, cpid int // code pages of 8-bit strings, and of the HTML body
	file      *Part
	subject   string
	bodies    []*Part
	files     []*Part
	broken    bool
}

// read reads attributes to the end of the range, after the signature.
func (t *tnef) read() {
	if t.count == nil {
		t.count = new(int)
	}
	t.r.u16() // the key
	for t.r.err == nil && t.r.left() >= 11 {
		if *t.count++; *t.count > maxTNEFAtts {
			t.broken = true
			break
		}
		level := t.r.u8()
		id := uint16(t.r.u32())
		n := int64(t.r.u32())
		if t.r.err != nil {
			t.broken = t.broken || level != 0 // the end, unless it stands inside the attribute's head
			break
		}
		if level != 1 && level != 2 {
			t.broken = true
			break
		}
		if n > t.r.left() {
			t.broken, n = true, t.r.left()
		}
		start := t.r.off
		outer := t.r.end
		t.r.end = start + n
		t.attribute(level, id, start, n)
		t.r.skip(start + n - t.r.off)
		if t.r.off < start+n {
			t.broken = true
			t.cut()
		}
		t.broken, t.r.over = t.broken || t.r.over, false
		t.r.end = outer
		t.r.u16() // the checksum: some writers get it wrong
		t.broken = t.broken || t.r.err != nil
	}
	t.broken = t.broken || t.r.err == io.ErrUnexpectedEOF
	t.finish()
}

// cut ends every range at what there is.
func (t *tnef) cut() {
	for _, list := range [][]*Part{t.bodies, t.files} {
		for _, p := range list {
			p.End = max(min(p.End, t.r.off), p.Start)
		}
	}
}

func (t *tnef) attribute(level byte, id uint16, start, n int64) {
	switch {
	case level == 1 && id == attBody:
		t.body("text/plain", strconv.Itoa(t.oem), "8bit", start, n)
	case level == 1 && id == attOEMCodePage:
		t.oem = int(t.r.u32())
	case level == 1 && id == attMAPIProps:
		t.properties(t.messageProperty)
	case id == attAttachRender:
		t.attach()
	case id == attAttachTitle:
		if f := t.current(); f.Filename == "" {
			f.Filename = safeFilename(t.text8(t.r.bytes(min(n, tnefName))))
		}
	case id == attAttachData:
		f := t.current()
		f.Start, f.End = start, start+n
	case id == attAttachment:
		t.current()
		t.properties(t.fileProperty)
	}
}

// attach begins a file.
func (t *tnef) attach() {
	t.file = &Part{Type: "application/octet-stream", Disposition: "attachment", Encoding: "binary", in: t.container}
	if len(t.files) < t.m.lim.Parts {
		t.files = append(t.files, t.file)
	} else {
		t.broken = true
	}
}

// current returns the file being read, which a damaged container may not have
// begun.
func (t *tnef) current() *Part {
	if t.file == nil {
		t.attach()
	}
	return t.file
}

func (t *tnef) body(kind, codePage, encoding string, start, n int64) {
	p := &Part{Type: kind, Encoding: encoding, Start: start, End: start + n, in: t.container, tnefBody: true}
	if cs := codePageName(codePage); cs != "" {
		p.Params = map[string]string{"charset": cs}
	}
	for _, have := range t.bodies {
		if have.Type == kind {
			if have.End-have.Start >= n {
				return
			}
			*have = *p
			return
		}
	}
	t.bodies = append(t.bodies, p)
}

// MAPI properties that matter here.
const (
	propSubject      = 0x0037
	propBody         = 0x1000
	propRTF          = 0x1009
	propHTML         = 0x1013
	propInternetCPID = 0x3FDE
	propDisplayName  = 0x3001
	propData         = 0x3701
	propShortName    = 0x3704
	propLongName     = 0x3707
	propMIMEType     = 0x370E
	propContentID    = 0x3712
)

func (t *tnef) messageProperty(id, kind uint16, start, n int64) {
	switch id {
	case propSubject:
		t.subject = t.text(kind, t.r.bytes(min(n, tnefName)))
	case propInternetCPID:
		if kind == typeLong {
			t.cpid = int(t.r.u32())
		}
	case propBody:
		t.body("text/plain", t.codePageOf(kind, t.oem), "8bit", start, n)
	case propHTML:
		t.body("text/html", t.codePageOf(kind, t.cpid), "8bit", start, n)
	case propRTF:
		if kind == typeBinary {
			t.body("text/rtf", "", compressedRTF, start, n)
		}
	}
}

func (t *tnef) codePageOf(kind uint16, eightBit int) string {
	if kind == typeUnicode {
		return "1200"
	}
	return strconv.Itoa(eightBit)
}

func (t *tnef) fileProperty(id, kind uint16, start, n int64) {
	f := t.current()
	switch id {
	case propLongName:
		if s := safeFilename(t.text(kind, t.r.bytes(min(n, tnefName)))); s != "" {
			f.Filename = s
		}
	case propShortName, propDisplayName:
		if s := safeFilename(t.text(kind, t.r.bytes(min(n, tnefName)))); f.Filename == "" {
			f.Filename = s
		}
	case propMIMEType:
		f.Type = mediaType(strings.ToLower(t.text(kind, t.r.bytes(min(n, tnefName)))), f.Type)
		if strings.HasPrefix(f.Type, "multipart/") {
			f.Type = "application/octet-stream"
		}
	case propContentID:
		f.ContentID = strings.Trim(t.text(kind, t.r.bytes(min(n, tnefName))), " <>")
	case propData:
		f.Start, f.End = start, start+n
		if kind == typeObject && n > 20 {
			t.object(f, start, n)
		}
	}
}

// iidMessage marks an object that is a mail; a container of its own follows.
const iidMessage = "\x07\x03\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46"

// object reads an embedded mail. Other objects (OLE) stay files.
func (t *tnef) object(f *Part, start, n int64) {
	if string(t.r.bytes(16)) != iidMessage {
		f.Start = start + 16
		return
	}
	f.Start = start + 16
	if t.deep >= maxTNEFDeep || t.r.u32() != tnefSignature {
		t.m.problem("a mail in a TNEF container is not read")
		return
	}
	f.Type = "application/ms-tnef"
	inner := &tnef{m: t.m, r: t.r, container: t.container, self: f, deep: t.deep + 1, count: t.count, oem: t.oem}
	inner.read()
	f.keepWhole = inner.broken || len(f.Parts) == 0
	t.broken = t.broken || inner.broken
}

// finish hands the parts over, as many as the mail may have.
func (t *tnef) finish() {
	for _, p := range t.bodies {
		if p.Type == "text/html" && len(p.Params) == 0 && t.cpid != 0 {
			// The code page may stand behind the body.
			if cs := codePageName(strconv.Itoa(t.cpid)); cs != "" {
				p.Params = map[string]string{"charset": cs}
			}
		}
		if t.deep > 0 {
			p.Filename, p.tnefBody = t.bodyName(p), false
		}
	}
	for _, p := range append(t.bodies, t.files...) {
		if p.End <= p.Start && p.Filename == "" {
			continue // an announcement without content
		}
		if t.m.parts >= t.m.lim.Parts {
			t.m.problem("more than %d parts; the last one holds the rest", t.m.lim.Parts)
			t.broken = true
			return
		}
		t.m.parts++
		p.src = t.container.src
		t.self.Parts = append(t.self.Parts, p)
	}
}

// bodyName names the text of an embedded mail, which is shown as a file.
func (t *tnef) bodyName(p *Part) string {
	name := cutRunes(t.subject, 100)
	if name == "" {
		name = "mail"
	}
	return safeFilename(strings.ReplaceAll(name, "/", "-") + map[string]string{"text/plain": ".txt", "text/html": ".html", "text/rtf": ".rtf"}[p.Type])
}

// text reads a string value.
func (t *tnef) text(kind uint16, b []byte) string {
	switch kind {
	case typeUnicode:
		return cleanLine(toUTF8(b[:len(b)&^1], "utf-16le"))
	case typeString8, typeBinary:
		return t.text8(b)
	}
	return ""
}

func (t *tnef) text8(b []byte) string {
	return cleanLine(toUTF8(b, codePageName(strconv.Itoa(t.oem))))
}

// codePageName turns a Windows code page number into a charset.
func codePageName(n string) string {
	switch n {
	case "", "0":
		return ""
	case "1200":
		return "utf-16le"
	case "1201":
		return "utf-16be"
	case "20127":
		return "us-ascii"
	case "20866":
		return "koi8-r"
	case "21866":
		return "koi8-u"
	case "20932", "51932":
		return "euc-jp"
	case "51949":
		return "euc-kr"
	case "52936":
		return "hz-gb-2312"
	case "54936":
		return "gb18030"
	case "65000":
		return "utf-7"
	case "65001":
		return "utf-8"
	case "10000":
		return "macintosh"
	}
	if rest, ok := strings.CutPrefix(n, "2859"); ok && len(rest) == 1 {
		return "iso-8859-" + rest
	}
	if n == "28603" || n == "28605" {
		return "iso-8859-1" + n[4:]
	}
	return "cp" + n
}

// tnefReader reads little-endian values and knows where it is. An error of the
// bytes below stays; a value that goes past its attribute is zero.
type tnefReader struct {
	r   *bufio.Reader
	off int64
	end int64 // of the attribute or container being read
	err error
	buf [8]byte

	over bool // something wanted more than its attribute has
}

func (r *tnefReader) left() int64 { return max(r.end-r.off, 0) }

func (r *tnefReader) full(b []byte) bool {
	if r.err != nil {
		return false
	}
	if int64(len(b)) > r.left() {
		r.skip(r.left())
		r.over = true
		return false
	}
	n, err := io.ReadFull(r.r, b)
	r.off += int64(n)
	r.err = err
	return err == nil
}

func (r *tnefReader) u8() byte {
	if !r.full(r.buf[:1]) {
		return 0
	}
	return r.buf[0]
}

func (r *tnefReader) u16() uint16 {
	if !r.full(r.buf[:2]) {
		return 0
	}
	return binary.LittleEndian.Uint16(r.buf[:])
}

func (r *tnefReader) u32() uint32 {
	if !r.full(r.buf[:4]) {
		return 0
	}
	return binary.LittleEndian.Uint32(r.buf[:])
}

// bytes reads n bytes, which the caller has bounded.
func (r *tnefReader) bytes(n int64) []byte {
	b := make([]byte, min(n, r.left()))
	if !r.full(b) {
		return nil
	}
	return b
}

func (r *tnefReader) skip(n int64) {
	for n > 0 && r.err == nil {
		k, err := r.r.Discard(int(min(n, 1<<20)))
		r.off += int64(k)
		n -= int64(k)
		if r.err = err; err == io.EOF {
			r.err = io.ErrUnexpectedEOF
		}
	}
}
