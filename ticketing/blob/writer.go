package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync/atomic"

	"ticketgate/ticketing/store"
)

// Create starts a blob. It touches nothing until a second chunk is needed.
// ctx serves all writes of the Writer and all reads of what it seals.
func (s *Store) Create(ctx context.Context) *Writer {
	return &Writer{s: s, ctx: ctx, hash: sha256.New()}
}

// Writer streams a blob in. After Seal the content can be linked in a
// transaction; a Writer that is abandoned leaves orphan chunks that Sweep
// removes (Discard removes them at once when it can). It serves one goroutine.
type Writer struct {
	s    *Store
	ctx  context.Context
	hash hash.Hash
	size int64

	buf    []byte    // bytes not yet in a chunk, at most one chunk
	id     store.Key // of the chunks written; nil if there are none
	chunks uint32
	err    error // of the first failed write
	sealed *Sealed
	closed bool
}

var errClosed = errors.New("blob: writer is closed")

// firstBuffer fits most mails whole.
const firstBuffer = 8 << 10

// Write adds p to the content. After an error every further Write and Seal
// fails with it.
func (w *Writer) Write(p []byte) (int, error) {
	if w.closed {
		return 0, errClosed
	}
	written := 0
	for len(p) > 0 {
		if len(w.buf) == chunkSize {
			w.flush()
		}
		if w.err != nil {
			return written, w.err
		}
		n := min(len(p), chunkSize-len(w.buf))
		w.grow(len(w.buf) + n)
		w.buf = append(w.buf, p[:n]...)
		w.hash.Write(p[:n])
		w.size += int64(n)
		written += n
		p = p[n:]
	}
	return written, w.err
}

// grow doubles the buffer until it holds need bytes, so that ten thousand
// small mails do not hold ten thousand chunks.
func (w *Writer) grow(need int) {
	if need <= cap(w.buf) {
		return
	}
	size := max(cap(w.buf), firstBuffer/2)
	for size < need {
		size *= 2
	}
	w.buf = append(make([]byte, 0, min(size, chunkSize)), w.buf...)
}

// flush writes the buffer as the next chunk.
func (w *Writer) flush() {
	if w.err != nil {
		return
	}
	w.err = w.putChunk()
	w.buf = w.buf[:0]
}

func (w *Writer) putChunk() error {
	if w.id == nil {
		now, err := w.s.now(w.ctx)
		if err != nil {
			return fmt.Errorf("blob: begin upload: %w", err)
		}
		if w.id, err = w.s.newID(now); err != nil {
			return err
		}
	}
	if err := w.s.db.PutChunk(w.ctx, w.id, w.chunks, w.buf); err != nil {
		return fmt.Errorf("blob: write chunk: %w", err)
	}
	w.chunks++
	return nil
}

// Seal ends the content and returns it, ready to be read and linked. Sealing
// again returns the same.
func (w *Writer) Seal() (*Sealed, error) {
	if w.sealed != nil {
		return w.sealed, nil
	}
	if w.closed {
		return nil, errClosed
	}
	if w.id != nil && len(w.buf) > 0 {
		w.flush()
	}
	if w.err != nil {
		return nil, w.err
	}
	w.closed = true
	ref := Ref{SHA256: hex.EncodeToString(w.hash.Sum(nil)), Size: w.size}
	w.sealed = &Sealed{s: w.s, ref: ref, id: w.id}
	if w.id == nil {
		w.sealed.content = w.buf
	} else {
		w.sealed.chunked = newContent(w.ctx, w.s, row{SHA256: ref.SHA256, Size: ref.Size, Chunk: chunkSize, ID: w.id})
	}
	w.buf = nil
	return w.sealed, nil
}

// Discard ends the Writer and removes what it wrote, unless a transaction has
// linked it. Afterwards the Sealed content, if there is one, can no longer be
// linked. What cannot be removed now is left to Sweep. It may be called again.
func (w *Writer) Discard() {
	w.closed, w.buf = true, nil
	if w.sealed != nil && w.sealed.dropped.Swap(true) {
		return
	}
	id := w.id
	w.id = nil
	if id == nil {
		return
	}
	// The session may be over; its rubbish still has to go.
	ctx := context.WithoutCancel(w.ctx)
	orphan := false
	err := w.s.db.View(ctx, func(r store.Reader) (err error) {
		orphan, err = w.s.orphan(r, id)
		return err
	})
	if err != nil || !orphan {
		return
	}
	// An error leaves the chunks to Sweep.
	_ = w.s.db.Update(ctx, func(tx store.Tx) error { return w.s.dropOrphan(tx, id, w.sealed) })
}

// dropOrphan removes chunks that no row refers to. Holding the row that could
// come to refer to them keeps a Link at the same moment out; that Link then
// finds the chunks gone.
func (s *Store) dropOrphan(tx store.Tx, id store.Key, sealed *Sealed) error {
	if sealed != nil {
		if err := s.blobs.Lock(tx, rowKey(sealed.ref.SHA256)); err != nil {
			return err
		}
	}
	linked, err := s.linked(tx, id)
	if err != nil || linked {
		return err
	}
	return tx.DeleteChunks(id)
}

// orphan reports whether id has chunks and no row refers to them.
func (s *Store) orphan(r store.Reader, id store.Key) (bool, error) {
	for first, err := range r.ChunkIDs(id) {
		if err != nil {
			return false, err
		}
		if string(first) != string(id) {
			return false, nil
		}
		linked, err := s.linked(r, id)
		return !linked, err
	}
	return false, nil
}

// linked reports whether a row refers to the chunks of id.
func (s *Store) linked(r store.Reader, id store.Key) (bool, error) {
	b, err := s.blobs.First(r, store.Query{Index: byID, Prefix: id})
	return b != nil, err
}

// Sealed is complete content that its transaction has yet to link. Its methods
// may be called from any goroutine.
type Sealed struct {
	s       *Store
	ref     Ref
	content []byte    // content of up to one chunk, else
	id      store.Key // its chunks
	chunked *content
	dropped atomic.Bool
}

// Ref returns the content's name.
func (s *Sealed) Ref() Ref { return s.ref }

// ReadAt reads the content before it is linked (for parsing outside the
// transaction), and afterwards; io.ReaderAt.
func (s *Sealed) ReadAt(p []byte, off int64) (int, error) {
	if s.chunked != nil {
		return s.chunked.ReadAt(p, off)
	}
	return bytes.NewReader(s.content).ReadAt(p, off)
}

// Link makes the content part of tx: after commit it can be opened by its Ref.
// Content that is already stored is kept once. Link may be called in several
// transactions and again when a closure is replayed. It fails for content that
// was discarded, or whose upload began more than 23 hours ago.
func (s *Sealed) Link(tx store.Tx) error {
	if s.dropped.Load() {
		return errors.New("blob: link content: it was discarded")
	}
	if s.id == nil {
		return s.s.linkBytes(tx, s.ref, s.content)
	}
	return s.s.linkChunks(tx, s.ref, s.id)
}
