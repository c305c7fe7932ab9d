package ticketing

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/message"
)

// defaultReopenWindow is how long after solving a reply reopens a closed
// ticket, unless the queue says otherwise.
const defaultReopenWindow = 7 * 24 * time.Hour

// staff is the configuration in the form questions are asked of it. It never
// changes.
type staff struct {
	queues    map[string]*queue
	order     []*queue // as configured
	agents    map[string]*Agent
	addresses map[string]*queue // folded addresses and aliases
	shown     map[string]*queue // folded addresses that stand in From and Reply-To instead
	domains   map[string]*queue // first queue of each domain
	writers   map[string]*Agent // folded addresses of agents
	refuses   bool              // a rule of some queue refuses mail
}

// queue is a configured queue with what follows from it.
type queue struct {
	Queue
	serves map[string]bool
	never  []never
	domain string

	rewrites map[string]bool // folded addresses of groups that write in others' names
	blocked  []never         // whose mail is held
	rules    []acceptRule    // asked before anything else of the queue's
	refuses  bool            // one of them refuses mail
}

// newStaff checks and indexes the configuration.
func newStaff(queues []Queue, agents []Agent) (*staff, error) {
	s := &staff{
		queues: map[string]*queue{}, agents: map[string]*Agent{},
		addresses: map[string]*queue{}, shown: map[string]*queue{}, domains: map[string]*queue{}, writers: map[string]*Agent{},
	}
	for _, a := range agents {
		if err := s.addAgent(a); err != nil {
			return nil, err
		}
	}
	for _, q := range queues {
		if err := s.addQueue(q); err != nil {
			return nil, err
		}
	}
	for address, a := range s.writers {
		if s.own(address) != nil {
			return nil, fmt.Errorf("agent %q: %s is the address of a queue", a.Name, address)
		}
	}
	return s, nil
}

func (s *staff) addAgent(a Agent) error {
	switch {
	case a.Name == "":
		return errors.New("an agent has no name")
	case s.agents[a.Name] != nil:
		return fmt.Errorf("agent %q appears twice", a.Name)
	case len(a.Addresses) == 0:
		return fmt.Errorf("agent %q has no address", a.Name)
	}
	a.Addresses = slices.Clone(a.Addresses)
	for i, text := range a.Addresses {
		parsed, err := message.ParseAddress(text)
		if err != nil {
			return fmt.Errorf("agent %q: %q is no mail address: %w", a.Name, text, err)
		}
		a.Addresses[i] = parsed.Addr
		folded := message.Fold(parsed.Addr)
		if other := s.writers[folded]; other != nil {
			return fmt.Errorf("agents %q and %q share the address %s", other.Name, a.Name, folded)
		}
		s.writers[folded] = &a
	}
	s.agents[a.Name] = &a
	return nil
}

func (s *staff) addQueue(c Queue) error {
	if c.Name == "" {
		return errors.New("a queue has no name")
	}
	if s.queues[c.Name] != nil {
		return fmt.Errorf("queue %q appears twice", c.Name)
	}
	q := &queue{Queue: c, serves: map[string]bool{}, rewrites: map[string]bool{}}
	q.Agents = slices.Clone(c.Agents)
	for _, name := range q.Agents {
		if s.agents[name] == nil {
			return fmt.Errorf("queue %q: there is no agent %q", c.Name, name)
		}
		q.serves[name] = true
	}
	switch q.ReplyAll {
	case "":
		q.ReplyAll = "queue"
	case "assignee", "queue", "followers":
	default:
		return fmt.Errorf("queue %q: reply_all %q is none of assignee, queue, followers", c.Name, q.ReplyAll)
	}
	for _, text := range c.Rewriters {
		a, err := message.ParseAddress(text)
		if err != nil {
			return fmt.Errorf("queue %q: %q is no mail address: %w", c.Name, text, err)
		}
		q.rewrites[message.Fold(a.Addr)] = true
	}
	if q.ReopenWindow == 0 {
		q.ReopenWindow = defaultReopenWindow
	}
	if err := q.checkScreen(); err != nil {
		return err
	}
	if err := q.checkAccept(); err != nil {
		return fmt.Errorf("queue %q: %w", c.Name, err)
	}
	s.refuses = s.refuses || q.refuses
	if err := q.checkCC(); err != nil {
		return fmt.Errorf("queue %q: %w", c.Name, err)
	}
	if err := s.addAddresses(q); err != nil {
		return fmt.Errorf("queue %q: %w", c.Name, err)
	}
	if err := s.addAppearance(q); err != nil {
		return fmt.Errorf("queue %q: %w", c.Name, err)
	}
	s.queues[c.Name] = q
	s.order = append(s.order, q)
	return nil
}

