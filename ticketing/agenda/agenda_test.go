package agenda_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// clock is a test's time, moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: start} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// bench is an agenda with its store and clock.
type bench struct {
	t   testing.TB
	db  *counting
	a   *agenda.Agenda
	clk *clock
}

func setup(t testing.TB) *bench {
	clk := newClock()
	db := &counting{DB: storetest.OpenAt(t, clk.now)}
	return &bench{t: t, db: db, a: agenda.New(db), clk: clk}
}

func (b *bench) update(fn func(store.Tx) error) {
	b.t.Helper()
	if err := b.db.Update(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) put(lane, key string, in time.Duration) {
	b.t.Helper()
	b.update(func(tx store.Tx) error {
		return b.a.Put(tx, agenda.Job{Lane: lane, Key: key, Due: tx.Now().Add(in)})
	})
}

func (b *bench) claim(lane string, n int, lease time.Duration) []agenda.Job {
	b.t.Helper()
	jobs, err := b.a.Claim(context.Background(), lane, n, lease, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return jobs
}

func (b *bench) done(j agenda.Job) error {
	return b.db.Update(context.Background(), func(tx store.Tx) error { return b.a.Done(tx, j) })
}

func (b *bench) due(prefix string) (string, time.Time) {
	b.t.Helper()
	lanes, next, err := b.a.Due(context.Background(), prefix, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(lanes, " "), next
}

func (b *bench) jobs(lane string) (jobs []agenda.Job) {
	b.t.Helper()
	err := b.db.View(context.Background(), func(r store.Reader) (err error) {
		jobs, err = b.a.Jobs(r, lane, 1_000_000)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return jobs
}

func (b *bench) lane(name string) (lane agenda.Lane, err error) {
	err = b.db.View(context.Background(), func(r store.Reader) (err error) {
		lane, err = b.a.Lane(r, name)
		return err
	})
	return lane, err
}

func keys(jobs []agenda.Job) string {
	var out []string
	for _, j := range jobs {
		out = append(out, j.Key)
	}
	return strings.Join(out, " ")
}

func TestJobIsWorkedOffOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("notice", "late", time.Minute)
	b.put("notice", "second", -time.Second)
	b.put("notice", "first", -time.Minute)

	jobs := b.claim("notice", 10, time.Minute)
	if got := keys(jobs); got != "first second" {
		t.Fatalf("claimed %q, want the two due jobs, oldest first", got)
	}
	if jobs[0].Attempts != 1 || !jobs[0].Until.Equal(start.Add(time.Minute)) {
		t.Errorf("claimed job = %+v, want attempt 1 and a lease of a minute", jobs[0])
	}
	if again := b.claim("notice", 10, time.Minute); again != nil {
		t.Errorf("claimed twice: %v", again)
	}
	for _, j := range jobs {
		if err := b.done(j); err != nil {
			t.Errorf("done %s: %v", j.Key, err)
		}
	}
	if got := keys(b.jobs("notice")); got != "late" {
		t.Errorf("left over: %q", got)
	}
}

func TestLapsedLeaseIsRequeuedAndFenced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("mail/example.org", "p1", 0)
	lost := b.claim("mail/example.org", 1, time.Minute)[0]

	b.clk.move(59 * time.Second)
	if lanes, next := b.due("mail/"); lanes != "" || !next.Equal(lost.Until) {
		t.Fatalf("during the lease: due %q, next %v; want none and the lease's end", lanes, next)
	}
	b.clk.move(time.Second)
	if lanes, _ := b.due("mail/"); lanes != "mail/example.org" {
		t.Fatalf("after the lease: due %q", lanes)
	}
	held := b.claim("mail/example.org", 1, time.Minute)[0]
	if held.Attempts != 2 || held.Lease == lost.Lease {
		t.Errorf("second claim = %+v, want attempt 2 and another number than %d", held, lost.Lease)
	}
	for name, op := range map[string]func(store.Tx) error{
		"done":  func(tx store.Tx) error { return b.a.Done(tx, lost) },
		"again": func(tx store.Tx) error { return b.a.Again(tx, lost, start) },
	} {
		if err := b.db.Update(context.Background(), op); !errors.Is(err, agenda.ErrLost) {
			t.Errorf("%s with the lost claim: %v, want ErrLost", name, err)
		}
	}
	if err := b.done(held); err != nil {
		t.Error(err)
	}
	if err := b.done(held); !errors.Is(err, agenda.ErrLost) {
		t.Errorf("done twice: %v, want ErrLost", err)
	}
}

// A worker that is late but was not overtaken may finish: its work is done.
func TestLateWorkerMayFinish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("notice", "a", 0)
	j := b.claim("notice", 1, time.Second)[0]
	b.clk.move(time.Hour)
	if err := b.done(j); err != nil {
		t.Fatal(err)
	}
	if _, err := b.lane("notice"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the empty lane is still there: %v", err)
	}
}

func TestNumbersOutliveTheirJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("notice", "a", 0)
	old := b.claim("notice", 1, time.Minute)[0]
	if err := b.done(old); err != nil {
		t.Fatal(err)
	}
	b.put("notice", "a", 0)
	b.claim("notice", 1, time.Minute)
	if err := b.done(old); !errors.Is(err, agenda.ErrLost) {
		t.Errorf("a claim on an earlier job of the same name: %v, want ErrLost", err)
	}
}

func TestPutIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.update(func(tx store.Tx) error {
		return b.a.Put(tx, agenda.Job{Lane: "sla", Key: "t1", Due: start.Add(time.Hour), Payload: []byte("first")})
	})
	b.update(func(tx store.Tx) error {
		return b.a.Put(tx, agenda.Job{Lane: "sla", Key: "t1", Payload: []byte("second")})
	})
	jobs := b.jobs("sla")
	if len(jobs) != 1 || string(jobs[0].Payload) != "first" || !jobs[0].Due.Equal(start.Add(time.Hour)) {
		t.Errorf("jobs = %+v, want the first one untouched", jobs)
	}
}

