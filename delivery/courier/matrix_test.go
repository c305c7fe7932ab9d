package courier

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// faultRow is a line of testdata/faults.txt.
type faultRow struct {
	group string
	cells []string
}

// readFaults reads the table of faults.
func readFaults(t *testing.T) (rows []faultRow) {
	t.Helper()
	b, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		cells := strings.Split(strings.TrimSpace(line), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, faultRow{cells[0], cells[1:]})
	}
	return rows
}

// Every way to misbehave at every step, from a table that people can read: what
// the mail's recipient is reported as, where the mail goes if another server is
// there, and whether the connection serves again. Nothing hangs past the
// deadlines, nothing bounces for a broken server, and only a lost answer to the
// dot is ambiguous.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for _, row := range readFaults(t) {
		count[row.group]++
		if row.group != "F" && row.group != "F+" {
			continue
		}
		if len(row.cells) != 5 {
			t.Fatalf("row %q", row.cells)
		}
		for _, piped := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/piped=%v", row.cells[0], row.cells[1], piped), func(t *testing.T) {
				t.Parallel()
				got := []string{row.cells[0], row.cells[1], "", "", ""}
				synctest.Test(t, func(t *testing.T) { got[2], _, got[4] = faultAt(t, row.cells[0], row.cells[1], piped, false) })
				synctest.Test(t, func(t *testing.T) { _, got[3], _ = faultAt(t, row.cells[0], row.cells[1], piped, true) })
				if g, w := strings.Join(got, " | "), strings.Join(row.cells, " | "); g != w {
					t.Errorf("got  %s\nwant %s", g, w)
				}
			})
		}
	}
	if count["F"] != 90 || count["F2"] != 24 {
		t.Errorf("the table has %d rows of F and %d of F2, want 90 and 24", count["F"], count["F2"])
	}
}

// hows are the faults, in the words of peer.misbehave.
var hows = map[string]string{
	"421": "421 4.3.2 closing", "4xx": "450 4.2.0 later", "5xx": "550 5.1.1 never",
	"drop": "drop", "reset": "reset", "hang": "hang", "garbage": "garbage", "endless": "endless", "line": "long", "drip": "drip",
}

// faultAt carries a mail to a server with one fault. It returns what became of
// the mail, who has it, and what happens to the connection.
func faultAt(t *testing.T, step, how string, piped, beside bool) (outcome, who, line string) {
	h := &host{t: t}
	bad := func(p *peer) { careless(p, step, hows[how], piped) }
	h.scripts = []func(*peer){bad}
	if step == "STARTTLS" && how != "421" {
		h.scripts = append(h.scripts, bad) // once more, in clear
	}
	dns := oneHost()
	o := testOptions(dns)
	if step == "AUTH" {
		dns.ip["localhost"] = []string{"127.0.0.1", "127.0.0.2"}
		o.Routes = map[string]Route{"relay": {Host: "localhost:587", TLS: Clear, Login: &Login{User: "u", Password: func() (string, error) { return "s3cret", nil }}}}
		o.QueueRoutes = map[string]string{"": "relay"}
	} else {
		dns.mx["customer.example"] = append(dns.mx["customer.example"], &net.MX{Host: "mx2.customer.example.", Pref: 20})
		dns.ip["mx2.customer.example"] = []string{"192.0.2.2"}
	}
	friendly := func(p *peer) { careless(p, "", "", piped) }
	inner := h.dial
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "192.0.2.2:") || strings.HasPrefix(addr, "127.0.0.2:") {
			if !beside {
				return nil, syscall.ECONNREFUSED
			}
			h.mu.Lock()
			h.scripts = append(h.scripts[:len(h.dialled):len(h.dialled)], friendly)
			h.mu.Unlock()
		}
		conn, err := inner(ctx, network, addr)
		return &resettable{Conn: conn}, err
	}
	if !beside {
		dns.mx["customer.example"] = dns.mx["customer.example"][:1]
		if step == "AUTH" {
			dns.ip["localhost"] = dns.ip["localhost"][:1]
		}
	}
	c := newCourier(t, o)
	start := time.Now()
	r := c.Carry(t.Context(), letter("anna@customer.example"))[0]
	if took := time.Since(start); took > 15*time.Minute {
		t.Errorf("took %s", took)
	}
	if r.Text == "" || len(r.Text) > MaxText {
		t.Errorf("text of %d bytes", len(r.Text))
	}
	line = "closed"
	if c.pool.n > 0 {
		line = "kept"
	}
	start = time.Now()
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("close took %s", took)
	}
	h.wg.Wait()
	if r.Class == Success {
		who = "first"
		if strings.HasPrefix(r.Remote, "192.0.2.2:") || strings.HasPrefix(r.Remote, "127.0.0.2:") {
			who = "other"
		}
	} else {
		who = "nobody"
	}
	return strings.TrimPrefix(short(r), "anna@customer.example "), who, line
}

