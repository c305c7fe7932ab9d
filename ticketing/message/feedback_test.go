package message

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wantFeedback is a decoded report of the corpus. null, [], 0 and "Unspecified"
// mean absent.
type wantFeedback struct {
	Type       string   `json:"feedback_type"`
	Arrival    int64    `json:"arrival_date"`
	Auth       []string `json:"authentication_results"`
	Incidents  int      `json:"incidents"`
	EnvelopeID string   `json:"original_envelope_id"`
	From       string   `json:"original_mail_from"`
	Rcpt       string   `json:"original_rcpt_to"`
	Domains    []string `json:"reported_domain"`
	URIs       []string `json:"reported_uri"`
	MTA        string   `json:"reporting_mta"`
	IP         string   `json:"source_ip"`
	Agent      string   `json:"user_agent"`
	Version    int      `json:"version"`
	Port       int      `json:"source_port"`
	Failure    string   `json:"auth_failure"`
	Delivery   string   `json:"delivery_result"`
	ADSPDNS    string   `json:"dkim_adsp_dns"`
	Body       string   `json:"dkim_canonicalized_body"`
	Header     string   `json:"dkim_canonicalized_header"`
	Domain     string   `json:"dkim_domain"`
	Identity   string   `json:"dkim_identity"`
	Selector   string   `json:"dkim_selector"`
	KeyDNS     string   `json:"dkim_selector_dns"`
	SPFDNS     string   `json:"spf_dns"`
	Alignment  string   `json:"identity_alignment"`
	Headers    string   `json:"headers"`
}

// TestFeedbackCorpus: five reports, every field of each.
func TestFeedbackCorpus(t *testing.T) {
	t.Parallel()
	files := corpusFiles(t, "arf", func(n string) bool { return strings.HasSuffix(n, ".json") })
	fields := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want wantFeedback
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		m := parseFile(t, strings.TrimSuffix(file, ".json")+".eml")
		f := ParseFeedback(m)
		if f == nil {
			t.Errorf("%s: no report", name)
			continue
		}
		if class := Classify(m, "").Class; class != "feedback" {
			t.Errorf("%s: class %s", name, class)
		}
		ip, arrival := "", int64(0)
		if f.SourceIP.IsValid() {
			ip = f.SourceIP.String()
		}
		if !f.ArrivalDate.IsZero() {
			arrival = f.ArrivalDate.Unix()
		}
		word := func(s string) string { // their spelling of a keyword
			if s == "Unspecified" {
				return ""
			}
			return strings.ToLower(strings.ReplaceAll(s, "-", ""))
		}
		var header Header
		if want.Headers != "" {
			header = fieldsOf(want.Headers)
		} else {
			header = f.ReturnedHeader // the corpus leaves nested mails out
		}
		for field, pair := range map[string][2]any{
			"type": {word(f.Type), word(want.Type)}, "arrival": {arrival, want.Arrival}, "authentication": {flat(f.AuthResults...), flat(want.Auth...)},
			"incidents": {f.Incidents, want.Incidents}, "envelope id": {f.EnvelopeID, want.EnvelopeID}, "mail from": {f.OriginalMailFrom, strings.Trim(want.From, "<>")},
			"rcpt to": {flat(f.OriginalRcptTo...), strings.Trim(want.Rcpt, "<>")}, "domains": {flat(f.ReportedDomains...), flat(want.Domains...)}, "URIs": {flat(f.ReportedURIs...), flat(want.URIs...)},
			"MTA": {f.ReportingMTA, want.MTA}, "source": {ip, want.IP}, "agent": {f.UserAgent, want.Agent}, "version": {f.Version, want.Version}, "port": {f.SourcePort, want.Port},
			"failure": {word(f.AuthFailure), word(want.Failure)}, "delivery": {word(f.DeliveryResult), word(want.Delivery)}, "ADSP": {f.DKIMADSPDNS, want.ADSPDNS},
			"body": {f.DKIMBody, noSpace(want.Body)}, "header": {f.DKIMHeader, noSpace(want.Header)}, "DKIM domain": {f.DKIMDomain, want.Domain}, "identity": {f.DKIMIdentity, want.Identity},
			"selector": {f.DKIMSelector, want.Selector}, "key": {f.DKIMSelectorDNS, want.KeyDNS}, "SPF": {f.SPFDNS, want.SPFDNS}, "alignment": {flat(f.IdentityAlignment...), word(want.Alignment)},
			"returned": {fieldsText(f.ReturnedHeader), fieldsText(header)},
		} {
			fields++
			if pair[0] != pair[1] {
				t.Errorf("%s: %s: got %v, want %v", name, field, pair[0], pair[1])
			}
		}
	}
	if len(files) != 5 {
		t.Errorf("%d reports", len(files))
	}
	t.Logf("%d reports, %d fields", len(files), fields)
}

