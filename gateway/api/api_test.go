package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// TestWho: who may do what. Scope and door decide before anything else.
func TestWho(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, x := range []struct {
		scope        login.Scope
		method, path string
		want         int
	}{
		{login.TicketsRead, "GET", "/tickets", 200},
		{login.TicketsRead, "GET", "/tickets/1001", 200},
		{login.TicketsRead, "GET", "/receipts/rcpt_1", 200},
		{login.TicketsRead, "PATCH", "/tickets/1001", 403},
		{login.TicketsRead, "POST", "/tickets/1001/messages", 403},
		{login.TicketsRead, "GET", "/outbound", 403},
		{login.TicketsRead, "POST", "/intake?to=support@help.example", 403},
		{login.TicketsWrite, "GET", "/tickets", 403},
		{login.TicketsWrite, "PUT", "/tickets/1001/followers/otto", 200},
		{login.OutboundRead, "GET", "/outbound/out_1", 200},
		{login.OutboundRead, "POST", "/outbound/out_1/hold", 403},
		{login.OutboundWrite, "GET", "/outbound", 200},
		{login.OutboundWrite, "POST", "/outbound/out_1/retry", 200},
		{login.Intake, "GET", "/tickets", 403},
		{login.Intake, "GET", "/receipts/rcpt_1", 200},
		{login.MessagesSend, "GET", "/tokens", 403},
		{login.OutboundWrite, "GET", "/reconcile", 403},
		{login.Admin, "GET", "/tokens", 200},
		{login.Admin, "GET", "/tickets", 200},
	} {
		w := s.as(s.token(x.scope), x.method, x.path, "")
		if w.Code != x.want {
			t.Errorf("%s: %s %s = %d, want %d: %s", x.scope, x.method, x.path, w.Code, x.want, w.Body)
		}
		if x.want == 403 {
			wantProblem(t, w, 403, "denied")
		}
	}
}

func TestNoToken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic " + s.admin, "Bearer tgt_x", "Bearer " + s.admin + "x", s.admin} {
		for _, path := range []string{"/tickets", "/nothing/here"} {
			w := s.as("", "GET", path, "", "Authorization", header)
			wantProblem(t, w, 401, "unauthenticated")
			if w.Header().Get("WWW-Authenticate") != `Bearer realm="ticketgate"` {
				t.Errorf("%q: %v", header, w.Header())
			}
		}
	}
	if w := s.as("", "GET", "/tickets", "", "Authorization", "bearer "+s.admin); w.Code != 200 {
		t.Errorf("the scheme's case matters: %d", w.Code)
	}
}

// TestLocal: the socket needs no token and may speak for an agent; the network
// may not.
func TestLocal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const note = `{"visibility":"internal","text":"n"}`
	if w := s.local("POST", "/tickets/1001/messages", note); w.Code != 201 || s.desk.actor != (ticketing.Actor{Kind: "system", Name: "admin"}) {
		t.Errorf("%d %+v", w.Code, s.desk.actor)
	}
	want := ticketing.Actor{Kind: "agent", Agent: "otto", Name: "Otto", Address: "otto@help.example"}
	if w := s.local("POST", "/tickets/1001/messages", note, AgentHeader, "otto"); w.Code != 201 || s.desk.actor != want {
		t.Errorf("%d %+v", w.Code, s.desk.actor)
	}
	wantProblem(t, s.local("POST", "/tickets/1001/messages", note, AgentHeader, "nobody"), 403, "denied")
	wantProblem(t, s.do("POST", "/tickets/1001/messages", note, AgentHeader, "otto"), 403, "denied")
}

// TestAgentToken: a token made for an agent is that agent, until he is gone.
func TestAgentToken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for agent, want := range map[string]int{"otto": 201, "gone": 403} {
		_, secret, err := s.tokens.Create(context.Background(), login.NewToken{Name: "plugin", Agent: agent, Scopes: []login.Scope{login.TicketsWrite}})
		if err != nil {
			t.Fatal(err)
		}
		s.desk.actor = ticketing.Actor{}
		w := s.as(secret, "POST", "/tickets/1001/messages", `{"visibility":"internal","text":"n"}`)
		if w.Code != want || want == 201 && (s.desk.actor.Kind != "agent" || s.desk.actor.Address != "otto@help.example") {
			t.Errorf("%s: %d %+v", agent, w.Code, s.desk.actor)
		}
	}
}

