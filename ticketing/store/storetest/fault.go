package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"ticketgate/ticketing/store"
)

// FaultExam makes files fail under a store at work. Whatever fails, no call
// hangs and the process goes on; nothing that was acknowledged is missing on
// the disk that is left, and nothing is there by half. A write error is
// store.ErrFailed for every later Update and is told to onFatal once; damaged
// data is store.ErrCorrupt for whoever reads it, and is never taken for good.
func FaultExam(t *testing.T, open OpenOn) {
	for _, f := range faults {
		for _, sticky := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/sticky=%v", f.name, sticky), func(t *testing.T) {
				t.Parallel()
				inTime(t, func() { faultAtWork(t, open, f, sticky) })
			})
		}
	}
	t.Run("WhileOpening", func(t *testing.T) { t.Parallel(); inTime(t, func() { faultsWhileOpening(t, open) }) })
	t.Run("DamagedTables", func(t *testing.T) { t.Parallel(); inTime(t, func() { damagedTables(t, open) }) })
}

// patience is how long a question about faults may take before it counts as
// hanging. It is far above what any takes.
const patience = 60 * time.Second

func inTime(t *testing.T, question func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); question() }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("no end after %v: something hangs", patience)
	}
}

// fault is one way for files to fail.
type fault struct {
	name  string
	kinds []errorfs.OpKind
	file  string // kind of file (kindOf); "" is any
	after int    // operations of that kind that succeed first
	read  bool   // a failing read spoils no write
}

var (
	opsWrite = []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileWriteAt}
	opsSync  = []errorfs.OpKind{errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo}
	opsRead  = []errorfs.OpKind{errorfs.OpFileRead, errorfs.OpFileReadAt}
	opsMake  = []errorfs.OpKind{errorfs.OpCreate, errorfs.OpReuseForWrite}
)

var faults = []fault{
	{name: "WriteLog", kinds: opsWrite, file: "log"},
	{name: "WriteLogLater", kinds: opsWrite, file: "log", after: 12},
	{name: "SyncLog", kinds: opsSync, file: "log"},
	{name: "SyncLogLater", kinds: opsSync, file: "log", after: 12},
	{name: "CreateLog", kinds: opsMake, file: "log"},
	{name: "CreateTable", kinds: opsMake, file: "sst"},
	{name: "WriteTable", kinds: opsWrite, file: "sst", after: 1},
	{name: "SyncTable", kinds: opsSync, file: "sst"},
	{name: "ReadTable", kinds: opsRead, file: "sst", read: true},
	{name: "WriteManifest", kinds: opsWrite, file: "MANIFEST"},
	{name: "SyncManifest", kinds: opsSync, file: "MANIFEST"},
	{name: "SyncDirectory", kinds: opsSync, file: "directory"},
	{name: "Remove", kinds: []errorfs.OpKind{errorfs.OpRemove}},
	{name: "AnyCreate", kinds: opsMake, after: 2},
	{name: "AnySync", kinds: opsSync, after: 25},
	{name: "AnyWrite", kinds: opsWrite, after: 60},
}

var errDisk = errors.New("the disk failed on purpose")

// injector fails operations once it is armed.
type injector struct {
	fault  fault
	sticky bool
	armed  atomic.Bool
	seen   atomic.Int64
	hits   atomic.Int64
}

func (i *injector) String() string { return i.fault.name }

// MaybeError implements errorfs.Injector.
func (i *injector) MaybeError(op errorfs.Op) error {
	if !i.armed.Load() || i.fault.file != "" && kindOf(op.Path) != i.fault.file {
		return nil
	}
	for _, kind := range i.fault.kinds {
		if op.Kind != kind {
			continue
		}
		n := int(i.seen.Add(1)) - 1
		if n == i.fault.after || i.sticky && n > i.fault.after {
			i.hits.Add(1)
			return errDisk
		}
	}
	return nil
}

func faultAtWork(t *testing.T, open OpenOn, f fault, sticky bool) {
	disk := vfs.NewCrashableMem()
	inj := &injector{fault: f, sticky: sticky}
	fatal := make(chan error, 8)
	db, err := open(errorfs.Wrap(disk, inj), func(err error) { fatal <- err })
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	inj.armed.Store(true)
	failures := writeUntilFailure(db, l, 60)
	failed := false
	for _, err := range failures {
		switch {
		case errors.Is(err, store.ErrFailed):
			failed = true
		case f.read && errors.Is(err, errDisk), f.read && errors.Is(err, store.ErrCorrupt):
		default:
			t.Errorf("a writer got %v", err)
		}
	}
	if failed {
		checkFailed(t, db, l, fatal)
	}
	inj.armed.Store(f.read) // the rest is about what is on the disk
	if err := db.Close(); err != nil && !errors.Is(err, store.ErrFailed) {
		t.Errorf("Close: %v", err)
	}
	for _, keep := range []int{0, 100} {
		c := &crasher{t: t, open: open}
		c.audit(clone{disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(1, 2))}),
			l.acked(), l.begun(), fmt.Sprintf("the end, %d %% kept", keep)}, false)
	}
	if inj.hits.Load() == 0 {
		t.Error("nothing failed: the load does not reach this kind of operation")
	}
	t.Logf("%d operations failed, acknowledged %v, failed %v", inj.hits.Load(), l.acked(), failed)
}

