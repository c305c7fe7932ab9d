package mailauth

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signature is a DKIM-Signature field, read.
type signature struct {
	field                    field
	domain, selector         string
	algorithm                string // rsa or ed25519; the hash is always SHA-256
	hash, value              []byte // bh=, b=
	relaxHeader, relaxBody   bool
	names                    []string // h=, lower case
	identityDomain, identity string
	signed, expires          time.Time // zero if not said
	length                   int64     // l=, -1 if not said
}

// verdict ends a judgement early.
type verdict struct {
	result Result
	reason string
}

func (v *verdict) Error() string { return v.reason }

func ruling(r Result, format string, args ...any) *verdict {
	return &verdict{r, clean(fmt.Sprintf(format, args...))}
}

// skew is how far a signer's clock may be ahead of ours.
const skew = 10 * time.Minute

// parseSignature reads the field (RFC 6376 §3.5, §6.1.1) and fills in of s what
// can be told even of a broken one.
func parseSignature(f field, s *Signature) (*signature, *verdict) {
	_, value, _ := strings.Cut(f.raw, ":")
	for _, t := range splitTags(value) { // what a report should name, broken or not
		v := squeeze(t.value)
		switch t.name {
		case "d":
			s.Domain = clean(asciiDomain(v))
		case "s":
			s.Selector = clean(strings.ToLower(v))
		case "a":
			s.Algorithm = clean(strings.ToLower(v))
		case "b":
			s.B = clean(v[:min(len(v), 8)])
		case "i":
			s.Identity = clean(v)
		}
	}
	tags, err := parseTags(value)
	if err != nil {
		return nil, ruling(PermError, "%v", err)
	}
	for _, name := range [...]string{"v", "a", "b", "bh", "d", "h", "s"} {
		if tags[name] == "" {
			return nil, ruling(PermError, "tag %s= is missing", name)
		}
	}
	if tags["v"] != "1" {
		return nil, ruling(PermError, "version %s is not known", tags["v"])
	}
	sig := &signature{field: f, length: -1, domain: asciiDomain(squeeze(tags["d"])), selector: strings.ToLower(squeeze(tags["s"]))}
	if !fullName(sig.domain) || !fullName(sig.selector+".x") {
		return nil, ruling(PermError, "d= or s= is not a domain name")
	}
	for _, step := range [...]func(map[string]string) *verdict{sig.readAlgorithm, sig.readNames, sig.readIdentity, sig.readTimes, sig.readBytes} {
		if v := step(tags); v != nil {
			return nil, v
		}
	}
	return sig, nil
}

func (sig *signature) readAlgorithm(tags map[string]string) *verdict {
	switch a := strings.ToLower(squeeze(tags["a"])); a {
	case "rsa-sha256", "ed25519-sha256":
		sig.algorithm = strings.TrimSuffix(a, "-sha256")
	case "rsa-sha1":
		return ruling(Policy, "rsa-sha1 is too weak (RFC 8301)")
	default:
		return ruling(Neutral, "algorithm %s is not known", a)
	}
	if q, ok := tags["q"]; ok && !slices.Contains(list(strings.ToLower(q)), "dns/txt") {
		return ruling(Neutral, "query method %s is not known", q)
	}
	header, body, _ := strings.Cut(strings.ToLower(squeeze(tags["c"])), "/")
	for _, c := range [...]struct {
		word    string
		relaxed *bool
	}{{header, &sig.relaxHeader}, {body, &sig.relaxBody}} {
		switch c.word {
		case "", "simple":
		case "relaxed":
			*c.relaxed = true
		default:
			return ruling(Neutral, "canonicalisation %s is not known", c.word)
		}
	}
	return nil
}

func (sig *signature) readNames(tags map[string]string) *verdict {
	sig.names = list(strings.ToLower(tags["h"]))
	if !slices.Contains(sig.names, "from") {
		return ruling(PermError, "the From field is not signed")
	}
	return nil
}

func (sig *signature) readIdentity(tags map[string]string) *verdict {
	sig.identityDomain = sig.domain
	if i, ok := tags["i"]; ok {
		sig.identity = squeeze(i)
		at := strings.LastIndexByte(sig.identity, '@')
		sig.identityDomain = asciiDomain(sig.identity[at+1:])
		if at < 0 || !under(sig.identityDomain, sig.domain) {
			return ruling(PermError, "i= is not within d=")
		}
	}
	return nil
}

func (sig *signature) readTimes(tags map[string]string) *verdict {
	for _, c := range [...]struct {
		name string
		at   *time.Time
	}{{"t", &sig.signed}, {"x", &sig.expires}} {
		text, ok := tags[c.name]
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 40) // 12 digits (RFC 6376 §3.5)
		if err != nil {
			return ruling(PermError, "%s= is not a time", c.name)
		}
		*c.at = time.Unix(int64(n), 0).UTC()
	}
	if !sig.signed.IsZero() && !sig.expires.IsZero() && !sig.expires.After(sig.signed) {
		return ruling(PermError, "x= is not after t=")
	}
	if text, ok := tags["l"]; ok {
		n, err := strconv.ParseInt(text, 10, 63)
		if err != nil || n < 0 {
			return ruling(PermError, "l= is not a length")
		}
		sig.length = n
	}
	return nil
}

func (sig *signature) readBytes(tags map[string]string) *verdict {
	var err error
	if sig.hash, err = base64.StdEncoding.DecodeString(squeeze(tags["bh"])); err != nil {
		return ruling(PermError, "bh= is not base64")
	}
	if sig.value, err = base64.StdEncoding.DecodeString(squeeze(tags["b"])); err != nil {
		return ruling(PermError, "b= is not base64")
	}
	return nil
}

// inTime judges t= and x= against the clock.
func (sig *signature) inTime(now time.Time) *verdict {
	if !sig.expires.IsZero() && now.After(sig.expires) {
		return ruling(Fail, "the signature expired at %s", sig.expires.Format(time.RFC3339))
	}
	if sig.signed.After(now.Add(skew)) {
		return ruling(Fail, "the signature is dated in the future: %s", sig.signed.Format(time.RFC3339))
	}
	return nil
}
