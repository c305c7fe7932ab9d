package delivery

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/store"
)

// work makes the attempts of one claim, one after the other, so that they can
// share a connection. If the destination cannot be reached at all, the rest of
// the claim is not made to wait for the same answer.
func (q *Queue) work(run, carry context.Context, lane string, claims []*claim) {
	var down *courier.Result
	late := q.o.Now().Add(q.o.Lease / 8)
	for _, c := range claims {
		switch {
		case c.row == nil:
			q.settleOrphan(c)
		case c.row.Unsettled != nil:
			q.finish(c, outcome{report: *c.row.Unsettled})
		case run.Err() != nil, q.o.Now().After(late):
			q.giveBack(lane, c)
		case down != nil:
			q.settle(lane, c, *down, nil, 0)
		case q.stopped(carry, lane, c):
		default:
			start := q.o.Now()
			res, sig := q.attempt(carry, c)
			if h := unsignable(c.row, res.Err); h != nil {
				q.setAside(c, *h)
				continue
			}
			q.settle(lane, c, res, sig, q.o.Now().Sub(start))
			if res.Class == courier.Temporary && res.Phase.Session() {
				down = &res
			}
		}
	}
}

// attempt signs if that has not been done, and carries. It returns the
// signature that was used.
func (q *Queue) attempt(ctx context.Context, c *claim) (courier.Result, []byte) {
	p := c.row
	sig, err := q.sign(ctx, p)
	if err != nil {
		q.o.Log.Error("mail cannot be signed and waits", "parcel", p.ID, "domain", p.Domain, "cause", err)
		return courier.Result{
			Recipient: p.To, Phase: courier.PhaseLocal, Enhanced: "4.7.0", Err: err,
			Text: "the mail cannot be signed for " + p.Domain + " now",
		}, nil
	}
	results := q.o.Carrier.Carry(ctx, courier.Transaction{
		Destination: p.Lane[len(lanePrefix):],
		From:        p.From, To: []string{p.To},
		Size: p.Size + int64(len(sig)), UTF8: p.UTF8, Bit8: p.Bit8,
		Queue: p.Queue, Route: cmp.Or(p.Route, q.rerouted(ctx, p)), RequireTLS: p.Secure,
		Open: func(ctx context.Context) (io.Reader, error) {
			r, err := q.o.Blobs.Open(ctx, p.SHA256)
			if err != nil {
				return nil, err
			}
			return io.MultiReader(bytes.NewReader(sig), courier.CRLF(r)), nil
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
func (q *Queue) sign(ctx context.Context, p *row) ([]byte, error) {
	if len(p.Signature) > 0 || p.Domain == "" {
		return p.Signature, nil
	}
	sig, err := func() ([]byte, error) {
		r, err := q.o.Blobs.Open(ctx, p.SHA256)
		if err != nil {
			return nil, fmt.Errorf("content: %w", err)
		}
		sig, err := q.o.Signer.Sign(ctx, p.Domain, courier.CRLF(r))
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

// markDot notes, durably, that the mail may have arrived from now on, and with
// which bytes. It fails if the claim is not ours any more; the dot is then not
// sent.
func (q *Queue) markDot(ctx context.Context, c *claim, sig []byte) error {
	return q.o.DB.Update(ctx, func(tx store.Tx) error {
		p, err := q.mine(tx, c)
		if err != nil {
			return err
		}
		p.Phase, p.Signature = phaseDot, sig
		return q.parcels.Put(tx, p)
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

// giveBack undoes a claim on which nothing was tried.
func (q *Queue) giveBack(lane string, c *claim) {
	q.giveTokens(lane, 1)
	q.durably(c, func(tx store.Tx) error {
		if err := q.o.Agenda.Again(tx, c.job, time.Time{}); err != nil {
			return err
		}
		p, err := q.mine(tx, c)
		if err != nil {
			return err
		}
		p.Phase, p.Lease, p.Due = "", 0, tx.Now()
		p.Attempts--
		return q.parcels.Put(tx, p)
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
