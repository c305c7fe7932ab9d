package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCorpusThroughTheFrontDoor sends every published mail, broken ones
// included, over SMTP. Each becomes a ticket, joins one or is held, and the raw
// bytes the API returns are the bytes that were sent. What the API makes of
// them is what the package that reads mail makes of them, and is scored against
// what the sources of the corpora expect.
func TestCorpusThroughTheFrontDoor(t *testing.T) {
	for _, set := range []struct {
		folder   string
		least    int
		envelope string
	}{
		{"mime/eml", 100, "sender@customer.example"},
		{"mails", 140, "sender@customer.example"},
		{"quotations", 12, "sender@customer.example"},
		{"bounces", 290, ""},
		{"arf", 5, ""},
	} {
		t.Run(set.folder, func(t *testing.T) {
			t.Parallel()
			files := corpusFiles(t, set.folder)
			if len(files) < set.least {
				t.Fatalf("only %d files: the corpus is not whole", len(files))
			}
			c := &corpusRun{t: t, folder: set.folder, envelope: set.envelope, scores: map[string]*corpusScore{}, outcomes: map[string]int{}}
			all := len(files)
			for len(files) > 0 {
				again := c.run(files)
				if len(again) >= len(files) {
					t.Fatalf("duplicates in an empty store: %q", again)
				}
				files = again
			}
			c.report(all)
		})
	}
}

// run sends files to a daemon with an empty store, because mails of other sets
// are no threads of these. It returns the files that the daemon holds to be
// duplicates of others: their bytes are compared in a store of their own.
func (c *corpusRun) run(files []string) (duplicates []string) {
	c.d = newDaemon(c.t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	c.d.start()
	for _, file := range files {
		if c.mail(file) == "duplicate" {
			duplicates = append(duplicates, file)
		}
	}
	c.d.reconcile()
	c.d.terminate()
	return duplicates
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:4])
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
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
