package api

import (
	"strings"
	"testing"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const path = "/policy/explain?to=support@help.example&from=anna@customer.example&ip=192.0.2.7&helo=mx"
	w := s.do("POST", path, "Subject: x\r\n\r\n", "Content-Type", "message/rfc822")
	wantJSON(t, w, 200, `{"receipt":{"id":"rcpt_1","received_at":"2026-03-01T12:00:00Z","source":"api","envelope_from":"","raw_sha256":"ab","raw_size":5,
		"outcomes":[{"recipient":"support@help.example","outcome":"new_ticket","ticket":1001,"message":"msg_1","held":null,"reason":null}]},
		"decision":"accept","reason":null,"findings":[{"stage":"sender","check":"spf","result":"pass","detail":"(mx)"}],"header":"Return-Path: <>\r\n","evidence":{"trust":"T1"}}`)
	if m := s.intake.mail; m.Peer.String() != "192.0.2.7" || m.HELO != "mx" || m.From != "anna@customer.example" || m.NoFrom || s.intake.body != "Subject: x\r\n\r\n" {
		t.Errorf("%+v", m)
	}
	s.intake.err = &ticketing.Error{Kind: ticketing.Refused, Text: "disowned"}
	wantJSON(t, s.do("POST", path, "x", "Content-Type", "message/rfc822"), 200,
		`{"receipt":null,"decision":"refuse","reason":"disowned","findings":[{"stage":"sender","check":"spf","result":"pass","detail":"(mx)"}],"header":"","evidence":null}`)

	wantProblem(t, s.do("POST", path, "x"), 415, "unsupported_media_type")
	wantProblem(t, s.do("POST", "/policy/explain?to=support@help.example&ip=mx", "x", "Content-Type", "message/rfc822"), 422, "invalid")
	wantProblem(t, s.do("POST", "/policy/explain", "x", "Content-Type", "message/rfc822"), 422, "invalid")
	wantProblem(t, s.as(s.token(login.Intake, login.TicketsRead), "POST", path, "x", "Content-Type", "message/rfc822"), 403, "denied")
}

func TestTraces(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := s.do("GET", "/traces?id=rcpt_1", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"evidence":{"trust":"T1"}`) || !strings.Contains(w.Body.String(), `"check":"outcome","result":"new_ticket"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, s.do("GET", "/traces?id=rcpt_2", ""), 404, "not_found")
	wantProblem(t, s.do("GET", "/traces", ""), 422, "invalid")
	if w := s.as(s.limited([]string{"support"}, login.TicketsRead), "GET", "/traces?id=rcpt_1", ""); w.Code != 200 {
		t.Errorf("one's own queue: %d %s", w.Code, w.Body)
	}
	wantProblem(t, s.as(s.limited([]string{"sales"}, login.TicketsRead), "GET", "/traces?id=rcpt_1", ""), 404, "not_found")
	wantProblem(t, s.as(s.token(login.Intake), "GET", "/traces?id=rcpt_1", ""), 403, "denied")
}

// TestDelivered: the trace stands on top, and only a real mail has one.
func TestDelivered(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.desk.messages[0].Receipt = "rcpt_1"
	w := s.do("GET", "/messages/msg_1/delivered", "")
	if want := "Return-Path: <>\r\nSubject: x\r\n\r\nhello\r\n"; w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "message/rfc822" {
		t.Errorf("%d %q, %v", w.Code, w.Body, w.Header())
	}
	wantProblem(t, s.do("GET", "/messages/msg_2/delivered", ""), 404, "not_found")
	wantProblem(t, s.as(s.limited([]string{"sales"}, login.TicketsRead), "GET", "/messages/msg_1/delivered", ""), 404, "not_found")
}
