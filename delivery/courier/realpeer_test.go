package courier

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// inbox is a go-smtp backend that keeps what it gets.
type inbox struct {
	mu    sync.Mutex
	mails []received
	hello map[string]bool
}

type received struct {
	from string
	to   []string
	body []byte
	tls  bool
}

func (b *inbox) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hello[c.Hostname()] = true
	return &inboxSession{b: b, cur: received{tls: secure}}, nil
}

type inboxSession struct {
	b   *inbox
	cur received
}

func (s *inboxSession) Mail(from string, _ *smtp.MailOptions) error { s.cur.from = from; return nil }
func (s *inboxSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.cur.to = append(s.cur.to, to)
	return nil
}
func (s *inboxSession) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.cur.body = body
	s.b.mails = append(s.b.mails, s.cur)
	return nil
}
func (s *inboxSession) Reset()        { s.cur = received{tls: s.cur.tls} }
func (s *inboxSession) Logout() error { return nil }

// realPeer starts a go-smtp server and returns a courier that reaches it as
// mx1.customer.example.
func realPeer(t *testing.T, conf *tls.Config, with func(*Options)) (*Courier, *inbox) {
	t.Helper()
	box := &inbox{hello: map[string]bool{}}
	srv := smtp.NewServer(box)
	srv.Domain, srv.TLSConfig, srv.EnableSMTPUTF8 = "mx1.customer.example", conf, true
	srv.ErrorLog = discard{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	dns := oneHost()
	dns.ip["mx1.customer.example"] = []string{"127.0.0.1"}
	o := testOptions(dns)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	o.Port, _ = strconv.Atoi(port)
	o.AllowPrivate, o.Dial = true, (&net.Dialer{}).DialContext
	if with != nil {
		with(&o)
	}
	c := newCourier(t, o)
	t.Cleanup(func() { c.Close(context.Background()) })
	return c, box
}

type discard struct{}

func (discard) Printf(string, ...any) {}
func (discard) Println(...any)        {}

// What a real server receives over TLS is what was sent, byte for byte, from
// an empty mail to a few megabytes of dots.
func TestByteExactAtARealServer(t *testing.T) {
	t.Parallel()
	cert, pool := newCert(t, "mx1.customer.example", time.Now().Add(-time.Hour))
	c, box := realPeer(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(o *Options) { o.Roots = pool })
	rng := rand.New(rand.NewPCG(1, 2))
	var sent [][]byte
	for _, size := range []int{0, 1, 100, 16 << 10, 32<<10 + 1, 3 << 20} {
		var b bytes.Buffer
		for b.Len() < size {
			b.WriteString(strings.Repeat(".", rng.IntN(4)) + strings.Repeat("x", rng.IntN(200)) + "\r\n")
		}
		sent = append(sent, b.Bytes())
	}
	for _, content := range sent {
		l := letter("anna@customer.example", "nobody@customer.example", "bo@customer.example")
		l.Size = int64(len(content))
		l.Open = func(context.Context) (io.Reader, error) { return bytes.NewReader(content), nil }
		r := c.Carry(t.Context(), l)
		if r[0].Class != Success || r[1].Class != Permanent || r[1].Enhanced != "5.1.1" || r[2].Class != Success {
			t.Fatalf("%s, %s, %s: %v", short(r[0]), short(r[1]), short(r[2]), r[0].Err)
		}
		if tls := r[0].TLS; tls.Version != "TLS 1.3" || !tls.Verified || tls.Fallback || tls.Cipher == "" {
			t.Errorf("%+v", tls)
		}
		if r[0].Host != "mx1.customer.example" || !strings.HasPrefix(r[0].Remote, "127.0.0.1:") {
			t.Errorf("%q %q", r[0].Host, r[0].Remote)
		}
	}
	for i, m := range box.mails {
		if !bytes.Equal(m.body, sent[i]) || !m.tls || m.from != "support@help.example" || len(m.to) != 2 {
			t.Errorf("mail %d: %d bytes of %d, tls %v, %q to %q", i, len(m.body), len(sent[i]), m.tls, m.from, m.to)
		}
	}
	if len(box.mails) != len(sent) || len(box.hello) != 1 || !box.hello["mail.help.example"] {
		t.Errorf("%d mails, greeted as %v", len(box.mails), box.hello)
	}
}

// Certificates that do not stand up to a check are used, and said to be so. A
// server that knows only old TLS is served in clear, and remembered.
func TestOpportunisticTLS(t *testing.T) {
	t.Parallel()
	good, pool := newCert(t, "mx1.customer.example", time.Now().Add(-time.Hour))
	wrong, wrongPool := newCert(t, "other.example", time.Now().Add(-time.Hour))
	old, oldPool := newCert(t, "mx1.customer.example", time.Now().Add(-72*time.Hour))
	for _, tc := range []struct {
		name      string
		conf      *tls.Config
		with      func(*Options)
		version   string
		verified  bool
		fallbacks float64
	}{
		{"good", &tls.Config{Certificates: []tls.Certificate{good}}, func(o *Options) { o.Roots = pool }, "TLS 1.3", true, 0},
		{"self-signed", &tls.Config{Certificates: []tls.Certificate{good}}, func(o *Options) { o.Roots = wrongPool }, "TLS 1.3", false, 0},
		{"wrong name", &tls.Config{Certificates: []tls.Certificate{wrong}}, func(o *Options) { o.Roots = wrongPool }, "TLS 1.3", false, 0},
		{"expired", &tls.Config{Certificates: []tls.Certificate{old}}, func(o *Options) { o.Roots = oldPool }, "TLS 1.3", false, 0},
		{"1.2", &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS12}, func(o *Options) { o.Roots = pool }, "TLS 1.2", true, 0},
		{"old protocol", &tls.Config{Certificates: []tls.Certificate{good}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, nil, "", false, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, box := realPeer(t, tc.conf, tc.with)
			c.o.Reuse.Messages = 1
			for range 2 {
				r := c.Carry(t.Context(), letter("anna@customer.example"))[0]
				if r.Class != Success || r.TLS.Version != tc.version || r.TLS.Verified != tc.verified || r.TLS.Fallback != (tc.fallbacks > 0) {
					t.Errorf("%s: %+v %v", short(r), r.TLS, r.Err)
				}
			}
			if got := testutil.ToFloat64(c.met.fallbacks); got != tc.fallbacks {
				t.Errorf("%v fallbacks, want %v", got, tc.fallbacks)
			}
			if len(box.mails) != 2 || box.mails[0].tls != (tc.version != "") {
				t.Errorf("%d mails", len(box.mails))
			}
		})
	}
}

// Many at once, on few connections each; for the race detector.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	c, box := realPeer(t, nil, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 25 {
				if r := c.Carry(t.Context(), letter("anna@customer.example"))[0]; r.Class != Success {
					t.Error(short(r), r.Err)
				}
			}
		})
	}
	wg.Wait()
	if len(box.mails) != 200 {
		t.Errorf("%d mails", len(box.mails))
	}
}

func BenchmarkCarry(b *testing.B) {
	box := &inbox{hello: map[string]bool{}}
	srv := smtp.NewServer(box)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	o := testOptions(oneHost())
	o.Smarthost, o.Dial = l.Addr().String(), (&net.Dialer{}).DialContext
	c, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	content := strings.Repeat("A line of text, as long as lines of text are.\r\n", 107)
	t := letter("anna@customer.example")
	t.Open = func(context.Context) (io.Reader, error) { return strings.NewReader(content), nil }
	for b.Loop() {
		if r := c.Carry(b.Context(), t)[0]; r.Class != Success {
			b.Fatal(short(r), r.Err)
		}
	}
	c.Close(context.Background())
}
