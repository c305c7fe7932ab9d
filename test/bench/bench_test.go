// Package bench measures the gateway against a real Postfix on the same
// machine in the same run. It prints ratios and asserts nothing.
//
//	make bench
package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ticketgate/test/dnstest"
	"ticketgate/test/peers"
)

const (
	mails       = 10000 // per round
	connections = 20
	size        = 5120
	rounds      = 3
)

// BenchmarkAccept compares accepting and ticketing with Postfix accepting into
// discard: smtp-source, 5 KiB mails, 20 connections, the two in turn. Kept
// connections carry one mail after the other; in the other round each mail
// opens its own, which is smtp-source's way unless told otherwise.
func BenchmarkAccept(b *testing.B) {
	for name, flags := range map[string][]string{"kept": {"-d"}, "new": nil} {
		b.Run(name, func(b *testing.B) { compareAccept(b, flags) })
	}
}

func compareAccept(b *testing.B, flags []string) {
	postfix := peers.StartPostfix(b, peers.PostfixOptions{Discard: true})
	gate := newGate(b, b.TempDir())
	gate.start()
	flood(b, postfix.Addr, mails/10, 1, flags...) // warm both
	flood(b, gate.smtp, mails/10, 2, flags...)
	for b.Loop() {
		var ours, theirs, ratios []float64
		for r := range rounds {
			theirs = append(theirs, flood(b, postfix.Addr, mails, 10+r, flags...))
			ours = append(ours, flood(b, gate.smtp, mails, 20+r, flags...))
			ratios = append(ratios, ours[r]/theirs[r])
		}
		p50, p99 := probe(b, gate.smtp)
		b.ReportMetric(median(theirs), "postfix/s")
		b.ReportMetric(median(ours), "tickets/s")
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(gate.residentMiB(), "rss-MiB")
		b.ReportMetric(p50.Seconds()*1000, "data-p50-ms")
		b.ReportMetric(p99.Seconds()*1000, "data-p99-ms")
		b.ReportMetric(0, "ns/op")
		fmt.Printf("%s: postfix %.0f/s, tickets %.0f/s, ratios %.1f\n", b.Name(), theirs, ours, ratios)
	}
}

// BenchmarkAcceptAtOneMillion compares the rate with a million tickets stored
// with the rate of an empty store, and measures the start.
func BenchmarkAcceptAtOneMillion(b *testing.B) {
	fullDir := b.TempDir()
	started := time.Now()
	preload(b, filepath.Join(fullDir, "data"), 1_000_000)
	fmt.Printf("preload: 1,000,000 tickets in %v\n", time.Since(started).Round(time.Second))
	empty, full := newGate(b, b.TempDir()), newGate(b, fullDir)
	full.start()
	full.stop() // what the preload left to compact is not the start's business
	startTime := full.start()
	full.settle()
	empty.start()
	flood(b, full.smtp, mails, 1, "-d") // a store that serves has its filters and indexes in memory
	flood(b, empty.smtp, mails, 2, "-d")
	full.settle()
	empty.settle()
	for b.Loop() {
		var rates, base, ratios []float64
		for r := range rounds {
			base = append(base, flood(b, empty.smtp, mails, 10+r, "-d"))
			empty.settle() // one store's merging is not the other's business
			rates = append(rates, flood(b, full.smtp, mails, 20+r, "-d"))
			full.settle()
			ratios = append(ratios, rates[r]/base[r])
		}
		p50, p99 := probe(b, full.smtp)
		b.ReportMetric(median(base), "empty/s")
		b.ReportMetric(median(rates), "million/s")
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(startTime.Seconds(), "start-s")
		b.ReportMetric(full.residentMiB(), "rss-MiB")
		b.ReportMetric(p50.Seconds()*1000, "data-p50-ms")
		b.ReportMetric(p99.Seconds()*1000, "data-p99-ms")
		b.ReportMetric(0, "ns/op")
		fmt.Printf("at one million: empty %.0f/s, million %.0f/s, ratios %.2f, start %v\n", base, rates, ratios, startTime.Round(time.Millisecond))
	}
}

