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

// heldJSON are the fields the tables show of a held mail.
type heldJSON struct {
	ID        string
	Reason    string
	Detail    *string
	State     string
	Queue     string
	Recipient string
	Receipt   string
	From      string
	Subject   string
	RawSize   int64      `json:"raw_size"`
	Received  time.Time  `json:"received_at"`
	Expires   time.Time  `json:"expires_at"`
	SettledAt *time.Time `json:"settled_at"`
	SettledBy *string    `json:"settled_by"`
	Ticket    *uint64
	Message   *string
	Envelope  *struct {
		From     string
		RemoteIP *string `json:"remote_ip"`
		HELO     *string
	}
}

func heldCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "held", Short: "Look at mail that was put on no ticket, and decide about it"}
	cmd.AddCommand(
		heldList(o), heldShow(o), heldAttach(o),
		heldVerb(o, "release", "File held mail as if it had just been accepted"),
		heldVerb(o, "discard", "Say that held mail is of no use; it is gone when it expires"),
	)
	return cmd
}

func heldList(o *options) *cobra.Command {
	var reason, queue, state string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List held mail, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			q := listQuery(limit, map[string]string{"reason": reason, "queue": queue, "state": state})
			var list struct {
				Items []heldJSON
				Next  *string
			}
			raw, err := c.get(cmd.Context(), "/held", q, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "ID\tREASON\tQUEUE\tRECEIVED\tEXPIRES\tFROM\tSUBJECT")
				for _, h := range list.Items {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, h.Reason, h.Queue,
						h.Received.Local().Format("2006-01-02 15:04"), h.Expires.Local().Format("2006-01-02"), orDash(&h.From), h.Subject)
				}
				if list.Next != nil {
					fmt.Fprintln(w, "… more; raise --limit")
				}
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "only this reason, such as loop or failed_authentication")
	cmd.Flags().StringVar(&queue, "queue", "", "only this queue")
	cmd.Flags().StringVar(&state, "state", "", "held (the default), released, attached or discarded")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many (100 is the most)")
	return cmd
}

func heldShow(o *options) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a held mail, or with --raw its exact bytes",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			path := "/held/" + url.PathEscape(args[0])
			if raw {
				b, err := c.call(cmd.Context(), http.MethodGet, path+"/raw", nil, "", nil)
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(b)
				return err
			}
			var h heldJSON
			body, err := c.get(cmd.Context(), path, nil, &h)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), body, func(w *tabwriter.Writer) { printHeld(w, h) })
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the mail itself, byte for byte")
	return cmd
}

func printHeld(w *tabwriter.Writer, h heldJSON) {
	reason := h.Reason
	if h.Detail != nil {
		reason += " (" + *h.Detail + ")"
	}
	fmt.Fprintf(w, "%s\t%s for %s, %d bytes\n", h.ID, h.State, h.Queue, h.RawSize)
	fmt.Fprintf(w, "reason\t%s\n", reason)
	fmt.Fprintf(w, "from\t%s\n", orDash(&h.From))
	fmt.Fprintf(w, "to\t%s\n", h.Recipient)
	fmt.Fprintf(w, "subject\t%s\n", h.Subject)
	if e := h.Envelope; e != nil {
		fmt.Fprintf(w, "came from\t%s, HELO %s, envelope <%s>\n", orDash(e.RemoteIP), orDash(e.HELO), e.From)
	}
	fmt.Fprintf(w, "received\t%s, receipt %s\n", h.Received.Local().Format(time.RFC3339), h.Receipt)
	fmt.Fprintf(w, "expires\t%s\n", h.Expires.Local().Format(time.RFC3339))
	if h.SettledAt != nil {
		fmt.Fprintf(w, "%s\t%s by %s\n", h.State, h.SettledAt.Local().Format(time.RFC3339), orDash(h.SettledBy))
	}
	if h.Ticket != nil {
		fmt.Fprintf(w, "ticket\t#%d, %s\n", *h.Ticket, orDash(h.Message))
	}
}

func heldVerb(o *options, verb, short string) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   verb + " ID…",
		Short: short,
		Args:  cobra.MinimumNArgs(1), // an empty selection never means all
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, id := range args {
				if err := o.decideHeld(cmd, as, id, verb, nil); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "the agent who decides")
	return cmd
}

func heldAttach(o *options) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "attach ID TICKET",
		Short: "Put a held mail on a ticket, internally, as a third party's",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[1])
			if err != nil {
				return err
			}
			n, err := strconv.ParseUint(number, 10, 64)
			if err != nil {
				return exitWith(exitUsage, "%q is no ticket number", args[1])
			}
			return o.decideHeld(cmd, as, args[0], "attach", map[string]any{"ticket": n})
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "the agent who decides")
	return cmd
}

func (o *options) decideHeld(cmd *cobra.Command, as, id, verb string, body any) error {
	c, err := o.dial()
	if err != nil {
		return err
	}
	c.agent = as
	var h heldJSON
	raw, err := c.send(cmd.Context(), http.MethodPost, "/held/"+url.PathEscape(id)+"/"+verb, body, &h)
	if err != nil {
		return err
	}
	return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
		fmt.Fprintf(w, "%s %s", h.ID, h.State)
		if h.Ticket != nil {
			fmt.Fprintf(w, ", on ticket #%d", *h.Ticket)
		}
		fmt.Fprintln(w)
	})
}
