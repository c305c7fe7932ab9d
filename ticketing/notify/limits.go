package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// AckLimits bound the mail that no person wrote for its recipient:
// acknowledgements, and copies of what somebody else's mail said. Two robots
// that hide what they are could keep us writing for ever. Mail over a limit is
// not sent; what caused it is stored as ever. What agents write to customers is
// not limited.
//
// Each is a bucket that is full at first. An address gets one acknowledgement a
// day besides.
type AckLimits struct {
	Domain    int // acknowledgements to one domain in ten minutes; default 10
	Total     int // acknowledgements to everybody in ten minutes; default 600
	Recipient int // mails to one customer a day; default 40
	Ticket    int // copies to one customer about one ticket in ten minutes; default 10
	Staff     int // copies to one agent about one ticket a day; default 40
}

func (l AckLimits) orDefaults() AckLimits {
	or := func(n, d int) int { return cmp.Or(max(n, 0), d) }
	return AckLimits{Domain: or(l.Domain, 10), Total: or(l.Total, 600), Recipient: or(l.Recipient, 40), Ticket: or(l.Ticket, 10), Staff: or(l.Staff, 40)}
}

const (
	ackPause  = 24 * time.Hour   // between two acknowledgements to one address
	ackPeriod = 10 * time.Minute // of the limits for a burst
	ackDay    = 24 * time.Hour   // of the others
	ackAlert  = 24 * time.Hour   // between two warnings about one limit
	askedDay  = 40               // withheld acknowledgements of a day that are worth a warning
	alertsDay = 10               // warnings of a day that are sent
)

// Scopes of limits, in the order their rows are locked: the hot one last.
const (
	scopeAddress   = "address"
	scopeRecipient = "recipient"
	scopeTicket    = "ticket"
	scopeStaff     = "staff"
	scopeDomain    = "domain"
	scopeTotal     = "total"
	scopeAlert     = "alert" // not of mails: of warnings
)

var ackScopes = []string{scopeAddress, scopeRecipient, scopeTicket, scopeStaff, scopeDomain, scopeTotal}

// limit is one limit as it applies to one mail.
type limit struct {
	scope, name string
	burst       int
	token       time.Duration // what one mail costs
}

func addressLimit(folded string) limit { return limit{scopeAddress, folded, 1, ackPause} }

func alertLimit() limit { return limit{scopeAlert, "", alertsDay, ackDay / alertsDay} }

// limitsOf lists the limits of a letter. Buckets of a ticket are full at first,
// so its first few mails need none: most tickets never get a row.
func (n *Notifier) limitsOf(a *affair, l letter) []limit {
	per := func(scope, name string, count int, span time.Duration) limit {
		return limit{scope, name, count, span / time.Duration(count)}
	}
	about := strconv.FormatUint(a.ticket.Number, 10) + " " + l.folded
	to := per(scopeRecipient, l.folded, n.o.Acks.Recipient, ackDay)
	switch {
	case l.ack:
		return []limit{
			addressLimit(l.folded), to,
			per(scopeDomain, message.Address{Addr: l.folded}.Domain(), n.o.Acks.Domain, ackPeriod),
			per(scopeTotal, "", n.o.Acks.Total, ackPeriod),
		}
	case a.msg == nil || a.msg.Direction != "in" || !l.staff() && byUs(a.msg):
		return nil
	case !l.staff() && int64(a.notice.Mail) > int64(n.o.Acks.Ticket):
		return []limit{to, per(scopeTicket, about, n.o.Acks.Ticket, ackPeriod)}
	case !l.staff():
		return []limit{to}
	case int64(a.notice.Mail) > int64(n.o.Acks.Staff):
		return []limit{per(scopeStaff, about, n.o.Acks.Staff, ackDay)}
	}
	return nil
}

// says is a limit in words for the administrator.
func (l limit) says() string {
	span := ackPeriod
	if l.token*time.Duration(l.burst) > span {
		span = ackDay
	}
	unit := "a day"
	if span == ackPeriod {
		unit = "in ten minutes"
	}
	switch l.scope {
	case scopeAddress:
		return fmt.Sprintf("%s writes so often that it looks like a robot; it gets one acknowledgement a day", l.name)
	case scopeDomain:
		return fmt.Sprintf("more than %d acknowledgements %s to addresses at %s", l.burst, unit, l.name)
	case scopeTotal:
		return fmt.Sprintf("more than %d acknowledgements %s", l.burst, unit)
	case scopeRecipient:
		return fmt.Sprintf("more than %d automatic mails %s to %s", l.burst, unit, l.name)
	case scopeAlert:
		return fmt.Sprintf("more than %d warnings %s", l.burst, unit)
	}
	return fmt.Sprintf("more than %d automatic mails %s about ticket %s", l.burst, unit, l.name)
}

