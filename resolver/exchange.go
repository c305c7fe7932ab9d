package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the answer we take over UDP: what passes everywhere unfragmented.
const udpSize = 1232

// maxAliases bounds a chain of CNAME records.
const maxAliases = 12

type question struct {
	name  string // absolute, lower case, as the library spells it
	qtype uint16
	wire  []byte // with the identifier 0
}

var errName = errors.New("not a domain name")

// newQuestion packs a question. Octets that mean something to the library's
// presentation form are escaped: the name is taken as it stands.
func newQuestion(name string, qtype uint16) (question, error) {
	name = strings.TrimSuffix(name, ".")
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 && name != "" || len(label) > 63 {
			return question{}, errName
		}
	}
	if len(name) > 253 {
		return question{}, errName
	}
	escaped := strings.ReplaceAll(asciiLower(name), `\`, `\\`) + "."
	m := new(dns.Msg)
	m.Question = []dns.Question{{Name: escaped, Qtype: qtype, Qclass: dns.ClassINET}}
	m.RecursionDesired, m.AuthenticatedData = true, true
	m.SetEdns0(udpSize, false)
	wire, err := m.Pack()
	if err != nil {
		return question{}, errName
	}
	var back dns.Msg
	if err := back.Unpack(wire); err != nil || len(back.Question) != 1 {
		return question{}, errName
	}
	return question{name: back.Question[0].Name, qtype: qtype, wire: wire}, nil
}

func (q question) key() string { return strconv.Itoa(int(q.qtype)) + " " + q.name }

// ask puts the question to the servers in turn until one gives a final answer.
func (r *Resolver) ask(ctx context.Context, q question) (Answer, int) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return Answer{Outcome: Timeout, Name: q.name, Err: errors.New("too many questions under way")}, 0
	}
	last := Answer{Outcome: Timeout, Name: q.name, Err: context.DeadlineExceeded}
	for range r.o.Rounds {
		for _, server := range r.servers {
			if ctx.Err() != nil {
				break
			}
			reply, size, err := r.exchange(ctx, server, q)
			silent := err != nil && isTimeout(err)
			server.heard(!silent)
			if err != nil {
				last.Outcome, last.Err = Failed, fmt.Errorf("%s: %w", server.address, err)
				if silent {
					last.Outcome = Timeout
				}
				continue
			}
			a := r.read(q, reply)
			if a.Outcome.Final() {
				return a, size
			}
			last = a
			last.Err = fmt.Errorf("%s: %w", server.address, a.Err)
		}
		if last.Outcome == Failed {
			break // they answered: asking again at once changes nothing
		}
	}
	last.Until = r.o.Now().Add(r.o.FailureTTL)
	return last, 0
}

// server is a name server and how it has behaved.
type server struct {
	address string
	silent  atomic.Int32 // tries in a row that had no answer
}

// After silentTries without an answer a server is taken for gone, and a try
// waits only goneTimeout: mail must not wait the full time for each of its
// questions while the DNS is down.
const (
	silentTries = 5
	goneTimeout = 500 * time.Millisecond
)

func (s *server) heard(answer bool) {
	if answer {
		s.silent.Store(0)
	} else {
		s.silent.Add(1)
	}
}

func (s *server) patience(full time.Duration) time.Duration {
	if s.silent.Load() >= silentTries {
		return min(full, goneTimeout)
	}
	return full
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// exchange asks one server, over TCP if the answer does not fit UDP.
func (r *Resolver) exchange(ctx context.Context, s *server, q question) (*dns.Msg, int, error) {
	reply, size, err := r.over(ctx, "udp", s, q)
	if err == nil && reply.Truncated {
		reply, size, err = r.over(ctx, "tcp", s, q)
		if err == nil && reply.Truncated {
			err = errors.New("answer truncated over TCP")
		}
	}
	return reply, size, err
}

func (r *Resolver) over(ctx context.Context, network string, s *server, q question) (*dns.Msg, int, error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience(r.o.Timeout))
	defer cancel()
	conn, err := r.o.Dial(ctx, network, s.address)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	id := dns.Id()
	wire := make([]byte, 2, 2+len(q.wire))
	binary.BigEndian.PutUint16(wire, uint16(len(q.wire)))
	wire = append(wire, q.wire...)
	binary.BigEndian.PutUint16(wire[2:], id)
	if network == "udp" {
		wire = wire[2:]
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, 0, err
	}
	buf := make([]byte, udpSize)
	// Over UDP anybody may have sent what arrives: what does not belong to the
	// question is passed over until the deadline.
	for {
		n, err := receive(conn, network, &buf)
		if err != nil {
			return nil, 0, err
		}
		reply := new(dns.Msg)
		err = reply.Unpack(buf[:n])
		if err == nil && belongs(reply, id, q) {
			return reply, n, nil
		}
		if network != "udp" {
			return nil, 0, errors.New("unusable answer")
		}
		if n >= 12 && binary.BigEndian.Uint16(buf) == id && err != nil {
			if buf[2]&2 != 0 { // cut off in the middle of a record
				return &dns.Msg{MsgHdr: dns.MsgHdr{Truncated: true}}, n, nil
			}
			return nil, 0, fmt.Errorf("unusable answer: %w", err)
		}
	}
}

func receive(conn net.Conn, network string, buf *[]byte) (int, error) {
	if network == "udp" {
		return conn.Read(*buf)
	}
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return 0, err
	}
	*buf = make([]byte, binary.BigEndian.Uint16(length[:]))
	return io.ReadFull(conn, *buf)
}

func belongs(m *dns.Msg, id uint16, q question) bool {
	if m.Id != id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(m.Question) == 0 { // some servers leave it out of errors
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	return len(m.Question) == 1 && m.Question[0].Qtype == q.qtype && strings.EqualFold(m.Question[0].Name, q.name)
}

// unsaidTTL is how long an absence is believed whose life nobody says.
const unsaidTTL = 2 * time.Second

// read makes an answer of a reply: follows aliases, finds how long it lives.
func (r *Resolver) read(q question, m *dns.Msg) Answer {
	a := Answer{Name: q.name, Authentic: m.AuthenticatedData}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		word := dns.RcodeToString[m.Rcode]
		if word == "" {
			word = "code " + strconv.Itoa(m.Rcode)
		}
		a.Outcome, a.Err = Failed, errors.New("server says "+word)
		return a
	}
	ttl := r.o.MaxTTL
	owner := q.name
	for range maxAliases {
		target, live := "", time.Duration(0)
		for _, rr := range m.Answer {
			if !strings.EqualFold(rr.Header().Name, owner) {
				continue
			}
			live = time.Duration(rr.Header().Ttl) * time.Second
			if rr.Header().Rrtype == q.qtype {
				a.Records = append(a.Records, rr)
				ttl = min(ttl, live)
			} else if alias, ok := rr.(*dns.CNAME); ok {
				target = alias.Target
				ttl = min(ttl, live)
			}
		}
		if len(a.Records) > 0 || target == "" {
			break
		}
		owner = target
	}
	now := r.o.Now()
	a.Canonical = owner
	if len(a.Records) > 0 {
		a.Records = dns.Dedup(a.Records, nil) // a set holds nothing twice (RFC 2181 §5)
		a.Until = now.Add(ttl)
		return a
	}
	a.Outcome = NoData
	if m.Rcode == dns.RcodeNameError {
		a.Outcome = NoName
	}
	// A forwarder that leaves out the zone's word would be asked again for every
	// mail of a flood.
	a.Until = now.Add(min(unsaidTTL, r.o.FailureTTL))
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			zone := time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
			a.Until = now.Add(min(ttl, zone, r.o.MaxNegative))
		}
	}
	return a
}

// serversOf lists the servers to ask as "ip:port".
func serversOf(o Options) ([]string, error) {
	if o.Server != "" {
		at, err := netip.ParseAddrPort(o.Server)
		if err != nil || at.Port() == 0 {
			return nil, fmt.Errorf("resolver: server %q is not ip:port", o.Server)
		}
		return []string{at.String()}, nil
	}
	conf, err := dns.ClientConfigFromFile(o.ResolvConf)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(conf.Servers) == 0 {
		return []string{"127.0.0.1:53"}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("resolver: %w", err)
	}
	var servers []string
	for _, s := range conf.Servers[:min(len(conf.Servers), 3)] {
		servers = append(servers, net.JoinHostPort(s, conf.Port))
	}
	return servers, nil
}

// plainText joins the strings of a TXT record and takes back the escapes of
// the library's presentation form.
func plainText(parts []string) string {
	var b strings.Builder
	for _, p := range parts {
		for i := 0; i < len(p); i++ {
			if p[i] != '\\' || i+1 == len(p) {
				b.WriteByte(p[i])
				continue
			}
			i++
			if i+2 < len(p) && digit(p[i]) && digit(p[i+1]) && digit(p[i+2]) {
				b.WriteByte((p[i]-'0')*100 + (p[i+1]-'0')*10 + (p[i+2] - '0'))
				i += 2
				continue
			}
			b.WriteByte(p[i])
		}
	}
	return b.String()
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// asciiLower leaves other octets alone: DNS knows no other letters.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func sortMX(mxs []*net.MX) {
	slices.SortStableFunc(mxs, func(a, b *net.MX) int { return int(a.Pref) - int(b.Pref) })
}
