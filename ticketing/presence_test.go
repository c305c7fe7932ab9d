package ticketing_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"ticketgate/ticketing"
)

func TestPresence(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	show := func(list []ticketing.Presence) string {
		var out []string
		for _, p := range list {
			out = append(out, p.Agent+" "+p.Doing+" "+p.Draft)
		}
		return strings.Join(out, ", ")
	}
	appear := func(who, doing, draft string) string {
		t.Helper()
		list, err := b.desk.Appear(ctx, agent(who), n, doing, draft)
		if err != nil {
			t.Fatal(err)
		}
		return show(list)
	}
	appear("otto", "viewing", "")
	if got := appear("lena", "replying", "Dear An"); got != "otto viewing , lena replying Dear An" {
		t.Errorf("present: %s", got)
	}
	b.clock.advance(40 * time.Second)
	if got := appear("lena", "replying", "Dear Anna"); got != "otto viewing , lena replying Dear Anna" {
		t.Errorf("present: %s", got)
	}
	b.clock.advance(30 * time.Second) // otto has been silent for too long
	list, err := b.desk.Present(ctx, agent("luis"), n)
	if err != nil || show(list) != "lena replying Dear Anna" || list[0].Name != "Lena" || list[0].Written.IsZero() || !list[0].Seen.After(list[0].Since) {
		t.Errorf("present: %+v, %v", list, err)
	}
	if err := b.desk.Leave(ctx, agent("lena"), n); err != nil {
		t.Fatal(err)
	}
	if list, err = b.desk.Present(ctx, system(), n); err != nil || len(list) != 0 {
		t.Errorf("present: %+v, %v", list, err)
	}
	_, err = b.desk.Appear(ctx, agent("sara"), n, "viewing", "")
	refused(t, "an agent of another queue", err, ticketing.Denied)
	_, err = b.desk.Present(ctx, agent("sara"), n)
	refused(t, "looking from another queue", err, ticketing.Denied)
	_, err = b.desk.Appear(ctx, system(), n, "viewing", "")
	refused(t, "no agent", err, ticketing.Denied)
	_, err = b.desk.Appear(ctx, agent("otto"), n, "sleeping", "")
	refused(t, "no such doing", err, ticketing.Invalid)
	_, err = b.desk.Appear(ctx, agent("otto"), n, "noting", strings.Repeat("x", 70000))
	refused(t, "a long draft", err, ticketing.TooBig)
	_, err = b.desk.Appear(ctx, agent("otto"), 99, "viewing", "")
	refused(t, "no ticket", err, ticketing.Unknown)
}

// Two agents write at once: the second is shown what he has not seen, and his
// text is not sent.
func TestCollision(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	seen := b.messages(n)[0].ID
	post := func(who, text, after string) (*ticketing.Message, error) {
		return b.desk.Post(ctx, agent(who), n, ticketing.NewMessage{Visibility: "public", Text: text, AfterMessage: after})
	}
	first, err := post("otto", "It is on its way.", seen)
	if err != nil {
		t.Fatal(err)
	}
	_, err = post("lena", "We have none.", seen)
	refused(t, "the second answer", err, ticketing.Conflict)
	var e *ticketing.Error
	if e, _ = err.(*ticketing.Error); e == nil || len(e.Newer) != 1 || e.Newer[0].ID != first.ID {
		t.Errorf("newer %+v", err)
	}
	if _, err := post("lena", "As Otto says.", first.ID); err != nil {
		t.Error(err)
	}
	if got := b.ticket(n).MessageCount; got != 3 {
		t.Errorf("%d messages", got)
	}
}
