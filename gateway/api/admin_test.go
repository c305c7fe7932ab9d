package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func ask(o AdminOptions, method, path string, header ...string) *httptest.ResponseRecorder {
	o.Log = slog.New(slog.DiscardHandler)
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	AdminHandler(o).ServeHTTP(w, r)
	return w
}

func TestHealth(t *testing.T) {
	t.Parallel()
	fine := func(context.Context) error { return nil }
	bad := func(context.Context) error { return errors.New("free space is below the floor") }
	o := AdminOptions{Live: []Check{{"loop", fine}}, Ready: []Check{{"store", fine}, {"disk", bad}}}
	for _, x := range []struct {
		path string
		code int
		body string
	}{
		{"/livez", 200, "ok\n"},
		{"/livez?verbose", 200, "[+] loop ok\nok\n"},
		{"/readyz", 503, "not ready\n"},
		{"/readyz?verbose", 503, "[+] store ok\n[-] disk: free space is below the floor\nnot ready\n"},
		{"/metrics", 404, "404 page not found\n"},
	} {
		if w := ask(o, "GET", x.path); w.Code != x.code || w.Body.String() != x.body {
			t.Errorf("%s: %d %q", x.path, w.Code, w.Body)
		}
	}
	if w := ask(o, "POST", "/readyz"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

// TestSlowCheck: a check that hangs has failed, and does not hang the page.
func TestSlowCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		release := make(chan struct{})
		w := ask(AdminOptions{Ready: []Check{{"stuck", func(context.Context) error { <-release; return nil }}, {"store", func(context.Context) error { return nil }}}}, "GET", "/readyz?verbose")
		if w.Code != 503 || w.Body.String() != "[-] stuck: no answer within 5s\n[+] store ok\nnot ready\n" || time.Since(start) != checkTimeout {
			t.Errorf("%d %q after %s", w.Code, w.Body, time.Since(start))
		}
		close(release)
	})
}

func TestMetricsPage(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "ticketgate_test_total", Help: "A test."})
	reg.MustRegister(c)
	if w := ask(AdminOptions{Gatherer: reg}, "GET", "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), "ticketgate_test_total 0") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	o := AdminOptions{Gatherer: reg, MetricsToken: "secret"}
	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Basic secret": 401, "Bearer secret": 200} {
		if w := ask(o, "GET", "/metrics", "Authorization", header); w.Code != want {
			t.Errorf("%q: %d", header, w.Code)
		}
	}
}
