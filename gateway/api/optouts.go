package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// OptOuts are the people who want no mail that nobody writes to them;
// *ticketing.Desk fits.
type OptOuts interface {
	OptOuts(ctx context.Context, limit int, cursor string) ([]*ticketing.OptOut, string, error)
	AddOptOut(ctx context.Context, by ticketing.Actor, address string) (*ticketing.OptOut, error)
	RemoveOptOut(ctx context.Context, by ticketing.Actor, address string) error
	Unsubscribing(token string) (address string, err error)
	Unsubscribe(ctx context.Context, token string) (address string, err error)
}

// UnsubscribePath is where the links in List-Unsubscribe lead, followed by a
// token. It asks for no other proof.
const UnsubscribePath = "/unsubscribe/"

func (a *API) registerOptOuts() {
	read, write := []login.Scope{login.TicketsRead, login.TicketsWrite}, []login.Scope{login.TicketsWrite}
	tags := []string{"opt-outs"}
	register(a, operation{huma.Operation{OperationID: "list-opt-outs", Method: http.MethodGet, Path: "/opt-outs", Tags: tags,
		Summary: "Addresses that want no mail that nobody writes to them"}, read}, a.listOptOuts)
	register(a, operation{huma.Operation{OperationID: "add-opt-out", Method: http.MethodPost, Path: "/opt-outs", Tags: tags,
		Summary: "Opt an address out", DefaultStatus: http.StatusCreated}, write}, a.addOptOut)
	register(a, operation{huma.Operation{OperationID: "remove-opt-out", Method: http.MethodDelete, Path: "/opt-outs/{address}", Tags: tags,
		Summary: "Take an opt-out back"}, write}, a.removeOptOut)
	a.mux.HandleFunc("GET "+UnsubscribePath+"{token}", a.askUnsubscribe)
	a.mux.HandleFunc("POST "+UnsubscribePath+"{token}", a.unsubscribe)
}

// OptOut is an address that wants no mail that nobody writes to it.
type OptOut struct {
	Address string    `json:"address"`
	Reason  string    `json:"reason" enum:"link,complaint,asked" doc:"how it came about"`
	Detail  *string   `json:"detail" doc:"kind of complaint"`
	Since   time.Time `json:"since"`
	By      string    `json:"by"`
	Ticket  *uint64   `json:"ticket" doc:"where it came up"`
	Message *string   `json:"message" doc:"the complaint"`
}

func optOutShape(o *ticketing.OptOut) OptOut {
	return OptOut{Address: o.Address, Reason: o.Reason, Detail: orNull(o.Detail), Since: o.Since.UTC(), By: o.By, Ticket: orNull(o.Ticket), Message: orNull(o.Message)}
}

func (a *API) listOptOuts(ctx context.Context, in *struct {
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"100"`
	Cursor string `query:"cursor" maxLength:"1000"`
}) (*struct{ Body page[OptOut] }, error) {
	if err := wholeHouse(ctx); err != nil {
		return nil, err
	}
	list, next, err := a.o.OptOuts.OptOuts(ctx, in.Limit, in.Cursor)
	if err != nil {
		return nil, err
	}
	out := page[OptOut]{Items: []OptOut{}, Next: orNull(next)}
	for _, o := range list {
		out.Items = append(out.Items, optOutShape(o))
	}
	return &struct{ Body page[OptOut] }{out}, nil
}

func (a *API) addOptOut(ctx context.Context, in *struct {
	Body struct {
		Address string `json:"address" minLength:"3" maxLength:"254"`
	}
}) (*struct{ Body OptOut }, error) {
	if err := wholeHouse(ctx); err != nil {
		return nil, err
	}
	o, err := a.o.OptOuts.AddOptOut(ctx, asking(ctx).identity.Actor, in.Body.Address)
	if err != nil {
		return nil, err
	}
	return &struct{ Body OptOut }{optOutShape(o)}, nil
}

func (a *API) removeOptOut(ctx context.Context, in *struct {
	Address string `path:"address" maxLength:"254"`
}) (*struct{}, error) {
	if err := wholeHouse(ctx); err != nil {
		return nil, err
	}
	return nil, a.o.OptOuts.RemoveOptOut(ctx, asking(ctx).identity.Actor, in.Address)
}

// askUnsubscribe shows the question. It changes nothing: programs that look
// for dangerous links follow every one of them.
func (a *API) askUnsubscribe(w http.ResponseWriter, r *http.Request) {
	address, err := a.o.OptOuts.Unsubscribing(r.PathValue("token"))
	if err != nil {
		a.unsubscribed(w, r, err)
		return
	}
	writePage(w, http.StatusOK, pageText{"Stop automatic mails?",
		"This ends automatic mails to " + address + ", such as acknowledgements and copies. Personal answers will still arrive.", true})
}

// unsubscribe does it: for a mail program's one click (RFC 8058 §3.2), and for
// the button. What the body says is not read: the address is in the link.
func (a *API) unsubscribe(w http.ResponseWriter, r *http.Request) {
	_, err := a.o.OptOuts.Unsubscribe(r.Context(), r.PathValue("token"))
	a.unsubscribed(w, r, err)
}

func (a *API) unsubscribed(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		writePage(w, http.StatusOK, pageText{"Done", "You will get no more automatic mails from us. Personal answers will still arrive.", false})
		return
	}
	switch p := a.problem(r.Context(), err); p.Status {
	case http.StatusNotFound:
		writePage(w, p.Status, pageText{"This link is not valid", "It may be incomplete, or too old. Reply to the mail instead, and a person will see to it.", false})
	default:
		w.Header().Set("Retry-After", retryAfter)
		writePage(w, http.StatusServiceUnavailable, pageText{"Not now", "Something went wrong on our side. Please try again in a moment.", false})
	}
}
