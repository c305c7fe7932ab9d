package mailauth

import (
	"net/netip"
	"strings"
	"testing"
)

// TestReceivedFrom: how servers write down their client.
func TestReceivedFrom(t *testing.T) {
	for _, c := range []struct{ who, field, ip, helo string }{
		{"Postfix", "from mx.a.example (host.a.example [192.0.2.1])\r\n\tby fw.example (Postfix) with ESMTPS id 1", "192.0.2.1", "mx.a.example"},
		{"Postfix, no reverse name", "from mx.a.example (unknown [192.0.2.1]) by fw.example", "192.0.2.1", "mx.a.example"},
		{"Postfix, IPv6", "from mx.a.example (unknown [IPv6:2001:db8::1]) by fw.example", "2001:db8::1", "mx.a.example"},
		{"Postfix, HELO is a literal", "from [10.0.0.9] (unknown [192.0.2.1]) by fw.example", "10.0.0.9", "[10.0.0.9]"},
		{"Gmail", "from mx.a.example (host.a.example. [192.0.2.1])\r\n        by mx.google.example with ESMTPS id abc\r\n        for <x@y.example>", "192.0.2.1", "mx.a.example"},
		{"Exim", "from host.a.example ([192.0.2.1] helo=mx.a.example)\r\n\tby fw.example with esmtp (Exim 4.96)", "192.0.2.1", "mx.a.example"},
		{"Exim, no reverse name", "from [192.0.2.1] (helo=mx.a.example)\r\n\tby fw.example with esmtp", "192.0.2.1", "mx.a.example"},
		{"Exchange", "from DB7PR02.eurprd02.example (2603:10a6:10:1::5) by\r\n VI1PR02.eurprd02.example (2603:10a6:800::22) with Microsoft SMTP Server", "2603:10a6:10:1::5", "DB7PR02.eurprd02.example"},
		{"qmail", "from unknown (HELO mx.a.example) (192.0.2.1)\r\n  by fw.example with SMTP", "192.0.2.1", "mx.a.example"},
		{"Sendmail with ident", "from mx.a.example (root@host.a.example [192.0.2.1])\r\n\tby fw.example (8.17)", "192.0.2.1", "mx.a.example"},
		{"the name is by", "from by (by [192.0.2.1]) by fw.example", "192.0.2.1", "by"},
		{"only the receiver's address", "from mx.a.example by fw.example ([192.0.2.9]) with SMTP", "", "mx.a.example"},
		{"local", "by fw.example (Postfix, from userid 0) id 1", "", ""},
		{"no address", "from mx.a.example (unknown) by fw.example", "", "mx.a.example"},
		{"nonsense", "from [192.0.2.1", "", "[192.0.2.1"},
		{"empty", "", "", ""},
	} {
		ip, helo, ok := receivedFrom("Received: " + c.field + "\r\n")
		if ok != (c.ip != "") || ok && ip.String() != c.ip || helo != c.helo {
			t.Errorf("%s: %v %q %v, not %q %q", c.who, ip, helo, ok, c.ip, c.helo)
		}
	}
}

// TestClient: only what trusted hops wrote is believed.
func TestClient(t *testing.T) {
	trusted := func(ip netip.Addr) bool { return netip.MustParsePrefix("198.51.100.0/24").Contains(ip) }
	outer := "Received: from mx.a.example (mx.a.example [192.0.2.1]) by fw.example\r\n"
	inner := "Received: from fw.example (fw.example [198.51.100.1]) by scan.example\r\n"
	local := "Received: from localhost (localhost [127.0.0.1]) by scan.example\r\n"
	forged := "Received: from bank.example (bank.example [203.0.113.1]) by mx.a.example\r\n"
	for _, c := range []struct {
		name, trace, ip string
		hops            int
	}{
		{"one hop", outer + forged, "192.0.2.1", 1},
		{"two hops", inner + outer + forged, "192.0.2.1", 2},
		{"a filter on the same host", local + inner + outer + forged, "192.0.2.1", 3},
		{"the sender's own lines are not reached", outer + inner + forged, "192.0.2.1", 1},
		{"unreadable", "Received: by fw.example\r\n" + outer, "", 1},
		{"all trusted", inner + local, "", 3},
		{"no trace", "", "", 1},
		{"endless", strings.Repeat(inner, 1000), "", maxHops},
	} {
		m := readMail(strings.NewReader(c.trace+"From: a@a.example\r\n\r\n"), 1<<20)
		got := m.client(trusted)
		if got.IP.IsValid() != (c.ip != "") || c.ip != "" && got.IP.String() != c.ip || got.Hops != c.hops || c.ip == "" && got.Note == "" {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