func flat(list ...string) string {
	return strings.Join(strings.Fields(strings.Join(list, " ")), " ")
}

func fieldsText(h Header) string {
	var b strings.Builder
	for _, f := range h {
		b.WriteString(f.Name + ":" + flat(f.Value) + "\n")
	}
	return b.String()
}

// TestFeedbackOfAComplaint is what the desk needs: whom to opt out, and of which
// mail.
func TestFeedbackOfAComplaint(t *testing.T) {
	t.Parallel()
	raw := "From: fbl@provider.example\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\nSomebody complains.\n--b\nContent-Type: message/feedback-report\n\n" +
		"Feedback-Type: Abuse\nUser-Agent: FBL/1 \nVersion: 1\nOriginal-Mail-From: <bounces+1@help.example>\nOriginal-Rcpt-To: <anna@customer.example>\nOriginal-Rcpt-To: rfc822;bo@customer.example\n" +
		"Source-IP: [2001:db8::1]\nSource-Port: 2525\nIncidents: 3\nArrival-Date: Sun, 1 Mar 2026 10:00:00 +0100\nReported-Domain: help.example\nReported-URI: https://help.example/x\n" +
		"--b\nContent-Type: message/rfc822\n\nMessage-ID: <ours@help.example>\nTo: anna@customer.example\nSubject: news\n\ntext\n--b--\n"
	m := parseBytes(t, raw)
	f := ParseFeedback(m)
	if f == nil {
		t.Fatal("no report")
	}
	if f.Type != "abuse" || f.OriginalMailFrom != "bounces+1@help.example" || flat(f.OriginalRcptTo...) != "anna@customer.example bo@customer.example" ||
		f.SourceIP != netip.MustParseAddr("2001:db8::1") || f.SourcePort != 2525 || f.Incidents != 3 || !f.ArrivalDate.Equal(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)) ||
		flat(f.Returned...) != "<ours@help.example>" || f.ReturnedHeader.Get("Subject") != "news" || f.UserAgent != "FBL/1" {
		t.Errorf("%+v", f)
	}
	b := ParseBounce(m)
	if b == nil || len(b.Recipients) != 2 {
		t.Fatalf("%+v", b)
	}
	out, err := json.Marshal(b)
	if want := `{"feedback_type":"abuse","recipients":[{"address":"anna@customer.example","action":"delivered","status":"2.0.0","smtp_code":0,"hard":false,"reason":"complaint","diagnostic":"FBL/1"},`; err != nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("%s, %v", out, err)
	}
}

