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

type parcelJSON struct {
	ID        string
	Class     string
	State     string
	From      string
	Recipient string
	Queue     *string
	Ticket    uint64
	Attempts  int
	CreatedAt time.Time  `json:"created_at"`
	NextAt    *time.Time `json:"next_at"`
	Age       float64    `json:"age_seconds"`
	Size      int64      `json:"size"`
	WaitsFor  string     `json:"waits_for"`
	Why       string     `json:"why"`
	Ambiguous bool
	Held      *struct {
		Kind, By, Reason string
		Ref              *string
		Until            *time.Time
	}
	Last *struct {
		Code     int
		Enhanced string
		Text     string
		MX       string
		TLS      string
		At       time.Time
	}
}

// answer is what there is to say in one line: who holds the mail, or what the
// last server said.
func (p parcelJSON) answer() string {
	if p.Held != nil {
		return fmt.Sprintf("held by %s: %s", p.Held.By, p.Held.Reason)
	}
	return p.lastAnswer()
}

func (p parcelJSON) lastAnswer() string {
	if p.Last == nil {
		return "–"
	}
	if p.Last.Code == 0 {
		return p.Last.Text
	}
	return strings.Join(strings.Fields(fmt.Sprintf("%d %s %s", p.Last.Code, p.Last.Enhanced, p.Last.Text)), " ")
}

func (p parcelJSON) next(now time.Time) string {
	switch {
	case p.State == "held" || p.NextAt == nil:
		return "held"
	case p.State == "active":
		return "now"
	case !p.NextAt.After(now):
		return "due"
	}
	return "in " + ago(p.NextAt.Sub(now))
}

func (p parcelJSON) ticket() string {
	if p.Ticket == 0 {
		return "–"
	}
	return "#" + strconv.FormatUint(p.Ticket, 10)
}

// bytesWords is a size as people say it.
func bytesWords(n int64) string {
	switch {
	case n < 1000:
		return strconv.FormatInt(n, 10)
	case n < 1e6:
		return fmt.Sprintf("%dK", (n+500)/1000)
	}
	return fmt.Sprintf("%.1fM", float64(n)/1e6)
}

func outboundCommand(o *options, use string) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: "Look at and steer the outbound queue"}
	cmd.AddCommand(outboundList(o, "list"), outboundShow(o), outboundWhy(o), outboundTop(o), outboundLimits(o),
		outboundPause(o), outboundResume(o), outboundReroute(o), outboundMeasures(o))
	for verb, short := range map[string]string{
		"retry":   "Try mail now",
		"hold":    "Keep mail back until it is released",
		"release": "Let held mail go",
		"drop":    "Take mail out of the queue for good",
	} {
		step := outboundVerb(o, verb, short)
		if verb == "retry" {
			step.Aliases = []string{"flush"} // as other mail servers call it
		}
		cmd.AddCommand(step)
	}
	return cmd
}

// parcelFilter are the words that select mail, the same everywhere.
type parcelFilter struct {
	state, to, class, queue, held, older string
	ticket                               uint64
}

func (f *parcelFilter) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.state, "state", "", "only this state: ready active deferred scheduled held")
	flags.StringVar(&f.to, "to", "", "only to this address or @domain")
	flags.StringVar(&f.class, "class", "", "only this class: reply notification autoack bulk dsn relay")
	flags.StringVar(&f.queue, "queue", "", "only of this queue")
	flags.StringVar(&f.held, "held", "", "only held by this: operator suppressed dkim_key content measure")
	flags.StringVar(&f.older, "older", "", "only at least so old, such as 2h")
	flags.Uint64Var(&f.ticket, "ticket", 0, "only about this ticket")
}

func (f *parcelFilter) words() map[string]string {
	return map[string]string{"state": f.state, "to": f.to, "class": f.class, "queue": f.queue, "held": f.held, "older": f.older}
}

