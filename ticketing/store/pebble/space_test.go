package pebble_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
	"ticketgate/ticketing/store/storetest"
)

func TestFreeSpaceFloor(t *testing.T) {
	t.Parallel()
	clock := storetest.NewClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	var free atomic.Uint64
	var asked atomic.Int64
	var silent atomic.Bool
	free.Store(1000)
	db := open(t, "store", pebble.Options{
		FS: vfs.NewMem(), Now: clock.Now, MinFree: 500,
		DiskUsage: func(dir string) (vfs.DiskUsage, error) {
			asked.Add(1)
			if dir != "store" {
				t.Errorf("asked about %q", dir)
			}
			if silent.Load() {
				return vfs.DiskUsage{}, errors.New("no answer")
			}
			return vfs.DiskUsage{AvailBytes: free.Load()}, nil
		},
	})
	if asked.Load() == 0 {
		t.Error("the disk was not asked at open")
	}
	for _, step := range []struct {
		free   uint64
		wait   time.Duration
		silent bool
		want   error
	}{
		{free: 1000, want: nil},
		{free: 499, want: nil},                                                // not asked yet
		{free: 499, wait: time.Second, want: store.ErrNoSpace},                // asked
		{free: 1000, want: store.ErrNoSpace},                                  // not asked yet
		{free: 1000, wait: time.Second, silent: true, want: store.ErrNoSpace}, // no news
		{free: 500, wait: time.Second, want: nil},                             // at the floor is enough
		{free: 0, wait: -time.Hour, want: store.ErrNoSpace},                   // a clock set back is no reason not to ask
	} {
		free.Store(step.free)
		silent.Store(step.silent)
		clock.Advance(step.wait)
		if err := db.Space(); !errors.Is(err, step.want) {
			t.Errorf("%+v: Space says %v", step, err)
		}
		if err := put(db, "a", "x"); err != nil { // work that frees space goes on
			t.Errorf("%+v: Update: %v", step, err)
		}
	}
	before := asked.Load()
	for range 1000 {
		_ = db.Space()
	}
	if n := asked.Load() - before; n > 1 {
		t.Errorf("the disk was asked %d times at one moment", n)
	}
}

// The floor is a number of bytes or a share of the disk, whichever is more.
func TestFloorAsAShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		least       uint64
		percent     int
		total, free uint64
		want        error
	}{
		{0, 10, 10_000, 1000, nil},
		{0, 10, 10_000, 999, store.ErrNoSpace},
		{500, 10, 10_000, 999, store.ErrNoSpace},
		{2000, 10, 10_000, 1999, store.ErrNoSpace},
		{2000, 10, 10_000, 2000, nil},
		{500, 0, 10_000, 500, nil},
		{0, 10, 0, 0, nil}, // a disk that does not say how large it is
	} {
		db := open(t, "store", pebble.Options{
			FS: vfs.NewMem(), Now: time.Now, MinFree: c.least, MinFreePercent: c.percent,
			DiskUsage: func(string) (vfs.DiskUsage, error) {
				return vfs.DiskUsage{AvailBytes: c.free, TotalBytes: c.total}, nil
			},
		})
		if err := db.Space(); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// fullDisk answers writes with ENOSPC: to the first few, or as long as it is
// full.
type fullDisk struct {
	kinds []errorfs.OpKind
	file  string
	left  atomic.Int64 // operations still to fail
	hits  atomic.Int64
}

func (d *fullDisk) String() string { return "full disk" }

func (d *fullDisk) MaybeError(op errorfs.Op) error {
	if !strings.Contains(op.Path, d.file) || strings.Contains(op.Path, "ballast") {
		return nil
	}
	for _, kind := range d.kinds {
		if op.Kind == kind && d.left.Load() > 0 {
			d.left.Add(-1)
			d.hits.Add(1)
			return syscall.ENOSPC
		}
	}
	return nil
}

// The ballast is there from the start; when the disk is full it goes, and what
// was being written is finished; when there is room again it comes back.
func TestBallast(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	mem := vfs.NewMem()
	disk := &fullDisk{kinds: []errorfs.OpKind{errorfs.OpFileWrite}, file: ".log"}
	clock := storetest.NewClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	var free atomic.Uint64
	free.Store(10 << 20)
	db := open(t, "store", pebble.Options{
		FS: errorfs.Wrap(mem, disk), Now: clock.Now, Ballast: size, MinFree: 100,
		DiskUsage: func(string) (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: free.Load()}, nil },
		OnFatal:   func(err error) { t.Errorf("fatal: %v", err) },
	})
	waitBallast(t, mem, size)
	free.Store(50)
	disk.left.Store(1)
	if err := put(db, "a", "written on a full disk"); err != nil {
		t.Fatalf("Update on a full disk with ballast: %v", err)
	}
	if disk.hits.Load() != 1 {
		t.Fatal("the disk was not full: the test shows nothing")
	}
	if _, err := mem.Stat("store/ballast"); err == nil {
		t.Error("the ballast is still there")
	}
	if err := db.Space(); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("Space on a full disk: %v", err)
	}
	free.Store(100 + size) // room for the ballast only just: making it would close the doors
	clock.Advance(time.Second)
	if err := db.Space(); err != nil {
		t.Errorf("Space with room again: %v", err)
	}
	if _, err := mem.Stat("store/ballast"); err == nil {
		t.Error("the ballast was made too early")
	}
	free.Store(10 << 20)
	clock.Advance(time.Second)
	if err := db.Space(); err != nil {
		t.Errorf("Space: %v", err)
	}
	waitBallast(t, mem, size)
	if got := text(t, db, "a"); got != "written on a full disk" {
		t.Errorf("read %q", got)
	}
}

