package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ticketgate/delivery"
	"ticketgate/delivery/dkim"
	"ticketgate/gateway/api"
	"ticketgate/ticketing"
	"ticketgate/ticketing/store"
)

// controlPort shows the outbound queue's operator side to the API.
type controlPort struct {
	q      *delivery.Queue
	s      *delivery.Suppressions
	routes func(name string) bool // whether a route is configured
}

func (p *program) control() controlPort {
	return controlPort{p.outbound, p.unwanted, func(name string) bool { return p.cfg.Routes[name] != nil }}
}

func queueFilter(f api.ParcelFilter) delivery.Filter {
	return delivery.Filter{
		State: f.State, To: f.To, Ticket: f.Ticket, Class: f.Class, Queue: f.Queue, Held: f.Held, Older: f.Older,
		Limit: f.Limit, Cursor: f.Cursor,
	}
}

func (c controlPort) Bulk(ctx context.Context, b api.BulkCommand) (api.BulkResult, error) {
	res, err := c.q.Bulk(ctx, delivery.Bulk{
		Verb: b.Verb, Filter: queueFilter(b.Filter), By: b.By, Reason: b.Reason, Expect: b.Expect, DryRun: b.DryRun,
	})
	if errors.Is(err, delivery.ErrCount) {
		return api.BulkResult{}, &ticketing.Error{Kind: ticketing.Conflict, Err: err,
			Text: fmt.Sprintf("%d mails are meant, but %d fit; nothing was done", b.Expect, res.Matched)}
	}
	return api.BulkResult(res), operatorError(err)
}

func (c controlPort) Top(ctx context.Context, by string, n int) ([]api.OutboundGroup, bool, error) {
	groups, partial, err := c.q.Top(ctx, by, n)
	var out []api.OutboundGroup
	for _, g := range groups {
		shown := api.OutboundGroup{Name: g.Name, Count: g.Count, States: g.States, Size: g.Size, AgeSeconds: g.Oldest}
		if g.Example != "" {
			shown.Example = &g.Example
		}
		out = append(out, shown)
	}
	return out, partial, operatorError(err)
}

func (c controlPort) Limits(ctx context.Context) (api.OutboundLimits, error) {
	l := c.q.Limits(ctx)
	out := api.OutboundLimits{Workers: l.Workers, Active: l.Active}
	for _, x := range l.Limits {
		shown := api.OutboundLimit{Scope: x.Scope, Name: x.Name, Connections: x.Connections, Active: x.Active, BlockedTill: timeOrNull(x.Blocked), Reason: stringOrNull(x.Reason)}
		if x.Rate.Count > 0 {
			shown.Rate = stringOrNull(fmt.Sprintf("%d/%s", x.Rate.Count, perWords(x.Rate.Per)))
		}
		out.Limits = append(out.Limits, shown)
	}
	return out, nil
}

func perWords(d time.Duration) string {
	switch d {
	case time.Second:
		return "s"
	case time.Minute:
		return "m"
	case time.Hour:
		return "h"
	case 24 * time.Hour:
		return "d"
	}
	return d.String()
}

func (c controlPort) Measures(ctx context.Context) ([]api.Measure, error) {
	all, err := c.q.Measures(ctx)
	var out []api.Measure
	for _, m := range all {
		out = append(out, *showMeasure(&m))
	}
	return out, operatorError(err)
}

func showMeasure(m *delivery.Measure) *api.Measure {
	return &api.Measure{
		ID: m.ID, Kind: m.Kind, About: m.Selection(), Domain: stringOrNull(m.Domain), Queue: stringOrNull(m.Queue), Class: stringOrNull(m.Class),
		To: stringOrNull(m.To), All: m.All, Via: stringOrNull(m.Via), By: m.By, Reason: m.Reason, At: m.At.UTC(), Until: timeOrNull(m.Until),
	}
}

func (c controlPort) Decide(ctx context.Context, m api.Measure) (*api.Measure, error) {
	if via := deref(m.Via); via != "" && !c.routes(via) {
		return nil, &ticketing.Error{Kind: ticketing.Invalid, Text: "there is no such route in the configuration"}
	}
	made, err := c.q.Decide(ctx, delivery.Measure{
		Kind: m.Kind, Domain: deref(m.Domain), Queue: deref(m.Queue), Class: deref(m.Class), To: deref(m.To), All: m.All, Via: deref(m.Via),
		By: m.By, Reason: m.Reason, Until: deref(m.Until),
	})
	if err != nil {
		return nil, operatorError(err)
	}
	return showMeasure(made), nil
}

func (c controlPort) TakeBack(ctx context.Context, id string) error {
	return operatorErrorAbout("measure", c.q.TakeBack(ctx, id))
}

func (c controlPort) Resume(ctx context.Context, destination string) error {
	if strings.Contains(destination, "/") { // a site or sender in the words of Limits
		if !c.q.Forgive(destination) {
			return operatorErrorAbout("site or sender in trouble", store.ErrNotFound)
		}
		return nil
	}
	return operatorErrorAbout("pause of this destination", c.q.Resume(ctx, destination))
}

func (c controlPort) Suppressed(ctx context.Context, f api.SuppressionFilter) ([]api.Suppression, string, error) {
	page, next, err := c.s.List(ctx, delivery.SuppressionFilter(f))
	var out []api.Suppression
	for _, s := range page {
		out = append(out, *showSuppression(&s))
	}
	return out, next, operatorError(err)
}

