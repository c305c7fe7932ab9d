package agenda

import (
	"strings"
	"sync"
)

// Kick returns a channel woken (capacity one, coalesced) when a commit made
// work due earlier in a lane with this prefix, and a stop function. A kick is
// a hint: it may come for work that is due later, or that somebody else has
// claimed already.
func (a *Agenda) Kick(prefix string) (wake <-chan struct{}, stop func()) {
	k := &kick{prefix: prefix, ch: make(chan struct{}, 1)}
	a.kicks.mu.Lock()
	defer a.kicks.mu.Unlock()
	if a.kicks.set == nil {
		a.kicks.set = map[*kick]struct{}{}
	}
	a.kicks.set[k] = struct{}{}
	return k.ch, func() {
		a.kicks.mu.Lock()
		defer a.kicks.mu.Unlock()
		delete(a.kicks.set, k)
	}
}

type kick struct {
	prefix string
	ch     chan struct{}
}

type kicks struct {
	mu  sync.Mutex
	set map[*kick]struct{}
}

func (k *kicks) wake(lane string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for w := range k.set {
		if !strings.HasPrefix(lane, w.prefix) {
			continue
		}
		select {
		case w.ch <- struct{}{}:
		default:
		}
	}
}
