// Package authority runs a real ACME authority inside a test: it speaks RFC
// 8555, goes and looks whether a name is whose it says, and signs. Every name
// is on this machine, and the ports it looks at are the test's.
package authority

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// Forever is a goroutine of the authority that has no end; leak checks leave it
// out.
const Forever = "github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"

// Issuer is how the names of those begin who sign its certificates.
const Issuer = "Pebble Intermediate"

// Authority is a running one. It ends with the test.
type Authority struct {
	Directory string       // the URL to begin at
	Client    *http.Client // trusts its TLS
	Root      string       // a PEM file with what Client trusts
}

// Start runs an authority that looks at httpPort for HTTP-01 and at tlsPort for
// TLS-ALPN-01. The test must not be parallel.
func Start(t *testing.T, httpPort, tlsPort int) *Authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	quiet, memory := log.New(io.Discard, "", 0), db.NewMemoryStore()
	signer := ca.New(quiet, memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	validator := va.New(quiet, httpPort, tlsPort, true, startNames(t), memory)
	front := wfe.New(quiet, memory, validator, signer, []string{"ca.example"}, true, false, 1, 1)
	server := httptest.NewTLSServer(front.Handler())
	t.Cleanup(server.Close)
	root := filepath.Join(t.TempDir(), "root.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(root, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return &Authority{Directory: server.URL + wfe.DirectoryPath, Client: server.Client(), Root: root}
}

// startNames runs a DNS server that finds every name here and returns its
// address.
func startNames(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, served := make(chan struct{}), make(chan error, 1)
	names := &dns.Server{Listener: l, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(answer)}
	go func() { served <- names.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := names.Shutdown(); err != nil {
			t.Error(err)
		}
		<-served
	})
	return l.Addr().String()
}

func answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	if q.Question[0].Qtype == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
	}
	_ = w.WriteMsg(m) // whoever went away needs no answer
}
