package ticketing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/journal"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Options are what a Desk needs from the world. DB, Blobs, Journal, Agenda and
// Random are required.
type Options struct {
	DB         store.DB
	Blobs      *blob.Store
	Journal    *journal.Journal
	Agenda     *agenda.Agenda
	Queues     []Queue
	Agents     []Agent
	Admin      string
	Random     io.Reader
	Log        *slog.Logger          // nil drops what would be logged
	Registerer prometheus.Registerer // nil keeps the metrics private
	Limits     message.Limits        // the zero value means message.DefaultLimits
	// Acked reports whether an address had an acknowledgement so lately that
	// it gets no other, and counts that it asked. What could only become one
	// is not noticed then: a flood from one address costs no notices. alarm, if
	// not empty, is news for the administrator. nil leaves it to notify.
	Acked       func(tx store.Tx, address string) (had bool, alarm string, err error)
	Outbox      Outbox     // takes the mails of queues with DeliverTo; nil if there are none
	Recaller    Recaller   // takes mails back that were not sent yet; nil takes none back
	SenderFlood FloodLimit // what one author may write to one queue; the zero value is no limit
	// Heard and Bounced are told what mail says about addresses: one that
	// writes is good, one whose mail is reported as failed may not be. They run
	// in the transaction that stores the mail. nil tells nobody.
	Heard   func(tx store.Tx, address string) error
	Bounced func(tx store.Tx, address, status string, code int, text string) error
}

// Desk is the domain: every change of a ticket goes through it. It fits
// intake's, notify's and delivery's needs. Safe for concurrent use.
type Desk struct {
	db      store.DB
	blobs   *blob.Store
	journal *journal.Journal
	agenda  *agenda.Agenda
	random  io.Reader
	log     *slog.Logger
	limits  message.Limits
	keyring atomic.Pointer[message.Keyring]
	secrecy sync.Mutex // held while the keyring is replaced
	metrics *metrics
	flood   FloodLimit
	admin   string
	heard   func(tx store.Tx, address string) error
	bounced func(tx store.Tx, address, status string, code int, text string) error
	acked   func(store.Tx, string) (bool, string, error)
	texts   texts
	outbox  Outbox
	recall  Recaller
	present presences
	tables
	staff
}

// Open loads the keyring from the store, making first secrets if there are
// none, and checks the configuration's references.
func Open(ctx context.Context, o Options) (*Desk, error) {
	if o.DB == nil || o.Blobs == nil || o.Journal == nil || o.Agenda == nil || o.Random == nil {
		return nil, errors.New("ticketing: DB, Blobs, Journal, Agenda and Random are required")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Limits == (message.Limits{}) {
		o.Limits = message.DefaultLimits()
	}
	s, err := newStaff(o.Queues, o.Agents)
	if err != nil {
		return nil, fmt.Errorf("ticketing: %w", err)
	}
	d := &Desk{
		db: o.DB, blobs: o.Blobs, journal: o.Journal, agenda: o.Agenda,
		random: o.Random, log: o.Log, limits: o.Limits, flood: o.SenderFlood, admin: o.Admin, acked: o.Acked, heard: o.Heard, bounced: o.Bounced, outbox: o.Outbox, recall: o.Recaller,
		tables: newTables(), staff: *s,
	}
	for _, q := range o.Queues {
		if q.DeliverTo.Route != "" && o.Outbox == nil {
			return nil, fmt.Errorf("ticketing: queue %s hands mail on and there is no outbox", q.Name)
		}
	}
	keyring, err := loadKeyring(ctx, d.db, &d.tables, d.random)
	if err != nil {
		return nil, err
	}
	d.keyring.Store(keyring)
	if d.metrics, err = newMetrics(d, o.Registerer); err != nil {
		return nil, fmt.Errorf("ticketing: metrics: %w", err)
	}
	return d, nil
}

// Keyring returns the secrets in force. Rotating and revoking replaces it: ask
// for it each time.
func (d *Desk) Keyring() *message.Keyring { return d.keyring.Load() }

// Queue and Agent return configured nouns by name. What they return is shared:
// do not change it.
func (d *Desk) Queue(name string) (*Queue, bool) {
	q, ok := d.queues[name]
	if !ok {
		return nil, false
	}
	return &q.Queue, true
}

// Writer returns the agent who writes from an address.
func (d *Desk) Writer(address string) (*Agent, bool) {
	a := d.writer(message.Fold(address))
	return a, a != nil
}

// Agent: see Queue.
func (d *Desk) Agent(name string) (*Agent, bool) {
	a, ok := d.agents[name]
	return a, ok
}
