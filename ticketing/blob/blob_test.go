package blob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

const chunk = store.MaxValue

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// random returns a repeatable source of bytes.
func random(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// text returns n bytes that differ by seed.
func text(seed byte, n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(random(seed), b); err != nil {
		panic(err)
	}
	return b
}

func name(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

type bench struct {
	t   testing.TB
	db  *spy
	s   *blob.Store
	clk *clock
	ctx context.Context
}

func setup(t testing.TB) *bench {
	clk := &clock{t: start}
	db := &spy{DB: storetest.OpenAt(t, clk.now)}
	return &bench{t: t, db: db, s: blob.New(db, random(1)), clk: clk, ctx: context.Background()}
}

// spy counts what is written around transactions and can make it fail.
type spy struct {
	store.DB
	streamed, updates int
	fail              error
}

func (s *spy) PutChunk(ctx context.Context, id store.Key, n uint32, data []byte) error {
	s.streamed++
	if s.fail != nil {
		return s.fail
	}
	return s.DB.PutChunk(ctx, id, n, data)
}

func (s *spy) Update(ctx context.Context, fn func(store.Tx) error) error {
	s.updates++
	return s.DB.Update(ctx, fn)
}

func (b *bench) upload(content []byte) (*blob.Writer, *blob.Sealed) {
	b.t.Helper()
	w := b.s.Create(b.ctx)
	if _, err := w.Write(content); err != nil {
		b.t.Fatal(err)
	}
	sealed, err := w.Seal()
	if err != nil {
		b.t.Fatal(err)
	}
	return w, sealed
}

func (b *bench) link(s *blob.Sealed) {
	b.t.Helper()
	if err := b.db.Update(b.ctx, s.Link); err != nil {
		b.t.Fatal(err)
	}
}

// chunks returns the number of chunks stored under each id.
func (b *bench) chunks() []int { return chunksIn(b.t, b.db) }

func chunksIn(t testing.TB, db store.DB) (counts []int) {
	t.Helper()
	err := db.View(context.Background(), func(r store.Reader) error {
		for id, err := range r.ChunkIDs(nil) {
			if err != nil {
				return err
			}
			n := 0
			for ; ; n++ {
				if _, err := r.Chunk(id, uint32(n)); errors.Is(err, store.ErrNotFound) {
					break
				} else if err != nil {
					return err
				}
			}
			counts = append(counts, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func (b *bench) expectChunks(step string, want ...int) {
	b.t.Helper()
	if got := b.chunks(); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("%s: chunks %v, want %v", step, got, want)
	}
}

func (b *bench) expectContent(content []byte) {
	b.t.Helper()
	got, err := b.s.ReadAll(b.ctx, name(content), int64(len(content)))
	if err != nil || !bytes.Equal(got, content) {
		b.t.Errorf("ReadAll of %d bytes: %d bytes, %v", len(content), len(got), err)
	}
}

var sizes = []int{0, 1, 5 << 10, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 3*chunk + 17}

func TestContentComesBackByteForByte(t *testing.T) {
	t.Parallel()
	for _, size := range sizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			content := text(7, size)
			w := b.s.Create(b.ctx)
			defer w.Discard()
			// Pieces of odd sizes, as a network gives them.
			if _, err := io.CopyBuffer(struct{ io.Writer }{w}, iotest.OneByteReader(bytes.NewReader(content[:min(size, 100)])), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{bytes.NewReader(content[min(size, 100):])}, make([]byte, 4097)); err != nil {
				t.Fatal(err)
			}
			sealed, err := w.Seal()
			if err != nil {
				t.Fatal(err)
			}
			if want := (blob.Ref{SHA256: name(content), Size: int64(size)}); sealed.Ref() != want {
				t.Fatalf("ref = %+v, want %+v", sealed.Ref(), want)
			}
			same := func(step string) {
				t.Helper()
				got, err := io.ReadAll(io.NewSectionReader(sealed, 0, int64(size)+10))
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: sealed content differs (%d bytes, %v)", step, len(got), err)
				}
			}
			same("before linking")
			if _, err := b.s.Open(b.ctx, name(content)); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("open before linking: %v", err)
			}
			b.link(sealed)
			same("after linking")
			w.Discard()
			same("after discarding what was linked")
			b.expectContent(content)
			r, err := b.s.Open(b.ctx, name(content))
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(r, content); err != nil {
				t.Error(err)
			}
			if r.Size() != int64(size) {
				t.Errorf("size = %d", r.Size())
			}
		})
	}
}

// A mail of up to one chunk must not cost more than its place in the linking
// transaction; a larger one streams.
func TestSmallContentCostsNothingBeforeItsTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, sealed := b.upload(text(1, chunk))
	if b.db.streamed != 0 || b.db.updates != 0 {
		t.Errorf("before linking: %d chunks streamed, %d transactions", b.db.streamed, b.db.updates)
	}
	b.link(sealed)
	w.Discard()
	if b.db.updates != 1 {
		t.Errorf("%d transactions, want the linking one only", b.db.updates)
	}
	b.expectChunks("small", 1)
	w, sealed = b.upload(text(2, 3*chunk))
	if b.db.streamed != 3 {
		t.Errorf("%d chunks streamed, want 3", b.db.streamed)
	}
	b.link(sealed)
	w.Discard()
	if b.db.updates != 2 {
		t.Errorf("%d transactions, want the two linking ones only", b.db.updates)
	}
	b.expectChunks("large", 1, 3)
}

func TestContentIsKeptOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 2*chunk + 1} {
		b := setup(t)
		content := text(3, size)
		_, first := b.upload(content)
		b.clk.move(time.Second)
		w, second := b.upload(content)
		b.link(first)
		want := b.chunks()[:1]
		b.link(first)
		b.link(second)
		b.link(second)
		if err := b.db.Update(b.ctx, func(tx store.Tx) error {
			_, err := b.s.Put(tx, content)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		b.expectChunks("linked five times", want...)
		// The upload that lost its own chunks is still readable.
		got, err := io.ReadAll(io.NewSectionReader(second, 0, int64(size)))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("second upload after linking: %d bytes, %v", len(got), err)
		}
		w.Discard()
		b.expectContent(content)
	}
}

// A closure runs again after a lost race; its first run must leave no trace.
func TestLinkSurvivesARolledBackRun(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 2*chunk + 1} {
		b := setup(t)
		content := text(4, size)
		_, other := b.upload(content)
		_, sealed := b.upload(content)
		again := errors.New("run again")
		if err := b.db.Update(b.ctx, func(tx store.Tx) error {
			if err := sealed.Link(tx); err != nil {
				return err
			}
			return again
		}); !errors.Is(err, again) {
			t.Fatal(err)
		}
		b.link(other) // somebody else was first
		if err := b.db.Update(b.ctx, func(tx store.Tx) error {
			if err := sealed.Link(tx); err != nil {
				return err
			}
			return again
		}); !errors.Is(err, again) {
			t.Fatal(err)
		}
		b.link(sealed)
		b.link(sealed)
		b.expectContent(content)
		if got := b.chunks(); len(got) != 1 {
			t.Errorf("%d copies: %v", len(got), got)
		}
	}
}

func TestPutStoresContentAtHand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, size := range sizes {
		content := text(byte(10+i), size)
		want := name(content)
		var ref blob.Ref
		if err := b.db.Update(b.ctx, func(tx store.Tx) (err error) {
			ref, err = b.s.Put(tx, content)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if ref.SHA256 != want || ref.Size != int64(size) {
			t.Errorf("ref of %d bytes = %+v", size, ref)
		}
		saved := bytes.Clone(content)
		clear(content) // the caller's buffer is its own again
		b.expectContent(saved)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(b.ctx)
	w := b.s.Create(ctx)
	if _, err := w.Write(text(1, 3*chunk)); err != nil {
		t.Fatal(err)
	}
	b.expectChunks("while uploading", 2)
	cancel() // the session is over
	w.Discard()
	w.Discard()
	b.expectChunks("discarded while uploading")
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a discarded writer accepts more")
	}
	if _, err := w.Seal(); err == nil {
		t.Error("a discarded writer can be sealed")
	}
	for _, size := range []int{10, 2 * chunk} {
		w, sealed := b.upload(text(2, size))
		w.Discard()
		b.expectChunks("discarded when sealed")
		if err := b.db.Update(b.ctx, sealed.Link); err == nil {
			t.Errorf("%d bytes were linked after they were discarded", size)
		}
	}
}

func TestWriteErrorStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.s.Create(b.ctx)
	b.db.fail = store.ErrNoSpace
	n, err := w.Write(text(1, 2*chunk))
	if n != chunk || !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("write = %d, %v; want one chunk and the store's error", n, err)
	}
	b.db.fail = nil
	if _, err := w.Write([]byte("x")); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("next write: %v", err)
	}
	if _, err := w.Seal(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("seal: %v", err)
	}
	broken := blob.New(b.db, iotest.ErrReader(errors.New("no entropy")))
	if err := b.db.Update(b.ctx, func(tx store.Tx) error {
		_, err := broken.Put(tx, []byte("x"))
		return err
	}); err == nil {
		t.Error("stored content without randomness")
	}
}

func TestReadAllRefusesMoreThanAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, sealed := b.upload(text(1, 100))
	b.link(sealed)
	if _, err := b.s.ReadAll(b.ctx, sealed.Ref().SHA256, 99); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("100 bytes where 99 are allowed: %v", err)
	}
	for _, bad := range []string{"", "nonsense", name(nil), "\xff\x00"} {
		if _, err := b.s.ReadAll(b.ctx, bad, 1000); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("ReadAll(%q): %v, want ErrNotFound", bad, err)
		}
	}
}

