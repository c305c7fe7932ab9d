package notify

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// The history has one row per notice with all that was decided about it,
// written in the transaction that ends the notice: it is there exactly if the
// mails are. A decision says what was true when the notice was told; what became
// of a mail afterwards is looked up when somebody asks, so that a mail that
// arrives costs nothing more than it did.

//
// There is a row for each notice, so it is small: what the rendered mail says of
// itself is read from there, and what follows from the notice is left out.

// historyRow is a notice as it was told.
type historyRow struct {
	At        time.Time         `json:"at"` // when it was
	ID        string            `json:"id"` // of the notice
	Event     string            `json:"event"`
	Ticket    uint64            `json:"ticket,omitempty"`
	Queue     string            `json:"queue,omitempty"`
	Message   string            `json:"message,omitempty"` // what it told
	Decisions []historyDecision `json:"decisions"`
}

// historyDecision is what was decided about one person. With a parcel he is
// mailed; else the reason says why not.
type historyDecision struct {
	To     string `json:"to"`
	Agent  string `json:"agent,omitempty"` // whose address it is
	Role   string `json:"role"`
	Letter string `json:"letter,omitempty"` // see letterKind; "" = the event's
	Parcel string `json:"parcel,omitempty"`
	SHA256 []byte `json:"sha256,omitempty"` // of the mail as composed
	Reason string `json:"reason,omitempty"` // in one of the stable words
	Detail string `json:"detail,omitempty"` // more about it
}

const (
	historyByTicket = "ticket"
	historyByPerson = "person"
)

func historyTable() *store.Table[historyRow] {
	return store.NewTable("notification", store.PrefixHistory, []string{"at", "id"},
		func(r *historyRow) store.Key { return historyKey(r.At, r.ID) },
		store.Index[historyRow]{Name: historyByTicket, Columns: []string{"ticket", "at"},
			Keys: func(r *historyRow) []store.Key {
				if r.Ticket == 0 {
					return nil
				}
				return []store.Key{store.Key{}.Uint(r.Ticket).Time(r.At)}
			}},
		store.Index[historyRow]{Name: historyByPerson, Columns: []string{"person", "at"},
			Keys: func(r *historyRow) []store.Key {
				out := make([]store.Key, len(r.Decisions))
				for i := range r.Decisions {
					out[i] = store.Key{}.Str(r.Decisions[i].person()).Time(r.At)
				}
				return out
			}})
}

func historyKey(at time.Time, id string) store.Key { return store.Key{}.Time(at).Str(id) }

// person is who a decision is about: an agent, whatever his addresses, or an
// address.
func (d *historyDecision) person() string {
	if d.Agent != "" {
		return agentKey(d.Agent)
	}
	return message.Fold(d.To)
}

// agentKey stands for an agent, whatever his addresses are; no address looks
// like it.
func agentKey(agent string) string { return "agent " + agent }

// verdicts are what was decided about a notice's people.
type verdicts struct {
	sent    []parcel
	refused []refusal
	failed  []skip // no mail can be written to them
	skipped []skip
}

// maxDetail bounds words kept with a decision, in bytes.
const maxDetail = 200

// record keeps what was decided, in the transaction that ends the notice; the
// notice cannot be ended twice, so it has one row.
func (n *Notifier) record(tx store.Tx, notice ticketing.Notice, v verdicts) error {
	row := historyRow{At: tx.Now(), ID: notice.ID, Event: notice.Event, Ticket: notice.Ticket, Queue: notice.Queue, Message: notice.Message}
	row.Decisions = make([]historyDecision, 0, len(v.sent)+len(v.refused)+len(v.failed)+len(v.skipped))
	add := func(l letter, reason, detail string) *historyDecision {
		row.Decisions = append(row.Decisions, n.decided(notice.Event, l, reason, detail))
		return &row.Decisions[len(row.Decisions)-1]
	}
	for _, p := range v.sent {
		sum, err := hex.DecodeString(p.outbound.SHA256)
		if err != nil {
			return fmt.Errorf("notify: content hash: %w", err)
		}
		d := add(p.letter, "", "")
		d.Parcel, d.SHA256 = p.outbound.ID, sum
	}
	for _, r := range v.refused {
		add(r.letter, overLimit+r.scope, r.says())
	}
	for _, s := range v.failed {
		add(s.letter, notWritable, s.reason)
	}
	for _, s := range v.skipped {
		add(s.letter, s.reason, "")
	}
	if len(row.Decisions) == 0 {
		return nil
	}
	return n.history.Insert(tx, &row)
}

func (n *Notifier) decided(event string, l letter, reason, detail string) historyDecision {
	d := historyDecision{To: l.to.Addr, Agent: l.agent, Role: l.role, Reason: reason, Detail: clipDetail(detail)}
	if kind := letterKind(event, l, reason); kind != eventKind(event) {
		d.Letter = kind
	}
	if d.Agent == "" {
		if agent, is := n.o.Desk.Writer(l.to.Addr); is {
			d.Agent = agent.Name // he takes part like a customer
		}
	}
	return d
}

// letterKind names the mail that a person got or would have got:
// acknowledgement, or what it tells, as the event has it ("public-message").
// Customers get the message that opened a ticket like any other.
func letterKind(event string, l letter, reason string) string {
	switch {
	case l.ack, strings.HasPrefix(reason, noAck):
		return "acknowledgement"
	case event == "ticket_created" && !l.staff():
		event = "public_message"
	}
	return eventKind(event)
}

func eventKind(event string) string { return strings.ReplaceAll(event, "_", "-") }

func clipDetail(s string) string {
	s = oneLine(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}
