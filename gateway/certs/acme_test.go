package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"golang.org/x/crypto/acme/autocert"

	"ticketgate/test/authority"
	"ticketgate/test/leaks"
	"ticketgate/ticketing/store"
	"ticketgate/ticketing/store/storetest"
)

func TestMain(m *testing.M) {
	// The authority's validator has no end.
	leaks.Main(m, goleak.IgnoreAnyFunction(authority.Forever))
}

const hostname = "mail.help.example"

// ask is how to ask an authority.
func ask(a *authority.Authority) *ACME {
	return &ACME{Directory: a.Directory, Email: "ada@help.example", Client: a.Client}
}

// door is a TLS listener such as the submissions port; nobody is there before
// listen is called.
type door struct {
	l  net.Listener
	wg sync.WaitGroup
}

func newDoor(t *testing.T) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{l: l}
	t.Cleanup(func() { l.Close(); d.wg.Wait() })
	return d
}

func (d *door) port() int { return d.l.Addr().(*net.TCPAddr).Port }

func (d *door) serve(config *tls.Config) {
	d.wg.Go(func() {
		for {
			c, err := d.l.Accept()
			if err != nil {
				return
			}
			d.wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				if tls.Server(c, config).Handshake() == nil {
					io.Copy(io.Discard, c)
				}
			})
		}
	})
}

