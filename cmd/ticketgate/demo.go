package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"ticketgate/config"
)

// demoConfig is the demo's whole configuration: one queue, two agents, and the
// demo's mail server as the forwarder that vouches for senders.
const demoConfig = `
hostname = "mail.help.example"
admin    = "ada@staff.example"
resolver = "%s"
listen   = { smtp = "127.0.0.1:%d", http = "127.0.0.1:%d", admin = "127.0.0.1:%d" }
tls      = { mode = "self-signed" }
store    = { dir = "data", min_free = "64MB" }
outbound = { retry = ["1s", "2s", "5s"], expire = "1h" }
log      = { level = "%s", format = "text" }

[domain."help.example"]

[agent.otto]
name = "Otto"
addresses = ["otto@staff.example"]
role = "full"

[agent.ada]
name = "Ada"
addresses = ["ada@staff.example"]
role = "full"

[queue.support]
address = "support@help.example"
name = "Example Support"
agents = ["otto"]
cc = { allow = "all" }
auto_ack = { enabled = true }
trusted_forwarders = ["127.0.0.1/32"]
`

func demoCommand() *cobra.Command {
	var once bool
	var dir string
	var port int
	var verbose bool
	cmd := &cobra.Command{
		Use:   "demo [--once]",
		Short: "Play a whole support conversation on this machine",
		Long: "Starts the real daemon with a stub DNS and a sink mail server of its own, all on\n" +
			"loopback, plays a conversation through SMTP and verifies every step. No root, no\n" +
			"configuration and no network are needed, and nothing can leave the machine.\n" +
			"Without --once it keeps running afterwards so that you can write mails yourself.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), demoOptions{once: once, dir: dir, port: port, verbose: verbose}, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the story; exit 0 only if every step was verified")
	cmd.Flags().StringVar(&dir, "dir", "", "keep the data in this directory (default: a temporary one, removed at the end)")
	cmd.Flags().IntVar(&port, "smtp-port", 0, "SMTP port on 127.0.0.1 (default: a free one)")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show the daemon's log")
	return cmd
}

type demoOptions struct {
	once    bool
	dir     string
	port    int
	verbose bool
}

// demo is a running daemon in its small world.
type demo struct {
	world   *demoWorld
	program *program
	config  string // file
	api     *client
}

func runDemo(ctx context.Context, o demoOptions, out io.Writer) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "ticketgate-demo-")
		if err != nil {
			return exitWith(exitFailed, "%v", err)
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	d, err := startDemo(ctx, o)
	if err != nil {
		return exitWith(exitFailed, "the demo could not start: %v", err)
	}
	defer d.stop()
	fmt.Fprintf(out, "Ticketgate listens for mail on %s; everybody else's mail server is %s.\n\n", d.program.addr("smtp"), d.world.sink.addr)

	s := &story{demo: d, out: out, seen: map[string]int{}}
	if err := s.play(ctx); err != nil {
		fmt.Fprintf(out, "\nFAIL  %v\n", err)
		return exitWith(exitFailed, "the demo did not pass")
	}
	fmt.Fprintf(out, "\nPASS  %d steps verified\n", s.steps)
	if o.once {
		return nil
	}
	fmt.Fprintf(out, `
It keeps running until Ctrl-C. In another terminal:
  swaks --server %s --from you@customer.example --to support@help.example
  go run ./cmd/ticketgate --config %s ticket list
  go run ./cmd/ticketgate --config %s ticket show 1001
  curl http://%s/metrics
`, d.program.addr("smtp"), d.config, d.config, d.program.addr("admin"))
	<-ctx.Done()
	return nil
}

func startDemo(ctx context.Context, o demoOptions) (*demo, error) {
	w, err := newDemoWorld()
	if err != nil {
		return nil, err
	}
	d := &demo{world: w, config: filepath.Join(o.dir, "ticketgate.toml")}
	held := heldPorts{}
	defer held.close() // those nobody asked for
	ports := [3]int{o.port}
	for i := range ports {
		if ports[i] == 0 && err == nil {
			ports[i], err = held.take()
		}
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	level := "error"
	if o.verbose {
		level = "debug"
	}
	text := fmt.Sprintf(demoConfig, w.dnsAddr, ports[0], ports[1], ports[2], level)
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		w.Close()
		return nil, err
	}
	cfg, problems := config.Load(d.config)
	if cfg == nil {
		w.Close()
		return nil, problems
	}
	outside := &world{
		now:        time.Now,
		random:     rand.Reader,
		dial:       w.Dial,
		listen:     held.listen,
		fs:         vfs.Default,
		metrics:    prometheus.NewRegistry(),
		log:        demoLogger(cfg, o.verbose),
		loopbackMX: true,
	}
	if err = outside.askAt(w.dnsAddr); err == nil {
		d.program, err = start(ctx, cfg, outside)
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	d.api = newClient(socketPath(cfg))
	if err := d.publishKeys(ctx); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func demoLogger(cfg *config.Config, verbose bool) *slog.Logger {
	if !verbose {
		return slog.New(slog.DiscardHandler)
	}
	return newLogger(cfg, os.Stderr)
}

// publishKeys does what the administrator does with the printed DNS records.
func (d *demo) publishKeys(ctx context.Context) error {
	records, err := d.program.dkim.Records(ctx, "help.example")
	for _, r := range records {
		d.world.names.publish(r.Name, r.Text)
	}
	return err
}

func (d *demo) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	d.program.stop(ctx)
	d.world.Close()
}

// heldPorts are listeners on free loopback ports, by address. They stay open
// until the daemon asks for them, so that nobody can take a port in between.
type heldPorts map[string]net.Listener

// take opens one more and returns its port.
func (h heldPorts) take() (port int, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	h[l.Addr().String()] = l
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (h heldPorts) listen(ctx context.Context, network, address string) (net.Listener, error) {
	if l, held := h[address]; held {
		delete(h, address)
		return l, nil
	}
	return listenTCP(ctx, network, address)
}

func (h heldPorts) close() {
	for _, l := range h {
		l.Close()
	}
}
