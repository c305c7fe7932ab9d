package main

import (
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func optoutCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "optout", Short: "Who wants no mail that nobody writes to him"}
	var limit int
	list := &cobra.Command{
		Use:   "list",
		Short: "List opt-outs and how each came about",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var list struct {
				Items []struct {
					Address, Reason, By string
					Since               time.Time
					Ticket              *uint64
				}
			}
			raw, err := c.get(cmd.Context(), "/opt-outs", listQuery(limit, nil), &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "ADDRESS\tSINCE\tREASON\tBY\tTICKET")
				for _, x := range list.Items {
					ticket := "–"
					if x.Ticket != nil {
						ticket = fmt.Sprintf("#%d", *x.Ticket)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", x.Address, x.Since.Local().Format("2006-01-02 15:04"), x.Reason, x.By, ticket)
				}
			})
		},
	}
	list.Flags().IntVar(&limit, "limit", 50, "at most this many (100 is the most)")
	cmd.AddCommand(list, optoutVerb(o, "add", "Opt an address out", "is opted out", func(cmd *cobra.Command, c *client, address string) error {
		_, err := c.send(cmd.Context(), http.MethodPost, "/opt-outs", map[string]string{"address": address}, nil)
		return err
	}), optoutVerb(o, "remove", "Take an opt-out back, because the person has asked for it", "is opted out no more", func(cmd *cobra.Command, c *client, address string) error {
		_, err := c.send(cmd.Context(), http.MethodDelete, "/opt-outs/"+url.PathEscape(address), nil, nil)
		return err
	}))
	return cmd
}

func optoutVerb(o *options, verb, short, done string, do func(*cobra.Command, *client, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " ADDRESS",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			if err := do(cmd, c, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], done)
			return nil
		},
	}
}