// Damage done behind our back is found, and named.
func TestDamageIsCorruption(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(tx store.Tx, id store.Key) error{
		"other bytes": func(tx store.Tx, id store.Key) error { return tx.PutChunk(id, 1, text(99, chunk)) },
		"short chunk": func(tx store.Tx, id store.Key) error { return tx.PutChunk(id, 1, text(99, chunk-1)) },
		"no chunks":   func(tx store.Tx, id store.Key) error { return tx.DeleteChunks(id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			_, sealed := b.upload(text(5, 3*chunk))
			b.link(sealed)
			if err := b.db.Update(b.ctx, func(tx store.Tx) error {
				for id, err := range tx.ChunkIDs(nil) {
					if err != nil {
						return err
					}
					return damage(tx, id)
				}
				return errors.New("nothing to damage")
			}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.s.ReadAll(b.ctx, sealed.Ref().SHA256, 4*chunk); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("ReadAll: %v, want ErrCorrupt", err)
			}
			if name == "other bytes" {
				return // only the hash can tell
			}
			r, err := b.s.Open(b.ctx, sealed.Ref().SHA256)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("Reader: %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestSweepRemovesOldOrphansOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, linked := b.upload(text(1, 2*chunk))
	b.link(linked)
	_, small := b.upload(text(2, 10))
	b.link(small)
	for i := range 40 { // more than one batch
		b.upload(text(byte(100+i), chunk+1))
	}
	sweep := func(step string, want int) {
		t.Helper()
		if n, err := b.s.Sweep(b.ctx); n != want || err != nil {
			t.Errorf("%s: swept %d, %v; want %d", step, n, err, want)
		}
	}
	sweep("at once", 0)
	b.clk.move(24 * time.Hour)
	_, running := b.upload(text(3, 2*chunk))
	sweep("after just a day", 0)
	b.clk.move(time.Microsecond)
	sweep("after more than a day", 40)
	sweep("again", 0)
	b.link(running)
	b.expectContent(text(1, 2*chunk))
	b.expectContent(text(2, 10))
	b.expectContent(text(3, 2*chunk))
	b.upload(text(4, 2*chunk))
	b.clk.move(25 * time.Hour)
	sweep("a day later", 1)
	b.expectChunks("in the end", 2, 1, 2)
}

// With the clock set back, uploads begin before the place where the last sweep
// ended; they are not forgotten.
func TestSweepAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, linked := b.upload(text(1, 2*chunk))
	b.link(linked)
	b.clk.move(25 * time.Hour)
	if n, err := b.s.Sweep(b.ctx); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	b.clk.move(-50 * time.Hour)
	b.upload(text(2, 2*chunk))
	if n, err := b.s.Sweep(b.ctx); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	b.clk.move(24*time.Hour + time.Second)
	if n, err := b.s.Sweep(b.ctx); n != 1 || err != nil {
		t.Errorf("swept %d, %v; want the upload of the day before", n, err)
	}
}

// An upload that Sweep might have met is refused instead of linked to nothing.
func TestOldUploadsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, sealed := b.upload(text(1, 2*chunk))
	b.clk.move(23*time.Hour + time.Second)
	if err := b.db.Update(b.ctx, sealed.Link); err == nil {
		t.Error("linked an upload of 23 hours ago")
	}
	if err := b.db.Update(b.ctx, func(tx store.Tx) error {
		for id, err := range tx.ChunkIDs(nil) {
			if err != nil {
				return err
			}
			if err := tx.DeleteChunks(id); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.clk.move(-time.Hour)
	if err := b.db.Update(b.ctx, sealed.Link); err == nil {
		t.Error("linked an upload whose chunks are gone")
	}
}

func TestUploadsSideBySide(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := blob.New(b.db.DB, random(9))
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			content := text(byte(i%4), (i%4)*chunk+i%4) // six uploads of each
			w := s.Create(b.ctx)
			defer w.Discard()
			_, err := w.Write(content)
			if err != nil {
				t.Error(err)
				return
			}
			sealed, err := w.Seal()
			if err != nil {
				t.Error(err)
				return
			}
			if err := b.db.DB.Update(b.ctx, sealed.Link); err != nil {
				t.Error(err)
			}
			got, err := s.ReadAll(b.ctx, name(content), 1<<20)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("content %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
	if got := b.chunks(); len(got) != 3 {
		t.Errorf("chunks %v, want three contents (and the empty one, which has none)", got)
	}
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// A session that gives up while its last transaction is still deciding must
// not take away what that transaction links.
func TestDiscardMeetsLink(t *testing.T) {
	t.Parallel()
	b := setup(t)
	gate := &announcing{DB: b.db.DB, entered: make(chan struct{}, 2)}
	s := blob.New(gate, random(1))
	content := text(1, 2*chunk)
	w := s.Create(b.ctx)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	sealed, err := w.Seal()
	if err != nil {
		t.Fatal(err)
	}
	discarded := make(chan struct{})
	if err := b.db.Update(b.ctx, func(tx store.Tx) error {
		if err := sealed.Link(tx); err != nil {
			return err
		}
		go func() {
			defer close(discarded)
			w.Discard()
		}()
		<-gate.entered // Discard has seen nothing linked and comes to remove it
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	<-discarded
	b.expectContent(content)
}

// announcing tells when an Update is about to begin.
type announcing struct {
	store.DB
	entered chan struct{}
}

func (a *announcing) Update(ctx context.Context, fn func(store.Tx) error) error {
	a.entered <- struct{}{}
	return a.DB.Update(ctx, fn)
}
