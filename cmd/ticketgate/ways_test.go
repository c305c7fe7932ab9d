package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"ticketgate/test/peers"
)

// shelf is a mail server that keeps what it gets, and may want a token first.
type shelf struct {
	token string // "" = everybody may
	mu    sync.Mutex
	mails []kept
}

type kept struct {
	peer string // the other end's address
	from string
	to   []string
	text []byte
}

func (s *shelf) NewSession(c *smtp.Conn) (smtp.Session, error) {
	peer, _, _ := net.SplitHostPort(c.Conn().RemoteAddr().String())
	return &shelfSession{s: s, peer: peer}, nil
}

func (s *shelf) all() []kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]kept(nil), s.mails...)
}

type shelfSession struct {
	s      *shelf
	peer   string
	authed bool
	mail   kept
}

func (x *shelfSession) Mail(from string, _ *smtp.MailOptions) error {
	if x.s.token != "" && !x.authed {
		return smtp.ErrAuthRequired
	}
	x.mail = kept{peer: x.peer, from: from}
	return nil
}
func (x *shelfSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	x.mail.to = append(x.mail.to, to)
	return nil
}
func (x *shelfSession) Data(r io.Reader) (err error) {
	if x.mail.text, err = io.ReadAll(r); err != nil {
		return err
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.mails = append(x.s.mails, x.mail)
	return nil
}
func (x *shelfSession) Reset()        {}
func (x *shelfSession) Logout() error { return nil }
func (x *shelfSession) AuthMechanisms() []string {
	return []string{"XOAUTH2"}
}
func (x *shelfSession) Auth(string) (sasl.Server, error) { return x, nil }

// Next is XOAUTH2, as Google and Microsoft describe it.
func (x *shelfSession) Next(response []byte) ([]byte, bool, error) {
	switch want := "user=support@help.example\x01auth=Bearer " + x.s.token + "\x01\x01"; {
	case string(response) == want:
		x.authed = true
		return nil, true, nil
	case len(response) == 0:
		return nil, true, errors.New("refused")
	}
	return []byte(`{"status":"401","schemes":"bearer"}`), false, nil
}

// newServerCert makes a certificate for localhost and the PEM of its authority.
func newServerCert(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func write(t *testing.T, name string, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A queue's mail leaves through a provider that wants a token, from an address
// that was chosen, over TLS that is checked; and what comes in goes on to
// another helpdesk by LMTP, octet for octet.
func TestWaysOut(t *testing.T) {
	helpdesk := &shelf{}
	lmtp := smtp.NewServer(helpdesk)
	lmtp.LMTP, lmtp.Domain = true, "desk.internal"
	socket := filepath.Join(t.TempDir(), "lmtp.sock")
	listen(t, lmtp, "unix", socket)

	cert, authority := newServerCert(t)
	provider := &shelf{token: "access-1"}
	submission := smtp.NewServer(provider)
	submission.Domain, submission.TLSConfig = "provider.example", &tls.Config{Certificates: []tls.Certificate{cert}}
	submission.ErrorLog = quiet{}
	port := listen(t, submission, "tcp", "127.0.0.1:0")

	asked := make(chan string, 10)
	tokens := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.PostFormValue("refresh_token")
		fmt.Fprint(w, `{"access_token":"access-1","token_type":"Bearer","expires_in":3600,"refresh_token":"next"}`)
	}))
	t.Cleanup(tokens.Close)
	t.Setenv("SSL_CERT_FILE", write(t, "web.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tokens.Certificate().Raw})))
	t.Setenv("RELAY_SECRET", "hush-4711")

	d := newDaemon(t, `outbound = { route = "provider", retry = ["1s"], expire = "1h" }`, `
[route.provider]
host = "localhost:`+port+`"
tls = "starttls"
ca = "`+write(t, "ca.pem", authority)+`"
user = "support@help.example"
auth = "xoauth2"
source = ["127.0.0.2"]
rate = "1000/h"
[route.provider.oauth]
token_url = "`+tokens.URL+`"
client_id = "client"
client_secret = "env:RELAY_SECRET"
refresh_token_file = "`+write(t, "refresh", []byte("refresh-4711\n"))+`"

[route.helpdesk]
host = "unix:`+socket+`"
protocol = "lmtp"

[queue.support]
address = "support@help.example"
agents = ["otto"]
trusted_forwarders = ["127.0.0.1/32"]
deliver_to = { route = "helpdesk", address = "inbox@desk.internal" }
`)
	d.start()
	text := mailText(anna, desk, "", "Printer", "<w1@customer.example>", nil, "Gr\xfc\xdfe\r\n.\r\n..two dots\r\n")
	if _, err := sendMail(d.smtp, anna, []string{desk}, text); err != nil {
		t.Fatal(err)
	}
	peers.WaitFor(t, peers.Patience, "both mails", func() bool { return len(helpdesk.all()) == 1 && len(provider.all()) >= 2 })

	for _, m := range provider.all() {
		if m.peer != "127.0.0.2" {
			t.Errorf("mail came from %s", m.peer)
		}
	}
	got := helpdesk.all()[0]
	if !bytes.HasSuffix(got.text, []byte(text)) {
		t.Errorf("the helpdesk got\n%q\nwant at its end\n%q", got.text, text)
	}
	head := string(bytes.TrimSuffix(got.text, []byte(text)))
	for _, field := range []string{"X-Forwarded-To: inbox@desk.internal\r\n", "X-Original-To: " + desk + "\r\n", "\r\nReceived: from "} {
		if !strings.Contains(head, field) {
			t.Errorf("%q is not on top: %q", field, head)
		}
	}
	if len(got.to) != 1 || got.to[0] != "inbox@desk.internal" || !strings.HasPrefix(got.from, "support+") {
		t.Errorf("envelope %q to %q", got.from, got.to)
	}
	if r := <-asked; r != "refresh-4711" || len(asked) != 0 {
		t.Errorf("asked with %q, and %d times more", r, len(asked))
	}

	channels := map[string]string{}
	peers.WaitFor(t, peers.Patience, "the records of the attempts", func() bool {
		for _, m := range list[struct {
			Deliveries []struct {
				Recipient string
				Last      *struct{ TLS string }
			}
		}](d, "/tickets/1001/messages", nil) {
			for _, dl := range m.Deliveries {
				if dl.Last != nil {
					channels[dl.Recipient] = dl.Last.TLS
				}
			}
		}
		return len(channels) >= 2
	})
	if c := channels["otto@staff.example"]; !strings.HasPrefix(c, "TLS 1.3 TLS_") || !strings.HasSuffix(c, ", verified (configured)") {
		t.Errorf("channels %q", channels)
	}
	if c := channels["inbox@desk.internal"]; c != "in clear (opportunistic)" {
		t.Errorf("channels %q", channels)
	}

	// The metrics, and no secret anywhere.
	res, err := http.Get("http://" + d.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	metrics, _ := io.ReadAll(res.Body)
	for _, line := range []string{
		`ticketgate_outbound_tls_sessions_total{policy="configured",verified="true",version="TLS 1.3"} `,
		`ticketgate_oauth_token_expiry_seconds{account="provider"} 3`,
	} {
		if !bytes.Contains(metrics, []byte(line)) {
			t.Errorf("no metric %s", line)
		}
	}
	d.terminate()
	for _, secret := range []string{"hush-4711", "refresh-4711", "access-1"} {
		if strings.Contains(d.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}

// An authority that will not give a token shuts a way and harms no mail: it waits,
// and doctor and the metrics say why.
func TestTokenIsRefused(t *testing.T) {
	cert, authority := newServerCert(t)
	provider := &shelf{token: "access-1"}
	submission := smtp.NewServer(provider)
	submission.Domain, submission.TLSConfig = "provider.example", &tls.Config{Certificates: []tls.Certificate{cert}}
	submission.ErrorLog = quiet{}
	port := listen(t, submission, "tcp", "127.0.0.1:0")
	tokens := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"AADSTS700082: the refresh token has expired"}`)
	}))
	t.Cleanup(tokens.Close)
	t.Setenv("SSL_CERT_FILE", write(t, "web.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tokens.Certificate().Raw})))

	d := newDaemon(t, `outbound = { route = "provider", retry = ["1s"], expire = "1h" }`, `
[route.provider]
host = "localhost:`+port+`"
ca = "`+write(t, "ca.pem", authority)+`"
user = "support@help.example"
[route.provider.oauth]
token_url = "`+tokens.URL+`"
client_id = "client"
client_secret = "hush-4711"
refresh_token = "refresh-4711"

[queue.support]
address = "support@help.example"
agents = ["otto"]
trusted_forwarders = ["127.0.0.1/32"]
`)
	d.start()
	if _, err := sendMail(d.smtp, anna, []string{desk}, mailText(anna, desk, "", "Printer", "<w1@customer.example>", nil, "It burns.\r\n")); err != nil {
		t.Fatal(err)
	}
	doctor := ""
	peers.WaitFor(t, 30*time.Second, "doctor to see it", func() bool {
		doctor, _ = d.cli("", "doctor")
		return strings.Contains(doctor, "route/provider")
	})
	for line := range strings.Lines(doctor) {
		if strings.Contains(line, "route/provider") && (!strings.HasPrefix(line, "FAIL") || !strings.Contains(line, "invalid_grant") || !strings.Contains(line, "outbound resume route/provider")) {
			t.Error(line)
		}
	}
	res, err := http.Get("http://" + d.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	metrics, _ := io.ReadAll(res.Body)
	for _, line := range []string{`ticketgate_outbound_refused{kind="route"} 1`, "ticketgate_outbound_alerts_total 1"} {
		if !bytes.Contains(metrics, []byte(line+"\n")) {
			t.Errorf("no metric %s", line)
		}
	}
	waiting := list[struct{ State string }](d, "/outbound", nil)
	if len(waiting) == 0 {
		t.Error("no mail waits")
	}
	d.terminate()
	if n := strings.Count(d.log.String(), "outbound route held"); n != 1 || strings.Contains(d.log.String()+doctor, "4711") {
		t.Errorf("%d alerts in the log, or a secret:\n%s", n, d.log.String())
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// listen serves until the test ends and returns the port.
func listen(t *testing.T, srv *smtp.Server, network, address string) (port string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}
