package ticketing_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the order in which the mails of a thread arrive, however often and
// at whichever queues: each is exactly one message in exactly one ticket of
// each queue it reached, and a requester's thread with full References is one
// ticket in each queue.
func TestAnyOrderOneMessage(t *testing.T) {
	t.Parallel()
	queues := []string{helpdsk, "sales@help.example"}
	rapid.Check(t, func(rt *rapid.T) {
		b := open(t)
		n := rapid.IntRange(1, 5).Draw(rt, "mails")
		var ids []string
		texts := make([]string, n)
		for i := range n {
			lines := []string{"From: " + rAddr, fmt.Sprintf("Message-ID: <t%d@test.example>", i), fmt.Sprintf("Subject: thread %d", i)}
			if i > 0 {
				lines = append(lines, "In-Reply-To: "+ids[i-1], "References: "+strings.Join(ids, " "))
			}
			ids = append(ids, fmt.Sprintf("<t%d@test.example>", i))
			texts[i] = strings.Join(lines, "\n") + fmt.Sprintf("\n\nbody %d\n", i)
		}
		type place struct{ ticket, message string }
		stored := map[string]place{} // mail and queue
		for range rapid.IntRange(n, 3*n).Draw(rt, "arrivals") {
			i := rapid.IntRange(0, n-1).Draw(rt, "mail")
			to := queues[:]
			if k := rapid.IntRange(0, 2).Draw(rt, "queue"); k < 2 {
				to = queues[k : k+1]
			}
			r := b.receive(mail{to: to, text: texts[i]})
			for _, o := range r.Outcomes {
				key, got := fmt.Sprintf("%d %s", i, o.Recipient), place{fmt.Sprint(o.Ticket), o.Message}
				old, again := stored[key]
				if again != (o.Outcome == "duplicate") {
					rt.Fatalf("mail %d at %s: %s, stored before: %v", i, o.Recipient, o.Outcome, again)
				}
				if again && old != got {
					rt.Fatalf("mail %d at %s is in two places: %v and %v", i, o.Recipient, old, got)
				}
				stored[key] = got
			}
		}
		tickets, messages := map[string]string{}, map[string]string{}
		for key, p := range stored {
			_, queue, _ := strings.Cut(key, " ")
			if other, ok := messages[p.message]; ok {
				rt.Fatalf("message %s is that of %s and of %s", p.message, key, other)
			}
			messages[p.message] = key
			if other, ok := tickets[queue]; ok && other != p.ticket {
				rt.Fatalf("one thread, two tickets in %s: %s and %s", queue, other, p.ticket)
			}
			tickets[queue] = p.ticket
		}
		b.checkAll()
	})
}
