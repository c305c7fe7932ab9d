package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

const problemType = "application/problem+json"

var problemReflect = reflect.TypeFor[Problem]()

// Problem is an error as clients see it (RFC 9457).
type Problem struct {
	Type      string   `json:"type" doc:"always about:blank; code is what programs look at"`
	Title     string   `json:"title" doc:"the HTTP status in words"`
	Status    int      `json:"status"`
	Code      string   `json:"code" doc:"stable word for the class of the problem" example:"not_found"`
	Detail    string   `json:"detail" doc:"a sentence for people"`
	RequestID string   `json:"request_id" doc:"names the request in the server's log"`
	Errors    []Detail `json:"errors" nullable:"false" doc:"what is wrong with which part of the request"`

	Newer []Message `json:"newer,omitempty" doc:"conflict on after_message: the messages the author had not seen"`

	retryAfter string
}

// Detail points at one part of a request. It never holds what was sent.
type Detail struct {
	Pointer  string `json:"pointer,omitempty" doc:"JSON pointer into the body"`
	Location string `json:"location,omitempty" doc:"query.NAME, path.NAME or header.NAME"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`
}

func newProblem(status int, code, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Errors: []Detail{}}
}

// Error, GetStatus, GetHeaders and ContentType make a Problem an error that
// the HTTP library writes as it is.
func (p *Problem) Error() string             { return p.Detail }
func (p *Problem) GetStatus() int            { return p.Status }
func (p *Problem) ContentType(string) string { return problemType }
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	return h
}

// wire is how a class of error looks on HTTP.
type wire struct {
	status int
	code   string
}

// wires is the one table from error kinds to HTTP.
var wires = map[ticketing.Kind]wire{
	ticketing.Internal: {http.StatusInternalServerError, "internal"},
	ticketing.Unknown:  {http.StatusNotFound, "not_found"},
	ticketing.Refused:  {http.StatusForbidden, "refused"},
	ticketing.Invalid:  {http.StatusUnprocessableEntity, "invalid"},
	ticketing.TooBig:   {http.StatusRequestEntityTooLarge, "too_big"},
	ticketing.Busy:     {http.StatusServiceUnavailable, "busy"},
	ticketing.NoSpace:  {http.StatusInsufficientStorage, "no_space"},
	ticketing.Conflict: {http.StatusConflict, "conflict"},
	ticketing.Denied:   {http.StatusForbidden, "denied"},
	ticketing.Full:     {http.StatusTooManyRequests, "outbound_full"},
}

// codes are the words for errors found before the domain is asked.
var codes = map[int]string{
	http.StatusBadRequest:            "malformed",
	http.StatusUnauthorized:          "unauthenticated",
	http.StatusForbidden:             "denied",
	http.StatusNotFound:              "not_found",
	http.StatusRequestTimeout:        "timeout",
	http.StatusPreconditionFailed:    "precondition_failed",
	http.StatusRequestEntityTooLarge: "too_big",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusUnprocessableEntity:   "invalid",
}

// retryAfter is what a client that met Busy should wait, in seconds.
const retryAfter = "5"

// retryFull is the same for Full: a queue of that length does not empty in
// seconds.
const retryFull = "60"

// problem turns an error into its answer and, where it is ours, writes the
// story to the log.
func (a *API) problem(ctx context.Context, err error) *Problem {
	p := a.classify(ctx, err)
	p.RequestID = asking(ctx).id
	if p.Status >= 500 {
		a.o.Log.ErrorContext(ctx, "http request failed", "request", p.RequestID, "code", p.Code, "err", err)
	}
	return p
}

func (a *API) classify(ctx context.Context, err error) *Problem {
	var known *Problem
	var ours *ticketing.Error
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLong):
		return newProblem(http.StatusRequestEntityTooLarge, "too_big", fmt.Sprintf("the body is larger than %d bytes", tooLong.Limit))
	case !errors.As(err, &ours):
		return newProblem(http.StatusInternalServerError, "internal", "something went wrong on our side; the log knows more under this request id")
	}
	w, ok := wires[ours.Kind]
	if !ok {
		w = wires[ticketing.Internal]
	}
	p := newProblem(w.status, w.code, ours.Text)
	switch ours.Kind {
	case ticketing.Busy:
		p.retryAfter = retryAfter
	case ticketing.Full:
		p.retryAfter = retryFull
	}
	for _, m := range ours.Newer {
		shown, err := a.message(ctx, m)
		if err != nil {
			return a.classify(ctx, err)
		}
		p.Newer = append(p.Newer, *shown)
	}
	return p
}

// problemOf replaces the library's errors, which echo what was sent.
func problemOf(ctx huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := codes[e.Status]
	if code == "" {
		code = "internal"
	}
	detail := e.Detail
	if e.Status >= 500 {
		detail = "something went wrong on our side"
	}
	p := newProblem(e.Status, code, detail)
	p.RequestID = asking(ctx.Context()).id
	for _, d := range e.Errors {
		if d != nil {
			p.Errors = append(p.Errors, detailOf(d))
		}
	}
	return p, nil
}

func detailOf(d *huma.ErrorDetail) Detail {
	out := Detail{Code: "invalid", Detail: d.Message}
	rest, ok := strings.CutPrefix(d.Location, "body")
	if !ok {
		out.Location = d.Location
		return out
	}
	rest = strings.NewReplacer("~", "~0", "/", "~1", ".", "/", "[", "/", "]", "").Replace(rest)
	out.Pointer = rest
	if out.Pointer == "" {
		out.Pointer = "/"
	}
	return out
}

// unprocessable is a problem with one part of the request.
func unprocessable(where, detail string) *Problem {
	p := newProblem(http.StatusUnprocessableEntity, "invalid", detail)
	d := Detail{Code: "invalid", Detail: detail}
	if strings.HasPrefix(where, "/") {
		d.Pointer = where
	} else {
		d.Location = where
	}
	p.Errors = append(p.Errors, d)
	return p
}

func notFound(what string) *Problem {
	return newProblem(http.StatusNotFound, "not_found", "there is no such "+what)
}

// writeProblem answers outside the library.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	p.RequestID = asking(r.Context()).id
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(p) // a client that went away needs no answer
}

// unauthenticated answers a request whose token is missing or not valid.
func unauthenticated(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="ticketgate"`)
	detail := "show an API token: Authorization: Bearer tgt_…"
	if errors.Is(err, login.ErrToken) {
		detail = "the token is not valid: unknown, revoked or expired"
	}
	writeProblem(w, r, newProblem(http.StatusUnauthorized, "unauthenticated", detail))
}
