package main

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"ticketgate/test/corpora"
)

// TestQuotationsThroughTheFrontDoor sends the texts of quotations/ as mails over
// SMTP and scores what the API shows as newly written.
func TestQuotationsThroughTheFrontDoor(t *testing.T) {
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	d.start()
	conn := dialExact(t, d.smtp)
	type shown struct {
		Text    string
		Visible string `json:"visible_text"`
		Quoted  string `json:"quoted_text"`
	}
	seen := map[string]shown{}
	var scores corpora.Splits
	for _, row := range corpora.Quotations(t) {
		m, ok := seen[row.File]
		if !ok {
			from := fmt.Sprintf("sender%d@customer.example", len(seen))
			answer, err := conn.deliver(from, desk, quotationMail(t, row.File, from))
			if err != nil {
				t.Fatalf("%s: %v", row.File, err)
			}
			var r struct {
				Outcomes []struct{ Outcome, Message string }
			}
			d.get("/receipts/"+receiptID.FindString(answer), nil, &r)
			if len(r.Outcomes) != 1 || r.Outcomes[0].Message == "" {
				t.Fatalf("%s: %+v", row.File, r)
			}
			d.get("/messages/"+url.PathEscape(r.Outcomes[0].Message), nil, &m)
			seen[row.File] = m
			if a, b := len(strings.Fields(m.Text)), len(strings.Fields(m.Visible))+len(strings.Fields(m.Quoted)); a != b {
				t.Errorf("%s: %d words became %d", row.File, a, b)
			}
		}
		scores.Judge(t, row, m.Visible, m.Quoted)
	}
	scores.Report(t)
}

// quotationMail makes a mail of a text or a page of quotations/; the mails among
// them go as they are.
func quotationMail(t *testing.T, file, from string) []byte {
	t.Helper()
	if filepath.Ext(file) == ".eml" {
		return wireForm(t, corpora.Path(t, "quotations", file))
	}
	body := corpora.Read(t, "quotations", file)
	kind := "text/plain"
	if filepath.Ext(file) == ".html" {
		kind = "text/html"
	}
	if utf8.ValidString(body) {
		kind += "; charset=utf-8"
	}
	head := fmt.Sprintf("From: %s\nTo: %s\nSubject: About %s\nMessage-ID: <%s>\nDate: Mon, 02 Nov 2026 09:00:00 +0000\nMIME-Version: 1.0\nContent-Type: %s\nContent-Transfer-Encoding: base64\n\n", from, desk, from, from, kind)
	var b strings.Builder
	b.WriteString(head)
	lines := base64.StdEncoding.EncodeToString([]byte(body))
	for ; len(lines) > 76; lines = lines[76:] {
		b.WriteString(lines[:76] + "\n")
	}
	b.WriteString(lines + "\n")
	return []byte(corpora.CRLF(b.String()))
}
