package courier

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// errBare says that content has a CR or LF that is not part of a line end.
// Receivers disagree on what such a byte means, which is how mail is smuggled
// (CVE-2023-51764 and its siblings), so it never leaves.
var errBare = errors.New("content has a bare CR or LF")

// errContent wraps a failure of the content's own reader.
var errContent = errors.New("the content cannot be read")

// writeContent copies r to w with dots stuffed (RFC 5321 §4.5.2) and ends it
// with CRLF if it does not; the final dot is the caller's. It fails with
// errBare or errContent, or with w's error.
func writeContent(w *bufio.Writer, r io.Reader) error {
	buf := make([]byte, 16<<10)
	last := byte('\n') // a dot at the very start is stuffed too
	for {
		n, rerr := r.Read(buf)
		var err error
		if last, err = stuff(w, buf[:n], last); err != nil {
			return err
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return fmt.Errorf("%w: %w", errContent, rerr)
		}
	}
	switch last {
	case '\n':
		return nil
	case '\r':
		return errBare
	}
	_, err := w.WriteString("\r\n")
	return err
}

// stuff writes p, given the byte before it, and returns the last byte.
func stuff(w *bufio.Writer, p []byte, last byte) (byte, error) {
	for _, c := range p {
		if (c == '\n') != (last == '\r') {
			return last, errBare
		}
		if c == '.' && last == '\n' {
			if err := w.WriteByte('.'); err != nil {
				return last, err
			}
		}
		if err := w.WriteByte(c); err != nil {
			return last, err
		}
		last = c
	}
	return last, nil
}

// CRLF returns r with every line end made CRLF: bare CR and bare LF become
// one. Content that is right already passes unchanged. Whoever signs a mail
// signs what comes out of this, because Carry refuses anything else.
func CRLF(r io.Reader) io.Reader { return &crlfReader{r: bufio.NewReaderSize(r, 16<<10)} }

type crlfReader struct {
	r    *bufio.Reader
	cr   bool // the last byte given out was CR, its LF is owed
	skip bool // a CRLF has been given out for a CR; an LF that follows belonged to it
	err  error
}

func (c *crlfReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if c.cr {
			p[n], c.cr, n = '\n', false, n+1
			continue
		}
		if c.err != nil || n > 0 && c.r.Buffered() == 0 {
			break
		}
		b, err := c.r.ReadByte()
		if err != nil {
			c.err = err
			break
		}
		follows := c.skip
		c.skip = b == '\r'
		switch {
		case b == '\n' && follows:
		case b == '\n', b == '\r':
			p[n], c.cr, n = '\r', true, n+1
		default:
			p[n], n = b, n+1
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, c.err
	}
	return n, nil
}
