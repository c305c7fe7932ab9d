package dkim

import (
	"bytes"
	"context"
	"io"
	"maps"
	"strings"
	"testing"

	"ticketgate/test/peers"
	"ticketgate/ticketing/message"
)

// The real verifiers of other people read our signatures, and find our keys by
// asking a name server that serves Records as they would be published.

// peerHead is what OpenDKIM wants to see in every mail.
const peerHead = "From: a@help.example\r\nDate: Mon, 02 Nov 2026 09:30:00 +0100\r\n"

// peerMails are what the verifiers have to agree on.
var peerMails = map[string]string{
	"sample":     sampleMail,
	"empty body": peerHead + "Subject: x\r\n\r\n",
	"blanks":     peerHead + "Subject:   a \t b\r\n  c \r\nCc:\r\n\r\n  \r\n  x  y  \r\n\r\n \r\n z \r\n \r\n",
	"lists":      peerHead + "List-Id: <x>\r\nList-Unsubscribe: <https://x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nAuto-Submitted: auto-generated\r\n\r\nx\r\n",
	"large":      peerHead + "\r\n" + strings.Repeat("some  words here\r\n", 20_000),
}

func TestPeersAcceptOurSignatures(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves out real peers")
	}
	t.Parallel()
	k := testKeys(t)
	records, err := k.Records(context.Background(), testDomain)
	if err != nil {
		t.Fatal(err)
	}
	port := peers.ServeTXT(t, texts(records))
	for name, judge := range map[string]peers.Verifier{"opendkim-testmsg": peers.OpenDKIM(t, port), "dkimverify": peers.Dkimpy(t, port)} {
		t.Run(name, func(t *testing.T) {
			mails := maps.Clone(peerMails)
			mails["composed"] = composedMail(t)
			for mailName, mail := range mails {
				for alg, field := range split(t, k, mail) {
					if ok, out := judge.Accepts(t, field+mail); !ok {
						t.Errorf("refuses the %s signature of %q: %s", alg, mailName, out)
					}
				}
			}
			if ok, out := judge.Accepts(t, signed(t, k, sampleMail)); !ok {
				t.Errorf("refuses a mail with both signatures: %s", out)
			}
			// A judge that accepts everything proves nothing.
			for alg, field := range split(t, k, sampleMail) {
				for what, changed := range map[string]string{
					"a changed octet":   field + strings.Replace(sampleMail, "unplug", "unplUg", 1),
					"a second From":     field + "From: x@help.example\r\n" + sampleMail,
					"a second Subject":  field + "Subject: x\r\n" + sampleMail,
					"a second Reply-To": field + "Reply-To: x@help.example\r\n" + sampleMail,
					"a Cc added":        field + "Cc: x@help.example\r\n" + sampleMail,
					"another signature": strings.Replace(field, "\r\n b=", "\r\n b=BBBB", 1) + sampleMail,
				} {
					if ok, _ := judge.Accepts(t, changed); ok {
						t.Errorf("accepts the %s signature of a mail with %s", alg, what)
					}
				}
			}
		})
	}
}

// composedMail is a mail as we really send it.
func composedMail(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	err := message.Compose(&b, message.Draft{
		From:      message.Address{Name: "Jürgen via Support", Addr: "support@help.example"},
		To:        []message.Address{{Name: "Kunde, Anna", Addr: "anna@customer.example"}},
		Subject:   "Re: [#1001] Größenänderung der Übersetzung für die gesamte Niederlassung in Überlingen",
		Date:      signTime,
		MessageID: "<aeb4q3@help.example>",
		Extra:     []message.Field{{Name: "Auto-Submitted", Value: "auto-replied"}},
		Text:      "Grüße \n\n.\nFrom us\n\n\n",
		HTML:      "<p>Grüße</p>\n\n",
		Attachments: []message.Attachment{{Filename: "März.pdf", ContentType: "application/pdf",
			Open: func() (io.Reader, error) { return strings.NewReader("%PDF"), nil }}},
	}, []byte("seed"))
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// split returns the signature fields of a mail one by one.
func split(t *testing.T, k *Keys, mail string) map[string]string {
	t.Helper()
	fields := strings.TrimSuffix(signed(t, k, mail), mail)
	at := strings.LastIndex(fields, "DKIM-Signature:")
	if at <= 0 {
		t.Fatalf("not two signatures:\n%s", fields)
	}
	return map[string]string{"RSA": fields[:at], "Ed25519": fields[at:]}
}

func texts(records []Record) map[string]string {
	out := map[string]string{}
	for _, r := range records {
		out[r.Name] = r.Text
	}
	return out
}
