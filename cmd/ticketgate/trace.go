package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"
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
	var ip, helo, from string
	var to []string
	explain := &cobra.Command{
		Use:   "explain FILE",
		Short: "Run a mail through every check and keep nothing of it",
		Long: `Prints every check a mail would go through, what was found and what would become
of it just now, without storing anything. FILE is the mail; - is standard input.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(to) == 0 {
				return exitWith(exitUsage, "say where the mail goes: --to ADDRESS")
			}
			mail := cmd.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return exitWith(exitUsage, "%v", err)
				}
				defer f.Close()
				mail = f
			}
			query := url.Values{"to": to}
			if cmd.Flags().Changed("from") {
				query.Set("from", from)
			}
			if ip != "" {
				query.Set("ip", ip)
			}
			if helo != "" {
				query.Set("helo", helo)
			}
			c, err := o.dial()
			if err != nil {
				return err
			}
			raw, err := c.call(cmd.Context(), http.MethodPost, "/policy/explain", query, "message/rfc822", mail)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printExplanation(w, raw) })
		},
	}
	explain.Flags().StringVar(&ip, "ip", "", "address of the client (without it SPF and iprev cannot be asked)")
	explain.Flags().StringVar(&helo, "helo", "", "what the client called itself")
	explain.Flags().StringVar(&from, "from", "", "envelope sender; \"\" is the null one (default: the address in the From field)")
	explain.Flags().StringSliceVar(&to, "to", nil, "envelope recipient (repeatable)")
	cmd.AddCommand(explain)
	return cmd
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
		Use:   "trace ID",
		Short: "Tell how a mail came to where it is",
		Long: `ID is the id of a receipt (rcpt_…), of a message (msg_…) or of a held item
(held_…), a Message-ID, or a ticket's number: then all mails that came for it.`,
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
