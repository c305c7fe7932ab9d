package ticketing_test

import (
	"context"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

// ask is what an agent asks in TestReplies.
const ask = "Hello Anna,\n\nplease tell us the serial number that is printed on the back of the printer.\n\nIs the red lamp on or off while it prints the second page?\n\nOtto"

// TestReplies: scenario 36 and its like. What a customer newly wrote is shown,
// what he quotes of our messages folds, and the bytes stay as they came.
func TestReplies(t *testing.T) {
	t.Parallel()
	quote := "> " + strings.ReplaceAll(ask, "\n", "\n> ")
	polish := "-- \nAnna Kunde\nTa wiadomość jest poufna i przeznaczona wyłącznie dla adresata."
	for name, tt := range map[string]struct {
		body    string
		visible string
	}{
		"above":         {"It is 4711.\n\nOn 2 Mar 2026 09:00, Otto wrote:\n" + quote, "It is 4711."},
		"between":       {"Dzień dobry,\n" + strings.NewReplacer("> please tell", "> please tell", "printer.\n", "printer.\nIt is 4711.\n", "page?\n", "page?\nOff.\n").Replace(quote) + "\n\nThanks!\n" + polish, "Dzień dobry,\nIt is 4711.\nOff.\n\nThanks!"},
		"below":         {"On 2 Mar 2026 09:00, Otto wrote:\n" + quote + "\n\nIt is 4711.\n\n" + polish, "It is 4711."},
		"unmarked":      {"It is 4711.\n\n" + ask, "It is 4711."},
		"outlook":       {"See below.\n\nFrom: Support\nSent: Monday\nTo: Anna\nSubject: Printer\n\n" + strings.Replace(ask, "\n\nIs the", "\n\nIt is 4711, as I told you.\n\nIs the", 1), "See below.\n\nIt is 4711, as I told you."},
		"only a quote":  {quote, quote},
		"of an outside": {"Yes.\n> a line that was never ours in any way\nNo.", "Yes.\n> a line that was never ours in any way\nNo."},
	} {
		b := open(t)
		n := b.take(mail{trust: "T2", text: write("Anna <anna@customer.example>", "Printer")}).Ticket
		if _, err := b.desk.Post(context.Background(), agent("otto"), n, ticketing.NewMessage{Visibility: "public", Text: ask}); err != nil {
			t.Fatal(err)
		}
		l := b.mailTo(n, 2, "anna@customer.example", message.RoleRequester, false)
		text := strings.SplitAfter(write("Anna <anna@customer.example>", "Re: Printer", "In-Reply-To: "+l.id, "Content-Type: text/plain; charset=utf-8"), "\n\n")[0] + tt.body + "\n"
		out := b.take(mail{trust: "T2", text: text})
		if out.Ticket != n || out.Outcome != "reply" {
			t.Fatalf("%s: %+v", name, out)
		}
		m := b.message(out.Message)
		for range 2 { // the second time from what is kept in memory
			c, err := b.desk.Content(context.Background(), m)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(strings.Fields(c.VisibleText), " ") != strings.Join(strings.Fields(tt.visible), " ") {
				t.Errorf("%s: visible %q\nquoted %q", name, c.VisibleText, c.QuotedText)
			}
		}
		raw, err := b.blobs.ReadAll(context.Background(), m.Raw.SHA256, 1<<20)
		if err != nil || string(raw) != strings.ReplaceAll(text, "\n", "\r\n") {
			t.Errorf("%s: the bytes are %q, %v", name, raw, err)
		}
	}
}

// TestRepliesOfOurs: every line that was posted here was meant.
func TestRepliesOfOurs(t *testing.T) {
	t.Parallel()
	b := open(t)
	n := b.take(mail{trust: "T2", text: write("Anna <anna@customer.example>", "Printer")}).Ticket
	const text = "You wrote:\n> it burns\n\n-- \nOtto"
	m, err := b.desk.Post(context.Background(), agent("otto"), n, ticketing.NewMessage{Visibility: "public", Text: text})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.desk.Content(context.Background(), m)
	if err != nil || strings.TrimSpace(c.VisibleText) != text || c.QuotedText != "" {
		t.Errorf("visible %q, quoted %q, %v", c.VisibleText, c.QuotedText, err)
	}
}

// TestManyReplies: threads longer than what is kept in memory are read right.
func TestManyReplies(t *testing.T) {
	t.Parallel()
	b := open(t)
	n := b.take(mail{trust: "T2", text: write("Anna <anna@customer.example>", "Printer")}).Ticket
	tell := func(i int) (words string) {
		for j := range 12 {
			words += strings.Repeat(string(rune('a'+(i+5*j)%26)), 2+(i*7+j)%11) + " "
		}
		return strings.TrimSpace(words)
	}
	previous := ""
	for i := range 140 {
		text := strings.SplitAfter(write("Anna <anna@customer.example>", "Re: Printer", "References: "+b.message(b.messages(n)[0].ID).MessageID), "\n\n")[0] + "Mail.\n"
		if previous != "" {
			text += "\n> " + previous + "\nanswer " + strings.Repeat("x", i) + "\n> " + previous + "\nand more\n"
		}
		previous = tell(i)
		out := b.take(mail{trust: "T2", text: strings.Replace(text, "Mail.", previous, 1)})
		if out.Ticket != n {
			t.Fatalf("mail %d: %+v", i, out)
		}
		if i%20 == 0 && i > 0 {
			c, err := b.desk.Content(context.Background(), b.message(out.Message))
			if err != nil || c.VisibleText != previous+"\n\nanswer "+strings.Repeat("x", i)+"\nand more" {
				t.Fatalf("mail %d: visible %q, %v", i, c.VisibleText, err)
			}
		}
	}
}
