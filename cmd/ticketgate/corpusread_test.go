package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"ticketgate/ticketing/message"
)

// corpusRun sends the mails of one folder and scores what comes back.
type corpusRun struct {
	t        *testing.T
	d        *daemon
	folder   string
	envelope string
	scores   map[string]*corpusScore
	outcomes map[string]int
	expected map[string][]map[string]string // rows of expected.tsv by file
}

type corpusScore struct{ met, all int }

// floors are percentages. The first four are no matter of opinion.
var corpusFloors = map[string]float64{
	"accepted": 100, "raw bytes": 100, "same as the package": 100, "attachment bytes": 100,
	"text": 97, "attachments": 97, "names": 97, "hashes": 97,
	"subject": 97, "address": 97, "listed attachment": 94,
}

func (c *corpusRun) check(kind, file string, ok bool, format string, args ...any) {
	s := c.scores[kind]
	if s == nil {
		s = &corpusScore{}
		c.scores[kind] = s
	}
	s.all++
	if ok {
		s.met++
		return
	}
	text := fmt.Sprintf(format, args...)
	c.t.Logf("%s: %s: %s", filepath.Base(file), kind, text[:min(len(text), 400)])
}

func (c *corpusRun) report(mails int) {
	c.t.Helper()
	c.t.Logf("%d mails: %v", mails, c.outcomes)
	for kind, s := range c.scores {
		pct := 100 * float64(s.met) / float64(s.all)
		c.t.Logf("%-20s %4d of %4d  %5.1f %%", kind, s.met, s.all, pct)
		if floor, ok := corpusFloors[kind]; !ok || pct < floor {
			c.t.Errorf("%s: %.1f %% is under the floor of %.1f %%", kind, pct, floor)
		}
	}
}

// apiMessage is what the API shows of a message.
type apiMessage struct {
	Subject, Text string
	From, To      []struct{ Address string }
	Attachments   []apiAttachment
}

type apiAttachment struct {
	ID, Filename, SHA256 string
	ContentType          string `json:"content_type"`
	Size                 int64
}

// mail sends one file, reads it back and returns what became of it.
func (c *corpusRun) mail(file string) string {
	raw := wireForm(c.t, file)
	// One connection each: after a mail whose end is in doubt (a lone dot
	// among CR CR LF) the daemon takes the mail and ends the session.
	conn := dialExact(c.t, c.d.smtp)
	defer conn.conn.Close()
	answer, err := conn.deliver(c.envelope, desk, raw)
	if err != nil {
		// The only thing to refuse these mails for.
		c.check("accepted", file, strings.Contains(err.Error(), "5.6.0 message has a From field naming several domains"), "%v", err)
		c.outcomes["refused"]++
		return "refused"
	}
	c.check("accepted", file, true, "")
	var r struct {
		Outcomes []struct{ Outcome, Message, Held string }
	}
	c.d.get("/receipts/"+receiptID.FindString(answer), nil, &r)
	if len(r.Outcomes) != 1 {
		c.t.Fatalf("%s: outcomes %+v", file, r)
	}
	o := r.Outcomes[0]
	if c.outcomes[o.Outcome]++; o.Outcome == "duplicate" {
		return o.Outcome
	}
	c.read(file, raw, o.Message, o.Held)
	return o.Outcome
}

// read fetches a mail back, from a ticket or from the held ones.
func (c *corpusRun) read(file string, raw []byte, id, held string) {
	path := "/messages/" + url.PathEscape(id)
	if id == "" {
		path = "/held/" + url.PathEscape(held)
	}
	got, err := c.fetch(path + "/raw")
	c.check("raw bytes", file, err == nil && bytes.Equal(got, raw), "%v: sent %d (%s), got %d (%s)", err, len(raw), digest(raw), len(got), digest(got))
	if id == "" {
		return
	}
	var m apiMessage
	c.d.get(path, nil, &m)
	mail, err := message.Parse(bytes.NewReader(raw), int64(len(raw)), message.DefaultLimits())
	if err != nil {
		c.t.Fatal(err)
	}
	files := c.attachments(file, mail, &m)
	c.want(file, mail, &m, files)
	c.rows(file, &m, files)
}

