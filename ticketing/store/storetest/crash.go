package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/ticketing/store"
)

// OpenOn opens a store on a disk. The exams of crashes and faults want an
// engine that flushes and rotates its files often (small memtables), so that
// every kind of file is in play.
type OpenOn func(fs vfs.FS, onFatal func(error)) (store.DB, error)

// crashClones is how many disks one crash exam looks at, at most. With the race
// detector on, the engine records a stack for every block it touches.
func crashClones() int {
	if raceDetector {
		return 150
	}
	return 540
}

// crashChanges bounds the changes of a writer, for an engine that syncs too
// rarely to be crashed often.
const crashChanges = 2000

// CrashExam pulls the plug at the syncs of a store under load, before and after
// each, with none, half and all of the unsynced data kept, and again while the
// store recovers from that. On each disk left behind, every change that
// had been acknowledged is there in full, none is there by half, and rows agree
// with indexes.
func CrashExam(t *testing.T, open OpenOn) {
	t.Run("AtEverySync", func(t *testing.T) { t.Parallel(); crashAtEverySync(t, open) })
	t.Run("HintsAreDurable", func(t *testing.T) { t.Parallel(); hintsAreDurable(t, open) })
	t.Run("EmptyUpdateIsDurable", func(t *testing.T) { t.Parallel(); emptyUpdateIsDurable(t, open) })
}

// clone is a disk after a crash, and what must and may be on it.
type clone struct {
	disk        *vfs.MemFS
	least, most mark
	origin      string
}

// crasher takes clones of a disk while a ledger is written on it.
type crasher struct {
	t      *testing.T
	open   OpenOn
	disk   *vfs.MemFS
	ledger *ledger
	clones chan clone
	full   chan struct{} // closed when there are enough

	mu    sync.Mutex
	seen  map[string]int // syncs by kind of file
	taken map[string]int // clones of them
	count int
	done  bool
}

func crashAtEverySync(t *testing.T, open OpenOn) {
	c := &crasher{t: t, open: open, disk: vfs.NewCrashableMem(), ledger: newLedger(),
		clones: make(chan clone, 8), full: make(chan struct{}), seen: map[string]int{}, taken: map[string]int{}}
	var auditors sync.WaitGroup
	var recoveries int
	var mu sync.Mutex
	for range 2 {
		auditors.Go(func() {
			for cl := range c.clones {
				n := c.audit(cl, true)
				mu.Lock()
				recoveries += n
				mu.Unlock()
			}
		})
	}
	db, err := open(&syncFS{FS: c.disk, hook: c.sync}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for w := range ledgerWriters {
		writers.Go(func() {
			for range crashChanges {
				select {
				case <-c.full:
					return
				default:
				}
				if err := c.ledger.change(context.Background(), db, w, nil); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	writers.Wait()
	if err := db.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	close(c.clones)
	auditors.Wait()
	t.Logf("%d crashes at syncs of %v, %d more during recovery, %v changes acknowledged", c.count, c.taken, recoveries, c.ledger.acked())
	if !c.done {
		t.Errorf("the load does not reach enough syncs of every kind of file: %v of %v %% of %d", c.taken, shares, crashClones())
	}
}

// shares are the parts of all clones, in percent, that are taken at syncs of
// each kind of file. The run ends when all have theirs.
var shares = map[string]int{"log": 35, "directory": 25, "MANIFEST": 20, "sst": 20}

// sync takes clones at a sync. Of the syncs of the log and of directories, by
// far the most frequent, some are passed over, so that the clones reach over
// many flushes and generations of the log.
func (c *crasher) sync(path string, after bool) {
	kind := kindOf(path)
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.seen[kind]
	c.seen[kind]++
	every := map[string]int{"log": 8, "directory": 3}[kind]
	if c.done || every > 1 && n >= 12 && (n/2)%every > 0 || shares[kind] > 0 && c.taken[kind]*100 >= shares[kind]*crashClones() {
		return
	}
	least := c.ledger.acked() // before the clone
	for _, keep := range []int{0, 50, 100} {
		c.count++
		c.taken[kind]++
		disk := c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(uint64(c.count), 1))})
		c.clones <- clone{disk, least, c.ledger.begun(), fmt.Sprintf("sync of %s (after: %v), %d %% kept", path, after, keep)}
	}
	for kind, share := range shares {
		if c.taken[kind]*100 < share*crashClones() {
			return
		}
	}
	c.done = true
	close(c.full)
}

func kindOf(path string) string {
	for _, kind := range []string{"MANIFEST", "OPTIONS", "marker"} {
		if strings.Contains(path, kind) {
			return kind
		}
	}
	if i := strings.LastIndexByte(path, '.'); i > strings.LastIndexByte(path, '/') && i+1 < len(path) {
		return path[i+1:]
	}
	return "directory"
}

// audit opens a clone and checks it. With again, the plug is pulled during the
// recovery too; the number of those crashes is returned.
func (c *crasher) audit(cl clone, again bool) (crashes int) {
	var fs vfs.FS = cl.disk
	var second []clone
	if again {
		var mu sync.Mutex
		recovering := true
		defer func() {
			for _, next := range second {
				c.audit(next, false)
			}
		}()
		fs = &syncFS{FS: cl.disk, hook: func(path string, after bool) {
			mu.Lock()
			defer mu.Unlock()
			// A few clones per recovery, at another sync each time.
			if !recovering || len(second) >= 1 || rand.IntN(6) > 0 {
				return
			}
			keep := rand.IntN(3) * 50
			disk := cl.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: keep, RNG: rand.New(rand.NewPCG(uint64(keep), 2))})
			second = append(second, clone{disk, cl.least, cl.most, cl.origin + fmt.Sprintf(", then sync of %s, %d %% kept", path, keep)})
		}}
		defer func() {
			mu.Lock()
			recovering = false
			crashes = len(second)
			mu.Unlock()
		}()
	}
	db, err := c.open(fs, nil)
	if err != nil {
		c.t.Errorf("crash at %s: cannot open: %v", cl.origin, err)
		return crashes
	}
	if err := audit(db, cl.least, cl.most); err != nil {
		c.t.Errorf("crash at %s: %v", cl.origin, err)
	}
	if err := db.Close(); err != nil {
		c.t.Errorf("crash at %s: close: %v", cl.origin, err)
	}
	return crashes
}

