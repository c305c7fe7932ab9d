package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func contactAdd(o *options) *cobra.Command {
	var name string
	cmd := &cobra.Command{Use: "add ADDRESS…", Short: "Make a contact of addresses nobody is known under", Args: cobra.MinimumNArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		var shown contactJSON
		raw, err := c.send(cmd.Context(), http.MethodPost, "/contacts", map[string]any{"name": name, "addresses": args}, &shown)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printContact(w, shown) })
	}}
	cmd.Flags().StringVar(&name, "name", "", "his name")
	return cmd
}

// agentList and queueCommand show staff and queues as the file configures them.
func agentList(o *options) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List agents and the queues they serve", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		var list struct {
			Items []struct {
				ID, Name, Role    string
				Addresses, Queues []string
			}
		}
		raw, err := c.get(cmd.Context(), "/agents", nil, &list)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "AGENT\tNAME\tROLE\tQUEUES\tADDRESSES")
			for _, a := range list.Items {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.ID, a.Name, a.Role, strings.Join(a.Queues, ", "), strings.Join(a.Addresses, ", "))
			}
		})
	}}
}

type queueJSON struct {
	ID, Name, Address, CC string
	Agents                []string
}

func queueCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "queue", Short: "Ticket queues, as the file configures them"}
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "List queues and who serves them", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		var list struct{ Items []queueJSON }
		raw, err := c.get(cmd.Context(), "/queues", nil, &list)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printQueues(w, list.Items) })
	}}, &cobra.Command{Use: "show QUEUE", Short: "Show a queue", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		var q queueJSON
		raw, err := c.get(cmd.Context(), "/queues/"+url.PathEscape(args[0]), nil, &q)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printQueues(w, []queueJSON{q}) })
	}})
	return cmd
}

func printQueues(w *tabwriter.Writer, list []queueJSON) {
	fmt.Fprintln(w, "QUEUE\tNAME\tADDRESS\tCC\tAGENTS")
	for _, q := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", q.ID, q.Name, q.Address, q.CC, strings.Join(q.Agents, ", "))
	}
}
