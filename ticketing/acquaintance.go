package ticketing

import (
	"slices"

	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store"
)

// acquaintance is how a person comes to our attention. Only who is known is
// acknowledged when nothing vouches for a mail that claims to be his: a forger
// must not make his victim known by writing in its name twice.
type acquaintance int

const (
	mentioned acquaintance = iota // somebody named him
	wrote                         // a mail claims to be his
	met                           // a mail was proven to be his (T1 or better), or one of our people wrote to him
)

// acquaintance is what a mail makes of its author.
func (in *incoming) acquaintance(u *unit) acquaintance {
	if proven(u.trust) && !in.doubtful && !in.ownFrom {
		return met
	}
	return wrote
}

// contact remembers a person; known tells whether he had been met before.
func (w *work) contact(a message.Address, how acquaintance) (known bool, err error) {
	folded := message.Fold(a.Addr)
	if how >= wrote && w.d.heard != nil {
		if err := w.d.heard(w.tx, folded); err != nil {
			return false, err
		}
	}
	key := store.Key{}.Str(folded)
	if err := w.d.contacts.Lock(w.tx, key); err != nil {
		return false, err
	}
	c, err := w.d.contacts.Find(w.tx, key)
	if err != nil {
		return false, err
	}
	defer func() { w.contacts[folded] = c }()
	if c == nil {
		c = &contactRow{ID: contactID(folded), Address: folded, Since: w.now}
	} else if (c.Wrote || how < wrote) && (c.Known || how < met) && (c.Name != "" || a.Name == "") {
		return c.Known, nil
	}
	known = c.Known
	c.Wrote, c.Known = c.Wrote || how >= wrote, c.Known || how == met
	if c.Name == "" {
		c.Name = a.Name
	}
	return known, w.d.contacts.Put(w.tx, c)
}

// writeTo remembers that one of our people writes to a ticket's requester.
func (w *work) writeTo(t *ticketRow) error {
	if t.Requester.Address == "" {
		return nil
	}
	key := store.Key{}.Str(message.Fold(t.Requester.Address))
	if err := w.d.contacts.Lock(w.tx, key); err != nil {
		return err
	}
	c, err := w.d.contacts.Find(w.tx, key)
	if err != nil || c != nil && c.Known {
		return err
	}
	if c == nil {
		c = &contactRow{ID: contactID(message.Fold(t.Requester.Address)), Address: message.Fold(t.Requester.Address), Name: t.Requester.Name, Since: w.now}
	}
	c.Known = true
	return w.d.contacts.Put(w.tx, c)
}

// hasOwnToken reports whether a mail answers one that we sent to its author:
// then he has read his own mail.
func (in *incoming) hasOwnToken(p *place) bool {
	person := message.PersonHash(in.folded)
	return slices.ContainsFunc(p.answers, func(t message.Token) bool { return t.Person == person })
}
