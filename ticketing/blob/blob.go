// Package blob keeps raw mails and attachments byte for byte, once each, under
// the SHA-256 of their content.
package blob

import (
	"context"
	"io"

	"ticketgate/ticketing/store"
)

// Ref names stored content.
type Ref struct {
	SHA256 string `json:"sha256"` // lower-case hex
	Size   int64  `json:"size"`
}

// Store reads and writes blobs.
type Store struct{}

// New returns a blob store on db. random feeds chunk ids.
func New(db store.DB, random io.Reader) *Store { panic("contract") }

// Create starts a blob. Memory stays at one chunk; chunks are written unsynced.
func (s *Store) Create(ctx context.Context) *Writer { panic("contract") }

// Writer streams a blob in. After Seal the content can be linked in a
// transaction; a Writer that is abandoned leaves orphan chunks that Sweep
// removes (Discard removes them at once when it can).
type Writer struct{}

func (w *Writer) Write(p []byte) (int, error) { panic("contract") }

// Seal ends the content and returns a Sealed blob.
func (w *Writer) Seal() (*Sealed, error) { panic("contract") }

// Discard drops what was written.
func (w *Writer) Discard() { panic("contract") }

// Sealed is complete content that no transaction has linked yet.
type Sealed struct{}

// Ref returns the content's name.
func (s *Sealed) Ref() Ref { panic("contract") }

// ReadAt reads the content before it is linked (for parsing outside the
// transaction); io.ReaderAt.
func (s *Sealed) ReadAt(p []byte, off int64) (int, error) { panic("contract") }

// Link makes the content part of tx: after commit it can be opened by its Ref.
// Content that is already stored is kept once. Link may be called in several
// transactions and again when a closure is replayed.
func (s *Sealed) Link(tx store.Tx) error { panic("contract") }

// Put stores small content (a composed mail) inside tx.
func (s *Store) Put(tx store.Tx, content []byte) (Ref, error) { panic("contract") }

// Open returns a reader over linked content. It reads chunk by chunk through
// its own views. store.ErrNotFound if there is none.
func (s *Store) Open(ctx context.Context, sha256 string) (*Reader, error) { panic("contract") }

// ReadAll returns linked content whole, refusing more than max bytes.
func (s *Store) ReadAll(ctx context.Context, sha256 string, max int64) ([]byte, error) {
	panic("contract")
}

// Reader is an io.Reader, io.ReaderAt and io.Seeker over one blob.
type Reader struct{}

func (r *Reader) Read(p []byte) (int, error)                   { panic("contract") }
func (r *Reader) ReadAt(p []byte, off int64) (int, error)      { panic("contract") }
func (r *Reader) Seek(offset int64, whence int) (int64, error) { panic("contract") }
func (r *Reader) Size() int64                                  { panic("contract") }

// Sweep removes chunks older than a day that no blob refers to. It works in
// small transactions and returns how many ids it removed.
func (s *Store) Sweep(ctx context.Context) (int, error) { panic("contract") }