// maxLocal leaves room for "+" and a token within the 64 octets of a local part.
const maxLocal = 24

func (s *staff) addAddresses(q *queue) error {
	for i, text := range append([]string{q.Address}, q.Aliases...) {
		parsed, err := message.ParseAddress(text)
		if err != nil {
			return fmt.Errorf("%q is no mail address: %w", text, err)
		}
		if i == 0 {
			if len(parsed.Local()) > maxLocal {
				return fmt.Errorf("the local part of %s is longer than %d octets", parsed.Addr, maxLocal)
			}
			q.Address, q.domain = parsed.Addr, parsed.Domain()
		}
		folded := message.Fold(parsed.Addr)
		if other := s.addresses[folded]; other != nil {
			return fmt.Errorf("%s is the address of queue %q already", folded, other.Name)
		}
		s.addresses[folded] = q
		if _, domain, _ := cutLast(folded, '@'); s.domains[domain] == nil {
			s.domains[domain] = q
		}
	}
	return nil
}

func (q *queue) checkCC() error {
	switch q.CC.Allow {
	case "":
		q.CC.Allow = "all"
	case "off", "participants", "all":
	default:
		return fmt.Errorf("cc.allow %q is none of off, participants, all", q.CC.Allow)
	}
	if q.CC.Max <= 0 || q.CC.Max > maxCCs {
		q.CC.Max = maxCCs
	}
	for _, pattern := range q.CC.Never {
		n, err := newNever(pattern)
		if err != nil {
			return fmt.Errorf("cc.never: %w", err)
		}
		q.never = append(q.never, n)
	}
	return nil
}

// never is one entry of a list of addresses that may not be CC, or whose mail is
// held: an address, a
// domain ("@x.example") or a glob.
type never struct{ address, domain, glob string }

func newNever(pattern string) (never, error) {
	p := strings.ToLower(strings.TrimSpace(pattern))
	switch {
	case p == "" || p == "@":
		return never{}, errors.New("an entry is empty")
	case strings.ContainsAny(p, "*?["):
		if _, err := path.Match(p, ""); err != nil {
			return never{}, fmt.Errorf("%q is no pattern", pattern)
		}
		if !strings.Contains(p, "@") {
			p = "*@" + p
		}
		return never{glob: p}, nil
	case p[0] == '@':
		return never{domain: domainOf(message.Fold("x" + p))}, nil
	case !strings.Contains(p, "@"):
		return never{domain: domainOf(message.Fold("x@" + p))}, nil
	}
	return never{address: message.Fold(p)}, nil
}

// matches takes a folded address. A domain entry covers its subdomains.
func (n never) matches(folded string) bool {
	switch {
	case n.address != "":
		return n.address == folded
	case n.domain != "":
		domain := domainOf(folded)
		return domain == n.domain || strings.HasSuffix(domain, "."+n.domain)
	}
	// A slash means nothing in an address but ends a star of path.Match.
	ok, _ := path.Match(strings.ReplaceAll(n.glob, "/", "\x00"), strings.ReplaceAll(folded, "/", "\x00"))
	return ok
}

func domainOf(folded string) string {
	_, domain, _ := cutLast(folded, '@')
	return domain
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// writer returns the agent who writes from a folded address, nil if nobody does.
func (s *staff) writer(folded string) *Agent { return s.writers[folded] }
