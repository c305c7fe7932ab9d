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

func (d *fakeDesk) AcceptParticipant(_ context.Context, by ticketing.Actor, number uint64, message string) (*ticketing.Ticket, error) {
	d.actor, d.decided = by, append(d.decided, "accept "+message)
	return d.tickets[number], d.err
}

func (d *fakeDesk) RefuseParticipant(_ context.Context, by ticketing.Actor, number uint64, message string) (*ticketing.Ticket, error) {
	d.actor, d.decided = by, append(d.decided, "refuse "+message)
	return d.tickets[number], d.err
}

func (d *fakeDesk) SetVisibility(_ context.Context, by ticketing.Actor, id, visibility string) (*ticketing.Message, []ticketing.Received, error) {
	d.actor, d.decided = by, append(d.decided, visibility+" "+id)
	m := *d.messages[0]
	m.Visibility = visibility
	return &m, []ticketing.Received{{Address: "bo@customer.example", How: "mailed", State: "sent", At: time.Unix(0, 0)}}, d.err
}

func TestParticipantDecisions(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, verb := range []string{"accept", "refuse"} {
		if w := s.local("POST", "/tickets/1001/participants/"+verb, `{"message":"msg_1"}`, AgentHeader, "otto"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"number":1001`) {
			t.Errorf("%s: %d %s", verb, w.Code, w.Body)
		}
		if s.desk.actor.Agent != "otto" {
			t.Errorf("%s by %+v", verb, s.desk.actor)
		}
		wantProblem(t, s.do("POST", "/tickets/999/participants/"+verb, `{"message":"msg_1"}`), 404, "not_found")
		wantProblem(t, s.do("POST", "/tickets/1001/participants/"+verb, `{}`), 422, "invalid")
	}
	if got := strings.Join(s.desk.decided, ", "); got != "accept msg_1, refuse msg_1" {
		t.Errorf("decided %s", got)
	}
	// Accepting mails customers.
	wantProblem(t, s.as(s.token(login.TicketsWrite), "POST", "/tickets/1001/participants/accept", `{"message":"msg_1"}`), 403, "denied")
	if w := s.as(s.token(login.TicketsWrite), "POST", "/tickets/1001/participants/refuse", `{"message":"msg_1"}`); w.Code != http.StatusOK {
		t.Errorf("refuse: %d %s", w.Code, w.Body)
	}
}

func TestChangeMessage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	id := s.desk.messages[0].ID
	w := s.do("PATCH", "/messages/"+id, `{"visibility":"internal"}`)
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, `"visibility":"internal"`) ||
		!strings.Contains(body, `"received_by":[{"address":"bo@customer.example","how":"mailed","state":"sent","at":"1970-01-01T00:00:00Z"}]`) {
		t.Errorf("%d %s", w.Code, body)
	}
	wantProblem(t, s.do("PATCH", "/messages/"+id, `{"visibility":"secret"}`), 422, "invalid")
	wantProblem(t, s.do("PATCH", "/messages/msg_none", `{"visibility":"internal"}`), 404, "not_found")
	writer := s.token(login.TicketsWrite)
	if w := s.as(writer, "PATCH", "/messages/"+id, `{"visibility":"internal"}`); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, s.as(writer, "PATCH", "/messages/"+id, `{"visibility":"public"}`), 403, "denied")
	wantProblem(t, s.as(s.limited([]string{"sales"}, login.TicketsWrite), "PATCH", "/messages/"+id, `{"visibility":"internal"}`), 404, "not_found")
}
