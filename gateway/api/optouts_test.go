package api

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

var _ OptOuts = (*ticketing.Desk)(nil)

func (d *fakeDesk) OptOuts(_ context.Context, limit int, cursor string) ([]*ticketing.OptOut, string, error) {
	return []*ticketing.OptOut{{Address: "anna@customer.example", Reason: "link", Since: noon, By: "contact:anna@customer.example", Ticket: 1001}}, cursor, d.err
}

func (d *fakeDesk) AddOptOut(_ context.Context, by ticketing.Actor, address string) (*ticketing.OptOut, error) {
	d.actor = by
	return &ticketing.OptOut{Address: address, Reason: "asked", Since: noon, By: "agent:otto"}, d.err
}

func (d *fakeDesk) RemoveOptOut(_ context.Context, by ticketing.Actor, address string) error {
	d.actor = by
	d.decided = append(d.decided, "opted in "+address)
	return d.err
}

func (d *fakeDesk) Unsubscribing(token string) (string, error) {
	if token != "good" {
		return "", unknown
	}
	return `<b>"anna"@customer.example`, nil
}

func (d *fakeDesk) Unsubscribe(_ context.Context, token string) (string, error) {
	if d.err != nil {
		return "", d.err
	}
	address, err := d.Unsubscribing(token)
	if err == nil {
		d.decided = append(d.decided, "opted out "+address)
	}
	return address, err
}

func TestOptOuts(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	wantJSON(t, s.do("GET", "/opt-outs?cursor=c", ""), 200, `{"items":[{"address":"anna@customer.example","reason":"link","detail":null,"since":"2026-03-01T12:00:00Z",
		"by":"contact:anna@customer.example","ticket":1001,"message":null}],"next":"c"}`)
	w := s.local("POST", "/opt-outs", `{"address":"bo@customer.example"}`, AgentHeader, "otto")
	wantJSON(t, w, 201, `{"address":"bo@customer.example","reason":"asked","detail":null,"since":"2026-03-01T12:00:00Z","by":"agent:otto","ticket":null,"message":null}`)
	if s.desk.actor.Agent != "otto" {
		t.Errorf("%+v", s.desk.actor)
	}
	if w := s.do("DELETE", "/opt-outs/bo@customer.example", ""); w.Code != 204 || s.desk.decided[0] != "opted in bo@customer.example" {
		t.Errorf("%d %v", w.Code, s.desk.decided)
	}
	wantProblem(t, s.do("POST", "/opt-outs", `{}`), 422, "invalid")
	wantProblem(t, s.as(s.token(login.TicketsRead), "DELETE", "/opt-outs/bo@customer.example", ""), 403, "denied")
	wantProblem(t, s.as(s.limited([]string{"sales"}, login.TicketsWrite), "GET", "/opt-outs", ""), 403, "denied")
}

// The link of a mail: looking at it asks, posting to it does it, again and
// again, without a token of the API and whatever the body says.
func TestUnsubscribeLink(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.api.Handler().ServeHTTP(w, r)
		return w
	}
	w := ask("GET", "/unsubscribe/good", "")
	if w.Code != 200 || len(s.desk.decided) != 0 || !strings.Contains(w.Body.String(), `<form method="post">`) {
		t.Errorf("%d %v %s", w.Code, s.desk.decided, w.Body)
	}
	if strings.Contains(w.Body.String(), "<b>") {
		t.Errorf("what stands in the link is markup: %s", w.Body)
	}
	h := w.Header()
	if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "no-referrer" || len(w.Result().Cookies()) != 0 {
		t.Errorf("%v", h)
	}
	for _, body := range []string{"List-Unsubscribe=One-Click", "", "nonsense"} {
		if w := ask("POST", "/unsubscribe/good", body); w.Code != 200 || !strings.Contains(w.Body.String(), "no more automatic mails") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if len(s.desk.decided) != 3 {
		t.Errorf("%v", s.desk.decided)
	}
	for _, method := range []string{"GET", "POST"} {
		if w := ask(method, "/unsubscribe/bad", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "not valid") {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	if w := ask("DELETE", "/unsubscribe/good", ""); w.Code != 405 {
		t.Errorf("%d", w.Code)
	}
	if w := ask("GET", "/unsubscribe/", ""); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
	s.desk.err = errors.New("the disk is full of secrets")
	if w := ask("POST", "/unsubscribe/good", ""); w.Code != 503 || strings.Contains(w.Body.String(), "disk") || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if strings.Contains(s.log.String(), "unsubscribe/good") {
		t.Error("the link is in the log")
	}
}
