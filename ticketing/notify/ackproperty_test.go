package notify

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ticketgate/ticketing"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
)

// ackModel is what the property below knows about people by itself.
type ackModel struct {
	met   map[string]bool      // proven once, or written to by an agent
	acked map[string]time.Time // last acknowledgement
	fresh map[uint64]arrivedAs // tickets by the mail that opened them
}

type arrivedAs struct {
	address string
	trust   string
	known   bool // when it arrived
	robot   bool
	marker  string // stands in subject and body, nowhere else
}

// Scenario 46 at random. No acknowledgement ever goes to a T0 sender that is not a known contact; none
// to a machine; none twice a day; none repeats a word of whom nothing vouches
// for; and none can be bounced or taken for a person's mail.
func TestAcknowledgementProperty(t *testing.T) {
	t.Parallel()
	acks, arrivals := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		o := newOffice(t)
		o.reopen(rapid.Bool().Draw(rt, "agents"))
		m := &ackModel{map[string]bool{}, map[string]time.Time{}, map[uint64]arrivedAs{}}
		people := []string{"anna@customer.example", "bo@customer.example", "victim@elsewhere.example", "Anna@Customer.Example"}
		seen := map[string]bool{}
		for step := range rapid.IntRange(4, 14).Draw(rt, "steps") {
			o.clock.move(time.Duration(rapid.SampledFrom([]int{0, 1, 60, 24 * 60}).Draw(rt, "minutes")) * time.Minute)
			if len(m.fresh) > 0 && rapid.IntRange(0, 5).Draw(rt, "what") == 0 {
				o.agentWrites(rt, m)
			} else {
				arrivals++
				o.somebodyWrites(rt, m, step, rapid.SampledFrom(people).Draw(rt, "from"))
			}
			o.tell()
			for _, s := range o.sent() {
				if seen[s.ID] || s.Class != "autoack" {
					continue
				}
				seen[s.ID] = true
				acks++
				m.judge(rt, o, s)
			}
		}
		if o.pending() != 0 {
			rt.Fatalf("%d notices wait", o.pending())
		}
	})
	if acks == 0 {
		t.Fatal("nobody was acknowledged: the property says nothing")
	}
	t.Logf("%d arrivals, %d acknowledgements", arrivals, acks)
}

