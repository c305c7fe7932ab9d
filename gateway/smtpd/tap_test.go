package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"pgregory.net/rapid"
)

// reference asks go-smtp itself where a body ends: it runs the library over a
// pipe and reports the content, and how many octets were taken before the end
// was seen.
type reference struct {
	content []byte
	ended   bool
}

type refBackend struct{ got chan reference }

func (b refBackend) Reset()                               {}
func (b refBackend) Logout() error                        { return nil }
func (b refBackend) Mail(string, *smtp.MailOptions) error { return nil }
func (b refBackend) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (b refBackend) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	b.got <- reference{content, err == nil}
	return err
}

func libraryReads(stream []byte) reference {
	b := refBackend{make(chan reference, 16)}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return b, nil }))
	s.MaxLineLength = 1 << 20
	s.ErrorLog = &libraryLog{log: slog.New(slog.DiscardHandler)}
	mine, theirs := net.Pipe()
	s.Serve(&single{conn: theirs})
	go func() {
		fmt.Fprintf(mine, "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
		mine.Write(stream)
		mine.Close()
	}()
	go io.Copy(io.Discard, mine)
	return <-b.got
}

// TestBodyMachine holds the tap's end-of-data machine against the library's: it
// sees the same end, and where the library would read on past a lone dot, it
// says so.
func TestBodyMachine(t *testing.T) {
	alphabet := rapid.SampledFrom([]string{"\r", "\n", ".", "x", "\r\n", "\r\n.\r\n", "\x00"})
	rapid.Check(t, func(t *rapid.T) {
		var stream []byte
		for _, s := range rapid.SliceOfN(alphabet, 0, 12).Draw(t, "stream") {
			stream = append(stream, s...)
		}
		want := libraryReads(stream)

		var whole bodyState
		n, end := whole.scan(stream)
		// In pieces it must come to the same.
		var split bodyState
		total, splitEnd := 0, bodyMore
		for i := 0; i < len(stream) && splitEnd == bodyMore; i++ {
			var k int
			k, splitEnd = split.scan(stream[i : i+1])
			total += k
		}
		if n != total || end != splitEnd {
			t.Fatalf("%q: whole %d %v, in pieces %d %v", stream, n, end, total, splitEnd)
		}
		switch end {
		case bodyEnd:
			if !want.ended {
				t.Fatalf("%q: the tap saw an end, the library did not", stream)
			}
			if again := libraryReads(stream[:n]); !again.ended || !bytes.Equal(again.content, want.content) {
				t.Fatalf("%q: the end is not at %d", stream, n)
			}
		case bodyStuck, bodyMissed:
			if again := libraryReads(stream[:n]); again.ended {
				t.Fatalf("%q: the library sees an end where the tap gives up", stream)
			}
		case bodyMore:
			if want.ended {
				t.Fatalf("%q: the library saw an end, the tap did not", stream)
			}
		}
	})
}

// TestTapFollows reads whole conversations in pieces of any size.
func TestTapFollows(t *testing.T) {
	limits := Limits{}.withDefaults()
	type step struct{ in, out string }
	for name, c := range map[string]struct {
		steps []step
		state tapState
		chunk int64
	}{
		"answers to AUTH are no commands": {[]step{{out: "220 x\r\n"}, {in: "AUTH LOGIN\r\nBDAT 9\r\nDATA\r\nBDAT 5\r\nab", out: "334 a\r\n334 b\r\n535 5.7.8 no\r\n"}}, inChunk, 3},
		"AUTH refused":                    {[]step{{out: "220 x\r\n"}, {in: "AUTH X\r\nBDAT 9\r\nab", out: "504 5.7.4 no\r\n"}}, inChunk, 7},
		"AUTH given up":                   {[]step{{out: "220 x\r\n"}, {in: "AUTH LOGIN\r\n*\r\nBDAT 9\r\nab", out: "334 a\r\n501 5.0.0 no\r\n"}}, inChunk, 7},
		"replies of commands before AUTH": {[]step{{out: "220 x\r\n"}, {in: "NOOP\r\nAUTH LOGIN\r\nBDAT 9\r\n", out: "250 a\r\n"}}, authWait, 0},
		"LMTP: a reply for each recipient": {[]step{{out: "220 lmtp\r\n"}, {in: "MAIL a\r\nDATA\r\nx\r\n.\r\nNOOP\r\nDATA\r\n",
			out: "250 2.0.0 ok\r\n354 go\r\n250 2.0.0 <a@b> ok\r\n550 5.7.1 <c@d> no\r\n250 2.0.0 <e@f> ok\r\n250 2.0.0 noop\r\n"}}, dataWait, 0},
		"DATA accepted, body and commands behind": {[]step{{out: "220 x\r\n"}, {in: "DATA\r\nQUIT\r\n.\r\nNOOP\r\nBDAT 7\r\nab", out: "354 go\r\n"}}, inChunk, 5},
		"DATA refused, what follows are commands": {[]step{{out: "220 x\r\n"}, {in: "DATA\r\nBDAT 9 LAST\r\nab", out: "502 5.5.1 no\r\n"}}, inChunk, 7},
		"replies of commands before DATA": {[]step{{out: "220 x\r\n"}, {in: "MAIL a\r\nRCPT b\r\nDATA\r\nBDAT 9\r\n", out: "250 a\r\n550 b\r\n"}},
			dataWait, 0},
		"several lines are one reply": {[]step{{out: "220 x\r\n"}, {in: "NOOP\r\nDATA\r\n", out: "250-a\r\n250-b\r\n250 c\r\n"}}, dataWait, 0},
		"STARTTLS drops what follows": {[]step{{out: "220 x\r\n"}, {in: "STARTTLS\r\nBDAT 9\r\n", out: "220 go\r\n"}}, inLine, 0},
		"STARTTLS refused":            {[]step{{out: "220 x\r\n"}, {in: "STARTTLS\r\nBDAT 9\r\n", out: "502 no\r\n"}}, inChunk, 9},
		"BDAT with bad arguments":     {[]step{{out: "220 x\r\n"}, {in: "BDAT 9 FIRST\r\nBDAT x\r\nBDAT 99999999999\r\nBDAT\r\n"}}, inLine, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size < 40; size++ {
				tap := newTap(&limits)
				tap.lmtp = strings.HasPrefix(name, "LMTP")
				for _, s := range c.steps {
					for in := s.in; in != ""; {
						n := min(size, len(in))
						if v := tap.input([]byte(in[:n])); v.text != "" {
							t.Fatal(v)
						}
						in = in[n:]
					}
					for out := s.out; out != ""; {
						n := min(size, len(out))
						if v := tap.output([]byte(out[:n])); v.text != "" {
							t.Fatal(v)
						}
						out = out[n:]
					}
				}
				if tap.state != c.state || tap.chunk != c.chunk {
					t.Errorf("pieces of %d: state %d chunk %d, not %d %d", size, tap.state, tap.chunk, c.state, c.chunk)
				}
			}
		})
	}
}

