package dkim

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// ErrMessage says that content cannot be signed so that it would verify after
// transport: it is damaged, not in CRLF form, or not from exactly one author
// field.
var ErrMessage = errors.New("dkim: message cannot be signed")

// maxHeader bounds the header block in memory, in octets.
const maxHeader = 1 << 20

const readSize = 32 << 10

// digest is what both signatures of a mail are computed from.
type digest struct {
	fields []field
	body   [sha256.Size]byte
}

// field is a header field: its name in lower case and its relaxed form with
// CRLF (RFC 6376 §3.4.2).
type field struct {
	name, relaxed string
}

// digestOf reads a mail once, in pieces.
func digestOf(ctx context.Context, r io.Reader) (*digest, error) {
	br := bufio.NewReaderSize(r, readSize)
	d := &digest{}
	if err := d.header(br); err != nil {
		return nil, err
	}
	body := relaxedBody{hash: sha256.New()}
	buf := make([]byte, readSize)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := br.Read(buf)
		if werr := body.write(buf[:n]); werr != nil {
			return nil, werr
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("dkim: read message: %w", err)
		}
	}
	if err := body.end(); err != nil {
		return nil, err
	}
	body.hash.Sum(d.body[:0])
	return d, nil
}

// header reads up to and with the empty line.
func (d *digest) header(br *bufio.Reader) error {
	var current []byte // lines of one field, without CRLF
	size := 0
	flush := func() error {
		if current == nil {
			return nil
		}
		f, err := relaxedField(string(current))
		d.fields = append(d.fields, f)
		current = nil
		return err
	}
	for {
		line, err := readLine(br, maxHeader-size)
		if err != nil {
			return err
		}
		size += len(line) + 2
		switch {
		case len(line) == 0:
			return flush()
		case line[0] == ' ' || line[0] == '\t':
			if current == nil {
				return fmt.Errorf("%w: it begins with a continuation line", ErrMessage)
			}
			current = append(current, line...)
		default:
			if err := flush(); err != nil {
				return err
			}
			current = line
		}
	}
}

// readLine returns one line without its CRLF.
func readLine(br *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		piece, err := br.ReadSlice('\n')
		line = append(line, piece...)
		if len(line) > limit {
			return nil, fmt.Errorf("%w: its header is over %d KiB", ErrMessage, maxHeader>>10)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF {
			return nil, fmt.Errorf("%w: no empty line after its header", ErrMessage)
		}
		if err != nil {
			return nil, fmt.Errorf("dkim: read message: %w", err)
		}
		line, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || bytes.IndexByte(line, '\r') >= 0 {
			return nil, errBare
		}
		return line, nil
	}
}

var errBare = fmt.Errorf("%w: bare CR or LF, which transport would change", ErrMessage)

func relaxedField(s string) (field, error) {
	name, value, ok := strings.Cut(s, ":")
	name = strings.ToLower(strings.TrimRight(name, " \t"))
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return field{}, fmt.Errorf("%w: a header line is no field", ErrMessage)
	}
	return field{name: name, relaxed: name + ":" + relaxedValue(value) + "\r\n"}, nil
}

// relaxedValue makes runs of white space one space and removes those at the
// ends. The value is unfolded.
func relaxedValue(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' }), " ")
}

// relaxedBody hashes a body in relaxed form (RFC 6376 §3.4.4): white space at
// line ends is gone, other runs of it are one space, empty lines at the end are
// gone, a body with any content ends in CRLF. Its state does not grow.
type relaxedBody struct {
	hash    hash.Hash
	out     []byte
	lines   int64 // line ends seen but not yet known to be inside the body
	space   bool  // white space seen, not yet known to be inside the line
	cr      bool  // the last octet was CR
	content bool
}

func (b *relaxedBody) write(p []byte) error {
	b.out = b.out[:0]
	for i := 0; i < len(p); {
		c := p[i]
		switch {
		case b.cr != (c == '\n'):
			return errBare
		case c == '\n':
			b.cr, b.space = false, false
			b.lines++
		case c == '\r':
			b.cr = true
		case c == ' ' || c == '\t':
			b.space = true
		default:
			b.pending()
			end := i + 1
			for end < len(p) && p[end] > ' ' {
				end++
			}
			b.out = append(b.out, p[i:end]...)
			i = end
			continue
		}
		i++
	}
	b.hash.Write(b.out)
	return nil
}

// pending writes what turned out not to be at an end.
func (b *relaxedBody) pending() {
	for ; b.lines > 0; b.lines-- {
		b.out = append(b.out, '\r', '\n')
		if len(b.out) >= 2*readSize { // after endless empty lines
			b.hash.Write(b.out)
			b.out = b.out[:0]
		}
	}
	if b.space {
		b.out = append(b.out, ' ')
		b.space = false
	}
	b.content = true
}

func (b *relaxedBody) end() error {
	if b.cr {
		return errBare
	}
	if b.content {
		b.hash.Write([]byte("\r\n"))
	}
	return nil
}
