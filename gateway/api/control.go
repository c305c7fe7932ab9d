package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ticketgate/gateway/login"
	"ticketgate/ticketing"
)

// OutboundControl is what operators do to the outbound queue beside steering
// single mails. Its errors carry a ticketing.Kind: Invalid for what makes no
// sense, Conflict for a count that is not the expected one, Unknown for what is
// not there.
type OutboundControl interface {
	Bulk(ctx context.Context, b BulkCommand) (BulkResult, error)
	Top(ctx context.Context, by string, n int) (groups []OutboundGroup, partial bool, err error)
	Limits(ctx context.Context) (OutboundLimits, error)
	Measures(ctx context.Context) ([]Measure, error)
	Decide(ctx context.Context, m Measure) (*Measure, error)
	TakeBack(ctx context.Context, id string) error
	Resume(ctx context.Context, destination string) error
}

// BulkCommand is a verb on all mails that a selection fits.
type BulkCommand struct {
	Verb   string
	Filter ParcelFilter
	By     string
	Reason string
	Expect int // negative: any number
	DryRun bool
}

// BulkResult says how many mails a bulk command fitted and changed.
type BulkResult struct {
	Matched int `json:"matched" doc:"mails that the selection and the verb fit"`
	Done    int `json:"done"`
	Skipped int `json:"skipped" doc:"changed meanwhile, or being delivered just then"`
}

// OutboundGroup is a share of the outbound queue.
type OutboundGroup struct {
	Name       string         `json:"name"`
	Count      int            `json:"count"`
	States     map[string]int `json:"states" nullable:"false"`
	Size       int64          `json:"size" doc:"bytes"`
	AgeSeconds int64          `json:"oldest_age_seconds"`
	Example    *string        `json:"example" doc:"the latest answer, or what holds a mail"`
}

// OutboundLimits are the limits in force, and how near the queue is to them.
type OutboundLimits struct {
	Workers int             `json:"workers" doc:"deliveries at once, at most"`
	Active  int             `json:"active" doc:"deliveries under way"`
	Limits  []OutboundLimit `json:"limits" nullable:"false"`
}

// OutboundLimit is one limit.
type OutboundLimit struct {
	Scope       string     `json:"scope" doc:"global, egress, account, provider, domain, queue, sender; or site: a set of mail servers"`
	Name        string     `json:"name" doc:"which of them; empty for a rule that applies to each"`
	Rate        *string    `json:"rate" doc:"such as 20/s; null is no limit"`
	Connections int        `json:"connections" doc:"at once, at most; 0 is no limit of its own"`
	Active      int        `json:"active"`
	BlockedTill *time.Time `json:"blocked_until" doc:"the next mail may go then"`
	Reason      *string    `json:"reason" doc:"of a site that is left alone until then"`
}

// Measure is an operator's decision about mail of a kind.
type Measure struct {
	ID     string     `json:"id"`
	Kind   string     `json:"kind" enum:"pause,hold,route"`
	About  string     `json:"about" doc:"in words: which mail"`
	Domain *string    `json:"domain" doc:"of the recipient"`
	Queue  *string    `json:"queue"`
	Class  *string    `json:"class"`
	To     *string    `json:"to"`
	All    bool       `json:"all" doc:"really all mail"`
	Via    *string    `json:"via" doc:"route only: the configured route it takes"`
	By     string     `json:"by"`
	Reason string     `json:"reason"`
	At     time.Time  `json:"at"`
	Until  *time.Time `json:"until" doc:"null: until it is taken back"`
}

func (a *API) registerControl() {
	read, write := []login.Scope{login.OutboundRead, login.OutboundWrite}, []login.Scope{login.OutboundWrite}
	op := func(id, method, path, summary string, status int, scopes []login.Scope) operation {
		return operation{huma.Operation{OperationID: id, Method: method, Path: path, Tags: outboundTags, Summary: summary, DefaultStatus: status}, scopes}
	}
	register(a, op("bulk-outbound", http.MethodPost, "/outbound/bulk", "Hold, release, retry or drop all mails that a selection fits", 200, write), a.bulkOutbound)
	register(a, op("top-outbound", http.MethodGet, "/outbound/top", "What the outbound queue is made of, largest first", 200, read), a.topOutbound)
	register(a, op("outbound-limits", http.MethodGet, "/outbound/limits", "The limits in force", 200, read), a.outboundLimits)
	register(a, op("list-measures", http.MethodGet, "/outbound/measures", "Pauses, holds and routes in force", 200, read), a.listMeasures)
	register(a, op("decide-measure", http.MethodPost, "/outbound/measures", "Pause, hold or reroute mail of a kind; the same kind again replaces the decision", 201, write), a.decideMeasure)
	register(a, op("end-measure", http.MethodDelete, "/outbound/measures/{id}", "Take a measure back; what it held goes", 204, write), a.endMeasure)
	register(a, op("pause-destination", http.MethodPost, "/outbound/destinations/{destination}/pause", "Pause all mail to a domain", 200, write), a.pauseDestination)
	register(a, op("resume-destination", http.MethodPost, "/outbound/destinations/{destination}/resume", "End a domain's pause", 204, write), a.resumeDestination)
}

