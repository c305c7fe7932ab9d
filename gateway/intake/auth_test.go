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
type witness struct{ asked []mailauth.Input }

func (w *witness) Evaluate(_ context.Context, in mailauth.Input) (ticketing.Verdict, *mailauth.Evidence) {
	w.asked = append(w.asked, in)
	e := &mailauth.Evidence{SPF: mailauth.SPF{Result: mailauth.Pass, Identity: "mailfrom", Sender: "a@b.example", Domain: "b.example"}, DMARC: mailauth.DMARC{Result: mailauth.None}, Trust: "T1"}
	return e.Verdict(), e
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
