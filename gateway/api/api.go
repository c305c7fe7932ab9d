// Package api is the HTTP door: the JSON that integrations and the command
// line speak. It promises that an answer has the documented shape (absent
// values are null, lists are never null, times are RFC 3339 in UTC), that every
// error is application/problem+json with a code and a request id, that what a
// client sent is never echoed in an error, and that nothing is done for
// somebody whose token does not allow it.
//
// The same resources are served twice: [API.Handler] asks for a Bearer token,
// [API.LocalHandler] is for the control socket, where the file system has
// asked already. [AdminHandler] serves health and metrics apart from both.
// There is no CORS and no cookie, so a web page cannot use a visitor's rights.
// A POST with an idempotency key is carried out once (package replay). Rate
// limits are not part of this version.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/gateway/login"
	"ticketgate/gateway/replay"
)

// Base is the path all resources are under.
const Base = "/api/v1"

// Options are what an API needs from the world.
type Options struct {
	Desk     Desk
	Outbound Outbound
	Intake   Intake
	Tokens   Tokens
	// AppPasswords are for agents' mail programs; nil serves none.
	AppPasswords AppPasswords
	// What operators need beside single mails; nil serves none of it.
	Control      OutboundControl
	Suppressions Suppressions
	Keys         SigningKeys
	House        House
	OptOuts      OptOuts
	// Admit is asked before a request that will have mail sent is carried
	// out; its error is the answer. nil admits all.
	Admit func(context.Context) error
	// Notifications are the history of who was told of what.
	Notifications Notifications
	// Replays keep answers to requests with an idempotency key; nil ignores
	// such keys.
	Replays Replays
	// Records lists the DNS records our domains need; nil serves none.
	Records func(context.Context) ([]Record, error)
	// Hostname names this server in trace fields.
	Hostname string
	// PublicURL is the start of links to tickets, without a slash at its end.
	PublicURL string
	// MaxMessage is the largest raw mail taken, in bytes, and bounds posted
	// attachments.
	MaxMessage int64
	Version    string
	Now        func() time.Time
	Random     io.Reader // for request ids
	Panicked   func()    // counts a panic that was recovered; nil counts none
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// API serves the resources. Safe for concurrent use.
type API struct {
	o       Options
	huma    huma.API
	mux     *http.ServeMux
	spec    []byte
	metrics *metrics
}

// New builds the API. It fails if an option is missing or a metric is taken.
func New(o Options) (*API, error) {
	if o.Desk == nil || o.Outbound == nil || o.Intake == nil || o.Tokens == nil {
		return nil, errors.New("api: desk, outbound, intake and tokens must be given")
	}
	if o.Now == nil || o.Random == nil || o.Log == nil || o.Registerer == nil || o.MaxMessage <= 0 {
		return nil, errors.New("api: clock, random source, log, registerer and message size must be given")
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	a := &API{o: o, mux: http.NewServeMux(), metrics: m}
	a.huma = humago.NewWithPrefix(a.mux, Base, a.humaConfig())
	a.registerReceipts()
	a.registerExplain()
	a.registerTickets()
	a.registerMessages()
	a.registerParticipants()
	a.registerDirectory()
	a.registerStaff()
	a.registerSecrets()
	a.registerOperations()
	a.registerWork()
	a.registerPresence()
	a.registerHeld()
	a.registerOutbound()
	a.registerTokens()
	if o.AppPasswords != nil {
		a.registerAppPasswords()
	}
	if o.Records != nil {
		a.registerDNS()
	}
	for _, part := range []struct {
		served   bool
		register func()
	}{{o.Control != nil, a.registerControl}, {o.Suppressions != nil, a.registerSuppressions}, {o.Keys != nil, a.registerKeys}, {o.House != nil, a.registerHouse}, {o.OptOuts != nil, a.registerOptOuts}, {o.Notifications != nil, a.registerNotifications}} {
		if part.served {
			part.register()
		}
	}
	if a.spec, err = a.document(); err != nil {
		return nil, err
	}
	a.mux.HandleFunc("GET "+TicketPath+"{number}", a.permalink)
	a.mux.HandleFunc("GET "+Base+"/openapi.json", a.serveSpec)
	a.mux.HandleFunc("/", a.serveNothing)
	return a, nil
}

// humaConfig turns off what the library does by default and we do not want:
// a documentation page that loads scripts from elsewhere, links to schemas in
// every answer, and a specification that is built while it is served.
func (a *API) humaConfig() huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:       "Ticketgate",
				Version:     "1",
				Description: "Tickets, messages and the outbound queue. Lists answer items and next, the cursor of the following page or null.",
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"token": {Type: "http", Scheme: "bearer", Description: "An API token, tgt_…"},
				},
			},
			Security: []map[string][]string{{"token": {}}},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{problemOf},
	}
}

