package smtpd

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// TestSmuggling sends every disguise of an end of data that servers were found
// to fall for, followed by a second mail, in DATA and in BDAT, in plaintext and
// in TLS, in one packet and cut at the worst places. Each must become exactly
// one mail that holds it all, or be refused cleanly; the second mail must never
// be seen as commands.
func TestSmuggling(t *testing.T) {
	ends := []struct{ name, seq string }{
		{"LF.LF", "\n.\n"},
		{"LF.CRLF", "\n.\r\n"},
		{"CRLF.LF", "\r\n.\n"},
		{"CR.CR", "\r.\r"},
		{"CR.CRLF", "\r.\r\n"},
		{"CRLF.CR", "\r\n.\r"},
		{"CRCRLF.CRLF", "\r\r\n.\r\n"},
		{"CRLF NUL.CRLF", "\r\n\x00.\r\n"},
	}
	const evil = "MAIL FROM:<evil@customer.example>\r\nRCPT TO:<sales@help.example>\r\nDATA\r\nSubject: evil\r\n\r\nevil"
	blobs := newBlobs(t)
	certificate()
	cases, taken, refused := 0, 0, 0
	for _, end := range ends {
		for _, bdat := range []bool{false, true} {
			for _, secure := range []bool{false, true} {
				for _, split := range []string{"one packet", "before the dot", "inside the line end"} {
					cases++
					name := fmt.Sprintf("%s/bdat=%v/tls=%v/%s", end.name, bdat, secure, split)
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							text := "Subject: first\r\n\r\nbody" + end.seq + evil
							if smuggled(t, setting{blobs: blobs, tls: serverTLS()}, text, end.seq, bdat, secure, split) {
								taken++
							} else {
								refused++
							}
						})
					})
				}
			}
		}
	}
	t.Logf("%d cases: %d became one mail, %d were refused", cases, taken, refused)
	if cases != 96 {
		t.Errorf("the matrix has %d cases, not 96", cases)
	}
}

// smuggled runs one case and reports whether the mail was taken.
func smuggled(t *testing.T, set setting, text, seq string, bdat, secure bool, split string) bool {
	h := newHouse(t, set)
	defer h.close()
	c := h.dial("192.0.2.7")
	defer c.drop()
	last(c.reply())
	c.say("EHLO x")
	if secure {
		c.say("STARTTLS")
		if err := c.startTLS(); err != nil {
			t.Fatal(err)
		}
		c.say("EHLO x")
	}
	c.say("MAIL FROM:<a@customer.example>")
	c.say("RCPT TO:<support@help.example>")
	at := len(text)
	switch i := strings.Index(text, seq); split {
	case "before the dot":
		at = i + strings.IndexByte(seq, '.')
	case "inside the line end":
		at = i + len(seq) - 1
	}
	pieces := []string{text[:at], text[at:]}
	if bdat {
		pieces[0] = fmt.Sprintf("BDAT %d LAST\r\n", len(text)) + pieces[0]
	} else {
		if r := c.say("DATA"); !strings.HasPrefix(r, "354") {
			t.Fatal(r)
		}
		pieces[1] += "\r\n.\r\n"
	}
	for _, p := range pieces {
		if err := c.send(p); err != nil {
			break // refused already; the reply says so
		}
	}
	answer := last(c.reply())
	mails := h.desk.all()
	for _, m := range mails {
		if m.EnvelopeFrom != "a@customer.example" || len(m.Recipients) != 1 || m.Recipients[0] != "support@help.example" {
			t.Errorf("commands within the content were executed: %q to %q", m.EnvelopeFrom, m.Recipients)
		}
	}
	switch {
	case strings.HasPrefix(answer, "250 "):
		if len(mails) != 1 {
			t.Fatalf("%d mails were stored", len(mails))
		}
		raw := string(mails[0].raw)
		if bdat && raw != text {
			t.Errorf("stored\n%q, not\n%q", raw, text)
		}
		// In DATA the library takes a leading dot for a doubled one, and with it
		// a bare CR behind it.
		bare := strings.NewReplacer(".", "", "\r", "")
		if got, want := bare.Replace(raw), strings.TrimSuffix(bare.Replace(text), "\n"); strings.TrimSuffix(got, "\n") != want {
			t.Errorf("stored\n%q, not\n%q", got, want)
		}
		if r := c.say("NOOP"); !strings.HasPrefix(r, "250 ") {
			t.Errorf("the session is out of step: %q", r)
		}
		return true
	case strings.HasPrefix(answer, "5"):
		if len(mails) != 0 {
			t.Errorf("refused with %q, but stored", answer)
		}
		if r := c.say("NOOP"); r != "EOF" {
			t.Errorf("the session went on after %q: %q", answer, r)
		}
		return false
	}
	t.Fatalf("neither taken nor refused: %q", answer)
	return false
}

// TestBytesReachTheDesk sends what a relay may send and looks at what is stored.
func TestBytesReachTheDesk(t *testing.T) {
	blobs := newBlobs(t)
	for name, raw := range map[string]string{
		"empty":              "",
		"no header":          "just text\r\n",
		"no blank line":      "Subject: x\r\n",
		"dots":               ".\r\n..\r\n...\r\n.x\r\n",
		"NUL":                "a\x00b\r\n\x00\r\n",
		"bare LF":            "Subject: x\n\nbody\n",
		"bare CR":            "Subject: x\r\n\r\na\rb\r\rc\r\n",
		"CRCRLF in the body": "Subject: x\r\n\r\na\r\r\nb\r\r\n\r\nc\r\n",
		"8 bit":              "Subject: \xff\xfe\r\n\r\n\x80\r\n",
		"long line":          "Subject: x\r\n\r\n" + strings.Repeat("x", 200_000) + "\r\n",
		"many chunks":        "Subject: x\r\n\r\n" + strings.Repeat("0123456789\r\n", 20_000),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, setting{blobs: blobs})
			defer h.close()
			c := h.dial("192.0.2.7")
			defer c.drop()
			c.reply()
			c.say("EHLO x")
			for _, bdat := range []bool{false, true} {
				c.say("MAIL FROM:<>")
				c.say("RCPT TO:<support@help.example>")
				if bdat {
					half := len(raw) / 2
					c.send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", half, raw[:half], len(raw)-half, raw[half:]))
					c.reply()
				} else {
					c.say("DATA")
					stuffed := strings.ReplaceAll("\r\n"+raw, "\r\n.", "\r\n..")[2:]
					if raw != "" && !strings.HasSuffix(raw, "\r\n") {
						stuffed += "\r\n" // DATA cannot say otherwise
					}
					c.send(stuffed + ".\r\n")
				}
				if r := last(c.reply()); !strings.HasPrefix(r, "250 2.0.0 Ok: rcpt_") {
					t.Fatalf("bdat=%v: %s", bdat, r)
				}
				mails := h.desk.all()
				got := string(mails[len(mails)-1].raw)
				if want := raw; got != want && (bdat || got != want+"\r\n") {
					t.Errorf("bdat=%v: stored %d octets\n%.80q, not %d\n%.80q", bdat, len(got), got, len(want), want)
				}
			}
		})
	}
}