func (f *parcelFilter) empty() bool { return *f == parcelFilter{} }

// body is the selection as the API takes it.
func (f *parcelFilter) body() map[string]any {
	out := map[string]any{}
	for name, v := range f.words() {
		if v != "" {
			out[name] = v
		}
	}
	if f.ticket != 0 {
		out["ticket"] = f.ticket
	}
	return out
}

func outboundList(o *options, use string) *cobra.Command {
	var f parcelFilter
	var limit int
	cmd := &cobra.Command{
		Use:   use,
		Short: "List mail that is waiting, and what for",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			q := listQuery(limit, f.words())
			if f.ticket != 0 {
				q.Set("ticket", strconv.FormatUint(f.ticket, 10))
			}
			var list struct {
				Items []parcelJSON
				Next  *string
			}
			raw, err := c.get(cmd.Context(), "/outbound", q, &list)
			if err != nil {
				return err
			}
			if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printParcels(w, list.Items) }); err != nil || o.output != "table" {
				return err
			}
			var measures struct{ Items []measureJSON }
			if _, err := c.get(cmd.Context(), "/outbound/measures", nil, &measures); err != nil {
				return err
			}
			printFoot(cmd.OutOrStdout(), list.Items, list.Next != nil, measures.Items)
			return nil
		},
	}
	f.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many (100 is the most)")
	return cmd
}

func printParcels(w io.Writer, list []parcelJSON) {
	now := time.Now()
	fmt.Fprintln(w, "ID\tCLASS\tSTATE\tAGE\tSIZE\tTRIES\tNEXT\tTO\tTICKET\tLAST ANSWER")
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", p.ID, p.Class, p.State, ago(seconds(p.Age)),
			bytesWords(p.Size), p.Attempts, p.next(now), p.Recipient, p.ticket(), p.answer())
	}
}

