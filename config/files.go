package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxSocket is the longest path a socket can have: the kernel's address has
// room for 107 octets.
const maxSocket = 107

// checkFiles looks at the files the configuration names.
func (p *parser) checkFiles() {
	c := p.config
	p.checkStoreDir(string(c.Store.Dir))
	cert := p.checkFile(path{"tls", "cert"}, c.TLS.Cert, false)
	key := p.checkFile(path{"tls", "key"}, c.TLS.Key, true)
	if cert && key {
		if _, err := tls.LoadX509KeyPair(string(c.TLS.Cert), string(c.TLS.Key)); err != nil {
			p.errorf(path{"tls", "cert"}, "", "%s and %s are no certificate with its key: %s", c.TLS.Cert, c.TLS.Key, strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	p.checkFile(path{"metrics", "token_file"}, c.Metrics.TokenFile, true)
	for _, f := range wayFiles(c) {
		if p.checkFile(f.at, *f.file, f.secret) && f.at[len(f.at)-1] == "ca" {
			p.checkCA(f.at, *f.file)
		}
	}
	p.checkSecret(path{"metrics", "token"}, c.Metrics.Token)
	for name, r := range c.Routes {
		at := path{"route", name}
		p.checkSecret(at.with("password"), r.Password)
		p.checkSecret(at.with("oauth", "client_secret"), r.OAuth.ClientSecret)
		p.checkSecret(at.with("oauth", "refresh_token"), r.OAuth.RefreshToken)
	}
}

// checkStoreDir: the directory need not exist yet.
func (p *parser) checkStoreDir(dir string) {
	at := path{"store", "dir"}
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		p.errorf(at, "", "dir names %s, which is a file", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		p.errorf(at, "", "dir names %s, which cannot be used: %v", dir, errors.Unwrap(err))
	}
	if socket := filepath.Join(dir, "ctl.sock"); len(socket) > maxSocket {
		p.errorf(at, "use a shorter path", "dir is too long: the control socket %s would have %d octets; at most %d are possible", socket, len(socket), maxSocket)
	}
}

// checkFile reports whether a file is named and can be read.
func (p *parser) checkFile(at path, file Path, secret bool) bool {
	if file == "" {
		return false
	}
	key := at[len(at)-1]
	info, err := os.Stat(string(file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.errorf(at, "", "%s names %s, which does not exist", key, file)
	case err != nil:
		p.errorf(at, "", "%s names %s, which cannot be read: %v", key, file, errors.Unwrap(err))
	case !info.Mode().IsRegular():
		p.errorf(at, "", "%s names %s, which is not a file", key, file)
	case secret && info.Mode().Perm()&0o007 != 0:
		p.errorf(at, "chmod 640", "%s %s is open to everybody (%#o)", key, file, info.Mode().Perm())
	default:
		f, err := os.Open(string(file))
		if err == nil {
			f.Close()
			return true
		}
		p.errorf(at, "", "%s names %s, which cannot be read: %v", key, file, errors.Unwrap(err))
	}
	return false
}

func (p *parser) checkCA(at path, file Path) {
	pem, err := os.ReadFile(string(file))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(pem) {
		p.errorf(at, "", "%s has no certificate in PEM", file)
	}
}

// checkSecret warns of a secret that is not where the file says it is. It is no
// error here: the shell that asks need not have the daemon's environment.
func (p *parser) checkSecret(at path, s Secret) {
	if s.IsZero() {
		return
	}
	if _, err := s.Reveal(os.Getenv, os.ReadFile); err != nil {
		p.warnf(at, "", "%s: %v", at[len(at)-1], err)
	}
}
