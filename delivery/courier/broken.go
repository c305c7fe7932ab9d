package courier

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory keeps names and when each was kept last, over a restart; *notes.Notes
// fits. What is older than BrokenLife need not be kept.
type Memory interface {
	All(ctx context.Context, limit int) (map[string]time.Time, error)
	Save(ctx context.Context, name string, value []byte) error
	Forget(ctx context.Context, name string) error
}

// BrokenLife is how long a host whose TLS handshake failed is met in clear, where
// TLS is only a matter of chance.
const BrokenLife = 3 * 24 * time.Hour

const (
	brokenKept = 2000             // hosts; of more the oldest are forgotten
	memoryTime = 10 * time.Second // for one word with the memory
)

// brokenTLS remembers the hosts whose handshake failed. The memory is asked once,
// when it is needed first; a memory that fails costs a handshake, not a mail.
type brokenTLS struct {
	kept   Memory // nil: only as long as the process lives
	log    *slog.Logger
	mu     sync.Mutex
	m      map[string]time.Time
	loaded bool
}

func (b *brokenTLS) has(ctx context.Context, host string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.load(ctx)
	since, ok := b.m[host]
	if ok && now.Sub(since).Abs() >= BrokenLife {
		delete(b.m, host)
		return false
	}
	return ok
}

// load asks the memory; the lock is held.
func (b *brokenTLS) load(ctx context.Context) {
	if b.loaded || b.kept == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), memoryTime)
	defer cancel()
	all, err := b.kept.All(ctx, brokenKept)
	if err != nil {
		b.log.Warn("hosts whose TLS is broken are not remembered now", "cause", err)
		return
	}
	b.loaded = true
	maps.Copy(all, b.m)
	b.m = all
}

// add remembers a host.
func (b *brokenTLS) add(ctx context.Context, host string, now time.Time) {
	gone := b.put(host, now)
	if b.kept == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), memoryTime)
	defer cancel()
	err := b.kept.Save(ctx, host, nil)
	for _, old := range gone {
		err = errors.Join(err, b.kept.Forget(ctx, old))
	}
	if err != nil {
		b.log.Warn("a host whose TLS is broken will not be remembered over a restart", "host", host, "cause", err)
	}
}

// put returns the hosts that are forgotten to make room.
func (b *brokenTLS) put(host string, now time.Time) (gone []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = map[string]time.Time{}
	}
	if _, known := b.m[host]; !known && len(b.m) >= brokenKept {
		gone = slices.SortedFunc(maps.Keys(b.m), func(x, y string) int { return cmp.Or(b.m[x].Compare(b.m[y]), cmp.Compare(x, y)) })
		gone = gone[:len(gone)-brokenKept*9/10]
		for _, old := range gone {
			delete(b.m, old)
		}
	}
	b.m[host] = now
	return gone
}
