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

type keyJSON struct {
	Domain, Selector, Algorithm, Phase string
	CreatedAt                          time.Time  `json:"created_at"`
	SeenAt                             *time.Time `json:"seen_at"`
	RetirableAt                        *time.Time `json:"retirable_at"`
	Problem                            *string
	Record                             *struct{ Name, Type, Value string }
}

type keyCheckJSON struct {
	Key    keyJSON
	Status string
	Detail string
	Fix    *string
}

func dkimCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "dkim", Short: "The keys that sign our mail: prepare, publish, activate, retire"}
	cmd.AddCommand(dkimList(o), dkimNew(o), dkimCheck(o), dkimRotate(o), dkimRetire(o), dkimTest(o))
	return cmd
}

func printKeys(w io.Writer, keys []keyJSON) {
	fmt.Fprintln(w, "DOMAIN\tSELECTOR\tKEY\tPHASE\tMADE\tSEEN IN DNS\tNOTE")
	for _, k := range keys {
		seen, note := "never", ""
		if k.SeenAt != nil {
			seen = k.SeenAt.Local().Format("2006-01-02 15:04")
		}
		switch {
		case k.Problem != nil:
			note = "CANNOT BE USED: " + *k.Problem
		case k.Phase == "prepared":
			note = "publish its record, then: ticketgate dkim rotate " + k.Domain
		case k.Phase == "retiring":
			note = "keep its record until " + k.RetirableAt.Local().Format("2006-01-02 15:04") + ", then: ticketgate dkim retire " + k.Domain
		case k.Phase == "retired":
			note = "its record may be removed"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Domain, k.Selector, k.Algorithm, k.Phase, k.CreatedAt.Local().Format("2006-01-02"), seen, note)
	}
}

func printRecords(w io.Writer, keys []keyJSON) {
	for _, k := range keys {
		if k.Record != nil {
			fmt.Fprintf(w, "%s. IN %s %s\n", k.Record.Name, k.Record.Type, k.Record.Value)
		}
	}
}

func printKeyChecks(w io.Writer, checks []keyCheckJSON) (failed int) {
	for _, c := range checks {
		fmt.Fprintf(w, "%s\t%s._domainkey.%s\t%s, %s\t%s%s\n", sign(c.Status), c.Key.Selector, c.Key.Domain, c.Key.Algorithm, c.Key.Phase, c.Detail, prefixed("   fix: ", deref(c.Fix)))
		if c.Status == "fail" {
			failed++
		}
	}
	return failed
}

func dkimList(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "list [DOMAIN]",
		Short: "List keys and where each stands in its life",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			query := url.Values{}
			if len(args) == 1 {
				query.Set("domain", args[0])
			}
			var list struct{ Items []keyJSON }
			raw, err := c.get(cmd.Context(), "/dkim", query, &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printKeys(w, list.Items) })
		},
	}
}

// dkimStep is a command on one domain whose answer is keys.
func dkimStep(o *options, use, step, short string, body func() any, print func(w io.Writer, keys []keyJSON)) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var list struct{ Items []keyJSON }
			raw, err := c.send(cmd.Context(), http.MethodPost, "/dkim/"+url.PathEscape(args[0])+"/"+step, body(), &list)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { print(w, list.Items) })
		},
	}
}

func nothing() any { return nil }

func dkimNew(o *options) *cobra.Command {
	cmd := dkimStep(o, "new DOMAIN", "prepare", "Make the pair of keys that is to sign next and print its records", nothing, func(w io.Writer, keys []keyJSON) {
		fmt.Fprintln(w, "Publish these records beside the ones that are there, then: ticketgate dkim rotate "+keys[0].Domain)
		printRecords(w, keys)
	})
	cmd.Aliases = []string{"prepare"}
	return cmd
}

func dkimRetire(o *options) *cobra.Command {
	var now bool
	cmd := dkimStep(o, "retire DOMAIN", "retire", "Wipe replaced keys that no mail needs any more", func() any { return map[string]bool{"now": now} },
		func(w io.Writer, keys []keyJSON) {
			fmt.Fprintln(w, "The private keys are wiped. These records may be removed now:")
			printRecords(w, keys)
		})
	cmd.Flags().BoolVar(&now, "now", false, "do not wait for the grace time: for a key that others may have")
	return cmd
}

func dkimCheck(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check DOMAIN",
		Short: "Look for the keys' records in DNS",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.keyChecks(cmd, args[0], "check")
		},
	}
}

func dkimRotate(o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "rotate DOMAIN",
		Aliases: []string{"activate"},
		Short:   "Sign with the prepared pair from now on, if DNS shows its records",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.keyChecks(cmd, args[0], "activate")
		},
	}
}

func (o *options) keyChecks(cmd *cobra.Command, domain, step string) error {
	c, err := o.dial()
	if err != nil {
		return err
	}
	var list struct{ Items []keyCheckJSON }
	raw, err := c.send(cmd.Context(), http.MethodPost, "/dkim/"+url.PathEscape(domain)+"/"+step, nil, &list)
	if err != nil {
		return err
	}
	failed := 0
	err = o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
		failed = printKeyChecks(w, list.Items)
		if step == "activate" {
			fmt.Fprintln(w, "The new keys sign from now on. Leave the old records published; ticketgate dkim retire says when they may go.")
		}
	})
	for _, k := range list.Items {
		if k.Status == "fail" && o.output != "table" {
			failed++
		}
	}
	if err == nil && failed > 0 {
		err = exitWith(exitFailed, "%d records are not as they should be", failed)
	}
	return err
}

// sign is a status as a word that stands out without colour.
func sign(status string) string {
	switch status {
	case "ok":
		return "OK"
	case "warn":
		return "WARN"
	case "skip":
		return "SKIP"
	}
	return "FAIL"
}
