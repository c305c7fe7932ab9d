package smtpd

import (
	"bytes"
	"cmp"
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
	"log/slog"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/gateway/intake"
	"ticketgate/test/leaks"
	"ticketgate/ticketing"
	"ticketgate/ticketing/blob"
	"ticketgate/ticketing/store/pebble"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// mail is what the desk was given.
type mail struct {
	ticketing.Arrival
	raw []byte
}

// desk knows a handful of recipients; some of them mean trouble.
type desk struct {
	mu    sync.Mutex
	mails []mail
	block chan struct{} // Receive for slow@ waits for it or for its context
	enter chan struct{} // and says here that it does
}

var trouble = map[string]error{
	"internal": &ticketing.Error{Kind: ticketing.Internal, Text: "secret words", Err: errors.New("secret story")},
	"refused":  &ticketing.Error{Kind: ticketing.Refused, Text: "not welcome"},
	"invalid":  &ticketing.Error{Kind: ticketing.Invalid, Text: "cannot be read"},
	"toobig":   &ticketing.Error{Kind: ticketing.TooBig, Text: "too big"},
	"busy":     &ticketing.Error{Kind: ticketing.Busy, Text: "busy"},
	"nospace":  &ticketing.Error{Kind: ticketing.NoSpace, Text: "full"},
	"conflict": &ticketing.Error{Kind: ticketing.Conflict, Text: "secret words"},
	"denied":   &ticketing.Error{Kind: ticketing.Denied, Text: "may not"},
	"unknown":  &ticketing.Error{Kind: ticketing.Unknown, Text: "gone meanwhile"},
	"wrapped":  fmt.Errorf("secret: %w", fmt.Errorf("story: %w", &ticketing.Error{Kind: ticketing.NoSpace, Text: "full"})),
	"plain":    errors.New("secret story"),
	"twoline":  &ticketing.Error{Kind: ticketing.Refused, Text: "one\r\n250 2.0.0 two"},
}

func (d *desk) Admit(ticketing.Arrival) error { return nil }

func (d *desk) Refused(context.Context, error) error { return nil }

// Explain would give the receipt that Receive gives.
func (d *desk) Explain(context.Context, ticketing.Arrival) (*ticketing.Trace, error) {
	return &ticketing.Trace{Receipt: &ticketing.Receipt{ID: "rcpt_x", Outcomes: []ticketing.Outcome{{Outcome: "new_ticket", Recipient: "support@help.example", Ticket: 7}}}}, nil
}

func (d *desk) Hops(ticketing.Arrival) func(netip.Addr) bool { return nil }

func (d *desk) Route(_ context.Context, rcpt string) (ticketing.Route, error) {
	local, domain, _ := strings.Cut(rcpt, "@")
	if strings.EqualFold(domain, "help.example") {
		switch local {
		case "support", "sales", "postmaster", "slow", "panic", "ünterstützung", `"odd box"`:
			return ticketing.Route{Queue: "support", Kind: "queue"}, nil
		case "dbdown":
			return ticketing.Route{}, errors.New("secret story")
		case "paniconroute":
			panic("route")
		}
		if trouble[local] != nil {
			return ticketing.Route{Queue: "support", Kind: "queue"}, nil
		}
	}
	return ticketing.Route{}, &ticketing.Error{Kind: ticketing.Unknown, Text: "no such recipient"}
}

func (d *desk) Receive(ctx context.Context, a ticketing.Arrival) (*ticketing.Receipt, error) {
	local, _, _ := strings.Cut(a.Recipients[0], "@")
	if err := trouble[local]; err != nil {
		return nil, err
	}
	switch local {
	case "panic":
		panic("receive")
	case "slow":
		d.enter <- struct{}{}
		select {
		case <-d.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	raw, err := io.ReadAll(io.NewSectionReader(a.Raw, 0, a.Raw.Ref().Size))
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mails = append(d.mails, mail{a, raw})
	return &ticketing.Receipt{ID: fmt.Sprintf("rcpt_%d", len(d.mails)), Outcomes: []ticketing.Outcome{{Outcome: "new_ticket"}}}, nil
}

func (d *desk) all() []mail {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]mail(nil), d.mails...)
}

// nullMX knows one domain without mail, and one whose DNS never answers.
func nullMX(ctx context.Context, domain string) bool {
	if domain == "slowdns.example" {
		<-ctx.Done()
	}
	return domain == "nomail.example" || domain == ""
}

// accounts knows otto, whose secret is "secret"; some users mean trouble.
type accounts struct{}

func (accounts) Authenticate(_ context.Context, user, secret string) (*Account, error) {
	switch {
	case user == "otto" && secret == "secret":
		return &Account{User: "otto", Addresses: []string{"otto@help.example", "o@bücher.example"}}, nil
	case user == "dbdown":
		return nil, errors.New("secret story")
	case user == "panic":
		panic("authenticate")
	case user == "nobody":
		return nil, nil
	}
	return nil, fmt.Errorf("wrapped: %w", ErrCredentials)
}

// house is a server with its desk, on a listener without a network.
type house struct {
	t      testing.TB
	desk   *desk
	server *Server
	door   *door
	reg    *prometheus.Registry
	log    *journal
	served chan error
}

type setting struct {
	limits  Limits
	maxSize int64
	tls     *tls.Config
	space   func() error
	blobs   *blob.Store // see newBlobs
	kind    string      // MX if empty
	domains []string
	proxies []netip.Prefix
}

// newBlobs returns a blob store for a test. Inside a bubble it can be used from
// outside only for mails that fit one chunk, which cost it nothing.
func newBlobs(t testing.TB) *blob.Store {
	db, err := pebble.OpenMem(pebble.Options{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return blob.New(db, mrand.NewChaCha8([32]byte{}))
}

func newHouse(t testing.TB, o setting) *house {
	h := &house{t: t, desk: &desk{block: make(chan struct{}), enter: make(chan struct{}, 1)}, door: newDoor(),
		reg: prometheus.NewRegistry(), log: &journal{}, served: make(chan error, 1)}
	in, err := intake.New(intake.Options{Desk: h.desk, Blobs: o.blobs, Space: o.space, Hostname: "mail.help.example", Now: time.Now,
		MaxSize: o.maxSize, Registerer: h.reg})
	if err != nil {
		t.Fatal(err)
	}
	h.server, err = New(Options{Hostname: "mail.help.example", Intake: in, TLS: o.tls, Limits: o.limits, Now: time.Now,
		Auth: accounts{}, NullMX: nullMX, Domains: o.domains, Proxies: o.proxies,
		Random: mrand.NewChaCha8([32]byte{1}), Registerer: h.reg, Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	go func() { h.served <- h.server.Serve(h.door, cmp.Or(o.kind, MX)) }()
	return h
}

// close ends the house; every session must end with it.
func (h *house) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil {
		h.t.Errorf("shutdown: %v", err)
	}
	if err := <-h.served; err != nil {
		h.t.Errorf("serve: %v", err)
	}
}

// journal keeps the log.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// door is a listener whose connections are pipes.
type door struct {
	conns chan net.Conn
	once  sync.Once
	shut  chan struct{}
}

func newDoor() *door { return &door{conns: make(chan net.Conn), shut: make(chan struct{})} }

func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.shut:
		return nil, net.ErrClosed
	}
}
func (d *door) Close() error   { d.once.Do(func() { close(d.shut) }); return nil }
func (d *door) Addr() net.Addr { return &net.TCPAddr{} }

type named struct {
	net.Conn
	peer net.Addr
}

func (n named) RemoteAddr() net.Addr { return n.peer }

// client is the other end: what the server says is taken in at once, as by a
// socket's buffer.
type client struct {
	net.Conn
	mu   sync.Mutex
	cond *sync.Cond
	in   bytes.Buffer
	err  error
	tls  *tls.Conn
}

// dial connects from an address.
func (h *house) dial(peer string) *client {
	mine, theirs := net.Pipe()
	c := &client{Conn: mine}
	c.cond = sync.NewCond(&c.mu)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := mine.Read(buf)
			c.mu.Lock()
			c.in.Write(buf[:n])
			c.err = err
			c.cond.Broadcast()
			c.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	h.door.conns <- named{theirs, &net.TCPAddr{IP: net.ParseIP(peer), Port: 1025}}
	return c
}

func (c *client) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.in.Len() == 0 && c.err == nil {
		c.cond.Wait()
	}
	if c.in.Len() > 0 {
		return c.in.Read(p)
	}
	return 0, io.EOF
}

func (c *client) send(s string) error {
	var err error
	if c.tls != nil {
		_, err = io.WriteString(c.tls, s)
	} else {
		_, err = io.WriteString(c.Conn, s)
	}
	return err
}

// line returns the next line without its CRLF, "EOF" at the end.
func (c *client) line() string {
	var r io.Reader = c
	if c.tls != nil {
		r = c.tls
	}
	var line []byte
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, one); err != nil {
			if len(line) > 0 {
				return string(line) + "<no line end>"
			}
			return "EOF"
		}
		if line = append(line, one[0]); one[0] == '\n' {
			return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
		}
	}
}

// reply returns the next reply's lines.
func (c *client) reply() []string {
	var lines []string
	for {
		l := c.line()
		lines = append(lines, l)
		if len(l) < 4 || l[3] != '-' {
			return lines
		}
	}
}

func last(lines []string) string { return lines[len(lines)-1] }

// say sends a line and returns the last line of its reply.
func (c *client) say(line string) string {
	// Whether the server still listens shows in what it says.
	_ = c.send(line + "\r\n")
	return last(c.reply())
}

func (c *client) startTLS() error {
	c.tls = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	return c.tls.Handshake()
}

// drop closes without a word.
func (c *client) drop() { c.Conn.Close() }

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	// Valid in the time of a synctest bubble as well as today.
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.help.example"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), DNSNames: []string{"mail.help.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func serverTLS() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{certificate()}} }