// wholeHouse refuses a token that is limited to queues what concerns all.
func wholeHouse(ctx context.Context) error {
	if asking(ctx).identity.Limited() {
		return &ticketing.Error{Kind: ticketing.Denied, Text: "this concerns all queues, and the token does not"}
	}
	return nil
}

type bulkInput struct {
	Body struct {
		Verb   string     `json:"verb" enum:"hold,release,retry,drop"`
		Filter bulkFilter `json:"filter" doc:"which mails; an empty one is refused"`
		Reason string     `json:"reason,omitempty" maxLength:"500" doc:"kept with the mails and shown to others (hold, drop)"`
		Expect *int       `json:"expect,omitempty" minimum:"0" doc:"how many mails you mean; another number is a conflict and changes nothing"`
		DryRun bool       `json:"dry_run,omitempty" doc:"count only"`
	}
}

type bulkFilter struct {
	State  string `json:"state,omitempty" enum:"ready,active,deferred,scheduled,held"`
	To     string `json:"to,omitempty" maxLength:"254" doc:"an address, or @domain"`
	Ticket uint64 `json:"ticket,omitempty"`
	Class  string `json:"class,omitempty" enum:"reply,notification,autoack,bulk,dsn,relay"`
	Queue  string `json:"queue,omitempty" maxLength:"100"`
	Held   string `json:"held,omitempty" enum:"operator,suppressed,dkim_key,content,measure" doc:"held by this"`
	Older  string `json:"older,omitempty" maxLength:"40" doc:"a span such as 2h: at least so old"`
}

func (f bulkFilter) filter() (ParcelFilter, error) {
	older, err := span("/filter/older", f.Older)
	return ParcelFilter{State: f.State, To: f.To, Ticket: f.Ticket, Class: f.Class, Queue: f.Queue, Held: f.Held, Older: older}, err
}

func (a *API) bulkOutbound(ctx context.Context, in *bulkInput) (*struct{ Body BulkResult }, error) {
	b := &in.Body
	f, err := b.Filter.filter()
	if err != nil {
		return nil, err
	}
	if f == (ParcelFilter{}) {
		return nil, unprocessable("/filter", "an empty selection never means all mail")
	}
	if i := asking(ctx).identity; i.Limited() && (f.Queue == "" || !i.Reaches(f.Queue)) {
		return nil, &ticketing.Error{Kind: ticketing.Denied, Text: "the token is limited to queues: name one of them"}
	}
	c := BulkCommand{Verb: b.Verb, Filter: f, By: nameOf(asking(ctx).identity), Reason: b.Reason, Expect: -1, DryRun: b.DryRun}
	if b.Expect != nil {
		c.Expect = *b.Expect
	}
	res, err := a.o.Control.Bulk(ctx, c)
	if err != nil {
		return nil, err
	}
	return &struct{ Body BulkResult }{res}, nil
}

