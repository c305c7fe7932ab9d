package ticketing

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Organization is a firm that contacts belong to: by its mail domains, or
// because somebody said so.
type Organization struct {
	ID             string   `json:"id"` // org_…
	Name           string   `json:"name"`
	Domains        []string `json:"domains,omitempty"`         // as A-labels; subdomains belong to it too
	AccountManager string   `json:"account_manager,omitempty"` // an agent's name
	VIP            bool     `json:"vip,omitempty"`
	Type           string   `json:"type,omitempty"` // a word of the house's own, such as partner
	Version        uint64   `json:"version"`
}

type organizationRow struct{ Organization }

const byDomain = "domain"

func organizationTable() *store.Table[organizationRow] {
	return store.NewTable("organization", store.PrefixOrganization, []string{"id"},
		func(o *organizationRow) store.Key { return store.Key{}.Str(o.ID) },
		store.Index[organizationRow]{Name: byDomain, Columns: []string{"domain"}, Unique: true,
			Keys: func(o *organizationRow) (keys []store.Key) {
				for _, d := range o.Domains {
					keys = append(keys, store.Key{}.Str(d))
				}
				return keys
			}})
}

// Bounds of what is known of people.
const (
	maxDomains          = 50
	maxContactAddresses = 20
	maxDomainParents    = 4
)

// Organizations lists organisations by id. It returns the cursor of the next
// page, "" at the end.
func (d *Desk) Organizations(ctx context.Context, limit int, cursor string) ([]*Organization, string, error) {
	var out []*Organization
	var next string
	err := d.db.View(ctx, func(r store.Reader) error {
		out, next = nil, ""
		q := store.Query{Limit: pageSize(limit) + 1}
		if cursor != "" {
			q.From = store.Key{}.Str(cursor)
		}
		for row, err := range d.organizations.Scan(r, q) {
			if err != nil {
				return err
			}
			if len(out) == pageSize(limit) {
				next = row.ID
				break
			}
			out = append(out, &row.Organization)
		}
		return nil
	})
	return out, next, failure(err)
}

func unknownOrganization() error {
	return &Error{Kind: Unknown, Text: "there is no such organization"}
}

// Organization returns one by id.
func (d *Desk) Organization(ctx context.Context, id string) (*Organization, error) {
	var out *organizationRow
	err := d.db.View(ctx, func(r store.Reader) (err error) {
		out, err = d.organizations.Find(r, store.Key{}.Str(id))
		return err
	})
	if err == nil && out == nil {
		err = unknownOrganization()
	}
	if err != nil {
		return nil, failure(err)
	}
	return &out.Organization, nil
}

// PutOrganization stores an organisation: a new one if it has no id, otherwise
// all that is said of it replaces what was. Version, if not zero, must be that
// of what is replaced. A domain belongs to one organisation, and to none if
// everybody may have an address in it. Only full agents, integrations and the
// system may.
func (d *Desk) PutOrganization(ctx context.Context, by Actor, o Organization) (*Organization, error) {
	if err := d.mayDirect(by); err != nil {
		return nil, err
	}
	if err := d.tidyOrganization(&o); err != nil {
		return nil, err
	}
	var entropy [10]byte
	if _, err := io.ReadFull(d.random, entropy[:]); err != nil {
		return nil, failure(err)
	}
	var out organizationRow
	err := d.update(ctx, func(w *work) error {
		row := &organizationRow{Organization: o}
		if o.ID == "" {
			id, err := store.NewID("org_", w.now, bytes.NewReader(entropy[:]))
			if err != nil {
				return err
			}
			row.ID, row.Version = id, 0
		}
		key := store.Key{}.Str(row.ID)
		if err := d.organizations.Lock(w.tx, key); err != nil {
			return err
		}
		if o.ID != "" {
			old, err := d.organizations.Find(w.tx, key)
			switch {
			case err != nil:
				return err
			case old == nil:
				return unknownOrganization()
			case o.Version != 0 && o.Version != old.Version:
				return &Error{Kind: Conflict, Text: "the organization has changed meanwhile"}
			}
			row.Version = old.Version
		}
		row.Version++
		for _, domain := range row.Domains {
			other, err := w.organizationAt(domain)
			if err != nil {
				return err
			}
			if other != nil && other.ID != row.ID {
				return &Error{Kind: Conflict, Text: "the domain " + domain + " belongs to " + clip(other.Name, 100) + " already"}
			}
		}
		out = *row
		return d.organizations.Put(w.tx, row)
	})
	if err != nil {
		return nil, err
	}
	return &out.Organization, nil
}