// shown connects with a server name and returns whose certificate is shown.
func (d *door) shown(t *testing.T, config *tls.Config) (issuer string, state tls.ConnectionState) {
	t.Helper()
	config.InsecureSkipVerify = true
	c, err := tls.Dial("tcp", d.l.Addr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state = c.ConnectionState()
	return state.PeerCertificates[0].Issuer.CommonName, state
}

func fallback(t *testing.T) *tls.Certificate {
	t.Helper()
	cert, err := SelfSigned(t.TempDir()+"/tls.pem", hostname, time.Now(), source{})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// acmeCerts is a Certs at an authority, with a store.
func acmeCerts(t *testing.T, a *ACME, db store.DB) (*Certs, *prometheus.Registry, *bytes.Buffer) {
	t.Helper()
	a.DB = db
	reg, text := prometheus.NewRegistry(), &bytes.Buffer{}
	c, err := New(Options{Hostname: hostname, Fallback: fallback(t), ACME: a, Now: time.Now, Registerer: reg, Log: slog.New(slog.NewTextHandler(text, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cancel()
		a.Client.CloseIdleConnections()
	})
	return c, reg, text
}

// TestTLSALPN: a certificate through the listener it is for; the next start has
// it from the store, without an order.
func TestTLSALPN(t *testing.T) {
	d := newDoor(t)
	a, db := ask(authority.Start(t, 1, d.port())), storetest.OpenAt(t, time.Now)
	c, _, text := acmeCerts(t, a, db)
	d.serve(c.TLS())
	if issuer, _ := d.shown(t, &tls.Config{ServerName: hostname}); issuer != hostname {
		t.Errorf("before the order: %q", issuer)
	}
	start := time.Now()
	if again := c.Refresh(); again != acmeLook {
		t.Fatalf("%v\n%s", again, text)
	}
	t.Logf("issued by TLS-ALPN-01 in %v", time.Since(start).Round(time.Millisecond))
	// No name, a strange one, an address, another protocol: one certificate for all.
	for _, config := range []*tls.Config{{ServerName: hostname}, {ServerName: ""}, {ServerName: "mx.customer.example"}, {ServerName: "MAIL.help.example"},
		{ServerName: hostname, NextProtos: []string{"smtp"}}, {ServerName: hostname, NextProtos: []string{"acme-tls/1", "smtp"}}, {ServerName: hostname, MaxVersion: tls.VersionTLS12}} {
		issuer, state := d.shown(t, config)
		if !strings.HasPrefix(issuer, authority.Issuer) || state.PeerCertificates[0].VerifyHostname(hostname) != nil || state.NegotiatedProtocol != "" {
			t.Errorf("%q %v: %q, protocol %q", config.ServerName, config.NextProtos, issuer, state.NegotiatedProtocol)
		}
	}
	first := c.current.Load().Leaf.SerialNumber
	if got := testutil.ToFloat64(c.orders.WithLabelValues("ok")); got != 1 {
		t.Errorf("%v orders", got)
	}
	if got := testutil.ToFloat64(c.expiry.WithLabelValues(hostname)); got != float64(c.current.Load().Leaf.NotAfter.Unix()) {
		t.Errorf("expiry %v", got)
	}

	later, _, _ := acmeCerts(t, &ACME{Directory: "https://127.0.0.1:1/directory", Client: &http.Client{}}, db)
	if again := later.Refresh(); again != acmeLook || later.current.Load().Leaf.SerialNumber.Cmp(first) != 0 {
		t.Errorf("the next start has another certificate; looks again in %v", again)
	}
}

// TestHTTP01: no way to our TLS from outside, but one to the HTTP listener.
func TestHTTP01(t *testing.T) {
	var handler http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	defer web.Close()
	a := ask(authority.Start(t, web.Listener.Addr().(*net.TCPAddr).Port, 1))
	c, _, text := acmeCerts(t, a, storetest.OpenAt(t, time.Now))
	handler = c.Challenges(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the rest") }))
	if again := c.Refresh(); again != acmeLook {
		t.Fatalf("%v\n%s", again, text)
	}
	if issuer := c.current.Load().Leaf.Issuer.CommonName; !strings.HasPrefix(issuer, "Pebble") {
		t.Error(issuer)
	}
	for path, want := range map[string]string{"/": "200 the rest", "/.well-known/acme-challenge/x": "403"} {
		res, err := web.Client().Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got := res.Status[:3] + " " + string(body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q", path, got)
		}
	}
}

// TestNoAuthority: whatever is wrong out there, there is a certificate, and the
// authority is asked ever more rarely.
func TestNoAuthority(t *testing.T) {
	refusing := httptest.NewTLSServer(http.NotFoundHandler())
	defer refusing.Close()
	c, _, text := acmeCerts(t, &ACME{Directory: refusing.URL, Client: refusing.Client()}, storetest.OpenAt(t, time.Now))
	for _, want := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute} {
		if got := c.Refresh(); got != want {
			t.Errorf("%v, not %v", got, want)
		}
	}
	c.failures = 100
	if got := c.Refresh(); got != acmeMaxRetry {
		t.Errorf("%v", got)
	}
	if cert, err := c.TLS().GetCertificate(&tls.ClientHelloInfo{}); err != nil || cert.Leaf.Issuer.CommonName != hostname {
		t.Errorf("%v", err)
	}
	if !strings.Contains(text.String(), "no certificate from the authority") {
		t.Error(text)
	}
	if got := testutil.ToFloat64(c.orders.WithLabelValues("failed")); got != 4 {
		t.Errorf("%v failures counted", got)
	}
}

// TestRunEnds: an authority that does not answer does not keep the program, and
// nothing touches the store after its end.
func TestRunEnds(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	silent := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer silent.Close()
	defer close(release)
	c, _, _ := acmeCerts(t, &ACME{Directory: silent.URL, Client: silent.Client()}, storetest.OpenAt(t, time.Now))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	<-asked
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := c.cache.Put(context.Background(), "x", nil); !errors.Is(err, errClosed) {
		t.Errorf("after the end: %v", err)
	}
}

func TestPolicy(t *testing.T) {
	c := &Certs{o: Options{Hostname: hostname}}
	for host, want := range map[string]bool{
		hostname: true, "MAIL.HELP.EXAMPLE": true, hostname + ".": true, hostname + ":80": true,
		"": false, "help.example": false, "x." + hostname: false, hostname + ".evil.example": false, "127.0.0.1": false,
	} {
		if got := c.policy(context.Background(), host) == nil; got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// TestCache: what autocert asks of a cache.
func TestCache(t *testing.T) {
	c, ctx := newCache(storetest.OpenAt(t, time.Now)), context.Background()
	if _, err := c.Get(ctx, "a+token"); !errors.Is(err, autocert.ErrCacheMiss) {
		t.Error(err)
	}
	if err := c.Delete(ctx, "a+token"); err != nil {
		t.Error(err)
	}
	for _, data := range []string{"one", "", "another"} {
		if err := c.Put(ctx, "a+token", []byte(data)); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(ctx, "a+token"); err != nil || string(got) != data {
			t.Errorf("%q %v", got, err)
		}
	}
	if err := c.Put(ctx, "a", make([]byte, maxEntry+1)); err == nil {
		t.Error("anything is kept")
	}
	if err := c.Delete(ctx, "a+token"); err != nil {
		t.Error(err)
	}
	if _, err := c.Get(ctx, "a+token"); !errors.Is(err, autocert.ErrCacheMiss) {
		t.Error(err)
	}
}
