package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ticketgate/ticketing/store"
)

var errOnPurpose = errors.New("on purpose")

var transactionQuestions = map[string]func(*testing.T, *bench){
	"ViewSeesOneState":       viewSeesOneState,
	"ErrorLeavesNothing":     errorLeavesNothing,
	"PanicLeavesNothing":     panicLeavesNothing,
	"GoexitLeavesNothing":    goexitLeavesNothing,
	"ReadsItsOwnWrites":      readsItsOwnWrites,
	"RunAgainIsOneChange":    runAgainIsOneChange,
	"CountersAreExact":       countersAreExact,
	"NoLostUpdates":          noLostUpdates,
	"TimeIsFixed":            timeIsFixed,
	"HintsRunAfterCommit":    hintsRunAfterCommit,
	"CancelledBeforeItRuns":  cancelledBeforeItRuns,
	"CancelledWhileWaiting":  cancelledWhileWaiting,
	"CancelledWhileItRuns":   cancelledWhileItRuns,
	"LargeTransaction":       largeTransaction,
	"WriterSeesOthersCommit": writerSeesOthersCommit,
}

func viewSeesOneState(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", N: 1, Tags: []string{"x"}})
	b.view(func(r store.Reader) error {
		before := ids(t, r, store.Query{Index: "tag"})
		b.put(&thing{ID: "a", N: 2}, &thing{ID: "b", Tags: []string{"x"}})
		b.update(func(tx store.Tx) error {
			_, err := tx.Count(str("n"), 1)
			return errors.Join(err, tx.PutChunk(str("c"), 0, []byte("c")))
		})
		a, err := things.Get(r, str("a"))
		if err != nil || a.N != 1 {
			t.Errorf("the view sees a later change: %+v, %v", a, err)
		}
		if after := ids(t, r, store.Query{Index: "tag"}); !reflect.DeepEqual(before, after) {
			t.Errorf("scan in the same view: first %v, then %v", before, after)
		}
		if n, err := r.Counter(str("n")); n != 0 || err != nil {
			t.Errorf("counter in the view: %d, %v", n, err)
		}
		if _, err := r.Chunk(str("c"), 0); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("chunk in the view: %v", err)
		}
		return nil
	})
	if got := b.ids(store.Query{Index: "tag"}); !reflect.DeepEqual(got, []string{"b"}) {
		t.Errorf("a later view sees %v", got)
	}
}

// everything does one of each write there is.
func everything(tx store.Tx) error {
	if err := putAll(tx, &thing{ID: "kept", N: 2, Email: "new@example.com"}, &thing{ID: "fresh", Tags: []string{"x"}}); err != nil {
		return err
	}
	if err := things.Delete(tx, str("gone")); err != nil {
		return err
	}
	if _, err := tx.Count(str("n"), 5); err != nil {
		return err
	}
	if err := tx.PutChunk(str("c"), 1, []byte("new")); err != nil {
		return err
	}
	return tx.DeleteChunks(str("old"))
}

func prepareEverything(b *bench) {
	b.put(&thing{ID: "kept", N: 1, Email: "old@example.com"}, &thing{ID: "gone"})
	b.update(func(tx store.Tx) error { return tx.PutChunk(str("old"), 0, []byte("old")) })
}

func checkNothing(t *testing.T, b *bench) {
	t.Helper()
	if got := b.ids(store.Query{}); !reflect.DeepEqual(got, []string{"gone", "kept"}) {
		t.Errorf("rows: %v", got)
	}
	if got := b.ids(store.Query{Index: "tag"}); len(got) != 0 {
		t.Errorf("index entries of an undone row: %v", got)
	}
	if got := b.ids(store.Query{Index: "email", Prefix: str("old@example.com")}); !reflect.DeepEqual(got, []string{"kept"}) {
		t.Errorf("unique entry of the unchanged row: %v", got)
	}
	b.view(func(r store.Reader) error {
		if n, err := r.Counter(str("n")); n != 0 || err != nil {
			t.Errorf("counter: %d, %v", n, err)
		}
		if _, err := r.Chunk(str("c"), 1); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("chunk: %v", err)
		}
		_, err := r.Chunk(str("old"), 0)
		return err
	})
	// The writer's turn has been given back.
	b.update(everything)
	if got := b.ids(store.Query{}); !reflect.DeepEqual(got, []string{"fresh", "kept"}) {
		t.Errorf("rows after the same writes succeeded: %v", got)
	}
}

func errorLeavesNothing(t *testing.T, b *bench) {
	prepareEverything(b)
	b.updateErr(errOnPurpose, func(tx store.Tx) error { return errors.Join(everything(tx), errOnPurpose) })
	checkNothing(t, b)
}

