package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

type contactJSON struct {
	ID, Name     string
	Addresses    []string
	Organization *string
	VIP          bool
	Type         *string
}

func printContact(w *tabwriter.Writer, c contactJSON) {
	vip := ""
	if c.VIP {
		vip = "vip"
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.Name, strings.Join(c.Addresses, ", "), orDash(c.Organization), orDash(c.Type), vip)
}

func contactCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "contact", Short: "People outside: their addresses and what is known of them"}
	one := func(use, short string, args int, method string, path func(args []string) string, body func(args []string) any) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(args), RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var shown contactJSON
			var in any
			if body != nil {
				in = body(args)
			}
			var raw []byte
			if method == http.MethodGet {
				raw, err = c.get(cmd.Context(), path(args), nil, &shown)
			} else {
				raw, err = c.send(cmd.Context(), method, path(args), in, &shown)
			}
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printContact(w, shown) })
		}}
	}
	contact := func(args []string) string { return "/contacts/" + url.PathEscape(args[0]) }
	address := func(args []string) string { return contact(args) + "/addresses/" + url.PathEscape(args[1]) }
	cmd.AddCommand(
		contactList(o), contactAdd(o), contactSet(o),
		one("show CONTACT", "Show a contact by id or address", 1, http.MethodGet, contact, nil),
		one("add-address CONTACT ADDRESS", "Give a contact another address", 2, http.MethodPut, address, nil),
		one("remove-address CONTACT ADDRESS", "Take an address from a contact", 2, http.MethodDelete, address, nil),
		one("merge FROM INTO", "Merge a contact into another", 2, http.MethodPost,
			func(args []string) string { return contact(args) + "/merge" }, func(args []string) any { return map[string]string{"into": args[1]} }),
	)
	return cmd
}

func contactList(o *options) *cobra.Command {
	var address string
	var limit int
	cmd := &cobra.Command{Use: "list", Short: "List contacts", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		var list struct{ Items []contactJSON }
		raw, err := c.get(cmd.Context(), "/contacts", listQuery(limit, map[string]string{"address": address}), &list)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "ID\tNAME\tADDRESSES\tORGANIZATION\tTYPE\tVIP")
			for _, c := range list.Items {
				printContact(w, c)
			}
		})
	}}
	cmd.Flags().StringVar(&address, "address", "", "only the one with this address")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most this many (100 is the most)")
	return cmd
}

func contactSet(o *options) *cobra.Command {
	var name, organization, kind, vip string
	cmd := &cobra.Command{Use: "set CONTACT", Short: "Change what is known of a contact", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		body := map[string]any{}
		for flag, value := range map[string]string{"name": name, "organization": organization, "type": kind} {
			if cmd.Flags().Changed(flag) {
				body[flag] = value
			}
		}
		if vip != "" {
			v, err := strconv.ParseBool(vip)
			if err != nil {
				return exitWith(exitUsage, "--vip is true or false")
			}
			body["vip"] = v
		}
		c, err := o.dial()
		if err != nil {
			return err
		}
		var shown contactJSON
		raw, err := c.send(cmd.Context(), http.MethodPatch, "/contacts/"+url.PathEscape(args[0]), body, &shown)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { printContact(w, shown) })
	}}
	cmd.Flags().StringVar(&name, "name", "", "his name")
	cmd.Flags().StringVar(&organization, "organization", "", "id of his organisation")
	cmd.Flags().StringVar(&kind, "type", "", "a word of the house's own, such as partner")
	cmd.Flags().StringVar(&vip, "vip", "", "true or false")
	return cmd
}

func organizationCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "organization", Short: "Firms that contacts belong to"}
	cmd.AddCommand(organizationList(o), organizationShow(o), organizationAdd(o), organizationSet(o), organizationRemove(o))
	return cmd
}

func organizationList(o *options) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List organisations", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		var list struct{ Items []organizationJSON }
		raw, err := c.get(cmd.Context(), "/organizations", url.Values{"limit": {"100"}}, &list)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "ID\tNAME\tDOMAINS\tACCOUNT MANAGER\tTYPE\tVIP")
			for _, x := range list.Items {
				x.print(w)
			}
		})
	}}
}

func organizationRemove(o *options) *cobra.Command {
	return &cobra.Command{Use: "remove ID", Short: "Forget an organisation; its contacts stay", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		_, err = c.send(cmd.Context(), http.MethodDelete, "/organizations/"+url.PathEscape(args[0]), nil, nil)
		return err
	}}
}

// secretCommand looks after the secrets that sign reply addresses and
// Message-IDs.
func secretCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{Use: "secret", Short: "Secrets that sign reply addresses (address) and Message-IDs (id)"}
	type secretJSON struct {
		Sort    string
		Epoch   int
		Created string  `json:"created_at"`
		Revoked *string `json:"revoked_at"`
		Signs   bool
	}
	line := func(w *tabwriter.Writer, s secretJSON) {
		state := "read"
		switch {
		case s.Revoked != nil:
			state = "revoked " + *s.Revoked
		case s.Signs:
			state = "signs"
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", s.Sort, s.Epoch, s.Created, state)
	}
	cmd.AddCommand(&cobra.Command{Use: "list", Short: "List the epochs", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := o.dial()
		if err != nil {
			return err
		}
		var list struct{ Items []secretJSON }
		raw, err := c.get(cmd.Context(), "/secrets", nil, &list)
		if err != nil {
			return err
		}
		return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) {
			fmt.Fprintln(w, "SORT\tEPOCH\tSINCE\tSTATE")
			for _, s := range list.Items {
				line(w, s)
			}
		})
	}})
	change := func(use, short string, args int, method string, path func([]string) string) {
		cmd.AddCommand(&cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(args), RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.dial()
			if err != nil {
				return err
			}
			var s secretJSON
			raw, err := c.send(cmd.Context(), method, path(args), nil, &s)
			if err != nil {
				return err
			}
			return o.show(cmd.OutOrStdout(), raw, func(w *tabwriter.Writer) { line(w, s) })
		}})
	}
	change("rotate SORT", "Begin a new epoch; what earlier ones signed stays readable", 1, http.MethodPost,
		func(args []string) string { return "/secrets/" + url.PathEscape(args[0]) + "/rotate" })
	change("revoke SORT EPOCH", "End an epoch: nothing it signed is believed any more", 2, http.MethodDelete,
		func(args []string) string {
			return "/secrets/" + url.PathEscape(args[0]) + "/" + url.PathEscape(args[1])
		})
	return cmd
}
