package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// operationCommands change tickets, join and part them, and keep what has to be
// done for them.
func operationCommands(o *options) []*cobra.Command {
	return []*cobra.Command{
		ticketCreate(o), ticketAssign(o), ticketSet(o), ticketMerge(o), ticketSplit(o), ticketLink(o),
		ticketTask(o), ticketTime(o), ticketPresence(o),
	}
}

// ask sends one request about tickets and shows the answer.
func (o *options) ask(cmd *cobra.Command, as, method, path string, in, out any, table func(*tabwriter.Writer)) error {
	c, err := o.dial()
	if err != nil {
		return err
	}
	c.agent = as
	raw, err := c.send(cmd.Context(), method, path, in, out)
	if err != nil {
		return err
	}
	return o.show(cmd.OutOrStdout(), raw, table)
}

// actingAs adds the flag that says on whose behalf a command runs.
func actingAs(cmd *cobra.Command, as *string) *cobra.Command {
	cmd.Flags().StringVar(as, "as", "", "the agent who does it")
	return cmd
}

func summary(w io.Writer, t ticketJSON) {
	fmt.Fprintf(w, "#%d  %s · %s · %s · assignee %s · %s\n", t.Number, t.Queue, t.Status, t.Priority, orDash(t.Assignee), t.Subject)
}

func ticketCreate(o *options) *cobra.Command {
	var as, queue, requester, subject, text, priority, assignee string
	var linked uint64
	var ccs, tags []string
	var note bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Open a ticket; its first message is mailed to requester and CCs, or stays inside with --note",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if text == "" {
				b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4<<20))
				if err != nil {
					return exitWith(exitFailed, "reading standard input: %v", err)
				}
				text = string(b)
			}
			visibility := "public"
			if note {
				visibility = "internal"
			}
			body := map[string]any{"queue": queue, "subject": subject, "message": map[string]any{"visibility": visibility, "text": text}}
			switch {
			case requester != "":
				body["requester"] = map[string]string{"address": requester}
			case linked != 0:
				body["copy_requester"] = true
			default:
				return exitWith(exitUsage, "say for whom: --requester, or --linked-to to take that ticket's")
			}
			for name, v := range map[string]string{"priority": priority, "assignee": assignee} {
				if v != "" {
					body[name] = v
				}
			}
			if linked != 0 {
				body["linked_to"] = linked
			}
			if len(tags) > 0 {
				body["tags"] = tags
			}
			var list []map[string]string
			for _, cc := range ccs {
				list = append(list, map[string]string{"address": cc})
			}
			if list != nil {
				body["ccs"] = list
			}
			var t ticketJSON
			return o.ask(cmd, as, http.MethodPost, "/tickets", body, &t, func(w *tabwriter.Writer) { summary(w, t) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&queue, "queue", "", "the queue it is for")
	f.StringVar(&requester, "requester", "", "for whom: an address")
	f.StringVar(&subject, "subject", "", "what it is about")
	f.StringVar(&text, "text", "", "its first message; else standard input")
	f.StringVar(&priority, "priority", "", "low, normal, high or urgent")
	f.StringVar(&assignee, "assignee", "", "an agent")
	f.StringSliceVar(&ccs, "cc", nil, "addresses")
	f.StringSliceVar(&tags, "tag", nil, "tags")
	f.Uint64Var(&linked, "linked-to", 0, "tie it to this ticket, and take its requester unless --requester is given")
	f.BoolVar(&note, "note", false, "the first message stays inside")
	return actingAs(cmd, &as)
}

func ticketAssign(o *options) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "assign NUMBER AGENT|nobody",
		Short: "Make an agent a ticket's assignee",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			var who any
			if args[1] != "nobody" {
				who = args[1]
			}
			var t ticketJSON
			return o.ask(cmd, as, http.MethodPatch, "/tickets/"+number, map[string]any{"assignee": who}, &t, func(w *tabwriter.Writer) { summary(w, t) })
		},
	}
	return actingAs(cmd, &as)
}