func (c *corpusRun) fetch(path string) ([]byte, error) {
	return c.d.api.call(context.Background(), http.MethodGet, path, nil, "", nil)
}

// attachments downloads every attachment and compares it with what the package
// reads out of the mail.
func (c *corpusRun) attachments(file string, mail *message.Mail, m *apiMessage) (contents [][]byte) {
	parts := mail.Attachments()
	same := m.Text == mail.Text() && len(parts) == len(m.Attachments)
	for i, a := range m.Attachments {
		got, err := c.fetch("/attachments/" + url.PathEscape(a.ID))
		contents = append(contents, got)
		if !same {
			continue
		}
		want, _ := io.ReadAll(mail.Open(parts[i]))
		c.check("attachment bytes", file, err == nil && bytes.Equal(got, want) && a.Size == int64(len(want)) && a.SHA256 == hexSum(want), "%s: %v, %d bytes, want %d", a.ID, err, len(got), len(want))
		same = same && a.Filename == parts[i].Filename && a.ContentType == parts[i].Type
	}
	c.check("same as the package", file, same, "%d attachments, want %d", len(m.Attachments), len(parts))
	return contents
}

// wantedMail is the description of a mail that lies beside it.
type wantedMail struct {
	TextBody    []int `json:"text_body"`
	Attachments []int `json:"attachments"`
	Parts       []struct {
		Headers []struct {
			Name  any             `json:"name"`
			Value json.RawMessage `json:"value"`
		} `json:"headers"`
		Problem bool                       `json:"is_encoding_problem"`
		Body    map[string]json.RawMessage `json:"body"`
	} `json:"parts"`
}

// want scores a message against that description. There is nothing to compare
// where the source's reader gave up on an encoding or leaves uuencode undone,
// where the line ends of the wire damage a text in two-byte characters, and in
// UTF-7, which is left undecoded on purpose. Of malformed mails the tree is a
// matter of opinion.
func (c *corpusRun) want(file string, mail *message.Mail, m *apiMessage, files [][]byte) {
	if c.folder != "mime/eml" || strings.Contains(file, "malformed") {
		return
	}
	b, err := os.ReadFile(strings.TrimSuffix(file, ".eml") + ".json")
	if err != nil {
		c.t.Fatal(err)
	}
	var w wantedMail
	if err := json.Unmarshal(b, &w); err != nil {
		c.t.Fatalf("%s: %v", file, err)
	}
	var text strings.Builder
	raw := bytes.ToLower(wireForm(c.t, file))
	comparable := len(w.TextBody) > 0 && !bytes.Contains(raw, []byte("utf-7")) && !bytes.Contains(raw, []byte{0})
	for _, n := range w.TextBody {
		var s string
		comparable = comparable && !w.Parts[n].Problem
		if raw, ok := w.Parts[n].Body["Html"]; ok {
			_ = json.Unmarshal(raw, &s)
			s = message.HTMLToText(s)
		} else {
			_ = json.Unmarshal(w.Parts[n].Body["Text"], &s)
		}
		text.WriteString(s)
	}
	uu := 0
	parts := mail.Attachments()
	for _, p := range parts {
		if strings.Contains(p.ID, "uu") {
			uu++
		}
	}
	if s := text.String(); comparable && uu == 0 && strings.TrimSpace(s) != "" && !strings.ContainsRune(s, unicode.ReplacementChar) {
		c.check("text", file, squeezed(m.Text) == squeezed(s), "got %q, want %q", m.Text, s)
	}
	c.check("attachments", file, len(m.Attachments)-uu == len(w.Attachments), "got %d, want %d", len(m.Attachments)-uu, len(w.Attachments))
	if len(m.Attachments) != len(w.Attachments) {
		return
	}
	for i, n := range w.Attachments {
		if name := nameIn(&w, n); name != "" && !strings.ContainsRune(name, unicode.ReplacementChar) {
			got := m.Attachments[i].Filename
			// Of a whole Windows path only the name is left.
			path := len(name) > 2 && name[1] == ':' && got != "" && strings.HasSuffix(name, got)
			c.check("names", file, got == name || path, "got %q, want %q", got, name)
		}
		for kind, raw := range w.Parts[n].Body {
			var list []int
			if (kind != "Binary" && kind != "InlineBinary") || w.Parts[n].Problem || parts[i].Encoding == "x-uuencode" || json.Unmarshal(raw, &list) != nil {
				continue
			}
			want := make([]byte, len(list))
			for j, v := range list {
				want[j] = byte(v)
			}
			c.check("hashes", file, hexSum(files[i]) == hexSum(want) || hexSum(oneLineEnd(files[i])) == hexSum(oneLineEnd(want)), "%d: %d bytes, want %d", i, len(files[i]), len(want))
		}
	}
}

