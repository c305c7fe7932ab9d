// Package dnstest is a name server for tests: it answers on loopback over UDP
// and TCP from a table that a test may change at any time, and misbehaves on
// request. It never asks anybody.
package dnstest

import (
	"encoding/hex"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Fault is a way to fail.
type Fault uint8

const (
	None     Fault = iota
	ServFail       // answers SERVFAIL
	Refused        // answers REFUSED
	Silent         // answers nothing
	Truncate       // over UDP only: sets TC and leaves the records out
	Garbage        // answers octets that are no message
	Foreign        // over UDP: first an answer to another question, then the right one
)

// Server is a running name server. TTL is what records live that do not say.
type Server struct {
	addr net.Addr

	mu       sync.Mutex
	records  map[key][]dns.RR
	names    map[string]bool
	faults   map[key]Fault
	asked    map[key]int
	ttl      uint32
	negative uint32
	ad       bool
	signed   []string // zones whose answers have the AD bit
}

type key struct {
	name  string
	qtype uint16 // dns.TypeANY = every type
}

// Start runs a server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{records: map[key][]dns.RR{}, names: map[string]bool{}, faults: map[key]Fault{}, asked: map[key]int{}, ttl: 300, negative: 60}
	udp, tcp := Listen(t)
	s.addr = udp.LocalAddr()
	for _, d := range []*dns.Server{{PacketConn: udp, Handler: s.handler("udp")}, {Listener: tcp, Handler: s.handler("tcp")}} {
		started := make(chan struct{})
		d.NotifyStartedFunc = func() { close(started) }
		go d.ActivateAndServe()
		<-started
		t.Cleanup(func() { d.Shutdown() })
	}
	return s
}

// Listen takes one loopback port for both protocols; another process may hold
// the TCP side of the first that UDP gives.
func Listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	var last error
	for range 100 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp
		}
		last = err
		udp.Close()
	}
	t.Fatal(last)
	return nil, nil
}

// Addr is "127.0.0.1:port".
func (s *Server) Addr() string { return s.addr.String() }

// Port is the port alone.
func (s *Server) Port() string { return strconv.Itoa(s.addr.(*net.UDPAddr).Port) }

// TTL sets the life of records added from now on, and of absences.
func (s *Server) TTL(records, absences uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ttl, s.negative = records, absences
}

// Authentic sets the AD bit of all answers.
func (s *Server) Authentic(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ad = on
}

// Sign sets the AD bit of answers about a zone.
func (s *Server) Sign(zone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed = append(s.signed, canonical(zone))
}

// TLSA adds a certificate association.
func (s *Server) TLSA(name string, usage, selector, matching uint8, data []byte) {
	s.add(name, dns.TypeTLSA, &dns.TLSA{Usage: usage, Selector: selector, MatchingType: matching, Certificate: hex.EncodeToString(data)})
}

// TXT adds one record per text; a text over 255 octets becomes several strings.
func (s *Server) TXT(name string, texts ...string) {
	for _, text := range texts {
		s.TXTStrings(name, chunks(text)...)
	}
}

