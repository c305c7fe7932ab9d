package ticketing_test

import (
	"net/netip"
	"strings"
	"testing"

	"ticketgate/ticketing"
	"ticketgate/ticketing/message"
	"ticketgate/ticketing/store/pebble"
)

// forwarders replaces those of the queue support.
func forwarders(list ...ticketing.Forwarder) func(*ticketing.Options) {
	return func(o *ticketing.Options) { o.Queues[0].TrustedForwarders = list }
}

// openWith is open with options changed.
func openWith(t *testing.T, change func(*ticketing.Options)) *bench {
	t.Helper()
	c := newClock()
	db, err := pebble.OpenMem(pebble.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return openOn(t, db, c, change)
}

var key = strings.Repeat("ab", 32)

// TestWhoVouches: each way to know a forwarder, and what only looks like one.
// A forwarder's mail in the name of an agent is the agent's.
func TestWhoVouches(t *testing.T) {
	network := ticketing.Forwarder{Network: netip.MustParsePrefix("198.51.100.0/28")}
	cert := ticketing.Forwarder{Certificate: key}
	login := ticketing.Forwarder{Login: "lena"}
	signer := ticketing.Forwarder{Signer: "forwarder.example"}
	signed := func(result, domain string) func(*ticketing.Arrival) {
		return func(a *ticketing.Arrival) {
			a.Verdict.DKIM = []ticketing.AuthResult{{Result: "fail", Domain: "x.example"}, {Result: result, Domain: domain}}
		}
	}
	from := func(ip string) func(*ticketing.Arrival) {
		return func(a *ticketing.Arrival) { a.RemoteIP = netip.MustParseAddr(ip) }
	}
	for _, c := range []struct {
		name      string
		forwarder ticketing.Forwarder
		how       func(*ticketing.Arrival)
		vouched   bool
	}{
		{"its network", network, from("198.51.100.3"), true},
		{"its network, as mapped IPv4", network, from("::ffff:198.51.100.3"), true},
		{"the next network", network, from("198.51.100.16"), false},
		{"no address", network, func(a *ticketing.Arrival) { a.RemoteIP = netip.Addr{} }, false},
		{"its certificate", cert, func(a *ticketing.Arrival) { a.Certificate = key }, true},
		{"another certificate", cert, func(a *ticketing.Arrival) { a.Certificate = strings.Repeat("cd", 32) }, false},
		{"no certificate", cert, func(a *ticketing.Arrival) {}, false},
		{"its login", login, func(a *ticketing.Arrival) { a.User = "lena" }, true},
		{"another login", login, func(a *ticketing.Arrival) { a.User = "sara" }, false},
		{"nobody logged in", login, func(a *ticketing.Arrival) {}, false},
		{"its signature", signer, signed("pass", "forwarder.example"), true},
		{"its signature in capitals", signer, signed("pass", "Forwarder.EXAMPLE"), true},
		{"its broken signature", signer, signed("fail", "forwarder.example"), false},
		{"signed below it", signer, signed("pass", "mx.forwarder.example"), false},
		{"signed by another", signer, signed("pass", "bforwarder.example"), false},
		{"named in a header alone", signer, func(a *ticketing.Arrival) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := openWith(t, forwarders(c.forwarder))
			a := b.arrival(mail{text: write(otto, "Printer", "X-Forwarded-To: "+helpdsk, "DKIM-Signature: v=1; d=forwarder.example")})
			c.how(&a)
			// What the author's domain asks is known by then, and it is to refuse.
			a.Verdict.DMARC = ticketing.AuthResult{Result: "fail", Domain: "staff.example", Disposition: "reject"}
			if err := b.desk.Admit(a); a.User == "" && (err == nil) != c.vouched {
				t.Errorf("admitted: %v", err)
			}
			r, err := b.desk.Receive(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			o := r.Outcomes[0]
			if !c.vouched {
				if a.User == "" && o.Outcome != "held" {
					t.Errorf("%+v", o)
				}
				return
			}
			if m := b.message(o.Message); m.Auth.Trust != "T2" || !m.Auth.Forwarder || m.Author.Agent != "otto" {
				t.Errorf("%+v by %+v", m.Auth, m.Author)
			}
		})
	}
}

// TestHops: the trace of a peer is believed only if every queue that the mail
// is for trusts it, and then that of the hops which all of them trust.
func TestHops(t *testing.T) {
	b := openWith(t, func(o *ticketing.Options) {
		o.Queues[0].TrustedForwarders = ticketing.ForwarderNetworks(netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"))
		o.Queues[1].TrustedForwarders = ticketing.ForwarderNetworks(netip.MustParsePrefix("198.51.100.0/24"))
		o.Queues[2].TrustedForwarders = []ticketing.Forwarder{{Certificate: key}, {Signer: "forwarder.example"}}
	})
	const sales, quiet = "sales@help.example", "quiet@other.example"
	for _, c := range []struct {
		name     string
		ip, cert string
		to       []string
		trusted  string // a hop that is believed in turn; "" if the peer is not
	}{
		{"both queues", "198.51.100.1", "", []string{helpdsk, sales}, "198.51.100.9"},
		{"one queue", "203.0.113.1", "", []string{helpdsk}, "203.0.113.9"},
		{"one of two queues", "203.0.113.1", "", []string{helpdsk, sales}, ""},
		{"a stranger", mx, "", []string{helpdsk}, ""},
		{"by certificate, not to this queue", mx, key, []string{helpdsk}, ""},
		{"to nobody", "198.51.100.1", "", nil, ""},
	} {
		a := ticketing.Arrival{Source: "smtp", RemoteIP: netip.MustParseAddr(c.ip), Certificate: c.cert, Recipients: c.to}
		hop := b.desk.Hops(a)
		if (hop != nil) != (c.trusted != "") {
			t.Errorf("%s: believed: %v", c.name, hop != nil)
			continue
		}
		if hop != nil && (!hop(netip.MustParseAddr(c.trusted)) || hop(netip.MustParseAddr(mx)) || hop(netip.Addr{})) {
			t.Errorf("%s: wrong hops", c.name)
		}
	}
	hop := b.desk.Hops(ticketing.Arrival{RemoteIP: netip.MustParseAddr(mx), Certificate: key, Recipients: []string{quiet}})
	if hop == nil || hop(netip.MustParseAddr(mx)) {
		t.Error("a peer known by its certificate must be believed, but no other host at its address")
	}
	if b.desk.Hops(ticketing.Arrival{Verdict: ticketing.Verdict{DKIM: []ticketing.AuthResult{{Result: "pass", Domain: "forwarder.example"}}}, Recipients: []string{quiet}}) != nil {
		t.Error("whose signature stands under a mail need not be who brought it")
	}
}

// TestAdmit: who hears a refusal, and who must not.
func TestAdmit(t *testing.T) {
	b := open(t)
	n := b.take(mail{text: write(rAddr, "Printer")}).Ticket
	returned := b.mailTo(n, 1, rAddr, message.RoleRequester, false).ret
	for _, c := range []struct {
		name, disposition, ip, from, user string
		to                                []string
		ok                                bool
	}{
		{"nothing asked", "none", mx, rAddr, "", []string{helpdsk}, true},
		{"quarantine is no refusal", "quarantine", mx, rAddr, "", []string{helpdsk}, true},
		{"reject", "reject", mx, rAddr, "", []string{helpdsk}, false},
		{"reject, null sender", "reject", mx, "", "", []string{helpdsk}, false},
		{"a report to a return path", "reject", mx, "", "", []string{returned}, true},
		{"no report, to a return path", "reject", mx, xAddr, "", []string{returned}, false},
		{"by a forwarder", "reject", trusted, rAddr, "", []string{helpdsk}, true},
		{"by a forwarder of one of the queues", "reject", trusted, rAddr, "", []string{"quiet@other.example", helpdsk}, true},
		{"by a forwarder of another queue", "reject", trusted, rAddr, "", []string{"quiet@other.example"}, false},
		{"logged in", "reject", mx, otto, "otto", []string{helpdsk}, true},
	} {
		a := ticketing.Arrival{Source: "smtp", RemoteIP: netip.MustParseAddr(c.ip), EnvelopeFrom: c.from, User: c.user, Recipients: c.to,
			Verdict: ticketing.Verdict{DMARC: ticketing.AuthResult{Disposition: c.disposition, Domain: "bank.example"}}}
		err := b.desk.Admit(a)
		if (err == nil) != c.ok || err != nil && (ticketing.KindOf(err) != ticketing.Refused || !strings.Contains(err.Error(), "bank.example")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