func ticketSet(o *options) *cobra.Command {
	var as, tag, snooze, due string
	fields := map[string]*string{"status": new(string), "priority": new(string), "category": new(string), "queue": new(string), "subject": new(string)}
	cmd := &cobra.Command{
		Use:   "set NUMBER",
		Short: "Change fields of a ticket",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			body := map[string]any{}
			for name, v := range fields {
				if cmd.Flags().Changed(name) {
					body[name] = *v
				}
			}
			for name, v := range map[string]string{"snoozed_until": snooze, "due_at": due} {
				if v == "" {
					continue
				}
				if body[name], err = moment(v, time.Now()); err != nil {
					return err
				}
			}
			if tag != "" {
				var now struct{ Tags []string }
				c, err := o.dial()
				if err != nil {
					return err
				}
				if _, err := c.get(cmd.Context(), "/tickets/"+number, nil, &now); err != nil {
					return err
				}
				body["tags"] = tagged(now.Tags, tag)
			}
			if len(body) == 0 {
				return exitWith(exitUsage, "nothing to set: see ticketgate ticket set --help")
			}
			var t ticketJSON
			return o.ask(cmd, as, http.MethodPatch, "/tickets/"+number, body, &t, func(w *tabwriter.Writer) { summary(w, t) })
		},
	}
	f := cmd.Flags()
	f.StringVar(fields["status"], "status", "", "new, open, pending, on_hold, solved or closed")
	f.StringVar(fields["priority"], "priority", "", "low, normal, high or urgent")
	f.StringVar(fields["category"], "category", "", "a word of your own; empty removes it")
	f.StringVar(fields["queue"], "queue", "", "move it; mail to its old addresses still finds it")
	f.StringVar(fields["subject"], "subject", "", "what it is about")
	f.StringVar(&tag, "tag", "", "tags to add and remove: +vip,-old")
	f.StringVar(&snooze, "snooze", "", "put it aside until a day (2026-12-01), a time (RFC 3339) or for a while (4h, 3d); none ends it")
	f.StringVar(&due, "due", "", "when it is due, in the same words; none removes it")
	return actingAs(cmd, &as)
}

// moment reads a day, a time, a while from now, or none, for JSON.
func moment(s string, now time.Time) (any, error) {
	if s == "none" {
		return nil, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	var n int
	var unit string
	if _, err := fmt.Sscanf(s, "%d%s", &n, &unit); err == nil && n > 0 && n <= 10000 {
		if step := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[unit]; step > 0 {
			return now.Add(time.Duration(n) * step).UTC().Truncate(time.Second), nil
		}
	}
	return nil, exitWith(exitUsage, "%q is no time: say 2026-12-01, 2026-12-01T09:00:00Z, 4h, 3d, 2w or none", s)
}

func tagged(have []string, change string) []string {
	out := []string{}
	gone := map[string]bool{}
	var add []string
	for _, name := range strings.FieldsFunc(change, func(r rune) bool { return r == ',' || r == ' ' }) {
		if rest, ok := strings.CutPrefix(name, "-"); ok {
			gone[rest] = true
			continue
		}
		add = append(add, strings.TrimPrefix(name, "+"))
	}
	for _, tag := range have {
		if !gone[tag] {
			out = append(out, tag)
		}
	}
	return append(out, add...)
}

func ticketMerge(o *options) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "merge NUMBER INTO",
		Short: "Make a ticket part of another; this cannot be undone",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			into, err := ticketNumber(args[1])
			if err != nil {
				return err
			}
			var t ticketJSON
			return o.ask(cmd, as, http.MethodPost, "/tickets/"+number+"/merge", map[string]any{"into": json.Number(into)}, &t, func(w *tabwriter.Writer) {
				fmt.Fprintf(w, "#%s is part of #%d now\n", number, t.Number)
				summary(w, t)
			})
		},
	}
	return actingAs(cmd, &as)
}

func ticketSplit(o *options) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "split NUMBER MESSAGE",
		Short: "Open a ticket with a copy of a message; its author becomes requester",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			var t ticketJSON
			return o.ask(cmd, as, http.MethodPost, "/tickets/"+number+"/split", map[string]string{"message": args[1]}, &t, func(w *tabwriter.Writer) { summary(w, t) })
		},
	}
	return actingAs(cmd, &as)
}

func ticketLink(o *options) *cobra.Command {
	var as string
	var remove bool
	cmd := &cobra.Command{
		Use:   "link NUMBER OTHER",
		Short: "Tie two tickets as related, or part them with --remove",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			other, err := ticketNumber(args[1])
			if err != nil {
				return err
			}
			method := http.MethodPut
			if remove {
				method = http.MethodDelete
			}
			var t struct {
				Links []struct {
					Number uint64
					Kind   string
				}
			}
			return o.ask(cmd, as, method, "/tickets/"+number+"/links/"+other, nil, &t, func(w *tabwriter.Writer) {
				var list []string
				for _, l := range t.Links {
					list = append(list, fmt.Sprintf("#%d (%s)", l.Number, l.Kind))
				}
				fmt.Fprintf(w, "links of #%s: %s\n", number, orNone(strings.Join(list, ", ")))
			})
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "part them")
	return actingAs(cmd, &as)
}

// taskJSON is what the tables show of a task.
type taskJSON struct {
	ID, Subject, Status string
	Ticket              uint64
	Assignee            *string
	Due                 *time.Time `json:"due_at"`
}

func (t taskJSON) print(w io.Writer) {
	due := "–"
	if t.Due != nil {
		due = t.Due.Local().Format("2006-01-02 15:04")
	}
	fmt.Fprintf(w, "%s\t#%d\t%s\t%s\t%s\t%s\n", t.ID, t.Ticket, t.Status, orDash(t.Assignee), due, t.Subject)
}

