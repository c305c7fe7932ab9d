package ticketing_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ticketgate/ticketing/message"
)

var (
	// identity are the fields of a published answer that a test gives anew.
	identity   = regexp.MustCompile(`(?mi)^(From|Sender|To|Cc|Bcc|Subject|Message-ID|In-Reply-To|References|Return-Path|Reply-To|DKIM-Signature|Delivered-To):[^\n]*\n([ \t][^\n]*\n)*`)
	encoded    = regexp.MustCompile(`(?s)Content-Transfer-Encoding: base64\n\n(.*?)\n\n--`)
	lastQuoted = regexp.MustCompile(`(?m)^>[^\n]*\n?`)
)

// replied is an answer as a mail program wrote it, with other people and ids:
// the way it quotes and the parts it makes are the program's.
func replied(raw []byte, head string) string {
	text := strings.ReplaceAll(string(raw), "\r\n", "\n")
	if strings.HasPrefix(text, "From ") {
		_, text, _ = strings.Cut(text, "\n")
	}
	header, body, _ := strings.Cut(text, "\n\n")
	header = identity.ReplaceAllString(header+"\n", "")
	return head + header + "\n" + body
}

// quoting puts a line at the end of what the program quotes.
func quoting(raw []byte, line string) []byte {
	text := strings.ReplaceAll(string(raw), "\r\n", "\n")
	if m := encoded.FindStringSubmatchIndex(text); m != nil {
		plain, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text[m[2]:m[3]]), ""))
		if err == nil {
			return []byte(text[:m[2]] + base64.StdEncoding.EncodeToString(quoting(plain, line)) + text[m[3]:])
		}
	}
	if all := lastQuoted.FindAllStringIndex(text, -1); len(all) > 0 {
		at := all[len(all)-1][1]
		return []byte(strings.TrimSuffix(text[:at], "\n") + "\n> " + line + "\n" + text[at:])
	}
	for _, end := range []string{"</blockquote>", "</body>", "</BODY>", "</html>", "</div>"} {
		if at := strings.LastIndex(text, end); at > 0 {
			return []byte(text[:at] + "<p>" + line + "</p>\n" + text[at:])
		}
	}
	return []byte(text + "\n" + line + "\n")
}

// Answers that real mail programs wrote find their ticket: by our Message-ID,
// and, if the program or a relay lost all ids, by the marker in the quotation.
func TestAnswersOfMailPrograms(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(corpora(t), "quotations", "talon", "standard_replies", "*.eml"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d answers, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		b, n := openWithTicket(t)
		p := b.publish(n, "Is it plugged in?")
		l := b.mailTo(n, p.Mail, rAddr, message.RoleRequester, false)
		head := "From: Anna <" + rAddr + ">\nTo: " + helpdsk + "\nCc: " + cAddr + "\nSubject: something\nMessage-ID: <1-" + name + ">\n"
		m := b.message(b.take(mail{from: rAddr, text: replied(raw, head+"In-Reply-To: "+l.id+"\nReferences: "+l.id+"\n")}).Message)
		if m.Ticket != n || m.MatchedBy != "in_reply_to" || m.Visibility != "public" {
			t.Errorf("%s, by id: ticket %d, %s, %s", name, m.Ticket, m.MatchedBy, m.Visibility)
		}
		head = strings.Replace(head, "<1-", "<2-", 1)
		marked := quoting(raw, b.marker(n, p.Mail, rAddr, message.RoleRequester, false))
		if bytes.Equal(marked, raw) {
			t.Errorf("%s: nowhere to quote", name)
		}
		if m = b.message(b.take(mail{from: rAddr, text: replied(marked, head)}).Message); m.Ticket != n || m.MatchedBy != "body_token" {
			t.Errorf("%s, by marker: ticket %d, %s", name, m.Ticket, m.MatchedBy)
		}
	}
	t.Logf("%d programs", len(files))
}
