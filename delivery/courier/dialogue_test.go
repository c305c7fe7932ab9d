package courier

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dialogue is a file of testdata/dialogues:
//
//	mx NAME…              exchangers of customer.example, best first
//	smarthost NAME        everything goes there, to port 587
//	login MECH…           to a smarthost on loopback as u@h.example with the secret s3cret; first the mechanism, "-" = any
//	lmtp                  everything goes to an LMTP server
//	from ADDRESS          envelope sender (default support@help.example)
//	to ADDRESS…           envelope recipients
//	needs utf8 8bit       what the content needs
//	size N                announced size
//	content "…"           Go string
//	connect               a connection; what follows is said on it
//	S: …                  the peer says
//	C: …                  the courier must say
//	! HOW                 the peer misbehaves (see peer.misbehave), or
//	! tls                 answers the handshake, or
//	! inject LINE         says 220 and LINE in one packet, then answers it
//	refuse                a connection that cannot be made
//	result …              what Carry must return for each recipient, in order
//	text …                what the last result's text must be
type dialogue struct {
	mx, to, results, text []string
	from, smarthost       string
	login                 string
	lmtp                  bool
	content               string
	utf8, bit8            bool
	size                  int64
	connections           [][]string // nil: refused
}

func readDialogue(t *testing.T, file string) *dialogue {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialogue{mx: []string{"mx1"}, from: "support@help.example", content: "Subject: hi\r\n\r\nHello you\r\n"}
	for n, line := range strings.Split(string(b), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "", "#":
		case "mx":
			d.mx = strings.Fields(rest)
		case "smarthost":
			d.smarthost = rest
		case "login":
			d.login = rest
		case "lmtp":
			d.lmtp = true
		case "from":
			d.from = rest
		case "to":
			d.to = strings.Fields(rest)
		case "needs":
			d.utf8, d.bit8 = strings.Contains(rest, "utf8"), strings.Contains(rest, "8bit")
		case "size":
			d.size, err = strconv.ParseInt(rest, 10, 64)
		case "content":
			d.content, err = strconv.Unquote(rest)
		case "connect":
			d.connections = append(d.connections, []string{})
		case "refuse":
			d.connections = append(d.connections, nil)
		case "S:", "C:", "!":
			last := len(d.connections) - 1
			d.connections[last] = append(d.connections[last], line)
		case "result":
			d.results = append(d.results, rest)
		case "text":
			d.text = append(d.text, rest)
		default:
			t.Fatalf("%s:%d: what is %q?", file, n+1, line)
		}
		if err != nil {
			t.Fatalf("%s:%d: %v", file, n+1, err)
		}
	}
	return d
}

// Conversations with well and badly behaved peers, each in a file.
func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/dialogues/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d dialogues, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			d := readDialogue(t, file)
			synctest.Test(t, func(t *testing.T) { d.play(t) })
		})
	}
}

func (d *dialogue) play(t *testing.T) {
	dns := oneHost()
	dns.mx["customer.example"] = nil
	for i, name := range d.mx {
		full := name + ".customer.example"
		dns.mx["customer.example"] = append(dns.mx["customer.example"], &net.MX{Host: full + ".", Pref: uint16(10 * (i + 1))})
		dns.ip[full] = []string{"192.0.2." + strconv.Itoa(i+1)}
	}
	cert, _ := newCert(t, "mx1.customer.example", time.Now())
	h := &host{t: t}
	for _, script := range d.connections {
		if script == nil {
			h.scripts = append(h.scripts, nil)
			continue
		}
		h.scripts = append(h.scripts, func(p *peer) { act(p, script, cert) })
	}
	o := testOptions(dns)
	o.Dial = h.dial
	if d.smarthost != "" {
		o.Smarthost = d.smarthost + ":587"
		dns.ip[d.smarthost] = []string{"10.0.0.25"}
	}
	d.route(&o)
	c := newCourier(t, o)
	dots := 0
	results := c.Carry(t.Context(), Transaction{
		Destination: "customer.example", From: d.from, To: d.to, UTF8: d.utf8, Bit8: d.bit8, Size: d.size,
		Open:  func(context.Context) (io.Reader, error) { return strings.NewReader(d.content), nil },
		OnDot: func(context.Context) error { dots++; return nil },
	})
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	h.wg.Wait()
	for i, r := range results {
		if i >= len(d.results) || short(r) != d.results[i] {
			t.Errorf("result %q, want %q (%v)", short(r), d.results, r.Err)
		}
		if r.Ambiguous && dots == 0 {
			t.Error("ambiguous, but OnDot was never called")
		}
	}
	if len(results) != len(d.results) {
		t.Errorf("%d results, want %d", len(results), len(d.results))
	}
	for _, want := range d.text {
		if got := results[len(results)-1].Text; got != want {
			t.Errorf("text %q, want %q", got, want)
		}
	}
	if len(h.dialled) != len(d.connections) {
		t.Errorf("dialled %q, want %d connections", h.dialled, len(d.connections))
	}
}

// route adds the way out that a dialogue asks for.
func (d *dialogue) route(o *Options) {
	r := Route{Host: "127.0.0.1:24", LMTP: d.lmtp, TLS: Clear}
	if d.login != "" {
		r.Login = &Login{User: "u@h.example", Mechanism: strings.Trim(d.login, "-")}
		if strings.Contains(d.login, "auth") {
			r.Login.Tokens = &oneToken{token: "s3cret"}
		} else {
			r.Login.Password = func() (string, error) { return "s3cret", nil }
		}
	}
	if d.lmtp || d.login != "" {
		o.Routes, o.QueueRoutes = map[string]Route{"out": r}, map[string]string{"": "out"}
	}
}

// oneToken gives the same token until it is rejected.
type oneToken struct {
	token    string
	rejected int
}

func (o *oneToken) Token(context.Context) (string, error) {
	if o.rejected > 0 {
		return "", errors.New("no token")
	}
	return o.token, nil
}
func (o *oneToken) Reject(string) { o.rejected++ }

// act plays the peer's part of one connection.
func act(p *peer, script []string, cert tls.Certificate) {
	for _, line := range script {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "S:":
			p.say(rest)
		case word == "C:":
			if !p.expect(rest) {
				return
			}
		case rest == "tls":
			if !p.secure(&tls.Config{Certificates: []tls.Certificate{cert}, Time: time.Now}) {
				return
			}
		case strings.HasPrefix(rest, "inject "):
			// One packet: whoever keeps its buffer reads the second line as
			// the first answer inside TLS.
			io.WriteString(p.conn, "220 go ahead\r\n"+strings.TrimPrefix(rest, "inject ")+"\r\n")
			if !p.secure(&tls.Config{Certificates: []tls.Certificate{cert}, Time: time.Now}) {
				return
			}
		default:
			if p.misbehave(rest) {
				return
			}
		}
	}
	p.farewell()
}
