package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"ticketgate/test/authority"
	"ticketgate/test/peers"
)

// TestOtherDoors: an agent hands in a reply with his mail program, on both
// submission listeners, and a mail server of ours hands in mail by LMTP.
func TestOtherDoors(t *testing.T) {
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\nagents = [\"otto\"]\n")
	submission, submissions, socket := peers.FreeAddr(t), peers.FreeAddr(t), filepath.Join(t.TempDir(), "lmtp.sock")
	d.edit(`listen   = { `, fmt.Sprintf("listen = { submission = %q, submissions = %q, lmtp = %q, ", submission, submissions, "unix:"+socket))
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

// edit replaces a part of the configuration.
func (d *daemon) edit(old, new string) {
	d.t.Helper()
	text, err := os.ReadFile(d.config)
	if err != nil {
		d.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		d.t.Fatalf("%q does not stand in\n%s", old, text)
	}
	if err := os.WriteFile(d.config, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// TestSwaksAtEveryDoor lets a well-known test client log in, speak LMTP and
// stand behind a proxy.
func TestSwaksAtEveryDoor(t *testing.T) {
	d := newDaemon(t, `trusted_proxies = ["127.0.0.1"]`, "\n[queue.support]\naddress = \"support@help.example\"\n")
	submission, submissions, lmtp := peers.FreeAddr(t), peers.FreeAddr(t), peers.FreeAddr(t)
	d.edit(`listen   = { `, fmt.Sprintf("listen = { submission = %q, submissions = %q, lmtp = %q, ", submission, submissions, lmtp))
	d.start()
	out, code := d.cli("", "agent", "app-password", "otto")
	if code != 0 {
		t.Fatal(out)
	}
	password := strings.TrimSpace(out)
	swaks := peers.Tool(t, "swaks", "swaks")
	for _, c := range []struct {
		name string
		at   string
		args []string
		want string
	}{
		{"PLAIN after STARTTLS", submission, []string{"--tls", "--auth", "PLAIN", "--auth-user", "otto", "--auth-password", password, "--from", "otto@staff.example"}, "250 2.0.0 Ok: rcpt_"},
		{"LOGIN in TLS", submissions, []string{"--tls-on-connect", "--auth", "LOGIN", "--auth-user", "otto@staff.example", "--auth-password", password, "--from", "otto@staff.example"}, "250 2.0.0 Ok: rcpt_"},
		{"a wrong password", submissions, []string{"--tls-on-connect", "--auth", "PLAIN", "--auth-user", "otto", "--auth-password", password + "x", "--from", "otto@staff.example"}, "535 5.7.8"},
		{"no TLS, so no AUTH", submission, []string{"--auth", "PLAIN", "--auth-user", "otto", "--auth-password", password, "--from", "otto@staff.example"}, "Host did not advertise authentication"},
		{"another's address", submissions, []string{"--tls-on-connect", "--auth", "PLAIN", "--auth-user", "otto", "--auth-password", password, "--from", "ada@staff.example"}, "550 5.7.1"},
		{"LMTP", lmtp, []string{"--protocol", "LMTP", "--from", anna}, "250 2.0.0 <support@help.example> Ok: rcpt_"},
		{"SMTP from a client of the proxy", d.smtp, []string{"--from", anna}, "250 2.0.0 Ok: rcpt_"},
	} {
		host, port, _ := strings.Cut(c.at, ":")
		args := append([]string{"--server", host, "--port", port, "--helo", "client.example", "--to", desk, "--timeout", "20",
			"--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-source", "198.51.100.9", "--proxy-source-port", "4711", "--proxy-dest", "127.0.0.1", "--proxy-dest-port", port}, c.args...)
		if out, _ := peers.Run(t, "", swaks, args...); !strings.Contains(out, c.want) {
			t.Errorf("%s: no %q in\n%s", c.name, c.want, out)
		}
	}
	host, port, _ := strings.Cut(d.smtp, ":")
	if out, _ := peers.Run(t, "", swaks, "--server", host, "--port", port, "--from", anna, "--to", desk, "--timeout", "20"); !strings.Contains(out, "421 4.7.0 mail.help.example no PROXY header") {
		t.Errorf("the proxy itself got in:\n%s", out)
	}
	seen := 0
	for _, ticket := range list[struct{ Number uint64 }](d, "/tickets", nil) {
		for _, m := range list[struct {
			Envelope struct {
				RemoteIP string `json:"remote_ip"`
			}
		}](d, "/tickets/"+itoa(ticket.Number)+"/messages", nil) {
			if m.Envelope.RemoteIP != "198.51.100.9" {
				t.Errorf("a message came from %q", m.Envelope.RemoteIP)
			}
			seen++
		}
	}
	if seen != 4 {
		t.Errorf("%d messages, not 4", seen)
	}
}

// TestCertificateFromAnAuthority has the daemon get one at its first start, by
// the submissions listener or the HTTP one, and find it again at the second.
func TestCertificateFromAnAuthority(t *testing.T) {
	for _, by := range []string{"submissions", "http"} {
		t.Run(by, func(t *testing.T) {
			submissions := peers.FreeAddr(t)
			d := newDaemon(t, "", "")
			ports := map[string]int{"http": 1, "submissions": 1}
			ports[by] = portOf(t, map[string]string{"http": d.http, "submissions": submissions}[by])
			ca := authority.Start(t, ports["http"], ports["submissions"])
			t.Setenv("SSL_CERT_FILE", ca.Root)
			d.edit(`listen   = { `, fmt.Sprintf("listen = { submissions = %q, ", submissions))
			d.edit(`{ mode = "self-signed" }`, fmt.Sprintf(`{ mode = "acme", acme_directory = %q }`, ca.Directory))
			issuer := func() string {
				c, err := tls.Dial("tcp", submissions, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"smtp"}})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				return c.ConnectionState().PeerCertificates[0].Issuer.CommonName
			}
			signed := func() bool { return strings.HasPrefix(issuer(), authority.Issuer) }
			d.start()
			peers.WaitFor(t, peers.Patience, "a certificate", signed)
			if code := d.terminate(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			d.edit(ca.Directory, "https://127.0.0.1:1/directory")
			d.start()
			peers.WaitFor(t, peers.Patience, "the certificate of before", signed)
		})
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return int(ap.Port())
}