func showSuppression(s *delivery.Suppression) *api.Suppression {
	return &api.Suppression{
		Address: s.Address, Queue: stringOrNull(s.Queue), By: stringOrNull(s.By), Reason: s.Reason, Since: s.Since.UTC(), Until: timeOrNull(s.Until),
	}
}

func (c controlPort) Suppress(ctx context.Context, s api.Suppression) (*api.Suppression, error) {
	made, err := c.s.Add(ctx, delivery.Suppression{Address: s.Address, Queue: deref(s.Queue), By: deref(s.By), Reason: s.Reason, Until: deref(s.Until)})
	if err != nil {
		return nil, operatorError(err)
	}
	return showSuppression(made), nil
}

func (c controlPort) Unsuppress(ctx context.Context, queue, address string) error {
	if err := c.s.Remove(ctx, queue, address); err != nil {
		return operatorErrorAbout("suppression of this address here", err)
	}
	return operatorError(c.q.TendOnce(ctx)) // what was held for it goes now
}

// operatorError gives the queue's errors the classes the API has words for.
func operatorError(err error) error { return operatorErrorAbout("thing", err) }

func operatorErrorAbout(thing string, err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &ticketing.Error{Kind: ticketing.Unknown, Text: "there is no such " + thing, Err: err}
	case errors.Is(err, delivery.ErrInvalid):
		return &ticketing.Error{Kind: ticketing.Invalid, Text: afterColon(err, delivery.ErrInvalid), Err: err}
	}
	return outboundError(err)
}

// afterColon is what an error says beyond its class.
func afterColon(err, class error) string {
	text, mark := err.Error(), class.Error()+": "
	for i := 0; i+len(mark) <= len(text); i++ {
		if text[i:i+len(mark)] == mark {
			return text[i+len(mark):]
		}
	}
	return text
}

// keysPort shows the signing keys to the API.
type keysPort struct {
	keys  *dkim.Keys
	queue *delivery.Queue
}

func (k keysPort) Keys(ctx context.Context, domain string) ([]api.SigningKey, error) {
	infos, err := k.keys.List(ctx, domain)
	if err == nil && domain != "" && len(infos) == 0 {
		err = dkim.ErrDomain
	}
	return showKeys(infos), keysError(err)
}

func (k keysPort) Prepare(ctx context.Context, domain string) ([]api.SigningKey, error) {
	infos, err := k.keys.Prepare(ctx, domain)
	return showKeys(infos), keysError(err)
}

func (k keysPort) Check(ctx context.Context, domain string) ([]api.KeyCheck, error) {
	checks, err := k.keys.Check(ctx, domain)
	return showChecks(checks), keysError(err)
}

func (k keysPort) Activate(ctx context.Context, domain string) ([]api.KeyCheck, error) {
	checks, err := k.keys.Activate(ctx, domain)
	if err != nil {
		return nil, keysError(err)
	}
	return showChecks(checks), operatorError(k.queue.TendOnce(ctx)) // a new pair may end holds
}

func (k keysPort) Retire(ctx context.Context, domain string, now bool) ([]api.SigningKey, error) {
	infos, err := k.keys.Retire(ctx, domain, now)
	return showKeys(infos), keysError(err)
}

func keysError(err error) error {
	switch {
	case errors.Is(err, dkim.ErrDomain):
		return &ticketing.Error{Kind: ticketing.Unknown, Text: "there are no keys of this domain", Err: err}
	case errors.Is(err, dkim.ErrNothing):
		return &ticketing.Error{Kind: ticketing.Conflict, Text: afterColon(err, dkim.ErrNothing), Err: err}
	case errors.Is(err, dkim.ErrUnpublished):
		return &ticketing.Error{Kind: ticketing.Conflict, Text: "not published yet: " + afterColon(err, dkim.ErrUnpublished), Err: err}
	case errors.Is(err, dkim.ErrNeeded):
		return &ticketing.Error{Kind: ticketing.Conflict, Text: "still needed: " + afterColon(err, dkim.ErrNeeded), Err: err}
	}
	return err
}

func showKeys(infos []dkim.Info) []api.SigningKey {
	var out []api.SigningKey
	for _, i := range infos {
		out = append(out, showKey(i))
	}
	return out
}

func showKey(i dkim.Info) api.SigningKey {
	k := api.SigningKey{
		Domain: i.Domain, Selector: i.Selector, Algorithm: i.Algorithm, Phase: string(i.Phase), CreatedAt: i.Created.UTC(),
		SeenAt: timeOrNull(i.Seen), ActivatedAt: timeOrNull(i.Activated), ReplacedAt: timeOrNull(i.Replaced),
		RetirableAt: timeOrNull(i.Retirable), RetiredAt: timeOrNull(i.Retired), Problem: stringOrNull(i.Problem),
	}
	if r := i.Record; r != nil {
		k.Record = api.SomeRecord(api.Record{Domain: i.Domain, Name: r.Name, Type: r.Type, Value: r.Value, Text: r.Text})
	}
	return k
}

func showChecks(checks []dkim.Check) []api.KeyCheck {
	var out []api.KeyCheck
	for _, c := range checks {
		found := c.Found
		if found == nil {
			found = []string{}
		}
		out = append(out, api.KeyCheck{Key: showKey(c.Key), Status: c.Status, Found: found, Detail: c.Detail, Fix: stringOrNull(c.Fix)})
	}
	return out
}

func stringOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
