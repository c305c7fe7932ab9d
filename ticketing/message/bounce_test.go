package message

import (
	"fmt"
	"strings"
	"testing"
)

const report = `From: MAILER-DAEMON@mx.example
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; gone@customer.example
Original-Recipient: rfc822;alias+3Dgone@customer.example
Action: failed
Status: 5.0.0
Diagnostic-Code: smtp; 550 5.1.1 <gone@customer.example>: Recipient address
    rejected: User unknown

Final-Recipient: rfc822;full@customer.example
Action: failed
Status: 5.2.2 (mailbox full)
Diagnostic-Code: smtp;552-5.2.2 over quota

Final-Recipient: rfc822;slow@customer.example
Action: delayed
Status: 4.4.1
Diagnostic-Code: X-Postfix; connect to mx.customer.example[192.0.2.1]:25: Connection timed out

Final-Recipient: rfc822;ok@customer.example
Action: relayed
Status: 2.0.0
--b
Content-Type: message/rfc822

Message-ID: <ours@help.example>
Subject: hello

text
--b--
`

func TestParseBounce(t *testing.T) {
	t.Parallel()
	b := ParseBounce(parseBytes(t, crlf(report)))
	if b == nil {
		t.Fatal("no bounce")
	}
	want := []string{
		"alias=gone@customer.example failed 5.1.1 550 true user_unknown",
		"full@customer.example failed 5.2.2 552 false mailbox_full",
		"slow@customer.example delayed 4.4.1 0 false network",
		"ok@customer.example relayed 2.0.0 0 false delivered",
	}
	if len(b.Recipients) != len(want) {
		t.Fatalf("got %+v", b.Recipients)
	}
	for i, r := range b.Recipients {
		if got := fmt.Sprint(r.Address, " ", r.Action, " ", r.Status, " ", r.SMTPCode, " ", r.Hard, " ", r.Reason); got != want[i] {
			t.Errorf("got %s, want %s", got, want[i])
		}
	}
	if d := b.Recipients[0].Diagnostic; d != "550 5.1.1 <gone@customer.example>: Recipient address rejected: User unknown" {
		t.Errorf("diagnostic %q", d)
	}
	if got := strings.Join(b.Returned, " "); got != "<ours@help.example>" {
		t.Errorf("returned %q", got)
	}
}

