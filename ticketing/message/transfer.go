package message

import (
	"bufio"
	"bytes"
	"io"
)

// Open returns the part's content with its transfer encoding undone; damaged
// encodings yield what can be read.
func (m *Mail) Open(p *Part) io.Reader { return decoder(m.bytesOf(p), p) }

func decoder(raw io.Reader, p *Part) io.Reader {
	switch p.Encoding {
	case "base64":
		return &base64Reader{r: raw, in: make([]byte, 8<<10)}
	case "quoted-printable":
		return &qpReader{r: bufio.NewReaderSize(raw, 8<<10)}
	case "x-uuencode":
		return &uuReader{r: bufio.NewReaderSize(raw, 4<<10)}
	case compressedRTF:
		return newLZFu(raw)
	}
	return raw
}

// base64Reader decodes leniently: bytes outside the alphabet are passed over,
// padding ends a group wherever it stands, the last group may be short. After
// padding and a blank the rest of the line is no base64.
type base64Reader struct {
	r    io.Reader
	in   []byte
	out  []byte // decoded, not yet read
	buf  []byte
	acc  uint32
	n    int
	pad  bool // the last byte was padding
	skip bool // until the end of the line
	done error
}

func (d *base64Reader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.done != nil {
			return 0, d.done
		}
		n, err := d.r.Read(d.in)
		d.buf = d.buf[:0]
		in := d.in[:n]
		for i := 0; i < len(in); i++ {
			for d.n == 0 && !d.pad && !d.skip && i+4 <= len(in) { // whole groups, which is nearly all there is
				v := int32(base64Value[in[i]])<<18 | int32(base64Value[in[i+1]])<<12 | int32(base64Value[in[i+2]])<<6 | int32(base64Value[in[i+3]])
				if v < 0 {
					break
				}
				d.buf = append(d.buf, byte(v>>16), byte(v>>8), byte(v))
				i += 4
			}
			if i == len(in) {
				break
			}
			c := in[i]
			if c == '=' && !d.skip {
				d.group()
				d.pad = true
				continue
			}
			d.skip = d.skip && c != '\n' || d.pad && (c == ' ' || c == '\t')
			d.pad = false
			v := base64Value[c]
			if v < 0 || d.skip {
				continue
			}
			d.acc = d.acc<<6 | uint32(v)
			if d.n++; d.n == 4 {
				d.buf = append(d.buf, byte(d.acc>>16), byte(d.acc>>8), byte(d.acc))
				d.acc, d.n = 0, 0
			}
		}
		if err != nil {
			d.group()
			d.done = err
		}
		d.out = d.buf
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// group ends a group of less than four characters.
func (d *base64Reader) group() {
	switch d.n {
	case 2:
		d.buf = append(d.buf, byte(d.acc>>4))
	case 3:
		d.buf = append(d.buf, byte(d.acc>>10), byte(d.acc>>2))
	}
	d.acc, d.n = 0, 0
}

// maxBlanks is how long a run of blanks may be to be recognised as padding at
// the end of a quoted-printable line; longer runs are content.
const maxBlanks = 4096

// qpReader decodes quoted-printable. What is no valid escape stays as it is;
// blanks at line ends go, as RFC 2045 §6.7 (3) asks.
type qpReader struct {
	r      *bufio.Reader
	blanks []byte
	out    []byte // decoded, not yet read
	buf    []byte
	done   error
}

func (d *qpReader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.done != nil {
			return 0, d.done
		}
		d.fill(len(p))
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *qpReader) fill(want int) {
	want = min(max(want, 64), 8<<10)
	if d.buf == nil {
		d.buf = make([]byte, 0, 8<<10+2*maxBlanks)
	}
	buf := d.buf[:0]
	for len(buf) < want {
		if _, err := d.r.Peek(1); err != nil {
			d.done = err
			break
		}
		b, _ := d.r.Peek(min(d.r.Buffered(), want-len(buf)))
		n := 0
		for n < len(b) && b[n] != '=' && b[n] != '\n' && b[n] != '\r' {
			n++
		}
		buf = d.literal(buf, b[:n])
		if n == len(b) {
			_, _ = d.r.Discard(n)
			continue
		}
		c := b[n]
		_, _ = d.r.Discard(n + 1)
		if c != '=' {
			d.blanks = d.blanks[:0] // blanks at the end of a line
			buf = append(buf, c)
			continue
		}
		buf, d.blanks = append(buf, d.blanks...), d.blanks[:0]
		buf = d.escape(buf)
	}
	d.buf, d.out = buf, buf
}

// literal takes characters that stand for themselves. Blanks at their end wait
// until it is known whether the line goes on.
func (d *qpReader) literal(buf, b []byte) []byte {
	text := bytes.TrimRight(b, " \t")
	if len(text) > 0 {
		buf, d.blanks = append(buf, d.blanks...), d.blanks[:0]
		buf = append(buf, text...)
	}
	if d.blanks = append(d.blanks, b[len(text):]...); len(d.blanks) >= maxBlanks {
		buf, d.blanks = append(buf, d.blanks...), d.blanks[:0]
	}
	return buf
}

// escape decodes what follows "=".
func (d *qpReader) escape(buf []byte) []byte {
	next, _ := d.r.Peek(2)
	if len(next) == 2 && unhex(next[0]) >= 0 && unhex(next[1]) >= 0 {
		buf = append(buf, byte(unhex(next[0])<<4|unhex(next[1])))
		_, _ = d.r.Discard(2)
		return buf
	}
	// A soft line break, perhaps with blanks before the line end.
	for n := 1; n <= 256; n++ {
		b, err := d.r.Peek(n)
		if len(b) < n {
			if err != nil && n > 1 || err == io.EOF {
				_, _ = d.r.Discard(len(b)) // "=" at the very end
				return buf
			}
			break
		}
		c := b[n-1]
		if c == ' ' || c == '\t' {
			continue
		}
		if c == '\n' {
			_, _ = d.r.Discard(n)
			return buf
		}
		if c == '\r' {
			_, _ = d.r.Discard(n)
			if b, _ := d.r.Peek(1); len(b) == 1 && b[0] == '\n' {
				_, _ = d.r.Discard(1)
			}
			return buf
		}
		break
	}
	return append(buf, '=')
}

// uuReader decodes uuencoded lines. A line that cannot be one is passed over,
// "begin" and "end" lines too.
type uuReader struct {
	r    *bufio.Reader
	out  []byte
	done error
}

func (d *uuReader) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.done != nil {
			return 0, d.done
		}
		l, err := d.r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			l = nil // far too long to be a line of data
		} else if err != nil {
			d.done = err
		}
		l = bytes.TrimRight(l, "\r\n")
		if string(l) == "end" {
			d.done = io.EOF
			continue
		}
		if uuLine(l) {
			d.out = decodeUU(l)
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// uuLine reports whether a line can be uuencoded data: its length character
// fits its length (a checksum character and lost trailing blanks are allowed).
func uuLine(l []byte) bool {
	if len(l) == 0 || l[0] < ' ' || l[0] > '`' {
		return false
	}
	n := int(l[0]-' ') & 0x3f
	want := (n + 2) / 3 * 4
	if n == 0 || len(l)-1 > want+2 || len(l)-1 < want-4 {
		return false
	}
	for _, c := range l {
		if c < ' ' || c > '`' {
			return false
		}
	}
	return true
}

func decodeUU(l []byte) []byte {
	n := int(l[0]-' ') & 0x3f
	at := func(i int) byte {
		if i < len(l) {
			return (l[i] - ' ') & 0x3f
		}
		return 0
	}
	out := make([]byte, 0, n+3)
	for i := 1; len(out) < n; i += 4 {
		a, b, c, d := at(i), at(i+1), at(i+2), at(i+3)
		out = append(out, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	return out[:n]
}

// uuBlock is a uuencoded file inside a text: the file as a part, and where the
// block with its "begin" and "end" lines lies.
type uuBlock struct {
	part       *Part
	start, end int64
}

// uuFinder watches a text part's lines for uuencoded files.
type uuFinder struct {
	text  *Part // nil: not watching
	name  string
	state int // 0 looking, 1 after "begin", 2 in data
	begin int64
	data  int64
}

// watch begins with a part's body.
func (u *uuFinder) watch(p *Part) {
	*u = uuFinder{}
	if p.Type == "text/plain" && !encodedBody(p.Encoding) {
		u.text = p
	}
}

func (u *uuFinder) line(w *walker, l line) {
	if u.text == nil {
		return
	}
	switch u.state {
	case 0:
		if name, ok := uuBegin(l.head); ok && !l.cut {
			u.state, u.name, u.begin, u.data = 1, name, l.start, l.next
		}
	case 1:
		if u.state = 0; uuLine(l.head) && !l.cut {
			u.state = 2
		}
	case 2:
		if string(bytes.TrimRight(l.head, " ")) == "end" {
			u.found(w, l.start, l.next)
		}
	}
}

// stop ends the watch at the end of the part's body; a file that was cut off
// counts as far as it goes.
func (u *uuFinder) stop(w *walker, end int64) {
	if u.text != nil && u.state == 2 {
		u.found(w, end, end)
		w.m.problem("a uuencoded file has no end")
	}
	u.text = nil
}

func (u *uuFinder) found(w *walker, end, next int64) {
	u.state = 0
	if w.m.parts >= w.lim.Parts {
		return
	}
	w.m.parts++
	p := &Part{Type: "application/octet-stream", Disposition: "attachment", Filename: safeFilename(DecodeWords(u.name)),
		Encoding: "x-uuencode", Start: u.data, End: end, src: w.src}
	u.text.uu = append(u.text.uu, uuBlock{p, u.begin, next})
}

// uuBegin reads "begin 644 name".
func uuBegin(l []byte) (name string, ok bool) {
	rest, ok := bytes.CutPrefix(l, []byte("begin "))
	if !ok {
		return "", false
	}
	mode, n, ok := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	if !ok || len(mode) < 3 || len(mode) > 4 || len(bytes.TrimSpace(n)) == 0 {
		return "", false
	}
	for _, c := range mode {
		if c < '0' || c > '7' {
			return "", false
		}
	}
	return string(bytes.TrimSpace(n)), true
}
