package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// Directory is who people outside are.
type Directory interface {
	Contact(ctx context.Context, id string) (*ticketing.Contact, error)
	Contacts(ctx context.Context, f ticketing.ContactFilter) ([]*ticketing.Contact, string, error)
	CreateContact(ctx context.Context, by ticketing.Actor, c ticketing.Contact) (*ticketing.Contact, error)
	ChangeContact(ctx context.Context, by ticketing.Actor, id string, c ticketing.ContactChange) (*ticketing.Contact, error)
	AddContactAddress(ctx context.Context, by ticketing.Actor, id, address string) (*ticketing.Contact, error)
	RemoveContactAddress(ctx context.Context, by ticketing.Actor, id, address string) (*ticketing.Contact, error)
	MergeContacts(ctx context.Context, by ticketing.Actor, from, into string) (*ticketing.Contact, error)
	Organizations(ctx context.Context, limit int, cursor string) ([]*ticketing.Organization, string, error)
	Organization(ctx context.Context, id string) (*ticketing.Organization, error)
	PutOrganization(ctx context.Context, by ticketing.Actor, o ticketing.Organization) (*ticketing.Organization, error)
	DeleteOrganization(ctx context.Context, by ticketing.Actor, id string) error
}

var directoryTags = []string{"directory"}

func (a *API) registerDirectory() {
	read, write := []login.Scope{login.ContactsRead}, []login.Scope{login.ContactsWrite}
	add := func(id, method, path, summary string, scopes []login.Scope) operation {
		return operation{huma.Operation{OperationID: id, Method: method, Path: path, Tags: directoryTags, Summary: summary}, scopes}
	}
	register(a, add("list-contacts", http.MethodGet, "/contacts", "List contacts by id, or find the one with an address", read), a.listContacts)
	register(a, add("get-contact", http.MethodGet, "/contacts/{id}", "Read a contact by id or address", read), a.getContact)
	create := add("create-contact", http.MethodPost, "/contacts", "Make a contact of addresses nobody is known under", write)
	create.DefaultStatus = http.StatusCreated
	register(a, create, a.createContact)
	register(a, add("change-contact", http.MethodPatch, "/contacts/{id}", "Change what is known of a contact (merge patch)", write), a.changeContact)
	register(a, add("add-contact-address", http.MethodPut, "/contacts/{id}/addresses/{address}", "Give a contact another address", write), a.addContactAddress)
	register(a, add("remove-contact-address", http.MethodDelete, "/contacts/{id}/addresses/{address}", "Take an address from a contact", write), a.removeContactAddress)
	register(a, add("merge-contact", http.MethodPost, "/contacts/{id}/merge", "Merge a contact into another; its id goes on leading there", write), a.mergeContact)

	register(a, add("list-organizations", http.MethodGet, "/organizations", "List organisations by id", read), a.listOrganizations)
	register(a, add("get-organization", http.MethodGet, "/organizations/{id}", "Read an organisation", read), a.getOrganization)
	create = add("create-organization", http.MethodPost, "/organizations", "Make an organisation", write)
	create.DefaultStatus = http.StatusCreated
	register(a, create, a.createOrganization)
	register(a, add("change-organization", http.MethodPatch, "/organizations/{id}", "Change an organisation (merge patch)", write), a.changeOrganization)
	drop := add("delete-organization", http.MethodDelete, "/organizations/{id}", "Forget an organisation; its contacts stay", write)
	drop.DefaultStatus = http.StatusNoContent
	register(a, drop, a.deleteOrganization)
}

// Contact is a person outside.
type Contact struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Addresses    []string  `json:"addresses" nullable:"false" doc:"the first one is used to write to him"`
	Organization *string   `json:"organization" doc:"an id, if it is not what the domain says"`
	VIP          bool      `json:"vip"`
	Type         *string   `json:"type" doc:"a word of the house's own"`
	Since        time.Time `json:"since"`
}

func contactShape(c *ticketing.Contact) *Contact {
	return &Contact{ID: c.ID, Name: c.Name, Addresses: list(c.Addresses), Organization: orNull(c.Organization), VIP: c.VIP, Type: orNull(c.Type), Since: c.Since.UTC()}
}

