package peers

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Of 400 addresses that nobody listens on two would be the same in nearly every
// run, were they not promised; and when the test has ended they can be had again.
func TestPortsArePromisedOnce(t *testing.T) {
	seen := map[string]bool{}
	t.Run("takes", func(t *testing.T) {
		for range 400 {
			addr := FreeAddr(t)
			if seen[addr] {
				t.Errorf("%s is given twice", addr)
			}
			seen[addr] = true
			if _, err := lock(promiseOf(addr)); err == nil {
				t.Errorf("%s can be had while it is promised", addr)
			}
		}
	})
	busy := 0
	for addr := range seen {
		f, err := lock(promiseOf(addr))
		if err != nil {
			busy++ // another package may have it by now
			continue
		}
		f.Close()
	}
	if busy > len(seen)/2 {
		t.Errorf("%d of %d ports are not given back", busy, len(seen))
	}
}

func promiseOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return filepath.Join(os.TempDir(), promises(), port)
}