func TestParseBounceVariants(t *testing.T) {
	t.Parallel()
	status := func(body string) string { return "Content-Type: message/delivery-status\n\n" + body }
	for name, tt := range map[string]struct{ raw, want string }{
		"no report":                {"Subject: x\n\nFinal-Recipient: rfc822;a@b.c\n", "none"},
		"report in a nested mail":  {"Content-Type: multipart/mixed; boundary=m\n\n--m\n\nsee\n--m\nContent-Type: message/rfc822\n\n" + report + "--m--", "none"},
		"no blank lines":           {status("Reporting-MTA: dns;x\nFinal-Recipient: rfc822;a@b.c\nAction: failed\nStatus: 5.1.1\nFinal-Recipient: rfc822;d@e.f\nAction: failed\nStatus: 5.1.1\n"), "a@b.c d@e.f"},
		"blank line inside":        {status("Reporting-MTA: dns;x\n\nFinal-Recipient: rfc822;a@b.c\n\nAction: failed\nStatus: 5.1.1\n"), "a@b.c"},
		"address in brackets":      {status("Reporting-MTA: dns;x\n\nFinal-Recipient: RFC822; <a@b.c>\nAction: failed\nStatus: 5.1.1\n"), "a@b.c"},
		"original is no address":   {status("\nOriginal-Recipient: rfc822; unknown\nFinal-Recipient: rfc822; a@b.c\nAction: failed\nStatus: 5.1.1\n"), "a@b.c"},
		"base64":                   {"Content-Transfer-Encoding: base64\n" + status("RmluYWwtUmVjaXBpZW50OiByZmM4MjI7YUBiLmMKQWN0aW9uOiBmYWlsZWQKU3RhdHVzOiA1LjEuMQo="), "a@b.c"},
		"status without recipient": {status("Reporting-MTA: dns;x\n"), ""},
	} {
		b := ParseBounce(parseBytes(t, tt.raw))
		got := "none"
		if b != nil {
			var addrs []string
			for _, r := range b.Recipients {
				addrs = append(addrs, r.Address)
				if r.Status != "5.1.1" || r.Action != "failed" || !r.Hard {
					t.Errorf("%s: %+v", name, r)
				}
			}
			got = strings.Join(addrs, " ")
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestHardIsOnlyForDeadAddresses: policy, quota and reputation are never hard,
// whatever the class of the code.
func TestHardIsOnlyForDeadAddresses(t *testing.T) {
	t.Parallel()
	for text, reason := range map[string]string{
		"5.1.1|550 5.1.1 No such user":                          "user_unknown",
		"5.1.2|550 Host unknown":                                "host_unknown",
		"5.1.10|556 5.1.10 domain has null MX":                  "no_mail",
		"5.1.6|551 5.1.6 user moved":                            "moved",
		"5.7.1|550 5.7.1 blocked by spamhaus":                   "blocked",
		"5.7.26|550 5.7.26 not authenticated":                   "auth_failure",
		"5.2.2|552 5.2.2 quota":                                 "mailbox_full",
		"5.7.1|550 5.7.1 message looks like spam":               "spam",
		"5.7.1|554 5.7.1 Relay access denied":                   "relay_denied",
		"5.4.6|554 5.4.6 loop":                                  "loop",
		"5.0.0|550 rejected due to local policy":                "policy",
		"5.1.1|550 5.1.1 recipient rejected, listed at dnsbl.x": "blocked",
		"5.3.4|552 5.3.4 message size exceeds fixed maximum":    "too_big",
		"5.9.9|":               "other",
		"5.7.99|550 5.7.99 no": "policy",
		"4.4.0|":               "network",
		"5.2.1 (mailbox disabled)|550 5.2.1 User unknown": "suspended",
		"5.0.0|550 <virus@x.example>: go away":            "other",
		"5.1.0|550 #5.1.0 Address rejected.":              "user_unknown",
	} {
		status, diag, _ := strings.Cut(text, "|")
		b := ParseBounce(parseBytes(t, "Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822;a@b.c\nAction: failed\nStatus: "+status+"\nDiagnostic-Code: smtp; "+diag+"\n"))
		if len(b.Recipients) != 1 {
			t.Fatalf("%s: %+v", text, b)
		}
		hard := reason == "user_unknown" || reason == "host_unknown" || reason == "no_mail" || reason == "moved"
		if r := b.Recipients[0]; r.Reason != reason || r.Hard != hard {
			t.Errorf("%s: got %s hard=%v, want %s hard=%v", text, r.Reason, r.Hard, reason, hard)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, raw, from, class string }{
		{"person", "From: a@b.c\nSubject: hi\n\nx", "a@b.c", "none"},
		{"person, not automatic", "Auto-Submitted: no\n\nx", "a@b.c", "none"},
		{"person on vacation", "Subject: Vacation photos\n\nx", "a@b.c", "none"},
		{"report", report, "", "bounce"},
		{"report with an envelope sender", report, "postmaster@mx.example", "bounce"},
		{"delayed report", strings.NewReplacer("Action: failed", "Action: delayed", "Action: relayed", "Action: delayed").Replace(report), "", "delayed"},
		{"null sender", "Subject: hi\n\nx", "", "bounce"},
		{"null sender in brackets", "Subject: hi\n\nx", "<>", "bounce"},
		{"mail system without report", "From: Mail Delivery System <mailer-daemon@x.example>\nAuto-Submitted: auto-replied\nSubject: Mail delivery failed: returning message to sender\n\nx", "", "bounce"},
		{"mail system, delay", "From: mailer-daemon@x.example\nSubject: Warning: message 1 delayed 24 hours\n\nx", "", "delayed"},
		{"feedback", "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n--b--", "fbl@x.example", "feedback"},
		{"feedback with null sender", "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n--b--", "", "feedback"},
		{"auto-replied", "AUTO-SUBMITTED: Auto-Replied (vacation)\n\nx", "a@b.c", "autoreply"},
		{"auto-replied with null sender", "Auto-Submitted: auto-replied\nSubject: I am away\n\nx", "", "autoreply"},
		{"x-autoreply", "X-Autoreply: yes\n\nx", "a@b.c", "autoreply"},
		{"x-autoreply: no", "X-Autoreply: no\n\nx", "a@b.c", "none"},
		{"x-autogenerated: reply", "X-Autogenerated: Reply\n\nx", "a@b.c", "autoreply"},
		{"exchange rules", "X-MS-Exchange-Inbox-Rules-Loop: a@b.c\n\nx", "a@b.c", "autoreply"},
		{"precedence auto_reply", "Precedence: auto_reply\n\nx", "a@b.c", "autoreply"},
		{"vacation words and precedence", "Subject: Out of office: hi\nPrecedence: bulk\n\nx", "a@b.c", "autoreply"},
		{"vacation words, encoded", "Subject: =?utf-8?q?R=C3=A9ponse_automatique?=\nX-Auto-Response-Suppress: All\n\nx", "a@b.c", "autoreply"},
		{"receipt", "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n--b\n\nread\n--b--", "a@b.c", "autoreply"},
		{"list", "List-Id: <l.example>\nPrecedence: bulk\n\nx", "a@b.c", "list"},
		{"list by precedence", "Precedence: list\n\nx", "a@b.c", "list"},
		{"bulk", "List-Unsubscribe: <mailto:u@x.example>\nAuto-Submitted: auto-generated\n\nx", "a@b.c", "bulk"},
		{"junk", "Precedence: junk\n\nx", "a@b.c", "bulk"},
		{"alarm", "Auto-Submitted: auto-generated\nSubject: disk full\n\nx", "a@b.c", "notification"},
		{"alarm with null sender", "Auto-Submitted: auto-generated\nSubject: disk full\n\nx", "", "notification"},
		{"feedback id", "Feedback-ID: 1:x\n\nx", "a@b.c", "notification"},
		{"report attached by a person", "From: a@b.c\nSubject: look\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\nlook\n--m\nContent-Type: message/rfc822\n\n" + report + "\n--m--", "a@b.c", "none"},
	}
	for _, tt := range tests {
		got := Classify(parseBytes(t, tt.raw), tt.from)
		if got.Class != tt.class {
			t.Errorf("%s: got %s %q, want %s", tt.name, got.Class, got.Reasons, tt.class)
		}
		if (got.Class == "none") != (len(got.Reasons) == 0) {
			t.Errorf("%s: reasons %q", tt.name, got.Reasons)
		}
	}
}
