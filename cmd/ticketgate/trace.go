package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ticketgate/config"
	"ticketgate/gateway/api"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/pebble"
)

// tracedMail is how a mail came to where it is, as the API tells it.
type tracedMail struct {
	Receipt *struct {
		ID         string
		ReceivedAt string `json:"received_at"`
	}
	Decision string
	Reason   *string
	Findings []struct{ Stage, Check, Result, Detail string }
}

func (t *tracedMail) print(w io.Writer, title string) {
	fmt.Fprintf(w, "%s\n", title)
	for _, f := range t.Findings {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", f.Stage, f.Check, f.Result, f.Detail)
	}
}

// policyCommand explains what the server would do.
func policyCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Explain what the server would do with a mail"}
	var x explained
	explain := &cobra.Command{
		Use:   "explain FILE",
		Short: "Run a mail through every check and keep nothing of it",
		Long: `Prints every check a mail would go through, what was found and what would become
of it just now, without storing anything. FILE is the mail; - is standard input.
While no daemon runs, the configuration alone is asked, without tickets and keys.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.load(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if x.mail, err = readFile(args[0], cmd.InOrStdin(), int64(cfg.Limits.MessageSize)); err != nil {
				return err
			}
			x.known = cmd.Flags().Changed("from")
			raw, err := x.ask(cmd.Context(), cfg, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printExplanation(w, raw) })
		},
	}
	explain.Flags().StringVar(&x.ip, "ip", "", "address of the client (without it SPF and iprev cannot be asked)")
	explain.Flags().StringVar(&x.helo, "helo", "", "what the client called itself")
	explain.Flags().StringVar(&x.from, "from", "", "envelope sender; \"\" is the null one (default: the address in the From field)")
	explain.Flags().StringSliceVar(&x.to, "to", nil, "envelope recipient, repeatable (default: whom of ours the mail names, or the first queue)")
	cmd.AddCommand(explain)
	return cmd
}

// readFile reads a mail, at most one octet more than would be taken.
func readFile(name string, stdin io.Reader, limit int64) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, exitWith(exitUsage, "%v", err)
		}
		defer f.Close()
		stdin = f
	}
	return io.ReadAll(io.LimitReader(stdin, limit+1))
}

// explained is a mail to explain, and how it would come.
type explained struct {
	ip, helo, from string
	known          bool // from was given
	to             []string
	mail           []byte
}

// ask asks the daemon, or the configuration alone while none runs.
func (x *explained) ask(ctx context.Context, cfg *config.Config, stderr io.Writer) ([]byte, error) {
	if len(x.to) == 0 {
		x.to = recipientsOf(cfg, x.mail)
	}
	if len(x.to) == 0 {
		return nil, exitWith(exitUsage, "no queue is configured, so no recipient is ours; name one with --to")
	}
	query := url.Values{"to": x.to}
	for key, value := range map[string]string{"from": x.from, "ip": x.ip, "helo": x.helo} {
		if value != "" || key == "from" && x.known {
			query.Set(key, value)
		}
	}
	raw, err := newClient(socketPath(cfg)).call(ctx, http.MethodPost, "/policy/explain", query, "message/rfc822", bytes.NewReader(x.mail))
	var failed *exitError
	if !errors.As(err, &failed) || failed.code != exitUnreachable {
		return raw, err
	}
	fmt.Fprintln(stderr, "ticketgate: no daemon answers; this is what the configuration alone says, without tickets and keys")
	return x.alone(ctx, cfg)
}

// alone runs the mail through a house of its own that has no tickets.
func (x *explained) alone(ctx context.Context, cfg *config.Config) ([]byte, error) {
	m := api.Mail{From: x.from, NoFrom: !x.known, To: x.to, HELO: x.helo, Body: bytes.NewReader(x.mail)}
	if x.ip != "" {
		ip, err := netip.ParseAddr(x.ip)
		if err != nil {
			return nil, exitWith(exitUsage, "--ip: %v", err)
		}
		m.Peer = ip
	}
	w, err := realWorld(cfg, os.Stderr)
	if err != nil {
		return nil, err
	}
	w.log = slog.New(slog.DiscardHandler)
	p := &program{cfg: cfg, world: w, addrs: map[string]string{}, fatal: make(chan error, 1)}
	if p.db, err = pebble.OpenMem(pebble.Options{Now: w.now, Log: w.log}); err != nil {
		return nil, err
	}
	p.onStop("store", func(context.Context) error { return p.db.Close() })
	defer p.stop(ctx)
	if err := p.openDesk(ctx); err != nil {
		return nil, err
	}
	if err := p.openIntake(); err != nil {
		return nil, err
	}
	answer, err := p.intakePort().Explain(ctx, m)
	if err != nil {
		return nil, err
	}
	return json.Marshal(api.Explained(answer))
}

// recipientsOf are the addresses of ours that a mail names, else the first
// queue's.
func recipientsOf(cfg *config.Config, mail []byte) (to []string) {
	parsed, err := message.Parse(bytes.NewReader(mail), int64(len(mail)), message.DefaultLimits())
	if err == nil {
		for _, field := range []string{"Delivered-To", "X-Original-To", "To", "Cc"} {
			for _, a := range parsed.Header.Addresses(field) {
				if _, ours := cfg.Domains[a.Domain()]; ours && !slices.Contains(to, a.Addr) && len(to) < 100 {
					to = append(to, a.Addr)
				}
			}
		}
	}
	if queues := slices.Sorted(maps.Keys(cfg.Queues)); len(to) == 0 && len(queues) > 0 {
		to = []string{string(cfg.Queues[queues[0]].Address)}
	}
	return to
}

func printExplanation(w io.Writer, raw []byte) {
	var t tracedMail
	if json.Unmarshal(raw, &t) != nil {
		return
	}
	t.print(w, "what was found")
	if t.Reason != nil {
		fmt.Fprintf(w, "decision: %s, %s\n", t.Decision, *t.Reason)
		return
	}
	fmt.Fprintf(w, "decision: %s\n", t.Decision)
}

// traceCommand tells how a stored mail came to where it is.
func traceCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "trace MESSAGE-ID|TICKET|ADDRESS",
		Short: "Tell how a mail came to where it is",
		Long: `Lists what was found about a mail and what became of it. It is named by the id of
a receipt (rcpt_…), of a message (msg_…) or of a held item (held_…), or by its
Message-ID. A ticket's number stands for all mails that came for it, an address
for those that came from it or to it. Newest first, at most 50; for an address,
what came last is looked through: the newest 5000 mails, and the 50 tickets of
its owner that changed last.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var list struct{ Items []tracedMail }
			raw, err := c.get(cmd.Context(), "/traces", url.Values{"id": args}, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				for _, t := range list.Items {
					t.print(w, t.Receipt.ID+" of "+t.Receipt.ReceivedAt)
				}
			})
		},
	}
}
