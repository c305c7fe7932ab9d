package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

type parcelJSON struct {
	ID        string
	Class     string
	State     string
	Recipient string
	Ticket    uint64
	Attempts  int
	NextAt    *time.Time `json:"next_at"`
	Age       float64    `json:"age_seconds"`
	Size      int64      `json:"size"`
	Why       string     `json:"why"`
	Last      *struct {
		Code     int
		Enhanced string
		Text     string
	}
}

func (p parcelJSON) lastAnswer() string {
	if p.Last == nil {
		return "–"
	}
	if p.Last.Code == 0 {
		return p.Last.Text
	}
	return fmt.Sprintf("%d %s %s", p.Last.Code, p.Last.Enhanced, p.Last.Text)
}

func outboundCommand(o *options, use string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Aliases: []string{"mailq"}, Short: "Look at and steer the outbound queue"}
	cmd.AddCommand(outboundList(o), outboundShow(o))
	for verb, short := range map[string]string{
		"retry":   "Try a mail now",
		"hold":    "Keep a mail back until it is released",
		"release": "Let a held mail go",
		"drop":    "Take a mail out of the queue for good",
	} {
		cmd.AddCommand(outboundVerb(o, verb, short))
	}
	return cmd
}

func outboundList(o *options) *cobra.Command {
	var state, to, class string
	var ticket uint64
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List mail that is waiting, and what for",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			q := listQuery(limit, map[string]string{"state": state, "to": to, "class": class})
			if ticket != 0 {
				q.Set("ticket", strconv.FormatUint(ticket, 10))
			}
			var list struct{ Items []parcelJSON }
			raw, err := c.get(cmd.Context(), "/outbound", q, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "ID\tCLASS\tSTATE\tAGE\tTRIES\tTO\tTICKET\tLAST ANSWER")
				for _, p := range list.Items {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t#%d\t%s\n", p.ID, p.Class, p.State,
						ago(time.Duration(p.Age*float64(time.Second))), p.Attempts, p.Recipient, p.Ticket, p.lastAnswer())
				}
			})
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only this state: ready active deferred scheduled held")
	cmd.Flags().StringVar(&to, "to", "", "only to this address or @domain")
	cmd.Flags().StringVar(&class, "class", "", "only this class: reply notification autoack bulk dsn relay")
	cmd.Flags().Uint64Var(&ticket, "ticket", 0, "only about this ticket")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many (100 is the most)")
	return cmd
}

func outboundShow(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one waiting mail and what it waits for",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var p parcelJSON
			raw, err := c.get(cmd.Context(), "/outbound/"+url.PathEscape(args[0]), nil, &p)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printParcel(w, p) })
		},
	}
}

func printParcel(w *tabwriter.Writer, p parcelJSON) {
	fmt.Fprintf(w, "%s\t%s to %s, ticket #%d\n", p.ID, p.Class, p.Recipient, p.Ticket)
	fmt.Fprintf(w, "state\t%s after %d tries, %s old\n", p.State, p.Attempts, ago(time.Duration(p.Age*float64(time.Second))))
	if p.NextAt != nil {
		fmt.Fprintf(w, "next try\t%s\n", p.NextAt.Local().Format(time.RFC3339))
	}
	fmt.Fprintf(w, "last answer\t%s\n", p.lastAnswer())
	if p.Why != "" {
		fmt.Fprintf(w, "why\t%s\n", p.Why)
	}
}

func outboundVerb(o *options, verb, short string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   verb + " ID…",
		Short: short,
		Args:  cobra.MinimumNArgs(1), // an empty selection never means all
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			for _, id := range args {
				var p parcelJSON
				raw, err := c.send(cmd.Context(), http.MethodPost, "/outbound/"+url.PathEscape(id)+"/"+verb, map[string]string{"reason": reason}, &p)
				if err != nil {
					return err
				}
				if len(raw) == 0 {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: %s done\n", id, verb)
					continue
				}
				if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printParcel(w, p) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "kept with the mail and shown to others")
	return cmd
}
