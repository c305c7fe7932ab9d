package notify

import (
	"cmp"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// AckLimits bound acknowledgements, so that no robot that hides what it is can
// keep us answering. An address gets one a day; that leaves nothing to do for a
// higher daily number. Mail over a limit is stored as ever.
type AckLimits struct {
	Domain int // to one domain in ten minutes; default 10
	Total  int // to everybody in ten minutes; default 600
}

func (l AckLimits) orDefaults() AckLimits {
	return AckLimits{Domain: cmp.Or(max(l.Domain, 0), 10), Total: cmp.Or(max(l.Total, 0), 600)}
}

const (
	ackPause  = 24 * time.Hour   // between two acknowledgements to one address
	ackPeriod = 10 * time.Minute // of the other limits
	ackAlert  = time.Hour        // between two warnings about one limit
)

// Scopes of limits, in the order their rows are locked: the hot one last.
const (
	scopeAddress = "address"
	scopeDomain  = "domain"
	scopeTotal   = "total"
)

var ackScopes = []string{scopeAddress, scopeDomain, scopeTotal}

// ackRow is one limit's memory. For an address Full is when it may have the
// next acknowledgement. For a domain and the total it is when the bucket would
// be full again: each acknowledgement moves it on by one token's time.
type ackRow struct {
	Scope   string    `json:"scope"`
	Name    string    `json:"name"` // folded address, its domain, or ""
	Full    time.Time `json:"full"`
	Alerted time.Time `json:"alerted,omitzero"` // when the operator was last told
}

func ackKey(scope, name string) store.Key { return store.Key{}.Str(scope).Str(name) }

func ackTable() *store.Table[ackRow] {
	return store.NewTable("acknowledgements", store.PrefixAck, []string{"scope", "name"},
		func(r *ackRow) store.Key { return ackKey(r.Scope, r.Name) })
}

// ackRefusal says why a new ticket is not acknowledged, "" if it may be: a
// robot is never answered, and a stranger whose address nothing vouches for is
// not either, since he may be the victim of a forgery.
func ackRefusal(a *affair) string {
	switch {
	case !a.queue.AutoAck:
		return "switched off for the queue"
	case a.msg == nil || a.msg.Direction != "in":
		return "no mail to acknowledge"
	case a.msg.Envelope.From == "":
		return "null return path"
	case a.notice.Automatic != "":
		return "automatic mail: " + a.notice.Automatic
	case machineWrote(a):
		return "automatic mail: " + a.msg.Automatic.Class
	case a.notice.NoAck:
		return "the desk asked for none"
	case !proven(a) && !a.notice.KnownContact:
		return "unproven sender"
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

// Acks knows who was acknowledged lately.
type Acks struct{ rows *store.Table[ackRow] }

// NewAcks returns what is known in the stores it will be asked about.
func NewAcks() *Acks { return &Acks{rows: ackTable()} }

// Had reports whether an address had its acknowledgement within the last day.
func (a *Acks) Had(r store.Reader, address string) (bool, error) {
	l := addressLimit(address)
	row, err := a.rows.Find(r, ackKey(l.scope, l.name))
	if err != nil || row == nil {
		return false, err
	}
	return l.refuses(row, r.Now()), nil
}

// refusal is an acknowledgement that a limit withheld.
type refusal struct {
	scope, name string
	alert       bool // the operator has not been told lately
}

// limit is one limit as it applies to one acknowledgement.
type limit struct {
	scope, name string
	burst       int
	token       time.Duration // what one acknowledgement costs
}

// next is when the bucket is full again if nothing is taken from it.
func (l limit) next(row *ackRow, now time.Time) time.Time {
	if row.Full.Before(now) {
		return now
	}
	return row.Full
}

// refuses reports whether the bucket is empty.
func (l limit) refuses(row *ackRow, now time.Time) bool {
	return l.next(row, now).Sub(now) > time.Duration(l.burst-1)*l.token
}

func addressLimit(to string) limit { return limit{scopeAddress, message.Fold(to), 1, ackPause} }

func (n *Notifier) limitsFor(to string) []limit {
	first := addressLimit(to)
	return []limit{
		first,
		{scopeDomain, message.Address{Addr: first.name}.Domain(), n.o.Acks.Domain, ackPeriod / time.Duration(n.o.Acks.Domain)},
		{scopeTotal, "", n.o.Acks.Total, ackPeriod / time.Duration(n.o.Acks.Total)},
	}
}

// takeAck takes an acknowledgement's tokens in the transaction that sends it,
// from all of its limits or from none.
func (n *Notifier) takeAck(tx store.Tx, to string) (*refusal, error) {
	var rows []*ackRow
	for _, l := range n.limitsFor(to) {
		row, err := n.ackRow(tx, l)
		if err != nil {
			return nil, err
		}
		if l.refuses(row, tx.Now()) {
			return n.refuse(tx, l, row)
		}
		row.Full = l.next(row, tx.Now()).Add(l.token)
		rows = append(rows, row)
	}
	for _, row := range rows {
		if err := n.acks.Put(tx, row); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (n *Notifier) ackRow(tx store.Tx, l limit) (*ackRow, error) {
	key := ackKey(l.scope, l.name)
	if err := n.acks.Lock(tx, key); err != nil {
		return nil, err
	}
	row, err := n.acks.Find(tx, key)
	if row == nil {
		row = &ackRow{Scope: l.scope, Name: l.name}
	}
	return row, err
}

// refuse withholds an acknowledgement. That an address had one today is no
// news; that a domain or everybody had too many is, once in a while.
func (n *Notifier) refuse(tx store.Tx, l limit, row *ackRow) (*refusal, error) {
	no := &refusal{scope: l.scope, name: l.name}
	if l.scope == scopeAddress || tx.Now().Sub(row.Alerted) < ackAlert {
		return no, nil
	}
	no.alert = true
	row.Alerted = tx.Now()
	return no, n.acks.Put(tx, row)
}
