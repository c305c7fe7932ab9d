package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"ticketgate/ticketing/store"
)

var chunkQuestions = map[string]func(*testing.T, *bench){
	"PutGetDelete":     chunkPutGetDelete,
	"OutsideAnyUpdate": chunkOutside,
	"IDs":              chunkIDs,
	"NeighboursStay":   chunkNeighbours,
}

func chunkPutGetDelete(t *testing.T, b *bench) {
	b.update(func(tx store.Tx) error {
		return errors.Join(
			tx.PutChunk(str("m"), 0, []byte("zero")), tx.PutChunk(str("m"), 1<<32-1, []byte("last")),
			tx.PutChunk(str("m"), 1, nil), tx.PutChunk(str("m"), 0, []byte("again")),
		)
	})
	b.view(func(r store.Reader) error {
		for n, want := range map[uint32]string{0: "again", 1<<32 - 1: "last", 1: ""} {
			if got, err := r.Chunk(str("m"), n); string(got) != want || err != nil {
				t.Errorf("chunk %d: %q, %v, want %q", n, got, err, want)
			}
		}
		if _, err := r.Chunk(str("m"), 2); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("absent chunk: %v", err)
		}
		return nil
	})
	b.update(func(tx store.Tx) error {
		// Deleting and putting again in one transaction leaves the new one.
		return errors.Join(tx.DeleteChunks(str("m")), tx.DeleteChunks(str("nothing")), tx.PutChunk(str("m"), 5, []byte("five")))
	})
	b.view(func(r store.Reader) error {
		for _, n := range []uint32{0, 1, 1<<32 - 1} {
			if _, err := r.Chunk(str("m"), n); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("chunk %d after the delete: %v", n, err)
			}
		}
		_, err := r.Chunk(str("m"), 5)
		return err
	})
}

func chunkOutside(t *testing.T, b *bench) {
	data := []byte("streamed")
	for n := range uint32(3) {
		if err := b.db.PutChunk(context.Background(), str("s"), n, data); err != nil {
			t.Fatal(err)
		}
	}
	clear(data) // the caller's buffer is its own again
	b.update(func(tx store.Tx) error {
		// While a transaction runs, chunks of others go on.
		if err := b.db.PutChunk(context.Background(), str("s"), 3, []byte("streamed")); err != nil {
			return err
		}
		got, err := tx.Chunk(str("s"), 2)
		if string(got) != "streamed" {
			t.Errorf("chunk inside an Update: %q", got)
		}
		return err
	})
	b.view(func(r store.Reader) error {
		for n := range uint32(4) {
			if got, err := r.Chunk(str("s"), n); string(got) != "streamed" || err != nil {
				t.Errorf("chunk %d: %q, %v", n, got, err)
			}
		}
		return nil
	})
}

func chunkIDs(t *testing.T, b *bench) {
	all := []store.Key{str("a"), str("a").Uint(0), str("a").Uint(1 << 60), str("a").Str("x"), str("b"), store.Key{}.Uint(1), store.Key{}.Bool(false)}
	b.update(func(tx store.Tx) error {
		for i, id := range all {
			for n := range uint32(i + 1) {
				if err := tx.PutChunk(id, n*1<<24, []byte{1}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b store.Key) int { return slices.Compare(a, b) })
	list := func(r store.Reader, from store.Key) (out []store.Key) {
		for id, err := range r.ChunkIDs(from) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, id)
		}
		return out
	}
	b.view(func(r store.Reader) error {
		for i, from := range append([]store.Key{nil}, all...) {
			want := all[max(i-1, 0):]
			if got := list(r, from); !slices.EqualFunc(got, want, func(a, b store.Key) bool { return slices.Equal(a, b) }) {
				t.Errorf("from %x: %x, want %x", []byte(from), got, want)
			}
		}
		if got := list(r, all[0].Clip().Bool(false)); len(got) == 0 || slices.Equal(got[0], all[0]) {
			t.Errorf("from a position after the first id: %x", got)
		}
		return nil
	})
}

// Ids that begin with the same elements do not touch each other.
func chunkNeighbours(t *testing.T, b *bench) {
	all := []store.Key{str("a"), str("a").Uint(0), str("a").Bool(false), str("a").Bool(true), str("a").Str(""), str("a\x00"), str("")}
	for _, victim := range all {
		b.update(func(tx store.Tx) error {
			for _, id := range all {
				if err := errors.Join(tx.PutChunk(id, 0, id), tx.PutChunk(id, 1<<32-1, id)); err != nil {
					return err
				}
			}
			return tx.DeleteChunks(victim)
		})
		b.view(func(r store.Reader) error {
			for _, id := range all {
				for _, n := range []uint32{0, 1<<32 - 1} {
					got, err := r.Chunk(id, n)
					if gone := slices.Equal(id, victim); gone != errors.Is(err, store.ErrNotFound) || !gone && !slices.Equal(got, id) {
						t.Errorf("deleted %x: chunk %d of %x is %x, %v", []byte(victim), n, []byte(id), got, err)
					}
				}
			}
			return nil
		})
	}
}
