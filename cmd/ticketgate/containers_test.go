package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestContainersThroughTheFrontDoor: what is inside Outlook's container and
// inside an opaque signature is text and files of the ticket (scenarios 38 and
// 39), and the mail as it came is there for whoever checks the signature.
func TestContainersThroughTheFrontDoor(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	d.start()
	for _, c := range []struct {
		file, text, flag string
		files            map[string]string // the beginnings of their contents, by name
	}{
		{"tnef/winmail", "hello world", "", map[string]string{"Bericht für Köln.pdf": "%PDF-1.4 report", "a.exe": "MZ"}},
		{"smime/opaque-ber", "The signed text, Grüße.", "smime_signature_unverified", map[string]string{"a.csv": "1,2", "smime.p7m": "\x30\x80"}},
	} {
		raw := wireForm(t, filepath.Join("..", "..", "ticketing", "message", "testdata", c.file+".eml"))
		conn := dialExact(t, d.smtp)
		answer, err := conn.deliver("anna@customer.example", desk, raw)
		if err != nil {
			t.Fatalf("%s: %v", c.file, err)
		}
		var r struct{ Outcomes []struct{ Message string } }
		d.get("/receipts/"+receiptID.FindString(answer), nil, &r)
		var m struct {
			apiMessage
			Flags []string
		}
		d.get("/messages/"+url.PathEscape(r.Outcomes[0].Message), nil, &m)
		if strings.TrimSpace(m.Text) != c.text {
			t.Errorf("%s: text %q, want %q", c.file, m.Text, c.text)
		}
		if c.flag != "" && !strings.Contains(strings.Join(m.Flags, " "), c.flag) {
			t.Errorf("%s: flags %q", c.file, m.Flags)
		}
		run := &corpusRun{t: t, d: d}
		for _, a := range m.Attachments {
			want, ok := c.files[a.Filename]
			got, err := run.fetch("/attachments/" + url.PathEscape(a.ID))
			if !ok || err != nil || !strings.HasPrefix(string(got), want) || hexSum(got) != a.SHA256 {
				t.Errorf("%s: %q %s: %v, %q", c.file, a.Filename, a.ID, err, got[:min(len(got), 40)])
			}
		}
		if len(m.Attachments) != len(c.files) {
			t.Errorf("%s: %d files, want %d", c.file, len(m.Attachments), len(c.files))
		}
		if got, err := run.fetch("/messages/" + url.PathEscape(r.Outcomes[0].Message) + "/raw"); err != nil || string(got) != string(raw) {
			t.Errorf("%s: the raw mail is another one: %v", c.file, err)
		}
	}
}

// TestBombsThroughTheFrontDoor is scenario 40: whatever a mail is made to cost,
// it is a ticket with its raw bytes or a clear refusal, and the next mail is
// taken as ever.
func TestBombsThroughTheFrontDoor(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	d.start()
	head := "From: Anna <anna@customer.example>\r\nSubject: bomb\r\nMIME-Version: 1.0\r\n"
	var deep strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(make([]byte, 100<<20))
	z.Close()
	for name, body := range map[string]string{
		"10,000 levels":  deep.String() + "\r\nhello\r\n",
		"100,000 parts":  "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 100_000) + "--b--\r\n",
		"5,000 links":    "Content-Type: text/html\r\n\r\n" + strings.Repeat("<a href=\"http://x.example/a\">a</a>\r\n", 5000),
		"1 MB of header": "X-A: " + strings.Repeat("x\r\n ", 250_000) + "\r\n\r\nhello\r\n",
		"a zip bomb":     "Content-Type: application/gzip; name=a.gz\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(zipped.Bytes()) + "\r\n",
	} {
		start := time.Now()
		raw := []byte(head + body)
		if name == "a zip bomb" { // lines of a length that senders use
			raw = []byte(head + strings.ReplaceAll(body, "AAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAA\r\n"))
		}
		answer, err := dialExact(t, d.smtp).deliver("anna@customer.example", desk, raw)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "5") {
				t.Errorf("%s: %v", name, err)
			}
		} else {
			var r struct{ Outcomes []struct{ Message string } }
			d.get("/receipts/"+receiptID.FindString(answer), nil, &r)
			run := &corpusRun{t: t, d: d}
			var m apiMessage
			d.get("/messages/"+url.PathEscape(r.Outcomes[0].Message), nil, &m)
			if got, err := run.fetch("/messages/" + url.PathEscape(r.Outcomes[0].Message) + "/raw"); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%s: the raw mail is another one: %v", name, err)
			}
		}
		t.Logf("%s: %d bytes, %v, refused: %v", name, len(raw), time.Since(start).Round(time.Millisecond), err)
		if _, err := dialExact(t, d.smtp).deliver("bo@customer.example", desk, []byte(fmt.Sprintf("From: Bo <bo@customer.example>\r\nMessage-ID: <%d@customer.example>\r\nSubject: after %s\r\n\r\nhello\r\n", len(raw), name))); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmHWM: %d kB", &most)
	}
	t.Logf("the daemon took %d MiB at most", most>>10)
	if most == 0 || most > 1<<20 {
		t.Errorf("the daemon took %d kB", most)
	}
	d.reconcile()
}
