// Package peers starts real mail programs for tests: on loopback, in a
// directory of their own, stopped by the process they were started as. A
// program that is not installed fails the test and names its Debian package;
// nothing is ever skipped.
package peers

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tool returns the path of an installed program. Under -short, which leaves out
// whatever needs other programs, it ends the test.
func Tool(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if testing.Short() {
		t.Skipf("-short leaves out what needs %s", name)
	}
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if p := filepath.Join(dir, name); executable(p) {
			return p
		}
	}
	t.Fatalf("%s is not installed; run test/install-peers, or install the Debian package %s", name, debianPackage)
	return ""
}

func executable(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode()&0o111 != 0
}

// Run runs a program for at most three minutes and returns what it printed. A
// failure is the caller's to judge.
func Run(t testing.TB, stdin, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Dir returns a directory that other users' processes can enter, removed at
// the end of the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ticketgate-peer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Patience is how long a test waits for what should happen at once, on a
// machine that is busy with everything else.
const Patience = 90 * time.Second

// WaitListen returns when somebody listens at a TCP address.
func WaitListen(t testing.TB, addr, who string) {
	t.Helper()
	WaitFor(t, Patience, who+" to listen", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// WaitFor polls until ready returns true; it fails the test with what after
// the limit.
func WaitFor(t testing.TB, limit time.Duration, what string, ready func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-deadline:
			t.Fatalf("gave up after %v waiting for %s", limit, what)
		case <-tick.C:
		}
	}
}