func TestPutRefusesWhatItCouldNotGiveBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("x", agenda.MaxName+1)
	for name, j := range map[string]agenda.Job{
		"no lane":        {Key: "k"},
		"no key":         {Lane: "l"},
		"long lane":      {Lane: long, Key: "k"},
		"long key":       {Lane: "l", Key: long},
		"not UTF-8":      {Lane: "l", Key: "\xff"},
		"control":        {Lane: "l\x00", Key: "k"},
		"large payload":  {Lane: "l", Key: "k", Payload: make([]byte, agenda.MaxPayload+1)},
		"year 10000 due": {Lane: "l", Key: "k", Due: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		err := b.db.Update(context.Background(), func(tx store.Tx) error { return b.a.Put(tx, j) })
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	b.update(func(tx store.Tx) error {
		return b.a.Put(tx, agenda.Job{
			Lane: strings.Repeat("l", agenda.MaxName), Key: strings.Repeat("ä", agenda.MaxName/2),
			Payload: make([]byte, agenda.MaxPayload),
		})
	})
}

func TestMarkCommitsWithTheClaim(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("mail/a", "p1", -time.Second)
	b.put("mail/a", "p2", 0)
	attempts := store.Key{}.Str("test.attempts")
	count := func(tx store.Tx, j *agenda.Job) error {
		_, err := tx.Count(attempts, 1)
		return err
	}
	failing := func(tx store.Tx, j *agenda.Job) error {
		if j.Key == "p2" {
			return errors.New("no such parcel")
		}
		return count(tx, j)
	}
	if jobs, err := b.a.Claim(context.Background(), "mail/a", 5, time.Minute, failing); err == nil || jobs != nil {
		t.Fatalf("claim with a failing mark = %v, %v", jobs, err)
	}
	jobs, err := b.a.Claim(context.Background(), "mail/a", 5, time.Minute, count)
	if err != nil || len(jobs) != 2 || jobs[1].Attempts != 1 {
		t.Fatalf("claim after a failed one = %v, %v; want both at their first attempt", jobs, err)
	}
	_ = b.db.View(context.Background(), func(r store.Reader) error {
		if n, err := r.Counter(attempts); n != 2 || err != nil {
			t.Errorf("marks committed: %d, %v; want 2", n, err)
		}
		return nil
	})
}

func TestClaimNeedsALease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("notice", "a", 0)
	if _, err := b.a.Claim(context.Background(), "notice", 1, 0, nil); err == nil {
		t.Error("a claim without a lease was given")
	}
	if jobs := b.claim("notice", 0, time.Minute); jobs != nil {
		t.Errorf("asked for none, got %v", jobs)
	}
}

