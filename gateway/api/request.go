package api

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"

	"ticketgate/gateway/login"
)

// request is what is known about the request being served.
type request struct {
	id       string
	identity login.Identity
	http     *http.Request
}

type requestKey struct{}

// asking returns the request of a context; an empty one outside of any.
func asking(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// AgentHeader makes a caller on the control socket act as an agent.
const AgentHeader = "Ticketgate-Agent"

// maxBody bounds what any resource reads; most are far below it.
func (a *API) maxBody() int64 { return a.maxJSON() + 1<<20 }

// maxJSON bounds a posted message: attachments are base64 in JSON.
func (a *API) maxJSON() int64 { return a.o.MaxMessage/3*4 + 1<<20 }

// wrap gives every request an id, bounds, a line in the log and its place in
// the metrics, and survives a panic in it.
func (a *API) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := a.o.Now()
		req := &request{id: a.requestID()}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, req))
		req.http = r
		out := &response{ResponseWriter: w}
		h := out.Header()
		h.Set("X-Request-Id", req.id)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(out, r.Body, a.maxBody())
		defer func() {
			recovered := recover()
			if recovered != nil && recovered != http.ErrAbortHandler {
				if a.o.Panicked != nil {
					a.o.Panicked()
				}
				a.o.Log.ErrorContext(r.Context(), "panic in an http request", "request", req.id, "panic", recovered, "stack", string(debug.Stack()))
				if out.status == 0 {
					writeProblem(out, r, newProblem(http.StatusInternalServerError, "internal", "something went wrong on our side"))
				}
			}
			took := a.o.Now().Sub(start)
			handler := a.handlerName(r)
			a.metrics.observe(handler, r.Method, out.code(), took)
			a.o.Log.LogAttrs(r.Context(), slog.LevelInfo, "http request",
				slog.String("request", req.id), slog.String("method", r.Method), slog.String("handler", handler),
				slog.Int("status", out.code()), slog.Int64("bytes", out.bytes), slog.Duration("took", took),
				slog.String("token", req.identity.Token), slog.String("agent", req.identity.Actor.Agent))
			if recovered != nil {
				// The answer is incomplete; only a broken connection says so.
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// handlerName is the route's pattern without method, so that labels are few.
func (a *API) handlerName(r *http.Request) string {
	_, pattern := a.mux.Handler(r)
	if i := strings.IndexByte(pattern, '/'); i >= 0 && pattern != "/" {
		return pattern[i:]
	}
	return "other"
}

func (a *API) requestID() string {
	var b [10]byte
	if _, err := io.ReadFull(a.o.Random, b[:]); err != nil {
		return "req_unknown" // an id helps to find a line in the log; nothing depends on it
	}
	return "req_" + hex.EncodeToString(b[:])
}

// withToken lets requests with a valid token pass.
func (a *API) withToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The specification tells nothing about anybody, and an unsubscribe
		// link is its own key.
		if r.URL.Path == Base+"/openapi.json" || strings.HasPrefix(r.URL.Path, UnsubscribePath) {
			next.ServeHTTP(w, r)
			return
		}
		if r.Header.Get(AgentHeader) != "" {
			writeProblem(w, r, newProblem(http.StatusForbidden, "denied", AgentHeader+" is only for the control socket"))
			return
		}
		identity, err := a.verify(r)
		switch {
		case errors.Is(err, errNoToken) && strings.HasPrefix(r.URL.Path, TicketPath) && strings.Contains(r.Header.Get("Accept"), "text/html"):
			explainPermalink(w)
			return
		case errors.Is(err, login.ErrToken), errors.Is(err, errNoToken):
			unauthenticated(w, r, err)
			return
		case err != nil:
			writeProblem(w, r, a.problem(r.Context(), err))
			return
		}
		// A token made for an agent is that agent, with his limits, for as
		// long as he is one.
		if name := identity.Actor.Agent; name != "" {
			agent, ok := a.o.Desk.Agent(name)
			if !ok {
				writeProblem(w, r, newProblem(http.StatusForbidden, "denied", "the agent this token was made for is gone"))
				return
			}
			*identity = identity.As(agent)
		}
		asking(r.Context()).identity = *identity
		next.ServeHTTP(w, r)
	})
}

var errNoToken = errors.New("api: no token")

func (a *API) verify(r *http.Request) (*login.Identity, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return nil, errNoToken
	}
	return a.o.Tokens.Verify(r.Context(), secret)
}

// withLocal serves the control socket.
func (a *API) withLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		identity := login.Local()
		if name := r.Header.Get(AgentHeader); name != "" {
			agent, ok := a.o.Desk.Agent(name)
			if !ok {
				writeProblem(w, r, newProblem(http.StatusForbidden, "denied", "there is no such agent"))
				return
			}
			identity = identity.As(agent)
		}
		asking(r.Context()).identity = identity
		next.ServeHTTP(w, r)
	})
}

// peer is the client's address; invalid on the control socket.
func (r *request) peer() netip.Addr {
	if r.http == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(r.http.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// response remembers what was answered.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach deadlines and flushing.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
