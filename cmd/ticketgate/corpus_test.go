package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCorpusThroughTheFrontDoor sends every mail of the MIME corpus, broken
// ones included, over SMTP. Each becomes a ticket (or joins one), and the raw
// bytes the API returns are the bytes that were sent.
func TestCorpusThroughTheFrontDoor(t *testing.T) {
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	d.start()
	outcomes := map[string]int{}
	files := corpusFiles(t, "mime/eml")
	if len(files) < 100 {
		t.Fatalf("only %d files: the corpus is not whole", len(files))
	}
	for _, file := range files {
		// One connection each: after a mail whose end is in doubt (a lone dot
		// among CR CR LF) the daemon takes the mail and ends the session.
		c := dialExact(t, d.smtp)
		raw := wireForm(t, file)
		answer, err := c.deliver("sender@customer.example", desk, raw)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var r struct {
			Outcomes []struct{ Outcome, Message string }
		}
		d.get("/receipts/"+receiptID.FindString(answer), nil, &r)
		outcomes[r.Outcomes[0].Outcome]++
		if r.Outcomes[0].Message == "" {
			t.Errorf("%s: no message: %+v", file, r)
			continue
		}
		got, err := d.api.call(context.Background(), http.MethodGet, "/messages/"+url.PathEscape(r.Outcomes[0].Message)+"/raw", nil, "", nil)
		if err != nil {
			t.Errorf("%s: raw: %v", file, err)
			continue
		}
		if !bytes.Equal(got, raw) {
			t.Errorf("%s: raw bytes differ: sent %d (%s), got %d (%s)", file, len(raw), digest(raw), len(got), digest(got))
		}
		var m struct{ Text string }
		d.get("/messages/"+url.PathEscape(r.Outcomes[0].Message), nil, &m)
	}
	d.reconcile()
	t.Logf("%d mails: %v", len(files), outcomes)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4])
}

// corpusFiles lists the mails of one folder of the shared corpora.
func corpusFiles(t *testing.T, folder string) []string {
	t.Helper()
	root := os.Getenv("TICKETGATE_CORPORA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "corpora")
	}
	var files []string
	err := filepath.WalkDir(filepath.Join(root, folder), func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && (strings.HasSuffix(p, ".eml") || strings.HasSuffix(p, ".raw")) {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		t.Fatalf("the corpora are not there (set TICKETGATE_CORPORA): %v", err)
	}
	return files
}

// wireForm returns a corpus file as the wire wants it: CRLF line ends, no mbox
// line, a line end at the end.
func wireForm(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	if bytes.HasPrefix(raw, []byte("From ")) {
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			raw = raw[i+1:]
		}
	}
	if !bytes.HasSuffix(raw, []byte("\n")) {
		raw = append(raw, '\n')
	}
	return bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
}

// exactClient sends bytes as they are, but for dot-stuffing.
type exactClient struct {
	t    *testing.T
	conn net.Conn
	text *textproto.Conn
}

func dialExact(t *testing.T, addr string) *exactClient {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &exactClient{t: t, conn: conn, text: textproto.NewConn(conn)}
	if _, _, err := c.text.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	if _, err := c.say(250, "EHLO client.example"); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *exactClient) say(want int, format string, args ...any) (string, error) {
	if err := c.text.PrintfLine(format, args...); err != nil {
		return "", err
	}
	_, msg, err := c.text.ReadResponse(want)
	return msg, err
}

func (c *exactClient) deliver(from, to string, raw []byte) (string, error) {
	for _, step := range []struct {
		want int
		line string
	}{{250, fmt.Sprintf("MAIL FROM:<%s>", from)}, {250, fmt.Sprintf("RCPT TO:<%s>", to)}, {354, "DATA"}} {
		if _, err := c.say(step.want, "%s", step.line); err != nil {
			return "", err
		}
	}
	w := bufio.NewWriter(c.conn)
	for line := range bytes.Lines(raw) {
		if line[0] == '.' {
			w.WriteByte('.')
		}
		w.Write(line)
	}
	w.WriteString(".\r\n")
	if err := w.Flush(); err != nil {
		return "", err
	}
	_, msg, err := c.text.ReadResponse(250)
	return msg, err
}
