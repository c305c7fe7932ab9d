package delivery

import (
	"fmt"
	"strings"
	"time"

	"ticketgate/delivery/courier"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// row is a parcel as it is stored.
type row struct {
	ID        string          `json:"id"`
	Class     string          `json:"class"`
	From      string          `json:"from"`
	To        string          `json:"to"`
	SHA256    string          `json:"sha256"`
	Size      int64           `json:"size"`
	Domain    string          `json:"domain,omitempty"` // that signs
	Queue     string          `json:"queue,omitempty"`
	Ticket    uint64          `json:"ticket,omitempty"`
	Message   string          `json:"message,omitempty"`
	MailID    string          `json:"mail_id,omitempty"`
	UTF8      bool            `json:"utf8,omitempty"`
	Bit8      bool            `json:"bit8,omitempty"`
	Route     string          `json:"route,omitempty"`  // that it must take
	Secure    bool            `json:"secure,omitempty"` // RequireTLS
	Way       string          `json:"way,omitempty"`    // that it takes as far as its lane knows; see heading
	Lane      string          `json:"lane"`
	Created   time.Time       `json:"created"`
	Since     time.Time       `json:"since"` // when it was first due: its age counts from here
	Due       time.Time       `json:"due"`   // next attempt
	Attempts  int             `json:"attempts,omitempty"`
	Phase     string          `json:"phase,omitempty"` // of the attempt under way, "" = none
	Lease     uint64          `json:"lease,omitempty"` // of that attempt's claim
	Started   time.Time       `json:"started,omitzero"`
	Signature []byte          `json:"signature,omitempty"`
	Ambiguous int             `json:"ambiguous,omitempty"`
	Last      *Last           `json:"last,omitempty"`
	Held      *Held           `json:"held,omitempty"`
	Unsettled *message.Report `json:"unsettled,omitempty"` // an outcome the ledger has not taken yet
	Cleared   []string        `json:"cleared,omitempty"`   // kinds of hold that a person has lifted for good
	Up        time.Duration   `json:"up,omitempty"`        // uptime of the queue when it came
	Paid      time.Time       `json:"paid,omitzero"`       // a token reserved for then is this parcel's
	Refused   int             `json:"refused,omitempty"`   // attempts that ended in 5xx before MAIL
	Grey      bool            `json:"grey,omitempty"`      // a greylist has been waited for
	Told      int             `json:"told,omitempty"`      // how many delays the ledger has heard of
	Mail      uint32          `json:"mail,omitempty"`      // see message.Outbound
	Recalled  string          `json:"recalled,omitempty"`  // why it was taken back while an attempt was under way
}

// Phases of an attempt under way.
const (
	phaseAttempt = "attempt" // before the final dot
	phaseDot     = "dot"     // the dot may have been sent
)

// maxSignature keeps a row well below store.MaxValue.
const maxSignature = 16 << 10

const (
	byFlight = "flight" // parcels with an attempt under way
	byTicket = "ticket"
	byHold   = "hold" // held parcels, by what holds them
)

func newParcelTable() *store.Table[row] {
	return store.NewTable("parcel", store.PrefixParcel, []string{"id"},
		func(p *row) store.Key { return parcelKey(p.ID) },
		store.Index[row]{
			Name: byFlight, Columns: []string{"phase"},
			Keys: func(p *row) []store.Key {
				if p.Phase == "" {
					return nil
				}
				return []store.Key{store.Key{}.Str(p.Phase)}
			},
		},
		store.Index[row]{
			Name: byTicket, Columns: []string{"ticket"},
			Keys: func(p *row) []store.Key {
				if p.Ticket == 0 {
					return nil
				}
				return []store.Key{store.Key{}.Uint(p.Ticket)}
			},
		},
		store.Index[row]{
			Name: byHold, Columns: []string{"kind", "ref"},
			Keys: func(p *row) []store.Key {
				if p.Held == nil || p.Held.Kind == "" {
					return nil
				}
				return []store.Key{holdKey(p.Held.Kind, p.Held.Ref)}
			},
		})
}

func parcelKey(id string) store.Key { return store.Key{}.Str(id) }

// Parcel is a mail in the queue, as shown to people and programs.
type Parcel struct {
	ID        string     `json:"id"`
	Class     string     `json:"class"`
	State     string     `json:"state"` // ready active deferred scheduled held
	From      string     `json:"from"`
	Recipient string     `json:"recipient"`
	Queue     string     `json:"queue"`
	Ticket    *uint64    `json:"ticket"`
	Message   string     `json:"message,omitempty"`
	SHA256    string     `json:"sha256"` // of the unsigned content
	Size      int64      `json:"size"`
	Attempts  int        `json:"attempts"`
	Created   time.Time  `json:"created_at"`
	Next      *time.Time `json:"next_at"` // nil while held
	Age       int64      `json:"age_seconds"`
	Ambiguous bool       `json:"ambiguous"` // an earlier attempt may have delivered it
	Last      *Last      `json:"last"`
	Held      *Held      `json:"held,omitempty"`
	WaitsFor  string     `json:"waits_for"` // one of WaitWords
	Why       string     `json:"why"`       // in plain words: why it is still here
}

// Last is the outcome of the latest attempt.
type Last struct {
	Code     int             `json:"code"` // 0 if no server spoke
	Enhanced string          `json:"enhanced"`
	Text     string          `json:"text"`
	MX       string          `json:"mx"`
	Remote   string          `json:"remote,omitempty"`
	Phase    string          `json:"phase,omitempty"`
	TLS      courier.TLSInfo `json:"tls,omitzero"`
	At       time.Time       `json:"at"`
}

func (l *Last) String() string {
	var b strings.Builder
	if l.Code != 0 {
		fmt.Fprintf(&b, "%d ", l.Code)
	}
	if l.Enhanced != "" {
		b.WriteString(l.Enhanced + " ")
	}
	b.WriteString(l.Text)
	if l.MX != "" {
		b.WriteString(" (" + l.MX + ")")
	}
	return strings.TrimSpace(b.String())
}

// Held says who keeps a parcel back, and why.
type Held struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind,omitempty"` // what holds it: see HeldSuppressed and its neighbours; "" = a person
	Ref    string    `json:"ref,omitempty"`  // the address, domain or measure that does
	Until  time.Time `json:"until,omitzero"` // when it lets go by itself, if that is known
}

