package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mime/quotedprintable"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/pebble"
)

// A town is people who write mail to each other and to a real desk with a real
// notifier: whoever gets a mail can answer it. It remembers what was written
// (each text holds a word of its own, a mark) and looks at the bytes of every
// mail that leaves the desk.
type town struct {
	t     testing.TB
	rnd   *rand.Rand
	clock *clock
	db    store.DB
	blobs *blob.Store
	desk  *ticketing.Desk
	n     *Notifier
	post  *postOffice

	staff  []*citizen
	people []*citizen
	marks  map[string]*mark
	open   []uint64 // tickets
	steps  []string // what was done, for a failure's report
	mails  int      // to us
	seen   map[string]int
	late   bool   // the notifier has not told the last deed yet
	latest uint64 // the ticket of the last message

	repeated []string // marks in the mail a customer sent last

	known     map[string]string   // the visibility of messages, as far as it was looked at
	opened    string              // the message that the last deed was to make public
	concealed map[string]bool     // messages that somebody made internal, and copies of them
	waiting   []*parcelMail       // written and not sent yet
	sentTo    map[string][]string // customers, by the message they were sent
}

// citizen is somebody with a mailbox.
type citizen struct {
	name    string
	address string
	agent   string // id, "" for customers
	mailbox []*parcelMail
	self    *ticketing.Agent
}

// mark is a word that stands in one text. It may go to customers while one of
// its messages is public, and then only to those of its ticket.
type mark struct {
	author   string   // folded address
	messages []string // that hold it
	tickets  []uint64 // whose subject holds it: all who take part know it
	secret   string   // why nobody outside may ever see it, "" if the messages say
}

// parcelMail is a mail in somebody's mailbox: one of ours, or one that somebody
// sent him directly.
type parcelMail struct {
	message.Outbound
	raw  string
	mail *message.Mail
	by   string // who sent it, "" = the desk
}

// postOffice is the outbox: what it takes can be delivered when the transaction
// has committed, and taken back until then.
type postOffice struct {
	desk *ticketing.Desk
	mu   sync.Mutex
	new  []message.Outbound

	recalled int
}

// Recall takes a mail back that has not been delivered.
func (p *postOffice) Recall(tx store.Tx, parcel, _ string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.new, func(o message.Outbound) bool { return o.ID == parcel })
	if i < 0 {
		return false, nil
	}
	o := p.new[i]
	err := p.desk.Settled(tx, message.Report{Parcel: o.ID, Message: o.Message, MailID: o.MailID, Mail: o.Mail, Ticket: o.Ticket, Queue: o.Queue, Recipient: o.To, State: "cancelled", At: tx.Now()})
	if err != nil {
		return false, err
	}
	tx.OnCommit(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.new = slices.DeleteFunc(p.new, func(o message.Outbound) bool { return o.ID == parcel })
		p.recalled++
	})
	return true, nil
}

// sent ends a mail's wait.
func (w *town) sent(p *parcelMail) {
	w.post.mu.Lock()
	w.post.new = slices.DeleteFunc(w.post.new, func(o message.Outbound) bool { return o.ID == p.ID })
	w.post.mu.Unlock()
	err := w.db.Update(context.Background(), func(tx store.Tx) error {
		return w.desk.Settled(tx, message.Report{Parcel: p.ID, Message: p.Message, MailID: p.MailID, Mail: p.Mail, Ticket: p.Ticket, Queue: p.Queue, Recipient: p.To, State: "sent", Attempts: 1, At: tx.Now()})
	})
	if err != nil {
		w.fatal("settled: %v", err)
	}
}

func (p *postOffice) Submit(tx store.Tx, o message.Outbound) error {
	err := p.desk.Settled(tx, message.Report{Parcel: o.ID, Message: o.Message, MailID: o.MailID, Mail: o.Mail, Ticket: o.Ticket, Queue: o.Queue, Recipient: o.To, State: "queued", At: tx.Now()})
	if err != nil {
		return err
	}
	tx.OnCommit(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.new = append(p.new, o)
	})
	return nil
}

const (
	townMX      = "192.0.2.7"
	townTrusted = "192.0.2.9"
)

