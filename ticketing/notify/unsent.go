package notify

import (
	"fmt"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// Ledger hears of every change of a parcel's state; the desk is one.
type Ledger interface {
	Settled(tx store.Tx, r message.Report) error
}

// Unsent is a ledger in front of another: it keeps why parcels ended other than
// by being handed over, so that the history can tell them from those that were.
// Of a parcel that goes its way it keeps nothing.
type Unsent struct {
	next Ledger
	rows *store.Table[unsentRow]
}

// unsentRow is the end of a parcel that was not handed over.
type unsentRow struct {
	Parcel   string    `json:"parcel"`
	State    string    `json:"state"` // failed bounced suppressed cancelled
	Code     int       `json:"code,omitempty"`
	Enhanced string    `json:"enhanced,omitempty"`
	Text     string    `json:"text,omitempty"`
	Unsure   bool      `json:"unsure,omitempty"` // an attempt may have delivered it
	At       time.Time `json:"at"`
}

func unsentTable() *store.Table[unsentRow] {
	return store.NewTable("unsent", store.PrefixUnsent, []string{"parcel"},
		func(r *unsentRow) store.Key { return store.Key{}.Str(r.Parcel) })
}

// NewUnsent returns a ledger that passes everything on to next.
func NewUnsent(next Ledger) *Unsent { return &Unsent{next, unsentTable()} }

// Settled implements Ledger.
func (u *Unsent) Settled(tx store.Tx, r message.Report) error {
	switch r.State {
	case "failed", "bounced", "suppressed", "cancelled":
		if r.Parcel == "" {
			break
		}
		row := unsentRow{Parcel: r.Parcel, State: r.State, Code: r.Code, Enhanced: r.Enhanced, Text: clipDetail(r.Text), Unsure: r.Unsure, At: r.At.UTC()}
		if r.At.IsZero() {
			row.At = tx.Now()
		}
		if err := u.rows.Put(tx, &row); err != nil {
			return fmt.Errorf("notify: end of parcel %s: %w", r.Parcel, err)
		}
	}
	return u.next.Settled(tx, r)
}
