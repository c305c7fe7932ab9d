package notify

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// The leak property: whatever people do, of the bytes of every mail that leaves
//
//   - no internal text reaches anybody who is not staff,
//   - no public text reaches anybody who has no part in its ticket,
//   - no command line of an agent reaches a customer,
//   - no address of staff stands in a mail to a customer, or in the header of a
//     mail to anybody but its owner,
//   - nobody is told twice of one event, nor of his own doing,
//   - what became internal while a mail waited is not sent,
//
// and of the messages:
//
//   - nothing becomes public but what somebody decided to show, whatever is
//     merged, split or moved.
//
// TICKETGATE_TOWN_STEPS asks for more steps than a test run has time for.
func TestTown(t *testing.T) {
	t.Parallel()
	steps, seeds := 250, uint64(10)
	if s := os.Getenv("TICKETGATE_TOWN_STEPS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		seeds = max(1, uint64(n/steps))
	}
	only := os.Getenv("TICKETGATE_TOWN_SEED")
	var recalled atomic.Int64
	t.Cleanup(func() {
		if only == "" && !t.Failed() && recalled.Load() < int64(seeds) {
			t.Errorf("only %d mails were taken back", recalled.Load())
		}
	})
	for seed := range seeds {
		if only != "" && only != strconv.FormatUint(seed, 10) {
			continue
		}
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			w := newTown(t, seed)
			customers, staff := 0, 0
			for range steps {
				w.step()
				w.checkVisibility()
				if w.late = w.chance(25); w.late {
					continue
				}
				for _, p := range w.tell() {
					if w.citizenAt(p.To).agent == "" {
						customers++
						w.checkCustomerMail(p)
					} else {
						staff++
						w.checkStaffMail(p)
					}
				}
				for _, p := range w.deliver(false) {
					w.checkSent(p)
				}
			}
			for _, p := range w.deliver(true) {
				w.checkSent(p)
			}
			recalled.Add(int64(w.post.recalled))
			if customers < steps/10 || staff < steps/2 {
				t.Errorf("only %d mails to customers and %d to staff: the town sleeps", customers, staff)
			}
			rc, err := w.desk.Reconcile(bg)
			if err != nil || len(rc.Problems) > 0 {
				t.Errorf("reconcile: %v %v", rc, err)
			}
			t.Logf("%d steps, %d texts, %d mails to customers, %d to staff, %d tickets", steps, len(w.marks), customers, staff, len(w.open))
		})
	}
}

// place of a message: its ticket today.
func (w *town) ticketOf(m *ticketing.Message) *ticketing.Ticket {
	number := m.Ticket
	for {
		t, err := w.desk.Ticket(bg, number)
		if err != nil {
			w.fatal("%v", err)
		}
		if t.MergedInto == 0 {
			return t
		}
		number = t.MergedInto
	}
}

func takesPart(t *ticketing.Ticket, folded string) bool {
	return message.Fold(t.Requester.Address) == folded ||
		slices.ContainsFunc(t.CCs, func(p ticketing.Person) bool { return message.Fold(p.Address) == folded })
}

// maySee says why somebody outside may not see a mark, "" if he may.
func (w *town) maySee(word, folded string) string {
	mk := w.marks[word]
	switch {
	case mk == nil:
		return "nobody wrote it"
	case mk.secret != "":
		return mk.secret
	case mk.author == folded:
		return ""
	}
	for _, number := range mk.tickets {
		t, err := w.desk.Ticket(bg, number)
		if err != nil {
			w.fatal("%v", err)
		}
		if takesPart(t, folded) || t.MergedInto != 0 && takesPart(w.ticketOf(&ticketing.Message{Ticket: number}), folded) {
			return ""
		}
	}
	why := "it is on no ticket"
	for _, id := range mk.messages {
		m, err := w.desk.Message(bg, id)
		if err != nil {
			w.fatal("%v", err)
		}
		switch {
		case m.Visibility != "public":
			why = "message " + id + " is internal"
		case !takesPart(w.ticketOf(m), folded) && !w.tookPart(m, folded):
			why = "message " + id + " is public, but he has no part in its ticket"
		default:
			return ""
		}
	}
	return why
}

// tookPart: a merged ticket keeps its own participants, who are told of what
// was on the way when it was merged.
func (w *town) tookPart(m *ticketing.Message, folded string) bool {
	t, err := w.desk.Ticket(bg, m.Ticket)
	if err != nil {
		w.fatal("%v", err)
	}
	return takesPart(t, folded)
}

func (w *town) checkCustomerMail(p *parcelMail) {
	all := p.everything()
	folded := message.Fold(p.To)
	for _, word := range slices.Compact(slices.Sorted(slices.Values(markForm.FindAllString(all, -1)))) {
		if why := w.maySee(word, folded); why != "" {
			w.fatal("%s reads %s (%+v): %s\nparcel %+v\n%s", p.To, word, w.marks[word], why, p.Outbound, all)
		}
	}
	if i := strings.Index(strings.ToLower(all), staffMark); i >= 0 {
		w.fatal("%s reads an address of staff: %s\nparcel %+v\n%s", p.To, all[i:min(len(all), i+40)], p.Outbound, all)
	}
	if p.Message != "" {
		m, err := w.desk.Message(bg, p.Message)
		if err != nil {
			w.fatal("%v", err)
		}
		if c, err := w.desk.Content(bg, m); err != nil || m.CommandLines > 0 && c.VisibleText == "" && len(c.Attachments) == 0 {
			w.fatal("%s is told of message %s, which says nothing (%v)\n%s", p.To, p.Message, err, all)
		}
	}
}

