package pebble

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/ticketing/store"
)

// spaceEvery is how often the disk is asked for its free space at most.
const spaceEvery = 300 * time.Millisecond

// space watches the disk: the floor below which doors stop taking work in, and
// the ballast that is thrown off when the disk is full all the same.
type space struct {
	db      *DB
	fs      vfs.FS // the files themselves, below every wrapper
	dir     string
	ballast string
	size    uint64 // of the ballast
	floor   atomic.Uint64
	least   uint64 // of the floor
	share   int    // of the floor in the disk, percent
	usage   func(dir string) (vfs.DiskUsage, error)
	health  io.Closer

	last  atomic.Int64 // when the disk was last asked, ns
	free  atomic.Uint64
	known atomic.Bool // free has a value
	below atomic.Bool

	mu      sync.Mutex // guards the ballast file
	loaded  bool       // the ballast is there
	making  bool
	stopped bool
	work    sync.WaitGroup
}

func newSpace(db *DB, fs vfs.FS, dir string, o Options) *space {
	s := &space{
		db: db, fs: fs, dir: dir, ballast: fs.PathJoin(dir, "ballast"),
		size: o.Ballast, least: o.MinFree, share: max(0, min(o.MinFreePercent, 100)), usage: o.DiskUsage,
	}
	s.floor.Store(s.least)
	if s.usage == nil {
		s.usage = fs.GetDiskUsage
	}
	if info, err := fs.Stat(s.ballast); err == nil && s.size > 0 && info.Size() == int64(s.size) {
		s.loaded = true
	}
	return s
}

// report asks the disk if it is time to and compares with the floor.
func (s *space) report() error {
	s.tick()
	if s.below.Load() {
		return fmt.Errorf("%w: %d bytes free of %d needed", store.ErrNoSpace, s.free.Load(), s.floor.Load())
	}
	return nil
}

// tick asks the disk unless that was done a moment ago.
func (s *space) tick() {
	now := s.db.now().UnixNano()
	last := s.last.Load()
	if age := time.Duration(now - last); age >= 0 && age < spaceEvery {
		return
	}
	if s.last.CompareAndSwap(last, now) {
		s.check()
	}
}

// check asks the disk. If it does not answer, what was known stays.
func (s *space) check() {
	s.last.Store(s.db.now().UnixNano())
	usage, err := s.usage(s.dir)
	if err != nil {
		if !errors.Is(err, vfs.ErrUnsupported) {
			s.db.metrics.failed(opRead)
		}
		return
	}
	s.free.Store(usage.AvailBytes)
	s.known.Store(true)
	floor := max(s.least, usage.TotalBytes/100*uint64(s.share))
	s.floor.Store(floor)
	if below := usage.AvailBytes < floor; s.below.Swap(below) != below {
		s.db.log.Warn("store: free space crossed the floor", "free", usage.AvailBytes, "floor", floor, "below", below)
	}
	// Taking the ballast must leave room above the floor, or it would be the
	// ballast that closes the doors.
	if s.size > 0 && usage.AvailBytes >= floor+2*s.size {
		s.load()
	}
}

func (s *space) freeBytes() (uint64, bool) {
	s.check()
	return s.free.Load(), s.known.Load()
}

// load makes the ballast in the background if it is missing.
func (s *space) load() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded || s.making || s.stopped {
		return
	}
	s.making = true
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		err := s.fill()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.making = false
		s.loaded = err == nil
		if err != nil {
			s.db.metrics.failed(opBallast)
			s.db.log.Error("store: cannot make the ballast file", "err", err)
			s.remove()
		}
	}()
}

// fill reserves the ballast's blocks, by the filesystem's own means if it has
// any, by writing otherwise.
func (s *space) fill() error {
	f, err := s.fs.Create(s.ballast, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i*7 + i>>8) // not zeros, which some filesystems do not store
	}
	for left := s.size; left > 0; {
		n := min(left, uint64(len(block)))
		if _, err := f.Write(block[:n:n]); err != nil {
			return err
		}
		left -= n
	}
	return f.Sync()
}

func (s *space) remove() {
	if err := s.fs.Remove(s.ballast); err != nil && !oserror.IsNotExist(err) {
		s.db.log.Error("store: cannot remove the ballast file", "err", err)
	}
}

// diskFull throws the ballast off. The engine repeats the write that hit the
// end of the disk once after this returns.
func (s *space) diskFull() {
	s.db.metrics.failed(opDiskFull)
	s.below.Store(s.floor.Load() > 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loaded {
		return
	}
	s.remove()
	s.loaded = false
	s.db.log.Error("store: the disk is full; the ballast file was removed to finish what is being written", "bytes", s.size)
}

// wait ends the ballast's work.
func (s *space) wait() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.work.Wait()
}

func (s *space) closeHealth() {
	if s.health != nil {
		_ = s.health.Close()
		s.health = nil
	}
}
