// Package delivery promises that a mail submitted to it in a transaction is
// handed to its recipient's mail server at least once, or reported as failed,
// whatever crashes in between; and that it arrives twice only if the answer to
// the final dot was lost.
//
// # The life of a parcel
//
// [Queue.Submit] stores a parcel and a job in the lane "mail/<domain>/<band>" of
// the agenda, or "mail/<domain>/<route>/<band>" if it takes another way than most,
// in the caller's transaction: no mail without its reason, no reason without its
// mail. [Queue.Run] then makes attempts, in turns and as the site
// can bear them (see sched.go and site.go):
//
//  1. Claim. One durable transaction counts the attempt and sets the time of
//     the next one, before anything is dialled. After a crash the parcel is
//     due again at that time.
//  2. Sign, once. The signature fields are kept with the parcel, so that every
//     attempt sends the same bytes. A mail that cannot be signed waits; it is
//     never sent unsigned.
//  3. Carry. When everything but the final dot is with the peer, the parcel is
//     marked, durably. A parcel found so marked after a crash may have
//     arrived: it is counted as ambiguous and sent again after its back-off.
//  4. Settle. One transaction removes the parcel or makes it due again, and
//     tells the [Ledger] what became of it.
//
// Waiting for a rate or for a free connection is no attempt. A parcel that is
// still undelivered at the end of its class's life is reported as failed. Delivered and
// failed parcels leave the queue; their history is the ledger's, their content
// stays in the blob store.
//
// One process works on a queue: Run takes back, when it starts, whatever an
// earlier process had in flight.
package delivery

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/agenda"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Ledger hears of every change of a parcel's state, in the transaction that
// makes it. An error rolls the transaction back; the queue then keeps the
// outcome and reports it again later, without sending the mail again.
type Ledger interface {
	Settled(tx store.Tx, r message.Report) error
}

// Signer makes the DKIM-Signature fields for a mail: complete header fields
// with CRLF, to be put on top of it.
type Signer interface {
	Sign(ctx context.Context, domain string, mail io.Reader) (fields []byte, err error)
}

// Carrier delivers one transaction; *courier.Courier fits. It returns one
// result per recipient within 45 minutes.
type Carrier interface {
	Carry(ctx context.Context, t courier.Transaction) []courier.Result
}

// Options are a queue's dependencies and limits. The first six are required.
type Options struct {
	DB      store.DB
	Blobs   *blob.Store
	Agenda  *agenda.Agenda
	Ledger  Ledger
	Signer  Signer
	Carrier Carrier

	Now        func() time.Time // required
	Random     io.Reader        // required; jitter
	Log        *slog.Logger
	Registerer prometheus.Registerer

	// Retry are the waits after the first, second … failed attempt; the last
	// one repeats. Each is spread by a fifth either way.
	Retry []time.Duration
	// When to give up: replies and relayed mail after Expire (0 = four days),
	// notifications after ExpireNotice (0 = a day), bulk mail after ExpireBulk
	// (0 = half a day); the latter two never later than replies.
	Expire, ExpireNotice, ExpireBulk time.Duration

	Workers        int // deliveries at once; 0 = 500
	PerDestination int // deliveries at once to one domain, and to one site; 0 = 10
	// Rates are budgets of mails, by scope ("domain") or one member of it
	// ("domain/example.org"); see the scopes. A missing one is no limit.
	Rates     map[string]Rate
	Providers []Provider // nil = DefaultProviders

	// With SoftLimit parcels in the queue, new bulk mail waits an hour for its
	// first attempt; with HardLimit, Submit returns ErrBusy. 0 = 500,000 and
	// a million.
	SoftLimit, HardLimit int

	// Uptime is the time since the program's start that no clock setting
	// changes; nil takes it from the monotonic reading of Now.
	Uptime func() time.Duration

	// Suppressions are the addresses that get no mail; nil keeps none.
	Suppressions *Suppressions

	Lease time.Duration // of a claim; 0 = an hour, which is more than a Carry takes
	Drain time.Duration // how long Run waits for answers in flight when it ends; 0 = 20 s
}

var (
	// ErrInFlight says that an attempt is under way; ask again when it is over.
	ErrInFlight = errors.New("delivery: an attempt is under way")
	// ErrState says that the parcel is not in a state for the command: a
	// release of what is not held, a hold of what is.
	ErrState = errors.New("delivery: not possible in this state")
	// ErrBusy says that the queue is full; the caller should refuse work for
	// now and come again.
	ErrBusy = errors.New("delivery: the outbound queue is full")
)

// Queue is the outbound queue. Its methods may be called from any goroutine.
type Queue struct {
	o        Options
	parcels  *store.Table[row]
	measures measures
	met      metrics

	places  *store.Table[place]
	locator Locator // nil if the carrier is none
	group   together
	clock   clockwork

	mu      sync.Mutex // what follows
	sched   scheduler
	sites   map[string]*site
	senders map[string]*senderHold
	buckets map[string]*bucket
	paused  map[string]place // of sites, as loaded

	nextFeed time.Duration // uptime; the scheduler's own

	random  sync.Mutex // Options.Random
	workers sync.WaitGroup
	freed   chan struct{} // a worker ended
	rewalk  chan struct{} // mail has got another way
	fatal   chan error    // the store is gone
}

// New returns a queue on o.DB. It does nothing until Run.
func New(o Options) (*Queue, error) {
	if o.DB == nil || o.Blobs == nil || o.Agenda == nil || o.Ledger == nil || o.Signer == nil || o.Carrier == nil {
		return nil, errors.New("delivery: store, blobs, agenda, ledger, signer and carrier are required")
	}
	if o.Now == nil || o.Random == nil {
		return nil, errors.New("delivery: clock and random source are required")
	}
	if len(o.Retry) == 0 {
		o.Retry = DefaultRetry()
	}
	for _, d := range o.Retry {
		if d <= 0 {
			return nil, errors.New("delivery: a retry wait must be positive")
		}
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{{&o.Expire, 4 * 24 * time.Hour}, {&o.ExpireNotice, 24 * time.Hour}, {&o.ExpireBulk, 12 * time.Hour}, {&o.Lease, time.Hour}, {&o.Drain, 20 * time.Second}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
	o.ExpireNotice, o.ExpireBulk = min(o.ExpireNotice, o.Expire), min(o.ExpireBulk, o.Expire)
	if o.Providers == nil {
		o.Providers = DefaultProviders()
	}
	if o.SoftLimit <= 0 {
		o.SoftLimit = 500_000
	}
	if o.HardLimit <= 0 {
		o.HardLimit = 1_000_000
	}
	if o.Uptime == nil {
		start := o.Now()
		o.Uptime = func() time.Duration { return o.Now().Sub(start) }
	}
	if o.Workers <= 0 {
		o.Workers = 500
	}
	if o.PerDestination <= 0 {
		o.PerDestination = 10
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{
		o:        o,
		parcels:  newParcelTable(),
		measures: newMeasures(),
		places:   newPlaceTable(),
		group:    together{db: o.DB},
		sched:    scheduler{dests: map[heading]*dest{}},
		sites:    map[string]*site{},
		senders:  map[string]*senderHold{},
		buckets:  map[string]*bucket{},
		paused:   map[string]place{},
		freed:    make(chan struct{}, 1),
		rewalk:   make(chan struct{}, 1),
		fatal:    make(chan error, 1),
	}
	q.locator, _ = o.Carrier.(Locator)
	q.clock.wall, q.clock.up = o.Now(), o.Uptime()
	q.met = newMetrics(o.Registerer, q)
	return q, nil
}