func (d *Desk) tidyOrganization(o *Organization) error {
	invalid := func(text string) error { return &Error{Kind: Invalid, Text: text} }
	o.Name = clip(strings.TrimSpace(o.Name), maxName)
	if o.Name == "" {
		return invalid("an organization needs a name")
	}
	o.Type = clip(strings.ToLower(strings.TrimSpace(o.Type)), maxTag)
	if o.AccountManager != "" && d.agents[o.AccountManager] == nil {
		return invalid("the account manager is no agent")
	}
	if len(o.Domains) > maxDomains {
		return invalid("an organization has too many domains")
	}
	var domains []string
	for _, domain := range o.Domains {
		a, err := message.ParseAddress("x@" + strings.TrimPrefix(strings.TrimSpace(domain), "@"))
		if err != nil {
			return invalid("this is no domain: " + clip(domain, 100))
		}
		folded := domainOf(message.Fold(a.Addr))
		if publicProvider(folded) {
			return invalid("everybody may have an address in " + folded)
		}
		if !slices.Contains(domains, folded) {
			domains = append(domains, folded)
		}
	}
	slices.SortFunc(domains, cmp.Compare[string])
	o.Domains = domains
	return nil
}

// DeleteOrganization forgets an organisation. Its contacts stay.
func (d *Desk) DeleteOrganization(ctx context.Context, by Actor, id string) error {
	if err := d.mayDirect(by); err != nil {
		return err
	}
	return d.update(ctx, func(w *work) error {
		key := store.Key{}.Str(id)
		if err := d.organizations.Lock(w.tx, key); err != nil {
			return err
		}
		if row, err := d.organizations.Find(w.tx, key); err != nil || row == nil {
			if err == nil {
				err = unknownOrganization()
			}
			return err
		}
		return d.organizations.Delete(w.tx, key)
	})
}

// mayDirect: who may change what is known of people.
func (d *Desk) mayDirect(by Actor) error {
	switch a := d.agents[by.Agent]; {
	case by.Kind == "agent" && a != nil && !a.Light, (by.Kind == "token" || by.Kind == "system") && (by.Agent == "" || a != nil && !a.Light):
		return nil
	}
	return &Error{Kind: Denied, Text: "this is for full agents"}
}

// AccountManager returns the agent who looks after the organisation of a
// ticket's requester, as things are now; nil if there is none, or if he is no
// agent any more. It is whom the role "account manager" of a ticket stands for.
func (d *Desk) AccountManager(ctx context.Context, ticket uint64) (*Agent, error) {
	var name string
	err := d.db.View(ctx, func(r store.Reader) error {
		name = ""
		t, err := d.tickets.Find(r, ticketKey(ticket))
		if err != nil {
			return err
		}
		if t == nil {
			return unknownTicket()
		}
		id, err := d.organizationOf(r, message.Fold(t.Requester.Address), d.contactAt(r))
		if err != nil || id == "" {
			return err
		}
		o, err := d.organizations.Find(r, store.Key{}.Str(id))
		if err == nil && o != nil {
			name = o.AccountManager
		}
		return err
	})
	if err != nil {
		return nil, failure(err)
	}
	return d.agents[name], nil
}

func (d *Desk) contactAt(r store.Reader) func(string) (*contactRow, error) {
	return func(folded string) (*contactRow, error) { return d.contacts.Find(r, store.Key{}.Str(folded)) }
}

func (w *work) organizationAt(domain string) (*organizationRow, error) {
	return w.d.organizationAt(w.tx, domain)
}

func (d *Desk) organizationAt(r store.Reader, domain string) (*organizationRow, error) {
	return d.organizations.First(r, store.Query{Index: byDomain, Prefix: store.Key{}.Str(domain)})
}

func (w *work) organizationOf(folded string) (string, error) {
	return w.d.organizationOf(w.tx, folded, w.known)
}

// organizationOf is the id of the organisation that an address belongs to, ""
// if it belongs to none: what its contact says, else its domain or one above.
func (d *Desk) organizationOf(r store.Reader, folded string, known func(string) (*contactRow, error)) (string, error) {
	c, err := known(folded)
	if err != nil {
		return "", err
	}
	if c != nil {
		p, err := d.profiles.Find(r, store.Key{}.Str(c.ID))
		if err != nil {
			return "", err
		}
		if p != nil && p.Organization != "" {
			return p.Organization, nil
		}
	}
	domain := domainOf(folded)
	for range maxDomainParents {
		if !strings.Contains(domain, ".") {
			break
		}
		o, err := d.organizationAt(r, domain)
		if err != nil {
			return "", err
		}
		if o != nil {
			return o.ID, nil
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	return "", nil
}
