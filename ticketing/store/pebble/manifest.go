package pebble

import (
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// manifestFS makes a new manifest findable before anything points to it. The
// engine syncs the manifest's content, then writes the marker file that names
// it, and syncs the directory once, after both. Where a filesystem keeps the
// two directory entries in no order, a power failure between them can leave a
// marker that names nothing, and a store that does not open. Here the first
// sync of a manifest syncs its directory too.
type manifestFS struct{ vfs.FS }

// Unwrap lets the engine find the disk below.
func (fs manifestFS) Unwrap() vfs.FS { return fs.FS }

func (fs manifestFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, c)
	if err != nil || !strings.HasPrefix(fs.PathBase(name), "MANIFEST-") {
		return f, err
	}
	return &manifestFile{File: f, fs: fs.FS, dir: fs.PathDir(name)}, nil
}

type manifestFile struct {
	vfs.File
	fs       vfs.FS
	dir      string
	findable atomic.Bool
}

func (f *manifestFile) Sync() error { return f.synced(f.File.Sync()) }

func (f *manifestFile) SyncData() error { return f.synced(f.File.SyncData()) }

func (f *manifestFile) synced(err error) error {
	if err != nil || f.findable.Load() {
		return err
	}
	dir, err := f.fs.OpenDir(f.dir)
	if err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		_ = dir.Close()
		return err
	}
	f.findable.Store(true)
	return dir.Close()
}
