package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// organizationJSON is a firm as the API tells it.
type organizationJSON struct {
	ID, Name string
	Domains  []string
	Manager  *string `json:"account_manager"`
	Type     *string
	VIP      bool
}

func (x *organizationJSON) print(w io.Writer) {
	vip := ""
	if x.VIP {
		vip = "vip"
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", x.ID, x.Name, strings.Join(x.Domains, ", "), orDash(x.Manager), orDash(x.Type), vip)
}

// organizationFlags are what can be said of a firm.
type organizationFlags struct {
	name, manager, kind string
	domains             []string
	vip                 bool
}

func (f *organizationFlags) register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.domains, "domain", []string{}, "a mail domain of its own (repeatable)")
	flags.StringVar(&f.manager, "manager", "", "the agent who is its account manager")
	flags.StringVar(&f.kind, "type", "", "a word of the house's own, such as partner")
	flags.BoolVar(&f.vip, "vip", false, "whether it is very important")
}

// body holds what was given.
func (f *organizationFlags) body(flags *pflag.FlagSet) map[string]any {
	body := map[string]any{}
	for flag, field := range map[string]struct {
		name  string
		value any
	}{
		"name": {"name", f.name}, "domain": {"domains", f.domains}, "manager": {"account_manager", f.manager}, "type": {"type", f.kind}, "vip": {"vip", f.vip},
	} {
		if flags.Changed(flag) {
			body[field.name] = field.value
		}
	}
	return body
}

func organizationShow(o *options) *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show an organisation", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		var x organizationJSON
		raw, err := c.get(cmd.Context(), "/organizations/"+url.PathEscape(args[0]), nil, &x)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { x.print(w) })
	}}
}

func organizationAdd(o *options) *cobra.Command {
	var f organizationFlags
	cmd := &cobra.Command{Use: "add NAME", Short: "Make an organisation", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		body := f.body(cmd.Flags())
		body["name"] = args[0]
		var made struct{ ID string }
		raw, err := c.send(cmd.Context(), http.MethodPost, "/organizations", body, &made)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { fmt.Fprintln(w, made.ID) })
	}}
	f.register(cmd.Flags())
	return cmd
}

func organizationSet(o *options) *cobra.Command {
	var f organizationFlags
	cmd := &cobra.Command{Use: "set ID", Short: "Change what is known of an organisation", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		body := f.body(cmd.Flags())
		if len(body) == 0 {
			return exitWith(exitUsage, "say what to change: --name, --domain, --manager, --type or --vip")
		}
		c, err := o.dial()
		if err != nil {
			return err
		}
		var x organizationJSON
		raw, err := c.send(cmd.Context(), http.MethodPatch, "/organizations/"+url.PathEscape(args[0]), body, &x)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { x.print(w) })
	}}
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&f.name, "name", "", "its name")
	return cmd
}