// resettable makes a peer's hard close an RST, which pipes do not have.
type resettable struct{ net.Conn }

func (r *resettable) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if n > 0 && strings.HasPrefix(string(p[:n]), resetMark) {
		r.Conn.Close()
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}

const resetMark = "(RST)"

// careless serves mail and misbehaves at one step.
func careless(p *peer, step, how string, piped bool) {
	do := func(at string, answer ...string) bool {
		if at == step {
			if how == "reset" {
				io.WriteString(p.conn, resetMark)
				return false
			}
			return !p.misbehave(how) && how[:3] != "421"
		}
		p.say(answer...)
		return true
	}
	if !do("banner", "220 mx1") {
		return
	}
	ext := []string{"250-mx1"}
	if step == "STARTTLS" {
		ext = append(ext, "250-STARTTLS")
	}
	if piped {
		ext = append(ext, "250-PIPELINING")
	}
	ext = append(ext, "250-AUTH PLAIN", "250 HELP")
	data := false
	for {
		line := p.hear()
		ok := true
		switch verb, _, _ := strings.Cut(line, " "); {
		case line == gone:
			return
		case data && line == ".":
			data = false
			ok = do("dot", "250 2.0.0 Ok")
		case data:
		case verb == "EHLO", verb == "HELO":
			ok = do("EHLO", ext...)
		case verb == "STARTTLS":
			ok = do("STARTTLS")
		case verb == "AUTH":
			ok = do("AUTH", "235 2.7.0 Ok")
		case verb == "MAIL":
			ok = do("MAIL", "250 2.1.0 Ok")
		case verb == "RCPT" && step == "RSET":
			p.say("550 5.1.1 who?")
		case verb == "RCPT":
			ok = do("RCPT", "250 2.1.5 Ok")
		case verb == "DATA" && step == "RSET":
			p.say("503 5.5.1 for whom?")
		case verb == "DATA":
			data = step != "DATA"
			ok = do("DATA", "354 go on")
		case verb == "RSET":
			ok = do("RSET", "250 Ok")
		case verb == "QUIT":
			do("QUIT", "221 bye")
			return
		default:
			p.t.Errorf("unexpected %q", line)
			return
		}
		if !ok {
			return
		}
	}
}

