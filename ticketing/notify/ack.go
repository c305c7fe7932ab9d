package notify

import (
	"context"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// ackPause is how long after one acknowledgement an address gets no other.
const ackPause = 24 * time.Hour

// ackRow remembers the last acknowledgement to an address.
type ackRow struct {
	Address string    `json:"address"` // folded
	At      time.Time `json:"at"`
}

func ackTable() *store.Table[ackRow] {
	return store.NewTable("acknowledgements", store.PrefixAck, []string{"address"},
		func(r *ackRow) store.Key { return store.Key{}.Str(r.Address) })
}

// ackRefusal says why a new ticket is not acknowledged, "" if it may be: a
// robot is never answered, and a stranger whose address nothing vouches for is
// not either, since he may be the victim of a forgery.
func ackRefusal(a *affair) string {
	switch {
	case !a.queue.AutoAck:
		return "switched off for the queue"
	case a.notice.NoAck:
		return "acknowledged for another queue"
	case a.msg == nil || a.msg.Direction != "in":
		return "no mail to acknowledge"
	case a.msg.Envelope.From == "":
		return "null return path"
	case a.msg.Automatic.Class != "none" && a.msg.Automatic.Class != "":
		return "automatic mail: " + a.msg.Automatic.Class
	case a.msg.Auth.Trust == "T0" && !a.notice.KnownContact:
		return "unproven sender"
	}
	return ""
}

// dropAcknowledged removes acknowledgements to addresses that had one lately.
func (n *Notifier) dropAcknowledged(ctx context.Context, letters []letter, skipped *[]skip) ([]letter, error) {
	var kept []letter
	err := n.o.DB.View(ctx, func(r store.Reader) error {
		kept = kept[:0]
		for _, l := range letters {
			if l.ack {
				recent, err := n.ackedLately(r, l.contact)
				if err != nil {
					return err
				}
				if recent {
					*skipped = append(*skipped, skip{l.role, "acknowledged within the last day"})
					continue
				}
			}
			kept = append(kept, l)
		}
		return nil
	})
	return kept, err
}

func (n *Notifier) ackedLately(r store.Reader, address string) (bool, error) {
	row, err := n.acks.Find(r, store.Key{}.Str(address))
	if err != nil || row == nil {
		return false, err
	}
	return r.Now().Sub(row.At) < ackPause, nil
}

// recordAcks notes the acknowledgements in the transaction that sends them.
func (n *Notifier) recordAcks(tx store.Tx, letters []letter) error {
	for _, l := range letters {
		if !l.ack {
			continue
		}
		key := store.Key{}.Str(message.Fold(l.to.Addr))
		if err := n.acks.Lock(tx, key); err != nil {
			return err
		}
		if err := n.acks.Put(tx, &ackRow{Address: message.Fold(l.to.Addr), At: tx.Now()}); err != nil {
			return err
		}
	}
	return nil
}
