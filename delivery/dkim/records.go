package dkim

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
)

// Record is a DNS record to publish.
type Record struct {
	Name  string `json:"name"`  // without a trailing dot
	Type  string `json:"type"`  // TXT
	Value string `json:"value"` // for a zone file: quoted strings of at most 255 octets
	Text  string `json:"text"`  // the same as one text, for providers that split it themselves
}

// String is the record as a line of a zone file.
func (r Record) String() string { return r.Name + ". IN " + r.Type + " " + r.Value }

// Records returns what a domain must publish for its signatures to verify, in
// the order of the signatures: those of the keys that sign, of those that are
// to sign next, and of those whose signatures may still be on their way.
// ErrNoKey before Ensure.
func (k *Keys) Records(ctx context.Context, domain string) ([]Record, error) {
	p, err := k.pair(ctx, domain)
	if err != nil {
		return nil, err
	}
	infos, err := k.List(ctx, p.domain)
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, i := range infos {
		if i.Phase == Retired {
			continue
		}
		if i.Record == nil {
			return nil, fmt.Errorf("%w: %s._domainkey.%s cannot be read", ErrNoKey, i.Selector, p.domain)
		}
		records = append(records, *i.Record)
	}
	return records, nil
}

// record is what a public key looks like in DNS.
func record(domain, selector string, alg algorithm, public []byte) Record {
	text := fmt.Sprintf("v=DKIM1; k=%s; p=%s", alg, base64.StdEncoding.EncodeToString(public))
	return Record{Name: selector + "._domainkey." + domain, Type: "TXT", Value: zoneStrings(text), Text: text}
}

// public returns what p= holds: a SubjectPublicKeyInfo for RSA (RFC 6376
// §3.6.1), the bare key for Ed25519 (RFC 8463 §4.2).
func (s signingKey) public() ([]byte, error) {
	if key, ok := s.signer.Public().(ed25519.PublicKey); ok {
		return key, nil
	}
	return x509.MarshalPKIXPublicKey(s.signer.Public())
}

// zoneStrings splits a text into character-strings (RFC 1035 §3.3). Ours hold
// nothing that would need escaping.
func zoneStrings(text string) string {
	const most = 255
	var out strings.Builder
	for len(text) > most {
		out.WriteString(`"` + text[:most] + `" `)
		text = text[most:]
	}
	out.WriteString(`"` + text + `"`)
	return out.String()
}
