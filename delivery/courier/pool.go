package courier

import (
	"context"
	"sync"
	"time"
)

// pool keeps idle sessions by address, source address and account. Sessions leave it by being
// taken, by growing old or idle, or when the courier closes.
type pool struct {
	o      *Options
	mu     sync.Mutex
	idle   map[string][]*resting
	n      int
	closed bool
	quits  sync.WaitGroup
}

type resting struct {
	s     *session
	timer *time.Timer
}

func newPool(o *Options) *pool { return &pool{o: o, idle: map[string][]*resting{}} }

// take returns an idle session that fits, the freshest first, or nil.
func (p *pool) take(key string, fits func(*session) bool) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	for i := len(list) - 1; i >= 0; i-- {
		if r := list[i]; fits(r.s) {
			p.remove(key, i)
			r.timer.Stop()
			return r.s
		}
	}
	return nil
}

// put lets a session rest, or retires it if it has served enough: most, if that
// is not 0 and less than what is usual.
func (p *pool) put(s *session, most int) {
	if most <= 0 || most > p.o.Reuse.Messages {
		most = p.o.Reuse.Messages
	}
	wait := p.o.Reuse.Idle
	if s.hop.relay {
		wait = p.o.Reuse.SmarthostIdle
	}
	p.mu.Lock()
	if p.closed || p.n >= p.o.Reuse.Connections || s.sent >= most || p.o.Now().Sub(s.born) >= p.o.Reuse.Age {
		p.mu.Unlock()
		p.retire(s, true)
		return
	}
	defer p.mu.Unlock()
	r := &resting{s: s}
	r.timer = time.AfterFunc(wait, func() { p.expire(r) })
	p.idle[s.key] = append(p.idle[s.key], r)
	p.n++
}

// expire retires a session that nobody has taken.
func (p *pool) expire(r *resting) {
	p.mu.Lock()
	found := false
	for i, other := range p.idle[r.s.key] {
		if other == r {
			p.remove(r.s.key, i)
			found = true
			break
		}
	}
	p.mu.Unlock()
	if found {
		p.retire(r.s, true)
	}
}

// remove takes one session off the lists; the lock is held.
func (p *pool) remove(key string, i int) {
	list := p.idle[key]
	list = append(list[:i], list[i+1:]...)
	if p.n--; len(list) == 0 {
		delete(p.idle, key)
		return
	}
	p.idle[key] = list
}

// retire ends a session, with QUIT in the background if that can be said.
func (p *pool) retire(s *session, polite bool) {
	p.mu.Lock()
	if !polite || p.closed {
		p.mu.Unlock()
		s.drop()
		return
	}
	p.quits.Add(1)
	p.mu.Unlock()
	go func() {
		defer p.quits.Done()
		s.quit()
	}()
}

func (p *pool) close(ctx context.Context) error {
	p.mu.Lock()
	var last []*session
	for _, list := range p.idle {
		for _, r := range list {
			r.timer.Stop()
			last = append(last, r.s)
		}
	}
	p.idle, p.n, p.closed = map[string][]*resting{}, 0, true
	for _, s := range last {
		p.quits.Add(1)
		go func() {
			defer p.quits.Done()
			s.quit()
		}()
	}
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		p.quits.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