// writeUntilFailure lets all writers of the ledger make up to n changes, each
// until its first error.
func writeUntilFailure(db store.DB, l *ledger, n int) (failures []error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for w := range ledgerWriters {
		wg.Go(func() {
			for range n {
				if err := l.change(context.Background(), db, w, nil); err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	wg.Wait()
	return failures
}

// checkFailed: a failed store says so to everybody who wants to write, told the
// program once, and can still be read.
func checkFailed(t *testing.T, db store.DB, l *ledger, fatal chan error) {
	t.Helper()
	if err := <-fatal; !errors.Is(err, store.ErrFailed) {
		t.Errorf("onFatal was told %v", err)
	}
	ran := false
	for name, err := range map[string]error{
		"Update":   db.Update(context.Background(), func(store.Tx) error { ran = true; return nil }),
		"PutChunk": db.PutChunk(context.Background(), str("c"), 0, []byte("c")),
		"Space":    db.Space(),
	} {
		if !errors.Is(err, store.ErrFailed) {
			t.Errorf("%s of a failed store: %v", name, err)
		}
	}
	if ran {
		t.Error("a failed store ran the closure of an Update")
	}
	if err := audit(db, l.acked(), l.begun()); err != nil && !errors.Is(err, errDisk) {
		t.Errorf("reading a failed store: %v", err)
	}
	select {
	case err := <-fatal:
		t.Errorf("onFatal was called again: %v", err)
	default:
	}
}

// faultsWhileOpening fails one operation of the recovery of a store at a time:
// each that changes the disk, and some of those that read. Open succeeds or
// returns an error; it loses nothing.
func faultsWhileOpening(t *testing.T, open OpenOn) {
	base := vfs.NewCrashableMem()
	db, err := open(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := newLedger()
	if failures := writeUntilFailure(db, l, 20); len(failures) > 0 {
		t.Fatal(failures)
	}
	reads := 8
	if raceDetector {
		reads = 24
	}
	tried, refused := 0, 0
	for n := int64(0); ; n++ {
		disk := base.CrashClone(vfs.CrashCloneCfg{})
		var ops atomic.Int64
		var off, hit atomic.Bool
		opened, err := open(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if ops.Add(1)-1 != n || off.Load() || op.Kind.ReadOrWrite() == errorfs.OpIsRead && int(n)%reads > 0 {
				return nil
			}
			hit.Store(true)
			return errDisk
		})), nil)
		off.Store(true)
		origin := fmt.Sprintf("operation %d of the recovery", n)
		if err != nil {
			refused++
			if !errors.Is(err, errDisk) && !errors.Is(err, store.ErrFailed) && !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("%s failed: Open says %v", origin, err)
			}
		} else if cerr := opened.Close(); cerr != nil && !errors.Is(cerr, store.ErrFailed) {
			t.Errorf("%s failed: Close: %v", origin, cerr)
		}
		if hit.Load() {
			tried++
			c := &crasher{t: t, open: open}
			c.audit(clone{disk.CrashClone(vfs.CrashCloneCfg{}), l.acked(), l.begun(), origin}, false)
		}
		if ops.Load() <= n {
			t.Logf("%d operations failed, %d openings were refused", tried, refused)
			return
		}
	}
}

// damagedTables overwrites a few bytes of table files. What is read is right,
// or is store.ErrCorrupt.
func damagedTables(t *testing.T, open OpenOn) {
	base := vfs.NewCrashableMem()
	db, err := open(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	if failures := writeUntilFailure(db, l, 40); len(failures) > 0 {
		t.Fatal(failures)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	corrupt := 0
	for _, at := range []float64{0.02, 0.5, 0.9} {
		disk := base.CrashClone(vfs.CrashCloneCfg{})
		if damage(t, disk, at) == 0 {
			t.Fatal("there is no table file to damage")
		}
		db, err := open(disk, nil)
		if err != nil {
			corrupt++
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("damage at %v: Open: %v", at, err)
			}
			continue
		}
		switch err := audit(db, l.acked(), l.begun()); {
		case errors.Is(err, store.ErrCorrupt):
			corrupt++
		case err != nil:
			t.Errorf("damage at %v: %v", at, err)
		}
		if err := db.Close(); err != nil && !errors.Is(err, store.ErrFailed) {
			t.Errorf("damage at %v: Close: %v", at, err)
		}
	}
	if corrupt == 0 {
		t.Error("no damage was noticed: the test shows nothing")
	}
}

// damage overwrites 16 bytes of every table file, at a part of its length.
func damage(t *testing.T, disk *vfs.MemFS, at float64) (files int) {
	var walk func(dir string)
	walk = func(dir string) {
		names, err := disk.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := disk.PathJoin(dir, name)
			info, err := disk.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				walk(path)
				continue
			}
			if kindOf(path) != "sst" {
				continue
			}
			f, err := disk.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("damaged, damaged"), int64(float64(info.Size())*at)); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				t.Fatal(err)
			}
			files++
		}
	}
	walk("/")
	return files
}
