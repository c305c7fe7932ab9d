package main

import (
	"context"
	"errors"

	"ticketgate/gateway/api"
	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/notify"
	"ticketgate/ticketing/store"
)

// historyPort shows the history of notifications to the API, which knows
// neither notify nor the outbound queue.
type historyPort struct{ h *notify.History }

func (p *program) history() historyPort {
	return historyPort{notify.NewHistory(notify.HistoryOptions{DB: p.db, Blobs: p.blobs, Desk: p.desk, Waiting: p.waiting})}
}

// waiting says what a parcel in the outbound queue waits for.
func (p *program) waiting(ctx context.Context, id string) (why string, ok bool, err error) {
	parcel, err := p.outbound.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	return parcel.Why, true, nil
}

func (h historyPort) List(ctx context.Context, f api.NotificationFilter) ([]*api.Told, string, error) {
	page, next, err := h.h.List(ctx, notify.HistoryFilter(f))
	if errors.Is(err, notify.ErrHistoryCursor) {
		return nil, "", &ticketing.Error{Kind: ticketing.Invalid, Text: "this is no cursor of this list", Err: err}
	}
	return showTold(page), next, err
}

func (h historyPort) Get(ctx context.Context, id string) (*api.Told, error) {
	x, err := h.h.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return showOneTold(x), nil
}

func (h historyPort) Raw(ctx context.Context, id string) (*blob.Reader, error) {
	x, err := h.h.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return h.h.Raw(ctx, x)
}

func (h historyPort) Why(ctx context.Context, ticket uint64, to, event string) (*api.Verdict, error) {
	v, err := h.h.Why(ctx, ticket, to, event)
	if err != nil {
		return nil, err
	}
	out := &api.Verdict{
		Ticket: v.Ticket, To: v.To, Event: v.Event, Message: v.Message, State: v.State, Reason: v.Reason, At: v.At,
		Present: v.Present, Earlier: showTold(v.Earlier),
	}
	for _, c := range v.Checks {
		out.Checks = append(out.Checks, api.VerdictCheck(c))
	}
	if v.Found != nil {
		out.Found = showOneTold(v.Found)
	}
	return out, nil
}

func showTold(list []*notify.Notification) []*api.Told {
	out := make([]*api.Told, len(list))
	for i, x := range list {
		out[i] = showOneTold(x)
	}
	return out
}

func showOneTold(x *notify.Notification) *api.Told {
	return &api.Told{
		ID: x.ID, Event: x.Event, Template: x.Letter, Recipient: x.Recipient, Agent: x.Agent, Role: x.Role, State: x.State, Reason: x.Reason,
		Ticket: x.Ticket, Queue: x.Queue, Message: x.Message, MessageID: x.MailID, ParcelID: x.Parcel, At: x.At,
	}
}
