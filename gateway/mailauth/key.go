package mailauth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// key is a public key as published (RFC 6376 §3.6.1).
type key struct {
	rsa     *rsa.PublicKey
	ed25519 ed25519.PublicKey
	testing bool // t=y
	strict  bool // t=s: i= must be d= itself
}

// Bounds of an RSA key in bits: RFC 8301 §3.2 sets the lower one, the upper one
// keeps a stranger's key from costing us seconds.
const minRSA, maxRSA = 1024, 8192

// maxKeys is how many keys under one name are tried.
const maxKeys = 4

// keys fetches the keys a signature may be meant for. RFC 6376 §3.6.2.2 leaves
// open what several records mean; each that fits is tried.
func (c *Checker) keys(ctx context.Context, sig *signature) ([]key, *verdict) {
	name := sig.selector + "._domainkey." + sig.domain
	texts, err := c.o.DNS.LookupTXT(ctx, name)
	if err != nil && !isAbsent(err) {
		return nil, ruling(TempError, "the key could not be looked up: %v", err)
	}
	none := ruling(PermError, "there is no key at %s", name)
	var keys []key
	for _, t := range texts {
		k, v := parseKey(t, sig)
		if v != nil {
			none = v
			continue
		}
		if keys = append(keys, k); len(keys) == maxKeys {
			break
		}
	}
	if len(keys) == 0 {
		return nil, none
	}
	return keys, nil
}

func parseKey(text string, sig *signature) (k key, v *verdict) {
	tags, err := parseTags(text)
	if err != nil {
		return k, ruling(PermError, "the key record is malformed: %v", err)
	}
	if version, ok := tags["v"]; ok && version != "DKIM1" {
		return k, ruling(PermError, "the key record has version %s", version)
	}
	p, ok := tags["p"]
	switch {
	case !ok:
		return k, ruling(PermError, "the key record holds no key")
	case p == "":
		return k, ruling(PermError, "the key was revoked")
	}
	if h, ok := tags["h"]; ok && !slices.Contains(list(strings.ToLower(h)), "sha256") {
		return k, ruling(PermError, "the key is not for SHA-256")
	}
	if s, ok := tags["s"]; ok {
		if uses := list(strings.ToLower(s)); !slices.Contains(uses, "*") && !slices.Contains(uses, "email") {
			return k, ruling(PermError, "the key is not for mail")
		}
	}
	flags := list(strings.ToLower(tags["t"]))
	k.testing, k.strict = slices.Contains(flags, "y"), slices.Contains(flags, "s")
	if k.strict && sig.identityDomain != sig.domain {
		return k, ruling(PermError, "the key allows no subdomain in i=")
	}
	octets, err := base64.StdEncoding.DecodeString(squeeze(p))
	if err != nil {
		return k, ruling(PermError, "the key is not base64")
	}
	kind := strings.ToLower(tags["k"])
	if kind == "" {
		kind = "rsa"
	}
	if kind != sig.algorithm {
		return k, ruling(PermError, "the key is for %s, the signature says %s", kind, sig.algorithm)
	}
	return k, k.load(kind, octets)
}

func (k *key) load(kind string, octets []byte) *verdict {
	if kind == "ed25519" {
		if len(octets) != ed25519.PublicKeySize {
			return ruling(PermError, "the key has a wrong length")
		}
		k.ed25519 = octets
		return nil
	}
	var err error
	if k.rsa, err = parseRSA(octets); err != nil {
		return ruling(PermError, "the key is not an RSA key")
	}
	if bits := k.rsa.N.BitLen(); bits < minRSA || bits > maxRSA {
		return ruling(Policy, "a key of %d bits is not accepted", bits)
	}
	return nil
}

// parseRSA takes both forms that are in use (RFC 6376 erratum 3017).
func parseRSA(octets []byte) (*rsa.PublicKey, error) {
	if any, err := x509.ParsePKIXPublicKey(octets); err == nil {
		if k, ok := any.(*rsa.PublicKey); ok {
			return k, nil
		}
		return nil, errors.New("another kind of key")
	}
	return x509.ParsePKCS1PublicKey(octets)
}

func (k *key) verifies(digest [sha256.Size]byte, value []byte) bool {
	if k.ed25519 != nil {
		return ed25519.Verify(k.ed25519, digest[:], value)
	}
	return rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, digest[:], value) == nil
}
