package resolver

import (
	"container/list"
	"sync"
	"time"
)

// cache keeps answers until they expire, and of too many those that were used
// last.
type cache struct {
	mu                   sync.Mutex
	maxEntries, maxBytes int
	bytes                int
	entries              map[string]*list.Element
	order                *list.List // of *entry, last used first
}

type entry struct {
	key    string
	answer Answer
	size   int
}

// overhead is what an entry costs besides its records, roughly.
const overhead = 300

func (c *cache) init(maxEntries, maxBytes int) {
	c.maxEntries, c.maxBytes = maxEntries, maxBytes
	c.entries, c.order = map[string]*list.Element{}, list.New()
}

func (c *cache) get(key string, now time.Time) (Answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.entries[key]
	if el == nil {
		return Answer{}, false
	}
	e := el.Value.(*entry)
	if !e.answer.Until.After(now) {
		c.drop(el)
		return Answer{}, false
	}
	c.order.MoveToFront(el)
	return e.answer, true
}

func (c *cache) put(key string, a Answer, size int) {
	size += overhead + len(key)
	if size > c.maxBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.entries[key]; el != nil {
		c.drop(el)
	}
	c.entries[key] = c.order.PushFront(&entry{key: key, answer: a, size: size})
	c.bytes += size
	for len(c.entries) > c.maxEntries || c.bytes > c.maxBytes {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(el *list.Element) {
	e := c.order.Remove(el).(*entry)
	delete(c.entries, e.key)
	c.bytes -= e.size
}
