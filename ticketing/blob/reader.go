package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"ticketgate/ticketing/store"
)

// Open returns a reader over linked content. It reads chunk by chunk through
// its own views, with ctx. store.ErrNotFound if there is none.
func (s *Store) Open(ctx context.Context, sha256 string) (*Reader, error) {
	var b *row
	err := s.db.View(ctx, func(r store.Reader) (err error) {
		b, err = s.row(r, sha256)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Reader{content: newContent(ctx, s, *b)}, nil
}

// ReadAll returns linked content whole, refusing more than max bytes with
// store.ErrTooLarge before it reads any. It verifies the hash: content that
// does not match its name is store.ErrCorrupt.
func (s *Store) ReadAll(ctx context.Context, sha256 string, max int64) ([]byte, error) {
	var out []byte
	err := s.db.View(ctx, func(r store.Reader) error {
		b, err := s.row(r, sha256)
		if err != nil {
			return err
		}
		if b.Size > max {
			return fmt.Errorf("blob %s: %d bytes where %d are allowed: %w", sha256, b.Size, max, store.ErrTooLarge)
		}
		out = make([]byte, 0, b.Size)
		for n := range b.chunks() {
			data, err := b.chunk(r, n)
			if err != nil {
				return err
			}
			out = append(out, data...)
		}
		return verify(sha256, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func verify(name string, content []byte) error {
	sum := sha256.Sum256(content)
	if hex.EncodeToString(sum[:]) != name {
		return fmt.Errorf("blob %s: %w: the content has another hash", name, store.ErrCorrupt)
	}
	return nil
}

func (s *Store) row(r store.Reader, sum string) (*row, error) {
	b, err := s.blobs.Get(r, rowKey(sum))
	if err != nil {
		return nil, fmt.Errorf("blob %.64q: %w", sum, err)
	}
	if b.Size < 0 || b.Chunk <= 0 || b.Chunk > store.MaxValue || b.chunks() > math.MaxUint32 || (b.Size > 0) != (len(b.ID) > 0) {
		return nil, fmt.Errorf("blob %s: %w: its row contradicts itself", sum, store.ErrCorrupt)
	}
	return b, nil
}

// chunks returns the number of chunks.
func (b *row) chunks() int64 { return (b.Size + int64(b.Chunk) - 1) / int64(b.Chunk) }

// chunk reads chunk n, which must have just the size that follows from the
// row. A missing chunk is store.ErrNotFound and corrupt at once.
func (b *row) chunk(r store.Reader, n int64) ([]byte, error) {
	data, err := r.Chunk(b.ID, uint32(n))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("blob %s: chunk %d: %w: %w", b.SHA256, n, store.ErrCorrupt, err)
	}
	if err != nil {
		return nil, fmt.Errorf("blob %s: chunk %d: %w", b.SHA256, n, err)
	}
	want := min(int64(b.Chunk), b.Size-n*int64(b.Chunk))
	if int64(len(data)) != want {
		return nil, fmt.Errorf("blob %s: chunk %d: %w: %d bytes instead of %d", b.SHA256, n, store.ErrCorrupt, len(data), want)
	}
	return data, nil
}

// content reads ranges of chunked bytes and remembers the last chunk, because
// a parser asks for small pieces in a row.
type content struct {
	ctx  context.Context
	s    *Store
	size int64
	step int64 // bytes of a chunk

	mu   sync.Mutex
	row  row
	n    int64  // number of the remembered chunk
	data []byte // never written to; nil if none is remembered
}

func newContent(ctx context.Context, s *Store, b row) *content {
	return &content{ctx: ctx, s: s, size: b.Size, step: int64(b.Chunk), row: b}
}

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("blob: negative offset")
	}
	read := 0
	for read < len(p) {
		if off >= c.size {
			return read, io.EOF
		}
		data, err := c.chunk(off / c.step)
		if err != nil {
			return read, err
		}
		n := copy(p[read:], data[off%c.step:])
		read += n
		off += int64(n)
	}
	return read, nil
}

func (c *content) chunk(n int64) ([]byte, error) {
	c.mu.Lock()
	if c.data != nil && c.n == n {
		defer c.mu.Unlock()
		return c.data, nil
	}
	b := c.row
	c.mu.Unlock()

	var data []byte
	err := c.s.db.View(c.ctx, func(r store.Reader) (err error) {
		data, err = b.chunk(r, n)
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		// An upload of bytes that were stored before gives up its chunks
		// when it is linked; the bytes are under the same name.
		stored, rowErr := c.s.row(r, b.SHA256)
		if rowErr != nil || string(stored.ID) == string(b.ID) || stored.Chunk != b.Chunk {
			return err
		}
		b = *stored
		data, err = b.chunk(r, n)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.row, c.n, c.data = b, n, data
	return data, nil
}

// Reader is an io.Reader, io.ReaderAt and io.Seeker over one blob, with one
// chunk in memory. ReadAt may be called from any goroutine.
type Reader struct {
	content *content
	off     int64
}

// Read reads on from the current offset.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.content.ReadAt(p, r.off)
	r.off += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// ReadAt reads at an offset, without moving the current one.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) { return r.content.ReadAt(p, off) }

// Seek sets the current offset; beyond the end Read returns io.EOF.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.off
	case io.SeekEnd:
		offset += r.Size()
	default:
		return 0, fmt.Errorf("blob: seek: no such whence %d", whence)
	}
	if offset < 0 {
		return 0, errors.New("blob: seek before the start")
	}
	r.off = offset
	return offset, nil
}

// Size returns the size of the content in bytes.
func (r *Reader) Size() int64 { return r.content.size }

// Has reports whether content with this hash is stored.
func (s *Store) Has(r store.Reader, sha256 string) (bool, error) {
	_, err := s.row(r, sha256)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