// printFoot sums a list up and names what operators have decided.
func printFoot(w io.Writer, list []parcelJSON, more bool, measures []measureJSON) {
	size, oldest := int64(0), 0.0
	for _, p := range list {
		size += p.Size
		oldest = max(oldest, p.Age)
	}
	line := fmt.Sprintf("%d mails, %sB", len(list), bytesWords(size))
	if more {
		line = "at least " + line + " (--limit shows more)"
	}
	if len(list) > 0 {
		line += " · oldest " + ago(seconds(oldest))
	}
	for _, m := range measures {
		line += "\n" + m.line()
	}
	fmt.Fprintln(w, line)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

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

// outboundWhy is show for people in a hurry.
func outboundWhy(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "why ID…",
		Short: "Say in a sentence what a mail waits for",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			for _, id := range args {
				var p parcelJSON
				raw, err := c.get(cmd.Context(), "/outbound/"+url.PathEscape(id), nil, &p)
				if err != nil {
					return err
				}
				err = o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
					fmt.Fprintf(w, "%s\t%s\t%s\n", p.ID, p.WaitsFor, p.Why)
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func printParcel(w io.Writer, p parcelJSON) {
	fmt.Fprintf(w, "%s\t%s to %s, ticket %s\n", p.ID, p.Class, p.Recipient, p.ticket())
	fmt.Fprintf(w, "from\t%s\n", orWord(p.From, "<> (null)"))
	if p.Queue != nil {
		fmt.Fprintf(w, "queue\t%s\n", *p.Queue)
	}
	fmt.Fprintf(w, "state\t%s after %d tries, %s old, %sB\n", p.State, p.Attempts, ago(seconds(p.Age)), bytesWords(p.Size))
	if p.NextAt != nil {
		fmt.Fprintf(w, "next try\t%s\n", p.NextAt.Local().Format(time.RFC3339))
	}
	fmt.Fprintf(w, "last answer\t%s\n", p.lastAnswer())
	if l := p.Last; l != nil {
		fmt.Fprintf(w, "\tat %s%s\n", l.At.Local().Format(time.RFC3339), prefixed(" from ", l.MX))
		if l.TLS != "" {
			fmt.Fprintf(w, "channel\t%s\n", l.TLS)
		}
	}
	if h := p.Held; h != nil {
		fmt.Fprintf(w, "held\tby %s (%s%s): %s\n", h.By, h.Kind, prefixed(" ", deref(h.Ref)), h.Reason)
	}
	if p.WaitsFor != "" {
		fmt.Fprintf(w, "waits for\t%s\n", p.WaitsFor)
	}
	if p.Why != "" {
		fmt.Fprintf(w, "why\t%s\n", p.Why)
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func orWord(s, word string) string {
	if s == "" {
		return word
	}
	return s
}

// outboundVerb works on named mails, or on all that a selection fits. An empty
// selection never means all.
func outboundVerb(o *options, verb, short string) *cobra.Command {
	var f parcelFilter
	var s sure
	var reason string
	cmd := &cobra.Command{
		Use:   verb + " ID… | SELECTION",
		Short: short,
		Long:  short + ". Name mails by their ids, or select them by the flags; a selection says how many it means with --count N, or --yes for however many there are.",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && f.empty():
				return exitWith(exitUsage, "name mails, or select them: an empty selection never means all mail")
			case len(args) > 0 && !f.empty():
				return exitWith(exitUsage, "name mails or select them, not both")
			}
			c, err := o.dial()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				return o.eachParcel(cmd, c, verb, reason, args)
			}
			return o.bulk(cmd, c, verb, reason, f, s)
		},
	}
	f.flags(cmd)
	s.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "kept with the mail and shown to others")
	return cmd
}

// eachParcel runs a verb on named mails. It goes on after a failure; the exit
// code then says whether anything was done.
func (o *options) eachParcel(cmd *cobra.Command, c *client, verb, reason string, ids []string) error {
	var first error
	failed := 0
	for _, id := range ids {
		var p parcelJSON
		raw, err := c.send(cmd.Context(), http.MethodPost, "/outbound/"+url.PathEscape(id)+"/"+verb, map[string]string{"reason": reason}, &p)
		switch {
		case err != nil:
			failed++
			if first == nil {
				first = err
			}
			if len(ids) > 1 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", id, err)
			}
		case len(raw) == 0:
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s done\n", id, verb)
		default:
			if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printParcel(w, p) }); err != nil {
				return err
			}
		}
	}
	if failed > 0 && failed < len(ids) {
		return exitWith(exitPartial, "%d of %d were not done", failed, len(ids))
	}
	return first
}

// bulk runs a verb on a selection, after making sure of its size.
func (o *options) bulk(cmd *cobra.Command, c *client, verb, reason string, f parcelFilter, s sure) error {
	type result struct{ Matched, Done, Skipped int }
	ask := func(body map[string]any) (raw []byte, r result, err error) {
		raw, err = c.send(cmd.Context(), http.MethodPost, "/outbound/bulk", body, &r)
		return raw, r, err
	}
	body := map[string]any{"verb": verb, "filter": f.body(), "reason": reason}
	if !s.yes && s.count < 0 {
		body["dry_run"] = true
		_, r, err := ask(body)
		if err != nil {
			return err
		}
		if err := s.ask(cmd, fmt.Sprintf("%s %d mails?", verb, r.Matched), r.Matched); err != nil {
			return err
		}
		delete(body, "dry_run")
		s.count = r.Matched
	}
	if s.count >= 0 {
		body["expect"] = s.count
	}
	raw, r, err := ask(body)
	if err != nil {
		return err
	}
	err = o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
		fmt.Fprintf(w, "%s: %d of %d done\n", verb, r.Done, r.Matched)
	})
	if err == nil && r.Skipped > 0 {
		err = exitWith(exitPartial, "%d were left alone: they changed meanwhile, or were being delivered", r.Skipped)
	}
	return err
}
