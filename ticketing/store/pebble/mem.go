package pebble

import "github.com/cockroachdb/pebble/v2/vfs"

// OpenMem opens a store for a test: small, and in memory unless o.FS says
// otherwise. Nothing else is different from Open.
func OpenMem(o Options) (*DB, error) {
	if o.FS == nil {
		o.FS = vfs.NewMem()
	}
	if o.CacheSize == 0 {
		o.CacheSize = 1 << 20
	}
	if o.MemTableSize == 0 {
		o.MemTableSize = 1 << 20
	}
	return Open("store", o)
}
