package ticketing_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"ticketgate/ticketing"
)

// A signed report about a domain of ours is counted once, and is a ticket like
// any other mail; others are only that.
func TestTLSReportsAreCounted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	b := openWith(t, func(o *ticketing.Options) { o.Registerer = reg })
	report := func(id, domain string) string {
		return strings.ReplaceAll(`From: tlsrpt@big.example
Subject: Report Domain: `+domain+`
Message-ID: <`+id+`@big.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=tlsrpt; boundary=x

--x
Content-Type: text/plain

A report `+id+`.
--x
Content-Type: application/tlsrpt+json

{"policies":[{"policy":{"policy-type":"sts","policy-domain":"`+domain+`"},"summary":{"total-successful-session-count":10,"total-failure-session-count":3},"failure-details":[{"result-type":"certificate-expired","failed-session-count":2}]}]}
--x--
`, "\r", "")
	}
	take := func(signed, text string) {
		t.Helper()
		a := b.arrival(mail{text: text})
		a.Verdict.DKIM = []ticketing.AuthResult{{Result: signed, Domain: "big.example"}}
		r, err := b.desk.Receive(t.Context(), a)
		if err != nil || r.Outcomes[0].Ticket == 0 {
			t.Fatalf("%+v %v", r, err)
		}
	}
	take("pass", report("1", "help.example"))
	take("pass", report("1", "help.example")) // again
	take("fail", report("2", "help.example"))
	take("pass", report("3", "strange.example"))
	want := `
# HELP ticketgate_tls_reported_sessions_total SMTP sessions to domains of ours in TLS reports, by policy type and result (success, or why TLS failed).
# TYPE ticketgate_tls_reported_sessions_total counter
ticketgate_tls_reported_sessions_total{policy="sts",result="certificate-expired"} 2
ticketgate_tls_reported_sessions_total{policy="sts",result="other"} 1
ticketgate_tls_reported_sessions_total{policy="sts",result="success"} 10
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "ticketgate_tls_reported_sessions_total"); err != nil {
		t.Error(err)
	}
}
