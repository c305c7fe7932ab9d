package ticketing

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Options are what a Desk needs from the world.
type Options struct {
	DB         store.DB
	Blobs      *blob.Store
	Journal    *journal.Journal
	Agenda     *agenda.Agenda
	Queues     []Queue
	Agents     []Agent
	Admin      string
	Random     io.Reader
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Limits     message.Limits
}

// Desk is the domain: every change of a ticket goes through it. It fits
// intake's, notify's and delivery's needs. Safe for concurrent use.
type Desk struct{}

// Open loads the keyring from the store, making first secrets if there are
// none, and checks the configuration's references.
func Open(ctx context.Context, o Options) (*Desk, error) { panic("contract") }

// Keyring returns the secrets in force.
func (d *Desk) Keyring() *message.Keyring { panic("contract") }

// Queue and Agent return configured nouns by name.
func (d *Desk) Queue(name string) (*Queue, bool) { panic("contract") }
func (d *Desk) Agent(name string) (*Agent, bool) { panic("contract") }

// Route says where a recipient leads. Unknown for addresses that are not ours
// and for tokens that do not verify.
func (d *Desk) Route(ctx context.Context, recipient string) (Route, error) { panic("contract") }

// Receive makes a mail durable and ticketed for every recipient, in one
// transaction, and returns the receipt. An arrival that was already stored
// gives outcome duplicate.
func (d *Desk) Receive(ctx context.Context, a Arrival) (*Receipt, error) { panic("contract") }

// Receipt returns a stored receipt.
func (d *Desk) Receipt(ctx context.Context, id string) (*Receipt, error) { panic("contract") }

// Create opens a ticket on behalf of an actor.
func (d *Desk) Create(ctx context.Context, by Actor, n NewTicket) (*Ticket, *Message, error) {
	panic("contract")
}

// Post adds a message to a ticket: a public reply, mailed to requester and
// CCs, or an internal note, mailed to followers.
func (d *Desk) Post(ctx context.Context, by Actor, ticket uint64, n NewMessage) (*Message, error) {
	panic("contract")
}

// Change changes a ticket's fields.
func (d *Desk) Change(ctx context.Context, by Actor, ticket uint64, c Change) (*Ticket, error) {
	panic("contract")
}

// AddCC, RemoveCC, Follow and Unfollow change participants; doing twice what
// is done already changes nothing.
func (d *Desk) AddCC(ctx context.Context, by Actor, ticket uint64, a message.Address) (*Ticket, error) {
	panic("contract")
}

// RemoveCC: see AddCC.
func (d *Desk) RemoveCC(ctx context.Context, by Actor, ticket uint64, address string) (*Ticket, error) {
	panic("contract")
}

// Follow: see AddCC.
func (d *Desk) Follow(ctx context.Context, by Actor, ticket uint64, agent string) (*Ticket, error) {
	panic("contract")
}

// Unfollow: see AddCC.
func (d *Desk) Unfollow(ctx context.Context, by Actor, ticket uint64, agent string) (*Ticket, error) {
	panic("contract")
}

// Ticket, Tickets, Messages and Message read. Tickets returns the cursor of
// the next page, "" at the end.
func (d *Desk) Ticket(ctx context.Context, number uint64) (*Ticket, error) { panic("contract") }

// Tickets: see Ticket. Newest change first.
func (d *Desk) Tickets(ctx context.Context, f Filter) ([]*Ticket, string, error) { panic("contract") }

// Messages: see Ticket. Oldest first; after is a Seq.
func (d *Desk) Messages(ctx context.Context, ticket uint64, after, limit int) ([]*Message, error) {
	panic("contract")
}

// Message: see Ticket.
func (d *Desk) Message(ctx context.Context, id string) (*Message, error) { panic("contract") }

// Content parses a message's raw bytes.
func (d *Desk) Content(ctx context.Context, m *Message) (*Content, error) { panic("contract") }

// Deliveries returns the delivery states of a message.
func (d *Desk) Deliveries(ctx context.Context, messageID string) ([]Delivery, error) {
	panic("contract")
}

// Raw opens the exact bytes of a message.
func (d *Desk) Raw(ctx context.Context, m *Message) (*blob.Reader, error) { panic("contract") }

// OpenAttachment opens one attachment by id, decoded.
func (d *Desk) OpenAttachment(ctx context.Context, id string) (*Attachment, io.Reader, error) {
	panic("contract")
}

// Settled records what became of a parcel, in the transaction that changes the
// parcel (delivery's Ledger). A permanent failure is an event on the ticket and
// tells its agents.
func (d *Desk) Settled(tx store.Tx, r message.Report) error { panic("contract") }

// Thread returns what a mail about the ticket to this person should refer to:
// In-Reply-To (his last mail in the thread, ours or his own) and References
// (root and the last ten).
func (d *Desk) Thread(ctx context.Context, ticket uint64, person string) (inReplyTo string, references []string, err error) {
	panic("contract")
}

// Sent returns the record of mail number n of a ticket.
func (d *Desk) Sent(ctx context.Context, ticket uint64, mail uint32) (*Sent, error) {
	panic("contract")
}

// Reconciliation compares what was accepted with what is there.
type Reconciliation struct {
	Receipts  int       `json:"receipts"`
	Outcomes  int       `json:"outcomes"`
	Tickets   int       `json:"tickets"`
	Messages  int       `json:"messages"`
	Problems  []string  `json:"problems"` // each a sentence; empty when all is well
	CheckedAt time.Time `json:"checked_at"`
}

// Reconcile walks the store: every outcome has its ticket and message, every
// message its bytes (hash checked), every message its receipt, every ticket its
// messages and counts.
func (d *Desk) Reconcile(ctx context.Context) (*Reconciliation, error) { panic("contract") }
