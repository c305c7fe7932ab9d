package agenda_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

// oracle is the agenda as a map and a clock, with nothing clever in it.
type oracle struct {
	jobs   map[string]map[string]agenda.Job // lane → key
	pauses map[string]time.Time
}

func position(j agenda.Job) time.Time {
	if j.Lease != 0 {
		return j.Until
	}
	return j.Due
}

// list returns a lane's jobs in the order of claiming.
func (o *oracle) list(lane string) []agenda.Job {
	return slices.SortedFunc(maps.Values(o.jobs[lane]), func(a, b agenda.Job) int {
		return cmp.Or(position(a).Compare(position(b)), strings.Compare(a.Key, b.Key))
	})
}

// wake is max(head due, not-before); false if there is no work.
func (o *oracle) wake(lane string) (time.Time, bool) {
	jobs := o.list(lane)
	if len(jobs) == 0 {
		return time.Time{}, false
	}
	head := position(jobs[0])
	if nb := o.pauses[lane]; nb.After(head) {
		return nb, true
	}
	return head, true
}

func (o *oracle) find(lane, key string) (agenda.Job, bool) {
	j, ok := o.jobs[lane][key]
	return j, ok
}

func (o *oracle) set(j agenda.Job) {
	if o.jobs[j.Lane] == nil {
		o.jobs[j.Lane] = map[string]agenda.Job{}
	}
	o.jobs[j.Lane][j.Key] = j
}

// settle forgets pauses that are over in lanes without work.
func (o *oracle) settle(now time.Time) {
	for lane, until := range o.pauses {
		if len(o.jobs[lane]) == 0 && !until.After(now) {
			delete(o.pauses, lane)
		}
	}
}

var modelLanes = []string{"mail/a", "mail/b", "notice"}

// program is one random run of the agenda beside its oracle.
type program struct {
	t      *rapid.T
	ctx    context.Context
	db     store.DB
	a      *agenda.Agenda
	clk    *clock
	o      oracle
	claims []agenda.Job        // every claim ever given, the lost ones too
	fences map[string]struct{} // lane, key and number of each
	kick   <-chan struct{}
}

func (p *program) lane() string { return rapid.SampledFrom(modelLanes).Draw(p.t, "lane") }
func (p *program) key() string {
	return rapid.StringMatching(`[a-e]`).Draw(p.t, "key")
}
func (p *program) time() time.Time {
	return p.clk.now().Add(time.Duration(rapid.IntRange(-20, 60).Draw(p.t, "in")) * time.Second)
}

func (p *program) update(fn func(store.Tx) error) {
	if err := p.db.Update(p.ctx, fn); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) put() {
	j := agenda.Job{Lane: p.lane(), Key: p.key(), Due: p.time(), Payload: []byte(rapid.String().Draw(p.t, "payload"))}
	p.update(func(tx store.Tx) error { return p.a.Put(tx, j) })
	if _, ok := p.o.find(j.Lane, j.Key); !ok {
		p.o.set(j)
	}
}

