// Package login says who is asking. It promises that a token cannot be guessed
// (256 random bits), cannot be read back from the store (only its SHA-256 is
// kept) and stops working the moment it is revoked or expires.
//
// [AppPasswords] keeps what agents' mail programs log in with. [Tokens] keeps
// API tokens. A verified token yields an [Identity]: the
// ticketing.Actor its commands run as, and the scopes and queues it is limited
// to. What an identity may do in the domain is the desk's decision; scopes only
// ever narrow it.
package login

import (
	"slices"
	"time"

	"ticketgate/ticketing"
)

// Scope is a right a token can have.
type Scope string

// The scopes. Admin includes every other.
const (
	TicketsRead   Scope = "tickets:read"
	TicketsWrite  Scope = "tickets:write"
	MessagesSend  Scope = "messages:send" // public messages, which are mailed to customers
	OutboundRead  Scope = "outbound:read"
	OutboundWrite Scope = "outbound:write"
	ContactsRead  Scope = "contacts:read"
	ContactsWrite Scope = "contacts:write"
	Intake        Scope = "intake" // hand in raw mail
	Admin         Scope = "admin"
)

// Scopes returns all scopes there are.
func Scopes() []Scope {
	return []Scope{TicketsRead, TicketsWrite, MessagesSend, OutboundRead, OutboundWrite, ContactsRead, ContactsWrite, Intake, Admin}
}

// Identity is a verified asker.
type Identity struct {
	Actor  ticketing.Actor
	Scopes []Scope
	Queues []string // only these; empty means all
	Token  string   // the token's id, "" if there was none
}

// Local is the identity of whoever can open the control socket: the file
// system has already asked for rights.
func Local() Identity {
	return Identity{Actor: ticketing.Actor{Kind: "system", Name: "admin"}, Scopes: []Scope{Admin}}
}

// As returns the identity acting for an agent.
func (i Identity) As(a *ticketing.Agent) Identity {
	i.Actor = ticketing.Actor{Kind: "agent", Agent: a.Name, Name: a.DisplayName}
	if len(a.Addresses) > 0 {
		i.Actor.Address = a.Addresses[0]
	}
	return i
}

// Has says whether the identity has one of the scopes.
func (i Identity) Has(any ...Scope) bool {
	return slices.ContainsFunc(i.Scopes, func(s Scope) bool { return s == Admin || slices.Contains(any, s) })
}

// Reaches says whether the identity may see and touch a queue.
func (i Identity) Reaches(queue string) bool {
	return len(i.Queues) == 0 || slices.Contains(i.Queues, queue)
}

// Limited says whether the identity is confined to some queues.
func (i Identity) Limited() bool { return len(i.Queues) > 0 }

// Token is what is known about a token; the token itself is not.
type Token struct {
	ID        string    `json:"id"` // tok_…
	Name      string    `json:"name"`
	Hash      []byte    `json:"hash"` // SHA-256 of the token
	Scopes    []Scope   `json:"scopes"`
	Queues    []string  `json:"queues,omitempty"` // empty: all
	Agent     string    `json:"agent,omitempty"`  // whose commands it runs, "" = its own
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: never
}

// Expired says whether the token has stopped working at a time.
func (t *Token) Expired(now time.Time) bool {
	return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
}

// identity is what the token yields.
func (t *Token) identity() Identity {
	return Identity{
		Actor:  ticketing.Actor{Kind: "token", Agent: t.Agent, Name: t.Name},
		Scopes: t.Scopes, Queues: t.Queues, Token: t.ID,
	}
}
