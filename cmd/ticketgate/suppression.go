package main

import (
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

type suppressionJSON struct {
	Address string
	Queue   *string
	By      *string
	Reason  string
	Since   time.Time
	Until   *time.Time
}

func suppressionCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "suppression", Short: "Addresses that get no mail"}
	cmd.AddCommand(suppressionList(o), suppressionAdd(o), suppressionRemove(o))
	return cmd
}

func suppressionList(o *options) *cobra.Command {
	var address, queue string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List suppressed addresses, and why each is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var list struct {
				Items []suppressionJSON
				Next  *string
			}
			raw, err := c.get(cmd.Context(), "/suppressions", listQuery(limit, map[string]string{"address": address, "queue": queue}), &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "ADDRESS\tQUEUE\tSINCE\tUNTIL\tBY\tREASON")
				for _, s := range list.Items {
					until := "removed"
					if s.Until != nil {
						until = s.Until.Local().Format("2006-01-02")
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Address, orWord(deref(s.Queue), "all"), s.Since.Local().Format("2006-01-02"), until,
						orWord(deref(s.By), "its server"), s.Reason)
				}
				if list.Next != nil {
					fmt.Fprintln(w, "there are more: raise --limit, or select with --address @domain")
				}
			})
		},
	}
	cmd.Flags().StringVar(&address, "address", "", "only this address or @domain")
	cmd.Flags().StringVar(&queue, "queue", "", "only those of this queue")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many (100 is the most)")
	return cmd
}

func suppressionAdd(o *options) *cobra.Command {
	var queue, reason, span string
	cmd := &cobra.Command{
		Use:   "add ADDRESS --reason R",
		Short: "Keep mail from an address; replies of agents are held, other mail ends with a note on the ticket",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			body := map[string]string{"address": args[0], "reason": reason}
			for name, v := range map[string]string{"queue": queue, "for": span} {
				if v != "" {
					body[name] = v
				}
			}
			var s suppressionJSON
			raw, err := c.send(cmd.Context(), http.MethodPost, "/suppressions", body, &s)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { fmt.Fprintf(w, "%s gets no mail any more\n", s.Address) })
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "only mail of this queue")
	cmd.Flags().StringVar(&reason, "reason", "", "shown with each mail that is not sent")
	cmd.Flags().StringVar(&span, "for", "", "how long, such as 30d; not said: until it is removed")
	cmd.MarkFlagRequired("reason")
	return cmd
}

func suppressionRemove(o *options) *cobra.Command {
	var queue string
	cmd := &cobra.Command{
		Use:   "remove ADDRESS",
		Short: "Let an address have mail again; what was held for it goes",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			query := url.Values{}
			if queue != "" {
				query.Set("queue", queue)
			}
			if _, err := c.call(cmd.Context(), http.MethodDelete, "/suppressions/"+url.PathEscape(args[0]), query, "", nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s gets mail again\n", args[0])
			return nil
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "the entry for this queue only")
	return cmd
}
