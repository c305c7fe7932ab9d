package pebble_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
	"ticketgate/ticketing/store/storetest"
)

func TestExam(t *testing.T) {
	t.Parallel()
	storetest.Exam(t, func(t *testing.T, now func() time.Time) store.DB { return storetest.OpenAt(t, now) })
}

// openSmall opens a store whose files are small: its memtables are flushed
// every few dozen changes.
func openSmall(fs vfs.FS, onFatal func(error)) (store.DB, error) {
	return pebble.OpenMem(pebble.Options{
		FS: fs, Now: time.Now, MemTableSize: 64 << 10, StallLimit: 50 * time.Millisecond, OnFatal: onFatal,
	})
}

func TestCrashes(t *testing.T) {
	t.Parallel()
	storetest.CrashExam(t, openSmall)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	storetest.FaultExam(t, openSmall)
}
