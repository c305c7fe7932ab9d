package notify

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// Power fails while notices are told: whatever of the disk survives, everybody
// is told exactly once, with the same bytes.
func TestPowerFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scene(w)
	var mu sync.Mutex
	var disks []*vfs.MemFS
	pull := func() {
		mu.Lock()
		defer mu.Unlock()
		seed := uint64(len(disks))
		disks = append(disks, w.disk.Disk([]int{0, 50, 100}[seed%3], seed))
	}
	pull()
	w.desk.onThread = pull
	w.outbox.fail = func(message.Outbound) error { pull(); return nil }
	w.tell()
	w.desk.onThread = nil
	for range 3 {
		pull()
	}
	want := told(t, w)
	begun, finished := 0, 0
	for i, disk := range disks {
		desk := *w.desk
		after := &world{t: t, clock: w.clock, log: &bytes.Buffer{}, desk: &desk}
		after.open(w.disk.Reopen(disk))
		if found := len(after.sent()); found == len(want) {
			finished++
		} else if found > 0 {
			begun++
		}
		if _, err := after.agenda.Reclaim(context.Background(), ticketing.NoticeLane); err != nil {
			t.Fatal(err)
		}
		after.tell()
		if got := told(t, after); !maps.Equal(got, want) {
			t.Errorf("power failure %d: told %v\nwant %v", i, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		historyAgrees(t, after)
		if n := after.pending(); n != 0 {
			t.Errorf("power failure %d: %d notices are still there", i, n)
		}
	}
	if len(disks) < 15 || begun == 0 || finished == 0 {
		t.Errorf("%d power failures, %d in the midst, %d after: the test has lost its teeth", len(disks), begun, finished)
	}
}
