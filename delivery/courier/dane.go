package courier

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"time"

	"github.com/miekg/dns"
)

// Certificate usages that mean something between mail servers. The others rest
// on certificate authorities that the two ends need not share; RFC 7672 §3.1.3
// calls their records unusable.
const (
	daneTA = 2 // trust anchor
	daneEE = 3 // the server's own certificate
)

// usable leaves the records that can be checked, and of digests of the same
// thing only the strongest (RFC 7671 §9).
func usable(list []*dns.TLSA) (out []*dns.TLSA) {
	strongest := map[[2]uint8]uint8{}
	for _, t := range list {
		if checkable(t) {
			kind := [2]uint8{t.Usage, t.Selector}
			strongest[kind] = max(strongest[kind], t.MatchingType)
		}
	}
	for _, t := range list {
		if checkable(t) && (t.MatchingType == 0 || t.MatchingType == strongest[[2]uint8{t.Usage, t.Selector}]) {
			out = append(out, t)
		}
	}
	return out
}

func checkable(t *dns.TLSA) bool {
	if t.Usage != daneTA && t.Usage != daneEE || t.Selector > 1 {
		return false
	}
	n := hex.DecodedLen(len(t.Certificate))
	switch t.MatchingType {
	case 0:
		return n > 0
	case 1:
		return n == sha256.Size
	case 2:
		return n == sha512.Size
	}
	return false
}

// matchTLSA checks a server's certificates, its own first. An association with
// the server's own certificate needs neither a name nor a date (RFC 7671
// §5.1); one with a trust anchor needs both.
func matchTLSA(records []*dns.TLSA, certs []*x509.Certificate, names []string, now time.Time) error {
	if len(certs) == 0 {
		return errors.New("the server has shown no certificate")
	}
	err := errors.New("no TLSA record matches")
	for _, t := range records {
		if t.Usage == daneEE {
			if associated(t, certs[0]) {
				return nil
			}
			continue
		}
		for _, anchor := range anchors(t, certs) {
			var cerr error
			if cerr = anchored(certs, anchor, names, now); cerr == nil {
				return nil
			}
			err = cerr
		}
	}
	return err
}

func associated(t *dns.TLSA, cert *x509.Certificate) bool {
	data := cert.Raw
	if t.Selector == 1 {
		data = cert.RawSubjectPublicKeyInfo
	}
	switch t.MatchingType {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	want, err := hex.DecodeString(t.Certificate)
	return err == nil && bytes.Equal(data, want)
}

// anchors are the certificates that a DANE-TA record names: of those shown, or
// the one in the record itself.
func anchors(t *dns.TLSA, certs []*x509.Certificate) (out []*x509.Certificate) {
	for _, c := range certs {
		if associated(t, c) {
			out = append(out, c)
		}
	}
	if len(out) == 0 && t.MatchingType == 0 && t.Selector == 0 {
		if der, err := hex.DecodeString(t.Certificate); err == nil {
			if c, err := x509.ParseCertificate(der); err == nil {
				out = append(out, c)
			}
		}
	}
	return out
}

func anchored(certs []*x509.Certificate, anchor *x509.Certificate, names []string, now time.Time) error {
	roots := x509.NewCertPool()
	roots.AddCert(anchor)
	var err error
	for _, name := range names {
		if name == "" {
			continue
		}
		if err = chain(certs, name, roots, now); err == nil {
			return nil
		}
	}
	return err
}

// chain verifies a server's certificates up to roots; nil = the system's.
func chain(certs []*x509.Certificate, name string, roots *x509.CertPool, now time.Time) error {
	if len(certs) == 0 {
		return errors.New("the server has shown no certificate")
	}
	opts := x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: now, Intermediates: x509.NewCertPool()}
	for _, cert := range certs[1:] {
		opts.Intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(opts)
	return err
}
