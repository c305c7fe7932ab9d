package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ticketgate/test/dnstest"
	"ticketgate/test/peers"
)

// The test binary is the program too: started under the name ticketgate it
// runs main, race detector included.
func TestMain(m *testing.M) {
	// The race detector's second of sleep at each exit adds up over all the
	// commands the tests run.
	os.Setenv("GORACE", goRace)
	testscript.Main(m, map[string]func(){"ticketgate": main})
}

const goRace = "atexit_sleep_ms=10"

// daemon is a real ticketgate process on loopback ports.
type daemon struct {
	t      *testing.T
	config string
	smtp   string
	http   string
	admin  string
	api    *client
	dns    *dnstest.Server // all it knows of names; empty at first
	cmd    *exec.Cmd
	log    *bytes.Buffer
}

// daemonConfig has %s for: the SMTP, HTTP and admin addresses, the name server,
// and the rest of the file.
const daemonConfig = `
hostname = "mail.help.example"
admin    = "ada@staff.example"
listen   = { smtp = "%s", http = "%s", admin = "%s" }
tls      = { mode = "self-signed" }
store    = { dir = "data", min_free = "64MB" }
log      = { level = "warn", format = "text" }
resolver = "%s"
%s
[domain."help.example"]

[agent.otto]
name = "Otto"
addresses = ["otto@staff.example"]
`

// newDaemon writes a configuration; start runs it. rest holds further
// top-level keys, queues the tables after them.
func newDaemon(t *testing.T, rest, queues string) *daemon {
	t.Helper()
	d := &daemon{t: t, smtp: peers.FreeAddr(t), http: peers.FreeAddr(t), admin: peers.FreeAddr(t), dns: dnstest.Start(t), log: &bytes.Buffer{}}
	dir := t.TempDir()
	d.config = filepath.Join(dir, "ticketgate.toml")
	text := fmt.Sprintf(daemonConfig, d.smtp, d.http, d.admin, d.dns.Addr(), rest) + queues
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d.api = newClient(filepath.Join(dir, "data", "ctl.sock"))
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("daemon log:\n%s", lastBytes(d.log.Bytes(), 4<<10))
		}
	})
	return d
}

// start runs the daemon until it is ready.
func (d *daemon) start() {
	d.t.Helper()
	d.cmd = exec.Command("ticketgate", "serve", "--config", d.config)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := askHealth(ctx, "http://"+d.admin+"/readyz", true, &bytes.Buffer{}); err != nil {
		d.kill()
		d.t.Fatalf("the daemon did not become ready: %v\n%s", err, lastBytes(d.log.Bytes(), 8<<10))
	}
}

// kill ends the process without warning, as a power failure would end its
// memory.
func (d *daemon) kill() {
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Kill()
	d.cmd.Wait()
	d.cmd = nil
}

// terminate asks the process to end and returns its exit code.
func (d *daemon) terminate() int {
	d.t.Helper()
	d.cmd.Process.Signal(syscall.SIGTERM)
	err := d.cmd.Wait()
	code := d.cmd.ProcessState.ExitCode()
	d.cmd = nil
	if err != nil && code < 0 {
		d.t.Fatalf("waiting for the daemon: %v", err)
	}
	return code
}

// cli runs a command of the program against the daemon and returns its output
// and exit code.
func (d *daemon) cli(stdin string, args ...string) (string, int) {
	d.t.Helper()
	cmd := exec.Command("ticketgate", append([]string{"--config", d.config}, args...)...)
	cmd.Stdin = bytes.NewReader([]byte(stdin))
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		d.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// get reads a resource of the API.
func (d *daemon) get(path string, query url.Values, out any) {
	d.t.Helper()
	if _, err := d.api.get(context.Background(), path, query, out); err != nil {
		d.t.Fatalf("GET %s: %v", path, err)
	}
}

// atRest reports whether a daemon has told everybody of everything and all of it
// has left. Notices come first: they become mails.
func atRest(admin string, api *client) (bool, error) {
	notices, err := metric(admin, "ticketgate_notices_waiting")
	if err != nil {
		return false, err
	}
	var page struct{ Items []parcelJSON }
	if _, err := api.get(context.Background(), "/outbound", nil, &page); err != nil {
		return false, err
	}
	return notices == "0" && len(page.Items) == 0, nil
}

func (d *daemon) atRest() bool {
	d.t.Helper()
	rest, err := atRest(d.admin, d.api)
	if err != nil {
		d.t.Fatal(err)
	}
	return rest
}

// metric reads a value without labels from the page of metrics.
func metric(admin, name string) (string, error) {
	res, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			return value, nil
		}
	}
	return "", fmt.Errorf("there is no metric %s: %w", name, errors.Join(lines.Err(), io.EOF))
}

// list reads all pages of a list.
func list[T any](d *daemon, path string, query url.Values) []T {
	d.t.Helper()
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", "100")
	var all []T
	for {
		var page struct {
			Items []T
			Next  *string
		}
		d.get(path, query, &page)
		all = append(all, page.Items...)
		if page.Next == nil {
			return all
		}
		query.Set("cursor", *page.Next)
	}
}

// reconcile asks the daemon to compare what it accepted with what it has.
func (d *daemon) reconcile() (receipts, tickets, messages int) {
	d.t.Helper()
	out, code := d.cli("", "reconcile", "-o", "json")
	var r struct {
		Receipts, Tickets, Messages int
		Problems                    []string
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || len(r.Problems) > 0 {
		d.t.Fatalf("reconcile: exit %d, %v\n%s", code, err, out)
	}
	return r.Receipts, r.Tickets, r.Messages
}

func lastBytes(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
