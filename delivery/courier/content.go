package courier

import (
	"bufio"
	"bytes"
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
	for len(p) > 0 {
		piece := p // up to the next CR, or the LF that is owed
		switch n := bytes.IndexByte(p, '\r'); {
		case last == '\r':
			if piece = p[:1]; p[0] != '\n' {
				return last, errBare
			}
		case n >= 0:
			piece = p[:n+1]
		}
		if last != '\r' && bytes.IndexByte(piece, '\n') >= 0 {
			return last, errBare
		}
		if last == '\n' && piece[0] == '.' {
			if err := w.WriteByte('.'); err != nil {
				return last, err
			}
		}
		if _, err := w.Write(piece); err != nil {
			return last, err
		}
		last, p = piece[len(piece)-1], p[len(piece):]
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
		if _, err := c.r.Peek(1); err != nil {
			c.err = err
			break
		}
		ready, _ := c.r.Peek(min(c.r.Buffered(), len(p)-n))
		follows := c.skip
		c.skip = false
		taken := bytes.IndexAny(ready, "\r\n")
		switch {
		case taken < 0:
			taken = len(ready)
			n += copy(p[n:], ready)
		case taken > 0:
			n += copy(p[n:], ready[:taken])
		case ready[0] == '\n' && follows:
			taken = 1
		default:
			c.skip, taken = ready[0] == '\r', 1
			p[n], c.cr, n = '\r', true, n+1
		}
		c.r.Discard(taken)
	}
	if n == 0 && len(p) > 0 {
		return 0, c.err
	}
	return n, nil
}
