package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ticketgate/gateway/login"
)

// The link in a mail leads to the ticket, also after a merge; without a token
// it says what it is, to a person in words, and nothing about the ticket.
func TestPermalink(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	merged := *s.desk.tickets[1001]
	merged.Number, merged.MergedInto = 1003, 1001
	s.desk.tickets[1003] = &merged
	twice := merged
	twice.Number, twice.MergedInto = 1004, 1003
	s.desk.tickets[1004] = &twice
	circle := merged
	circle.Number, circle.MergedInto = 1005, 1005
	s.desk.tickets[1005] = &circle

	ask := func(token, path string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.api.Handler().ServeHTTP(w, r)
		return w
	}
	reader := s.token(login.TicketsRead)
	for _, path := range []string{"/t/1001", "/t/1003", "/t/1004"} {
		if w := ask(reader, path); w.Code != http.StatusSeeOther || w.Header().Get("Location") != Base+"/tickets/1001" {
			t.Errorf("%s: %d, to %q", path, w.Code, w.Header().Get("Location"))
		}
	}
	for _, path := range []string{"/t/9999", "/t/1005", "/t/x", "/t/-1", "/t/99999999999999999999"} {
		wantProblem(t, ask(reader, path), 404, "not_found")
	}
	wantProblem(t, ask(s.limited([]string{"nothing"}, login.TicketsRead), "/t/1001"), 404, "not_found")
	wantProblem(t, ask(s.token(login.Intake), "/t/1001"), 403, "denied")
	wantProblem(t, ask("", "/t/1001"), 401, "unauthenticated")
	wantProblem(t, ask("tgt_wrong", "/t/1001", "Accept", "text/html"), 401, "unauthenticated")

	browser := []string{"Accept", "text/html,application/xhtml+xml"}
	known, unknown := ask("", "/t/1001", browser...), ask("", "/t/9999", browser...)
	if known.Code != 401 || known.Body.String() != unknown.Body.String() || !strings.Contains(known.Body.String(), "<h1>") {
		t.Errorf("a browser sees %d %s, and %s where there is no ticket", known.Code, known.Body, unknown.Body)
	}
	if h := known.Header(); !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("WWW-Authenticate") == "" {
		t.Errorf("%v", h)
	}
}