// TestLimitedToken: what is outside a token's queues does not exist for it.
func TestLimitedToken(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.desk.attachment = &ticketing.Attachment{ID: "att_msg_1_1", Filename: "a.txt"}
	s.desk.file = strings.NewReader("")
	scopes := []login.Scope{login.TicketsRead, login.TicketsWrite, login.MessagesSend, login.OutboundWrite, login.Intake}
	sales := s.limited([]string{"sales"}, scopes...)
	support := s.limited([]string{"support"}, scopes...)
	for _, x := range []struct{ method, path, body string }{
		{"GET", "/tickets/1001", ""},
		{"PATCH", "/tickets/1001", `{"status":"solved"}`},
		{"GET", "/tickets/1001/messages", ""},
		{"POST", "/tickets/1001/messages", `{"visibility":"internal","text":"n"}`},
		{"PUT", "/tickets/1001/ccs/bo@customer.example", ""},
		{"DELETE", "/tickets/1001/ccs/bo@customer.example", ""},
		{"PUT", "/tickets/1001/followers/otto", ""},
		{"DELETE", "/tickets/1001/followers/otto", ""},
		{"GET", "/messages/msg_1", ""},
		{"GET", "/messages/msg_1/raw", ""},
		{"GET", "/attachments/att_msg_1_1", ""},
		{"GET", "/receipts/rcpt_1", ""},
		{"GET", "/outbound/out_1", ""},
		{"POST", "/outbound/out_1/hold", ""},
		{"POST", "/outbound/out_1/drop", ""},
	} {
		if w := s.as(support, x.method, x.path, x.body); w.Code >= 300 {
			t.Errorf("inside: %s %s = %d %s", x.method, x.path, w.Code, w.Body)
		}
		wantProblem(t, s.as(sales, x.method, x.path, x.body), 404, "not_found")
	}
	if len(s.outbound.verbs) != 2 {
		t.Errorf("verbs %v", s.outbound.verbs)
	}
	wantJSON(t, s.as(sales, "GET", "/outbound", ""), 200, `{"items":[],"next":null}`)
	wantJSON(t, s.as(sales, "GET", "/tickets?queue=support", ""), 200, `{"items":[],"next":null}`)
	var list page[*Ticket]
	if err := json.Unmarshal(s.as(sales, "GET", "/tickets", "").Body.Bytes(), &list); err != nil || len(list.Items) != 1 || list.Items[0].Number != 1002 || s.desk.filter.Queue != "sales" {
		t.Errorf("%+v %v", list, err)
	}
	w := s.as(sales, "POST", "/intake?to=support@help.example", "x", "Content-Type", "message/rfc822")
	wantProblem(t, w, 404, "not_found")
	w = s.as(sales, "POST", "/tickets", `{"queue":"support","subject":"s","requester":{"address":"a@b.example"},"message":{"visibility":"internal","text":"x"}}`)
	wantProblem(t, w, 422, "invalid")
}

func TestListTickets(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.desk.next = "abc"
	w := s.do("GET", "/tickets?queue=support&status=open,pending&requester=anna@customer.example&assignee=otto&updated_since=2026-02-01T00:00:00%2B01:00&limit=7&cursor=xyz", "")
	want := ticketing.Filter{Queue: "support", Status: "open,pending", Requester: "anna@customer.example", Assignee: "otto", Limit: 7, Cursor: "xyz"}
	got := s.desk.filter
	if !got.UpdatedSince.Equal(time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)) {
		t.Errorf("updated_since %v", got.UpdatedSince)
	}
	got.UpdatedSince = time.Time{}
	if w.Code != 200 || got != want || !strings.Contains(w.Body.String(), `"next":"abc"`) {
		t.Errorf("%d %+v %s", w.Code, got, w.Body)
	}
	if s.do("GET", "/tickets", ""); s.desk.filter.Limit != 50 {
		t.Errorf("default limit %d", s.desk.filter.Limit)
	}
	for _, bad := range []string{"limit=0", "limit=101", "limit=x", "status=opne", "updated_since=yesterday", "colour=red"} {
		p := wantProblem(t, s.do("GET", "/tickets?"+bad, ""), 422, "invalid")
		name, _, _ := strings.Cut(bad, "=")
		if len(p.Errors) != 1 || p.Errors[0].Location != "query."+name {
			t.Errorf("%s: %+v", bad, p.Errors)
		}
	}
}