// A hint may tell the world: at its time the change is on the disk, whatever
// else is lost.
func hintsAreDurable(t *testing.T, open OpenOn) {
	disk := vfs.NewCrashableMem()
	db, err := open(disk, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	c := &crasher{t: t, open: open}
	for i := range uint64(10) {
		hinted := false
		err := l.change(t.Context(), db, 0, func() {
			hinted = true
			c.audit(clone{disk.CrashClone(vfs.CrashCloneCfg{}), mark{i + 1}, mark{i + 1}, "a hint"}, false)
		})
		if err != nil || !hinted {
			t.Fatalf("change %d: %v, hint ran: %v", i+1, err, hinted)
		}
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// An Update that wrote nothing answers with what others have written: when it
// returns nil, that is on the disk. The other's Update is held up at its sync,
// and the reading one must not overtake it.
func emptyUpdateIsDurable(t *testing.T, open OpenOn) {
	disk := vfs.NewCrashableMem()
	var mu sync.Mutex
	var atSync chan struct{} // told when a sync of the log begins
	var release chan struct{}
	db, err := open(&syncFS{FS: disk, hook: func(path string, after bool) {
		mu.Lock()
		told, wait := atSync, release
		if after || kindOf(path) != "log" {
			told = nil
		}
		if told != nil {
			atSync = nil
		}
		mu.Unlock()
		if told != nil {
			close(told)
			<-wait
		}
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	held, let := make(chan struct{}), make(chan struct{})
	mu.Lock()
	atSync, release = held, let
	mu.Unlock()

	var wg sync.WaitGroup
	wg.Go(func() {
		if err := db.Update(t.Context(), func(tx store.Tx) error { return things.Put(tx, &thing{ID: "a"}) }); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-held: // the change is visible now, and not on the disk
	case <-time.After(patience):
		t.Fatal("an Update does not sync the log")
	}
	var saw bool
	answered := make(chan struct{})
	wg.Go(func() {
		defer close(answered)
		err := db.Update(t.Context(), func(tx store.Tx) error {
			v, err := things.Find(tx, str("a"))
			saw = v != nil
			return err
		})
		if err != nil {
			t.Error(err)
		}
		after, err := open(disk.CrashClone(vfs.CrashCloneCfg{}), nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer after.Close()
		err = after.View(t.Context(), func(r store.Reader) error {
			v, err := things.Find(r, str("a"))
			if saw && v == nil {
				t.Error("an Update answered from a change that a crash takes away")
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	// A right engine does not answer now. A wrong one gets the time to.
	select {
	case <-answered:
		t.Error("the reading Update answered while the sync was held up")
	case <-time.After(50 * time.Millisecond):
	}
	close(let)
	wg.Wait()
	if !saw {
		t.Error("the reading Update did not see the change: the test shows nothing")
	}
}
