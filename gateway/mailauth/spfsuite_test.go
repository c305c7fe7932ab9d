package mailauth_test

import (
	"slices"
	"sync"
	"testing"

	"ticketgate/test/corpora"
)

// differ are the tests of the suite that we do not agree with, and why.
var differ = map[string]string{}

func TestSPFSuite(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	good, all := 0, 0
	var scenarios sync.WaitGroup
	for _, s := range corpora.SPFSuite(t) {
		scenarios.Go(func() {
			h := newHouse(t)
			s.Serve(t, h.Server)
			for _, c := range s.Cases {
				_, e := h.check(t, c.IP, c.HELO, c.From, "")
				mu.Lock()
				all++
				switch why, known := differ[c.Name]; {
				case slices.Contains(c.Want, string(e.SPF.Result)):
					good++
					if known {
						t.Errorf("%s is right now: take it off the list", c.Name)
					}
				case known:
					t.Logf("%s: %s instead of %v: %s", c.Name, e.SPF.Result, c.Want, why)
				default:
					t.Errorf("%s/%s: %s (%s), want %v", s.Description, c.Name, e.SPF.Result, e.SPF.Reason, c.Want)
				}
				mu.Unlock()
			}
		})
	}
	scenarios.Wait()
	t.Logf("SPF suite: %d of %d", good, all)
	if good < 200 || all != 203 {
		t.Errorf("score %d of %d", good, all)
	}
}
