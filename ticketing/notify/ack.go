package notify

import (
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// ackRefusal says why a new ticket is not acknowledged, "" if it may be: a
// robot is never answered, and a stranger whose address nothing vouches for is
// not either, since he may be the victim of a forgery.
func ackRefusal(a *affair) string {
	switch {
	case !a.queue.AutoAck:
		return ackOff
	case a.msg == nil || a.msg.Direction != "in":
		return ackNoMail
	case a.msg.Envelope.From == "":
		return ackNull
	case a.notice.Automatic != "":
		return ackRobot + a.notice.Automatic
	case machineWrote(a):
		return ackRobot + a.msg.Automatic.Class
	case a.notice.NoAck:
		return ackElsewhere
	case !vouched(a):
		return ackUnproven
	case a.optedOut[message.Fold(a.notice.Actor.Address)]:
		return notWanted
	}
	return ""
}

// machineWrote reports whether the message is automatic mail of any class.
func machineWrote(a *affair) bool {
	return a.msg != nil && a.msg.Automatic.Class != "none" && a.msg.Automatic.Class != ""
}

// proven reports whether something vouches for the sender's address.
func proven(a *affair) bool {
	return a.msg != nil && (a.msg.Auth.Trust == "T1" || a.msg.Auth.Trust == "T2")
}

// vouched reports whether the message may cause mail to customers: one of our
// people wrote it, its author is proven, or he was met before.
func vouched(a *affair) bool {
	return a.msg == nil || byUs(a.msg) || proven(a) || a.notice.KnownContact || a.notice.Actor.Kind != "contact" // one of ours let it be read
}

// Acks knows who was acknowledged lately.
type Acks struct{ rows *store.Table[ackRow] }

// NewAcks returns what is known in the stores it will be asked about.
func NewAcks() *Acks { return &Acks{rows: ackTable()} }

// Had reports whether an address had its acknowledgement within the last day,
// and so gets none for the mail in hand. alarm is not empty if it has asked so
// often that the administrator should hear of it, which he has not done today.
func (a *Acks) Had(tx store.Tx, address string) (had bool, alarm string, err error) {
	l := addressLimit(message.Fold(address))
	row, err := lockAck(tx, a.rows, l)
	if err != nil || !l.refuses(row, tx.Now()) {
		return false, "", err
	}
	if row.again(tx.Now()) {
		alarm = l.says()
	}
	return true, alarm, a.rows.Put(tx, row)
}
