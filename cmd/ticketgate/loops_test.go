package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ticketgate/test/peers"
)

// exchange is a mail exchanger between daemons and robots. It carries every
// mail it is given to whoever handles the recipient's domain, in the order they
// come, and counts them.
type exchange struct {
	t     *testing.T
	world *demoWorld
	most  int // mails after which the test has found a loop

	mu      sync.Mutex
	handle  map[string]func(sunkMail) // by domain or address
	carried map[string]int            // by "sender's domain → recipient"
	total   int
	line    []sunkMail
	busy    bool
	wake    chan struct{}
}

func newExchange(t *testing.T, most int) *exchange {
	t.Helper()
	world, err := newDemoWorld()
	if err != nil {
		t.Fatal(err)
	}
	x := &exchange{t: t, world: world, most: most, handle: map[string]func(sunkMail){}, carried: map[string]int{}, wake: make(chan struct{}, 1)}
	world.sink.onMail = x.take
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); x.run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; world.Close() })
	return x
}

// outbound is the line of a daemon's configuration that sends everything here.
func (x *exchange) outbound() string {
	return `outbound = { smarthost = "` + x.world.sink.addr + `", retry = ["1s"], expire = "1h" }`
}

func (x *exchange) take(m sunkMail) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.line = append(x.line, m)
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *exchange) run(ctx context.Context) {
	for {
		x.mu.Lock()
		var m sunkMail
		var h func(sunkMail)
		if x.busy = len(x.line) > 0; x.busy {
			m, x.line = x.line[0], x.line[1:]
			x.total++
			from, _ := mail.ReadMessage(bytes.NewReader(m.raw))
			x.carried[authorOf(from)+" → "+m.to]++
			if h = x.handle[m.to]; h == nil {
				_, domain, _ := strings.Cut(m.to, "@")
				h = x.handle[domain]
			}
			if x.total > x.most {
				h = nil // enough is enough; the test fails below
			}
		}
		busy := x.busy
		x.mu.Unlock()
		switch {
		case h != nil:
			h(m)
		case !busy:
			select {
			case <-x.wake:
			case <-ctx.Done():
				return
			}
		}
	}
}

func authorOf(m *mail.Message) string {
	if m == nil {
		return "?"
	}
	a, err := mail.ParseAddress(m.Header.Get("From"))
	if err != nil {
		return "?"
	}
	return a.Address
}