func TestChangeTicket(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.do("PATCH", "/tickets/1001", `{"status":"solved","assignee":null,"category":"x","tags":null}`, "If-Match", `"7"`, "Content-Type", "application/merge-patch+json")
	c := s.desk.change
	if w.Code != 200 || *c.Status != "solved" || *c.Assignee != "" || *c.Category != "x" || len(*c.Tags) != 0 || c.Priority != nil || c.Subject != nil || c.IfVersion != 7 {
		t.Errorf("%d %s %+v", w.Code, w.Body, c)
	}
	for _, x := range []struct{ body, pointer string }{
		{`{"status":null}`, "/status"},
		{`{"subject":""}`, "/subject"},
		{`{"status":"done"}`, "/status"},
		{`{"priority":"asap"}`, "/priority"},
		{`{"priority":3}`, "/priority"},
		{`{"colour":"red"}`, "/colour"},
		{`{"subject":"` + strings.Repeat("x", 901) + `"}`, "/subject"},
		{`{"tags":[` + strings.Repeat(`"a",`, 50) + `"a"]}`, "/tags"},
	} {
		p := wantProblem(t, s.do("PATCH", "/tickets/1001", x.body), 422, "invalid")
		if len(p.Errors) != 1 || p.Errors[0].Pointer != x.pointer {
			t.Errorf("%.40s: %+v", x.body, p.Errors)
		}
	}
	wantProblem(t, s.do("PATCH", "/tickets/1001", `{`), 400, "malformed")
	wantProblem(t, s.do("PATCH", "/tickets/9", `{}`), 404, "not_found")
	wantProblem(t, s.do("PATCH", "/tickets/0", `{}`), 422, "invalid")
}

// TestIfMatch: a version that is no longer there is 412, whoever notices.
func TestIfMatch(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for match, want := range map[string]int{"": 200, "*": 200, `"7"`: 200, `"6", "7"`: 200, `"6"`: 412, `W/"7"`: 412, "7": 412, "x": 412} {
		if w := s.do("PATCH", "/tickets/1001", `{"status":"open"}`, "If-Match", match); w.Code != want {
			t.Errorf("If-Match %s = %d", match, w.Code)
		}
	}
	s.desk.err = &ticketing.Error{Kind: ticketing.Conflict, Text: "changed meanwhile"}
	wantProblem(t, s.do("PATCH", "/tickets/1001", `{"status":"open"}`, "If-Match", `"7"`), 412, "precondition_failed")
	wantProblem(t, s.do("PATCH", "/tickets/1001", `{"status":"open"}`), 409, "conflict")
}