// flood sends n mails with smtp-source and returns the rate. round keeps the
// senders of rounds apart.
func flood(b *testing.B, addr string, n, round int, flags ...string) float64 {
	b.Helper()
	source := peers.Tool(b, "smtp-source", "postfix")
	args := append(flags[:len(flags):len(flags)], "-s", fmt.Sprint(connections), "-m", fmt.Sprint(n), "-l", fmt.Sprint(size),
		"-f", fmt.Sprintf("sender%d@customer.example", round), "-t", "support@help.example", addr)
	started := time.Now()
	out, err := exec.Command(source, args...).CombinedOutput()
	if err != nil {
		b.Fatalf("smtp-source: %v\n%s", err, out)
	}
	return float64(n) / time.Since(started).Seconds()
}

// probe sends mails on one connection while others load the server, and
// returns how long the answer to DATA took.
func probe(b *testing.B, addr string) (p50, p99 time.Duration) {
	b.Helper()
	done := make(chan struct{})
	go func() { defer close(done); flood(b, addr, mails, 99) }()
	c, err := smtp.Dial(addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var took []time.Duration
	body := strings.Repeat("0123456789 0123456789 0123456789 0123456789 0123456789 0123456\r\n", size/66)
	for i := 0; ; i++ {
		select {
		case <-done:
			slices.Sort(took)
			return took[len(took)/2], took[len(took)*99/100]
		default:
		}
		for _, step := range []error{c.Mail("probe@customer.example"), c.Rcpt("support@help.example")} {
			if step != nil {
				b.Fatal(step)
			}
		}
		w, err := c.Data()
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(w, "From: probe@customer.example\r\nTo: support@help.example\r\nSubject: probe\r\nMessage-ID: <probe.%d@customer.example>\r\n\r\n%s", i, body)
		started := time.Now()
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(started))
	}
}

// gate is a ticketgate process.
type gate struct {
	b                *testing.B
	dir, smtp, admin string
	binary           string
	cmd              *exec.Cmd
	log              bytes.Buffer
}

const gateConfig = `
hostname = "mail.help.example"
admin    = "ada@staff.example"
listen   = { smtp = "%s", http = "", admin = "%s" }
tls      = { mode = "self-signed" }
store    = { dir = "data", min_free = "64MB" }
log      = { level = "warn", format = "text" }
limits   = { connections = 500, per_ip_connections = 200 }

[domain."help.example"]

[queue.support]
address = "support@help.example"
`

func newGate(b *testing.B, dir string) *gate {
	b.Helper()
	g := &gate{b: b, dir: dir, smtp: peers.FreeAddr(b), admin: peers.FreeAddr(b)}
	g.binary = filepath.Join(b.TempDir(), "ticketgate")
	build := exec.Command("go", "build", "-o", g.binary, "ticketgate/cmd/ticketgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "ticketgate.toml"), fmt.Appendf(nil, "resolver = %q\n"+gateConfig, dnstest.Start(b).Addr(), g.smtp, g.admin), 0o600); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(g.stop)
	return g
}

// start runs the process and returns how long it took to be ready.
func (g *gate) start() time.Duration {
	g.b.Helper()
	started := time.Now()
	g.cmd = exec.Command(g.binary, "serve", "--config", filepath.Join(g.dir, "ticketgate.toml"))
	g.cmd.Stdout, g.cmd.Stderr = &g.log, &g.log
	if err := g.cmd.Start(); err != nil {
		g.b.Fatal(err)
	}
	peers.WaitFor(g.b, time.Minute, "the daemon to be ready", func() bool {
		res, err := http.Get("http://" + g.admin + "/readyz")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		io.Copy(io.Discard, res.Body)
		return res.StatusCode == http.StatusOK
	})
	return time.Since(started)
}

func (g *gate) stop() {
	if g.cmd == nil {
		return
	}
	g.cmd.Process.Signal(os.Interrupt)
	g.cmd.Wait()
	g.cmd = nil
}

// settle waits until the process has nothing to do: a bulk load leaves merging
// behind that a store which grew mail by mail has long done.
func (g *gate) settle() {
	g.b.Helper()
	last, quiet := g.cpu(), 0
	peers.WaitFor(g.b, 5*time.Minute, "the daemon to come to rest", func() bool {
		now := g.cpu()
		if now-last > 1 { // hundredths of a second since the last look
			quiet = 0
		}
		last = now
		quiet++
		return quiet > 100
	})
}

// cpu is the processor time used so far, in hundredths of a second.
func (g *gate) cpu() int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}

// residentMiB reads the process's resident memory.
func (g *gate) residentMiB() float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kb); err == nil {
			return kb / 1024
		}
	}
	return 0
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
