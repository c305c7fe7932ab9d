package dnstest

import (
	"context"
	"net"
	"os"
	"strings"

	"github.com/miekg/dns"
)

// Dial is net.Dialer's DialContext, for the resolver under test. Whoever reads
// the answer to a question that the server is Silent about finds his deadline
// passed at once. So a test can give the resolver patience for a busy machine
// and still not wait for silence.
func (s *Server) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &hasty{Conn: conn, s: s, tcp: strings.HasPrefix(network, "tcp")}, nil
}

type hasty struct {
	net.Conn
	s      *Server
	tcp    bool
	silent bool
}

func (c *hasty) Write(p []byte) (int, error) {
	wire := p
	if c.tcp && len(wire) > 2 {
		wire = wire[2:]
	}
	var q dns.Msg
	if q.Unpack(wire) == nil && len(q.Question) == 1 {
		c.s.mu.Lock()
		c.silent = c.s.fault(strings.ToLower(q.Question[0].Name), q.Question[0].Qtype) == Silent
		c.s.mu.Unlock()
	}
	return c.Conn.Write(p)
}

func (c *hasty) Read(p []byte) (int, error) {
	if c.silent {
		return 0, &net.OpError{Op: "read", Net: c.RemoteAddr().Network(), Addr: c.RemoteAddr(), Err: os.ErrDeadlineExceeded}
	}
	return c.Conn.Read(p)
}
