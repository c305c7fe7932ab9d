package ticketing

import (
	"context"
	"encoding/base64"
	"iter"
	"slices"
	"strings"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

func unknownTicket() error { return &Error{Kind: Unknown, Text: "there is no such ticket"} }

// Ticket, Tickets, Messages and Message read. Tickets returns the cursor of
// the next page, "" at the end.
func (d *Desk) Ticket(ctx context.Context, number uint64) (*Ticket, error) {
	var out *ticketRow
	err := d.db.View(ctx, func(r store.Reader) (err error) {
		out, err = d.tickets.Find(r, ticketKey(number))
		return err
	})
	if err != nil {
		return nil, failure(err)
	}
	if out == nil {
		return nil, unknownTicket()
	}
	return &out.Ticket, nil
}

// Receipt returns a stored receipt.
func (d *Desk) Receipt(ctx context.Context, id string) (*Receipt, error) {
	var out *Receipt
	err := d.db.View(ctx, func(r store.Reader) (err error) {
		out, err = d.receipt(r, id)
		return err
	})
	if err == nil && out == nil {
		return nil, &Error{Kind: Unknown, Text: "there is no such receipt"}
	}
	return out, failure(err)
}

func (d *Desk) receipt(r store.Reader, id string) (out *Receipt, err error) {
	for row, err := range d.receipts.Scan(r, store.Query{Prefix: store.Key{}.Str(id)}) {
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = &row.Receipt
			continue
		}
		out.Outcomes = append(out.Outcomes, row.Outcomes...)
	}
	return out, nil
}

// maxPage is how many messages or tickets one call returns at most.
const (
	maxPage     = 100
	defaultPage = 50
)

func pageSize(n int) int {
	if n <= 0 {
		return defaultPage
	}
	return min(n, maxPage)
}

// Messages: see Ticket. Oldest first; after is a Seq. At most 100 at a time,
// 50 if limit is 0.
func (d *Desk) Messages(ctx context.Context, ticket uint64, after, limit int) ([]*Message, error) {
	var out []*Message
	err := d.db.View(ctx, func(r store.Reader) error {
		out = nil
		t, err := d.tickets.Find(r, ticketKey(ticket))
		if err != nil {
			return err
		}
		if t == nil {
			return unknownTicket()
		}
		out, err = d.messagesAfter(r, ticket, after, pageSize(limit))
		return err
	})
	return out, failure(err)
}

