package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// world is a notifier on a real store with a desk and an outbox of the test's.
type world struct {
	t      testing.TB
	disk   *storetest.Crashable
	db     store.DB
	blobs  *blob.Store
	agenda *agenda.Agenda
	desk   *fakeDesk
	outbox *outbox
	clock  *clock
	log    *bytes.Buffer
	acks   AckLimits
	n      *Notifier
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

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

// fakeDesk answers from maps, which nobody writes while notices are told. Only
// Raw touches the store.
type fakeDesk struct {
	queues     map[string]*ticketing.Queue
	agents     map[string]*ticketing.Agent
	tickets    map[uint64]*ticketing.Ticket
	messages   map[uint64][]*ticketing.Message
	keys       *message.Keyring
	blobs      *blob.Store
	optedOut   map[string]bool
	deliveries map[string][]ticketing.Delivery
	admin      string
	onThread   func() // runs while a letter is composed
}

func (d *fakeDesk) Queue(name string) (*ticketing.Queue, bool) { q, ok := d.queues[name]; return q, ok }
func (d *fakeDesk) Agent(name string) (*ticketing.Agent, bool) { a, ok := d.agents[name]; return a, ok }
func (d *fakeDesk) Writer(address string) (*ticketing.Agent, bool) {
	for _, a := range d.agents {
		if slices.ContainsFunc(a.Addresses, func(x string) bool { return message.Fold(x) == message.Fold(address) }) {
			return a, true
		}
	}
	return nil, false
}
func (d *fakeDesk) Keyring() *message.Keyring { return d.keys }

func (d *fakeDesk) Ticket(_ context.Context, number uint64) (*ticketing.Ticket, error) {
	if t := d.tickets[number]; t != nil {
		return t, nil
	}
	return nil, errors.New("no such ticket")
}

func (d *fakeDesk) Message(_ context.Context, id string) (*ticketing.Message, error) {
	for _, list := range d.messages {
		for _, m := range list {
			if m.ID == id {
				return m, nil
			}
		}
	}
	return nil, errors.New("no such message")
}

func (d *fakeDesk) Messages(_ context.Context, ticket uint64, after, limit int) ([]*ticketing.Message, error) {
	list := d.messages[ticket]
	list = list[min(after, len(list)):]
	return list[:min(limit, len(list))], nil
}

func (d *fakeDesk) StillPublic(_ store.Tx, _ uint64, ids []string) (bool, error) {
	for _, id := range ids {
		if m, err := d.Message(context.Background(), id); err != nil || m.Visibility != "public" {
			return false, err
		}
	}
	return true, nil
}

func (d *fakeDesk) Raw(ctx context.Context, m *ticketing.Message) (*blob.Reader, error) {
	return d.blobs.Open(ctx, m.Raw.SHA256)
}

func (d *fakeDesk) Reply(_ context.Context, m *ticketing.Message, mail *message.Mail) (message.Reply, error) {
	if m.Direction != "in" {
		return message.Reply{Text: mail.Text(), Visible: mail.Text()}, nil
	}
	return mail.Reply(), nil
}

func (d *fakeDesk) OptedOut(_ context.Context, addresses ...string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, a := range addresses {
		if d.optedOut[message.Fold(a)] {
			out[message.Fold(a)] = true
		}
	}
	return out, nil
}

func (d *fakeDesk) Admin() string { return d.admin }

// Thread refers to what the person wrote, which is enough to tell letters apart.
func (d *fakeDesk) Thread(_ context.Context, ticket uint64, person string) (inReplyTo string, references []string, err error) {
	if d.onThread != nil {
		d.onThread()
	}
	for _, m := range d.messages[ticket] {
		if m.MessageID != "" && message.Fold(m.Author.Address) == message.Fold(person) {
			inReplyTo = m.MessageID
			references = append(references, m.MessageID)
		}
	}
	return inReplyTo, references, nil
}

// outbox keeps parcels in the store, so that a crash keeps or loses them with
// the notice.
type outbox struct {
	parcels *store.Table[message.Outbound]
	fail    func(message.Outbound) error
}

func newOutbox() *outbox {
	return &outbox{parcels: store.NewTable("parcels", store.PrefixParcel, []string{"id"}, func(o *message.Outbound) store.Key { return store.Key{}.Str(o.ID) })}
}

func (o *outbox) Submit(tx store.Tx, p message.Outbound) error {
	if o.fail != nil {
		if err := o.fail(p); err != nil {
			return err
		}
	}
	return o.parcels.Put(tx, &p)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{t: noon}, log: &bytes.Buffer{}}
	w.disk = storetest.OpenCrashable(t, w.clock.now)
	secret := func(b byte) []message.Secret {
		return []message.Secret{{Epoch: 1, Key: bytes.Repeat([]byte{b}, 32), Created: noon}}
	}
	keys, err := message.NewKeyring(secret(1), secret(2))
	if err != nil {
		t.Fatal(err)
	}
	agent := func(name, display string, addresses ...string) *ticketing.Agent {
		return &ticketing.Agent{Name: name, DisplayName: display, Addresses: addresses}
	}
	w.desk = &fakeDesk{
		keys:     keys,
		admin:    "root@help-admin.example",
		tickets:  map[uint64]*ticketing.Ticket{},
		messages: map[uint64][]*ticketing.Message{},
		queues: map[string]*ticketing.Queue{"support": {
			Name: "support", Address: "support@help.example", DisplayName: "Example Support", Agents: []string{"otto", "ada"}, AutoAck: true,
		}},
		agents: map[string]*ticketing.Agent{
			"otto": agent("otto", "Otto", "otto@staff.example", "otto@home.example"),
			"ada":  agent("ada", "Ada", "ada@staff.example"),
			"fred": agent("fred", "Fred", "fred@elsewhere.example"),
		},
	}
	w.open(w.disk)
	return w
}

