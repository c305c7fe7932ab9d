package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Forwarder is who vouches for the senders of what is handed to a queue.
// Exactly one field is set.
type Forwarder struct {
	Network     Network
	Certificate string // lower-case hex SHA-256 of its SubjectPublicKeyInfo
	Login       string // an agent's id
	Signer      string // a domain, as A-labels
}

// UnmarshalText takes a network, or one of cert:, login: and dkim: with what
// tells the forwarder.
func (f *Forwarder) UnmarshalText(text []byte) error {
	*f = Forwarder{}
	kind, value, _ := strings.Cut(string(text), ":")
	switch kind {
	case "login":
		if err := checkID(value); err != nil {
			return fmt.Errorf(`%q does not name an agent, as "login:exchange" does: %w`, text, err)
		}
		f.Login = value
	case "dkim":
		name, err := domainName(value)
		if err != nil {
			return fmt.Errorf(`%q does not name a signing domain, as "dkim:forwarder.example" does: %w`, text, err)
		}
		f.Signer = name
	case "cert":
		digest, err := hex.DecodeString(strings.ReplaceAll(value, ":", ""))
		if err != nil || len(digest) != sha256.Size {
			return fmt.Errorf(`%q is not the SHA-256 of a public key: "cert:" and 64 hexadecimal digits`, text)
		}
		f.Certificate = hex.EncodeToString(digest)
	default:
		return f.Network.UnmarshalText(text)
	}
	return nil
}

// String is the form in which it is written.
func (f Forwarder) String() string {
	switch {
	case f.Login != "":
		return "login:" + f.Login
	case f.Signer != "":
		return "dkim:" + f.Signer
	case f.Certificate != "":
		return "cert:" + f.Certificate
	}
	return f.Network.String()
}
