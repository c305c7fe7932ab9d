package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/store"
)

// work makes the attempts of one claim, one after the other, so that they can
// share a connection. If the site turns out not to be reachable, or not to
// want us, the rest of the claim is given back: it has not been tried.
func (q *Queue) work(run, carry context.Context, g *grant, claims []*claim) {
	down := false
	late := q.uptime() + q.o.Lease/8
	for _, c := range claims {
		switch {
		case c.row == nil:
			q.settleOrphan(c)
		case c.row.Unsettled != nil:
			q.finish(c, outcome{report: *c.row.Unsettled})
		case down, run.Err() != nil, q.uptime() > late:
			q.giveBack(g, c, time.Time{})
		case q.takenBack(carry, c):
		case q.stopped(carry, g, c):
		case q.astray(carry, g, c):
		default:
			if at := q.toll(c.row); !at.IsZero() {
				q.giveBack(g, c, at)
				break
			}
			start := q.uptime()
			res, sig := q.attempt(carry, c, g)
			if res.Untried {
				down = true
				q.unconnected(g.site, res.After)
				// What it paid for and how it is signed is kept.
				c.row.Paid, c.row.Signature = q.o.Now(), sig
				q.giveBack(g, c, time.Time{})
				break
			}
			if h := unsignable(c.row, res.Err); h != nil {
				q.setAside(c, *h)
				break
			}
			q.settle(g, c, res, sig, q.uptime()-start)
			down = res.Class == courier.SiteScoped || res.Class == courier.SenderScoped || res.Class == courier.Temporary && res.Phase.Session()
		}
		q.settled(g)
	}
}

// toll takes what a mail has to be paid with besides what its lane was paid
// with. If that cannot be had now, or its sender is held, it returns when to
// ask again; a token that is reserved for then is the mail's.
func (q *Queue) toll(p *row) (at time.Time) {
	now := q.o.Now()
	spread := q.jitter(1)[0]
	q.mu.Lock()
	defer q.mu.Unlock()
	if h := q.senders[p.sender()]; h != nil && h.until.After(now) {
		return h.until.Add(time.Duration(spread * float64(time.Minute)))
	}
	if !p.Paid.IsZero() && p.Paid.Sub(now).Abs() <= paidHorizon {
		return time.Time{}
	}
	list := q.budget(nil, ScopeQueue, p.Queue)
	list = q.budget(list, ScopeSender, p.From)
	for i, b := range list {
		k := q.bucket(b, now)
		t, ok := k.reserve(b.rate, now, paidHorizon)
		k.dirty = true
		if !ok {
			for _, before := range list[:i] {
				q.bucket(before, now).give(before.rate, 1)
			}
			p.Paid = time.Time{}
			return now.Add(paidHorizon/2 + time.Duration(spread*float64(paidHorizon/2))).Truncate(time.Microsecond)
		}
		if t.After(now) && t.After(at) {
			at = t
		}
	}
	if !at.IsZero() {
		at = at.Truncate(time.Microsecond)
		p.Paid = at
	}
	return at
}

// sender names whose mail it is to receivers: the domain that signs.
func (p *row) sender() string { return p.Domain }

// attempt signs if that has not been done, and carries. It returns the
// signature that was used.
func (q *Queue) attempt(ctx context.Context, c *claim, g *grant) (courier.Result, []byte) {
	p := c.row
	text := body{q: q, p: p}
	sig, err := q.sign(ctx, p, &text)
	if err != nil {
		q.o.Log.Error("mail cannot be signed and waits", "parcel", p.ID, "domain", p.Domain, "cause", err)
		return courier.Result{
			Recipient: p.To, Phase: courier.PhaseLocal, Enhanced: "4.7.0", Err: err,
			Text: "the mail cannot be signed for " + p.Domain + " now",
		}, nil
	}
	results := q.o.Carrier.Carry(ctx, courier.Transaction{
		Destination: p.domain(),
		From:        p.From, To: []string{p.To},
		Size: p.Size + int64(len(sig)), UTF8: p.UTF8, Bit8: p.Bit8,
		Queue: p.Queue, Route: c.route, RequireTLS: p.Secure,
		Messages: g.messages,
		Connect:  func() time.Duration { return q.connect(g.site) },
		Open: func(ctx context.Context) (io.Reader, error) {
			r, err := text.open(ctx)
			if err != nil {
				return nil, err
			}
			return io.MultiReader(bytes.NewReader(sig), r), nil
		},
		OnDot: func(ctx context.Context) error { return q.markDot(ctx, c, sig) },
	})
	if len(results) != 1 {
		return courier.Result{Recipient: p.To, Phase: courier.PhaseLocal, Enhanced: "4.3.0", Text: "the carrier gave no answer"}, sig
	}
	return results[0], sig
}

