package message

import (
	"bufio"
	"encoding/binary"
	"io"
)

// compressedRTF is the encoding of a PR_RTF_COMPRESSED value (MS-OXRTFCP).
const compressedRTF = "x-compressed-rtf"

const (
	lzfuMagic = 0x75465A4C // "LZFu"
	melaMagic = 0x414C454D // "MELA": not compressed

	// lzfuStart is what the window holds before the first byte.
	lzfuStart = "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)

// lzfuReader undoes the compression. One byte of input makes at most nine of
// output, and never more than the header announces.
type lzfuReader struct {
	r      *bufio.Reader
	window [4096]byte
	at     int
	left   int64 // of what the header announced
	flags  uint
	items  int    // left of the current flags
	out    []byte // decoded, not yet read
	buf    []byte
	plain  bool
	done   error
	begun  bool
}

func newLZFu(r io.Reader) *lzfuReader { return &lzfuReader{r: bufio.NewReaderSize(r, 4<<10)} }

func (d *lzfuReader) Read(p []byte) (int, error) {
	if !d.begun {
		d.begin()
	}
	for len(d.out) == 0 {
		if d.done != nil {
			return 0, d.done
		}
		d.fill()
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// begin reads the header. Bytes without one are handed out as they are: some
// writers put plain RTF where the compressed belongs.
func (d *lzfuReader) begin() {
	d.begun = true
	head, _ := d.r.Peek(16)
	if len(head) < 16 {
		d.plain, d.left = true, 1<<62
		return
	}
	d.left = int64(binary.LittleEndian.Uint32(head[4:]))
	switch binary.LittleEndian.Uint32(head[8:]) {
	case lzfuMagic:
		d.at = copy(d.window[:], lzfuStart)
	case melaMagic:
		d.plain = true
	default:
		d.plain, d.left = true, 1<<62
		return
	}
	_, _ = d.r.Discard(16)
}

func (d *lzfuReader) fill() {
	if d.buf == nil {
		d.buf = make([]byte, 0, 1<<10)
	}
	d.out = d.buf[:0]
	if d.plain {
		b := d.out[:min(int64(cap(d.out)), d.left)]
		n, err := d.r.Read(b)
		if d.out, d.left = b[:n], d.left-int64(n); d.left <= 0 {
			err = io.EOF
		}
		d.done = err
		return
	}
	for len(d.out) < cap(d.out)-18 && d.left > 0 && d.done == nil {
		d.item()
	}
	if d.left <= 0 {
		d.done = io.EOF
	}
}

// item takes one literal or one reference into the window.
func (d *lzfuReader) item() {
	if d.items == 0 {
		d.flags, d.items = uint(d.next()), 8
	}
	literal := d.flags&1 == 0
	d.flags >>= 1
	d.items--
	c := d.next()
	if d.done != nil {
		return
	}
	if literal {
		d.put(c)
		return
	}
	ref := int(c)<<8 | int(d.next())
	if d.done != nil {
		return
	}
	from, n := ref>>4, ref&15+2
	if from == d.at {
		d.done = io.EOF // a reference to the place being written ends the text
		return
	}
	for ; n > 0 && d.left > 0; n-- {
		d.put(d.window[from])
		from = (from + 1) % len(d.window)
	}
}

func (d *lzfuReader) put(c byte) {
	d.out = append(d.out, c)
	d.window[d.at] = c
	d.at = (d.at + 1) % len(d.window)
	d.left--
}

func (d *lzfuReader) next() byte {
	c, err := d.r.ReadByte()
	if err != nil {
		d.done = err
	}
	return c
}