// nameIn returns the file name that a described part has.
func nameIn(w *wantedMail, n int) string {
	for _, field := range []string{"content_disposition", "content_type"} {
		for _, h := range w.Parts[n].Headers {
			var v struct {
				ContentType struct {
					Attributes []struct{ Name, Value string }
				}
			}
			if h.Name != field || json.Unmarshal(h.Value, &v) != nil {
				continue
			}
			for _, a := range v.ContentType.Attributes {
				if a.Name == "filename" || a.Name == "name" {
					return a.Value
				}
			}
		}
	}
	return ""
}

// rows scores a message against the rows that a table has about it.
func (c *corpusRun) rows(file string, m *apiMessage, files [][]byte) {
	folder := filepath.Dir(filepath.Dir(file))
	if filepath.Base(folder) != "mails" {
		return
	}
	if c.expected == nil {
		c.expected = readRows(c.t, filepath.Join(folder, "expected.tsv"))
	}
	for _, row := range c.expected[filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file)] {
		want := row["value"]
		switch row["field"] {
		case "subject":
			c.check("subject", file, m.Subject == want, "got %q, want %q", m.Subject, want)
		case "from", "to":
			list := m.From
			if row["field"] == "to" {
				list = m.To
			}
			ok := want == "" && len(list) == 0
			for _, a := range list {
				ok = ok || strings.EqualFold(a.Address, want)
			}
			c.check("address", file, ok, "got %v, want %q", list, want)
		case "attachment":
			found := false
			for i, a := range m.Attachments {
				sum := row["sha256"]
				found = found || (sum == "" || sum == a.SHA256 || sum == hexSum(bytes.TrimRight(files[i], "\r\n"))) && (want == "" || a.Filename == want)
			}
			c.check("listed attachment", file, found, "%q is not among %+v", want, m.Attachments)
		}
	}
}

// readRows reads a table of the corpora, by its column "file".
func readRows(t *testing.T, file string) map[string][]map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]map[string]string{}
	var head []string
	unescape := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r")
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.TrimRight(line, "\r\n"), "\t")
		if head == nil {
			head = cells
			continue
		}
		row := map[string]string{}
		for i, name := range head {
			if i < len(cells) {
				row[name] = unescape.Replace(cells[i])
			}
		}
		rows[row["file"]] = append(rows[row["file"]], row)
	}
	return rows
}

// oneLineEnd forgives the line ends of parts without an encoding, which the
// wire changed.
func oneLineEnd(b []byte) []byte {
	return bytes.TrimRight(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), "\r\n")
}

// squeezed leaves out what joining lines and parts changes.
func squeezed(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == 0xFEFF {
			return -1
		}
		return r
	}, s)
}
