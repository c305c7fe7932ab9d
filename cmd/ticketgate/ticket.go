package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// ticketJSON and messageJSON are the fields the tables show; the shapes are
// the API's.
type ticketJSON struct {
	Number    uint64 `json:"number"`
	Queue     string `json:"queue"`
	Subject   string `json:"subject"`
	Status    string `json:"status"`
	Priority  string `json:"priority"`
	Assignee  *string
	Requester struct{ Address, Name string }
	CCs       []struct{ Address, Name string }
	Followers []struct{ Agent string }
	Flags     []string
	Messages  int       `json:"message_count"`
	Updated   time.Time `json:"updated_at"`
}

type messageJSON struct {
	ID         string
	Kind       string
	Visibility string
	Author     struct{ Address, Name, Role string }
	Flags      []string
	Visible    string    `json:"visible_text"`
	Received   time.Time `json:"received_at"`
	Deliveries []struct {
		Recipient string
		State     string
		Attempts  int
		Last      *struct {
			Code int
			Text string
		}
	}
	Attachments []struct {
		Filename string
		Size     int64
	}
}

func ticketCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "ticket", Short: "List, read and answer tickets"}
	cmd.AddCommand(ticketList(o), ticketShow(o), ticketPost(o, "reply"), ticketPost(o, "note"), ticketFollow(o))
	cmd.AddCommand(participantCommands(o)...)
	cmd.AddCommand(operationCommands(o)...)
	return cmd
}

func ticketList(o *options) *cobra.Command {
	var queue, status, requester, assignee string
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List tickets, last changed first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			q := listQuery(limit, map[string]string{"queue": queue, "status": status, "requester": requester, "assignee": assignee})
			var list struct {
				Items []ticketJSON
				Next  *string
			}
			raw, err := c.get(cmd.Context(), "/tickets", q, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "NUMBER\tQUEUE\tSTATUS\tPRIORITY\tASSIGNEE\tREQUESTER\tMSGS\tCHANGED\tSUBJECT")
				for _, t := range list.Items {
					fmt.Fprintf(w, "#%d\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", t.Number, t.Queue, t.Status, t.Priority,
						orDash(t.Assignee), t.Requester.Address, t.Messages, t.Updated.Local().Format("2006-01-02 15:04"), t.Subject)
				}
				if list.Next != nil {
					fmt.Fprintf(w, "… more; raise --limit\n")
				}
			})
		},
	}
	cmd.Flags().StringVar(&queue, "queue", "", "only this queue")
	cmd.Flags().StringVar(&status, "status", "", "only these (comma list)")
	cmd.Flags().StringVar(&requester, "requester", "", "only this address")
	cmd.Flags().StringVar(&assignee, "assignee", "", "only this agent")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many (100 is the most)")
	return cmd
}

func ticketShow(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show a ticket and its messages",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			c, err := o.dial()
			if err != nil {
				return err
			}
			var t ticketJSON
			raw, err := c.get(cmd.Context(), "/tickets/"+number, nil, &t)
			if err != nil || o.output == "json" {
				if err == nil {
					err = o.show(cmd.OutOrStdout(), raw, nil)
				}
				return err
			}
			var list struct{ Items []messageJSON }
			if _, err := c.get(cmd.Context(), "/tickets/"+number+"/messages", url.Values{"limit": {"100"}}, &list); err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), nil, func(w *tabwriter.Writer) { printTicket(w, t, list.Items) })
		},
	}
}

