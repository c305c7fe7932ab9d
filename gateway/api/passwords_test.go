package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"ticketgate/gateway/login"
)

func TestAppPasswords(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const path = "/agents/otto/app-passwords"
	w := s.local("POST", path, `{"name":"laptop"}`)
	var made struct{ Password, ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 201 || !strings.HasPrefix(made.Password, "tgp_") {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	known := fmt.Sprintf(`"id":%q,"agent":"otto","name":"laptop","created_at":"2026-03-01T12:00:00Z","created_by":"admin"`, made.ID)
	wantJSON(t, w, 201, fmt.Sprintf(`{"password":%q,%s}`, made.Password, known))
	if w.Header().Get("Location") != Base+path+"/"+made.ID {
		t.Error(w.Header())
	}
	wantJSON(t, s.do("GET", path, ""), 200, `{"items":[{`+known+`}],"next":null}`)
	// It opens mail doors, not this one.
	wantProblem(t, s.as(made.Password, "GET", "/tickets/1001", ""), 401, "unauthenticated")
	// Whoever is no administrator neither makes nor sees any.
	few := s.token(login.TicketsRead, login.TicketsWrite, login.MessagesSend, login.OutboundWrite, login.Intake)
	for _, method := range []string{"POST", "GET"} {
		wantProblem(t, s.as(few, method, path, `{}`), 403, "denied")
	}
	wantProblem(t, s.as(few, "DELETE", path+"/"+made.ID, ""), 403, "denied")
	wantProblem(t, s.do("POST", "/agents/nobody/app-passwords", `{}`), 404, "not_found")
	wantProblem(t, s.do("GET", "/agents/nobody/app-passwords", ""), 404, "not_found")
	wantProblem(t, s.do("DELETE", "/agents/ada/app-passwords/"+made.ID, ""), 404, "not_found")
	wantProblem(t, s.local("POST", path, `{"name":"a\nb"}`), 422, "invalid")
	if w := s.do("DELETE", path+"/"+made.ID, ""); w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, s.do("DELETE", path+"/"+made.ID, ""), 404, "not_found")
}