// The addresses of staff have local parts that stand nowhere else.
var townAgents = []ticketing.Agent{
	{Name: "otto", DisplayName: "Otto", Addresses: []string{"o.qz7otto@staff.example", "o.qz7home@home.example"}},
	{Name: "ada", DisplayName: "Ada", Addresses: []string{"o.qz7ada@staff.example"}},
	{Name: "luis", DisplayName: "Luis", Addresses: []string{"o.qz7luis@staff.example"}, Light: true},
	{Name: "sara", DisplayName: "Sara", Addresses: []string{"o.qz7sara@staff.example"}},
	{Name: "fred", DisplayName: "Fred", Addresses: []string{"o.qz7fred@staff.example"}},
	{Name: "lily", DisplayName: "Lily", Addresses: []string{"o.qz7lily@staff.example"}, Light: true},
}

const staffMark = "o.qz7" // in every address of staff, and in no token

func newTown(t testing.TB, seed uint64) *town {
	t.Helper()
	w := &town{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), clock: &clock{t: noon}, marks: map[string]*mark{}, seen: map[string]int{},
		known: map[string]string{}, concealed: map[string]bool{}, sentTo: map[string][]string{}, post: &postOffice{}}
	db, err := pebble.OpenMem(pebble.Options{Now: func() time.Time { w.clock.move(time.Millisecond); return w.clock.now() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w.db, w.blobs = db, blob.New(db, &seeded{r: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})})
	due := agenda.New(db)
	trusted := ticketing.ForwarderNetworks(netip.MustParsePrefix(townTrusted + "/32"))
	queues := []ticketing.Queue{
		{Name: "support", Address: "support@help.example", DisplayName: "Example Support", Agents: []string{"otto", "ada", "luis"},
			CC: ticketing.CCPolicy{Allow: "all", Max: 48, Never: []string{"boss@never.example"}}, AutoAck: true, TrustedForwarders: trusted,
			ReplyAll: []string{"queue", "followers", "assignee"}[seed%3]},
		{Name: "sales", Address: "sales@shop.example", DisplayName: "Shop", Agents: []string{"sara", "otto"},
			CC: ticketing.CCPolicy{Allow: "participants", Max: 3}, AutoAck: true, TrustedForwarders: trusted, CopyAlways: seed%2 == 0},
	}
	if seed%3 == 1 { // it looks otherwise than it is
		queues[1].Aliases = []string{"help@shop.example", "answers@shop.example"}
		queues[1].Appearance = ticketing.Appearance{As: "assignee", Address: "help@shop.example", ReplyTo: "answers@shop.example", WithoutSubject: true}
	}
	w.desk, err = ticketing.Open(context.Background(), ticketing.Options{
		DB: db, Blobs: w.blobs, Journal: journal.New(db), Agenda: due, Queues: queues, Agents: townAgents, Admin: "admin@staff.example",
		Random: &seeded{r: rand.NewChaCha8([32]byte{1, byte(seed), byte(seed >> 8)})}, Acked: NewAcks().Had,
		Recaller: w.post,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.post.desk = w.desk
	w.n = New(Options{DB: db, Blobs: w.blobs, Agenda: due, Desk: w.desk, Outbox: w.post, Random: &seeded{r: rand.NewChaCha8([32]byte{2, byte(seed)})}, TicketURL: "https://desk.example/t/"})
	for i := range townAgents {
		a := &townAgents[i]
		w.staff = append(w.staff, &citizen{name: a.DisplayName, address: a.Addresses[0], agent: a.Name, self: a})
	}
	for _, p := range [][2]string{
		{"Anna Kunde", "anna@customer.example"}, {"", "bo@customer.example"}, {"carla@customer.example", "carla@customer.example"},
		{"Dora, Ltd", "dora@elsewhere.example"}, {"Émile", "emile@elsewhere.example"}, {"Frank", "frank+list@third.example"},
		{"The Boss", "boss@never.example"}, {"Xaver", "xaver@stranger.example"}, {"Yps", "yps@stranger.example"},
	} {
		w.people = append(w.people, &citizen{name: p[0], address: p[1]})
	}
	return w
}

// seeded is a repeatable source for many goroutines.
type seeded struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

func (w *town) fatal(format string, args ...any) {
	w.t.Helper()
	last := w.steps[max(0, len(w.steps)-12):]
	w.t.Fatalf("%s\nthe last steps:\n  %s", fmt.Sprintf(format, args...), strings.Join(last, "\n  "))
}

func (w *town) did(format string, args ...any) {
	w.steps = append(w.steps, fmt.Sprintf("%d: ", len(w.steps)+1)+fmt.Sprintf(format, args...))
}

// newMark makes a word for a text. Words do not wrap, and no two are alike.
func (w *town) newMark(author string) string {
	word := fmt.Sprintf("qx%05dxq", len(w.marks))
	w.marks[word] = &mark{author: message.Fold(author)}
	return word
}

var markForm = regexp.MustCompile(`qx\d{5}xq`)

func (w *town) chance(percent int) bool { return w.rnd.IntN(100) < percent }

func pickOne[T any](w *town, list []T) T { return list[w.rnd.IntN(len(list))] }

// citizenAt finds whose mailbox an address is.
func (w *town) citizenAt(address string) *citizen {
	folded := message.Fold(address)
	for _, c := range w.people {
		if message.Fold(c.address) == folded {
			return c
		}
	}
	for _, c := range w.staff {
		for _, a := range c.self.Addresses {
			if message.Fold(a) == folded {
				return c
			}
		}
	}
	return nil
}

func ours(address string) bool {
	return strings.HasSuffix(address, "@help.example") || strings.HasSuffix(address, "@shop.example")
}

// writing is a mail that somebody's program sends.
type writing struct {
	by       *citizen
	from     string // the address it is sent from
	ip       string
	to, cc   []message.Address
	subject  string
	answers  *parcelMail
	text     string
	file     string // content of an attachment, "" for none
	extra    []string
	envelope string // "<>" for null
	quiet    bool   // only the desk gets it
}

func addressList(list []message.Address) string {
	out := make([]string, len(list))
	for i, a := range list {
		if out[i] = a.Addr; a.Name != "" && !strings.ContainsAny(a.Name, `",@`) {
			out[i] = quotedName(a.Name) + " <" + a.Addr + ">"
		}
	}
	return strings.Join(out, ",\n ")
}

func quotedName(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r > 0x7e }) {
		return "=?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte(name)) + "?="
	}
	return `"` + name + `"`
}