func (d *Desk) messagesAfter(r store.Reader, ticket uint64, after, limit int) (out []*Message, err error) {
	q := store.Query{Prefix: ticketKey(ticket), From: messageKey(ticket, max(after, 0)+1), Limit: limit}
	for m, err := range d.messages.Scan(r, q) {
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// Message: see Ticket.
func (d *Desk) Message(ctx context.Context, id string) (*Message, error) {
	var out *Message
	err := d.db.View(ctx, func(r store.Reader) (err error) {
		out, err = d.messageByID(r, id)
		return err
	})
	if err == nil && out == nil {
		return nil, &Error{Kind: Unknown, Text: "there is no such message"}
	}
	return out, failure(err)
}

func (d *Desk) messageByID(r store.Reader, id string) (*Message, error) {
	return d.messages.First(r, store.Query{Index: byID, Prefix: store.Key{}.Str(id)})
}

// statuses of tickets.
var statuses = []string{"new", "open", "pending", "on_hold", "solved", "closed"}

// Tickets: see Ticket. Newest change first. A ticket that changes while
// somebody pages moves to the front and is not seen twice on later pages.
func (d *Desk) Tickets(ctx context.Context, f Filter) ([]*Ticket, string, error) {
	at, err := readCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	want, err := f.statuses()
	if err != nil {
		return nil, "", err
	}
	limit := pageSize(f.Limit)
	var out []*Ticket
	err = d.db.View(ctx, func(r store.Reader) error {
		out = nil
		streams, err := d.streams(r, f, want)
		if err != nil {
			return err
		}
		for t, err := range d.merge(r, streams, at) {
			if err != nil {
				return err
			}
			if !f.UpdatedSince.IsZero() && t.UpdatedAt.Before(f.UpdatedSince) {
				break
			}
			if !f.matches(t, want) {
				continue
			}
			if out = append(out, &t.Ticket); len(out) > limit {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", failure(err)
	}
	if len(out) <= limit {
		return out, "", nil
	}
	out = out[:limit]
	return out, makeCursor(out[limit-1]), nil
}

func (f *Filter) statuses() ([]string, error) {
	if f.Status == "" {
		return nil, nil
	}
	var want []string
	for _, s := range strings.Split(f.Status, ",") {
		if s = strings.TrimSpace(s); !slices.Contains(statuses, s) {
			return nil, &Error{Kind: Invalid, Text: "status is none of " + strings.Join(statuses, ", ")}
		}
		if !slices.Contains(want, s) {
			want = append(want, s)
		}
	}
	return want, nil
}

func (f *Filter) matches(t *ticketRow, want []string) bool {
	return (f.Queue == "" || t.Queue == f.Queue) &&
		(len(want) == 0 || slices.Contains(want, t.Status)) &&
		(f.Assignee == "" || t.Assignee == f.Assignee) &&
		(f.Requester == "" || message.Fold(t.Requester.Address) == message.Fold(f.Requester))
}

// stream is a range of an index whose tuples end in time of change and number.
type stream struct {
	index  string
	prefix store.Key
}

// streams picks the ranges that hold the filter's tickets with as few others
// as possible.
func (d *Desk) streams(r store.Reader, f Filter, want []string) ([]stream, error) {
	switch {
	case f.Requester != "":
		return []stream{{byRequester, store.Key{}.Str(message.Fold(f.Requester))}}, nil
	case f.Assignee != "":
		return []stream{{byAssignee, store.Key{}.Str(f.Assignee)}}, nil
	case f.Queue == "" && len(want) == 0:
		return []stream{{byUpdated, nil}}, nil
	}
	names := []string{f.Queue}
	if f.Queue == "" {
		var err error
		if names, err = d.queuesInUse(r); err != nil {
			return nil, err
		}
	}
	if len(want) == 0 {
		want = statuses
	}
	var out []stream
	for _, q := range names {
		for _, s := range want {
			out = append(out, stream{byStatus, store.Key{}.Str(q).Str(s)})
		}
	}
	return out, nil
}

// queuesInUse lists the queues that have tickets, configured or not, with one
// look-up each.
func (d *Desk) queuesInUse(r store.Reader) (names []string, err error) {
	var from store.Key
	for {
		t, err := d.tickets.First(r, store.Query{Index: byStatus, From: from})
		if err != nil || t == nil {
			return names, err
		}
		names = append(names, t.Queue)
		from = store.Key{}.Str(t.Queue).PrefixEnd()
	}
}

// position is a place in the order of changes.
type position struct {
	at     time.Time
	number uint64
}

func (p position) newer(o position) bool {
	if p.at.Equal(o.at) {
		return p.number > o.number
	}
	return p.at.After(o.at)
}

// merge yields the tickets of several streams, newest change first, from before
// a position.
func (d *Desk) merge(r store.Reader, streams []stream, before *position) iter.Seq2[*ticketRow, error] {
	return func(yield func(*ticketRow, error) bool) {
		type head struct {
			next func() (*ticketRow, error, bool)
			row  *ticketRow
		}
		var heads []*head
		for _, s := range streams {
			q := store.Query{Index: s.index, Prefix: s.prefix, Reverse: true}
			if before != nil {
				q.To = append(store.Key{}, s.prefix...).Time(before.at).Uint(before.number)
			}
			next, stop := iter.Pull2(d.tickets.Scan(r, q))
			defer stop()
			row, err, ok := next()
			if err != nil {
				yield(nil, err)
				return
			}
			if ok {
				heads = append(heads, &head{next, row})
			}
		}
		for len(heads) > 0 {
			best := 0
			for i, h := range heads {
				if (position{h.row.UpdatedAt, h.row.Number}).newer(position{heads[best].row.UpdatedAt, heads[best].row.Number}) {
					best = i
				}
			}
			if !yield(heads[best].row, nil) {
				return
			}
			row, err, ok := heads[best].next()
			if err != nil {
				yield(nil, err)
				return
			}
			if heads[best].row = row; !ok {
				heads = slices.Delete(heads, best, best+1)
			}
		}
	}
}

func makeCursor(t *Ticket) string {
	return base64.RawURLEncoding.EncodeToString(store.Key{}.Time(t.UpdatedAt).Uint(t.Number))
}

func readCursor(s string) (*position, error) {
	if s == "" {
		return nil, nil
	}
	bad := &Error{Kind: Invalid, Text: "the cursor is not one of ours"}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, bad
	}
	e, err := store.Key(b).Elements()
	if err != nil || len(e) != 2 {
		return nil, bad
	}
	at, ok1 := e[0].(time.Time)
	number, ok2 := e[1].(uint64)
	if !ok1 || !ok2 {
		return nil, bad
	}
	return &position{at, number}, nil
}
