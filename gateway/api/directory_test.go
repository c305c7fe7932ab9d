package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

func (d *fakeDesk) Queues() []*ticketing.Queue {
	a, _ := d.Queue("support")
	b, _ := d.Queue("sales")
	return []*ticketing.Queue{a, b}
}

func (d *fakeDesk) Agents() []*ticketing.Agent {
	a, _ := d.Agent("otto")
	return []*ticketing.Agent{a}
}

func (d *fakeDesk) Serves(string) []string { return []string{"support"} }

var fakeContact = &ticketing.Contact{ID: "con_1", Name: "Anna", Addresses: []string{"anna@customer.example"}, VIP: true, Type: "partner", Since: time.Unix(0, 0), Version: 3}

func (d *fakeDesk) known(by ticketing.Actor, what ...string) (*ticketing.Contact, error) {
	d.actor, d.decided = by, append(d.decided, strings.Join(what, " "))
	if d.err == nil && what[1] == "con_none" {
		return nil, unknown
	}
	return fakeContact, d.err
}

func (d *fakeDesk) Contact(_ context.Context, id string) (*ticketing.Contact, error) {
	return d.known(ticketing.Actor{}, "read", id)
}

func (d *fakeDesk) Contacts(_ context.Context, f ticketing.ContactFilter) ([]*ticketing.Contact, string, error) {
	return []*ticketing.Contact{fakeContact}, d.next, d.err
}

func (d *fakeDesk) CreateContact(_ context.Context, by ticketing.Actor, c ticketing.Contact) (*ticketing.Contact, error) {
	return d.known(by, "create", c.Addresses[0])
}

func (d *fakeDesk) ChangeContact(_ context.Context, by ticketing.Actor, id string, c ticketing.ContactChange) (*ticketing.Contact, error) {
	what := []string{"change", id}
	if c.Name != nil {
		what = append(what, "name="+*c.Name)
	}
	if c.VIP != nil {
		what = append(what, "vip")
	}
	return d.known(by, what...)
}

func (d *fakeDesk) AddContactAddress(_ context.Context, by ticketing.Actor, id, address string) (*ticketing.Contact, error) {
	return d.known(by, "add", id, address)
}

func (d *fakeDesk) RemoveContactAddress(_ context.Context, by ticketing.Actor, id, address string) (*ticketing.Contact, error) {
	return d.known(by, "remove", id, address)
}

func (d *fakeDesk) MergeContacts(_ context.Context, by ticketing.Actor, from, into string) (*ticketing.Contact, error) {
	return d.known(by, "merge", from, into)
}

var fakeFirm = &ticketing.Organization{ID: "org_1", Name: "Customer Ltd", Domains: []string{"customer.example"}, AccountManager: "otto", VIP: true, Type: "partner", Version: 1}

func (d *fakeDesk) Organizations(context.Context, int, string) ([]*ticketing.Organization, string, error) {
	return []*ticketing.Organization{fakeFirm}, "", d.err
}

func (d *fakeDesk) Organization(_ context.Context, id string) (*ticketing.Organization, error) {
	if id != "org_1" {
		return nil, unknown
	}
	return fakeFirm, d.err
}

func (d *fakeDesk) PutOrganization(_ context.Context, by ticketing.Actor, o ticketing.Organization) (*ticketing.Organization, error) {
	d.actor, d.decided = by, append(d.decided, "put "+o.ID+" "+o.Name+" "+strings.Join(o.Domains, ","))
	return &o, d.err
}

func (d *fakeDesk) DeleteOrganization(_ context.Context, by ticketing.Actor, id string) error {
	d.actor, d.decided = by, append(d.decided, "delete "+id)
	return d.err
}

func (d *fakeDesk) Secrets(context.Context) ([]ticketing.Secret, error) {
	return []ticketing.Secret{{Sort: "address", Epoch: 1, Created: time.Unix(0, 0), Newest: true}}, d.err
}

func (d *fakeDesk) Rotate(_ context.Context, by ticketing.Actor, sort string) (*ticketing.Secret, error) {
	d.actor = by
	return &ticketing.Secret{Sort: sort, Epoch: 2, Created: time.Unix(0, 0), Newest: true}, d.err
}

func (d *fakeDesk) Revoke(_ context.Context, by ticketing.Actor, sort string, epoch uint8) (*ticketing.Secret, error) {
	d.actor = by
	return &ticketing.Secret{Sort: sort, Epoch: epoch, Created: time.Unix(0, 0), Revoked: time.Unix(0, 0)}, d.err
}

const (
	annaJSON = `{"id":"con_1","name":"Anna","addresses":["anna@customer.example"],"organization":null,"vip":true,"type":"partner","since":"1970-01-01T00:00:00Z"}`
	firmJSON = `{"id":"org_1","name":"Customer Ltd","domains":["customer.example"],"account_manager":"otto","vip":true,"type":"partner"}`
)

