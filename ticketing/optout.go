package ticketing

import (
	"context"
	"encoding/base64"
	"strings"
	"time"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// OptOut says that a person wants no mail that nobody wrote to him: no
// acknowledgements, no copies of what others wrote, no bulk mail. What an agent
// writes to him is sent all the same.
type OptOut struct {
	Address string    `json:"address"` // folded
	Reason  string    `json:"reason"`
	Detail  string    `json:"detail,omitempty"` // kind of complaint: abuse, fraud …
	Since   time.Time `json:"since"`
	By      string    `json:"by"`
	Ticket  uint64    `json:"ticket,omitempty"`  // where it came up
	Message string    `json:"message,omitempty"` // the complaint
}

// Reasons of opt-outs.
const (
	OptOutComplaint = "complaint" // a feedback report about a mail of ours
	OptOutAsked     = "asked"     // somebody of ours entered it
	OptOutLink      = "link"      // he followed the link in a mail (RFC 8058)
)

func optOutTable() *store.Table[OptOut] {
	return store.NewTable("optout", store.PrefixOptOut, []string{"address"},
		func(o *OptOut) store.Key { return optOutKey(o.Address) })
}

func optOutKey(folded string) store.Key { return store.Key{}.Str(folded) }

// optOut records an opt-out. The first one stays: it says since when.
func (w *work) optOut(t *ticketRow, by Actor, o OptOut) error {
	key := optOutKey(o.Address)
	if err := w.d.optOuts.Lock(w.tx, key); err != nil {
		return err
	}
	old, err := w.d.optOuts.Find(w.tx, key)
	if err != nil || old != nil {
		return err
	}
	o.Since, o.By = w.now, clip(by.label(), maxAddress)
	if err := w.d.optOuts.Put(w.tx, &o); err != nil {
		return err
	}
	w.tx.OnCommit(w.d.metrics.optOuts.WithLabelValues(o.Reason).Inc)
	if t == nil {
		return nil
	}
	return w.record(t, "optout.created", by, o)
}

// OptedOut reports which of some addresses are opted out, by their folded form.
func (d *Desk) OptedOut(ctx context.Context, addresses ...string) (map[string]bool, error) {
	var out map[string]bool
	err := d.db.View(ctx, func(r store.Reader) error {
		out = map[string]bool{}
		for _, a := range addresses {
			folded := message.Fold(a)
			row, err := d.optOuts.Find(r, optOutKey(folded))
			if err != nil {
				return err
			}
			if row != nil {
				out[folded] = true
			}
		}
		return nil
	})
	return out, failure(err)
}

// OptOuts lists opt-outs by address and returns the cursor of the next page, ""
// at the end. limit is at most 100, 50 if it is 0.
func (d *Desk) OptOuts(ctx context.Context, limit int, cursor string) ([]*OptOut, string, error) {
	q := store.Query{Limit: pageSize(limit)}
	if cursor != "" {
		after, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil {
			return nil, "", &Error{Kind: Invalid, Text: "the cursor is not one of this list"}
		}
		q.After = after
	}
	var out []*OptOut
	var next store.Key
	err := d.db.View(ctx, func(r store.Reader) (err error) {
		out, next, err = d.optOuts.Page(r, q)
		return err
	})
	if err != nil || next == nil {
		return out, "", failure(err)
	}
	return out, base64.RawURLEncoding.EncodeToString(next), nil
}

// AddOptOut opts an address out; one that is opted out already stays as it is.
// For full agents, integrations and the system; so is RemoveOptOut.
func (d *Desk) AddOptOut(ctx context.Context, by Actor, address string) (*OptOut, error) {
	folded, err := d.mayOptOut(by, address)
	if err != nil {
		return nil, err
	}
	var out *OptOut
	err = d.update(ctx, func(w *work) (err error) {
		if err := w.optOut(nil, by, OptOut{Address: folded, Reason: OptOutAsked}); err != nil {
			return err
		}
		out, err = w.d.optOuts.Find(w.tx, optOutKey(folded))
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// RemoveOptOut takes an opt-out back: the person has asked for it. Unknown if
// there is none.
func (d *Desk) RemoveOptOut(ctx context.Context, by Actor, address string) error {
	folded, err := d.mayOptOut(by, address)
	if err != nil {
		return err
	}
	return d.update(ctx, func(w *work) error {
		key := optOutKey(folded)
		if err := w.d.optOuts.Lock(w.tx, key); err != nil {
			return err
		}
		row, err := w.d.optOuts.Find(w.tx, key)
		if err != nil {
			return err
		}
		if row == nil {
			return &Error{Kind: Unknown, Text: "this address is not opted out"}
		}
		return w.d.optOuts.Delete(w.tx, key)
	})
}

func (d *Desk) mayOptOut(by Actor, address string) (folded string, err error) {
	switch a := d.agents[by.Agent]; {
	case (by.Kind == "system" || by.Kind == "token") && by.Agent == "":
	case a == nil:
		return "", &Error{Kind: Denied, Text: "this is for agents"}
	case a.Light:
		return "", &Error{Kind: Denied, Text: "light agents do not decide about opt-outs"}
	}
	a, err := message.ParseAddress(strings.TrimSpace(address))
	if err != nil {
		return "", &Error{Kind: Invalid, Text: "that is no mail address", Err: err}
	}
	if _, ok := clipAddress(a); !ok {
		return "", &Error{Kind: Invalid, Text: "that is no mail address"}
	}
	return message.Fold(a.Addr), nil
}

// Unsubscribe opts the address out that an unsubscribe token stands for, and
// returns it. Doing so again changes nothing. Unknown if the token is not one
// of ours. Whoever has the link has the mail; he needs no other right.
func (d *Desk) Unsubscribe(ctx context.Context, token string) (address string, err error) {
	address, number, err := d.Keyring().ParseUnsubscribeToken(token)
	if err != nil {
		return "", &Error{Kind: Unknown, Text: "this link is not valid, or no longer", Err: err}
	}
	err = d.update(ctx, func(w *work) error {
		if old, err := w.d.optOuts.Find(w.tx, optOutKey(address)); err != nil || old != nil {
			return err
		}
		o := OptOut{Address: address, Reason: OptOutLink}
		var t *ticketRow
		if number != 0 {
			var err error
			if t, err = w.follow(number); err != nil {
				return err
			}
		}
		if t != nil {
			o.Ticket = t.Number
		}
		return w.optOut(t, Actor{Kind: "contact", Address: address}, o)
	})
	return address, err
}

// Unsubscribing returns the address of an unsubscribe token, and changes
// nothing.
func (d *Desk) Unsubscribing(token string) (address string, err error) {
	if address, _, err = d.Keyring().ParseUnsubscribeToken(token); err != nil {
		return "", &Error{Kind: Unknown, Text: "this link is not valid, or no longer", Err: err}
	}
	return address, nil
}
