package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxForgedHeader is how much of a mail is looked at for forged fields; no door
// takes a larger header section.
const maxForgedHeader = 1 << 20

// Delivered reads a mail as it is handed on: the trace fields of the door that
// took it, then the mail, octet for octet, but without Authentication-Results
// fields that claim to be from hostname (RFC 8601 §5). trace ends with CRLF. The
// mail's own bytes stay as they are; memory does not grow with them. n is how
// many octets the copy has.
func Delivered(trace, hostname string, raw io.ReaderAt, size int64) (r io.Reader, n int64, err error) {
	header, err := headerSection(io.NewSectionReader(raw, 0, min(size, maxForgedHeader)))
	if err != nil {
		return nil, 0, err
	}
	clean, _ := StripForged(header, hostname)
	rest := io.NewSectionReader(raw, int64(len(header)), size-int64(len(header)))
	return io.MultiReader(strings.NewReader(trace), bytes.NewReader(clean), rest), int64(len(trace)+len(clean)) + rest.Size(), nil
}

// headerSection reads up to the empty line that ends the section, or all there
// is.
func headerSection(r io.Reader) ([]byte, error) {
	br := bufio.NewReader(r)
	var header []byte
	for {
		line, err := br.ReadSlice('\n')
		starts := len(header) == 0 || header[len(header)-1] == '\n'
		if starts && len(bytes.TrimRight(line, "\r\n")) == 0 {
			return header, nil
		}
		header = append(header, line...)
		switch {
		case errors.Is(err, io.EOF):
			return header, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
