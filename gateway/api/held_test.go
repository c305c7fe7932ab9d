package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
)

func (d *fakeDesk) Held(_ context.Context, f ticketing.HeldFilter) ([]*ticketing.Held, string, error) {
	d.heldFilter = f
	return d.held, d.next, d.err
}

func (d *fakeDesk) HeldItem(_ context.Context, id string) (*ticketing.Held, error) {
	for _, h := range d.held {
		if h.ID == id {
			return h, nil
		}
	}
	return nil, unknown
}

func (d *fakeDesk) HeldRaw(ctx context.Context, h *ticketing.Held) (*blob.Reader, error) {
	return d.blobs.Open(ctx, h.Raw.SHA256)
}

func (d *fakeDesk) decide(by ticketing.Actor, verb, id string) (*ticketing.Held, error) {
	d.actor, d.decided = by, append(d.decided, verb+" "+id)
	return d.held[0], d.err
}

func (d *fakeDesk) Release(_ context.Context, by ticketing.Actor, id string) (*ticketing.Held, error) {
	return d.decide(by, "release", id)
}

func (d *fakeDesk) Discard(_ context.Context, by ticketing.Actor, id string) (*ticketing.Held, error) {
	return d.decide(by, "discard", id)
}

func (d *fakeDesk) Attach(_ context.Context, by ticketing.Actor, id string, ticket uint64) (*ticketing.Held, error) {
	return d.decide(by, fmt.Sprintf("attach to %d", ticket), id)
}

// heldStage holds two mails, one per queue.
func heldStage(t *testing.T) *stage {
	s := newStage(t)
	s.desk.held = []*ticketing.Held{
		{ID: "held_1", Queue: "support", Recipient: "support@help.example", Reason: "failed_authentication", Detail: "dmarc_quarantine", State: "held", Receipt: "rcpt_1",
			From: "anna@customer.example", FromName: "Anna", Subject: "Printer on fire", Raw: s.desk.messages[0].Raw,
			Envelope:   ticketing.Envelope{From: "anna@customer.example", To: []string{"support@help.example"}, RemoteIP: "192.0.2.7", HELO: "mx.customer.example", Source: "smtp"},
			Auth:       ticketing.Verdict{DMARC: ticketing.AuthResult{Result: "fail", Domain: "customer.example", Policy: "quarantine", Disposition: "quarantine"}, Trust: "T0"},
			ReceivedAt: noon, ExpiresAt: noon.AddDate(0, 0, 30)},
		{ID: "held_2", Queue: "sales", Reason: "blank", State: "released", SettledAt: noon, SettledBy: "agent:otto", Ticket: 1002, Message: "msg_9", ReceivedAt: noon, ExpiresAt: noon},
	}
	return s
}

func TestHeldShape(t *testing.T) {
	t.Parallel()
	s := heldStage(t)
	sum := s.desk.held[0].Raw.SHA256
	wantJSON(t, s.do("GET", "/held/held_1", ""), 200, fmt.Sprintf(`{"id":"held_1","reason":"failed_authentication","detail":"dmarc_quarantine","state":"held","queue":"support",
		"recipient":"support@help.example","receipt":"rcpt_1","from":"anna@customer.example","from_name":"Anna","subject":"Printer on fire",
		"envelope":{"from":"anna@customer.example","to":["support@help.example"],"remote_ip":"192.0.2.7","helo":"mx.customer.example","tls":false,"source":"smtp"},
		"auth":%s,
		"raw_sha256":%q,"raw_size":21,"received_at":"2026-03-01T12:00:00Z","expires_at":"2026-03-31T12:00:00Z","settled_at":null,"settled_by":null,"ticket":null,"message":null}`,
		mustJSON(t, authShape(s.desk.held[0].Auth)), sum))
	s.desk.next = "more"
	s.desk.held[1].Raw = blob.Ref{SHA256: "ab"}
	empty := mustJSON(t, authShape(ticketing.Verdict{}))
	s.desk.held = s.desk.held[1:]
	wantJSON(t, s.do("GET", "/held?reason=blank&queue=sales&state=released&limit=7&cursor=c", ""), 200, fmt.Sprintf(`{"items":[{"id":"held_2","reason":"blank","detail":null,"state":"released",
		"queue":"sales","recipient":"","receipt":"","from":"","from_name":"","subject":"","envelope":null,"auth":%s,"raw_sha256":"ab","raw_size":0,
		"received_at":"2026-03-01T12:00:00Z","expires_at":"2026-03-01T12:00:00Z","settled_at":"2026-03-01T12:00:00Z","settled_by":"agent:otto","ticket":1002,"message":"msg_9"}],"next":"more"}`, empty))
	if want := (ticketing.HeldFilter{Reason: "blank", Queue: "sales", State: "released", Limit: 7, Cursor: "c"}); s.desk.heldFilter != want {
		t.Errorf("filter %+v", s.desk.heldFilter)
	}
	s.do("GET", "/held", "")
	if want := (ticketing.HeldFilter{State: "held", Limit: 50}); s.desk.heldFilter != want {
		t.Errorf("filter %+v", s.desk.heldFilter)
	}
}

