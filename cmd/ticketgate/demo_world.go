package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/miekg/dns"
)

// demoWorld is a small internet on loopback: a name server that sends every
// domain's mail to one mail server, and that mail server, which keeps what it
// gets. Whoever dials through it cannot leave the machine.
type demoWorld struct {
	dnsAddr string
	names   *demoNames
	sink    *demoSink
	stop    []func()
	refused []string // dials to elsewhere
	mu      sync.Mutex
}

func newDemoWorld() (w *demoWorld, err error) {
	w = &demoWorld{names: &demoNames{txt: map[string]string{}}, sink: newDemoSink()}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	packet, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return w, fmt.Errorf("stub DNS: %w", err)
	}
	w.dnsAddr = packet.LocalAddr().String()
	server := &dns.Server{PacketConn: packet, Handler: w.names}
	ready := make(chan struct{})
	server.NotifyStartedFunc = func() { close(ready) }
	go server.ActivateAndServe()
	<-ready
	w.stop = append(w.stop, func() { server.Shutdown() })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return w, fmt.Errorf("sink MTA: %w", err)
	}
	w.sink.addr = listener.Addr().String()
	mta := smtp.NewServer(w.sink)
	mta.Domain = "mx.sink.example"
	mta.MaxMessageBytes = 50 << 20
	mta.ReadTimeout, mta.WriteTimeout = time.Minute, time.Minute
	mta.EnableSMTPUTF8 = true
	go mta.Serve(listener)
	w.stop = append(w.stop, func() { mta.Close() })
	return w, nil
}

func (w *demoWorld) Close() {
	for i := len(w.stop) - 1; i >= 0; i-- {
		w.stop[i]()
	}
}

// Dial takes the place of the network: port 25 of anything the stub DNS gave
// out is the sink, other loopback addresses are themselves, and everything
// else is refused and remembered.
func (w *demoWorld) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		w.mu.Lock()
		w.refused = append(w.refused, address)
		w.mu.Unlock()
		return nil, fmt.Errorf("the demo does not leave this machine: %s refused", address)
	}
	if port == "25" {
		address = w.sink.addr
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// Refused lists the addresses outside the machine that were dialled.
func (w *demoWorld) Refused() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.refused...)
}

// demoNames answers MX and A for every name under .example, and the TXT
// records it is given.
type demoNames struct {
	mu  sync.Mutex
	txt map[string]string
}

func (n *demoNames) publish(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.txt[strings.ToLower(dns.Fqdn(name))] = value
}

// LookupTXT is what a verifier would see.
func (n *demoNames) LookupTXT(name string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if v, ok := n.txt[strings.ToLower(dns.Fqdn(name))]; ok {
		return []string{v}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// ServeDNS implements dns.Handler.
func (n *demoNames) ServeDNS(rw dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	for _, question := range q.Question {
		name := strings.ToLower(question.Name)
		head := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: 60}
		switch {
		case !strings.HasSuffix(name, ".example."):
			m.Rcode = dns.RcodeNameError
		case question.Qtype == dns.TypeMX:
			m.Answer = append(m.Answer, &dns.MX{Hdr: head, Preference: 10, Mx: "mx." + question.Name})
		case question.Qtype == dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: net.IPv4(127, 0, 0, 1)})
		case question.Qtype == dns.TypeTXT:
			n.mu.Lock()
			v, ok := n.txt[name]
			n.mu.Unlock()
			if !ok {
				m.Rcode = dns.RcodeNameError
				break
			}
			m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: split255(v)})
		}
	}
	rw.WriteMsg(m)
}

func split255(s string) []string {
	var out []string
	for len(s) > 255 {
		out, s = append(out, s[:255]), s[255:]
	}
	return append(out, s)
}

// sunkMail is one mail the sink took for one recipient.
type sunkMail struct {
	from, to string
	raw      []byte
	began    time.Time // when its sender was named
}

// demoSink is a mail server that accepts everything and keeps it.
type demoSink struct {
	addr  string
	mu    sync.Mutex
	mails []sunkMail
	more  chan struct{} // closed and replaced at each arrival

	onMail func(sunkMail) // called for each arrival, in order; may be nil
}

func newDemoSink() *demoSink { return &demoSink{more: make(chan struct{})} }

// All returns the mails so far.
func (s *demoSink) All() []sunkMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sunkMail(nil), s.mails...)
}

// Await returns the first mail from number from on that matches, and its
// number.
func (s *demoSink) Await(ctx context.Context, from int, match func(sunkMail) bool) (sunkMail, int, error) {
	for {
		s.mu.Lock()
		list, more := s.mails, s.more
		s.mu.Unlock()
		for i := from; i < len(list); i++ {
			if match(list[i]) {
				return list[i], i, nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return sunkMail{}, 0, fmt.Errorf("no such mail arrived: %w", context.Cause(ctx))
		}
	}
}

// NewSession implements smtp.Backend.
func (s *demoSink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }

type sinkSession struct {
	sink  *demoSink
	from  string
	to    []string
	began time.Time
}

func (s *sinkSession) Reset()        { s.from, s.to = "", nil }
func (s *sinkSession) Logout() error { return nil }
func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from, s.to, s.began = from, nil, time.Now()
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "could not read the mail"}
	}
	if len(s.to) == 0 {
		return errors.New("no recipients")
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	for _, to := range s.to {
		m := sunkMail{from: s.from, to: to, raw: raw, began: s.began}
		s.sink.mails = append(s.sink.mails, m)
		if s.sink.onMail != nil {
			s.sink.onMail(m)
		}
	}
	close(s.sink.more)
	s.sink.more = make(chan struct{})
	return nil
}
