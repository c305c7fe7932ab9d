// Package store promises all-or-nothing, isolated, durable transactions over
// declared tables, and says so in terms that an embedded engine and a SQL
// database can both keep.
//
// The port has two layers. [DB], [Reader] and [Tx] are what an engine
// implements: rows of bytes under tuple keys, index entries, counters, chunks.
// [Table] is what domain code uses: typed records with a primary key and named
// secondary indexes. Domain code is written once, against Table.
//
// Rules that make a transaction right on every engine:
//
//   - The closure given to View or Update may run again. It touches nothing
//     outside: no network, no channel, no variable that survives a failed run.
//   - A read-modify-write locks its row first ([Table.Lock]); rows are locked
//     in key order; hot counters come last.
//   - Update returns nil only when the change is on disk. Readers may see a
//     change a moment earlier, so nothing is told to the outside world from
//     what a View saw of somebody else's unfinished Update.
//   - No value is larger than [MaxValue]; large bytes go into chunks.
//
// The idempotency key that makes a lost COMMIT answer harmless on a networked
// engine is the engine's own affair: Update either happened once or returned
// an error.
package store

import (
	"context"
	"errors"
	"iter"
	"time"
)

// MaxValue is the largest row document and the largest chunk, in bytes. It
// bounds what one corrupt block costs and what one read needs in memory.
const MaxValue = 64 << 10

var (
	// ErrNotFound says that a row, chunk or index entry does not exist.
	ErrNotFound = errors.New("store: not found")
	// ErrExists says that a unique index already holds the key for another row.
	ErrExists = errors.New("store: already exists")
	// ErrTooLarge says that a document or chunk is over MaxValue.
	ErrTooLarge = errors.New("store: value too large")
	// ErrNoSpace says that free disk space is below the configured floor.
	ErrNoSpace = errors.New("store: below the free-space floor")
	// ErrCorrupt says that stored bytes failed their checksum or cannot be
	// decoded. The row is unusable; the rest of the store is not affected.
	ErrCorrupt = errors.New("store: corrupt data")
	// ErrFailed says that the engine could not write and refuses further
	// writes; the process should stop and be restarted.
	ErrFailed = errors.New("store: engine failed")
	// ErrClosed says that the store has been closed.
	ErrClosed = errors.New("store: closed")
)

// DB is an open store. All methods may be called from any goroutine.
type DB interface {
	// View runs fn on a consistent snapshot.
	View(ctx context.Context, fn func(Reader) error) error
	// Update runs fn as one transaction: after an error from fn nothing has
	// changed; after nil everything has, and it survives a power failure.
	// fn may be run more than once.
	Update(ctx context.Context, fn func(Tx) error) error
	// PutChunk stores data as chunk n of id outside any transaction. The
	// chunk becomes durable with the next Update that returns nil. It is how
	// a mail streams in with one chunk of memory.
	PutChunk(ctx context.Context, id Key, n uint32, data []byte) error
	// Space reports ErrNoSpace while the disk is below its floor. Doors ask
	// it before they take work in; work that frees space goes on.
	Space() error
	// Close waits for running transactions and closes the store.
	Close() error
}

// Reader reads one consistent state. Returned slices belong to the caller.
type Reader interface {
	// Now is the transaction's time: fixed, so that all rows of one change
	// agree; UTC, whole microseconds.
	Now() time.Time
	// Get returns a row's document, or ErrNotFound.
	Get(s *Schema, key Key) ([]byte, error)
	// Scan yields rows in key order (or reverse) of the primary key or of an
	// index. The sequence ends after the first error.
	Scan(s *Schema, q Query) iter.Seq2[Row, error]
	// Counter returns a counter's value; one never counted is 0.
	Counter(name Key) (uint64, error)
	// Chunk returns chunk n of id, or ErrNotFound.
	Chunk(id Key, n uint32) ([]byte, error)
	// ChunkIDs yields the distinct ids that have chunks, in order, from the
	// first id at or after from.
	ChunkIDs(from Key) iter.Seq2[Key, error]
}

// Tx is a Reader that sees its own writes.
type Tx interface {
	Reader
	// Lock holds the row, existing or not, until the transaction ends.
	Lock(s *Schema, key Key) error
	// Put stores a row and replaces its index entries: drop is what the old
	// row had and the new one has not, add the reverse. A unique entry held
	// by another row is ErrExists.
	Put(s *Schema, key Key, doc []byte, add, drop []IndexEntry) error
	// Delete removes a row and its index entries.
	Delete(s *Schema, key Key, drop []IndexEntry) error
	// Count adds delta to a counter and returns the new value.
	Count(name Key, delta uint64) (uint64, error)
	// PutChunk stores a chunk as part of the transaction.
	PutChunk(id Key, n uint32, data []byte) error
	// DeleteChunks removes every chunk of id.
	DeleteChunks(id Key) error
	// OnCommit runs hint after the transaction is durable. A hint wakes
	// somebody who would look anyway; losing one costs latency only.
	OnCommit(hint func())
}

// Query selects a contiguous range. With Index empty it ranges over the
// primary key, else over the named index, whose entries are ordered by index
// tuple and then primary key.
type Query struct {
	Index   string
	Prefix  Key // only entries whose tuple starts with these elements
	From    Key // at or after (a position or a tuple), within Prefix; nil = start
	To      Key // before, within Prefix; nil = end
	After   Key // strictly after the row at this position (Row.Pos): a cursor; in Reverse, strictly before it
	Limit   int // 0 = no limit
	Reverse bool
	// SkipLocked locks the rows it yields and passes over rows that another
	// transaction holds (FOR UPDATE SKIP LOCKED). Only inside Update.
	SkipLocked bool
}

// Row is one row of a scan.
type Row struct {
	Key Key // primary key
	Pos Key // position in the scanned order; give it to Query.After
	Doc []byte
}

// IndexEntry is one entry of a row in one index of its schema.
type IndexEntry struct {
	Index int // position in Schema.Indexes
	Key   Key
}

// Schema declares a table to an engine.
type Schema struct {
	Name    string
	Prefix  Prefix
	Columns []string // names of the primary key's elements
	Indexes []IndexSchema
}

// IndexSchema declares a secondary index. A row may have any number of
// entries in it, none included.
type IndexSchema struct {
	Name    string
	Columns []string
	Unique  bool
}