func TestDirectory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantJSON(t, s.do("GET", "/contacts?address=anna@customer.example", ""), 200, `{"items":[`+annaJSON+`],"next":null}`)
	wantJSON(t, s.do("GET", "/contacts/anna@customer.example", ""), 200, annaJSON)
	wantProblem(t, s.do("GET", "/contacts/con_none", ""), 404, "not_found")
	wantJSON(t, s.do("POST", "/contacts", `{"addresses":["new@customer.example"]}`), 201, annaJSON)
	wantProblem(t, s.do("POST", "/contacts", `{"addresses":[]}`), 422, "invalid")
	wantJSON(t, s.do("PATCH", "/contacts/con_1", `{"name":"A","vip":false}`), 200, annaJSON)
	wantJSON(t, s.do("PUT", "/contacts/con_1/addresses/a@b.example", ""), 200, annaJSON)
	wantJSON(t, s.do("DELETE", "/contacts/con_1/addresses/a@b.example", ""), 200, annaJSON)
	wantJSON(t, s.do("POST", "/contacts/con_1/merge", `{"into":"con_2"}`), 200, annaJSON)
	want := "read anna@customer.example, read con_none, create new@customer.example, change con_1 name=A vip, add con_1 a@b.example, remove con_1 a@b.example, merge con_1 con_2"
	if got := strings.Join(s.desk.decided, ", "); got != want {
		t.Errorf("asked %s", got)
	}
	s.desk.decided = nil
	wantJSON(t, s.do("GET", "/organizations", ""), 200, `{"items":[`+firmJSON+`],"next":null}`)
	wantJSON(t, s.do("GET", "/organizations/org_1", ""), 200, firmJSON)
	wantProblem(t, s.do("GET", "/organizations/org_2", ""), 404, "not_found")
	if w := s.do("POST", "/organizations", `{"name":"Other","domains":["o.example"]}`); w.Code != 201 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.do("PATCH", "/organizations/org_1", `{"domains":["c.example"]}`); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.do("DELETE", "/organizations/org_1", ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := strings.Join(s.desk.decided, ", "); got != "put  Other o.example, put org_1 Customer Ltd c.example, delete org_1" {
		t.Errorf("asked %s", got)
	}
	reader := s.token(login.ContactsRead)
	if w := s.as(reader, "GET", "/contacts", ""); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, s.as(reader, "PATCH", "/contacts/con_1", `{"name":"A"}`), 403, "denied")
	wantProblem(t, s.as(s.token(login.TicketsWrite), "GET", "/organizations", ""), 403, "denied")
}

func TestStaffAndSecrets(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	otto := `{"id":"otto","name":"Otto","addresses":["otto@help.example"],"role":"full","queues":["support"]}`
	wantJSON(t, s.do("GET", "/agents", ""), 200, `{"items":[`+otto+`],"next":null}`)
	wantJSON(t, s.do("GET", "/agents/otto", ""), 200, otto)
	wantProblem(t, s.do("GET", "/agents/nobody", ""), 404, "not_found")
	sales := `{"id":"sales","name":"sales","address":"","aliases":[],"agents":[],"cc":"","max_ccs":0,"auto_ack":false,"reply_all":"","rewriters":[]}`
	seller := s.limited([]string{"sales"}, login.TicketsRead)
	wantJSON(t, s.as(seller, "GET", "/queues", ""), 200, `{"items":[`+sales+`],"next":null}`)
	wantJSON(t, s.as(seller, "GET", "/queues/sales", ""), 200, sales)
	wantProblem(t, s.as(seller, "GET", "/queues/support", ""), 404, "not_found")

	wantJSON(t, s.do("GET", "/secrets", ""), 200, `{"items":[{"sort":"address","epoch":1,"created_at":"1970-01-01T00:00:00Z","revoked_at":null,"signs":true}],"next":null}`)
	wantJSON(t, s.do("POST", "/secrets/id/rotate", ""), 201, `{"sort":"id","epoch":2,"created_at":"1970-01-01T00:00:00Z","revoked_at":null,"signs":true}`)
	wantJSON(t, s.do("DELETE", "/secrets/id/1", ""), 200, `{"sort":"id","epoch":1,"created_at":"1970-01-01T00:00:00Z","revoked_at":"1970-01-01T00:00:00Z","signs":false}`)
	wantProblem(t, s.do("POST", "/secrets/moon/rotate", ""), 422, "invalid")
	wantProblem(t, s.as(s.token(login.TicketsWrite), "GET", "/secrets", ""), 403, "denied")
}
