package message

import "io"

// cursor is a place in the decoded bytes of a container.
type cursor struct {
	container *Part
	r         io.Reader
	off       int64
}

// inside opens a part that lies in a container. Whoever reads the files of a
// container one after the other decodes it once: the reader of one file leaves
// its place for that of the next.
func (m *Mail) inside(p *Part) io.Reader {
	c := m.spare.Swap(nil)
	if c == nil || c.container != p.in || c.off > p.Start {
		c = &cursor{container: p.in, r: m.Open(p.in)}
	}
	return &insideReader{m: m, c: c, skip: p.Start - c.off, left: p.End - p.Start}
}

// insideReader reads a range of the decoded bytes of a container.
type insideReader struct {
	m          *Mail
	c          *cursor // nil once it is left for others
	skip, left int64
}

func (i *insideReader) Read(p []byte) (int, error) {
	if i.c != nil && i.skip > 0 {
		n, err := io.CopyN(io.Discard, i.c.r, i.skip)
		i.c.off += n
		if i.skip -= n; err != nil {
			return 0, err
		}
	}
	if i.left <= 0 {
		if i.c != nil {
			i.m.spare.Store(i.c)
			i.c = nil
		}
		return 0, io.EOF
	}
	n, err := i.c.r.Read(p[:min(int64(len(p)), i.left)])
	i.left -= int64(n)
	i.c.off += int64(n)
	return n, err
}