func (p *program) claim() {
	lane, now := p.lane(), p.clk.now()
	n := rapid.IntRange(1, 4).Draw(p.t, "n")
	lease := time.Duration(rapid.IntRange(1, 40).Draw(p.t, "lease")) * time.Second
	got, err := p.a.Claim(p.ctx, lane, n, lease, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	var want []agenda.Job
	if wake, ok := p.o.wake(lane); ok && !wake.After(now) {
		for _, j := range p.o.list(lane) {
			if len(want) < n && !position(j).After(now) {
				want = append(want, j)
			}
		}
	}
	if keys(got) != keys(want) {
		p.t.Fatalf("claimed %q, want %q", keys(got), keys(want))
	}
	for i, j := range got {
		w := want[i]
		w.Attempts++
		w.Lease, w.Until = j.Lease, now.Add(lease)
		if !same(j, w) {
			p.t.Fatalf("claimed %+v, want %+v", j, w)
		}
		fence := fmt.Sprintf("%s %s %d", j.Lane, j.Key, j.Lease)
		if _, twice := p.fences[fence]; twice || j.Lease == 0 {
			p.t.Fatalf("number %d given twice for %s %s", j.Lease, j.Lane, j.Key)
		}
		p.fences[fence] = struct{}{}
		p.o.set(j)
		p.claims = append(p.claims, j)
	}
}

// finish ends any claim ever given, by Done or by Again.
func (p *program) finish() {
	if len(p.claims) == 0 {
		return
	}
	j := rapid.SampledFrom(p.claims).Draw(p.t, "claim")
	held, ok := p.o.find(j.Lane, j.Key)
	holds := ok && held.Lease == j.Lease
	again, due := rapid.Bool().Draw(p.t, "again"), p.time()
	err := p.db.Update(p.ctx, func(tx store.Tx) error {
		if again {
			return p.a.Again(tx, j, due)
		}
		return p.a.Done(tx, j)
	})
	switch {
	case !holds:
		if !errors.Is(err, agenda.ErrLost) {
			p.t.Fatalf("finishing a lost claim: %v, want ErrLost", err)
		}
	case err != nil:
		p.t.Fatal(err)
	case again:
		held.Due, held.Lease, held.Until = due, 0, time.Time{}
		p.o.set(held)
	default:
		delete(p.o.jobs[j.Lane], j.Key)
	}
}

// touch reschedules or removes an unclaimed job.
func (p *program) touch() {
	lane, key := p.lane(), p.key()
	remove, due := rapid.Bool().Draw(p.t, "remove"), p.time()
	var did bool
	p.update(func(tx store.Tx) (err error) {
		if remove {
			did, err = p.a.Remove(tx, lane, key)
		} else {
			did, err = p.a.Reschedule(tx, lane, key, due)
		}
		return err
	})
	j, ok := p.o.find(lane, key)
	free := ok && (j.Lease == 0 || !j.Until.After(p.clk.now()))
	if did != free {
		p.t.Fatalf("remove %v of %s %s: %v, want %v", remove, lane, key, did, free)
	}
	if !free {
		return
	}
	if remove {
		delete(p.o.jobs[lane], key)
		return
	}
	j.Due, j.Lease, j.Until = due, 0, time.Time{}
	p.o.set(j)
}

func (p *program) pause() {
	lane, until := p.lane(), p.time()
	if rapid.Bool().Draw(p.t, "resume") {
		until = time.Time{}
	}
	p.update(func(tx store.Tx) error { return p.a.Pause(tx, lane, until, "a reason") })
	delete(p.o.pauses, lane)
	if until.After(p.clk.now()) {
		p.o.pauses[lane] = until
	}
}

func (p *program) moveClock() {
	p.clk.move(time.Duration(rapid.IntRange(-10, 30).Draw(p.t, "seconds")) * time.Second)
}

func same(a, b agenda.Job) bool {
	return a.Lane == b.Lane && a.Key == b.Key && a.Due.Equal(b.Due) && a.Attempts == b.Attempts &&
		string(a.Payload) == string(b.Payload) && a.Lease == b.Lease && a.Until.Equal(b.Until)
}

// check compares everything that can be seen.
func (p *program) check(before map[string]time.Time) {
	now := p.clk.now()
	var due []string
	var next time.Time
	p.o.settle(now)
	p.checkDueTidies()
	err := p.db.View(p.ctx, func(r store.Reader) error {
		for _, lane := range modelLanes {
			p.checkLane(r, lane, now)
			wake, ok := p.o.wake(lane)
			switch {
			case !ok:
			case !wake.After(now):
				due = append(due, lane)
			case next.IsZero() || wake.Before(next):
				next = wake
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	got, gotNext, err := p.a.Due(p.ctx, "", 10)
	if err != nil {
		p.t.Fatal(err)
	}
	if !slices.IsSortedFunc(got, func(a, b string) int {
		x, _ := p.o.wake(a)
		y, _ := p.o.wake(b)
		return x.Compare(y)
	}) {
		p.t.Fatalf("due %q: not the longest waiting first", got)
	}
	slices.Sort(got)
	if !slices.Equal(got, due) || !gotNext.Equal(next) {
		p.t.Fatalf("due %q, next %v; want %q, %v", got, gotNext, due, next)
	}
	p.checkKick(before)
}

// checkDueTidies lets Due remove what pauses left behind.
func (p *program) checkDueTidies() {
	if _, _, err := p.a.Due(p.ctx, "", 10); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) checkLane(r store.Reader, name string, now time.Time) {
	jobs, err := p.a.Jobs(r, name, 100)
	if err != nil {
		p.t.Fatal(err)
	}
	if want := p.o.list(name); !slices.EqualFunc(jobs, want, same) {
		p.t.Fatalf("jobs of %s:\n%+v, want\n%+v", name, jobs, want)
	}
	lane, err := p.a.Lane(r, name)
	wake, work := p.o.wake(name)
	until := p.o.pauses[name]
	if !work && until.IsZero() {
		if !errors.Is(err, store.ErrNotFound) {
			p.t.Fatalf("lane %s without work: %+v, %v", name, lane, err)
		}
		return
	}
	if err != nil {
		p.t.Fatal(err)
	}
	if !lane.Wake.Equal(wake) {
		p.t.Fatalf("wake of %s = %v, want %v", name, lane.Wake, wake)
	}
	if !until.After(now) {
		until = time.Time{}
	}
	if !lane.NotBefore.Equal(until) || (lane.Reason != "") != !until.IsZero() {
		p.t.Fatalf("pause of %s = %v %q, want %v", name, lane.NotBefore, lane.Reason, until)
	}
}

// checkKick expects a kick exactly if some lane is due earlier than before.
func (p *program) checkKick(before map[string]time.Time) {
	want := false
	for _, lane := range modelLanes {
		wake, ok := p.o.wake(lane)
		old, had := before[lane]
		want = want || ok && (!had || wake.Before(old))
	}
	select {
	case <-p.kick:
		if !want {
			p.t.Fatal("kicked for nothing")
		}
	default:
		if want {
			p.t.Fatal("work is due earlier and nobody was kicked")
		}
	}
}

func (p *program) wakes() map[string]time.Time {
	out := map[string]time.Time{}
	for _, lane := range modelLanes {
		if wake, ok := p.o.wake(lane); ok {
			out[lane] = wake
		}
	}
	return out
}

// Any program of puts, claims, endings, lost leases, pauses and clock moves
// leaves the agenda where the oracle is: every job once, claimable or leased;
// every lane's wake at max(head, not-before); every number given once.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		clk := newClock()
		db, err := pebble.OpenMem(pebble.Options{Now: clk.now})
		if err != nil {
			rt.Fatal(err)
		}
		defer db.Close()
		p := &program{
			t: rt, ctx: context.Background(), db: db, a: agenda.New(db), clk: clk,
			o:      oracle{jobs: map[string]map[string]agenda.Job{}, pauses: map[string]time.Time{}},
			fences: map[string]struct{}{},
		}
		var stop func()
		p.kick, stop = p.a.Kick("")
		defer stop()
		actions := []func(){p.put, p.put, p.claim, p.claim, p.finish, p.touch, p.pause, p.moveClock}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			before := p.wakes()
			actions[rapid.IntRange(0, len(actions)-1).Draw(rt, "action")]()
			p.check(before)
		}
	})
}
