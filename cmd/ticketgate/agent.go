package main

import (
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func agentCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "agent", Short: "Agents' access by mail programs"}
	cmd.AddCommand(agentList(o), appPasswordCommand(o), appPasswordsCommand(o))
	return cmd
}

func appPasswords(agent string) string { return "/agents/" + url.PathEscape(agent) + "/app-passwords" }

func appPasswordCommand(o *options) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "app-password AGENT",
		Short: "Make a password for an agent's mail program and show it once",
		Long:  "The mail program logs in with the agent's id, or one of his addresses, and this password. It serves to hand in mail, and for nothing else.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var made struct{ Password string }
			raw, err := c.send(cmd.Context(), http.MethodPost, appPasswords(args[0]), map[string]string{"name": name}, &made)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { fmt.Fprintln(w, made.Password) })
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "where it is used, for your own memory")
	return cmd
}

func appPasswordsCommand(o *options) *cobra.Command {
	var revoke string
	cmd := &cobra.Command{
		Use:   "app-passwords AGENT",
		Short: "List an agent's app passwords, or revoke one",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			if revoke != "" {
				_, err := c.send(cmd.Context(), http.MethodDelete, appPasswords(args[0])+"/"+url.PathEscape(revoke), nil, nil)
				return err
			}
			var list struct {
				Items []struct {
					ID, Name  string
					CreatedAt time.Time `json:"created_at"`
				}
			}
			raw, err := c.get(cmd.Context(), appPasswords(args[0]), nil, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				for _, p := range list.Items {
					fmt.Fprintf(w, "%s\t%s\t%s\n", p.ID, p.CreatedAt.Format(time.DateOnly), p.Name)
				}
			})
		},
	}
	cmd.Flags().StringVar(&revoke, "revoke", "", "the id of the one that shall stop working")
	return cmd
}
