package ticketing_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

func TestTickets(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	var numbers []uint64
	for i := range 25 {
		to := helpdsk
		if i%5 == 4 {
			to = "sales@help.example"
		}
		numbers = append(numbers, b.take(mail{to: []string{to}, text: write(fmt.Sprintf("p%d@customer.example", i%3), "x")}).Ticket)
	}
	for i, n := range numbers {
		switch i % 4 {
		case 1:
			b.set(n, "solved")
		case 2:
			if q := b.ticket(n).Queue; q == "support" {
				if _, err := b.desk.Change(ctx, system(), n, ticketing.Change{Assignee: ptr("otto"), Status: ptr("open")}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var all []*ticketing.Ticket
	for _, n := range numbers {
		all = append(all, b.ticket(n))
	}
	slices.SortFunc(all, func(x, y *ticketing.Ticket) int { return y.UpdatedAt.Compare(x.UpdatedAt) })
	since := all[10].UpdatedAt
	for _, f := range []ticketing.Filter{
		{}, {Queue: "support"}, {Queue: "sales"}, {Queue: "none"}, {Status: "new"}, {Status: "new, solved"}, {Queue: "support", Status: "open,solved"},
		{Requester: "P1@customer.example"}, {Requester: "p1@customer.example", Queue: "support", Status: "new"}, {Assignee: "otto"}, {Assignee: "otto", Status: "solved"},
		{UpdatedSince: since}, {UpdatedSince: since, Queue: "support"}, {Requester: "nobody@x.example"},
	} {
		var want []uint64
		for _, tk := range all {
			if (f.Queue == "" || tk.Queue == f.Queue) && (f.Status == "" || strings.Contains(f.Status, tk.Status)) &&
				(f.Requester == "" || strings.EqualFold(tk.Requester.Address, f.Requester)) && (f.Assignee == "" || tk.Assignee == f.Assignee) && !tk.UpdatedAt.Before(f.UpdatedSince) {
				want = append(want, tk.Number)
			}
		}
		for _, limit := range []int{1, 4, 100} {
			var got []uint64
			g := f
			g.Limit = limit
			for pages := 0; ; pages++ {
				page, next, err := b.desk.Tickets(ctx, g)
				if err != nil || pages > 30 || len(page) > limit {
					t.Fatalf("%+v: %d tickets, page %d, %v", g, len(page), pages, err)
				}
				for _, tk := range page {
					got = append(got, tk.Number)
				}
				if g.Cursor = next; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v by %d: %v, want %v", f, limit, got, want)
			}
		}
	}
	for _, f := range []ticketing.Filter{{Status: "x"}, {Status: "new,"}, {Cursor: "!"}, {Cursor: "AAAA"}} {
		if _, _, err := b.desk.Tickets(ctx, f); ticketing.KindOf(err) != ticketing.Invalid || err == nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestMessagesPaging(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	for range 9 {
		b.note(n, "x")
	}
	var got []int
	for after := 0; ; {
		page, err := b.desk.Messages(ctx, n, after, 4)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, m := range page {
			got = append(got, m.Seq)
		}
		after = page[len(page)-1].Seq
	}
	if !slices.Equal(got, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
		t.Errorf("messages %v", got)
	}
	if _, err := b.desk.Messages(ctx, 99999, 0, 0); ticketing.KindOf(err) != ticketing.Unknown || err == nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"ticket":  second(b.desk.Ticket(ctx, 99999)),
		"message": second(b.desk.Message(ctx, "msg_x")),
		"receipt": second(b.desk.Receipt(ctx, "rcpt_x")),
		"sent":    second(b.desk.Sent(ctx, n, 9999)),
	} {
		if err == nil || ticketing.KindOf(err) != ticketing.Unknown {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestRoute(t *testing.T) {
	t.Parallel()
	b, n := openWithTicket(t)
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	for _, c := range []struct{ address, queue, kind string }{
		{helpdsk, "support", "queue"}, {"SUPPORT@Help.Example", "support", "queue"}, {"hilfe@help.example", "support", "queue"},
		{"support+printer@help.example", "support", "queue"}, {"support+a+b@help.example", "support", "queue"}, {"hilfe+x@help.example", "support", "queue"},
		{"support+newsletter-2026-03-02-with-a-long-tag@help.example", "support", "queue"},
		{l.replyTo, "support", "reply"}, {strings.ToUpper(l.replyTo), "support", "reply"}, {l.ret, "support", "return_path"}, {l.alias(rAddr), "support", "alias"},
		{"postmaster@help.example", "support", "postmaster"}, {"Abuse@help.example", "support", "postmaster"}, {"postmaster@other.example", "quiet", "postmaster"},
		{"postmaster", "support", "postmaster"}, {"sales@help.example", "sales", "queue"},
		{"nobody@help.example", "", ""}, {"support@elsewhere.example", "", ""}, {"postmaster@elsewhere.example", "", ""}, {"abuse", "", ""}, {"", "", ""}, {"support", "", ""},
		{"support+abcdefghijklmnopqrstuvwxyz@help.example", "", ""}, {"+x@help.example", "", ""}, {"supportx@help.example", "", ""}, {"support\n@help.example", "", ""},
	} {
		r, err := b.desk.Route(context.Background(), c.address)
		if c.queue == "" {
			if err == nil || ticketing.KindOf(err) != ticketing.Unknown {
				t.Errorf("%q: %+v, %v", c.address, r, err)
			}
			continue
		}
		if err != nil || r.Queue != c.queue || r.Kind != c.kind || (r.Token != "") != (c.kind == "reply" || c.kind == "alias" || c.kind == "return_path") {
			t.Errorf("%q: %+v, %v", c.address, r, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good := queues()
	b := open(t)
	for name, change := range map[string]func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent){
		"queue without a name": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			q[0].Name = ""
			return q, a
		},
		"two queues of one name": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			q[1].Name = "support"
			return q, a
		},
		"shared address": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			q[1].Address = "Hilfe@help.example"
			return q, a
		},
		"no address": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			q[1].Address = "x"
			return q, a
		},
		"long local part": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			q[1].Address = strings.Repeat("x", 25) + "@help.example"
			return q, a
		},
		"unknown agent": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			q[1].Agents = []string{"x"}
			return q, a
		},
		"policy": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			q[1].CC.Allow = "some"
			return q, a
		},
		"pattern": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			q[1].CC.Never = []string{"a[@b"}
			return q, a
		},
		"agent without address": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			a[0].Addresses = nil
			return q, a
		},
		"agents share one": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			a[0].Addresses = []string{strings.ToUpper(lena)}
			return q, a
		},
		"agent is a queue": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			a[0].Addresses = []string{helpdsk}
			return q, a
		},
		"two agents of one name": func(q []ticketing.Queue, a []ticketing.Agent) ([]ticketing.Queue, []ticketing.Agent) {
			a[1].Name = "otto"
			return q, a
		},
	} {
		q, a := change(queues(), agents())
		_, err := ticketing.Open(context.Background(), ticketing.Options{DB: b.db, Blobs: b.blobs, Journal: b.log, Agenda: b.agenda, Queues: q, Agents: a, Random: newRandom(1)})
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := ticketing.Open(context.Background(), ticketing.Options{Queues: good}); err == nil {
		t.Error("a desk without a store")
	}
}
