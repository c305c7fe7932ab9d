package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"ticketgate/ticketing/store"
)

var lifeQuestions = map[string]func(*testing.T, *bench){
	"NothingAfterTheEnd":  nothingAfterTheEnd,
	"ClosedStoreSaysSo":   closedStoreSaysSo,
	"CloseWaits":          closeWaits,
	"ReadersBesideWriter": readersBesideWriter,
	"SpaceIsFine":         func(t *testing.T, b *bench) { mustNil(t, b.db.Space()) },
}

func mustNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// A Tx or Reader that a closure let escape is of no use afterwards.
func nothingAfterTheEnd(t *testing.T, b *bench) {
	b.put(&thing{ID: "a"})
	var tx store.Tx
	var r store.Reader
	b.update(func(live store.Tx) error { tx = live; return nil })
	b.view(func(live store.Reader) error { r = live; return nil })
	schema := things.Schema()
	_, getErr := r.Get(schema, str("a"))
	_, countErr := tx.Count(str("n"), 1)
	_, chunkErr := r.Chunk(str("c"), 0)
	var scanErr, idErr error
	for _, err := range r.Scan(schema, store.Query{}) {
		scanErr = err
	}
	for _, err := range r.ChunkIDs(nil) {
		idErr = err
	}
	for name, err := range map[string]error{
		"Get": getErr, "Count": countErr, "Chunk": chunkErr, "Scan": scanErr, "ChunkIDs": idErr,
		"Lock": tx.Lock(schema, str("a")), "Put": tx.Put(schema, str("b"), []byte{1}, nil, nil),
		"Delete": tx.Delete(schema, str("a"), nil), "PutChunk": tx.PutChunk(str("c"), 0, nil), "DeleteChunks": tx.DeleteChunks(str("c")),
	} {
		if err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
	if got := b.ids(store.Query{}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("rows: %v", got)
	}
}

func closedStoreSaysSo(t *testing.T, b *bench) {
	mustNil(t, b.db.Close())
	ctx := context.Background()
	for name, err := range map[string]error{
		"Update":   b.db.Update(ctx, func(store.Tx) error { return nil }),
		"View":     b.db.View(ctx, func(store.Reader) error { return nil }),
		"PutChunk": b.db.PutChunk(ctx, str("c"), 0, nil),
		"Close":    b.db.Close(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
}

func closeWaits(t *testing.T, b *bench) {
	inside, closing := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := b.db.Update(context.Background(), func(tx store.Tx) error {
			close(inside)
			<-closing
			return things.Put(tx, &thing{ID: "a"})
		})
		mustNil(t, err)
	})
	<-inside
	var closed sync.WaitGroup
	closed.Go(func() { mustNil(t, b.db.Close()) })
	for b.db.View(context.Background(), func(store.Reader) error { return nil }) == nil { // until Close has begun
	}
	close(closing)
	closed.Wait()
	wg.Wait()
}

// Readers are not held up by a writer in the middle of its closure.
func readersBesideWriter(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", N: 1})
	b.update(func(tx store.Tx) error {
		if err := things.Put(tx, &thing{ID: "a", N: 2}); err != nil {
			return err
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				b.view(func(r store.Reader) error {
					v, err := things.Get(r, str("a"))
					if err == nil && v.N != 1 {
						t.Error("a reader saw an unfinished change")
					}
					return err
				})
			})
		}
		wg.Wait()
		return nil
	})
}
