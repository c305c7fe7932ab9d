// Package storetest holds the exam that every engine of package store passes,
// and gives other packages' tests a real store in one line:
//
//	db := storetest.Open(t)
//
// A test that pulls the plug uses OpenCrashable:
//
//	c := storetest.OpenCrashable(t, clock)
//	… c.DB.Update(…) …
//	after := c.Crash(50)   // half of what was never synced survived
//	… after.DB.View(…) …
package storetest

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

// Open returns an empty store in memory on the real engine. It is closed when
// the test ends, if it has not been closed by then.
func Open(t testing.TB) store.DB { return OpenAt(t, time.Now) }

// OpenAt is Open with the test's own clock.
func OpenAt(t testing.TB, now func() time.Time) store.DB {
	t.Helper()
	return openOn(t, vfs.NewMem(), now)
}

func openOn(t testing.TB, fs vfs.FS, now func() time.Time) store.DB {
	t.Helper()
	db, err := pebble.OpenMem(pebble.Options{FS: fs, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close the store: %v", err)
		}
	})
	return db
}

// Crashable is a store on a disk that can lose power.
type Crashable struct {
	DB store.DB
	FS *vfs.MemFS // the disk

	t   testing.TB
	now func() time.Time
}

// OpenCrashable returns an empty store on a crashable disk. Both are gone when
// the test ends, if it has not been closed by then.
func OpenCrashable(t testing.TB, now func() time.Time) *Crashable {
	t.Helper()
	fs := vfs.NewCrashableMem()
	return &Crashable{DB: openOn(t, fs, now), FS: fs, t: t, now: now}
}

// Crash returns the store as the next start would find it had the power failed
// at this moment. Each block and each directory entry that was written but not
// synced survives with keep percent probability. The store it is called on
// goes on unharmed, so that a test can crash at many moments of one run. It
// must be called from the test's goroutine; see Disk for other places.
func (c *Crashable) Crash(keep int) *Crashable {
	c.t.Helper()
	return c.Reopen(c.Disk(keep, uint64(keep)+1))
}

// Disk returns the disk as a power failure at this moment would leave it. It
// may be called from any goroutine; seed makes the choice of surviving blocks
// repeatable.
func (c *Crashable) Disk(keep int, seed uint64) *vfs.MemFS {
	return c.FS.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: keep,
		RNG:                 rand.New(rand.NewPCG(seed, 0x7105)),
	})
}

// Reopen opens the store on a disk that Disk returned.
func (c *Crashable) Reopen(disk *vfs.MemFS) *Crashable {
	c.t.Helper()
	return &Crashable{DB: openOn(c.t, disk, c.now), FS: disk, t: c.t, now: c.now}
}