type contactOutput struct {
	ETag string `header:"ETag"`
	Body *Contact
}

func contactAnswer(c *ticketing.Contact, err error) (*contactOutput, error) {
	if err != nil {
		return nil, err
	}
	return &contactOutput{ETag: etag(c.Version), Body: contactShape(c)}, nil
}

type listContactsInput struct {
	Address string `query:"address" maxLength:"254" doc:"exactly this one"`
	Limit   int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor  string `query:"cursor" maxLength:"1000"`
}

func (a *API) listContacts(ctx context.Context, in *listContactsInput) (*struct{ Body page[*Contact] }, error) {
	contacts, next, err := a.o.Desk.Contacts(ctx, ticketing.ContactFilter{Address: in.Address, Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return nil, err
	}
	out := &struct{ Body page[*Contact] }{page[*Contact]{Items: []*Contact{}, Next: orNull(next)}}
	for _, c := range contacts {
		out.Body.Items = append(out.Body.Items, contactShape(c))
	}
	return out, nil
}

// ContactID is part of many paths.
type ContactID struct {
	ID string `path:"id" maxLength:"254" doc:"con_…, or one of the contact's addresses"`
}

func (a *API) getContact(ctx context.Context, in *ContactID) (*contactOutput, error) {
	return contactAnswer(a.o.Desk.Contact(ctx, in.ID))
}

type createContactInput struct {
	Body struct {
		Name         string   `json:"name,omitempty" maxLength:"200"`
		Addresses    []string `json:"addresses" minItems:"1" maxItems:"20"`
		Organization string   `json:"organization,omitempty" maxLength:"100"`
		VIP          bool     `json:"vip,omitempty"`
		Type         string   `json:"type,omitempty" maxLength:"64"`
	}
}

func (a *API) createContact(ctx context.Context, in *createContactInput) (*contactOutput, error) {
	b := &in.Body
	return contactAnswer(a.o.Desk.CreateContact(ctx, asking(ctx).identity.Actor, ticketing.Contact{
		Name: b.Name, Addresses: b.Addresses, Organization: b.Organization, VIP: b.VIP, Type: b.Type,
	}))
}

type changeContactInput struct {
	ContactID
	Body struct {
		Name         field[string] `json:"name,omitempty"`
		Organization field[string] `json:"organization,omitempty"`
		VIP          field[bool]   `json:"vip,omitempty"`
		Type         field[string] `json:"type,omitempty"`
	}
}

// wanted is a field's value if it is there; null is the empty one.
func (f field[T]) wanted() *T {
	if !f.set {
		return nil
	}
	v := f.value
	return &v
}

func (a *API) changeContact(ctx context.Context, in *changeContactInput) (*contactOutput, error) {
	b := &in.Body
	return contactAnswer(a.o.Desk.ChangeContact(ctx, asking(ctx).identity.Actor, in.ID, ticketing.ContactChange{
		Name: b.Name.wanted(), Organization: b.Organization.wanted(), Type: b.Type.wanted(), VIP: b.VIP.wanted(),
	}))
}

type contactAddressInput struct {
	ContactID
	Address string `path:"address" maxLength:"254"`
}

func (a *API) addContactAddress(ctx context.Context, in *contactAddressInput) (*contactOutput, error) {
	return contactAnswer(a.o.Desk.AddContactAddress(ctx, asking(ctx).identity.Actor, in.ID, in.Address))
}

func (a *API) removeContactAddress(ctx context.Context, in *contactAddressInput) (*contactOutput, error) {
	return contactAnswer(a.o.Desk.RemoveContactAddress(ctx, asking(ctx).identity.Actor, in.ID, in.Address))
}

type mergeContactInput struct {
	ContactID
	Body struct {
		Into string `json:"into" minLength:"1" maxLength:"254"`
	}
}

func (a *API) mergeContact(ctx context.Context, in *mergeContactInput) (*contactOutput, error) {
	return contactAnswer(a.o.Desk.MergeContacts(ctx, asking(ctx).identity.Actor, in.ID, in.Body.Into))
}

// Organization is a firm that contacts belong to.
type Organization struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	Domains        []string `json:"domains" nullable:"false" doc:"whose addresses belong to it"`
	AccountManager *string  `json:"account_manager" doc:"an agent's id"`
	VIP            bool     `json:"vip"`
	Type           *string  `json:"type" doc:"a word of the house's own"`
}

