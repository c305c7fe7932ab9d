package main

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"ticketgate/test/corpora"
)

// pageMail is a mail with a page, two pictures of its own, one elsewhere, and
// what a page must not do.
const pageMail = `From: Anna <anna@customer.example>
To: support@help.example
Subject: See the page
Message-ID: <page@customer.example>
Date: Mon, 02 Nov 2026 09:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/related; boundary=b

--b
Content-Type: text/html; charset=utf-8

<div>My answer.<script>alert(1)</script><img src="cid:logo@customer.example" onerror="alert(1)"><img src="cid:drawing@customer.example">
<img src="https://spy.example/seen.gif" width=1 height=1><span style="display:none">hidden words</span></div></td></div>
<div class="gmail_quote"><div class="gmail_attr">Xyz</div><blockquote class="gmail_quote">older words</blockquote></div>
--b
Content-Type: image/png
Content-ID: <logo@customer.example>
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--b
Content-Type: image/svg+xml
Content-ID: <drawing@customer.example>

<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>
--b--
`

// TestPageThroughTheFrontDoor: an agent's view of a page, over SMTP and API.
func TestPageThroughTheFrontDoor(t *testing.T) {
	d := newDaemon(t, "", "\n[queue.support]\naddress = \"support@help.example\"\n")
	d.start()
	answer, err := dialExact(t, d.smtp).deliver("anna@customer.example", desk, []byte(corpora.CRLF(pageMail)))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Outcomes []struct{ Message string }
	}
	d.get("/receipts/"+receiptID.FindString(answer), nil, &r)
	var m struct {
		HTML    string
		Visible string `json:"visible_text"`
		Quoted  string `json:"quoted_text"`
	}
	d.get("/messages/"+url.PathEscape(r.Outcomes[0].Message), nil, &m)
	if m.Visible != "My answer." || !strings.Contains(m.Quoted, "older words") {
		t.Errorf("visible %q, quoted %q", m.Visible, m.Quoted)
	}
	for _, bad := range []string{"script", "alert", "onerror", "</td>", ` src="https:`} {
		if strings.Contains(m.HTML, bad) {
			t.Errorf("%q in %s", bad, m.HTML)
		}
	}
	for _, good := range []string{`<img data-src="https://spy.example/seen.gif"`, `<img data-cid="drawing@customer.example">`, `<span data-hidden="display">hidden words</span>`} {
		if !strings.Contains(m.HTML, good) {
			t.Errorf("no %s in %s", good, m.HTML)
		}
	}
	picture := regexp.MustCompile(`<img src="/api/v1(/attachments/[^"]+)" data-cid="logo@customer.example">`).FindStringSubmatch(m.HTML)
	if picture == nil {
		t.Fatalf("the picture has no address in %s", m.HTML)
	}
	got, err := d.api.call(context.Background(), http.MethodGet, picture[1], nil, "", nil)
	if err != nil || string(got) != "\x89PNG\r\n\x1a\n" {
		t.Errorf("the picture is %q, %v", got, err)
	}
}
