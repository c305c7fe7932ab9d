package message

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"
)

// Kind says what a token stands for.
type Kind uint8

const (
	KindReply      Kind = 1 // answers to the mail that Person received
	KindAlias      Kind = 2 // Person, as seen by staff: mail to it is mail to Person
	KindReturnPath Kind = 3 // where reports about the mail to Person go
	KindTask       Kind = 4 // an agent's mail to it is a task under the ticket
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
// ticket and gives no rights. A Message-ID may leave Kind zero, an address
// token may not; Role zero means that no role was meant.
type Token struct {
	Kind     Kind
	Ticket   uint64
	Mail     uint32 // number of the mail within the ticket: who was in it
	Person   uint32 // PersonHash of the recipient (or of the alias's person)
	Role     Role
	Internal bool  // class: the mail held internal text, or was for staff only
	Epoch    uint8 // of the secret that verified it; signing sets it itself
}

// PersonHash is a short fingerprint of an address in any of its spellings. It
// tells two recipients of one mail apart; it is no secret, and whoever holds a
// token can check a guessed address against it.
func PersonHash(addr string) uint32 {
	sum := sha256.Sum256([]byte("ticketgate person\x00" + Fold(addr)))
	return binary.BigEndian.Uint32(sum[:4])
}

// ErrToken says that a token is malformed, of an unknown epoch or not ours. The
// three are deliberately indistinguishable.
var ErrToken = errors.New("message: not a valid token")

// The layout of what is signed, before base32:
//
//	epoch (1) · flags (1) · ticket (uvarint) · mail (uvarint) · person (4) · MAC (10)
//
// with flags = kind<<5 | role<<1 | internal. There is exactly one spelling of
// each token: parsing encodes again and compares.
const (
	macLen     = 10 // 80 bits: guessing online is hopeless, and 39 characters leave room for a queue name
	maxPayload = 2 + binary.MaxVarintLen64 + binary.MaxVarintLen32 + 4
	maxSigned  = maxPayload + macLen
)

// Purposes keep the uses of one secret apart: what is signed for one is
// worthless for another.
const (
	purposeAddress = "ticketgate address token 1"
	purposeID      = "ticketgate message-id 1"
	purposeLoop    = "ticketgate loop mark 1"
	purposeMarker  = "ticketgate body marker 1"
)

// tokenEncoding is RFC 4648 base32 in lower case: letters and digits that every
// mailer leaves alone in a local part, and that survive a change of case.
var tokenEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// AddressToken returns the token for use in local+token@domain, in lower-case
// base32. It has at most 39 characters while the ticket's number is below 2³⁵
// and the mail's below 2²¹, so that a queue name of 24 fits before it; it never
// has more than 50. scope (the queue's name) is part of the MAC: the same token
// at another queue's address is not valid. A kind or role that does not exist
// is a programming error and panics.
func (k *Keyring) AddressToken(scope string, t Token) string {
	if t.Kind == 0 {
		panic("message: an address token needs a kind")
	}
	s := k.addresses.newest()
	return tokenEncoding.EncodeToString(s.sign(purposeAddress, scope, t))
}

// ParseAddressToken verifies a token in any letter case.
func (k *Keyring) ParseAddressToken(scope, token string) (Token, error) {
	t, err := k.addresses.open(purposeAddress, scope, token)
	if err != nil || t.Kind == 0 {
		return Token{}, ErrToken
	}
	return t, nil
}

// MessageID returns a signed Message-ID with angle brackets. Everything but the
// domain is covered by the MAC, so a relay that rewrites domains does no harm.
func (k *Keyring) MessageID(domain string, t Token) string {
	s := k.ids.newest()
	return "<" + tokenEncoding.EncodeToString(s.sign(purposeID, "", t)) + "@" + domain + ">"
}

// ParseMessageID verifies one of our Message-IDs (angle brackets optional, any
// letter case, domain ignored).
func (k *Keyring) ParseMessageID(id string) (Token, error) {
	id = strings.TrimSpace(id)
	if rest, ok := strings.CutPrefix(id, "<"); ok {
		if rest, ok = strings.CutSuffix(rest, ">"); !ok {
			return Token{}, ErrToken
		}
		id = rest
	}
	local, domain, ok := strings.Cut(id, "@")
	if !ok || domain == "" {
		return Token{}, ErrToken
	}
	return k.ids.open(purposeID, "", local)
}

// loopDigest is how much of a Message-ID's hash a loop mark carries: enough for
// marks of different mails to differ in logs.
const loopDigest = 8

// LoopMark returns the value of our loop header for a Message-ID: one word of
// 31 letters and digits. It only proves that this installation wrote a mail;
// it names neither ticket nor person.
func (k *Keyring) LoopMark(messageID string) string {
	sum := sha256.Sum256([]byte(lowerASCII(messageID)))
	s := k.ids.newest()
	b := append([]byte{s.epoch}, sum[:loopDigest]...)
	return tokenEncoding.EncodeToString(append(b, s.mac(purposeLoop, "", b)...))
}

// CheckLoopMark reports whether value is a loop mark of this installation, in
// any letter case and of any mail.
func (k *Keyring) CheckLoopMark(value string) bool {
	b, ok := decodeToken(strings.TrimSpace(value))
	if !ok || len(b) != 1+loopDigest+macLen {
		return false
	}
	s := k.ids.find(b[0])
	return s != nil && s.verify(purposeLoop, "", b)
}

// sign returns payload and MAC.
func (s *signer) sign(purpose, scope string, t Token) []byte {
	b := appendToken(make([]byte, 0, maxSigned), s.epoch, t)
	return append(b, s.mac(purpose, scope, b)...)
}

// open decodes, verifies and reads a token.
func (r ring) open(purpose, scope, token string) (Token, error) {
	b, ok := decodeToken(token)
	if !ok || len(b) < macLen+1 {
		return Token{}, ErrToken
	}
	s := r.find(b[0])
	if s == nil || !s.verify(purpose, scope, b) {
		return Token{}, ErrToken
	}
	t, ok := readToken(b[:len(b)-macLen])
	if !ok {
		return Token{}, ErrToken
	}
	return t, nil
}

// mac covers purpose, scope and payload; the scope's length in front keeps
// ("ab", "c") and ("a", "bc") apart.
func (s *signer) mac(purpose, scope string, payload []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	var head [96]byte
	b := append(head[:0], purpose...)
	b = append(b, 0)
	b = binary.AppendUvarint(b, uint64(len(scope)))
	b = append(b, scope...)
	h.Write(append(b, payload...))
	return h.Sum(nil)[:macLen]
}

// verify checks the MAC at the end of b in constant time.
func (s *signer) verify(purpose, scope string, b []byte) bool {
	payload, mac := b[:len(b)-macLen], b[len(b)-macLen:]
	return hmac.Equal(mac, s.mac(purpose, scope, payload))
}

func appendToken(b []byte, epoch uint8, t Token) []byte {
	if t.Kind > KindTask || t.Role > RoleThirdParty {
		panic("message: no such kind or role of token")
	}
	flags := byte(t.Kind)<<5 | byte(t.Role)<<1
	if t.Internal {
		flags |= 1
	}
	b = append(b, epoch, flags)
	b = binary.AppendUvarint(b, t.Ticket)
	b = binary.AppendUvarint(b, uint64(t.Mail))
	return binary.BigEndian.AppendUint32(b, t.Person)
}

// readToken accepts exactly what appendToken writes.
func readToken(payload []byte) (Token, bool) {
	if len(payload) < 2 {
		return Token{}, false
	}
	flags := payload[1]
	t := Token{Epoch: payload[0], Kind: Kind(flags >> 5), Role: Role(flags >> 1 & 15), Internal: flags&1 == 1}
	if t.Kind > KindTask || t.Role > RoleThirdParty {
		return Token{}, false
	}
	rest := payload[2:]
	var n int
	if t.Ticket, n = binary.Uvarint(rest); n <= 0 {
		return Token{}, false
	}
	rest = rest[n:]
	mail, n := binary.Uvarint(rest)
	if n <= 0 || mail > 1<<32-1 || len(rest[n:]) != 4 {
		return Token{}, false
	}
	t.Mail = uint32(mail)
	t.Person = binary.BigEndian.Uint32(rest[n:])
	var canonical [maxPayload]byte
	if !bytes.Equal(payload, appendToken(canonical[:0], t.Epoch, t)) {
		return Token{}, false
	}
	return t, true
}

// decodeToken undoes base32. It refuses everything but the one spelling, letter
// case aside: the decoder alone would let line breaks and stray last bits pass.
func decodeToken(s string) ([]byte, bool) {
	if len(s) == 0 || len(s) > tokenEncoding.EncodedLen(maxSigned) {
		return nil, false
	}
	s = lowerASCII(s)
	b, err := tokenEncoding.DecodeString(s)
	if err != nil || tokenEncoding.EncodeToString(b) != s {
		return nil, false
	}
	return b, true
}

// lowerASCII leaves all but A–Z alone: Unicode lower-casing would map foreign
// letters such as the Kelvin sign onto ours.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; c >= 'A' && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
