package main

import (
	"context"
	"errors"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"ticketgate/test/peers"
)

// While as much mail waits to leave as is allowed, mail that would have to be
// handed on is refused for now at the door, answers of agents and test mails at
// the API; notes and mail for other queues are taken. When there is room again,
// so is everything.
func TestOutboundQueueIsFull(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, `outbound = { hard_limit = 2, retry = ["1h"], smarthost = "127.0.0.1:1" }`, `
[route.helpdesk]
host = "127.0.0.1:2"

[queue.support]
address = "support@help.example"
trusted_forwarders = ["127.0.0.1/32"]
deliver_to = { route = "helpdesk", address = "inbox@desk.internal" }

[queue.other]
address = "other@help.example"
trusted_forwarders = ["127.0.0.1/32"]
auto_ack = { enabled = false }
`)
	d.start()
	other := "other@help.example"
	mail := func(to, id string) error {
		_, err := sendMail(d.smtp, anna, []string{to}, mailText(anna, to, "", "Printer", "<"+id+"@customer.example>", nil, "It burns.\r\n"))
		return err
	}
	waiting := func() int { return len(list[struct{ ID string }](d, "/outbound", nil)) }
	if err := mail(desk, "w1"); err != nil {
		t.Fatal(err)
	}
	peers.WaitFor(t, 30*time.Second, "the queue to be full", func() bool { return waiting() == 2 }) // handed on, acknowledged

	var said *textproto.Error
	if err := mail(desk, "w2"); !errors.As(err, &said) || said.Code != 452 || !strings.HasPrefix(said.Msg, "4.3.1 too much mail is waiting to leave") {
		t.Errorf("mail that would be handed on: %v", err)
	}
	if err := mail(other, "w3"); err != nil {
		t.Errorf("mail for another queue: %v", err)
	}
	post := func(visibility string) error {
		_, err := d.api.send(context.Background(), http.MethodPost, "/tickets/1001/messages", map[string]string{"visibility": visibility, "text": "hi"}, nil)
		return err
	}
	if err := post("public"); err == nil || !strings.Contains(err.Error(), "too much mail is waiting to leave") {
		t.Errorf("an answer: %v", err)
	}
	if err := post("internal"); err != nil {
		t.Errorf("a note: %v", err)
	}
	if out, code := d.cli("", "send-test", "ada@staff.example"); code == 0 || !strings.Contains(out, "too much mail is waiting to leave") {
		t.Errorf("a test mail: exit %d, %s", code, out)
	}

	if out, code := d.cli("", "outbound", "drop", "--class", "relay", "--yes"); code != 0 {
		t.Fatal(out)
	}
	if err := mail(desk, "w2"); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
