package smtpd

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/emersion/go-smtp"

	"ticketgate/ticketing"
)

// body is the message as intake reads it. It knows when the last octet came and
// makes sure that it really was the last.
type body struct {
	r      io.Reader
	held   []byte // of DATA: what came last, for it may not be content
	p      *session
	cancel context.CancelFunc
	timer  *time.Timer
	began  time.Time
	ended  time.Time
	size   int64
}

// errCut ends a message whose peer went away or lied about a chunk.
var errCut = errors.New("smtpd: message was cut off")

// unseen is what the library hands over as content when it misses the end.
const unseen = ".\r\n"

func (b *body) Read(p []byte) (int, error) {
	n, err := b.next(p)
	b.size += int64(n)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		if !b.p.g.whole() {
			return n, errCut
		}
		b.end()
		return n, io.EOF
	case errors.Is(err, smtp.ErrDataTooLarge):
		return n, &ticketing.Error{Kind: ticketing.TooBig, Text: "message too large"}
	default:
		return n, errors.Join(errCut, err)
	}
}

// next reads on, keeping back what may turn out to be the end.
func (b *body) next(p []byte) (int, error) {
	if b.held == nil || len(p) <= len(unseen) {
		return b.r.Read(p)
	}
	kept := copy(p, b.held)
	n, err := b.r.Read(p[kept:])
	n += kept
	b.held = b.held[:0]
	switch {
	case err == nil:
		keep := min(n, len(unseen))
		b.held = append(b.held, p[n-keep:n]...)
		return n - keep, nil
	case errors.Is(err, errSettled) && n >= len(unseen) && string(p[n-len(unseen):n]) == unseen:
		return n - len(unseen), io.EOF
	}
	return n, err
}

// end is called when the message is complete.
func (b *body) end() {
	if !b.ended.IsZero() {
		return
	}
	b.ended = b.p.s.o.Now()
	b.p.mu.Lock()
	b.p.spent = false
	b.p.mu.Unlock()
	b.p.g.enter(storing)
	// Later than this the peer might have given up, and a late 250 is a mail that
	// comes twice.
	b.timer = time.AfterFunc(b.p.s.o.Limits.Store, b.cancel)
}

func (b *body) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}
