package pebble

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardedFS stands between the engine and its files, for four reasons.
//
// The engine answers some errors of the log and of directory syncs by a panic
// with its locks half released, which no recover survives. Such an error never
// reaches it: the store is marked as failed first, and then the engine is told
// that all is well. Nothing is acknowledged on the strength of that, because
// whoever waits for a sync looks at the mark before it answers.
//
// A failed store changes nothing on the disk any more, whatever the engine's
// remaining goroutines believe: the log swallows what is written and all else
// is refused. What the next start finds is what was there at the failure.
//
// While the engine opens, an error after it has begun to write ends its
// goroutine where it stands: its own way back would take away what goroutines
// it has already started go on using.
//
// And a manifest, or a marker that names one, is made findable at once: the
// engine syncs the directory only after both exist and the old marker is gone.
// Where a filesystem keeps directory entries in no order, a power failure
// between them could leave a marker that names nothing.
type guardedFS struct {
	vfs.FS
	db *DB

	opening atomic.Bool
	writes  atomic.Bool // something has been written since Open began

	mu   sync.Mutex
	lock io.Closer
}

var errFenced = errors.New("the store has failed and writes nothing more")

// Unwrap lets the engine find the disk below.
func (g *guardedFS) Unwrap() vfs.FS { return g.FS }

// fenced is asked before anything is changed.
func (g *guardedFS) fenced() error {
	if g.db.failedError() != nil {
		return g.refuse(errFenced)
	}
	return nil
}

// refuse passes an error on to the engine, except while it opens.
func (g *guardedFS) refuse(err error) error {
	if err != nil && g.opening.Load() && g.writes.Load() {
		g.db.fail(opOpen, err)
		select {} // Open has been answered by the failure
	}
	return err
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

func (g *guardedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if isLog(name) {
		return g.openLog(func() (vfs.File, error) { return g.FS.Create(name, c) })
	}
	if err := g.fenced(); err != nil {
		return nil, err
	}
	f, err := g.FS.Create(name, c)
	if err != nil {
		return nil, g.refuse(err)
	}
	g.writes.Store(true)
	base := g.PathBase(name)
	pointer := strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "marker.")
	return &guardedFile{File: f, fs: g, dir: g.PathDir(name), unfindable: pointer}, nil
}

func (g *guardedFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if isLog(newname) {
		return g.openLog(func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, c) })
	}
	if err := g.fenced(); err != nil {
		return nil, err
	}
	f, err := g.FS.ReuseForWrite(oldname, newname, c)
	if err != nil {
		return nil, g.refuse(err)
	}
	return &guardedFile{File: f, fs: g}, nil
}

func (g *guardedFS) openLog(open func() (vfs.File, error)) (vfs.File, error) {
	if g.db.failedError() == nil {
		f, err := open()
		if err == nil {
			return &logFile{File: f, fs: g}, nil
		}
		g.db.fail(opLog, err)
	}
	return &logFile{File: vfs.NewMemFile(nil), fs: g}, nil
}

func (g *guardedFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := g.fenced(); err != nil {
		return nil, err
	}
	f, err := g.FS.OpenReadWrite(name, c, opts...)
	if err != nil {
		return nil, g.refuse(err)
	}
	return &guardedFile{File: f, fs: g}, nil
}

func (g *guardedFS) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardedDir{File: f, fs: g}, nil
}

func (g *guardedFS) change(fn func() error) error {
	if err := g.fenced(); err != nil {
		return err
	}
	return g.refuse(fn())
}

// List is no change, but the engine lists its files late while it opens.
func (g *guardedFS) List(dir string) ([]string, error) {
	names, err := g.FS.List(dir)
	return names, g.refuse(err)
}

func (g *guardedFS) Link(oldname, newname string) error {
	return g.change(func() error { return g.FS.Link(oldname, newname) })
}

func (g *guardedFS) Remove(name string) error {
	return g.change(func() error { return g.FS.Remove(name) })
}

func (g *guardedFS) RemoveAll(name string) error {
	return g.change(func() error { return g.FS.RemoveAll(name) })
}

func (g *guardedFS) Rename(oldname, newname string) error {
	return g.change(func() error { return g.FS.Rename(oldname, newname) })
}

// Lock keeps the directory's lock, so that it can be given up for an engine
// that cannot be closed.
func (g *guardedFS) Lock(name string) (io.Closer, error) {
	closer, err := g.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lock = closer
	return closerFunc(g.unlock), nil
}

func (g *guardedFS) unlock() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lock == nil {
		return nil
	}
	err := g.lock.Close()
	g.lock = nil
	return err
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// syncDir makes the entries of a directory durable.
func (g *guardedFS) syncDir(name string) error {
	dir, err := g.FS.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// guardedFile is any file but a log.
type guardedFile struct {
	vfs.File
	fs         *guardedFS
	dir        string
	unfindable bool // its directory entry has to be synced with it
}

func (f *guardedFile) Write(p []byte) (n int, err error) {
	if err := f.fs.fenced(); err != nil {
		return 0, err
	}
	n, err = f.File.Write(p)
	return n, f.fs.refuse(err)
}

func (f *guardedFile) WriteAt(p []byte, off int64) (n int, err error) {
	if err := f.fs.fenced(); err != nil {
		return 0, err
	}
	n, err = f.File.WriteAt(p, off)
	return n, f.fs.refuse(err)
}

func (f *guardedFile) Sync() error { return f.sync(f.File.Sync) }

func (f *guardedFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *guardedFile) sync(fn func() error) error {
	if err := f.fs.change(fn); err != nil {
		return err
	}
	return f.find()
}

func (f *guardedFile) find() error {
	if !f.unfindable {
		return nil
	}
	f.unfindable = false
	return f.fs.refuse(f.fs.syncDir(f.dir))
}

func (f *guardedFile) Close() error {
	var err error
	if f.fs.db.failedError() == nil {
		err = f.find()
	}
	return f.fs.refuse(errors.Join(err, f.File.Close()))
}

// logFile is a file of the write-ahead log.
type logFile struct {
	vfs.File
	fs *guardedFS
}

// do reports success always; see guardedFS.
func (f *logFile) do(fn func() error) {
	if f.fs.db.failedError() != nil {
		return
	}
	if err := fn(); err != nil {
		f.fs.db.fail(opLog, err)
	}
}

func (f *logFile) Write(p []byte) (int, error) {
	n := len(p)
	f.do(func() error { _, err := f.File.Write(p); return err })
	return n, nil
}

func (f *logFile) Sync() error { f.do(f.File.Sync); return nil }

func (f *logFile) SyncData() error { f.do(f.File.SyncData); return nil }

func (f *logFile) SyncTo(length int64) (full bool, err error) {
	f.do(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, nil
}

func (f *logFile) Close() error {
	// After a failure the descriptor is still given back.
	if err := f.File.Close(); err != nil && f.fs.db.failedError() == nil {
		f.fs.db.fail(opLog, err)
	}
	return nil
}

// guardedDir is an open directory.
type guardedDir struct {
	vfs.File
	fs *guardedFS
}

// Sync reports success always; see guardedFS.
func (d *guardedDir) Sync() error {
	if d.fs.db.failedError() != nil {
		return nil
	}
	if err := d.File.Sync(); err != nil {
		d.fs.db.fail(opSync, err)
	}
	return nil
}
