package intake

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"ticketgate/gateway/mailauth"
	"ticketgate/ticketing"
)

// witness notes what it is asked and answers the same every time.
type witness struct {
	asked       []mailauth.Input
	disposition string
}

func (w *witness) Evaluate(_ context.Context, in mailauth.Input) (ticketing.Verdict, *mailauth.Evidence) {
	w.asked = append(w.asked, in)
	e := &mailauth.Evidence{SPF: mailauth.SPF{Result: mailauth.Pass, Identity: "mailfrom", Sender: "a@b.example", Domain: "b.example"}, DMARC: mailauth.DMARC{Result: mailauth.None}, IPRev: mailauth.IPRev{Result: mailauth.None}, Trust: "T1"}
	e.DMARC.Disposition = w.disposition
	return e.Verdict(), e
}

// TestWhoIsAsked: behind a trusted forwarder the client is another one, and who
// has logged in there is no sender.
func TestWhoIsAsked(t *testing.T) {
	for _, c := range []struct {
		ip, user string
		asked    bool
		hops     bool
	}{
		{"192.0.2.1", "", true, false},
		{"192.0.2.1", "otto", false, false},
		{"198.51.100.1", "", true, true},
		{"198.51.100.1", "exchange", true, true},
	} {
		w := &witness{}
		h := open(t, func(o *Options) { o.Auth = w })
		env := envelope
		env.RemoteIP, env.User = netip.MustParseAddr(c.ip), c.user
		if _, err := h.Receive(t.Context(), env, strings.NewReader("From: a@b.example\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if len(w.asked) == 1 != c.asked || c.asked && (w.asked[0].Hops != nil) != c.hops || h.desk.last.User != c.user || h.desk.last.Verdict.User != c.user {
			t.Errorf("%+v: asked %+v, verdict %+v", c, w.asked, h.desk.last.Verdict)
		}
	}
}

// TestDisownedMail: on port 25 the sender hears it, unless a forwarder brought
// it; elsewhere the mail is the desk's to hold.
func TestDisownedMail(t *testing.T) {
	for _, c := range []struct {
		source, ip, disposition string
		refused                 bool
	}{
		{"smtp", "192.0.2.1", "reject", true},
		{"smtp", "192.0.2.1", "quarantine", false},
		{"smtp", "198.51.100.1", "reject", false},
		{"lmtp", "192.0.2.1", "reject", false},
		{"api", "192.0.2.1", "reject", false},
	} {
		h := open(t, func(o *Options) { o.Auth = &witness{disposition: c.disposition} })
		env := envelope
		env.Source, env.RemoteIP = c.source, netip.MustParseAddr(c.ip)
		_, err := h.Receive(t.Context(), env, strings.NewReader("From: a@b.example\r\n\r\n"))
		if (err != nil) != c.refused || c.refused && ticketing.KindOf(err) != ticketing.Refused || (h.desk.n == 0) != c.refused {
			t.Errorf("%+v: %v", c, err)
		}
		if told := h.desk.refused; (told == 1) != c.refused {
			t.Errorf("%+v: the desk was told %d times of a refusal", c, told)
		}
		if x, err := h.Explain(t.Context(), env, strings.NewReader("From: a@b.example\r\n\r\n")); err != nil || c.source == "smtp" && (x.Err != nil) != c.refused || h.desk.refused > 1 {
			t.Errorf("%+v: explained as %+v, %v", c, x, err)
		}
		if n := h.chunks(t); c.refused && n != 0 {
			t.Errorf("%+v: %d pieces stayed", c, n)
		}
	}
}

func TestEvidenceTravels(t *testing.T) {
	ip := netip.MustParseAddr("192.0.2.1")
	const mail = "From: a@b.example\r\n\r\nHello\r\n"
	for _, c := range []struct {
		source, user string
		asked        bool
		ip           netip.Addr
	}{
		{"smtp", "", true, ip},
		{"lmtp", "", true, netip.Addr{}}, // the peer is a relay of ours
		{"api", "", true, netip.Addr{}},
		{"submission", "otto", false, netip.Addr{}},
	} {
		w := &witness{}
		h := open(t, func(o *Options) { o.Auth = w })
		env := Envelope{Source: c.source, From: "a@b.example", Recipients: []string{"support@help.example"}, RemoteIP: ip, HELO: "mx.b.example", User: c.user}
		if _, err := h.Receive(t.Context(), env, strings.NewReader(mail)); err != nil {
			t.Fatal(err)
		}
		a := h.desk.last
		if (len(w.asked) == 1) != c.asked {
			t.Fatalf("%s: asked %d times", c.source, len(w.asked))
		}
		if !c.asked {
			if a.Verdict.Trust != "T0" || a.Verdict.User != c.user || !strings.HasPrefix(a.Header, "Return-Path:") {
				t.Errorf("%s: %+v %q", c.source, a.Verdict, a.Header)
			}
			continue
		}
		in := w.asked[0]
		if in.RemoteIP != c.ip || in.HELO != "mx.b.example" || in.EnvelopeFrom != "a@b.example" || in.Size != int64(len(mail)) {
			t.Errorf("%s: asked about %+v", c.source, in)
		}
		if a.Verdict.Trust != "T1" || a.Verdict.SPF.Domain != "b.example" ||
			!strings.HasPrefix(a.Header, "Authentication-Results: mail.help.example;\r\n\tspf=pass smtp.mailfrom=a@b.example;") ||
			!strings.Contains(a.Header, "\r\nReturn-Path: <a@b.example>\r\n") {
			t.Errorf("%s: %+v\n%s", c.source, a.Verdict, a.Header)
		}
	}
}
