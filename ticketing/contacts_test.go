package ticketing_test

import (
	"context"
	"slices"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
)

func kind(t *testing.T, what string, err error, want ticketing.Kind) {
	t.Helper()
	if err == nil || ticketing.KindOf(err) != want {
		t.Errorf("%s: %v, want kind %d", what, err, want)
	}
}

// Whoever has two addresses takes part under both, and is not told what he wrote
// under the other.
func TestContactTakesPartUnderEachAddress(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b, n := openWithTicket(t)
	const home = "anna@home.example"
	l := b.mailTo(n, 1, rAddr, message.RoleRequester, false)
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(home, "Printer", l, "To: "+l.replyTo)}), "third_party", n)
	id := b.ticket(n).Requester.Contact
	c, err := b.desk.Contact(ctx, id)
	if err != nil || !slices.Equal(c.Addresses, []string{rAddr}) {
		t.Fatalf("%+v, %v", c, err)
	}
	_, err = b.desk.AddContactAddress(ctx, agent("otto"), id, home)
	kind(t, "an address of another", err, ticketing.Conflict)
	other, err := b.desk.Contact(ctx, home)
	if err != nil {
		t.Fatal(err)
	}
	merged, err := b.desk.MergeContacts(ctx, agent("otto"), other.ID, id)
	if err != nil || merged.ID != id || !slices.Equal(merged.Addresses, []string{rAddr, home}) {
		t.Fatalf("merged %+v, %v", merged, err)
	}
	if c, err := b.desk.Contact(ctx, other.ID); err != nil || c.ID != id {
		t.Errorf("the old id leads to %+v, %v", c, err)
	}
	m := b.want(b.take(mail{to: []string{l.replyTo}, text: answer(home, "Printer", l, "To: "+l.replyTo, toCC)}), "reply", n)
	if m.Author.Role != "requester" || m.Author.Address != home || m.Visibility != "public" {
		t.Errorf("message %+v", m)
	}
	if notice := b.lastNotice(n); notice.Actor.Address != rAddr {
		t.Errorf("the causer is %+v", notice.Actor)
	}
	// And by her subject alone.
	if o := b.take(mail{trust: "T1", text: write(home, "Re: Printer")}); o.Ticket != n {
		t.Errorf("%+v", o)
	}
	if again, err := b.desk.MergeContacts(ctx, agent("otto"), other.ID, id); err != nil || len(again.Addresses) != 2 {
		t.Errorf("again: %+v, %v", again, err)
	}
	// Without the address she is a stranger there.
	if c, err = b.desk.RemoveContactAddress(ctx, agent("otto"), id, home); err != nil || !slices.Equal(c.Addresses, []string{rAddr}) {
		t.Errorf("removed: %+v, %v", c, err)
	}
	b.want(b.take(mail{to: []string{l.replyTo}, text: answer(home, "Printer", l, "To: "+l.replyTo)}), "third_party", n)
	_, err = b.desk.RemoveContactAddress(ctx, agent("otto"), id, rAddr)
	kind(t, "the last address", err, ticketing.Refused)
	b.checkAll()
}