func waitBallast(t *testing.T, mem *vfs.MemFS, size int64) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		if info, err := mem.Stat("store/ballast"); err == nil && info.Size() == size {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no ballast")
		}
		time.Sleep(time.Millisecond)
	}
}

// Without ballast, a log that cannot be written is the end of the store.
func TestFullLogIsFatal(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{kinds: []errorfs.OpKind{errorfs.OpFileWrite}, file: ".log"}
	fatal := make(chan error, 1)
	reg := prometheus.NewRegistry()
	db, err := pebble.OpenMem(pebble.Options{FS: errorfs.Wrap(vfs.NewMem(), disk), Now: time.Now, Registerer: reg, OnFatal: func(err error) { fatal <- err }})
	if err != nil {
		t.Fatal(err)
	}
	disk.left.Store(1000)
	if err := put(db, "a", "x"); !errors.Is(err, store.ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Update: %v", err)
	}
	if err := <-fatal; !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("OnFatal: %v", err)
	}
	if got := gather(t, reg)["ticketgate_store_errors_total"]; got < 2 { // the full disk and the log
		t.Errorf("%v errors counted", got)
	}
	if err := db.Close(); !errors.Is(err, store.ErrFailed) {
		t.Errorf("Close: %v", err)
	}
}

// A full disk under the tables holds writers up and is over when there is room
// again; the engine's complaints do not fill the log meanwhile.
func TestFullTablesRecover(t *testing.T) {
	t.Parallel()
	disk := &fullDisk{kinds: []errorfs.OpKind{errorfs.OpCreate}, file: ".sst"}
	var lines logLines
	db, err := pebble.OpenMem(pebble.Options{
		FS: errorfs.Wrap(vfs.NewMem(), disk), Now: time.Now, MemTableSize: 64 << 10, StallLimit: time.Millisecond, Log: lines.logger(),
		OnFatal: func(err error) { t.Errorf("fatal: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	disk.left.Store(3000)
	body := strings.Repeat("x", 10_000)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 20 {
				if err := put(db, fmt.Sprint(w, i), body); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if disk.hits.Load() < 3000 {
		t.Errorf("only %d flushes failed: the test shows nothing", disk.hits.Load())
	}
	if n := lines.count(); n == 0 || n > 1500 {
		t.Errorf("%d lines logged for %d failures", n, disk.hits.Load())
	}
	if got := text(t, db, fmt.Sprint(3, 19)); got != body {
		t.Errorf("read %d bytes", len(got))
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// A transaction that would take too much memory is refused, not attempted.
func TestTransactionIsBounded(t *testing.T) {
	t.Parallel()
	db := storetest.Open(t)
	err := db.Update(context.Background(), func(tx store.Tx) error {
		chunk := make([]byte, store.MaxValue)
		for n := range uint32(2000) {
			if err := tx.PutChunk(store.Key{}.Str("c"), n, chunk); err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Update: %v", err)
	}
}
