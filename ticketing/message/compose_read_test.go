package message

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What Compose writes, Parse reads back: subject, names, identifiers, text,
// HTML, file names and files.
func TestComposeIsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-zA-Z0-9äöüßé日本🙂,;:.<>()@"=?_-]{1,30}`)
		name := rapid.StringMatching(`[a-zA-Z0-9äöüßé日本🙂][a-zA-Z0-9äöüßé日本🙂,;:.()@=?_-]{0,30}( [a-z,é]{1,8}){0,20}`)
		phrase := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(word, 1, 12).Draw(t, "words"), " ")
		})
		d := Draft{
			From:       Address{Name: name.Draw(t, "from"), Addr: "support@help.example"},
			To:         []Address{{Name: name.Draw(t, "to"), Addr: "anna@customer.example"}, {Addr: "b@customer.example"}},
			Subject:    phrase.Draw(t, "subject"),
			Date:       composeDate,
			MessageID:  "<id@help.example>",
			InReplyTo:  "<other@customer.example>",
			References: []string{"<root@customer.example>", "<" + strings.Repeat("long", 40) + "@customer.example>", "<other@customer.example>"},
			Text:       strings.Join(rapid.SliceOfN(phrase, 1, 5).Draw(t, "text"), "\n"),
			HTML:       "<p>" + strings.Join(rapid.SliceOfN(word, 1, 30).Draw(t, "html"), " ") + "</p>",
			Attachments: []Attachment{{
				Filename:    strings.Join(rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9äöü日本🙂-]{1,20}`), 1, 5).Draw(t, "file"), " ") + ".pdf",
				ContentType: "application/pdf",
				Open:        fileOf(phrase.Draw(t, "content")),
			}},
		}
		var b bytes.Buffer
		if err := Compose(&b, d, nil); err != nil {
			t.Fatal(err)
		}
		m, err := Parse(bytes.NewReader(b.Bytes()), int64(b.Len()), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		equal := func(what, got, want string) {
			if got != want {
				t.Fatalf("%s: %q, want %q in\n%s", what, got, want, b.String())
			}
		}
		if len(m.Problems) > 0 {
			t.Fatalf("problems: %q", m.Problems)
		}
		equal("subject", m.Header.Text("Subject"), d.Subject)
		from, to := m.Header.Addresses("From"), m.Header.Addresses("To")
		if len(from) != 1 || len(to) != 2 {
			t.Fatalf("From %v, To %v", from, to)
		}
		equal("From", from[0].Name, cut(d.From.Name, maxDisplay))
		equal("To", to[0].Name, cut(d.To[0].Name, maxDisplay))
		equal("To", to[0].Addr, d.To[0].Addr)
		equal("References", strings.Join(m.Header.IDs("References"), " "), strings.Join(d.References, " "))
		equal("In-Reply-To", strings.Join(m.Header.IDs("In-Reply-To"), " "), d.InReplyTo)
		if at, ok := m.Header.Date(); !ok || !at.Equal(d.Date) {
			t.Fatalf("Date %v", at)
		}
		equal("text", strings.TrimRight(m.Text(), "\n"), d.Text)
		equal("HTML", strings.TrimSpace(m.HTML()), d.HTML)
		files := m.Attachments()
		if len(files) != 1 {
			t.Fatalf("%d attachments", len(files))
		}
		equal("file name", files[0].Filename, d.Attachments[0].Filename)
		content, _ := d.Attachments[0].Open()
		want, _ := io.ReadAll(content)
		got, _ := io.ReadAll(m.Open(files[0]))
		equal("file", string(got), string(want))
	})
}

func TestComposeMakesTextFromHTML(t *testing.T) {
	t.Parallel()
	d := composeCases()["plain"]
	d.Text, d.HTML = "", "<p>Please <b>unplug</b> it.</p>"
	s := composed(t, d)
	text := strings.TrimSpace(HTMLToText(d.HTML))
	if !strings.Contains(s, "multipart/alternative") || !strings.Contains(s, "\r\n\r\n"+text+"\r\n") {
		t.Errorf("no text %q in\n%s", text, s)
	}
}
