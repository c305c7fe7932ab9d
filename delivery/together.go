package delivery

import (
	"context"
	"sync"

	"ticketgate/ticketing/store"
)

// together runs the small transactions of many workers as few large ones: a
// transaction has a price of its own, and the disk is asked once. Each change
// is still all or nothing: if one of a batch fails, each is run alone.
type together struct {
	db      store.DB
	mu      sync.Mutex
	waiting []*change
	running bool
}

type change struct {
	fn   func(store.Tx) error
	done chan error
}

// mostTogether bounds a batch: what it holds up, and what it repeats if one of
// it fails.
const mostTogether = 64

// update is store.DB's Update. It is not cut short.
func (g *together) update(fn func(store.Tx) error) error {
	c := &change{fn: fn, done: make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	start := !g.running
	g.running = true
	g.mu.Unlock()
	if start {
		go g.run()
	}
	return <-c.done
}

// run makes batches of whoever waits until nobody does.
func (g *together) run() {
	for {
		g.mu.Lock()
		n := min(len(g.waiting), mostTogether)
		batch := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		if g.running = n > 0; !g.running {
			g.waiting = nil
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		g.commit(batch)
	}
}

func (g *together) commit(batch []*change) {
	if len(batch) > 1 {
		err := g.db.Update(context.Background(), func(tx store.Tx) error {
			for _, c := range batch {
				if err := c.fn(tx); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			for _, c := range batch {
				c.done <- nil
			}
			return
		}
	}
	var all sync.WaitGroup
	for _, c := range batch {
		all.Go(func() { c.done <- g.db.Update(context.Background(), c.fn) })
	}
	all.Wait()
}
