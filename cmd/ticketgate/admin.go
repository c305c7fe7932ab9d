package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func tokenCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make tokens for the HTTP API"}
	var scopes, queues []string
	var name, expires string
	create := &cobra.Command{
		Use:   "create",
		Short: "Make a token and show it once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			body := map[string]any{"name": name, "scopes": scopes, "queues": queues}
			if expires != "" {
				body["expires"] = expires
			}
			var t struct{ Token string }
			raw, err := c.send(cmd.Context(), http.MethodPost, "/tokens", body, &t)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { fmt.Fprintln(w, t.Token) })
		},
	}
	create.Flags().StringSliceVar(&scopes, "scope", nil, "what it may do: tickets:read tickets:write messages:send outbound:read outbound:write intake admin")
	create.Flags().StringSliceVar(&queues, "queue", nil, "only in these queues")
	create.Flags().StringVar(&name, "name", "", "whose it is, for your own memory")
	create.Flags().StringVar(&expires, "expires", "", "ends after this time, such as 90d")
	create.MarkFlagRequired("scope")
	cmd.AddCommand(create)
	return cmd
}

func dnsCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "dns", Short: "What to publish in DNS, and whether it is"}
	cmd.AddCommand(dnsCheckCommand(o))
	cmd.AddCommand(&cobra.Command{
		Use:   "records",
		Short: "Print the records our domains need, as lines of a zone file",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var list struct {
				Items []struct{ Name, Type, Value string }
			}
			raw, err := c.get(cmd.Context(), "/dns/records", nil, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				for _, r := range list.Items {
					fmt.Fprintf(w, "%s.\tIN\t%s\t%s\n", r.Name, r.Type, r.Value)
				}
			})
		},
	})
	return cmd
}

// intakeCommand takes a mail from standard input, as a pipe from another mail
// server does. Its exit codes are the ones such servers know: 75 asks them to
// try again, 65 says that this mail will never be taken.
func intakeCommand(o *options) *cobra.Command {
	var to []string
	var from, queue string
	cmd := &cobra.Command{
		Use:   "intake [--to ADDRESS… | --queue NAME] < mail.eml",
		Short: "Take one mail from standard input",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := o.load(io.Discard)
			if err != nil {
				return &exitError{exitTemporary, err} // no mail bounces for it
			}
			if queue != "" {
				q, ok := cfg.Queues[queue]
				if !ok {
					return exitWith(exitUsage, "there is no queue %q", queue)
				}
				to = append(to, string(q.Address))
			}
			if len(to) == 0 {
				return exitWith(exitUsage, "say where the mail goes: --to ADDRESS or --queue NAME")
			}
			query := url.Values{"to": to}
			if cmd.Flags().Changed("from") {
				query.Set("from", from)
			}
			c := newClient(socketPath(cfg))
			raw, err := c.call(cmd.Context(), http.MethodPost, "/intake", query, "message/rfc822", cmd.InOrStdin())
			if err != nil {
				return pipeError(err)
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printReceipt(w, raw) })
		},
	}
	cmd.Flags().StringSliceVar(&to, "to", nil, "envelope recipient (repeatable)")
	cmd.Flags().StringVar(&from, "from", "", "envelope sender; \"\" is the null one (default: the address in the From field)")
	cmd.Flags().StringVar(&queue, "queue", "", "the queue the mail is for")
	return cmd
}

// pipeError maps failures to the exit codes of sysexits.
func pipeError(err error) error {
	var p problem
	if errors.As(err, &p) && p.Status >= 400 && p.Status < 500 && p.Status != http.StatusTooManyRequests && p.Status != http.StatusRequestTimeout {
		return &exitError{exitBadMessage, err}
	}
	return &exitError{exitTemporary, err}
}

func reconcileCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "reconcile",
		Short: "Compare what was accepted with what is there",
		Long:  "Walks the store: every accepted mail has its receipt, every outcome its ticket and message or its held mail, each with its exact bytes. Exit code 1 if anything is missing.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var r struct {
				Receipts, Outcomes, Tickets, Messages, Held int
				Problems                                    []string
			}
			raw, err := c.get(cmd.Context(), "/reconcile", nil, &r)
			if err != nil {
				return err
			}
			err = o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "receipts\t%d\noutcomes\t%d\ntickets\t%d\nmessages\t%d\nheld\t%d\n", r.Receipts, r.Outcomes, r.Tickets, r.Messages, r.Held)
				for _, p := range r.Problems {
					fmt.Fprintf(w, "PROBLEM\t%s\n", p)
				}
				if len(r.Problems) == 0 {
					fmt.Fprintln(w, "all accepted mail is there")
				}
			})
			if err == nil && len(r.Problems) > 0 {
				err = exitWith(exitFailed, "%d problems", len(r.Problems))
			}
			return err
		},
	}
}

func healthCommand(o *options) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:       "health [live|ready]",
		Short:     "Ask the daemon whether it lives, or is ready for mail",
		ValidArgs: []string{"live", "ready"},
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := o.load(io.Discard)
			if err != nil {
				return err
			}
			page := "/readyz?verbose"
			if len(args) == 1 && args[0] == "live" {
				page = "/livez"
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), max(wait, 5*time.Second))
			defer cancel()
			return askHealth(ctx, "http://"+string(cfg.Listen.Admin)+page, wait > 0, cmd.OutOrStdout())
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "keep asking for this long")
	return cmd
}

func askHealth(ctx context.Context, address string, again bool, w io.Writer) error {
	for {
		answer, err := fetchHealth(ctx, address)
		if err == nil {
			fmt.Fprintln(w, answer)
			return nil
		}
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func fetchHealth(ctx context.Context, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", exitWith(exitUnreachable, "%v", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", exitWith(exitUnreachable, "the daemon does not answer on its admin address: %v", err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	text := strings.TrimSpace(string(b))
	if res.StatusCode != http.StatusOK {
		return "", exitWith(exitFailed, "not healthy: %s\n%s", res.Status, text)
	}
	return text, nil
}

func printReceipt(w io.Writer, raw []byte) {
	var r struct {
		ID       string
		Outcomes []struct {
			Recipient, Outcome string
			Ticket             *uint64
			Held               *string
			Reason             *string
		}
	}
	if json.Unmarshal(raw, &r) != nil {
		return
	}
	for _, out := range r.Outcomes {
		fmt.Fprintf(w, "%s\t%s\t%s", r.ID, out.Recipient, out.Outcome)
		if out.Ticket != nil && *out.Ticket != 0 {
			fmt.Fprintf(w, "\t#%d", *out.Ticket)
		}
		if out.Held != nil && *out.Held != "" {
			fmt.Fprintf(w, "\t%s", *out.Held)
		}
		if out.Reason != nil && *out.Reason != "" {
			fmt.Fprintf(w, "\t%s", *out.Reason)
		}
		fmt.Fprintln(w)
	}
}
