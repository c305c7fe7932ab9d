package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ticketgate/config"
	"ticketgate/gateway/api"
)

// printDiagnoses writes results as people read them and counts what is wrong.
func printDiagnoses(w io.Writer, list []api.Diagnosis) {
	for _, d := range list {
		words := d.Detail
		if found := deref(d.Found); found != "" {
			words = found + prefixed("   ", words)
		}
		if d.Status == "fail" || d.Status == "warn" {
			words += prefixed("   expected: ", deref(d.Expected)) + prefixed("   fix: ", deref(d.Fix))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", sign(d.Status), d.Check, d.Subject, words)
	}
}

func tally(list []api.Diagnosis) (fails, warns int) {
	for _, d := range list {
		switch d.Status {
		case "fail":
			fails++
		case "warn":
			warns++
		}
	}
	return fails, warns
}

func dnsCheckCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check [DOMAIN]",
		Short: "Compare DNS with what our domains need, and say how to repair it",
		Long:  "Compare DNS with what our domains need: addresses and their names, MX, SPF, DKIM, DMARC, and MTA-STS and TLS reports if they are used. Exit code 1 if something is wrong.",
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
			var list struct{ Items []api.Diagnosis }
			raw, err := c.get(cmd.Context(), "/dns/check", query, &list)
			if err != nil {
				return err
			}
			if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printDiagnoses(w, list.Items) }); err != nil {
				return err
			}
			if fails, _ := tally(list.Items); fails > 0 {
				return exitWith(exitFailed, "%d checks failed", fails)
			}
			return nil
		},
	}
}

// doctorCommand looks at the installation from outside as far as that goes, and
// asks the daemon for the rest. It works, and says so, when the daemon does not
// run.
func doctorCommand(o *options) *cobra.Command {
	var nagios bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with this installation, and say how to repair it",
		Long: "Look at the configuration, the store, disk space, the clock, listeners, the certificate, signing keys, DNS, the outbound queue and the way out. " +
			"Exit code 0 if nothing failed, 1 otherwise, 78 if the configuration is not usable; with --nagios 0, 1 (warnings), 2 (failures) or 3 (could not look).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, code := o.diagnose(cmd)
			fails, warns := tally(list)
			if nagios {
				return nagiosAnswer(cmd.OutOrStdout(), list, fails, warns, code)
			}
			raw, err := json.Marshal(map[string]any{"items": list, "next": nil})
			if err != nil {
				return err
			}
			if err := o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
				printDiagnoses(w, list)
				fmt.Fprintf(w, "%d checks, %d failed, %d warnings\n", len(list), fails, warns)
			}); err != nil {
				return err
			}
			switch {
			case code != exitOK:
				return exitWith(code, "%d checks failed", fails)
			case fails > 0:
				return exitWith(exitFailed, "%d checks failed", fails)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&nagios, "nagios", false, "one line, and the exit codes of monitoring plugins")
	return cmd
}

// diagnose collects everything; code is not 0 if the daemon could not be asked.
func (o *options) diagnose(cmd *cobra.Command) (list []api.Diagnosis, code int) {
	path, err := o.configPath()
	if err != nil {
		return []api.Diagnosis{diagnosis("configuration", "config", "fail", err.Error(), "", "", "")}, exitConfig
	}
	cfg, problems := config.Load(path)
	for _, p := range problems {
		status := "fail"
		if cfg != nil {
			status = "warn"
		}
		list = append(list, diagnosis("configuration", "config", status, p.String(), "", "", ""))
	}
	if cfg == nil {
		return list, exitConfig
	}
	if len(problems) == 0 {
		list = append(list, diagnosis("configuration", "config", "ok", "", "", path, ""))
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o002 != 0 {
		list = append(list, diagnosis("configuration", "config", "fail", "everybody on this machine can change it", "", fmt.Sprintf("mode %04o", info.Mode().Perm()), "chmod o-w "+path))
	}
	c := newClient(socketPath(cfg))
	var inside struct{ Items []api.Diagnosis }
	if _, err := c.get(cmd.Context(), "/examine", nil, &inside); err != nil {
		list = append(list, diagnosis("daemon", "daemon", "fail", err.Error(), "", "", "start it: ticketgate serve --config "+path))
		list = append(list, space(&cfg.Store))
		var coded *exitError
		if errors.As(err, &coded) {
			return list, coded.code
		}
		return list, exitFailed
	}
	list = append(list, diagnosis("daemon", "daemon", "ok", "", "", "", ""))
	return append(list, inside.Items...), exitOK
}

// nagiosAnswer is one line and an exit code as monitoring plugins give them.
func nagiosAnswer(w io.Writer, list []api.Diagnosis, fails, warns, code int) error {
	word, exit, worst := "OK", 0, "fail"
	switch {
	case code == exitUnreachable:
		word, exit = "UNKNOWN", 3
	case fails > 0:
		word, exit = "CRITICAL", 2
	case warns > 0:
		word, exit, worst = "WARNING", 1, "warn"
	}
	line := fmt.Sprintf("TICKETGATE %s - %d checks, %d failed, %d warnings", word, len(list), fails, warns)
	for _, d := range list {
		if d.Status == worst && exit > 0 {
			line += fmt.Sprintf("; %s %s: %s", d.Check, d.Subject, d.Detail)
		}
	}
	fmt.Fprintln(w, line)
	if exit == 0 {
		return nil
	}
	return &exitError{exit, errors.New("")}
}
