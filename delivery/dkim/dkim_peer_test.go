package dkim

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"ticketgate/test/peers"
	"ticketgate/ticketing/message"
)

// The real verifiers of other people read our signatures, and find our keys by
// asking a name server that serves Records as they would be published.

// peer is a verifier: run gives it a mail and returns whether it accepts.
type peer struct {
	path string
	args []string
	env  []string
}

func (p peer) accepts(t *testing.T, mail string) (bool, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdin = strings.NewReader(mail)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s hangs: %s", p.path, out.String())
	}
	return err == nil, out.String()
}

// openDKIM is opendkim-testmsg, which accepts a mail if any signature holds.
func openDKIM(t *testing.T, port string) peer {
	t.Helper()
	path := peers.Tool(t, "opendkim-testmsg", "opendkim-tools")
	cc := peers.Tool(t, "cc", "gcc")
	shim := filepath.Join(t.TempDir(), "nameserver.so")
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", shim, "testdata/peer/nameserver.c", "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return peer{path: path, args: []string{"-t", t.TempDir()}, env: []string{"LD_PRELOAD=" + shim, "TEST_DNS_PORT=" + port}}
}

// dkimpy is dkimverify, which looks at one signature.
func dkimpy(t *testing.T, port string) peer {
	t.Helper()
	path := peers.Tool(t, "dkimverify", "python3-dkim")
	if out, err := exec.Command("/usr/bin/python3", "-c", "import nacl, dns.resolver").CombinedOutput(); err != nil {
		t.Fatalf("dkimverify cannot judge Ed25519: install the Debian package python3-nacl (test/install-peers does)\n%s", out)
	}
	dir, err := filepath.Abs("testdata/peer")
	if err != nil {
		t.Fatal(err)
	}
	return peer{path: path, args: []string{"--index", "0"}, env: []string{"PYTHONPATH=" + dir, "PYTHONDONTWRITEBYTECODE=1", "TEST_DNS_PORT=" + port}}
}

// serveRecords publishes records on loopback, over UDP and TCP, and returns the
// port.
func serveRecords(t *testing.T, records []Record) string {
	t.Helper()
	zone := map[string]dns.RR{}
	for _, r := range records {
		rr, err := dns.NewRR(r.String()) // what a zone file would make of it
		if err != nil {
			t.Fatal(err)
		}
		zone[rr.Header().Name] = rr
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if rr := zone[strings.ToLower(q.Question[0].Name)]; rr != nil && q.Question[0].Qtype == dns.TypeTXT {
			answer.Answer = []dns.RR{rr}
		} else {
			answer.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(answer)
	})
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return strconv.Itoa(udp.LocalAddr().(*net.UDPAddr).Port)
}

// peerHead is what OpenDKIM wants to see in every mail.
const peerHead = "From: a@help.example\r\nDate: Mon, 02 Nov 2026 09:30:00 +0100\r\n"

// peerMails are what the verifiers have to agree on.
var peerMails = map[string]string{
	"sample":     sampleMail,
	"empty body": peerHead + "Subject: x\r\n\r\n",
	"blanks":     peerHead + "Subject:   a \t b\r\n  c \r\nCc:\r\n\r\n  \r\n  x  y  \r\n\r\n \r\n z \r\n \r\n",
	"lists":      peerHead + "List-Id: <x>\r\nList-Unsubscribe: <https://x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nAuto-Submitted: auto-generated\r\n\r\nx\r\n",
	"large":      peerHead + "\r\n" + strings.Repeat("some  words here\r\n", 20_000),
}

func TestPeersAcceptOurSignatures(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out real peers")
	}
	t.Parallel()
	k := testKeys(t)
	records, err := k.Records(context.Background(), testDomain)
	if err != nil {
		t.Fatal(err)
	}
	port := serveRecords(t, records)
	for name, judge := range map[string]peer{"opendkim-testmsg": openDKIM(t, port), "dkimverify": dkimpy(t, port)} {
		t.Run(name, func(t *testing.T) {
			mails := maps.Clone(peerMails)
			mails["composed"] = composedMail(t)
			for mailName, mail := range mails {
				for alg, field := range split(t, k, mail) {
					if ok, out := judge.accepts(t, field+mail); !ok {
						t.Errorf("refuses the %s signature of %q: %s", alg, mailName, out)
					}
				}
			}
			if ok, out := judge.accepts(t, signed(t, k, sampleMail)); !ok {
				t.Errorf("refuses a mail with both signatures: %s", out)
			}
			// A judge that accepts everything proves nothing.
			for alg, field := range split(t, k, sampleMail) {
				for what, changed := range map[string]string{
					"a changed octet":   field + strings.Replace(sampleMail, "unplug", "unplUg", 1),
					"a second From":     field + "From: x@help.example\r\n" + sampleMail,
					"a second Subject":  field + "Subject: x\r\n" + sampleMail,
					"a second Reply-To": field + "Reply-To: x@help.example\r\n" + sampleMail,
					"a Cc added":        field + "Cc: x@help.example\r\n" + sampleMail,
					"another signature": strings.Replace(field, "\r\n b=", "\r\n b=BBBB", 1) + sampleMail,
				} {
					if ok, _ := judge.accepts(t, changed); ok {
						t.Errorf("accepts the %s signature of a mail with %s", alg, what)
					}
				}
			}
		})
	}
}

// composedMail is a mail as we really send it.
func composedMail(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	err := message.Compose(&b, message.Draft{
		From:      message.Address{Name: "Jürgen via Support", Addr: "support@help.example"},
		To:        []message.Address{{Name: "Kunde, Anna", Addr: "anna@customer.example"}},
		Subject:   "Re: [#1001] Größenänderung der Übersetzung für die gesamte Niederlassung in Überlingen",
		Date:      signTime,
		MessageID: "<aeb4q3@help.example>",
		Extra:     []message.Field{{Name: "Auto-Submitted", Value: "auto-replied"}},
		Text:      "Grüße \n\n.\nFrom us\n\n\n",
		HTML:      "<p>Grüße</p>\n\n",
		Attachments: []message.Attachment{{Filename: "März.pdf", ContentType: "application/pdf",
			Open: func() (io.Reader, error) { return strings.NewReader("%PDF"), nil }}},
	}, []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// split returns the signature fields of a mail one by one.
func split(t *testing.T, k *Keys, mail string) map[string]string {
	t.Helper()
	fields := strings.TrimSuffix(signed(t, k, mail), mail)
	at := strings.LastIndex(fields, "DKIM-Signature:")
	if at <= 0 {
		t.Fatalf("not two signatures:\n%s", fields)
	}
	return map[string]string{"RSA": fields[:at], "Ed25519": fields[at:]}
}