// TLS at its worst, and servers that change their mind: group F2 of the table.
// Each row is a situation, what the mail asks for, and what becomes of it.
func TestFaultsOfTLSAndMix(t *testing.T) {
	t.Parallel()
	for _, row := range readFaults(t) {
		if row.group != "F2" {
			continue
		}
		t.Run(strings.Join(row.cells[:2], "/"), func(t *testing.T) {
			t.Parallel()
			set, known := mixes[row.cells[0]]
			if !known || len(row.cells) != 4 {
				t.Fatalf("row %q", row.cells)
			}
			synctest.Test(t, func(t *testing.T) {
				m := &mix{policyCase: newPolicyCase(t), variant: row.cells[1]}
				if m.variant == "verified" {
					m.config("customer.example", Verified)
				}
				set(m)
				outcome, note := m.run()
				if got, want := outcome+" | "+note, row.cells[2]+" | "+row.cells[3]; got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		})
	}
}

// mix is a situation of group F2.
type mix struct {
	*policyCase
	variant string
	scripts []func(*peer)
	mails   int // sent one after the other
}

func (m *mix) run() (outcome, note string) {
	h := &host{t: m.t, scripts: m.scripts}
	if h.scripts == nil {
		h.scripts = []func(*peer){mailServer(m.cert), mailServer(m.cert)}
	}
	m.o.Dial = h.dial
	c := newCourier(m.t, m.o)
	var results []Result
	for range max(m.mails, 1) {
		results = c.Carry(m.t.Context(), m.letter)
	}
	c.Close(m.t.Context())
	h.wg.Wait()
	var words []string
	for _, r := range results {
		words = append(words, strings.SplitN(short(r), " ", 2)[1])
	}
	last := results[len(results)-1]
	_, how, _ := strings.Cut(infoOf(last.TLS), " ")
	return strings.Join(words, ", "), fmt.Sprintf("%s, %d connections", how, len(h.dialled))
}

var mixes = map[string]func(*mix){
	"certificate expired": func(m *mix) {
		cert := m.ca.issue(m.t, "mx1.customer.example", time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour))
		m.cert = &cert
	},
	"certificate self-signed": func(m *mix) {
		cert, _ := newCert(m.t, "mx1.customer.example", time.Now())
		m.cert = &cert
	},
	"certificate for another name": func(m *mix) { m.issue("other.example") },
	"old protocol": func(m *mix) {
		old := func(p *peer) {
			startTLSServer(p, &tls.Config{Certificates: []tls.Certificate{*m.cert}, MaxVersion: tls.VersionTLS11})
		}
		m.scripts = []func(*peer){old, mailServer(nil)}
	},
	"line drops in the handshake": func(m *mix) {
		m.scripts = []func(*peer){func(p *peer) {
			p.say("220 mx1")
			p.hear()
			p.say("250-mx1", "250 STARTTLS")
			p.hear()
			p.say("220 go ahead")
			io.ReadFull(p.r, make([]byte, 5))
		}, mailServer(nil)}
	},
	"certificate changes between two mails": func(m *mix) {
		other, _ := newCert(m.t, "mx1.customer.example", time.Now())
		m.o.Reuse.Messages, m.mails = 1, 2
		m.scripts = []func(*peer){mailServer(m.cert), mailServer(&other)}
	},
	"plaintext injected behind the 220": func(m *mix) {
		inject := func(p *peer) {
			p.say("220 mx1")
			p.hear()
			p.say("250-mx1", "250 STARTTLS")
			p.hear()
			// In one packet: whoever keeps its buffer reads this inside TLS.
			io.WriteString(p.conn, "220 go ahead\r\n250-evil\r\n250 SIZE 1\r\n")
			if p.secure(&tls.Config{Certificates: []tls.Certificate{*m.cert}, Time: time.Now}) {
				talk(p)
			}
		}
		m.scripts = []func(*peer){inject, inject}
	},
	"EHLO promises less after TLS": func(m *mix) {
		m.letter.Bit8 = true
		m.scripts = []func(*peer){func(p *peer) {
			p.say("220 mx1")
			p.hear()
			p.say("250-mx1", "250-8BITMIME", "250-PIPELINING", "250 STARTTLS")
			p.hear()
			p.say("220 go ahead")
			if p.secure(&tls.Config{Certificates: []tls.Certificate{*m.cert}, Time: time.Now}) {
				talk(p)
			}
		}}
	},
	"recipients of every kind": func(m *mix) {
		m.letter.To = []string{"anna@customer.example", "bo@customer.example", "cy@customer.example", "di@customer.example"}
		ext := []string{}
		if m.variant == "pipelined" {
			ext = []string{"PIPELINING"}
		}
		m.scripts = []func(*peer){answering(map[string]string{"bo": "550 5.1.1 who?", "cy": "450 4.2.0 later", "di": "552 too many"}, ext...)}
	},
	"552 to RCPT although SIZE fits": func(m *mix) {
		m.scripts = []func(*peer){answering(map[string]string{"anna": "552 mailbox full"}, "SIZE 1000")}
	},
	"552 to the dot although SIZE fits": func(m *mix) {
		m.scripts = []func(*peer){answering(map[string]string{".": "552 5.3.4 too big after all"}, "SIZE 1000")}
	},
	"SIZE too small": func(m *mix) { m.scripts = []func(*peer){answering(nil, "SIZE 10")} },
	"8BITMIME missing": func(m *mix) {
		m.letter.Bit8 = true
		m.scripts = []func(*peer){answering(nil)}
	},
	"SMTPUTF8 missing": func(m *mix) {
		m.letter.UTF8 = true
		m.scripts = []func(*peer){answering(nil, "8BITMIME")}
	},
	"reader of one byte at a time": func(m *mix) {
		body := strings.Repeat("A line of text.\r\n", 500)
		m.letter.Open = func(context.Context) (io.Reader, error) { return strings.NewReader(body), nil }
		m.scripts = []func(*peer){func(p *peer) {
			p.r = bufio.NewReaderSize(&slowReader{p.conn}, 16)
			answering(nil)(p)
		}}
	},
}

type slowReader struct{ r io.Reader }

func (s *slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.r.Read(p[:1])
}

func startTLSServer(p *peer, conf *tls.Config) {
	p.say("220 mx1")
	p.hear()
	p.say("250-mx1", "250 STARTTLS")
	p.hear()
	p.say("220 go ahead")
	conf.Time = time.Now
	p.secure(conf)
}

// talk takes mail on a connection that has been greeted.
func talk(p *peer) {
	data := false
	for {
		line := p.hear()
		switch verb, _, _ := strings.Cut(line, " "); {
		case line == gone:
			return
		case data && line == ".":
			data = false
			p.say("250 2.0.0 Ok")
		case data:
		case verb == "DATA":
			data = true
			p.say("354 go on")
		default:
			p.say("250 Ok")
		}
	}
}

// answering takes mail, with other answers to some recipients and to the dot.
func answering(answers map[string]string, ext ...string) func(*peer) {
	return func(p *peer) {
		p.say("220 mx1")
		data := false
		for {
			line := p.hear()
			switch verb, _, _ := strings.Cut(line, " "); {
			case line == gone:
				return
			case data && line == ".":
				data = false
				answer := answers["."]
				if answer == "" {
					answer = "250 2.0.0 Ok"
				}
				p.say(answer)
			case data:
			case verb == "EHLO":
				p.say("250-mx1")
				for _, e := range ext {
					p.say("250-" + e)
				}
				p.say("250 HELP")
			case verb == "RCPT":
				local, _, _ := strings.Cut(strings.TrimPrefix(line, "RCPT TO:<"), "@")
				if a := answers[local]; a != "" {
					p.say(a)
				} else {
					p.say("250 Ok")
				}
			case verb == "DATA":
				data = true
				p.say("354 go on")
			default:
				p.say("250 Ok")
			}
		}
	}
}

// serveUntil is a friendly peer that takes mail until it hears a command.
func serveUntil(p *peer, stop string) (mails int) {
	p.say("220 mx1")
	data := false
	for {
		line := p.hear()
		switch verb, _, _ := strings.Cut(line, " "); {
		case line == gone, verb == stop && !data:
			return mails
		case data && line == ".":
			data = false
			mails++
			p.say("250 2.0.0 Ok")
		case data:
		case verb == "DATA":
			data = true
			p.say("354 go on")
		default:
			p.say("250 Ok")
		}
	}
}
