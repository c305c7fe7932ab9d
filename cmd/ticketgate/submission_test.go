package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"ticketgate/test/peers"
)

// TestOtherDoors: an agent hands in a reply with his mail program, on both
// submission listeners, and a mail server of ours hands in mail by LMTP.
func TestOtherDoors(t *testing.T) {
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\nagents = [\"otto\"]\n")
	submission, submissions, socket := peers.FreeAddr(t), peers.FreeAddr(t), filepath.Join(t.TempDir(), "lmtp.sock")
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	more := fmt.Sprintf(", submission = %q, submissions = %q, lmtp = %q }", submission, submissions, "unix:"+socket)
	if err := os.WriteFile(d.config, []byte(strings.Replace(string(text), " }", more, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start()

	// A customer's mail comes through the mail server in front of us.
	l, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	lmtp := smtp.NewClientLMTP(l)
	handIn(t, lmtp, "anna@customer.example", "support@help.example", "From: anna@customer.example\r\nTo: support@help.example\r\nSubject: Printer on fire\r\nMessage-ID: <1@customer.example>\r\n\r\nIt burns.\r\n")
	tickets := list[struct{ Number uint64 }](d, "/tickets", nil)
	if len(tickets) != 1 {
		t.Fatalf("%d tickets", len(tickets))
	}
	ticket := itoa(tickets[0].Number)

	out, code := d.cli("", "agent", "app-password", "otto", "--name", "laptop")
	password := strings.TrimSpace(out)
	if code != 0 || !strings.HasPrefix(password, "tgp_") {
		t.Fatalf("%d %s", code, out)
	}
	if out, code := d.cli("", "agent", "app-password", "nobody"); code != exitNotFound || strings.Contains(out, "tgp_") {
		t.Errorf("%d %s", code, out)
	}

	note := "From: Otto <otto@staff.example>\r\nTo: support@help.example\r\nSubject: Re: [#" + ticket + "] Printer on fire\r\nMessage-ID: <%s@staff.example>\r\nIn-Reply-To: <1@customer.example>\r\n\r\nOn our way.\r\n"
	insecure := &tls.Config{InsecureSkipVerify: true}
	for user, open := range map[string]func() (*smtp.Client, error){
		"otto":               func() (*smtp.Client, error) { return smtp.DialTLS(submissions, insecure) },
		"Otto@staff.example": func() (*smtp.Client, error) { return smtp.DialStartTLS(submission, insecure) },
	} {
		for _, wrong := range []string{"tgp_" + strings.Repeat("a", 52), ""} {
			c, err := open()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Auth(sasl.NewPlainClient("", user, wrong)); err == nil {
				t.Errorf("%s got in with %q", user, wrong)
			}
			c.Close()
		}
		c, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Auth(sasl.NewPlainClient("", user, password)); err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		handIn(t, c, "otto@staff.example", "support@help.example", fmt.Sprintf(note, strings.ReplaceAll(user, "@", ".")))
	}
	messages := list[struct {
		Author   struct{ Address, Role string }
		Envelope struct{ Source string }
		Auth     struct{ Trust string }
	}](d, "/tickets/"+ticket+"/messages", url.Values{})
	agents := 0
	for _, m := range messages {
		if m.Author.Role == "agent" && m.Envelope.Source == "submission" {
			agents++
			if m.Auth.Trust != "T2" {
				t.Errorf("%+v", m)
			}
		}
	}
	if agents != 2 || messages[0].Envelope.Source != "lmtp" {
		t.Errorf("%d messages of an agent: %+v", agents, messages)
	}

	// Revoked is revoked.
	out, _ = d.cli("", "agent", "app-passwords", "otto", "-o", "json")
	var made struct{ Items []struct{ ID string } }
	if err := json.Unmarshal([]byte(out), &made); err != nil || len(made.Items) != 1 {
		t.Fatalf("%v %s", err, out)
	}
	if out, code := d.cli("", "agent", "app-passwords", "otto", "--revoke", made.Items[0].ID); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	c, err := smtp.DialTLS(submissions, insecure)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", "otto", password)); err == nil {
		t.Error("a revoked password works")
	}
	if code := d.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket stays behind: %v", err)
	}
}

// handIn sends one mail and closes the connection.
func handIn(t *testing.T, c *smtp.Client, from, to, mail string) {
	t.Helper()
	defer c.Close()
	if err := c.SendMail(from, []string{to}, strings.NewReader(mail)); err != nil {
		t.Fatal(err)
	}
}
