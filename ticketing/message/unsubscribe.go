package message

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

const purposeUnsubscribe = "ticketgate unsubscribe 1"

// maxUnsubscribe bounds an encoded unsubscribe token.
const maxUnsubscribe = 500

// unsubscribeEncoding is URL-safe and keeps case: the token stands in a path.
var unsubscribeEncoding = base64.RawURLEncoding.Strict()

// UnsubscribeToken returns a token that stands for an address and the ticket
// the mail was about (0 if none), for the link in List-Unsubscribe (RFC 8058).
// It names the address, which its reader has anyway, and needs no look-up:
//
//	epoch (1) · ticket (uvarint) · folded address · MAC (10)
func (k *Keyring) UnsubscribeToken(address string, ticket uint64) string {
	s := k.ids.newest()
	b := append([]byte{s.epoch}, binary.AppendUvarint(nil, ticket)...)
	b = append(b, Fold(address)...)
	return unsubscribeEncoding.EncodeToString(append(b, s.mac(purposeUnsubscribe, "", b)...))
}

// ParseUnsubscribeToken verifies an unsubscribe token and returns its address
// and ticket. The error is ErrToken for everything that is none of ours.
func (k *Keyring) ParseUnsubscribeToken(token string) (address string, ticket uint64, err error) {
	if len(token) > maxUnsubscribe || strings.ContainsAny(token, "\r\n") { // which base64 passes over
		return "", 0, ErrToken
	}
	b, err := unsubscribeEncoding.DecodeString(token)
	if err != nil || len(b) < 1+1+macLen {
		return "", 0, ErrToken
	}
	s := k.ids.find(b[0])
	if s == nil || !s.verify(purposeUnsubscribe, "", b) {
		return "", 0, ErrToken
	}
	payload := b[1 : len(b)-macLen]
	ticket, n := binary.Uvarint(payload)
	if n <= 0 {
		return "", 0, ErrToken
	}
	address = string(payload[n:])
	if !utf8.ValidString(address) || !strings.Contains(address, "@") {
		return "", 0, ErrToken
	}
	return address, ticket, nil
}