func organizationShape(o *ticketing.Organization) *Organization {
	return &Organization{ID: o.ID, Name: o.Name, Domains: list(o.Domains), AccountManager: orNull(o.AccountManager), VIP: o.VIP, Type: orNull(o.Type)}
}

type organizationOutput struct {
	ETag string `header:"ETag"`
	Body *Organization
}

func organizationAnswer(o *ticketing.Organization, err error) (*organizationOutput, error) {
	if err != nil {
		return nil, err
	}
	return &organizationOutput{ETag: etag(o.Version), Body: organizationShape(o)}, nil
}

type listOrganizationsInput struct {
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor string `query:"cursor" maxLength:"1000"`
}

func (a *API) listOrganizations(ctx context.Context, in *listOrganizationsInput) (*struct{ Body page[*Organization] }, error) {
	organizations, next, err := a.o.Desk.Organizations(ctx, in.Limit, in.Cursor)
	if err != nil {
		return nil, err
	}
	out := &struct{ Body page[*Organization] }{page[*Organization]{Items: []*Organization{}, Next: orNull(next)}}
	for _, o := range organizations {
		out.Body.Items = append(out.Body.Items, organizationShape(o))
	}
	return out, nil
}

type organizationID struct {
	ID string `path:"id" maxLength:"100"`
}

func (a *API) getOrganization(ctx context.Context, in *organizationID) (*organizationOutput, error) {
	return organizationAnswer(a.o.Desk.Organization(ctx, in.ID))
}

type createOrganizationInput struct {
	Body struct {
		Name           string   `json:"name" minLength:"1" maxLength:"200"`
		Domains        []string `json:"domains,omitempty" maxItems:"50"`
		AccountManager string   `json:"account_manager,omitempty" maxLength:"100"`
		VIP            bool     `json:"vip,omitempty"`
		Type           string   `json:"type,omitempty" maxLength:"64"`
	}
}

func (a *API) createOrganization(ctx context.Context, in *createOrganizationInput) (*organizationOutput, error) {
	return organizationAnswer(a.o.Desk.PutOrganization(ctx, asking(ctx).identity.Actor, ticketing.Organization{
		Name: in.Body.Name, Domains: in.Body.Domains, AccountManager: in.Body.AccountManager,
		VIP: in.Body.VIP, Type: in.Body.Type,
	}))
}

type changeOrganizationInput struct {
	ID   string `path:"id" maxLength:"100"`
	Body struct {
		Name           field[string]   `json:"name,omitempty"`
		Domains        field[[]string] `json:"domains,omitempty"`
		AccountManager field[string]   `json:"account_manager,omitempty"`
		VIP            field[bool]     `json:"vip,omitempty"`
		Type           field[string]   `json:"type,omitempty"`
	}
}

// changeOrganization reads, changes and writes; the version in between makes a
// change that came first win.
func (a *API) changeOrganization(ctx context.Context, in *changeOrganizationInput) (*organizationOutput, error) {
	o, err := a.o.Desk.Organization(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	changed := *o
	if v := in.Body.Name.wanted(); v != nil {
		changed.Name = *v
	}
	if v := in.Body.Domains.wanted(); v != nil {
		changed.Domains = *v
	}
	if v := in.Body.AccountManager.wanted(); v != nil {
		changed.AccountManager = *v
	}
	if v := in.Body.VIP.wanted(); v != nil {
		changed.VIP = *v
	}
	if v := in.Body.Type.wanted(); v != nil {
		changed.Type = *v
	}
	return organizationAnswer(a.o.Desk.PutOrganization(ctx, asking(ctx).identity.Actor, changed))
}

func (a *API) deleteOrganization(ctx context.Context, in *organizationID) (*struct{}, error) {
	return nil, a.o.Desk.DeleteOrganization(ctx, asking(ctx).identity.Actor, in.ID)
}
