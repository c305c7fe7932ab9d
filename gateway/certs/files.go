package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"time"
)

// Files are where a certificate and its key are kept, in PEM.
type Files struct{ Cert, Key string }

// files remembers what the files looked like when they were last read.
type files struct {
	Files
	seen [2]stamp
}

type stamp struct {
	modified time.Time
	size     int64
}

func (f *files) stamps() (out [2]stamp, err error) {
	for i, name := range [...]string{f.Cert, f.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return out, err
		}
		out[i] = stamp{info.ModTime(), info.Size()}
	}
	return out, nil
}

// load reads the files.
func (f *files) load() (*tls.Certificate, error) {
	// The stamps are older than what is read: a change in between shows at the
	// next look.
	seen, err := f.stamps()
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	f.seen = seen
	return &cert, nil
}

// changed reads the files again if they look different; nil if they do not. A
// pair that does not fit, as while one of the two is being replaced, is an error
// now and looked at again next time.
func (f *files) changed() (*tls.Certificate, error) {
	now, err := f.stamps()
	if err != nil {
		return nil, err
	}
	if now == f.seen {
		return nil, nil
	}
	return f.load()
}

const (
	selfLife  = 10 * 365 * 24 * time.Hour
	selfRenew = 30 * 24 * time.Hour
)

// SelfSigned returns a certificate for a name that nobody vouches for. It is
// made once and kept in a file, so that peers who remember it are not alarmed
// at every start.
func SelfSigned(path, hostname string, now time.Time, random io.Reader) (*tls.Certificate, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		cert, err := tls.X509KeyPair(text, text)
		if err == nil && cert.Leaf.VerifyHostname(hostname) == nil && cert.Leaf.NotAfter.Sub(now) > selfRenew {
			return &cert, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if text, err = makeCertificate(hostname, now, random); err != nil {
		return nil, fmt.Errorf("certs: making a certificate: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(text, text)
	return &cert, err
}

func makeCertificate(hostname string, now time.Time, random io.Reader) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, err
	}
	var serial [16]byte
	if _, err := io.ReadFull(random, serial[1:]); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]),
		Subject:      pkix.Name{CommonName: hostname},
		DNSNames:     []string{hostname},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(selfLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(random, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...), nil
}
