package ticketing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"math/rand/v2"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)} }

// now moves on a little each time, so that nothing happens at once.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(time.Millisecond)
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// twice runs every closure of Update twice and keeps the second run: what a
// closure leaves behind outside its transaction shows up as a difference.
type twice struct{ store.DB }

func (t twice) Update(ctx context.Context, fn func(store.Tx) error) error {
	again := fmt.Errorf("run again")
	err := t.DB.Update(ctx, func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return again
	})
	if err != again {
		return err
	}
	return t.DB.Update(ctx, fn)
}

// random is a repeatable source.
type random struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func newRandom(seed byte) *random {
	var s [32]byte
	s[0] = seed
	return &random{r: rand.NewChaCha8(s)}
}

func (r *random) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.Read(p)
}

const (
	mx      = "192.0.2.7" // an ordinary host
	trusted = "127.0.0.9" // a trusted forwarder of all queues
	helpdsk = "support@help.example"
)

func queues() []ticketing.Queue {
	forwarders := ticketing.ForwarderNetworks(netip.MustParsePrefix(trusted + "/32"))
	return []ticketing.Queue{
		{Name: "support", Address: helpdsk, Aliases: []string{"hilfe@help.example"}, DisplayName: "Help Support", Agents: []string{"otto", "lena", "luis"},
			CC: ticketing.CCPolicy{Allow: "all", Never: []string{"boss@x.example", "@never.example", "*@*.bad.example"}}, AutoAck: true, TrustedForwarders: forwarders},
		{Name: "sales", Address: "sales@help.example", DisplayName: "Sales", Agents: []string{"sara"},
			CC: ticketing.CCPolicy{Allow: "all"}, AutoAck: true, TrustedForwarders: forwarders},
		{Name: "quiet", Address: "quiet@other.example", Agents: []string{"otto"}, CC: ticketing.CCPolicy{Allow: "off"}},
		{Name: "firm", Address: "firm@other.example", Agents: []string{"otto"}, CC: ticketing.CCPolicy{Allow: "participants", Max: 2}},
	}
}

func agents() []ticketing.Agent {
	return []ticketing.Agent{
		{Name: "otto", DisplayName: "Otto", Addresses: []string{"otto@staff.example", "otto@home.example"}},
		{Name: "lena", DisplayName: "Lena", Addresses: []string{"lena@staff.example"}},
		{Name: "luis", DisplayName: "Luis", Addresses: []string{"luis@staff.example"}, Light: true},
		{Name: "sara", DisplayName: "Sara", Addresses: []string{"sara@staff.example"}},
		{Name: "fred", DisplayName: "Fred", Addresses: []string{"fred@staff.example"}},
	}
}

// bench is a desk on an in-memory store, and what a test asks of it.
type bench struct {
	t      testing.TB
	db     store.DB
	blobs  *blob.Store
	agenda *agenda.Agenda
	log    *journal.Journal
	desk   *ticketing.Desk
	clock  *clock
	keys   *message.Keyring
}