func ticketTask(o *options) *cobra.Command {
	var as, add, text, assignee, due, done, reopen, of string
	cmd := &cobra.Command{
		Use:   "task [NUMBER]",
		Short: "List a ticket's tasks, or those --of an agent; --add makes one, --done ends one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var t taskJSON
			one := func(w *tabwriter.Writer) { t.print(w) }
			switch {
			case done != "":
				return o.ask(cmd, as, http.MethodPatch, "/tasks/"+url.PathEscape(done), map[string]string{"status": "done"}, &t, one)
			case reopen != "":
				return o.ask(cmd, as, http.MethodPatch, "/tasks/"+url.PathEscape(reopen), map[string]string{"status": "open"}, &t, one)
			case of != "":
				return o.listTasks(cmd, "/tasks", url.Values{"assignee": {of}, "limit": {"100"}})
			case len(args) == 0:
				return exitWith(exitUsage, "name a ticket, or an agent with --of")
			}
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			if add == "" {
				return o.listTasks(cmd, "/tickets/"+number+"/tasks", url.Values{"limit": {"100"}})
			}
			body := map[string]any{"subject": add, "text": text}
			if assignee != "" {
				body["assignee"] = assignee
			}
			if due != "" {
				if body["due_at"], err = moment(due, time.Now()); err != nil {
					return err
				}
			}
			return o.ask(cmd, as, http.MethodPost, "/tickets/"+number+"/tasks", body, &t, one)
		},
	}
	f := cmd.Flags()
	f.StringVar(&add, "add", "", "what is to be done")
	f.StringVar(&text, "text", "", "more about it")
	f.StringVar(&assignee, "assignee", "", "who is to do it")
	f.StringVar(&due, "due", "", "when: 2026-12-01, 4h, 3d, 2w")
	f.StringVar(&done, "done", "", "this task is done")
	f.StringVar(&reopen, "reopen", "", "this task is not done after all")
	f.StringVar(&of, "of", "", "tasks of this agent, on all tickets")
	return actingAs(cmd, &as)
}

func (o *options) listTasks(cmd *cobra.Command, path string, q url.Values) error {
	c, err := o.dial()
	if err != nil {
		return err
	}
	var list struct{ Items []taskJSON }
	raw, err := c.get(cmd.Context(), path, q, &list)
	if err != nil {
		return err
	}
	return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
		fmt.Fprintln(w, "ID\tTICKET\tSTATUS\tASSIGNEE\tDUE\tSUBJECT")
		for _, t := range list.Items {
			t.print(w)
		}
	})
}

func ticketTime(o *options) *cobra.Command {
	var as, note, agent string
	var add time.Duration
	cmd := &cobra.Command{
		Use:   "time NUMBER",
		Short: "List the working time noted on a ticket; --add 25m notes some",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := ticketNumber(args[0])
			if err != nil {
				return err
			}
			type entry struct {
				Agent   string
				Minutes int
				Note    *string
				Created time.Time `json:"created_at"`
			}
			line := func(w io.Writer, e entry) {
				fmt.Fprintf(w, "%s\t%s\t%d min\t%s\n", e.Created.Local().Format("2006-01-02 15:04"), e.Agent, e.Minutes, orDash(e.Note))
			}
			path := "/tickets/" + number + "/time"
			if add != 0 {
				body := map[string]any{"minutes": int(add.Round(time.Minute).Minutes()), "note": note}
				if agent != "" {
					body["agent"] = agent
				}
				var e entry
				return o.ask(cmd, as, http.MethodPost, path, body, &e, func(w *tabwriter.Writer) { line(w, e) })
			}
			c, err := o.dial()
			if err != nil {
				return err
			}
			var list struct {
				Items   []entry
				Minutes int
			}
			raw, err := c.get(cmd.Context(), path, nil, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				for _, e := range list.Items {
					line(w, e)
				}
				fmt.Fprintf(w, "together\t\t%d min\n", list.Minutes)
			})
		},
	}
	cmd.Flags().DurationVar(&add, "add", 0, "working time to note: 25m, 1h30m")
	cmd.Flags().StringVar(&note, "note", "", "what was done")
	cmd.Flags().StringVar(&agent, "agent", "", "whose time, if not that of --as")
	return actingAs(cmd, &as)
}

func ticketPresence(o *options) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "presence NUMBER",
		Short: "See which agents are at a ticket, and what they are writing",
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
			c.agent = as
			var list struct {
				Items []struct {
					Agent, Doing string
					Draft        *string
				}
			}
			raw, err := c.get(cmd.Context(), "/tickets/"+number+"/presence", nil, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				for _, p := range list.Items {
					fmt.Fprintf(w, "%s\t%s\n", p.Agent, p.Doing)
					if p.Draft != nil {
						fmt.Fprintln(w, "  "+strings.ReplaceAll(*p.Draft, "\n", "\n  "))
					}
				}
				if len(list.Items) == 0 {
					fmt.Fprintln(w, "nobody is there")
				}
			})
		},
	}
	return actingAs(cmd, &as)
}
