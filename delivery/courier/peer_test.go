package courier

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// names is a small DNS. Keys are names without the trailing dot.
type names struct {
	mx   map[string][]*net.MX
	ip   map[string][]string
	fail map[string]error // answers of either kind
	mu   sync.Mutex
	asks int
}

func (n *names) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	n.mu.Lock()
	n.asks++
	n.mu.Unlock()
	name = strings.TrimSuffix(name, ".")
	if err := n.fail["mx "+name]; err != nil {
		return nil, err
	}
	if list := n.mx[name]; list != nil {
		return list, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

func (n *names) LookupNetIP(_ context.Context, _, name string) ([]netip.Addr, error) {
	name = strings.TrimSuffix(name, ".")
	if err := n.fail["ip "+name]; err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, s := range n.ip[name] {
		out = append(out, netip.MustParseAddr(s))
	}
	if out == nil {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return out, nil
}

// oneHost is a DNS in which customer.example has one mail exchanger.
func oneHost() *names {
	return &names{
		mx: map[string][]*net.MX{"customer.example": {{Host: "mx1.customer.example.", Pref: 10}}},
		ip: map[string][]string{"mx1.customer.example": {"192.0.2.1"}},
	}
}

// testOptions are complete but for Dial.
func testOptions(dns Resolver) Options {
	return Options{
		Hostname: "mail.help.example",
		Resolver: dns,
		Now:      time.Now,
		Random:   mrand.NewChaCha8([32]byte{7}),
	}
}

// host is a scripted peer: each connection gets the next script, and a
// connection too many is refused. Scripts run in goroutines of the test.
type host struct {
	t       *testing.T
	scripts []func(*peer)
	mu      sync.Mutex
	dialled []string
	wg      sync.WaitGroup
}

func (h *host) dial(_ context.Context, _, addr string) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.dialled)
	h.dialled = append(h.dialled, addr)
	if n >= len(h.scripts) || h.scripts[n] == nil {
		return nil, errors.New("connection refused by the test")
	}
	mine, theirs := net.Pipe()
	script := h.scripts[n]
	h.wg.Go(func() {
		p := &peer{t: h.t, conn: theirs, r: bufio.NewReader(theirs)}
		defer func() { p.conn.Close() }()
		script(p)
	})
	return mine, nil
}

// peer is the server's end of one connection.
type peer struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (p *peer) say(lines ...string) {
	for _, l := range lines {
		io.WriteString(p.conn, l+"\r\n")
	}
}

// gone is what a peer hears when nobody speaks any more.
const gone = "(gone)"

// hear returns the next line without its CRLF, or gone.
func (p *peer) hear() string {
	line, err := p.r.ReadString('\n')
	if err != nil {
		return gone
	}
	if !strings.HasSuffix(line, "\r\n") {
		p.t.Errorf("line without CRLF: %q", line)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (p *peer) expect(want string) bool {
	got := p.hear()
	if got != want {
		p.t.Errorf("peer heard %q, want %q", got, want)
		return false
	}
	return true
}

// farewell answers a QUIT, if one comes.
func (p *peer) farewell() {
	switch got := p.hear(); got {
	case "QUIT":
		p.say("221 2.0.0 bye")
	case gone:
	default:
		p.t.Errorf("peer heard %q after the script's end", got)
	}
}

// misbehave does what peers should not do. It reports whether the connection
// has had it.
func (p *peer) misbehave(how string) bool {
	switch how {
	case "drop":
		p.conn.Close()
	case "hang":
		io.Copy(io.Discard, p.r)
	case "garbage":
		p.say("\x00\x01 this is not SMTP \xff\xfe")
		io.Copy(io.Discard, p.r)
	case "endless":
		for {
			if _, err := io.WriteString(p.conn, "250-and another thing\r\n"); err != nil {
				return true
			}
		}
	case "long":
		io.WriteString(p.conn, "250 "+strings.Repeat("x", 8<<10)+"\r\n")
		io.Copy(io.Discard, p.r)
	case "drip":
		for _, c := range "250-" + strings.Repeat("y", 4000) {
			time.Sleep(time.Minute)
			if _, err := p.conn.Write([]byte{byte(c)}); err != nil {
				return true
			}
		}
	default:
		p.say(how)
		return false
	}
	return true
}

// secure answers STARTTLS: it becomes TLS.
func (p *peer) secure(conf *tls.Config) bool {
	conn := tls.Server(p.conn, conf)
	if err := conn.Handshake(); err != nil {
		return false
	}
	p.conn, p.r = conn, bufio.NewReader(conn)
	return true
}

// newCert makes a certificate for name that is its own authority.
func newCert(t testing.TB, name string, notBefore time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: notBefore, NotAfter: notBefore.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// letter is a transaction with small content.
func letter(to ...string) Transaction {
	return Transaction{
		Destination: "customer.example", From: "support@help.example", To: to, Size: 26,
		Open: func(context.Context) (io.Reader, error) {
			return strings.NewReader("Subject: hi\r\n\r\nHello you\r\n"), nil
		},
	}
}

func newCourier(t *testing.T, o Options) *Courier {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// short is a result in the words of the dialogue files.
func short(r Result) string {
	enhanced := r.Enhanced
	if enhanced == "" {
		enhanced = "-"
	}
	s := fmt.Sprintf("%s %s %d %s %s", r.Recipient, r.Class, r.Code, enhanced, r.Phase)
	if r.Ambiguous {
		s += " ambiguous"
	}
	return s
}
