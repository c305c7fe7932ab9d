package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// memory is a Memory that outlives couriers. ill makes it fail.
type memory struct {
	mu  sync.Mutex
	now func() time.Time
	m   map[string]time.Time
	ill error
}

func (m *memory) All(_ context.Context, limit int) (map[string]time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]time.Time{}
	for name, at := range m.m {
		if len(out) < limit {
			out[name] = at
		}
	}
	return out, m.ill
}

func (m *memory) Save(_ context.Context, name string, _ []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ill == nil {
		m.m[name] = m.now()
	}
	return m.ill
}

func (m *memory) Forget(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.m, name)
	return m.ill
}

// A host whose handshake fails is met in clear for three days, restarts or not;
// then TLS is tried again. Without a memory that works mail goes all the same.
func TestBrokenTLSIsRemembered(t *testing.T) {
	t.Parallel()
	cert, _ := newCert(t, "mx1.customer.example", time.Now().Add(-time.Hour))
	old := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	passed := time.Duration(0)
	now := func() time.Time { return time.Now().Add(passed) }
	kept := &memory{now: now, m: map[string]time.Time{}}
	for _, tc := range []struct {
		name      string
		passed    time.Duration
		ill       error
		handshake float64
		keeps     bool
	}{
		{"met first", 0, nil, 1, true},
		{"after a restart", time.Hour, nil, 0, true},
		{"after two days", 48 * time.Hour, nil, 0, true},
		{"after three", 73 * time.Hour, nil, 1, true},
		{"after four, as it was broken on the third", 96 * time.Hour, nil, 0, true},
		{"the clock was set back", 90 * time.Hour, nil, 0, true},
		{"the memory is out of order", 96 * time.Hour, errors.New("no disk"), 1, true},
	} {
		passed, kept.ill = tc.passed, tc.ill
		c, _ := realPeer(t, old, func(o *Options) { o.Broken, o.Now = kept, now })
		for range 2 {
			if r := c.Carry(t.Context(), letter("anna@customer.example"))[0]; r.Class != Success || !r.TLS.Fallback {
				t.Errorf("%s: %s %+v %v", tc.name, short(r), r.TLS, r.Err)
			}
			c.Close(t.Context()) // idle ones; the next mail connects again
		}
		if got := testutil.ToFloat64(c.met.fallbacks); got != tc.handshake {
			t.Errorf("%s: %v handshakes failed, want %v", tc.name, got, tc.handshake)
		}
		if _, ok := kept.m["mx1.customer.example"]; ok != tc.keeps {
			t.Errorf("%s: remembered %v", tc.name, ok)
		}
	}
}

// However many hosts are broken, a bounded number is remembered: the latest.
func TestBrokenTLSIsBounded(t *testing.T) {
	t.Parallel()
	at := time.Now()
	kept := &memory{now: func() time.Time { return at }, m: map[string]time.Time{}}
	b := brokenTLS{kept: kept}
	for i := range 3 * brokenKept {
		at = at.Add(time.Second)
		b.add(t.Context(), fmt.Sprint("host", i), at)
	}
	if len(b.m) > brokenKept || len(b.m) < brokenKept/2 || len(kept.m) != len(b.m) {
		t.Errorf("%d hosts in memory, %d kept", len(b.m), len(kept.m))
	}
	if !b.has(t.Context(), fmt.Sprint("host", 3*brokenKept-1), at) || b.has(t.Context(), "host0", at) {
		t.Error("the wrong ones were forgotten")
	}
}