// States of a parcel.
const (
	Ready     = "ready"     // due
	Active    = "active"    // an attempt is under way
	Deferred  = "deferred"  // tried, and waiting for the next attempt
	Scheduled = "scheduled" // not tried, and not due yet
	Kept      = "held"      // kept back by somebody
)

// States returns every state of a parcel.
func States() []string { return []string{Ready, Active, Deferred, Scheduled, Kept} }

func (p *row) state(now time.Time) string {
	switch {
	case p.Held != nil:
		return Kept
	case p.Phase != "":
		return Active
	case !p.Due.After(now):
		return Ready
	case p.Attempts > 0:
		return Deferred
	}
	return Scheduled
}

// kind is what holds a parcel, in the words of HoldKinds.
func (h *Held) kind() string {
	if h.Kind == "" {
		return "operator"
	}
	return h.Kind
}

// view makes the shown form. waits is what else than its own due time keeps it,
// nil if nothing does.
func (p *row) view(now time.Time, waits *obstacle) *Parcel {
	v := &Parcel{
		ID: p.ID, Class: p.Class, State: p.state(now), From: p.From, Recipient: p.To,
		Queue: p.Queue, Message: p.Message, SHA256: p.SHA256, Size: p.Size,
		Attempts: p.Attempts, Created: p.Created, Age: int64(p.age(now) / time.Second),
		Ambiguous: p.Ambiguous > 0, Last: p.Last, Held: p.Held,
	}
	if p.Ticket != 0 {
		v.Ticket = &p.Ticket
	}
	if p.Held == nil {
		v.Next = &p.Due
	}
	v.WaitsFor, v.Why = p.waitsFor(v.State, waits), p.why(v.State, waits)
	return v
}

func (p *row) age(now time.Time) time.Duration { return max(0, now.Sub(p.Since)) }

func (p *row) why(state string, waits *obstacle) string {
	last := ""
	if p.Last != nil {
		last = ": " + p.Last.String()
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	var s string
	switch {
	case state == Kept:
		s = fmt.Sprintf("held by %s since %s: %s", p.Held.By, at(p.Held.At), p.Held.Reason)
		if !p.Held.Until.IsZero() {
			s += "; until " + at(p.Held.Until)
		}
		return s
	case p.Unsettled != nil:
		return fmt.Sprintf("%s, but the ticket could not be told yet; trying that again at %s", p.Unsettled.State, at(p.Due))
	case p.Phase == phaseDot:
		return fmt.Sprintf("attempt %d has sent the content and waits for the answer since %s", p.Attempts, at(p.Started))
	case state == Active:
		return fmt.Sprintf("attempt %d is under way since %s", p.Attempts, at(p.Started))
	case state == Scheduled:
		s = "scheduled for " + at(p.Due)
	case state == Deferred:
		s = fmt.Sprintf("waiting for attempt %d until %s%s", p.Attempts+1, at(p.Due), last)
	default:
		s = fmt.Sprintf("due since %s, waiting for its turn for attempt %d%s", at(p.Due), p.Attempts+1, last)
	}
	if p.Ambiguous > 0 {
		s += "; an earlier attempt may have delivered it"
	}
	if waits != nil {
		s += "; " + waits.words
	}
	return s
}

// report is what the ledger hears.
func (p *row) report(state string, at time.Time) message.Report {
	r := message.Report{
		Parcel: p.ID, Message: p.Message, MailID: p.MailID, Ticket: p.Ticket, Queue: p.Queue,
		Recipient: p.To, State: state, Attempts: p.Attempts, At: at, Mail: p.Mail,
		Unsure: p.Ambiguous > 0 && state != "sent",
	}
	if l := p.Last; l != nil {
		r.Code, r.Enhanced, r.Text, r.MX, r.TLS = l.Code, l.Enhanced, l.Text, l.MX, l.TLS.String()
	}
	return r
}
