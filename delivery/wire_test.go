package delivery

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"ticketgate/delivery/courier"
	"ticketgate/delivery/dkim"
	"ticketgate/delivery/notes"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/storetest"
)

var (
	_ Signer  = (*dkim.Keys)(nil)
	_ Carrier = (*courier.Courier)(nil)
	_ Locator = (*courier.Courier)(nil)

	_ courier.Memory = (*notes.Notes)(nil)
)

// postOffice is a real SMTP server that refuses every recipient once and
// accepts "nobody" never.
type postOffice struct {
	mu    sync.Mutex
	seen  map[string]int
	mails map[string][]byte
	conns int
}

func (p *postOffice) NewSession(*smtp.Conn) (smtp.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns++
	return &counter{p: p}, nil
}

type counter struct {
	p  *postOffice
	to string
}

func (c *counter) Mail(string, *smtp.MailOptions) error { return nil }
func (c *counter) Rcpt(to string, _ *smtp.RcptOptions) error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.to = to
	c.p.seen[to]++
	switch {
	case strings.HasPrefix(to, "nobody"):
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	case strings.HasPrefix(to, "grey") && c.p.seen[to] == 1:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "not now"}
	}
	return nil
}
func (c *counter) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.mails[c.to] = b
	return nil
}
func (c *counter) Reset()        {}
func (c *counter) Logout() error { return nil }

// From Submit to a real server and back to the ledger, in real time: delivered,
// greylisted and then delivered, refused.
func TestQueueToARealServer(t *testing.T) {
	t.Parallel()
	office := &postOffice{seen: map[string]int{}, mails: map[string][]byte{}}
	srv := smtp.NewServer(office)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	defer srv.Close()
	c, err := courier.New(courier.Options{
		Hostname: "mail.help.example", Smarthost: l.Addr().String(), Resolver: net.DefaultResolver,
		Dial: (&net.Dialer{}).DialContext, Now: time.Now, Random: crand.Reader,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	settled := make(chan message.Report, 1000)
	b := setupOn(t, storetest.Open(t), &clock{}, c, func(o *Options) {
		o.Now, o.Uptime, o.Workers, o.Retry = time.Now, nil, 0, []time.Duration{20 * time.Millisecond}
	})
	b.ledger.refuse = func(r message.Report) error {
		if r.State == "sent" || r.State == "failed" {
			settled <- r
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.q.Run(ctx) }()
	const n = 30
	for i := range n {
		to := fmt.Sprintf("%s%d@customer.example", []string{"anna", "grey", "nobody"}[i%3], i)
		b.submit(to, to)
	}
	for range n {
		select {
		case <-settled:
		case <-time.After(2 * time.Minute):
			t.Fatal("not everything was settled")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "queued sent", "g": "queued deferred sent", "n": "queued failed"}
	for i := range n {
		to := fmt.Sprintf("%s%d@customer.example", []string{"anna", "grey", "nobody"}[i%3], i)
		b.expect("settled", to, want[to[:1]], "")
		if got := office.mails[to]; to[0] != 'n' && (!bytes.HasPrefix(got, []byte("DKIM-Signature: d=help.example; b=")) || !bytes.HasSuffix(got, []byte("\r\n"+letterText))) {
			t.Errorf("%s got %q", to, got)
		}
	}
	if office.conns > 12 {
		t.Errorf("%d connections for %d attempts", office.conns, n+n/3)
	}
}

// How many mails a second go through the queue on a store in memory, with a
// carrier that costs nothing.
func BenchmarkQueue(b *testing.B) {
	q := setupOn(b, storetest.Open(b), &clock{}, takes(accepted), func(o *Options) { o.Now, o.Uptime, o.Workers, o.Registerer = time.Now, nil, 0, nil })
	for i := range b.N {
		q.submit(fmt.Sprintf("out_%09d", i), fmt.Sprintf("x@d%d.example", i%20))
	}
	b.ResetTimer()
	q.work()
}
