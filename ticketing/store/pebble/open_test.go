package pebble_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

type note struct{ ID, Text string }

var notes = store.NewTable("note", 0xfa, []string{"id"}, func(n *note) store.Key { return store.Key{}.Str(n.ID) })

func put(db store.DB, id, text string) error {
	return db.Update(context.Background(), func(tx store.Tx) error { return notes.Put(tx, &note{id, text}) })
}

func text(t *testing.T, db store.DB, id string) (out string) {
	t.Helper()
	err := db.View(context.Background(), func(r store.Reader) error {
		n, err := notes.Get(r, store.Key{}.Str(id))
		if err == nil {
			out = n.Text
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// open opens a store that is closed at the end of the test.
func open(t *testing.T, dir string, o pebble.Options) *pebble.DB {
	t.Helper()
	if o.Now == nil {
		o.Now = time.Now
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func TestOpenAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "store")
	db := open(t, dir, pebble.Options{Ballast: 1 << 20})
	if err := put(db, "a", "kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := pebble.Open(dir, pebble.Options{Now: time.Now}); err == nil {
		t.Fatal("a directory was opened twice")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, pebble.Options{})
	if got := text(t, again, "a"); got != "kept" {
		t.Errorf("after opening again: %q", got)
	}
	if info, err := os.Stat(filepath.Join(dir, "ballast")); err != nil || info.Size() != 1<<20 {
		t.Errorf("ballast: %v, %v", info, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	foreign := func(t *testing.T, key, value string) vfs.FS {
		fs := vfs.NewMem()
		db, err := engine.Open("store", &engine.Options{FS: fs, Logger: quiet{}})
		if err == nil {
			err = errors.Join(db.Set([]byte(key), []byte(value), engine.Sync), db.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return fs
	}
	formatKey := string(store.Key{byte(store.PrefixMeta)}.Str("format"))
	for name, c := range map[string]struct {
		o    func(t *testing.T) pebble.Options
		want string
	}{
		"no clock":        {func(*testing.T) pebble.Options { return pebble.Options{FS: vfs.NewMem()} }, "Now is missing"},
		"somebody else's": {func(t *testing.T) pebble.Options { return pebble.Options{Now: time.Now, FS: foreign(t, "k", "v")} }, "not a Ticketgate store"},
		"a later version": {func(t *testing.T) pebble.Options {
			return pebble.Options{Now: time.Now, FS: foreign(t, formatKey, "\x02")}
		}, "layout version 02"},
		"a taken registry": {func(*testing.T) pebble.Options {
			return pebble.Options{Now: time.Now, FS: vfs.NewMem(), Registerer: taken()}
		}, "metrics"},
		"a file in the way": {func(t *testing.T) pebble.Options { return pebble.Options{Now: time.Now, FS: occupied(t)} }, "store"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.o(t)
			for range 2 { // the second try shows that the first left no lock
				db, err := pebble.Open("store", o)
				if err == nil {
					t.Fatal(errors.Join(errors.New("opened"), db.Close()))
				}
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("the error does not say %q: %v", c.want, err)
				}
			}
		})
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

func taken() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "ticketgate_store_write_stalls_total", Help: "taken"}))
	return reg
}

func occupied(t *testing.T) vfs.FS {
	fs := vfs.NewMem()
	f, err := fs.Create("store", vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	fs := vfs.NewMem()
	for range 2 { // a closed store leaves the registry as it was
		db := open(t, "store", pebble.Options{FS: fs, Registerer: reg, DiskUsage: usage(7 << 30)})
		if err := put(db, "a", "x"); err != nil {
			t.Fatal(err)
		}
		got := gather(t, reg)
		for _, name := range []string{"size_bytes", "free_bytes", "compaction_debt_bytes", "sync_duration_seconds", "write_stalls_total", "errors_total"} {
			if _, ok := got["ticketgate_store_"+name]; !ok {
				t.Errorf("no metric ticketgate_store_%s", name)
			}
		}
		if got["ticketgate_store_free_bytes"] != 7<<30 || got["ticketgate_store_sync_duration_seconds"] == 0 || got["ticketgate_store_errors_total"] != 0 {
			t.Errorf("values: %v", got)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if got := gather(t, reg); len(got) != 0 {
			t.Errorf("after Close: %v", got)
		}
	}
}

// gather returns the sum of each metric's values (of a histogram, its count).
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			out[family.GetName()] += m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

func usage(free uint64) func(string) (vfs.DiskUsage, error) {
	return func(string) (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: free}, nil }
}

// logLines counts what is logged.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logLines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte("\n"))
}

func (l *logLines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