// reopen replaces the office's desk by one that asks the notifier's memory, as
// the daemon's does, and whose queue has agents or none.
func (o *office) reopen(agents bool) {
	o.t.Helper()
	q := ticketing.Queue{Name: "support", Address: "support@help.example", DisplayName: "Example Support", AutoAck: true, CC: ticketing.CCPolicy{Allow: "all", Max: 48}}
	var staff []ticketing.Agent
	for _, a := range o.desk.agents {
		staff = append(staff, *a)
	}
	if agents {
		q.Agents = []string{"otto"}
	}
	d, err := ticketing.Open(context.Background(), ticketing.Options{
		DB: o.db, Blobs: o.blobs, Journal: journal.New(o.db), Agenda: o.agenda, Queues: []ticketing.Queue{q}, Agents: staff, Random: rand.Reader,
		Acked: NewAcks().Had, Admin: "root@admin.example",
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.d = d
	o.n = New(Options{DB: o.db, Blobs: o.blobs, Agenda: agenda.New(o.db), Desk: d, Outbox: ledger{o.outbox, d}, Random: rand.Reader})
}

func (o *office) somebodyWrites(rt *rapid.T, m *ackModel, step int, from string) {
	folded := message.Fold(from)
	as := arrivedAs{address: folded, trust: rapid.SampledFrom([]string{"T0", "T0", "T0", "T1", "T2"}).Draw(rt, "trust"), known: m.met[folded], marker: fmt.Sprintf("xyzzy%d", step)}
	envelope := rapid.SampledFrom([]string{from, from, from, "", "other@relay.example"}).Draw(rt, "envelope")
	extra := rapid.SampledFrom([]string{"", "", "", "Auto-Submitted: auto-replied\n", "List-Id: <l.example>\n", "Precedence: bulk\n", "Auto-Submitted: no\n",
		"Cc: dora@elsewhere.example\n", "In-Reply-To: <m1@customer.example>\n"}).Draw(rt, "extra")
	as.robot = envelope == "" || strings.HasPrefix(extra, "Auto-Submitted: auto") || strings.HasPrefix(extra, "List") || strings.HasPrefix(extra, "Prec")
	doubtful := rapid.IntRange(0, 9).Draw(rt, "doubtful") == 0
	line := "From: <" + from + ">"
	if doubtful {
		line += ", <second@elsewhere.example>"
		as.trust = "T0" // whatever the door said: it speaks for nobody
	}
	w := o.blobs.Create(context.Background())
	raw := line + "\nTo: support@help.example\n" + extra + "Subject: " + as.marker + "\nMessage-ID: <m" + fmt.Sprint(step) + "@customer.example>\n\n" + as.marker + "\n"
	if _, err := w.Write([]byte(strings.ReplaceAll(raw, "\n", "\r\n"))); err != nil {
		rt.Fatal(err)
	}
	sealed, err := w.Seal()
	if err != nil {
		rt.Fatal(err)
	}
	r, err := o.d.Receive(context.Background(), ticketing.Arrival{
		Source: "smtp", EnvelopeFrom: envelope, Recipients: []string{"support@help.example"}, RemoteIP: netip.MustParseAddr("198.51.100.1"), Raw: sealed,
		Verdict: ticketing.Verdict{Trust: as.trust},
	})
	if err != nil {
		rt.Fatal(err)
	}
	if as.trust != "T0" {
		m.met[folded] = true
	}
	if out := r.Outcomes[0]; out.Outcome == "new_ticket" {
		m.fresh[out.Ticket] = as
	}
}

// agentWrites has Otto answer a ticket, which makes its requester known.
func (o *office) agentWrites(rt *rapid.T, m *ackModel) {
	numbers := []uint64{}
	for n := uint64(1001); n < 1100; n++ {
		if _, ok := m.fresh[n]; ok {
			numbers = append(numbers, n)
		}
	}
	n := rapid.SampledFrom(numbers).Draw(rt, "ticket")
	visibility := rapid.SampledFrom([]string{"public", "internal"}).Draw(rt, "visibility")
	if _, err := o.d.Post(context.Background(), ticketing.Actor{Kind: "system"}, n, ticketing.NewMessage{Visibility: visibility, Text: "Hello."}); err != nil {
		rt.Fatal(err)
	}
	if visibility == "public" {
		m.met[m.fresh[n].address] = true
	}
}

func (m *ackModel) judge(rt *rapid.T, o *office, s sent) {
	as, ok := m.fresh[s.Ticket]
	to := message.Fold(s.To)
	last, had := m.acked[to]
	m.acked[to] = o.clock.now()
	switch {
	case !ok || to != as.address:
		rt.Fatalf("%s is acknowledged for ticket %d, which %q opened", s.To, s.Ticket, as.address)
	case as.robot:
		rt.Fatalf("a machine is acknowledged: %s", s.raw)
	case as.trust == "T0" && !as.known:
		rt.Fatalf("%s is acknowledged at T0 and was never met", s.To)
	case had && o.clock.now().Sub(last) < 24*time.Hour:
		rt.Fatalf("%s is acknowledged twice in %v", s.To, o.clock.now().Sub(last))
	case s.From != "" || s.header("Auto-Submitted") != "auto-replied" || s.header("X-Auto-Response-Suppress") != "All":
		rt.Fatalf("not marked as automatic: %q %s", s.From, s.raw)
	case as.trust == "T0" && strings.Contains(s.everything(o.t), as.marker):
		rt.Fatalf("words of an unproven sender are repeated: %s", s.raw)
	}
}
