package smtpd

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// corpora returns the folder of real mails beside the checkout.
func corpora(t testing.TB) string {
	if dir := os.Getenv("TICKETGATE_CORPORA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		found := filepath.Join(filepath.Dir(dir), "shared", "corpora")
		if info, err := os.Stat(found); err == nil && info.IsDir() {
			return found
		}
	}
	t.Fatal("no corpora: set TICKETGATE_CORPORA or put shared/corpora beside the checkout")
	return ""
}

// ambiguous mails name authors of several domains in From. They are refused, so
// that no two readers can disagree on who wrote them.
var ambiguous = map[string]bool{"qp-utf8-header.raw": true, "qp-utf8-header-no-break.raw": true, "qp-utf8-header-recursed.raw": true}

// TestCorpora sends every mail of the corpora through the front door: by DATA
// with the line ends that SMTP wants, by BDAT as the file is. Each must be
// accepted and stored byte for byte.
func TestCorpora(t *testing.T) {
	h := newHouse(t, setting{blobs: newBlobs(t), limits: Limits{Settle: 20 * time.Millisecond}})
	defer h.close()
	var c *client
	connect := func() {
		c = h.dial("127.0.0.1")
		c.reply()
		c.say("EHLO x")
	}
	connect()
	defer func() { c.drop() }()
	sent, reconnected := 0, 0
	root := corpora(t)
	for _, dir := range []string{"mime/eml", "mails", "bounces", "arf", "dkim/mail-auth"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			switch filepath.Ext(name) {
			case ".eml", ".raw", ".txt":
			default:
				return nil
			}
			raw, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if bytes.HasPrefix(raw, []byte("From ")) { // the mark of an mbox is no part of a mail
				_, raw, _ = bytes.Cut(raw, []byte("\n"))
			}
			wire := bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
			if !bytes.HasSuffix(wire, []byte("\r\n")) {
				wire = append(wire, "\r\n"...)
			}
			sent++
			from := "someone@customer.example"
			if dir == "bounces" {
				from = ""
			}
			send := func(how string, want []byte, text string) {
				c.say("MAIL FROM:<" + from + ">")
				c.say("RCPT TO:<support@help.example>")
				if how == "DATA" {
					c.say("DATA")
				}
				c.send(text)
				r := last(c.reply())
				if ambiguous[filepath.Base(name)] {
					if !strings.HasPrefix(r, "550 5.6.0") {
						t.Errorf("%s by %s: %s", name, how, r)
					}
					return
				}
				if !strings.HasPrefix(r, "250 2.0.0 Ok: rcpt_") {
					t.Errorf("%s by %s: %s", name, how, r)
					c.drop()
					connect()
					return
				}
				mails := h.desk.all()
				if got := mails[len(mails)-1].raw; !bytes.Equal(got, want) {
					t.Errorf("%s by %s: stored %d octets, not %d, or other ones", name, how, len(got), len(want))
				}
				// A mail whose last line ends in CR CR LF ends its session, see bodyState.
				if r := c.say("NOOP"); r == "EOF" {
					reconnected++
					c.drop()
					connect()
				}
			}
			stuffed := bytes.ReplaceAll(append([]byte("\r\n"), wire...), []byte("\r\n."), []byte("\r\n.."))[2:]
			send("DATA", wire, string(stuffed)+".\r\n")
			send("BDAT", raw, fmt.Sprintf("BDAT %d LAST\r\n%s", len(raw), raw))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d mails, each sent twice", sent)
	if reconnected > 2 {
		t.Errorf("%d sessions ended early", reconnected)
	}
	if sent < 500 {
		t.Errorf("only %d mails were found", sent)
	}
}

// BenchmarkMail delivers mails of 5 KiB over real sockets of the machine into a
// desk that only keeps count: what the door itself costs.
func BenchmarkMail(b *testing.B) {
	for _, conns := range []int{1, 20} {
		b.Run(fmt.Sprintf("%d connections", conns), func(b *testing.B) {
			h := newHouse(b, setting{blobs: newBlobs(b), limits: Limits{PerIP: 100, PerNet: 100, PerIPRate: 1000, PerNetRate: 1000}})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			served := make(chan error, 1)
			go func() { served <- h.server.Serve(l, MX) }()
			text := "From: anna@customer.example\r\nSubject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 70) + ".\r\n"
			work := make(chan struct{}, b.N)
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			done := make(chan error, conns)
			b.SetBytes(int64(len(text)))
			b.ResetTimer()
			for range conns {
				go func() { done <- deliver(l.Addr().String(), text, work) }()
			}
			for range conns {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
			h.close()
			<-served
		})
	}
}

// deliver sends one mail for each piece of work.
func deliver(addr, text string, work <-chan struct{}) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 4096)
	// expect waits for a number of final reply lines.
	expect := func(n int) error {
		for have := 0; have < n; {
			k, err := conn.Read(buf)
			if err != nil {
				return err
			}
			for _, l := range bytes.Split(buf[:k], []byte("\r\n")) {
				if len(l) > 3 && l[3] == ' ' {
					have++
				}
				if len(l) > 0 && l[0] > '3' {
					return fmt.Errorf("%s", l)
				}
			}
		}
		return nil
	}
	if err := expect(1); err != nil {
		return err
	}
	fmt.Fprint(conn, "EHLO x\r\n")
	if err := expect(1); err != nil {
		return err
	}
	for range work {
		fmt.Fprint(conn, "MAIL FROM:<a@customer.example>\r\nRCPT TO:<support@help.example>\r\nDATA\r\n")
		if err := expect(3); err != nil {
			return err
		}
		fmt.Fprint(conn, text)
		if err := expect(1); err != nil {
			return err
		}
	}
	return nil
}
