package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"ticketgate/config"
	"ticketgate/gateway/mailauth"
	"ticketgate/resolver"
	"ticketgate/test/corpora"
	"ticketgate/test/dnstest"
	"ticketgate/test/peers"
)

// inside is the program as a value in this process, in a world whose name
// server belongs to the test. Clients name themselves by the PROXY protocol.
type inside struct {
	t     *testing.T
	smtp  string
	api   *client
	dns   *dnstest.Server
	ahead atomic.Int64 // how far the resolver's clock is
}

const insideConfig = `
hostname = "mail.help.example"
admin    = "ada@staff.example"
listen   = { smtp = "%s", http = "%s", admin = "%s" }
tls      = { mode = "self-signed" }
store    = { dir = "data", min_free = "64MB" }
trusted_proxies = ["127.0.0.1"]

[domain."help.example"]

[queue.support]
address = "support@help.example"
auto_ack = { enabled = false }

# Whom any queue trusts, the door lets in without delay. No mail goes here.
[queue.hasty]
address = "hasty@help.example"
trusted_forwarders = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]
`

func startInside(t *testing.T) *inside {
	t.Helper()
	in := &inside{t: t, smtp: peers.FreeAddr(t), dns: dnstest.Start(t)}
	file := filepath.Join(t.TempDir(), "ticketgate.toml")
	if err := os.WriteFile(file, fmt.Appendf(nil, insideConfig, in.smtp, peers.FreeAddr(t), peers.FreeAddr(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems := config.Load(file)
	if cfg == nil {
		t.Fatal(problems)
	}
	dialer := &net.Dialer{}
	w := &world{
		now: time.Now, random: rand.Reader, dial: dialer.DialContext, listen: listenTCP,
		fs: vfs.Default, metrics: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler),
	}
	var err error
	w.resolver, err = resolver.New(resolver.Options{Server: in.dns.Addr(), Dial: in.dns.Dial, Timeout: time.Minute, Rounds: 1,
		Now: func() time.Time { return time.Now().Add(time.Duration(in.ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	p, err := start(context.Background(), cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := p.stop(ctx); err != nil {
			t.Error(err)
		}
	})
	in.api = newClient(socketPath(cfg))
	return in
}

// forget makes the name server empty, and its old answers too old.
func (in *inside) forget() {
	in.dns.Reset()
	in.ahead.Add(int64(25 * time.Hour))
}

// deliver hands in a mail as a client at ip and returns the evidence that was
// kept about its sender. refused says why the door did not take it.
func (in *inside) deliver(ip, helo, from, mail string) (e *mailauth.Evidence, refused error) {
	in.t.Helper()
	conn, err := net.Dial("tcp", in.smtp)
	if err != nil {
		in.t.Fatal(err)
	}
	defer conn.Close()
	family, us := "TCP4", "127.0.0.1"
	if netip.MustParseAddr(ip).Is6() {
		family, us = "TCP6", "::1"
	}
	fmt.Fprintf(conn, "PROXY %s %s %s 40000 25\r\n", family, ip, us)
	c := &exactClient{t: in.t, conn: conn, text: textproto.NewConn(conn)}
	if _, _, err := c.text.ReadResponse(220); err != nil {
		in.t.Fatal(err)
	}
	if _, err := c.say(250, "HELO %s", helo); err != nil {
		return nil, fmt.Errorf("HELO: %w", err)
	}
	if strings.ContainsRune(from, ' ') {
		at := strings.LastIndexByte(from, '@')
		from = `"` + from[:at] + `"` + from[at:] // the suite has it without its quotes
	}
	answer, err := c.deliver(from, desk, []byte(mail))
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct{ Evidence *mailauth.Evidence }
	}
	if _, err := in.api.get(in.t.Context(), "/traces", url.Values{"id": {receiptID.FindString(answer)}}, &list); err != nil {
		in.t.Fatal(err)
	}
	return list.Items[0].Evidence, nil
}

// atTheDoor are the cases of the suite that never get as far as SPF, and why:
// what cannot be a sender in SMTP is refused before.
var atTheDoor = map[string]string{
	"emptylabel":   "the domain has an empty label",
	"nolocalpart":  "there is no local part",
	"toolonglabel": "the domain has a label of 64 octets",
}

// TestSPFSuiteThroughTheFrontDoor sends a mail for each case of the RFC 7208
// suite, from its address and with its envelope.
func TestSPFSuiteThroughTheFrontDoor(t *testing.T) {
	t.Parallel()
	in := startInside(t)
	good, all := 0, 0
	for _, s := range corpora.SPFSuite(t) {
		in.forget()
		s.Serve(t, in.dns)
		for _, c := range s.Cases {
			all++
			e, refused := in.deliver(c.IP, c.HELO, c.From, fmt.Sprintf("From: anna@author.invalid\r\nSubject: %s\r\nMessage-ID: <%d@author.invalid>\r\n\r\nHello.\r\n", c.Name, all))
			switch why, known := atTheDoor[c.Name]; {
			case refused != nil && known:
				t.Logf("%s: %v: %s", c.Name, refused, why)
			case refused != nil:
				t.Errorf("%s/%s: HELO %q, MAIL <%s>: %v", s.Description, c.Name, c.HELO, c.From, refused)
			case !slices.Contains(c.Want, string(e.SPF.Result)):
				t.Errorf("%s/%s: %s (%s), want %v", s.Description, c.Name, e.SPF.Result, e.SPF.Reason, c.Want)
			default:
				good++
			}
		}
	}
	t.Logf("SPF suite through the front door: %d of %d", good, all)
	if good < 200 || all != 203 {
		t.Errorf("score %d of %d", good, all)
	}
}

// TestDKIMVectorsThroughTheFrontDoor: the mails arrive as they were signed, and
// are judged so.
func TestDKIMVectorsThroughTheFrontDoor(t *testing.T) {
	t.Parallel()
	in := startInside(t)
	good, all, ignored := 0, 0, 0
	for _, v := range corpora.DKIMVectors(t) {
		if !v.At.IsZero() {
			continue // it had to be judged in its time; package mailauth does
		}
		in.forget()
		mail := v.Serve(t, in.dns)
		e, refused := in.deliver("192.0.2.1", "mx.author.invalid", "anna@author.invalid", mail)
		for _, want := range v.Signatures {
			all++
			switch {
			case refused != nil:
				t.Errorf("%s: %v", v.File, refused)
				continue
			case want.Number > 5:
				ignored++
				continue
			case want.Number == 0 && len(e.DKIM) == 0:
				good++
				continue
			case want.Number == 0 || want.Number > len(e.DKIM):
				t.Errorf("%s: signature %d of %d: %s", v.File, want.Number, len(e.DKIM), e.Note)
				continue
			}
			got := e.DKIM[want.Number-1]
			stricter := v.File == "chasquid/09-limited_body.msg" && got.Result == mailauth.Neutral // l= leaves a part of the body unsigned
			if result := string(got.Result); want.Want != "" && result != want.Want && (want.Want != "not-pass" || result == "pass") && !stricter {
				t.Errorf("%s %d: %s (%s), want %s", v.File, want.Number, result, got.Reason, want.Want)
				continue
			}
			good++
		}
	}
	t.Logf("DKIM vectors through the front door: %d of %d, %d beyond the fifth signature", good, all-ignored, ignored)
	if good < 30 || good != all-ignored {
		t.Errorf("%d of %d", good, all-ignored)
	}
}
