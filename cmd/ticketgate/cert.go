package main

import (
	"fmt"
	"path/filepath"

	"ticketgate/gateway/certs"
)

// openCerts gets the certificate that peers are shown.
func (p *program) openCerts() (err error) {
	o := certs.Options{
		Hostname:   string(p.cfg.Hostname),
		Now:        p.world.now,
		Log:        p.world.log,
		Registerer: p.world.metrics,
	}
	switch t := p.cfg.TLS; t.Mode {
	case "files":
		o.Files = &certs.Files{Cert: string(t.Cert), Key: string(t.Key)}
	case "acme":
		email := t.ACMEEmail
		if email == "" {
			email = p.cfg.Admin
		}
		o.ACME = &certs.ACME{Directory: t.ACMEDirectory, Email: string(email), DB: p.db}
		fallthrough
	default:
		o.Fallback, err = certs.SelfSigned(filepath.Join(string(p.cfg.Store.Dir), "tls.pem"), o.Hostname, p.world.now(), p.world.random)
		if err != nil {
			return fmt.Errorf("TLS certificate: %w", err)
		}
	}
	p.certs, err = certs.New(o)
	return err
}