func TestContacts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	yes, partner, name := true, "Partner", "Dora D."
	c, err := b.desk.CreateContact(ctx, agent("otto"), ticketing.Contact{Name: "Dora", Addresses: []string{"Dora@Elsewhere.example", "dora@home.example"}, VIP: true})
	if err != nil || c.Name != "Dora" || !c.VIP || len(c.Addresses) != 2 || c.Addresses[0] != "dora@elsewhere.example" {
		t.Fatalf("%+v, %v", c, err)
	}
	changed, err := b.desk.ChangeContact(ctx, agent("otto"), c.ID, ticketing.ContactChange{Name: &name, Type: &partner, VIP: &yes, IfVersion: c.Version})
	if err != nil || changed.Type != "partner" || changed.Name != name || changed.Version == c.Version {
		t.Errorf("%+v, %v", changed, err)
	}
	_, err = b.desk.ChangeContact(ctx, agent("otto"), c.ID, ticketing.ContactChange{Name: &name, IfVersion: c.Version})
	kind(t, "a stale change", err, ticketing.Conflict)
	_, err = b.desk.ChangeContact(ctx, agent("otto"), "con_none", ticketing.ContactChange{Name: &name})
	kind(t, "nobody", err, ticketing.Unknown)
	none := "org_none"
	_, err = b.desk.ChangeContact(ctx, agent("otto"), c.ID, ticketing.ContactChange{Organization: &none})
	kind(t, "no such organization", err, ticketing.Invalid)
	for what, by := range map[string]ticketing.Actor{"a light agent": agent("luis"), "a customer": {Kind: "contact", Address: rAddr}} {
		_, err = b.desk.ChangeContact(ctx, by, c.ID, ticketing.ContactChange{Name: &name})
		kind(t, what, err, ticketing.Denied)
	}
	for address, want := range map[string]ticketing.Kind{otto: ticketing.Refused, helpdsk: ticketing.Refused, "no address": ticketing.Invalid, "dora@home.example": ticketing.Conflict} {
		_, err = b.desk.CreateContact(ctx, agent("otto"), ticketing.Contact{Addresses: []string{address}})
		kind(t, address, err, want)
	}
	_, err = b.desk.CreateContact(ctx, agent("otto"), ticketing.Contact{Name: "x"})
	kind(t, "no address at all", err, ticketing.Invalid)
	// Whoever writes is a contact too.
	b.take(mail{text: write(rAddr, "x")})
	b.take(mail{text: write("Dora <dora@home.example>", "x")})
	var ids []string
	for cursor, pages := "", 0; pages < 9; pages++ {
		list, next, err := b.desk.Contacts(ctx, ticketing.ContactFilter{Limit: 1, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		if cursor = next; next == "" {
			break
		}
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 2 {
		t.Errorf("contacts %v", ids)
	}
	if list, _, err := b.desk.Contacts(ctx, ticketing.ContactFilter{Address: "DORA@home.example"}); err != nil || len(list) != 1 || list[0].ID != c.ID {
		t.Errorf("by address: %+v, %v", list, err)
	}
	if list, _, err := b.desk.Contacts(ctx, ticketing.ContactFilter{Address: "nobody@home.example"}); err != nil || len(list) != 0 {
		t.Errorf("nobody: %+v, %v", list, err)
	}
}

func TestOrganizations(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := open(t)
	put := func(o ticketing.Organization) (*ticketing.Organization, error) {
		return b.desk.PutOrganization(ctx, agent("otto"), o)
	}
	firm, err := put(ticketing.Organization{Name: "Customer Ltd", Domains: []string{"Customer.example", "@customer.test", "customer.example"}, AccountManager: "sara"})
	if err != nil || len(firm.Domains) != 2 || firm.AccountManager != "sara" || firm.Version != 1 {
		t.Fatalf("%+v, %v", firm, err)
	}
	for what, o := range map[string]struct {
		o    ticketing.Organization
		kind ticketing.Kind
	}{
		"no name":            {ticketing.Organization{Domains: []string{"a.example"}}, ticketing.Invalid},
		"everybody's domain": {ticketing.Organization{Name: "x", Domains: []string{"gmail.com"}}, ticketing.Invalid},
		"no domain":          {ticketing.Organization{Name: "x", Domains: []string{"a b"}}, ticketing.Invalid},
		"another's domain":   {ticketing.Organization{Name: "x", Domains: []string{"customer.test"}}, ticketing.Conflict},
		"nobody manages":     {ticketing.Organization{Name: "x", AccountManager: "nobody"}, ticketing.Invalid},
		"no such one":        {ticketing.Organization{ID: "org_none", Name: "x"}, ticketing.Unknown},
		"stale":              {ticketing.Organization{ID: firm.ID, Name: "x", Version: 9}, ticketing.Conflict},
	} {
		_, err := put(o.o)
		kind(t, what, err, o.kind)
	}
	_, err = b.desk.PutOrganization(ctx, agent("luis"), ticketing.Organization{Name: "x"})
	kind(t, "a light agent", err, ticketing.Denied)

	// The account manager of a ticket is that of its requester's firm, as it is now.
	manager := func(n uint64) string {
		a, err := b.desk.AccountManager(ctx, n)
		if err != nil {
			t.Fatal(err)
		}
		if a == nil {
			return ""
		}
		return a.Name
	}
	mine, sub, other := b.take(mail{text: write(rAddr, "x")}).Ticket, b.take(mail{text: write("two@eu.customer.example", "x")}).Ticket, b.take(mail{text: write(xAddr, "x")}).Ticket
	if manager(mine) != "sara" || manager(sub) != "sara" || manager(other) != "" {
		t.Errorf("account managers %q %q %q", manager(mine), manager(sub), manager(other))
	}
	changed := *firm
	changed.AccountManager, changed.VIP, changed.Type = "otto", true, " Reseller "
	if firm, err = put(changed); err != nil || !firm.VIP || firm.Type != "reseller" || manager(mine) != "otto" {
		t.Errorf("%+v, %v, %q", firm, err, manager(mine))
	}
	if stored, err := b.desk.Organization(ctx, firm.ID); err != nil || !stored.VIP || stored.Type != "reseller" || stored.Version != 2 {
		t.Errorf("%+v, %v", stored, err)
	}
	_, err = b.desk.AccountManager(ctx, 4711)
	kind(t, "no ticket", err, ticketing.Unknown)

	// Of one organisation: by domain, by a subdomain, and because somebody said so.
	dora, err := b.desk.CreateContact(ctx, agent("otto"), ticketing.Contact{Addresses: []string{dAddr}, Organization: firm.ID})
	if err != nil || dora.Organization != firm.ID {
		t.Fatal(dora, err)
	}
	o := b.take(mail{to: []string{"firm@other.example"}, text: write(rAddr, "x", "Cc: "+xAddr+", one@customer.test, two@eu.customer.example, "+dAddr)})
	if got := b.ccs(o.Ticket); got != "one@customer.test two@eu.customer.example" { // the queue takes two
		t.Errorf("ccs %s", got)
	}
	o = b.take(mail{to: []string{"firm@other.example"}, text: write(dAddr, "x", "Cc: anna@elsewhere.example, "+rAddr)})
	if got := b.ccs(o.Ticket); got != rAddr {
		t.Errorf("ccs %s", got)
	}
	// Neighbours at a provider are strangers.
	o = b.take(mail{to: []string{"firm@other.example"}, text: write("me@gmail.com", "x", "Cc: you@gmail.com")})
	if got := b.ccs(o.Ticket); got != "" {
		t.Errorf("ccs %s", got)
	}
	if list, next, err := b.desk.Organizations(ctx, 0, ""); err != nil || len(list) != 1 || next != "" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := b.desk.DeleteOrganization(ctx, agent("otto"), firm.ID); err != nil {
		t.Fatal(err)
	}
	kind(t, "deleted twice", b.desk.DeleteOrganization(ctx, agent("otto"), firm.ID), ticketing.Unknown)
	_, err = b.desk.Organization(ctx, firm.ID)
	kind(t, "deleted", err, ticketing.Unknown)
}
