package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"ticketgate/test/peers"
)

// TestEximReceives sends a reply to a real Exim: one recipient has it, one does
// not exist, one is put off, and one is accepted and bounced later. The bounce
// comes back by SMTP and marks the right recipient's mail; a mail over Exim's
// limit is not even tried.
func TestEximReceives(t *testing.T) {
	gateway := peers.FreeAddr(t)
	exim := peers.StartExim(t, gateway, "customer.example", "staff.example")
	d := newDaemon(t, `outbound = { smarthost = "`+exim.Addr+`", retry = ["1s", "1h"], expire = "4d" }`, `
[queue.support]
address = "support@help.example"
agents = ["otto"]
cc = { allow = "all" }
trusted_forwarders = ["127.0.0.1/32"]
`)
	d.listenOn(gateway)
	d.start()
	if _, err := sendMail(d.smtp, anna, []string{desk}, mailText(anna, desk, "gone@customer.example, later@customer.example, returned@customer.example",
		"four people", "<e1@customer.example>", nil, "please answer all of us\r\n")); err != nil {
		t.Fatal(err)
	}
	if out, code := d.cli("Here is your answer.\n", "ticket", "reply", "1001", "--as", "otto", "-o", "json"); code != 0 {
		t.Fatalf("ticket reply: exit %d\n%s", code, out)
	}
	want := map[string]string{anna: "sent", "gone@customer.example": "failed", "later@customer.example": "deferred", "returned@customer.example": "bounced"}
	got := map[string]string{}
	same := func() bool {
		for _, m := range list[messageJSON](d, "/tickets/1001/messages", nil) {
			for _, dl := range m.Deliveries {
				if m.Kind == "reply" {
					got[dl.Recipient] = dl.State
				}
			}
		}
		for who, state := range want {
			if got[who] != state {
				return false
			}
		}
		return true
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("deliveries %v, want %v", got, want)
		}
	})
	peers.WaitFor(t, peers.Patience, "everybody's answer", same)
	if out, code := d.cli("", "outbound", "list"); code != 0 || !strings.Contains(out, "greylisted") {
		t.Errorf("outbound list: exit %d\n%s", code, out)
	}
	peers.WaitFor(t, peers.Patience, "a signed answer in the mailbox", func() bool { // Exim delivers after it has accepted
		for _, m := range exim.Mail(t) {
			if bytes.Contains(m, []byte("Here is your answer.")) && bytes.Contains(m, []byte("DKIM-Signature:")) {
				return true
			}
		}
		return false
	})

	large := strings.Repeat("A line that is as long as lines in mails are.\n", 4000)
	if out, code := d.cli(large, "ticket", "reply", "1001", "--as", "otto", "-o", "json"); code != 0 {
		t.Fatalf("ticket reply: exit %d\n%s", code, out)
	}
	peers.WaitFor(t, peers.Patience, "the large mail to fail", func() bool {
		n := 0
		for _, m := range list[messageJSON](d, "/tickets/1001/messages", nil) {
			for _, dl := range m.Deliveries {
				if dl.Recipient == anna && dl.State == "failed" {
					n++
				}
			}
		}
		return n == 1
	})
	if strings.Contains(exim.Log(), "message too big") {
		t.Error("the large mail was tried")
	}
}

// listenOn gives the SMTP listener an address that was promised to somebody.
func (d *daemon) listenOn(addr string) {
	d.t.Helper()
	text, err := os.ReadFile(d.config)
	if err == nil {
		err = os.WriteFile(d.config, bytes.Replace(text, []byte(d.smtp), []byte(addr), 1), 0o600)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.smtp = addr
}
