package message

import (
	"bytes"
	"io"
)

// windowSize is how much of a mail the scanner holds at once.
const windowSize = 32 << 10

// line is one line of a mail: its content lies in [start, end) and the next
// line begins at next.
type line struct {
	start, end, next int64
	head             []byte // the content's first bytes without trailing CRs; valid until the next call
	cut              bool   // head is shorter than the content
}

// scanner yields the lines of a range of bytes. It reads every byte once and
// holds one window whatever the length of a line.
//
// A line ends with LF or CRLF. A lone CR is an ordinary byte, except in a mail
// whose beginning has CRs and no LF at all (old Macintosh files).
type scanner struct {
	r       io.ReaderAt
	off     int64 // where the window's end lies in r
	end     int64
	buf     []byte
	rest    []byte // unread part of the window
	long    []byte // head of a line that did not fit the window
	sep     byte
	err     error
	started bool
}

func newScanner(r io.ReaderAt, start, end int64) *scanner {
	n := int64(windowSize)
	if size := end - start; size < n {
		n = max(size, 1)
	}
	return &scanner{r: r, off: start, end: end, buf: make([]byte, n), sep: '\n'}
}

// fill replaces the exhausted window with the next one. It reports false at the
// end of the range and at the first read error.
func (s *scanner) fill() bool {
	if s.err != nil || s.off >= s.end {
		return false
	}
	n := int64(len(s.buf))
	if left := s.end - s.off; left < n {
		n = left
	}
	got, err := s.r.ReadAt(s.buf[:n], s.off)
	if int64(got) < n && err == nil {
		err = io.ErrUnexpectedEOF
	}
	if int64(got) < n && err == io.EOF {
		// The range promised more than there is: what is there is the mail.
		s.end, err = s.off+int64(got), nil
	}
	if int64(got) < n && err != nil {
		s.err = err
		return false
	}
	s.rest = s.buf[:got]
	s.off += int64(got)
	if !s.started {
		s.started = true
		if bytes.IndexByte(s.rest, '\n') < 0 && bytes.IndexByte(s.rest, '\r') >= 0 {
			s.sep = '\r'
		}
	}
	return got > 0
}

// next returns the next line with at most keep bytes of its content.
func (s *scanner) next(keep int) (line, bool) {
	if len(s.rest) == 0 && !s.fill() {
		return line{}, false
	}
	l := line{start: s.off - int64(len(s.rest))}
	i := bytes.IndexByte(s.rest, s.sep)
	if i >= 0 {
		l.head, s.rest = s.rest[:i], s.rest[i+1:]
		l.next = l.start + int64(i) + 1
		l.end = l.next - 1
		if i > 0 && l.head[i-1] == '\r' {
			l.end--
		}
	} else {
		s.spanning(&l, keep)
	}
	if len(l.head) > keep {
		l.head, l.cut = l.head[:keep], true
	}
	if !l.cut {
		l.head = bytes.TrimRight(l.head, "\r")
	}
	return l, true
}

// spanning reads a line that goes past the window.
func (s *scanner) spanning(l *line, keep int) {
	s.long = s.long[:0]
	last := byte(0)
	for {
		piece := s.rest
		i := bytes.IndexByte(piece, s.sep)
		if i >= 0 {
			piece = piece[:i]
		}
		if room := keep - len(s.long); room >= len(piece) {
			s.long = append(s.long, piece...)
		} else {
			s.long, l.cut = append(s.long, piece[:max(room, 0)]...), true
		}
		if len(piece) > 0 {
			last = piece[len(piece)-1]
		}
		if i >= 0 {
			s.rest = s.rest[i+1:]
			l.next = s.off - int64(len(s.rest))
			l.end = l.next - 1
			if last == '\r' {
				l.end--
			}
			break
		}
		s.rest = nil
		if !s.fill() {
			l.next = s.off
			l.end = l.next
			break
		}
	}
	l.head = s.long
}