// rest waits until nothing moves any more and returns how many mails were
// carried. A daemon has a mail in one transaction and a notice to tell of it,
// has the notice until its mails are in the outbound queue, and has those until
// they are here. What is nowhere, in two looks one after the other between which
// no mail came by, is not on its way either.
func (x *exchange) rest(ds ...*daemon) int {
	x.t.Helper()
	// look returns how many mails have come by, and whether there is work.
	look := func() (total int, work bool) {
		for _, d := range ds {
			work = !d.atRest() || work
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.total, work || x.busy || len(x.line) > 0
	}
	peers.WaitFor(x.t, 3*time.Minute, "the mail to come to rest", func() bool {
		before, work := look()
		if work || before > x.most {
			return before > x.most
		}
		after, work := look()
		return !work && before == after
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.total > x.most {
		x.t.Errorf("a loop: more than %d mails", x.most)
	}
	return x.total
}

// show prints who wrote to whom.
func (x *exchange) show() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, way := range slices.Sorted(maps.Keys(x.carried)) {
		x.t.Logf("%4d  %s", x.carried[way], way)
	}
}

func (x *exchange) count(way string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.carried[way]
}

// into hands mails to a daemon, changed by the road.
func (x *exchange) into(d *daemon, road func(sunkMail) sunkMail) func(sunkMail) {
	return func(m sunkMail) {
		m = road(m)
		if _, err := sendMail(d.smtp, m.from, []string{m.to}, string(m.raw)); err != nil {
			x.t.Errorf("from <%s> to <%s>: %v", m.from, m.to, err)
		}
	}
}

// on says who handles mail to an address.
func (x *exchange) on(to string, h func(sunkMail)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.handle[to] = h
}

func untouched(m sunkMail) sunkMail { return m }

// counter numbers what robots write.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

// stripped is what a hostile or careless road leaves of a mail: who wrote to
// whom, and a text. Nothing shows any more that a machine wrote it, that it is
// an answer, or that it is ours.
func stripped(c *counter) func(sunkMail) sunkMail {
	return func(m sunkMail) sunkMail {
		n := c.next()
		in, err := mail.ReadMessage(bytes.NewReader(m.raw))
		if err != nil {
			panic(err)
		}
		from := authorOf(in)
		text := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: number %d\r\nMessage-ID: <stripped%d@road.example>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\nText %d.\r\n", from, m.to, n, n, n)
		return sunkMail{from: from, to: m.to, raw: []byte(text)}
	}
}

// robot answers every mail it gets at once, from a new Message-ID, under
// another subject, without one header that says what it is. It writes to the
// field that a mail program would use, Reply-To, or to From.
func (x *exchange) robot(d *daemon, address, field string, c *counter) func(sunkMail) {
	return func(m sunkMail) {
		in, err := mail.ReadMessage(bytes.NewReader(m.raw))
		if err != nil {
			x.t.Error(err)
			return
		}
		to, err := mail.ParseAddress(in.Header.Get(field))
		if err != nil {
			x.t.Errorf("%s of a mail to %s: %v", field, address, err)
			return
		}
		n := c.next()
		raw := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: something else %d\r\nMessage-ID: <robot%d@peer.example>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\nI got your mail, number %d.\r\n",
			address, to.Address, n, n, n)
		if _, err := sendMail(d.smtp, address, []string{to.Address}, raw); err != nil {
			x.t.Errorf("robot %s: %v", address, err)
		}
	}
}

// vouched makes the daemon believe whoever hands mail in over loopback, so that
// only what is under test stands between two robots.
const vouched = "\ntrusted_forwarders = [\"127.0.0.1/32\"]\ncc = { allow = \"all\" }\n"

func outcomesOf(d *daemon) (tickets, messages int) {
	_, tickets, messages = d.reconcile()
	return tickets, messages
}

// TestTwoInstancesCannotLoop lets two desks write to each other (scenario 21):
// over an honest road, where each knows the other's mail for automatic, and
// over one that strips everything off.
func TestTwoInstancesCannotLoop(t *testing.T) {
	t.Parallel()
	pair := func(t *testing.T, road func(sunkMail) sunkMail, trust string) (x *exchange, a, b *daemon) {
		x = newExchange(t, 60)
		t.Cleanup(x.show)
		a = newDaemon(t, x.outbound(), "\n[queue.support]\naddress = \"support@help.example\"\nagents = [\"otto\"]\n"+trust)
		b = newDaemon(t, x.outbound(), "\n[domain.\"beta.example\"]\n\n[queue.beta]\naddress = \"desk@beta.example\"\nagents = []\n"+trust)
		for _, d := range []*daemon{a, b} {
			d.start()
		}
		for _, d := range []*daemon{a, b} { // each other's keys, and a policy: T2
			for _, e := range []*daemon{a, b} {
				var page struct {
					Items []struct{ Name, Text string }
				}
				e.get("/dns/records", nil, &page)
				for _, r := range page.Items {
					if strings.Contains(r.Name, "._domainkey.") && (strings.HasSuffix(r.Name, "beta.example") == (e == b)) {
						d.dns.TXT(r.Name, r.Text)
					}
				}
			}
			for _, domain := range []string{"help.example", "beta.example"} {
				d.dns.TXT("_dmarc."+domain, "v=DMARC1; p=none")
				d.dns.MX(domain, 10, "mx."+domain)
			}
		}
		x.on("help.example", x.into(a, road))
		x.on("beta.example", x.into(b, road))
		return x, a, b
	}

	t.Run("honest road", func(t *testing.T) {
		t.Parallel()
		x, a, b := pair(t, untouched, "")
		// A person at the first desk writes to the second, as to any customer.
		_, err := a.api.send(context.Background(), "POST", "/tickets", map[string]any{
			"queue": "support", "subject": "Your delivery", "requester": map[string]string{"address": "desk@beta.example"},
			"message": map[string]string{"visibility": "public", "text": "Where is it?"},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		total := x.rest(a, b)
		at, am := outcomesOf(a)
		bt, bm := outcomesOf(b)
		t.Logf("honest: %d mails; %d tickets and %d messages here, %d and %d there", total, at, am, bt, bm)
		// It is known for a desk's mail by its List-Id: a ticket, and nobody is
		// answered.
		if x.count("support@help.example → desk@beta.example") != 1 || repliesTo(x, "support", "@help.example") != 0 || at != 1 || am != 1 || bt != 1 {
			t.Error("want the person's mail, a ticket there, and no answer of a machine")
		}
		var m struct {
			Auth      struct{ Trust string }
			Automatic struct{ Class string }
		}
		b.get("/messages/"+listMessages(b, 1001)[0].ID, nil, &m)
		if m.Auth.Trust != "T2" || m.Automatic.Class != "list" {
			t.Errorf("the second desk judges %+v", m)
		}
		// Two people go on from there: one mail for each that they write.
		before := total
		for i, d := range []*daemon{b, a} {
			if out, code := d.cli("And now?\n", "ticket", "reply", "1001"); code != 0 {
				t.Fatalf("reply: exit %d\n%s", code, out)
			}
			after := x.rest(a, b)
			t.Logf("answer %d: %d mails", i+1, after-before)
			if after-before > 2 { // the answer itself, and one to the agent of the first desk
				t.Errorf("%d mails for one answer", after-before)
			}
			before = after
		}
	})

	t.Run("stripping road", func(t *testing.T) {
		t.Parallel()
		c := &counter{}
		x, a, b := pair(t, stripped(c), vouched)
		first := sunkMail{from: "desk@beta.example", to: "support@help.example", raw: []byte("From: desk@beta.example\r\nTo: support@help.example\r\nSubject: x\r\n\r\nx\r\n")}
		x.into(a, stripped(c))(first)
		total := x.rest(a, b)
		at, am := outcomesOf(a)
		bt, bm := outcomesOf(b)
		t.Logf("stripped: %d mails; %d tickets and %d messages here, %d and %d there", total, at, am, bt, bm)
		there, back := x.count("support@help.example → desk@beta.example"), x.count("desk@beta.example → support@help.example")
		if there != 1 || back != 1 || at != 2 || bt != 1 {
			t.Errorf("%d acknowledgements there and %d back, want one each; tickets %d and %d", there, back, at, bt)
		}
	})

	t.Run("stripping road, one desk in copy", func(t *testing.T) {
		t.Parallel()
		c := &counter{}
		x, a, b := pair(t, stripped(c), vouched)
		raw := mailText(anna, desk, "desk@beta.example", "for both of you", "<both@customer.example>", nil, "Please settle this.\r\n")
		for d, to := range map[*daemon]string{a: desk, b: "desk@beta.example"} {
			if _, err := sendMail(d.smtp, anna, []string{to}, raw); err != nil {
				t.Fatal(err)
			}
		}
		x.rest(a, b)
		if out, code := a.cli("It is settled.\n", "ticket", "reply", "1001", "--as", "otto"); code != 0 {
			t.Fatalf("reply: exit %d\n%s", code, out)
		}
		total := x.rest(a, b)
		t.Logf("in copy: %d mails", total)
		if total > 12 {
			t.Errorf("%d mails for one question and one answer", total)
		}
		outcomesOf(a)
		outcomesOf(b)
	})
}

// repliesTo counts mails to addresses with a beginning and an end.
func repliesTo(x *exchange, begin, end string) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for way, count := range x.carried {
		_, to, _ := strings.Cut(way, " → ")
		if strings.HasPrefix(to, begin) && strings.HasSuffix(to, end) {
			n += count
		}
	}
	return n
}

func listMessages(d *daemon, ticket uint64) []messageJSON {
	return list[messageJSON](d, "/tickets/"+itoa(ticket)+"/messages", nil)
}

// TestRobotsCannotLoop lets robots that hide what they are answer everything we
// send (scenario 22).
func TestRobotsCannotLoop(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, most int, agents string) (*exchange, *daemon) {
		x := newExchange(t, most)
		t.Cleanup(x.show)
		d := newDaemon(t, x.outbound(), `
[agent.lena]
addresses = ["lena@staff.example"]

[queue.support]
address = "support@help.example"
agents = [`+agents+`]`+vouched)
		d.start()
		return x, d
	}
	open := func(t *testing.T, d *daemon, from, cc string) {
		t.Helper()
		if _, err := sendMail(d.smtp, from, []string{desk}, mailText(from, desk, cc, "first", "<first@peer.example>", nil, "Hello.\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	const r, c = "robot@peer.example", "copy@other.example"

	t.Run("to From", func(t *testing.T) {
		t.Parallel()
		x, d := start(t, 30, "")
		x.on(r, x.robot(d, r, "From", &counter{}))
		open(t, d, r, "")
		total := x.rest(d)
		tickets, messages := outcomesOf(d)
		t.Logf("robot to From: %d mails from us, %d tickets, %d messages", total, tickets, messages)
		if total != 1 || tickets != 2 {
			t.Errorf("%d mails and %d tickets, want one acknowledgement and what came", total, tickets)
		}
	})
	t.Run("to Reply-To", func(t *testing.T) {
		t.Parallel()
		x, d := start(t, 30, "")
		x.on(r, x.robot(d, r, "Reply-To", &counter{}))
		open(t, d, r, "")
		total := x.rest(d)
		tickets, messages := outcomesOf(d)
		t.Logf("robot to Reply-To: %d mails from us, %d tickets, %d messages", total, tickets, messages)
		if total != 1 || tickets != 1 || messages != 2 {
			t.Errorf("%d mails, %d tickets, %d messages; want 1, 1, 2", total, tickets, messages)
		}
	})
	t.Run("requester and copy", func(t *testing.T) {
		t.Parallel()
		x, d := start(t, 100, "")
		n := &counter{}
		x.on(r, x.robot(d, r, "Reply-To", n))
		x.on(c, x.robot(d, c, "Reply-To", n))
		open(t, d, r, c)
		total := x.rest(d)
		tickets, messages := outcomesOf(d)
		t.Logf("two robots on a ticket: %d mails from us, %d tickets, %d messages", total, tickets, messages)
		// The first robot's answer leaves the other out, which takes it off the
		// ticket: nobody is left to answer.
		if total > 3 || tickets != 1 {
			t.Errorf("%d mails, %d tickets", total, tickets)
		}
	})
	t.Run("two agents", func(t *testing.T) {
		t.Parallel()
		x, d := start(t, 200, `"otto", "lena"`)
		open(t, d, "person@peer.example", "")
		x.rest(d)
		n := &counter{}
		for _, who := range []string{"otto", "lena"} {
			x.on(who+"@staff.example", x.robot(d, who+"@staff.example", "Reply-To", n))
			if out, code := d.cli("", "ticket", "follow", "1001", who); code != 0 {
				t.Fatalf("follow: exit %d\n%s", code, out)
			}
		}
		if out, code := d.cli("Who takes it?\n", "ticket", "note", "1001", "--as", "otto"); code != 0 {
			t.Fatalf("note: exit %d\n%s", code, out)
		}
		total := x.rest(d)
		tickets, messages := outcomesOf(d)
		t.Logf("two agents' robots: %d mails from us, %d tickets, %d messages", total, tickets, messages)
		// Forty mails about the ticket need no bucket; then each has one of forty.
		if told := x.count("support@help.example → ada@staff.example"); total < 20 || total > 40+2*40+10 || tickets != 1 || told < 1 || told > 2 {
			t.Errorf("%d mails, %d tickets, the administrator was told %d times", total, tickets, told)
		}
	})
	t.Run("200 mails", func(t *testing.T) {
		t.Parallel()
		x, d := start(t, 30, "")
		for i := range 200 {
			raw := mailText(r, desk, "", fmt.Sprintf("alarm %d", i), fmt.Sprintf("<f%d@peer.example>", i), nil, "It is on fire.\r\n")
			if _, err := sendMail(d.smtp, r, []string{desk}, raw); err != nil {
				t.Fatal(err)
			}
		}
		total := x.rest(d)
		tickets, messages := outcomesOf(d)
		t.Logf("200 mails: %d mails from us, %d tickets, %d messages", total, tickets, messages)
		if acks, told := x.count("support@help.example → "+r), x.count("support@help.example → ada@staff.example"); acks != 1 || told != 1 || total != 2 || tickets != 200 {
			t.Errorf("%d acknowledgements, %d mails to the administrator, %d in all, %d tickets", acks, told, total, tickets)
		}
	})
}

// TestVacationCannotLoop writes to a person whose Dovecot answers every mail,
// without the pause between answers that it usually keeps: over an honest road
// it does not answer an acknowledgement; over one that strips our header it
// does, and its own header ends the matter; where that is stripped too, our
// limits do.
func TestVacationCannotLoop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		out, back   bool // the road strips what we send, what Dovecot sends
		answers     int  // of Dovecot
		mails, most int  // from us
	}{
		{"honest road", false, false, 0, 1, 20},
		{"our header is lost", true, false, 1, 1, 20},
		{"both headers are lost", true, true, 1, 1, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newExchange(t, c.most)
			t.Cleanup(x.show)
			d := newDaemon(t, x.outbound(), "\n[queue.support]\naddress = \"support@help.example\"\nagents = [\"otto\"]"+vouched)
			d.start()
			n := &counter{}
			// What Dovecot submits goes to the daemon by a road of its own.
			submission, err := newDemoWorld()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(submission.Close)
			var answers atomic.Int64
			submission.sink.onMail = func(m sunkMail) {
				answers.Add(1)
				if c.back {
					m = stripped(n)(m)
				}
				if _, err := sendMail(d.smtp, m.from, []string{m.to}, string(m.raw)); err != nil {
					t.Errorf("the answer of Dovecot: %v", err)
				}
			}
			away := peers.StartVacation(t, anna, submission.sink.addr)
			var log []string
			x.on(anna, func(m sunkMail) {
				if c.out {
					m = stripped(n)(m)
				}
				out, err := away.Deliver(m.from, m.raw)
				if err != nil {
					t.Errorf("dovecot-lda: %v", err)
				}
				x.mu.Lock()
				defer x.mu.Unlock()
				log = append(log, out)
			})
			if _, err := sendMail(d.smtp, anna, []string{desk}, mailText(anna, desk, "", "before I leave", "<v1@customer.example>", nil, "Look into it, please.\r\n")); err != nil {
				t.Fatal(err)
			}
			x.rest(d)
			total, got := repliesTo(x, anna, ""), int(answers.Load())
			x.mu.Lock()
			said := strings.Join(log, "")
			x.mu.Unlock()
			tickets, messages := outcomesOf(d)
			t.Logf("%s: %d mails from us, %d answers of Dovecot, %d tickets, %d messages\n%s", c.name, total, got, tickets, messages, said)
			if total != c.mails || got != c.answers || messages != 1+got {
				t.Errorf("%d mails from us, %d answers, %d messages; want %d, %d, %d", total, got, messages, c.mails, c.answers, 1+c.answers)
			}
			// A person's answer is one that Dovecot may answer, once each.
			if _, code := d.cli("We have looked.\n", "ticket", "reply", "1001", "--as", "otto"); code != 0 {
				t.Fatal("the reply was refused")
			}
			x.rest(d)
			again, got := repliesTo(x, anna, ""), int(answers.Load())
			t.Logf("in the end: %d mails from us, %d answers of Dovecot", again, got)
			if again != total+1 || got > c.answers+1 {
				t.Errorf("%d mails and %d answers after a person's answer", again, got)
			}
		})
	}
}
