package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ticketgate/delivery/dkim"
	"ticketgate/ticketing/store/storetest"
)

// dkim test judges each signature of a mail by itself: what holds, and why not.
// No daemon has to run.
func TestDKIMTest(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	keys := dkim.New(dkim.Options{DB: storetest.Open(t), Random: rand.Reader, Now: time.Now})
	if err := keys.Ensure(t.Context(), "help.example"); err != nil {
		t.Fatal(err)
	}
	const mail = "From: support@help.example\r\nTo: anna@customer.example\r\nSubject: hi\r\n\r\nIt burns.\r\n"
	fields, err := keys.Sign(t.Context(), "help.example", strings.NewReader(mail))
	if err != nil {
		t.Fatal(err)
	}
	signed := string(fields) + mail
	test := func(text string) (result map[string]string, out string, code int) {
		out, code = d.cli(text, "dkim", "test", "-")
		raw, _ := d.cli(text, "dkim", "test", "-", "-o", "json")
		var tested testedMail
		if err := json.NewDecoder(bytes.NewReader([]byte(raw[strings.Index(raw, "{"):]))).Decode(&tested); err != nil {
			t.Fatal(err, raw)
		}
		result = map[string]string{}
		for _, s := range tested.Signatures {
			result[s.Algorithm] = string(s.Result)
		}
		return result, out, code
	}
	expect := func(step, text string, rsa, ed, words string, wantCode int) {
		t.Helper()
		got, out, code := test(text)
		if got["rsa-sha256"] != rsa || got["ed25519-sha256"] != ed || !strings.Contains(out, words) || code != wantCode {
			t.Errorf("%s: %v, exit %d\n%s", step, got, code, out)
		}
	}
	expect("nothing is published", signed, "permerror", "permerror", "2 of 2 signatures do not hold", 1)
	records, err := keys.Records(t.Context(), "help.example")
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		d.dns.TXT(r.Name, r.Text)
		if i == 0 {
			expect("one key is published", signed, "pass", "permerror", "1 of 2 signatures do not hold", 1)
		}
	}
	expect("as it was sent", signed, "pass", "pass", "header, body and key agree", 0)
	expect("kept with LF", strings.ReplaceAll(signed, "\r\n", "\n"), "pass", "pass", "judged with CRLF", 0)
	expect("a word was added", signed+"Send money.\r\n", "fail", "fail", "the body was changed", 1)
	expect("another subject", strings.Replace(signed, "Subject: hi", "Subject: ho", 1), "fail", "fail", "the signature does not match", 1)
	expect("in another's name", strings.Replace(signed, "From: support@", "From: boss@", 1), "fail", "fail", "the signature does not match", 1)
	expect("unsigned", mail, "", "", "the mail has no DKIM signature", 1)
	if out, code := d.cli("", "dkim", "test", "/nonexistent/mail"); code != 2 || !strings.Contains(out, "no such file") {
		t.Errorf("a file that is not there: exit %d, %s", code, out)
	}
}