// ackRow is one limit's memory. Full is when the bucket would be full again if
// nothing more were taken: each mail moves it on by one token's time.
type ackRow struct {
	Scope   string    `json:"scope"`
	Name    string    `json:"name"` // folded address, ticket and address, domain, or ""
	Full    time.Time `json:"full"`
	Alerted time.Time `json:"alerted,omitzero"` // when the administrator was last told

	// Of an address: how often it asked in vain since its last acknowledgement,
	// and a bucket of ten such askings in ten minutes.
	Asked int       `json:"asked,omitempty"`
	Busy  time.Time `json:"busy,omitzero"`
}

func ackKey(scope, name string) store.Key { return store.Key{}.Str(scope).Str(name) }

func ackTable() *store.Table[ackRow] {
	return store.NewTable("acknowledgements", store.PrefixAck, []string{"scope", "name"},
		func(r *ackRow) store.Key { return ackKey(r.Scope, r.Name) })
}

func lockAck(tx store.Tx, rows *store.Table[ackRow], l limit) (*ackRow, error) {
	key := ackKey(l.scope, l.name)
	if err := rows.Lock(tx, key); err != nil {
		return nil, err
	}
	row, err := rows.Find(tx, key)
	if row == nil {
		row = &ackRow{Scope: l.scope, Name: l.name}
	}
	return row, err
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

func (l limit) take(row *ackRow, now time.Time) {
	row.Full, row.Asked = l.next(row, now).Add(l.token), 0
}

// alert reports whether the administrator is to be told, and notes that he is.
func (r *ackRow) alert(now time.Time) bool {
	if !r.Alerted.IsZero() && now.Sub(r.Alerted) < ackAlert {
		return false
	}
	r.Alerted = now
	return true
}

// again counts an acknowledgement that an address asked for in vain. One a day
// is no news; ten in ten minutes, or forty in a day, are a robot's, and worth an
// alert.
func (r *ackRow) again(now time.Time) (alert bool) {
	r.Asked++
	busy := limit{burst: 10, token: ackPeriod / 10}
	memory := ackRow{Full: r.Busy}
	many := busy.refuses(&memory, now)
	if !many {
		busy.take(&memory, now)
		r.Busy = memory.Full
	}
	return (many || r.Asked >= askedDay) && r.alert(now)
}

// refusal is a mail that a limit withheld.
type refusal struct {
	limit
	letter
	alert bool // the administrator has not been told today
}

// allow takes the tokens of a notice's parcels in the transaction that sends
// them, each parcel's from all of its limits or from none, and returns the
// parcels that may go and the refusals of the others.
func (n *Notifier) allow(tx store.Tx, parcels []parcel) (sent []parcel, refused []refusal, err error) {
	var order []limit
	for _, p := range parcels {
		order = append(order, p.limits...)
	}
	slices.SortFunc(order, func(x, y limit) int {
		return cmp.Or(cmp.Compare(slices.Index(ackScopes, x.scope), slices.Index(ackScopes, y.scope)), cmp.Compare(x.name, y.name))
	})
	rows := map[limit]*ackRow{}
	for _, l := range order {
		if rows[l] == nil {
			if rows[l], err = lockAck(tx, n.acks, l); err != nil {
				return nil, nil, err
			}
		}
	}
	changed := map[limit]bool{}
	for _, p := range parcels {
		empty := slices.IndexFunc(p.limits, func(l limit) bool { return l.refuses(rows[l], tx.Now()) })
		if empty < 0 {
			for _, l := range p.limits {
				l.take(rows[l], tx.Now())
				changed[l] = true
			}
			sent = append(sent, p)
			continue
		}
		l := p.limits[empty]
		no := refusal{limit: l, letter: p.letter}
		if l.scope == scopeAddress {
			no.alert = rows[l].again(tx.Now())
			changed[l] = true
		} else if rows[l].alert(tx.Now()) {
			no.alert, changed[l] = true, true
		}
		refused = append(refused, no)
	}
	for _, l := range slices.CompactFunc(order, func(x, y limit) bool { return x == y }) {
		if changed[l] {
			if err := n.acks.Put(tx, rows[l]); err != nil {
				return nil, nil, err
			}
		}
	}
	return sent, refused, nil
}
