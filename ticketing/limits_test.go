package ticketing_test

import (
	"fmt"
	"strings"
	"testing"

	"context"
	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
)

// sized fails the test if a document comes near the limit of the store.
type sized struct {
	store.DB
	largest *int
}

func (s sized) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.DB.Update(ctx, func(tx store.Tx) error { return fn(sizedTx{tx, s}) })
}

type sizedTx struct {
	store.Tx
	s sized
}

func (t sizedTx) Put(s *store.Schema, key store.Key, doc []byte, add, drop []store.IndexEntry) error {
	*t.s.largest = max(*t.s.largest, len(doc), len(key))
	return t.Tx.Put(s, key, doc, add, drop)
}

// No mail makes a row too large to store.
func TestHugeHeaders(t *testing.T) {
	t.Parallel()
	var largest int
	c := newClock()
	plain := open(t)
	b := openOn(t, sized{plain.db, &largest}, c)
	many := func(n int, format string) string {
		var s strings.Builder
		for i := range n {
			if i > 0 {
				s.WriteString(",\n ")
			}
			fmt.Fprintf(&s, format, i)
		}
		return s.String()
	}
	nasty := strings.Repeat(`\\\"`, 200)
	for name, lines := range map[string][]string{
		"100k recipients":   {"To: " + many(100000, "a%d@many.example")},
		"10k references":    {"References: " + strings.ReplaceAll(many(10000, "<r%d@many.example>"), ",", "")},
		"10k in-reply-to":   {"In-Reply-To: " + strings.ReplaceAll(many(10000, "<r%d@many.example>"), ",", "")},
		"long ids":          {"Message-ID: <" + strings.Repeat("x", 5000) + "@a>", "References: <" + strings.Repeat("y", 900000) + "@a>"},
		"long names":        {"To: " + many(2000, "\""+nasty+"%d\" <a%[1]d@many.example>"), "Cc: " + many(2000, "\""+nasty+"%d\" <b%[1]d@many.example>")},
		"long subject":      {"Subject: " + strings.Repeat(`"\`, 100000)},
		"wide subject":      {"Subject: " + strings.Repeat("\u2028\U0001f600", 50000)},
		"broken bytes":      {"Subject: " + strings.Repeat("\xff\xfe\x01", 10000), "Reply-To: " + many(500, "\"\xff\xff%d\" <r%[1]d@x.example>")},
		"long address":      {"To: " + strings.Repeat("a", 70000) + "@x.example", "Cc: a@" + strings.Repeat("b.", 30000) + "example"},
		"all at once":       {"To: " + many(500, "\""+nasty+"\" <a%d@many.example>"), "Cc: " + many(500, "\""+nasty+"\" <c%d@many.example>"), "Subject: " + strings.Repeat(`"\`, 5000), "References: " + strings.ReplaceAll(many(5000, "<"+strings.Repeat(`\"`, 100)+"%d@many.example>"), ",", "")},
		"many From":         {"From: " + many(3000, "f%d@x.example")},
		"many subject tags": {"Subject: " + strings.Repeat("[#1001] ", 5000)},
	} {
		o := b.take(mail{from: rAddr, text: write("\""+nasty+"\" <"+rAddr+">", name, lines...)})
		if o.Ticket == 0 {
			t.Errorf("%s: %+v", name, o)
		}
		if tk := b.ticket(o.Ticket); len(tk.CCs) > 48 {
			t.Errorf("%s: %d CCs", name, len(tk.CCs))
		}
	}
	if largest > store.MaxValue*9/10 {
		t.Errorf("a document of %d bytes", largest)
	}
	if largest < 4000 {
		t.Errorf("the largest document has %d bytes: nothing was measured", largest)
	}
	b.checkAll()
}

// A mail for a thousand recipients has a thousand outcomes.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	b := open(t)
	var to []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("support+%s%d@help.example", strings.Repeat("tag-", 10), i))
	}
	r := b.receive(mail{to: to, text: write(rAddr, "x")})
	stored, err := b.desk.Receipt(context.Background(), r.ID)
	if err != nil || len(stored.Outcomes) != 1000 {
		t.Fatalf("%d outcomes, %v", len(stored.Outcomes), err)
	}
	for i, o := range stored.Outcomes {
		if o.Recipient != to[i] || o.Message != r.Outcomes[0].Message {
			t.Fatalf("outcome %d: %+v", i, o)
		}
	}
	b.checkAll()
}

func TestTicketSubject(t *testing.T) {
	t.Parallel()
	q := ticketing.QueueNamed("support", "Help Support")
	for in, want := range map[string]string{
		"Re: [#1001] Printer":                "Re: Printer",
		"[Support #12] a [help support#3] b": "a b",
		"[Sales #12] a":                      "[Sales #12] a",
		"[#x] a [#]":                         "[#x] a [#]",
		"[#0] a":                             "[#0] a",
		"[[#5] a":                            "[ a",
		"[#99999999999999999999] a":          "[#99999999999999999999] a",
		"  ":                                 "(no subject)",
		"[#1]":                               "(no subject)",
		"[unclosed #1":                       "[unclosed #1",
	} {
		if got := ticketing.TicketSubject(in, q); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNever(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, address string
		want             bool
	}{
		{"Boss@X.example", "boss@x.example", true}, {"boss@x.example", "aboss@x.example", false},
		{"@x.example", "a@x.example", true}, {"x.example", "a@x.example", true}, {"@x.example", "a@sub.x.example", true},
		{"@x.example", "a@notx.example", false}, {"*@x.example", "a@x.example", true}, {"boss*@*", "boss2@y.example", true},
		{"*.example", "a@b.example", true}, {"all-?@x.example", "all-1@x.example", true}, {"all-?@x.example", "all-12@x.example", false},
		{"*@x.example", "a/b@x.example", true},
	} {
		got, err := ticketing.NeverMatches(c.pattern, c.address)
		if err != nil || got != c.want {
			t.Errorf("%q %q: %v, %v", c.pattern, c.address, got, err)
		}
	}
	if _, err := ticketing.NeverMatches("a[@x.example", "a@x.example"); err == nil {
		t.Error("a broken pattern is taken")
	}
}

func TestRobot(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"noreply@x.example": true, "no-reply+7@x.example": true, "news-request@x.example": true, "owner-list@x.example": true,
		"billing-noreply@x.example": true, "mailer-daemon@x.example": true, "anna@x.example": false, "bouncer@x.example": false, "noreplyfan@x.example": false,
	} {
		if ticketing.Robot(address) != want {
			t.Errorf("%s: want %v", address, want)
		}
	}
}
