package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// participantCommands decide about third parties and about who sees what.
func participantCommands(o *options) []*cobra.Command {
	return []*cobra.Command{
		ticketDecide(o, "accept", "Let a third party in: its message becomes public, its author a CC who hears what was said"),
		ticketDecide(o, "refuse", "Leave a third party outside: its message stays internal"),
		ticketConceal(o), ticketCC(o),
	}
}

func ticketDecide(o *options, verb, short string) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   verb + " NUMBER MESSAGE",
		Short: short,
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			c, err := o.dial()
			if err != nil {
				return err
			}
			c.agent = as
			var t ticketJSON
			raw, err := c.send(cmd.Context(), http.MethodPost, "/tickets/"+number+"/participants/"+verb, map[string]string{"message": args[1]}, &t)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printCCs(w, number, t) })
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "the agent who decides")
	return cmd
}

func printCCs(w *tabwriter.Writer, number string, t ticketJSON) {
	names := make([]string, len(t.CCs))
	for i, c := range t.CCs {
		names[i] = c.Address
	}
	fmt.Fprintf(w, "CCs of #%s: %s%s\n", number, orNone(strings.Join(names, ", ")), flags(t.Flags))
}

// ticketConceal changes who sees a message.
func ticketConceal(o *options) *cobra.Command {
	var as string
	var public bool
	cmd := &cobra.Command{
		Use:   "conceal MESSAGE",
		Short: "Make a public message internal and list who has it already; --public undoes it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			c.agent = as
			visibility := "internal"
			if public {
				visibility = "public"
			}
			var m struct {
				messageJSON
				Received []struct {
					Address, How string
					State        *string
				} `json:"received_by"`
			}
			raw, err := c.send(cmd.Context(), http.MethodPatch, "/messages/"+url.PathEscape(args[0]), map[string]string{"visibility": visibility}, &m)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "%s is %s\n", args[0], m.Visibility)
				for _, r := range m.Received {
					fmt.Fprintf(w, "%s\t%s\t%s\n", r.Address, r.How, orDash(r.State))
				}
			})
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "the agent who changes it")
	cmd.Flags().BoolVar(&public, "public", false, "make what a customer wrote public again")
	return cmd
}

func ticketCC(o *options) *cobra.Command {
	var as string
	var remove bool
	cmd := &cobra.Command{
		Use:   "cc NUMBER ADDRESS",
		Short: "Make somebody a CC of a ticket; he is mailed what was said. --remove undoes it",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			c, err := o.dial()
			if err != nil {
				return err
			}
			c.agent = as
			method := http.MethodPut
			if remove {
				method = http.MethodDelete
			}
			var t ticketJSON
			raw, err := c.send(cmd.Context(), method, "/tickets/"+number+"/ccs/"+url.PathEscape(args[1]), nil, &t)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printCCs(w, number, t) })
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "the agent who does it")
	cmd.Flags().BoolVar(&remove, "remove", false, "remove him")
	return cmd
}
