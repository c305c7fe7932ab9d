package api

import (
	"context"
	"io"
	"net/netip"
	"time"

	"ticketgate/gateway/intake"
	"ticketgate/gateway/login"
	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
)

// Desk is the domain as this door needs it; *ticketing.Desk fits.
type Desk interface {
	Staff
	Tickets
	Messages
	Receipts
	HeldBack
	Participants
	Directory
	Secrets
	Operations
	Work
	Present
}

// Staff are the configured nouns.
type Staff interface {
	Queue(name string) (*ticketing.Queue, bool)
	Agent(name string) (*ticketing.Agent, bool)
	Queues() []*ticketing.Queue
	Agents() []*ticketing.Agent
	Serves(agent string) []string // names of queues
	Route(ctx context.Context, recipient string) (ticketing.Route, error)
}

// Tickets are commands on tickets, and their reading.
type Tickets interface {
	Ticket(ctx context.Context, number uint64) (*ticketing.Ticket, error)
	Tickets(ctx context.Context, f ticketing.Filter) ([]*ticketing.Ticket, string, error)
	Create(ctx context.Context, by ticketing.Actor, n ticketing.NewTicket) (*ticketing.Ticket, *ticketing.Message, error)
	Change(ctx context.Context, by ticketing.Actor, ticket uint64, c ticketing.Change) (*ticketing.Ticket, error)
	AddCC(ctx context.Context, by ticketing.Actor, ticket uint64, a message.Address) (*ticketing.Ticket, error)
	RemoveCC(ctx context.Context, by ticketing.Actor, ticket uint64, address string) (*ticketing.Ticket, error)
	Follow(ctx context.Context, by ticketing.Actor, ticket uint64, agent string) (*ticketing.Ticket, error)
	Unfollow(ctx context.Context, by ticketing.Actor, ticket uint64, agent string) (*ticketing.Ticket, error)
}

// Messages are the entries of tickets.
type Messages interface {
	Post(ctx context.Context, by ticketing.Actor, ticket uint64, n ticketing.NewMessage) (*ticketing.Message, error)
	Messages(ctx context.Context, ticket uint64, after, limit int) ([]*ticketing.Message, error)
	Message(ctx context.Context, id string) (*ticketing.Message, error)
	Content(ctx context.Context, m *ticketing.Message) (*ticketing.Content, error)
	Deliveries(ctx context.Context, messageID string) ([]ticketing.Delivery, error)
	Raw(ctx context.Context, m *ticketing.Message) (*blob.Reader, error)
	OpenAttachment(ctx context.Context, id string) (*ticketing.Attachment, io.Reader, error)
}

// Receipts say what became of accepted mail.
type Receipts interface {
	Receipt(ctx context.Context, id string) (*ticketing.Receipt, error)
	Reconcile(ctx context.Context) (*ticketing.Reconciliation, error)
	Traces(ctx context.Context, id string) ([]*ticketing.Trace, error)
}

// HeldBack is mail that was put on no ticket, and what may become of it.
type HeldBack interface {
	Held(ctx context.Context, f ticketing.HeldFilter) ([]*ticketing.Held, string, error)
	HeldItem(ctx context.Context, id string) (*ticketing.Held, error)
	HeldRaw(ctx context.Context, h *ticketing.Held) (*blob.Reader, error)
	Release(ctx context.Context, by ticketing.Actor, id string) (*ticketing.Held, error)
	Attach(ctx context.Context, by ticketing.Actor, id string, ticket uint64) (*ticketing.Held, error)
	Discard(ctx context.Context, by ticketing.Actor, id string) (*ticketing.Held, error)
}

// Intake is the one path by which mail becomes durable.
type Intake interface {
	// Receive reads the mail and answers when its outcomes are on disk. It
	// bounds the mail's size itself. The recipients have been routed.
	Receive(ctx context.Context, m Mail) (*ticketing.Receipt, error)
	// Explain tells what would become of a mail that came from m.Peer on port
	// 25, and keeps nothing of it. The recipients need not be ours.
	Explain(ctx context.Context, m Mail) (*intake.Explanation, error)
}

// Mail is a raw mail handed in over HTTP. Nobody vouches for its author.
type Mail struct {
	From   string // envelope sender, "" = null
	NoFrom bool   // no envelope sender was given: the From field stands in for it
	To     []string
	Peer   netip.Addr // the client; invalid on the control socket
	HELO   string     // what the client called itself, for Explain
	Token  string     // id of the token it came with, "" on the control socket
	Body   io.Reader
}

// Tokens keeps API tokens; *login.Tokens fits.
type Tokens interface {
	Verify(ctx context.Context, secret string) (*login.Identity, error)
	Create(ctx context.Context, n login.NewToken) (*login.Token, string, error)
	List(ctx context.Context) ([]*login.Token, error)
	Revoke(ctx context.Context, id string) error
}

// Outbound is the outbound queue. Its errors carry a ticketing.Kind: Unknown
// for no such parcel, Conflict for a verb its state does not allow, Invalid for
// a bad cursor.
type Outbound interface {
	List(ctx context.Context, f ParcelFilter) (page []*Parcel, next string, err error)
	Get(ctx context.Context, id string) (*Parcel, error)
	Hold(ctx context.Context, id, by, reason string) error
	Release(ctx context.Context, id string) error
	Retry(ctx context.Context, id string) error
	Drop(ctx context.Context, id, by, reason string) error
}

// ParcelFilter selects parcels; empty fields match all.
type ParcelFilter struct {
	State  string // ready active deferred scheduled held
	To     string // an address, or @domain
	Ticket uint64
	Class  string
	Queue  string
	Held   string        // operator suppressed dkim_key content measure
	Older  time.Duration // at least so old
	Limit  int
	Cursor string
}

// Parcel is one mail for one recipient on its way out.
type Parcel struct {
	ID        string
	Class     string
	State     string
	From      string
	Recipient string
	Queue     string
	Ticket    uint64 // 0 = none
	Message   string
	Size      int64
	Attempts  int
	CreatedAt time.Time
	NextAt    time.Time // zero = not planned
	Last      *Attempt  // nil = never tried
	WaitsFor  string    // in one word
	Why       string    // in plain words: why it is still here
	Ambiguous bool      // an earlier attempt may have delivered it
	Held      *Hold     // nil unless held
}

// Hold is what keeps a parcel back.
type Hold struct {
	Kind   string // operator suppressed dkim_key content measure
	Ref    string // the address, domain or measure that holds it
	By     string
	Reason string
	At     time.Time
	Until  time.Time // zero: not known
}

// Attempt is what a server last said.
type Attempt struct {
	Code     int // 0 = no server spoke
	Enhanced string
	Text     string
	MX       string
	TLS      string // the channel in a few words
	At       time.Time
}