func panicLeavesNothing(t *testing.T, b *bench) {
	prepareEverything(b)
	func() {
		defer func() {
			if r := recover(); r != errOnPurpose {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = b.db.Update(context.Background(), func(tx store.Tx) error {
			if err := everything(tx); err != nil {
				t.Error(err)
			}
			panic(errOnPurpose)
		})
		t.Error("Update returned although its closure panicked")
	}()
	checkNothing(t, b)
}

func goexitLeavesNothing(t *testing.T, b *bench) {
	prepareEverything(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.db.Update(context.Background(), func(tx store.Tx) error {
			if err := everything(tx); err != nil {
				t.Error(err)
			}
			runtime.Goexit() // what a failing assertion does inside a closure
			return nil
		})
	}()
	<-done
	checkNothing(t, b)
}

func readsItsOwnWrites(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", Group: "g", Tags: []string{"x"}}, &thing{ID: "b", Group: "g", Tags: []string{"x"}})
	b.update(func(tx store.Tx) error {
		if err := putAll(tx, &thing{ID: "c", Group: "g", Tags: []string{"x"}}, &thing{ID: "a", Group: "g", Tags: []string{"y"}}); err != nil {
			return err
		}
		if err := things.Delete(tx, str("b")); err != nil {
			return err
		}
		for index, want := range map[string][]string{"": {"a", "c"}, "tag": {"c", "a"}, "group": {"a", "c"}} {
			if got := ids(t, tx, store.Query{Index: index}); !reflect.DeepEqual(got, want) {
				t.Errorf("scan by %q: %v, want %v", index, got, want)
			}
			sort.Sort(sort.Reverse(sort.StringSlice(want)))
			if index != "tag" {
				if got := ids(t, tx, store.Query{Index: index, Reverse: true}); !reflect.DeepEqual(got, want) {
					t.Errorf("reverse scan by %q: %v, want %v", index, got, want)
				}
			}
		}
		if _, err := things.Get(tx, str("b")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("deleted row: %v", err)
		}
		for want := uint64(3); want <= 6; want += 3 {
			if n, err := tx.Count(str("n"), 3); n != want || err != nil {
				t.Errorf("Count: %d, %v, want %d", n, err, want)
			}
		}
		if n, err := tx.Counter(str("n")); n != 6 || err != nil {
			t.Errorf("Counter: %d, %v", n, err)
		}
		if err := tx.PutChunk(str("c"), 7, []byte("seven")); err != nil {
			return err
		}
		data, err := tx.Chunk(str("c"), 7)
		if string(data) != "seven" {
			t.Errorf("Chunk: %q, %v", data, err)
		}
		for id, err := range tx.ChunkIDs(nil) {
			if string(id) != string(str("c")) {
				t.Errorf("ChunkIDs: %x, %v", id, err)
			}
		}
		return err
	})
}

// An engine may run a closure more than once. Whatever it does, a well-behaved
// closure makes one change.
func runAgainIsOneChange(t *testing.T, b *bench) {
	runs := 0
	for range 20 {
		b.update(func(tx store.Tx) error {
			runs++
			n, err := tx.Count(str("n"), 1)
			if err != nil {
				return err
			}
			return things.Put(tx, &thing{ID: fmt.Sprint(n), N: n})
		})
	}
	if got := len(b.ids(store.Query{})); got != 20 {
		t.Errorf("%d rows after 20 transactions (%d runs)", got, runs)
	}
}

func countersAreExact(t *testing.T, b *bench) {
	const workers, each = 8, 25
	var mu sync.Mutex
	seen := map[uint64]bool{}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				var got uint64
				err := b.db.Update(context.Background(), func(tx store.Tx) (err error) {
					got, err = tx.Count(str("n"), 1)
					return err
				})
				mu.Lock()
				if err != nil || seen[got] {
					t.Errorf("Count gave %d a second time, or failed: %v", got, err)
				}
				seen[got] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	b.view(func(r store.Reader) error {
		n, err := r.Counter(str("n"))
		if n != workers*each || len(seen) != workers*each {
			t.Errorf("counter %d, distinct values %d, want %d", n, len(seen), workers*each)
		}
		return err
	})
}

func noLostUpdates(t *testing.T, b *bench) {
	b.put(&thing{ID: "a"})
	const workers, each = 8, 20
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := b.db.Update(context.Background(), func(tx store.Tx) error {
					if err := things.Lock(tx, str("a")); err != nil {
						return err
					}
					v, err := things.Get(tx, str("a"))
					if err != nil {
						return err
					}
					v.N++
					return things.Put(tx, v)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.view(func(r store.Reader) error {
		v, err := things.Get(r, str("a"))
		if err == nil && v.N != workers*each {
			t.Errorf("%d of %d increments survived", v.N, workers*each)
		}
		return err
	})
}

func timeIsFixed(t *testing.T, b *bench) {
	check := func(r store.Reader) error {
		want := b.clock.Now().UTC().Truncate(time.Microsecond)
		first := r.Now()
		b.clock.Advance(1_500 * time.Microsecond)
		if second := r.Now(); first != second {
			t.Errorf("time moved inside a transaction: %v, then %v", first, second)
		}
		if !first.Equal(want) || first.Location() != time.UTC || first.Nanosecond()%1000 != 0 {
			t.Errorf("time is %v, want %v in UTC and whole microseconds", first, want)
		}
		return nil
	}
	b.view(check)
	b.update(func(tx store.Tx) error { return check(tx) })
	b.view(check)
}

func hintsRunAfterCommit(t *testing.T, b *bench) {
	var order []string
	b.update(func(tx store.Tx) error {
		order = nil
		for _, name := range []string{"first", "second"} {
			tx.OnCommit(func() {
				order = append(order, name)
				if got := b.ids(store.Query{}); !reflect.DeepEqual(got, []string{"a"}) {
					t.Errorf("a hint ran before its change was there: %v", got)
				}
			})
		}
		order = append(order, "closure")
		return things.Put(tx, &thing{ID: "a"})
	})
	if want := []string{"closure", "first", "second"}; !reflect.DeepEqual(order, want) {
		t.Errorf("ran %v, want %v", order, want)
	}
	b.updateErr(errOnPurpose, func(tx store.Tx) error {
		tx.OnCommit(func() { t.Error("a hint of a failed transaction ran") })
		return errOnPurpose
	})
	ran := false
	b.update(func(tx store.Tx) error {
		tx.OnCommit(func() { ran = true })
		return nil
	})
	if !ran {
		t.Error("the hint of a transaction without writes did not run")
	}
}

func cancelledBeforeItRuns(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errOnPurpose)
	run := func() { t.Error("the closure ran") }
	for name, err := range map[string]error{
		"Update":   b.db.Update(ctx, func(store.Tx) error { run(); return nil }),
		"View":     b.db.View(ctx, func(store.Reader) error { run(); return nil }),
		"PutChunk": b.db.PutChunk(ctx, str("c"), 0, nil),
	} {
		if !errors.Is(err, errOnPurpose) {
			t.Errorf("%s: %v, want the cause of the cancellation", name, err)
		}
	}
}

// A caller that waits for a row or for its turn goes away when its context
// ends, and has changed nothing.
func cancelledWhileWaiting(t *testing.T, b *bench) {
	b.put(&thing{ID: "a"})
	ctx, cancel := context.WithCancel(context.Background())
	var second sync.WaitGroup
	var once atomic.Bool
	b.update(func(tx store.Tx) error {
		if err := things.Lock(tx, str("a")); err != nil || !once.CompareAndSwap(false, true) {
			return err
		}
		second.Go(func() {
			err := b.db.Update(ctx, func(tx store.Tx) error {
				if err := things.Lock(tx, str("a")); err != nil {
					return err
				}
				return things.Put(tx, &thing{ID: "a", N: 1})
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("waiting Update: %v", err)
			}
		})
		cancel()
		second.Wait()
		return nil
	})
	b.view(func(r store.Reader) error {
		v, err := things.Get(r, str("a"))
		if err == nil && v.N != 0 {
			t.Error("the cancelled transaction changed the row")
		}
		return err
	})
}

// A transaction is never left half way: it has happened, or it has not.
func cancelledWhileItRuns(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(context.Background())
	err := b.db.Update(ctx, func(tx store.Tx) error {
		defer cancel()
		return putAll(tx, &thing{ID: "a", Tags: []string{"x"}}, &thing{ID: "b", Tags: []string{"x"}})
	})
	want := 2
	if err != nil {
		want = 0
	}
	if rows, entries := len(b.ids(store.Query{})), len(b.ids(store.Query{Index: "tag"})); rows != want || entries != want {
		t.Errorf("after error %v: %d rows and %d entries", err, rows, entries)
	}
}

func largeTransaction(t *testing.T, b *bench) {
	body := make([]byte, 40<<10)
	const n = 60
	b.update(func(tx store.Tx) error {
		for i := range n {
			body[0] = byte(i)
			if err := things.Put(tx, &thing{ID: fmt.Sprintf("%03d", i), Tags: []string{"x"}, Body: body}); err != nil {
				return err
			}
		}
		if got := len(ids(t, tx, store.Query{Index: "tag"})); got != n {
			t.Errorf("%d rows inside the transaction, want %d", got, n)
		}
		return nil
	})
	if got := len(b.ids(store.Query{Index: "tag"})); got != n {
		t.Errorf("%d rows after it, want %d", got, n)
	}
}

func writerSeesOthersCommit(t *testing.T, b *bench) {
	b.put(&thing{ID: "a", Email: "a@example.com"})
	b.update(func(tx store.Tx) error {
		v, err := things.First(tx, store.Query{Index: "email", Prefix: str("a@example.com")})
		if v == nil || v.ID != "a" {
			t.Errorf("found %+v", v)
		}
		return err
	})
}
