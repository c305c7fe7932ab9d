package smtpd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyTime is how long a proxy may take to say whom it connects.
const proxyTime = 10 * time.Second

// proxied says whether a peer is a proxy of ours.
func (s *Server) proxied(peer netip.Addr) bool {
	for _, p := range s.o.Proxies {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}

// unwrap reads the PROXY header that a proxy of ours owes, in a goroutine of its
// own, and lets its client in under the client's address. A header from anybody
// else is no SMTP command and ends the session, see foreign: waiting for one
// before the greeting would keep every honest peer waiting.
func (s *Server) unwrap(c net.Conn, proxy netip.Addr, k kind) {
	stop := context.AfterFunc(s.ctx, func() { c.Close() })
	defer stop()
	wrapped := proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(proxyTime))
	if wrapped.ProxyHeader() == nil {
		s.turnAway(c, proxy, k, "no PROXY header")
		return
	}
	peer := peerOf(wrapped)
	if !peer.IsValid() {
		peer = proxy // its own connection, as for a health check
	}
	if stop() {
		s.let(wrapped, peer, k)
	}
}

// turnAway refuses a connection with a reason and an id.
func (s *Server) turnAway(c net.Conn, peer netip.Addr, k kind, why string) {
	id := s.id()
	s.metrics.connection(k.name, "limited")
	s.metrics.rejected("rate")
	s.o.Log.Warn("smtp connection refused", "listener", k.name, "peer", peer, "why", why, "id", id)
	if !k.implicit {
		// A fresh socket takes one line without waiting; whoever arranges that it
		// does not is cut off.
		c.SetWriteDeadline(s.o.Now().Add(time.Second))
		fmt.Fprintf(c, "421 4.7.0 %s %s, try again later (%s)\r\n", s.o.Hostname, why, id)
	}
	c.Close()
}