// compose writes the mail as one of several programs would.
func (w *town) compose(m writing) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("From: %s", addressList([]message.Address{{Name: m.by.name, Addr: m.from}}))
	if len(m.to) > 0 {
		line("To: %s", addressList(m.to))
	}
	if len(m.cc) > 0 {
		line("Cc: %s", addressList(m.cc))
	}
	line("Subject: %s", m.subject)
	w.mails++
	line("Message-ID: <m%d@%s>", w.mails, strings.SplitN(m.from, "@", 2)[1])
	if m.answers != nil {
		id := m.answers.mail.Header.Get("Message-ID")
		line("In-Reply-To: %s", id)
		if w.chance(80) {
			line("References: %s", strings.Join(append(m.answers.mail.Header.IDs("References"), id), "\n "))
		}
	}
	topic := m.subject
	if m.by.agent != "" { // that of whatever he answered, which may be anything
		word := w.newMark("")
		w.marks[word].secret = "it is a topic of an agent's program"
		topic = word
	}
	line("Thread-Topic: %s", topic)
	line("Date: %s", w.clock.now().Format(time.RFC1123Z))
	for _, x := range m.extra {
		line("%s", x)
	}
	line("MIME-Version: 1.0")
	w.body(&b, m)
	return b.String()
}

func (w *town) body(b *strings.Builder, m writing) {
	part := func(kind, content string) {
		fmt.Fprintf(b, "Content-Type: %s; charset=utf-8\n", kind)
		switch w.rnd.IntN(3) {
		case 0:
			b.WriteString("Content-Transfer-Encoding: base64\n\n")
			for s := base64.StdEncoding.EncodeToString([]byte(content)); s != ""; {
				n := min(76, len(s))
				b.WriteString(s[:n] + "\n")
				s = s[n:]
			}
		case 1:
			b.WriteString("Content-Transfer-Encoding: quoted-printable\n\n")
			q := quotedprintable.NewWriter(b)
			io.WriteString(q, content)
			q.Close()
			b.WriteString("\n")
		default:
			b.WriteString("Content-Transfer-Encoding: 8bit\n\n" + content + "\n")
		}
	}
	text := func() {
		if !w.chance(40) {
			part("text/plain", m.text)
			return
		}
		b.WriteString("Content-Type: multipart/alternative; boundary=alt\n\n--alt\n")
		part("text/plain", m.text)
		b.WriteString("--alt\n")
		part("text/html", "<html><body><div>"+strings.ReplaceAll(htmlEscape(m.text), "\n", "<br>\n")+"</div></body></html>")
		b.WriteString("--alt--\n")
	}
	if m.file == "" {
		text()
		return
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=mix\n\n--mix\n")
	text()
	b.WriteString("--mix\nContent-Disposition: attachment; filename=notes.txt\n")
	part("text/plain", m.file)
	b.WriteString("--mix--\n")
}

func htmlEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// send delivers a mail to whoever is addressed: people directly, the desk by
// SMTP. It returns the desk's receipt, nil if the desk got nothing.
func (w *town) send(m writing) *ticketing.Receipt {
	raw := strings.ReplaceAll(w.compose(m), "\n", "\r\n")
	parsed := w.parse(raw)
	w.repeated = nil
	if m.by.agent == "" {
		w.repeated = markForm.FindAllString(parsed.Header.Text("Subject")+"\n"+parsed.Text(), -1)
	}
	var rcpt []string
	for _, a := range slices.Concat(m.to, m.cc) {
		if ours(a.Addr) {
			if !slices.Contains(rcpt, a.Addr) {
				rcpt = append(rcpt, a.Addr)
			}
			continue
		}
		if c := w.citizenAt(a.Addr); c != nil && !m.quiet {
			c.keep(&parcelMail{raw: raw, mail: parsed, by: m.from})
		}
	}
	if len(rcpt) == 0 {
		return nil
	}
	up := w.blobs.Create(context.Background())
	io.WriteString(up, raw)
	sealed, err := up.Seal()
	if err != nil {
		w.fatal("seal: %v", err)
	}
	from := cmp.Or(m.envelope, m.from)
	if from == "<>" {
		from = ""
	}
	trust := "T1"
	if m.ip == townTrusted {
		trust = "T2"
	} else if w.chance(10) {
		trust = "T0"
	}
	r, err := w.desk.Receive(context.Background(), ticketing.Arrival{
		Source: "smtp", EnvelopeFrom: from, Recipients: rcpt, RemoteIP: netip.MustParseAddr(m.ip), Raw: sealed, Verdict: ticketing.Verdict{Trust: trust},
	})
	if err != nil {
		w.fatal("receive: %v\n%s", err, raw)
	}
	return r
}

// maxMailbox is how many mails people keep, the newest.
const maxMailbox = 30

func (c *citizen) keep(p *parcelMail) {
	c.mailbox = append(c.mailbox, p)
	c.mailbox = c.mailbox[max(0, len(c.mailbox)-maxMailbox):]
}

func (w *town) parse(raw string) *message.Mail {
	m, err := message.Parse(strings.NewReader(raw), int64(len(raw)), message.DefaultLimits())
	if err != nil {
		w.fatal("parse: %v", err)
	}
	return m
}

// tell tells what is due, and returns the desk's new mails. They wait.
func (w *town) tell() []*parcelMail {
	for {
		worked, _, err := w.n.Step(context.Background())
		if err != nil {
			w.fatal("notices: %v", err)
		}
		if worked == 0 {
			break
		}
	}
	w.post.mu.Lock()
	list := slices.Clone(w.post.new)
	w.post.mu.Unlock()
	var out []*parcelMail
	for _, o := range list {
		if slices.ContainsFunc(w.waiting, func(p *parcelMail) bool { return p.ID == o.ID }) {
			continue
		}
		raw, err := w.blobs.ReadAll(context.Background(), o.SHA256, 1<<30)
		if err != nil {
			w.fatal("the mail to %s: %v", o.To, err)
		}
		p := &parcelMail{Outbound: o, raw: string(raw), mail: w.parse(string(raw))}
		out = append(out, p)
		if w.citizenAt(o.To) == nil {
			w.fatal("a mail to %s, whom nobody knows", o.To)
		}
		w.waiting = append(w.waiting, p)
	}
	return out
}

// deliver puts mails that wait into mailboxes: most of them, or all.
func (w *town) deliver(all bool) []*parcelMail {
	var out, left []*parcelMail
	for _, p := range w.waiting {
		w.post.mu.Lock()
		there := slices.ContainsFunc(w.post.new, func(o message.Outbound) bool { return o.ID == p.ID })
		w.post.mu.Unlock()
		switch {
		case !there: // taken back
		case !all && w.chance(30):
			left = append(left, p)
		default:
			w.sent(p)
			w.citizenAt(p.To).keep(p)
			out = append(out, p)
		}
	}
	w.waiting = left
	return out
}

// everything of a mail that somebody could read, decoded in every way there is.
func (p *parcelMail) everything() string {
	var b bytes.Buffer
	b.WriteString(p.From + "\n" + p.raw + "\n")
	for _, f := range p.mail.Header {
		b.WriteString(f.Name + ": " + message.DecodeWords(f.Value) + "\n")
	}
	b.WriteString(p.mail.Text() + "\n" + p.mail.HTML() + "\n")
	for _, part := range p.mail.Attachments() {
		b.WriteString(part.Filename + "\n")
		io.Copy(&b, p.mail.Open(part))
	}
	return b.String()
}