func TestCreateTicket(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.do("POST", "/tickets", `{"queue":"support","subject":"Fire","requester":{"address":"anna@customer.example","name":"Anna"},"ccs":[{"address":"bo@customer.example"}],
		"priority":"high","tags":["fire"],"assignee":"otto","message":{"visibility":"public","text":"We are on it."}}`)
	n := s.desk.created
	if w.Code != 201 || w.Header().Get("Location") != "/api/v1/tickets/1001" || w.Header().Get("ETag") == "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if n.Queue != "support" || n.Requester.Name != "Anna" || n.CCs[0].Addr != "bo@customer.example" || n.Assignee != "otto" || n.Message.Text != "We are on it." || n.Priority != "high" {
		t.Errorf("%+v", n)
	}
	const good = `{"queue":"support","subject":"s","requester":{"address":"a@b.example"},"message":{"visibility":"public","text":"x"}}`
	for name, x := range map[string]struct{ old, new, pointer string }{
		"queue":      {`"support"`, `"nowhere"`, "/queue"},
		"requester":  {"a@b.example", "not an address", "/requester/address"},
		"with name":  {"a@b.example", "A <a@b.example>", "/requester/address"},
		"subject":    {`"subject":"s",`, "", ""},
		"visibility": {"public", "secret", "/message/visibility"},
	} {
		p := wantProblem(t, s.do("POST", "/tickets", strings.Replace(good, x.old, x.new, 1)), 422, "invalid")
		if len(p.Errors) != 1 || x.pointer != "" && p.Errors[0].Pointer != x.pointer {
			t.Errorf("%s: %+v", name, p.Errors)
		}
	}
	wantProblem(t, s.as(s.token(login.TicketsWrite), "POST", "/tickets", good), 403, "denied")
}

func TestPostMessage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.do("POST", "/tickets/1001/messages", `{"visibility":"public","text":"hi","html":null,"after_message":"msg_1","status":"pending",
		"attachments":[{"filename":"a.txt","content_type":"text/plain","content":"aGVsbG8="}]}`)
	n := s.desk.posted
	if w.Code != 201 || w.Header().Get("Location") != "/api/v1/messages/msg_1" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n.Visibility != "public" || n.Text != "hi" || n.HTML != "" || n.AfterMessage != "msg_1" || n.Status != "pending" || !slices.Equal(s.desk.attachments, []string{"hello"}) {
		t.Errorf("%+v %q", n, s.desk.attachments)
	}
	writer := s.token(login.TicketsWrite)
	wantProblem(t, s.as(writer, "POST", "/tickets/1001/messages", `{"visibility":"public","text":"hi"}`), 403, "denied")
	if w := s.as(writer, "POST", "/tickets/1001/messages", `{"visibility":"internal","text":"hi"}`); w.Code != 201 {
		t.Errorf("a note: %d", w.Code)
	}
	wantProblem(t, s.do("POST", "/tickets/1001/messages", `{"visibility":"public"}`), 422, "invalid")
	wantProblem(t, s.do("POST", "/tickets/1001/messages", `{"text":"visibility decides who reads it, so it must be said"}`), 422, "invalid")
	s.desk.err = &ticketing.Error{Kind: ticketing.Conflict, Text: "somebody answered meanwhile", Newer: s.desk.messages[1:]}
	p := wantProblem(t, s.do("POST", "/tickets/1001/messages", `{"visibility":"public","text":"hi","after_message":"msg_1"}`), 409, "conflict")
	if len(p.Newer) != 1 || p.Newer[0].ID != "msg_2" {
		t.Errorf("newer %+v", p.Newer)
	}
}

// TestNothingIsEchoed: what was sent, a password say, does not come back.
func TestNothingIsEchoed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, x := range []struct{ method, path, body string }{
		{"POST", "/tickets/1001/messages", `{"visibility":"hunter2","text":7,"password":"hunter2"}`},
		{"POST", "/tickets/1001/messages", `{"visibility":{"a":"hunter2"}}`},
		{"POST", "/tickets/1001/messages", `"hunter2"`},
		{"POST", "/tickets/1001/messages", `{"text":hunter2}`},
		{"POST", "/tickets/1001/messages", `{"visibility":"internal","attachments":[{"filename":"x","content":"hunter2!!"}]}`},
		{"PATCH", "/tickets/1001", `{"status":"hunter2"}`},
		{"GET", "/tickets?limit=hunter2", ""},
		{"GET", "/tickets?status=hunter2", ""},
		{"GET", "/tickets?updated_since=hunter2", ""},
		{"GET", "/tickets/hunter2", ""},
		{"POST", "/tokens", `{"scopes":["admin"],"expires":"hunter2"}`},
		{"PUT", "/tickets/1001/ccs/hunter2", ""},
	} {
		w := s.do(x.method, x.path, x.body)
		if w.Code < 400 || w.Code >= 500 || strings.Contains(w.Body.String(), "hunter2") || w.Header().Get("Content-Type") != problemType {
			t.Errorf("%s %s: %d %s", x.method, x.path, w.Code, w.Body)
		}
	}
}