// FuzzTap: no input may make the tap fall, or remember without bound.
func FuzzTap(f *testing.F) {
	f.Add([]byte("EHLO x\r\nMAIL FROM:<a@b>\r\nBDAT 5 LAST\r\nabcde"), []byte("250 ok\r\n354 go\r\n"))
	f.Add([]byte("DATA\r\n\r\r\n.\r\n"), []byte("220 x\r\n354 go\r\n"))
	f.Add([]byte("AUTH LOGIN\r\nSTARTTLS\r\nDATA\r\nBDAT 5\r\nab"), []byte("220 x\r\n334 a\r\n334 b\r\n535 5.7.8 no\r\n"))
	f.Add([]byte("STARTTLS\r\nGET / HTTP/1.0\r\n"), []byte("220 x\r\n220 go\r\n"))
	limits := Limits{}.withDefaults()
	f.Fuzz(func(t *testing.T, in, out []byte) {
		tap := newTap(&limits)
		tap.output([]byte("220 x\r\n"))
		for len(in) > 0 || len(out) > 0 {
			n := min(len(in), 7)
			tap.input(in[:n])
			in = in[n:]
			n = min(len(out), 5)
			tap.output(out[:n])
			out = out[n:]
			if len(tap.line) > limits.CommandLine || len(tap.reply) > replyHead || tap.chunk < 0 {
				t.Fatalf("line %d reply %d chunk %d", len(tap.line), len(tap.reply), tap.chunk)
			}
		}
	})
}

// TestTLSCloseWithinAChunk: TLS ends in good order within the last chunk. The
// library takes that for the end of the message; we must not.
func TestTLSCloseWithinAChunk(t *testing.T) {
	blobs := newBlobs(t)
	certificate()
	for _, text := range []string{"BDAT 100 LAST\r\nSubject: half\r\n", "BDAT 3\r\nabcBDAT 100 LAST\r\n", "DATA\r\nSubject: half\r\n"} {
		t.Run(text, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, setting{blobs: blobs, tls: serverTLS()})
				defer h.close()
				c := h.dial("192.0.2.7")
				c.reply()
				c.say("EHLO x")
				c.say("STARTTLS")
				if err := c.startTLS(); err != nil {
					t.Fatal(err)
				}
				c.say("EHLO x")
				c.say("MAIL FROM:<a@customer.example>")
				c.say("RCPT TO:<support@help.example>")
				c.send(text)
				c.tls.CloseWrite() // the connection below stays open
				time.Sleep(10 * time.Minute)
				if mails := h.desk.all(); len(mails) != 0 {
					t.Errorf("half a mail was stored: %q", mails[0].raw)
				}
				c.drop()
			})
		})
	}
}

// TestPipelinedChunks: a second message's chunk that has begun to arrive does
// not make the first one look cut.
func TestPipelinedChunks(t *testing.T) {
	blobs := newBlobs(t)
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, setting{blobs: blobs})
		defer h.close()
		c := h.dial("192.0.2.7")
		defer c.drop()
		c.reply()
		c.say("EHLO x")
		const one = "MAIL FROM:<a@customer.example>\r\nRCPT TO:<support@help.example>\r\nBDAT 3 LAST\r\nabc"
		c.send(one + one[:len(one)-2])
		for range 2 {
			c.reply()
		}
		if r := last(c.reply()); r != "250 2.0.0 Ok: rcpt_1" {
			t.Fatal(r)
		}
		c.send("bc")
		for range 2 {
			c.reply()
		}
		if r := last(c.reply()); r != "250 2.0.0 Ok: rcpt_2" {
			t.Fatal(r)
		}
	})
}
