package storetest

import "github.com/cockroachdb/pebble/v2/vfs"

// syncFS tells about every sync of a file or directory, before and after it.
type syncFS struct {
	vfs.FS
	hook func(path string, after bool)
}

// Unwrap lets the engine find the disk below.
func (s *syncFS) Unwrap() vfs.FS { return s.FS }

func (s *syncFS) file(path string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &syncFile{File: f, path: path, hook: s.hook}, nil
}

func (s *syncFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	return s.file(name, f, err)
}

func (s *syncFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.FS.Open(name)
	f, err = s.file(name, f, err)
	for _, opt := range opts {
		if err == nil {
			opt.Apply(f)
		}
	}
	return f, err
}

func (s *syncFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.FS.OpenReadWrite(name, c)
	f, err = s.file(name, f, err)
	for _, opt := range opts {
		if err == nil {
			opt.Apply(f)
		}
	}
	return f, err
}

func (s *syncFS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	return s.file(name, f, err)
}

func (s *syncFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.ReuseForWrite(oldname, newname, c)
	return s.file(newname, f, err)
}

type syncFile struct {
	vfs.File
	path string
	hook func(path string, after bool)
}

func (f *syncFile) Sync() error {
	f.hook(f.path, false)
	err := f.File.Sync()
	f.hook(f.path, true)
	return err
}

func (f *syncFile) SyncData() error {
	f.hook(f.path, false)
	err := f.File.SyncData()
	f.hook(f.path, true)
	return err
}

func (f *syncFile) SyncTo(length int64) (bool, error) {
	f.hook(f.path, false)
	full, err := f.File.SyncTo(length)
	f.hook(f.path, true)
	return full, err
}
