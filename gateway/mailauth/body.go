package mailauth

import (
	"crypto/sha256"
	"hash"
)

// bodyHash hashes a body in simple or relaxed form (RFC 6376 §3.4.3, §3.4.4).
// LF alone counts as CRLF. Its state does not grow, whatever the body.
type bodyHash struct {
	relaxed bool
	octets  int64 // of the canonical form so far
	sum     [sha256.Size]byte

	hash  hash.Hash
	out   []byte
	lines int64 // line ends seen, not yet known to be inside the body
	space bool  // relaxed: white space seen, not yet known to be inside the line
	cr    bool  // a CR seen, not yet known to be part of a line end
	begun bool  // there was content
}

const flushAt = 32 << 10

func newBodyHash(relaxed bool) *bodyHash {
	return &bodyHash{relaxed: relaxed, hash: sha256.New(), out: make([]byte, 0, flushAt+512)}
}

func (b *bodyHash) write(p []byte) {
	for i := 0; i < len(p); {
		c := p[i]
		if b.cr && c != '\n' {
			b.cr = false
			b.content([]byte{'\r'})
		}
		switch {
		case c == '\n':
			b.cr, b.space = false, false
			b.lines++
		case c == '\r':
			b.cr = true
		case b.relaxed && (c == ' ' || c == '\t'):
			b.space = true
		default:
			end := i + 1
			for end < len(p) && p[end] != '\r' && p[end] != '\n' && !(b.relaxed && (p[end] == ' ' || p[end] == '\t')) {
				end++
			}
			b.content(p[i:end])
			i = end
			continue
		}
		i++
	}
}

// content writes what turned out not to be at an end, then p.
func (b *bodyHash) content(p []byte) {
	b.begun = true
	for ; b.lines > 0; b.lines-- {
		b.emit('\r', '\n')
	}
	if b.space {
		b.space = false
		b.emit(' ')
	}
	for len(p) > 0 {
		n := min(len(p), flushAt)
		b.emit(p[:n]...)
		p = p[n:]
	}
}

func (b *bodyHash) emit(p ...byte) {
	b.out = append(b.out, p...)
	if len(b.out) >= flushAt {
		b.flush()
	}
}

func (b *bodyHash) flush() {
	b.hash.Write(b.out)
	b.octets += int64(len(b.out))
	b.out = b.out[:0]
}

// end closes the body: exactly one line end, or nothing for an empty body in
// relaxed form.
func (b *bodyHash) end() {
	if b.cr {
		b.content([]byte{'\r'})
	}
	if b.begun || !b.relaxed {
		b.emit('\r', '\n')
	}
	b.flush()
	b.hash.Sum(b.sum[:0])
}