func TestHeldDecisions(t *testing.T) {
	t.Parallel()
	s := heldStage(t)
	for _, x := range []struct{ verb, body string }{{"release", ""}, {"attach", `{"ticket":1001}`}, {"discard", ""}} {
		if w := s.local("POST", "/held/held_1/"+x.verb, x.body, AgentHeader, "otto"); w.Code != 200 || s.desk.actor.Agent != "otto" {
			t.Errorf("%s: %d %s by %+v", x.verb, w.Code, w.Body, s.desk.actor)
		}
		wantProblem(t, s.local("POST", "/held/held_3/"+x.verb, x.body), 404, "not_found")
	}
	if want := []string{"release held_1", "attach to 1001 held_1", "discard held_1"}; !slices.Equal(s.desk.decided, want) {
		t.Errorf("decided %q", s.desk.decided)
	}
	wantProblem(t, s.do("POST", "/held/held_1/attach", `{"ticket":4711}`), 404, "not_found")
	for _, bad := range []string{`{}`, `{"ticket":0}`, `{"ticket":"x"}`} {
		wantProblem(t, s.do("POST", "/held/held_1/attach", bad), 422, "invalid")
	}
	wantProblem(t, s.do("GET", "/held?state=lost", ""), 422, "invalid")
	s.desk.err = &ticketing.Error{Kind: ticketing.Conflict, Text: "the mail is on ticket 7 already"}
	wantProblem(t, s.do("POST", "/held/held_1/discard", ""), 409, "conflict")
	if w := s.do("GET", "/held/held_1/raw", ""); w.Code != 200 || w.Body.String() != "Subject: x\r\n\r\nhello\r\n" || w.Header().Get("Content-Disposition") != `attachment; filename="held_1.eml"` {
		t.Errorf("raw: %d %q %v", w.Code, w.Body, w.Header())
	}
}

// Who may see and decide: by scope, and by queue.
func TestHeldRights(t *testing.T) {
	t.Parallel()
	s := heldStage(t)
	for _, x := range []struct {
		scope        login.Scope
		method, path string
		want         int
	}{
		{login.TicketsRead, "GET", "/held", 200}, {login.TicketsRead, "GET", "/held/held_1", 200}, {login.TicketsRead, "GET", "/held/held_1/raw", 200},
		{login.TicketsRead, "POST", "/held/held_1/release", 403}, {login.TicketsWrite, "GET", "/held", 403}, {login.TicketsWrite, "POST", "/held/held_1/discard", 200},
		{login.OutboundWrite, "POST", "/held/held_1/release", 403}, {login.Intake, "GET", "/held", 403},
	} {
		if w := s.as(s.token(x.scope), x.method, x.path, ""); w.Code != x.want {
			t.Errorf("%s: %s %s = %d", x.scope, x.method, x.path, w.Code)
		}
	}
	sales := s.limited([]string{"sales"}, login.TicketsRead, login.TicketsWrite)
	before := len(s.desk.decided)
	for _, x := range []struct{ method, path, body string }{
		{"GET", "/held/held_1", ""}, {"GET", "/held/held_1/raw", ""}, {"POST", "/held/held_1/release", ""}, {"POST", "/held/held_1/discard", ""},
		{"POST", "/held/held_1/attach", `{"ticket":1002}`}, {"POST", "/held/held_2/attach", `{"ticket":1001}`},
	} {
		wantProblem(t, s.as(sales, x.method, x.path, x.body), 404, "not_found")
	}
	if len(s.desk.decided) != before {
		t.Errorf("decided %q", s.desk.decided)
	}
	if w := s.as(sales, "GET", "/held", ""); w.Code != 200 || s.desk.heldFilter.Queue != "sales" {
		t.Errorf("%d %+v", w.Code, s.desk.heldFilter)
	}
	wantJSON(t, s.as(sales, "GET", "/held?queue=support", ""), 200, `{"items":[],"next":null}`)
	both := s.limited([]string{"sales", "else"}, login.TicketsRead)
	var got page[*HeldMail]
	if err := json.Unmarshal(s.as(both, "GET", "/held", "").Body.Bytes(), &got); err != nil || len(got.Items) != 1 || got.Items[0].ID != "held_2" {
		t.Errorf("%+v, %v", got.Items, err)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