// sign returns the parcel's signature fields, made now if this is the first
// time.
func (q *Queue) sign(ctx context.Context, p *row, text *body) ([]byte, error) {
	if len(p.Signature) > 0 || p.Domain == "" {
		return p.Signature, nil
	}
	sig, err := func() ([]byte, error) {
		r, err := text.keep(ctx)
		if err != nil {
			return nil, fmt.Errorf("content: %w", err)
		}
		sig, err := q.o.Signer.Sign(ctx, p.Domain, r)
		switch {
		case err != nil:
			return nil, err
		case len(sig) == 0 || len(sig) > maxSignature || !bytes.HasSuffix(sig, []byte("\r\n")):
			return nil, fmt.Errorf("unusable signature of %d bytes", len(sig))
		}
		return sig, nil
	}()
	q.met.signatures.WithLabelValues(okOr(err)).Inc()
	return sig, err
}

// keptContent is up to which size a mail stays in memory between its signing
// and its sending. Most mails are smaller, and each worker has one.
const keptContent = 32 << 10

// body is a parcel's mail as it is sent: with CRLF for line ends.
type body struct {
	q    *Queue
	p    *row
	kept []byte
}

func (c *body) open(ctx context.Context) (io.Reader, error) {
	if c.kept != nil {
		return bytes.NewReader(c.kept), nil
	}
	r, err := c.q.o.Blobs.Open(ctx, c.p.SHA256)
	if err != nil {
		return nil, err
	}
	return courier.CRLF(r), nil
}

// keep opens what will be opened once more.
func (c *body) keep(ctx context.Context) (io.Reader, error) {
	r, err := c.open(ctx)
	if err != nil || c.p.Size > keptContent {
		return r, err
	}
	if c.kept, err = io.ReadAll(r); err != nil {
		return nil, err
	}
	return bytes.NewReader(c.kept), nil
}

// markDot notes, durably, that the mail may have arrived from now on, and with
// which bytes. It fails if the claim is not ours any more; the dot is then not
// sent.
func (q *Queue) markDot(ctx context.Context, c *claim, sig []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return q.group.update(func(tx store.Tx) error {
		p, err := q.mine(tx, c)
		if err != nil {
			return err
		}
		if p.Recalled != "" {
			return errRecalled
		}
		old := *p
		p.Phase, p.Signature = phaseDot, sig
		return q.parcels.Replace(tx, &old, p)
	})
}

var errNotMine = errors.New("another worker owns the parcel")

// mine locks and returns the parcel of a claim that still holds.
func (q *Queue) mine(tx store.Tx, c *claim) (*row, error) {
	key := parcelKey(c.row.ID)
	if err := q.parcels.Lock(tx, key); err != nil {
		return nil, err
	}
	p, err := q.parcels.Find(tx, key)
	if err != nil {
		return nil, err
	}
	if p == nil || p.Lease != c.job.Lease || p.Phase == "" {
		return nil, errNotMine
	}
	return p, nil
}

// giveBack undoes a claim on which nothing was tried. The parcel is due at the
// given time; with none it keeps its place.
func (q *Queue) giveBack(g *grant, c *claim, at time.Time) {
	q.refund(g.paid, 1)
	q.durably(c, func(tx store.Tx) error {
		p, err := q.mine(tx, c)
		if err != nil {
			return err
		}
		old := *p
		p.Phase, p.Lease, p.Paid, p.Way, p.Signature = "", 0, c.row.Paid, c.row.Way, c.row.Signature
		p.Attempts--
		due := at.Truncate(time.Microsecond)
		if due.IsZero() {
			due = c.job.Due
		}
		if err := q.reline(tx, p, c.job, due); err != nil {
			return err
		}
		return q.parcels.Replace(tx, &old, p)
	})
}

// settleOrphan removes a job whose parcel is gone.
func (q *Queue) settleOrphan(c *claim) {
	q.o.Log.Error("outbound job without a parcel", "lane", c.job.Lane, "key", c.job.Key)
	q.durably(c, func(tx store.Tx) error { return q.o.Agenda.Done(tx, c.job) })
}

func okOr(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}