// TXTStrings adds one record of several strings.
func (s *Server) TXTStrings(name string, parts ...string) {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = strings.ReplaceAll(p, `\`, `\\`)
	}
	s.add(name, dns.TypeTXT, &dns.TXT{Txt: escaped})
}

// A adds addresses of either family.
func (s *Server) A(name string, ips ...string) {
	for _, text := range ips {
		ip := net.ParseIP(text)
		if four := ip.To4(); four != nil && !strings.Contains(text, ":") {
			s.add(name, dns.TypeA, &dns.A{A: four})
		} else {
			s.add(name, dns.TypeAAAA, &dns.AAAA{AAAA: ip})
		}
	}
}

// MX adds a mail exchanger.
func (s *Server) MX(name string, pref uint16, host string) {
	s.add(name, dns.TypeMX, &dns.MX{Preference: pref, Mx: dns.Fqdn(host)})
}

// PTR adds names of an address in figures.
func (s *Server) PTR(ip string, hosts ...string) {
	name, err := dns.ReverseAddr(ip)
	if err != nil {
		panic(err)
	}
	s.PTRName(name, hosts...)
}

// PTRName adds PTR records to a name already spelled in reverse.
func (s *Server) PTRName(name string, hosts ...string) {
	for _, h := range hosts {
		s.add(name, dns.TypePTR, &dns.PTR{Ptr: dns.Fqdn(h)})
	}
}

// CNAME makes name an alias.
func (s *Server) CNAME(name, target string) {
	s.add(name, dns.TypeCNAME, &dns.CNAME{Target: dns.Fqdn(target)})
}

// Fail makes questions about name fail; dns.TypeANY means every type, an empty
// name every name.
func (s *Server) Fail(name string, qtype uint16, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[key{canonical(name), qtype}] = f
}

// Reset forgets all records and faults.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.records)
	clear(s.names)
	clear(s.faults)
}

// Remove forgets a name's records of a type.
func (s *Server) Remove(name string, qtype uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, key{canonical(name), qtype})
}

// Asked returns how often a question came, over either protocol.
func (s *Server) Asked(name string, qtype uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[key{canonical(name), qtype}]
}

// canonical spells a name as the library does when it reads it off the wire.
// Its octets mean themselves; only the dot is special.
func canonical(name string) string {
	if name == "" {
		return ""
	}
	name = strings.ToLower(dns.Fqdn(strings.ReplaceAll(name, `\`, `\\`)))
	wire := make([]byte, 300)
	n, err := dns.PackDomainName(name, wire, 0, nil, false)
	if err != nil {
		return name // cannot be asked for
	}
	back, _, err := dns.UnpackDomainName(wire[:n], 0)
	if err != nil {
		return name
	}
	return back
}

func (s *Server) add(name string, qtype uint16, rr dns.RR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = canonical(name)
	*rr.Header() = dns.RR_Header{Name: name, Rrtype: qtype, Class: dns.ClassINET, Ttl: s.ttl}
	s.records[key{name, qtype}] = append(s.records[key{name, qtype}], rr)
	for rest := name; rest != ""; {
		s.names[rest] = true
		_, rest, _ = strings.Cut(rest, ".")
	}
}

func (s *Server) handler(network string) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if len(q.Question) != 1 {
			return
		}
		answer, fault := s.answer(q)
		udp := network == "udp"
		switch fault {
		case Silent:
			return
		case Garbage:
			w.Write([]byte{byte(q.Id >> 8), byte(q.Id), 0x80, 0, 0, 9, 0, 9, 0, 0, 0, 0, 0xff})
			return
		case Foreign:
			if udp {
				other := answer.Copy()
				other.Question[0].Name = "other.example."
				w.WriteMsg(other)
			}
		case Truncate:
			if udp {
				answer.Answer, answer.Truncated = nil, true
			}
		}
		if udp {
			size := 512
			if o := q.IsEdns0(); o != nil {
				size = max(size, int(o.UDPSize()))
			}
			answer.Truncate(size)
		}
		w.WriteMsg(answer)
	})
}

func (s *Server) answer(q *dns.Msg) (*dns.Msg, Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	question := q.Question[0]
	name := strings.ToLower(question.Name)
	s.asked[key{name, question.Qtype}]++
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable, m.AuthenticatedData = true, s.ad
	for _, zone := range s.signed {
		m.AuthenticatedData = m.AuthenticatedData || dns.IsSubDomain(zone, name)
	}
	fault := s.fault(name, question.Qtype)
	switch fault {
	case ServFail:
		m.Rcode = dns.RcodeServerFailure
		return m, fault
	case Refused:
		m.Rcode = dns.RcodeRefused
		return m, fault
	}
	owner := name
	for range 16 {
		if found := s.records[key{owner, question.Qtype}]; len(found) > 0 {
			m.Answer = append(m.Answer, found...)
			return m, fault
		}
		alias := s.records[key{owner, dns.TypeCNAME}]
		if len(alias) == 0 {
			break
		}
		m.Answer = append(m.Answer, alias[0])
		owner = strings.ToLower(alias[0].(*dns.CNAME).Target)
	}
	if !s.names[owner] {
		m.Rcode = dns.RcodeNameError
	}
	m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: s.negative}, Ns: "ns.", Mbox: "admin.", Minttl: s.negative}}
	return m, fault
}

func (s *Server) fault(name string, qtype uint16) Fault {
	for _, k := range []key{{name, qtype}, {name, dns.TypeANY}, {"", qtype}, {"", dns.TypeANY}} {
		if f, ok := s.faults[k]; ok {
			return f
		}
	}
	return None
}

func chunks(s string) []string {
	var out []string
	for len(s) > 255 {
		out, s = append(out, s[:255]), s[255:]
	}
	return append(out, s)
}