func TestRescheduleAndRemoveLeaveClaimsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("snooze", "free", time.Hour)
	b.put("snooze", "held", 0)
	held := b.claim("snooze", 1, time.Minute)[0]

	reschedule := func(key string) (ok bool) {
		b.update(func(tx store.Tx) (err error) {
			ok, err = b.a.Reschedule(tx, "snooze", key, start.Add(2*time.Hour))
			return err
		})
		return ok
	}
	remove := func(key string) (ok bool) {
		b.update(func(tx store.Tx) (err error) {
			ok, err = b.a.Remove(tx, "snooze", key)
			return err
		})
		return ok
	}
	if !reschedule("free") || reschedule("held") || reschedule("none") {
		t.Error("reschedule: want only the free job moved")
	}
	if remove("held") || remove("none") {
		t.Error("remove: the claimed and the missing job must be left alone")
	}
	b.clk.move(time.Minute) // the lease lapses
	if !remove("held") || !remove("free") {
		t.Error("remove: both jobs are free now")
	}
	if err := b.done(held); !errors.Is(err, agenda.ErrLost) {
		t.Errorf("done after removal: %v", err)
	}
	if _, err := b.lane("snooze"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the empty lane is still there: %v", err)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pause := func(until time.Time) {
		t.Helper()
		b.update(func(tx store.Tx) error { return b.a.Pause(tx, "mail/a", until, strings.Repeat("ü", 400)) })
	}
	pause(start.Add(time.Hour)) // before there is work
	b.put("mail/a", "p1", 0)
	if lanes, next := b.due("mail/"); lanes != "" || !next.Equal(start.Add(time.Hour)) {
		t.Errorf("paused: due %q, next %v", lanes, next)
	}
	if jobs := b.claim("mail/a", 1, time.Minute); jobs != nil {
		t.Errorf("claimed from a paused lane: %v", jobs)
	}
	lane, err := b.lane("mail/a")
	if err != nil || !lane.NotBefore.Equal(start.Add(time.Hour)) || lane.Reason != strings.Repeat("ü", 250) {
		t.Errorf("lane = %+v, %v; want the pause with its reason cut to 500 bytes", lane, err)
	}
	pause(time.Time{})
	if lanes, _ := b.due("mail/"); lanes != "mail/a" {
		t.Errorf("resumed: due %q", lanes)
	}
	pause(start.Add(time.Minute))
	b.clk.move(time.Minute)
	if jobs := b.claim("mail/a", 1, time.Minute); keys(jobs) != "p1" {
		t.Errorf("after the pause: claimed %v", jobs)
	}
	if lane, _ := b.lane("mail/a"); !lane.NotBefore.IsZero() || lane.Reason != "" {
		t.Errorf("a pause that is over still shows: %+v", lane)
	}
}

// The row of a pause over an empty lane is removed when the pause ends, and is
// never reported as work.
func TestPauseOfAnEmptyLaneLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.update(func(tx store.Tx) error { return b.a.Pause(tx, "mail/a", start.Add(time.Hour), "greylisted") })
	if lane, err := b.lane("mail/a"); err != nil || !lane.Wake.IsZero() {
		t.Errorf("lane = %+v, %v; want a pause and no work", lane, err)
	}
	if lanes, next := b.due("mail/"); lanes != "" || !next.IsZero() {
		t.Errorf("due %q, next %v; want nothing planned", lanes, next)
	}
	b.clk.move(time.Hour)
	if _, err := b.lane("mail/a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("lane after the pause: %v", err)
	}
	if lanes, _ := b.due("mail/"); lanes != "" {
		t.Errorf("due %q", lanes)
	}
	b.clk.move(-time.Minute)
	if lane, err := b.lane("mail/a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the row was not removed: %+v, %v", lane, err)
	}
}

func TestDueByPrefix(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put("mail/b.example", "1", -3*time.Second)
	b.put("mail/a.example", "1", -time.Second)
	b.put("mail/later.example", "1", time.Hour)
	b.put("mailing", "1", -4*time.Second)
	b.put("notice", "1", -2*time.Second)
	b.put("notice/0", "1", -5*time.Second)
	b.put("sla", "1", time.Minute)
	for _, tc := range []struct {
		prefix, want string
		next         time.Duration
	}{
		{"", "notice/0 mailing mail/b.example notice mail/a.example", time.Minute},
		{"mail", "mailing mail/b.example mail/a.example", time.Hour},
		{"mail/", "mail/b.example mail/a.example", time.Hour},
		{"mail/a", "mail/a.example", 0},
		{"mail/l", "", time.Hour},
		{"notice", "notice/0 notice", 0},
		{"notice/", "notice/0", 0},
		{"sla", "", time.Minute},
		{"zzz", "", 0},
	} {
		lanes, next := b.due(tc.prefix)
		var want time.Time
		if tc.next != 0 {
			want = start.Add(tc.next)
		}
		if lanes != tc.want || !next.Equal(want) {
			t.Errorf("Due(%q) = %q, %v; want %q, %v", tc.prefix, lanes, next, tc.want, want)
		}
	}
	lanes, next, err := b.a.Due(context.Background(), "", 2)
	if err != nil || fmt.Sprint(lanes) != "[notice/0 mailing]" || !next.Equal(start.Add(time.Minute)) {
		t.Errorf("Due with a limit of 2 = %v, %v, %v", lanes, next, err)
	}
}

