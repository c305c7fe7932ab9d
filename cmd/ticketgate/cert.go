package main

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
	"path/filepath"
	"time"

	"ticketgate/config"
)

// serverTLS returns the certificate SMTP peers are shown. A self-signed one is
// made once and kept beside the store, so that peers who remember it are not
// alarmed at every start.
func serverTLS(cfg *config.Config, now time.Time, random io.Reader) (*tls.Config, error) {
	var cert tls.Certificate
	var err error
	if cfg.TLS.Mode == "files" {
		cert, err = tls.LoadX509KeyPair(string(cfg.TLS.Cert), string(cfg.TLS.Key))
	} else {
		cert, err = selfSigned(filepath.Join(string(cfg.Store.Dir), "tls.pem"), string(cfg.Hostname), now, random)
	}
	if err != nil {
		return nil, fmt.Errorf("TLS certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		// Some large senders break off when a session ticket follows the
		// handshake on port 25.
		SessionTicketsDisabled: true,
	}, nil
}

const (
	certLife  = 10 * 365 * 24 * time.Hour
	certRenew = 30 * 24 * time.Hour
)

func selfSigned(path, hostname string, now time.Time, random io.Reader) (tls.Certificate, error) {
	pemBytes, err := os.ReadFile(path)
	if err == nil {
		cert, err := tls.X509KeyPair(pemBytes, pemBytes)
		if err == nil && cert.Leaf.VerifyHostname(hostname) == nil && cert.Leaf.NotAfter.Sub(now) > certRenew {
			return cert, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return tls.Certificate{}, err
	}
	pemBytes, err = makeCertificate(hostname, now, random)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := os.WriteFile(path, pemBytes, 0o600); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(pemBytes, pemBytes)
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
		NotAfter:     now.Add(certLife),
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