// TestFeedbackVariants: reports that say little, or lie.
func TestFeedbackVariants(t *testing.T) {
	t.Parallel()
	part := func(fields string) string {
		return "From: a@b.c\nContent-Type: message/feedback-report\n\n" + fields
	}
	for name, tt := range map[string]struct{ raw, want string }{
		"empty":                   {part(""), "other  0"},
		"no such IP":              {part("Feedback-Type: fraud\nSource-IP: 999.1.1.1\n"), "fraud  0"},
		"IP with a comment":       {part("Feedback-Type: virus\nSource-IP: 192.0.2.1 (mx.example)\n"), "virus 192.0.2.1 0"},
		"port that is no number":  {part("Feedback-Type: abuse\nSource-Port: x\n"), "abuse  0"},
		"not spam":                {part("Feedback-Type: not-spam\nSource-Port: 25\n"), "not-spam  25"},
		"CRLF and a leading line": {part("\r\nFeedback-Type: abuse\r\nSource-Port: 25\r\n"), "abuse  25"},
		"text only":               {"From: a@b.c\nSubject: abuse report\n\nFeedback-Type: abuse\n", "none"},
		"returned complaint":      {"From: staff@provider.example\nSubject: complaint about message from 192.0.2.9\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nX-HmXmrOriginalRecipient: <anna@x.example>\nSubject: news\n\nx\n--b--", "abuse 192.0.2.9 0"},
		"complaint by a person":   {"From: anna@x.example\nSubject: complaint about message from 192.0.2.9\n\nThat was rude.", "none"},
		"in an attached mail":     {"From: a@b.c\nContent-Type: message/rfc822\n\n" + part("Feedback-Type: abuse\n"), "none"},
	} {
		f := ParseFeedback(parseBytes(t, tt.raw))
		got := "none"
		if f != nil {
			ip := ""
			if f.SourceIP.IsValid() {
				ip = f.SourceIP.String()
			}
			got = fmt.Sprint(f.Type, " ", ip, " ", f.SourcePort)
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestNoticeOfAProvider: a provider's JSON counts only in a mail that bears the
// provider's mark.
func TestNoticeOfAProvider(t *testing.T) {
	t.Parallel()
	mark := "From: no-reply@sns.provider.example\nX-Amz-Sns-Message-Id: 1\n\n"
	for name, tt := range map[string]struct{ raw, want string }{
		"bounce":         {mark + `{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"gone@x.example","action":"failed","status":"5.1.1","diagnosticCode":"smtp; 550 5.1.1 no such user"}]},"mail":{"headers":[{"name":"Message-ID","value":"<1@help.example>"}]}}`, "bounce gone@x.example failed 5.1.1 user_unknown <1@help.example>"},
		"folded":         {mark + "{\"notificationType\":\"Bounce\",\"bounce\":{\"bouncedRecipients\":[{\"emailAddress\":\"gone@x.ex!\n ample\",\"status\":\"5.2.2\"}]}}", "bounce gone@x.example failed 5.2.2 mailbox_full"},
		"delivery":       {mark + `{"eventType":"Delivery","delivery":{"recipients":["anna@x.example"],"smtpResponse":"250 2.6.0 ok"}}`, "bounce anna@x.example delivered 2.6.0 delivered"},
		"complaint":      {mark + `{"notificationType":"Complaint","complaint":{"complainedRecipients":[{"emailAddress":"anna@x.example"}]}}`, "feedback anna@x.example delivered 2.0.0 complaint"},
		"something else": {mark + `{"notificationType":"AmazonSnsSubscriptionSucceeded"}`, "none"},
		"no JSON":        {mark + `{"notificationType":`, "none"},
		"without mark":   {"From: anna@x.example\n\n" + `{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"gone@x.example"}]}}`, "none"},
		"no address":     {mark + `{"notificationType":"Complaint","complaint":{"complainedRecipients":[{"emailAddress":"anna"}]}}`, "feedback"},
	} {
		m := parseBytes(t, tt.raw)
		got := Classify(m, "service@provider.example").Class
		if b := ParseBounce(m); b != nil {
			for _, r := range b.Recipients {
				got += " " + r.Address + " " + r.Action + " " + r.Status + " " + r.Reason
			}
			got = strings.TrimSpace(got + " " + strings.Join(b.Returned, " "))
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}
