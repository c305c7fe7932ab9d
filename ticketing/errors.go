package ticketing

import (
	"errors"
	"fmt"

	"ticketgate/ticketing/store"
)

// Kind classes an error for the doors; each has one table from Kind to its wire.
type Kind uint8

const (
	Internal Kind = iota // ours; temporary on SMTP
	Unknown              // no such recipient, ticket, message …
	Refused              // policy says no
	Invalid              // the request cannot be understood or is incomplete
	TooBig
	Busy // try again later
	NoSpace
	Conflict // something changed meanwhile
	Denied   // the actor may not
	Full     // the outbound queue takes no more for now
)

// Error carries a class and calm words for the peer, and the story for the
// operator in Err.
type Error struct {
	Kind  Kind
	Text  string     // for the peer
	Err   error      // for the operator; may be nil
	Newer []*Message // Conflict on AfterMessage: what the author had not seen
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Text, e.Err)
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// failure gives every error that leaves the desk a class.
func failure(err error) error {
	var known *Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, store.ErrNoSpace):
		return &Error{Kind: NoSpace, Text: "there is no room at the moment", Err: err}
	}
	return &Error{Kind: Internal, Text: "this cannot be done at the moment", Err: err}
}

// KindOf returns the class of err, Internal if it has none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}
