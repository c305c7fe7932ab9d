package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// TicketPath is where the links to tickets in mails to staff lead, followed by a
// number. They hold as long as the ticket does, wherever it moves.
const TicketPath = "/t/"

// maxMerges bounds how many tickets in a row have been merged into the next.
const maxMerges = 100

// permalink leads whoever shows a token to the ticket, and from a merged one to
// where it lives on.
func (a *API) permalink(w http.ResponseWriter, r *http.Request) {
	if !asking(r.Context()).identity.Has(login.TicketsRead) {
		writeProblem(w, r, newProblem(http.StatusForbidden, "denied", "this needs a token that may read tickets"))
		return
	}
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil {
		writeProblem(w, r, newProblem(http.StatusNotFound, "not_found", "there is nothing at this path"))
		return
	}
	t, err := a.survivor(r.Context(), number)
	if err != nil {
		writeProblem(w, r, a.problem(r.Context(), err))
		return
	}
	w.Header().Set("Location", fmt.Sprintf("%s/tickets/%d", Base, t.Number))
	w.WriteHeader(http.StatusSeeOther)
}

// survivor is the ticket that a number leads to by now.
func (a *API) survivor(ctx context.Context, number uint64) (*ticketing.Ticket, error) {
	for range maxMerges {
		t, err := a.reach(ctx, number)
		if err != nil || t.MergedInto == 0 {
			return t, err
		}
		number = t.MergedInto
	}
	return nil, notFound("ticket")
}

// explainPermalink is for a person who followed a link with a browser. It tells
// nothing of the ticket, not even whether there is one.
func explainPermalink(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="ticketgate"`)
	writePage(w, http.StatusUnauthorized, pageText{Title: "This link leads to a ticket",
		Text: "It is for staff. Answer the mail that it stands in, read the ticket with \"ticketgate ticket show\" and its number, or show this address an API token."})
}
