package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one thing that must be well.
type Check struct {
	Name string
	Func func(context.Context) error
}

// AdminOptions are what AdminHandler needs.
type AdminOptions struct {
	// Live are checks of the process itself; a failure means: restart it.
	Live []Check
	// Ready are checks of what it needs to work; a failure means: send no
	// traffic now. Remote services do not belong here.
	Ready []Check
	// Gatherer's metrics are served at /metrics; nil serves none.
	Gatherer prometheus.Gatherer
	// MetricsToken, if not empty, must be shown to read /metrics.
	MetricsToken string
	Log          *slog.Logger
}

// checkTimeout bounds all checks of one request together.
const checkTimeout = 5 * time.Second

// AdminHandler serves /livez, /readyz (both with ?verbose) and /metrics. It
// asks nobody for rights (but see MetricsToken), so its listener belongs on a
// private address.
func AdminHandler(o AdminOptions) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", health(o.Live))
	mux.HandleFunc("GET /readyz", health(o.Ready))
	if o.Gatherer != nil {
		metrics := promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{
			ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelError),
			EnableOpenMetrics: true,
		})
		mux.Handle("GET /metrics", guard(o.MetricsToken, metrics))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// health runs checks side by side: 200 if all are well, else 503.
func health(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		results := runChecks(r.Context(), checks)
		var b strings.Builder
		status, word := http.StatusOK, "ok"
		for i, c := range checks {
			if results[i] == nil {
				fmt.Fprintf(&b, "[+] %s ok\n", c.Name)
				continue
			}
			status, word = http.StatusServiceUnavailable, "not ready"
			fmt.Fprintf(&b, "[-] %s: %v\n", c.Name, results[i])
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		if r.URL.Query().Has("verbose") {
			fmt.Fprint(w, b.String())
		}
		fmt.Fprintln(w, word)
	}
}

// runChecks returns each check's error in order. A check that does not end in
// time has failed; it may go on in the background.
func runChecks(ctx context.Context, checks []Check) []error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var mu sync.Mutex
	results := make([]error, len(checks))
	done := make(chan struct{}, len(checks))
	for i, c := range checks {
		results[i] = fmt.Errorf("no answer within %s", checkTimeout)
		go func() {
			err := c.Func(ctx)
			mu.Lock()
			defer mu.Unlock()
			results[i] = err
			done <- struct{}{}
		}()
	}
	for range checks {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return append([]error(nil), results...)
}

// guard asks for a Bearer token if there is one to ask for.
func guard(token string, next http.Handler) http.Handler {
	if token == "" {
		return next
	}
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(strings.TrimSpace(shown)))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !strings.EqualFold(scheme, "Bearer") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="metrics"`)
			http.Error(w, "show the token of metrics.token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
