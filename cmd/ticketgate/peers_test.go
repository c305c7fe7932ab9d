package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"ticketgate/test/peers"
)

// TestPostfixRelaysIn has a real Postfix hand 2,000 mails over 20 connections
// to the gateway. Every one becomes a ticket, none twice.
func TestPostfixRelaysIn(t *testing.T) {
	d := newDaemon(t, "", `
[queue.support]
address = "support@help.example"
agents = []
auto_ack = { enabled = false }
`)
	d.start()
	const mails = 2000
	postfix := peers.StartPostfix(t, peers.PostfixOptions{Relay: d.smtp})
	out, err := peers.Run(t, "", peers.Tool(t, "smtp-source", "postfix"), "-s", "20", "-m", fmt.Sprint(mails), "-l", "5120",
		"-f", "sender@customer.example", "-t", desk, postfix.Addr)
	if err != nil {
		t.Fatalf("smtp-source: %v\n%s", err, out)
	}
	relayed := func() int { return strings.Count(postfix.Log(), "status=sent (250 2.0.0 Ok: rcpt_") }
	peers.WaitFor(t, 6*time.Minute, "Postfix to relay everything", func() bool { return relayed() >= mails })
	if n := strings.Count(postfix.Log(), "status=deferred"); n > 0 {
		t.Errorf("Postfix had to defer %d deliveries", n)
	}
	receipts, tickets, messages := d.reconcile()
	if receipts != mails || tickets != mails || messages != mails {
		t.Errorf("%d receipts, %d tickets, %d messages; want %d of each", receipts, tickets, messages, mails)
	}
	if code := d.terminate(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
}

// TestPostfixReceives sends replies to a real Postfix: one recipient is fine,
// one is put off twice and then taken, one does not exist. The signatures of
// what arrived satisfy OpenDKIM and dkimpy.
func TestPostfixReceives(t *testing.T) {
	postfix := peers.StartPostfix(t, peers.PostfixOptions{
		Domains: []string{"customer.example", "staff.example"},
		Access: map[string]string{
			"later@customer.example": "450 4.2.0 come back later",
			"gone@customer.example":  "550 5.1.1 nobody here by that name",
		},
	})
	d := newDaemon(t, `outbound = { smarthost = "`+postfix.Addr+`", retry = ["1s"], expire = "1h" }`, `
[queue.support]
address = "support@help.example"
agents = ["otto"]
cc = { allow = "all" }
trusted_forwarders = ["127.0.0.1/32"]
`)
	d.start()
	if _, err := sendMail(d.smtp, anna, []string{desk}, mailText(anna, desk, "later@customer.example, gone@customer.example",
		"three people", "<p1@customer.example>", nil, "please answer all of us\r\n")); err != nil {
		t.Fatal(err)
	}
	out, code := d.cli("Here is your answer.\n", "ticket", "reply", "1001", "--as", "otto", "-o", "json")
	if code != 0 {
		t.Fatalf("ticket reply: exit %d\n%s", code, out)
	}
	states := func() map[string]string {
		got := map[string]string{}
		for _, m := range list[messageJSON](d, "/tickets/1001/messages", nil) {
			if m.Kind != "reply" {
				continue
			}
			for _, dl := range m.Deliveries {
				got[dl.Recipient] = dl.State
			}
		}
		return got
	}
	peers.WaitFor(t, peers.Patience, "the first attempts", func() bool {
		s := states()
		return s[anna] == "sent" && s["later@customer.example"] == "deferred" && s["gone@customer.example"] == "failed"
	})
	out, code = d.cli("", "outbound", "list")
	if code != 0 || !strings.Contains(out, "450") || !strings.Contains(out, "come back later") {
		t.Errorf("outbound list does not say what it waits for (exit %d):\n%s", code, out)
	}
	postfix.SetAccess(map[string]string{"gone@customer.example": "550 5.1.1 nobody here by that name"})
	peers.WaitFor(t, peers.Patience, "the put-off mail to be taken", func() bool { return states()["later@customer.example"] == "sent" })
	waitOutboundEmpty(t, d)

	var replies [][]byte
	told := false
	peers.WaitFor(t, peers.Patience, "Postfix to put two replies and a notice into mailboxes", func() bool {
		replies, told = nil, false
		for _, m := range postfix.Mail(t) {
			if bytes.Contains(m, []byte("Here is your answer.")) && !bytes.Contains(m, []byte("X-Original-To: otto@")) {
				replies = append(replies, m)
			}
			if bytes.Contains(m, []byte("could not be delivered")) && bytes.Contains(m, []byte("X-Original-To: otto@staff.example")) {
				told = true
			}
		}
		return len(replies) >= 2 && told
	})
	if len(replies) != 2 {
		t.Fatalf("%d replies arrived, want 2", len(replies))
	}
	dns := peers.ServeTXT(t, keyRecords(t, d))
	for name, judge := range map[string]peers.Verifier{"opendkim-testmsg": peers.OpenDKIM(t, dns), "dkimverify": peers.Dkimpy(t, dns)} {
		for _, m := range replies {
			mail := asSigned(m)
			if ok, out := judge.Accepts(t, mail); !ok {
				t.Errorf("%s refuses what Postfix received: %s\n%s", name, out, mail)
			}
			if ok, _ := judge.Accepts(t, strings.Replace(mail, "Here is your answer.", "Here is your answer!", 1)); ok {
				t.Errorf("%s accepts a changed mail", name)
			}
		}
	}
}

// TestSwaksSTARTTLS lets a well-known test client speak TLS to us.
func TestSwaksSTARTTLS(t *testing.T) {
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	d.start()
	host, port, _ := strings.Cut(d.smtp, ":")
	swaks := peers.Tool(t, "swaks", "swaks")
	out, err := peers.Run(t, "", swaks, "--server", host, "--port", port, "--tls", "--helo", "mx.customer.example",
		"--from", anna, "--to", desk, "--h-Subject", "over TLS")
	if err != nil || !strings.Contains(out, "TLS started") || !strings.Contains(out, "250 2.0.0 Ok: rcpt_") {
		t.Fatalf("swaks: %v\n%s", err, out)
	}
	var m []struct{ Envelope struct{ TLS bool } }
	for _, x := range list[struct{ Envelope struct{ TLS bool } }](d, "/tickets/1001/messages", nil) {
		m = append(m, x)
	}
	if len(m) != 1 || !m[0].Envelope.TLS {
		t.Errorf("the message does not say that it came over TLS: %+v", m)
	}
	out, err = peers.Run(t, "", swaks, "--server", host, "--port", port, "--from", anna, "--to", "nobody@help.example")
	if err == nil || !strings.Contains(out, "550 5.1.1") {
		t.Errorf("an unknown recipient was not refused with 550 5.1.1: %v\n%s", err, out)
	}
}

// TestPromtool lints a live /metrics.
func TestPromtool(t *testing.T) {
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	d.start()
	if _, err := sendMail(d.smtp, anna, []string{desk}, mailText(anna, desk, "", "count me", "<m1@customer.example>", nil, "x\r\n")); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + d.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	metrics, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %v %s", err, res.Status)
	}
	out, err := peers.Run(t, string(metrics), peers.Tool(t, "promtool", "prometheus"), "check", "metrics")
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	for _, name := range []string{
		`ticketgate_intake_messages_total{outcome="new_ticket",source="smtp"} 1`,
		`ticketgate_tickets_created_total`,
		`ticketgate_store_sync_duration_seconds_count`,
		`ticketgate_outbound_messages{state="ready"}`,
		`ticketgate_build_info`,
	} {
		if !bytes.Contains(metrics, []byte(name)) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
}

// keyRecords asks the daemon for the DKIM records it wants published.
func keyRecords(t *testing.T, d *daemon) map[string]string {
	t.Helper()
	records := map[string]string{}
	var page struct {
		Items []struct{ Name, Text string }
	}
	d.get("/dns/records", nil, &page)
	for _, r := range page.Items {
		if strings.Contains(r.Name, "._domainkey.") {
			records[r.Name] = r.Text
		}
	}
	if len(records) != 2 {
		t.Fatalf("want an RSA and an Ed25519 record, got %v", records)
	}
	return records
}

// asSigned undoes what a maildir does to a mail: LF line ends, and the fields
// that the delivery put on top.
func asSigned(m []byte) string {
	text := strings.ReplaceAll(string(m), "\r\n", "\n")
	i := strings.Index(text, "DKIM-Signature:")
	if i < 0 {
		return text
	}
	return strings.ReplaceAll(text[i:], "\n", "\r\n")
}