func (a *API) topOutbound(ctx context.Context, in *struct {
	By    string `query:"by" enum:"destination,queue,class,waits_for" default:"destination"`
	Limit int    `query:"limit" default:"20" minimum:"1" maximum:"100"`
}) (*struct {
	Body struct {
		Items   []OutboundGroup `json:"items" nullable:"false"`
		Next    *string         `json:"next"`
		Partial bool            `json:"partial" doc:"the queue is larger than what was looked at"`
	}
}, error) {
	if err := wholeHouse(ctx); err != nil {
		return nil, err
	}
	groups, partial, err := a.o.Control.Top(ctx, in.By, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &struct {
		Body struct {
			Items   []OutboundGroup `json:"items" nullable:"false"`
			Next    *string         `json:"next"`
			Partial bool            `json:"partial" doc:"the queue is larger than what was looked at"`
		}
	}{}
	out.Body.Items, out.Body.Partial = list(groups), partial
	return out, nil
}

func (a *API) outboundLimits(ctx context.Context, _ *struct{}) (*struct{ Body OutboundLimits }, error) {
	l, err := a.o.Control.Limits(ctx)
	if err != nil {
		return nil, err
	}
	l.Limits = list(l.Limits)
	return &struct{ Body OutboundLimits }{l}, nil
}

func (a *API) listMeasures(ctx context.Context, _ *struct{}) (*struct{ Body page[Measure] }, error) {
	all, err := a.o.Control.Measures(ctx)
	if err != nil {
		return nil, err
	}
	out := page[Measure]{Items: []Measure{}}
	for _, m := range all {
		if m.Queue == nil || asking(ctx).identity.Reaches(*m.Queue) {
			out.Items = append(out.Items, m)
		}
	}
	return &struct{ Body page[Measure] }{out}, nil
}

type measureOutput struct {
	Body *Measure
}

func (a *API) decideMeasure(ctx context.Context, in *struct {
	Body struct {
		Kind   string `json:"kind" enum:"pause,hold,route"`
		Domain string `json:"domain,omitempty" maxLength:"254"`
		Queue  string `json:"queue,omitempty" maxLength:"100"`
		Class  string `json:"class,omitempty" enum:"reply,notification,autoack,bulk,dsn,relay"`
		To     string `json:"to,omitempty" maxLength:"254" doc:"recipient's address"`
		All    bool   `json:"all,omitempty" doc:"must be said if nothing else is"`
		Via    string `json:"via,omitempty" maxLength:"100" doc:"route: a configured route"`
		For    string `json:"for,omitempty" maxLength:"40" doc:"a span such as 1h, or a time; a pause without one lasts five minutes, a hold or route until it is taken back"`
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}) (*measureOutput, error) {
	b := &in.Body
	until, err := a.deadline("/for", b.For)
	if err != nil {
		return nil, err
	}
	if i := asking(ctx).identity; i.Limited() && (b.Queue == "" || !i.Reaches(b.Queue)) {
		return nil, &ticketing.Error{Kind: ticketing.Denied, Text: "the token is limited to queues: name one of them"}
	}
	m, err := a.o.Control.Decide(ctx, Measure{
		Kind: b.Kind, Domain: orNull(b.Domain), Queue: orNull(b.Queue), Class: orNull(b.Class), To: orNull(b.To), All: b.All,
		Via: orNull(b.Via), By: nameOf(asking(ctx).identity), Reason: b.Reason, Until: moment(until),
	})
	if err != nil {
		return nil, err
	}
	return &measureOutput{m}, nil
}

func (a *API) endMeasure(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"100"`
}) (*struct{}, error) {
	if i := asking(ctx).identity; i.Limited() {
		all, err := a.o.Control.Measures(ctx)
		if err != nil {
			return nil, err
		}
		mine := false
		for _, m := range all {
			mine = mine || m.ID == in.ID && m.Queue != nil && i.Reaches(*m.Queue)
		}
		if !mine {
			return nil, notFound("measure")
		}
	}
	return nil, a.o.Control.TakeBack(ctx, in.ID)
}

// DestinationPath is part of several paths.
type DestinationPath struct {
	Destination string `path:"destination" maxLength:"254" doc:"recipients' domain; for resume also a site as the limits name it"`
}

func (a *API) pauseDestination(ctx context.Context, in *struct {
	DestinationPath
	Body *struct {
		For    string `json:"for,omitempty" maxLength:"40" doc:"a span such as 1h, or a time; five minutes if not said"`
		Reason string `json:"reason,omitempty" maxLength:"500"`
	}
}) (*measureOutput, error) {
	if err := wholeHouse(ctx); err != nil {
		return nil, err
	}
	m := Measure{Kind: "pause", Domain: &in.Destination, By: nameOf(asking(ctx).identity)}
	if in.Body != nil {
		until, err := a.deadline("/for", in.Body.For)
		if err != nil {
			return nil, err
		}
		m.Until, m.Reason = moment(until), in.Body.Reason
	}
	out, err := a.o.Control.Decide(ctx, m)
	if err != nil {
		return nil, err
	}
	return &measureOutput{out}, nil
}

func (a *API) resumeDestination(ctx context.Context, in *DestinationPath) (*struct{}, error) {
	if err := wholeHouse(ctx); err != nil {
		return nil, err
	}
	return nil, a.o.Control.Resume(ctx, in.Destination)
}

// span reads a length of time such as 90d, 12h, 30m or 10s; "" is none.
func span(pointer, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	unit, ok := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}[s[len(s)-1]]
	n, err := strconv.ParseInt(strings.TrimSuffix(s, s[len(s)-1:]), 10, 64)
	if !ok || err != nil || n <= 0 || n > int64(maxSpan/unit) {
		return 0, unprocessable(pointer, "give a span such as 90d, 12h, 30m or 10s")
	}
	return time.Duration(n) * unit, nil
}

// deadline reads a span from now or a time; "" is the zero time.
func (a *API) deadline(pointer, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	d, err := span(pointer, s)
	if err != nil {
		return time.Time{}, unprocessable(pointer, "give a span such as 90d, 12h or 30m, or a time such as 2030-01-31T12:00:00Z")
	}
	return a.o.Now().Add(d).UTC(), nil
}
