package ticketing_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

func TestNewTicket(t *testing.T) {
	t.Parallel()
	b := open(t)
	text := write("Anna Kunde <anna@customer.example>", "=?utf-8?q?Drucker_br=C3=A4nnt?=", "To: support@help.example", "Cc: Bo <bo@customer.example>")
	r := b.receive(mail{from: "anna@customer.example", text: text})
	if len(r.Outcomes) != 1 || r.Outcomes[0].Outcome != "new_ticket" || r.Outcomes[0].Recipient != helpdsk {
		t.Fatalf("outcomes %+v", r.Outcomes)
	}
	tk := b.ticket(r.Outcomes[0].Ticket)
	if tk.Number != 1001 || tk.Queue != "support" || tk.Subject != "Drucker brännt" || tk.Status != "new" || tk.MessageCount != 1 || tk.Version != 1 {
		t.Errorf("ticket %+v", tk)
	}
	if tk.Requester.Address != "anna@customer.example" || tk.Requester.Name != "Anna Kunde" || !strings.HasPrefix(tk.Requester.Contact, "con_") {
		t.Errorf("requester %+v", tk.Requester)
	}
	if len(tk.CCs) != 1 || tk.CCs[0].Address != "bo@customer.example" {
		t.Errorf("ccs %+v", tk.CCs)
	}
	m := b.message(r.Outcomes[0].Message)
	if m.Kind != "customer" || m.Visibility != "public" || m.Direction != "in" || m.MatchedBy != "none" || m.Author.Role != "requester" || m.Auth.Trust != "T0" {
		t.Errorf("message %+v", m)
	}
	raw, err := b.desk.Raw(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(raw)
	if err != nil || string(got) != strings.ReplaceAll(text, "\n", "\r\n") {
		t.Errorf("raw %q, %v", got, err)
	}
	stored, err := b.desk.Receipt(context.Background(), r.ID)
	if err != nil || stored.ID != r.ID || len(stored.Outcomes) != 1 || stored.Outcomes[0] != r.Outcomes[0] || stored.Raw != m.Raw {
		t.Errorf("receipt %+v, %v", stored, err)
	}
	n := b.lastNotice(tk.Number)
	if n.Event != "ticket_created" || n.Mail != 1 || n.KnownContact || n.NoAck || n.Message != m.ID || m.Mail != 1 {
		t.Errorf("notice %+v", n)
	}
	sent, err := b.desk.Sent(context.Background(), tk.Number, 1)
	if err != nil || strings.Join(sent.Visible, " ") != "anna@customer.example bo@customer.example" || sent.Message != m.ID {
		t.Errorf("sent %+v, %v", sent, err)
	}
	b.checkAll()
}

func TestReplyByToken(t *testing.T) {
	t.Parallel()
	b := open(t)
	o := b.take(mail{from: "anna@customer.example", text: write("anna@customer.example", "Printer")})
	l := b.mailTo(o.Ticket, 1, "anna@customer.example", message.RoleRequester, false)
	again := b.take(mail{from: "anna@customer.example", to: []string{strings.ToUpper(l.replyTo)}, text: write("Anna <Anna@Customer.Example>", "Re: other")})
	if again.Outcome != "reply" || again.Ticket != o.Ticket {
		t.Fatalf("outcome %+v", again)
	}
	m := b.message(again.Message)
	if m.MatchedBy != "token" || m.Author.Role != "requester" || m.Visibility != "public" || m.Seq != 2 {
		t.Errorf("message %+v", m)
	}
	b.checkAll()
}

func TestUnknownRecipientChangesNothing(t *testing.T) {
	t.Parallel()
	b := open(t)
	_, err := b.desk.Receive(context.Background(), b.arrival(mail{to: []string{helpdsk, "nobody@help.example"}, text: write("a@b.example", "x")}))
	if ticketing.KindOf(err) != ticketing.Unknown {
		t.Fatalf("error %v", err)
	}
	list, _, err := b.desk.Tickets(context.Background(), ticketing.Filter{})
	if err != nil || len(list) != 0 {
		t.Errorf("tickets %v, %v", list, err)
	}
}
