package main

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

type toldJSON struct {
	ID        string
	Event     string
	Template  string
	Recipient string
	Role      string
	State     string
	Reason    *string
	At        time.Time
	Ticket    *uint64
}

type verdictJSON struct {
	Ticket uint64
	To     string
	Event  *string
	State  string
	At     *time.Time
	Basis  string
	Checks []struct {
		OK   bool
		Text string
	}
	Notification *toldJSON
	Earlier      []toldJSON
}

func notifyCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "notify", Short: "Who was told of what, and why somebody was not"}
	cmd.AddCommand(notifyHistory(o), notifyWhy(o))
	return cmd
}

func notifyHistory(o *options) *cobra.Command {
	var ticket uint64
	var to, event string
	var limit int
	cmd := &cobra.Command{
		Use:   "history",
		Short: "List decisions about who hears of what, the latest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			q := listQuery(limit, map[string]string{"to": to, "event": event})
			if ticket != 0 {
				q.Set("ticket", strconv.FormatUint(ticket, 10))
			}
			var list struct {
				Items []toldJSON
				Next  *string
			}
			raw, err := c.get(cmd.Context(), "/notifications", q, &list)
			if err != nil {
				return err
			}
			if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printTold(w, list.Items) }); err != nil {
				return err
			}
			switch {
			case len(list.Items) == 0 && list.Next == nil:
				return exitWith(exitNotFound, "nothing was decided that fits")
			case list.Next != nil && o.output == "table":
				fmt.Fprintln(cmd.OutOrStdout(), "there is more (--limit shows more)")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&ticket, "ticket", 0, "only about this ticket")
	flags.StringVar(&to, "to", "", "only about the person of this address")
	flags.StringVar(&event, "event", "", "only of this event: ticket_created public_message internal_message third_party delivery_failed …")
	flags.IntVar(&limit, "limit", 50, "at most this many (100 is the most)")
	return cmd
}

func printTold(w io.Writer, list []toldJSON) {
	fmt.Fprintln(w, "AT\tTICKET\tEVENT\tMAIL\tTO\tROLE\tSTATE\tREASON")
	for _, x := range list {
		ticket := "–"
		if x.Ticket != nil {
			ticket = fmt.Sprintf("#%d", *x.Ticket)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", clockTime(x.At), ticket, x.Event, x.Template, x.Recipient, x.Role, x.State, orWord(deref(x.Reason), "–"))
	}
}

func clockTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func notifyWhy(o *options) *cobra.Command {
	var ticket uint64
	var to, event string
	cmd := &cobra.Command{
		Use:   "why --ticket N --to ADDR",
		Short: "Say why somebody heard of a ticket's latest event, or did not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			q := url.Values{"ticket": {strconv.FormatUint(ticket, 10)}, "to": {to}}
			if event != "" {
				q.Set("event", event)
			}
			var v verdictJSON
			raw, err := c.get(cmd.Context(), "/notifications/why", q, &v)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printVerdict(w, v) })
		},
	}
	flags := cmd.Flags()
	flags.Uint64Var(&ticket, "ticket", 0, "number of the ticket")
	flags.StringVar(&to, "to", "", "address of the person")
	flags.StringVar(&event, "event", "", "ask about the latest of this kind, such as public_message")
	cmd.MarkFlagRequired("ticket")
	cmd.MarkFlagRequired("to")
	return cmd
}

// printVerdict writes a line with the verdict and one with the steps to it.
func printVerdict(w io.Writer, v verdictJSON) {
	line := verdictWord(v.State)
	if v.At != nil {
		line += "  " + clockTime(*v.At)
	}
	line += "  " + orWord(deref(v.Event), "nothing")
	if v.Notification != nil {
		line += " → " + v.Notification.Role
	}
	fmt.Fprintln(w, line)
	steps := make([]string, len(v.Checks))
	for i, c := range v.Checks {
		steps[i] = "✗ " + c.Text
		if c.OK {
			steps[i] = "✓ " + c.Text
		}
	}
	fmt.Fprintln(w, "  "+strings.Join(steps, "   "))
	if v.Basis == "present" {
		fmt.Fprintf(w, "  nothing was decided about %s for this; judged by what holds now\n", v.To)
	}
	for _, x := range v.Earlier {
		fmt.Fprintf(w, "before: %s  %s  %s → %s%s\n", verdictWord(x.State), clockTime(x.At), x.Event, x.Role, prefixed(": ", deref(x.Reason)))
	}
}

func verdictWord(state string) string {
	if state == "suppressed" {
		return "NOT SENT"
	}
	return strings.ToUpper(state)
}
