package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"ticketgate/gateway/replay"
)

// Replays keeps answers; *replay.Answers fits.
type Replays interface {
	Begin(ctx context.Context, who, key string, digest []byte) (*replay.Answer, error)
	Finish(ctx context.Context, who, key string, answer replay.Answer) error
	Abandon(ctx context.Context, who, key string) error
}

// Header fields of idempotent requests and of answers that were given before.
const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"
)

// kept are the header fields of an answer that are given again.
var kept = []string{"Content-Type", "Location", "ETag"}

// once answers a POST whose key it knows as it was answered before, and carries
// out others. Keys belong to a token, or to an agent on the control socket.
func (a *API) once(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get(keyHeader)
		if key == "" || r.Method != http.MethodPost || a.o.Replays == nil || strings.HasPrefix(r.URL.Path, UnsubscribePath) {
			next.ServeHTTP(w, r)
			return
		}
		if len(r.Header.Values(keyHeader)) > 1 || len(key) > replay.MaxKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
			writeProblem(w, r, unprocessable("header."+keyHeader, fmt.Sprintf("a key is at most %d printable ASCII characters", replay.MaxKey)))
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			var tooLong *http.MaxBytesError
			if errors.As(err, &tooLong) {
				writeProblem(w, r, newProblem(http.StatusRequestEntityTooLarge, "too_big", fmt.Sprintf("the body is larger than %d bytes", tooLong.Limit)))
				return
			}
			writeProblem(w, r, newProblem(http.StatusRequestTimeout, "timeout", "the body did not arrive"))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		a.answerOnce(w, r, next, key, digestOf(r, body))
	})
}

// digestOf stands for all of a request that decides what it does.
func digestOf(r *http.Request, body []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"))
	h.Write(body)
	return h.Sum(nil)
}

func (a *API) answerOnce(w http.ResponseWriter, r *http.Request, next http.Handler, key string, digest []byte) {
	identity := asking(r.Context()).identity
	who := identity.Token
	if who == "" {
		who = "local:" + identity.Actor.Agent
	}
	given, err := a.o.Replays.Begin(r.Context(), who, key, digest)
	switch {
	case errors.Is(err, replay.ErrOther):
		writeProblem(w, r, newProblem(http.StatusUnprocessableEntity, "key_reused", "this idempotency key was used for another request"))
	case errors.Is(err, replay.ErrWorking):
		writeProblem(w, r, newProblem(http.StatusConflict, "in_flight", "the first request with this idempotency key is still being worked on"))
	case errors.Is(err, replay.ErrUnknown):
		writeProblem(w, r, newProblem(http.StatusConflict, "outcome_unknown", "the server stopped over the first request with this idempotency key: look whether it was carried out, and take a new key"))
	case err != nil:
		writeProblem(w, r, a.problem(r.Context(), err))
	case given != nil:
		writeAgain(w, r, given)
	default:
		a.work(w, r, next, who, key)
	}
}

// writeAgain gives an answer that was given before.
func writeAgain(w http.ResponseWriter, r *http.Request, given *replay.Answer) {
	w.Header().Set(replayedHeader, "true")
	if given.Cut {
		if at := given.Header["Location"]; at != "" {
			w.Header().Set("Location", at)
		}
		writeProblem(w, r, newProblem(http.StatusConflict, "answer_not_kept", fmt.Sprintf("this was carried out and answered with status %d; the answer itself was not kept", given.Status)))
		return
	}
	for name, value := range given.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(given.Status)
	_, _ = w.Write(given.Body) // a client that went away needs no answer
}

// work carries a request out and keeps its answer, unless it failed by our
// fault or came too early: then it may be tried again.
func (a *API) work(w http.ResponseWriter, r *http.Request, next http.Handler, who, key string) {
	copied := &copying{ResponseWriter: w}
	ctx := context.WithoutCancel(r.Context())
	settled := false
	settle := func() {
		if settled {
			return
		}
		settled = true
		status := copied.code()
		var err error
		if status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests {
			err = a.o.Replays.Abandon(ctx, who, key)
		} else {
			err = a.o.Replays.Finish(ctx, who, key, copied.answer(secretPath(r.URL.Path)))
		}
		if err != nil {
			a.o.Log.ErrorContext(ctx, "the answer to a request with an idempotency key is not kept", "request", asking(r.Context()).id, "err", err)
		}
	}
	defer func() {
		if p := recover(); p != nil {
			copied.status = http.StatusInternalServerError
			settle()
			panic(p)
		}
	}()
	next.ServeHTTP(copied, r)
	settle()
}

// secretPath reports whether an answer shows something that is kept nowhere.
func secretPath(path string) bool {
	return strings.HasSuffix(path, "/tokens") || strings.HasSuffix(path, "/app-passwords")
}

// copying remembers an answer as it passes.
type copying struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	cut    bool
}

func (c *copying) WriteHeader(status int) {
	if c.status == 0 && status >= 200 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *copying) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	if c.cut = c.cut || c.body.Len()+len(p) > replay.MaxBody; c.cut {
		c.body.Reset()
	} else {
		c.body.Write(p)
	}
	return c.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach deadlines and flushing.
func (c *copying) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *copying) code() int {
	if c.status == 0 {
		return http.StatusOK
	}
	return c.status
}

func (c *copying) answer(secret bool) replay.Answer {
	out := replay.Answer{Status: c.code(), Header: map[string]string{}, Body: c.body.Bytes(), Cut: c.cut || secret && c.code() < 300}
	for _, name := range kept {
		if v := c.ResponseWriter.Header().Get(name); v != "" {
			out.Header[name] = v
		}
	}
	return out
}
