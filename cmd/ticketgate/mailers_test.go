package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ticketgate/test/peers"
)

// mailer is a real mail program that answers all to the one mail of an mbox and
// hands the answer to us.
type mailer struct {
	name string
	run  func(t *testing.T, mbox, from, smtp, text string) (string, error)
}

// withNail speaks s-nail's batch mode.
func withNail(t *testing.T, mbox, from, smtp, text string) (string, error) {
	script := fmt.Sprintf("reply 1\n%s\n~.\n", text)
	cmd := command(t, peers.Tool(t, "s-nail", "s-nail"), "-:/", "-#", "-S", "v15-compat=yes", "-S", "from="+from, "-S", "hostname=", "-S", "mta=smtp://"+smtp,
		"-S", "smtp-auth=none", "-S", "sendwait", "-S", "indentprefix=> ", "-S", "quote", "-S", "escape=~", "-f", mbox)
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// withMutt drives mutt on a terminal of script(1)'s: it answers the group, its
// editor adds the text, and the mail is sent.
func withMutt(t *testing.T, mbox, from, smtp, text string) (string, error) {
	dir := t.TempDir()
	editor := filepath.Join(dir, "editor")
	write := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(name, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(editor, "#!/bin/sh\n{ printf '%s\\n\\n' '"+text+"'; cat \"$1\"; } >\"$1.new\" && mv \"$1.new\" \"$1\"\n", 0o700)
	rc := filepath.Join(dir, "muttrc")
	write(rc, strings.Join([]string{
		"set from=" + from, "set use_from=yes", "set envelope_from_address=" + from, "set use_envelope_from=yes", "set realname=", "set smtp_url=smtp://" + smtp + "/", "set ssl_starttls=no", "set ssl_force_tls=no",
		"set editor=" + editor, "set autoedit=yes", "set fast_reply=yes", "set reply_to=yes", "set reply_self=no", "set include=yes", "set abort_unmodified=no", "set abort_nosubject=no", "set record=", "set postpone=no",
		"set copy=no", "set confirmappend=no", "set quit=yes", "set delete=no", "set wait_key=no", "set header_cache=", "set use_ipv6=no", "set hostname=mutt.example", "set charset=utf-8",
		"set folder=" + dir, "set spoolfile=" + mbox, "unset mark_old", "set sleep_time=0", "push <group-reply><send-message><quit>",
	}, "\n")+"\n", 0o600)
	cmd := command(t, peers.Tool(t, "script", "bsdutils"), "-qec", peers.Tool(t, "mutt", "mutt")+" -n -F "+rc+" -f "+mbox, filepath.Join(dir, "typescript"))
	cmd.Env = append(os.Environ(), "TERM=vt100", "HOME="+dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(stop)
	return exec.CommandContext(ctx, name, args...)
}

// Answers that mutt and s-nail compose to our mails find their ticket; an
// agent's reach the customers through us, and none of them around us.
func TestMailers(t *testing.T) {
	world, err := newDemoWorld()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(world.Close)
	for _, domain := range []string{"customer.example", "staff.example"} {
		world.names.publish(domain, "v=spf1 ip4:127.0.0.1 -all")
		world.names.publish("_dmarc."+domain, "v=DMARC1; p=none")
	}
	dir := t.TempDir()
	smtp, http, admin := peers.FreeAddr(t), peers.FreeAddr(t), peers.FreeAddr(t)
	config := filepath.Join(dir, "ticketgate.toml")
	err = os.WriteFile(config, []byte(fmt.Sprintf(`
hostname = "mail.help.example"
admin = "ada@help.example"
resolver = %q
listen = { smtp = %q, http = %q, admin = %q }
tls = { mode = "self-signed" }
store = { dir = "data", min_free = "64MB" }
outbound = { smarthost = %q, retry = ["1s"], expire = "1h" }
[domain."help.example"]
[agent.otto]
name = "Otto"
addresses = ["otto@staff.example"]
[queue.support]
address = "support@help.example"
agents = ["otto"]
cc = { allow = "all" }
`, world.dnsAddr, smtp, http, admin, world.sink.addr)), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ticketgate := func(args ...string) string {
		t.Helper()
		var b strings.Builder
		code := run(context.Background(), append([]string{"--config", config}, args...), strings.NewReader(""), &b, &b)
		if code != 0 {
			t.Fatalf("%v: code %d\n%s", args, code, b.String())
		}
		return b.String()
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"--config", config, "serve"}, strings.NewReader(""), os.Stderr, os.Stderr)
	}()
	t.Cleanup(func() { stop(); <-done })
	ticketgate("health", "ready", "--wait", "2m")

	read := map[string]int{}
	gets := func(who string) string {
		t.Helper()
		wait, cancel := context.WithTimeout(context.Background(), peers.Patience)
		defer cancel()
		m, at, err := world.sink.Await(wait, read[who], func(m sunkMail) bool { return m.to == who })
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		read[who] = at + 1
		return string(m.raw)
	}
	mbox := func(raw string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "mbox")
		body := strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\nFrom ", "\n>From ")
		if err := os.WriteFile(name, []byte("From sender@help.example Mon Mar  2 09:00:00 2026\n"+body+"\n\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for i, m := range []mailer{{"mutt", withMutt}, {"s-nail", withNail}} {
		t.Run(m.name, func(t *testing.T) {
			number := 1001 + i
			anna := fmt.Sprintf("anna%d@customer.example", i)
			first := fmt.Sprintf("From: <%s>\nTo: support@help.example\nSubject: Printer of %s\nMessage-ID: <first%d@customer.example>\nDate: %s\n\nIt burns.\n", anna, m.name, i, time.Now().Format(time.RFC1123Z))
			if _, err := sendMail(smtp, anna, []string{"support@help.example"}, first); err != nil {
				t.Fatal(err)
			}
			gets(anna) // the acknowledgement
			// The agent answers all from his own program.
			if out, err := m.run(t, mbox(gets("otto@staff.example")), "otto@staff.example", smtp, "Please leave the building."); err != nil {
				t.Fatalf("%s: %v\n%s", m.name, err, out)
			}
			told := gets(anna)
			if !strings.Contains(told, "Please leave the building.") || strings.Contains(told, "otto@") {
				t.Errorf("%s gets\n%s", anna, told)
			}
			// The customer answers that.
			if out, err := m.run(t, mbox(told), anna, smtp, "We are all outside."); err != nil {
				t.Fatalf("%s: %v\n%s", m.name, err, out)
			}
			if news := gets("otto@staff.example"); !strings.Contains(news, "We are all outside.") {
				t.Errorf("Otto gets\n%s", news)
			}
			shown := ticketgate("ticket", "show", fmt.Sprint(number), "-o", "table")
			for _, want := range []string{"Please leave the building.", "We are all outside."} {
				if strings.Count(shown, want) != 1 {
					t.Errorf("the ticket has %q %d times:\n%s", want, strings.Count(shown, want), shown)
				}
			}
			for _, mail := range world.sink.All() {
				if strings.Contains(string(mail.raw), "@staff.example") && mail.to != "otto@staff.example" {
					t.Errorf("%s reads an agent's address", mail.to)
				}
			}
		})
	}
}