func (w *town) checkStaffMail(p *parcelMail) {
	header, _, _ := strings.Cut(p.raw, "\r\n\r\n")
	header = p.From + "\n" + header
	self := w.citizenAt(p.To)
	for _, a := range townAgents {
		for _, address := range a.Addresses {
			if a.Name != self.agent && strings.Contains(strings.ToLower(header), address) {
				w.fatal("the header of a mail to %s names %s\n%s", p.To, address, p.raw)
			}
		}
	}
	for _, c := range w.people {
		if strings.Contains(header, c.address) {
			w.fatal("the header of a mail to staff names %s\n%s", c.address, p.raw)
		}
	}
	if p.Message != "" {
		if strings.Contains(p.mail.Text(), " priority, ") && !strings.Contains(p.mail.Text(), "https://desk.example/t/"+strconv.FormatUint(p.Ticket, 10)) {
			w.fatal("a mail to staff does not say where its ticket is\n%s", p.raw)
		}
		m, err := w.desk.Message(bg, p.Message)
		if err != nil {
			w.fatal("%v", err)
		}
		if m.Author.Agent == self.agent {
			w.fatal("%s is told of his own message %s\n%s", p.To, m.ID, p.raw)
		}
	}
}

// checkSent looks at a mail when it leaves: what it says to customers is still
// public. Who took part when it was written gets it.
func (w *town) checkSent(p *parcelMail) {
	w.checkTwice(p)
	if w.citizenAt(p.To).agent != "" {
		return
	}
	all := p.everything()
	if p.Message != "" {
		w.sentTo[p.Message] = append(w.sentTo[p.Message], message.Fold(p.To))
	}
	for _, word := range slices.Compact(slices.Sorted(slices.Values(markForm.FindAllString(all, -1)))) {
		mk := w.marks[word]
		if mk.author == message.Fold(p.To) || len(mk.tickets) > 0 {
			continue
		}
		open := slices.ContainsFunc(mk.messages, func(id string) bool {
			m, err := w.desk.Message(bg, id)
			if err != nil {
				w.fatal("%v", err)
			}
			return m.Visibility == "public"
		})
		if !open {
			w.fatal("%s is sent %s (%+v), which has become internal\nparcel %+v\n%s", p.To, word, mk, p.Outbound, all)
		}
	}
}

// checkReceived: who is listed as having been mailed a concealed message has
// been, and whoever has been is listed.
func (w *town) checkReceived(id string, list []ticketing.Received) {
	for _, r := range list {
		if (r.How == "mailed" || r.How == "backlog") && r.State != "sent" {
			w.fatal("message %s: %+v is listed, and everything else was taken back", id, r)
		}
	}
	for _, who := range w.sentTo[id] {
		if !slices.ContainsFunc(list, func(r ticketing.Received) bool { return r.Address == who }) {
			w.fatal("message %s was sent to %s, who is not listed in %+v", id, who, list)
		}
	}
}

// checkVisibility looks at the messages of the tickets that people have in hand:
// only a decision about a message makes it public, and a copy of what somebody
// concealed is concealed.
func (w *town) checkVisibility() {
	for _, number := range w.open[max(0, len(w.open)-8):] {
		list, err := w.desk.Messages(bg, number, 0, 100)
		if err != nil {
			w.fatal("%v", err)
		}
		for _, m := range list {
			was, seen := w.known[m.ID]
			if w.known[m.ID] = m.Visibility; m.Visibility != "public" {
				continue
			}
			switch {
			case seen && was != "public" && m.ID != w.opened:
				w.fatal("message %s of ticket %d has become public, and nobody asked for it", m.ID, number)
			case w.concealed[m.ID]:
				w.fatal("message %s of ticket %d was concealed and is public", m.ID, number)
			case m.Kind == "note" || m.Kind == "event" || m.Kind == "auto" || m.Kind == "bounce" || m.Kind == "third_party":
				w.fatal("message %s of ticket %d is a public %s", m.ID, number, m.Kind)
			}
		}
	}
	w.opened = ""
}

// checkTwice: one person, one message, one mail; unless it was made public in
// between, which is another event.
func (w *town) checkTwice(p *parcelMail) {
	if p.Message == "" {
		return
	}
	who := w.citizenAt(p.To)
	key := p.Message + " " + who.address + " " + strconv.Itoa(w.seen[p.Message])
	if w.seen[key]++; w.seen[key] > 1 {
		w.fatal("%s is told twice of %s\n%s", p.To, p.Message, p.raw)
	}
}
