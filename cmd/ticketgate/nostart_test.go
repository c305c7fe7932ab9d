package main

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestNoStart: what keeps the daemon from starting is told in a line and ends
// in an exit code; what was opened before is closed again, so that the same
// store starts once the cause is gone.
func TestNoStart(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	serve := func() (string, int) {
		t.Helper()
		cmd := exec.Command("ticketgate", "serve", "--config", d.config)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d.edit(d.smtp, taken.Addr().String())
	if out, code := serve(); code != exitFailed || !strings.Contains(out, "could not start: doors: smtp: listen tcp "+taken.Addr().String()) || strings.Contains(out, "panic") {
		t.Errorf("a port that is taken: %d\n%s", code, out)
	}
	d.edit(taken.Addr().String(), d.smtp)

	d.edit("tls      =", "metrics  = { token = \"env:TICKETGATE_TEST_NO_SUCH\" }\ntls      =")
	if out, code := serve(); code != exitConfig || !strings.Contains(out, "ticketgate.toml:5:14 warning: token: environment variable TICKETGATE_TEST_NO_SUCH is empty or not set") || strings.Contains(out, "panic") {
		t.Errorf("a secret nobody set: %d\n%s", code, out)
	}
	d.edit("metrics  = { token = \"env:TICKETGATE_TEST_NO_SUCH\" }\n", "")

	d.start()
	if out, code := serve(); code != exitFailed || !strings.Contains(out, "could not start: store: ") || strings.Contains(out, "panic") {
		t.Errorf("a second daemon on the same store: %d\n%s", code, out)
	}
	if out, code := d.cli("", "ticket", "list"); code != 0 {
		t.Errorf("the first one has gone: %d\n%s", code, out)
	}

	// A configuration that cannot be read makes no mail bounce.
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.config, append([]byte("x = \n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := d.cli("From: a@b.example\n\nhi\n", "intake", "--queue", "support"); code != exitTemporary || !strings.Contains(out, "ticketgate.toml:1:") {
		t.Errorf("intake: %d\n%s", code, out)
	}
	if out, code := d.cli("", "ticket", "list"); code != exitConfig || !strings.Contains(out, "ticketgate.toml:1:") {
		t.Errorf("ticket list: %d\n%s", code, out)
	}
}

// TestExplainWithoutQueues: a configuration without queues is a warning, and an
// explanation then says what is missing.
func TestExplainWithoutQueues(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "", "")
	out, code := d.cli("From: a@b.example\n\nhi\n", "policy", "explain", "-")
	if code != exitUsage || !strings.Contains(out, "no queue is configured, so no recipient is ours; name one with --to") {
		t.Errorf("%d\n%s", code, out)
	}
}
