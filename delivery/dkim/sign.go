package dkim

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// signedFields are the fields each signature covers, all of their occurrences
// and one more that does not exist: who adds another one, or adds one where
// there was none, breaks the signature. There is no l=, so nothing can be
// appended to the body either.
var signedFields = []string{
	"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Auto-Submitted",
	"List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Post", "List-Help",
	"List-Subscribe", "List-Owner", "List-Archive",
}

// Sign reads a mail in CRLF form and returns its complete DKIM-Signature fields,
// the RSA one first, each ending in CRLF, to stand on top of it. Put away and
// sent again they stay valid: nothing in them depends on the attempt. The mail
// is read once and never held in memory, its header excepted.
//
// The error is ErrNoKey if the domain cannot sign, ErrMessage if this mail can
// never be signed as it is, otherwise that of the store, the reader or ctx.
func (k *Keys) Sign(ctx context.Context, domain string, r io.Reader) ([]byte, error) {
	p, err := k.pair(ctx, domain)
	if err != nil {
		return nil, err
	}
	d, err := digestOf(ctx, r)
	if err != nil {
		return nil, err
	}
	switch n := d.count("from"); {
	case n == 0:
		return nil, fmt.Errorf("%w: no From", ErrMessage)
	case n > 1:
		return nil, fmt.Errorf("%w: %d From fields", ErrMessage, n)
	}
	at := k.now()
	var out []byte
	for _, key := range p.keys {
		unsigned := d.signature(p.domain, key, at.Unix())
		sum := d.headerHash(unsigned)
		var opts crypto.SignerOpts = crypto.SHA256
		if key.algorithm == algEd25519 {
			opts = crypto.Hash(0) // RFC 8463 §3: the hash is the message that is signed
		}
		sig, err := key.signer.Sign(nil, sum, opts) // both schemes need no randomness
		if err != nil {
			return nil, fmt.Errorf("dkim: sign with %s._domainkey.%s: %w", key.selector, p.domain, err)
		}
		out = append(append(out, unsigned...), foldBase64(sig)...)
	}
	return out, nil
}

func (d *digest) count(name string) int {
	n := 0
	for _, f := range d.fields {
		if f.name == name {
			n++
		}
	}
	return n
}

const lineWidth = 76

// signature returns the field up to and with "b=", the last of its tags.
func (d *digest) signature(domain string, key signingKey, at int64) string {
	var b strings.Builder
	b.WriteString("DKIM-Signature: v=1; a=" + string(key.algorithm) + "-sha256; c=relaxed/relaxed;\r\n" +
		" d=" + domain + ";\r\n s=" + key.selector + "; t=" + strconv.FormatInt(at, 10) + ";\r\n h=")
	col := len(" h=")
	for i, name := range d.signedNames() {
		if i > 0 {
			b.WriteByte(':')
			col++
			if col+len(name)+1 > lineWidth {
				b.WriteString("\r\n  ")
				col = 2
			}
		}
		b.WriteString(name)
		col += len(name)
	}
	b.WriteString(";\r\n bh=" + base64.StdEncoding.EncodeToString(d.body[:]) + ";\r\n b=")
	return b.String()
}

func (d *digest) signedNames() []string {
	var names []string
	for _, name := range signedFields {
		for range d.count(strings.ToLower(name)) + 1 {
			names = append(names, name)
		}
	}
	return names
}

// headerHash hashes the signed fields, of equal ones the lowest first (RFC 6376
// §5.4.2), and then the signature's own field with an empty b=.
func (d *digest) headerHash(unsigned string) []byte {
	h := sha256.New()
	for _, name := range signedFields {
		name = strings.ToLower(name)
		for i := len(d.fields) - 1; i >= 0; i-- {
			if d.fields[i].name == name {
				io.WriteString(h, d.fields[i].relaxed)
			}
		}
	}
	name, value, _ := strings.Cut(strings.ReplaceAll(unsigned, "\r\n", ""), ":")
	io.WriteString(h, strings.ToLower(name)+":"+relaxedValue(value))
	return h.Sum(nil)
}

// foldBase64 returns the value of b= and the end of the field.
func foldBase64(sig []byte) string {
	s := base64.StdEncoding.EncodeToString(sig)
	var b strings.Builder
	for room := lineWidth - len(" b="); len(s) > room; room = lineWidth - 1 {
		b.WriteString(s[:room] + "\r\n ")
		s = s[room:]
	}
	b.WriteString(s + "\r\n")
	return b.String()
}