func TestKick(t *testing.T) {
	t.Parallel()
	b := setup(t)
	mail, stopMail := b.a.Kick("mail/")
	all, stopAll := b.a.Kick("")
	defer stopAll()
	kicked := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	expect := func(step string, wantMail, wantAll bool) {
		t.Helper()
		if gotMail, gotAll := kicked(mail), kicked(all); gotMail != wantMail || gotAll != wantAll {
			t.Errorf("%s: mail %v, all %v; want %v, %v", step, gotMail, gotAll, wantMail, wantAll)
		}
	}
	b.put("mail/a", "1", time.Hour)
	expect("new lane", true, true)
	b.put("mail/a", "2", 2*time.Hour)
	expect("behind the head", false, false)
	b.put("mail/a", "3", time.Minute)
	b.put("mail/a", "4", time.Second)
	expect("ahead of the head, twice", true, true)
	b.put("notice", "1", 0)
	expect("another group", false, true)
	err := b.db.Update(context.Background(), func(tx store.Tx) error {
		if err := b.a.Put(tx, agenda.Job{Lane: "mail/b", Key: "1"}); err != nil {
			return err
		}
		return errors.New("rolled back")
	})
	if err == nil {
		t.Fatal("want an error")
	}
	expect("rolled back", false, false)
	stopMail()
	b.put("mail/c", "1", 0)
	expect("after stop", false, true)
}

func TestWorkersShareALane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const total, workers = 200, 8
	b.update(func(tx store.Tx) error {
		for i := range total {
			if err := b.a.Put(tx, agenda.Job{Lane: "notice", Key: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	var mu sync.Mutex
	done := map[string]int{}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				jobs, err := b.a.Claim(context.Background(), "notice", 7, time.Minute, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if len(jobs) == 0 {
					return
				}
				for _, j := range jobs {
					if err := b.done(j); err != nil {
						t.Error(err)
					}
					mu.Lock()
					done[j.Key]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if len(done) != total {
		t.Errorf("%d jobs done, want %d", len(done), total)
	}
	for key, n := range done {
		if n != 1 {
			t.Errorf("job %s done %d times", key, n)
		}
	}
}

// A process that starts again takes back what it had claimed, and leaves
// planned work where it is.
func TestReclaim(t *testing.T) {
	b := setup(t)
	for i := range 5 {
		b.put("notice", fmt.Sprint("due", i), 0)
	}
	b.put("notice", "planned", time.Hour)
	b.put("other", "x", 0)
	ctx := context.Background()
	old, err := b.a.Claim(ctx, "notice", 3, time.Hour, nil)
	if err != nil || len(old) != 3 {
		t.Fatalf("claimed %d, %v", len(old), err)
	}
	if _, err := b.a.Claim(ctx, "other", 1, time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	if n, err := b.a.Reclaim(ctx, "notice"); n != 3 || err != nil {
		t.Fatalf("reclaimed %d, %v; want 3", n, err)
	}
	again, err := b.a.Claim(ctx, "notice", 10, time.Hour, nil)
	if err != nil || len(again) != 5 {
		t.Fatalf("claimed %d, %v; want all five due jobs and not the planned one", len(again), err)
	}
	if err := b.db.Update(ctx, func(tx store.Tx) error { return b.a.Done(tx, old[0]) }); !errors.Is(err, agenda.ErrLost) {
		t.Errorf("the earlier claimant could still finish: %v", err)
	}
	if jobs, err := b.a.Claim(ctx, "other", 1, time.Hour, nil); err != nil || len(jobs) != 0 {
		t.Errorf("another lane's claim was taken back: %v %v", jobs, err)
	}
}