func TestParticipants(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	if w := s.do("PUT", "/tickets/1001/ccs/bo%2Bx@customer.example", ""); w.Code != 200 || s.desk.cc.Addr != "bo+x@customer.example" {
		t.Errorf("%d %s %+v", w.Code, w.Body, s.desk.cc)
	}
	if w := s.do("DELETE", "/tickets/1001/ccs/bo@customer.example", ""); w.Code != 200 || s.desk.cc.Addr != "bo@customer.example" {
		t.Errorf("%d %+v", w.Code, s.desk.cc)
	}
	wantProblem(t, s.do("PUT", "/tickets/1001/ccs/nobody", ""), 422, "invalid")
	wantProblem(t, s.do("PUT", "/tickets/1001/followers/nobody", ""), 404, "not_found")
	if w := s.do("DELETE", "/tickets/1001/followers/otto", ""); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

func TestMessagesPages(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var list struct {
		Items []struct{ ID string }
		Next  *string
	}
	seen := ""
	path := "/tickets/1001/messages?limit=1"
	for range 5 {
		list.Next = nil
		if err := json.Unmarshal(s.do("GET", path, "").Body.Bytes(), &list); err != nil || len(list.Items) != 1 {
			t.Fatalf("%v %+v", err, list)
		}
		seen += list.Items[0].ID + " "
		if list.Next == nil {
			break
		}
		path = "/tickets/1001/messages?limit=1&cursor=" + *list.Next
	}
	if seen != "msg_1 msg_2 " {
		t.Errorf("seen %q", seen)
	}
	wantProblem(t, s.do("GET", "/tickets/1001/messages?cursor=-1", ""), 422, "invalid")
}

func TestIntake(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	raw := "Subject: x\r\n\r\n" + strings.Repeat("line\r\n", 1000)
	w := s.do("POST", "/intake?to=support@help.example&to=sales@help.example&from=anna@customer.example", raw, "Content-Type", "message/rfc822")
	if w.Code != 201 || w.Header().Get("Location") != "/api/v1/receipts/rcpt_1" || s.intake.body != raw {
		t.Fatalf("%d %s, %d bytes", w.Code, w.Body, len(s.intake.body))
	}
	m := s.intake.mail
	if !slices.Equal(m.To, []string{"support@help.example", "sales@help.example"}) || m.From != "anna@customer.example" || m.Peer.String() != "192.0.2.1" || !strings.HasPrefix(m.Token, "tok_") {
		t.Errorf("%+v", m)
	}
	if w := s.local("POST", "/intake?to=support@help.example", raw, "Content-Type", "message/rfc822"); w.Code != 201 || s.intake.mail.From != "" || s.intake.mail.Token != "" {
		t.Errorf("%d %+v", w.Code, s.intake.mail)
	}
	// A recipient has one outcome, however often it is named; Postfix's pipe has
	// a word for the null sender.
	if w := s.local("POST", "/intake?to=support@help.example&to=support@help.example&from=MAILER-DAEMON", raw, "Content-Type", "message/rfc822"); w.Code != 201 ||
		s.intake.mail.From != "" || s.intake.mail.NoFrom || len(s.intake.mail.To) != 1 || s.intake.body != raw {
		t.Errorf("%d %+v", w.Code, s.intake.mail)
	}
	for _, from := range []string{"garbage", "a@b.example%0d%0a", "%00", "a@", "postmaster", "<a@b.example>x", strings.Repeat("a", 65) + "@b.example"} {
		wantProblem(t, s.do("POST", "/intake?to=support@help.example&from="+from, raw, "Content-Type", "message/rfc822"), 422, "invalid")
		wantProblem(t, s.do("POST", "/policy/explain?to=support@help.example&from="+from, raw, "Content-Type", "message/rfc822"), 422, "invalid")
	}
	wantProblem(t, s.do("POST", "/intake?to=support@help.example", "", "Content-Type", "message/rfc822"), 422, "invalid")
	wantProblem(t, s.do("POST", "/intake?to=support@help.example", raw), 415, "unsupported_media_type")
	wantProblem(t, s.do("POST", "/intake", raw, "Content-Type", "message/rfc822"), 422, "invalid")
	wantProblem(t, s.do("POST", "/intake?to=nobody@help.example", raw, "Content-Type", "message/rfc822"), 404, "not_found")
	for kind, want := range map[ticketing.Kind]int{ticketing.TooBig: 413, ticketing.Busy: 503, ticketing.NoSpace: 507, ticketing.Refused: 403} {
		s.intake.err = &ticketing.Error{Kind: kind, Text: "no"}
		if w := s.do("POST", "/intake?to=support@help.example", raw, "Content-Type", "message/rfc822"); w.Code != want {
			t.Errorf("kind %d: %d", kind, w.Code)
		}
	}
	s.intake.err = nil
	wantProblem(t, s.do("POST", "/intake?to=support@help.example", strings.Repeat("x", 8<<20), "Content-Type", "message/rfc822"), 413, "too_big")
	wantProblem(t, s.do("POST", "/tickets/1001/messages", `{"visibility":"internal","text":"`+strings.Repeat("x", 3<<20)+`"}`), 413, "too_big")
}

// While the outbound queue is full nothing is taken that would have to be mailed;
// everything else goes on.
func TestAdmission(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.api.o.Admit = func(context.Context) error {
		return fmt.Errorf("count: %w", &ticketing.Error{Kind: ticketing.Full, Text: "calm words", Err: errDisk})
	}
	const ticket = `{"queue":"support","subject":"x","requester":{"address":"anna@customer.example"},"message":{"visibility":"%s","text":"hi"}}`
	for _, c := range []struct{ path, body string }{
		{"/tickets/1001/messages", `{"visibility":"public","text":"hi"}`}, {"/tickets", fmt.Sprintf(ticket, "public")},
	} {
		w := s.do("POST", c.path, c.body)
		if p := wantProblem(t, w, 429, "outbound_full"); p.Detail != "calm words" || w.Header().Get("Retry-After") != "60" {
			t.Errorf("%s: %+v, %v", c.path, p, w.Header())
		}
		if w := s.do("POST", c.path, strings.Replace(c.body, "public", "internal", 1)); w.Code != 201 {
			t.Errorf("%s, internal: %d %s", c.path, w.Code, w.Body)
		}
	}
	if w := s.do("GET", "/tickets/1001", ""); w.Code != 200 {
		t.Errorf("reading: %d", w.Code)
	}
}

// TestKinds: every class of error has its own wire, and nothing of ours leaks.
func TestKinds(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for kind, want := range map[ticketing.Kind]wire{
		ticketing.Internal: {500, "internal"}, ticketing.Unknown: {404, "not_found"}, ticketing.Refused: {403, "refused"},
		ticketing.Invalid: {422, "invalid"}, ticketing.TooBig: {413, "too_big"}, ticketing.Busy: {503, "busy"},
		ticketing.NoSpace: {507, "no_space"}, ticketing.Conflict: {409, "conflict"}, ticketing.Denied: {403, "denied"},
		ticketing.Full: {429, "outbound_full"}, ticketing.Kind(200): {500, "internal"},
	} {
		s.desk.err = fmt.Errorf("wrapped: %w", &ticketing.Error{Kind: kind, Text: "calm words", Err: errDisk})
		w := s.do("GET", "/tickets", "")
		if (w.Header().Get("Retry-After") != "") != (kind == ticketing.Busy || kind == ticketing.Full) {
			t.Errorf("kind %d: Retry-After %q", kind, w.Header().Get("Retry-After"))
		}
		if p := wantProblem(t, w, want.status, want.code); p.Detail != "calm words" {
			t.Errorf("kind %d: %s", kind, p.Detail)
		}
	}
	s.desk.err = errDisk
	p := wantProblem(t, s.do("GET", "/tickets", ""), 500, "internal")
	if strings.Contains(p.Detail, "disk") {
		t.Errorf("the operator's story is told to the client: %s", p.Detail)
	}
	if log := s.log.String(); !strings.Contains(log, "on fire") || !strings.Contains(log, p.RequestID) {
		t.Errorf("the log lacks the story: %s", log)
	}
	s.log.Reset()
	s.desk.err = nil
	s.do("GET", "/tickets", "")
	if strings.Contains(s.log.String(), s.admin) {
		t.Error("the token is in the log")
	}
}

func TestOutboundVerbs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for verb, want := range map[string]int{"hold": 200, "release": 200, "retry": 200, "drop": 204} {
		w := s.local("POST", "/outbound/out_1/"+verb, `{"reason":"wrong attachment"}`, AgentHeader, "otto")
		if w.Code != want || want == 204 && w.Body.Len() != 0 {
			t.Errorf("%s: %d %s", verb, w.Code, w.Body)
		}
		if w := s.local("POST", "/outbound/out_1/"+verb, ""); w.Code != want {
			t.Errorf("%s without a body: %d %s", verb, w.Code, w.Body)
		}
		wantProblem(t, s.local("POST", "/outbound/out_2/"+verb, ""), 404, "not_found")
	}
	if !slices.Contains(s.outbound.verbs, "hold otto wrong attachment") || !slices.Contains(s.outbound.verbs, "drop admin ") || len(s.outbound.verbs) != 8 {
		t.Errorf("%q", s.outbound.verbs)
	}
	s.outbound.err = &ticketing.Error{Kind: ticketing.Conflict, Text: "an attempt is under way"}
	for _, verb := range []string{"hold", "release", "retry", "drop"} {
		wantProblem(t, s.do("POST", "/outbound/out_1/"+verb, ""), 409, "conflict")
	}
	s.do("GET", "/outbound?state=held&to=@customer.example&ticket=5&class=bulk&limit=3&cursor=c", "")
	if want := (ParcelFilter{State: "held", To: "@customer.example", Ticket: 5, Class: "bulk", Limit: 3, Cursor: "c"}); s.outbound.filter != want {
		t.Errorf("%+v", s.outbound.filter)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.local("POST", "/tokens", `{"name":"crm","scopes":["tickets:read"],"queues":["support"],"agent":"otto","expires":"90d"}`)
	var made struct {
		Token, ID string
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 201 || !strings.HasPrefix(made.Token, "tgt_") || !made.ExpiresAt.Equal(noon.AddDate(0, 0, 90)) {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	wantJSON(t, w, 201, fmt.Sprintf(`{"token":%q,"id":%q,"name":"crm","scopes":["tickets:read"],"queues":["support"],"agent":"otto",
		"created_at":"2026-03-01T12:00:00Z","created_by":"admin","expires_at":"2026-05-30T12:00:00Z","expired":false}`, made.Token, made.ID))
	if w := s.as(made.Token, "GET", "/tickets/1001", ""); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
	list := s.do("GET", "/tokens", "")
	if !strings.Contains(list.Body.String(), made.ID) || strings.Contains(list.Body.String(), made.Token) || strings.Contains(list.Body.String(), "hash") {
		t.Errorf("%s", list.Body)
	}
	if w := s.do("DELETE", "/tokens/"+made.ID, ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, s.as(made.Token, "GET", "/tickets/1001", ""), 401, "unauthenticated")
	wantProblem(t, s.do("DELETE", "/tokens/"+made.ID, ""), 404, "not_found")
	// As the command line asks for it.
	if w := s.local("POST", "/tokens", `{"name":"","scopes":["admin"],"queues":null}`); w.Code != 201 || !strings.Contains(w.Body.String(), `"expires_at":null`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, bad := range []string{`{}`, `{"scopes":[]}`, `{"scopes":["root"]}`, `{"scopes":["intake"],"queues":["nowhere"]}`, `{"scopes":["intake"],"agent":"nobody"}`,
		`{"scopes":["intake"],"expires":"d"}`, `{"scopes":["intake"],"expires":"-1d"}`, `{"scopes":["intake"],"expires":"9999999d"}`, `{"scopes":["intake"],"expires":"2020-01-01T00:00:00Z"}`, `{"scopes":["intake"],"expires":"5"}`} {
		wantProblem(t, s.local("POST", "/tokens", bad), 422, "invalid")
	}
}

func TestNothingThere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantProblem(t, s.do("GET", "/nothing", ""), 404, "not_found")
	wantProblem(t, s.do("GET", "/docs", ""), 404, "not_found")
	wantProblem(t, s.do("GET", "/schemas/Ticket.json", ""), 404, "not_found")
	w := s.do("DELETE", "/tickets/1001", "")
	wantProblem(t, w, 405, "method_not_allowed")
	if diff := cmp.Diff([]string{"GET", "PATCH"}, w.Header()["Allow"]); diff != "" {
		t.Error(diff)
	}
}

// TestPanic: one request fails, the connection breaks, the rest goes on.
func TestPanic(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	h := s.api.wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if r := recover(); r != http.ErrAbortHandler {
				t.Errorf("recovered %v", r)
			}
		}()
		h.ServeHTTP(w, httptest.NewRequest("GET", Base+"/tickets", nil))
	}()
	wantProblem(t, w, 500, "internal")
	if !strings.Contains(s.log.String(), "boom") {
		t.Error("the panic is not in the log")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.do("GET", "/tickets/1001", "")
	s.do("GET", "/tickets/1002", "")
	s.do("BREW", "/tickets/1002", "")
	s.do("GET", "/some/guess", "")
	s.as("", "GET", "/tickets", "")
	want := `# HELP ticketgate_http_requests_total HTTP requests by route pattern, method and status.
# TYPE ticketgate_http_requests_total counter
ticketgate_http_requests_total{code="200",handler="/api/v1/tickets/{number}",method="GET"} 2
ticketgate_http_requests_total{code="401",handler="/api/v1/tickets",method="GET"} 1
ticketgate_http_requests_total{code="404",handler="other",method="GET"} 1
ticketgate_http_requests_total{code="405",handler="other",method="other"} 1
`
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(want), "ticketgate_http_requests_total"); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(s.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.do("GET", "/tickets", "", "Origin", "https://evil.example")
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Type": "application/json", "Access-Control-Allow-Origin": ""} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if strings.Contains(w.Body.String(), "$schema") || w.Header().Get("Link") != "" {
		t.Error("links to schemas")
	}
	srv := s.api.Server(s.api.Handler())
	if srv.ReadHeaderTimeout == 0 || srv.ReadTimeout == 0 || srv.WriteTimeout == 0 || srv.IdleTimeout == 0 || srv.MaxHeaderBytes == 0 {
		t.Errorf("%+v", srv)
	}
}

// TestServer: over a real connection, where a mail streams through.
func TestServer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = s.api.Server(s.api.Handler())
	srv.Start()
	defer srv.Close()
	req, err := http.NewRequest("POST", srv.URL+Base+"/intake?to=support@help.example", io.MultiReader(strings.NewReader("Subject: a\r\n"), bytes.NewReader([]byte("\r\nb\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.admin)
	req.Header.Set("Content-Type", "message/rfc822")
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 201 || s.intake.body != "Subject: a\r\n\r\nb\r\n" {
		t.Errorf("%d %q", res.StatusCode, s.intake.body)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	good := s.api.o
	for name, change := range map[string]func(*Options){
		"desk":         func(o *Options) { o.Desk = nil },
		"tokens":       func(o *Options) { o.Tokens = nil },
		"clock":        func(o *Options) { o.Now = nil },
		"size":         func(o *Options) { o.MaxMessage = 0 },
		"taken metric": func(*Options) {},
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// brokenTokens fails as a store does.
type brokenTokens struct{ Tokens }

func (brokenTokens) Verify(context.Context, string) (*login.Identity, error) {
	return nil, errors.New("disk on fire")
}

func TestStoreFailsAtLogin(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.api.o.Tokens = brokenTokens{}
	wantProblem(t, s.do("GET", "/tickets", ""), 500, "internal")
}