// open starts a notifier on a disk.
func (w *world) open(c *storetest.Crashable) {
	w.disk, w.db = c, c.DB
	w.blobs, w.agenda, w.outbox = blob.New(w.db, rand.Reader), agenda.New(w.db), newOutbox()
	w.desk.blobs = w.blobs
	w.start()
}

func (w *world) start() {
	w.n = New(Options{
		DB: w.db, Blobs: w.blobs, Agenda: w.agenda, Desk: w.desk, Outbox: w.outbox, Random: rand.Reader,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Limits: message.DefaultLimits(), Acks: w.acks,
	})
}

func (w *world) update(fn func(store.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(context.Background(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// ticket opens ticket 1000 and so on of Anna with Bo as CC.
func (w *world) ticket() *ticketing.Ticket {
	t := &ticketing.Ticket{
		Number: 1000 + uint64(len(w.desk.tickets)), Queue: "support", Subject: "Printer on fire", Status: "new", Priority: "normal",
		Requester: ticketing.Person{Address: "anna@customer.example", Name: "Anna Kunde"},
		CCs:       []ticketing.Person{{Address: "bo@customer.example", Name: "Bo"}},
	}
	w.desk.tickets[t.Number] = t
	return t
}

// add stores a message. Unset fields are those of a proven mail by Anna.
func (w *world) add(t *ticketing.Ticket, m ticketing.Message, raw string) *ticketing.Message {
	w.t.Helper()
	list := w.desk.messages[t.Number]
	m.Ticket, m.Seq = t.Number, len(list)+1
	m.ID = fmt.Sprintf("msg_%d_%d", t.Number, m.Seq)
	m.Direction, m.Visibility = cmp.Or(m.Direction, "in"), cmp.Or(m.Visibility, "public")
	m.Automatic.Class, m.Auth.Trust = cmp.Or(m.Automatic.Class, "none"), cmp.Or(m.Auth.Trust, "T1")
	if m.Author == (ticketing.Author{}) {
		m.Author = ticketing.Author{Address: "anna@customer.example", Name: "Anna Kunde", Role: "requester"}
		m.Envelope.From = cmp.Or(m.Envelope.From, "anna@customer.example")
	}
	m.ReceivedAt = w.clock.now()
	w.update(func(tx store.Tx) (err error) {
		m.Raw, err = w.blobs.Put(tx, []byte(strings.ReplaceAll(raw, "\n", "\r\n")))
		return err
	})
	w.desk.messages[t.Number] = append(list, &m)
	return &m
}

// audience is the desk's: customers only where they may hear of the event.
func (w *world) audience(t *ticketing.Ticket, event string) (out []ticketing.Recipient) {
	add := func(role, address, name, agent string) {
		same := func(r ticketing.Recipient) bool { return message.Fold(r.Address) == message.Fold(address) }
		if !slices.ContainsFunc(out, same) {
			out = append(out, ticketing.Recipient{Role: role, Address: address, Name: name, Agent: agent})
		}
	}
	staff := func(role, name string) {
		if a := w.desk.agents[name]; a != nil {
			add(role, a.Addresses[0], a.DisplayName, name)
		}
	}
	if event == "ticket_created" || event == "public_message" {
		add("requester", t.Requester.Address, t.Requester.Name, "")
		for _, c := range t.CCs {
			add("cc", c.Address, c.Name, "")
		}
	}
	staff("assignee", t.Assignee)
	for _, f := range t.Followers {
		staff("follower", f.Agent)
	}
	for _, name := range w.desk.queues[t.Queue].Agents {
		staff("agent", name)
	}
	return out
}

// put owes a notice about a message to everybody. Its causer is the author.
func (w *world) put(event string, t *ticketing.Ticket, m *ticketing.Message, change ...func(*ticketing.Notice)) ticketing.Notice {
	w.t.Helper()
	n := ticketing.Notice{Event: event, Ticket: t.Number, Queue: t.Queue, At: w.clock.now(), Audience: w.audience(t, event)}
	if m != nil {
		n.Message, n.Mail, n.Trust = m.ID, uint32(m.Seq), m.Auth.Trust
		n.Actor = ticketing.Actor{Kind: "contact", Address: m.Author.Address, Name: m.Author.Name, Agent: m.Author.Agent}
	}
	for _, f := range change {
		f(&n)
	}
	n.ID = "ntc_" + event + "_" + n.Message
	payload, err := json.Marshal(n)
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		return w.agenda.Put(tx, agenda.Job{Lane: ticketing.NoticeLane, Key: n.ID, Payload: payload})
	})
	return n
}

// tell works off what is due.
func (w *world) tell() {
	w.t.Helper()
	for range 100 {
		worked, _, err := w.n.Step(context.Background())
		if err != nil {
			w.t.Fatal(err)
		}
		if worked == 0 {
			return
		}
	}
	w.t.Fatal("there is no end to the notices")
}

// pending is how many notices wait.
func (w *world) pending() (n int) {
	w.t.Helper()
	err := w.db.View(context.Background(), func(r store.Reader) error {
		jobs, err := w.agenda.Jobs(r, ticketing.NoticeLane, 1000)
		n = len(jobs)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

const annasMail = `From: Anna Kunde <anna@customer.example>
To: support@help.example
Subject: Printer on fire
Message-ID: <a1@customer.example>
Date: Mon, 2 Nov 2026 11:59:00 +0000
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

The printer is on fire.
What shall we do?
`

func by(agent, name, address string) ticketing.Author {
	return ticketing.Author{Address: address, Name: name, Role: "agent", Agent: agent}
}
