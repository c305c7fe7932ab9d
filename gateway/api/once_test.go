package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const path, body = "/tickets/1001/merge", `{"into":1002}`
	post := func(token, key, path, body string) *httptest.ResponseRecorder {
		return s.as(token, "POST", path, body, keyHeader, key)
	}
	first := post(s.admin, "k1", path, body)
	if first.Code != 200 || first.Header().Get(replayedHeader) != "" {
		t.Fatalf("%d %s", first.Code, first.Body)
	}
	again := post(s.admin, "k1", path, body)
	if again.Code != 200 || again.Header().Get(replayedHeader) != "true" || again.Body.String() != first.Body.String() ||
		again.Header().Get("ETag") != first.Header().Get("ETag") || again.Header().Get("Content-Type") != first.Header().Get("Content-Type") {
		t.Errorf("%d %v %s", again.Code, again.Header(), again.Body)
	}
	if len(s.desk.decided) != 1 {
		t.Errorf("done %v", s.desk.decided)
	}
	wantProblem(t, post(s.admin, "k1", path, `{"into":1001}`), 422, "key_reused")
	wantProblem(t, post(s.admin, "k1", "/tickets/1002/merge", body), 422, "key_reused")
	wantProblem(t, post(s.admin, strings.Repeat("k", 256), path, body), 422, "invalid")
	wantProblem(t, post(s.admin, "k\x01", path, body), 422, "invalid")
	// Another token's keys are its own, and so is the next key.
	for _, x := range []struct{ token, key string }{{s.token(login.Admin), "k1"}, {s.admin, "k2"}} {
		if w := post(x.token, x.key, path, body); w.Code != 200 || w.Header().Get(replayedHeader) != "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
	// A mistake is answered the same too; our own failure may be tried again.
	wantProblem(t, post(s.admin, "k3", path, `{}`), 422, "invalid")
	if w := post(s.admin, "k3", path, `{}`); w.Code != 422 || w.Header().Get(replayedHeader) != "true" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	s.desk.err = &ticketing.Error{Kind: ticketing.Busy, Text: "busy"}
	if w := post(s.admin, "k4", path, body); w.Code != 503 {
		t.Errorf("%d", w.Code)
	}
	s.desk.err = nil
	if w := post(s.admin, "k4", path, body); w.Code != 200 || w.Header().Get(replayedHeader) != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	// A secret is shown once.
	token := `{"name":"x","scopes":["admin"]}`
	if w := post(s.admin, "k5", "/tokens", token); w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	w := post(s.admin, "k5", "/tokens", token)
	wantProblem(t, w, 409, "answer_not_kept")
	if strings.Contains(w.Body.String(), "tgt_") {
		t.Errorf("the secret again: %s", w.Body)
	}
	// Other methods have no use for a key.
	for range 2 {
		if w := s.as(s.admin, "GET", "/tickets/1001", "", keyHeader, "k1"); w.Code != 200 || w.Header().Get(replayedHeader) != "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
}

// However many ask at once, one is served, and the others are told to wait or
// get its answer.
func TestIdempotencyTogether(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var wg sync.WaitGroup
	codes := make([]int, 8)
	for i := range codes {
		wg.Go(func() {
			w := s.as(s.admin, "POST", "/tickets/1001/merge", `{"into":1002}`, keyHeader, "k")
			codes[i] = w.Code
		})
	}
	wg.Wait()
	for _, code := range codes {
		if code != http.StatusOK && code != http.StatusConflict {
			t.Errorf("status %d", code)
		}
	}
	if len(s.desk.decided) != 1 {
		t.Errorf("done %v", s.desk.decided)
	}
}
