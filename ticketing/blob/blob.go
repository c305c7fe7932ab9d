// Package blob keeps raw mails and attachments byte for byte, once each, under
// the SHA-256 of their content, and promises that content which a committed
// transaction refers to is there, whole.
//
// # Writing
//
// Content from the network is streamed into a [Writer], sealed, and linked in
// the transaction that refers to it:
//
//	w := blobs.Create(ctx)
//	defer w.Discard()
//	if _, err := io.Copy(w, r); err != nil { … }
//	raw, err := w.Seal()
//	…
//	err = db.Update(ctx, func(tx store.Tx) error {
//		if err := raw.Link(tx); err != nil { return err }
//		… store raw.Ref() in a row …
//	})
//
// A Writer holds at most one chunk (64 KiB) in memory, and no more than twice
// what was written if that is less. Content that fits into one chunk costs
// nothing until Link and one chunk inside the transaction. Larger content is
// written chunk by chunk, unsynced, as it streams in; the sync of the linking
// transaction makes all of it durable. Deferring Discard is always right: it
// removes at once what no transaction has linked, and nothing else.
//
// Content that is at hand already, such as a composed mail, goes through
// [Store.Put] inside the transaction.
//
// Linking stored content again is cheap and keeps one copy. Linked content is
// never changed.
//
// # Reading
//
// [Store.Open] gives random access with one chunk in memory, [Store.ReadAll]
// the whole content with its hash verified. Both fail with store.ErrNotFound
// for content that was never linked and with store.ErrCorrupt if the stored
// bytes are not what they should be.
//
// # Orphans
//
// A crash, or a Writer that was abandoned, leaves chunks that nothing refers
// to. [Store.Sweep] removes them after a day. An upload that has not been
// linked within 23 hours is refused, so the two can never meet.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"ticketgate/ticketing/store"
)

// chunkSize is the size of every chunk of new content but the last.
const chunkSize = store.MaxValue

const (
	sweepAge = 24 * time.Hour // orphans younger than this may be uploads
	linkAge  = 23 * time.Hour // uploads older than this are refused
)

// Ref names stored content.
type Ref struct {
	SHA256 string `json:"sha256"` // lower-case hex
	Size   int64  `json:"size"`
}

// row says where content is. Once written it stays as it is.
type row struct {
	SHA256 string    `json:"sha256"`
	Size   int64     `json:"size"`
	Chunk  int       `json:"chunk"`        // bytes of every chunk but the last
	ID     store.Key `json:"id,omitempty"` // of the chunks; none if there are no bytes
}

// Store reads and writes blobs. Its methods may be called from any goroutine.
type Store struct {
	db    store.DB
	blobs *store.Table[row]

	randomMu sync.Mutex
	random   io.Reader

	sweepMu sync.Mutex
	swept   store.Key // Sweep has looked at every id up to this one
}

// New returns a blob store on db. random feeds chunk ids.
func New(db store.DB, random io.Reader) *Store {
	return &Store{
		db:     db,
		random: random,
		blobs: store.NewTable("blob", store.PrefixBlob, []string{"sha256"},
			func(b *row) store.Key { return rowKey(b.SHA256) },
			store.Index[row]{
				Name: byID, Columns: []string{"started", "nonce"}, Unique: true,
				Keys: func(b *row) []store.Key {
					if len(b.ID) == 0 {
						return nil
					}
					return []store.Key{b.ID}
				},
			}),
	}
}

const byID = "id"

func rowKey(sum string) store.Key { return store.Key{}.Str(sum) }

// Put stores content at hand (a composed mail) inside tx and returns its name.
// The content is not used after Put returns. Content that is already stored is
// kept once. The whole content becomes part of the transaction, which an engine
// bounds (64 MiB for all of it); what is larger goes through Create.
func (s *Store) Put(tx store.Tx, content []byte) (Ref, error) {
	sum := sha256.Sum256(content)
	ref := Ref{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}
	return ref, s.linkBytes(tx, ref, content)
}

// linkBytes stores content in tx if there is no row for it.
func (s *Store) linkBytes(tx store.Tx, ref Ref, content []byte) error {
	old, err := s.lockRow(tx, ref)
	if err != nil || old != nil {
		return err
	}
	b := &row{SHA256: ref.SHA256, Size: ref.Size, Chunk: chunkSize}
	if len(content) > 0 {
		if b.ID, err = s.newID(tx.Now()); err != nil {
			return err
		}
	}
	for n := uint32(0); len(content) > 0; n++ {
		size := min(len(content), chunkSize)
		if err := tx.PutChunk(b.ID, n, content[:size]); err != nil {
			return fmt.Errorf("blob: store content: %w", err)
		}
		content = content[size:]
	}
	return s.putRow(tx, b)
}

// linkChunks makes uploaded chunks the content of ref in tx. If the content is
// stored already, the upload's own chunks are removed.
func (s *Store) linkChunks(tx store.Tx, ref Ref, id store.Key) error {
	old, err := s.lockRow(tx, ref)
	if err != nil {
		return err
	}
	if old != nil {
		if string(old.ID) == string(id) {
			return nil
		}
		return tx.DeleteChunks(id)
	}
	started, err := idTime(id)
	if err != nil {
		return err
	}
	if tx.Now().Sub(started) > linkAge {
		return fmt.Errorf("blob: link content: begun at %s, too long ago", started.Format(time.RFC3339))
	}
	if _, err := tx.Chunk(id, uint32((ref.Size-1)/chunkSize)); err != nil {
		return fmt.Errorf("blob: link content: its chunks are gone: %w", err)
	}
	return s.putRow(tx, &row{SHA256: ref.SHA256, Size: ref.Size, Chunk: chunkSize, ID: id})
}

// lockRow returns the row of ref, or nil, and holds its place for the
// transaction.
func (s *Store) lockRow(tx store.Tx, ref Ref) (*row, error) {
	if err := s.blobs.Lock(tx, rowKey(ref.SHA256)); err != nil {
		return nil, err
	}
	return s.blobs.Find(tx, rowKey(ref.SHA256))
}

// putRow stores the row whose place lockRow held.
func (s *Store) putRow(tx store.Tx, b *row) error {
	if err := s.blobs.Insert(tx, b); err != nil {
		return fmt.Errorf("blob: link content: %w", err)
	}
	return nil
}

// idNonce keeps apart the uploads of one microsecond.
const idNonce = 10

// newID returns a fresh id of chunks. Ids sort by time, so that a sweep meets
// the old ones first and an upload writes where the engine's newest data is.
func (s *Store) newID(now time.Time) (store.Key, error) {
	var nonce [idNonce]byte
	s.randomMu.Lock()
	defer s.randomMu.Unlock()
	if _, err := io.ReadFull(s.random, nonce[:]); err != nil {
		return nil, fmt.Errorf("blob: random source: %w", err)
	}
	return store.Key{}.Time(now).Bytes(nonce[:]), nil
}

var errForeignID = errors.New("blob: not an id of this package")

// idTime returns the time in an id.
func idTime(id store.Key) (time.Time, error) {
	elements, err := id.Elements()
	if err != nil {
		return time.Time{}, err
	}
	if len(elements) != 2 {
		return time.Time{}, errForeignID
	}
	t, ok := elements[0].(time.Time)
	if !ok {
		return time.Time{}, errForeignID
	}
	return t, nil
}

// now asks the store for the time.
func (s *Store) now(ctx context.Context) (t time.Time, err error) {
	err = s.db.View(ctx, func(r store.Reader) error {
		t = r.Now()
		return nil
	})
	return t, err
}