// document renders the specification once, after putting right what the
// library says about it.
func (a *API) document() ([]byte, error) {
	doc := a.huma.OpenAPI()
	schemas := doc.Components.Schemas.Map()
	// The library's own error model is never answered.
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	// Unknown members are refused in what we read; what we write may grow.
	for name, schema := range schemas {
		read := strings.HasSuffix(name, "InputBody") || strings.HasSuffix(name, "Request")
		if !read && !slices.Contains([]string{"NewMessage", "NewAttachment", "NewAddress", "BulkFilter"}, name) {
			schema.AdditionalProperties = nil
		}
	}
	doc.Paths["/outbound/{id}/drop"].Post.Responses["204"].Content = nil
	patch := doc.Paths["/tickets/{number}"].Patch.RequestBody.Content
	patch["application/json"] = patch["application/merge-patch+json"]
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("api: specification: %w", err)
	}
	return b, nil
}

func (a *API) serveSpec(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(a.spec) // a client that went away needs no answer
}

// serveNothing answers paths and methods there are none of.
func (a *API) serveNothing(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := a.mux.Handler(probe); pattern != "/" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		writeProblem(w, r, newProblem(http.StatusNotFound, "not_found", "there is nothing at this path"))
		return
	}
	for _, method := range allow {
		w.Header().Add("Allow", method)
	}
	writeProblem(w, r, newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "this path does not take that method"))
}

// Handler serves the API to whoever shows a valid token.
func (a *API) Handler() http.Handler { return a.wrap(a.withToken(a.once(a.mux))) }

// LocalHandler serves the API on the control socket without a token, as the
// administrator or, with the header Ticketgate-Agent, as an agent. It must
// never be reachable over a network.
func (a *API) LocalHandler() http.Handler { return a.wrap(a.withLocal(a.once(a.mux))) }

// Server returns an http.Server with bounds on how long a client may take.
// Bodies are bounded per resource.
func (a *API) Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       5 * time.Minute,
		WriteTimeout:      5 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(a.o.Log.Handler(), slog.LevelWarn),
	}
}

// operation is one resource and method, and who may use it.
type operation struct {
	huma.Operation
	scopes []login.Scope // one of them; admin always may
}

// register adds an operation. Rights are checked before anything of the
// request is read; every error becomes a problem.
func register[I, O any](a *API, op operation, h func(context.Context, *I) (*O, error)) {
	problem := a.huma.OpenAPI().Components.Schemas.Schema(problemReflect, true, "Problem")
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	op.Responses["default"] = &huma.Response{
		Description: "A problem (RFC 9457)",
		Content:     map[string]*huma.MediaType{problemType: {Schema: problem}},
	}
	if op.Method == http.MethodPost && a.o.Replays != nil {
		most := replay.MaxKey
		op.Parameters = append(op.Parameters, &huma.Param{Name: keyHeader, In: "header", Schema: &huma.Schema{Type: "string", MaxLength: &most},
			Description: "names this request: asked again under the same key within a day, it is answered the same and done once"})
	}
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		if asking(ctx.Context()).identity.Has(op.scopes...) {
			next(ctx)
			return
		}
		r, w := humago.Unwrap(ctx)
		writeProblem(w, r, newProblem(http.StatusForbidden, "denied", fmt.Sprintf("this needs a token with one of the scopes %v", op.scopes)))
	})
	huma.Register(a.huma, op.Operation, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
}
