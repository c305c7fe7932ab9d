package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

type measureJSON struct {
	ID, Kind, About, By, Reason string
	Domain, Queue, Via          *string
	At                          time.Time
	Until                       *time.Time
}

// line is a measure as it stands under a list.
func (m measureJSON) line() string {
	what := map[string]string{"pause": "paused", "hold": "held", "route": "rerouted"}[m.Kind]
	s := fmt.Sprintf("%s: %s", what, m.About)
	if m.Via != nil {
		s += " by way of " + *m.Via
	}
	if m.Until != nil {
		s += " until " + m.Until.Local().Format("2006-01-02 15:04")
	}
	return s + fmt.Sprintf(" (%s: %q)", m.By, m.Reason)
}

func printMeasures(w io.Writer, list []measureJSON) {
	fmt.Fprintln(w, "ID\tKIND\tABOUT\tVIA\tUNTIL\tBY\tREASON")
	for _, m := range list {
		until := "taken back"
		if m.Until != nil {
			until = m.Until.Local().Format("2006-01-02 15:04:05")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.ID, m.Kind, m.About, orDash(m.Via), until, m.By, m.Reason)
	}
}

// about are the words of a measure's selection.
type about struct {
	queue, class, to string
	all              bool
}

func (a *about) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.queue, "queue", "", "mail of this queue")
	cmd.Flags().StringVar(&a.class, "class", "", "mail of this class: reply notification autoack bulk dsn relay")
	cmd.Flags().StringVar(&a.to, "to", "", "mail to this address")
	cmd.Flags().BoolVar(&a.all, "all", false, "really all mail")
}

func (a *about) body(kind, domain, span, reason string) map[string]any {
	out := map[string]any{"kind": kind, "reason": reason}
	for name, v := range map[string]string{"domain": domain, "queue": a.queue, "class": a.class, "to": a.to, "for": span} {
		if v != "" {
			out[name] = v
		}
	}
	if a.all {
		out["all"] = true
	}
	return out
}

func (o *options) decide(cmd *cobra.Command, body map[string]any) error {
	c, err := o.dial()
	if err != nil {
		return err
	}
	var m measureJSON
	raw, err := c.send(cmd.Context(), http.MethodPost, "/outbound/measures", body, &m)
	if err != nil {
		return err
	}
	return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { fmt.Fprintln(w, m.ID+"\t"+m.line()) })
}

func outboundPause(o *options) *cobra.Command {
	var a about
	var span, reason string
	cmd := &cobra.Command{
		Use:   "pause [DESTINATION] [--for 1h] --reason R",
		Short: "Keep mail to a domain back for a while, or mail of a kind",
		Long:  "Keep mail to a domain back for a while, or mail of a kind that the flags select. A pause ends by itself, after five minutes if nothing is said; \"--for ever\" lasts until it is taken back with resume.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			domain := ""
			if len(args) == 1 {
				domain = args[0]
			}
			kind := "pause"
			if span == "ever" || span == "forever" {
				kind, span = "hold", ""
			}
			return o.decide(cmd, a.body(kind, domain, span, reason))
		},
	}
	a.flags(cmd)
	cmd.Flags().StringVar(&span, "for", "", "how long, such as 1h (default 5m), or ever")
	cmd.Flags().StringVar(&reason, "reason", "", "shown beside each mail that waits because of it")
	cmd.MarkFlagRequired("reason")
	return cmd
}

func outboundReroute(o *options) *cobra.Command {
	var a about
	var via, span, reason string
	cmd := &cobra.Command{
		Use:   "reroute [DESTINATION] --via ROUTE [--for 1h] --reason R",
		Short: "Send mail to a domain, or mail of a kind, by a configured route",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			domain := ""
			if len(args) == 1 {
				domain = args[0]
			}
			body := a.body("route", domain, span, reason)
			body["via"] = via
			return o.decide(cmd, body)
		},
	}
	a.flags(cmd)
	cmd.Flags().StringVar(&via, "via", "", "name of the route")
	cmd.Flags().StringVar(&span, "for", "", "how long, such as 1h; not said: until it is taken back")
	cmd.Flags().StringVar(&reason, "reason", "", "shown beside each mail")
	cmd.MarkFlagRequired("via")
	cmd.MarkFlagRequired("reason")
	return cmd
}

func outboundResume(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "resume DESTINATION | SITE | MEASURE",
		Short: "End the pause of a domain or of a site, or a pause, hold or route by its id",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			if len(args[0]) > 4 && args[0][:4] == "msr_" {
				_, err = c.send(cmd.Context(), http.MethodDelete, "/outbound/measures/"+url.PathEscape(args[0]), nil, nil)
			} else {
				_, err = c.send(cmd.Context(), http.MethodPost, "/outbound/destinations/"+url.PathEscape(args[0])+"/resume", nil, nil)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: resumed\n", args[0])
			return nil
		},
	}
}

func outboundMeasures(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "measures",
		Short: "List pauses, holds and routes in force, with who decided and why",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var list struct{ Items []measureJSON }
			raw, err := c.get(cmd.Context(), "/outbound/measures", nil, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printMeasures(w, list.Items) })
		},
	}
}

func outboundTop(o *options) *cobra.Command {
	var by string
	var limit int
	cmd := &cobra.Command{
		Use:   "top",
		Short: "What the queue is made of, largest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			q := listQuery(limit, map[string]string{"by": by})
			var list struct {
				Items []struct {
					Name    string
					Count   int
					States  map[string]int
					Size    int64
					Oldest  float64 `json:"oldest_age_seconds"`
					Example *string
				}
				Partial bool
			}
			raw, err := c.get(cmd.Context(), "/outbound/top", q, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "NAME\tMAILS\tREADY\tACTIVE\tDEFERRED\tSCHEDULED\tHELD\tSIZE\tOLDEST\tLAST ANSWER")
				for _, g := range list.Items {
					fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", orWord(g.Name, "–"), g.Count, g.States["ready"], g.States["active"],
						g.States["deferred"], g.States["scheduled"], g.States["held"], bytesWords(g.Size), ago(seconds(g.Oldest)), orDash(g.Example))
				}
				if list.Partial {
					fmt.Fprintln(w, "the queue is larger than what was looked at")
				}
			})
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "destination (default), queue, class or waits_for")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most this many")
	return cmd
}

func outboundLimits(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "limits",
		Short: "Show the limits in force, who is near them, and what operators decided",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var l struct {
				Workers, Active int
				Limits          []struct {
					Scope, Name         string
					Rate                *string
					Connections, Active int
					BlockedUntil        *time.Time `json:"blocked_until"`
					Reason              *string
				}
			}
			raw, err := c.get(cmd.Context(), "/outbound/limits", nil, &l)
			if err != nil {
				return err
			}
			if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "SCOPE\tNAME\tRATE\tACTIVE\tAT MOST\tWAITS UNTIL\tREASON")
				for _, x := range l.Limits {
					most, until := "–", "–"
					if x.Connections > 0 {
						most = fmt.Sprint(x.Connections)
					}
					if x.BlockedUntil != nil {
						until = x.BlockedUntil.Local().Format("15:04:05")
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", x.Scope, orWord(x.Name, "each"), orWord(deref(x.Rate), "unlimited"), x.Active, most, until, orDash(x.Reason))
				}
			}); err != nil || o.output != "table" {
				return err
			}
			var list struct{ Items []measureJSON }
			if _, err := c.get(cmd.Context(), "/outbound/measures", nil, &list); err != nil {
				return err
			}
			for _, m := range list.Items {
				fmt.Fprintln(cmd.OutOrStdout(), m.line())
			}
			return nil
		},
	}
}
