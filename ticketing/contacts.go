package ticketing

import (
	"context"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Contact is a person outside, under one address or several. Whoever writes
// from one of them takes part in every ticket in which another takes part.
type Contact struct {
	ID           string    `json:"id"` // con_…
	Name         string    `json:"name,omitempty"`
	Addresses    []string  `json:"addresses"`              // folded; the first one is used to write to him
	Organization string    `json:"organization,omitempty"` // its id, if it is not what the domain says
	VIP          bool      `json:"vip,omitempty"`
	Type         string    `json:"type,omitempty"` // a word of the house's own, such as partner
	Since        time.Time `json:"since"`
	Version      uint64    `json:"version"`
}

// profileRow is what is known of a contact beyond its addresses; most have none.
// A contact that was merged into another only says where it went.
type profileRow struct {
	Contact
	Into string `json:"into,omitempty"`
}

func profileTable() *store.Table[profileRow] {
	return store.NewTable("profile", store.PrefixProfile, []string{"id"},
		func(p *profileRow) store.Key { return store.Key{}.Str(p.ID) })
}

// ContactFilter selects contacts; empty fields match all.
type ContactFilter struct {
	Address string // exactly this one
	Limit   int    // ≤ 100, default 50
	Cursor  string // opaque
}

// ContactChange is a partial change of a contact; nil leaves a field alone.
type ContactChange struct {
	Name, Organization, Type *string
	VIP                      *bool
	IfVersion                uint64 // 0 = any
}

func unknownContact() error { return &Error{Kind: Unknown, Text: "there is no such contact"} }

// Contact returns a contact by id, or by one of its addresses. The id of a
// contact that was merged leads to the one it was merged into.
func (d *Desk) Contact(ctx context.Context, id string) (*Contact, error) {
	var out *Contact
	err := d.db.View(ctx, func(r store.Reader) (err error) {
		out, err = d.contact(r, id)
		return err
	})
	if err == nil && out == nil {
		err = unknownContact()
	}
	return out, failure(err)
}

// contact reads a contact, nil if there is none.
func (d *Desk) contact(r store.Reader, id string) (*Contact, error) {
	if strings.Contains(id, "@") {
		row, err := d.contacts.Find(r, store.Key{}.Str(message.Fold(id)))
		if err != nil || row == nil {
			return nil, err
		}
		id = row.ID
	}
	var p *profileRow
	for range maxRedirects {
		var err error
		if p, err = d.profiles.Find(r, store.Key{}.Str(id)); err != nil {
			return nil, err
		}
		if p == nil || p.Into == "" {
			break
		}
		id = p.Into
	}
	c := &Contact{ID: id}
	if p != nil {
		*c = p.Contact
	}
	order := slices.Clone(c.Addresses)
	c.Addresses = nil
	name := ""
	for row, err := range d.contacts.Scan(r, store.Query{Index: byContact, Prefix: store.Key{}.Str(id)}) {
		if err != nil {
			return nil, err
		}
		c.Addresses = append(c.Addresses, row.Address)
		if name == "" {
			name = row.Name
		}
		if c.Since.IsZero() || row.Since.Before(c.Since) {
			c.Since = row.Since
		}
	}
	if len(c.Addresses) == 0 {
		return nil, nil
	}
	if c.Name == "" {
		c.Name = name
	}
	rank := func(a string) int {
		if i := slices.Index(order, a); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(c.Addresses, func(a, b string) int { return rank(a) - rank(b) })
	return c, nil
}

// Contacts lists contacts by id. It returns the cursor of the next page, "" at
// the end.
func (d *Desk) Contacts(ctx context.Context, f ContactFilter) ([]*Contact, string, error) {
	if f.Address != "" {
		c, err := d.Contact(ctx, message.Fold(f.Address))
		if KindOf(err) == Unknown && err != nil || err == nil && c == nil {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", err
		}
		return []*Contact{c}, "", nil
	}
	var out []*Contact
	var next string
	err := d.db.View(ctx, func(r store.Reader) error {
		out, next = nil, ""
		q := store.Query{Index: byContact}
		if f.Cursor != "" {
			q.From = store.Key{}.Str(f.Cursor)
		}
		last := ""
		for row, err := range d.contacts.Scan(r, q) {
			if err != nil {
				return err
			}
			if row.ID == last {
				continue
			}
			if last = row.ID; len(out) == pageSize(f.Limit) {
				next = last
				break
			}
			c, err := d.contact(r, row.ID)
			if err != nil {
				return err
			}
			if c != nil {
				out = append(out, c)
			}
		}
		return nil
	})
	return out, next, failure(err)
}

// CreateContact makes a contact of addresses nobody is known under yet.
func (d *Desk) CreateContact(ctx context.Context, by Actor, c Contact) (*Contact, error) {
	if len(c.Addresses) == 0 || len(c.Addresses) > maxContactAddresses {
		return nil, &Error{Kind: Invalid, Text: "a contact needs an address, and has at most 20"}
	}
	id := contactID(message.Fold(c.Addresses[0]))
	return d.alterContact(ctx, by, func(w *work) (string, error) {
		for i, text := range c.Addresses {
			row, err := w.addressFor(text)
			if err != nil {
				return "", err
			}
			if row.ID != "" {
				return "", &Error{Kind: Conflict, Text: row.Address + " is known already"}
			}
			row.ID = id
			if i == 0 {
				row.Name = clip(c.Name, maxName)
			}
			if err := d.contacts.Put(w.tx, row); err != nil {
				return "", err
			}
		}
		p := &profileRow{Contact: Contact{ID: id, Since: w.now}}
		err := w.fillProfile(p, ContactChange{Name: &c.Name, Organization: &c.Organization, Type: &c.Type, VIP: &c.VIP})
		if err != nil {
			return "", err
		}
		return id, w.regroup(id, p)
	})
}

// ChangeContact changes what is known of a contact. It is refused with Conflict
// if IfVersion is not the contact's version.
func (d *Desk) ChangeContact(ctx context.Context, by Actor, id string, c ContactChange) (*Contact, error) {
	return d.alterContact(ctx, by, func(w *work) (string, error) {
		p, err := w.profile(id)
		if err != nil {
			return "", err
		}
		if c.IfVersion != 0 && c.IfVersion != p.Version {
			return "", &Error{Kind: Conflict, Text: "the contact has changed meanwhile"}
		}
		if err := w.fillProfile(p, c); err != nil {
			return "", err
		}
		p.Version++
		return p.ID, d.profiles.Put(w.tx, p)
	})
}

// AddContactAddress gives a contact another address. One that another contact
// has is refused with Conflict: merge the two.
func (d *Desk) AddContactAddress(ctx context.Context, by Actor, id, address string) (*Contact, error) {
	return d.alterContact(ctx, by, func(w *work) (string, error) {
		p, err := w.profile(id)
		if err != nil {
			return "", err
		}
		row, err := w.addressFor(address)
		switch {
		case err != nil:
			return "", err
		case row.ID == p.ID:
			return p.ID, nil
		case row.ID != "":
			return "", &Error{Kind: Conflict, Text: row.Address + " belongs to another contact; merge the two"}
		}
		row.ID = p.ID
		if err := d.contacts.Put(w.tx, row); err != nil {
			return "", err
		}
		return p.ID, w.regroup(p.ID, p)
	})
}

// RemoveContactAddress takes an address from a contact; it becomes a contact of
// its own. The last one stays.
func (d *Desk) RemoveContactAddress(ctx context.Context, by Actor, id, address string) (*Contact, error) {
	return d.alterContact(ctx, by, func(w *work) (string, error) {
		p, err := w.profile(id)
		if err != nil {
			return "", err
		}
		row, err := w.addressFor(address)
		if err != nil {
			return "", err
		}
		if row.ID != p.ID {
			return "", unknownContact()
		}
		if len(row.Others) == 0 {
			return "", &Error{Kind: Refused, Text: "this is the contact's only address"}
		}
		row.ID, row.Others = contactID(row.Address), nil
		if row.ID == p.ID {
			// The contact is named after this address: the address gets
			// another name.
			row.ID = contactID(row.Address + "\x00" + w.now.Format(time.RFC3339Nano))
		}
		if err := d.contacts.Put(w.tx, row); err != nil {
			return "", err
		}
		return p.ID, w.regroup(p.ID, p)
	})
}

// MergeContacts makes two contacts one, which has the addresses of both and
// what is known of into; what is known of from fills its gaps. The old id goes
// on leading to the contact. Merging what is merged changes nothing.
func (d *Desk) MergeContacts(ctx context.Context, by Actor, from, into string) (*Contact, error) {
	return d.alterContact(ctx, by, func(w *work) (string, error) {
		a, err := w.profile(from)
		if err != nil {
			return "", err
		}
		b, err := w.profile(into)
		if err != nil || a.ID == b.ID {
			return b.ID, err
		}
		rows, err := w.addressesOf(a.ID)
		if err != nil {
			return "", err
		}
		theirs, err := w.addressesOf(b.ID)
		if err != nil {
			return "", err
		}
		if len(rows)+len(theirs) > maxContactAddresses {
			return "", &Error{Kind: Refused, Text: "a contact has at most 20 addresses"}
		}
		for _, row := range rows {
			row.ID = b.ID
			if err := d.contacts.Put(w.tx, row); err != nil {
				return "", err
			}
		}
		if b.Name == "" {
			b.Name = a.Name
		}
		if b.Organization == "" {
			b.Organization = a.Organization
		}
		if b.Type == "" {
			b.Type = a.Type
		}
		b.VIP = b.VIP || a.VIP
		if err := d.profiles.Put(w.tx, &profileRow{Contact: Contact{ID: a.ID, Version: a.Version + 1}, Into: b.ID}); err != nil {
			return "", err
		}
		return b.ID, w.regroup(b.ID, b)
	})
}

func (d *Desk) alterContact(ctx context.Context, by Actor, change func(*work) (string, error)) (*Contact, error) {
	if err := d.mayDirect(by); err != nil {
		return nil, err
	}
	var out *Contact
	err := d.update(ctx, func(w *work) error {
		// The directory changes one change at a time.
		if err := d.profiles.Lock(w.tx, store.Key{}.Str("")); err != nil {
			return err
		}
		id, err := change(w)
		if err != nil {
			return err
		}
		out, err = d.contact(w.tx, id)
		return err
	})
	return out, err
}

// profile returns what is known of a contact, for change.
func (w *work) profile(id string) (*profileRow, error) {
	c, err := w.d.contact(w.tx, id)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, unknownContact()
	}
	key := store.Key{}.Str(c.ID)
	if err := w.d.profiles.Lock(w.tx, key); err != nil {
		return nil, err
	}
	p, err := w.d.profiles.Find(w.tx, key)
	if err != nil {
		return nil, err
	}
	if p == nil {
		p = &profileRow{Contact: Contact{ID: c.ID, Name: c.Name, Addresses: c.Addresses, Since: c.Since}}
	}
	return p, nil
}

func (w *work) fillProfile(p *profileRow, c ContactChange) error {
	if c.Name != nil {
		p.Name = clip(strings.TrimSpace(*c.Name), maxName)
	}
	if c.Type != nil {
		p.Type = clip(strings.ToLower(strings.TrimSpace(*c.Type)), maxTag)
	}
	if c.VIP != nil {
		p.VIP = *c.VIP
	}
	if c.Organization != nil && *c.Organization != p.Organization {
		if *c.Organization != "" {
			o, err := w.d.organizations.Find(w.tx, store.Key{}.Str(*c.Organization))
			if err != nil {
				return err
			}
			if o == nil {
				return &Error{Kind: Invalid, Text: "there is no such organization"}
			}
		}
		p.Organization = *c.Organization
	}
	return nil
}

// addressFor returns the row of an address somebody names, with an empty id if
// it is new. Addresses of staff and of our own belong to no contact.
func (w *work) addressFor(text string) (*contactRow, error) {
	a, err := w.d.outsider(message.Address{Addr: text})
	if err != nil {
		return nil, err
	}
	folded := message.Fold(a.Addr)
	if w.d.writer(folded) != nil {
		return nil, &Error{Kind: Refused, Text: a.Addr + " belongs to an agent"}
	}
	key := store.Key{}.Str(folded)
	if err := w.d.contacts.Lock(w.tx, key); err != nil {
		return nil, err
	}
	row, err := w.d.contacts.Find(w.tx, key)
	if err == nil && row == nil {
		row = &contactRow{Address: folded, Since: w.now}
	}
	return row, err
}

func (w *work) addressesOf(id string) (rows []*contactRow, err error) {
	for row, err := range w.d.contacts.Scan(w.tx, store.Query{Index: byContact, Prefix: store.Key{}.Str(id)}) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	for i, row := range rows { // in the order of their keys, and as they are now
		if err := w.d.contacts.Lock(w.tx, store.Key{}.Str(row.Address)); err != nil {
			return nil, err
		}
		if rows[i], err = w.d.contacts.Get(w.tx, store.Key{}.Str(row.Address)); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// regroup tells each address of a contact the others, and stores what is known
// of it.
func (w *work) regroup(id string, p *profileRow) error {
	rows, err := w.addressesOf(id)
	if err != nil {
		return err
	}
	if len(rows) > maxContactAddresses {
		return &Error{Kind: Refused, Text: "a contact has at most 20 addresses"}
	}
	var all []string
	for _, row := range rows {
		all = append(all, row.Address)
	}
	for _, row := range rows {
		row.Others = slices.DeleteFunc(slices.Clone(all), func(a string) bool { return a == row.Address })
		if err := w.d.contacts.Put(w.tx, row); err != nil {
			return err
		}
	}
	p.Addresses = slices.DeleteFunc(p.Addresses, func(a string) bool { return !slices.Contains(all, a) })
	for _, a := range all {
		if !slices.Contains(p.Addresses, a) {
			p.Addresses = append(p.Addresses, a)
		}
	}
	p.Version++
	return w.d.profiles.Put(w.tx, p)
}
