package message

import (
	"errors"
	"io"
	"time"
)

// Kind says what a token stands for.
type Kind uint8

const (
	KindReply      Kind = 1 // answers to the mail that Person received
	KindAlias      Kind = 2 // Person, as seen by staff: mail to it is mail to Person
	KindReturnPath Kind = 3 // where reports about the mail to Person go
)

// Role is a person's part in a ticket.
type Role uint8

const (
	RoleRequester  Role = 1
	RoleCC         Role = 2
	RoleFollower   Role = 3
	RoleAgent      Role = 4
	RoleThirdParty Role = 5
)

// Token is what an address token or one of our Message-IDs says. It finds a
// ticket and gives no rights.
type Token struct {
	Kind     Kind
	Ticket   uint64
	Mail     uint32 // number of the mail within the ticket: who was in it
	Person   uint32 // PersonHash of the recipient (or of the alias's person)
	Role     Role
	Internal bool // class: the mail held internal text, or was for staff only
	Epoch    uint8
}

// PersonHash is a short fingerprint of a folded address.
func PersonHash(addr string) uint32 { panic("contract") }

// Secret is one epoch's key.
type Secret struct {
	Epoch   uint8     `json:"epoch"`
	Key     []byte    `json:"key"` // 32 bytes
	Created time.Time `json:"created"`
}

// NewSecret makes an epoch's key from random.
func NewSecret(epoch uint8, created time.Time, random io.Reader) (Secret, error) { panic("contract") }

// Keyring signs with the newest epoch and accepts all it holds. Address tokens
// and Message-IDs have independent secrets. It is immutable.
type Keyring struct{}

// NewKeyring needs at least one secret of each sort.
func NewKeyring(addresses, ids []Secret) (*Keyring, error) { panic("contract") }

// ErrToken says that a token is malformed, of an unknown epoch or not ours. The
// three are deliberately indistinguishable.
var ErrToken = errors.New("message: not a valid token")

// AddressToken returns the token for use in local+token@domain, in lower-case
// base32, at most 39 characters. scope (the queue's name) is part of the MAC:
// the same token at another queue's address is not valid.
func (k *Keyring) AddressToken(scope string, t Token) string { panic("contract") }

// ParseAddressToken verifies a token in any letter case.
func (k *Keyring) ParseAddressToken(scope, token string) (Token, error) { panic("contract") }

// MessageID returns a signed Message-ID with angle brackets.
func (k *Keyring) MessageID(domain string, t Token) string { panic("contract") }

// ParseMessageID verifies one of our Message-IDs (angle brackets optional, any
// letter case, domain ignored).
func (k *Keyring) ParseMessageID(id string) (Token, error) { panic("contract") }

// LoopMark returns the value of our loop header for a Message-ID; CheckLoopMark
// verifies one.
func (k *Keyring) LoopMark(messageID string) string { panic("contract") }

// CheckLoopMark: see LoopMark.
func (k *Keyring) CheckLoopMark(value string) bool { panic("contract") }