func printTicket(w io.Writer, t ticketJSON, messages []messageJSON) {
	fmt.Fprintf(w, "#%d  %s\n", t.Number, t.Subject)
	fmt.Fprintf(w, "%s · %s · %s · assignee %s%s\n", t.Queue, t.Status, t.Priority, orDash(t.Assignee), flags(t.Flags))
	fmt.Fprintf(w, "requester  %s <%s>\n", t.Requester.Name, t.Requester.Address)
	for _, c := range t.CCs {
		fmt.Fprintf(w, "cc         %s <%s>\n", c.Name, c.Address)
	}
	for _, f := range t.Followers {
		fmt.Fprintf(w, "follower   %s\n", f.Agent)
	}
	for _, m := range messages {
		who := m.Author.Name
		if who == "" {
			who = m.Author.Address
		}
		fmt.Fprintf(w, "\n── %s · %s · %s (%s) · %s%s\n", m.Received.Local().Format("2006-01-02 15:04:05"), m.Visibility, who, m.Author.Role, m.ID, flags(m.Flags))
		fmt.Fprintln(w, strings.TrimSpace(m.Visible))
		for _, a := range m.Attachments {
			fmt.Fprintf(w, "  + %s (%d bytes)\n", a.Filename, a.Size)
		}
		for _, d := range m.Deliveries {
			fmt.Fprintf(w, "  → %s: %s after %d tries", d.Recipient, d.State, d.Attempts)
			if d.Last != nil && d.Last.Code != 0 {
				fmt.Fprintf(w, ", last answer %d %s", d.Last.Code, d.Last.Text)
			}
			fmt.Fprintln(w)
		}
	}
}

func ticketPost(o *options, verb string) *cobra.Command {
	visibility, short := "public", "Answer a ticket: mailed to requester and CCs"
	if verb == "note" {
		visibility, short = "internal", "Add an internal note to a ticket"
	}
	var text, as, status, after string
	cmd := &cobra.Command{
		Use:   verb + " NUMBER",
		Short: short + " (text from --text or standard input)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			if text == "" {
				b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4<<20))
				if err != nil {
					return exitWith(exitFailed, "reading standard input: %v", err)
				}
				text = string(b)
			}
			if strings.TrimSpace(text) == "" {
				return exitWith(exitUsage, "nothing to say: give --text or write to standard input")
			}
			c, err := o.dial()
			if err != nil {
				return err
			}
			c.agent = as
			body := map[string]any{"visibility": visibility, "text": text}
			if status != "" {
				body["status"] = status
			}
			if after != "" {
				body["after_message"] = after
			}
			var m messageJSON
			raw, err := c.send(cmd.Context(), http.MethodPost, "/tickets/"+number+"/messages", body, &m)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "%s added to ticket #%s (%s)\n", m.ID, number, m.Visibility)
			})
		},
	}
	cmd.Flags().StringVar(&text, "text", "", "the text")
	cmd.Flags().StringVar(&as, "as", "", "the agent who writes")
	cmd.Flags().StringVar(&status, "status", "", "set this status too")
	cmd.Flags().StringVar(&after, "after", "", "refuse if there are messages newer than this one")
	return cmd
}

func ticketFollow(o *options) *cobra.Command {
	var stop bool
	cmd := &cobra.Command{
		Use:   "follow NUMBER AGENT",
		Short: "Make an agent a follower of a ticket, or end it with --stop",
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
			method := http.MethodPut
			if stop {
				method = http.MethodDelete
			}
			var t ticketJSON
			raw, err := c.send(cmd.Context(), method, "/tickets/"+number+"/followers/"+url.PathEscape(args[1]), nil, &t)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				names := make([]string, len(t.Followers))
				for i, f := range t.Followers {
					names[i] = f.Agent
				}
				fmt.Fprintf(w, "followers of #%s: %s\n", number, orNone(strings.Join(names, ", ")))
			})
		},
	}
	cmd.Flags().BoolVar(&stop, "stop", false, "stop following")
	return cmd
}

func ticketNumber(arg string) (string, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(arg, "#"), 10, 64)
	if err != nil {
		return "", exitWith(exitUsage, "%q is no ticket number", arg)
	}
	return strconv.FormatUint(n, 10), nil
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "–"
	}
	return *s
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func flags(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return " · " + strings.Join(list, ", ")
}