func open(t testing.TB) *bench {
	t.Helper()
	c := newClock()
	db, err := pebble.OpenMem(pebble.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return openOn(t, twice{db}, c)
}

func openOn(t testing.TB, db store.DB, c *clock, change ...func(*ticketing.Options)) *bench {
	t.Helper()
	b := &bench{t: t, db: db, clock: c}
	b.blobs = blob.New(db, newRandom(1))
	b.agenda = agenda.New(db)
	b.log = journal.New(db)
	o := ticketing.Options{DB: db, Blobs: b.blobs, Journal: b.log, Agenda: b.agenda, Queues: queues(), Agents: agents(), Random: newRandom(2)}
	for _, f := range change {
		f(&o)
	}
	var err error
	b.desk, err = ticketing.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	b.keys = b.desk.Keyring()
	return b
}

// mail is a mail as a test writes it: "Name: value" lines, an empty line, text.
type mail struct {
	ip    string   // of the peer, mx if empty
	trust string   // T0 T1 T2: what the door found out
	from  string   // envelope: that of the From line if empty, null if "<>"
	to    []string // recipients, support if none
	text  string
}

func (b *bench) seal(text string) *blob.Sealed {
	b.t.Helper()
	w := b.blobs.Create(context.Background())
	if _, err := io.WriteString(w, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		b.t.Fatal(err)
	}
	s, err := w.Seal()
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) arrival(m mail) ticketing.Arrival {
	if m.ip == "" {
		m.ip = mx
	}
	if m.to == nil {
		m.to = []string{helpdsk}
	}
	switch m.from {
	case "":
		line, _, _ := strings.Cut(m.text, "\n")
		if a, err := message.ParseAddress(strings.TrimPrefix(line, "From: ")); err == nil {
			m.from = a.Addr
		}
	case "<>":
		m.from = ""
	}
	return ticketing.Arrival{
		Verdict: ticketing.Verdict{Trust: m.trust}, Source: "smtp", EnvelopeFrom: m.from, Recipients: m.to, RemoteIP: netip.MustParseAddr(m.ip), HELO: "mx.example", Raw: b.seal(m.text),
	}
}

func (b *bench) receive(m mail) *ticketing.Receipt {
	b.t.Helper()
	r, err := b.desk.Receive(context.Background(), b.arrival(m))
	if err != nil {
		b.t.Fatalf("receive: %v", err)
	}
	return r
}

// take receives a mail with one outcome and returns it.
func (b *bench) take(m mail) ticketing.Outcome {
	b.t.Helper()
	r := b.receive(m)
	if len(r.Outcomes) != 1 {
		b.t.Fatalf("outcomes %+v, want one", r.Outcomes)
	}
	return r.Outcomes[0]
}

var mailNumber struct {
	sync.Mutex
	n int
}

// write makes a person's mail with a Message-ID of its own; extra are further
// header lines.
func write(from, subject string, extra ...string) string {
	mailNumber.Lock()
	mailNumber.n++
	n := mailNumber.n
	mailNumber.Unlock()
	lines := append([]string{"From: " + from, "Subject: " + subject, fmt.Sprintf("Message-ID: <m%d@test.example>", n), "Date: Mon, 02 Mar 2026 09:00:00 +0000"}, extra...)
	return strings.Join(lines, "\n") + fmt.Sprintf("\n\nText %d.\n", n)
}

func (b *bench) ticket(n uint64) *ticketing.Ticket {
	b.t.Helper()
	t, err := b.desk.Ticket(context.Background(), n)
	if err != nil {
		b.t.Fatalf("ticket %d: %v", n, err)
	}
	return t
}

func (b *bench) message(id string) *ticketing.Message {
	b.t.Helper()
	m, err := b.desk.Message(context.Background(), id)
	if err != nil {
		b.t.Fatalf("message %s: %v", id, err)
	}
	return m
}

func (b *bench) messages(n uint64) []*ticketing.Message {
	b.t.Helper()
	list, err := b.desk.Messages(context.Background(), n, 0, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// notices returns all notices owed about a ticket, in the order they arose.
func (b *bench) notices(ticket uint64) []ticketing.Notice {
	b.t.Helper()
	var out []ticketing.Notice
	jobs, err := b.agenda.Claim(context.Background(), ticketing.NoticeLane, 1000, time.Microsecond, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, j := range jobs {
		var n ticketing.Notice
		if err := json.Unmarshal(j.Payload, &n); err != nil {
			b.t.Fatal(err)
		}
		if n.Ticket == ticket {
			out = append(out, n)
		}
	}
	return out
}

// lastNotice returns the notice with the highest mail number of a ticket.
func (b *bench) lastNotice(ticket uint64) ticketing.Notice {
	b.t.Helper()
	var last ticketing.Notice
	for _, n := range b.notices(ticket) {
		if n.Mail > last.Mail {
			last = n
		}
	}
	if last.ID == "" {
		b.t.Fatalf("ticket %d owes no notice", ticket)
	}
	return last
}

// letter is our mail to a person as his mail client sees it.
type letter struct {
	id      string
	replyTo string
	ret     string
	alias   func(address string) string
}

// mailTo returns the mail number n of a ticket to a person, as notify writes
// it.
func (b *bench) mailTo(ticket uint64, n uint32, person string, role message.Role, internal bool) letter {
	b.t.Helper()
	q, _ := b.desk.Queue(b.ticket(ticket).Queue)
	local, domain, _ := strings.Cut(q.Address, "@")
	address := func(t message.Token) string {
		return local + "+" + b.keys.AddressToken(q.Name, t) + "@" + domain
	}
	t := message.Token{Kind: message.KindReply, Ticket: ticket, Mail: n, Person: message.PersonHash(person), Role: role, Internal: internal}
	l := letter{id: b.keys.MessageID(domain, t), replyTo: address(t)}
	t.Kind = message.KindReturnPath
	l.ret = address(t)
	l.alias = func(who string) string {
		return address(message.Token{Kind: message.KindAlias, Ticket: ticket, Mail: n, Person: message.PersonHash(who), Role: message.RoleRequester})
	}
	return l
}

// answer writes an answer to a mail of ours.
func answer(from, subject string, l letter, extra ...string) string {
	return write(from, "Re: "+subject, append([]string{"In-Reply-To: " + l.id, "References: <root@test.example> " + l.id}, extra...)...)
}

// checkAll reconciles and fails on problems.
func (b *bench) checkAll() {
	b.t.Helper()
	rc, err := b.desk.Reconcile(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, p := range rc.Problems {
		b.t.Errorf("reconcile: %s", p)
	}
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}
