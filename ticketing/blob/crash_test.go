package blob_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

// outage is a disk as a power failure left it, and what was promised by then.
type outage struct {
	disk  *vfs.MemFS
	acked [][]byte
}

// Power fails at every step of uploads and links. Whatever the disk kept:
// content whose link was answered is there and whole, content that can be
// opened at all is whole, and everything else is gone a day later.
func TestPowerFailure(t *testing.T) {
	t.Parallel()
	clk := &clock{t: start}
	c := storetest.OpenCrashable(t, clk.now)
	var (
		outages []outage
		acked   [][]byte
		seed    uint64
	)
	fail := func() {
		seed++
		keep := []int{0, 50, 100}[seed%3]
		outages = append(outages, outage{c.Disk(keep, seed), slices.Clone(acked)})
	}
	db := &fragile{DB: c.DB, fail: fail}
	s := blob.New(db, random(1))
	ctx := context.Background()
	var all [][]byte
	for i, size := range []int{10, 3 * chunk, 0, chunk + 1} {
		content := text(byte(i), size)
		all = append(all, content)
		w := s.Create(ctx)
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		fail()
		sealed, err := w.Seal()
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(ctx, func(tx store.Tx) error {
			err := sealed.Link(tx)
			fail()
			return err
		}); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, content)
		fail()
		abandoned := s.Create(ctx)
		if _, err := abandoned.Write(text(byte(50+i), 2*chunk+1)); err != nil {
			t.Fatal(err)
		}
		fail()
	}
	if len(outages) < 20 {
		t.Fatalf("only %d outages, the test has lost its teeth", len(outages))
	}
	clk.move(25 * time.Hour)
	orphans := 0
	for _, o := range outages {
		orphans += examine(t, c.Reopen(o.disk).DB, all, o.acked)
	}
	if orphans == 0 {
		t.Error("no outage left an orphan, the test has lost its teeth")
	}
}

// examine checks a store after an outage and returns how many orphans it had.
func examine(t *testing.T, db store.DB, all, acked [][]byte) int {
	t.Helper()
	ctx := context.Background()
	s := blob.New(db, random(2))
	swept, err := s.Sweep(ctx)
	if err != nil {
		t.Fatal(err)
	}
	linked := 0
	for i, content := range all {
		got, err := s.ReadAll(ctx, name(content), 1<<20)
		switch {
		case err == nil && bytes.Equal(got, content):
			if len(content) > 0 {
				linked++
			}
		case i < len(acked):
			t.Errorf("content %d was promised and reads %d bytes, %v", i, len(got), err)
		case !isNotFound(err):
			t.Errorf("content %d: %d bytes, %v; want all of it or nothing", i, len(got), err)
		}
	}
	if ids := len(chunksIn(t, db)); ids != linked {
		t.Errorf("%d ids of chunks after sweeping, %d contents", ids, linked)
	}
	return swept
}

// fragile fails the power around every streamed chunk.
type fragile struct {
	store.DB
	fail func()
}

func (f *fragile) PutChunk(ctx context.Context, id store.Key, n uint32, data []byte) error {
	f.fail()
	err := f.DB.PutChunk(ctx, id, n, data)
	f.fail()
	return err
}

// Power fails while sessions upload side by side.
func TestPowerFailureUnderLoad(t *testing.T) {
	t.Parallel()
	clk := &clock{t: start}
	c := storetest.OpenCrashable(t, clk.now)
	s := blob.New(c.DB, random(1))
	var (
		mu      sync.Mutex
		acked   [][]byte
		outages []outage
	)
	var wg sync.WaitGroup
	for worker := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 1))
			for i := range 5 {
				content := text(byte(worker*5+i), rng.IntN(2*chunk+chunk/2))
				w := s.Create(context.Background())
				if _, err := w.Write(content); err != nil {
					t.Error(err)
					return
				}
				sealed, err := w.Seal()
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.DB.Update(context.Background(), sealed.Link); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked = append(acked, content)
				known := slices.Clone(acked)
				mu.Unlock()
				o := outage{c.Disk([]int{0, 50, 100}[i%3], uint64(worker*5+i)), known}
				mu.Lock()
				outages = append(outages, o)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	clk.move(25 * time.Hour)
	for _, o := range outages {
		db := c.Reopen(o.disk).DB
		after := blob.New(db, random(2))
		for _, content := range o.acked {
			got, err := after.ReadAll(context.Background(), name(content), 1<<20)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("promised content reads %d bytes, %v", len(got), err)
			}
		}
	}
}
